"""What no completion of a label undercuts."""

from __future__ import annotations

import numpy as np

from hwsim.counting import access_energy, nearest, revisits
from hwsim.kernel import BoolArray, IntArray, kernel, njit
from hwsim.mapper.arrays import Space, digit, limited_cycles
from hwsim.mapper.label import CLEAR, CLOSED, EPS, Label, Labels, Records
from hwsim.mapper.settle import least_share, watched_cycles


@kernel()
def most_instances(space: Space, level: int, start: int, key: int, axis: int, s: int) -> float:
    """Largest product that a fan-out's axis takes of factors that a key leaves, over dimensions that may go along it.

    ``s`` ≥ 0 asks for dimensions that this data space does not tell apart (or slides along) only; dimensions before
    ``start`` had their turn.
    """
    reached, work, keys, _loops = space.fans.reached, space.work, space.keys, space.loops
    mesh = space.levels[level].mesh_x if axis == 1 else space.levels[level].mesh_y
    if mesh >= reached.shape[0]:
        return mesh
    for p in range(np.int64(mesh) + 1):
        reached[p] = p == 1
    for d in range(start, keys.size.shape[0]):
        if not (space.loops[level, d].along_x if axis == 1 else space.loops[level, d].along_y):
            continue
        if s >= 0 and work.relevant[s, d] and not work.slides[s, d]:
            continue
        have = digit(space, key, d)
        for p in range(np.int64(mesh), 0, -1):
            if not reached[p]:
                continue
            for g in range(have + 1, keys.ndiv[d]):
                b = keys.div[d, g] // keys.div[d, have]
                if b * p > mesh or b > space.loops[level, d].high:
                    break
                if b * keys.div[d, have] == keys.div[d, g]:
                    reached[b * p] = True
    for p in range(np.int64(mesh), 0, -1):
        if reached[p]:
            return float(p)
    return 1.0


@kernel()
def _look_ahead(space: Space, q: int, start: int, key: int) -> None:
    """Fill the tables of fan-out q for a key, where dimensions from ``start`` on may still be placed."""
    level = space.fans.level[q]
    space.fans.fill_x[q, start, key] = most_instances(space, level, start, key, 1, -1)
    space.fans.fill_y[q, start, key] = most_instances(space, level, start, key, 2, -1)
    for s in range(space.work.relevant.shape[0]):
        along_x = most_instances(space, level, start, key, 1, s)
        space.fans.cast[q, start, key, s] = along_x * most_instances(space, level, start, key, 2, s)


@kernel(forceinline=True)
def _instances_to_come(space: Space, label: Label, key: int, level: int, start: int) -> float:
    """By what factor fan-outs may still multiply the instances in use."""
    fan = 1.0
    for q in range(space.fans.level.shape[0]):
        if space.fans.level[q] > level:
            break
        first_left = start if space.fans.level[q] == level else 0
        if space.fans.fill_x[q, first_left, key] == 0:
            _look_ahead(space, q, first_left, key)
        if space.fans.level[q] == level:
            fan *= min(space.fans.fill_x[q, start, key], space.levels[level].mesh_x / label.used_x)
            fan *= min(space.fans.fill_y[q, start, key], space.levels[level].mesh_y / label.used_y)
        else:
            fan *= space.fans.fill_x[q, 0, key] * space.fans.fill_y[q, 0, key]
    return fan


@kernel(forceinline=True)
def _serve(space: Space, s: int, words: float, level: int, parents: BoolArray) -> float:
    """pJ at least for the words that a data space still asks for, and to bring them there from outside.

    Leaves in the scratch what every level that may serve it spends on that.
    """
    space.scratch.words[s] = words
    best = np.inf
    for p in range(level + 1):
        if parents[s, p]:
            e = revisits(words, space.uses[p, s].first_visits) * space.levels[p].read
            if space.operands[s].read_write:
                e += words * space.levels[p].update
            e *= space.levels[p].share / space.levels[p].block
            space.scratch.serve[p, s] = e
            best = min(best, e + space.uses[p, s].reach)
    return best


@kernel(forceinline=True)
def _once_more(space: Space, s: int, k: int, level: int, parents: BoolArray) -> tuple[float, bool]:
    """pJ at least from who serves a data space up to what the outer bound counts; whether all who may are near it."""
    best = np.inf
    near = True
    for p in range(level + 1):
        if parents[s, p] and space.outer.reach[k, p, s] < np.inf:
            more = space.outer.reach[k, p, s]
            if p > 0 or space.outer.by_keep:
                more += space.scratch.serve[p, s]
            best = min(best, more)
            near = near and p <= 1
    return best, near


@kernel(forceinline=True)
def _by_outer(
    space: Space, k: int, energy: float, key: int, level: int, child: IntArray, parents: BoolArray
) -> tuple[float, float]:
    """(energy, cycles) at least if the storage next to the outermost one makes choice k of what to keep."""
    work, outer, _levels = space.work, space.outer, space.levels
    e = energy + outer.floor[k, 1 if level > 0 else 0, key]
    reads, writes = 0.0, 0.0
    if e == np.inf:
        return e, 0.0
    for s in range(work.relevant.shape[0]):
        if level == 0 and outer.by_keep:
            if outer.held[k, s] != (child[s] == 1):
                e = np.inf
            elif not outer.held[k, s]:
                e += space.scratch.serve[0, s]
            continue
        more, near = _once_more(space, s, k, level, parents)
        e += more
        if space.watch == 1 and outer.held[k, s] and level > 0:
            words = space.scratch.words[s]
            served = words if near else min(words, space.operands[s].touched)
            reads += revisits(served, space.uses[1, s].first_visits)
            writes += served if space.operands[s].read_write else space.operands[s].touched
    if space.watch == 1 and level > 0:
        return e, limited_cycles(space, 1, reads, writes)
    return e, 0.0


