"""A mapspace and its prices as the arrays that the search kernels read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwsim.architecture import Fanout, Level, Storage
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.kernel import BoolArray, FloatArray, IntArray
from hwsim.mapper.arrays import LEVEL, LOOP_RANGE, OPERAND, USE, Aim, Fans, Keys, Outer, Scratch, Space, Work
from hwsim.mapper.factors import coarse_divisors, divisors
from hwsim.mapper.label import LABEL, MOST_WINDOWS, RATES, TILE, Records
from hwsim.mapper.outer import outer_floor, outer_later, outer_words
from hwsim.mapper.space import Limits, MapSpace, factor_range, shared_ranks, spatial_axes, tangled
from hwsim.model import projection_matrix
from hwsim.workloads.problem import DataSpace

CODES = {"edp": 0, "energy": 1, "latency": 2}  # `Aim.figure`
MOST_REACH = 4096  # instances along an axis up to which `bound.most_instances` looks for what fills it best
KEY_BYTES = 1 << 29  # of the tables with an entry per key, a choice of a divisor of every dimension
COARSE = 20_000  # keys of a space that is thinned out to find a first mapping
COARSEST = 100_000  # keys where that is all that is searched


def key_count(space: MapSpace) -> int:
    """Keys of a space: a divisor of every dimension."""
    return math.prod(len(divisors(space.problem.sizes[d])) for d in space.dims)


def most_keys(space: MapSpace) -> int:
    """Keys whose tables there is memory for."""
    fans, spaces, dims = len(space.architecture.fanouts), len(space.problem.data_spaces), len(space.dims)
    choices = max(len(x) for x in space.keeps)
    words = 12 * spaces  # of some loop orders
    return KEY_BYTES // (8 * (2 * choices + fans * (dims + 1) * (2 + spaces) + words))


def aim(figure: str, limits: Limits) -> Aim:
    """The least of a figure within limits."""
    return Aim(
        figure=CODES[figure],
        bounded=min(limits.edp, limits.energy) < math.inf,
        most_edp=limits.edp,
        most_energy=limits.energy,
        most_cycles=limits.latency,
    )


def aimed(arrays: Space, figure: str, limits: Limits) -> Space:
    """The same space, to be searched for the least of a figure within limits."""
    return arrays._replace(aim=aim(figure, limits))


def kernel_space(
    space: MapSpace, energy: EnergyTable, *, coarse: bool = False, check: Callable[[], None] = lambda: None
) -> Space:
    """Lower a mapspace and its prices to arrays, aimed at EDP.

    Args:
        coarse: with a part of the divisors only (`coarse_divisors`).
        check: called between pieces of work; what it raises ends the work.

    Raises:
        HwsimError: an action has no price, or there are too many dimensions.
    """
    keys = _keys(space, coarse)
    number = math.prod(keys.ndiv.tolist())
    work = _work(space)
    operands = _operands(space)
    levels = _levels(space, energy)
    spaces = len(space.problem.data_spaces)
    out = Space(
        keys=keys,
        work=work,
        operands=operands,
        levels=levels,
        uses=_uses(space, levels, operands),
        loops=_loops(space),
        fans=_fans(space, number),
        outer=_outer(space, levels, operands, number),
        aim=aim("edp", Limits()),
        scratch=Scratch(
            np.zeros(spaces),
            np.zeros((len(space.keeps), spaces)),
            np.zeros(1, LABEL),
            np.zeros((1, spaces), TILE),
            np.zeros(1, RATES),
        ),
        watch=_watched(space, levels),
        may_throttle=bool(levels["limited"].any() and (levels["leak"] > 0).any()),
        exact=not coarse,
    )
    for begin, end, start, rows in _outer_words(space, out, number, coarse, check):
        outer_floor(out, start, rows, begin, end)
        check()
    for k in range(len(out.outer.held)):
        outer_later(out, k)
        check()
    return out


# --- the parts of a space --------------------------------------------------------------------------------


def _keys(space: MapSpace, coarse: bool) -> Keys:
    sizes = [space.problem.sizes[d] for d in space.dims]
    lists = [divisors(n) for n in sizes]
    if coarse:
        enough = math.prod(map(len, lists)) > most_keys(space)
        lists = coarse_divisors(sizes, COARSEST if enough else COARSE)
    if math.prod(map(len, lists)) > most_keys(space):
        raise HwsimError(f"{len(sizes)} dimensions are more than the search has memory for.")
    table = np.zeros((len(lists), max((len(x) for x in lists), default=1)), np.int64)
    for d, values in enumerate(lists):
        table[d, : len(values)] = values
    counts = np.array([len(x) for x in lists], np.int64)
    stride = np.concatenate([[1], np.cumprod(counts)])[: len(lists)].astype(np.int64)
    return Keys(table, counts, stride, np.array(sizes, np.int64))


def _work(space: MapSpace) -> Work:
    problem, dims, spaces = space.problem, space.dims, space.problem.data_spaces
    coef = _coefficients(space)
    shared = [(s, shared_ranks(x)) for s, x in enumerate(spaces) if shared_ranks(x)]
    followed = [(s, ranks) for s, ranks in shared if _can_follow(spaces[s])]
    sliding, ranks = followed[0] if followed else (-1, [])
    slides = np.zeros((len(spaces), len(dims)), np.bool_)
    for s, rank_list in shared:
        slides[s] = coef[s, rank_list].any(axis=0)
    shared_rank = np.full(len(dims), -1, np.int64)
    for k, r in enumerate(ranks):
        for d in np.flatnonzero(coef[sliding, r]):
            if np.count_nonzero(coef[sliding, :, d]) == 1:
                shared_rank[d] = k
    return Work(
        coef=coef,
        relevant=np.any(coef, axis=1),
        slides=slides,
        sliding=sliding,
        any_vague=len(shared) > (sliding >= 0),
        shared_rank=shared_rank,
        shared_ranks=np.array(ranks, np.int64),
        macs=float(problem.macs),
    )


def _operands(space: MapSpace) -> Records:
    spaces, last = space.problem.data_spaces, space.architecture.levels[-1]
    out = np.zeros(len(spaces), OPERAND)
    followed = False
    for row, x in zip(out, spaces, strict=True):
        follow = not followed and _can_follow(x)
        followed = followed or follow
        row["read_write"] = x.read_write
        row["touched"] = _touched(x, space.problem.sizes)
        row["holes"] = _has_holes(x)
        row["vague"] = bool(shared_ranks(x)) and not follow
        row["hands_on"] = isinstance(last, Fanout) and x.name not in last.constraints.spatial.no_link_transfer
    return out


def _levels(space: MapSpace, energy: EnergyTable) -> Records:
    architecture, fans = space.architecture, _fan_levels(space)
    out = np.zeros(len(architecture.levels), LEVEL)
    for k, (row, x) in enumerate(zip(out, architecture.levels, strict=True)):
        row["top"] = not fans or k <= fans[0]
        for name, attribute in _LIMITS.items():
            row[name] = _limit(x, attribute)
        row["block"] = row["share"] = row["mesh_x"] = row["mesh_y"] = 1.0
        if isinstance(x, Storage):
            row["storage"] = True
            row["fill_floor"], row["block"] = x.min_words, x.block_size
            row["share"] = architecture.clusters(x) / architecture.instances(x.name)
            row["limited"] = min(row["read_bw"], row["write_bw"], row["shared_bw"]) < math.inf
            for action in ("read", "write", "update"):
                row[action] = energy.price(x.name, action)
        else:
            row["mesh_x"], row["mesh_y"], row["least_used"] = x.mesh_x, x.mesh_y, x.min_instances
    for level in architecture.storages:  # what is switched off with another level leaks as if it stood there
        at, together = architecture.gating(level)
        while not isinstance(architecture.levels[at], Storage) and at > 0:
            at -= 1
            if isinstance(architecture.levels[at], Fanout):
                raise HwsimError(
                    f"'{level.name}' is switched off with '{level.power_gated_at}', which stands between two fan-outs; "
                    "no search weighs that.",
                    where=architecture.source or architecture.name,
                )
        out["leak"][at] += together * energy.price(level.name, "leak")
    return out


def _watched(space: MapSpace, levels: Records) -> int:
    """The outermost storage with a limited bandwidth but for level 0, if no fan-out is outside it; else −1."""
    before_fans = range(1, min([*_fan_levels(space), len(levels)]))
    return next((k for k in before_fans if levels[k]["limited"]), -1)


def _uses(space: MapSpace, levels: Records, operands: Records) -> Records:
    spaces = space.problem.data_spaces
    out = np.zeros((len(levels), len(spaces)), USE)
    out["room"] = _room(space, levels["capacity"])
    out["first_visits"] = _first_visits(space)
    for s, x in enumerate(spaces):
        out["reach"][:, s] = _from(space, s, 0, 1, operands[s]["touched"], *_once(x, levels))
        for k, level in enumerate(space.architecture.levels):
            temporal, spatial = level.constraints.temporal, level.constraints.spatial
            out[k, s]["no_reuse"] = x.name in temporal.no_reuse
            out[k, s]["no_multicast"] = x.name in spatial.no_multicast
            out[k, s]["no_links"] = x.name in spatial.no_link_transfer
    return out


def _loops(space: MapSpace) -> Records:
    out = np.zeros((len(space.keeps), len(space.dims)), LOOP_RANGE)
    for row, level in zip(out, space.architecture.levels, strict=True):
        fanout = isinstance(level, Fanout)
        constraint = level.constraints.spatial if fanout else level.constraints.temporal
        for one, d in zip(row, space.dims, strict=True):
            one["low"], one["high"] = factor_range(constraint, d, space.problem)
            if isinstance(level, Fanout):
                one["along_x"], one["along_y"] = spatial_axes(level, d)
    return out


def _fans(space: MapSpace, keys: int) -> Fans:
    fans, dims = _fan_levels(space), len(space.dims)
    widest = max((max(x.mesh_x, x.mesh_y) for x in space.architecture.fanouts), default=1)
    return Fans(
        level=np.array(fans, np.int64),
        fill_x=np.zeros((len(fans), dims + 1, keys)),
        fill_y=np.zeros((len(fans), dims + 1, keys)),
        cast=np.zeros((len(fans), dims + 1, keys, len(space.problem.data_spaces))),
        reached=np.zeros(1 + min(MOST_REACH, widest), np.bool_),
    )


def _outer(space: MapSpace, levels: Records, operands: Records, keys: int) -> Outer:
    spaces, nodes = space.problem.data_spaces, space.architecture.levels
    by_keep = len(nodes) > 1 and isinstance(nodes[1], Storage)
    choices = space.keeps[1] if by_keep else (frozenset[str](),)
    held = np.array([[x.name in keep for x in spaces] for keep in choices])
    return Outer(held, np.zeros((len(choices), 2, keys)), _outer_reach(space, levels, operands, held, by_keep), by_keep)


# --- what they are made of -------------------------------------------------------------------------------

#: Fields of `Level` that are inf where a storage has no limit.
_LIMITS = {
    "capacity": "capacity",
    "read_bw": "read_bandwidth",
    "write_bw": "write_bandwidth",
    "shared_bw": "shared_bandwidth",
}


def _fan_levels(space: MapSpace) -> list[int]:
    return [k for k, x in enumerate(space.architecture.levels) if isinstance(x, Fanout)]


def _limit(level: Level, name: str) -> float:
    """A storage's limit; inf where there is none."""
    value = getattr(level, name, None)
    return math.inf if value is None else float(value)


