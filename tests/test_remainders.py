"""Loops whose last rounds are not full: Timeloop's figures where it counts the work, exact ones elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hwsim import counting as kernel
from hwsim.architecture import Architecture, Compute, Fanout, Storage
from hwsim.cost import LayerCost
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate, lower, mesh_array, projection_matrix, switch_array
from hwsim.workloads.problem import Problem, conv, depthwise, matmul
from tests.strategies import architectures, energy_table
from tests.witness.rounds import all_words, computes

RANDOM = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
MOST_STEPS = 3000
"""Iterations times instances that the witness executes, one by one."""

TWO_MESHES = Architecture(
    "two meshes",
    (
        Storage("S0", "DRAM", None, 16, 8, 2),
        Fanout("F0", 3, 2),
        Storage("S1", "SRAM", None, 8, 8, 1),
        Fanout("F1", 2, 3),
        Storage("S2", "regfile", None, 8, 8, 1),
    ),
    Compute("mac", "intmac"),
)


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    size = st.sampled_from((1, 2, 3, 4, 5, 7))
    kind = draw(st.sampled_from(("matmul", "conv", "depthwise")))
    if kind == "matmul":
        return matmul({dim: draw(size) for dim in "MCP"})
    window = {"hstride": draw(st.sampled_from((1, 1, 2))), "hdilation": draw(st.sampled_from((1, 1, 2)))}
    sizes = {"C": draw(st.integers(1, 4)), "P": draw(size), "R": draw(st.integers(1, 3))}
    if kind == "depthwise":
        return depthwise(sizes, **window)
    return conv(sizes | {"M": draw(st.integers(1, 3))}, **window)


@st.composite
def mappings_with_remainders(draw: st.DrawFn, problem: Problem, architecture: Architecture) -> Mapping:
    """Every dimension cut into loops of any bounds, inner → outer, each with the residual that follows from it."""
    places = [(k, "") for k in range(len(architecture.levels))]
    places += [(k, axis) for k, x in enumerate(architecture.levels) if isinstance(x, Fanout) for axis in "XY"] * 3
    order = {place: n for n, place in enumerate(sorted(places, key=lambda p: (p[0], p[1] != "", p[1] == "X")))}
    room = {
        (k, axis): mesh
        for k, x in enumerate(architecture.levels)
        if isinstance(x, Fanout)
        for axis, mesh in (("X", x.mesh_x), ("Y", x.mesh_y))
    }
    loops: dict[tuple[int, str], list[Loop]] = {place: [] for place in places}
    for dim, size in problem.dims:
        rest = size
        chosen = sorted(set(draw(st.lists(st.sampled_from(places), min_size=2, max_size=5))), key=order.__getitem__)
        if len({k for k, axis in chosen if axis}) < sum(axis != "" for _, axis in chosen):
            chosen = [x for x in chosen if x[1] != "X"]  # one axis of a mesh for each dimension
        for n, place in enumerate(reversed(chosen)):
            outermost = n == len(chosen) - 1
            if outermost and place[1]:
                loops[0, ""].append(Loop(dim, rest))
                break
            bound = rest if outermost else draw(st.integers(1, min(rest, room.get(place, rest))))
            if bound > 1:
                loops[place].append(Loop(dim, bound, place[1], (rest - 1) % bound + 1))
                if place in room:
                    room[place] //= bound
            rest = -(-rest // bound)
    names = [x.name for x in problem.data_spaces]
    levels = []
    for k, level in enumerate(architecture.levels):
        temporal = tuple(draw(st.permutations(loops[k, ""])))
        spatial = tuple(x for axis in "YX" for x in draw(st.permutations(loops.get((k, axis), []))))
        kept = (
            frozenset(x for x in names if k == 0 or draw(st.booleans())) if isinstance(level, Storage) else frozenset()
        )
        levels.append(LevelMapping(level.name, temporal, spatial, kept))
    return Mapping(tuple(levels))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Problem, Architecture, Mapping]:
    problem, architecture = draw(small_problems()), draw(st.one_of(st.just(TWO_MESHES), architectures()))
    mapping = draw(mappings_with_remainders(problem, architecture))
    assume(mapping.has_remainders)
    assume(math.prod(x.bound for level in mapping.levels for x in (*level.temporal, *level.spatial)) <= MOST_STEPS)
    return problem, architecture, mapping


def exact_words(problem: Problem, architecture: Architecture, mapping: Mapping) -> dict[tuple[str, str], list[float]]:
    """(level, data space) → reads, fills and updates of all instances together, by the exact walk of the kernels."""
    nest = lower(problem, mapping)
    loops = kernel.Loops(nest.dim, nest.bound, nest.residual, nest.axis, nest.start, nest.spatial_start)
    found, instances = {}, 1
    counts = {}
    for space in problem.data_spaces:
        keep = np.array([space.name in x.keep for x in mapping.levels])
        coef, switches = projection_matrix(problem, space), switch_array(architecture, space.name)
        counts[space.name] = kernel.count_with_remainders(
            coef, space.read_write, loops, keep, mesh_array(architecture), switches, True
        )
    for k, placed in enumerate(mapping.levels):
        for name in sorted(placed.keep):
            row = counts[name][k] * instances
            found[placed.level, name] = row[[kernel.READS, kernel.FILLS, kernel.UPDATES]].tolist()
        instances *= math.prod(x.bound for x in placed.spatial)
    return found


@settings(RANDOM, max_examples=600)
@given(cases())
def test_the_walk_counts_what_every_iteration_does(case: tuple[Problem, Architecture, Mapping]) -> None:
    problem, architecture, mapping = case
    wanted = all_words(problem, architecture, mapping)
    found = exact_words(problem, architecture, mapping)
    assert found.keys() == wanted.keys()
    for key, words in wanted.items():
        for got, want in zip(found[key], (words.reads, words.fills, words.updates), strict=True):
            # Shares of what is passed through and of what neighbours hand on are rounded to whole words.
            assert abs(got - want) <= (1e-6 if abs(want - round(want)) < 1e-9 else 1.0), (key, found[key], words)


@settings(RANDOM, max_examples=300)
@given(cases())
def test_laws_of_every_cost(case: tuple[Problem, Architecture, Mapping]) -> None:
    problem, architecture, mapping = case
    cost = evaluate(problem, architecture, mapping, energy_table(architecture))
    assert isinstance(cost, LayerCost), cost
    assert cost.compute.computes == problem.macs == computes(mapping)
    steps = math.prod(x.bound for level in mapping.levels for x in level.temporal)
    assert cost.cycles >= steps
    assert (cost.cycles == steps) or any(x.throttling < 1 for x in cost.levels)
    parts = [x.energy_pj for x in cost.levels] + [cost.compute.energy_pj]
    assert cost.energy_pj == pytest.approx(sum(parts))
    for level in cost.levels:
        for space in level.data_spaces.values():
            assert min(space.reads, space.fills, space.updates, space.instances) >= 0
