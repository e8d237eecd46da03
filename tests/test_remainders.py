"""Loops whose last rounds are not full: Timeloop's figures where it counts the work, exact ones elsewhere."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hwsim import counting as kernel
from hwsim.architecture import Architecture, Compute, Fanout, Storage
from hwsim.array.plan import plan
from hwsim.cost import Illegal, LayerCost
from hwsim.design import load_specs
from hwsim.errors import HwsimError
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate, lower, mesh_array, projection_matrix, switch_array
from hwsim.workloads.problem import Problem, conv, depthwise, matmul
from tests.reference_cases import FIGURES
from tests.strategies import architectures, energy_table
from tests.witness.rounds import all_words, computes

RANDOM = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
COUNTS = FIGURES[:-1]
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


def reference_lines() -> list[dict[str, Any]]:
    path = Path(__file__).parent / "reference" / "imperfect_cases.jsonl.gz"
    return [json.loads(line) for line in gzip.open(path, "rt")]


@pytest.mark.parametrize("line", reference_lines(), ids=lambda line: line["id"])
def test_equals_timeloop_where_that_counts_the_work(line: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text(line["spec"])
    (spec,) = load_specs([tmp_path / "case.yaml"], "mapping")
    assert spec.mapping is not None
    cost = evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy)
    assert isinstance(cost, LayerCost)
    assert cost.compute.computes == line["macs_true"]
    if line["timeloop_miscounts"]:
        return
    expected = line["expected"]
    throttled = any(level["throttling"] < 1 for level in expected["levels"].values())
    assert abs(cost.cycles - expected["cycles"]) <= int(throttled)
    assert cost.energy_pj == pytest.approx(expected["energy_pJ"], rel=1e-6)
    for level in cost.levels:
        for name, space in level.data_spaces.items():
            wanted = expected["levels"][level.name]["data_spaces"][name]
            assert {c: getattr(space, c) for c in COUNTS} == {c: wanted[c] for c in COUNTS}, (level.name, name)
            assert space.energy_pj == pytest.approx(wanted["energy_pJ"], rel=1e-6)


SMALL = Architecture(
    "small",
    (
        Storage("DRAM", "DRAM", None, 8, 8, 1),
        Fanout("PE", 16, 1),
        Storage("pad", "regfile", None, 8, 8, 1),
    ),
    Compute("mac", "intmac"),
)
EVERYTHING = frozenset({"Weights", "Inputs", "Outputs"})


def thirteen_over_five() -> tuple[Problem, Mapping]:
    """A matrix product with C = 13, reduced over 5 lanes in 3 rounds, the last with 3 lanes; M = 17 inside."""
    problem = matmul({"C": 13, "M": 17})
    levels = (
        LevelMapping("DRAM", (Loop("C", 3),), keep=EVERYTHING),
        LevelMapping("PE", spatial=(Loop("C", 5, "X", 3),)),
        LevelMapping("pad", (Loop("M", 17),), keep=EVERYTHING),
    )
    return problem, Mapping(levels)


def test_a_last_round_with_idle_lanes() -> None:
    """By hand: 3 rounds of 17 steps; 221 products, of which Timeloop counts 51 · ⌊13 / 3⌋ = 204."""
    problem, mapping = thirteen_over_five()
    cost = evaluate(problem, SMALL, mapping, energy_table(SMALL))
    assert isinstance(cost, LayerCost)
    assert (cost.cycles, cost.compute.computes, cost.compute.instances) == (51, 221, 5)
    dram, _, pad = cost.levels
    weights, inputs, outputs = (pad.data_spaces[x] for x in ("Weights", "Inputs", "Outputs"))
    assert weights.instances == inputs.instances == outputs.instances == 5
    assert [x.reads * 5 for x in (weights, inputs)] == pytest.approx([221, 221])
    assert [x.fills * 5 for x in (weights, inputs)] == pytest.approx([221, 13])
    assert outputs.updates * 5 == pytest.approx(221)
    # Each lane holds its 17 results from round to round; they go up once, added on the way.
    assert outputs.reads * 5 == pytest.approx(221 - 5 * 17)
    assert dram.data_spaces["Outputs"].updates == 17
    assert [dram.data_spaces[x].reads for x in ("Weights", "Inputs")] == [221, 13]
    price = energy_table(SMALL).price
    assert weights.energy_pj == pytest.approx(221 * (price("pad", "read") + price("pad", "write")))


@pytest.mark.parametrize(
    ("loops", "reason"),
    [
        ((Loop("C", 3), Loop("C", 5, "X", 2)), "run through 12 iterations, but C is 13"),
        ((Loop("C", 3), Loop("C", 5, "X", 6)), "the residual of the loop over C is not between 1 and its bound"),
        ((Loop("C", 15, "", 13), Loop("C", 1, "X")), "one round only, and 15,13 cuts it short: its factor is 13"),
    ],
)
def test_residuals_that_do_not_fit(loops: tuple[Loop, Loop], reason: str) -> None:
    problem, mapping = thirteen_over_five()
    dram, pe, pad = mapping.levels
    levels = (LevelMapping("DRAM", loops[:1], keep=EVERYTHING), LevelMapping("PE", spatial=loops[1:]), pad)
    found = evaluate(problem, SMALL, Mapping(levels), energy_table(SMALL))
    assert isinstance(found, Illegal) and reason in found.reason
    assert dram.level == "DRAM" and pe.level == "PE"


def test_the_array_simulator_refuses_remainders() -> None:
    problem, mapping = thirteen_over_five()
    with pytest.raises(HwsimError, match="the array simulator runs loops that divide"):
        plan(problem, SMALL, mapping)


def test_a_nest_too_deep_to_walk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.counting.remainder.MOST_WORK", 5)
    problem, mapping = thirteen_over_five()
    with pytest.raises(HwsimError, match="the mapping cannot be counted: its loops with residuals take too many steps"):
        evaluate(problem, SMALL, mapping, energy_table(SMALL))