def _can_follow(data_space: DataSpace) -> bool:
    """Whether labels can follow the windows of a data space."""
    return 0 < len(shared_ranks(data_space)) <= MOST_WINDOWS and not tangled(data_space)


def _coefficients(space: MapSpace) -> IntArray:
    """(data spaces, ranks, dims) of the dimensions that have more than one iteration."""
    problem = space.problem
    columns = [i for i, (name, _) in enumerate(problem.dims) if name in space.dims]
    matrices = [projection_matrix(problem, x)[:, columns] for x in problem.data_spaces]
    out = np.zeros((len(matrices), max(x.shape[0] for x in matrices), len(columns)), np.int64)
    for s, matrix in enumerate(matrices):
        out[s, : matrix.shape[0]] = matrix
    return out


def _first_visits(space: MapSpace) -> FloatArray:
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


def _room(space: MapSpace, capacity: FloatArray) -> FloatArray:
    """(levels, data spaces) tightest capacity among the storages at or outside a level that must keep it."""
    out = np.full((len(capacity), len(space.problem.data_spaces)), math.inf)
    for s in range(out.shape[1]):
        running = math.inf
        for level, must in enumerate(space.must_keep):
            if must[s]:
                running = min(running, capacity[level])
            out[level, s] = running
    return out


# --- what bounds a transfer from outside -----------------------------------------------------------------


