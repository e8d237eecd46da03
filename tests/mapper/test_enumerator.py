"""The enumerator yields the space as it is meant: sizes derived by hand, and Timeloop's proved optima."""

from __future__ import annotations

from itertools import groupby

import pytest

from hwsim.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Fanout,
    LoopConstraint,
    Storage,
)
from hwsim.workloads.problem import DataSpace, Problem, conv, depthwise, matmul
from tests.reference_cases import ARCHITECTURES, Optimum, architecture, exhaustive
from tests.witness.enumerator import enumerate_mappings, fits, space_size
from tests.witness.walker import WalkedCost, walk_cost

COMPUTE = Compute("mac", "intmac")


def _copy(size_by_dim: dict[str, int]) -> Problem:
    """One output with the given dimensions: the smallest problem there is."""
    ranks = tuple(((1, dim),) for dim in size_by_dim)
    return Problem("custom", tuple(size_by_dim.items()), (DataSpace("Outputs", ranks, read_write=True),))


def _storage(name: str, depth: int | None = None, constraints: Constraints | None = None) -> Storage:
    return Storage(name, "SRAM", depth, 8, 8, 1, constraints=constraints or Constraints())


def _architecture(*levels: Storage | Fanout) -> Architecture:
    return Architecture("small", levels, COMPUTE)


def _size(problem: Problem, arch: Architecture) -> int:
    """The size of the space, after a check that both ways to count it agree and no mapping comes twice."""
    mappings = list(enumerate_mappings(problem, arch))
    assert len(set(mappings)) == len(mappings) == space_size(problem, arch)
    return len(mappings)


def test_factorizations_and_keep() -> None:
    # 12 = 2·2·3 over two storages: 6 divisors. The inner one keeps the output or not: 6 · 2.
    assert _size(_copy({"A": 12}), _architecture(_storage("DRAM"), _storage("GLB"))) == 12


def test_orders_count_loops_that_run() -> None:
    # A and B of 2, each outside or inside: both at one level (two choices) in 2 orders, else 1: 2·2 + 2 = 6; · 2 keep.
    assert _size(_copy({"A": 2, "B": 2}), _architecture(_storage("DRAM"), _storage("GLB"))) == 12


def test_a_permutation_fixes_the_innermost_loops() -> None:
    # All three loops at the only storage. Free: 3! orders; C innermost, then A: only B outside them remains.
    problem = _copy({"A": 2, "B": 2, "C": 2})
    assert _size(problem, _architecture(_storage("DRAM"))) == 6
    named = Constraints(temporal=LoopConstraint(permutation=("C", "A")))
    arch = _architecture(_storage("DRAM", constraints=named))
    assert _size(problem, arch) == 1
    (mapping,) = enumerate_mappings(problem, arch)
    assert [loop.dim for loop in mapping.levels[0].temporal] == ["B", "A", "C"]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        # A and B of 2 over DRAM and a 2×2 mesh. Both in time: 2 orders; one in space: 2 · axes; both: on two axes.
        (None, 2 + 2 * 2 + 2),
        (1, 2 + 2 + 1),  # A along X, B along Y
        (0, 2 + 2 + 0),  # both along Y: two loops of 2 do not fit there together
        (99, 2 + 2 + 0),  # both along X
    ],
)
def test_axes(split: int | None, expected: int) -> None:
    constraints = Constraints(spatial=LoopConstraint(permutation=("A",), split=split))
    arch = _architecture(_storage("DRAM"), Fanout("PE", 2, 2, constraints))
    assert _size(_copy({"A": 2, "B": 2}), arch) == expected


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (FactorConstraint("A", "=", 2), 1),
        (FactorConstraint("A", "<=", 4), 3),
        (FactorConstraint("A", ">=", 4), 2),
        (FactorConstraint("A", "=", 0), 1),
        (FactorConstraint("Z", "=", 3), 4),
    ],
)
def test_factor_constraints(constraint: FactorConstraint, expected: int) -> None:
    # Divisors of 8 at the inner storage: 1 2 4 8; =0 is the whole dimension; Z is not in the problem.
    constraints = Constraints(temporal=LoopConstraint(factors=(constraint,)), keep=frozenset({"Outputs"}))
    assert _size(_copy({"A": 8}), _architecture(_storage("DRAM"), _storage("GLB", constraints=constraints))) == expected


