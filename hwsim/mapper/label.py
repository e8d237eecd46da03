"""Partial mappings ("labels") as records that numba reads and writes.

A label is a partial mapping of everything inside some point of the hierarchy: which part ``x`` of the
problem (a divisor of every dimension) is already placed inside, and what its transfers will have cost
*over the whole layer* if every loop still to come repeats them. Loops are then added one at a time, inner → outer
(`hwsim.mapper.step`), and storages closed around them (`hwsim.mapper.settle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
from numba.core import config

from hwsim.kernel import FloatArray, IntArray

# Modes of a tile: its refetches repeat with every loop to come; it has not moved yet; it slides along one rank.
CLOSED, OPEN, ZONE = 0.0, 1.0, 2.0
EPS = 1e-12
CLEAR = 1e-9  # a storage that is used to a share of its bandwidth below 1 by this slows nothing down
MOST_WINDOWS = 3  # shared ranks of a data space that labels follow


class Zone:
    """A tile that slides along a rank; loops further out along it may, in Timeloop's count, fetch little or nothing.

    Attributes:
        rank: among the shared ranks.
        fetches: in units of the tile; see `hwsim.counting.advance`.
        cost: what the usual step fetches, as a share of the tile.
        usual: the step of the innermost moving loop.
        swept: how far the loops inside have moved it, all together.
    """

    rank: float
    fetches: float
    cost: float
    usual: float
    swept: float


class Echo:
    """A zone whose transfers are priced already, but that loops further out belong to.

    Attributes:
        energy: priced; loops along the zone's rank may still spare some. 0: there is no echo.
        rounding: what of that comes from rounding up to blocks.
        served: words that the watched storage serves to it.
    """

    energy: float
    rounding: float
    served: float
    zone: Zone


class Link:
    """Links between neighbours that wait for their temporal loop.

    Attributes:
        move: of the spatial loop; 0: there are none.
        bound: of the spatial loop.
        rank: that it slides along.
        spatial: instances in use inside the fan-out's parent; 0 while that is not known.
    """

    move: float
    bound: float
    rank: float
    spatial: float


class Label:
    """A partial mapping, but for its tiles.

    Attributes:
        energy: pJ over the whole layer.
        spatial: instances in use, all spatial loops together.
        bandwidth: cycles that storages without a fan-out outside need at least for their words.
        first_visits: pJ that fan-outs further out may still spare, since partial sums are first written there.
        used_x, used_y: instances of the fan-out at hand.
        leak: pJ per cycle of all storages inside.
        least_slow, most_slow: how many times as long as at full speed the layer takes for the bandwidth of storages
            that are neither the outermost nor the watched one: at least, at most.
        slides: sliding spatial loops at the fan-out at hand.
        extent: of the sliding data space's tile below, on its shared ranks.
        zone, echo, link: of the sliding data space.
    """

    energy: float
    spatial: float
    bandwidth: float
    first_visits: float
    used_x: float
    used_y: float
    leak: float
    least_slow: float
    most_slow: float
    slides: float
    extent: Annotated[FloatArray, MOST_WINDOWS]
    zone: Zone
    echo: Echo
    link: Link


class Tile:
    """The pending tile of one data space.

    Attributes:
        savable: pJ of its transfers that an open tile may still avoid.
        pending: accesses of the parent to come.
        mode: CLOSED, OPEN or ZONE.
        sure, served: words that the watched storage serves for sure, and those that it serves to a tile that was open
            there.
    """

    savable: float
    pending: float
    mode: float
    sure: float
    served: float


class Rates:
    """Words of one storage, of all data spaces together.

    Attributes:
        reads, writes: for sure, where no fan-out is outside.
        least_reads, least_writes, most_reads, most_writes: of one whose bandwidth is limited.
        terms: data spaces among them.
        watched_reads, watched_writes: per cycle, of the watched storage.
    """

    reads: float
    writes: float
    least_reads: float
    least_writes: float
    most_reads: float
    most_writes: float
    terms: float
    watched_reads: float
    watched_writes: float


class Origin:
    """How a label was made, and how it is found.

    Attributes:
        pred: the label without the last loop, −1 for none.
        dim, bound, axis: the last loop.
        used: a bit per dimension that has a loop at this level.
        next: in the list of its key.
        state: of the level's automaton.
        alive: 1 while no other label stands in for it.
    """

    key: int
    pred: int
    dim: int
    bound: int
    axis: int
    used: int
    next: int
    state: int
    alive: int


class Cursor:
    """What `grow_level` and `close_level` remember between two calls.

    Attributes:
        labels: that there are.
        first, last: those being looked at.
        at, dim, divisor: where to go on.
        begun: 0 at the first call.
    """

    labels: int
    first: int
    last: int
    at: int
    dim: int
    divisor: int
    begun: int


def record(fields: type) -> np.dtype[np.void]:
    """The numpy record with the fields of a class: numbers of 64 bits, vectors of them, truth values, or records."""
    out: list[tuple[str, Any]] = []
    for name, kind in get_type_hints(fields, include_extras=True).items():
        if get_origin(kind) is Annotated:
            out.append((name, (np.float64, get_args(kind)[1:])))
        else:
            out.append((name, {float: np.float64, int: np.int64, bool: np.bool_}.get(kind) or record(kind)))
    # Uncompiled kernels reach fields as attributes of these; numba does with any, and faster.
    return np.dtype((np.record, out)) if config.DISABLE_JIT else np.dtype(out)  # type: ignore[attr-defined]


LABEL, TILE, RATES = record(Label), record(Tile), record(Rates)
ORIGIN, CURSOR = record(Origin), record(Cursor)
Records = npt.NDArray[np.void]


class Labels(NamedTuple):
    """Labels in arrays: (n,) of `Label`, (n, data spaces) of `Tile`, (n,) of `Origin`."""

    label: Records
    tile: Records
    origin: Records

    @classmethod
    def room(cls, n: int, spaces: int) -> Labels:
        """Room for so many labels, nothing in it yet."""
        return cls(np.empty(n, LABEL), np.empty((n, spaces), TILE), np.empty(n, ORIGIN))

    @classmethod
    def joined(cls, parts: Sequence[Labels]) -> Labels:
        """All labels of several tables."""
        if len(parts) == 1:
            return parts[0]
        out, n = cls.room(sum(x.number for x in parts), parts[0].tile.shape[1]), 0
        for part in parts:
            out.put(n, part)
            n += part.number
        return out

    @property
    def number(self) -> int:
        """How many they are."""
        return len(self.label)

    def put(self, first: int, labels: Labels) -> None:
        """Write labels over those from ``first`` on."""
        for new, old in zip(self, labels, strict=True):  # as plain numbers, which numpy copies ten times as fast
            new[first : first + len(old)].view(np.int64)[:] = old.view(np.int64)

    def part(self, some: slice) -> Labels:
        """Some of them, in place."""
        return Labels(self.label[some], self.tile[some], self.origin[some])

    def take(self, indices: IntArray) -> Labels:
        """Copies of some of them (``take`` of records is far quicker than indexing)."""
        return Labels(self.label.take(indices), self.tile.take(indices, axis=0), self.origin.take(indices))

    def with_room(self, n: int) -> Labels:
        """The same ones, and room for more up to ``n``."""
        out = Labels.room(n, self.tile.shape[1])
        out.put(0, self)
        return out

    def some_with_room(self, indices: IntArray, n: int) -> Labels:
        """Copies of some of them, and room for more up to ``n``."""
        out = Labels.room(n, self.tile.shape[1])
        for new, old in zip(out, self, strict=True):
            old.take(indices, axis=0, out=new[: len(indices)], mode="clip")
        return out


def new_cursor(labels: int = 0) -> Any:
    """A cursor before the first call, behind so many labels: a record whose fields Python names as keys."""
    cursor = np.zeros(1, CURSOR)[0]
    cursor["labels"] = cursor["last"] = labels
    return cursor


def label_bytes(spaces: int) -> int:
    """What a label takes, its bound included."""
    return LABEL.itemsize + spaces * TILE.itemsize + ORIGIN.itemsize + 8
