"""The walk: partial mappings grown from the datapath outwards, level by level, until the best mapping is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwsim.architecture import Fanout, Storage
from hwsim.cost import Illegal, LayerCost
from hwsim.deadline import Deadline
from hwsim.energy import EnergyTable
from hwsim.figure import Aim
from hwsim.kernel import BoolArray, IntArray
from hwsim.mapper.arrays import Space
from hwsim.mapper.bound import lower_bound, promising
from hwsim.mapper.front import diverse
from hwsim.mapper.grow import DONE, FULL, PAUSED, WAYS, close_level, grow_level
from hwsim.mapper.label import CLOSED, EPS, LABEL, ORIGIN, TILE, Labels, Records, label_bytes, new_cursor
from hwsim.mapper.outer import complete
from hwsim.mapper.space import Limits, MapSpace
from hwsim.mapper.step import hand_on
from hwsim.mapper.trace import AXES, Last, Stage, by_axis, loops_of, read_back
from hwsim.mapping import Mapping
from hwsim.model import evaluate

Progress = Callable[[float, float, float], None]

BEAM = 8  # labels kept per level by the quick first dive
GRACE = 0.3  # seconds that a dive has in any case
# A mapping that is known before the walk (from the dive, or a hint) is a bound for the walk only, wider by this share:
# so the walk finds the best mapping itself, and which of several equal ones does not depend on what was known.
SLACK = 1e-9
LOOSE = 800  # partial mappings: where a hint leaves more than these, it is loose, and a dive pays
LABEL_BYTES = 384 * 2**20  # of all partial mappings that are held at a time
WIDE = 1 << 60  # a beam that lets every label go on
PART = 20_000  # labels that are looked at between two looks at the clock
# A gap that is small, or left in a small space, is closed by pricing every mapping whose bound lies in it,
# if no level has more labels, and the end no more mappings, than these.
SMALL_GAP = 1e-3
SMALL_SPACE = 5_000  # keys: products of divisors of the dimensions
CLOSE_LIMIT = 100_000
CLOSE_PRICED = 5_000  # mappings


@dataclass
class Walk:
    """The search for the mapping with the least of one figure, within limits on others.

    Attributes:
        arrays: the space as the kernels read it, aimed at the figure.
        final: the mapping found counts, so that it must not depend on what was known before; else its value alone.
        floor: no mapping at all undercuts it.
        known: bounds the walk.
        best: found by the walk.
        open_bound: the least bound of the mappings that were priced; those that were not are no better than the best.
        complete: nothing was left out.
    """

    space: MapSpace
    energy: EnergyTable
    arrays: Space
    figure: Aim
    limits: Limits
    deadline: Deadline
    progress: Progress | None = None
    final: bool = True
    floor: float = 0.0
    known: LayerCost | None = None
    best: LayerCost | None = None
    open_bound: float = math.inf
    labels: int = 0
    complete: bool = True
    walked: bool = False  # the whole space was looked at, as far as ``complete`` says
    interrupted: bool = False
    prune: bool = True
    cautious: bool = False  # give up at `limit` partial mappings in all
    limit: int = 0  # partial mappings that one level may have
    held: int = 0  # partial mappings of the levels further inside
    needed: dict[int, list[float]] = field(default_factory=dict)  # level → least words needed, most instances used
    dive_until: float = 0.0
    keys: int = 0
    _served: dict[tuple[int, frozenset[str] | None], BoolArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = math.prod(self.arrays.keys.ndiv.tolist())
        self.limit = self._memory()
        self.dive_until = max(self.deadline.at, time.monotonic() + GRACE)

    def _memory(self) -> int:
        """Partial mappings that there is memory for."""
        return LABEL_BYTES // label_bytes(len(self.space.problem.data_spaces)) - self.held

    # -- values ------------------------------------------------------------------------------------

    def value(self, cost: LayerCost) -> float:
        """The figure of a mapping."""
        return self.figure.of(cost)

    def rank(self, cost: LayerCost) -> tuple[float, float]:
        """The figure, and another one that decides between equal ones; less is better."""
        return self.value(cost), float(cost.cycles) if self.figure.name == "energy" else cost.energy_pj

    def target(self) -> float:
        """The value that a mapping has to be below to count."""
        best = math.inf if self.best is None else self.value(self.best)
        return best if self.known is None else min(best, self.value(self.known) * (1 + SLACK))

    def better(self, cost: LayerCost) -> bool:
        """Whether a mapping counts and beats the best one."""
        return self.limits.allow(cost) and (self.best is None or self.rank(cost) < self.rank(self.best))

    def gap(self) -> float:
        """Share by which the bound stays below the best mapping."""
        if self.best is None:
            return math.inf
        value = self.value(self.best)
        return 1 - min(1.0, max(self.floor, self.open_bound) / value) if value > 0 else 0.0

    def bound(self, cost: LayerCost) -> float:
        """What no mapping that counts undercuts, the one given among them."""
        return min(self.value(cost), max(self.floor, self.open_bound) if self.sure() else self.floor)

    def sure(self) -> bool:
        """Whether every mapping was looked at, or excluded."""
        return self.complete and self.walked and self.space.all_orders

    def proved(self) -> bool:
        """Whether the walk found the best mapping by itself, with proof."""
        if not self.sure() or self.best is None or self.gap() > SLACK:
            return False
        return self.known is None or self.value(self.best) <= self.value(self.known) * (1 + SLACK)

    def tell(self) -> None:
        """Report incumbent, bound and gap."""
        if self.progress is not None:
            value = min(self.value(x) for x in (self.known, self.best) if x is not None)
            self.progress(value, self.floor, 1 - self.floor / value if value > 0 else 0.0)

    # -- the steps of a search ---------------------------------------------------------------------

    def solve(self, hints: Sequence[Mapping]) -> None:
        """Find the best mapping; interrupted (Ctrl-C) or out of time, the best one so far is kept, not ``complete``."""
        try:
            self.know(hints)
            if self.known is not None:
                self.try_known()
            if not self.proved() and self.complete:
                # Nothing was known, or the bounds are not exact here: without hints, so that they change nothing.
                before = self.known
                if self.final:
                    self.known = self.best = None
                self.open_bound = math.inf
                self.dive()
                self.run(None)
                if self.best is None and self.known is None:
                    self.known = before
            self.decide()
        except KeyboardInterrupt:
            self.complete, self.interrupted = False, True
            self.decide()

    def dive_for(self, hints: Sequence[Mapping]) -> None:
        """Look for a good mapping only."""
        try:
            self.know(hints)
            self.dive()
        except KeyboardInterrupt:
            self.complete, self.interrupted = False, True
            self.decide()

    def know(self, hints: Sequence[Mapping]) -> None:
        """Let the best of some mappings bound the walk; those that are not of this space do not count."""
        for mapping in hints:
            cost = None
            if self.space.could_hold(mapping):
                cost = evaluate(self.space.problem, self.space.architecture, mapping, self.energy)
            if isinstance(cost, LayerCost) and self.better(cost):
                self.best = cost
        if self.final:
            self.known, self.best = self.best, None

    def dive(self) -> None:
        """Look for a good mapping to bound the walk."""
        self.run(BEAM)
        self.open_bound = math.inf
        if self.final:
            if self.best is not None:  # else nothing betters what was known before
                self.known = self.best
            self.best = None

    def try_known(self) -> None:
        """The exact run bounded by what is known; where that proves loose, a dive before it."""
        self.cautious, self.limit = True, LOOSE
        self.run(None)
        self.cautious, self.limit = False, self._memory()
        if not self.complete and not self.deadline.late():
            self.complete = True
            self.dive()
            self.run(None)

    def decide(self) -> None:
        """Take what was known before where the walk found nothing better; close the gap that is left."""
        if not self.proved() and self.known is not None:
            self.best = self.known if self.best is None or self.rank(self.known) < self.rank(self.best) else self.best
        if self.best is not None and self.sure() and self.gap() > SLACK:
            self.close(self.gap())

    def close(self, gap: float) -> None:
        """Price every mapping whose bound lies in the gap that is left, where they are few enough."""
        if gap > SMALL_GAP and self.keys > SMALL_SPACE:
            return
        bound, self.prune, self.limit = self.open_bound, False, min(CLOSE_LIMIT, self._memory())
        self.run(None)
        self.open_bound, self.complete = (math.inf, True) if self.complete else (bound, not self.deadline.late())

    def stop(self, beam: int | None = None) -> bool:
        """Whether the walk has to end here; a dive goes on until there is a mapping at all."""
        if beam is None:
            return self.deadline.late()
        return time.monotonic() > self.dive_until and (self.best is not None or self.known is not None)

    # -- the walk from the datapath outwards -------------------------------------------------------

    def run(self, beam: int | None) -> None:
        """One walk over all levels; with a beam only that many labels go on from each."""
        spaces = len(self.space.problem.data_spaces)
        first, child = self._nothing(), np.full(spaces, -1, np.int64)
        last = len(self.space.architecture.levels) - 1
        parents = self._parents(last, None)
        energy, cycles = lower_bound(self.arrays, first.label[0], first.tile[0], 0, last, 0, child, parents)
        if self.arrays.exact:
            self.floor = {"edp": energy * cycles, "energy": energy, "latency": cycles}[self.figure.name]
        self._level(last, first, child, [], beam)
        self.walked = self.walked or beam is None

    def _nothing(self) -> Labels:
        """The label inside of which there is nothing but the datapath."""
        spaces = len(self.space.problem.data_spaces)
        first = Labels(np.zeros(1, LABEL), np.zeros((1, spaces), TILE), np.zeros(1, ORIGIN))
        macs = self.arrays.work.macs
        first.label["energy"] = macs * self.energy.price(self.space.architecture.compute.name, "compute")
        for name in ("spatial", "used_x", "used_y", "least_slow", "most_slow", "extent"):
            first.label[name] = 1.0
        first.tile["pending"] = macs
        return first

    def _parents(self, level: int, keep: frozenset[str] | None) -> BoolArray:
        """(data spaces, levels) who may serve what is pending at a level: that level itself if ``keep`` says so."""
        known = self._served.get((level, keep))
        if known is not None:
            return known
        spaces = self.space.problem.data_spaces
        out = np.zeros((len(spaces), len(self.space.keeps)), np.bool_)
        for s, data_space in enumerate(spaces):
            for p in range(level, -1, -1):
                given = p == level and keep is not None
                out[s, p] = data_space.name in keep if given and keep is not None else self.space.may_keep[p][s]
                if out[s, p] if given else self.space.must_keep[p][s]:
                    break
        self._served[level, keep] = out
        return out

    def _level(self, level: int, table: Labels, child: IntArray, stages: list[Stage], beam: int | None) -> None:
        """Take labels through one level and on outwards, for every choice of what the level keeps."""
        spaces = self.space.problem.data_spaces
        for keep in self.space.keeps[level]:
            if not self.complete and (self.cautious or not self.prune):
                return  # too much to close the gap, or for the hint that bounds it
            if self.stop(beam):
                self.complete = self.complete and beam is not None
                return
            kept = np.array([d.name in keep for d in spaces])
            parents = self._parents(level, keep)
            groups = self._by_movable(table, self._promising(level, table, child, parents))
            if level == 0:
                self._complete(groups, table, child, kept, keep, stages, beam)
                continue
            bases, made = [], []
            for movable, group in groups:
                if self.stop(beam):
                    break
                edges, covering = self.space.automaton(level, movable)
                bases.append(group)
                made.append(self._grow(level, edges, covering, table, group, child, kept, parents, beam))
            if self.stop(beam):  # nothing would go on from here: large tables need not be put together
                self.complete = self.complete and beam is not None
                return
            if not made:
                continue
            passes = [x.origin for x in made]
            picks = [np.flatnonzero(x["alive"] == 1) for x in passes]
            origin = np.concatenate([np.stack([np.full_like(p, q), p], axis=1) for q, p in enumerate(picks)])
            grown = Labels.joined([x.take(p) for x, p in zip(made, picks, strict=True)])
            del made
            if level == len(self.space.keeps) - 1 and self.arrays.operands["hands_on"].any():
                self._hand_on(level, grown, origin, passes)
            after = np.where(kept, level, child) if self.arrays.levels[level]["storage"] else child
            alive = self._close_level(level, grown, child, kept, after, beam)
            if len(alive):
                stage = Stage(keep, bases, passes, origin[alive])
                grown = grown.take(alive)
                self.held += len(alive)
                self._level(level - 1, grown, after, [*stages, stage], beam)
                self.held -= len(alive)

    def _promising(self, level: int, table: Labels, child: IntArray, parents: BoolArray) -> IntArray:
        """Indices of the labels that may beat the best mapping, now that it is known what the level keeps."""
        if table.number <= PART:
            found: IntArray = promising(self.arrays, level, table, child, parents, self.target())
            return found
        parts = [
            promising(self.arrays, level, table.part(p), child, parents, self.target()) + p.start
            for p in _parts(table.number)
        ]
        return np.concatenate(parts)

    def _complete(
        self,
        groups: list[tuple[frozenset[str], IntArray]],
        table: Labels,
        child: IntArray,
        kept: BoolArray,
        keep: frozenset[str],
        stages: list[Stage],
        beam: int | None,
    ) -> None:
        """Put what is left into the outermost storage and price the complete mappings, most promising first."""
        finished: list[tuple[float, int, tuple[int, ...]]] = []
        for movable, group in groups:
            orders = self.space.orders(0, movable)
            array = np.array(orders, np.int64).reshape(len(orders), -1)
            for part in _parts(len(group)):
                labels = group[part]
                values = complete(self.arrays, array, table.take(labels), child, kept, self.target())
                found = np.isfinite(values)
                if not found.any():
                    continue
                if self.prune:  # the most promising order; else, where a gap is closed, each is a mapping of its own
                    found &= np.arange(len(orders)) == np.argmin(values, axis=1)[:, None]
                finished += [(float(values[k, q]), int(labels[k]), orders[q]) for k, q in np.argwhere(found)]
                if not self.prune and len(finished) > CLOSE_PRICED:
                    self.complete = False
                    return
                if self.stop(beam):
                    self.complete = self.complete and beam is not None
                    break
            self.labels += len(group)
        for bound, label, order in sorted(finished):
            if self.best is not None and bound * (1 + EPS) >= self.value(self.best):
                break
            if self.stop(beam) and self.best is not None:
                self.complete = self.complete and beam is not None
                break
            mapping = read_back(
                self.space, self.arrays, stages, Last(label, order, int(table.origin[label]["key"]), keep)
            )
            cost = evaluate(self.space.problem, self.space.architecture, mapping, self.energy)
            if isinstance(cost, LayerCost):
                if self.better(cost):
                    self.best = cost
                    self.tell()
                self.open_bound = min(self.open_bound, bound)

    def _by_movable(self, table: Labels, labels: IntArray) -> list[tuple[frozenset[str], IntArray]]:
        """Group labels by which data spaces still have a tile that has not moved (or a zone to go on)."""
        if not len(labels):
            return []
        names = [d.name for d in self.space.problem.data_spaces]
        code = (table.tile["mode"][labels] != CLOSED) @ (1 << np.arange(len(names)))
        return [
            (frozenset(n for s, n in enumerate(names) if int(c) >> s & 1), labels[code == c]) for c in np.unique(code)
        ]

    def _grow(
        self,
        level: int,
        edges: IntArray,
        covering: BoolArray,
        table: Labels,
        group: IntArray,
        child: IntArray,
        kept: BoolArray,
        parents: BoolArray,
        beam: int | None,
    ) -> Labels:
        """The labels of a level from a group of those inside it; see `hwsim.mapper.grow.grow_level`."""
        n = len(group)
        room = max(1024, 4 * n)
        made, bounds = table.some_with_room(group, room), np.zeros(room)
        head, cursor = np.full(self.keys, -1, np.int64), new_cursor(n)
        width = WIDE if beam is None else beam
        # Of two placements that are alike in all figures one may let neighbours hand on at the datapath, the other not.
        prune = self.prune and not (level == len(self.space.keeps) - 1 and self.arrays.operands["hands_on"].any())
        most = min(self.limit, self._memory())
        while True:
            status = grow_level(
                self.arrays,
                level,
                edges,
                covering,
                made,
                bounds,
                head,
                cursor,
                child,
                kept,
                parents,
                self.target(),
                width,
                prune,
            )
            if status == DONE:
                break
            if status == FULL and made.number < most and not self.stop(beam):
                room = min(2 * made.number, max(most, made.number + WAYS))
                made, bounds = made.with_room(room), np.concatenate([bounds, np.zeros(room - len(bounds))])
            elif status == FULL or self.stop(beam):
                # No room or no time for more: go on with those that there are.
                self.complete = self.complete and beam is not None and status != FULL
                cursor["first"] = cursor["last"]
        n = int(cursor["labels"])
        self.labels += n
        if self.cautious and self.labels >= self.limit:
            self.complete = False
        made = made.part(slice(n))
        return made if len(bounds) <= 2 * n else made._replace(origin=made.origin.copy())

    def _hand_on(self, level: int, table: Labels, origin: IntArray, passes: list[Records]) -> None:
        """See `hwsim.mapper.step.hand_on`, for labels that have nothing but a fan-out's loops."""
        fanout = self.space.architecture.levels[level]
        assert isinstance(fanout, Fanout)
        names = {d: k for k, d in enumerate(self.space.dims)}
        mesh = np.array([fanout.mesh_x, fanout.mesh_y], np.int64)
        for tiles, (q, k) in zip(table.tile, origin, strict=True):
            placed = by_axis(fanout, loops_of(passes[q], int(k), self.space.dims)[0], self.space.dims)
            rows = [(names[x.dim], x.bound, AXES.index(x.axis)) for x in placed]
            dim, bound, axis = np.array(rows, np.int64).reshape(-1, 3).T.copy()
            hand_on(self.arrays, tiles, dim, bound, axis, mesh)

    def _close_level(
        self,
        level: int,
        table: Labels,
        child: IntArray,
        kept: BoolArray,
        after: IntArray,
        beam: int | None,
    ) -> IntArray:
        """Which labels go on from a level, best bound first; see `hwsim.mapper.grow.close_level`."""
        bounds, order = np.empty(table.number), np.zeros(table.number, np.int64)
        head, cursor = np.full(self.keys, -1, np.int64), new_cursor()
        needed = np.array(self.needed.get(level, [math.inf, 0.0]))
        parents = self._parents(level - 1, None)
        while (
            close_level(
                self.arrays,
                level,
                table,
                bounds,
                order,
                head,
                cursor,
                needed,
                child,
                kept,
                after,
                parents,
                self.target(),
                self.prune,
            )
            == PAUSED
        ):
            if self.stop(beam):
                self.complete = self.complete and beam is not None
                break
        self.needed[level] = needed.tolist()
        alive = order[: int(cursor["labels"])]
        alive = alive[table.origin["alive"][alive] == 1]
        if beam is not None:
            alive = diverse(self.arrays, table.origin, bounds, alive, beam)
        found: IntArray = alive
        return found


def _parts(n: int) -> Iterator[slice]:
    """0 … n−1 in parts, one at least."""
    for begin in range(0, max(n, 1), PART):
        yield slice(begin, min(n, begin + PART))


def why_empty(walk: Walk) -> Illegal:
    """The level that ruled every mapping out, as far as one stands out."""
    for k in range(len(walk.space.architecture.levels) - 1, -1, -1):
        level, (words, used) = walk.space.architecture.levels[k], walk.needed.get(k, [0.0, math.inf])
        if isinstance(level, Storage) and level.capacity is not None and words > level.capacity:
            return Illegal(level.name, "", "the smallest possible tiles do not fit", words, level.capacity)
        if isinstance(level, Fanout) and used < level.min_instances:
            reason = "no mapping uses as many instances as min_utilization asks for"
            return Illegal(level.name, "", reason, level.min_instances, used)
    return Illegal("", "", "the constraints leave no mapping", 1, 0)
