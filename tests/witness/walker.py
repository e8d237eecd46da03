"""Counts accesses by executing the loop nest: the independent witness of the cost model.

Nothing here is shared with the kernels. For every level the nest outside it is walked step by
step, the box that one instance holds is kept from step to step, and every word that has to
move is counted. The rules are Timeloop's (commit 4cf6d4c), departures from set arithmetic
included; ``docs/departures.md`` lists these.

1. A tile is a box: the hull, rank by rank, of what its loops sweep.
2. Of each temporal loop iterations 0 and 1 are walked; iteration 1 stands for all later ones.
3. A box that moved along every rank by less than its extent fetches the new part only, provided
   that the move equals the move before; any other move fetches the whole box and forgets the
   move; a box that stayed fetches nothing.
4. Instances below one spatial level that want the same box in a step are served by one access.
5. Instances may instead take a box that a mesh neighbour fetched in the step before, where that
   lowers the accesses of the step.
6. A level that bypasses a data space hands its own children's accesses on to the next level out.

Floating point is used where Timeloop uses it (shares per instance), so that truncation agrees.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.energy import EnergyTable
from hwsim.mapping import LevelMapping, Mapping
from hwsim.workloads.problem import DataSpace, Problem

Box = tuple[tuple[int, int], ...]
"""Per rank: first element, and the one after the last."""


@dataclass(frozen=True)
class Corner:
    """A box without another one, which overlaps it and lies off it along several ranks."""

    box: Box
    last: Box


@dataclass(frozen=True)
class Counts:
    """Traffic of one data space at one storage, per instance.

    ``tile`` is the partition (what one instance ever touches), ``capacity`` what it holds at a time;
    ``link_transfers`` are the words of ``reads`` and ``fills`` that pass between neighbours (rounded down).
    """

    tile: int
    capacity: int
    instances: int
    reads: int
    fills: int
    updates: int
    temporal_reductions: int
    link_transfers: int


@dataclass(frozen=True)
class WalkedCost:
    """Counts and their price; ``energy_pj`` by (level, data space), all instances together."""

    counts: dict[str, dict[str, Counts]]
    energy_pj: dict[tuple[str, str], float]
    leakage_pj: dict[str, float]
    throttling: dict[str, float]
    level_cycles: dict[str, int]
    computes: int
    compute_instances: int
    compute_energy_pj: float
    cycles: int
    total_energy_pj: float
    utilization: float


def walk(problem: Problem, architecture: Architecture, mapping: Mapping) -> dict[str, dict[str, Counts]]:
    """Walk the nest and return level → data space → counts, for what each storage keeps."""
    result: dict[str, dict[str, Counts]] = {level.name: {} for level in architecture.levels}
    for space in problem.data_spaces:
        for name, counts in _DataSpaceWalk(problem, architecture, mapping, space).counts():
            result[name][space.name] = counts
    return result


def walk_cost(problem: Problem, architecture: Architecture, energy: EnergyTable, mapping: Mapping) -> WalkedCost:
    """Walk the nest and price it: access energy, leakage, cycles with bandwidth, utilization."""
    counts = walk(problem, architecture, mapping)
    steps = math.prod(loop.bound for level in mapping.levels for loop in level.temporal)
    used = _instances(mapping)
    throttling, level_cycles = {}, {}
    for level in architecture.levels:
        slowdown = _slowdown(level, list(counts[level.name].values()), steps)
        throttling[level.name] = slowdown
        level_cycles[level.name] = math.ceil(steps / slowdown)
    cycles = max(level_cycles.values())

    access_energy, leakage = {}, {}
    for storage in architecture.storages:
        leakage[storage.name] = energy.price(storage.name, "leak") * cycles * used[storage.name]
        clusters = architecture.instances(storage.name) // storage.cluster_size
        for space, count in counts[storage.name].items():
            per_instance = sum(
                math.ceil(words / storage.block_size) * energy.price(storage.name, action)
                for words, action in ((count.reads, "read"), (count.fills, "write"), (count.updates, "update"))
            )
            access_energy[storage.name, space] = per_instance * min(count.instances, clusters)
    compute_instances = math.prod(loop.bound for level in mapping.levels for loop in level.spatial)
    compute_energy = problem.macs * energy.price(architecture.compute.name, "compute")
    return WalkedCost(
        counts=counts,
        energy_pj=access_energy,
        leakage_pj=leakage,
        throttling=throttling,
        level_cycles=level_cycles,
        computes=problem.macs,
        compute_instances=compute_instances,
        compute_energy_pj=compute_energy,
        cycles=cycles,
        total_energy_pj=sum(access_energy.values()) + sum(leakage.values()) + compute_energy,
        utilization=problem.macs / (cycles * architecture.compute_instances),
    )


def _instances(mapping: Mapping) -> dict[str, int]:
    """Instances in use of each level: the spatial loops of the levels outside it."""
    used, outside = {}, 1
    for level in mapping.levels:
        used[level.level] = outside
        outside *= math.prod(loop.bound for loop in level.spatial)
    return used


def _slowdown(level: Storage | Fanout, counts: list[Counts], steps: int) -> float:
    """Share of full speed that the level's bandwidth (words per cycle and instance) allows."""
    if isinstance(level, Fanout):
        return 1.0
    reads = sum(c.reads / steps for c in counts)
    writes = sum((c.fills + c.updates) / steps for c in counts)
    slowdown = 1.0
    for limit, demand in (
        (level.read_bandwidth, reads),
        (level.write_bandwidth, writes),
        (level.shared_bandwidth, reads + writes),
    ):
        if limit is not None and limit < demand:
            slowdown = min(slowdown, limit / demand)
    return slowdown


