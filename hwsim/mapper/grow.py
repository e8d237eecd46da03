"""A level around many labels: every loop that it may have, then what remains of them.

The kernels make no room and look at no clock: they stop where the arrays are full or a slice of work is done, and
go on there when they are called again.
"""

from __future__ import annotations

import numpy as np

from hwsim.kernel import BoolArray, FloatArray, IntArray, kernel, njit
from hwsim.mapper.arrays import Space, digit, held_words, placed, tile_words
from hwsim.mapper.bound import lower_bound, value_of, worse
from hwsim.mapper.front import insert, keep_best
from hwsim.mapper.label import Cursor, Label, Labels
from hwsim.mapper.settle import settle
from hwsim.mapper.step import add_spatial, add_temporal

DONE, FULL, PAUSED = range(3)
WAYS = 4  # a spatial factor's: along X or Y, with links or without
SLICE = 300_000  # partial mappings made or compared in one call: some hundredths of a second


@kernel(forceinline=True)
def _fits(space: Space, level: int, x: IntArray, d: int, keep: BoolArray) -> bool:
    """Whether x, grown along d, still fits wherever it has to be held (tiles only grow further out)."""
    if space.levels[level].storage and held_words(space, x, keep) > space.levels[level].capacity:
        return False
    for s in range(space.work.relevant.shape[0]):
        room = space.uses[level, s].room
        if space.work.relevant[s, d] and room < np.inf and tile_words(space, x, s) > room:
            return False
    return True


@kernel(forceinline=True)
def _grown_fits(space: Space, level: int, x: IntArray, d: int, size: int, keep: BoolArray) -> bool:
    """`_fits` with another size along d."""
    inside = x[d]
    x[d] = size
    fits = _fits(space, level, x, d, keep)
    x[d] = inside
    return fits


@kernel(forceinline=True)
def _way_open(space: Space, label: Label, level: int, d: int, b: int, axis: int, link: bool) -> bool:
    """Whether a loop may go that way: along an axis that has room, with links where windows slide."""
    work, _loops = space.work, space.loops
    if link and (work.sliding < 0 or not work.slides[work.sliding, d]):
        return False
    if axis == 1:
        return space.loops[level, d].along_x and label.used_x * b <= space.levels[level].mesh_x
    return axis == 0 or (space.loops[level, d].along_y and label.used_y * b <= space.levels[level].mesh_y)


@kernel(forceinline=True)
def _dims_needed(space: Space, level: int) -> np.int64:
    """A bit per dimension of which the level must have a loop."""
    must = np.int64(0)
    for d in range(space.keys.size.shape[0]):
        if space.loops[level, d].low > 1:
            must |= np.int64(1) << d
    return must


@kernel(forceinline=True)
def _begin(table: Labels, cursor: Cursor, head: IntArray, must: int) -> None:
    """Make the given labels those without a loop, and put them into their keys' lists where they may stay so."""
    cursor.begun = 1
    for k in range(cursor.labels):
        origin = table.origin[k]
        origin.pred = origin.dim = -1
        origin.used = origin.state = 0
        origin.alive = 1
        if must == 0:
            origin.next = head[origin.key]
            head[origin.key] = k


