"""The machine as numba kernels: the same steps as `hwsim.array.machine`, some hundred times faster.

Every buffer of every instance is a piece of one array of words; a tile lies in it as in a ring, rank by rank, so that
words that stay keep their place. In each step the kernel moves the words that the control asks for, multiplies what
stands in the innermost buffers, adds to what stands in the result's, and counts each access where it happens. A word of
a result has a valid bit: it travels with the word, and a word without it is not read before it is written.

Nearly all of it is inlined: a machine is a tuple of many arrays, which would be copied at every call.
"""

from __future__ import annotations

from hwsim.array.arithmetic import Adder
from hwsim.array.clock import Clock, pace, settle
from hwsim.array.layout import FIRST, NOTHING, RESULT, SECOND, Machine
from hwsim.array.tile_kernel import control, links, remember
from hwsim.array.word_kernel import (
    add,
    enter_left,
    enter_whole,
    leave,
    send_counts,
    sources,
    take_linked,
    take_operands,
    take_results,
    update,
)
from hwsim.kernel import kernel

# Status of a run.
DONE, MORE = range(2)


@kernel(inline="always")
def _multiply(m: Machine, adder: Adder) -> None:
    """One multiply-accumulate in every multiplier: operands out of their buffers, the sum into its buffer."""
    buffer, aim = m.buffer, m.aim
    n = m.ends[RESULT]
    first = m.node[n].first
    reads = 0
    for x in range(m.node[n].instances):
        product = buffer[aim[FIRST, x]] * buffer[aim[SECOND, x]]
        to = aim[RESULT, x]
        reads += update(buffer, m.valid, to, m.place.leader[first + x] == x)
        buffer[to] = add(buffer[to], product, adder)
    for k in range(RESULT):
        operand = m.node[m.ends[k]]
        m.counted[operand.parent].reads += operand.leaders
        m.moved[m.ends[k]].read = operand.leaders
    send_counts(m, n, m.node[n].leaders, reads)


@kernel(inline="always")
def _latch_operand(m: Machine, k: int) -> None:
    """Operands into the latches where neighbouring multipliers may hand theirs on."""
    n = m.ends[k]
    node, latch = m.node[n], m.latch[k]
    pattern = links(m, n)
    link = m.link[n, max(pattern, 0)]
    fan, first = node.fan, node.first
    reads = 0
    for x in range(latch.shape[0]):
        m.passing[x] = latch[x]
    for x in range(node.instances):
        y = link[x % fan].source if pattern >= 0 else -1
        if y >= 0:
            latch[x] = m.passing[x - x % fan + y]
            continue
        latch[x] = m.buffer[m.aim[k, x]]
        if pattern >= 0:
            reads += link[x % fan].leads and m.place.outer_leads[first + x]
        else:
            reads += m.place.leader[first + x] == x
    m.counted[node.parent].reads += reads
    m.moved[n].read = reads


@kernel(forceinline=True)
def _send_sums(m: Machine, pattern: int, adder: Adder) -> None:
    """Between two steps: a sum in a multiplier's latch goes to a neighbour that goes on with it, or to the buffer."""
    n = m.ends[RESULT]
    node, buffer = m.node[n], m.buffer
    link = m.link[n, max(pattern, 0)]
    fan, first = node.fan, node.first
    updates = reads = 0
    m.passing[:] = 0
    for x in range(node.instances):
        if pattern >= 0:
            to = link[x % fan].to
            if to >= 0:
                to += x - x % fan
                m.passing[to] = add(m.passing[to], m.total[x], adder)
                continue
            leads = link[x % fan].sends and m.place.outer_leads[first + x]
        else:
            leads = m.place.leader[first + x] == x
        to = m.aim[RESULT, x]
        updates += leads
        reads += update(buffer, m.valid, to, leads)
        buffer[to] = add(buffer[to], m.total[x], adder)
    for x in range(m.total.shape[0]):
        m.total[x] = m.passing[x]
    send_counts(m, n, updates, reads)


@kernel(forceinline=True)
def _forget_moved(m: Machine) -> None:
    for n in range(m.moved.shape[0]):
        m.moved[n].read = 0
        m.moved[n].taken = 0
        m.moved[n].passed = 0


