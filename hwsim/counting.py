"""The counting kernels: closed-form access counts of one data space under one loop nest.

Everything here follows Timeloop's loop analysis (commit 4cf6d4c), whose rules
`docs/counting.md` tells in words. The formulas stand here and nowhere else: evaluating one
mapping and searching over millions call the same functions. numba sees arrays only.

**The nest.** Loops outer → inner, ``dim[i]``, ``bound[i]`` (> 1), ``axis[i]`` (0 time, 1 X, 2 Y);
loops ``start[l] … start[l+1]`` belong to level ``l``, its temporal loops first, then the spatial
ones from ``spatial_start[l]``. ``start[levels]`` is the number of loops: below it stands the datapath.

**Why no loop has to be walked.** Timeloop walks iterations 0 and 1 of every temporal loop and
counts iteration 1 ``bound − 1`` times. When loop *i* advances, every loop inside it has been left
at iteration 1 and is rewound, so the tile moves by ``t_i = v_i − Σ v_j`` over the loops *j* inside
*i* (``v`` is the move of one iteration), however often that happens, in all
``(bound_i − 1) · Π bound_outside`` times. A tile keeps its overlap only if it moves as it moved
before; since the innermost moving loop *n* advances between any two advances of outer loops, the
move that is remembered is ``t_n`` or none. So a step of loop *i* fetches nothing where ``t_i = 0``,
the new part of the tile where ``t_i = t_n``, and the whole tile otherwise.
"""

from __future__ import annotations

import numpy as np

from hwsim.kernel import kernel, njit

# Columns of the result of `count_data_space`, one row per level.
TILE, CAPACITY, READS, FILLS, UPDATES, REDUCTIONS, LINKS = range(7)
COLUMNS = 7

# Rows of the per-level switches that constraints set, one column per level.
NO_REUSE, NO_MULTICAST, NO_LINKS, READ_FIRST = range(4)
SWITCHES = 4


@njit(cache=True, error_model="numpy")
def nest_geometry(coef, dim, bound, axis):  # type: ignore[no-untyped-def]
    """Moves, extents and repetition of every loop for one data space.

    Args:
        coef: (ranks, dims) projection coefficients.
        dim / bound / axis: (n,) the loops, outer → inner.

    Returns:
        move (n, ranks): how far one iteration of loop i shifts the box;
        extent (n + 1, ranks): the box swept by loops i … n−1 (rule 1: 1 + Σ coefficient·(size − 1));
        outside (n + 1,): product of the temporal bounds of loops 0 … i−1.
    """
    n = dim.shape[0]
    ranks = coef.shape[0]
    size = np.ones(coef.shape[1], np.int64)
    move = np.zeros((n, ranks), np.int64)
    extent = np.ones((n + 1, ranks), np.int64)
    for i in range(n - 1, -1, -1):
        d = dim[i]
        for r in range(ranks):
            move[i, r] = coef[r, d] * size[d]
            extent[i, r] = extent[i + 1, r] + move[i, r] * (bound[i] - 1)
        size[d] *= bound[i]
    outside = np.ones(n + 1, np.int64)
    for i in range(n):
        outside[i + 1] = outside[i] * (bound[i] if axis[i] == 0 else 1)
    return move, extent, outside


@kernel()
def volume(extent):  # type: ignore[no-untyped-def]
    """Elements of a box."""
    v = np.int64(1)
    for r in range(extent.shape[0]):
        v *= extent[r]
    return v


@kernel()
def new_part(extent, shift):  # type: ignore[no-untyped-def]
    """Elements that a box moved by ``shift`` does not share with where it was (rule 3).

    A move along one rank by less than the extent leaves an overlap; any other move
    counts the whole box; no move counts nothing.
    """
    moved = -1
    for r in range(extent.shape[0]):
        if shift[r] != 0:
            if moved >= 0:
                return volume(extent)
            moved = r
    if moved < 0:
        return np.int64(0)
    distance = abs(shift[moved])
    if distance >= extent[moved]:
        return volume(extent)
    return volume(extent) // extent[moved] * distance


@kernel()
def _equal(a, b):  # type: ignore[no-untyped-def]
    for r in range(a.shape[0]):
        if a[r] != b[r]:
            return False
    return True


@kernel()
def _is_zero(a):  # type: ignore[no-untyped-def]
    for r in range(a.shape[0]):
        if a[r] != 0:
            return False
    return True


