"""Which labels stand in for others, and which go on.

Two labels with the same key at the same point have the same ways to go on. One that is worse in every
figure that matters can be dropped: whatever completes it completes the other one at no higher cost.
"""

from __future__ import annotations

import numpy as np

from hwsim.kernel import BoolArray, FloatArray, IntArray, kernel, njit
from hwsim.mapper.arrays import Space, digit
from hwsim.mapper.label import CLEAR, CLOSED, EPS, OPEN, Echo, Label, Labels, Records, Zone


@kernel(forceinline=True)
def _same_zone(a: Zone, b: Zone) -> bool:
    same = a.rank == b.rank and a.fetches == b.fetches and a.cost == b.cost
    return same and a.usual == b.usual and a.swept == b.swept


@kernel(forceinline=True)
def _may_gain(a: Echo, b: Echo) -> bool:
    """Whether loops further out could spare b's echo more than a's."""
    return b.energy > 0 and (a.energy == 0 or not _same_zone(a.zone, b.zone))


@kernel()
def _no_slower(space: Space, a: Label, a_tiles: Records, b: Label, b_tiles: Records) -> int:
    """Whether the watched storage takes label a no longer than label b, whatever comes (both with the same key).

    The cost model's rounding may add a cycle. So either both are alike in every figure that it depends on, or a
    is faster by a cycle, or nowhere near the limit.

    Returns:
        −1 no; 0 both are alike; 1 a is faster, but for a cycle.
    """
    alike = a.spatial == b.spatial and a.echo.served == b.echo.served
    counts = a.echo.served > 0
    for s in range(a_tiles.shape[0]):
        ta, tb = a_tiles[s], b_tiles[s]
        counts = counts or ta.sure > 0 or ta.served > 0
        alike = alike and ta.pending == tb.pending and ta.mode == tb.mode
        alike = alike and ta.sure == tb.sure and ta.served == tb.served
    if alike or not counts:
        return 0
    # what a's words may become at most beyond b's
    reads, writes = max(0.0, a.echo.served - b.echo.served), 0.0
    if _may_gain(a.echo, b.echo):
        reads = a.echo.served - b.echo.served * (1.0 - 1.0 / b.echo.zone.fetches)
    most_reads, most_writes = a.echo.served, 0.0
    for s in range(a_tiles.shape[0]):
        ta, tb = a_tiles[s], b_tiles[s]
        more = ta.sure - tb.sure + max(0.0, ta.served - tb.served)
        reads += more
        most_reads += ta.sure + ta.served
        most_writes += ta.pending
        if space.operands[s].read_write:
            writes += more
            most_writes += ta.sure + ta.served
    _levels, w = space.levels, space.watch
    enough = space.work.macs / a.spatial * (1.0 - CLEAR)
    if reads + space.levels[w].read_bw > 0 and most_reads > enough * space.levels[w].read_bw:
        return -1
    if writes + space.levels[w].write_bw > 0 and most_writes > enough * space.levels[w].write_bw:
        return -1
    shared = space.levels[w].shared_bw
    return -1 if reads + writes + shared > 0 and most_reads + most_writes > enough * shared else 1


@kernel(forceinline=True)
def _no_worse_at_once(space: Space, a: Label, b: Label) -> bool:
    """Whether label a is at least as good in what does not hang on its tiles, and waits for the same."""
    if a.spatial > b.spatial and space.may_throttle:
        return False  # more instances leak more while all wait for a storage's bandwidth
    if a.most_slow > b.least_slow:
        return False  # a may be the slower one
    if a.spatial < b.spatial or a.bandwidth > b.bandwidth or a.used_x > b.used_x or a.used_y > b.used_y:
        return False
    slack = 1.0 + EPS
    if a.first_visits * slack < b.first_visits:
        return False
    if a.leak > b.leak * slack or a.slides != b.slides or a.link.move != b.link.move:
        return False
    return not (b.link.move > 0 and (a.link.bound != b.link.bound or a.link.spatial != b.link.spatial))


@kernel(forceinline=True)
def _same_window(a: Label, b: Label, mode: float) -> bool:
    """Whether the sliding tiles of two labels are alike in what loops further out ask of them."""
    if mode == OPEN:
        for k in range(a.extent.shape[0]):
            if a.extent[k] != b.extent[k]:
                return False
        return True
    return _same_zone(a.zone, b.zone)


