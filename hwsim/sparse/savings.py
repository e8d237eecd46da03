"""Gating and skipping: with what probability an access is not needed, since what it meets is zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hwsim.sparse.density import DensityModel
from hwsim.sparse.tiles import Tiles
from hwsim.sparsity import LevelSparsity, Saving


@dataclass(frozen=True)
class Entry:
    """Accesses of one data space at one level that are not needed with probability ``p``."""

    kind: str
    p: float


@dataclass(frozen=True)
class _Target:
    """Where the target's accesses come from.

    Attributes:
        loop: the place of the loop that they advance with.
        scalar: it is read element by element.
        relevant: places of the loops that the condition's tile sweeps beside, inner → outer.
    """

    loop: int
    scalar: bool
    spatial: bool
    relevant: tuple[int, ...]
    extents: dict[str, int]
    condition: dict[str, int]


def _target(tiles: Tiles, name: str, level: int) -> _Target:
    space, loops = tiles.spaces[name], tiles.loops
    child, last = tiles.child(name, level), tiles.start[level + 1]
    first = 0 if child is None else tiles.start[child + 1]
    used = space.dimensions
    scalar = child is None and not loops[0].spatial
    if scalar:
        place = 0
    elif child is None:
        spatial = [i for i in range(last) if loops[i].spatial and loops[i].level == loops[0].level]
        place = next((i for i in spatial if loops[i].bound > 1 and loops[i].dim in used), spatial[-1])
    else:
        place = next((i for i in range(first, last) if loops[i].bound > 1 and loops[i].dim in used), last - 1)
    extents = dict.fromkeys(tiles.dims, 1) if scalar else dict(tiles.mold(place))
    condition = dict(extents)
    relevant = [place]
    temporal = loops[place].spatial and not scalar
    for i in range(place + 1, last):
        loop = loops[i]
        if not loop.spatial and temporal and (child is None or (loop.dim in used and loop.bound > 1)):
            temporal = False
        if loop.bound > 1 and (loop.spatial or temporal):
            relevant.append(i)
            condition[loop.dim] *= loop.bound
    return _Target(place, scalar, loops[place].spatial and not scalar, tuple(relevant), extents, condition)


def probability(tiles: Tiles, models: dict[str, DensityModel], saving: Saving, level: int, block: int) -> float:
    """Probability that an access of the target at a level is not needed: what it meets of some condition is empty."""
    target = _target(tiles, saving.target, level)
    effectual = 1.0
    for name in saving.conditions:
        extents = _condition(tiles, target, saving.target, name, block)
        if extents is not None:
            effectual *= 1.0 - models[name].empty(tiles.box(tiles.spaces[name], extents))
    return 1.0 - effectual


def _condition(tiles: Tiles, target: _Target, name: str, condition: str, block: int) -> dict[str, int] | None:
    """Extents of what an access meets of the condition; None where it may meet any of it."""
    other = tiles.spaces[condition].dimensions
    both = tiles.spaces[name].dimensions & other
    factors: dict[str, int] = {}
    together = 1
    for i in () if target.scalar else target.relevant:
        loop = tiles.loops[i]
        if target.spatial and factors and loop.dim in other:
            return None
        if loop.dim in both:
            factors[loop.dim] = factors.get(loop.dim, 1) * loop.bound
            together *= loop.bound
    size = math.prod(tiles.box(tiles.spaces[name], target.extents))
    scale: float = math.ceil(block / (size / together))
    extents = dict(target.condition)
    for dim in tiles.dims:
        if dim in factors:
            share = factors[dim] / scale
            extents[dim] = math.ceil(extents[dim] / share)
            scale = scale / factors[dim]
    if scale > 1:
        dim = tiles.loops[target.loop].dim
        extents[dim] = math.floor(extents[dim] * scale)
    return extents


def entries(
    tiles: Tiles,
    models: dict[str, DensityModel],
    levels: list[LevelSparsity | None],
    blocks: list[int],
    worth: Callable[[str, int], float],
) -> dict[tuple[int, str], Entry]:
    """(level, data space) → what is saved there; level 0 is innermost.

    Args:
        levels: what every level does; None for fan-outs.
        blocks: words per access.
        worth: what an access of a data space's tile at a level costs, to choose among options.
    """
    found: dict[tuple[int, str], Entry] = {}
    for kind in ("gating", "skipping"):
        for named, level in enumerate(levels):
            for action in () if level is None else level.actions:
                if action.kind != kind:
                    continue
                best: tuple[float, int, str, float] | None = None
                for saving in action.options:
                    at = next((k for k in range(named, len(levels)) if saving.target in tiles.keep[k]), None)
                    if at is None:
                        continue
                    p = probability(tiles, models, saving, at, blocks[at])
                    gain = worth(saving.target, at) * p
                    if best is None or gain >= best[0]:
                        best = (gain, at, saving.target, p)
                if best is not None:
                    _, at, name, p = best
                    if (at, name) not in found or p > found[at, name].p:
                        found[at, name] = Entry(kind, p)
    return found
