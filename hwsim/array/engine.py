"""The machine as numba kernels: the same steps as `hwsim.array.machine`, some hundred times faster.

Every buffer of every instance is a piece of one array of words; a tile lies in it as in a ring, rank by rank, so that
words that stay keep their place. In each step the kernel moves the words that the control asks for, multiplies what
stands in the innermost buffers, adds to what stands in the result's, and counts each access where it happens. A word of
a result has a valid bit: it travels with the word, and a word without it is not read before it is written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from hwsim.array.arithmetic import EXACT, SATURATE
from hwsim.array.clock import Clock, pace, settle
from hwsim.array.plan import Node, Plan

# Columns of the counters, a row per node.
READS, FILLS, UPDATES, LINKS, VISITS = range(5)
COUNTERS = 5

# Kinds of region.
NOTHING, SLAB, WHOLE = range(3)

# Status of a run.
DONE, MORE = range(2)

_CACHED_SHIFTS = 8


class Tables(NamedTuple):
    """A plan as arrays; N nodes, R ranks (padded with extent 1), L temporal loops."""

    bound: Any  # (L,)
    extent: Any  # (N, R)
    stride: Any  # (N, R) of the ring in memory
    words: Any  # (N,)
    loops: Any  # (N,)
    instances: Any  # (N,)
    parent: Any  # (N,)
    step: Any  # (N, L, R)
    holds: Any  # (N,) bool
    refetch: Any  # (N,) bool
    first_read: Any  # (N,) bool
    is_result: Any  # (N,) bool
    base: Any  # (N,) where the node's buffers start
    place: Any  # (N,) where its placements start
    above: Any  # (places,) parent instance
    offset: Any  # (places, R) of the box in the parent's
    leader: Any  # (places,) instance that fetches for the group
    sliding: Any  # (N, R) ranks in which offsets differ, first ones first
    slidings: Any  # (N,) how many of them
    linked: Any  # (N,) bool: mesh neighbours may hand words on
    mesh: Any  # (N, 2) columns and rows
    fan: Any  # (N,) instances on one such mesh
    multicast: Any  # (N,) bool
    outer_lead: Any  # (places,) bool: leads in all meshes but the innermost
    local_lead: Any  # (places,) bool: leads in the innermost mesh
    level: Any  # (N,)
    weights: int  # the multipliers' node of the first operand
    inputs: int  # … of the second
    outputs: int  # … of the result


class State(NamedTuple):
    """What changes while the machine runs."""

    index: Any  # (L,) iterations
    origin: Any  # (N, R)
    usual: Any  # (N, R) the last stride
    has_usual: Any  # (N,) bool
    kind: Any  # (N,) kind of region of this step
    low: Any  # (N, R) and where it starts
    size: Any  # (N, R)
    before_kind: Any  # (N,)
    before_low: Any
    before_size: Any
    buffer: Any  # (words,)
    valid: Any  # (words,) uint8
    latch: Any  # (3, multipliers) what stands in front of the multipliers, and their sums
    at: Any  # (multipliers,) where in the result's buffer the sum belongs
    counter: Any  # (N, COUNTERS) int64
    moved: Any  # (N, 3) of this step: words read from the parent, taken, handed on
    link_shift: Any  # (N, _CACHED_SHIFTS, R)
    link_known: Any  # (N,) how many are known
    link_useful: Any  # (N, _CACHED_SHIFTS) bool
    link_source: Any  # (N, _CACHED_SHIFTS, fan)
    link_lead: Any  # (N, _CACHED_SHIFTS, fan) bool: fetches for its group
    link_to: Any  # (N, _CACHED_SHIFTS, fan) who takes the sum of this place; -1: the buffer
    link_sends: Any  # (N, _CACHED_SHIFTS, fan) bool: sends for its group
    scratch: Any  # (most words of a staged region,)


@njit(cache=True, error_model="numpy", inline="always")
def _add(a, b, mode, low, high):  # type: ignore[no-untyped-def]
    """The adder: exact, wrapping or saturating between ``low`` and ``high``."""
    total = a + b
    if mode == EXACT:
        return total
    if low <= total <= high:
        return total
    if mode == SATURATE:
        return low if total < low else high
    return low + (total - low) % (high - low + 1)


@njit(cache=True, error_model="numpy")
def _control(t, s, n, loop):  # type: ignore[no-untyped-def]
    """Move a tile and find the region that it takes (see `hwsim.array.control.TileControl`)."""
    ranks = t.extent.shape[1]
    if loop < 0:
        s.kind[n] = WHOLE
    else:
        rank = -1
        several = False
        same = True
        for r in range(ranks):
            shift = t.step[n, loop, r]
            s.origin[n, r] += shift
            if shift != 0:
                several = rank >= 0
                rank = r
            if shift != s.usual[n, r]:
                same = False
        if t.refetch[n]:
            s.kind[n] = WHOLE
        elif rank < 0:
            s.kind[n] = NOTHING
            return
        elif s.has_usual[n] and not same:
            s.has_usual[n] = False
            s.kind[n] = WHOLE
        else:
            s.has_usual[n] = True
            for r in range(ranks):
                s.usual[n, r] = t.step[n, loop, r]
            distance = abs(t.step[n, loop, rank])
            if several or distance >= t.extent[n, rank]:
                s.kind[n] = WHOLE
            else:
                s.kind[n] = SLAB
                for r in range(ranks):
                    s.low[n, r] = s.origin[n, r]
                    s.size[n, r] = t.extent[n, r]
                if t.step[n, loop, rank] > 0:
                    s.low[n, rank] += t.extent[n, rank] - distance
                s.size[n, rank] = distance
                return
    for r in range(ranks):
        s.low[n, r] = s.origin[n, r]
        s.size[n, r] = t.extent[n, r]


@njit(cache=True, error_model="numpy")
def _links(t, s, n):  # type: ignore[no-untyped-def]
    """Which remembered pattern of handovers serves this step; -1 where neighbours do not help."""
    if s.kind[n] == NOTHING or s.before_kind[n] == NOTHING:
        return -1
    ranks = t.extent.shape[1]
    for r in range(ranks):
        if s.size[n, r] != s.before_size[n, r]:
            return -1
    for k in range(min(s.link_known[n], _CACHED_SHIFTS)):
        hit = True
        for r in range(ranks):
            if s.link_shift[n, k, r] != s.low[n, r] - s.before_low[n, r]:
                hit = False
                break
        if hit:
            return k if s.link_useful[n, k] else -1
    k = s.link_known[n] % _CACHED_SHIFTS
    s.link_known[n] += 1
    for r in range(ranks):
        s.link_shift[n, k, r] = s.low[n, r] - s.before_low[n, r]
    columns, rows, fan = t.mesh[n, 0], t.mesh[n, 1], t.fan[n]
    first = t.place[n]  # the first mesh stands for all: they are alike
    usual = 0
    left = 0
    for x in range(fan):
        usual += t.local_lead[first + x]
        s.link_source[n, k, x] = -1
        column, row = x % columns, x // columns
        for side in range(4):
            c = column + (1 if side == 0 else -1 if side == 1 else 0)
            w = row + (1 if side == 2 else -1 if side == 3 else 0)
            y = w * columns + c
            if row >= rows or c < 0 or c >= columns or w < 0 or w >= rows or y >= fan:
                continue
            same = True
            for r in range(ranks):
                apart = t.offset[first + y, r] - t.offset[first + x, r]
                if apart != s.link_shift[n, k, r]:
                    same = False
                    break
            if same:
                s.link_source[n, k, x] = y
                break
    for x in range(fan):
        s.link_to[n, k, x] = -1
    for x in range(fan):  # a sum goes to the first neighbour that wants it
        y = s.link_source[n, k, x]
        if y >= 0 and s.link_to[n, k, y] < 0:
            s.link_to[n, k, y] = x
    for x in range(fan):
        s.link_lead[n, k, x] = s.link_source[n, k, x] < 0
        s.link_sends[n, k, x] = s.link_to[n, k, x] < 0
        if t.multicast[n]:
            for y in range(x):
                same = True
                for r in range(ranks):
                    if t.offset[first + y, r] != t.offset[first + x, r]:
                        same = False
                        break
                if same and s.link_source[n, k, y] < 0:
                    s.link_lead[n, k, x] = False
                if same and s.link_to[n, k, y] < 0:
                    s.link_sends[n, k, x] = False
        left += s.link_lead[n, k, x]
    s.link_useful[n, k] = left < usual
    return k if s.link_useful[n, k] else -1


@njit(cache=True, error_model="numpy", inline="always")
def _advance(element, size):  # type: ignore[no-untyped-def]
    """Next element of a region, the last rank fastest; False after the last."""
    for r in range(element.shape[0] - 1, -1, -1):
        element[r] += 1
        if element[r] < size[r]:
            return True
        element[r] = 0
    return False


@njit(cache=True, error_model="numpy", inline="always")
def _aim(t, n, low, element, there):  # type: ignore[no-untyped-def]
    """Where an element of a region lies: in the own ring, and in the parent's but for the instance's offset.

    ``there[r]`` is the ring position in the parent per rank; returns (own address, parent's address of the ranks in
    which no instance is offset).
    """
    p = t.parent[n]
    address = 0
    common = 0
    for r in range(t.extent.shape[1]):
        at = low[r] + element[r]
        e = t.extent[n, r]
        if e > 1:
            address += (at % e) * t.stride[n, r]
        e = t.extent[p, r]
        if e > 1:
            there[r] = at % e
        else:
            there[r] = 0
    for r in range(t.extent.shape[1]):
        common += there[r] * t.stride[p, r]
    for k in range(t.slidings[n]):
        r = t.sliding[n, k]
        common -= there[r] * t.stride[p, r]
    return address, common


@njit(cache=True, error_model="numpy", inline="always")
def _source(t, n, x, common, there):  # type: ignore[no-untyped-def]
    """Address of the element in the parent instance of instance x."""
    p = t.parent[n]
    place = t.place[n] + x
    address = t.base[p] + t.above[place] * t.words[p] + common
    for k in range(t.slidings[n]):
        r = t.sliding[n, k]
        at = there[r] + t.offset[place, r]
        e = t.extent[p, r]
        if at >= e:
            at -= e
        address += at * t.stride[p, r]
    return address


@njit(cache=True, error_model="numpy")
def _take_operands(t, s, n, pattern, element, there):  # type: ignore[no-untyped-def]
    """Fill the new region of an operand's tile in every instance, from the parent or from mesh neighbours."""
    p = t.parent[n]
    fan = t.fan[n]
    count = t.instances[n]
    reads = fills = handed = 0
    staged = 0
    if pattern >= 0:  # neighbours' words are picked up before anything is written over
        element[:] = 0
        while True:
            for r in range(element.shape[0]):
                there[r] = 0
            for x in range(count):
                y = s.link_source[n, pattern, x % fan]
                if y >= 0:
                    giver = x - x % fan + y
                    address = 0
                    for r in range(element.shape[0]):
                        e = t.extent[n, r]
                        if e > 1:
                            # the neighbour took the very element; relative to its own box it lay where the region was
                            address += ((s.before_low[n, r] + element[r]) % e) * t.stride[n, r]
                    s.scratch[staged] = s.buffer[t.base[n] + giver * t.words[n] + address]
                    staged += 1
                    handed += 1
            if not _advance(element, s.size[n]):
                break
    element[:] = 0
    while True:
        own, common = _aim(t, n, s.low[n], element, there)
        if pattern >= 0:
            for x in range(count):
                if s.link_source[n, pattern, x % fan] < 0:
                    source = _source(t, n, x, common, there)
                    s.buffer[t.base[n] + x * t.words[n] + own] = s.buffer[source]
                    fills += 1
                    if s.link_lead[n, pattern, x % fan] and t.outer_lead[t.place[n] + x]:
                        reads += 1
        else:
            to = t.base[n] + own
            for x in range(count):
                s.buffer[to] = s.buffer[_source(t, n, x, common, there)]
                to += t.words[n]
                fills += 1
                reads += t.leader[t.place[n] + x] == x
        if not _advance(element, s.size[n]):
            break
    if pattern >= 0:
        staged = 0
        element[:] = 0
        while True:
            own, common = _aim(t, n, s.low[n], element, there)
            for x in range(count):
                if s.link_source[n, pattern, x % fan] >= 0:
                    s.buffer[t.base[n] + x * t.words[n] + own] = s.scratch[staged]
                    staged += 1
            if not _advance(element, s.size[n]):
                break
    s.counter[p, READS] += reads
    s.counter[n, FILLS] += fills + handed
    s.counter[n, READS] += handed
    s.counter[n, LINKS] += handed
    s.moved[n, 0] = reads
    s.moved[n, 1] = fills + handed
    s.moved[n, 2] = handed


