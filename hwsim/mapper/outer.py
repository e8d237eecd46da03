"""What the loops of the outermost storage cost: complete mappings, and a bound by what stands inside them."""

from __future__ import annotations

import numpy as np

from hwsim.counting import access_energy, nearest
from hwsim.kernel import BoolArray, FloatArray, IntArray, kernel, njit
from hwsim.mapper.arrays import Space, outside, placed, set_extents, tile_words
from hwsim.mapper.bound import value_of, worse
from hwsim.mapper.label import CLEAR, EPS, OPEN, Label, Labels, Records
from hwsim.mapper.settle import settle
from hwsim.mapper.step import add_temporal


@njit(cache=True)
def _distinct_orders(orders: IntArray, mask: int, out: IntArray) -> None:
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
def _add_in_order(space: Space, label: Label, tiles: Records, x: IntArray, order: IntArray, child: IntArray) -> bool:
    """Put all that is left around a label, in an order of the dimensions; False where it waits for another loop."""
    valid = True
    for d in order:
        b = space.keys.size[d] // x[d]
        if b > 1:
            valid = valid and add_temporal(space, label, tiles, x, d, b, child)
            x[d] = space.keys.size[d]
    return valid


@kernel(forceinline=True)
def _nowhere_more(rows: FloatArray, a: int, b: int) -> bool:
    for s in range(rows.shape[1]):
        if rows[a, s] > rows[b, s]:
            return False
    return True


@kernel(forceinline=True)
def _keep_unbettered(rows: FloatArray, first: int, n: int) -> int:
    """Where the rows from ``first`` on end, once row n is among them and those that it betters are not."""
    for r in range(first, n):
        if _nowhere_more(rows, r, n):
            return n
    m = first
    for r in range(first, n):
        if not _nowhere_more(rows, n, r):
            for s in range(rows.shape[1]):
                rows[m, s] = rows[r, s]
            m += 1
    for s in range(rows.shape[1]):
        rows[m, s] = rows[n, s]
    return m + 1


@kernel(forceinline=True)
def _open_tiles(space: Space, label: Label, tiles: Records, x: IntArray) -> None:
    """Make a label that holds x, no tile of which has moved."""
    repeats = outside(space, x)
    label.link.move = label.echo.energy = 0.0
    for s in range(space.work.relevant.shape[0]):
        tiles[s].pending = tile_words(space, x, s) * repeats
        tiles[s].mode = OPEN
        tiles[s].savable = tiles[s].sure = tiles[s].served = 0.0
    if space.work.sliding >= 0:
        set_extents(space, label, x)


@njit(cache=True)
def outer_words(space: Space, orders: IntArray, begin: int, end: int) -> tuple[IntArray, FloatArray]:
    """Words that every data space takes from the outermost storage, by what stands inside its loops.

    They depend on the problem and the orders alone. Of the orders that a key leaves, those are kept that no
    other one betters for every data space.

    Args:
        orders: (orders, d) dimensions, inner → outer.
        begin / end: the keys to look at.

    Returns:
        (keys + 1,) where the rows of each of these keys start, and the rows (rows, s).
    """
    size = space.keys.size
    dims, spaces = size.shape[0], space.work.relevant.shape[0]
    start = np.zeros(end - begin + 1, np.int64)
    rows = np.empty((4 * (end - begin), spaces))
    n = 0
    label, tiles = space.scratch.label[0], space.scratch.tile[0]
    x = np.empty(dims, np.int64)
    child = np.full(spaces, -1, np.int64)
    differs = np.full((1 << dims, orders.shape[0]), -1, np.int8)
    for key in range(begin, end):
        placed(space, key, x)
        mask = _left(space, x)
        if differs[mask, 0] < 0:
            _distinct_orders(orders, mask, differs[mask])
        for q in range(orders.shape[0]):
            if differs[mask, q] == 0:
                continue
            placed(space, key, x)
            _open_tiles(space, label, tiles, x)
            _add_in_order(space, label, tiles, x, orders[q], child)
            if n == rows.shape[0]:
                more = np.empty((2 * n, spaces))
                more[:n] = rows
                rows = more
            for s in range(spaces):
                rows[n, s] = nearest(tiles[s].pending)
            n = _keep_unbettered(rows, start[key - begin], n)
        start[key + 1 - begin] = n
    return start, rows[:n].copy()


@kernel(forceinline=True)
def _left(space: Space, x: IntArray) -> int:
    """A bit per dimension of which something is left to be placed."""
    mask = 0
    for d in range(x.shape[0]):
        if x[d] < space.keys.size[d]:
            mask |= 1 << d
    return mask


@kernel(forceinline=True)
def _loops_allowed(space: Space, x: IntArray) -> bool:
    """Whether the outermost storage may have the loops that are left."""
    allowed = True
    for d in range(x.shape[0]):
        b = space.keys.size[d] // x[d]
        allowed = allowed and space.loops[0, d].low <= b <= space.loops[0, d].high
    return allowed


