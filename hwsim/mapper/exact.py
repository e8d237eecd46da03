"""The mapper: exact search over all mappings of a problem on an architecture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.cost import Certificate, Illegal, LayerCost
from hwsim.energy import EnergyTable
from hwsim.mapper import labels as kernel
from hwsim.mapper.infeasible import contradiction
from hwsim.mapper.space import MapSpace, kernel_space, map_space
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from workloads.problem import Problem

Progress = Callable[[float, float, float], None]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
AXES = ("", "X", "Y")

BEAMS = (8,)  # labels kept per level by the quick first dive
# A mapping that is known before the walk (from the dive, or a hint) is a bound for the walk only, wider by this share:
# so the walk finds the best mapping itself, and which of several equal ones does not depend on what was known.
SLACK = 1e-9
LOOSE = 800  # partial mappings: where a hint leaves more than these, it is loose, and a dive pays
LABEL_LIMIT = 6_000_000
# A gap that is small, or left in a small space, is closed by pricing every mapping whose bound lies in it,
# if no level has more labels, and the end no more mappings, than these.
SMALL_GAP = 1e-3
SMALL_SPACE = 5_000  # keys: products of divisors of the dimensions
CLOSE_LIMIT = 100_000
CLOSE_PRICED = 5_000  # mappings


@dataclass
class _Stage:
    """One level's finished labels with what is needed to read their loops back.

    ``origin`` is, per label, (pass, index in the pass); ``passes`` hold the integer columns of each pass
    and, per base label of the pass, the label it continues at the previous stage.
    """

    keep: frozenset[str]
    bases: list[IntArray]
    passes: list[IntArray]
    origin: IntArray


@dataclass
class _Search:
    space: MapSpace
    energy: EnergyTable
    arrays: Any
    objective: str
    deadline: float
    progress: Progress | None
    known: LayerCost | None = None  # bounds the walk
    best: LayerCost | None = None  # found by the walk
    open_bound: float = math.inf
    evaluated: int = 0
    labels: int = 0
    complete: bool = True
    prune: bool = True
    limit: int = LABEL_LIMIT
    needed: dict[int, float] = field(default_factory=dict)
    floor: float = 0.0  # what no mapping at all undercuts
    cautious: bool = False  # give up at `limit` partial mappings in all

    def incumbent(self) -> tuple[float, float]:
        """(energy, cycles) that a mapping has to beat."""
        known, best = self.known, self.best
        if known is not None and (best is None or self.value(known) * (1 + SLACK) < self.value(best)):
            ties = math.inf if self.objective == "energy" else float(known.cycles)
            return known.energy_pj * (1 + SLACK), ties
        return (math.inf, math.inf) if best is None else (best.energy_pj, float(best.cycles))

    def rank(self, cost: LayerCost) -> tuple[float, float]:
        """The objective's value, and the figure that breaks ties; less is better."""
        energy, cycles = cost.energy_pj, float(cost.cycles)
        return {"edp": (cost.edp, energy), "energy": (energy, cycles), "latency": (cycles, energy)}[self.objective]

    def value(self, cost: LayerCost) -> float:
        return self.rank(cost)[0]

    def tell(self) -> None:
        """Report incumbent, bound and gap."""
        if self.progress is not None:
            value = min(self.value(x) for x in (self.known, self.best) if x is not None)
            self.progress(value, self.floor, 1 - self.floor / value)

    def better(self, cost: LayerCost) -> bool:
        """Whether a cost counts and beats the incumbent."""
        if cost.cycles > self.arrays.most_cycles:
            return False
        return self.best is None or self.rank(cost) < self.rank(self.best)

    def know(self, hints: Sequence[Mapping]) -> None:
        """Let the best of some mappings bound the walk; those that are not of this space do not count."""
        for mapping in hints:
            cost = None
            if self.space.could_hold(mapping):
                cost = evaluate(self.space.problem, self.space.architecture, mapping, self.energy)
            if isinstance(cost, LayerCost) and self.better(cost):
                self.best = cost
        self.known, self.best = self.best, None

    def dive(self) -> None:
        """Look for a good mapping to bound the walk."""
        for beam in BEAMS:
            self.run(beam)
        if self.best is not None:  # else nothing betters what was known before
            self.known = self.best
        self.best, self.open_bound = None, math.inf

    def try_known(self) -> None:
        """The exact run bounded by what is known; where that proves loose, a dive before it."""
        self.cautious, self.limit = True, LOOSE
        self.run(None)
        self.cautious, self.limit = False, LABEL_LIMIT
        if not self.complete:
            self.complete = True
            self.dive()
            self.run(None)

    def gap(self) -> float:
        """Share by which the bound stays below the best mapping."""
        return math.inf if self.best is None else 1 - min(1.0, self.open_bound / self.value(self.best))

    def proved(self) -> bool:
        """Whether the walk found the best mapping by itself, with proof."""
        if not self.complete or self.best is None or self.gap() > SLACK:
            return False
        return self.known is None or self.value(self.best) <= self.value(self.known) * (1 + SLACK)

    def decide(self) -> None:
        """Take what was known before where the walk found nothing better; close the gap that is left."""
        if not self.proved() and self.known is not None:
            self.best = self.known if self.best is None or self.rank(self.known) < self.rank(self.best) else self.best
        if self.best is not None and self.complete and self.gap() > SLACK:
            self.close(self.gap())

    # -- the walk from the datapath outwards -------------------------------------------------------

    def run(self, beam: int | None) -> None:
        """One walk over all levels; with a beam only that many labels go on from each."""
        spaces = self.space.problem.data_spaces
        first = np.zeros((1, kernel.SPACE + kernel.PER_SPACE * len(spaces) + kernel.SLIDING))
        macs = self.arrays.macs
        compute = self.energy.price(self.space.architecture.compute.name, "compute")
        first[0, kernel.ENERGY] = macs * compute
        first[0, [kernel.SPATIAL, kernel.USED_X, kernel.USED_Y]] = 1.0
        for s in range(len(spaces)):
            first[0, kernel.SPACE + s * kernel.PER_SPACE + kernel.PENDING] = macs
        child = np.full(len(spaces), -1, np.int64)
        last = len(self.space.architecture.levels) - 1
        ints = np.zeros((1, kernel.INTS), np.int64)
        bound = kernel.lower_bound(self.arrays, first[0], 0, last, 0, child, self._parents(last, None))
        self.floor = {"edp": bound[0] * bound[1], "energy": bound[0], "latency": bound[1]}[self.objective]
        self._level(last, first, ints, child, [], beam)

    def _parents(self, level: int, keep: frozenset[str] | None) -> npt.NDArray[np.bool_]:
        """(data spaces, levels) who may serve what is pending at a level: that level itself if ``keep`` says so."""
        spaces = self.space.problem.data_spaces
        out = np.zeros((len(spaces), len(self.space.keeps)), np.bool_)
        for s, data_space in enumerate(spaces):
            for p in range(level, -1, -1):
                choices = self.space.keeps[p] if p < level or keep is None else (keep,)
                out[s, p] = any(data_space.name in choice for choice in choices)
                if all(data_space.name in choice for choice in choices):
                    break
        return out

    def _level(
        self, level: int, F: FloatArray, I: IntArray, child: IntArray, stages: list[_Stage], beam: int | None
    ) -> None:
        """Take labels through one level and on outwards, for every choice of what the level keeps."""
        spaces = self.space.problem.data_spaces
        for keep in self.space.keeps[level]:
            if not self.complete and (self.cautious or not self.prune):
                return  # too much to close the gap, or for the hint that bounds it
            kept = np.array([d.name in keep for d in spaces])
            parents = self._parents(level, keep)
            hopeful = kernel.promising(self.arrays, level, F, I, child, parents, *self.incumbent())
            groups = self._by_movable(F, hopeful)
            if level == 0:
                self._complete(groups, F, I, child, kept, keep, stages)
                continue
            bases, made = [], []
            for movable, group in groups:
                edges, covering = self.space.automaton(level, movable)
                bases.append(group)
                made.append(self._grow(level, edges, covering, F[group], I[group], child, kept, parents, beam))
            if not made:
                continue
            passes = [i for _, i in made]
            picks = [np.flatnonzero(i[:, kernel.ALIVE] == 1) for i in passes]
            origin = np.concatenate([np.stack([np.full_like(p, q), p], axis=1) for q, p in enumerate(picks)])
            all_f = np.concatenate([f[p] for (f, _), p in zip(made, picks, strict=True)])
            all_i = np.concatenate([i[p] for (_, i), p in zip(made, picks, strict=True)])
            is_storage = isinstance(self.space.architecture.levels[level], Storage)
            after = np.where(kept, level, child) if is_storage else child
            alive, bounds, needed = kernel.close_level(
                self.arrays,
                level,
                all_f,
                all_i,
                child,
                kept,
                after,
                self._parents(level - 1, None),
                *self.incumbent(),
                self.prune,
            )
            self.needed[level] = min(self.needed.get(level, math.inf), needed)
            if beam is not None:
                alive = kernel.diverse(self.arrays, all_i, bounds, alive, beam)
            if len(alive):
                stage = _Stage(keep, bases, passes, origin[alive])
                self._level(level - 1, all_f[alive], all_i[alive], after, [*stages, stage], beam)

    def _complete(
        self,
        groups: list[tuple[frozenset[str], IntArray]],
        F: FloatArray,
        I: IntArray,
        child: IntArray,
        kept: npt.NDArray[np.bool_],
        keep: frozenset[str],
        stages: list[_Stage],
    ) -> None:
        """Put what is left into the outermost storage and price the complete mappings, most promising first."""
        finished: list[tuple[float, int, tuple[int, ...]]] = []
        for movable, group in groups:
            orders = self.space.orders(0, movable)
            # Where bounds are to be closed, each order is a mapping of its own, not only the most promising one.
            for some in [orders] if self.prune else [(order,) for order in orders]:
                values, chosen = kernel.complete(
                    self.arrays, np.array(some, np.int64), F[group], I[group], child, kept, *self.incumbent()
                )
                finished += [
                    (float(values[k]), int(group[k]), some[chosen[k]]) for k in np.flatnonzero(np.isfinite(values))
                ]
                if not self.prune and len(finished) > CLOSE_PRICED:
                    self.complete = False
                    return
            self.labels += len(group)
        for bound, label, order in sorted(finished):
            if self.best is not None and bound * (1 + kernel.EPS) >= self.value(self.best):
                break
            mapping = self._mapping(stages, label, order, int(I[label, kernel.KEY]), keep)
            cost = evaluate(self.space.problem, self.space.architecture, mapping, self.energy)
            self.evaluated += 1
            if isinstance(cost, LayerCost):
                if self.better(cost):
                    self.best = cost
                    self.tell()
                self.open_bound = min(self.open_bound, bound)

    def _by_movable(self, F: FloatArray, labels: IntArray) -> list[tuple[frozenset[str], IntArray]]:
        """Group labels by which data spaces still have a tile that has not moved (or a zone to go on)."""
        names = [d.name for d in self.space.problem.data_spaces]
        columns = np.array([kernel.SPACE + s * kernel.PER_SPACE + kernel.MODE for s in range(len(names))])
        modes = F[np.ix_(labels, columns)]
        code = (modes != kernel.CLOSED) @ (1 << np.arange(len(names)))
        return [
            (frozenset(n for s, n in enumerate(names) if int(c) >> s & 1), labels[code == c]) for c in np.unique(code)
        ]

    def _grow(
        self,
        level: int,
        edges: IntArray,
        covering: npt.NDArray[np.bool_],
        F: FloatArray,
        I: IntArray,
        child: IntArray,
        kept: npt.NDArray[np.bool_],
        parents: npt.NDArray[np.bool_],
        beam: int | None,
    ) -> tuple[FloatArray, IntArray]:
        if time.perf_counter() > self.deadline and beam is None:
            self.complete = False
            return F[:0], I[:0]
        f, i = kernel.grow_level(
            self.arrays,
            level,
            edges,
            covering,
            F,
            I,
            child,
            kept,
            parents,
            *self.incumbent(),
            beam if beam is not None else LABEL_LIMIT,
            self.limit,
            self.prune,
        )
        self.labels += len(f)
        if len(f) >= self.limit or (self.cautious and self.labels >= self.limit):
            self.complete = False
        return f, i

    def close(self, gap: float) -> None:
        """Price every mapping whose bound lies in the gap that is left, where they are few enough."""
        if gap > SMALL_GAP and kernel.key_count(self.arrays) > SMALL_SPACE:
            return
        bound, self.prune, self.limit = self.open_bound, False, CLOSE_LIMIT
        self.run(None)
        self.open_bound, self.complete = (math.inf, True) if self.complete else (bound, True)

    def _mapping(
        self, stages: list[_Stage], label: int, order: tuple[int, ...], key: int, keep: frozenset[str]
    ) -> Mapping:
        """Read the loops of a finished label back, from the outermost level inwards."""
        levels, dims, arrays = self.space.architecture.levels, self.space.dims, self.arrays
        loops = [
            Loop(dims[d], int(arrays.size[d] // arrays.div[d, kernel.digit(arrays, key, d)])) for d in reversed(order)
        ]
        out = [LevelMapping(levels[0].name, temporal=tuple(x for x in loops if x.bound > 1), keep=keep)]
        for level, stage in zip(levels[1:], reversed(stages), strict=True):
            q, k = stage.origin[label]
            table = stage.passes[q]
            loops = []
            while table[k, kernel.PRED] >= 0:
                row = table[k]
                loops.append(Loop(dims[row[kernel.DIM]], int(row[kernel.BOUND]), AXES[row[kernel.AXIS]]))
                k = row[kernel.PRED]
            label = int(stage.bases[q][k])
            if isinstance(level, Fanout):
                out.append(LevelMapping(level.name, spatial=_by_axis(level, loops, dims)))
            else:
                out.append(LevelMapping(level.name, temporal=tuple(loops), keep=stage.keep))
        return Mapping(tuple(out))


def _by_axis(fanout: Fanout, loops: list[Loop], dims: tuple[str, ...]) -> tuple[Loop, ...]:
    """Spatial loops outer → inner: Y outside X, along each axis as the permutation (or the problem) lists them."""
    named = list(fanout.constraints.spatial.permutation)
    rank = {d: k for k, d in enumerate([*named, *(d for d in dims if d not in named)])}
    inner_first = sorted(loops, key=lambda x: (x.axis, rank[x.dim]))
    return tuple(reversed(inner_first))


def search(
    problem: Problem,
    architecture: Architecture,
    energy: EnergyTable,
    objective: str = "edp",
    *,
    time_limit: float | None = None,
    most_cycles: float = math.inf,
    progress: Progress | None = None,
    hints: Sequence[Mapping] = (),
) -> LayerCost | Illegal:
    """The best mapping of a problem on an architecture, with a certificate.

    Args:
        objective: ``edp``, ``energy`` or ``latency``; ties go to the other figure.
        time_limit: seconds after which the best mapping so far is returned, with its gap.
        most_cycles: mappings that take longer do not count.
        progress: called with incumbent, bound and gap whenever the incumbent gets better.
        hints: mappings that may be good here, such as the best ones of like designs; whether legal or not, they
            make the search faster at best, and do not change what it finds.

    Returns:
        The cost under the best mapping (``certificate`` set), or why no mapping is legal. Interrupted (Ctrl-C) or
        out of time, the best mapping so far with the gap that is left.
    """
    started = time.perf_counter()
    space = map_space(problem, architecture)
    empty = contradiction(space)
    if empty is not None:
        return empty
    arrays = kernel_space(space, energy, objective, most_cycles)
    deadline = started + (time_limit if time_limit is not None else math.inf)
    state = _Search(space, energy, arrays, objective, deadline, progress)
    try:
        if objective != "latency":  # there, ties in cycles are many, and the energy of what is known decides
            state.know(hints)
        if state.known is not None:
            state.try_known()
        if not state.proved() and state.complete:
            # Nothing was known, or the bounds are not exact here: without hints, so that they change nothing.
            state = _Search(space, energy, arrays, objective, deadline, progress, labels=state.labels)
            state.dive()
            state.run(None)
        state.decide()
        if state.best is None:
            return _infeasible(state)
    except KeyboardInterrupt:
        state.complete = False
        state.decide()
        if state.best is None:
            raise
    assert state.best is not None
    value = state.value(state.best)
    bound = min(value, state.open_bound) if state.complete else state.floor
    certificate = Certificate(
        objective=objective,
        value=value,
        optimal=state.complete and bound >= value * (1 - SLACK),
        lower_bound=bound,
        space_size=0,
        evaluated=state.labels,
        argument=_argument(state),
        seconds=time.perf_counter() - started,
    )
    return replace(state.best, certificate=certificate)


def pareto(
    problem: Problem, architecture: Architecture, energy: EnergyTable, *, time_limit: float | None = None
) -> list[LayerCost] | Illegal:
    """The energy–latency front: every (energy, cycles) that no mapping betters in one without losing in the other.

    The least energy first; then, again and again, the least energy among mappings that take fewer cycles than the
    last one, until there is none. Each point carries its own certificate.

    Args:
        time_limit: seconds after which the front so far is returned.

    Returns:
        from least energy to fewest cycles; or why no mapping is legal.
    """
    started = time.perf_counter()
    front: list[LayerCost] = []
    most = math.inf
    while time_limit is None or not front or time.perf_counter() - started < time_limit:
        cost = search(problem, architecture, energy, "energy", most_cycles=most)
        if isinstance(cost, Illegal):
            return front or cost
        front.append(cost)
        most = cost.cycles - 1
    return front


def _argument(state: _Search) -> str:
    """By what reasoning the mappings that were not priced are excluded."""
    if not state.complete:
        return "The search was cut short; nothing is proved beyond the bound."
    return (
        "Partial mappings were grown from the datapath outwards, every divisor and every loop order that can change a "
        "count. One was dropped only where its admissible lower bound does not beat the best mapping found, or "
        "where another with the same loops still to place is no worse in any figure that what follows can depend on."
    )


def _infeasible(state: _Search) -> Illegal:
    """Name the level that rules every mapping out."""
    for k in range(len(state.space.architecture.levels) - 1, -1, -1):
        level = state.space.architecture.levels[k]
        if isinstance(level, Storage) and level.capacity is not None and state.needed.get(k, 0.0) > level.capacity:
            return Illegal(level.name, "", "the smallest possible tiles do not fit", state.needed[k], level.capacity)
    return Illegal("", "", "the constraints leave no mapping", 1, 0)
