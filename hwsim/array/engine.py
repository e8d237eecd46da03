"""The machine as numba kernels: the same steps as `hwsim.array.machine`, some hundred times faster.

Every buffer of every instance is a piece of one array of words; a tile lies in it as in a ring, rank by rank, so that
words that stay keep their place. In each step the kernel moves the words that the control asks for, multiplies what
stands in the innermost buffers, adds to what stands in the result's, and counts each access where it happens. A word of
a result has a valid bit: it travels with the word, and a word without it is not read before it is written.

numba sees few arrays: a row per node, columns named below. A tuple of many would be copied at every call. What runs in
every step is inlined for the same reason.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.array.arithmetic import EXACT, SATURATE
from hwsim.array.clock import Clock, pace, settle
from hwsim.array.layout import (
    ABOVE,
    BASE,
    BEFORE_KIND,
    BEFORE_LOW,
    BEFORE_SIZE,
    BOUND,
    COLUMNS,
    EXTENT,
    FAN,
    FILLS,
    FIRST_READ,
    HAS_USUAL,
    HOLDS,
    INDEX,
    INSTANCES,
    IS_RESULT,
    KIND,
    KNOWN,
    LEADER,
    LEADERS,
    LEADS,
    LEAVES,
    LINKED,
    LINKS,
    LOCAL_LEADS,
    LOOPS,
    LOW,
    MOVED,
    MULTICAST,
    NODE_COLUMNS,
    NOTHING,
    OFFSETS,
    ORIGIN,
    OUTER_LEADS,
    PARENT,
    PLACE,
    RANK_COLUMNS,
    REACH,
    READS,
    REFETCH,
    ROWS,
    SENDS,
    SIZE,
    SLAB,
    SLIDING,
    SLIDINGS,
    SOURCE,
    STRAIGHT,
    STRIDE,
    TO,
    TURN,
    UPDATES,
    USUAL,
    VISITS,
    WHOLE,
    WORDS,
)
from hwsim.array.layout import LEVEL as LEVEL_COLUMN
from hwsim.array.plan import Node, Plan, per_plan
from hwsim.kernel import kernel

# Status of a run.
DONE, MORE = range(2)

_SHIFTS = 8
"""Patterns of handovers that a node remembers, by how its tile moved."""


class Machine(NamedTuple):
    """Plan and state of a machine as arrays; N nodes, R ranks (padded with extent 1), L temporal loops."""

    loop: Any  # (L, 2) bound and iteration
    node: Any  # (N, NODE_COLUMNS)
    rank: Any  # (N, RANK_COLUMNS, R)
    step: Any  # (N, L, R) how a tile moves when a loop advances
    place: Any  # (OFFSETS + R, places) per node and instance: where it stands
    buffer: Any  # (words,)
    valid: Any  # (words,) uint8
    latch: Any  # (4, multipliers) operands, sums, and sums or operands on their way to a neighbour
    aim: Any  # (3, multipliers) where operands lie and the sum belongs
    still: Any  # (3,) bool: the multipliers' buffer has one word, so that the aim is taken once
    moving: Any  # (L + 1, N) nodes that move when a loop advances, outer → inner, then -1; last row: the first step
    work: Any  # (2, R) room for coordinates
    source: Any  # (instances,) room for addresses in the parents
    staged: Any  # words on their way to a neighbour
    shift: Any  # (N, _SHIFTS, R + 1) moves whose handovers are known; the last: whether they save anything
    link: Any  # (N, _SHIFTS, 4, fan) handovers
    ends: Any  # (3,) the multipliers' nodes: first operand, second operand, result


@kernel(inline="always")
def _add(a, b, mode, low, high):  # type: ignore[no-untyped-def]
    """The adder: exact, wrapping or saturating between ``low`` and ``high``."""
    total = a + b
    if mode == EXACT or low <= total <= high:
        return total
    if mode == SATURATE:
        return low if total < low else high
    return low + (total - low) % (high - low + 1)


@kernel(forceinline=True)
def _control(node, rank, step, n, loop):  # type: ignore[no-untyped-def]
    """Move a tile and find the region that it takes (see `hwsim.array.control.TileControl`)."""
    ranks = rank.shape[2]
    kind = WHOLE
    moved = -1
    several = False
    if loop >= 0:
        same = True
        for r in range(ranks):
            shift = step[n, loop, r]
            if shift != 0:
                several = moved >= 0
                moved = r
                rank[n, ORIGIN, r] += shift
                extent = rank[n, EXTENT, r]
                if extent > 1:
                    turned = rank[n, ORIGIN, r] - rank[n, TURN, r]
                    if turned < 0 or turned >= extent:
                        rank[n, TURN, r] += turned - turned % extent
            if shift != rank[n, USUAL, r]:
                same = False
        if not node[n, REFETCH]:
            if moved < 0:
                node[n, KIND] = NOTHING
                return
            if node[n, HAS_USUAL] and not same:
                node[n, HAS_USUAL] = 0
            else:
                node[n, HAS_USUAL] = 1
                for r in range(ranks):
                    rank[n, USUAL, r] = step[n, loop, r]
                if not several and abs(step[n, loop, moved]) < rank[n, EXTENT, moved]:
                    kind = SLAB
    for r in range(ranks):
        rank[n, LOW, r] = rank[n, ORIGIN, r]
        rank[n, SIZE, r] = rank[n, EXTENT, r]
    if kind == SLAB:
        distance = abs(step[n, loop, moved])
        if step[n, loop, moved] > 0:
            rank[n, LOW, moved] += rank[n, EXTENT, moved] - distance
        rank[n, SIZE, moved] = distance
    node[n, KIND] = kind


@kernel()
def _links(node, rank, place, shift, link, n):  # type: ignore[no-untyped-def]
    """Which remembered pattern of handovers serves this step; -1 where neighbours do not help."""
    if not node[n, LINKED] or node[n, KIND] == NOTHING or node[n, BEFORE_KIND] == NOTHING:
        return -1
    ranks = rank.shape[2]
    for r in range(ranks):
        if rank[n, SIZE, r] != rank[n, BEFORE_SIZE, r]:
            return -1
    for k in range(min(node[n, KNOWN], _SHIFTS)):
        hit = True
        for r in range(ranks):
            if shift[n, k, r] != rank[n, LOW, r] - rank[n, BEFORE_LOW, r]:
                hit = False
                break
        if hit:
            return k if shift[n, k, ranks] else -1
    k = node[n, KNOWN] % _SHIFTS
    node[n, KNOWN] += 1
    for r in range(ranks):
        shift[n, k, r] = rank[n, LOW, r] - rank[n, BEFORE_LOW, r]
    shift[n, k, ranks] = _find_links(node[n], place[:, node[n, PLACE] :], shift[n, k], link[n, k])
    return k if shift[n, k, ranks] else -1


@kernel()
def _find_links(node, place, shift, link):  # type: ignore[no-untyped-def]
    """Find the handovers of one move on the first mesh, which stands for all; whether they save an access."""
    ranks = shift.shape[0] - 1
    columns, rows, fan = node[COLUMNS], node[ROWS], node[FAN]
    usual = 0
    left = 0
    for x in range(fan):
        usual += place[LOCAL_LEADS, x]
        link[SOURCE, x] = -1
        link[TO, x] = -1
        column, row = x % columns, x // columns
        for side in range(4):
            c = column + (1 if side == 0 else -1 if side == 1 else 0)
            w = row + (1 if side == 2 else -1 if side == 3 else 0)
            y = w * columns + c
            if row >= rows or c < 0 or c >= columns or w < 0 or w >= rows or y >= fan:
                continue
            same = True
            for r in range(ranks):
                if place[OFFSETS + r, y] - place[OFFSETS + r, x] != shift[r]:
                    same = False
                    break
            if same:
                link[SOURCE, x] = y
                break
    for x in range(fan):  # a sum goes to the first neighbour that wants it
        y = link[SOURCE, x]
        if y >= 0 and link[TO, y] < 0:
            link[TO, y] = x
    for x in range(fan):
        link[LEADS, x] = link[SOURCE, x] < 0
        link[SENDS, x] = link[TO, x] < 0
        if node[MULTICAST]:
            for y in range(x):
                same = True
                for r in range(ranks):
                    if place[OFFSETS + r, y] != place[OFFSETS + r, x]:
                        same = False
                        break
                if same and link[SOURCE, y] < 0:
                    link[LEADS, x] = 0
                if same and link[TO, y] < 0:
                    link[SENDS, x] = 0
        left += link[LEADS, x]
    return 1 if left < usual else 0


@kernel(inline="always")
def _advance(element, rank, n, size):  # type: ignore[no-untyped-def]
    """Next element of a region of that size, the last rank fastest; False after the last."""
    for r in range(element.shape[0] - 1, -1, -1):
        element[r] += 1
        if element[r] < rank[n, size, r]:
            return True
        element[r] = 0
    return False


@kernel(inline="always")
def _ring(rank, n, r, at):  # type: ignore[no-untyped-def]
    """Where coordinate ``at`` lies in rank r of node n's ring."""
    e = rank[n, EXTENT, r]
    if e == 1:
        return np.int64(0)
    at -= rank[n, TURN, r]
    if at >= e:
        at -= e
    if at < 0 or at >= e:  # the tile has moved on since
        at %= e
    return at