@dataclass
class _Held:
    """What one instance holds, and how it got there."""

    refetch: bool
    box: Box | None = None
    move: tuple[int, ...] | None = None

    def advance(self, box: Box) -> Box | Corner | None:
        """Hold ``box`` from now on; returns what has to be fetched, None where nothing has."""
        if self.refetch:
            return box
        last, self.box = self.box, box
        if last is None:
            return box
        move = tuple(new[0] - old[0] for new, old in zip(box, last, strict=True))
        if not any(move):
            return None
        if self.move is not None and move != self.move:
            self.move = None
            return box
        self.move = move
        return _new_part(box, last, move)


def _new_part(box: Box, last: Box, move: tuple[int, ...]) -> Box | Corner:
    """The part of ``box`` outside ``last``: all of it where they do not overlap, a slab if it moved along one rank."""
    moved = [rank for rank, step in enumerate(move) if step]
    if any(box[r][0] >= last[r][1] or box[r][1] <= last[r][0] for r in moved):
        return box
    if len(moved) > 1:
        return Corner(box, last)
    rank = moved[0]
    (low, high), (last_low, last_high) = box[rank], last[rank]
    slab = (last_high, high) if move[rank] > 0 else (low, last_low)
    return (*box[:rank], slab, *box[rank + 1 :])


def _size(box: Box | Corner) -> int:
    if isinstance(box, Corner):
        both = tuple((max(a[0], b[0]), min(a[1], b[1])) for a, b in zip(box.box, box.last, strict=True))
        return _size(box.box) - _size(both)
    return math.prod(high - low for low, high in box)


@dataclass
class _Traffic:
    """What a level serves to the instances directly below it, over the whole run.

    ``accesses``: (instances served by one access, accesses of that kind in a step) → words.
    """

    fanout: int
    accesses: defaultdict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))
    links: int = 0

    @property
    def total(self) -> float:
        return sum(words for _, words in sorted(self.accesses.items()))

    @property
    def delivered(self) -> float:
        """Words that arrive below, counted at every instance they reach."""
        return sum(words * served for (served, _), words in sorted(self.accesses.items()))

    @property
    def share(self) -> float:
        """Words that one instance below receives, on average."""
        return sum(words * served / self.fanout for (served, _), words in sorted(self.accesses.items()))