@njit(cache=True, error_model="numpy")
def _take_results(t, s, n, element, there):  # type: ignore[no-untyped-def]
    """Fetch the partial sums of a result's new region; words that nobody has written yet stay where they are.

    A sum goes to the leader of a group; the others of the group start from zero, and both are valid where it was.
    """
    p = t.parent[n]
    reads = fills = 0
    element[:] = 0
    while True:
        own, common = _aim(t, n, s.low[n], element, there)
        for x in range(t.instances[n]):
            mine = t.base[n] + x * t.words[n] + own
            leader = t.leader[t.place[n] + x]
            if leader == x:
                source = _source(t, n, x, common, there)
                s.buffer[mine] = s.buffer[source]
                s.valid[mine] = s.valid[source]
                reads += s.valid[source]
                s.valid[source] = 0
                s.buffer[source] = 0
            else:
                s.buffer[mine] = 0
                s.valid[mine] = s.valid[t.base[n] + leader * t.words[n] + own]
            if t.first_read[n]:
                s.valid[mine] = 1
            fills += s.valid[mine]
        if not _advance(element, s.size[n]):
            break
    s.counter[p, READS] += reads
    s.counter[n, FILLS] += fills
    s.counter[n, VISITS] += _volume(s.size[n]) * t.instances[n]
    s.moved[n, 0] += reads
    s.moved[n, 1] += fills


