"""The search kernels: partial mappings ("labels") grown from the datapath outwards.

A label is a partial mapping of everything inside some point of the hierarchy: which part ``x`` of the
problem (a divisor of every dimension) is already placed inside, and what its transfers will have cost
*over the whole layer* if every loop still to come repeats them. Loops are then added one at a time, inner → outer:

* a temporal loop repeats everything, which the totals already assume. Only a data space whose tile has
  not moved yet ("open") gets cheaper: a loop that does not index it lets the tile stay;
* a spatial loop that does not index a data space serves its instances by multicast (or reduces them), so
  the parent is accessed less;
* at a storage the pending transfers of the data spaces it keeps are priced, and their own tile becomes pending.

Sliding windows follow `hwsim.counting.tile_fills`: the innermost moving loop fetches only the new part of
the tile, and loops further out along the same rank may, in Timeloop's count, fetch little or nothing
("zone"); the zone's state travels with the label.

Two labels with the same ``x`` at the same point have the same ways to go on. One that is worse in every
figure that matters can be dropped: whatever completes it completes the other one at no higher cost.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.counting import distinct as _distinct_offsets
from hwsim.counting import linked as _linked
from hwsim.counting import nest_geometry, speed
from hwsim.counting import offsets as _offsets
from hwsim.kernel import kernel, njit

# Float columns of a label.
ENERGY, SPATIAL, BANDWIDTH, FIRST_VISITS, USED_X, USED_Y, LEAK = range(7)
# How many times as long as at full speed the layer takes for the bandwidth of storages that are neither the outermost
# nor the watched one: at least, at most.
LEAST_SLOW, MOST_SLOW = 7, 8
# Per data space, from column 9: energy of transfers that an open tile may still avoid; accesses of the
# parent to come; mode; words that the watched storage (see `Space.watch`) serves for sure, and those that it serves
# to a tile that was open there.
SPACE, PER_SPACE = 9, 5
SAVABLE, PENDING, MODE, SURE, SERVED = range(5)
CLOSED, OPEN, ZONE = 0.0, 1.0, 2.0
# Of the sliding data space, after the per-space columns: extents of the tile below on its shared ranks;
# the zone (rank, fetches in units of the tile, cost of the usual step, usual step, swept distance);
EXTENT, ZRANK, ZFETCHES, ZCOST, ZUSUAL, ZSWEPT = 0, 3, 4, 5, 6, 7
# the echo: a zone whose transfers are priced already, but that loops further out belong to (energy, then as above);
EENERGY, ERANK, EFETCHES, ECOST, EUSUAL, ESWEPT = range(8, 14)
# links between neighbours that wait for their temporal loop (move and bound of the spatial loop, its rank,
# instances in use inside the fan-out's parent), and sliding spatial loops at the fan-out at hand.
# SERVED of the echo, and what of its energy comes from rounding up to blocks, stand last.
LMOVE, LBOUND, LRANK, LSPATIAL, SLIDES, EREADS, EROUND = range(14, 21)
SLIDING = 21
# Integer columns.
KEY, PRED, DIM, BOUND, AXIS, USED, NEXT, STATE, ALIVE = range(9)
INTS = 9
# What the cursor of `grow_level` and `close_level` remembers between two calls, and what they answer.
LABELS, FIRST, LAST, AT, AT_DIM, AT_DIVISOR, BEGUN = range(7)
CURSOR = 7
DONE, FULL, PAUSED = range(3)
WAYS = 4  # a spatial factor's: along X or Y, with links or without
SLICE = 300_000  # partial mappings made or compared in one call: some hundredths of a second

EPS = 1e-12
CLEAR = 1e-9  # a storage that is used to a share of its bandwidth below 1 by this slows nothing down


class Space(NamedTuple):
    """The search space as arrays (``d`` dims, ``s`` data spaces, ``l`` levels)."""

    div: Any  # (d, most divisors) divisors, ascending
    ndiv: Any  # (d,)
    stride: Any  # (d,) of a dimension's digit in a key
    size: Any  # (d,)
    coef: Any  # (s, ranks, d)
    relevant: Any  # (s, d) bool
    read_write: Any  # (s,) bool
    first_visits: Any  # (l, s) partial sums that a level need not read back, since they are written for the first time
    touched: Any  # (s,) a lower bound of the elements that must move (float)
    sliding: int  # index of the data space with shared ranks whose windows the labels follow, −1 if none
    vague: Any  # (s,) bool: others with shared ranks; for these every loop is taken for the best case
    any_vague: bool
    shared_rank: Any  # (d,) which shared rank of the sliding data space a dim moves along; −1 if none
    shared_ranks: Any  # (shared,) rank numbers
    macs: float
    storage: Any  # (l,) bool
    top: Any  # (l,) no fan-out outside
    capacity: Any  # (l,) float, inf if unbounded
    room: Any  # (l, s) the tightest capacity among storages at or outside a level that must keep the data space
    fill_floor: Any  # (l,) least words that must be held
    block: Any  # (l,)
    read: Any  # (l,) pJ per access
    write: Any
    update: Any
    leak: Any  # (l,) pJ per cycle and instance
    share: Any  # (l,) lower bound of accessed / used instances (clusters)
    limited: Any  # (l,) bool: some bandwidth has a limit
    read_bw: Any
    write_bw: Any
    shared_bw: Any
    t_min: Any  # (l, d) temporal factors
    t_max: Any
    s_min: Any  # (l, d) spatial factors
    s_max: Any
    axis_x: Any  # (l, d) bool: may go along X
    axis_y: Any
    mesh_x: Any
    mesh_y: Any
    no_reuse: Any  # (l, s) bool
    no_multicast: Any  # (l, s) bool
    no_links: Any  # (l, s) bool
    hands_on: Any  # (s,) bool: a fan-out stands next to the datapath, and its instances may hand on, see `hand_on`
    reach: Any  # (l, s) pJ at least to bring the data space to that level from outside
    # Bounds by what the storage next to the outermost one keeps (``k`` choices), see `outer_floor`:
    held: Any  # (k, s) bool: what it keeps
    outer: Any  # (k, 2, keys) pJ at least to fill it from the outermost storage: with this key inside; with any larger
    outer_reach: Any  # (k, l, s) pJ at least from a level up to what `outer` counts; inf: the level may not serve it
    by_keep: bool  # False: there is no such storage, and `outer` counts the outermost one's accesses of all data spaces
    watch: int  # the outermost storage with a limited bandwidth but for level 0, if no fan-out is outside it; else −1
    words: Any  # (s,) scratch of `lower_bound` and `settle`
    serve: Any  # (l, s) scratch of `lower_bound`
    fans: Any  # (fan-outs,) their levels, outermost first
    holes: Any  # (s,) bool: the box around some instances' elements may have more elements than these
    slides: Any  # (s, d) bool: the dimension indexes a shared rank of the data space
    # Filled as needed, 0 where not yet known: the most instances along X and Y (and the furthest that multicast or
    # reduction can cut each data space's accesses) at a fan-out, given what a key leaves to be placed.
    fill_x: Any  # (fan-outs, d + 1, keys), by the first dimension that may still be placed there
    fill_y: Any  # (fan-outs, d + 1, keys)
    cast: Any  # (fan-outs, d + 1, keys, s)
    reached: Any  # (instances + 1,) scratch of `_most`; a wider mesh is taken to be filled
    may_throttle: bool  # some storage has a limited bandwidth and something leaks
    least_used: Any  # (l,) instances that a fan-out must use at least (its ``min_utilization``)
    figure: int  # what is minimised: 0 edp, 1 energy, 2 latency
    bounded: bool  # energy or EDP has a limit
    most_edp: float  # mappings above one of these do not count
    most_energy: float
    most_cycles: float
    exact: bool  # all divisors are there


@kernel(forceinline=True)
def digit(space, key, d):  # type: ignore[no-untyped-def]
    """Index of the divisor of dimension d inside a key."""
    return (key // space.stride[d]) % space.ndiv[d]


@kernel(forceinline=True)
def _placed(space, key, x):  # type: ignore[no-untyped-def]
    """Write the size of every dimension inside a key into x."""
    for d in range(space.size.shape[0]):
        x[d] = space.div[d, digit(space, key, d)]


@kernel(forceinline=True)
def _extent(space, x, s, r):  # type: ignore[no-untyped-def]
    e = np.int64(1)
    for d in range(space.size.shape[0]):
        e += space.coef[s, r, d] * (x[d] - 1)
    return e


@kernel(forceinline=True)
def _tile(space, x, s):  # type: ignore[no-untyped-def]
    """Elements of data space s in the box that x spans."""
    v = 1.0
    for r in range(space.coef.shape[1]):
        v *= _extent(space, x, s, r)
    return v


@kernel(forceinline=True)
def _outside(space, x):  # type: ignore[no-untyped-def]
    """Iterations of everything outside x: Π size / x."""
    n = 1.0
    for d in range(space.size.shape[0]):
        n *= space.size[d] // x[d]
    return n


@kernel(forceinline=True)
def _blocks(words, block):  # type: ignore[no-untyped-def]
    return np.ceil((words - 1e-6 * block) / block) if words > 0.5 else 0.0


@kernel(forceinline=True)
def _close(space, f, s, child):  # type: ignore[no-untyped-def]
    """The tile of data space s has moved for good: its refetches repeat with every loop to come."""
    c = SPACE + s * PER_SPACE
    if f[c + MODE] == CLOSED:
        return
    f[ENERGY] += f[c + SAVABLE]
    f[c + SAVABLE] = 0.0
    f[c + MODE] = CLOSED
    if child >= 0 and space.top[child]:
        words = f[c + PENDING] - space.first_visits[child, s]
        f[ENERGY] += _blocks(np.floor(words + 0.5), space.block[child]) * space.write[child]


@kernel(forceinline=True)
def _zone_step(f, z, rank, v, b):  # type: ignore[no-untyped-def]
    """One more loop along a zone's rank; ``z`` is its rank's column. Returns by what share it cuts the fetches."""
    step = v - f[z + 4]
    cost = 0.0 if step == 0 else (f[z + 2] if step == f[z + 3] else 1.0)
    fetches = f[z + 1] * b - (b - 1) * (1.0 - cost)
    ratio = fetches / (f[z + 1] * b)
    f[z + 1] = fetches
    f[z + 4] += v
    return ratio


@kernel()
def _may_link(space, f, rank, d, v, b, x):  # type: ignore[no-untyped-def]
    """Whether loops along a rank, outside the one of bound b over d that moves by v, may move tiles by one neighbour.

    A loop moves by its own step less those of all loops inside it, which are rewound. Exact for the next loop along
    the rank; a wide answer for those further out.
    """
    move = f[SPACE + PER_SPACE * space.relevant.shape[0] + LMOVE]
    later, largest, least = 0, 0, np.inf
    for e in range(space.size.shape[0]):
        if space.shared_rank[e] != rank:
            continue
        inside = x[e] * (b if e == d else 1)
        left = space.size[e] // inside
        if left == 1:
            continue
        step = space.coef[space.sliding, space.shared_ranks[rank], e] * inside
        if abs(step - v) == move or (v == move and step - v == 0):
            return True
        later += 1 if _prime(left) else 2
        largest = max(largest, step * (left // 2))
        least = min(least, step)
    return later > 1 and largest >= v + least - move


@kernel()
def _prime(n):  # type: ignore[no-untyped-def]
    """Whether a number above 1 is a prime; large ones are taken not to be."""
    if n > 1_000_000:
        return False
    p = 2
    while p * p <= n:
        if n % p == 0:
            return False
        p += 1
    return True


@kernel(forceinline=True)
def _link_later(space, f, s, d, rank, v, b, x, child):  # type: ignore[no-untyped-def]
    """Settle links that waited for the innermost temporal loop outside their fan-out (``rank`` −1: none that slides).

    Returns False where nothing is handed on: the label without links says the same. So it is where the loop does not
    move the tiles by one neighbour, unless loops further out may do so (when they advance, this one is rewound).
    """
    z = SPACE + PER_SPACE * space.relevant.shape[0]
    if rank < 0 or rank != f[z + LRANK]:
        return False
    if v != f[z + LMOVE] or v < f[z + EXTENT + rank]:
        if not _may_link(space, f, rank, d, v, b, x):
            return False
        # At best all steps but this loop's own are served by neighbours.
        served = (1.0 if v == f[z + LMOVE] else 1.0 / b) * (1.0 - 1.0 / f[z + LBOUND])
        f[SPACE + s * PER_SPACE + PENDING] *= 1.0 - served
        f[SPACE + s * PER_SPACE + SAVABLE] *= 1.0 - served
        f[z + LMOVE] = 0.0
        return True
    # All steps of this loop are served by neighbours but for what enters at the edge. Where loops along the
    # rank are still to come, some of their steps may be, too: then the best case is taken.
    steps = 1.0 - 1.0 / b
    for e in range(space.size.shape[0]):
        if space.shared_rank[e] == rank and x[e] * (b if e == d else 1) < space.size[e]:
            steps = 1.0
    handed = steps * (1.0 - 1.0 / f[z + LBOUND])
    c = SPACE + s * PER_SPACE
    f[c + PENDING] *= 1.0 - handed
    # Timeloop spreads what one parent's children hand on over all instances of the child.
    parents = f[SPATIAL] / f[z + LSPATIAL] if f[z + LSPATIAL] > 0 else np.inf
    own = f[c + SAVABLE]
    f[c + SAVABLE] = own * (1.0 - handed * (1.0 - 1.0 / parents))
    if space.write[child] > 0:
        f[c + SAVABLE] += own * space.read[child] / space.write[child] * handed / parents
    f[z + LMOVE] = 0.0
    return True


@kernel(forceinline=True)
def add_temporal(space, f, x, d, b, child):  # type: ignore[no-untyped-def]
    """Put a temporal loop of bound b over dimension d around a label (``x`` is what is inside it).

    Returns False where the label waits for a loop that hands data between neighbours, and this is not it.
    """
    z = SPACE + PER_SPACE * space.relevant.shape[0]
    for s in range(space.relevant.shape[0]):
        c = SPACE + s * PER_SPACE
        rank, v = -1, 0
        if s == space.sliding:
            rank = space.shared_rank[d]
            v = space.coef[s, space.shared_ranks[rank], d] * x[d] if rank >= 0 else 0
            if f[z + LMOVE] > 0 and not _link_later(space, f, s, d, rank, v, b, x, child[s]):
                return False
            if f[z + EENERGY] > 0:
                if not space.relevant[s, d]:
                    f[z + EFETCHES] *= b
                elif rank < 0 or rank != f[z + ERANK]:
                    f[z + EENERGY], f[z + EROUND] = 0.0, 0.0
                else:
                    again = _zone_step(f, z + ERANK, rank, v, b)
                    less = f[z + EENERGY] * (1.0 - again)
                    f[z + EENERGY] -= less
                    f[ENERGY] -= less
                    if again < 1.0:
                        f[ENERGY] -= f[z + EROUND]
                        f[z + EROUND] = 0.0
                    f[z + EREADS] *= again
        mode = f[c + MODE]
        if mode == CLOSED:
            continue
        ratio = 1.0
        if space.any_vague and space.vague[s]:
            if not space.relevant[s, d] or space.slides[s, d]:
                ratio = 1.0 / b
        elif not space.relevant[s, d]:
            if mode == OPEN:
                ratio = 1.0 / b
            else:
                f[z + ZFETCHES] *= b
        elif rank < 0 or (mode == ZONE and rank != f[z + ZRANK]):
            _close(space, f, s, child[s])
        elif mode == OPEN:
            cost = min(1.0, v / f[z + EXTENT + rank])
            f[z + ZRANK], f[z + ZCOST], f[z + ZUSUAL], f[z + ZSWEPT] = rank, cost, v, v
            f[z + ZFETCHES] = 1.0 + (b - 1) * cost
            ratio = f[z + ZFETCHES] / b
            f[c + MODE] = ZONE
        else:
            ratio = _zone_step(f, z + ZRANK, rank, v, b)
        f[c + SAVABLE] *= ratio
        f[c + PENDING] *= ratio
        f[c + SERVED] *= ratio
    return True


@kernel(forceinline=True)
def add_spatial(space, f, x, level, d, b, axis, child, link):  # type: ignore[no-untyped-def]
    """Put a spatial loop of bound b over dimension d around a label.

    Neighbours can hand on what a sliding data space needs only under one loop along the rank (``link``
    chooses that), if their tiles stand right inside. Where that is not clear the best case is taken.

    Returns False where ``link`` makes no sense.
    """
    z = SPACE + PER_SPACE * space.relevant.shape[0]
    linked = False
    for s in range(space.relevant.shape[0]):
        c = SPACE + s * PER_SPACE
        slides = space.slides[s, d]
        if not space.relevant[s, d] and not space.no_multicast[level, s]:
            f[c + PENDING] /= b
        if space.read_write[s] and (not space.relevant[s, d] or slides):
            f[FIRST_VISITS] *= b
        if not slides:
            continue
        rank = space.shared_rank[d]
        simple = s == space.sliding and not space.read_write[s] and f[z + SLIDES] == 0 and f[z + LMOVE] == 0
        simple = simple and rank >= 0 and not (space.hands_on[s] and child[s] < 0)
        f[z + SLIDES] += 1.0
        if not simple:
            f[c + PENDING] /= b
            f[c + SAVABLE] /= b
            if f[z + LMOVE] > 0:
                f[c + PENDING] /= f[z + LBOUND]
                f[c + SAVABLE] /= f[z + LBOUND]
                f[z + LMOVE] = 0.0
        elif link:
            if child[s] != level + 1 or f[c + MODE] != OPEN or space.no_links[level, s]:
                return False
            f[z + LMOVE], f[z + LBOUND], f[z + LRANK], f[z + LSPATIAL] = (
                space.coef[s, space.shared_ranks[rank], d] * x[d],
                b,
                rank,
                0.0,
            )
            linked = True
    f[SPATIAL] *= b
    f[USED_X if axis == 1 else USED_Y] *= b
    return linked == link


@njit(cache=True)
def hand_on(space, f, dim, bound, axis, mesh_x, mesh_y):  # type: ignore[no-untyped-def]
    """Let neighbours at the datapath hand on what they hold while the innermost temporal loops leave it in place.

    There, Timeloop has every operand handed on, not only those that slide: as if the datapath kept it. Where only some
    of the instances find theirs at a neighbour the best case is taken.

    Args:
        f: a label whose innermost level is a fan-out, changed.
        dim / bound / axis: the fan-out's loops, outer → inner.
        mesh_x / mesh_y: its columns and rows.
    """
    n = dim.shape[0]
    columns, rows = np.int64(1), np.int64(1)
    for i in range(n):
        if axis[i] == 1:
            columns *= bound[i]
        else:
            rows *= bound[i]
    if columns * rows == 1:
        return
    columns, rows = max(columns, mesh_x), max(rows, mesh_y)
    stay = np.zeros(space.coef.shape[1], np.int64)
    nothing = np.zeros(np.prod(bound), np.bool_)
    for s in range(space.relevant.shape[0]):
        if not space.hands_on[s]:
            continue
        move, _, _ = nest_geometry(space.coef[s], dim, bound, axis)
        offset = _offsets(0, n, bound, move)
        if _distinct_offsets(offset, _linked(offset, stay, columns, rows)) < _distinct_offsets(offset, nothing):
            f[SPACE + s * PER_SPACE + MODE] = OPEN


@kernel()
def settle(space, f, x, level, keep, child, outermost):  # type: ignore[no-untyped-def]
    """Close a storage level around a label: check that it fits, price what it serves, make its tiles pending.

    Args:
        keep: (s,) what the level keeps.
        child: (s,) innermost-side storage of each data space's pending transfer (−1: the datapath).

    Returns:
        False if the tiles do not fit.
    """
    spaces = space.relevant.shape[0]
    z = SPACE + PER_SPACE * spaces
    held = 0.0
    for s in range(spaces):
        if keep[s]:
            space.words[s] = _tile(space, x, s)
            held += space.words[s]
    if held > space.capacity[level] or held < space.fill_floor[level]:
        return False
    block = space.block[level]
    # Instances in use are all spatial loops over those inside; without throttling the run takes MACs / all.
    f[LEAK] += space.leak[level] / f[SPATIAL]
    f[ENERGY] += space.leak[level] / f[SPATIAL] * space.macs
    outside = _outside(space, x)
    if level < space.watch and not outermost:
        _unwatch(space, f, child)
    reads, writes = 0.0, 0.0
    slow = not outermost and level != space.watch and space.limited[level]
    least_reads, least_writes, most_reads, most_writes, terms = 0.0, 0.0, 0.0, 0.0, 0
    compute = space.macs / f[SPATIAL]
    watched_reads, watched_writes = 0.0, 0.0  # words per cycle, summed as the cost model does: it decides the last bit
    for s in range(spaces):
        if not keep[s]:
            continue
        c = SPACE + s * PER_SPACE
        if s == space.sliding and f[z + LMOVE] > 0:  # links across this level: the best case
            f[c + PENDING] /= f[z + LBOUND]
            f[c + SAVABLE] /= f[z + LBOUND]
            f[z + LMOVE] = 0.0
        pending = f[c + PENDING]
        first = space.first_visits[level, s]
        closed = f[c + MODE] == CLOSED
        if slow:
            sure = pending * _least(space, f, s)
            fills = space.words[s] * outside
            most_reads += max(0.0, pending - first) + (fills if space.holes[s] else 0.0)  # links count as reads
            most_writes += fills + (pending if space.read_write[s] else 0.0)
            least_reads += 0.0 if space.read_write[s] else sure
            least_writes += sure if space.read_write[s] else 0.0
            terms += 1
        if outermost:
            _close(space, f, s, child[s])
            pending = np.floor(f[c + PENDING] + 0.5)
            closed = True
            served = f[c + SURE] + f[c + SERVED] + (f[z + EREADS] if s == space.sliding else 0.0)
            served = np.floor(served + 0.5)
            fills = max(0.0, pending - space.first_visits[space.watch, s]) if child[s] == space.watch else 0.0
            watched_reads += max(0.0, served - space.first_visits[space.watch, s]) / compute
            watched_writes += (fills + (served if space.read_write[s] else 0.0)) / compute
        if level == space.watch:
            if closed:
                f[c + SURE] = np.floor(pending + 0.5)
            elif f[c + MODE] == OPEN:
                f[c + SERVED] = pending
            elif space.read_write[s] or f[c + SAVABLE] + pending * space.read[level] <= 0:
                f[c + SURE] = min(pending, space.touched[s])
            else:  # the echo's
                f[z + EREADS] = pending
        elif space.top[level]:
            sure = pending if closed else min(pending, space.touched[s])
            reads += max(0.0, sure - first)
            writes += sure if space.read_write[s] else 0.0
            if not outermost:
                writes += 0.0 if space.read_write[s] else space.touched[s]
        if space.top[level] and closed:
            pending = np.floor(pending + 0.5)
            e = _blocks(pending - first, block) * space.read[level]
            if space.read_write[s]:
                e += _blocks(pending, block) * space.update[level]
            f[ENERGY] += e
        else:
            e = pending * space.read[level] / block
            if space.read_write[s]:
                e += pending * space.update[level] / block
                if space.top[level]:
                    f[ENERGY] -= first * space.read[level] / block
                else:
                    f[FIRST_VISITS] += first * space.read[level] / block * space.share[level]
            e *= space.share[level]
            if closed:
                f[ENERGY] += e
            elif f[c + MODE] == OPEN:
                f[c + SAVABLE] += e
            else:  # these transfers are priced; loops further out along the zone's rank may still spare some
                f[ENERGY] -= f[z + EENERGY] / max(1.0, f[z + EFETCHES]) + f[z + EROUND]
                f[z + EROUND] = 0.0
                if child[s] >= 0 and space.top[child[s]]:
                    price = space.write[child[s]] / space.block[child[s]]
                    more = pending - space.first_visits[child[s], s]
                    whole = _blocks(np.floor(more + 0.5), space.block[child[s]]) * space.write[child[s]]
                    f[z + EROUND] = max(0.0, whole - more * price)
                    f[ENERGY] += f[z + EROUND] - space.first_visits[child[s], s] * price
                    e += pending * price
                f[ENERGY] += f[c + SAVABLE] + e
                f[z + EENERGY] = f[c + SAVABLE] + e
                for k in range(5):
                    f[z + ERANK + k] = f[z + ZRANK + k]
                f[c + SAVABLE] = 0.0
        if outermost:
            f[c + PENDING] = 0.0
            continue
        fills = space.words[s] * outside
        inner = f[c + SAVABLE] > 0
        if f[c + MODE] == OPEN and child[s] >= 0 and space.top[child[s]]:
            # an inner tile that is still open moves with this one; its own fills stay savable
            price = space.write[child[s]] / space.block[child[s]]
            f[c + SAVABLE] += pending * price
            f[ENERGY] -= space.first_visits[child[s], s] * price
        f[c + PENDING] = fills
        if not space.top[level]:
            f[c + SAVABLE] += fills * space.write[level] / block * space.share[level]
            if space.read_write[s]:
                f[FIRST_VISITS] += first * space.write[level] / block * space.share[level]
        f[c + MODE] = OPEN
        if s == space.sliding:
            for k in range(space.shared_ranks.shape[0]):
                f[z + EXTENT + k] = _extent(space, x, s, space.shared_ranks[k])
        if space.no_reuse[level, s] and not inner:  # else what is still open inside stands for both: the best case
            _close(space, f, s, level)
    if slow:
        f[LEAST_SLOW] = max(f[LEAST_SLOW], _cycles(space, level, least_reads, least_writes) / compute)
        most = _cycles(space, level, most_reads, most_writes) / compute
        # Rates that add up to the limit may exceed it by rounding.
        f[MOST_SLOW] = max(f[MOST_SLOW], most if most > 1.0 or terms < 2 or most < 1.0 - CLEAR else 1.0 + CLEAR)
    if level == space.watch:
        _watch(space, f, keep)
    elif space.top[level]:
        f[BANDWIDTH] = max(f[BANDWIDTH], _cycles(space, level, reads, writes))
    if outermost and space.watch >= 0 and watched_reads + watched_writes > 0:
        w = space.watch
        share = speed(watched_reads, watched_writes, space.read_bw[w], space.write_bw[w], space.shared_bw[w])
        f[BANDWIDTH] = max(f[BANDWIDTH], np.ceil(compute / share))
    return True


@kernel(forceinline=True)
def _cycles(space, level, reads, writes):  # type: ignore[no-untyped-def]
    """Cycles that a storage takes for so many words."""
    apart = max(reads / space.read_bw[level], writes / space.write_bw[level])
    return max(apart, (reads + writes) / space.shared_bw[level])


@kernel(forceinline=True)
def _watch(space, f, keep):  # type: ignore[no-untyped-def]
    """Forget the words of the watched storage where even the most that they may become slow nothing down."""
    z = SPACE + PER_SPACE * space.relevant.shape[0]
    reads, writes = f[z + EREADS], 0.0
    for s in range(space.relevant.shape[0]):
        if keep[s]:
            c = SPACE + s * PER_SPACE
            first = space.first_visits[space.watch, s]
            served = f[c + SURE] + f[c + SERVED]
            reads += max(0.0, served - first)
            writes += served if space.read_write[s] else 0.0
            writes += max(0.0, f[c + PENDING] - first)
    if _cycles(space, space.watch, reads, writes) <= space.macs / f[SPATIAL] * (1.0 - CLEAR):
        _forget(space, f)


@kernel(forceinline=True)
def _forget(space, f):  # type: ignore[no-untyped-def]
    """Nothing is known of the watched storage's words any more, or they do not matter."""
    f[SPACE + PER_SPACE * space.relevant.shape[0] + EREADS] = 0.0
    for s in range(space.relevant.shape[0]):
        f[SPACE + s * PER_SPACE + SURE] = 0.0
        f[SPACE + s * PER_SPACE + SERVED] = 0.0


