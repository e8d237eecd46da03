"""The clock: how long the words of a step take through the ports, and what can pass beforehand.

Every storage instance has a read port and a write port (or one for both), each so many words per cycle. The words that
a step needs have to pass before its multiply-accumulate is done. Where a storage has room for the next tile beside
the present one, the next tile's words pass in cycles that leave the ports idle, and results wait in the second half
for theirs; where it has not, everything passes in the step itself. Instances of one level run in lockstep and share
evenly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwsim.architecture import Architecture, Storage
from hwsim.array.layout import Machine
from hwsim.array.plan import Plan
from hwsim.array.tile_kernel import motion
from hwsim.kernel import IntArray, Record, Records, kernel

NOW = np.dtype([(name, np.int64) for name in ("cycle", "steps", "start", "stalls", "drain")], align=True)
"""Cycle, steps done, cycles before the first MAC's, idle cycles between MACs, cycles after the last."""

PORT = np.dtype(
    [
        ("used", np.float64),  # instances
        *((name, np.float64) for name in ("read_limit", "write_limit", "both_limit")),  # words per cycle, inf without
        *((name, np.float64) for name in ("read", "write")),  # words of this step
        *((name, np.float64) for name in ("read_slack", "write_slack", "both_slack")),  # words that could pass besides
        ("waits", np.int64),  # idle cycles while this level's port was the slowest
    ],
    align=True,
)
"""Ports of a level's instances."""

AHEAD = np.dtype(
    [
        ("loop", np.int64),  # that moves the tile next, -1 none
        ("need", np.float64),  # words of that move
        ("progress", np.float64),  # share of the next tile that is there already
        ("backlog", np.float64),  # words of results that still wait for the parent's port, per parent instance
        ("room", np.bool_),  # the next tile's words fit beside the present ones
    ],
    align=True,
)
"""A node's next tile."""


class Clock(NamedTuple):
    """State of the clock; levels count as in the architecture, N nodes."""

    now: Records  # (1,) `NOW`
    limited: IntArray  # levels with a port that has a limit
    nodes: IntArray  # nodes whose words pass such a port, outer → inner
    port: Records  # (levels,) `PORT`
    ahead: Records  # (N,) `AHEAD`

    @property
    def cycle(self) -> int:
        """Cycles so far."""
        return int(self.now["cycle"][0])


def clock_of(plan: Plan) -> Clock:
    """A clock at zero."""
    levels = plan.architecture.levels
    port = _ports(plan.architecture)
    port["used"] = plan.used[:-1]
    limits = np.stack([port[name] for name in ("read_limit", "write_limit", "both_limit")], axis=1)
    limited = np.isfinite(limits).any(axis=1)
    held = [sum(node.words for node in plan.nodes if node.level == k) for k in range(len(levels))]
    ahead = np.zeros(len(plan.nodes), AHEAD)
    ahead["loop"] = -1
    touched = []
    for n, node in enumerate(plan.nodes):
        near = [k for k in (node.level, plan.nodes[node.parent].level) if 0 <= k < len(levels)]
        here = levels[node.level] if near and near[0] == node.level else None
        free = isinstance(here, Storage) and (
            here.depth is None or here.depth * here.block_size >= 2 * held[node.level]
        )
        ahead["room"][n] = free and node.parent >= 0 and len(near) == 2
        touched.append(node.parent >= 0 and bool(limited[near].any()))
    return Clock(np.zeros(1, NOW), np.flatnonzero(limited), np.flatnonzero(touched), port, ahead)


def _ports(architecture: Architecture) -> Records:
    """The levels' ports with their limits."""
    port = np.zeros(len(architecture.levels), PORT)
    for name in ("read_limit", "write_limit", "both_limit", "read_slack", "write_slack", "both_slack"):
        port[name] = np.inf
    for row, level in zip(port, architecture.levels, strict=True):
        if isinstance(level, Storage):
            limits = (level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)
            for name, words in zip(("read_limit", "write_limit", "both_limit"), limits, strict=True):
                row[name] = np.inf if words is None else words
    return port


@kernel(forceinline=True)
def _next_move(m: Machine, n: int) -> tuple[int, float]:
    """The loop that advances next among those outside a tile, and the words that the tile will take; -1: none."""
    node, rank = m.node[n], m.rank[n]
    loop = node.loops - 1
    while loop >= 0 and m.loop[loop].index == m.loop[loop].bound - 1:
        loop -= 1
    if loop < 0:
        return -1, 0.0
    whole = float(node.words)
    if node.refetch:
        return loop, whole
    along, several, usual = motion(rank, m.step[n, loop])
    if along < 0:
        return loop, 0.0
    distance = abs(m.step[n, loop, along])
    if several or distance >= rank[along].extent or (m.tile[n].has_usual and not usual):
        return loop, whole
    return loop, whole / rank[along].extent * distance


@kernel(forceinline=True)
def _forget_urgent(clock: Clock) -> None:
    for k in range(clock.port.shape[0]):
        clock.port[k].read = 0.0
        clock.port[k].write = 0.0