@njit(cache=True, error_model="numpy", inline="always")
def _volume(size):  # type: ignore[no-untyped-def]
    v = 1
    for r in range(size.shape[0]):
        v *= size[r]
    return v


@njit(cache=True, error_model="numpy", inline="always")
def _update(s, address, value, leads, mode, low, high):  # type: ignore[no-untyped-def]
    """Add to a word of a result: (updates, reads) that it takes. One that is not valid is written without a read."""
    updates = reads = 0
    if leads:
        updates = 1
        if s.valid[address]:
            reads = 1
        else:
            s.valid[address] = 1
            s.buffer[address] = 0
    s.buffer[address] = _add(s.buffer[address], value, mode, low, high)
    return updates, reads


@njit(cache=True, error_model="numpy")
def _leave(t, s, n, low_of, size, element, there, mode, low, high):  # type: ignore[no-untyped-def]
    """Send the region of a result that leaves every instance to its parent, reduced on the way."""
    p = t.parent[n]
    updates = reads = 0
    element[:] = 0
    while True:
        own, common = _aim(t, n, low_of, element, there)
        for x in range(t.instances[n]):
            mine = t.base[n] + x * t.words[n] + own
            target = _source(t, n, x, common, there)
            u, r = _update(s, target, s.buffer[mine], t.leader[t.place[n] + x] == x, mode, low, high)
            updates += u
            reads += r
            s.buffer[mine] = 0
            s.valid[mine] = 0
        if not _advance(element, size):
            break
    s.counter[p, UPDATES] += updates
    s.counter[p, READS] += reads
    s.moved[n, 0] += reads
    s.moved[n, 2] += updates


