"""The mapspace of a problem on an architecture, and the arrays that the search kernels read."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture, Fanout, LoopConstraint, Storage
from hwsim.cost import LayerCost
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapper.labels import Space
from hwsim.mapper.labels import covers as kernel_covers
from hwsim.mapper.labels import outer_floor as kernel_outer_floor
from hwsim.mapper.labels import outer_later as kernel_outer_later
from hwsim.mapper.labels import outer_words as kernel_outer_words
from hwsim.mapping import Mapping
from hwsim.model import projection_matrix
from hwsim.workloads.problem import DataSpace, Problem

CODES = {"edp": 0, "energy": 1, "latency": 2}  # `Space.figure`
UNBOUNDED = 2**62
MOST_SIZE = 2**40  # of a dimension: the search needs its divisors
MOST_WINDOWS = 3  # shared ranks of a data space that labels follow
MOST_FREE = 4  # loops of a level of which every order is tried where orders can count in ways that are not known
MOST_SLIDING = 5  # dimensions of one rank: their orders are tried one by one
MOST_REACH = 4096  # instances along an axis up to which `labels._most` looks for what fills it best
KEY_BYTES = 1 << 29  # of the tables with an entry per key, a choice of a divisor of every dimension
COARSE = 20_000  # keys of a space that is thinned out to find a first mapping
COARSEST = 100_000  # keys where that is all that is searched


@functools.lru_cache(maxsize=4096)
def divisors(n: int) -> list[int]:
    """All divisors of n, ascending."""
    candidates = np.arange(1, math.isqrt(n) + 1)
    low = [int(k) for k in candidates[n % candidates == 0]]
    return low + [n // k for k in reversed(low) if k * k != n]


def coarse_divisors(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Some divisors of every size, ``most`` combinations or fewer where that can be; closed under taking the rest.

    The prime factors of a size are put together into fewer ones, the largest first, so that the divisors which divide
    each other stay many, and small ones (for fan-outs) stay fine.
    """
    atoms = [_primes(n) for n in sizes]
    choices = [_products(x) for x in atoms]
    while math.prod(map(len, choices)) > most:
        d = max(range(len(atoms)), key=lambda k: (len(choices[k]) if len(atoms[k]) > 1 else 0, -k))
        if len(atoms[d]) < 2:
            break
        *atoms[d], a, b = atoms[d]
        atoms[d] = sorted([*atoms[d], a * b])
        choices[d] = _products(atoms[d])
    return choices


def _primes(n: int) -> list[int]:
    out = []
    for p in divisors(n)[1:]:  # ascending, so that what divides the rest is a prime
        while n % p == 0:
            out.append(p)
            n //= p
    return out


