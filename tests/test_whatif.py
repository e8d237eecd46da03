"""Changed architectures: settings reach the design and its prices, and the study compares like with like."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.architecture import Fanout, Storage
from hwsim.design import load_architecture
from hwsim.design.settings import Setting, word_settings
from hwsim.errors import HwsimError
from hwsim.whatif import columns, parse_group
from hwsim.workloads import zoo
from tests.conftest import Run

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
        ("shared_gbl.depth=3", "Did you mean 'shared_glb'?"),
        ("shared_glb.dept=3", "Did you mean 'depth'"),
        ("shared_glb.depth=-1", "at least 0"),
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


UNCHANGED = [
    "shared_glb.depth=16384",
    "shared_glb.depth=16384.0",
    "shared_glb.depth=16 * 1024",
    "*.technology=45",
    "*.technology=45e-9",
    "system.technology= 45nm",
    "PE.meshX=16",
    "system.meshX=1",
    "DRAM.type=LPDDR4",
    "shared_glb.multiple_buffering=1",  # new attributes that say what is so already
    "shared_glb.datawidth=16",
    "shared_glb.block_size=4",
    "mac.global_cycle_seconds=1.0e-9",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_a_setting_that_changes_nothing_changes_nothing(text: str) -> None:
    architecture, energy = load_architecture("simple_ws", [Setting.parse(text)])
    assert (architecture, energy) == load_architecture("simple_ws")
    assert not energy.instead_of


CHANGED = ["shared_glb.depth=16383", "*.technology=44nm", "PE.meshX=15", "DRAM.type=DDR3", "system.meshX=2"]


@pytest.mark.parametrize("text", CHANGED)
def test_a_setting_that_changes_something_prices_anew(text: str) -> None:
    try:
        _, energy = load_architecture("simple_ws", [Setting.parse(text)])
    except HwsimError as error:
        assert text == "system.meshX=2" and "feeds the array" in error.message, "a container outside all storages"
        return
    assert energy.instead_of == "the table simple_ws.ert.yaml" and energy != load_architecture("simple_ws")[1]


def test_several_settings_change_nothing_only_together() -> None:
    same = [Setting.parse(t) for t in ("shared_glb.depth=16384", "PE.meshY=16")]
    assert load_architecture("simple_ws", same) == load_architecture("simple_ws")
    there_and_back = [Setting.parse(t) for t in ("shared_glb.depth=1", "shared_glb.depth=16384")]
    assert load_architecture("simple_ws", there_and_back) == load_architecture("simple_ws")
    one_of_two = [Setting.parse(t) for t in ("shared_glb.depth=16384", "PE.meshY=15")]
    assert load_architecture("simple_ws", one_of_two)[1].instead_of


def test_an_architecture_without_a_table_is_priced_as_before() -> None:
    _, energy = load_architecture("nvdla_like", [Setting.parse("*.technology=7nm")])
    assert not energy.instead_of


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shared_glb.depht=3", "'depht' is no attribute of 'shared_glb'. Did you mean 'depth'?"),
        ("mac.depth=3", "'depth' is no attribute of 'mac'."),
        ("mac.multiplier_widht=3", "Did you mean 'multiplier_width'?"),
        ("PE.mehsX=3", "Did you mean 'meshX'?"),
        ("*.tecnology=32nm", "Did you mean 'technology'?"),
        ("DRAM.typ=DDR3", "Did you mean 'type'?"),
        ("weight_reg.multiplier_width=3", "no attribute of 'weight_reg'"),
    ],
)
def test_unknown_attributes_are_refused(text: str, said: str) -> None:
    with pytest.raises(HwsimError) as caught:
        load_architecture("simple_ws", [Setting.parse(text)])
    assert said in caught.value.message and caught.value.where == f"--set {text}"


def test_a_pattern_reaches_those_that_know_the_attribute() -> None:
    architecture, _ = load_architecture("simple_ws", [Setting.parse("*.depth=64")])
    assert {x.depth for x in architecture.storages} == {64}, "that mac has no depth is no fault of the pattern"


def test_the_classes_of_a_file_know_attributes(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "arch_specs" / "simple_ws.yaml").read_text()
    own = """
components:
- name: intmac
  attributes: {technology: must_specify, pipeline: 1}
  subcomponents: [{name: adder, class: aladdin_adder, attributes: {width: 16 * pipeline}}]
  actions: [{name: compute, subcomponents: [{name: adder, actions: [{name: add}]}]}]