@njit(cache=True, error_model="numpy")
def _leaving_region(t, s, n, loop, low_of):  # type: ignore[no-untyped-def]
    """Where the region that leaves starts, once the tile has moved: the old tile, or the slab at its other end."""
    for r in range(low_of.shape[0]):
        low_of[r] = s.origin[n, r] - t.step[n, loop, r]
        if s.kind[n] == SLAB and t.step[n, loop, r] < 0:
            low_of[r] += t.extent[n, r] - s.size[n, r]


@njit(cache=True, error_model="numpy")
def _send_sums(t, s, pattern, mode, low, high):  # type: ignore[no-untyped-def]
    """Between two steps: sums in the multipliers' latches go to a neighbour that goes on with them, or to the buffer."""
    n = t.outputs
    p = t.parent[n]
    fan = t.fan[n]
    count = t.instances[n]
    updates = reads = 0
    for x in range(count):
        s.scratch[x] = 0
    for x in range(count):
        if pattern >= 0:
            to = s.link_to[n, pattern, x % fan]
            if to >= 0:
                to += x - x % fan
                s.scratch[to] = _add(s.scratch[to], s.latch[2, x], mode, low, high)
                continue
            lead = s.link_sends[n, pattern, x % fan] and t.outer_lead[t.place[n] + x]
        else:
            lead = t.leader[t.place[n] + x] == x
        u, r = _update(s, s.at[x], s.latch[2, x], lead, mode, low, high)
        updates += u
        reads += r
    for x in range(count):
        s.latch[2, x] = s.scratch[x]
    s.counter[p, UPDATES] += updates
    s.counter[p, READS] += reads
    s.moved[n, 0] += reads
    s.moved[n, 2] += updates


