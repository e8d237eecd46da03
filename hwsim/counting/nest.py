"""Counts of one data space at every level of a nest."""

from __future__ import annotations

import numpy as np

from hwsim.counting.fanout import distinct_boxes, linked_traffic, may_link
from hwsim.counting.fills import tile_fills
from hwsim.counting.geometry import nest_geometry, volume
from hwsim.kernel import BoolArray, FloatArray, IntArray, kernel, njit

# Columns of the result of `count_data_space`, one row per level.
TILE, CAPACITY, READS, FILLS, UPDATES, REDUCTIONS, LINKS = range(7)
COLUMNS = 7

# Rows of the per-level switches that constraints set, one column per level.
NO_REUSE, NO_MULTICAST, NO_LINKS, READ_FIRST = range(4)
SWITCHES = 4

# Rows of what each level is asked for by whatever stands right inside it, per instance of the level: accesses; these
# times the instances that each one serves; words that pass between the instances right inside; how many these are;
# and the instances of the level itself.
ASKED, DELIVERED, HANDED, FANOUT, INSTANCES = range(5)


@kernel(forceinline=True)
def nearest(x: float) -> float:
    """Round half up, as C++ rounds positive numbers."""
    return np.floor(x + 0.5)


@kernel(forceinline=True)
def revisits(words: float, first: float) -> float:
    """Partial sums that are read back: all but those that are written for the first time.

    Never negative: Timeloop stops where a hull with holes makes the share of an instance exceed its accesses.
    """
    return max(0.0, words - first)


@kernel()
def share_of(whole: int, part: int, of: int) -> np.int64 | int:
    """``whole · part // of`` for ``part`` ≤ ``of`` ≤ 2^62, though the product may not fit 64 bits."""
    if whole <= np.int64(2**63 - 1) // part:
        return whole * part // of
    rest = whole % of
    quotient, remainder = np.int64(0), np.int64(0)  # of rest · (the bits of part so far) by `of`
    for bit in range(62, -1, -1):
        quotient *= 2
        remainder *= 2
        if remainder >= of:
            remainder -= of
            quotient += 1
        if part >> bit & 1:
            remainder += rest
            if remainder >= of:
                remainder -= of
                quotient += 1
    return whole // of * part + quotient


@njit(cache=True, error_model="numpy")
def _demand(
    coef: IntArray,
    bound: IntArray,
    axis: IntArray,
    start: IntArray,
    spatial_start: IntArray,
    geometry: tuple[IntArray, IntArray, IntArray],
    keep: BoolArray,
    mesh: IntArray,
    switches: BoolArray,
) -> FloatArray:
    """(5, levels + 1) what every level is asked for; see `ASKED` and the others."""
    levels = keep.shape[0]
    move, extent, outside = geometry
    out = np.zeros((5, levels + 1))
    out[INSTANCES, 0] = 1.0
    scratch = np.empty((3, coef.shape[0]), np.int64)
    for level in range(levels):
        first, last = spatial_start[level], start[level + 1]
        fanout = 1.0
        for i in range(first, last):
            fanout *= bound[i]
        out[FANOUT, level] = fanout
        out[INSTANCES, level + 1] = out[INSTANCES, level] * fanout
        holds = level + 1 < levels
        links = first < last and not switches[NO_LINKS, level] and (may_link(first, last, move, coef) or not holds)
        if not holds:
            fills = outside[last]  # rule 2: the datapath reads at every step
        elif keep[level + 1] or links:
            fills = tile_fills(last, bound, axis, move, extent, outside, switches[NO_REUSE, level + 1], scratch)
        else:
            fills = np.int64(1)  # a level passed through: only asked / delivered matters, and there it cancels
        groups = fanout if switches[NO_MULTICAST, level] else distinct_boxes(first, last, bound, move)
        out[ASKED, level] = fills * groups
        out[DELIVERED, level] = fills * fanout
        if links:
            saved, handed = linked_traffic(first, last, holds, bound, axis, move, extent, outside, mesh[level])
            out[ASKED, level] -= saved
            out[DELIVERED, level] -= handed
            out[HANDED, level] = handed
    return out