@kernel(inline="always")
def _own(rank, n, low, element):  # type: ignore[no-untyped-def]
    """Place of an element of a region in the buffer of each instance."""
    address = np.int64(0)
    for r in range(rank.shape[2]):
        address += _ring(rank, n, r, rank[n, low, r] + element[r]) * rank[n, STRIDE, r]
    return address


@kernel(inline="always")
def _theirs(node, rank, n, low, element, there):  # type: ignore[no-untyped-def]
    """Place of an element in the parent's buffer by ranks in which instances are alike; ``there``: by the others."""
    p = node[n, PARENT]
    common = np.int64(0)
    for r in range(rank.shape[2]):
        there[r] = _ring(rank, p, r, rank[n, low, r] + element[r])
        common += there[r] * rank[p, STRIDE, r]
    for k in range(node[n, SLIDINGS]):
        r = rank[n, SLIDING, k]
        common -= there[r] * rank[p, STRIDE, r]
    return common


@kernel(inline="always")
def _straight(node, rank, n, common, there):  # type: ignore[no-untyped-def]
    """What to add to each instance's `STRAIGHT` for the address in its parent; -1 where some instance's ring turns."""
    address = common
    for k in range(node[n, SLIDINGS]):
        r = rank[n, SLIDING, k]
        p = node[n, PARENT]
        if there[r] + rank[n, REACH, r] >= rank[p, EXTENT, r]:
            return np.int64(-1)
        address += there[r] * rank[p, STRIDE, r]
    return address


