"""The walker gives Timeloop's figures, and its steps do what the rules say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference_cases import FIGURES, Case, architecture, cases
from tests.witness.walker import Corner, WalkedCost, _group, _Held, _size, walk_cost

SAMPLE = cases("small_cases") + cases("cases")[::12]


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.id)
def test_reference_case(case: Case) -> None:
    arch, energy = architecture(case.arch_name)
    got = walk_cost(case.problem, arch, energy, case.mapping)
    _assert_counts(got, case.expected["levels"])
    _assert_costs(got, case.expected)


def _assert_counts(got: WalkedCost, levels: dict[str, Any]) -> None:
    for name, level in levels.items():
        found = {
            space: {figure: getattr(counts, figure) for figure in FIGURES[:-1]}
            for space, counts in got.counts[name].items()
        }
        wanted = {
            space: {figure: figures[figure] for figure in FIGURES[:-1]}
            for space, figures in level["data_spaces"].items()
        }
        assert found == wanted, name


def _assert_costs(got: WalkedCost, expected: dict[str, Any]) -> None:
    # Timeloop prints pJ, percent and throttling with two decimals.
    def near(value: float) -> object:
        return pytest.approx(value, rel=1e-4, abs=0.006)

    for name, level in expected["levels"].items():
        assert abs(got.level_cycles[name] - level["cycles"]) <= (got.throttling[name] < 1), name
        assert got.throttling[name] == pytest.approx(level["throttling"], abs=0.006)
        assert got.leakage_pj.get(name, 0) == near(level["leakage_pj"])
        for space, figures in level["data_spaces"].items():
            assert got.energy_pj[name, space] == near(figures["energy_pj"]), (name, space)
    assert abs(got.cycles - expected["cycles"]) <= (min(got.throttling.values()) < 1)
    assert got.total_energy_pj == near(expected["energy_pj"])
    assert 100 * got.utilization == pytest.approx(expected["utilization_pct"], abs=0.006)
    assert (got.computes, got.compute_instances) == (expected["compute"]["computes"], expected["compute"]["instances"])
    assert got.compute_energy_pj == near(expected["compute"]["energy_pj"])


def test_a_sliding_window_fetches_its_new_part() -> None:
    held = _Held(refetch=False)
    assert held.advance(((0, 3),)) == ((0, 3),)
    assert held.advance(((1, 4),)) == ((3, 4),)
    assert held.advance(((2, 5),)) == ((4, 5),)
    assert held.advance(((2, 5),)) is None


def test_a_different_move_refetches_and_the_next_move_is_free() -> None:
    held = _Held(refetch=False)
    for box in (((0, 3),), ((1, 4),)):
        held.advance(box)
    assert held.advance(((0, 3),)) == ((0, 3),)  # back by one: not the move of before
    assert held.advance(((2, 5),)) == ((3, 5),)  # a new stride of two: one element stays


def test_a_move_along_two_ranks_keeps_what_both_boxes_have() -> None:
    held = _Held(refetch=False)
    held.advance(((0, 3), (0, 3)))
    part = held.advance(((1, 4), (1, 4)))
    assert isinstance(part, Corner) and _size(part) == 9 - 4
    assert held.advance(((2, 5), (4, 7))) == ((2, 5), (4, 7))  # another move


def test_equal_boxes_are_one_access() -> None:
    a, b, c = ((0, 2),), ((1, 3),), ((5, 6),)
    # a wanted by two: 2 words at multicast 2; b and c by one each: 2 + 1 words at multicast 1.
    assert _group([a, b, a, c, None], may_multicast=True) == {(2, 1): 2, (1, 2): 3}
    assert _group([a, b, a, c, None], may_multicast=False) == {(1, 4): 7}
