"""A storage around a label: what it holds, what it serves, what its bandwidth allows.

At a storage the pending transfers of the data spaces it keeps are priced, and their own tile becomes pending.
"""

from __future__ import annotations

import numpy as np

from hwsim.counting import access_energy, nearest, revisits, speed
from hwsim.kernel import BoolArray, IntArray, kernel
from hwsim.mapper.arrays import Space, held_words, limited_cycles, outside, set_extents, tile_words
from hwsim.mapper.label import CLEAR, CLOSED, OPEN, ZONE, Label, Rates, Records, Tile
from hwsim.mapper.step import close_tile, share_among


@kernel()
def settle(
    space: Space,
    label: Label,
    tiles: Records,
    x: IntArray,
    level: int,
    keep: BoolArray,
    child: IntArray,
    outermost: bool,
) -> bool:
    """Close a storage level around a label: check that it fits, price what it serves, make its tiles pending.

    Args:
        x: (d,) what is inside.
        keep: (s,) what the level keeps.
        child: (s,) innermost-side storage of each data space's pending transfer (−1: the datapath).

    Returns:
        False if the tiles do not fit.
    """
    _levels, work = space.levels, space.work
    held = held_words(space, x, keep)
    if held > space.levels[level].capacity or held < space.levels[level].fill_floor:
        return False
    # Instances in use are all spatial loops over those inside; without throttling the run takes MACs / all.
    label.leak += space.levels[level].leak / label.spatial
    label.energy += space.levels[level].leak / label.spatial * work.macs
    if level < space.watch and not outermost:
        _unwatch(space, label, tiles, child)
    rates = space.scratch.rates[0]
    _no_rates(rates)
    slow = not outermost and level != space.watch and space.levels[level].limited
    repeats = outside(space, x)
    for s in range(work.relevant.shape[0]):
        if not keep[s]:
            continue
        tile = tiles[s]
        if s == work.sliding and label.link.move > 0:  # links across this level: the best case
            share_among(tile, label.link.bound)
            label.link.move = 0.0
        fills = tile_words(space, x, s) * repeats
        if slow:
            _least_and_most(space, label, tile, s, level, fills)
        if outermost:
            close_tile(space, label, tile, s, child[s])
            tile.pending = nearest(tile.pending)
            _watched_rates(space, label, tile, s, child[s])
        _words_served(space, label, tile, s, level, outermost)
        _price(space, label, tile, s, level, child[s])
        if outermost:
            tile.pending = 0.0
        else:
            _pend(space, label, tile, s, level, child[s], fills)
            if s == work.sliding:
                set_extents(space, label, x)
    _limit(space, label, tiles, level, keep, slow, outermost)
    return True


@kernel(forceinline=True)
def _no_rates(rates: Rates) -> None:
    rates.reads = rates.writes = rates.terms = 0.0
    rates.least_reads = rates.least_writes = rates.most_reads = rates.most_writes = 0.0
    rates.watched_reads = rates.watched_writes = 0.0


@kernel(forceinline=True)
def _least_and_most(space: Space, label: Label, tile: Tile, s: int, level: int, fills: float) -> None:
    """Words of a storage whose bandwidth is limited, for one data space: at least and at most."""
    rates, writes_back = space.scratch.rates[0], space.operands[s].read_write
    sure = tile.pending * least_share(space, label, tile, s)
    rates.most_reads += revisits(tile.pending, space.uses[level, s].first_visits)
    rates.most_reads += fills if space.operands[s].holes else 0.0  # links count as reads
    rates.most_writes += fills + (tile.pending if writes_back else 0.0)
    rates.least_reads += 0.0 if writes_back else sure
    rates.least_writes += sure if writes_back else 0.0
    rates.terms += 1.0


@kernel(forceinline=True)
def _watched_rates(space: Space, label: Label, tile: Tile, s: int, child: int) -> None:
    """Words per cycle of the watched storage, summed as the cost model does: it decides the last bit."""
    rates, watch = space.scratch.rates[0], space.watch
    compute = space.work.macs / label.spatial
    served = nearest(tile.sure + tile.served + (label.echo.served if s == space.work.sliding else 0.0))
    fills = revisits(tile.pending, space.uses[watch, s].first_visits) if child == watch else 0.0
    rates.watched_reads += revisits(served, space.uses[watch, s].first_visits) / compute
    rates.watched_writes += (fills + (served if space.operands[s].read_write else 0.0)) / compute