@kernel(forceinline=True)
def _watched(space, f, child):  # type: ignore[no-untyped-def]
    """Cycles that the watched storage needs at least, whatever loops come outside it."""
    z = SPACE + PER_SPACE * space.relevant.shape[0]
    reads, writes = 0.0, 0.0
    if f[z + EREADS] > 0:
        reads += f[z + EREADS] * (1.0 - (1.0 / f[z + EFETCHES] if f[z + EENERGY] > 0 else 0.0))
    for s in range(space.relevant.shape[0]):
        c = SPACE + s * PER_SPACE
        first = space.first_visits[space.watch, s]
        least = _least(space, f, s)
        served = f[c + SURE] + f[c + SERVED] * least
        reads += max(0.0, served - first)
        writes += served if space.read_write[s] else 0.0
        if child[s] == space.watch:
            writes += max(0.0, f[c + PENDING] * least - first)
    return _cycles(space, space.watch, reads, writes)


@kernel(forceinline=True)
def _unwatch(space, f, child):  # type: ignore[no-untyped-def]
    """Another storage stands between the watched one and the outermost one: go on with the bound."""
    f[BANDWIDTH] = max(f[BANDWIDTH], _watched(space, f, child))
    _forget(space, f)


@kernel()
def _no_slower(space, a, b):  # type: ignore[no-untyped-def]
    """Whether the watched storage takes label a no longer than label b, whatever comes (both with the same key).

    The cost model's rounding may add a cycle. So either both are alike in every figure that it depends on, or a
    is faster by a cycle, or nowhere near the limit.

    Returns:
        −1 no; 0 both are alike; 1 a is faster, but for a cycle.
    """
    spaces = space.relevant.shape[0]
    z = SPACE + PER_SPACE * spaces
    alike = a[SPATIAL] == b[SPATIAL] and a[z + EREADS] == b[z + EREADS]
    counts = a[z + EREADS] > 0
    for s in range(spaces):
        c = SPACE + s * PER_SPACE
        counts = counts or a[c + SURE] > 0 or a[c + SERVED] > 0
        for k in range(PENDING, PER_SPACE):
            alike = alike and a[c + k] == b[c + k]
    if alike or not counts:
        return 0
    # what a's words may become at most beyond b's
    reads, writes = max(0.0, a[z + EREADS] - b[z + EREADS]), 0.0
    if b[z + EENERGY] > 0:
        for k in range(ERANK, LMOVE):
            if a[z + EENERGY] == 0 or a[z + k] != b[z + k]:
                reads = a[z + EREADS] - b[z + EREADS] * (1.0 - 1.0 / b[z + EFETCHES])
                break
    most_reads, most_writes = a[z + EREADS], 0.0
    for s in range(spaces):
        c = SPACE + s * PER_SPACE
        more = a[c + SURE] - b[c + SURE] + max(0.0, a[c + SERVED] - b[c + SERVED])
        reads += more
        most_reads += a[c + SURE] + a[c + SERVED]
        most_writes += a[c + PENDING]
        if space.read_write[s]:
            writes += more
            most_writes += a[c + SURE] + a[c + SERVED]
    w = space.watch
    enough = space.macs / a[SPATIAL] * (1.0 - CLEAR)
    if reads + space.read_bw[w] > 0 and most_reads > enough * space.read_bw[w]:
        return -1
    if writes + space.write_bw[w] > 0 and most_writes > enough * space.write_bw[w]:
        return -1
    if reads + writes + space.shared_bw[w] > 0 and most_reads + most_writes > enough * space.shared_bw[w]:
        return -1
    return 1


