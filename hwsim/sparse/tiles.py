"""The nest as the sparse model looks at it: loops inner → outer, those of bound 1 too, and the tiles they sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hwsim.architecture import Architecture, Fanout
from hwsim.mapping import Loop, Mapping
from hwsim.workloads.problem import DataSpace, Problem

Box = tuple[int, ...]


@dataclass(frozen=True)
class Placed:
    """A loop, the level that it belongs to (0 is innermost), and whether it runs over space."""

    level: int
    dim: str
    bound: int
    spatial: bool


def _all(loops: Sequence[Loop], dims: Sequence[str]) -> list[Loop]:
    """Loops inner → outer with those of bound 1 that are left out; they stand outside, in the problem's order."""
    given = list(reversed(loops))
    there = {x.dim for x in given}
    return given + [Loop(d, 1) for d in dims if d not in there]


class Tiles:
    """The loops of a mapping inner → outer, and the boxes they sweep.

    Attributes:
        loops: of all levels; those of level l (0 is innermost) are ``start[l] … start[l + 1] − 1``.
    """

    def __init__(self, problem: Problem, architecture: Architecture, mapping: Mapping) -> None:
        self.problem = problem
        self.dims = [name for name, _ in problem.dims]
        self.spaces = {x.name: x for x in problem.data_spaces}
        self.loops: list[Placed] = []
        self.start = [0]
        levels = list(zip(architecture.levels, mapping.levels, strict=True))
        for k, (level, placed) in enumerate(reversed(levels)):
            if isinstance(level, Fanout):
                self.loops += [Placed(k, x.dim, x.bound, True) for x in _all(placed.spatial, self.dims)]
            self.loops += [Placed(k, x.dim, x.bound, False) for x in _all(placed.temporal, self.dims)]
            self.start.append(len(self.loops))
        self.keep = [placed.keep for _, placed in reversed(levels)]

    @cached_property
    def _molds(self) -> list[dict[str, int]]:
        size = dict.fromkeys(self.dims, 1)
        molds = [dict(size)]
        for loop in self.loops:
            size[loop.dim] *= loop.bound
            molds.append(dict(size))
        return molds

    def mold(self, loop: int) -> dict[str, int]:
        """Extent of every dimension after a loop, given by its place; −1 is inside all of them."""
        return self._molds[loop + 1]

    def box(self, space: DataSpace, extents: dict[str, int]) -> Box:
        """What a data space covers: 1 + Σ coefficient · (extent − 1) along each rank."""
        return tuple(1 + sum(c * (extents.get(d, 1) - 1) for c, d in rank) for rank in space.projection)

    def tile(self, space: DataSpace, level: int) -> Box:
        """The box that all loops of a level and inside sweep."""
        return self.box(space, self.mold(self.start[level + 1] - 1))

    def child(self, name: str, level: int) -> int | None:
        """The next level inside that keeps the data space."""
        return next((k for k in range(level - 1, -1, -1) if name in self.keep[k]), None)

    def parent(self, name: str, level: int) -> int | None:
        """The next level outside that keeps the data space."""
        return next((k for k in range(level + 1, len(self.keep)) if name in self.keep[k]), None)

    def inside(self, dim: str, loop: int) -> int:
        """Product of the bounds of a dimension's loops before a place."""
        return math.prod(x.bound for x in self.loops[:loop] if x.dim == dim)