@njit(cache=True, error_model="numpy")
def _operand_addresses(t, s, n, there, element):  # type: ignore[no-untyped-def]
    element[:] = 0
    own, common = _aim(t, n, s.origin[n], element, there)
    return common


@njit(cache=True, error_model="numpy")
def _latch_operands(t, s, n, row, pattern, element, there):  # type: ignore[no-untyped-def]
    """Operands into the latches where neighbouring multipliers may hand theirs on."""
    count, fan, p = t.instances[n], t.fan[n], t.parent[n]
    reads = 0
    common = _operand_addresses(t, s, n, there, element)
    if pattern >= 0:
        for x in range(count):
            s.scratch[x] = s.latch[row, x]
    for x in range(count):
        y = s.link_source[n, pattern, x % fan] if pattern >= 0 else -1
        if y >= 0:
            s.latch[row, x] = s.scratch[x - x % fan + y]
        else:
            s.latch[row, x] = s.buffer[_source(t, n, x, common, there)]
            if pattern >= 0:
                reads += s.link_lead[n, pattern, x % fan] and t.outer_lead[t.place[n] + x]
            else:
                reads += t.leader[t.place[n] + x] == x
    s.counter[p, READS] += reads
    s.moved[n, 0] = reads


@njit(cache=True, error_model="numpy")
def _multiply(t, s, element, there, there_w, there_x, mode, low, high):  # type: ignore[no-untyped-def]
    """One multiply-accumulate in every multiplier; no neighbour hands anything on."""
    w, x_, o = t.weights, t.inputs, t.outputs
    cw = _operand_addresses(t, s, w, there_w, element)
    cx = _operand_addresses(t, s, x_, there_x, element)
    co = _operand_addresses(t, s, o, there, element)
    updates = reads = rw = rx = 0
    for k in range(t.instances[o]):
        a = s.buffer[_source(t, w, k, cw, there_w)]
        b = s.buffer[_source(t, x_, k, cx, there_x)]
        rw += t.leader[t.place[w] + k] == k
        rx += t.leader[t.place[x_] + k] == k
        u, r = _update(s, _source(t, o, k, co, there), a * b, t.leader[t.place[o] + k] == k, mode, low, high)
        updates += u
        reads += r
    s.counter[t.parent[w], READS] += rw
    s.counter[t.parent[x_], READS] += rx
    s.counter[t.parent[o], UPDATES] += updates
    s.counter[t.parent[o], READS] += reads
    s.moved[w, 0] = rw
    s.moved[x_, 0] = rx
    s.moved[o, 0] = reads
    s.moved[o, 2] = updates