@kernel(forceinline=True)
def _least(space, f, s):  # type: ignore[no-untyped-def]
    """By what share loops further out may cut the pending transfers of a data space, at most."""
    c = SPACE + s * PER_SPACE
    if f[c + MODE] == CLOSED:
        return 1.0
    z = SPACE + PER_SPACE * space.relevant.shape[0]
    least = min(1.0, space.touched[s] / f[c + PENDING]) if f[c + PENDING] > 0 else 0.0
    if f[c + MODE] == ZONE:
        least = max(least, 1.0 - 1.0 / f[z + ZFETCHES])
    if s == space.sliding and f[z + LMOVE] > 0:
        least /= f[z + LBOUND]
    return least


@kernel(forceinline=True)
def _dominates(space, a, b):  # type: ignore[no-untyped-def]
    """Whether label a is at least as good as label b whatever comes (both with the same key)."""
    if a[SPATIAL] > b[SPATIAL] and space.may_throttle:
        return False  # more instances leak more while all wait for a storage's bandwidth
    if a[MOST_SLOW] > b[LEAST_SLOW]:
        return False  # a may be the slower one
    if a[SPATIAL] < b[SPATIAL] or a[BANDWIDTH] > b[BANDWIDTH] or a[USED_X] > b[USED_X] or a[USED_Y] > b[USED_Y]:
        return False
    slack = 1.0 + EPS
    if a[FIRST_VISITS] * slack < b[FIRST_VISITS]:
        return False
    spaces = space.relevant.shape[0]
    z = SPACE + PER_SPACE * spaces
    if a[LEAK] > b[LEAK] * slack or a[z + SLIDES] != b[z + SLIDES] or a[z + LMOVE] != b[z + LMOVE]:
        return False
    if b[z + LMOVE] > 0 and (a[z + LBOUND] != b[z + LBOUND] or a[z + LSPATIAL] != b[z + LSPATIAL]):
        return False
    energy = a[ENERGY]
    if b[z + EENERGY] > 0:
        for k in range(ERANK, LMOVE):
            if a[z + EENERGY] == 0 or a[z + k] != b[z + k]:
                energy += (
                    b[z + EENERGY] / b[z + EFETCHES] + b[z + EROUND]
                )  # what loops further out could spare b, at most
                break
        if a[z + EENERGY] < b[z + EENERGY]:
            energy += (b[z + EENERGY] - a[z + EENERGY]) / b[z + EFETCHES]
    for s in range(spaces):
        c = SPACE + s * PER_SPACE
        if a[c + PENDING] > b[c + PENDING] * slack:
            return False
        if b[c + MODE] == CLOSED:
            energy += a[c + SAVABLE]
            continue
        if a[c + MODE] != b[c + MODE] or a[c + SAVABLE] > b[c + SAVABLE] * slack:
            return False
        if s == space.sliding:
            first, last = (EXTENT, ZRANK) if b[c + MODE] == OPEN else (ZRANK, EENERGY)
            for k in range(first, last):
                if a[z + k] != b[z + k]:
                    return False
    if energy > b[ENERGY] * slack:
        return False
    if space.watch >= 0:
        faster = _no_slower(space, a, b)
        if faster < 0:
            return False
        if faster > 0:
            energy += a[LEAK] * a[SPATIAL]
    # An open label's own fills at a top level are priced when it closes, and not above its pending words.
    return energy <= b[ENERGY] * slack