@kernel(forceinline=True)
def _sources(node, rank, place, n, low, element, there, source):  # type: ignore[no-untyped-def]
    """Addresses of an element of a region in the parents of all instances."""
    common = _theirs(node, rank, n, low, element, there)
    straight = _straight(node, rank, n, common, there)
    first = node[n, PLACE]
    if straight >= 0:
        for x in range(node[n, INSTANCES]):
            source[x] = place[STRAIGHT, first + x] + straight
        return
    p = node[n, PARENT]
    for x in range(node[n, INSTANCES]):
        address = place[ABOVE, first + x] + common
        for k in range(node[n, SLIDINGS]):
            r = rank[n, SLIDING, k]
            c = there[r] + place[OFFSETS + r, first + x]
            if c >= rank[p, EXTENT, r]:
                c -= rank[p, EXTENT, r]
            address += c * rank[p, STRIDE, r]
        source[x] = address


@kernel(forceinline=True)
def _take_operands(node, rank, place, buffer, n, element, there, source):  # type: ignore[no-untyped-def]
    """Fill the new region of an operand's tile in every instance, from the parent."""
    p = node[n, PARENT]
    count, words = node[n, INSTANCES], node[n, WORDS]
    elements = np.int64(0)
    element[:] = 0
    while True:
        to = node[n, BASE] + _own(rank, n, LOW, element)
        _sources(node, rank, place, n, LOW, element, there, source)
        for x in range(count):
            buffer[to] = buffer[source[x]]
            to += words
        elements += 1
        if not _advance(element, rank, n, SIZE):
            break
    reads, fills = elements * node[n, LEADERS], elements * count
    node[p, READS] += reads
    node[n, FILLS] += fills
    node[n, MOVED] = reads
    node[n, MOVED + 1] = fills


