"""A design: an architecture and its prices, in one."""

import dataclasses
import pickle

import pytest

import hwsim
from hwsim.design import Design, Setting, load_architecture, load_design
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.objective import EDP, Objective


def test_a_design_and_its_two_parts() -> None:
    design = load_design("simple_ws")
    assert (design.architecture, design.energy) == load_architecture("simple_ws") and hwsim.load_design is load_design
    assert design.name == "simple_ws" and "simple_ws.ert.yaml" in design.prices and not design.instead_of
    with pytest.raises(dataclasses.FrozenInstanceError):
        design.energy = EnergyTable({}, {})  # type: ignore[misc]


def test_a_changed_design_says_what_its_prices_stand_for() -> None:
    changed = load_design("simple_ws", [Setting.parse("shared_glb.depth=4096")])
    assert changed.prices == "hwsim's estimates for simple_ws" and changed.instead_of == "the table simple_ws.ert.yaml"


def test_what_a_design_takes() -> None:
    """By hand: 16 × 16 PEs with three memories each, one buffer, DRAM outside."""
    design = load_design("simple_ws")
    areas = {name: 10.0 ** (k + 1) for k, name in enumerate(design.components) if name != "DRAM"}
    priced = Design(design.architecture, dataclasses.replace(design.energy, area_um2=areas))
    counts = {name: design.architecture.instances(name) for name in areas}
    assert priced.area_um2 == sum(counts[name] * area for name, area in areas.items())
    assert priced.no_area == ("DRAM",) and set(design.components) == {*areas, "DRAM"}
    on_chip = [x for x in design.architecture.storages if x.name != "DRAM"]
    assert design.on_chip_bytes == sum(x.depth * x.width / 8 * counts[x.name] for x in on_chip if x.depth is not None)
    assert design.compute_instances == counts[design.architecture.compute.name]


@pytest.mark.parametrize("text", ["edp", "energy", "latency", "edp,latency", "latency,edp,energy"])
def test_an_objective_travels_between_processes(text: str) -> None:
    goal = Objective.parse(text)
    assert pickle.loads(pickle.dumps(goal)) == goal and Objective.parse(goal) is goal and str(goal) == text
    assert (goal == EDP) == (text == "edp")
    with pytest.raises(HwsimError, match="is no objective"):
        Objective.parse(f"{text},area")
