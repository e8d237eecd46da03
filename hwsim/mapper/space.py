"""The mapspace of a problem on an architecture: what a level may keep, and which loops it may have in which order."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwsim.architecture import Architecture, Fanout, LoopConstraint
from hwsim.cost import LayerCost
from hwsim.errors import HwsimError
from hwsim.kernel import BoolArray, IntArray
from hwsim.mapper.front import covers
from hwsim.mapping import Mapping
from hwsim.workloads.problem import DataSpace, Problem

UNBOUNDED = 2**62
MOST_SIZE = 2**40  # of a dimension: the search needs its divisors
MOST_FREE = 4  # loops of a level of which every order is tried where orders can count in ways that are not known
MOST_SLIDING = 5  # dimensions of one rank: their orders are tried one by one


@dataclass(frozen=True)
class Limits:
    """Mappings above any of these do not count: pJ·cycles, pJ, cycles."""

    edp: float = math.inf
    energy: float = math.inf
    latency: float = math.inf

    def allow(self, cost: LayerCost) -> bool:
        """Whether a mapping counts."""
        return cost.edp <= self.edp and cost.energy_pj <= self.energy and cost.cycles <= self.latency

    def at_most(self, figure: str, value: float) -> Limits:
        """These limits, and one more."""
        return replace(self, **{figure: min(value, getattr(self, figure))})


def factor_range(constraint: LoopConstraint, dim: str, problem: Problem) -> tuple[int, int]:
    """(least, most) that a level's constraint allows as the loop bound of one dimension."""
    size = problem.sizes[dim]
    low, high = 1, UNBOUNDED
    if all(factor.dim != dim for factor in constraint.factors):
        high = 1 if constraint.others_one else constraint.max_factor or UNBOUNDED
    if any(x.name in constraint.no_iteration and dim in x.dimensions for x in problem.data_spaces):
        high = 1
    for factor in constraint.factors:
        if factor.dim == dim:
            value = factor.value or size  # Timeloop reads 0 as the whole dimension
            if factor.op in ("=", ">="):
                low = max(low, value)
            if factor.op in ("=", "<="):
                high = min(high, value)
    return low, high


def spatial_axes(fanout: Fanout, dim: str) -> tuple[bool, bool]:
    """Whether a dimension may go along X, along Y.

    With ``split`` and ``permutation`` the first ``split`` dimensions named go along X, all others along Y;
    without ``split`` each may go along either.
    """
    constraint = fanout.constraints.spatial
    if constraint.split is None:
        return True, True
    if not constraint.permutation:
        return constraint.split > 0, constraint.split == 0
    along_x = dim in constraint.permutation[: constraint.split]
    if dim not in constraint.permutation:
        along_x = len(constraint.permutation) < constraint.split
    return along_x, not along_x