@kernel()
def _most(space, level, start, key, axis, mesh, s):  # type: ignore[no-untyped-def]
    """Largest product ≤ mesh of factors that a key leaves, over dimensions that may go along an axis.

    ``s`` ≥ 0 asks for dimensions that this data space does not tell apart (or slides along) only; dimensions before
    ``start`` had their turn.
    """
    reached = space.reached
    if mesh >= reached.shape[0]:
        return mesh
    for p in range(np.int64(mesh) + 1):
        reached[p] = p == 1
    for d in range(start, space.size.shape[0]):
        if not (space.axis_x[level, d] if axis == 1 else space.axis_y[level, d]):
            continue
        if s >= 0 and space.relevant[s, d] and not space.slides[s, d]:
            continue
        have = digit(space, key, d)
        for p in range(np.int64(mesh), 0, -1):
            if not reached[p]:
                continue
            for g in range(have + 1, space.ndiv[d]):
                b = space.div[d, g] // space.div[d, have]
                if b * p > mesh or b > space.s_max[level, d]:
                    break
                if b * space.div[d, have] == space.div[d, g]:
                    reached[b * p] = True
    for p in range(np.int64(mesh), 0, -1):
        if reached[p]:
            return float(p)
    return 1.0


@kernel()
def _look_ahead(space, f, start, key):  # type: ignore[no-untyped-def]
    """Fill the tables of fan-out f for a key, where dimensions from ``start`` on may still be placed."""
    level = space.fans[f]
    space.fill_x[f, start, key] = _most(space, level, start, key, 1, space.mesh_x[level], -1)
    space.fill_y[f, start, key] = _most(space, level, start, key, 2, space.mesh_y[level], -1)
    for s in range(space.relevant.shape[0]):
        space.cast[f, start, key, s] = _most(space, level, start, key, 1, space.mesh_x[level], s) * _most(
            space, level, start, key, 2, space.mesh_y[level], s
        )