@kernel()
def _take_linked(node, rank, place, buffer, staged, link, n, element, there, source):  # type: ignore[no-untyped-def]
    """The same where mesh neighbours hand on what they took in the step before; ``link``: the handovers."""
    p = node[n, PARENT]
    count, words, fan = node[n, INSTANCES], node[n, WORDS], node[n, FAN]
    reads = fills = handed = np.int64(0)
    element[:] = 0
    while True:  # neighbours' words are picked up before anything is written over
        own = node[n, BASE] + _own(rank, n, BEFORE_LOW, element)
        for x in range(count):
            y = link[SOURCE, x % fan]
            if y >= 0:
                staged[handed] = buffer[own + (x - x % fan + y) * words]
                handed += 1
        if not _advance(element, rank, n, SIZE):
            break
    element[:] = 0
    handed = np.int64(0)
    while True:
        own = node[n, BASE] + _own(rank, n, LOW, element)
        _sources(node, rank, place, n, LOW, element, there, source)
        for x in range(count):
            fills += 1
            if link[SOURCE, x % fan] >= 0:
                buffer[own + x * words] = staged[handed]
                handed += 1
            else:
                buffer[own + x * words] = buffer[source[x]]
                reads += link[LEADS, x % fan] and place[OUTER_LEADS, node[n, PLACE] + x]
        if not _advance(element, rank, n, SIZE):
            break
    node[p, READS] += reads
    node[n, FILLS] += fills
    node[n, READS] += handed
    node[n, LINKS] += handed
    node[n, MOVED] = reads
    node[n, MOVED + 1] = fills
    node[n, MOVED + 2] = handed


@kernel(forceinline=True)
def _take_results(node, rank, place, buffer, valid, n, element, there, source):  # type: ignore[no-untyped-def]
    """Fetch the partial sums of a result's new region; words that nobody has written yet stay where they are.

    A sum goes to the leader of a group; the others of the group start from zero, and both are valid where it was.
    """
    p = node[n, PARENT]
    words = node[n, WORDS]
    reads = fills = visits = np.int64(0)
    element[:] = 0
    while True:
        own = node[n, BASE] + _own(rank, n, LOW, element)
        _sources(node, rank, place, n, LOW, element, there, source)
        for x in range(node[n, INSTANCES]):
            mine = own + x * words
            leader = place[LEADER, node[n, PLACE] + x]
            if leader == x:
                buffer[mine] = buffer[source[x]]
                valid[mine] = valid[source[x]]
                reads += valid[mine]
                valid[source[x]] = 0
                buffer[source[x]] = 0
            else:
                buffer[mine] = 0
                valid[mine] = valid[own + leader * words]
            if node[n, FIRST_READ]:
                valid[mine] = 1
            fills += valid[mine]
            visits += 1
        if not _advance(element, rank, n, SIZE):
            break
    node[p, READS] += reads
    node[n, FILLS] += fills
    node[n, VISITS] += visits
    node[n, MOVED] += reads
    node[n, MOVED + 1] += fills


