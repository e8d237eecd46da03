"""Words on their way as numba kernels: where each lies in its ring and in its parent's, and how tiles take and leave.

A walk goes through a region element by element, the last rank fastest; of each element the addresses in all instances
are worked out at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.array.arithmetic import EXACT, SATURATE, Adder
from hwsim.array.layout import SLAB, Machine
from hwsim.kernel import IntArray, Record, Records, kernel

Words = npt.NDArray[Any]
Valid = npt.NDArray[np.uint8]


@kernel(inline="always")
def add(a: float, b: float, adder: Adder) -> float:
    """The adder: exact, wrapping or saturating between its limits."""
    total = a + b
    if adder.mode == EXACT or adder.low <= total <= adder.high:
        return total
    if adder.mode == SATURATE:
        return adder.low if total < adder.low else adder.high
    return adder.low + (total - adder.low) % (adder.high - adder.low + 1)


@kernel(forceinline=True)
def update(buffer: Words, valid: Valid, to: int, leads: bool) -> int:
    """Make a word ready for a sum that is added to it; reads that this takes of who leads its group."""
    if not leads:
        return 0
    if valid[to]:
        return 1
    valid[to] = 1
    buffer[to] = 0
    return 0


@kernel(forceinline=True)
def _enter_new(m: Machine, n: int) -> None:
    """Begin a walk through the region that a tile takes."""
    walk, rank = m.walk, m.rank[n]
    for r in range(walk.shape[0]):
        walk[r].low = walk[r].at = rank[r].low
        walk[r].end = rank[r].low + rank[r].size


@kernel(forceinline=True)
def _enter_before(m: Machine, n: int) -> None:
    """Begin a walk through the region that it took in the step before."""
    walk, rank = m.walk, m.rank[n]
    for r in range(walk.shape[0]):
        walk[r].low = walk[r].at = rank[r].before_low
        walk[r].end = rank[r].before_low + rank[r].size


@kernel(forceinline=True)
def enter_whole(m: Machine, n: int) -> None:
    """Begin a walk through a whole tile."""
    walk, rank = m.walk, m.rank[n]
    for r in range(walk.shape[0]):
        walk[r].low = walk[r].at = rank[r].origin
        walk[r].end = rank[r].origin + rank[r].extent


@kernel(forceinline=True)
def enter_left(m: Machine, n: int, loop: int) -> None:
    """Begin a walk through what a tile leaves: the old tile, or the slab at its end."""
    walk, rank, step = m.walk, m.rank[n], m.step[n, loop]
    slab = m.tile[n].kind == SLAB
    for r in range(walk.shape[0]):
        low = rank[r].origin - step[r]
        if slab and step[r] < 0:
            low += rank[r].extent - rank[r].size
        walk[r].low = walk[r].at = low
        walk[r].end = low + rank[r].size


@kernel(inline="always")
def _advance(walk: Records) -> bool:
    """Next element of the region, the last rank fastest; False after the last."""
    for r in range(walk.shape[0] - 1, -1, -1):
        walk[r].at += 1
        if walk[r].at < walk[r].end:
            return True
        walk[r].at = walk[r].low
    return False


@kernel(inline="always")
def _ring(rank: Record, at: int) -> int:
    """Where a coordinate lies in one rank of a ring."""
    e: int = rank.extent
    if e == 1:
        return 0
    at -= rank.turn
    if at >= e:
        at -= e
    if at < 0 or at >= e:  # the tile has moved on since
        at %= e
    return at


@kernel(forceinline=True)
def _own(m: Machine, n: int) -> int:
    """Place of the walk's element in the buffer of the first instance; the others' follow at a tile's distance."""
    rank, walk = m.rank[n], m.walk
    address: int = m.node[n].base
    for r in range(walk.shape[0]):
        address += _ring(rank[r], walk[r].at) * rank[r].stride
    return address


@kernel(forceinline=True)
def _theirs(m: Machine, n: int) -> int:
    """Place of the element in the parent's buffer by ranks in which instances are alike; ``there``: by the others."""
    rank, walk, above = m.rank[n], m.walk, m.rank[m.node[n].parent]
    common = 0
    for r in range(walk.shape[0]):
        walk[r].there = _ring(above[r], walk[r].at)
        common += walk[r].there * above[r].stride
    for k in range(m.node[n].slidings):
        r = rank[k].sliding
        common -= walk[r].there * above[r].stride
    return common


@kernel(forceinline=True)
def _straight(m: Machine, n: int, common: int) -> int:
    """What to add to instances' ``straight`` for addresses in their parents; -1 where some instance's ring turns."""
    rank, walk, above = m.rank[n], m.walk, m.rank[m.node[n].parent]
    address = common
    for k in range(m.node[n].slidings):
        r = rank[k].sliding
        if walk[r].there + rank[r].reach >= above[r].extent:
            return -1
        address += walk[r].there * above[r].stride
    return address