@kernel(forceinline=True)
def lower_bound(space, f, key, level, start, child, parents):  # type: ignore[no-untyped-def]
    """(energy, cycles) that no completion of a label inside ``level`` undercuts.

    Args:
        start: a fan-out's loops are placed in the order of the dimensions; this one may come next.
        child: (s,) storage whose tile is pending, −1 for the datapath.
        parents: (s, l) bool, which levels may serve it.
    """
    fan = 1.0
    for q in range(space.fans.shape[0]):
        if space.fans[q] > level:
            break
        first_left = start if space.fans[q] == level else 0
        if space.fill_x[q, first_left, key] == 0:
            _look_ahead(space, q, first_left, key)
        if space.fans[q] == level:
            fan *= min(space.fill_x[q, start, key], space.mesh_x[level] / f[USED_X])
            fan *= min(space.fill_y[q, start, key], space.mesh_y[level] / f[USED_Y])
        else:
            fan *= space.fill_x[q, 0, key] * space.fill_y[q, 0, key]
    energy = f[ENERGY] - f[FIRST_VISITS] * fan
    spaces = space.relevant.shape[0]
    z = SPACE + PER_SPACE * spaces
    if f[z + EENERGY] > 0:
        energy -= f[z + EENERGY] / f[z + EFETCHES] + f[z + EROUND]
    filled = (
        0.0  # what `outer` counts, too: the fills of a tile that the storage next to the outermost one never reuses
    )
    # What every level that may serve a data space spends on that, at least.
    direct = 0.0
    for s in range(spaces):
        c = SPACE + s * PER_SPACE
        words = f[c + PENDING]
        if level == space.storage.shape[0] - 1 and space.hands_on[s]:
            words = min(words, space.touched[s])
        elif f[c + MODE] != CLOSED:
            least = _least(space, f, s)
            words *= least
            energy += f[c + SAVABLE] * least
            # Where the outermost storage fills the next one, `outer` counts the words on both sides.
            if child[s] >= 0 and space.top[child[s]] and not (space.by_keep and level == 0 and child[s] == 1):
                energy += (
                    max(0.0, words - space.first_visits[child[s], s]) / space.block[child[s]] * space.write[child[s]]
                )
        elif space.by_keep and level == 0 and child[s] == 1:
            filled += _blocks(np.floor(words - space.first_visits[1, s] + 0.5), space.block[1]) * space.write[1]
        for q in range(space.fans.shape[0]):
            if space.fans[q] > level:
                break
            words /= space.cast[q, start if space.fans[q] == level else 0, key, s]
        space.words[s] = words
        best = np.inf
        for p in range(level + 1):
            if parents[s, p]:
                e = max(0.0, words - space.first_visits[p, s]) * space.read[p]
                if space.read_write[s]:
                    e += words * space.update[p]
                e *= space.share[p] / space.block[p]
                space.serve[p, s] = e
                best = min(best, e + space.reach[p, s])
        direct += best
    full = space.macs / (f[SPATIAL] * fan)
    slow = f[LEAST_SLOW] * (1.0 - CLEAR)
    cycles = max(full, full * slow, f[BANDWIDTH])
    if space.watch > level:
        cycles = max(cycles, _watched(space, f, child))
    # Each data space moved once through all that is still outside is one bound. The other one knows what the last
    # transfers from the outermost storage cost, for every choice of what the next storage keeps.
    least_energy, least_cycles, least_value = np.inf, np.inf, np.inf
    for k in range(space.held.shape[0]):
        e = energy - filled + space.outer[k, 1 if level > 0 else 0, key]
        if e == np.inf:
            continue
        reads, writes = 0.0, 0.0
        for s in range(spaces):
            if level == 0 and space.by_keep:
                if space.held[k, s] != (child[s] == 1):
                    e = np.inf
                elif not space.held[k, s]:
                    e += space.serve[0, s]
                continue
            best = np.inf
            near = True
            for p in range(level + 1):
                if parents[s, p] and space.outer_reach[k, p, s] < np.inf:
                    more = space.outer_reach[k, p, s]
                    if p > 0 or space.by_keep:
                        more += space.serve[p, s]
                    best = min(best, more)
                    near = near and p <= 1
            e += best
            if space.watch == 1 and space.held[k, s] and level > 0:
                first = space.first_visits[1, s]
                served = space.words[s] if near else min(space.words[s], space.touched[s])
                reads += max(0.0, served - first)
                writes += served if space.read_write[s] else space.touched[s]
        if e == np.inf:
            continue
        e = max(e, energy + direct)
        n = cycles
        if space.watch == 1 and level > 0:
            n = max(n, _cycles(space, 1, reads, writes))
        if n > space.most_cycles * (1.0 + EPS):
            continue
        e += f[LEAK] * max(0.0, f[SPATIAL] * n - space.macs, space.macs * (slow - 1.0))
        if space.bounded and (e > space.most_energy * (1.0 + EPS) or e * n > space.most_edp * (1.0 + EPS)):
            continue
        if space.figure != 0:
            least_energy, least_cycles = min(least_energy, e), min(least_cycles, n)
        elif e * n < least_value:
            least_energy, least_cycles, least_value = e, n, e * n
    return least_energy, least_cycles