@njit(cache=True, error_model="numpy")
def _multiply_latched(t, s, element, there, mode, low, high):  # type: ignore[no-untyped-def]
    """The same with operands and sums in latches, between which neighbours hand on."""
    o = t.outputs
    co = _operand_addresses(t, s, o, there, element)
    for k in range(t.instances[o]):
        s.latch[2, k] = _add(s.latch[2, k], s.latch[0, k] * s.latch[1, k], mode, low, high)
        s.at[k] = _source(t, o, k, co, there)


@njit(cache=True, error_model="numpy")
def _step(t, s, loop, latched, element, there, there_w, there_x, place, mode, low, high):  # type: ignore[no-untyped-def]
    """Everything between one multiply-accumulate and the next; ``loop`` advanced (-1: the first step)."""
    nodes = t.extent.shape[0]
    s.moved[:] = 0
    ranks = t.extent.shape[1]
    for n in range(nodes):
        if loop < t.loops[n] and t.parent[n] >= 0:
            if t.linked[n]:
                s.before_kind[n] = s.kind[n] if loop >= 0 else NOTHING
                for r in range(ranks):
                    s.before_low[n, r] = s.low[n, r]
                    s.before_size[n, r] = s.size[n, r]
            _control(t, s, n, loop)
    # Results leave, inner to outer, while the outer tiles lie where they lay.
    if loop >= 0:
        if latched:
            _send_sums(t, s, _links(t, s, t.outputs) if t.linked[t.outputs] else -1, mode, low, high)
        for n in range(nodes - 1, -1, -1):
            if t.is_result[n] and t.holds[n] and t.parent[n] >= 0 and loop < t.loops[n] and s.kind[n] != NOTHING:
                _leaving_region(t, s, n, loop, place)
                _leave(t, s, n, place, s.size[n], element, there, mode, low, high)
    # New words come, outer to inner.
    for n in range(nodes):
        if t.holds[n] and t.parent[n] >= 0 and loop < t.loops[n] and s.kind[n] != NOTHING:
            if t.is_result[n]:
                _take_results(t, s, n, element, there)
            else:
                _take_operands(t, s, n, _links(t, s, n) if t.linked[n] else -1, element, there)
    if latched:
        _latch_operands(t, s, t.weights, 0, _links(t, s, t.weights) if t.linked[t.weights] else -1, element, there)
        _latch_operands(t, s, t.inputs, 1, _links(t, s, t.inputs) if t.linked[t.inputs] else -1, element, there)
        _multiply_latched(t, s, element, there, mode, low, high)
    else:
        _multiply(t, s, element, there, there_w, there_x, mode, low, high)


@njit(cache=True, error_model="numpy")
def _finish(t, s, latched, element, there, mode, low, high):  # type: ignore[no-untyped-def]
    """After the last step every result goes home."""
    s.moved[:] = 0
    if latched:
        _send_sums(t, s, -1, mode, low, high)
    for n in range(t.extent.shape[0] - 1, -1, -1):
        if t.is_result[n] and t.holds[n] and t.parent[n] >= 0:
            _leave(t, s, n, s.origin[n], t.extent[n], element, there, mode, low, high)


