"""What single words of a file do to the figures, by Timeloop's rules (commit 4cf6d4c), derived by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hwsim.design import load_specs
from hwsim.mapper import search
from hwsim.model import evaluate

CHIP = """
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 8, datawidth: 8}}
  - !Component {name: buffer, class: SRAM, attributes: {depth: 4096, width: 8, datawidth: 8}}
  - !Container {name: PE, spatial: {meshX: 4, meshY: 4}}
  - !Component {name: reg, class: regfile, attributes: {depth: 4, width: 8, datawidth: 8}}
  - !Component {name: mac, class: intmac}
problem: {shape: matmul, instance: {C: 10, M: 10, P: 1}}
mapping:
- {target: buffer, type: temporal, factors: C=10 M=10 P=1, permutation: CMP}
ERT:
  version: 0.4
  tables:
  - {name: DRAM, actions: [{name: read, energy: 512}, {name: write, energy: 512}, {name: leak, energy: 0}]}
  - {name: buffer, actions: [{name: read, energy: 10}, {name: write, energy: 8}, {name: leak, energy: 0.5}]}
  - {name: reg, actions: [{name: read, energy: 1}, {name: write, energy: 1}, {name: leak, energy: 0.25}]}
  - {name: mac, actions: [{name: compute, energy: 1}]}
"""


def chip(old: str = "", new: str = "") -> str:
    assert old in CHIP
    return CHIP.replace(old, new, 1) if old else CHIP


def evaluated(hwsim: Any, folder: Path, text: str) -> dict[str, Any]:
    (folder / "f.yaml").write_text(text)
    run = hwsim("evaluate", folder / "f.yaml", "--json")
    assert run.code == 0, run.err
    found: dict[str, Any] = json.loads(run.out)[0]
    return found


def test_networks_fill_and_drain(hwsim: Any, tmp_path: Path) -> None:
    """Both add to the layer's cycles, once; leakage is that of the cycles at work."""
    slow = chip("depth: 4096,", "network_fill_latency: 5, network_drain_latency: 11, depth: 4096,")
    plain, found = evaluated(hwsim, tmp_path, CHIP), evaluated(hwsim, tmp_path, slow)
    assert (plain["cycles"], found["cycles"]) == (100, 116)
    assert found["energy_pj"] == plain["energy_pj"] and found["utilization"] == pytest.approx(100 / 116 / 16)


def test_networks_in_a_search(hwsim: Any, tmp_path: Path) -> None:
    """The same cycles on top of every mapping move neither the least energy nor the fewest cycles."""
    slow = chip("depth: 4096,", "network_fill_latency: 5, network_drain_latency: 11, depth: 4096,")
    for name, text in (("plain", CHIP), ("slow", slow)):
        (tmp_path / f"{name}.yaml").write_text(text)
    (plain,), (late,) = (load_specs([tmp_path / f"{name}.yaml"], "problem") for name in ("plain", "slow"))
    for objective in ("latency", "energy", "latency,energy"):
        a = search(plain.problem, plain.architecture, plain.energy, objective)
        b = search(late.problem, late.architecture, late.energy, objective)
        assert (b.cycles, b.energy_pj) == (a.cycles + 16, a.energy_pj)
        assert b.certificate.optimal and b.certificate.gap == 0
        assert b.certificate.value == (b.cycles if "latency" in objective else b.energy_pj)
    run = hwsim("map", tmp_path / "slow.yaml")
    assert run.code == 2 and "networks add 16 cycles" in run.err and "--objective" in run.err


@pytest.mark.parametrize(
    ("old", "new", "leakage"),
    [
        ("", "", 25),  # 0.25 pJ of the one that works, in 100 cycles
        ("reg, class: regfile, attributes: {", "reg, class: regfile, attributes: {power_gated_at: buffer, ", 400),
        ("reg, class: regfile, attributes: {", "reg, class: regfile, attributes: {power_gated_at: reg, ", 25),
        ("attributes: {depth: 4096,", "attributes: {has_power_gating: True, depth: 4096,", 400),
        ("attributes: {depth: 4096,", "attributes: {has_power_gating: False, depth: 4096,", 25),
    ],
)
def test_power_gating(hwsim: Any, tmp_path: Path, old: str, new: str, leakage: float) -> None:
    """All 16 register files share the buffer's switch: all leak, though one works."""
    found = evaluated(hwsim, tmp_path, chip(old, new))
    assert found["levels"]["reg"]["leakage_pj"] == leakage and found["levels"]["buffer"]["leakage_pj"] == 50
    (spec,) = load_specs([tmp_path / "f.yaml"], "problem")
    for objective in ("edp", "energy", "latency,energy"):
        best = search(spec.problem, spec.architecture, spec.energy, objective)
        again = evaluate(spec.problem, spec.architecture, best.mapping, spec.energy)
        assert again.energy_pj == pytest.approx(best.energy_pj) and best.certificate.optimal
        assert best.certificate.lower_bound == pytest.approx(best.certificate.value, rel=1e-6)


def test_a_switch_that_is_nowhere(hwsim: Any, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(chip("{depth: 4, ", "{power_gated_at: bufer, depth: 4, "))
    run = hwsim("evaluate", tmp_path / "f.yaml")
    assert run.code == 2 and "switched off with 'bufer'" in run.err and "Did you mean 'buffer'" in run.err


def test_outermost_bypass(hwsim: Any, tmp_path: Path) -> None:
    """Inputs and results that stay on the chip move nothing at the DRAM; by hand: 100 weights once."""
    text = chip(
        "mapping:\n", "mapping:\n- {target: DRAM, type: datatype, keep: [Weights], bypass: [Inputs, Outputs]}\n"
    )
    plain, found = evaluated(hwsim, tmp_path, CHIP), evaluated(hwsim, tmp_path, text)
    assert list(found["levels"]["DRAM"]["data_spaces"]) == ["Weights"]
    spaces = found["levels"]["buffer"]["data_spaces"]
    assert [spaces[name]["fills"] for name in ("Weights", "Inputs", "Outputs")] == [100, 0, 0]
    # without: 10 inputs read and 10 results written at the DRAM, and as many filled at the buffer
    assert found["energy_pj"] == pytest.approx(plain["energy_pj"] - 20 * 512 - 10 * 8)


def test_outermost_bypass_is_not_searched(hwsim: Any, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(
        chip("{name: DRAM, ", "{name: DRAM, constraints: {dataspace: {bypass: [Inputs]}}, ")
    )
    run = hwsim("map", tmp_path / "f.yaml")
    assert run.code == 2 and "'DRAM' is told to bypass Inputs" in run.err


def test_a_constraint_on_a_dimension_that_the_problem_lacks(hwsim: Any, tmp_path: Path) -> None:
    limits = "constraints: {temporal: {factors: [%s]}}, "
    (tmp_path / "f.yaml").write_text(chip("{name: reg, ", "{name: reg, " + limits % "R=1, X=2"))
    run = hwsim("map", tmp_path / "f.yaml")
    assert run.code == 2 and "'X'" in run.err
    (tmp_path / "f.yaml").write_text(chip("{name: reg, ", "{name: reg, " + limits % "R=1, X=1"))
    run = hwsim("map", tmp_path / "f.yaml")
    assert run.code == 0 and "no dimension 'R'" in run.err and "no dimension 'X'" in run.err