@kernel(forceinline=True)
def _leave(node, rank, place, buffer, valid, n, low_of, size, element, there, source, mode, low, high):  # type: ignore[no-untyped-def]
    """Send the region of a result that leaves every instance to its parent, reduced on the way."""
    p = node[n, PARENT]
    words = node[n, WORDS]
    updates = reads = np.int64(0)
    element[:] = 0
    while True:
        mine = node[n, BASE] + _own(rank, n, low_of, element)
        _sources(node, rank, place, n, low_of, element, there, source)
        for x in range(node[n, INSTANCES]):
            to = source[x]
            if place[LEADER, node[n, PLACE] + x] == x:
                updates += 1
                reads += valid[to]
                if not valid[to]:
                    valid[to] = 1
                    buffer[to] = 0
            buffer[to] = _add(buffer[to], buffer[mine], mode, low, high)
            buffer[mine] = 0
            valid[mine] = 0
            mine += words
        if not _advance(element, rank, n, size):
            break
    node[p, UPDATES] += updates
    node[p, READS] += reads
    node[n, MOVED] += reads
    node[n, MOVED + 2] += updates


@kernel()
def _aim(node, rank, place, n, element, there, aim):  # type: ignore[no-untyped-def]
    """Where in the innermost buffers the words of the multipliers lie."""
    element[:] = 0
    _sources(node, rank, place, n, ORIGIN, element, there, aim)


@kernel(forceinline=True)
def _multiply(node, place, buffer, valid, aim, ends, mode, low, high):  # type: ignore[no-untyped-def]
    """One multiply-accumulate in every multiplier: operands out of their buffers, the sum into its buffer."""
    w, i, o = ends[0], ends[1], ends[2]
    from_w, from_i, updates = node[w, LEADERS], node[i, LEADERS], node[o, LEADERS]
    first = node[o, PLACE]
    reads = np.int64(0)
    for x in range(node[o, INSTANCES]):
        product = buffer[aim[0, x]] * buffer[aim[1, x]]
        to = aim[2, x]
        if place[LEADER, first + x] == x:
            reads += valid[to]
            if not valid[to]:
                valid[to] = 1
                buffer[to] = 0
        buffer[to] = _add(buffer[to], product, mode, low, high)
    node[node[w, PARENT], READS] += from_w
    node[node[i, PARENT], READS] += from_i
    node[node[o, PARENT], UPDATES] += updates
    node[node[o, PARENT], READS] += reads
    node[w, MOVED] = from_w
    node[i, MOVED] = from_i
    node[o, MOVED] = reads
    node[o, MOVED + 2] = updates


@kernel()
def _latch_operand(node, place, buffer, latch, row, link, pattern, n, aim):  # type: ignore[no-untyped-def]
    """Operands into the latches where neighbouring multipliers may hand theirs on."""
    fan, first = node[n, FAN], node[n, PLACE]
    reads = np.int64(0)
    for x in range(latch.shape[1]):
        latch[3, x] = latch[row, x]
    for x in range(node[n, INSTANCES]):
        y = link[n, pattern, SOURCE, x % fan] if pattern >= 0 else -1
        if y >= 0:
            latch[row, x] = latch[3, x - x % fan + y]
            continue
        latch[row, x] = buffer[aim[row, x]]
        if pattern >= 0:
            reads += link[n, pattern, LEADS, x % fan] and place[OUTER_LEADS, first + x]
        else:
            reads += place[LEADER, first + x] == x
    node[node[n, PARENT], READS] += reads
    node[n, MOVED] = reads


@kernel()
def _send_sums(node, place, buffer, valid, latch, aim, link, pattern, n, mode, low, high):  # type: ignore[no-untyped-def]
    """Between two steps: a sum in a multiplier's latch goes to a neighbour that goes on with it, or to the buffer."""
    fan, first = node[n, FAN], node[n, PLACE]
    updates = reads = np.int64(0)
    latch[3, :] = 0
    for x in range(node[n, INSTANCES]):
        if pattern >= 0:
            to = link[n, pattern, TO, x % fan]
            if to >= 0:
                to += x - x % fan
                latch[3, to] = _add(latch[3, to], latch[2, x], mode, low, high)
                continue
            leads = link[n, pattern, SENDS, x % fan] and place[OUTER_LEADS, first + x]
        else:
            leads = place[LEADER, first + x] == x
        to = aim[2, x]
        if leads:
            updates += 1
            reads += valid[to]
            if not valid[to]:
                valid[to] = 1
                buffer[to] = 0
        buffer[to] = _add(buffer[to], latch[2, x], mode, low, high)
    for x in range(latch.shape[1]):
        latch[2, x] = latch[3, x]
    node[node[n, PARENT], UPDATES] += updates
    node[node[n, PARENT], READS] += reads
    node[n, MOVED] += reads
    node[n, MOVED + 2] += updates