"""
    path = tmp_path / "own.yaml"
    path.write_text(text + own)
    _, once = load_architecture(path)
    _, twice = load_architecture(path, [Setting.parse("mac.pipeline=2")])
    assert twice.price("mac", "compute") == pytest.approx(2 * once.price("mac", "compute"))
    with pytest.raises(HwsimError, match="Did you mean 'pipeline'"):
        load_architecture(path, [Setting.parse("mac.pipelin=2")])


@pytest.mark.parametrize("name", ["multiplier_width", "datawidth", "adder_width", "overflow"])
def test_what_arithmetic_reads_is_known_whatever_the_class(tmp_path: Path, name: str) -> None:
    text = (Path(__file__).parent.parent / "arch_specs" / "simple_ws.yaml").read_text()
    own = """
components:
- name: intmac
  attributes: {technology: must_specify}
  subcomponents: [{name: adder, class: aladdin_adder, attributes: {width: 16}}]
  actions: [{name: compute, subcomponents: [{name: adder, actions: [{name: add}]}]}]
"""
    path = tmp_path / "own.yaml"
    bare = text.replace("attributes: {multiplier_width: 8, adder_width: 16}", "attributes: {}")
    bare = bare.replace("      datawidth: 16\n", "").replace("width: 16}", "width: 16, datawidth: 16}")
    assert "datawidth: 16\n" not in bare and "adder_width" not in bare.split("name: mac")[1]
    path.write_text(bare + own)
    changed, _ = load_architecture(path, [Setting.parse(f"mac.{name}=16")])
    assert changed.compute.attributes[name] == 16


def test_how_long_a_value_may_be() -> None:
    assert Setting.parse("mac.note=" + "x" * 2_000).value == "x" * 2_000
    with pytest.raises(HwsimError, match="up to 2,000 characters, not 2,001"):
        Setting.parse("mac.note=" + "x" * 2_001)


NOT_BY = "not by the table simple_ws.ert.yaml"


def test_every_output_says_where_prices_come_from(hwsim: Hwsim, tmp_path: Path) -> None:
    """And what the design as it is costs on these prices, beside the published ones."""
    model = zoo.write("lenet5", tmp_path / "lenet5.onnx")
    files = {name: tmp_path / f"p.{name}" for name in ("json", "markdown", "html")}
    options = [x for name, path in files.items() for x in (f"--{name}", path)]
    plain = hwsim("profile", model, "--json", tmp_path / "plain.json")
    same = hwsim("profile", model, "--set", "shared_glb.depth=16384", *options)
    assert same.out == plain.out and NOT_BY not in same.out
    assert files["json"].read_text() == (tmp_path / "plain.json").read_text()
    assert hwsim("profile", model, "--set", "shared_glb.depth=8192", *options).code == 0
    (variant, *_) = json.loads(
        hwsim("whatif", model, "--set", "PE.meshX=8", "--json", tmp_path / "w.json").out
        and (tmp_path / "w.json").read_text()
    )["columns"]
    on_estimates = f"{variant['energy_pj'] * 1e-6:,.4g} µJ"
    for path in files.values():
        text = path.read_text().replace("\\_", "_")
        assert NOT_BY in text and on_estimates in text, path
    assert json.loads(files["json"].read_text())["notes"]
    run = hwsim("profile", model, "--set", "shared_glb.depth=8192", "--layer", "c1")
    assert NOT_BY in " ".join(run.out.split()) and on_estimates in " ".join(run.out.split())
    run = hwsim("whatif", model, "--set", "PE.meshX=8", *options)
    for text in (run.out, *(path.read_text() for path in files.values())):
        assert NOT_BY in " ".join(text.replace("\\_", "_").split())


def test_an_exploration_says_where_prices_come_from(hwsim: Hwsim, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(
        "models: [zoo:lenet5]\nparameters: {rows: [8, 16]}\nsettings: {PE.meshY: rows}\nobjectives: [energy, latency]\n"
    )
    files = {name: tmp_path / f"e.{name}" for name in ("markdown", "html")}
    options = [x for name, path in files.items() for x in (f"--{name}", path)]
    run = hwsim("explore", space, "--grid", "--workers", "1", "--json", *options)
    assert run.code == 0, run.err
    result = json.loads(run.out)
    unchanged = next(x for x in result["front"] if x["params"]["rows"] == 16)
    on_estimates = f"{unchanged['objectives']['energy'] * 1e-6:,.4g} µJ"
    for text in (run.out, *(path.read_text().replace("\\_", "_") for path in files.values())):
        assert NOT_BY in text and on_estimates in text
