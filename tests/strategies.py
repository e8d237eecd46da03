"""Hypothesis strategies: small random problems, architectures and legal mappings of one on the other."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from hypothesis import strategies as st

from hwsim.architecture import Architecture, Compute, Fanout, Level, Storage
from hwsim.energy import Action, EnergyTable
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.workloads.problem import Problem, conv, convolution, depthwise, grouped_conv, matmul

CHANNELS = st.sampled_from((1, 2, 3, 4, 6, 8))
IMAGE = st.sampled_from((1, 2, 3, 4, 5, 6, 7))
FILTER = st.sampled_from((1, 2, 3, 4))
STEP = st.sampled_from((1, 1, 2, 3))
MOST_FACTORS = 9
"""Loops that a random nest may have: the walker takes 2 steps per loop and level."""


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A convolution (dense, depthwise, grouped; strided, dilated) or a batched matrix product."""
    kind = draw(st.sampled_from(("conv", "conv", "depthwise", "grouped_conv", "transposed", "matmul")))
    if kind == "matmul":
        return _with_few_factors(draw, matmul({dim: draw(CHANNELS) for dim in "BMCP"}))
    sizes = {dim: draw(CHANNELS) for dim in "CM"} | {dim: draw(FILTER) for dim in "RS"}
    sizes |= {dim: draw(IMAGE) for dim in "PQ"} | {"N": draw(st.sampled_from((1, 2, 3)))}
    if kind == "grouped_conv":
        sizes["G"] = draw(st.sampled_from((2, 3)))
    if kind == "transposed":
        steps = (draw(STEP), draw(STEP))
        return _with_few_factors(
            draw, convolution(sizes, strides=steps, dilations=(draw(STEP), draw(STEP)), transposed=True)
        )
    window = {name: draw(STEP) for name in ("wstride", "hstride", "wdilation", "hdilation")}
    build = {"conv": conv, "depthwise": depthwise, "grouped_conv": grouped_conv}[kind]
    return _with_few_factors(draw, build(sizes, **window))


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """2–4 storages, unbounded in size, with 0–2 fan-outs of up to 4×4 anywhere below the outermost."""
    storages = draw(st.integers(2, 4))
    kinds = ["storage"] * (storages - 1) + ["fanout"] * draw(st.integers(0, 2))
    levels: list[Level] = [Storage("S0", "DRAM", None, 16, 8, 2)]
    for index, kind in enumerate(draw(st.permutations(kinds)), start=1):
        if kind == "fanout":
            levels.append(Fanout(f"F{index}", draw(st.integers(1, 4)), draw(st.integers(1, 4))))
        else:
            block = draw(st.sampled_from((1, 2, 4)))
            bandwidth = st.sampled_from((None, None, None, 0.5, 2.0, 16.0))
            levels.append(
                Storage(
                    f"S{index}",
                    "smartbuffer_SRAM",
                    None,
                    8 * block,
                    8,
                    block,
                    read_bandwidth=draw(bandwidth),
                    write_bandwidth=draw(bandwidth),
                    shared_bandwidth=draw(bandwidth),
                )
            )
    return Architecture("random", tuple(levels), Compute("mac", "intmac"))


def energy_table(architecture: Architecture) -> EnergyTable:
    """Prices that differ between all actions, so that none can stand in for another."""
    prices = (
        Action(pj)
        for pj in itertools.accumulate(itertools.repeat(0.37), lambda last, step: last * 1.19 + step, initial=0.5)
    )
    actions = {
        storage.name: {action: next(prices) for action in ("read", "write", "update", "leak")}
        for storage in architecture.storages
    }
    return EnergyTable(actions | {architecture.compute.name: {"compute": next(prices)}}, {}, "random")


@st.composite
def mappings(draw: st.DrawFn, problem: Problem, architecture: Architecture) -> Mapping:
    """Every prime factor of every dimension at a random level, in time or (where it fits) along a mesh axis."""
    temporal: dict[str, dict[str, int]] = {level.name: {} for level in architecture.levels}
    spatial: dict[str, dict[tuple[str, str], int]] = {level.name: {} for level in architecture.levels}
    room = {(f.name, "X"): f.mesh_x for f in architecture.fanouts} | {
        (f.name, "Y"): f.mesh_y for f in architecture.fanouts
    }
    # Timeloop lets a fan-out have temporal loops too; storages have them far more often.
    in_time = [(level.name, "") for level in architecture.levels for _ in range(1 if isinstance(level, Fanout) else 3)]
    for dim, factor in draw(st.permutations(_factors(problem))):
        # A dimension runs along one axis only of a mesh.
        fits = [
            (level, axis)
            for (level, axis), free in room.items()
            if free >= factor and (dim, "Y" if axis == "X" else "X") not in spatial[level]
        ]
        level, axis = draw(st.sampled_from(in_time + fits * 4))
        if axis:
            room[level, axis] //= factor
            spatial[level][dim, axis] = spatial[level].get((dim, axis), 1) * factor
        else:
            temporal[level][dim] = temporal[level].get(dim, 1) * factor
    names = [space.name for space in problem.data_spaces]
    return Mapping(
        tuple(
            LevelMapping(
                level.name,
                tuple(Loop(dim, bound) for dim, bound in draw(st.permutations(list(temporal[level.name].items())))),
                tuple(
                    Loop(dim, bound, axis)
                    for wanted in "YX"
                    for (dim, axis), bound in draw(st.permutations(list(spatial[level.name].items())))
                    if axis == wanted
                ),
                _keep(draw, level, level is architecture.levels[0], names),
            )
            for level in architecture.levels
        )
    )


@dataclass(frozen=True)
class Mapped:
    """A problem, an architecture with its prices, and a legal mapping."""

    problem: Problem
    architecture: Architecture
    energy: EnergyTable
    mapping: Mapping


@st.composite
def mapped(draw: st.DrawFn) -> Mapped:
    """A random problem mapped on a random architecture."""
    problem = draw(problems())
    architecture = draw(architectures())
    return Mapped(problem, architecture, energy_table(architecture), draw(mappings(problem, architecture)))


def _keep(draw: st.DrawFn, level: Level, is_outermost: bool, names: list[str]) -> frozenset[str]:
    if isinstance(level, Fanout):
        return frozenset()
    return frozenset(name for name in names if is_outermost or draw(st.booleans()))


def _factors(problem: Problem) -> list[tuple[str, int]]:
    """(dimension, prime factor), one for each factor of each dimension."""
    factors = []
    for dim, size in problem.dims:
        rest, prime = size, 2
        while rest > 1:
            while rest % prime == 0:
                factors.append((dim, prime))
                rest //= prime
            prime += 1
    return factors


def _with_few_factors(draw: st.DrawFn, problem: Problem) -> Problem:
    """The problem, made smaller at random until its nest cannot have too many loops."""
    factors = draw(st.permutations(_factors(problem)))[:MOST_FACTORS]
    dims = tuple((dim, math.prod(factor for d, factor in factors if d == dim)) for dim, _ in problem.dims)
    return Problem(problem.kind, dims, problem.data_spaces)