@kernel(forceinline=True)
def _words_served(space: Space, label: Label, tile: Tile, s: int, level: int, outermost: bool) -> None:
    """Note the words that a watched storage serves, or what one without a fan-out outside serves for sure."""
    _levels, writes_back = space.levels, space.operands[s].read_write
    closed = tile.mode == CLOSED
    if level == space.watch:
        if closed:
            tile.sure = nearest(tile.pending)
        elif tile.mode == OPEN:
            tile.served = tile.pending
        elif writes_back or tile.savable + tile.pending * space.levels[level].read <= 0:
            tile.sure = min(tile.pending, space.operands[s].touched)
        else:  # the echo's
            label.echo.served = tile.pending
    elif space.levels[level].top:
        rates = space.scratch.rates[0]
        sure = tile.pending if closed else min(tile.pending, space.operands[s].touched)
        rates.reads += revisits(sure, space.uses[level, s].first_visits)
        rates.writes += sure if writes_back else 0.0
        if not outermost:
            rates.writes += 0.0 if writes_back else space.operands[s].touched


@kernel(forceinline=True)
def _price(space: Space, label: Label, tile: Tile, s: int, level: int, child: int) -> None:
    """Price what a storage serves of one data space."""
    _levels, writes_back = space.levels, space.operands[s].read_write
    block, first = space.levels[level].block, space.uses[level, s].first_visits
    closed = tile.mode == CLOSED
    if space.levels[level].top and closed:
        tile.pending = nearest(tile.pending)
        e = access_energy(tile.pending - first, block, space.levels[level].read)
        if writes_back:
            e += access_energy(tile.pending, block, space.levels[level].update)
        label.energy += e
        return
    e = tile.pending * space.levels[level].read / block
    if writes_back:
        e += tile.pending * space.levels[level].update / block
        if space.levels[level].top:
            label.energy -= first * space.levels[level].read / block
        else:
            label.first_visits += first * space.levels[level].read / block * space.levels[level].share
    e *= space.levels[level].share
    if closed:
        label.energy += e
    elif tile.mode == OPEN:
        tile.savable += e
    else:  # these transfers are priced; loops further out along the zone's rank may still spare some
        _echo(space, label, tile, s, child, e)


@kernel(forceinline=True)
def _echo(space: Space, label: Label, tile: Tile, s: int, child: int, e: float) -> None:
    """A zone's transfers, ``e`` pJ and those of the storages inside, are priced; it goes on as an echo."""
    echo, _levels = label.echo, space.levels
    label.energy -= echo.energy / max(1.0, echo.zone.fetches) + echo.rounding
    echo.rounding = 0.0
    if child >= 0 and space.levels[child].top:
        price = space.levels[child].write / space.levels[child].block
        more = tile.pending - space.uses[child, s].first_visits
        whole = access_energy(nearest(more), space.levels[child].block, space.levels[child].write)
        echo.rounding = max(0.0, whole - more * price)
        label.energy += echo.rounding - space.uses[child, s].first_visits * price
        e += tile.pending * price
    label.energy += tile.savable + e
    echo.energy = tile.savable + e
    echo.zone = label.zone
    tile.savable = 0.0


@kernel(forceinline=True)
def _pend(space: Space, label: Label, tile: Tile, s: int, level: int, child: int, fills: float) -> None:
    """The storage's own tile becomes the pending one."""
    _levels, writes_back = space.levels, space.operands[s].read_write
    inner = tile.savable > 0
    if tile.mode == OPEN and child >= 0 and space.levels[child].top:
        # an inner tile that is still open moves with this one; its own fills stay savable
        price = space.levels[child].write / space.levels[child].block
        tile.savable += tile.pending * price
        label.energy -= space.uses[child, s].first_visits * price
    tile.pending = fills
    if not space.levels[level].top:
        write, block, share = space.levels[level].write, space.levels[level].block, space.levels[level].share
        tile.savable += fills * write / block * share
        if writes_back:
            label.first_visits += space.uses[level, s].first_visits * write / block * share
    tile.mode = OPEN
    if space.uses[level, s].no_reuse and not inner:  # else what is still open inside stands for both: the best case
        close_tile(space, label, tile, s, level)


