"""The machine of `hwsim.array.systolic_machine` compiled: the same registers as arrays, moved one cycle at a time.

It shares the controller with the machine of objects and nothing else; tests compare the two register by register.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.array.systolic import MatrixProduct, SystolicCycles, SystolicDesign
from hwsim.array.systolic_machine import Ints, Segment, SystolicRun, check_operands, controller, waits
from hwsim.kernel import kernel

BUBBLE = -1
LOAD, SWAP = 1, 2
# Columns of `State.addresses`: where the sums of a token go.
GROUP, TOKEN, OUTPUT, WIDTH, WAITS = range(5)
# Entries of `State.counts`.
CYCLE, TAGS, LAST_MARK, MOST_WAITING, FLOWING, PRELOAD, FILL, STREAM, DRAIN = range(9)


class State(NamedTuple):
    """Every register of the machine.

    ``weight`` … ``marks`` are those of the PEs, R × C; a tag names a token, a mark is a sum of `LOAD` and `SWAP`.
    ``in_…`` keep what entered last, for the skew: entry ``cycle % R`` (``% C`` for weights) is the newest.
    """

    weight: Ints
    next_weight: Ints
    passing: Ints
    value: Ints
    tag: Ints
    sum: Ints
    marks: NDArray[np.int8]
    in_value: Ints
    in_tag: Ints
    in_mark: NDArray[np.int8]
    in_weight: Ints
    addresses: Ints
    owed: Ints
    waiting: Ints
    counts: Ints
    results: Ints


def empty_state(design: SystolicDesign, product: MatrixProduct) -> State:
    """The machine before its first cycle."""
    rows, columns = design.rows, design.columns

    def zeros(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    tag, in_tag = zeros(rows, columns), zeros(rows)
    tag.fill(BUBBLE)
    in_tag.fill(BUBBLE)
    return State(
        weight=zeros(rows, columns),
        next_weight=zeros(rows, columns),
        passing=zeros(rows, columns),
        value=zeros(rows, columns),
        tag=tag,
        sum=zeros(rows, columns),
        marks=np.zeros((rows, columns), dtype=np.int8),
        in_value=zeros(rows, rows),
        in_tag=in_tag,
        in_mark=np.zeros(rows, dtype=np.int8),
        in_weight=zeros(columns, columns),
        addresses=zeros(rows + columns, 5),  # no more tokens than that are on their way at a time
        owed=zeros(columns),
        waiting=zeros(columns),
        counts=zeros(9),
        results=zeros(product.groups, product.tokens, product.outputs),
    )


def numbers(segment: Segment) -> Ints:
    """A segment as the kernel reads it.

    Of the weights that go in: rows, first row, first output, outputs, group. Of the stream: tokens, first token, first
    row, rows, first output, outputs, group, `waits`.
    """
    out = [0] * 13
    if segment.loads is not None:
        t = segment.loads
        out[:5] = len(t.reduction), t.reduction.start, t.outputs.start, len(t.outputs), t.group
    if segment.streams is not None:
        t = segment.streams
        out[5:] = (
            *(len(t.tokens), t.tokens.start, t.reduction.start, len(t.reduction)),
            *(t.outputs.start, len(t.outputs), t.group, waits(t)),
        )
    return np.array(out, dtype=np.int64)


@kernel()
def advance(state, inputs, weights, segment, start, stop):  # type: ignore[no-untyped-def]
    """Cycles ``start`` to ``stop`` of a segment; an empty one (no rows, no tokens) ends when every sum is out.

    Returns:
        Cycles that were stepped.
    """
    rows, columns = state.weight.shape
    counts = state.counts
    load_rows, tokens = segment[0], segment[5]
    if start == 0 and load_rows > 0 and tokens == 0:
        counts[FLOWING] = 0
    for step in range(start, stop):
        if load_rows == 0 and tokens == 0 and not state.owed.any():
            return step - start
        now, now_w = counts[CYCLE] % rows, counts[CYCLE] % columns
        state.in_value[now] = 0
        state.in_tag[now] = BUBBLE
        state.in_mark[now] = 0
        state.in_weight[now_w] = 0
        if step < tokens:
            enter_token(state, inputs, segment[5:], step, now)
        if step < load_rows:
            enter_weights(state, weights, segment[:5], step, now, now_w)
        if state.in_mark[now] != 0:
            counts[LAST_MARK] = counts[CYCLE]
        clock_edge(state, now, now_w, counts[CYCLE] - counts[LAST_MARK] < rows + columns)
        counts[phase(state, collect(state))] += 1
        counts[CYCLE] += 1
    return stop - start


@kernel()
def phase(state, out):  # type: ignore[no-untyped-def]
    """What a cycle was spent on; ``out``: column 0 handed out a sum. See `SystolicMachine`."""
    if out:
        state.counts[FLOWING] = 1
        return STREAM
    if state.counts[FLOWING]:
        return PRELOAD if state.owed[0] > 0 else DRAIN
    return FILL if state.owed[0] > 0 else PRELOAD


@kernel()
def enter_token(state, inputs, stream, step, now):  # type: ignore[no-untyped-def]
    """A row of inputs at the left; its sums are owed from now on."""
    _, first, reduction, depth, output, width, group, waiting = stream
    tag = state.counts[TAGS]
    state.counts[TAGS] += 1
    state.in_tag[now] = tag
    for i in range(depth):
        state.in_value[now, i] = inputs[group, first + step, reduction + i]
    where = state.addresses[tag % len(state.addresses)]
    where[GROUP], where[TOKEN], where[OUTPUT], where[WIDTH], where[WAITS] = group, first + step, output, width, waiting
    for j in range(width):
        state.owed[j] += 1
    if step == 0:
        state.in_mark[now] += SWAP


@kernel()
def enter_weights(state, weights, load, step, now, now_w):  # type: ignore[no-untyped-def]
    """A row of weights at the top."""
    rows, first, output, width, group = load
    state.in_mark[now] += LOAD
    for j in range(width):
        state.in_weight[now_w, j] = weights[group, first + rows - 1 - step, output + j]


@kernel()
def clock_edge(state, now, now_w, marked):  # type: ignore[no-untyped-def]
    """Move every register; ``marked``: a mark may be on its way."""
    rows, columns = state.weight.shape
    # From the far corner backwards, so that every PE still finds what its neighbours held before the edge.
    for i in range(rows - 1, -1, -1):
        entered = (now - i) % rows
        value, tag, marks, total, weight = state.value[i], state.tag[i], state.marks[i], state.sum[i], state.weight[i]
        for j in range(columns - 1, 0, -1):
            value[j] = value[j - 1]
            tag[j] = tag[j - 1]
        value[0] = state.in_value[entered, i]
        tag[0] = state.in_tag[entered]
        if marked:
            for j in range(columns - 1, 0, -1):
                marks[j] = marks[j - 1]
            marks[0] = state.in_mark[entered]
            for j in range(columns):
                if marks[j] & SWAP:
                    weight[j] = state.next_weight[i, j]
                if marks[j] & LOAD:
                    above = state.passing[i - 1, j] if i > 0 else state.in_weight[(now_w - j) % columns, j]
                    state.passing[i, j] = state.next_weight[i, j]
                    state.next_weight[i, j] = above
        if i > 0:
            sum_above = state.sum[i - 1]
            for j in range(columns):
                total[j] = sum_above[j] + weight[j] * value[j]
        else:
            for j in range(columns):
                total[j] = weight[j] * value[j]


@kernel()
def collect(state):  # type: ignore[no-untyped-def]
    """Add what left below the columns to the results; True where column 0 handed out a sum."""
    rows, columns = state.weight.shape
    for j in range(columns):
        tag = state.tag[rows - 1, j]
        if tag == BUBBLE:
            continue
        where = state.addresses[tag % (rows + columns)]
        if j < where[WIDTH]:
            state.results[where[GROUP], where[TOKEN], where[OUTPUT] + j] += state.sum[rows - 1, j]
            state.owed[j] -= 1
            state.waiting[j] += where[WAITS]
            state.counts[MOST_WAITING] = max(state.counts[MOST_WAITING], state.waiting[j])
    return state.tag[rows - 1, 0] != BUBBLE


def run(design: SystolicDesign, product: MatrixProduct, inputs: Ints, weights: Ints) -> SystolicRun:
    """Step a product to its end; operands as those of `SystolicMachine`."""
    check_operands(product, inputs, weights)
    state = empty_state(design, product)
    for segment in controller(design, product):
        longest = max(segment.rows, segment.tokens)
        advance(state, inputs, weights, numbers(segment), 0, longest or design.rows + design.columns)
    counts: Any = state.counts
    phases = (int(counts[k]) for k in (PRELOAD, FILL, STREAM, DRAIN))
    return SystolicRun(SystolicCycles(*phases), state.results, int(counts[MOST_WAITING]))
