"""Representation formats: which loops form which rank, and what a tile's metadata takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hwsim.cost import Illegal
from hwsim.sparse.density import Box, DensityModel
from hwsim.sparse.tiles import Tiles
from hwsim.sparsity import Format, Rank
from hwsim.workloads.problem import DataSpace


@dataclass(frozen=True)
class TileRank:
    """A rank of one tile, lowest first in the lists below.

    Attributes:
        rank: None where the level writes its tiles plainly.
        loops: places of the loops that form it, inner → outer.
        fiber: elements of the data space along its loops.
        below: the tile that one place of its fibers stands for.
        tile: the one that its loops sweep, as the rank outside it takes it.
    """

    rank: Rank | None
    loops: tuple[int, ...]
    fiber: int
    below: Box
    tile: Box


class TooFewRanks(Exception):
    """More loops than a format has ranks for."""

    def __init__(self, fault: Illegal) -> None:
        super().__init__(fault.reason)
        self.fault = fault


def tile_ranks(
    tiles: Tiles, space: DataSpace, level: int, form: Format | None, inner: list[TileRank] | None
) -> list[TileRank]:
    """The ranks of a level's tile, lowest first.

    Args:
        inner: those of the next level inside that keeps the data space; None where there is none.

    Raises:
        TooFewRanks: loops are left over.
    """
    child = tiles.child(space.name, level)
    first = 0 if child is None else tiles.start[child + 1]
    listed = [i for i in range(first, tiles.start[level + 1]) if tiles.loops[i].dim in space.dimensions]
    bound = {i: tiles.loops[i].bound for i in listed}
    tiled = form is not None and form.compressed and child is not None and math.prod(tiles.tile(space, child)) > 1
    lower = list(inner or ()) if tiled else []
    if not tiled:
        seen: set[str] = set()
        for i in listed:
            dim = tiles.loops[i].dim
            if dim not in seen:
                bound[i] *= tiles.inside(dim, first)
                seen.add(dim)
    real = [i for i in listed if bound[i] > 1]
    ranks = list(reversed(form.ranks)) if form is not None else []
    taken: list[tuple[int, ...]] | None = [tuple(real)]
    if form is not None:
        taken = _taken(tiles, real, ranks[len(lower) :], form.inner_to_outer)
    if taken is None or (form is not None and len(lower) > len(ranks)):
        reason = "its representation format has fewer ranks than the mapping has loops"
        raise TooFewRanks(Illegal("", space.name, reason, len(real) + len(lower), len(ranks)))
    out = [replace(x, rank=ranks[k]) for k, x in enumerate(lower)]
    for k, loops in enumerate(taken):
        below = out[-1].tile if out else tuple(1 for _ in space.projection)
        inner_first = form is not None and form.inner_to_outer
        place = (loops or listed or [-1])[0 if inner_first or not loops else -1]
        extents: dict[str, int] = {}
        for i in loops:
            dim = tiles.loops[i].dim
            extents[dim] = extents.get(dim, 1) * bound[i]
        fiber = math.prod(tiles.box(space, extents))
        rank = ranks[len(lower) + k] if form is not None else None
        out.append(TileRank(rank, loops, fiber, below, tiles.box(space, tiles.mold(place))))
    return out


def _taken(tiles: Tiles, real: list[int], ranks: list[Rank], inner_to_outer: bool) -> list[tuple[int, ...]] | None:
    """The loops of each rank, lowest rank first; None where some are left over."""
    queue = list(real) if inner_to_outer else list(reversed(real))
    taken: list[tuple[int, ...]] = []
    for rank in ranks if inner_to_outer else reversed(ranks):
        own: list[int] = []
        if queue and not rank.flattened:
            own.append(queue.pop(0))
        elif queue:
            together = next((x for x in rank.flattened if tiles.loops[queue[0]].dim in x), ())
            while queue and tiles.loops[queue[0]].dim in together:
                own.append(queue.pop(0))
        taken.append(tuple(sorted(own)))
    if queue:
        return None
    return taken if inner_to_outer else taken[::-1]


def occupancy(
    ranks: list[TileRank], tile: Box, nonzeros: int, model: DensityModel, inner_to_outer: bool
) -> list[tuple[float, float]]:
    """(metadata units, payload units) of every rank, lowest first, in a tile that holds so many nonzeros."""
    always = 0 if inner_to_outer else len(ranks) - 1
    out = [(0.0, 0.0)] * len(ranks)
    fibers, current_empty = 1.0, model.empty_within(tile, tile, nonzeros)
    for k in range(len(ranks) - 1, -1, -1):
        rank = ranks[k]
        assert rank.rank is not None
        next_empty = model.empty_within(rank.below, tile, nonzeros)
        if rank.fiber > 1 or k == always:
            out[k] = _units(rank.rank.format, fibers, fibers * (1.0 - current_empty), rank.fiber, next_empty)
        fibers *= rank.fiber
        current_empty = next_empty
    lowest = next((k for k, units in enumerate(out) if units != (0.0, 0.0)), None)
    if lowest is not None:
        out[lowest] = (out[lowest][0], 0.0)  # its payload is the data
    return out


def _units(form: str, fibers: float, filled: float, size: int, next_empty: float) -> tuple[float, float]:
    """Units of a rank with so many fibers, of which ``filled`` are not empty, of ``size`` places each."""
    if form == "UOP":
        return 0.0, filled * (size + 1)
    if form == "UB":
        return fibers * size, fibers * size
    if form == "RLE":
        units = size * (1.0 - next_empty) * filled
        return units, units
    payload = math.ceil(size * (1.0 - next_empty)) * filled
    return (payload if form == "CP" else filled * size), payload