@kernel(forceinline=True)
def _value(space, energy, cycles):  # type: ignore[no-untyped-def]
    """The figure that is minimised."""
    return energy * cycles if space.figure == 0 else (energy if space.figure == 1 else cycles)


@kernel(forceinline=True)
def worse(space, energy, cycles, best):  # type: ignore[no-untyped-def]
    """Whether a mapping of at least this energy and these cycles does not count, or is not below ``best``."""
    up = 1.0 + EPS
    if cycles > space.most_cycles * up:
        return True
    if space.bounded and (energy > space.most_energy * up or energy * cycles > space.most_edp * up):
        return True
    return _value(space, energy, cycles) * up >= best


@njit(cache=True)
def covers(edges):  # type: ignore[no-untyped-def]
    """(states, states) bool: whether state a allows every sequence of loops that state b allows.

    A state's successors have higher numbers or the same answer is found in a few rounds.
    """
    n, dims = edges.shape
    out = np.ones((n, n), np.bool_)
    changed = True
    while changed:
        changed = False
        for a in range(n - 1, -1, -1):
            for b in range(n - 1, -1, -1):
                if not out[a, b]:
                    continue
                for d in range(dims):
                    if edges[b, d] >= 0 and (edges[a, d] < 0 or not out[edges[a, d], edges[b, d]]):
                        out[a, b] = False
                        changed = True
                        break
    return out


@kernel(forceinline=True)
def _insert(space, F, I, new, head, covering, prune, least, must):  # type: ignore[no-untyped-def]
    """Put label ``new`` into its key's list unless one there dominates it; drop those that it dominates.

    A label stands in for another only if it may go on in every way the other may (``covering``), uses the ``least``
    instances of a fan-out if that one does, and has the loops that there ``must`` be (a bit per dimension) if that one
    has. Without ``prune`` every label stays.

    Returns:
        How many labels it was compared with, and one; negative if it was not put in.
    """
    if not prune:
        I[new, ALIVE] = 1
        return 1
    key = I[new, KEY]
    k = head[key]
    last = -1
    work = 1
    while k >= 0:
        work += 1
        following = I[k, NEXT]
        enough = I[new, USED] & must & ~I[k, USED] == 0 and (least == 0.0 or _uses(F[k], F[new], least))
        if enough and covering[I[k, STATE], I[new, STATE]] and _dominates(space, F[k], F[new]):
            return -work
        enough = I[k, USED] & must & ~I[new, USED] == 0 and (least == 0.0 or _uses(F[new], F[k], least))
        if enough and covering[I[new, STATE], I[k, STATE]] and _dominates(space, F[new], F[k]):
            I[k, ALIVE] = 0
            if last < 0:
                head[key] = following
            else:
                I[last, NEXT] = following
        else:
            last = k
        k = following
    I[new, NEXT] = head[key]
    head[key] = new
    I[new, ALIVE] = 1
    return work


@kernel(forceinline=True)
def _uses(a, b, least):  # type: ignore[no-untyped-def]
    """Whether label a uses at least as many instances of the fan-out at hand as b, or as many as it has to."""
    used = a[USED_X] * a[USED_Y]
    return used >= least or used >= b[USED_X] * b[USED_Y]


@njit(cache=True)
def promising(space, level, F, I, child, parents, best):  # type: ignore[no-untyped-def]
    """Indices of the labels that may still beat ``best``, now that it is known what ``level`` keeps."""
    out = np.empty(F.shape[0], np.int64)
    n = 0
    for k in range(F.shape[0]):
        energy, cycles = lower_bound(space, F[k], I[k, KEY], level, 0, child, parents)
        if not worse(space, energy, cycles, best):
            out[n] = k
            n += 1
    return out[:n]


@kernel(forceinline=True)
def _held(space, x, keep):  # type: ignore[no-untyped-def]
    words = 0.0
    for s in range(space.relevant.shape[0]):
        if keep[s]:
            words += _tile(space, x, s)
    return words


@kernel(forceinline=True)
def _fits(space, level, x, d, keep):  # type: ignore[no-untyped-def]
    """Whether x, grown along d, still fits wherever it has to be held (tiles only grow further out)."""
    if space.storage[level] and _held(space, x, keep) > space.capacity[level]:
        return False
    for s in range(space.relevant.shape[0]):
        if space.relevant[s, d] and space.room[level, s] < np.inf and _tile(space, x, s) > space.room[level, s]:
            return False
    return True


@njit(cache=True)
def diverse(space, I, bounds, candidates, width):  # type: ignore[no-untyped-def]
    """Of some labels the ``width`` most promising ones, the best bound first among labels of like size.

    A label with little inside has an optimistic bound; so labels are ranked among those with as much inside (to a
    factor of two), and the best ranks go on.
    """
    order = candidates[np.argsort(bounds[candidates], kind="mergesort")]
    if len(order) <= width:
        return order
    dims = space.size.shape[0]
    ahead = np.zeros(64, np.int64)  # labels already ranked, by log2 of the iterations inside
    rank = np.empty(len(order), np.int64)
    for q in range(len(order)):
        inside = 1.0
        for d in range(dims):
            inside *= space.div[d, digit(space, I[order[q], KEY], d)]
        size = int(min(63.0, np.log2(inside) + 1e-9))
        rank[q] = ahead[size] * len(order) + q
        ahead[size] += 1
    return order[np.argsort(rank)[:width]]


@njit(cache=True)
def _keep_best(space, I, bounds, first, last, width):  # type: ignore[no-untyped-def]
    """Of the labels ``first`` … ``last−1`` let only the ``width`` most promising ones live."""
    alive = np.flatnonzero(I[first:last, ALIVE] == 1) + first
    if len(alive) <= width:
        return
    I[first:last, ALIVE] = 0
    for k in diverse(space, I, bounds, alive, width):
        I[k, ALIVE] = 1


