"""One more loop around a label.

* A temporal loop repeats everything, which the totals already assume. Only a data space whose tile has
  not moved yet ("open") gets cheaper: a loop that does not index it lets the tile stay.
* A spatial loop that does not index a data space serves its instances by multicast (or reduces them), so
  the parent is accessed less.

Sliding windows follow `hwsim.counting.tile_fills`, by the same step (`hwsim.counting.advance`): the innermost moving
loop fetches only the new part of the tile, and loops further out along the same rank may, in Timeloop's count, fetch
little or nothing ("zone"); the zone's state travels with the label.
"""

from __future__ import annotations

import numpy as np

from hwsim.counting import (
    access_energy,
    advance,
    distinct,
    linked,
    mesh_columns_rows,
    nearest,
    nest_geometry,
    new_rows,
    offsets,
)
from hwsim.kernel import IntArray, kernel, njit
from hwsim.mapper.arrays import Space
from hwsim.mapper.label import CLOSED, OPEN, ZONE, Label, Records, Tile, Zone


@kernel(forceinline=True)
def close_tile(space: Space, label: Label, tile: Tile, s: int, child: int) -> None:
    """The tile of data space s has moved for good: its refetches repeat with every loop to come."""
    if tile.mode == CLOSED:
        return
    label.energy += tile.savable
    tile.savable = 0.0
    tile.mode = CLOSED
    if child >= 0 and space.levels[child].top:
        words = nearest(tile.pending - space.uses[child, s].first_visits)
        label.energy += access_energy(words, space.levels[child].block, space.levels[child].write)


@kernel(forceinline=True)
def _open_zone(zone: Zone, extent: float, rank: int, v: int, b: int) -> float:
    """The first loop along a rank moves a tile that was open. Returns by what share it cuts the fetches."""
    cost = new_rows(v, extent) / extent
    zone.rank, zone.cost, zone.usual, zone.swept = rank, cost, v, v
    zone.fetches = advance(1.0, b, 1.0 - cost)
    return zone.fetches / b


@kernel(forceinline=True)
def _zone_step(zone: Zone, v: int, b: int) -> float:
    """One more loop along a zone's rank. Returns by what share it cuts the fetches."""
    step = v - zone.swept
    cost = 0.0 if step == 0 else (zone.cost if step == zone.usual else 1.0)
    before = zone.fetches
    zone.fetches = advance(before, b, 1.0 - cost)
    zone.swept += v
    return zone.fetches / (before * b)


@kernel()
def _prime(n: int) -> bool:
    """Whether a number above 1 is a prime; large ones are taken not to be."""
    if n > 1_000_000:
        return False
    p = 2
    while p * p <= n:
        if n % p == 0:
            return False
        p += 1
    return True


