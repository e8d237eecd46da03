"""What instances of a fan-out share: boxes that coincide (multicast, reduction), and what neighbours hand on."""

from __future__ import annotations

import numpy as np

from hwsim.counting.fills import new_part
from hwsim.counting.geometry import equal, is_zero, volume
from hwsim.kernel import BoolArray, IntArray, kernel, njit


@njit(cache=True, error_model="numpy")
def offsets(first: int, last: int, bound: IntArray, move: IntArray) -> IntArray:
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
def distinct(offset: IntArray, skip: BoolArray) -> int:
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
def distinct_boxes(first: int, last: int, bound: IntArray, move: IntArray) -> np.int64:
    """Different boxes among the instances below spatial loops ``first`` … ``last−1`` (rule 6).

    Each is one access of the parent: the others are reached by multicast, or reduced on the way.
    """
    groups = np.int64(1)
    ranks = move.shape[1]
    for i in range(first, last):
        if not is_zero(move[i]):
            groups *= bound[i]
    for r in range(ranks):
        sharing = 0
        for i in range(first, last):
            if move[i, r] != 0:
                sharing += 1
        if sharing > 1:  # two loops slide along one rank: their sums may coincide
            offset = offsets(first, last, bound, move)
            return np.int64(distinct(offset, np.zeros(offset.shape[0], np.bool_)))
    return groups


@kernel()
def may_link(first: int, last: int, move: IntArray, coef: IntArray) -> bool:
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
def linked(offset: IntArray, shift: IntArray, columns: int, rows: int) -> BoolArray:
    """Which instances find what they need, after a move by ``shift``, at a mesh neighbour's previous place.

    Timeloop numbers the instances by the mapped bounds but looks for neighbours at
    ``row·columns + column`` with the physical mesh (or the mapped bound, if larger): reproduced.
    """
    n = offset.shape[0]
    ranks = offset.shape[1]
    out = np.zeros(n, np.bool_)
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
                out[x] = True
    return out


@kernel()
def mesh_columns_rows(
    first: int, last: int, bound: IntArray, axis: IntArray, mesh: IntArray
) -> tuple[np.int64, np.int64]:
    """Columns and rows among which neighbours are looked for: the mesh's, or those in use where these are more."""
    columns, rows = np.int64(1), np.int64(1)
    for i in range(first, last):
        if axis[i] == 1:
            columns *= bound[i]
        else:
            rows *= bound[i]
    return max(columns, mesh[0]), max(rows, mesh[1])


@njit(cache=True, error_model="numpy")
def served(offset: IntArray, step: IntArray, columns: int, rows: int) -> tuple[np.int64, np.int64]:
    """After a move: how many different boxes the parent still has to serve, and how many instances neighbours serve."""
    by_neighbours = linked(offset, step, columns, rows)
    return distinct(offset, by_neighbours), np.sum(by_neighbours)


@njit(cache=True, error_model="numpy")
def linked_traffic(
    first: int,
    last: int,
    holds: bool,
    bound: IntArray,
    axis: IntArray,
    move: IntArray,
    extent: IntArray,
    outside: IntArray,
    mesh: IntArray,
) -> tuple[np.int64, np.int64]:
    """What link transfers save at one spatial level (rule 8).

    A step can be served by neighbours if it wants boxes of the same shape as the step before.
    Between two advances of outer loops the innermost temporal loop *n* advances once in the walk,
    so only these pairs of steps occur: (first fill, n), (advance of i, n) and (n, advance of i).

    Args:
        first / last: the level's spatial loops.
        holds: False for the datapath, which fetches at every step whether its operand moved or not.
        mesh: (2,) physical columns and rows.

    Returns:
        accesses of the parent saved, and words that neighbours hand on instead of its deliveries (both in words per
        parent instance over the run).
    """
    saved = np.int64(0)
    handed = np.int64(0)
    ranks = move.shape[1]
    inner = -1
    for i in range(first - 1, -1, -1):
        if axis[i] == 0:
            inner = i
            break
    if inner < 0 or (holds and is_zero(move[inner])):
        return saved, handed
    columns, rows = mesh_columns_rows(first, last, bound, axis, mesh)
    box = extent[last]
    full = volume(box)
    offset = offsets(first, last, bound, move)
    groups = distinct(offset, np.zeros(offset.shape[0], np.bool_))

    usual = move[inner].copy()
    usual_cost = new_part(box, usual) if holds else full
    left, taken = served(offset, usual, columns, rows)
    useful = left < groups

    times_inner = bound[inner] - 1
    if useful and usual_cost == full:  # after the very first fill
        saved += times_inner * full * (groups - left)
        handed += times_inner * full * taken
    swept = usual.copy()
    step = np.zeros(ranks, np.int64)
    for i in range(inner - 1, -1, -1):
        if axis[i] != 0:
            continue
        for r in range(ranks):
            step[r] = move[i, r] - swept[r]
            swept[r] += move[i, r]
        if holds and is_zero(step):
            continue
        cost = usual_cost if holds and equal(step, usual) else full
        if cost != usual_cost:
            continue
        times = (bound[i] - 1) * outside[i]
        if useful:  # loop n advances right after loop i
            saved += times * times_inner * cost * (groups - left)
            handed += times * times_inner * cost * taken
        left_i, taken_i = served(offset, step, columns, rows)
        if left_i < groups:  # loop i advances right after loop n
            saved += times * cost * (groups - left_i)
            handed += times * cost * taken_i
    return saved, handed