@kernel(inline="always")
def _demand(m: Machine, clock: Clock, loop: int) -> None:
    """Gather the words that have to pass in this step, per level and instance."""
    _forget_urgent(clock)
    for n in clock.nodes:
        fresh = loop < m.node[n].loops
        if not fresh and m.node[n].holds:
            continue  # the tile stays, and with it its words
        if m.node[n].is_result:
            _demand_result(m, clock, n, fresh)
        else:
            _demand_operand(m, clock, n, fresh)


@kernel(inline="always")
def _demand_result(m: Machine, clock: Clock, n: int, fresh: bool) -> None:
    node, moved, ahead = m.node[n], m.moved[n], clock.ahead[n]
    above = m.node[node.parent].level
    if above >= 0:
        port = clock.port[above]
        port.read += moved.read / port.used
        up = moved.passed / port.used
        if ahead.room and fresh:
            port.write += ahead.backlog
            ahead.backlog = up
        else:
            port.write += up
    if node.holds:
        port = clock.port[node.level]
        port.write += moved.taken / port.used


@kernel(inline="always")
def _demand_operand(m: Machine, clock: Clock, n: int, fresh: bool) -> None:
    node, moved = m.node[n], m.moved[n]
    above = m.node[node.parent].level
    left = 1.0 - clock.ahead[n].progress if fresh else 1.0
    if above >= 0:
        port = clock.port[above]
        port.read += left * moved.read / port.used
    if node.holds:
        port = clock.port[node.level]
        if above >= 0:
            port.write += left * moved.taken / port.used
        port.read += moved.passed / port.used


@kernel(forceinline=True)
def _duration(clock: Clock) -> tuple[int, int]:
    """Cycles that the urgent words take through the slowest port, and its level."""
    longest, level = 0.0, -1
    for k in clock.limited:
        port = clock.port[k]
        cycles = max(port.read / port.read_limit, port.write / port.write_limit)
        cycles = max(cycles, (port.read + port.write) / port.both_limit)
        if cycles > longest:
            longest, level = cycles, k
    return int(np.ceil(longest - 1e-9)), level


@kernel(inline="always")
def _look_ahead(m: Machine, clock: Clock, loop: int) -> None:
    """Let words of next tiles pass through what the step left idle of the ports, inner levels first."""
    for n in clock.nodes[::-1]:
        ahead, node = clock.ahead[n], m.node[n]
        if not ahead.room:
            continue
        above = clock.port[m.node[node.parent].level]
        if node.is_result:
            share = min(ahead.backlog, above.write_slack, above.both_slack)
            ahead.backlog -= share
            above.write_slack -= share
            above.both_slack -= share
            continue
        if loop < node.loops:
            ahead.progress = 0.0
            ahead.loop, ahead.need = _next_move(m, n)
        if ahead.need == 0.0 or ahead.progress >= 1.0:
            continue
        theirs = clock.ahead[node.parent]
        if ahead.loop < m.node[node.parent].loops and not (
            theirs.room and (theirs.progress >= 1.0 or theirs.need == 0.0)
        ):
            continue  # the words come with a tile that the parent does not have yet
        _fetch_ahead(ahead, above, clock.port[node.level], node.leaders)


@kernel(inline="always")
def _fetch_ahead(ahead: Record, above: Record, here: Record, leaders: int) -> None:
    """Let as much of the next tile pass as both ports have left."""
    read = ahead.need * leaders / above.used
    write = ahead.need
    share = 1.0 - ahead.progress
    share = min(share, above.read_slack / read, above.both_slack / read)
    share = min(share, here.write_slack / write, here.both_slack / write)
    if share > 0.0:
        ahead.progress += share
        above.read_slack -= share * read
        above.both_slack -= share * read
        here.write_slack -= share * write
        here.both_slack -= share * write


@kernel(inline="always")
def pace(m: Machine, clock: Clock, loop: int) -> int:
    """Let the step that was just made take its time; returns its cycles."""
    now = clock.now[0]
    cycles = 1
    if clock.limited.shape[0] > 0:
        _demand(m, clock, loop)
        cycles, level = _duration(clock)
        cycles = max(1, cycles)
        if cycles > 1:
            if now.steps == 0:
                now.start += cycles - 1
            else:
                now.stalls += cycles - 1
                clock.port[level].waits += cycles - 1
        for k in clock.limited:
            port = clock.port[k]
            port.read_slack = port.read_limit * cycles - port.read
            port.write_slack = port.write_limit * cycles - port.write
            port.both_slack = port.both_limit * cycles - port.read - port.write
        _look_ahead(m, clock, loop)
    now.cycle += cycles
    now.steps += 1
    return cycles


@kernel()
def settle(m: Machine, clock: Clock) -> int:
    """The drain: what is left of the results goes up level by level; returns its cycles."""
    total = 0
    if clock.limited.shape[0] > 0:
        for n in range(m.node.shape[0] - 1, -1, -1):
            node = m.node[n]
            if not node.is_result or node.parent < 0 or m.node[node.parent].level < 0:
                continue
            _forget_urgent(clock)
            port = clock.port[m.node[node.parent].level]
            port.read = m.moved[n].read / port.used
            port.write = m.moved[n].passed / port.used + clock.ahead[n].backlog
            clock.ahead[n].backlog = 0.0
            cycles, _ = _duration(clock)
            total += cycles
    clock.now[0].drain += total
    clock.now[0].cycle += total
    return total