@kernel(forceinline=True)
def _limit(
    space: Space, label: Label, tiles: Records, level: int, keep: BoolArray, slow: bool, outermost: bool
) -> None:
    """What bandwidth makes of the cycles."""
    rates, _levels = space.scratch.rates[0], space.levels
    compute = space.work.macs / label.spatial
    if slow:
        least = limited_cycles(space, level, rates.least_reads, rates.least_writes) / compute
        label.least_slow = max(label.least_slow, least)
        most = limited_cycles(space, level, rates.most_reads, rates.most_writes) / compute
        # Rates that add up to the limit may exceed it by rounding.
        safe = most > 1.0 or rates.terms < 2 or most < 1.0 - CLEAR
        label.most_slow = max(label.most_slow, most if safe else 1.0 + CLEAR)
    w = space.watch
    if level == w:
        _watch(space, label, tiles, keep)
    elif space.levels[level].top:
        label.bandwidth = max(label.bandwidth, limited_cycles(space, level, rates.reads, rates.writes))
    if outermost and w >= 0 and rates.watched_reads + rates.watched_writes > 0:
        limits = (space.levels[w].read_bw, space.levels[w].write_bw, space.levels[w].shared_bw)
        share = speed(rates.watched_reads, rates.watched_writes, limits[0], limits[1], limits[2])
        label.bandwidth = max(label.bandwidth, np.ceil(compute / share))


@kernel(forceinline=True)
def _watch(space: Space, label: Label, tiles: Records, keep: BoolArray) -> None:
    """Forget the words of the watched storage where even the most that they may become slow nothing down."""
    watch = space.watch
    reads, writes = label.echo.served, 0.0
    for s in range(space.work.relevant.shape[0]):
        if keep[s]:
            first = space.uses[watch, s].first_visits
            served = tiles[s].sure + tiles[s].served
            reads += revisits(served, first)
            writes += served if space.operands[s].read_write else 0.0
            writes += revisits(tiles[s].pending, first)
    if limited_cycles(space, watch, reads, writes) <= space.work.macs / label.spatial * (1.0 - CLEAR):
        _forget(label, tiles)


@kernel(forceinline=True)
def _forget(label: Label, tiles: Records) -> None:
    """Nothing is known of the watched storage's words any more, or they do not matter."""
    label.echo.served = 0.0
    for s in range(tiles.shape[0]):
        tiles[s].sure = 0.0
        tiles[s].served = 0.0


@kernel(forceinline=True)
def watched_cycles(space: Space, label: Label, tiles: Records, child: IntArray) -> float:
    """Cycles that the watched storage needs at least, whatever loops come outside it."""
    watch, echo = space.watch, label.echo
    reads, writes = 0.0, 0.0
    if echo.served > 0:
        reads += echo.served * (1.0 - (1.0 / echo.zone.fetches if echo.energy > 0 else 0.0))
    for s in range(space.work.relevant.shape[0]):
        first = space.uses[watch, s].first_visits
        least = least_share(space, label, tiles[s], s)
        served = tiles[s].sure + tiles[s].served * least
        reads += revisits(served, first)
        writes += served if space.operands[s].read_write else 0.0
        if child[s] == watch:
            writes += revisits(tiles[s].pending * least, first)
    return limited_cycles(space, watch, reads, writes)


@kernel(forceinline=True)
def _unwatch(space: Space, label: Label, tiles: Records, child: IntArray) -> None:
    """Another storage stands between the watched one and the outermost one: go on with the bound."""
    label.bandwidth = max(label.bandwidth, watched_cycles(space, label, tiles, child))
    _forget(label, tiles)


@kernel(forceinline=True)
def least_share(space: Space, label: Label, tile: Tile, s: int) -> float:
    """By what share loops further out may cut the pending transfers of a data space, at most."""
    if tile.mode == CLOSED:
        return 1.0
    least = min(1.0, space.operands[s].touched / tile.pending) if tile.pending > 0 else 0.0
    if tile.mode == ZONE:
        least = max(least, 1.0 - 1.0 / label.zone.fetches)
    if s == space.work.sliding and label.link.move > 0:
        least /= label.link.bound
    return least