@kernel()
def _content(demand: FloatArray, keep: BoolArray, level: int) -> float:
    """Accesses that a level serves to the next one inside that keeps the data space, or to the datapath."""
    inner = level + 1
    while inner < keep.shape[0] and not keep[inner]:
        inner += 1
    content = demand[ASKED, inner - 1]
    for between in range(inner - 2, level - 1, -1):  # levels passed through multiply what they pass on
        content = content * demand[FANOUT, between] * demand[ASKED, between] / demand[DELIVERED, between]
    return content


@kernel(forceinline=True)
def _whole(words: float, instances: float) -> float:
    """Words of one of so many instances, all of which together move a whole number."""
    return nearest(words * instances) / instances


@kernel()
def level_counts(
    read_write: bool,
    demand: FloatArray,
    tile: FloatArray,
    capacity: FloatArray,
    keep: BoolArray,
    switches: BoolArray,
    together: FloatArray,
    out: FloatArray,
) -> None:
    """What every level that keeps the data space holds, reads, is filled with and is updated with.

    Args:
        demand: (5, levels + 1) what it is asked for; see `ASKED` and the others.
        tile / capacity: (levels,) elements that one instance ever touches, and that it holds at a time.
        together: (levels,) instances whose words come to a whole number together; 1 where those of each do.
        out: (levels, COLUMNS), written over.
    """
    outermost = True
    for level in range(keep.shape[0]):
        if not keep[level]:
            continue
        content = _content(demand, keep, level)
        share = peer = 0.0
        if level > 0:
            share = 0.0 if outermost else demand[DELIVERED, level - 1] / demand[FANOUT, level - 1]
            peer = demand[HANDED, level - 1] / demand[INSTANCES, level]
        out[level, TILE] = tile[level]
        out[level, CAPACITY] = capacity[level]
        out[level, LINKS] = np.floor(peer)
        n = together[level]
        if read_write:
            first = 0.0 if switches[READ_FIRST, level] else tile[level]
            out[level, UPDATES] = _whole(content, n)
            out[level, READS] = _whole(revisits(content + peer, first), n)
            out[level, REDUCTIONS] = out[level, READS]
            out[level, FILLS] = _whole(revisits(share + peer, 0.0 if outermost else first), n)
        else:
            out[level, READS] = _whole(content + peer, n)
            out[level, FILLS] = np.floor(share + peer) if n == 1.0 else _whole(share + peer, n)
        outermost = False


@njit(cache=True, error_model="numpy")
def count_data_space(
    coef: IntArray,
    read_write: bool,
    dim: IntArray,
    bound: IntArray,
    axis: IntArray,
    start: IntArray,
    spatial_start: IntArray,
    keep: BoolArray,
    mesh: IntArray,
    switches: BoolArray,
) -> FloatArray:
    """Counts of one data space at every level, per instance over the whole run.

    Args:
        coef: (ranks, dims) projection.
        read_write: True for outputs.
        dim / bound / axis, start / spatial_start: the nest (see the package's docstring).
        keep: (levels,) whether the level keeps the data space.
        mesh: (levels, 2) physical columns and rows of each fan-out (1 elsewhere).
        switches: (SWITCHES, levels) what constraints turn off.

    Returns:
        (levels, COLUMNS) float64, rows of levels that do not keep the data space are 0.
        Counts are exact up to 2**53.
    """
    levels = keep.shape[0]
    out = np.zeros((levels, COLUMNS))
    geometry = nest_geometry(coef, dim, bound, axis)
    extent = geometry[1]
    demand = _demand(coef, bound, axis, start, spatial_start, geometry, keep, mesh, switches)
    tile, capacity = np.empty(levels), np.empty(levels)
    partition = volume(extent[0])
    for level in range(levels):
        if level > 0 and spatial_start[level - 1] < start[level]:  # each instance sees its share of the hull of all
            hull = volume(extent[spatial_start[level - 1]])
            partition = share_of(partition, volume(extent[start[level]]), hull)
        tile[level], capacity[level] = partition, volume(extent[start[level]])
    level_counts(read_write, demand, tile, capacity, keep, switches, np.ones(levels), out)
    return out
