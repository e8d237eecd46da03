"""Counts traffic by true set arithmetic: what Timeloop's rules are an approximation of.

Every iteration of every loop is executed and every instance holds the set of elements that its
tile touches, holes left out. Slow, and for one step of the hierarchy only; the walker is the
witness of the cost model, this is the witness of ``docs/departures.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hwsim.mapping import Loop, Mapping
from hwsim.workloads.problem import DataSpace, Problem

Element = tuple[int, ...]
Strided = tuple[Loop, int]
"""A loop, and by how much one step of it advances its dimension."""


@dataclass(frozen=True)
class Exact:
    """Traffic between a level and the instances directly below it, over the whole run.

    Attributes:
        reads: elements the level serves, where instances that want an element in the same step share one read.
        reads_with_links: the same, where an element that a mesh neighbour held in the step before is passed on.
        fills: elements that arrive at the first instance.
        touched: distinct elements that the first instance ever holds.
    """

    reads: int
    reads_with_links: int
    fills: int
    touched: int


def exact_counts(problem: Problem, mapping: Mapping, space: DataSpace, level: str) -> Exact:
    """Execute the nest outside the instances below ``level`` (the first of its own instances only)."""
    outside, across, inside = _split_nest(problem, mapping, level)
    is_datapath_below = level == mapping.levels[-1].level  # it holds nothing from one step to the next
    places = [_place(index, across) for index in _iterations(across)]
    held: list[set[Element]] = [set() for _ in places]
    reads = with_links = fills = 0
    touched: set[Element] = set()
    for step in _iterations(outside):
        if is_datapath_below:
            held = [set() for _ in places]
        before = dict(zip(places, held, strict=True))
        held = [_touched(space, step, instance, inside, (outside, across)) for instance in _iterations(across)]
        wanted = [now - before[place] for now, place in zip(held, places, strict=True)]
        unlinked = [new - _neighbours(before, place) for new, place in zip(wanted, places, strict=True)]
        reads += len(set().union(*wanted))
        with_links += len(set().union(*unlinked))
        fills += len(wanted[0])
        touched |= held[0]
    return Exact(reads, with_links, fills, len(touched))


def _split_nest(problem: Problem, mapping: Mapping, level: str) -> tuple[list[Strided], list[Strided], list[Strided]]:
    """Temporal loops from ``level`` outward, its spatial loops, and all loops inside it, each outer → inner."""
    position = [loops.level for loops in mapping.levels].index(level)
    stride = {dim: 1 for dim, _ in problem.dims}
    outside: list[Strided] = []
    across: list[Strided] = []
    inside: list[Strided] = []
    for index in reversed(range(len(mapping.levels))):
        loops = mapping.levels[index]
        groups = ((loops.spatial, across if index == position else inside), (loops.temporal, inside))
        if index <= position:
            groups = (groups[0], (loops.temporal, outside))
        for nest, target in groups:
            for loop in reversed(nest):
                # Spatial loops outside the level only choose which of its instances is looked at: the first.
                if not (loop.axis and index < position):
                    target.insert(0, (loop, stride[loop.dim]))
                stride[loop.dim] *= loop.bound
    return outside, across, inside


def _iterations(loops: list[Strided]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(loop.bound) for loop, _ in loops))


def _touched(
    space: DataSpace,
    step: tuple[int, ...],
    instance: tuple[int, ...],
    inside: list[Strided],
    around: tuple[list[Strided], list[Strided]],
) -> set[Element]:
    """The elements that one instance needs in one step."""
    outside, across = around
    elements = set()
    for index in _iterations(inside):
        point: dict[str, int] = {}
        _advance(point, outside, step)
        _advance(point, across, instance)
        _advance(point, inside, index)
        elements.add(tuple(sum(c * point.get(dim, 0) for c, dim in rank) for rank in space.projection))
    return elements


def _advance(point: dict[str, int], loops: list[Strided], index: Iterable[int]) -> None:
    for (loop, stride), i in zip(loops, index, strict=True):
        point[loop.dim] = point.get(loop.dim, 0) + i * stride


def _place(index: tuple[int, ...], across: list[Strided]) -> tuple[int, int]:
    """(x, y) on the mesh of the instance with these loop indices."""
    at = {"X": 0, "Y": 0}
    for (loop, _), i in zip(across, index, strict=True):
        at[loop.axis] = at[loop.axis] * loop.bound + i
    return at["X"], at["Y"]


def _neighbours(before: dict[tuple[int, int], set[Element]], place: tuple[int, int]) -> set[Element]:
    """What the mesh neighbours of a place held in the step before."""
    x, y = place
    near = [(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)]
    return set().union(*(before[p] for p in near if p in before))