@kernel(inline="always")
def _step(m, loop, latched, work, mode, low, high):  # type: ignore[no-untyped-def]
    """Everything of one step; ``loop`` advanced (-1: the first step). ``work`` (2, R): room for coordinates."""
    node, rank, place, buffer, valid = m.node, m.rank, m.place, m.buffer, m.valid
    ends, aim, latch = m.ends, m.aim, m.latch
    element, there, source = work[0], work[1], m.source
    nodes, ranks = node.shape[0], rank.shape[2]
    moving = m.moving[loop]
    for n in range(nodes):
        node[n, MOVED] = 0
        node[n, MOVED + 1] = 0
        node[n, MOVED + 2] = 0
    last = 0
    while last < nodes and moving[last] >= 0:
        n = moving[last]
        last += 1
        if node[n, LINKED]:
            node[n, BEFORE_KIND] = node[n, KIND] if loop >= 0 else NOTHING
            for r in range(ranks):
                rank[n, BEFORE_LOW, r] = rank[n, LOW, r]
                rank[n, BEFORE_SIZE, r] = rank[n, SIZE, r]
        _control(node, rank, m.step, n, loop)
    # Results leave, inner to outer, into the words where they lay before the tiles moved.
    if loop >= 0:
        if latched:
            pattern = _links(node, rank, place, m.shift, m.link, ends[2])
            _send_sums(node, place, buffer, valid, latch, aim, m.link, pattern, ends[2], mode, low, high)
        for j in range(last - 1, -1, -1):
            n = moving[j]
            if node[n, IS_RESULT] and node[n, HOLDS] and node[n, KIND] != NOTHING:
                for r in range(ranks):  # the old tile, or the slab at the end that it leaves
                    rank[n, LEAVES, r] = rank[n, ORIGIN, r] - m.step[n, loop, r]
                    if node[n, KIND] == SLAB and m.step[n, loop, r] < 0:
                        rank[n, LEAVES, r] += rank[n, EXTENT, r] - rank[n, SIZE, r]
                _leave(node, rank, place, buffer, valid, n, LEAVES, SIZE, element, there, source, mode, low, high)
    # New words come, outer to inner.
    for j in range(last):
        n = moving[j]
        if node[n, HOLDS] and node[n, KIND] != NOTHING:
            if node[n, IS_RESULT]:
                _take_results(node, rank, place, buffer, valid, n, element, there, source)
                continue
            pattern = _links(node, rank, place, m.shift, m.link, n)
            if pattern >= 0:
                _take_linked(node, rank, place, buffer, m.staged, m.link[n, pattern], n, element, there, source)
            else:
                _take_operands(node, rank, place, buffer, n, element, there, source)
    for k in range(3):
        n = ends[k]
        moved = loop < 0
        if loop >= 0:
            for r in range(ranks):
                shift = m.step[n, loop, r]
                moved |= shift != 0
                if not latched:  # else `_control` has moved it
                    rank[n, ORIGIN, r] += shift
        if moved and (loop < 0 or not m.still[k]):
            _aim(node, rank, place, n, element, there, aim[k])
    if latched:
        for k in range(2):
            pattern = _links(node, rank, place, m.shift, m.link, ends[k])
            _latch_operand(node, place, buffer, latch, k, m.link, pattern, ends[k], aim)
        for x in range(aim.shape[1]):
            latch[2, x] = _add(latch[2, x], latch[0, x] * latch[1, x], mode, low, high)
    else:
        _multiply(node, place, buffer, valid, aim, ends, mode, low, high)