@kernel(forceinline=True)
def _transfers(
    space: Space,
    label: Label,
    tiles: Records,
    energy: float,
    key: int,
    level: int,
    start: int,
    child: IntArray,
    parents: BoolArray,
) -> tuple[float, float, float]:
    """pJ at least with what is pending: ``energy`` with the fills inside; to serve it all; what `Outer` counts, too.

    The last are the fills of a tile that the storage next to the outermost one never reuses.
    """
    _levels, outer = space.levels, space.outer
    direct, filled = 0.0, 0.0
    for s in range(space.work.relevant.shape[0]):
        tile = tiles[s]
        words = tile.pending
        by_outer = outer.by_keep and level == 0 and child[s] == 1  # `outer` counts the words on both sides
        if level == space.levels.shape[0] - 1 and space.operands[s].hands_on:
            words = min(words, space.operands[s].touched)
        elif tile.mode != CLOSED:
            least = least_share(space, label, tile, s)
            words *= least
            energy += tile.savable * least
            if child[s] >= 0 and space.levels[child[s]].top and not by_outer:
                rest = revisits(words, space.uses[child[s], s].first_visits)
                energy += rest / space.levels[child[s]].block * space.levels[child[s]].write
        elif by_outer:
            whole = nearest(words - space.uses[1, s].first_visits)
            filled += access_energy(whole, space.levels[1].block, space.levels[1].write)
        for q in range(space.fans.level.shape[0]):
            if space.fans.level[q] > level:
                break
            words /= space.fans.cast[q, start if space.fans.level[q] == level else 0, key, s]
        direct += _serve(space, s, words, level, parents)
    return energy, direct, filled


@kernel(forceinline=True)
def lower_bound(
    space: Space, label: Label, tiles: Records, key: int, level: int, start: int, child: IntArray, parents: BoolArray
) -> tuple[float, float]:
    """(energy, cycles) that no completion of a label inside ``level`` undercuts.

    Args:
        start: a fan-out's loops are placed in the order of the dimensions; this one may come next.
        child: (s,) storage whose tile is pending, −1 for the datapath.
        parents: (s, l) bool, which levels may serve it.
    """
    work, aim = space.work, space.aim
    fan = _instances_to_come(space, label, key, level, start)
    energy = label.energy - label.first_visits * fan
    if label.echo.energy > 0:
        energy -= label.echo.energy / label.echo.zone.fetches + label.echo.rounding
    energy, direct, filled = _transfers(space, label, tiles, energy, key, level, start, child, parents)
    full = work.macs / (label.spatial * fan)
    slow = label.least_slow * (1.0 - CLEAR)
    cycles = max(full, full * slow, label.bandwidth)
    if space.watch > level:
        cycles = max(cycles, watched_cycles(space, label, tiles, child))
    # Each data space moved once through all that is still outside is one bound. The other one knows what the last
    # transfers from the outermost storage cost, for every choice of what the next storage keeps.
    least_energy, least_cycles, least_value = np.inf, np.inf, np.inf
    for k in range(space.outer.held.shape[0]):
        e, n = _by_outer(space, k, energy - filled, key, level, child, parents)
        if e == np.inf:
            continue
        e, n = max(e, energy + direct), max(n, cycles)
        if n > aim.most_cycles * (1.0 + EPS):
            continue
        e += label.leak * max(0.0, label.spatial * n - work.macs, work.macs * (slow - 1.0))
        if aim.bounded and (e > aim.most_energy * (1.0 + EPS) or e * n > aim.most_edp * (1.0 + EPS)):
            continue
        if aim.figure != 0:
            least_energy, least_cycles = min(least_energy, e), min(least_cycles, n)
        elif e * n < least_value:
            least_energy, least_cycles, least_value = e, n, e * n
    return least_energy, least_cycles


@kernel(forceinline=True)
def value_of(space: Space, energy: float, cycles: float) -> float:
    """The figure that is minimised."""
    return energy * cycles if space.aim.figure == 0 else (energy if space.aim.figure == 1 else cycles)


@kernel(forceinline=True)
def worse(space: Space, energy: float, cycles: float, best: float) -> bool:
    """Whether a mapping of at least this energy and these cycles does not count, or is not below ``best``."""
    aim, up = space.aim, 1.0 + EPS
    if cycles > aim.most_cycles * up:
        return True
    if aim.bounded and (energy > aim.most_energy * up or energy * cycles > aim.most_edp * up):
        return True
    return value_of(space, energy, cycles) * up >= best


@njit(cache=True)
def promising(space: Space, level: int, table: Labels, child: IntArray, parents: BoolArray, best: float) -> IntArray:
    """Indices of the labels that may still beat ``best``, now that it is known what ``level`` keeps."""
    count = table.label.shape[0]
    out = np.empty(count, np.int64)
    n = 0
    for k in range(count):
        energy, cycles = lower_bound(
            space, table.label[k], table.tile[k], table.origin[k].key, level, 0, child, parents
        )
        if not worse(space, energy, cycles, best):
            out[n] = k
            n += 1
    return out[:n]