@njit(cache=True, error_model="numpy")
def run_steps(t, s, clock, most, mode, low, high):  # type: ignore[no-untyped-def]
    """Run up to ``most`` steps from where the machine stands; `DONE` after the last, else `MORE`."""
    ranks = t.extent.shape[1]
    element, there, place = np.zeros(ranks, np.int64), np.zeros(ranks, np.int64), np.zeros(ranks, np.int64)
    there_w, there_x = np.zeros(ranks, np.int64), np.zeros(ranks, np.int64)
    latched = t.linked[t.weights] or t.linked[t.inputs] or t.linked[t.outputs]
    loops = t.bound.shape[0]
    for _ in range(most):
        loop = -1
        if clock.now[1] > 0:
            loop = loops - 1
            while loop >= 0 and s.index[loop] == t.bound[loop] - 1:
                s.index[loop] = 0
                loop -= 1
            if loop < 0:
                for k in range(loops):
                    s.index[k] = t.bound[k] - 1
                _finish(t, s, latched, element, there, mode, low, high)
                settle(t, s, clock)
                return DONE
            s.index[loop] += 1
        _step(t, s, loop, latched, element, there, there_w, there_x, place, mode, low, high)
        pace(t, s, clock, loop)
    return MORE


def tables(plan: Plan) -> Tables:
    """Lay a plan out as arrays."""
    ranks = max(1, *(len(node.extent) for node in plan.nodes))
    count, loops = len(plan.nodes), len(plan.loops)
    extent = np.ones((count, ranks), np.int64)
    step = np.zeros((count, loops, ranks), np.int64)
    above: list[int] = []
    offset: list[list[int]] = []
    leader: list[int] = []
    outer_lead: list[bool] = []
    local_lead: list[bool] = []
    place = np.zeros(count, np.int64)
    sliding = np.zeros((count, ranks), np.int64)
    slidings = np.zeros(count, np.int64)
    for n, node in enumerate(plan.nodes):
        extent[n, : len(node.extent)] = node.extent
        for k, shift in enumerate(node.step):
            step[n, k, : len(shift)] = shift
        place[n] = len(above)
        _place(node, ranks, above, offset, leader, outer_lead, local_lead)
        apart = [r for r in range(ranks) if any(o[r] for o in offset[place[n] :])]
        sliding[n, : len(apart)] = apart
        slidings[n] = len(apart)
    stride = np.ones((count, ranks), np.int64)
    for r in range(ranks - 2, -1, -1):
        stride[:, r] = stride[:, r + 1] * extent[:, r + 1]
    instances = np.array([node.instances for node in plan.nodes], np.int64)
    words = np.prod(extent, axis=1)
    sizes = words * instances * np.array([node.holds for node in plan.nodes])
    local = [node.meshes[-1] if node.meshes else None for node in plan.nodes]
    results = {k for k, space in enumerate(plan.problem.data_spaces) if space.read_write}
    operands = [chain[-1] for k, chain in enumerate(plan.chains) if k not in results]
    return Tables(
        bound=np.array([loop.bound for loop in plan.loops], np.int64),
        extent=extent,
        stride=stride,
        words=words,
        loops=np.array([node.loops for node in plan.nodes], np.int64),
        instances=instances,
        parent=np.array([node.parent for node in plan.nodes], np.int64),
        step=step,
        holds=np.array([node.holds for node in plan.nodes], np.bool_),
        refetch=np.array([node.refetch for node in plan.nodes], np.bool_),
        first_read=np.array([node.first_read for node in plan.nodes], np.bool_),
        is_result=np.array([node.space in results for node in plan.nodes], np.bool_),
        base=np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64),
        place=place,
        above=np.array(above, np.int64),
        offset=np.array(offset, np.int64).reshape(-1, ranks),
        leader=np.array(leader, np.int64),
        sliding=sliding,
        slidings=slidings,
        linked=np.array([_linked(node, node.space in results) for node in plan.nodes], np.bool_),
        mesh=np.array([(m.columns, m.rows) if m else (1, 1) for m in local], np.int64),
        fan=np.array([m.size if m else 1 for m in local], np.int64),
        multicast=np.array([m.multicast if m else True for m in local], np.bool_),
        outer_lead=np.array(outer_lead, np.bool_),
        local_lead=np.array(local_lead, np.bool_),
        level=np.array([node.level for node in plan.nodes], np.int64),
        weights=operands[0],
        inputs=operands[1],
        outputs=plan.chains[results.pop()][-1],
    )


