"""Timeloop's figures, case by case, through the evaluation that profile and evaluate use."""

import pytest

from hwsim.cost import LayerCost
from hwsim.design import load_architecture
from hwsim.model import evaluate
from tests.reference_cases import Case, architecture, cases

# The reference design → our own file of the same facts.
SHIPPED = {
    "simple_weight_stationary": "simple_ws",
    "simple_ws_lab": "simple_ws_lab",
    "simple_output_stationary": "simple_os",
    "eyeriss_like": "eyeriss_like",
    "simba_like": "simba_like",
}
ALL = [*cases("cases"), *cases("small_cases")]
COUNTS = ("tile", "capacity", "instances", "reads", "fills", "updates", "temporal_reductions")
# Timeloop prints energies with two decimals.
PRINTED = 0.011


def close(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= max(1e-4 * abs(theirs), PRINTED)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.id)
def test_equals_timeloop(case: Case) -> None:
    arch, energy = (
        load_architecture(SHIPPED[case.arch_name]) if case.arch_name in SHIPPED else architecture(case.arch_name)
    )
    cost = evaluate(case.problem, arch, case.mapping, energy)
    assert isinstance(cost, LayerCost)
    expected = case.expected
    throttled = any(level["throttling"] < 1 for level in expected["levels"].values())
    assert abs(cost.cycles - expected["cycles"]) <= int(throttled)
    assert close(cost.energy_pj, expected["energy_pj"])
    assert cost.compute.computes == expected["compute"]["computes"]
    assert cost.compute.instances == expected["compute"]["instances"]
    assert abs(100 * cost.utilization - expected["utilization_pct"]) < 0.01
    for level in cost.levels:
        there = expected["levels"].get(level.name)
        if there is None:
            continue
        assert close(level.leakage_pj, there["leakage_pj"])
        assert set(level.data_spaces) == set(there["data_spaces"])
        for name, space in level.data_spaces.items():
            figures = there["data_spaces"][name]
            assert {c: getattr(space, c) for c in COUNTS} == {c: figures[c] for c in COUNTS}, (level.name, name)
            assert close(space.energy_pj, figures["energy_pj"])


def test_no_case_is_missing() -> None:
    assert len(ALL) == 445
    assert sum(c.arch_name in ("simple_weight_stationary", "simple_ws_lab") for c in cases("cases")) == 189
