"""The clock: how long the words of a step take through the ports, and what can pass beforehand.

Every storage instance has a read port and a write port (or one for both), each so many words per cycle. The words that
a step needs have to pass before its multiply-accumulate is done. Where a storage has room for the next tile beside
the present one, the next tile's words pass in cycles that leave the ports idle, and results wait in the second half
for theirs; where it has not, everything passes in the step itself. Instances of one level run in lockstep and share
evenly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hwsim.architecture import Storage
from hwsim.array.layout import (
    BOUND,
    EXTENT,
    HAS_USUAL,
    HOLDS,
    INDEX,
    IS_RESULT,
    LEADERS,
    LEVEL,
    LOOPS,
    MOVED,
    PARENT,
    REFETCH,
    USUAL,
    WORDS,
)
from hwsim.array.plan import Plan
from hwsim.kernel import kernel

# `Clock.now`
CYCLE, STEPS, START, STALLS, DRAIN = range(5)


class Clock(NamedTuple):
    """State of the clock; levels count as in the architecture."""

    now: Any  # (5,) cycle, steps done, cycles before the first MAC's, idle cycles between MACs, cycles after the last
    limited: Any  # levels with a port that has a limit
    nodes: Any  # nodes whose words pass such a port, outer → inner
    limit: Any  # (levels, 3) words per cycle: read, write, both; inf without limit
    used: Any  # (levels,) instances
    room: Any  # (N,) bool: the next tile's words fit beside the present ones
    progress: Any  # (N,) share of the next tile that is there already
    backlog: Any  # (N,) words of results that still wait for the parent's port, per parent instance
    ahead: Any  # (N,) loop that moves the tile next, -1 none
    need: Any  # (N,) words of that move
    urgent: Any  # (levels, 2) words of this step
    slack: Any  # (levels, 3)
    waits: Any  # (levels,) idle cycles by the level whose port was the slowest


def clock_of(plan: Plan) -> Clock:
    """A clock at zero."""
    levels = plan.architecture.levels
    limit = np.full((len(levels), 3), np.inf)
    for k, level in enumerate(levels):
        if isinstance(level, Storage):
            for j, words in enumerate((level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)):
                limit[k, j] = np.inf if words is None else words
    held = [sum(node.words for node in plan.nodes if node.level == k) for k in range(len(levels))]
    room, touched = [], []
    for node in plan.nodes:
        near = [k for k in (node.level, plan.nodes[node.parent].level) if 0 <= k < len(levels)]
        here = levels[node.level] if near and near[0] == node.level else None
        free = isinstance(here, Storage) and (
            here.depth is None or here.depth * here.block_size >= 2 * held[node.level]
        )
        room.append(free and node.parent >= 0 and len(near) == 2)
        touched.append(node.parent >= 0 and any(np.isfinite(limit[k]).any() for k in near))
    count = len(plan.nodes)
    return Clock(
        now=np.zeros(5, np.int64),
        limited=np.flatnonzero(np.isfinite(limit).any(axis=1)),
        nodes=np.flatnonzero(touched),
        limit=limit,
        used=np.array(plan.used[:-1], np.float64),
        room=np.array(room, np.bool_),
        progress=np.zeros(count),
        backlog=np.zeros(count),
        ahead=np.full(count, -1, np.int64),
        need=np.zeros(count),
        urgent=np.zeros((len(levels), 2)),
        slack=np.full((len(levels), 3), np.inf),
        waits=np.zeros(len(levels), np.int64),
    )


@kernel(forceinline=True)
def _next_move(loops, node, rank, step, n):  # type: ignore[no-untyped-def]
    """The loop that advances next among those outside a tile, and the words that the tile will take; -1: none."""
    for loop in range(node[n, LOOPS] - 1, -1, -1):
        if loops[loop, INDEX] < loops[loop, BOUND] - 1:
            whole = float(node[n, WORDS])
            if node[n, REFETCH]:
                return loop, whole
            along = -1
            several = False
            same = True
            for r in range(rank.shape[2]):
                shift = step[n, loop, r]
                if shift != 0:
                    several = along >= 0
                    along = r
                if shift != rank[n, USUAL, r]:
                    same = False
            if along < 0:
                return loop, 0.0
            distance = abs(step[n, loop, along])
            if several or distance >= rank[n, EXTENT, along] or (node[n, HAS_USUAL] and not same):
                return loop, whole
            return loop, whole / rank[n, EXTENT, along] * distance
    return -1, 0.0


@kernel(forceinline=True)
def _demand(node, clock, loop):  # type: ignore[no-untyped-def]
    """Gather the words that have to pass in this step, per level and instance."""
    clock.urgent[:] = 0.0
    for n in clock.nodes:
        fresh = loop < node[n, LOOPS]
        if not fresh and node[n, HOLDS]:
            continue  # the tile stays, and with it its words
        p = node[n, PARENT]
        level, above = node[n, LEVEL], node[p, LEVEL]
        if node[n, IS_RESULT]:
            if above >= 0:
                clock.urgent[above, 0] += node[n, MOVED] / clock.used[above]
                up = node[n, MOVED + 2] / clock.used[above]
                if clock.room[n] and fresh:
                    clock.urgent[above, 1] += clock.backlog[n]
                    clock.backlog[n] = up
                else:
                    clock.urgent[above, 1] += up
            if node[n, HOLDS]:
                clock.urgent[level, 1] += node[n, MOVED + 1] / clock.used[level]
            continue
        left = 1.0 - clock.progress[n] if fresh else 1.0
        if above >= 0:
            clock.urgent[above, 0] += left * node[n, MOVED] / clock.used[above]
        if node[n, HOLDS]:
            if above >= 0:
                clock.urgent[level, 1] += left * node[n, MOVED + 1] / clock.used[level]
            clock.urgent[level, 0] += node[n, MOVED + 2] / clock.used[level]


@kernel(forceinline=True)
def _duration(clock):  # type: ignore[no-untyped-def]
    """Cycles that the urgent words take through the slowest port, and its level."""
    longest, level = 0.0, -1
    for k in clock.limited:
        read, write = clock.urgent[k, 0], clock.urgent[k, 1]
        for j in range(3):
            words = read if j == 0 else write if j == 1 else read + write
            cycles = words / clock.limit[k, j]
            if cycles > longest:
                longest, level = cycles, k
    return np.int64(np.ceil(longest - 1e-9)), level


@kernel(forceinline=True)
def _look_ahead(loops, node, rank, step, clock, loop):  # type: ignore[no-untyped-def]
    """Let words of next tiles pass through what the step left idle of the ports, inner levels first."""
    for n in clock.nodes[::-1]:
        if not clock.room[n]:
            continue
        p = node[n, PARENT]
        level, above = node[n, LEVEL], node[p, LEVEL]
        if node[n, IS_RESULT]:
            share = min(clock.backlog[n], clock.slack[above, 1], clock.slack[above, 2])
            clock.backlog[n] -= share
            clock.slack[above, 1] -= share
            clock.slack[above, 2] -= share
            continue
        if loop < node[n, LOOPS]:
            clock.progress[n] = 0.0
            clock.ahead[n], clock.need[n] = _next_move(loops, node, rank, step, n)
        if clock.need[n] == 0.0 or clock.progress[n] >= 1.0:
            continue
        if clock.ahead[n] < node[p, LOOPS] and not (
            clock.room[p] and (clock.progress[p] >= 1.0 or clock.need[p] == 0.0)
        ):
            continue  # the words come with a tile that the parent does not have yet
        read = clock.need[n] * node[n, LEADERS] / clock.used[above]
        write = clock.need[n]
        share = 1.0 - clock.progress[n]
        share = min(share, clock.slack[above, 0] / read, clock.slack[above, 2] / read)
        share = min(share, clock.slack[level, 1] / write, clock.slack[level, 2] / write)
        if share > 0.0:
            clock.progress[n] += share
            clock.slack[above, 0] -= share * read
            clock.slack[above, 2] -= share * read
            clock.slack[level, 1] -= share * write
            clock.slack[level, 2] -= share * write


@kernel(forceinline=True)
def pace(loops, node, rank, step, clock, loop):  # type: ignore[no-untyped-def]
    """Let the step that was just made take its time; returns its cycles."""
    cycles = np.int64(1)
    if clock.limited.shape[0] > 0:
        _demand(node, clock, loop)
        cycles, level = _duration(clock)
        cycles = max(np.int64(1), cycles)
        if cycles > 1:
            clock.now[START if clock.now[STEPS] == 0 else STALLS] += cycles - 1
            if clock.now[STEPS]:
                clock.waits[level] += cycles - 1
        for k in clock.limited:
            read, write = clock.urgent[k, 0], clock.urgent[k, 1]
            clock.slack[k, 0] = clock.limit[k, 0] * cycles - read
            clock.slack[k, 1] = clock.limit[k, 1] * cycles - write
            clock.slack[k, 2] = clock.limit[k, 2] * cycles - read - write
        _look_ahead(loops, node, rank, step, clock, loop)
    clock.now[CYCLE] += cycles
    clock.now[STEPS] += 1
    return cycles


@kernel()
def settle(node, clock):  # type: ignore[no-untyped-def]
    """The drain: what is left of the results goes up level by level; returns its cycles."""
    total = np.int64(0)
    if clock.limited.shape[0] > 0:
        for n in range(node.shape[0] - 1, -1, -1):
            p = node[n, PARENT]
            if not node[n, IS_RESULT] or p < 0 or node[p, LEVEL] < 0:
                continue
            above = node[p, LEVEL]
            clock.urgent[:] = 0.0
            clock.urgent[above, 0] = node[n, MOVED] / clock.used[above]
            clock.urgent[above, 1] = node[n, MOVED + 2] / clock.used[above] + clock.backlog[n]
            clock.backlog[n] = 0.0
            cycles, _ = _duration(clock)
            total += cycles
    clock.now[DRAIN] += total
    clock.now[CYCLE] += total
    return total
