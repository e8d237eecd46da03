"""The kernels against the walker on random problems, architectures and mappings; laws that every result obeys."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given, settings

from hwsim.cost import LayerCost
from hwsim.model import evaluate
from hwsim.workloads.problem import DataSpace, Problem
from tests.strategies import Mapped, mapped
from tests.witness.walker import walk_cost

RANDOM = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@settings(RANDOM, max_examples=2000)
@given(mapped())
def test_kernels_count_what_the_walker_counts(case: Mapped) -> None:
    cost = _evaluate(case)
    walked = walk_cost(case.problem, case.architecture, case.energy, case.mapping)
    for level in cost.levels:
        counts = {
            name: {key: value for key, value in asdict(space).items() if key not in ("energy_pj", "sparse")}
            for name, space in level.data_spaces.items()
        }
        assert counts == {name: asdict(space) for name, space in walked.counts[level.name].items()}, level.name
        assert level.throttling == pytest.approx(walked.throttling[level.name]), level.name
        for name, space in level.data_spaces.items():
            assert space.energy_pj == pytest.approx(walked.energy_pj[level.name, name]), (level.name, name)
        # Leakage goes with the cycles, and these may differ by one where bandwidth throttles.
        assert level.leakage_pj / cost.cycles == pytest.approx(
            walked.leakage_pj.get(level.name, 0.0) / walked.cycles
        ), level.name
    assert abs(cost.cycles - walked.cycles) <= (min(walked.throttling.values()) < 1)
    assert cost.compute.computes == walked.computes
    assert cost.compute.instances == walked.compute_instances
    assert cost.compute.energy_pj == pytest.approx(walked.compute_energy_pj)


@settings(RANDOM, max_examples=500)
@given(mapped())
def test_laws_that_every_cost_obeys(case: Mapped) -> None:
    cost = _evaluate(case)
    problem, mapping = case.problem, case.mapping
    spatial = math.prod(loop.bound for level in mapping.levels for loop in level.spatial)

    assert cost.cycles * case.architecture.compute_instances >= problem.macs
    assert cost.utilization == pytest.approx(problem.macs / (cost.cycles * case.architecture.compute_instances))
    assert cost.compute.computes == problem.macs
    assert cost.compute.instances == spatial
    parts = [level.leakage_pj for level in cost.levels] + [cost.compute.energy_pj]
    parts += [space.energy_pj for level in cost.levels for space in level.data_spaces.values()]
    assert cost.energy_pj == pytest.approx(sum(parts))

    for space in problem.data_spaces:
        keepers = [level.data_spaces[space.name] for level in cost.levels if space.name in level.data_spaces]
        outermost, innermost = keepers[0], keepers[-1]
        assert all(min(k.reads, k.fills, k.updates, k.temporal_reductions) >= 0 for k in keepers)
        # Every element leaves (or reaches) the outermost level at least once.
        assert (outermost.updates if space.read_write else outermost.reads) >= _elements(problem, space)
        # Every multiplication takes its operand from the innermost level, shared by at most all instances inside.
        served = innermost.updates if space.read_write else innermost.reads
        if not mapping.levels[-1].spatial:
            assert served * spatial >= problem.macs
        if innermost.instances == spatial:
            assert served * innermost.instances == problem.macs


def _evaluate(case: Mapped) -> LayerCost:
    cost = evaluate(case.problem, case.architecture, case.mapping, case.energy)
    assert isinstance(cost, LayerCost), cost
    return cost


def _elements(problem: Problem, space: DataSpace) -> int:
    """Elements that the problem touches, counted one by one (holes between strides are not elements)."""
    sizes = problem.sizes
    touched = 1
    for rank in space.projection:
        indices = itertools.product(*(range(sizes[dim]) for _, dim in rank))
        touched *= len({sum(c * i for (c, _), i in zip(rank, index, strict=True)) for index in indices})
    return touched