@kernel()
def tile_fills(child, bound, axis, move, extent, outside, no_reuse, scratch):  # type: ignore[no-untyped-def]
    """Elements that the tile swept by loops ``child`` … n−1 fetches over the whole run, per instance.

    Rules 3 to 5 in closed form (see the module's docstring). A partial sum leaves as often as its tile
    is fetched, so this is also what an instance sends to its parent. ``scratch`` (3, ranks) is written over:
    memory is asked for once per nest, not once per level.
    """
    box = extent[child]
    full = volume(box)
    if no_reuse:
        return full * outside[child]
    ranks = box.shape[0]
    swept = scratch[0]  # Σ v_j of the loops inside loop i
    step = scratch[1]
    usual = scratch[2]  # t_n
    swept[:] = 0
    usual_cost = np.int64(-1)
    fills = full
    for i in range(child - 1, -1, -1):
        if axis[i] != 0:
            continue
        for r in range(ranks):
            step[r] = move[i, r] - swept[r]
            swept[r] += move[i, r]
        if _is_zero(step):
            continue
        times = (bound[i] - 1) * outside[i]
        if usual_cost < 0:
            for r in range(ranks):
                usual[r] = step[r]
            usual_cost = new_part(box, step)
            fills += times * usual_cost
        elif _equal(step, usual):
            fills += times * usual_cost
        else:
            fills += times * full
    return fills


@njit(cache=True, error_model="numpy")
def _offsets(first, last, bound, move):  # type: ignore[no-untyped-def]
    """Where the boxes of the instances below spatial loops ``first`` … ``last−1`` start: (instances, ranks)."""
    instances = np.int64(1)
    for i in range(first, last):
        instances *= bound[i]
    ranks = move.shape[1]
    offset = np.zeros((instances, ranks), np.int64)
    for x in range(instances):
        rest = x
        for i in range(last - 1, first - 1, -1):
            index = rest % bound[i]
            rest //= bound[i]
            for r in range(ranks):
                offset[x, r] += index * move[i, r]
    return offset


@njit(cache=True, error_model="numpy")
def _distinct(offset, skip):  # type: ignore[no-untyped-def]
    """How many different rows ``offset`` has among those not skipped."""
    n, ranks = offset.shape
    code = np.zeros(n, np.int64)
    for r in range(ranks):
        code = code * (np.max(offset[:, r]) + 1) + offset[:, r]
    code = np.sort(code[~skip])
    groups = 0
    for k in range(code.shape[0]):
        if k == 0 or code[k] != code[k - 1]:
            groups += 1
    return groups


@njit(cache=True, error_model="numpy")
def distinct_boxes(first, last, bound, move):  # type: ignore[no-untyped-def]
    """Different boxes among the instances below spatial loops ``first`` … ``last−1`` (rule 6).

    Each is one access of the parent: the others are reached by multicast, or reduced on the way.
    """
    groups = np.int64(1)
    ranks = move.shape[1]
    for i in range(first, last):
        if not _is_zero(move[i]):
            groups *= bound[i]
    for r in range(ranks):
        sharing = 0
        for i in range(first, last):
            if move[i, r] != 0:
                sharing += 1
        if sharing > 1:  # two loops slide along one rank: their sums may coincide
            offset = _offsets(first, last, bound, move)
            return np.int64(_distinct(offset, np.zeros(offset.shape[0], np.bool_)))
    return groups


@kernel()
def may_link(first, last, move, coef):  # type: ignore[no-untyped-def]
    """Whether neighbours that hold tiles could ever hand data on: a spatial loop slides along a shared rank."""
    for r in range(coef.shape[0]):
        dims = 0
        for d in range(coef.shape[1]):
            if coef[r, d] != 0:
                dims += 1
        if dims > 1:
            for i in range(first, last):
                if move[i, r] != 0:
                    return True
    return False


@njit(cache=True, error_model="numpy")
def _linked(offset, shift, columns, rows):  # type: ignore[no-untyped-def]
    """Which instances find what they need, after a move by ``shift``, at a mesh neighbour's previous place.

    Timeloop numbers the instances by the mapped bounds but looks for neighbours at
    ``row·columns + column`` with the physical mesh (or the mapped bound, if larger): reproduced.
    """
    n = offset.shape[0]
    ranks = offset.shape[1]
    linked = np.zeros(n, np.bool_)
    for x in range(n):
        column = x % columns
        row = x // columns
        if row >= rows:
            continue
        for side in range(4):
            c = column + (1 if side == 0 else -1 if side == 1 else 0)
            w = row + (1 if side == 2 else -1 if side == 3 else 0)
            if c < 0 or c >= columns or w < 0 or w >= rows:
                continue
            y = w * columns + c
            if y >= n:
                continue
            same = True
            for r in range(ranks):
                if offset[y, r] - offset[x, r] != shift[r]:
                    same = False
            if same:
                linked[x] = True
    return linked


