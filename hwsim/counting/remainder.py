"""Counts of one data space under loops whose last rounds are not full: such nests are walked, not folded.

**The walk.** A loop runs ``bound`` times, and ``residual`` times in the last iteration of all loops over its dimension
outside it. Of a temporal loop iterations 0 and 1 are executed, and iteration 1 stands for all later ones, as in
`hwsim.counting.fills`. Only where the last iteration differs from the others, which is so in the last iteration of the
loops outside and with a residual inside, it is executed, too. Each instance below a fan-out holds its own box from step
to step; those that a last round leaves idle keep theirs and ask for nothing.

**Timeloop's figures and exact ones.** Timeloop takes all instances below a fan-out for alike, each as busy as the
first, and multiplies by how many work on average. Where that comes to the work that there is (`timeloop_counts`) its
figures are given: a step at a distance from the one before it then fetches the words of the one before it. Elsewhere
each instance is what it is, and after an iteration that counts for many, what is held is carried on to where it is
after them, so that no step is taken for another. Instances of a level that do not all work alike are told apart by
where they stand at each spatial loop outside: before the last that works, the last, or idle (`BEFORE`, `LAST`, `IDLE`),
and each kind is walked once.

**New words** of a step are the points of the new box outside the old one, moves along several ranks included, if the
move (of the box's centre) is the last one that was not zero, or the first; another move fetches the whole box.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from hwsim.counting.fanout import may_link, mesh_columns_rows
from hwsim.counting.geometry import volume
from hwsim.counting.nest import (
    ASKED,
    COLUMNS,
    DELIVERED,
    FANOUT,
    HANDED,
    INSTANCES,
    NO_LINKS,
    NO_MULTICAST,
    NO_REUSE,
    level_counts,
    share_of,
)
from hwsim.kernel import BoolArray, FloatArray, IntArray, njit

BEFORE, LAST, IDLE = range(3)
MOST_WORK = 1 << 31
"""Boxes times ranks that one walk may look at (some ten seconds); a nest that takes more is refused."""
MOST_INSTANCES = 1 << 20
"""Instances below one fan-out whose boxes are held at once."""


class Loops(NamedTuple):
    """The nest (see the package's docstring) with the residual of every loop."""

    dim: IntArray
    bound: IntArray
    residual: IntArray
    axis: IntArray
    start: IntArray
    spatial_start: IntArray


class Below(NamedTuple):
    """What stands below one level: tables of a walk that do not change in it.

    Attributes:
        coef: (ranks, dims) projection.
        dim / bound / residual / axis: (n,) all loops.
        stride: (n,) product of the bounds of the loops over the same dimension inside.
        differs: (n,) whether a loop over the same dimension inside has a residual.
        first / last: the spatial loops of the level; loops from ``last`` on span the box of one instance.
        extent: (2, dims) iterations of every dimension inside ``last``: in a full round, and in the last.
        last_time: index of the level's own innermost temporal loop, -1 if it has none.
        refetch: whether every step fetches the whole box.
        alike: whether instances are taken for alike, as Timeloop takes them.
    """

    coef: IntArray
    dim: IntArray
    bound: IntArray
    residual: IntArray
    axis: IntArray
    stride: IntArray
    differs: BoolArray
    first: int
    last: int
    extent: IntArray
    last_time: int
    refetch: bool
    alike: bool


@njit(cache=True, error_model="numpy")
def _visit(k: int, n: int, tail: int) -> tuple[int, int, bool]:
    """The ``k``-th iteration executed of a temporal loop of ``n`` of which the last ``tail`` are executed one by one.

    Returns:
        its index, how often it counts, and whether what it follows was at a distance (where Timeloop takes the words
        of the step before).
    """
    middle = n - 1 - tail
    if k == 0:
        return 0, 1, False
    if middle < 1:
        return k, 1, False
    if k == 1:
        return 1, middle, False
    return n - tail + k - 2, 1, k == 2


class Held(NamedTuple):
    """What the instances below one fan-out hold, by their numbers, and what they fetched in the last two steps.

    Attributes:
        box: (2, ranks) low and high ends of the box that is looked at.
        old: (instances, 2, ranks) boxes held.
        move: (instances, ranks) the last moves that were not zero.
        state: (instances,) 0 nothing held, 1 held, 2 held and moved.
        part: (instances, 4, ranks) what was fetched: a box, and what of it was there.
        words: (instances,) how much that is.
        part_before / words_before: the same in the step before.
        worked: (instances,) the last step in which the instance worked.
    """

    box: IntArray
    old: IntArray
    move: IntArray
    state: IntArray
    part: IntArray
    words: IntArray
    part_before: IntArray
    words_before: IntArray
    worked: IntArray


@njit(cache=True, error_model="numpy")
def _away(twice: int) -> int:
    """Half of a whole number, rounded away from zero."""
    return (twice + 1) // 2 if twice >= 0 else -((1 - twice) // 2)


@njit(cache=True, error_model="numpy")
def _keeps(held: Held, x: int) -> bool:
    """Whether what instance ``x`` holds is of use for its new box in ``held.box``; remembers the move."""
    if held.state[x] == 0:
        held.state[x] = 1
        return False
    moved, same = False, held.state[x] == 1
    if not same:
        same = True
        for r in range(held.box.shape[1]):
            step = _away(held.box[0, r] + held.box[1, r] - held.old[x, 0, r] - held.old[x, 1, r])
            if step != held.move[x, r]:
                same = False
    for r in range(held.box.shape[1]):
        step = _away(held.box[0, r] + held.box[1, r] - held.old[x, 0, r] - held.old[x, 1, r])
        if step != 0:
            moved = True
    if not moved:
        return True
    for r in range(held.box.shape[1]):
        held.move[x, r] = _away(held.box[0, r] + held.box[1, r] - held.old[x, 0, r] - held.old[x, 1, r])
    held.state[x] = 2 if same else 1
    return same


@njit(cache=True, error_model="numpy")
def _take(held: Held, x: int) -> np.int64:
    """Words that instance ``x`` fetches as its box becomes ``held.box``; ``held.part[x]`` tells which."""
    box, old, part = held.box, held.old[x], held.part[x]
    keeps = _keeps(held, x)
    full, shared, cut, cuts = np.int64(1), np.int64(1), 0, 0
    for r in range(box.shape[1]):
        low, high = max(box[0, r], old[0, r]), min(box[1, r], old[1, r])
        full *= box[1, r] - box[0, r]
        shared *= max(0, high - low)
        part[2, r], part[3, r] = low, high
        if low > box[0, r]:
            cut, cuts = r, cuts + 1
        if high < box[1, r]:
            cut, cuts = r, cuts + 1
    part[:2] = box
    old[:] = box
    if not keeps or shared == 0:
        part[2:] = 0
        return full
    if cuts == 1:  # a slab is a box, whichever boxes it is the difference of
        if part[2, cut] > box[0, cut]:
            part[1, cut] = part[2, cut]
        else:
            part[0, cut] = part[3, cut]
        part[2:] = 0
    return full - shared


@njit(cache=True, error_model="numpy")
def _alike(a: IntArray, b: IntArray) -> bool:
    for i in range(a.shape[0]):
        for r in range(a.shape[1]):
            if a[i, r] != b[i, r]:
                return False
    return True


@njit(cache=True, error_model="numpy")
def _distinct_words(part: IntArray, words: IntArray, skip: BoolArray) -> np.int64:
    """Words of all instances' parts, those that are the same counted once."""
    n = part.shape[0]
    code = np.zeros(n, np.int64)
    used = 0
    which = np.empty(n, np.int64)
    for x in range(n):
        if words[x] > 0 and not skip[x]:
            mixed = np.int64(1469598103934665603)
            for i in range(part.shape[1]):
                for r in range(part.shape[2]):
                    mixed = (mixed ^ part[x, i, r]) * np.int64(1099511628211)
                    mixed ^= mixed >> 29
            code[used] = mixed
            which[used] = x
            used += 1
    order = np.argsort(code[:used])
    total = np.int64(0)
    for k in range(used):
        x = which[order[k]]
        seen = False
        back = k - 1
        while back >= 0 and code[order[back]] == code[order[k]]:
            if _alike(part[which[order[back]]], part[x]):
                seen = True
                break
            back -= 1
        if not seen:
            total += words[x]
    return total


@njit(cache=True, error_model="numpy")
def _place(below: Below, x: int, at: IntArray, ends: BoolArray) -> int:
    """Where instance ``x`` of a fan-out stands: adds to ``at``, narrows ``ends``.

    Returns:
        its number: where instances are taken for alike, those at work in this round are numbered through, and what is
        inside is as in a full round; -1 if the last round leaves it idle.
    """
    number, rest = 0, np.int64(1)
    for i in range(below.first, below.last):
        rest *= below.bound[i]
    for i in range(below.first, below.last):
        d = below.dim[i]
        rest //= below.bound[i]
        index = x // rest
        x %= rest
        runs = below.bound[i]
        if ends[d]:
            if index >= below.residual[i]:
                return -1
            if below.alike:
                runs = below.residual[i]
            ends[d] = index == below.residual[i] - 1
        number = number * runs + index
        at[d] += index * below.stride[i]
    if below.alike:
        for i in range(below.first, below.last):
            ends[below.dim[i]] = False
    return number


@njit(cache=True, error_model="numpy")
def _neighbours_serve(held: Held, columns: int, rows: int, out: BoolArray) -> None:
    """Which instances want what a mesh neighbour fetched in the step before (numbered as in `fanout.linked`)."""
    n = held.words.shape[0]
    for x in range(n):
        out[x] = False
        column, row = x % columns, x // columns
        if held.words[x] == 0 or row >= rows:
            continue
        for side in range(4):
            c = column + (1 if side == 0 else -1 if side == 1 else 0)
            w = row + (1 if side == 2 else -1 if side == 3 else 0)
            if c < 0 or c >= columns or w < 0 or w >= rows or w * columns + c >= n:
                continue
            y = w * columns + c
            if held.words_before[y] > 0 and _alike(held.part[x], held.part_before[y]):
                out[x] = True


@njit(cache=True, error_model="numpy")
def _step(below: Below, held: Held, at: IntArray, ends: BoolArray, number_of_step: int) -> None:
    """Move the boxes of all instances that work in a step to where the loops stand."""
    held.words_before[:] = held.words
    held.part_before[:] = held.part
    held.words[:] = 0
    dims, ranks = below.coef.shape[1], below.coef.shape[0]
    here, over = np.empty(dims, np.int64), np.empty(dims, np.bool_)
    for x in range(held.words.shape[0]):
        here[:], over[:] = at, ends
        number = _place(below, x, here, over)
        if number < 0:
            continue
        for r in range(ranks):
            low, extent = np.int64(0), np.int64(1)
            for d in range(dims):
                low += below.coef[r, d] * here[d]
                extent += below.coef[r, d] * (below.extent[1 if over[d] else 0, d] - 1)
            held.box[0, r], held.box[1, r] = low, low + extent
        if below.refetch:
            held.state[number] = 0
        held.words[number] = _take(held, number)
        held.worked[number] = number_of_step


@njit(cache=True, error_model="numpy")
def _carry(below: Below, held: Held, loop: int, times: int, since: int) -> None:
    """Move what is held to where it is after an iteration that counts so often has run so often.

    Instances that have been idle since before the iteration stay where they were.
    """
    for r in range(below.coef.shape[0]):
        shift = below.coef[r, below.dim[loop]] * below.stride[loop] * (times - 1)
        for x in range(held.words.shape[0]):
            if held.worked[x] >= since:
                held.old[x, :, r] += shift
            held.part[x, :2, r] += shift
            if held.part[x, 3, 0] > held.part[x, 2, 0]:
                held.part[x, 2:, r] += shift


@njit(cache=True, error_model="numpy")
def _serve(
    held: Held, multicast: bool, links: bool, columns: int, rows: int, served: BoolArray
) -> tuple[np.int64, np.int64, np.int64]:
    """Words of a step: asked for, delivered but for what neighbours hand on, and handed on."""
    total = np.sum(held.words)
    n = held.words.shape[0]
    if n == 1:
        return total, total, np.int64(0)
    served[:] = False
    want = _distinct_words(held.part, held.words, served) if multicast else total
    if links:
        _neighbours_serve(held, columns, rows, served)
        passed = np.sum(held.words[served])
        left = _distinct_words(held.part, held.words, served) if multicast else total - passed
        if left < want:
            return left, total - passed, passed
    return want, total, np.int64(0)


class Cursor(NamedTuple):
    """Where the walk stands in the loops outside; row i + 1 is what loops 0 … i make of it.

    Attributes:
        nth: (depth,) which of its iterations that are executed a loop is in; -1 before the first.
        times: (depth,) how often that one counts.
        since: (depth,) the step that it began with.
        at: (depth + 1, dims) index in every dimension.
        ends: (depth + 1, dims) whether every loop over the dimension is in its last iteration.
        weight: (depth + 1,) how often a step counts.
        afar: (1,) whether the own innermost loop of the level follows a step at a distance.
    """

    nth: IntArray
    times: IntArray
    since: IntArray
    at: IntArray
    ends: BoolArray
    weight: IntArray
    afar: BoolArray


@njit(cache=True, error_model="numpy")
def _enter(below: Below, standing: IntArray, cursor: Cursor, i: int) -> bool:
    """The next iteration of loop ``i``; False if there is none."""
    cursor.nth[i] += 1
    k, d = cursor.nth[i], below.dim[i]
    last_round = cursor.ends[i, d]
    cursor.at[i + 1], cursor.ends[i + 1], cursor.weight[i + 1] = cursor.at[i], cursor.ends[i], cursor.weight[i]
    if below.axis[i] != 0:
        if last_round:
            cursor.ends[i + 1, d] = standing[i] == LAST
        return k == 0 and not (last_round and standing[i] == IDLE)
    runs = below.residual[i] if last_round else below.bound[i]
    tail = 0
    if last_round and below.differs[i]:
        tail = 2 if below.alike and below.residual[i] < below.bound[i] else 1
    if k >= min(runs, 2 + tail):
        return False
    index, times, afar = _visit(k, runs, tail)
    cursor.times[i] = times
    cursor.at[i + 1, d] += index * below.stride[i]
    cursor.ends[i + 1, d] = last_round and index == runs - 1
    cursor.weight[i + 1] *= times
    if i == below.last_time:
        cursor.afar[0] = afar and below.alike
    return True


@njit(cache=True, error_model="numpy")
def _walk(
    below: Below, standing: IntArray, multicast: bool, links: bool, columns: int, rows: int, most: int
) -> tuple[np.int64, np.int64, np.int64]:
    """Execute the loops outside the spatial ones of a level, for one instance of it.

    Args:
        standing: (n,) where the instance stands at each spatial loop outside.
        links: whether neighbours may hand on.
        columns / rows: among which neighbours are looked for.
        most: `MOST_WORK`.

    Returns:
        words that the level is asked for, words delivered to the instances below but for what neighbours hand on,
        and words that these hand on; -1 where the walk takes too long.
    """
    depth, dims, ranks = below.first, below.coef.shape[1], below.coef.shape[0]
    n = np.int64(1)
    for i in range(below.first, below.last):
        n *= below.bound[i]
    cursor = Cursor(
        np.full(depth, -1, np.int64),
        np.ones(depth, np.int64),
        np.zeros(depth, np.int64),
        np.zeros((depth + 1, dims), np.int64),
        np.ones((depth + 1, dims), np.bool_),
        np.ones(depth + 1, np.int64),
        np.zeros(1, np.bool_),
    )
    held = Held(
        np.empty((2, ranks), np.int64),
        np.zeros((n, 2, ranks), np.int64),
        np.zeros((n, ranks), np.int64),
        np.zeros(n, np.int64),
        np.zeros((n, 4, ranks), np.int64),
        np.zeros(n, np.int64),
        np.zeros((n, 4, ranks), np.int64),
        np.zeros(n, np.int64),
        np.full(n, -1, np.int64),
    )
    served = np.zeros(n, np.bool_)
    asked = delivered = handed = steps = np.int64(0)
    i = 0
    while i >= 0:
        if i < depth:
            if cursor.nth[i] >= 0 and cursor.times[i] > 1 and not below.alike:
                _carry(below, held, i, cursor.times[i], cursor.since[i])
            cursor.times[i] = 1
            cursor.since[i] = steps
            if _enter(below, standing, cursor, i):
                i += 1
                if i < depth:
                    cursor.nth[i] = -1
            else:
                i -= 1
            continue
        if (steps + 1) * n * ranks > most:
            return np.int64(-1), np.int64(-1), np.int64(-1)
        _step(below, held, cursor.at[depth], cursor.ends[depth], steps)
        if cursor.afar[0] and n == 1:
            held.words[:] = held.words_before
        steps += 1
        want, total, passed = _serve(held, multicast, links, columns, rows, served)
        asked += cursor.weight[depth] * want
        delivered += cursor.weight[depth] * total
        handed += cursor.weight[depth] * passed
        i -= 1
    return asked, delivered, handed


def count_with_remainders(
    coef: IntArray, read_write: bool, loops: Loops, keep: BoolArray, mesh: IntArray, switches: BoolArray, exact: bool
) -> FloatArray:
    """As `hwsim.counting.count_data_space`, for a nest of which some loop has a residual.

    Args:
        exact: figures are averages over all instances that ever work; else those of one that Timeloop takes for all,
            to be multiplied by `instances_at_work` (see `timeloop_counts`).

    Raises:
        ValueError: the nest has too many loops with residuals, or too wide a fan-out, to be walked.
    """
    levels = keep.shape[0]
    demand = np.zeros((5, levels + 1))
    demand[INSTANCES, 0] = 1.0
    for level in range(levels):
        refetch = level + 1 == levels or bool(switches[NO_REUSE, level + 1])
        below = _below(coef, loops, level, refetch, not exact)
        fanout = math.prod(below.bound[below.first : below.last].tolist())
        if fanout > MOST_INSTANCES:
            raise ValueError(f"{fanout:,} instances below one level; up to {MOST_INSTANCES:,} are walked")
        links = below.first < below.last and not switches[NO_LINKS, level]
        links = links and (may_link(below.first, below.last, _moves(below), coef) or level + 1 == levels)
        columns, rows = mesh_columns_rows(below.first, below.last, loops.bound, loops.axis, mesh[level])
        demand[FANOUT, level] = fanout
        demand[INSTANCES, level + 1] = demand[INSTANCES, level] * fanout
        total = np.zeros(3)
        for standing, count in _standings(below) if exact else [(np.full(below.first, BEFORE), 1)]:
            found = _walk(below, standing, not switches[NO_MULTICAST, level], links, columns, rows, MOST_WORK)
            if found[0] < 0:
                raise ValueError("its loops with residuals take too many steps to walk")
            total += count * np.array(found)
        demand[[ASKED, DELIVERED, HANDED], level] = total / (demand[INSTANCES, level] if exact else 1.0)
    boxes = _boxes(coef, loops)
    tile = _touched(coef, loops, demand[INSTANCES]) if exact else _partitions(loops, boxes)
    capacity = np.array([float(volume(boxes[i])) for i in loops.start])
    spread = demand[INSTANCES] if exact else np.ones(levels + 1)
    out = np.zeros((levels, COLUMNS))
    level_counts(read_write, demand, tile, capacity, keep, switches, spread, out)
    return out


def timeloop_counts(loops: Loops, keep: BoolArray) -> bool:
    """Whether Timeloop's way of counting residuals comes to the work that there is.

    It takes all instances below a fan-out for alike, and multiplies by how many of them work on average. That is wrong
    where a loop with a residual lies inside a spatial loop over the same dimension, unless it is spatial itself and
    outside a storage, and where the average, cut to a whole number, is less than it was.

    Args:
        keep: (levels,) whether a level keeps anything.
    """
    innermost = int(np.flatnonzero(keep)[-1])
    short = loops.residual < loops.bound
    for i in np.flatnonzero(short):
        outside = (loops.dim[:i] == loops.dim[i]) & (loops.axis[:i] != 0)
        if outside.any() and (loops.axis[i] == 0 or i >= loops.start[innermost]):
            return False
    return instances_at_work(loops)[innermost].denominator == 1


def instances_at_work(loops: Loops) -> list[Fraction]:
    """(levels + 1) instances of each level that work, on average over the rounds."""
    out, rounds = [Fraction(1)], np.ones(int(loops.dim.max()) + 1, object)
    for level in range(len(loops.spatial_start)):
        out.append(out[-1])
        for i in range(loops.start[level], loops.start[level + 1]):
            d, bound, residual = int(loops.dim[i]), int(loops.bound[i]), int(loops.residual[i])
            if loops.axis[i]:
                out[-1] *= Fraction(residual + bound * (rounds[d] - 1), rounds[d])
            rounds[d] *= bound
    return out


def _strides(loops: Loops) -> tuple[IntArray, BoolArray]:
    """(n,) iterations of its dimension that one of a loop's spans, and whether a loop inside has a residual."""
    n = len(loops.dim)
    stride, differs = np.ones(n, np.int64), np.zeros(n, np.bool_)
    for i in range(n):
        inside = np.flatnonzero(loops.dim[i + 1 :] == loops.dim[i]) + i + 1
        stride[i] = math.prod(loops.bound[inside].tolist())
        differs[i] = bool((loops.residual[inside] < loops.bound[inside]).any())
    return stride, differs


def _extents(loops: Loops, first: int, dims: int) -> IntArray:
    """(2, dims) iterations that loops ``first`` … span: in a full round, and in the last."""
    stride, _ = _strides(loops)
    extent = np.ones((2, dims), np.int64)
    for i in range(first, len(loops.dim)):
        extent[0, loops.dim[i]] *= loops.bound[i]
        extent[1, loops.dim[i]] += stride[i] * (loops.residual[i] - 1)
    return extent


def _below(coef: IntArray, loops: Loops, level: int, refetch: bool, alike: bool) -> Below:
    """The tables of the walk outside the spatial loops of a level."""
    first, last = int(loops.spatial_start[level]), int(loops.start[level + 1])
    stride, differs = _strides(loops)
    own = first == last and loops.start[level] < first
    return Below(
        coef,
        loops.dim,
        loops.bound,
        loops.residual,
        loops.axis,
        stride,
        differs,
        first,
        last,
        _extents(loops, last, coef.shape[1]),
        first - 1 if own else -1,
        refetch,
        alike,
    )


def _moves(below: Below) -> IntArray:
    """(n, ranks) how far one iteration of each loop moves the box."""
    return np.ascontiguousarray((below.coef[:, below.dim] * below.stride).T)


def _standings(below: Below) -> Iterator[tuple[IntArray, int]]:
    """Where instances of a level can stand at the spatial loops outside it, and how many instances stand so."""
    choices: list[list[tuple[int, int]]] = []
    for i in range(below.first):
        bound, residual = int(below.bound[i]), int(below.residual[i])
        if not below.axis[i]:
            choices.append([(LAST, 1)])
        elif residual < bound or below.differs[i]:
            choices.append([x for x in ((BEFORE, residual - 1), (LAST, 1), (IDLE, bound - residual)) if x[1]])
        else:
            choices.append([(LAST, bound)])
    for chosen in itertools.product(*choices):
        yield np.array([x for x, _ in chosen], np.int64), math.prod(count for _, count in chosen)


def _boxes(coef: IntArray, loops: Loops) -> IntArray:
    """(n + 1, ranks) the largest box that loops i … span: of a full round, unless there is no loop outside."""
    out = []
    for i in range(len(loops.dim) + 1):
        full, short = _extents(loops, i, coef.shape[1])
        outside = np.isin(np.arange(coef.shape[1]), loops.dim[:i])
        out.append(1 + coef @ (np.where(outside, full, short) - 1))
    return np.array(out, np.int64)


def _partitions(loops: Loops, boxes: IntArray) -> FloatArray:
    """(levels,) elements that an instance ever touches, as `count_data_space` has them."""
    out = [int(volume(boxes[0]))]
    for level in range(1, len(loops.spatial_start)):
        out.append(out[-1])
        if loops.spatial_start[level - 1] < loops.start[level]:
            hull = volume(boxes[loops.spatial_start[level - 1]])
            out[-1] = int(share_of(out[-1], volume(boxes[loops.start[level]]), hull))
    return np.array(out, np.float64)


def _touched(coef: IntArray, loops: Loops, instances: FloatArray) -> FloatArray:
    """(levels,) elements that an instance ever touches, on average.

    Instances along a dimension that the data space has share its elements out; along any other each touches them all.
    """
    out = []
    for level in range(len(loops.spatial_start)):
        outside = np.arange(loops.start[level])
        apart = [i for i in outside if loops.axis[i] and coef[:, loops.dim[i]].any()]
        out.append(volume(_boxes(coef, loops)[0]) / math.prod(loops.bound[apart].tolist()))
    return np.array(out, np.float64)