@kernel(forceinline=True)
def _child(
    space: Space,
    level: int,
    table: Labels,
    k: int,
    n: int,
    x: IntArray,
    d: int,
    b: int,
    way: int,
    child: IntArray,
) -> bool:
    """Make label n of label k by one more loop; False where that makes no sense."""
    table.label[n] = table.label[k]
    for s in range(table.tile.shape[1]):
        table.tile[n, s] = table.tile[k, s]
    if space.levels[level].storage:
        return add_temporal(space, table.label[n], table.tile[n], x, d, b, child)
    return add_spatial(space, table.label[n], table.tile[n], x, level, d, b, way // 2, child, way % 2 == 1)


@kernel(forceinline=True)
def _add_children(
    space: Space,
    level: int,
    table: Labels,
    bounds: FloatArray,
    head: IntArray,
    covering: BoolArray,
    k: int,
    n: int,
    x: IntArray,
    d: int,
    b: int,
    key: int,
    state: int,
    child: IntArray,
    parents: BoolArray,
    best: float,
    least: float,
    must: int,
    prune: bool,
) -> tuple[int, int]:
    """Put the labels that one more loop makes of label k at n and behind; returns where they end, and the work."""
    fanout = not space.levels[level].storage
    work = 0
    for way in range(2, 2 + WAYS) if fanout else range(1):
        if not _way_open(space, table.label[k], level, d, b, way // 2, way % 2 == 1):
            continue
        if not _child(space, level, table, k, n, x, d, b, way, child):
            continue
        start = d + 1 if fanout else 0
        energy, cycles = lower_bound(space, table.label[n], table.tile[n], key, level, start, child, parents)
        if worse(space, energy, cycles, best):
            continue
        bounds[n] = value_of(space, energy, cycles)
        made = table.origin[n]
        made.key, made.pred, made.dim, made.bound, made.axis = key, k, d, b, way // 2
        made.used, made.state = table.origin[k].used | (np.int64(1) << d), state
        compared = insert(space, table, n, head, covering, prune, least, must)
        work += abs(compared)
        if compared > 0:
            n += 1
    return n, work


@njit(cache=True)
def grow_level(
    space: Space,
    level: int,
    edges: IntArray,
    covering: BoolArray,
    table: Labels,
    bounds: FloatArray,
    head: IntArray,
    cursor: Cursor,
    child: IntArray,
    keep: BoolArray,
    parents: BoolArray,
    best: float,
    width: int,
    prune: bool,
) -> int:
    """Add every allowed sequence of loops of one level to every label, a loop at a time.

    Args:
        edges: (states, d) which loop orders may differ in cost, as an automaton: from a state, a loop over
            dimension d may come next if the entry is ≥ 0, and leads to that state; 0 is the start.
        covering: (states, states) see `covers`.
        table / bounds: labels; those before ``cursor.labels`` are given, those made are put behind them.
        head: (keys,) where the list of a key's labels begins, −1 for none.
        cursor: `new_cursor` at the first call.
        child / keep / parents: see `lower_bound` and `settle`.
        best: value to beat; labels that cannot are dropped.
        width: how many labels go on from each number of loops.
        prune: drop labels that another dominates.

    Returns:
        DONE; FULL: the arrays have no room for a label's children by one factor; PAUSED: a slice of work is done.
        ``pred`` counts in the same arrays (−1: no loop of this level), ``alive`` says which labels may stop here.
    """
    not space.levels[level].storage
    div, dims = space.keys.div, space.keys.size.shape[0]
    loops = space.loops[level]
    least = space.levels[level].least_used
    must = _dims_needed(space, level)
    origin = table.origin
    x = np.empty(dims, np.int64)
    if cursor.begun == 0:
        _begin(table, cursor, head, must)
        keep_best(space, origin, bounds, cursor.first, cursor.last, width)
    n, first, last = cursor.labels, cursor.first, cursor.last
    start, start_dim, start_divisor = cursor.at, cursor.dim, cursor.divisor
    work = 0
    while first < last:  # all labels with one loop more each time round
        for k in range(start, last):
            if origin[k].alive != 1:
                continue
            key = origin[k].key
            placed(space, key, x)
            for d in range(start_dim, dims):
                state = edges[origin[k].state, d]
                if state < 0:
                    continue
                have = digit(space, key, d)
                inside = x[d]
                for g in range(max(have + 1, start_divisor), space.keys.ndiv[d]):
                    b = div[d, g] // inside
                    if b > loops[d].high:
                        break
                    if b * inside != div[d, g] or b < loops[d].low:
                        continue
                    if n + WAYS > table.label.shape[0] or work > SLICE:
                        cursor.labels, cursor.first, cursor.last = n, first, last
                        cursor.at, cursor.dim, cursor.divisor = k, d, g
                        return PAUSED if work > SLICE else FULL
                    work += 1
                    if not _grown_fits(space, level, x, d, div[d, g], keep):
                        break
                    grown = key + (g - have) * space.keys.stride[d]
                    n, more = _add_children(
                        space,
                        level,
                        table,
                        bounds,
                        head,
                        covering,
                        k,
                        n,
                        x,
                        d,
                        b,
                        grown,
                        state,
                        child,
                        parents,
                        best,
                        least,
                        must,
                        prune,
                    )
                    work += more
                start_divisor = 0
            start_dim = 0
        first, last, start = last, n, last
        keep_best(space, origin, bounds, first, last, width)
    for k in range(n):
        if origin[k].used & must != must:
            origin[k].alive = 0
    cursor.labels = n
    return DONE


@kernel(forceinline=True)
def _leave_fanout(space: Space, label: Label, level: int, needed: FloatArray) -> bool:
    """Free the axes of a fan-out; False where it uses too few instances."""
    used = label.used_x * label.used_y
    needed[1] = max(needed[1], used)
    if used < space.levels[level].least_used:
        return False
    label.used_x = 1.0
    label.used_y = 1.0
    label.slides = 0.0
    if label.link.move > 0 and label.link.spatial == 0:
        label.link.spatial = label.spatial
    if space.levels[level].top:
        label.energy -= label.first_visits
        label.first_visits = 0.0
    return True


@njit(cache=True)
def close_level(
    space: Space,
    level: int,
    table: Labels,
    bounds: FloatArray,
    order: IntArray,
    head: IntArray,
    cursor: Cursor,
    needed: FloatArray,
    child: IntArray,
    keep: BoolArray,
    after: IntArray,
    parents: BoolArray,
    best: float,
    prune: bool,
) -> int:
    """Finish a level: settle storages, free the axes of fan-outs, drop what cannot win or is dominated.

    Args:
        table: labels, changed in place; ``alive`` says in the end which remain.
        bounds / order: (n,) filled: their bounds; the labels that may remain (``cursor.labels``), best bound first.
        cursor: `new_cursor` at the first call.
        needed: (2,) changed: the least words that any label needed here, the most instances that any used.
        after: (s,) `child` as it is outside this level.
        parents: (s, l) who may serve it there.

    Returns:
        DONE or PAUSED.
    """
    n = table.label.shape[0]
    x = np.empty(space.keys.size.shape[0], np.int64)
    work = 0
    for k in range(cursor.at, n):
        if work > SLICE:
            cursor.at = k
            return PAUSED
        work += 2
        label, tiles, key = table.label[k], table.tile[k], table.origin[k].key
        bounds[k] = np.inf
        if space.levels[level].storage:
            placed(space, key, x)
            needed[0] = min(needed[0], held_words(space, x, keep))
            if not settle(space, label, tiles, x, level, keep, child, False):
                continue
        elif not _leave_fanout(space, label, level, needed):
            continue
        energy, cycles = lower_bound(space, label, tiles, key, level - 1, 0, after, parents)
        if not worse(space, energy, cycles, best):
            bounds[k] = value_of(space, energy, cycles)
    cursor.at = n
    if cursor.begun == 0:
        cursor.begun = 1
        order[:] = np.argsort(bounds, kind="mergesort")  # stable: equal labels stay in the order they were made
    anything = np.ones((1, 1), np.bool_)
    m = cursor.labels
    for q in range(cursor.first, n):
        k = order[q]
        if bounds[k] == np.inf:
            break
        if work > SLICE:
            cursor.labels, cursor.first = m, q
            return PAUSED
        table.origin[k].state = 0
        compared = insert(space, table, k, head, anything, prune, 0.0, 0)
        work += abs(compared)
        if compared > 0:
            order[m] = k
            m += 1
    cursor.labels = m
    return DONE