@kernel()
def may_link(space: Space, move: float, rank: int, d: int, v: int, b: int, x: IntArray) -> bool:
    """Whether loops along a rank, outside the one of bound b over d that moves by v, may move tiles by one neighbour.

    A loop moves by its own step less those of all loops inside it, which are rewound. Exact for the next loop along
    the rank; a wide answer for those further out.

    Args:
        move: from one neighbour to the next.
        x: (d,) what is inside the loop.
    """
    work, size = space.work, space.keys.size
    later, largest, least = 0, 0, np.inf
    for e in range(size.shape[0]):
        if work.shared_rank[e] != rank:
            continue
        inside = x[e] * (b if e == d else 1)
        left = size[e] // inside
        if left == 1:
            continue
        step = work.coef[work.sliding, work.shared_ranks[rank], e] * inside
        if abs(step - v) == move or (v == move and step - v == 0):
            return True
        later += 1 if _prime(left) else 2
        largest = max(largest, step * (left // 2))
        least = min(least, step)
    return later > 1 and largest >= v + least - move


@kernel(forceinline=True)
def _link_later(
    space: Space, label: Label, tile: Tile, d: int, rank: int, v: int, b: int, x: IntArray, child: int
) -> bool:
    """Settle links that waited for the innermost temporal loop outside their fan-out (``rank`` −1: none that slides).

    Returns False where nothing is handed on: the label without links says the same. So it is where the loop does not
    move the tiles by one neighbour, unless loops further out may do so (when they advance, this one is rewound).
    """
    link = label.link
    if rank < 0 or rank != link.rank:
        return False
    if v != link.move or v < label.extent[rank]:
        if not may_link(space, link.move, rank, d, v, b, x):
            return False
        # At best all steps but this loop's own are served by neighbours.
        at_best = (1.0 if v == link.move else 1.0 / b) * (1.0 - 1.0 / link.bound)
        tile.pending *= 1.0 - at_best
        tile.savable *= 1.0 - at_best
        link.move = 0.0
        return True
    # All steps of this loop are served by neighbours but for what enters at the edge. Where loops along the
    # rank are still to come, some of their steps may be, too: then the best case is taken.
    steps = 1.0 - 1.0 / b
    for e in range(space.keys.size.shape[0]):
        if space.work.shared_rank[e] == rank and x[e] * (b if e == d else 1) < space.keys.size[e]:
            steps = 1.0
    handed = steps * (1.0 - 1.0 / link.bound)
    tile.pending *= 1.0 - handed
    # Timeloop spreads what one parent's children hand on over all instances of the child.
    parents = label.spatial / link.spatial if link.spatial > 0 else np.inf
    own = tile.savable
    tile.savable = own * (1.0 - handed * (1.0 - 1.0 / parents))
    if space.levels[child].write > 0:
        tile.savable += own * space.levels[child].read / space.levels[child].write * handed / parents
    link.move = 0.0
    return True


@kernel(forceinline=True)
def _echo_step(label: Label, rank: int, v: int, b: int, moves: bool) -> None:
    """One more loop around a zone whose transfers are priced already."""
    echo = label.echo
    if not moves:
        echo.zone.fetches *= b
    elif rank < 0 or rank != echo.zone.rank:
        echo.energy, echo.rounding = 0.0, 0.0
    else:
        again = _zone_step(echo.zone, v, b)
        less = echo.energy * (1.0 - again)
        echo.energy -= less
        label.energy -= less
        if again < 1.0:
            label.energy -= echo.rounding
            echo.rounding = 0.0
        echo.served *= again


@kernel(forceinline=True)
def add_temporal(space: Space, label: Label, tiles: Records, x: IntArray, d: int, b: int, child: IntArray) -> bool:
    """Put a temporal loop of bound b over dimension d around a label (``x`` is what is inside it).

    Returns False where the label waits for a loop that hands data between neighbours, and this is not it.
    """
    work = space.work
    for s in range(work.relevant.shape[0]):
        tile = tiles[s]
        rank, v = -1, 0
        if s == work.sliding:
            rank = work.shared_rank[d]
            v = work.coef[s, work.shared_ranks[rank], d] * x[d] if rank >= 0 else 0
            if label.link.move > 0 and not _link_later(space, label, tile, d, rank, v, b, x, child[s]):
                return False
            if label.echo.energy > 0:
                _echo_step(label, rank, v, b, work.relevant[s, d])
        if tile.mode == CLOSED:
            continue
        ratio = 1.0
        if work.any_vague and space.operands[s].vague:
            if not work.relevant[s, d] or work.slides[s, d]:
                ratio = 1.0 / b
        elif not work.relevant[s, d]:
            if tile.mode == OPEN:
                ratio = 1.0 / b
            else:
                label.zone.fetches *= b
        elif rank < 0 or (tile.mode == ZONE and rank != label.zone.rank):
            close_tile(space, label, tile, s, child[s])
        elif tile.mode == OPEN:
            ratio = _open_zone(label.zone, label.extent[rank], rank, v, b)
            tile.mode = ZONE
        else:
            ratio = _zone_step(label.zone, v, b)
        tile.savable *= ratio
        tile.pending *= ratio
        tile.served *= ratio
    return True


@kernel(forceinline=True)
def share_among(tile: Tile, n: float) -> None:
    """The best case: one of so many instances is served, the others by their neighbours."""
    tile.pending /= n
    tile.savable /= n


@kernel(forceinline=True)
def add_spatial(
    space: Space,
    label: Label,
    tiles: Records,
    x: IntArray,
    level: int,
    d: int,
    b: int,
    axis: int,
    child: IntArray,
    link: bool,
) -> bool:
    """Put a spatial loop of bound b over dimension d around a label.

    Neighbours can hand on what a sliding data space needs only under one loop along the rank (``link``
    chooses that), if their tiles stand right inside. Where that is not clear the best case is taken.

    Returns False where ``link`` makes no sense.
    """
    work, _loops = space.work, space.loops
    is_linked = False
    for s in range(work.relevant.shape[0]):
        tile = tiles[s]
        slides = work.slides[s, d]
        if not work.relevant[s, d] and not space.uses[level, s].no_multicast:
            tile.pending /= b
        if space.operands[s].read_write and (not work.relevant[s, d] or slides):
            label.first_visits *= b
        if not slides:
            continue
        rank = work.shared_rank[d]
        simple = s == work.sliding and not space.operands[s].read_write and label.slides == 0 and label.link.move == 0
        simple = simple and rank >= 0 and not (space.operands[s].hands_on and child[s] < 0)
        label.slides += 1.0
        if not simple:
            share_among(tile, b)
            if label.link.move > 0:
                share_among(tile, label.link.bound)
                label.link.move = 0.0
        elif link:
            if child[s] != level + 1 or tile.mode != OPEN or space.uses[level, s].no_links:
                return False
            label.link.move = work.coef[s, work.shared_ranks[rank], d] * x[d]
            label.link.bound, label.link.rank, label.link.spatial = b, rank, 0.0
            is_linked = True
    label.spatial *= b
    if axis == 1:
        label.used_x *= b
    else:
        label.used_y *= b
    return is_linked == link


@njit(cache=True)
def hand_on(space: Space, tiles: Records, dim: IntArray, bound: IntArray, axis: IntArray, mesh: IntArray) -> None:
    """Let neighbours at the datapath hand on what they hold while the innermost temporal loops leave it in place.

    There, Timeloop has every operand handed on, not only those that slide: as if the datapath kept it. Where only some
    of the instances find theirs at a neighbour the best case is taken.

    Args:
        tiles: of a label whose innermost level is a fan-out, changed.
        dim / bound / axis: the fan-out's loops, outer → inner.
        mesh: (2,) its columns and rows.
    """
    n = dim.shape[0]
    if n == 0:
        return
    columns, rows = mesh_columns_rows(0, n, bound, axis, mesh)
    stay = np.zeros(space.work.coef.shape[1], np.int64)
    nothing = np.zeros(np.prod(bound), np.bool_)
    for s in range(space.work.relevant.shape[0]):
        if not space.operands[s].hands_on:
            continue
        move, _, _ = nest_geometry(space.work.coef[s], dim, bound, axis)
        offset = offsets(0, n, bound, move)
        if distinct(offset, linked(offset, stay, columns, rows)) < distinct(offset, nothing):
            tiles[s].mode = OPEN