@dataclass(frozen=True)
class MapSpace:
    """Choices of a mapspace that are not loop bounds.

    Attributes:
        dims: names of the dimensions with more than one iteration, in the problem's order.
        keeps: per level, the sets of data spaces it may keep (a fan-out: the empty set).
    """

    problem: Problem
    architecture: Architecture
    dims: tuple[str, ...]
    keeps: tuple[tuple[frozenset[str], ...], ...]
    _memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    _orders: dict[Any, tuple[tuple[int, ...], ...]] = field(default_factory=dict, compare=False, repr=False)

    @functools.cached_property
    def any_order(self) -> bool:
        """Whether orders may count in ways that `_order_preferences` does not know.

        So it is where windows of several data spaces slide, or where windows are handed on at the datapath.
        """
        windows = [x for x in self.problem.data_spaces if shared_ranks(x)]
        last = self.architecture.levels[-1]
        handed = isinstance(last, Fanout) and last.mesh_x * last.mesh_y > 1
        return any(
            len(windows) > 1 or tangled(x) or (handed and x.name not in last.constraints.spatial.no_link_transfer)
            for x in windows
        )

    @functools.cached_property
    def all_orders(self) -> bool:
        """Whether every order that can differ in cost is tried."""
        return not self.any_order or all(
            sum(
                factor_range(x.constraints.temporal, d, self.problem)[1] > 1
                and d not in x.constraints.temporal.permutation
                for d in self.dims
            )
            <= MOST_FREE
            for x in self.architecture.storages
        )

    @functools.cached_property
    def may_loop(self) -> tuple[tuple[str, ...], ...]:
        """Per level, the dimensions of which it may have a loop."""
        constraints = [
            x.constraints.spatial if isinstance(x, Fanout) else x.constraints.temporal for x in self.architecture.levels
        ]
        return tuple(tuple(d for d in self.dims if factor_range(x, d, self.problem)[1] > 1) for x in constraints)

    @functools.cached_property
    def may_keep(self) -> list[list[bool]]:
        """Per level and data space, whether the level may keep it."""
        return [[any(x.name in keep for keep in keeps) for x in self.problem.data_spaces] for keeps in self.keeps]

    @functools.cached_property
    def must_keep(self) -> list[list[bool]]:
        """Per level and data space, whether the level keeps it in any case."""
        return [[all(x.name in keep for keep in keeps) for x in self.problem.data_spaces] for keeps in self.keeps]

    def automaton(self, level: int, movable: frozenset[str]) -> tuple[IntArray, BoolArray]:
        """The orders of a level as an automaton over its loops, inner → outer.

        Loops with bound 1 do not appear, so orders that agree on the loops that do are one path.

        Returns:
            (states, dims) the state that a loop over a dimension leads to, −1 where it may not come next;
            (states, states) whether the first state allows every sequence that the second does.
        """
        if (level, movable) not in self._memo:
            self._memo[level, movable] = _automaton(self.orders(level, movable), len(self.dims))
        out: tuple[IntArray, BoolArray] = self._memo[level, movable]
        return out

    def could_hold(self, mapping: Mapping) -> bool:
        """Whether a mapping has this space's levels and dimensions, and keeps what may be kept.

        Bounds and orders of its loops are not looked at.
        """
        levels = self.architecture.levels
        if tuple(x.level for x in mapping.levels) != tuple(x.name for x in levels):
            return False
        names = set(self.problem.sizes)
        return all(
            placed.keep in keeps
            and not (placed.temporal if isinstance(level, Fanout) else placed.spatial)
            and all(x.dim in names and x.bound > 0 for x in (*placed.temporal, *placed.spatial))
            for level, placed, keeps in zip(levels, mapping.levels, self.keeps, strict=True)
        )

    def orders(self, level: int, movable: frozenset[str]) -> tuple[tuple[int, ...], ...]:
        """Loop orders of a level (dimension indices, inner → outer) that can differ in cost.

        ``movable`` names the data spaces whose pending tile has not moved yet inside the level.
        """
        known = self._orders.get((level, movable))
        if known is None:
            known = self._orders[level, movable] = self._list_orders(level, movable)
        return known

    def _list_orders(self, level: int, movable: frozenset[str]) -> tuple[tuple[int, ...], ...]:
        node, loops = self.architecture.levels[level], self.may_loop[level]
        if isinstance(node, Fanout):
            return (tuple(self.dims.index(d) for d in loops),)
        fixed = tuple(d for d in node.constraints.temporal.permutation if d in loops)
        free = [d for d in loops if d not in fixed]
        if self.any_order and len(free) <= MOST_FREE:
            every = ((*fixed, *some) for some in itertools.permutations(free))
            return tuple(tuple(self.dims.index(d) for d in order) for order in every)
        return _orders(self.problem, self.dims, loops, fixed, movable)


@functools.lru_cache(maxsize=4096)
def _orders(
    problem: Problem, dims: tuple[str, ...], loops: tuple[str, ...], fixed: tuple[str, ...], movable: frozenset[str]
) -> tuple[tuple[int, ...], ...]:
    found: dict[tuple[int, ...], None] = {}
    for preference in _order_preferences(problem, dims, movable):
        free = [d for d in dict.fromkeys(preference) if d in loops and d not in fixed]
        found[tuple(dims.index(d) for d in (*fixed, *free))] = None
    return tuple(found)


def _keep_choices(architecture: Architecture, problem: Problem) -> tuple[tuple[frozenset[str], ...], ...]:
    """Every set of data spaces that each level may keep; the outermost storage keeps everything."""
    names = [d.name for d in problem.data_spaces]
    choices: list[tuple[frozenset[str], ...]] = []
    outermost = True
    for level in architecture.levels:
        if isinstance(level, Fanout):
            choices.append((frozenset(),))
            continue
        if outermost:
            choices.append((frozenset(names),))
            outermost = False
            continue
        constraints = level.constraints
        forced = frozenset(n for n in names if n in constraints.keep)
        free = [n for n in names if n not in constraints.keep and n not in constraints.bypass]
        choices.append(
            tuple(
                forced | frozenset(extra)
                for count in range(len(free) + 1)
                for extra in itertools.combinations(free, count)
            )
        )
    return tuple(choices)