def _once(data_space: DataSpace, levels: Records) -> tuple[list[float], list[float]]:
    """pJ of a word at each level: served to what is inside (a result: taken from there), and filled from outside."""
    block, share = levels["block"], levels["share"]
    access = levels["update" if data_space.read_write else "read"] / block * share
    fill = np.zeros_like(block) if data_space.read_write else levels["write"] / block * share
    return access.tolist(), fill.tolist()


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


def _outer_reach(space: MapSpace, levels: Records, operands: Records, held: BoolArray, by_keep: bool) -> FloatArray:
    """(choices, levels, data spaces) like `Use.reach`, but without what `Outer.floor` counts.

    A data space that the storage next to the outermost one keeps comes from there, others pass it by; inf where a
    level may not serve a data space.
    """
    if not by_keep:  # prices without the outermost storage's
        levels = levels.copy()
        levels[0]["read"] = levels[0]["update"] = 0.0
    out = np.full((len(held), len(space.keeps), len(operands)), math.inf)
    for s, x in enumerate(space.problem.data_spaces):
        once = _once(x, levels)
        for source in (0, 1) if by_keep else (0,):
            reach = _from(space, s, source, 2 if by_keep else 1, operands[s]["touched"], *once)
            out[held[:, s] == (source == 1) if by_keep else slice(None), :, s] = reach
    return out