@kernel(forceinline=True)
def _outer_energy(space: Space, words: float, s: int) -> float:
    """pJ for so many words of a data space from the outermost storage, and into the next one if `Outer.by_keep`."""
    _levels, writes_back = space.levels, space.operands[s].read_write
    more = words - space.uses[0, s].first_visits
    if not space.outer.by_keep:
        price = space.levels[0].share / space.levels[0].block
        return more * space.levels[0].read * price + (words * space.levels[0].update * price if writes_back else 0.0)
    e = access_energy(more, space.levels[0].block, space.levels[0].read)
    e += access_energy(words - space.uses[1, s].first_visits, space.levels[1].block, space.levels[1].write)
    if writes_back:
        e += access_energy(words, space.levels[0].block, space.levels[0].update)
    return e


@njit(cache=True)
def outer_floor(space: Space, start: IntArray, rows: FloatArray, begin: int, end: int) -> None:
    """Fill ``space.outer.floor[:, 0]`` from `outer_words`: the least energy to fill the storage next to the outermost.

    The words of what it keeps are priced on both sides, for the best order of the outermost loops. What it does not
    keep is served from outside and not counted here. Where no storage stands next to the outermost one, all data spaces
    are counted, on the outermost side only. ``start`` and ``rows`` are those of the keys ``begin`` … ``end − 1``.
    """
    dims, spaces = space.keys.size.shape[0], space.work.relevant.shape[0]
    outer = space.outer
    cost = np.empty(rows.shape)
    for r in range(rows.shape[0]):
        for s in range(spaces):
            # Fan-outs may ask for fewer elements than the box that they span: each is taken to cross once.
            words = space.operands[s].touched if space.operands[s].holes and not outer.by_keep else rows[r, s]
            cost[r, s] = _outer_energy(space, words, s)
    x, tile = np.empty(dims, np.int64), np.empty(spaces)
    for key in range(begin, end):
        placed(space, key, x)
        outer.floor[:, 0, key] = np.inf
        if not _loops_allowed(space, x):
            continue
        for s in range(spaces):
            tile[s] = tile_words(space, x, s)
        for k in range(outer.held.shape[0]):
            words = 0.0
            for s in range(spaces):
                words += tile[s] if outer.held[k, s] else 0.0
            if outer.by_keep and words > space.levels[1].capacity:
                continue
            least = np.inf
            for r in range(start[key - begin], start[key - begin + 1]):
                total = 0.0
                for s in range(spaces):
                    total += cost[r, s] if outer.held[k, s] or not outer.by_keep else 0.0
                least = min(least, total)
            outer.floor[k, 0, key] = least


@kernel()
def outer_later(space: Space, k: int) -> None:
    """Fill ``space.outer.floor[k, 1]``: the least of ``floor[k, 0]`` over all that may still be placed inside."""
    floor, div = space.outer.floor, space.keys.div
    keys = floor.shape[2]
    for key in range(keys):
        floor[k, 1, key] = floor[k, 0, key]
    for d in range(space.keys.size.shape[0]):
        step, n = space.keys.stride[d], space.keys.ndiv[d]
        for have in range(n - 1, -1, -1):
            for g in range(have + 1, n):
                if div[d, g] % div[d, have] != 0:
                    continue
                for first in range(have * step, keys, step * n):
                    for key in range(first, first + step):
                        floor[k, 1, key] = min(floor[k, 1, key], floor[k, 1, key + (g - have) * step])


@njit(cache=True)
def complete(
    space: Space, orders: IntArray, table: Labels, child: IntArray, keep: BoolArray, best: float
) -> FloatArray:
    """Place all that is left in the loops of the outermost storage, in each of the given orders.

    Args:
        orders: (orders, d) dimensions, inner → outer.

    Returns:
        (labels, orders) the figure that is minimised; inf where it cannot be below ``best``, or where another order is
        the same for the loops that are left.
    """
    count, dims = table.label.shape[0], space.keys.size.shape[0]
    values = np.full((count, orders.shape[0]), np.inf)
    label, tiles = space.scratch.label[0], space.scratch.tile[0]
    x = np.empty(dims, np.int64)
    differs = np.full((1 << dims, orders.shape[0]), -1, np.int8)  # by the dimensions that are left; −1: not yet known
    macs = space.work.macs
    for k in range(count):
        placed(space, table.origin[k].key, x)
        if not _loops_allowed(space, x):
            continue
        mask = _left(space, x)
        if differs[mask, 0] < 0:
            _distinct_orders(orders, mask, differs[mask])
        for q in range(orders.shape[0]):
            if differs[mask, q] == 0:
                continue
            space.scratch.label[0] = table.label[k]
            for s in range(tiles.shape[0]):
                tiles[s] = table.tile[k, s]
            placed(space, table.origin[k].key, x)
            if not _add_in_order(space, label, tiles, x, orders[q], child) or label.link.move > 0:
                continue
            if not settle(space, label, tiles, x, 0, keep, child, True):
                continue
            slow = macs / label.spatial * label.least_slow * (1.0 - CLEAR)
            cycles = max(macs / label.spatial, np.ceil(max(label.bandwidth * (1.0 - EPS), slow)))
            energy = label.energy + label.leak * (label.spatial * cycles - macs)
            if not worse(space, energy, cycles, best):
                values[k, q] = value_of(space, energy, cycles)
    return values