@pytest.mark.parametrize(
    ("loops", "expected"),
    [
        # A of 8 and B of 2 over DRAM and a buffer; two loops at one level stand in two orders. A inside by 1:
        # 2 + 1 for B outside or inside; by 2 or 4 (A at both): 2 + 2 each; by 8: 1 + 2.
        (LoopConstraint(), 3 + 4 + 4 + 3),
        (LoopConstraint(max_factor=2), 3 + 4),
        (LoopConstraint(max_factor=2, factors=(FactorConstraint("A", "<=", 8),)), 14),
        (LoopConstraint(others_one=True), 2),
        (LoopConstraint(others_one=True, factors=(FactorConstraint("B", "=", 2),)), 1),
        (LoopConstraint(no_iteration=frozenset({"Outputs"})), 2),
        # all limits hold at once, in any order: whole and at most 4 contradict each other
        (LoopConstraint(factors=(FactorConstraint("A", "=", 0), FactorConstraint("A", "<=", 4))), 0),
        (LoopConstraint(factors=(FactorConstraint("A", "<=", 4), FactorConstraint("A", "=", 0))), 0),
        (LoopConstraint(factors=(FactorConstraint("A", "=", 0),), no_iteration=frozenset({"Outputs"})), 0),
    ],
)
def test_limits_on_factors(loops: LoopConstraint, expected: int) -> None:
    constraints = Constraints(temporal=loops, keep=frozenset({"Outputs"}))
    arch = _architecture(_storage("DRAM"), _storage("GLB", constraints=constraints))
    assert _size(_copy({"A": 8, "B": 2}), arch) == expected


def test_min_utilization_of_a_mesh() -> None:
    arch = _architecture(_storage("DRAM"), Fanout("PE", 4, 1, Constraints(min_utilization=0.5)))
    assert _size(_copy({"A": 4}), arch) == 2  # 2 or 4 of 4 instances


def test_min_utilization_of_a_storage() -> None:
    constraints = Constraints(min_utilization=0.5, keep=frozenset({"Outputs"}))
    arch = _architecture(_storage("DRAM"), _storage("GLB", 4, constraints))
    assert len(list(enumerate_mappings(_copy({"A": 4}), arch))) == 2  # 2 or 4 of 4 words


def test_fits() -> None:
    arch = _architecture(_storage("DRAM"), _storage("GLB", 2, Constraints(keep=frozenset({"Outputs"}))))
    problem = _copy({"A": 4})
    held = {m.levels[1].temporal: fits(problem, arch, m) for m in enumerate_mappings(problem, arch)}
    assert sorted(held.values()) == [False, True, True]  # tiles of 4; 1, 2


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(
    "problem",
    [conv({"C": 2, "M": 2, "R": 2, "P": 2}), depthwise({"C": 2, "R": 2, "P": 3}), matmul({"B": 2, "M": 2, "C": 2})],
    ids=lambda problem: problem.kind,
)
def test_published_designs(name: str, problem: Problem) -> None:
    assert _size(problem, architecture(name)[0]) > 0


SMALL = [list(rows) for _, rows in groupby(exhaustive(), key=lambda o: (o.arch_name, o.problem))]
SMALL = [rows for rows in SMALL if space_size(rows[0].problem, architecture(rows[0].arch_name)[0]) < 1200]


@pytest.mark.parametrize("optima", SMALL, ids=lambda rows: f"{rows[0].arch_name}-{rows[0].name}")
def test_proved_optima(optima: list[Optimum]) -> None:
    """The best of all mappings costs what Timeloop's exhaustive search proved."""
    problem = optima[0].problem
    arch, energy = architecture(optima[0].arch_name)
    costs = [
        walk_cost(problem, arch, energy, mapping)
        for mapping in enumerate_mappings(problem, arch)
        if fits(problem, arch, mapping)
    ]
    for optimum in optima:
        best = min(_value(cost, optimum.metric) for cost in costs)
        # Timeloop's total is a sum of lines with two decimals; its own mapping is priced without rounding.
        assert best == pytest.approx(optimum.value, rel=1e-5)
        listed = walk_cost(problem, arch, energy, optimum.mapping)
        assert best == pytest.approx(_value(listed, optimum.metric), rel=1e-12)


def _value(cost: WalkedCost, metric: str) -> float:
    energy = cost.total_energy_pj
    return {"edp": energy * cost.cycles, "energy": energy, "delay": float(cost.cycles)}[metric]