def _products(factors: Sequence[int]) -> list[int]:
    out = {1}
    for f in factors:
        out |= {f * x for x in out}
    return sorted(out)


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
        windows = [x for x in self.problem.data_spaces if _shared_ranks(x)]
        last = self.architecture.levels[-1]
        handed = isinstance(last, Fanout) and last.mesh_x * last.mesh_y > 1
        return any(
            len(windows) > 1 or _tangled(x) or (handed and x.name not in last.constraints.spatial.no_link_transfer)
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
    def may_keep(self) -> list[list[bool]]:
        """Per level and data space, whether the level may keep it."""
        return [[any(x.name in keep for keep in keeps) for x in self.problem.data_spaces] for keeps in self.keeps]

    @functools.cached_property
    def must_keep(self) -> list[list[bool]]:
        """Per level and data space, whether the level keeps it in any case."""
        return [[all(x.name in keep for keep in keeps) for x in self.problem.data_spaces] for keeps in self.keeps]

    def automaton(self, level: int, movable: frozenset[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The orders of a level as an automaton over its loops, inner → outer.

        Loops with bound 1 do not appear, so orders that agree on the loops that do are one path.

        Returns:
            (states, dims) the state that a loop over a dimension leads to, −1 where it may not come next;
            (states, states) whether the first state allows every sequence that the second does.
        """
        if (level, movable) not in self._memo:
            self._memo[level, movable] = _automaton(self.orders(level, movable), len(self.dims))
        out: tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]] = self._memo[level, movable]
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
        node = self.architecture.levels[level]
        constraint = node.constraints.spatial if isinstance(node, Fanout) else node.constraints.temporal
        loops = [d for d in self.dims if factor_range(constraint, d, self.problem)[1] > 1]
        if isinstance(node, Fanout):
            return (tuple(self.dims.index(d) for d in loops),)
        fixed = tuple(d for d in constraint.permutation if d in loops)
        free = [d for d in loops if d not in fixed]
        if self.any_order and len(free) <= MOST_FREE:
            every = ((*fixed, *some) for some in itertools.permutations(free))
            return tuple(tuple(self.dims.index(d) for d in order) for order in every)
        return _orders(self.problem, self.dims, tuple(loops), fixed, movable)


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


def _shared_ranks(data_space: DataSpace) -> list[int]:
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
        for r in _shared_ranks(x) if x.name in movable else ():
            zones += itertools.permutations([d for d in dims if any(d == name for _, name in x.projection[r])])
    for block in [[], *silent.values()]:
        ranked = sorted(block, key=lambda d: (idle[d], dims.index(d)))
        for zone in zones:
            inside = [d for d in zone if d in block]
            yield [*inside, *(d for d in ranked if d not in inside), *zone, *dims]
            if block and zone:
                yield [*zone, *ranked, *dims]


@functools.lru_cache(maxsize=4096)
def _automaton(orders: tuple[tuple[int, ...], ...], dims: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
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
    return edges, kernel_covers(edges)


def map_space(problem: Problem, architecture: Architecture) -> MapSpace:
    """The mapspace that the architecture's constraints leave (perfect factorization).

    Raises:
        HwsimError: a dimension is too large to be factorized, or too many dimensions index one rank.
    """
    architecture = architecture.bind(tuple(x.name for x in problem.data_spaces))
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


def _tangled(data_space: DataSpace) -> bool:
    """Whether a dimension of a shared rank indexes another rank, too."""
    ranks = [{dim for _, dim in rank} for rank in data_space.projection]
    return any(
        len(rank) > 1 and rank & other for k, rank in enumerate(ranks) for j, other in enumerate(ranks) if j != k
    )


def _touched(data_space: DataSpace, sizes: dict[str, int]) -> float:
    """Elements that must move at least once: a rank has at least as many as its longest dimension.

    Ranks that share a dimension move together, so that the longest of them alone counts.
    """
    n, taken = 1, set[str]()
    for longest, dims in sorted(
        ((max(sizes[d] for _, d in rank), {d for _, d in rank}) for rank in data_space.projection if rank),
        key=lambda x: -x[0],
    ):
        if not dims & taken:
            n, taken = n * longest, taken | dims
    return float(n)


def _has_holes(data_space: DataSpace) -> bool:
    """Whether a box of a data space may be more than its elements: unless each rank is one dimension of its own."""
    terms = [term for rank in data_space.projection for term in rank]
    dims = [d for _, d in terms]
    return any(c != 1 for c, _ in terms) or len(set(dims)) < len(dims) or any(len(r) > 1 for r in data_space.projection)


def _divisor_tables(
    lists: list[list[int]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    table = np.zeros((len(lists), max((len(x) for x in lists), default=1)), np.int64)
    stride, step = np.ones(len(lists), np.int64), 1
    for d, values in enumerate(lists):
        table[d, : len(values)] = values
        stride[d] = step
        step *= len(values)
    return table, np.array([len(x) for x in lists], np.int64), stride


def key_count(space: MapSpace) -> int:
    """Keys of a space: a divisor of every dimension."""
    return math.prod(len(divisors(space.problem.sizes[d])) for d in space.dims)


def most_keys(space: MapSpace) -> int:
    """Keys whose tables there is memory for."""
    fans, spaces, dims = len(space.architecture.fanouts), len(space.problem.data_spaces), len(space.dims)
    choices = max(len(x) for x in space.keeps)
    words = 12 * spaces  # of some loop orders
    return KEY_BYTES // (8 * (2 * choices + fans * (dims + 1) * (2 + spaces) + words))


def aimed(arrays: Space, figure: str, limits: Limits) -> Space:
    """The same space, to be searched for the least of a figure within limits."""
    return arrays._replace(
        figure=CODES[figure],
        bounded=min(limits.edp, limits.energy) < math.inf,
        most_edp=limits.edp,
        most_energy=limits.energy,
        most_cycles=limits.latency,
    )


def kernel_space(
    space: MapSpace, energy: EnergyTable, *, coarse: bool = False, check: Callable[[], None] = lambda: None
) -> Space:
    """Lower a mapspace and its prices to the arrays that `hwsim.mapper.labels` reads, aimed at EDP.

    Args:
        coarse: with a part of the divisors only (`coarse_divisors`).
        check: called between pieces of work; what it raises ends the work.

    Raises:
        HwsimError: an action has no price, or there are too many dimensions.
    """
    problem, architecture, dims = space.problem, space.architecture, space.dims
    levels, spaces = architecture.levels, problem.data_spaces
    sizes = problem.sizes
    coef = _coefficients(space)
    relevant = coef.any(axis=1)
    shared = [(s, _shared_ranks(x)) for s, x in enumerate(spaces) if _shared_ranks(x)]
    followed = [(s, ranks) for s, ranks in shared if len(ranks) <= MOST_WINDOWS and not _tangled(spaces[s])]
    sliding, shared_ranks = followed[0] if followed else (-1, [])
    slides = np.zeros((len(spaces), len(dims)), np.bool_)
    shared_rank = np.full(len(dims), -1, np.int64)
    for s, rank_list in shared:
        for k, r in enumerate(rank_list):
            for d in range(len(dims)):
                if coef[s, r, d]:
                    slides[s, d] = True
                    if s == sliding and k < len(shared_ranks) and np.count_nonzero(coef[s, :, d]) == 1:
                        shared_rank[d] = k

    def price(level: object, action: str) -> float:
        return energy.price(level.name, action) if isinstance(level, Storage) else 0.0

    def bandwidth(level: object, name: str) -> float:
        value = getattr(level, name, None)
        return math.inf if value is None else float(value)

    lists = [divisors(sizes[d]) for d in dims]
    if coarse:
        enough = math.prod(map(len, lists)) > most_keys(space)
        lists = coarse_divisors([sizes[d] for d in dims], COARSEST if enough else COARSE)
    keys = math.prod(map(len, lists))
    if keys > most_keys(space):
        raise HwsimError(f"{len(dims)} dimensions are more than the search has memory for.")
    table, counts, stride = _divisor_tables(lists)
    temporal = [
        [factor_range(x.constraints.temporal, d, problem) if isinstance(x, Storage) else (1, 1) for d in dims]
        for x in levels
    ]
    spatial = [
        [factor_range(x.constraints.spatial, d, problem) if isinstance(x, Fanout) else (1, 1) for d in dims]
        for x in levels
    ]
    axes = [[spatial_axes(x, d) if isinstance(x, Fanout) else (False, False) for d in dims] for x in levels]
    t = np.array(temporal, np.int64).reshape(len(levels), len(dims), 2)
    p = np.array(spatial, np.int64).reshape(len(levels), len(dims), 2)
    a = np.array(axes, np.bool_).reshape(len(levels), len(dims), 2)

    fans = [k for k, x in enumerate(levels) if isinstance(x, Fanout)]
    share = [
        max(1, architecture.instances(x.name) // x.cluster_size) / architecture.instances(x.name)
        if isinstance(x, Storage)
        else 1.0
        for x in levels
    ]
    capacity = [math.inf if not isinstance(x, Storage) or x.capacity is None else float(x.capacity) for x in levels]
    block = [float(x.block_size) if isinstance(x, Storage) else 1.0 for x in levels]
    read = np.array([price(x, "read") for x in levels])
    write = np.array([price(x, "write") for x in levels])
    update = np.array([price(x, "update") for x in levels])
    touched = np.array([_touched(x, sizes) for x in spaces])
    shares = np.array(share)
    by_keep = len(levels) > 1 and isinstance(levels[1], Storage)
    choices = space.keeps[1] if by_keep else (frozenset(),)
    held = np.array([[x.name in keep for x in spaces] for keep in choices])
    watch = [
        k
        for k, x in enumerate(levels)
        if 0 < k < (fans[0] if fans else len(levels)) and isinstance(x, Storage) and _limits(x)
    ]
    out = Space(
        div=table,
        ndiv=counts,
        stride=stride,
        size=np.array([sizes[d] for d in dims], np.int64),
        coef=coef,
        relevant=relevant,
        read_write=np.array([x.read_write for x in spaces]),
        first_visits=_first_visits(space),
        touched=touched,
        sliding=sliding,
        vague=np.array([any(s == t for t, _ in shared if t != sliding) for s in range(len(spaces))]),
        any_vague=len(shared) > (sliding >= 0),
        shared_rank=shared_rank,
        shared_ranks=np.array(shared_ranks, np.int64),
        macs=float(problem.macs),
        storage=np.array([isinstance(x, Storage) for x in levels]),
        top=np.array([not fans or k <= fans[0] for k in range(len(levels))]),
        capacity=np.array(capacity),
        room=_room(space, capacity),
        fill_floor=np.array([float(x.min_words) if isinstance(x, Storage) else 0.0 for x in levels]),
        block=np.array(block),
        read=read,
        write=write,
        update=update,
        leak=np.array([price(x, "leak") for x in levels]),
        share=shares,
        limited=np.array([bool(isinstance(x, Storage) and _limits(x)) for x in levels]),
        read_bw=np.array([bandwidth(x, "read_bandwidth") for x in levels]),
        write_bw=np.array([bandwidth(x, "write_bandwidth") for x in levels]),
        shared_bw=np.array([bandwidth(x, "shared_bandwidth") for x in levels]),
        t_min=np.ascontiguousarray(t[:, :, 0]),
        t_max=np.ascontiguousarray(t[:, :, 1]),
        s_min=np.ascontiguousarray(p[:, :, 0]),
        s_max=np.ascontiguousarray(p[:, :, 1]),
        axis_x=np.ascontiguousarray(a[:, :, 0]),
        axis_y=np.ascontiguousarray(a[:, :, 1]),
        mesh_x=np.array([float(x.mesh_x) if isinstance(x, Fanout) else 1.0 for x in levels]),
        mesh_y=np.array([float(x.mesh_y) if isinstance(x, Fanout) else 1.0 for x in levels]),
        no_reuse=np.array([[x.name in v.constraints.temporal.no_reuse for x in spaces] for v in levels]),
        no_multicast=np.array([[x.name in v.constraints.spatial.no_multicast for x in spaces] for v in levels]),
        no_links=np.array([[x.name in v.constraints.spatial.no_link_transfer for x in spaces] for v in levels]),
        hands_on=np.array(
            [
                isinstance(levels[-1], Fanout) and x.name not in levels[-1].constraints.spatial.no_link_transfer
                for x in spaces
            ]
        ),
        reach=_reach(space, read, write, update, np.array(block), shares, touched),
        held=held,
        outer=np.zeros((len(choices), 2, keys)),
        outer_reach=_outer_reach(space, by_keep, held, read, write, update, np.array(block), shares, touched),
        by_keep=by_keep,
        watch=watch[0] if watch else -1,
        words=np.zeros(len(spaces)),
        serve=np.zeros((len(levels), len(spaces))),
        fans=np.array(fans, np.int64),
        holes=np.array([_has_holes(x) for x in spaces]),
        slides=slides,
        fill_x=np.zeros((len(fans), len(dims) + 1, keys)),
        fill_y=np.zeros((len(fans), len(dims) + 1, keys)),
        cast=np.zeros((len(fans), len(dims) + 1, keys, len(spaces))),
        reached=np.zeros(
            1 + min(MOST_REACH, max((max(x.mesh_x, x.mesh_y) for x in architecture.fanouts), default=1)), np.bool_
        ),
        may_throttle=any(_limits(x) for x in architecture.storages) and any(price(x, "leak") > 0 for x in levels),
        least_used=np.array([float(x.min_instances) if isinstance(x, Fanout) else 0.0 for x in levels]),
        figure=CODES["edp"],
        bounded=False,
        most_edp=math.inf,
        most_energy=math.inf,
        most_cycles=math.inf,
        exact=not coarse,
    )
    for begin, end, start, rows in _outer_words(space, out, keys, coarse, check):
        kernel_outer_floor(out, start, rows, begin, end)
        check()
    for k in range(len(choices)):
        kernel_outer_later(out, k)
        check()
    return out


def _limits(storage: Storage) -> list[float]:
    """The bandwidths that are limited."""
    return [x for x in (storage.read_bandwidth, storage.write_bandwidth, storage.shared_bandwidth) if x is not None]


def _coefficients(space: MapSpace) -> npt.NDArray[np.int64]:
    """(data spaces, ranks, dims) of the dimensions that have more than one iteration."""
    problem = space.problem
    columns = [i for i, (name, _) in enumerate(problem.dims) if name in space.dims]
    matrices = [projection_matrix(problem, x)[:, columns] for x in problem.data_spaces]
    out = np.zeros((len(matrices), max(x.shape[0] for x in matrices), len(columns)), np.int64)
    for s, matrix in enumerate(matrices):
        out[s, : matrix.shape[0]] = matrix
    return out


def _first_visits(space: MapSpace) -> npt.NDArray[np.float64]:
    """(levels, data spaces) words that a level does not read back when they are first written."""
    problem = space.problem
    return np.array(
        [
            [
                float(problem.data_space_size(x))
                if x.read_write and x.name not in level.constraints.temporal.rmw_first_update
                else 0.0
                for x in problem.data_spaces
            ]
            for level in space.architecture.levels
        ]
    )


_WORDS: dict[Any, Any] = {}
_MOST_WORDS = 64  # problems
_PIECE = 20_000  # keys that are looked at between two looks at the clock


def _outer_words(
    space: MapSpace, arrays: Space, keys: int, coarse: bool, check: Callable[[], None]
) -> Sequence[tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """What `labels.outer_words` says of the outermost storage's orders; kept, as prices and sizes do not matter.

    Returns:
        pieces: their first key, the one behind their last, where each key's rows start, and the rows.
    """
    orders = space.orders(0, frozenset(x.name for x in space.problem.data_spaces))
    name = (space.problem, orders, coarse)
    if name in _WORDS:
        known: list[tuple[int, int, npt.NDArray[np.int64], npt.NDArray[np.float64]]] = _WORDS[name]
        return known
    array = np.array(orders, np.int64).reshape(len(orders), -1)
    pieces = []
    for begin in range(0, keys, _PIECE):
        end = min(keys, begin + _PIECE)
        pieces.append((begin, end, *kernel_outer_words(arrays, array, begin, end)))
        check()
    if len(pieces) == 1:
        if len(_WORDS) >= _MOST_WORDS:
            del _WORDS[next(iter(_WORDS))]
        _WORDS[name] = pieces
    return pieces


def _room(space: MapSpace, capacity: list[float]) -> npt.NDArray[np.float64]:
    """(levels, data spaces) tightest capacity among the storages at or outside a level that must keep it."""
    out = np.full((len(capacity), len(space.problem.data_spaces)), math.inf)
    for s in range(out.shape[1]):
        running = math.inf
        for level, must in enumerate(space.must_keep):
            if must[s]:
                running = min(running, capacity[level])
            out[level, s] = running
    return out


def _reach(
    space: MapSpace,
    read: npt.NDArray[np.float64],
    write: npt.NDArray[np.float64],
    update: npt.NDArray[np.float64],
    block: npt.NDArray[np.float64],
    share: npt.NDArray[np.float64],
    touched: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """(levels, data spaces) pJ at least to move each data space once between a level and the outermost one."""
    out = np.zeros((len(space.keeps), len(space.problem.data_spaces)))
    for s, x in enumerate(space.problem.data_spaces):
        out[:, s] = _from(space, s, 0, 1, touched[s], *_once(x, read, write, update, block, share))
    return out


def _from(
    space: MapSpace, s: int, source: int, first: int, touched: float, access: list[float], fill: list[float]
) -> list[float]:
    """Per level, pJ at least to bring a data space there from ``source``, by way of levels from ``first`` on."""
    out = [math.inf] * len(space.keeps)
    out[source] = 0.0
    for level in range(first, len(space.keeps)):
        once = []
        for parent in (*range(level - 1, first - 1, -1), source):
            if parent == source or space.may_keep[parent][s]:
                once.append(touched * (access[parent] + fill[level]) + out[parent])
            if space.must_keep[parent][s]:
                break
        out[level] = min(once)
    return out


def _once(
    data_space: DataSpace,
    read: npt.NDArray[np.float64],
    write: npt.NDArray[np.float64],
    update: npt.NDArray[np.float64],
    block: npt.NDArray[np.float64],
    share: npt.NDArray[np.float64],
) -> tuple[list[float], list[float]]:
    """pJ of a word at each level: served to what is inside (a result: taken from there), and filled from outside."""
    access = (update if data_space.read_write else read) / block * share
    fill = np.zeros_like(write) if data_space.read_write else write / block * share
    return access.tolist(), fill.tolist()


def _outer_reach(
    space: MapSpace,
    by_keep: bool,
    held: npt.NDArray[np.bool_],
    read: npt.NDArray[np.float64],
    write: npt.NDArray[np.float64],
    update: npt.NDArray[np.float64],
    block: npt.NDArray[np.float64],
    share: npt.NDArray[np.float64],
    touched: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """(choices, levels, data spaces) like `_reach`, but without what ``outer`` counts (see `hwsim.mapper.labels`).

    A data space that the storage next to the outermost one keeps comes from there, others pass it by; inf where a
    level may not serve a data space.
    """
    if not by_keep:
        free = np.where(np.arange(len(read)) == 0, 0.0, 1.0)  # prices without the outermost storage's
        return _reach(space, read * free, write, update * free, block, share, touched)[None]
    out = np.full((len(held), len(space.keeps), len(space.problem.data_spaces)), math.inf)
    for s, x in enumerate(space.problem.data_spaces):
        prices = _once(x, read, write, update, block, share)
        for source in (0, 1):
            out[held[:, s] == (source == 1), :, s] = _from(space, s, source, 2, touched[s], *prices)
    return out