class _DataSpaceWalk:
    """The walk of one data space; lists are inner → outer."""

    def __init__(self, problem: Problem, architecture: Architecture, mapping: Mapping, space: DataSpace) -> None:
        self.space = space
        self.levels = list(reversed(architecture.levels))
        self.maps: list[LevelMapping] = list(reversed(mapping.levels))
        self.coefficients = [
            {dim: sum(c for c, d in rank if d == dim) for dim, _ in problem.dims} for rank in space.projection
        ]
        # For each level: elements per dimension swept inside it, with its spatial loops, with all its loops.
        ones = {dim: 1 for dim, _ in problem.dims}
        self.below, self.across, self.swept = [], [], []
        sizes = dict(ones)
        for level in self.maps:
            self.below.append(dict(sizes))
            for loop in level.spatial:
                sizes[loop.dim] *= loop.bound
            self.across.append(dict(sizes))
            for loop in level.temporal:
                sizes[loop.dim] *= loop.bound
            self.swept.append(dict(sizes))

    def counts(self) -> Iterator[tuple[str, Counts]]:
        """(level, counts) of each level that keeps the data space."""
        number = range(len(self.maps))
        traffic = [self._serve(level) for level in number]
        kept = [self.space.name in level.keep for level in self.maps]
        shares = [traffic[level + 1].share for level in number[:-1]] + [0.0]
        partitions = self._partitions()
        instances = _instances_inside(self.maps)
        outermost = max(level for level in number if kept[level])
        _hand_on(traffic, kept, outermost)
        for level in number:
            if not kept[level]:
                continue
            is_outermost = level == outermost
            links = traffic[level + 1].links / instances[level] if not is_outermost else 0.0
            arrives = (0.0 if is_outermost else shares[level]) + links
            served, tile = traffic[level].total, partitions[level]
            reads, updates = _round(served + links), 0
            fills = int(arrives)
            if self.space.read_write:
                # The first update of every element has nothing to read and nothing to fetch. The hull may
                # count elements that nobody produces (transposed convolutions): then nothing is read at all.
                reads_first = self.space.name in self.levels[level].constraints.temporal.rmw_first_update
                elided = 0 if reads_first else tile
                reads, updates = max(0, _round(served + links - elided)), _round(served)
                fills = max(0, _round(arrives - (0 if is_outermost else elided)))
            yield (
                self.maps[level].level,
                Counts(
                    tile=tile,
                    capacity=_size(self._box(self.swept[level], {})),
                    instances=instances[level],
                    reads=reads,
                    fills=fills,
                    updates=updates,
                    temporal_reductions=reads if self.space.read_write else 0,
                    link_transfers=int(links),
                ),
            )

    def _box(self, sizes: dict[str, int], origin: dict[str, int]) -> Box:
        """The hull of a tile of these sizes whose first iteration is ``origin``."""
        box = []
        for rank in self.coefficients:
            low = sum(c * origin.get(dim, 0) for dim, c in rank.items())
            box.append((low, low + 1 + sum(c * (sizes[dim] - 1) for dim, c in rank.items())))
        return tuple(box)

    def _partitions(self) -> list[int]:
        """Per level: elements that one instance ever touches.

        The outermost level has all; going inward the partition shrinks by the ratio of an
        instance's tile to the hull of all instances below the next level out.
        """
        partition = _size(self._box(self.swept[-1], {}))
        partitions = [partition]
        for level in reversed(range(len(self.maps) - 1)):
            tile = _size(self._box(self.swept[level], {}))
            hull = _size(self._box(self.across[level + 1], {}))
            partition = partition * tile // hull
            partitions.insert(0, partition)
        return partitions

    def _steps(self, level: int) -> Iterator[tuple[dict[str, int], int]]:
        """Walk the temporal loops from ``level`` outward: (origin of the step, how many steps it stands for)."""
        loops: list[tuple[str, int, int]] = []
        for outer in reversed(range(level, len(self.maps))):
            inside = dict(self.across[outer])
            with_stride = []
            for loop in reversed(self.maps[outer].temporal):
                with_stride.append((loop.dim, loop.bound, inside[loop.dim]))
                inside[loop.dim] *= loop.bound
            loops += reversed(with_stride)
        for iteration in itertools.product(*((0, 1) if bound > 1 else (0,) for _, bound, _ in loops)):
            origin: dict[str, int] = {}
            weight = 1
            for index, (dim, bound, stride) in zip(iteration, loops, strict=True):
                origin[dim] = origin.get(dim, 0) + index * stride
                weight *= bound - 1 if index else 1
            yield origin, weight

    def _translations(self, level: int) -> list[tuple[int, ...]]:
        """Where each instance below ``level`` lies relative to the first, numbered along the spatial loops."""
        inside = dict(self.below[level])
        strides = []
        for loop in reversed(self.maps[level].spatial):
            strides.append((loop.dim, loop.bound, inside[loop.dim]))
            inside[loop.dim] *= loop.bound
        translations = []
        for index in itertools.product(*(range(bound) for _, bound, _ in reversed(strides))):
            origin: dict[str, int] = {}
            for i, (dim, _, stride) in zip(index, reversed(strides), strict=True):
                origin[dim] = origin.get(dim, 0) + i * stride
            translations.append(
                tuple(sum(c * origin.get(dim, 0) for dim, c in rank.items()) for rank in self.coefficients)
            )
        return translations

    def _serve(self, level: int) -> _Traffic:
        """Walk the nest outside the instances below ``level`` and count what it serves them."""
        translations = self._translations(level)
        traffic = _Traffic(len(translations))
        child = self.levels[level - 1] if level else None
        held = _Held(refetch=child is None or self.space.name in child.constraints.temporal.no_reuse)
        before: list[Box | Corner | None] = []
        for origin, weight in self._steps(level):
            delta = held.advance(self._box(self.below[level], origin))
            if not self.maps[level].spatial:
                traffic.accesses[1, 1] += weight * _size(delta) if delta else 0
                continue
            deltas = [_translate(delta, by) if delta else None for by in translations]
            self._serve_step(traffic, level, deltas, before, weight)
            before = deltas
        return traffic

    def _serve_step(
        self,
        traffic: _Traffic,
        level: int,
        deltas: list[Box | Corner | None],
        before: list[Box | Corner | None],
        weight: int,
    ) -> None:
        """Count one step below a spatial level, over the mesh links where that takes fewer accesses."""
        spatial = self.levels[level].constraints.spatial
        may_multicast = self.space.name not in spatial.no_multicast
        accesses = _group(deltas, may_multicast)
        if before and self.space.name not in spatial.no_link_transfer:
            handed_on = self._handed_on(level, deltas, before)
            fetched = [None if k in handed_on else delta for k, delta in enumerate(deltas)]
            fewer = _group(fetched, may_multicast)
            if sum(fewer.values()) < sum(accesses.values()):
                accesses = fewer
                traffic.links += weight * sum(
                    _size(delta) for k, delta in enumerate(deltas) if delta and k in handed_on
                )
        for key, words in accesses.items():
            traffic.accesses[key] += weight * words

    def _handed_on(self, level: int, deltas: list[Box | Corner | None], before: list[Box | Corner | None]) -> set[int]:
        """Instances whose new part a mesh neighbour fetched in the step before.

        Places on the mesh are numbered row by row over its physical width, instances over the
        mapped width: where these differ the rows run together.
        """
        fanout = self.levels[level]
        mapped = {"X": 1, "Y": 1}
        for loop in self.maps[level].spatial:
            mapped[loop.axis] *= loop.bound
        mesh_x, mesh_y = (fanout.mesh_x, fanout.mesh_y) if isinstance(fanout, Fanout) else (1, 1)
        columns, rows = max(mesh_x, mapped["X"]), max(mesh_y, mapped["Y"])
        found = set()
        for place, delta in enumerate(deltas):
            row, column = divmod(place, columns)
            for near_row, near_column in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if not (0 <= near_row < rows and 0 <= near_column < columns):
                    continue
                near = near_row * columns + near_column
                if delta is not None and near < len(before) and before[near] == delta:
                    found.add(place)
        return found