@njit(cache=True)
def grow_level(  # type: ignore[no-untyped-def]
    space, level, edges, covering, F, I, bounds, head, cursor, child, keep, parents, best, width, prune
):
    """Add every allowed sequence of loops of one level to every label, a loop at a time.

    The kernel makes no room and looks at no clock: it stops where the arrays are full or a slice of work is done, and
    goes on there when it is called again.

    Args:
        edges: (states, d) which loop orders may differ in cost, as an automaton: from a state, a loop over
            dimension d may come next if the entry is ≥ 0, and leads to that state; 0 is the start.
        covering: (states, states) see `covers`.
        F / I / bounds: labels; the first ``cursor[LABELS]`` are given, with nothing of this level yet (PRED −1, USED 0,
            STATE 0, ALIVE 1), those made are put behind them.
        head: (keys,) where the list of a key's labels begins, −1 for none.
        cursor: (CURSOR,) LABELS and LAST the number of labels given, the rest 0 at the first call.
        child / keep / parents: see `lower_bound` and `settle`.
        best: value to beat; labels that cannot are dropped.
        width: how many labels go on from each number of loops.
        prune: drop labels that another dominates.

    Returns:
        DONE; FULL: the arrays have no room for a label's children by one factor; PAUSED: a slice of work is done.
        PRED counts in the same arrays (−1: no loop of this level), ALIVE says which labels may stop here.
    """
    fanout = not space.storage[level]
    dims = space.size.shape[0]
    low = space.s_min[level] if fanout else space.t_min[level]
    high = space.s_max[level] if fanout else space.t_max[level]
    least = space.least_used[level]
    must = np.int64(0)
    for d in range(dims):
        if low[d] > 1:
            must |= np.int64(1) << d
    n, first, last = cursor[LABELS], cursor[FIRST], cursor[LAST]
    start, start_dim, start_divisor = cursor[AT], cursor[AT_DIM], cursor[AT_DIVISOR]
    x = np.empty(dims, np.int64)
    if cursor[BEGUN] == 0:
        cursor[BEGUN] = 1
        if must == 0:
            for k in range(n):
                I[k, NEXT] = head[I[k, KEY]]
                head[I[k, KEY]] = k
        _keep_best(space, I, bounds, first, last, width)
    work = 0
    while first < last:  # all labels with one loop more each time round
        for k in range(start, last):
            if I[k, ALIVE] != 1:
                continue
            key = I[k, KEY]
            _placed(space, key, x)
            for d in range(start_dim, dims):
                state = edges[I[k, STATE], d]
                if state < 0:
                    continue
                have = digit(space, key, d)
                inside = x[d]
                for g in range(max(have + 1, start_divisor), space.ndiv[d]):
                    b = space.div[d, g] // inside
                    if b > high[d]:
                        break
                    if b * inside != space.div[d, g] or b < low[d]:
                        continue
                    if n + WAYS > F.shape[0] or work > SLICE:
                        cursor[LABELS], cursor[FIRST], cursor[LAST] = n, first, last
                        cursor[AT], cursor[AT_DIM], cursor[AT_DIVISOR] = k, d, g
                        return PAUSED if work > SLICE else FULL
                    work += 1
                    x[d] = space.div[d, g]
                    fits = _fits(space, level, x, d, keep)
                    x[d] = inside
                    if not fits:
                        break
                    grown = key + (g - have) * space.stride[d]
                    for way in range(2, 2 + WAYS) if fanout else range(1):
                        axis, link = way // 2, way % 2 == 1
                        if link and (space.sliding < 0 or not space.slides[space.sliding, d]):
                            continue
                        if axis == 1 and (not space.axis_x[level, d] or F[k, USED_X] * b > space.mesh_x[level]):
                            continue
                        if axis == 2 and (not space.axis_y[level, d] or F[k, USED_Y] * b > space.mesh_y[level]):
                            continue
                        F[n] = F[k]
                        if fanout:
                            valid = add_spatial(space, F[n], x, level, d, b, axis, child, link)
                        else:
                            valid = add_temporal(space, F[n], x, d, b, child)
                        if not valid:
                            continue
                        energy, cycles = lower_bound(space, F[n], grown, level, d + 1 if fanout else 0, child, parents)
                        if worse(space, energy, cycles, best):
                            continue
                        bounds[n] = _value(space, energy, cycles)
                        I[n, KEY], I[n, PRED], I[n, DIM], I[n, BOUND], I[n, AXIS] = grown, k, d, b, axis
                        I[n, USED], I[n, STATE] = I[k, USED] | (np.int64(1) << d), state
                        compared = _insert(space, F, I, n, head, covering, prune, least, must)
                        work += abs(compared)
                        if compared > 0:
                            n += 1
                start_divisor = 0
            start_dim = 0
        first, last, start = last, n, last
        _keep_best(space, I, bounds, first, last, width)
    for k in range(n):
        if I[k, USED] & must != must:
            I[k, ALIVE] = 0
    cursor[LABELS] = n
    return DONE


@njit(cache=True)
def close_level(  # type: ignore[no-untyped-def]
    space, level, F, I, bounds, order, head, cursor, needed, child, keep, after, parents, best, prune
):
    """Finish a level: settle storages, free the axes of fan-outs, drop what cannot win or is dominated.

    Like `grow_level` it stops when a slice of work is done.

    Args:
        F / I: labels, changed in place; ALIVE says in the end which remain.
        bounds / order: (n,) filled: their bounds; the labels that may remain (``cursor[LABELS]``), best bound first.
        cursor: (CURSOR,) 0 at the first call.
        needed: (2,) changed: the least words that any label needed here, the most instances that any used.
        after: (s,) `child` as it is outside this level.
        parents: (s, l) who may serve it there.

    Returns:
        DONE or PAUSED.
    """
    n = F.shape[0]
    spaces = space.relevant.shape[0]
    x = np.empty(space.size.shape[0], np.int64)
    z = SPACE + PER_SPACE * spaces
    work = 0
    for k in range(cursor[AT], n):
        if work > SLICE:
            cursor[AT] = k
            return PAUSED
        work += 2
        f = F[k]
        bounds[k] = np.inf
        if space.storage[level]:
            _placed(space, I[k, KEY], x)
            needed[0] = min(needed[0], _held(space, x, keep))
            if not settle(space, f, x, level, keep, child, False):
                continue
        else:
            used = f[USED_X] * f[USED_Y]
            needed[1] = max(needed[1], used)
            if used < space.least_used[level]:
                continue
            f[USED_X] = 1.0
            f[USED_Y] = 1.0
            f[z + SLIDES] = 0.0
            if f[z + LMOVE] > 0 and f[z + LSPATIAL] == 0:
                f[z + LSPATIAL] = f[SPATIAL]
            if space.top[level]:
                f[ENERGY] -= f[FIRST_VISITS]
                f[FIRST_VISITS] = 0.0
        energy, cycles = lower_bound(space, f, I[k, KEY], level - 1, 0, after, parents)
        if not worse(space, energy, cycles, best):
            bounds[k] = _value(space, energy, cycles)
    cursor[AT] = n
    if cursor[BEGUN] == 0:
        cursor[BEGUN] = 1
        order[:] = np.argsort(
            bounds, kind="mergesort"
        )  # stable: equal labels stay in the order in which they were made
    anything = np.ones((1, 1), np.bool_)
    m = cursor[LABELS]
    for q in range(cursor[FIRST], n):
        k = order[q]
        if bounds[k] == np.inf:
            break
        if work > SLICE:
            cursor[LABELS], cursor[FIRST] = m, q
            return PAUSED
        I[k, STATE] = 0
        compared = _insert(space, F, I, k, head, anything, prune, 0.0, 0)
        work += abs(compared)
        if compared > 0:
            order[m] = k
            m += 1
    cursor[LABELS] = m
    return DONE


@njit(cache=True)
def _distinct(orders, mask, out):  # type: ignore[no-untyped-def]
    """Mark the orders that differ from all before them in the dimensions of a bit mask."""
    dims = orders.shape[1]
    short = np.empty((orders.shape[0], dims), np.int64)
    for q in range(orders.shape[0]):
        n = 0
        for d in orders[q]:
            if mask >> d & 1:
                short[q, n] = d
                n += 1
        out[q] = 1
        for p in range(q):
            same = out[p] == 1
            for k in range(n):
                if short[p, k] != short[q, k]:
                    same = False
                    break
            if same:
                out[q] = 0
                break