def shared_ranks(data_space: DataSpace) -> list[int]:
    """Ranks along which windows slide: more than one dimension indexes them."""
    return [r for r, rank in enumerate(data_space.projection) if len({dim for _, dim in rank}) > 1]


def _order_preferences(problem: Problem, dims: tuple[str, ...], movable: frozenset[str]) -> Iterator[list[str]]:
    """Dimensions by how far inside they should stand, for every pattern of reuse that an order can favour.

    The order of a level's loops changes counts in two ways only. A tile stays while the innermost loops do
    not index its data space: so for each data space, all dimensions that do not index it stand innermost.
    And of a sliding data space the innermost indexing loop (and loops along the same rank next to it)
    fetches less than whole tiles: so for each shared rank, in each order of its dimensions, these stand innermost,
    before or after the choice above. Data spaces whose tile has moved further inside (not ``movable``)
    are past caring.
    """
    silent = {x.name: [d for d in dims if d not in x.dimensions] for x in problem.data_spaces if x.name in movable}
    idle = {d: -sum(d in block for block in silent.values()) for d in dims}
    zones: list[tuple[str, ...]] = [()]
    for x in problem.data_spaces:
        for r in shared_ranks(x) if x.name in movable else ():
            zones += itertools.permutations([d for d in dims if any(d == name for _, name in x.projection[r])])
    for block in [[], *silent.values()]:
        ranked = sorted(block, key=lambda d: (idle[d], dims.index(d)))
        for zone in zones:
            inside = [d for d in zone if d in block]
            yield [*inside, *(d for d in ranked if d not in inside), *zone, *dims]
            if block and zone:
                yield [*zone, *ranked, *dims]


@functools.lru_cache(maxsize=4096)
def _automaton(orders: tuple[tuple[int, ...], ...], dims: int) -> tuple[IntArray, BoolArray]:
    start = frozenset((q, 0) for q in range(len(orders)))  # (order, how many of its dimensions are behind)
    states = {start: 0}
    rows: list[list[int]] = []
    queue = [start]
    for state in queue:
        row = [-1] * dims
        for d in range(dims):
            reached = frozenset((q, orders[q].index(d) + 1) for q, behind in state if d in orders[q][behind:])
            if reached:
                if reached not in states:
                    states[reached] = len(states)
                    queue.append(reached)
                row[d] = states[reached]
        rows.append(row)
    edges = np.array(rows, np.int64).reshape(len(rows), dims)
    return edges, covers(edges)


def map_space(problem: Problem, architecture: Architecture) -> MapSpace:
    """The mapspace that the architecture's constraints leave (perfect factorization).

    Raises:
        HwsimError: a dimension is too large to be factorized, too many dimensions index one rank, or the design has
            sparse optimizations.
    """
    if architecture.sparsity:
        raise HwsimError(
            "the design has sparse optimizations, whose best mapping is not searched for yet; give a mapping to "
            "`hwsim evaluate`, or remove them to search the dense design.",
            where=architecture.source or architecture.name,
        )
    architecture = architecture.bind(tuple(x.name for x in problem.data_spaces))
    outermost = architecture.levels[0]
    if outermost.constraints.bypass:
        names = ", ".join(sorted(outermost.constraints.bypass))
        raise HwsimError(
            f"the outermost storage '{outermost.name}' is told to bypass {names}; the search keeps all data there, "
            "evaluate takes mappings that do not.",
            where=architecture.source or architecture.name,
        )
    dims = tuple(name for name, size in problem.dims if size > 1)
    for name, size in problem.dims:
        if size > MOST_SIZE:
            raise HwsimError(f"dimension {name} has size {size:.4g}; the search factorizes sizes up to 2^40 (1.1e12).")
    for x in problem.data_spaces:
        most = max((len({d for _, d in rank if d in dims}) for rank in x.projection), default=0)
        if most > MOST_SLIDING:
            raise HwsimError(
                f"{most} dimensions index one rank of {x.name}; the search tries every order of up to {MOST_SLIDING}."
            )
    return MapSpace(problem, architecture, dims, _keep_choices(architecture, problem))


def tangled(data_space: DataSpace) -> bool:
    """Whether a dimension of a shared rank indexes another rank, too."""
    ranks = [{dim for _, dim in rank} for rank in data_space.projection]
    return any(
        len(rank) > 1 and rank & other for k, rank in enumerate(ranks) for j, other in enumerate(ranks) if j != k
    )
