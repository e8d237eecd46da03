"""Changed architectures: settings reach the design and its prices, and the study compares like with like."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.architecture import Fanout, Storage
from hwsim.errors import HwsimError
from hwsim.spec import load_architecture
from hwsim.spec.settings import Setting, word_settings
from hwsim.whatif import columns, parse_group
from tests.conftest import Run
from workloads import zoo

Hwsim = Callable[..., Run]


def test_settings_reach_storages_meshes_and_all_that_a_pattern_names() -> None:
    settings = [Setting.parse(t) for t in ("shared_glb.depth=8192", "PE.meshX=32", "*_reg.depth=2")]
    architecture, energy = load_architecture("simple_ws", settings)
    before, listed = load_architecture("simple_ws")
    glb, fanout = architecture.level("shared_glb"), architecture.level("PE")
    assert isinstance(glb, Storage) and isinstance(fanout, Fanout)
    assert (glb.depth, fanout.mesh_x, fanout.mesh_y) == (8192, 32, 16)
    registers = [x for x in architecture.storages if x.name.endswith("_reg")]
    assert [x.depth for x in registers] == [2, 2, 2]
    assert architecture.compute_instances == 2 * before.compute_instances
    # half the rows read cheaper than the published table's, which is not used any more
    assert energy.price("shared_glb", "read") < listed.price("shared_glb", "read")
    assert {a.estimator for a in listed.actions["shared_glb"].values()} != {
        a.estimator for a in energy.actions["shared_glb"].values()
    }


def test_words_of_another_width() -> None:
    architecture, _ = load_architecture("simple_ws")
    changed, energy = load_architecture("simple_ws", word_settings(architecture, 4))
    assert {x.datawidth for x in changed.storages} == {4}
    # a 64-bit row of the buffer holds 16 words of 4 bits instead of 4 of 16; the registers are one word each
    assert {x.name: x.block_size for x in changed.storages}["shared_glb"] == 16
    assert {x.name: x.width for x in changed.storages}["weight_reg"] == 4
    _, prices = load_architecture("simple_ws", word_settings(architecture, 16))
    assert energy.price("mac", "compute") < prices.price("mac", "compute")


def test_the_same_words_change_nothing_but_the_multiplier() -> None:
    architecture, _ = load_architecture("simple_ws")
    same, prices = load_architecture("simple_ws", word_settings(architecture, 16))
    _, own = load_architecture("simple_ws", own_prices=True)
    assert [(x.width, x.datawidth) for x in same.storages] == [(x.width, x.datawidth) for x in architecture.storages]
    for name in ("DRAM", "shared_glb", "pe_spad", "weight_reg"):
        assert prices.price(name, "read") == own.price(name, "read")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shared_glb.depth", "COMPONENT.ATTRIBUTE=VALUE"),
        ("depth=3", "COMPONENT.ATTRIBUTE=VALUE"),
        ("shared_glb.depth=", "COMPONENT.ATTRIBUTE=VALUE"),
        ("shared_glb.depth=[1, 2]", "number or a word"),
        ("shared_glb.depth={", "cannot be read"),
        ("glb.depth=3", "no component 'glb'"),
        ("shared_glb.dept=3", "Did you mean 'depth'"),
        ("shared_glb.depth=0", "at least 1"),
        ("shared_glb.depth=many", "many"),
        ("PE.meshX=0", "meshX"),
    ],
)
def test_wrong_settings_are_one_message(hwsim: Hwsim, text: str, said: str) -> None:
    run = hwsim("profile", "zoo:lenet5", "--set", text)
    assert run.code == 2 and said in run.err and "Traceback" not in run.err, run.err


def test_columns() -> None:
    names = [name for name, _ in columns([parse_group("a.x=1"), parse_group("b.y=2,b.z=3")])]
    assert names == ["as is", "a.x=1", "b.y=2, b.z=3", "all together"]
    # a sweep of one attribute has no design in which all hold
    assert [n for n, _ in columns([parse_group("a.x=1"), parse_group("a.x=2")])] == ["as is", "a.x=1", "a.x=2"]


def test_study_agrees_with_profiles_of_the_changed_designs(hwsim: Hwsim, tmp_path: Path) -> None:
    model = zoo.write("lenet5", tmp_path / "lenet5.onnx")
    sets = ("shared_glb.depth=8192", "PE.meshX=8")
    run = hwsim("whatif", model, *(x for s in sets for x in ("--set", s)), "--json", tmp_path / "w.json")
    assert run.code == 0, run.err
    data = json.loads((tmp_path / "w.json").read_text())
    assert data["schema"] == "hwsim.whatif/1"
    assert [c["name"] for c in data["columns"]] == ["as is", *sets, "all together"]
    for column in data["columns"]:
        assert column["energy_pj"] == pytest.approx(sum(x["count"] * x["energy_pj"] for x in column["layers"]))
        if column["settings"]:
            args = [x for s in column["settings"] for x in ("--set", s)]
            assert hwsim("profile", model, *args, "--json", tmp_path / "p.json").code == 0
            totals = json.loads((tmp_path / "p.json").read_text())["totals"]
            assert (totals["energy_pj"], totals["cycles"]) == (column["energy_pj"], column["cycles"])
    base, small, narrow, both = data["columns"]
    assert small["area_um2"] < base["area_um2"] and both["area_um2"] < min(small["area_um2"], narrow["area_um2"])
    assert narrow["cycles"] > base["cycles"]
    for text in (*sets, "all together", "limited by"):
        assert text in run.out


def test_a_design_that_runs_nothing_says_which(hwsim: Hwsim) -> None:
    # its buffer has to keep a word of inputs and a word of outputs at once
    run = hwsim("whatif", "zoo:lenet5", "--arch", "eyeriss_like", "--set", "shared_glb.depth=1,shared_glb.width=8")
    assert run.code == 2 and "shared_glb.depth=1" in run.err and "shared_glb" in run.err, run.err


def test_errors_name_the_option() -> None:
    with pytest.raises(HwsimError) as caught:
        Setting.parse("x")
    assert caught.value.where == "--set x"
