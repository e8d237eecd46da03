"""`hwsim profile`, end to end."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

import hwsim as package
from hwsim.design.load import shipped_architectures
from hwsim.errors import HwsimError
from hwsim.workloads import zoo
from tests.conftest import Run

Hwsim = Callable[..., Run]


@pytest.fixture
def lenet(tmp_path: Path) -> Path:
    return zoo.write("lenet5", tmp_path / "lenet5.onnx")


def test_table_json_and_csv(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    run = hwsim("profile", lenet, "--json", tmp_path / "r.json", "--csv", tmp_path / "r.csv")
    assert run.code == 0, run.err
    data = json.loads((tmp_path / "r.json").read_text())
    assert data["schema"] == "hwsim.profile/1"
    totals, layers = data["totals"], data["layers"]
    # LeNet-5 with padding-free 5×5 convolutions: 6·28²·25 + 16·10²·150 + 400·120 + 120·84 + 84·10 MACs.
    assert totals["macs"] == 6 * 28**2 * 25 + 16 * 10**2 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    for figure in ("macs", "cycles", "energy_pj"):
        assert math.isclose(totals[figure], sum(x["count"] * x[figure] for x in layers))
    assert math.isclose(totals["edp_j_cycles"], totals["energy_pj"] * 1e-12 * totals["cycles"])
    for layer in layers:
        assert math.isclose(sum(layer["energy_by_level_pj"].values()), layer["energy_pj"])
        assert layer["macs"] == math.prod(layer["dims"].values())
        assert layer["cycles"] >= layer["macs"] / 256
        assert layer["optimal"] is True
        assert layer["lower_bound"] <= layer["energy_pj"] * layer["cycles"] * (1 + 1e-9)
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [int(row["cycles"]) for row in rows] == [x["cycles"] for x in layers]
    for layer in layers:
        assert layer["name"] in run.out


def test_same_bytes_on_two_runs_and_with_two_jobs(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    for name, extra in (("a", ()), ("b", ("--no-cache",)), ("c", ("--no-cache", "--jobs", "2"))):
        assert hwsim("profile", lenet, "--json", tmp_path / name, *extra).code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_objectives_are_minimised(lenet: Path) -> None:
    costs = {objective: package.profile(lenet, objective=objective) for objective in ("edp", "energy", "latency")}
    assert costs["energy"].energy_pj <= costs["edp"].energy_pj
    assert costs["latency"].cycles <= costs["edp"].cycles
    for a, b in zip(costs["edp"].layers, costs["latency"].layers, strict=True):
        assert a.cost.edp <= b.cost.edp


def test_one_layer_in_depth(hwsim: Hwsim, lenet: Path) -> None:
    name = package.profile(lenet).layers[0].name
    run = hwsim("profile", lenet, "--layer", name)
    assert run.code == 0
    for word in ("DRAM", "shared_glb", "for ", "parallel along", "mac: multiply"):
        assert word in run.out
    run = hwsim("profile", lenet, "--layer", name + "_")
    assert run.code == 2
    assert f"Did you mean '{name}'" in run.err


def test_a_corrupt_cache_entry_is_rebuilt(lenet: Path) -> None:
    from hwsim.files import cache_folder

    first = package.profile(lenet)
    for entry in cache_folder().glob("*.json"):
        entry.write_text(entry.read_text().replace('"cycles": ', '"cycles": 1'))
    second = package.profile(lenet)
    assert (first.cycles, first.energy_pj) == (second.cycles, second.energy_pj)


def test_equal_problems_are_mapped_once() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        cost = package.profile(zoo.write("resnet18", Path(folder) / "r.onnx"))
    problems = [x.cost.problem for x in cost.layers]
    assert len(set(problems)) == len(problems)
    assert sum(x.count for x in cost.layers) == 21  # 20 convolutions and the classifier
    assert cost.macs == 1_814_073_344  # torch's FlopCounterMode / 2


def test_a_layer_that_fits_nowhere_is_named(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    text = shipped_architectures()["simple_ws"].read_text()
    arch = tmp_path / "tight.yaml"
    # A pe_spad that must be used to the full by weights that the registers' constraints do not allow.
    arch.write_text(
        text.replace("attributes: {depth: 192, width: 16}", "attributes: {depth: 192, width: 16, min_utilization: 1}")
    )
    ert = shipped_architectures()["simple_ws"].with_suffix(".ert.yaml").read_text()
    (tmp_path / "tight.ert.yaml").write_text(ert)
    run = hwsim("profile", lenet, "--arch", arch)
    assert run.code == 2
    assert "fits no mapping" in run.err and "Traceback" not in run.err


def test_unknown_architecture(hwsim: Hwsim, lenet: Path) -> None:
    run = hwsim("profile", lenet, "--arch", "simple_wz")
    assert run.code == 2
    assert "Did you mean 'simple_ws'?" in run.err


def test_unwritable_result_leaves_nothing(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    run = hwsim("profile", lenet, "--json", tmp_path / "no" / "r.json")
    assert run.code == 2
    assert "no/r.json" in run.err
    assert {p.name for p in tmp_path.iterdir()} == {"lenet5.onnx"}


def test_api_raises_the_same_message(tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match=r"none\.onnx"):
        package.profile(tmp_path / "none.onnx")