# --- words of the outermost storage's orders, kept, as prices and sizes do not matter --------------------

_MOST_WORDS = 64  # problems
_PIECE = 20_000  # keys that are looked at between two looks at the clock
_WORDS: dict[Any, list[tuple[int, int, IntArray, FloatArray]]] = {}


def _outer_words(
    space: MapSpace, arrays: Space, keys: int, coarse: bool, check: Callable[[], None]
) -> Sequence[tuple[int, int, IntArray, FloatArray]]:
    """What `outer_words` says of the outermost storage's orders.

    Returns:
        pieces: their first key, the one behind their last, where each key's rows start, and the rows.
    """
    orders = space.orders(0, frozenset(x.name for x in space.problem.data_spaces))
    name = (space.problem, orders, coarse)
    if name in _WORDS:
        return _WORDS[name]
    array = np.array(orders, np.int64).reshape(len(orders), -1)
    pieces = []
    for begin in range(0, keys, _PIECE):
        end = min(keys, begin + _PIECE)
        pieces.append((begin, end, *outer_words(arrays, array, begin, end)))
        check()
    if len(pieces) == 1:
        if len(_WORDS) >= _MOST_WORDS:
            del _WORDS[next(iter(_WORDS))]
        _WORDS[name] = pieces
    return pieces