@kernel()
def _finish(m, latched, work, mode, low, high):  # type: ignore[no-untyped-def]
    """After the last step every result goes home."""
    node, rank, place = m.node, m.rank, m.place
    for n in range(node.shape[0]):
        node[n, MOVED : MOVED + 3] = 0
    if latched:
        _send_sums(node, place, m.buffer, m.valid, m.latch, m.aim, m.link, -1, m.ends[2], mode, low, high)
    for n in range(node.shape[0] - 1, -1, -1):
        if node[n, IS_RESULT] and node[n, HOLDS] and node[n, PARENT] >= 0:
            _leave(node, rank, place, m.buffer, m.valid, n, ORIGIN, EXTENT, work[0], work[1], m.source, mode, low, high)


@kernel()
def run_steps(m, clock, most, mode, low, high):  # type: ignore[no-untyped-def]
    """Run up to ``most`` steps from where the machine stands; `DONE` after the last, else `MORE`."""
    work = m.work
    latched = m.node[m.ends[0], LINKED] or m.node[m.ends[1], LINKED] or m.node[m.ends[2], LINKED]
    for _ in range(most):
        loop = -1
        if clock.now[1] > 0:
            loop = m.loop.shape[0] - 1
            while loop >= 0 and m.loop[loop, INDEX] == m.loop[loop, BOUND] - 1:
                loop -= 1
            if loop < 0:
                _finish(m, latched, work, mode, low, high)
                settle(m.node, clock)
                return DONE
            m.loop[loop, INDEX] += 1
            for k in range(loop + 1, m.loop.shape[0]):
                m.loop[k, INDEX] = 0
        _step(m, loop, latched, work, mode, low, high)
        pace(m.loop, m.node, m.rank, m.step, clock, loop)
    return MORE


def build(plan: Plan, operands: dict[int, npt.NDArray[Any]], dtype: npt.DTypeLike) -> Machine:
    """A machine before its first step: operands stand in the outermost buffers, everything else is empty.

    Args:
        operands: node → the whole tensor, an axis per rank.
        dtype: of a word, int64 or float64.
    """
    wired = _wired(plan)
    nodes = wired.node.copy()
    words = sum(node.words * node.instances for node in plan.nodes if node.holds)
    buffer = np.zeros(max(1, words), dtype)
    valid = np.zeros(max(1, words), np.uint8)
    for n, tensor in operands.items():
        buffer[nodes[n, BASE] : nodes[n, BASE] + nodes[n, WORDS]] = tensor.reshape(-1)
    for row in nodes:
        if row[IS_RESULT] and row[PARENT] < 0 and row[FIRST_READ]:
            valid[row[BASE] : row[BASE] + row[WORDS]] = 1
    linked = nodes[nodes[:, LINKED] > 0]
    fan = max([1, *linked[:, FAN].tolist()])
    staged = max([1, *(linked[:, WORDS] * linked[:, INSTANCES]).tolist()])
    count, ranks = len(nodes), wired.rank.shape[2]
    return wired._replace(
        loop=wired.loop.copy(),
        node=nodes,
        rank=wired.rank.copy(),
        buffer=buffer,
        valid=valid,
        latch=np.zeros((4, plan.multipliers), dtype),
        aim=np.zeros((3, plan.multipliers), np.int64),
        work=np.zeros((2, ranks), np.int64),
        source=np.zeros(max(node.instances for node in plan.nodes), np.int64),
        staged=np.zeros(staged, dtype),
        shift=np.zeros((count, _SHIFTS, ranks + 1), np.int64),
        link=np.zeros((count, _SHIFTS, 4, fan), np.int64),
    )