@njit(cache=True, error_model="numpy")
def linked_traffic(first, last, child, holds, bound, axis, move, extent, outside, columns, rows):  # type: ignore[no-untyped-def]
    """What link transfers save at one spatial level (rule 8).

    A step can be served by neighbours if it wants boxes of the same shape as the step before.
    Between two advances of outer loops the innermost temporal loop *n* advances once in the walk,
    so only these pairs of steps occur: (first fill, n), (advance of i, n) and (n, advance of i).

    Returns:
        accesses of the parent saved, deliveries saved (both in words per parent instance over the
        run), and words handed on between neighbours. ``holds`` is False for the datapath,
        which fetches at every step whether its operand moved or not.
    """
    saved = np.int64(0)
    spared = np.int64(0)
    handed = np.int64(0)
    ranks = move.shape[1]
    inner = -1
    for i in range(child - 1, -1, -1):
        if axis[i] == 0:
            inner = i
            break
    if inner < 0 or (holds and _is_zero(move[inner])):
        return saved, spared, handed
    box = extent[child]
    full = volume(box)
    offset = _offsets(first, last, bound, move)
    groups = _distinct(offset, np.zeros(offset.shape[0], np.bool_))

    usual = move[inner].copy()
    usual_cost = new_part(box, usual) if holds else full
    usual_is_full = usual_cost == full
    linked = _linked(offset, usual, columns, rows)
    left = _distinct(offset, linked)
    taken = np.sum(linked)
    useful = left < groups

    times_inner = bound[inner] - 1
    if useful and usual_is_full:  # after the very first fill
        saved += times_inner * full * (groups - left)
        spared += times_inner * full * taken
        handed += times_inner * full * taken
    swept = usual.copy()
    step = np.zeros(ranks, np.int64)
    for i in range(inner - 1, -1, -1):
        if axis[i] != 0:
            continue
        for r in range(ranks):
            step[r] = move[i, r] - swept[r]
            swept[r] += move[i, r]
        if holds and _is_zero(step):
            continue
        cost = full
        if holds and _equal(step, usual):
            cost = usual_cost
        times = (bound[i] - 1) * outside[i]
        same_kind = cost == usual_cost
        if same_kind and useful:  # loop n advances right after loop i
            saved += times * times_inner * usual_cost * (groups - left)
            spared += times * times_inner * usual_cost * taken
            handed += times * times_inner * usual_cost * taken
        if same_kind:  # loop i advances right after loop n
            linked_i = _linked(offset, step, columns, rows)
            left_i = _distinct(offset, linked_i)
            if left_i < groups:
                taken_i = np.sum(linked_i)
                saved += times * cost * (groups - left_i)
                spared += times * cost * taken_i
                handed += times * cost * taken_i
    return saved, spared, handed


@kernel()
def _nearest(x):  # type: ignore[no-untyped-def]
    """Round half up, as C++ rounds positive numbers."""
    return np.floor(x + 0.5)