@kernel(inline="always")
def _move_tiles(m: Machine, loop: int) -> int:
    """Move the tiles that a loop's advance moves; how many there are."""
    moving = m.moving[loop]
    count = 0
    while count < moving.shape[0] and moving[count] >= 0:
        n = moving[count]
        count += 1
        if m.node[n].linked:
            remember(m, n, loop)
        control(m, n, loop)
    return count


@kernel(inline="always")
def _send_results(m: Machine, loop: int, count: int, adder: Adder) -> None:
    """Results leave, inner to outer, from the words where they lay before the tiles moved."""
    moving = m.moving[loop]
    for j in range(count - 1, -1, -1):
        n = moving[j]
        if m.node[n].is_result and m.node[n].holds and m.tile[n].kind != NOTHING:
            enter_left(m, n, loop)
            leave(m, n, adder)


@kernel(inline="always")
def _take_words(m: Machine, loop: int, count: int) -> None:
    """New words come, outer to inner."""
    moving = m.moving[loop]
    for j in range(count):
        n = moving[j]
        if not m.node[n].holds or m.tile[n].kind == NOTHING:
            continue
        if m.node[n].is_result:
            take_results(m, n)
            continue
        pattern = links(m, n)
        if pattern >= 0:
            take_linked(m, n, m.link[n, pattern])
        else:
            take_operands(m, n)


@kernel(inline="always")
def _aim(m: Machine, loop: int, latched: bool) -> None:
    """Where in the innermost buffers the words of the multipliers lie, if that has changed."""
    for k in range(3):
        n = m.ends[k]
        rank = m.rank[n]
        moved = loop < 0
        if loop >= 0:
            for r in range(rank.shape[0]):
                shift = m.step[n, loop, r]
                moved |= shift != 0
                if not latched:  # else `control` has moved it
                    rank[r].origin += shift
        if moved and (loop < 0 or not m.still[k]):
            enter_whole(m, n)
            sources(m, n, m.aim[k])


@kernel(inline="always")
def _step(m: Machine, loop: int, latched: bool, adder: Adder) -> None:
    """Everything of one step; ``loop`` advanced (-1: the first step)."""
    _forget_moved(m)
    count = _move_tiles(m, loop)
    if loop >= 0:
        if latched:
            _send_sums(m, links(m, m.ends[RESULT]), adder)
        _send_results(m, loop, count, adder)
    _take_words(m, loop, count)
    _aim(m, loop, latched)
    if not latched:
        _multiply(m, adder)
        return
    for k in range(RESULT):
        _latch_operand(m, k)
    for x in range(m.total.shape[0]):
        m.total[x] = add(m.total[x], m.latch[FIRST, x] * m.latch[SECOND, x], adder)


@kernel(forceinline=True)
def _finish(m: Machine, latched: bool, adder: Adder) -> None:
    """After the last step every result goes home."""
    _forget_moved(m)
    if latched:
        _send_sums(m, -1, adder)
    for n in range(m.node.shape[0] - 1, -1, -1):
        if m.node[n].is_result and m.node[n].holds and m.node[n].parent >= 0:
            enter_whole(m, n)
            leave(m, n, adder)


@kernel(inline="always")
def _next_loop(m: Machine) -> int:
    """Advance the loops by one step; the outermost that moved, -1 after the last step."""
    loop: int = m.loop.shape[0] - 1
    while loop >= 0 and m.loop[loop].index == m.loop[loop].bound - 1:
        loop -= 1
    if loop >= 0:
        m.loop[loop].index += 1
        for k in range(loop + 1, m.loop.shape[0]):
            m.loop[k].index = 0
    return loop


@kernel()
def run_steps(m: Machine, clock: Clock, most: int, adder: Adder) -> int:
    """Run up to ``most`` steps from where the machine stands; `DONE` after the last, else `MORE`."""
    latched = m.node[m.ends[FIRST]].linked or m.node[m.ends[SECOND]].linked or m.node[m.ends[RESULT]].linked
    for _ in range(most):
        loop = -1
        if clock.now[0].steps > 0:
            loop = _next_loop(m)
            if loop < 0:
                _finish(m, latched, adder)
                settle(m, clock)
                return DONE
        _step(m, loop, latched, adder)
        pace(m, clock, loop)
    return MORE
