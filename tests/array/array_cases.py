"""Layers on small arrays for the simulator's tests, and the operators computed another way."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture, Compute, Constraints, Fanout, Level, LoopConstraint, Storage
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.workloads.problem import Problem

KEEP = {"W": "Weights", "I": "Inputs", "O": "Outputs"}
LINE = re.compile(r"(?P<name>\w+)(?: (?P<x>\d+)x(?P<y>\d+))?(?: (?P<keep>[WIO]+))?: ?(?P<loops>[\w ]*)$")


def nest(
    *lines: str, limits: dict[str, Constraints] | None = None, bandwidth: dict[str, tuple[float, float]] | None = None
) -> tuple[Architecture, Mapping]:
    """An architecture and a mapping from lines, outer → inner.

    ``buffer WI: C2 P3`` is a storage that keeps weights and inputs, with loops over C and P;
    ``mesh 4x2: XM2 YP2`` is a fan-out of 4 columns and 2 rows with loops along them.
    """
    levels: list[Level] = []
    placed = []
    for line in lines:
        match = LINE.match(line)
        assert match, line
        name, loops = match["name"], match["loops"]
        constraints = (limits or {}).get(name, Constraints())
        read, write = (bandwidth or {}).get(name, (None, None))
        if match["x"]:
            levels.append(Fanout(name, int(match["x"]), int(match["y"]), constraints))
        else:
            levels.append(
                Storage(
                    name, "SRAM", None, 8, 8, 1, constraints=constraints, read_bandwidth=read, write_bandwidth=write
                )
            )
        placed.append(
            LevelMapping(
                name,
                tuple(Loop(d, int(b)) for d, b in re.findall(r"\b([A-Z])(\d+)", loops)),
                tuple(Loop(d, int(b), a) for a, d, b in re.findall(r"\b([XY])([A-Z])(\d+)", loops)),
                frozenset(KEEP[k] for k in match["keep"] or ""),
            )
        )
    return Architecture("nest", tuple(levels), Compute("mac", "intmac")), Mapping(tuple(placed))


def refetch(*spaces: str) -> Constraints:
    return Constraints(temporal=LoopConstraint(no_reuse=frozenset(spaces)))


def read_first(*spaces: str) -> Constraints:
    return Constraints(temporal=LoopConstraint(rmw_first_update=frozenset(spaces)))


def no_multicast(*spaces: str) -> Constraints:
    return Constraints(spatial=LoopConstraint(no_multicast=frozenset(spaces)))


def operands(problem: Problem, seed: int = 0, low: int = -9, high: int = 9) -> dict[str, npt.NDArray[Any]]:
    """Random whole numbers for every operand, as the data space's hull."""
    rng = np.random.default_rng(seed)
    sizes = problem.sizes
    return {
        space.name: rng.integers(
            low, high, tuple(1 + sum(c * (sizes[d] - 1) for c, d in rank) for rank in space.projection)
        )
        for space in problem.data_spaces
        if not space.read_write
    }


def reference(problem: Problem, tensors: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The result by the definition: every point of the iteration space adds its product."""
    points = np.indices([size for _, size in problem.dims]).reshape(len(problem.dims), -1)
    at = {dim: points[k] for k, (dim, _) in enumerate(problem.dims)}
    product: Any = 1
    for space in problem.data_spaces:
        index = tuple(sum(c * at[d] for c, d in rank) for rank in space.projection)
        if space.read_write:
            result, home = space, index
        else:
            product = product * tensors[space.name][index]
    shape = tuple(1 + sum(c * (problem.sizes[d] - 1) for c, d in rank) for rank in result.projection)
    out = np.zeros(shape, np.int64)
    np.add.at(out, home, product)
    return out