def _linked(node: Node, is_result: bool) -> bool:
    """Whether the machine's neighbours hand on: partial sums stay with the buffer that holds them."""
    return bool(node.meshes) and node.meshes[-1].links and not (is_result and node.holds)


def _place(
    node: Node,
    ranks: int,
    above: list[int],
    offset: list[list[int]],
    leader: list[int],
    outer_lead: list[bool],
    local_lead: list[bool],
) -> None:
    """Append the placements of one node's instances."""
    fan = node.meshes[-1].size if node.meshes else 1
    inner = node.meshes[-1] if node.meshes else None
    for x, (parent, at, _) in enumerate(node.placements()):
        above.append(parent)
        offset.append([*at, *[0] * (ranks - len(at))])
        path, rest = [], x
        for mesh in reversed(node.meshes):
            path.insert(0, rest % mesh.size)
            rest //= mesh.size
        lead, scale = 0, 1
        for mesh, p in zip(reversed(node.meshes), reversed(path), strict=True):
            lead += scale * (mesh.offsets.index(mesh.offsets[p]) if mesh.multicast else p)
            scale *= mesh.size
        lead += rest * scale
        leader.append(lead)
        local_lead.append(inner is None or lead % fan == x % fan)
        outer_lead.append(lead // fan == x // fan)


def fresh_state(
    t: Tables, operands: dict[int, npt.NDArray[Any]], dtype: npt.DTypeLike
) -> State:
    """A machine before its first step: operands stand in the outermost buffers, everything else is empty.

    Args:
        operands: node → the whole tensor as (ranks) array.
    """
    count, ranks = t.extent.shape
    total = int(np.sum(t.words * t.instances * t.holds))
    buffer = np.zeros(max(1, total), dtype)
    for node, tensor in operands.items():
        buffer[t.base[node] : t.base[node] + t.words[node]] = tensor.reshape(-1)
    valid = np.zeros(max(1, total), np.uint8)
    for n in range(count):
        if t.is_result[n] and t.parent[n] < 0 and t.first_read[n]:
            valid[t.base[n] : t.base[n] + t.words[n]] = 1
    multipliers = int(t.instances[t.outputs])
    fan = max([1, *(int(f) for f, on in zip(t.fan, t.linked, strict=True) if on)])
    staged = max(
        [multipliers, *(int(w * i) for w, i, on in zip(t.words, t.instances, t.linked, strict=True) if on)]
    )
    return State(
        index=np.zeros(t.bound.shape[0], np.int64),
        origin=np.zeros((count, ranks), np.int64),
        usual=np.zeros((count, ranks), np.int64),
        has_usual=np.zeros(count, np.bool_),
        kind=np.zeros(count, np.int64),
        low=np.zeros((count, ranks), np.int64),
        size=np.ones((count, ranks), np.int64),
        before_kind=np.zeros(count, np.int64),
        before_low=np.zeros((count, ranks), np.int64),
        before_size=np.ones((count, ranks), np.int64),
        buffer=buffer,
        valid=valid,
        latch=np.zeros((3, multipliers), dtype),
        at=np.zeros(multipliers, np.int64),
        counter=np.zeros((count, COUNTERS), np.int64),
        moved=np.zeros((count, 3), np.int64),
        link_shift=np.zeros((count, _CACHED_SHIFTS, ranks), np.int64),
        link_known=np.zeros(count, np.int64),
        link_useful=np.zeros((count, _CACHED_SHIFTS), np.bool_),
        link_source=np.zeros((count, _CACHED_SHIFTS, fan), np.int64),
        link_lead=np.zeros((count, _CACHED_SHIFTS, fan), np.bool_),
        link_to=np.zeros((count, _CACHED_SHIFTS, fan), np.int64),
        link_sends=np.zeros((count, _CACHED_SHIFTS, fan), np.bool_),
        scratch=np.zeros(staged, dtype),
    )


__all__ = ["Clock", "Tables", "fresh_state", "run_steps", "tables"]