@kernel(forceinline=True)
def sources(m: Machine, n: int, source: IntArray) -> None:
    """Addresses of the walk's element in the parents of all instances."""
    node, place = m.node[n], m.place
    first = node.first
    common = _theirs(m, n)
    straight = _straight(m, n, common)
    if straight >= 0:
        for x in range(node.instances):
            source[x] = place.straight[first + x] + straight
        return
    rank, walk, above = m.rank[n], m.walk, m.rank[node.parent]
    for x in range(node.instances):
        address = place.above[first + x] + common
        for k in range(node.slidings):
            r = rank[k].sliding
            c = walk[r].there + place.offset[r, first + x]
            if c >= above[r].extent:
                c -= above[r].extent
            address += c * above[r].stride
        source[x] = address


@kernel(inline="always")
def take_operands(m: Machine, n: int) -> None:
    """Fill the new region of an operand's tile in every instance, from the parent."""
    node, buffer, source = m.node[n], m.buffer, m.source
    count, words = node.instances, node.words
    elements = 0
    _enter_new(m, n)
    while True:
        to = _own(m, n)
        sources(m, n, source)
        for x in range(count):
            buffer[to] = buffer[source[x]]
            to += words
        elements += 1
        if not _advance(m.walk):
            break
    reads, fills = elements * node.leaders, elements * count
    m.counted[node.parent].reads += reads
    m.counted[n].fills += fills
    m.moved[n].read = reads
    m.moved[n].taken = fills


@kernel(inline="always")
def _pick_up(m: Machine, n: int, link: Records) -> None:
    """Neighbours' words of the step before, before anything is written over."""
    node = m.node[n]
    fan = node.fan
    handed = 0
    _enter_before(m, n)
    while True:
        own = _own(m, n)
        for x in range(node.instances):
            y = link[x % fan].source
            if y >= 0:
                m.staged[handed] = m.buffer[own + (x - x % fan + y) * node.words]
                handed += 1
        if not _advance(m.walk):
            break


@kernel(inline="always")
def take_linked(m: Machine, n: int, link: Records) -> None:
    """`take_operands` where mesh neighbours hand on what they took in the step before; ``link``: the handovers."""
    node, buffer = m.node[n], m.buffer
    words, fan, first = node.words, node.fan, node.first
    reads = fills = handed = 0
    _pick_up(m, n, link)
    _enter_new(m, n)
    while True:
        own = _own(m, n)
        sources(m, n, m.source)
        for x in range(node.instances):
            fills += 1
            if link[x % fan].source >= 0:
                buffer[own + x * words] = m.staged[handed]
                handed += 1
            else:
                buffer[own + x * words] = buffer[m.source[x]]
                reads += link[x % fan].leads and m.place.outer_leads[first + x]
        if not _advance(m.walk):
            break
    m.counted[node.parent].reads += reads
    m.counted[n].fills += fills
    m.counted[n].reads += handed
    m.counted[n].links += handed
    m.moved[n].read = reads
    m.moved[n].taken = fills
    m.moved[n].passed = handed


@kernel(inline="always")
def take_results(m: Machine, n: int) -> None:
    """Fetch the partial sums of a result's new region; words that nobody has written yet stay where they are.

    A sum goes to the leader of a group; the others of the group start from zero, and both are valid where it was.
    """
    node, buffer, valid, source = m.node[n], m.buffer, m.valid, m.source
    words, first = node.words, node.first
    reads = fills = visits = 0
    _enter_new(m, n)
    while True:
        own = _own(m, n)
        sources(m, n, source)
        for x in range(node.instances):
            mine = own + x * words
            leader = m.place.leader[first + x]
            if leader == x:
                buffer[mine] = buffer[source[x]]
                valid[mine] = valid[source[x]]
                reads += valid[mine]
                valid[source[x]] = 0
                buffer[source[x]] = 0
            else:
                buffer[mine] = 0
                valid[mine] = valid[own + leader * words]
            if node.first_read:
                valid[mine] = 1
            fills += valid[mine]
            visits += 1
        if not _advance(m.walk):
            break
    m.counted[node.parent].reads += reads
    m.counted[n].fills += fills
    m.counted[n].visits += visits
    m.moved[n].read += reads
    m.moved[n].taken += fills


@kernel(forceinline=True)
def leave(m: Machine, n: int, adder: Adder) -> None:
    """Send the region of a result that the walk goes through from every instance to its parent, reduced on the way."""
    node, buffer, valid, source = m.node[n], m.buffer, m.valid, m.source
    words, first = node.words, node.first
    updates = reads = 0
    while True:
        mine = _own(m, n)
        sources(m, n, source)
        for x in range(node.instances):
            to = source[x]
            leads = m.place.leader[first + x] == x
            updates += leads
            reads += update(buffer, valid, to, leads)
            buffer[to] = add(buffer[to], buffer[mine], adder)
            buffer[mine] = 0
            valid[mine] = 0
            mine += words
        if not _advance(m.walk):
            break
    send_counts(m, n, updates, reads)


@kernel(forceinline=True)
def send_counts(m: Machine, n: int, updates: int, reads: int) -> None:
    """Count what a result's words did in the parent."""
    above = m.counted[m.node[n].parent]
    above.updates += updates
    above.reads += reads
    m.moved[n].read += reads
    m.moved[n].passed += updates
