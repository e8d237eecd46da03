"""The control of a buffer: which words a tile takes next, and which of them mesh neighbours can hand on.

These are rules of the hardware, not of its bookkeeping: an address generator that makes boxes, keeps one stride in
mind, and fetches either a slab or a whole tile; a mesh on which equal boxes are multicast and a word that a neighbour
took in the step before is passed on. `docs/simulator.md` tells each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwsim.array.plan import Mesh, Node, Vector

FIRST = -1
"""Stands for "no loop advanced": the first step."""


@dataclass(frozen=True)
class Region:
    """A box of elements: the first element (of instance 0) and the elements per rank."""

    low: Vector
    size: Vector

    @property
    def words(self) -> int:
        """Elements of the box."""
        return math.prod(self.size)


class TileControl:
    """Follows one node's tile through the steps and says which part of it is new.

    A tile that moved along one rank by less than its extent takes the new slab, if it moved so the last time, too (or
    has no last move); any other move takes the whole tile, and the stride is forgotten.
    """

    def __init__(self, node: Node, step: tuple[Vector, ...]) -> None:
        self.node = node
        self.step = step
        self.origin: Vector = (0,) * len(node.extent)
        self.stride: Vector | None = None
        self.again = 0  # elements of the last move that stayed and were taken again, since what is new is no slab

    def advance(self, loop: int) -> Region | None:
        """Advance one of the loops outside (`FIRST`: enter); returns what has to be taken, None where nothing has."""
        self.again = 0
        if loop == FIRST:
            return Region(self.origin, self.node.extent)
        shift = self.step[loop]
        self.origin = tuple(o + s for o, s in zip(self.origin, shift, strict=True))
        whole = Region(self.origin, self.node.extent)
        if self.node.refetch:
            return whole
        if not any(shift):
            return None
        if self.stride is not None and shift != self.stride:
            self.stride = None
            return whole
        self.stride = shift
        if sum(s != 0 for s in shift) > 1:
            self.again = math.prod(max(0, e - abs(s)) for e, s in zip(whole.size, shift, strict=True))
        return _slab(whole, shift)


def _slab(tile: Region, shift: Vector) -> Region:
    """The part of a tile that it does not share with where it was; the whole tile if that is no slab."""
    moved = [r for r, s in enumerate(shift) if s]
    rank = moved[0]
    distance, extent = abs(shift[rank]), tile.size[rank]
    if len(moved) > 1 or distance >= extent:
        return tile
    low, size = list(tile.low), list(tile.size)
    low[rank] += extent - distance if shift[rank] > 0 else 0
    size[rank] = distance
    return Region(tuple(low), tuple(size))


def groups(mesh: Mesh) -> int:
    """Accesses of the parent that one round of requests below it takes."""
    return len(set(mesh.offsets)) if mesh.multicast else mesh.size


@dataclass(frozen=True)
class Handover:
    """Who hands on to whom in a step, and what is left for the parent.

    Attributes:
        source: per place the neighbour that has the words, or -1: the parent provides.
        leads: places that fetch from the parent for their group.
    """

    source: tuple[int, ...]
    leads: tuple[bool, ...]

    @property
    def taken(self) -> int:
        """Instances that are served by neighbours."""
        return sum(y >= 0 for y in self.source)


class Links:
    """The wires between mesh neighbours for one node; what they do depends only on how the tile moved."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._known: dict[Vector, Handover | None] = {}

    def handover(self, now: Region | None, before: Region | None) -> Handover | None:
        """What neighbours hand on in a step; None where it would not save an access.

        ``before`` is what instance 0 took in the step before. A place can be served by a neighbour that took the very
        box that the place wants now.
        """
        if not self.mesh.links or now is None or before is None or now.size != before.size:
            return None
        shift = tuple(a - b for a, b in zip(now.low, before.low, strict=True))
        if shift not in self._known:
            self._known[shift] = self.between(shift)
        return self._known[shift]

    def between(self, shift: Vector) -> Handover | None:
        """Who finds what it wants, after a move by ``shift``, at a neighbour; None where that saves no access."""
        offsets = self.mesh.offsets
        at: dict[int, int] = {}
        for place, offset in enumerate(offsets):
            wanted = tuple(o + s for o, s in zip(offset, shift, strict=True))
            for near in self.mesh.neighbours(place):
                if offsets[near] == wanted:
                    at[place] = near
                    break
        source = tuple(at.get(place, -1) for place in range(self.mesh.size))
        seen: set[Vector] = set()
        leads = []
        for place, offset in enumerate(offsets):
            leads.append(source[place] < 0 and not (self.mesh.multicast and offset in seen))
            if source[place] < 0:
                seen.add(offset)
        return Handover(source, tuple(leads)) if sum(leads) < groups(self.mesh) else None