@kernel()
def _share(whole, part, of):  # type: ignore[no-untyped-def]
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
def count_data_space(coef, read_write, dim, bound, axis, start, spatial_start, keep, mesh, switches):  # type: ignore[no-untyped-def]
    """Counts of one data space at every level, per instance over the whole run.

    Args:
        coef: (ranks, dims) projection.
        read_write: True for outputs.
        dim / bound / axis, start / spatial_start: the nest (see the module's docstring).
        keep: (levels,) whether the level keeps the data space.
        mesh: (levels, 2) physical columns and rows of each fan-out (1 elsewhere).
        switches: (SWITCHES, levels) what constraints turn off.

    Returns:
        (levels, COLUMNS) float64, rows of levels that do not keep the data space are 0.
        Counts are exact up to 2**53.
    """
    levels = keep.shape[0]
    out = np.zeros((levels, COLUMNS))
    move, extent, outside = nest_geometry(coef, dim, bound, axis)

    # What level l is asked for by whatever stands right inside it, per instance of level l.
    work = np.zeros((5, levels + 1))
    asked = work[0]  # accesses
    delivered = work[1]  # accesses times the instances each one serves
    handed = work[2]  # words that pass between the instances right inside
    fanout = work[3]
    instances = work[4]
    instances[0] = 1.0
    scratch = np.empty((3, coef.shape[0]), np.int64)
    for level in range(levels):
        first, last = spatial_start[level], start[level + 1]
        fanout[level] = 1.0
        for i in range(first, last):
            fanout[level] *= bound[i]
        instances[level + 1] = instances[level] * fanout[level]
        holds = level + 1 < levels
        links = first < last and not switches[NO_LINKS, level] and (may_link(first, last, move, coef) or not holds)
        if not holds:
            fills = outside[last]  # rule 2: the datapath reads at every step
        elif keep[level + 1] or links:
            fills = tile_fills(last, bound, axis, move, extent, outside, switches[NO_REUSE, level + 1], scratch)
        else:
            fills = np.int64(1)  # a level passed through: only asked / delivered matters, and there it cancels
        groups = fanout[level] if switches[NO_MULTICAST, level] else distinct_boxes(first, last, bound, move)
        asked[level] = fills * groups
        delivered[level] = fills * fanout[level]
        if links:
            columns, rows = np.int64(1), np.int64(1)
            for i in range(first, last):
                if axis[i] == 1:
                    columns *= bound[i]
                else:
                    rows *= bound[i]
            columns, rows = max(columns, mesh[level, 0]), max(rows, mesh[level, 1])
            saved, spared, passed = linked_traffic(
                first, last, last, holds, bound, axis, move, extent, outside, columns, rows
            )
            asked[level] -= saved
            delivered[level] -= spared
            handed[level] = passed

    outermost = -1
    partition = volume(extent[0])
    for level in range(levels):
        if level > 0:
            if spatial_start[level - 1] < start[level]:  # each instance sees its share of the hull of all
                hull = volume(extent[spatial_start[level - 1]])
                partition = _share(partition, volume(extent[start[level]]), hull)
        if not keep[level]:
            continue
        inner = level + 1
        while inner < levels and not keep[inner]:
            inner += 1
        content = asked[inner - 1]
        for between in range(inner - 2, level - 1, -1):  # levels passed through multiply what they pass on
            content = content * fanout[between] * asked[between] / delivered[between]
        share = 0.0
        peer = 0.0
        if level > 0:
            if outermost >= 0:
                share = delivered[level - 1] / fanout[level - 1]
            peer = handed[level - 1] / instances[level]
        out[level, TILE] = partition
        out[level, CAPACITY] = volume(extent[start[level]])
        out[level, LINKS] = np.floor(peer)
        if read_write:
            first_visits = 0.0 if switches[READ_FIRST, level] else np.float64(partition)
            out[level, UPDATES] = _nearest(content)
            # Timeloop stops where a hull with holes makes the share of an instance exceed its accesses
            out[level, READS] = max(0.0, _nearest(content + peer - first_visits))
            out[level, REDUCTIONS] = out[level, READS]
            out[level, FILLS] = max(0.0, _nearest(share + peer - (first_visits if outermost >= 0 else 0.0)))
        else:
            out[level, READS] = _nearest(content + peer)
            out[level, FILLS] = np.floor(share + peer)
        if outermost < 0:
            outermost = level
    return out


@kernel()
def row_energy(row, block, read, write, update):  # type: ignore[no-untyped-def]
    """Energy in pJ of one instance's counts: ``Σ ⌈words / block⌉ · price`` over reads, fills and updates.

    A price that is not known is NaN, and so is then the energy, unless the action never happens.
    """
    pj = 0.0
    for column, price in ((READS, read), (FILLS, write), (UPDATES, update)):
        words = np.int64(row[column])
        if words > 0:
            pj += ((words - 1) // block + 1) * price
    return pj


@kernel()
def speed(read, write, read_limit, write_limit, shared_limit):  # type: ignore[no-untyped-def]
    """Share of full speed that a storage's bandwidth allows, from words per cycle at full speed (inf: no limit)."""
    s = 1.0
    if read_limit < read:
        s = min(s, read_limit / read)
    if write_limit < write:
        s = min(s, write_limit / write)
    if shared_limit < read + write:
        s = min(s, shared_limit / (read + write))
    return s
