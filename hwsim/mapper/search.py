"""The mapper: exact search over all mappings of a problem on an architecture."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.cost import Certificate, Illegal, LayerCost
from hwsim.energy import EnergyTable
from hwsim.mapper import labels as kernel
from hwsim.mapper.space import MapSpace, kernel_space, map_space
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from workloads.problem import Problem

Progress = Callable[[float, float, float], None]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
AXES = ("", "X", "Y")

BEAMS = (24,)  # labels kept per level by the quick first dive
LABEL_LIMIT = 6_000_000


@dataclass
class _Stage:
    """One level's finished labels with what is needed to read their loops back.

    ``origin`` is, per label, (pass, index in the pass); ``passes`` hold the integer columns of each pass
    and, per base label of the pass, the label it continues at the previous stage.
    """

    keep: frozenset[str]
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
    best: LayerCost | None = None
    open_bound: float = math.inf
    evaluated: int = 0
    labels: int = 0
    complete: bool = True
    needed: dict[int, float] = field(default_factory=dict)

    def incumbent(self) -> tuple[float, float]:
        return (math.inf, math.inf) if self.best is None else (self.best.energy_pj, float(self.best.cycles))

    def value(self, cost: LayerCost) -> float:
        return {"edp": cost.edp, "energy": cost.energy_pj, "latency": float(cost.cycles)}[self.objective]

    def better(self, cost: LayerCost) -> bool:
        """Whether a cost beats the incumbent; ties go to the other figure."""
        if self.best is None:
            return True
        keys = {
            "edp": lambda c: (c.edp, c.energy_pj),
            "energy": lambda c: (c.energy_pj, c.cycles),
            "latency": lambda c: (c.cycles, c.energy_pj),
        }
        return bool(keys[self.objective](cost) < keys[self.objective](self.best))  # type: ignore[no-untyped-call]

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
        self._level(last, first, np.zeros((1, kernel.INTS), np.int64), child, [], beam)

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
        architecture, spaces = self.space.architecture, self.space.problem.data_spaces
        for keep in self.space.keeps[level]:
            kept = np.array([d.name in keep for d in spaces])
            parents = self._parents(level, keep)
            after = np.where(kept, level, child) if isinstance(architecture.levels[level], Storage) else child
            made = [self._grow(level, order, F, I, child, kept, parents, beam) for order in self.space.orders[level]]
            passes = [labels for _, labels in made]
            picks = [np.flatnonzero(i[:, kernel.ALIVE] == 1) for i in passes]
            origin = np.concatenate([np.stack([np.full_like(p, q), p], axis=1) for q, p in enumerate(picks)])
            all_f = np.concatenate([f[p] for (f, _), p in zip(made, picks, strict=True)])
            all_i = np.concatenate([i[p] for (_, i), p in zip(made, picks, strict=True)])
            outside = self._parents(level - 1, None) if level else parents
            alive, bounds, needed = kernel.close_level(
                self.arrays, level, all_f, all_i, child, kept, after, outside, *self.incumbent()
            )
            if len(all_f):
                self.needed[level] = min(self.needed.get(level, math.inf), needed)
            if beam is not None:
                alive = alive[:beam]
            stage = _Stage(keep, passes, origin[alive])
            if level == 0:
                self._finish([*stages, stage], bounds[alive])
            elif len(alive):
                self._level(level - 1, all_f[alive], all_i[alive], after, [*stages, stage], beam)

    def _grow(
        self,
        level: int,
        order: tuple[int, ...],
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
            self.arrays, level, np.array(order, np.int64), F, I, child, kept, parents, *self.incumbent(), LABEL_LIMIT
        )
        self.labels += len(f)
        if len(f) > LABEL_LIMIT:
            self.complete = False
        return f, i

    def _finish(self, stages: list[_Stage], bounds: FloatArray) -> None:
        """Price complete mappings, most promising first, with the cost model itself."""
        for k, bound in enumerate(bounds):
            if self.best is not None and bound * (1 + kernel.EPS) >= self.value(self.best):
                break
            cost = evaluate(self.space.problem, self.space.architecture, self._mapping(stages, k), self.energy)
            self.evaluated += 1
            if isinstance(cost, LayerCost):
                if self.better(cost):
                    self.best = cost
                self.open_bound = min(self.open_bound, float(bound))
                if self.progress:
                    self.progress(self.value(self.best or cost), self.open_bound, 0.0)

    def _mapping(self, stages: list[_Stage], index: int) -> Mapping:
        """Read the loops of one finished label back, from the outermost level inwards."""
        levels = self.space.architecture.levels
        out: list[LevelMapping] = []
        for level, stage in zip(levels, reversed(stages), strict=True):
            q, k = stage.origin[index]
            table = stage.passes[q]
            loops: list[Loop] = []
            while table[k, kernel.PRED] >= 0:
                row = table[k]
                dim = self.space.dims[row[kernel.DIM]]
                loops.append(Loop(dim, int(row[kernel.BOUND]), AXES[row[kernel.AXIS]]))
                k = row[kernel.PRED]
            index = int(k)
            if isinstance(level, Fanout):
                out.append(LevelMapping(level.name, spatial=_by_axis(level, loops, self.space.dims)))
            else:
                out.append(LevelMapping(level.name, temporal=tuple(loops), keep=stage.keep))
        return Mapping(tuple(out))


def _by_axis(fanout: Fanout, loops: list[Loop], dims: tuple[str, ...]) -> tuple[Loop, ...]:
    """Spatial loops outer → inner: Y outside X, along each axis as the constraint's permutation (or the problem) lists them."""
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
    progress: Progress | None = None,
) -> LayerCost | Illegal:
    """The best mapping of a problem on an architecture, with a certificate.

    Args:
        objective: ``edp``, ``energy`` or ``latency``; ties go to the other figure.
        time_limit: seconds after which the best mapping so far is returned, with its gap.
        progress: called with incumbent, bound and gap.

    Returns:
        The cost under the best mapping (``certificate`` set), or why no mapping is legal.
    """
    started = time.perf_counter()
    space = map_space(problem, architecture)
    state = _Search(
        space,
        energy,
        kernel_space(space, energy, objective),
        objective,
        started + (time_limit if time_limit is not None else math.inf),
        progress,
    )
    for beam in BEAMS:
        state.run(beam)
        if state.best is not None:
            break
    state.open_bound = math.inf
    state.run(None)
    if state.best is None:
        return _infeasible(state)
    value = state.value(state.best)
    bound = min(value, state.open_bound) if state.complete else 0.0
    certificate = Certificate(
        objective=objective,
        value=value,
        optimal=state.complete and bound >= value * (1 - 1e-9),
        lower_bound=bound,
        space_size=0,
        evaluated=state.labels,
        argument="",
        seconds=time.perf_counter() - started,
    )
    return replace(state.best, certificate=certificate)


def _infeasible(state: _Search) -> Illegal:
    """Name the level that rules every mapping out."""
    for k in range(len(state.space.architecture.levels) - 1, -1, -1):
        level = state.space.architecture.levels[k]
        if isinstance(level, Storage) and level.capacity is not None and state.needed.get(k, 0.0) > level.capacity:
            return Illegal(level.name, "", "the smallest possible tiles do not fit", state.needed[k], level.capacity)
    return Illegal("", "", "the constraints leave no mapping", 1, 0)
