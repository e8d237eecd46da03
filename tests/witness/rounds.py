"""Counts accesses of loops whose last rounds are not full by executing every iteration with every instance.

Nothing stands for anything else here: no multiplicities, no kinds of instances, no closed form. Each instance holds the
set of points of its box; a step's new words are the points that it did not hold. What is a rule rather than a fact is
taken from Timeloop as in `tests.witness.walker`: a tile is a hull, a move that differs from the last one fetches all,
equal parts are one access, neighbours hand on what they fetched in the step before where that saves accesses, and a
level that bypasses a data space hands on what its children ask for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from hwsim.architecture import Architecture, Fanout
from hwsim.mapping import Loop, Mapping
from hwsim.workloads.problem import DataSpace, Problem

Point = tuple[int, ...]
Where = tuple[int, ...]
"""The index of every spatial loop outside an instance, outer → inner."""


@dataclass(frozen=True)
class Words:
    """Words of one data space at one storage, of all instances together over the whole run."""

    reads: float
    fills: float
    updates: float


@dataclass
class _Instance:
    held: frozenset[Point] = frozenset()
    low: tuple[float, ...] | None = None
    move: tuple[int, ...] | None = None

    def advance(self, box: list[range], refetch: bool) -> frozenset[Point]:
        """Hold a box; the points that have to be fetched."""
        points = frozenset(itertools.product(*box))
        centre = tuple((r.start + r.stop) / 2 for r in box)
        before, last = self.held, self.low
        self.held, self.low = points, centre
        if refetch or last is None:
            return points
        move = tuple(int(math.copysign(math.floor(abs(a - b) + 0.5), a - b)) for a, b in zip(centre, last, strict=True))
        if not any(move):
            return points - before
        if self.move is not None and move != self.move:
            self.move = None
            return points
        self.move = move
        return points - before


@dataclass
class _Served:
    """What a level serves to the instances right below it, over all its own instances."""

    asked: float = 0.0
    delivered: float = 0.0
    handed: float = 0.0
    below: set[Where] = field(default_factory=set)


def all_words(problem: Problem, architecture: Architecture, mapping: Mapping) -> dict[tuple[str, str], Words]:
    """(level, data space) → words, for what every storage keeps."""
    found = {}
    for space in problem.data_spaces:
        served = [_serve(problem, architecture, mapping, space, k) for k in range(len(mapping.levels))]
        kept = [k for k, placed in enumerate(mapping.levels) if space.name in placed.keep]
        for k in kept:
            inner = next((j for j in kept if j > k), len(mapping.levels))
            content = served[inner - 1].asked
            for between in range(inner - 2, k - 1, -1):
                content *= served[between].asked / served[between].delivered
            arrives, instances = 0.0, 1
            peer = 0.0
            if k > 0:
                instances = len(served[k - 1].below)
                fanout = math.prod(loop.bound for loop in mapping.levels[k - 1].spatial)
                peer = served[k - 1].handed * fanout / instances  # as Timeloop shares it out: see the walker
                arrives = 0.0 if k == kept[0] else served[k - 1].delivered
            first = 0.0
            if space.read_write and space.name not in architecture.levels[k].constraints.temporal.rmw_first_update:
                first = float(_first_visits(problem, mapping, space, k))
            reads = max(0.0, content + peer - first)
            fills = max(0.0, arrives + peer - (0.0 if k == kept[0] else first))
            updates = content if space.read_write else 0.0
            found[mapping.levels[k].level, space.name] = Words(reads, fills, updates)
    return found


def computes(mapping: Mapping) -> int:
    """Multiplications, executed one by one."""
    loops = _flat(mapping)
    return sum(1 for _ in _run(loops, [loop for _, loop in loops], {}))


def _flat(mapping: Mapping) -> list[tuple[int, Loop]]:
    return [(k, x) for k, placed in enumerate(mapping.levels) for x in (*placed.temporal, *placed.spatial)]


def _run(loops: list[tuple[int, Loop]], now: list[Loop], given: dict[int, int]) -> Iterator[tuple[int, ...]]:
    """Every iteration of the first loops ``now``; those in ``given`` stand at one index, if they ever get there."""
    yield from _nested(now, given, 0, (), {})


def _nested(
    now: list[Loop], given: dict[int, int], i: int, index: tuple[int, ...], not_last: dict[str, bool]
) -> Iterator[tuple[int, ...]]:
    if i == len(now):
        yield index
        return
    loop = now[i]
    runs = loop.bound if not_last.get(loop.dim, False) else loop.residual
    for x in [given[i]] if i in given else range(runs):
        if x < runs:
            later = not_last | {loop.dim: not_last.get(loop.dim, False) or x < runs - 1}
            yield from _nested(now, given, i + 1, (*index, x), later)


def _strides(loops: list[Loop]) -> list[int]:
    return [math.prod(x.bound for x in loops[i + 1 :] if x.dim == loop.dim) for i, loop in enumerate(loops)]


def _serve(problem: Problem, architecture: Architecture, mapping: Mapping, space: DataSpace, level: int) -> _Served:
    flat = _flat(mapping)
    loops = [loop for _, loop in flat]
    inside = sum(k <= level for k, _ in flat)
    lanes = [i for i, (k, loop) in enumerate(flat) if k == level and loop.axis]
    parents = [i for i, (k, loop) in enumerate(flat) if k < level and loop.axis]
    served = _Served()
    is_datapath = level + 1 == len(mapping.levels)
    no_reuse = () if is_datapath else architecture.levels[level + 1].constraints.temporal.no_reuse
    refetch = is_datapath or space.name in no_reuse
    for where in itertools.product(*(range(loops[i].bound) for i in parents)):
        instances = {w: _Instance() for w in itertools.product(*(range(loops[i].bound) for i in lanes))}
        before: dict[Where, frozenset[Point]] = {}
        steps = _run(flat, loops[: lanes[0]] if lanes else loops[:inside], dict(zip(parents, where, strict=True)))
        for step in steps:
            given = dict(enumerate(step))
            parts = {}
            for whole in _run(flat, loops[:inside], given):
                lane = tuple(whole[i] for i in lanes)
                box = _box(space, loops, inside, whole)
                parts[lane] = instances[lane].advance(box, refetch)
                served.below.add((*where, *lane))
            _count(served, parts, before, architecture, mapping, space, level)
            before = parts
    return served


def _box(space: DataSpace, loops: list[Loop], inside: int, index: tuple[int, ...]) -> list[range]:
    """The hull of what one instance works on in a step: the first and the last index of every dimension."""
    stride = _strides(loops)
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    last: dict[str, bool] = {}
    for i, loop in enumerate(loops):
        is_last = last.get(loop.dim, True)
        if i < inside:
            runs = loop.residual if is_last else loop.bound
            last[loop.dim] = is_last and index[i] == runs - 1
            low[loop.dim] = low.get(loop.dim, 0) + index[i] * stride[i]
            high[loop.dim] = high.get(loop.dim, 0) + index[i] * stride[i]
        else:
            last[loop.dim] = is_last
            high[loop.dim] = high.get(loop.dim, 0) + ((loop.residual if is_last else loop.bound) - 1) * stride[i]
    return [
        range(sum(c * low.get(d, 0) for c, d in rank), 1 + sum(c * high.get(d, 0) for c, d in rank))
        for rank in space.projection
    ] or [range(1)]


def _count(
    served: _Served,
    parts: dict[Where, frozenset[Point]],
    before: dict[Where, frozenset[Point]],
    architecture: Architecture,
    mapping: Mapping,
    space: DataSpace,
    level: int,
) -> None:
    wanted = {lane: part for lane, part in parts.items() if part}
    spatial = architecture.levels[level].constraints.spatial
    multicast = space.name not in spatial.no_multicast

    def accesses(some: dict[Where, frozenset[Point]]) -> int:
        return sum(map(len, set(some.values()))) if multicast else sum(map(len, some.values()))

    asked, handed = accesses(wanted), 0
    if mapping.levels[level].spatial and before and space.name not in spatial.no_link_transfer:
        linked = {
            lane
            for lane in wanted
            if any(before.get(n) == wanted[lane] for n in _beside(architecture, mapping, level, lane))
        }
        left = accesses({lane: part for lane, part in wanted.items() if lane not in linked})
        if left < asked:
            asked, handed = left, sum(len(wanted[lane]) for lane in linked)
    served.asked += asked
    served.delivered += sum(map(len, wanted.values())) - handed
    served.handed += handed


def _beside(architecture: Architecture, mapping: Mapping, level: int, lane: Where) -> Iterator[Where]:
    """Instances beside one on the mesh, numbered as in `tests.witness.walker`."""
    loops, fanout = mapping.levels[level].spatial, architecture.levels[level]
    used = {axis: math.prod(x.bound for x in loops if x.axis == axis) for axis in "XY"}
    mesh = (fanout.mesh_x, fanout.mesh_y) if isinstance(fanout, Fanout) else (1, 1)
    columns, rows = max(mesh[0], used["X"]), max(mesh[1], used["Y"])
    everyone = list(itertools.product(*(range(x.bound) for x in loops)))
    row, column = divmod(everyone.index(lane), columns)
    for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        if row < rows and 0 <= r < rows and 0 <= c < columns and r * columns + c < len(everyone):
            yield everyone[r * columns + c]


def _first_visits(problem: Problem, mapping: Mapping, space: DataSpace, level: int) -> int:
    """Elements that each instance of a level ever touches, summed over the instances: hulls, shared out."""
    flat = _flat(mapping)
    parents = [i for i, (k, loop) in enumerate(flat) if k < level and loop.axis]
    own = {d for rank in space.projection for c, d in rank if c}
    hull = math.prod(1 + sum(c * (problem.sizes[d] - 1) for c, d in rank) for rank in space.projection)
    return hull * math.prod(flat[i][1].bound for i in parents if flat[i][1].dim not in own)