@per_plan
def _wired(plan: Plan) -> Machine:
    """What all machines of a plan have in common; fields that a run writes to are copied or left empty."""
    ranks = max(1, *(len(node.extent) for node in plan.nodes))
    count = len(plan.nodes)
    results = {k for k, space in enumerate(plan.problem.data_spaces) if space.read_write}
    nodes = np.zeros((count, NODE_COLUMNS), np.int64)
    rank = np.zeros((count, RANK_COLUMNS, ranks), np.int64)
    rank[:, [EXTENT, SIZE, BEFORE_SIZE, STRIDE]] = 1
    step = np.zeros((count, len(plan.loops), ranks), np.int64)
    places: list[npt.NDArray[np.int64]] = []
    base = stands = 0
    for n, node in enumerate(plan.nodes):
        is_result = node.space in results
        mesh = node.meshes[-1] if node.meshes else None
        rank[n, EXTENT, : len(node.extent)] = node.extent
        for r in range(ranks - 2, -1, -1):
            rank[n, STRIDE, r] = rank[n, STRIDE, r + 1] * rank[n, EXTENT, r + 1]
        for k, shift in enumerate(node.step):
            step[n, k, : len(shift)] = shift
        placed = _places(node, nodes, rank)
        apart = np.flatnonzero(placed[OFFSETS:].any(axis=1))
        rank[n, SLIDING, : len(apart)] = apart
        rank[n, REACH] = placed[OFFSETS:].max(axis=1)
        nodes[n, [WORDS, LOOPS, INSTANCES, PARENT]] = node.words, node.loops, node.instances, node.parent
        nodes[n, [BASE, PLACE, SLIDINGS, LEVEL_COLUMN]] = base, stands, len(apart), node.level
        nodes[n, [HOLDS, REFETCH, FIRST_READ]] = node.holds, node.refetch, node.first_read
        nodes[n, [IS_RESULT, LEADERS]] = is_result, node.placements.leaders
        if mesh is not None:
            nodes[n, [FAN, COLUMNS, ROWS, MULTICAST]] = mesh.size, mesh.columns, mesh.rows, mesh.multicast
            nodes[n, LINKED] = mesh.links and not (is_result and node.holds)
        else:
            nodes[n, [FAN, COLUMNS, ROWS, MULTICAST]] = 1
        places.append(placed)
        stands += node.instances
        base += node.words * node.instances if node.holds else 0
    operands_first = sorted(range(len(plan.chains)), key=lambda k: k in results)
    ends = np.array([plan.chains[k][-1] for k in operands_first], np.int64)
    nothing = np.zeros(0)
    return Machine(
        loop=np.array([(loop.bound, 0) for loop in plan.loops], np.int64).reshape(-1, 2),
        node=nodes,
        rank=rank,
        step=step,
        place=np.concatenate(places, axis=1),
        still=nodes[nodes[ends, PARENT], WORDS] == 1,
        moving=_moving(plan, nodes),
        ends=ends,
        **dict.fromkeys(("buffer", "valid", "latch", "aim", "work", "source", "staged", "shift", "link"), nothing),
    )


def _moving(plan: Plan, nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`Machine.moving`. What keeps its words is left out, and multipliers that have none of a neighbour's."""
    first = len(plan.loops)
    moving = np.full((first + 1, len(plan.nodes)), -1, np.int64)
    latched = any(nodes[n, LINKED] and not node.holds for n, node in enumerate(plan.nodes))
    for loop, row in enumerate(moving):
        k = 0
        for n, node in enumerate(plan.nodes):
            inside = loop == first or loop < node.loops
            moves = loop == first or nodes[n, LINKED] or node.refetch or (inside and any(node.step[loop]))
            if node.parent >= 0 and inside and moves and (node.holds or latched):
                row[k] = n
                k += 1
    return moving


def _places(node: Node, nodes: npt.NDArray[np.int64], rank: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Columns of `Machine.place` for one node's instances; the parent's rows of the other arrays are complete."""
    fan = node.meshes[-1].size if node.meshes else 1
    strides = rank[node.parent, STRIDE]
    at = node.placements
    place = np.zeros((OFFSETS + len(strides), node.instances), np.int64)
    each = np.arange(node.instances)
    if node.parent >= 0:
        place[ABOVE] = nodes[node.parent, BASE] + at.parent * nodes[node.parent, WORDS]
    place[LEADER] = at.leader
    place[OUTER_LEADS] = at.leader // fan == each // fan
    place[LOCAL_LEADS] = at.leader % fan == each % fan
    ranks = at.offset.shape[1]
    place[STRAIGHT] = place[ABOVE] + at.offset @ strides[:ranks]
    place[OFFSETS : OFFSETS + ranks] = at.offset.T
    return place


__all__ = ["DONE", "MORE", "Clock", "Machine", "build", "run_steps"]