def _translate(box: Box, by: tuple[int, ...]) -> Box:
    return tuple((low + step, high + step) for (low, high), step in zip(box, by, strict=True))


def _group(deltas: list[Box | Corner | None], may_multicast: bool) -> dict[tuple[int, int], int]:
    """(instances served by one access, groups of that many) → words, for the boxes that are fetched."""
    wanted = [delta for delta in deltas if delta is not None]
    groups = list(Counter(wanted).items()) if may_multicast else [(delta, 1) for delta in wanted]
    scatter = Counter(served for _, served in groups)
    words: dict[tuple[int, int], int] = defaultdict(int)
    for delta, served in groups:
        words[served, scatter[served]] += _size(delta)
    return words


def _instances_inside(maps: list[LevelMapping]) -> list[int]:
    """Instances in use of each level, inner → outer."""
    instances: list[int] = []
    outside = 1
    for level in reversed(maps):
        instances.insert(0, outside)
        outside *= math.prod(loop.bound for loop in level.spatial)
    return instances


def _hand_on(traffic: list[_Traffic], kept: list[bool], outermost: int) -> None:
    """Where a level bypasses the data space, charge what its children want to the next level out.

    Its network keeps its pattern of multicast; link transfers between its own instances cannot be.
    """
    for level in range(outermost):
        if kept[level]:
            continue
        outer = traffic[level + 1]
        factor = traffic[level].total * outer.fanout / outer.delivered
        for key in outer.accesses:
            outer.accesses[key] *= factor
        outer.links = 0


def _round(words: float) -> int:
    """Nearest integer, halves away from zero."""
    return math.floor(words + 0.5)