@kernel(forceinline=True)
def _nowhere_more(rows, a, b):  # type: ignore[no-untyped-def]
    for s in range(rows.shape[1]):
        if rows[a, s] > rows[b, s]:
            return False
    return True


@njit(cache=True)
def outer_words(space, orders, begin, end):  # type: ignore[no-untyped-def]
    """Words that every data space takes from the outermost storage, by what stands inside its loops.

    They depend on the problem and the orders alone. Of the orders that a key leaves, those are kept that no
    other one betters for every data space.

    Args:
        orders: (orders, d) dimensions, inner → outer.
        begin / end: the keys to look at.

    Returns:
        (keys + 1,) where the rows of each of these keys start, and the rows (rows, s).
    """
    dims, spaces = space.size.shape[0], space.relevant.shape[0]
    z = SPACE + PER_SPACE * spaces
    start = np.zeros(end - begin + 1, np.int64)
    rows = np.empty((4 * (end - begin), spaces))
    n = 0
    f = np.zeros(z + SLIDING)
    x = np.empty(dims, np.int64)
    child = np.full(spaces, -1, np.int64)
    differs = np.full((1 << dims, orders.shape[0]), -1, np.int8)
    for key in range(begin, end):
        _placed(space, key, x)
        mask = 0
        for d in range(dims):
            if x[d] < space.size[d]:
                mask |= 1 << d
        if differs[mask, 0] < 0:
            _distinct(orders, mask, differs[mask])
        outside = _outside(space, x)
        for q in range(orders.shape[0]):
            if differs[mask, q] == 0:
                continue
            _placed(space, key, x)
            f[:] = 0.0
            for s in range(spaces):
                c = SPACE + s * PER_SPACE
                f[c + PENDING] = _tile(space, x, s) * outside
                f[c + MODE] = OPEN
                if s == space.sliding:
                    for k in range(space.shared_ranks.shape[0]):
                        f[z + EXTENT + k] = _extent(space, x, s, space.shared_ranks[k])
            for d in orders[q]:
                b = space.size[d] // x[d]
                if b > 1:
                    add_temporal(space, f, x, d, b, child)
                    x[d] = space.size[d]
            if n == rows.shape[0]:
                more = np.empty((2 * n, spaces))
                more[:n] = rows
                rows = more
            for s in range(spaces):
                rows[n, s] = np.floor(f[SPACE + s * PER_SPACE + PENDING] + 0.5)
            m = start[key - begin]
            for r in range(start[key - begin], n):
                if _nowhere_more(rows, r, n):
                    m = -1
                    break
            if m < 0:
                continue
            for r in range(start[key - begin], n):
                if not _nowhere_more(rows, n, r):
                    for s in range(spaces):
                        rows[m, s] = rows[r, s]
                    m += 1
            for s in range(spaces):
                rows[m, s] = rows[n, s]
            n = m + 1
        start[key + 1 - begin] = n
    return start, rows[:n].copy()


@njit(cache=True)
def outer_floor(space, start, rows, begin, end):  # type: ignore[no-untyped-def]
    """Fill ``space.outer[:, 0]`` from `outer_words`: the least energy to fill the storage next to the outermost one.

    The words of what it keeps are priced on both sides, for the best order of the outermost loops. What it does not
    keep is served from outside and not counted here. Where no storage stands next to the outermost one, all data spaces
    are counted, on the outermost side only. ``start`` and ``rows`` are those of the keys ``begin`` … ``end − 1``.
    """
    dims, spaces = space.size.shape[0], space.relevant.shape[0]
    price = space.share[0] / space.block[0]
    cost = np.empty(rows.shape)
    for r in range(rows.shape[0]):
        for s in range(spaces):
            # Fan-outs may ask for fewer elements than the box that they span: each is taken to cross once.
            words = space.touched[s] if space.holes[s] and not space.by_keep else rows[r, s]
            more = words - space.first_visits[0, s]
            if space.by_keep:
                e = _blocks(more, space.block[0]) * space.read[0]
                e += _blocks(words - space.first_visits[1, s], space.block[1]) * space.write[1]
                if space.read_write[s]:
                    e += _blocks(words, space.block[0]) * space.update[0]
            else:
                e = more * space.read[0] * price + (words * space.update[0] * price if space.read_write[s] else 0.0)
            cost[r, s] = e
    choices = space.held.shape[0]
    x = np.empty(dims, np.int64)
    tile = np.empty(spaces)
    for key in range(begin, end):
        _placed(space, key, x)
        space.outer[:, 0, key] = np.inf
        allowed = True
        for d in range(dims):
            b = space.size[d] // x[d]
            allowed = allowed and space.t_min[0, d] <= b <= space.t_max[0, d]
        if not allowed:
            continue
        for s in range(spaces):
            tile[s] = _tile(space, x, s)
        for k in range(choices):
            words = 0.0
            for s in range(spaces):
                words += tile[s] if space.held[k, s] else 0.0
            if space.by_keep and words > space.capacity[1]:
                continue
            least = np.inf
            for r in range(start[key - begin], start[key - begin + 1]):
                total = 0.0
                for s in range(spaces):
                    total += cost[r, s] if space.held[k, s] or not space.by_keep else 0.0
                least = min(least, total)
            space.outer[k, 0, key] = least


@kernel()
def outer_later(space, k):  # type: ignore[no-untyped-def]
    """Fill ``space.outer[k, 1]``: the least of ``outer[k, 0]`` over all that may still be placed inside."""
    keys = space.outer.shape[2]
    for key in range(keys):
        space.outer[k, 1, key] = space.outer[k, 0, key]
    for d in range(space.size.shape[0]):
        step, n = space.stride[d], space.ndiv[d]
        for have in range(n - 1, -1, -1):
            for g in range(have + 1, n):
                if space.div[d, g] % space.div[d, have] != 0:
                    continue
                for first in range(have * step, keys, step * n):
                    for key in range(first, first + step):
                        more = space.outer[k, 1, key + (g - have) * step]
                        if more < space.outer[k, 1, key]:
                            space.outer[k, 1, key] = more


@njit(cache=True)
def complete(space, orders, F, I, child, keep, best):  # type: ignore[no-untyped-def]
    """Place all that is left in the loops of the outermost storage, in each of the given orders.

    Args:
        orders: (orders, d) dimensions, inner → outer.

    Returns:
        (labels, orders) the figure that is minimised; inf where it cannot be below ``best``, or where another order is
        the same for the loops that are left.
    """
    n = F.shape[0]
    dims = space.size.shape[0]
    values = np.full((n, orders.shape[0]), np.inf)
    f = np.empty(F.shape[1])
    x = np.empty(dims, np.int64)
    differs = np.full((1 << dims, orders.shape[0]), -1, np.int8)  # by the dimensions that are left; −1: not yet known
    for k in range(n):
        _placed(space, I[k, KEY], x)
        fits = True
        mask = 0
        for d in range(dims):
            b = space.size[d] // x[d]
            if b < space.t_min[0, d] or b > space.t_max[0, d]:
                fits = False
            if b > 1:
                mask |= 1 << d
        if not fits:
            continue
        if differs[mask, 0] < 0:
            _distinct(orders, mask, differs[mask])
        for q in range(orders.shape[0]):
            if differs[mask, q] == 0:
                continue
            f[:] = F[k]
            _placed(space, I[k, KEY], x)
            valid = True
            for d in orders[q]:
                b = space.size[d] // x[d]
                if b > 1:
                    valid = valid and add_temporal(space, f, x, d, b, child)
                    x[d] = space.size[d]
            if not valid or f[SPACE + PER_SPACE * space.relevant.shape[0] + LMOVE] > 0:
                continue
            if not settle(space, f, x, 0, keep, child, True):
                continue
            slow = space.macs / f[SPATIAL] * f[LEAST_SLOW] * (1.0 - CLEAR)
            cycles = max(space.macs / f[SPATIAL], np.ceil(max(f[BANDWIDTH] * (1.0 - EPS), slow)))
            energy = f[ENERGY] + f[LEAK] * (f[SPATIAL] * cycles - space.macs)
            if not worse(space, energy, cycles, best):
                values[k, q] = _value(space, energy, cycles)
    return values