@kernel(forceinline=True)
def dominates(space: Space, a: Label, a_tiles: Records, b: Label, b_tiles: Records) -> bool:
    """Whether label a is at least as good as label b whatever comes (both with the same key)."""
    if not _no_worse_at_once(space, a, b):
        return False
    slack = 1.0 + EPS
    energy = a.energy
    if b.echo.energy > 0:
        if _may_gain(a.echo, b.echo):
            energy += b.echo.energy / b.echo.zone.fetches + b.echo.rounding  # what b could be spared, at most
        if a.echo.energy < b.echo.energy:
            energy += (b.echo.energy - a.echo.energy) / b.echo.zone.fetches
    for s in range(a_tiles.shape[0]):
        ta, tb = a_tiles[s], b_tiles[s]
        if ta.pending > tb.pending * slack:
            return False
        if tb.mode == CLOSED:
            energy += ta.savable
            continue
        if ta.mode != tb.mode or ta.savable > tb.savable * slack:
            return False
        if s == space.work.sliding and not _same_window(a, b, tb.mode):
            return False
    if energy > b.energy * slack:
        return False
    if space.watch >= 0:
        faster = _no_slower(space, a, a_tiles, b, b_tiles)
        if faster < 0:
            return False
        if faster > 0:
            energy += a.leak * a.spatial
    # An open label's own fills at a top level are priced when it closes, and not above its pending words.
    return energy <= b.energy * slack


@njit(cache=True)
def covers(edges: IntArray) -> BoolArray:
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
def _uses(a: Label, b: Label, least: float) -> bool:
    """Whether label a uses at least as many instances of the fan-out at hand as b, or as many as it has to."""
    used = a.used_x * a.used_y
    return used >= least or used >= b.used_x * b.used_y


@kernel(forceinline=True)
def _stands_in(space: Space, table: Labels, a: int, b: int, covering: BoolArray, least: float, must: int) -> bool:
    """Whether label a may stand in for label b; see `insert`."""
    one, other = table.origin[a], table.origin[b]
    if other.used & must & ~one.used != 0:
        return False
    if least != 0.0 and not _uses(table.label[a], table.label[b], least):
        return False
    return covering[one.state, other.state] and dominates(
        space, table.label[a], table.tile[a], table.label[b], table.tile[b]
    )


@kernel(forceinline=True)
def insert(
    space: Space, table: Labels, new: int, head: IntArray, covering: BoolArray, prune: bool, least: float, must: int
) -> int:
    """Put label ``new`` into its key's list unless one there dominates it; drop those that it dominates.

    A label stands in for another only if it may go on in every way the other may (``covering``), uses the ``least``
    instances of a fan-out if that one does, and has the loops that there ``must`` be (a bit per dimension) if that one
    has. Without ``prune`` every label stays.

    Returns:
        How many labels it was compared with, and one; negative if it was not put in.
    """
    origin = table.origin
    if not prune:
        origin[new].alive = 1
        return 1
    key = origin[new].key
    k = head[key]
    last = -1
    work = 1
    while k >= 0:
        work += 1
        following = origin[k].next
        if _stands_in(space, table, k, new, covering, least, must):
            return -work
        if _stands_in(space, table, new, k, covering, least, must):
            origin[k].alive = 0
            if last < 0:
                head[key] = following
            else:
                origin[last].next = following
        else:
            last = k
        k = following
    origin[new].next = head[key]
    head[key] = new
    origin[new].alive = 1
    return work


@njit(cache=True)
def diverse(space: Space, origin: Records, bounds: FloatArray, candidates: IntArray, width: int) -> IntArray:
    """Of some labels the ``width`` most promising ones, the best bound first among labels of like size.

    A label with little inside has an optimistic bound; so labels are ranked among those with as much inside (to a
    factor of two), and the best ranks go on.
    """
    order = candidates[np.argsort(bounds[candidates], kind="mergesort")]
    if len(order) <= width:
        return order
    dims = space.keys.size.shape[0]
    ahead = np.zeros(64, np.int64)  # labels already ranked, by log2 of the iterations inside
    rank = np.empty(len(order), np.int64)
    for q in range(len(order)):
        inside = 1.0
        for d in range(dims):
            inside *= space.keys.div[d, digit(space, origin[order[q]].key, d)]
        size = int(min(63.0, np.log2(inside) + 1e-9))
        rank[q] = ahead[size] * len(order) + q
        ahead[size] += 1
    return order[np.argsort(rank)[:width]]


@njit(cache=True)
def keep_best(space: Space, origin: Records, bounds: FloatArray, first: int, last: int, width: int) -> None:
    """Of the labels ``first`` … ``last−1`` let only the ``width`` most promising ones live."""
    alive = np.empty(last - first, np.int64)
    n = 0
    for k in range(first, last):
        if origin[k].alive == 1:
            alive[n] = k
            n += 1
    if n <= width:
        return
    for k in range(first, last):
        origin[k].alive = 0
    for k in diverse(space, origin, bounds, alive[:n], width):
        origin[k].alive = 1
