"""How many nonzeros a tile holds: the distributions of ``docs/sparsity.md``.

A tile is a box: its extents along the tensor's ranks. Probabilities are quotients of exact integers wherever that is
feasible, since counts are rounded down after they have been multiplied with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Protocol

from hwsim.errors import HwsimError
from hwsim.sparsity import Density

Box = tuple[int, ...]
#: Tiles up to this many elements are treated in exact integers; the probabilities of larger ones in doubles.
MAX_EXACT = 4096
#: Tiles of a banded matrix are looked at one by one.
MAX_TILES = 4_000_000


class DensityModel(Protocol):
    """What a distribution answers."""

    def most(self, box: Box) -> int:
        """The most nonzeros that a tile may hold."""

    def least(self, box: Box) -> int:
        """The fewest."""

    def distribution(self, box: Box) -> list[tuple[int, float]]:
        """(nonzeros, probability) of a tile, ascending; only what may occur."""

    def empty(self, box: Box) -> float:
        """Probability that a tile holds nothing but zeros."""

    def empty_within(self, box: Box, outer: Box, nonzeros: int) -> float:
        """The same for a tile that lies in a larger one, of which it is known how many nonzeros it holds."""

    @property
    def mean(self) -> float:
        """Expected nonzeros of a single element."""


class Structured:
    """Every tile of n elements holds n·density nonzeros, rounded up or down at random."""

    def __init__(self, density: float) -> None:
        self.density = density

    @property
    def mean(self) -> float:
        """See `DensityModel`."""
        return self.density

    def most(self, box: Box) -> int:
        """See `DensityModel`."""
        x = math.prod(box) * self.density
        return math.floor(x) if 1.0 - (x - math.floor(x)) >= 1.0 else math.ceil(x)

    def least(self, box: Box) -> int:
        """See `DensityModel`."""
        n = math.prod(box)
        return math.floor(math.floor(n * self.density) / n * n)

    def distribution(self, box: Box) -> list[tuple[int, float]]:
        """See `DensityModel`."""
        x = math.prod(box) * self.density
        low = math.floor(x)
        return [(low, 1.0)] if x == low else [(low, 1.0 - (x - low)), (low + 1, x - low)]

    def empty(self, box: Box) -> float:
        """See `DensityModel`."""
        return self._empty(math.prod(box) * self.density)

    def empty_within(self, box: Box, outer: Box, nonzeros: int) -> float:
        """See `DensityModel`."""
        return self._empty(math.prod(box) * (nonzeros / math.prod(outer)))

    @staticmethod
    def _empty(x: float) -> float:
        return 1.0 - x if x < 1 else 0.0


@lru_cache(maxsize=65_536)
def _no_hit(total: int, marked: int, drawn: int) -> float:
    """C(total − marked, drawn) / C(total, drawn): probability that none of ``drawn`` elements is a ``marked`` one."""
    if drawn > total - marked:
        return 0.0
    few, many = sorted((marked, drawn))
    if few == 0:
        return 1.0
    # Π (1 − many / (total − i)) over i < few; below what a double can tell from nothing the exact value is not needed
    if few * math.log1p(-many / total) < -745:
        return 0.0
    if few <= MAX_EXACT:
        return math.perm(total - many, few) / math.perm(total, few)
    return math.exp(math.fsum(math.log1p(-many / (total - i)) for i in range(few)))


@lru_cache(maxsize=4096)
def _hypergeometric(total: int, marked: int, drawn: int) -> tuple[tuple[int, float], ...]:
    """(k, probability) that k of ``drawn`` elements are among the ``marked``; those that a double tells from 0."""
    low, high = max(0, drawn - (total - marked)), min(drawn, marked)
    if high - low <= MAX_EXACT and drawn <= MAX_EXACT:
        whole = math.comb(total, drawn)
        ways = math.comb(marked, low) * math.comb(total - marked, drawn - low)
        out = []
        for k in range(low, high + 1):
            out.append((k, ways / whole))
            if k < high:
                ways = ways * (marked - k) * (drawn - k) // ((k + 1) * (total - marked - drawn + k + 1))
        return tuple((k, p) for k, p in out if p > 0)
    return _from_the_mode(total, marked, drawn, low, high)


def _from_the_mode(total: int, marked: int, drawn: int, low: int, high: int) -> tuple[tuple[int, float], ...]:
    """The same by the quotients of neighbours, outwards from the likeliest."""
    mode = min(high, max(low, (marked + 1) * (drawn + 1) // (total + 2)))
    weights = {mode: 1.0}
    rest = total - marked - drawn
    for k in range(mode, high):
        weights[k + 1] = weights[k] * ((marked - k) * (drawn - k) / ((k + 1) * (rest + k + 1)))
        if weights[k + 1] < 1e-30:
            break
    for k in range(mode, low, -1):
        weights[k - 1] = weights[k] * (k * (rest + k) / ((marked - k + 1) * (drawn - k + 1)))
        if weights[k - 1] < 1e-30:
            break
    whole = math.fsum(weights.values())
    return tuple((k, weights[k] / whole) for k in sorted(weights))


class Hypergeometric:
    """⌈density · N⌉ nonzeros lie anywhere among the N elements of the tensor, every placement as likely."""

    def __init__(self, density: float, total: int) -> None:
        self.total = total
        self.nonzeros = math.ceil(density * total)

    @property
    def mean(self) -> float:
        """See `DensityModel`."""
        return self.nonzeros / self.total

    def most(self, box: Box) -> int:
        """See `DensityModel`."""
        return min(math.prod(box), self.nonzeros)

    def least(self, box: Box) -> int:
        """See `DensityModel`."""
        n = math.prod(box)
        return math.floor(self.nonzeros / self.total * n) if n == self.total else 0

    def distribution(self, box: Box) -> list[tuple[int, float]]:
        """See `DensityModel`."""
        return list(_hypergeometric(self.total, self.nonzeros, math.prod(box)))

    def empty(self, box: Box) -> float:
        """See `DensityModel`."""
        return _no_hit(self.total, self.nonzeros, math.prod(box))

    def empty_within(self, box: Box, outer: Box, nonzeros: int) -> float:
        """See `DensityModel`."""
        return _no_hit(math.prod(outer), nonzeros, math.prod(box))


class Banded:
    """Nonzeros at ``|row − column| ≤ band_width`` of a square matrix; tiles are looked at one by one."""

    def __init__(self, band_width: int, rows: int, columns: int) -> None:
        self.band = band_width
        self.rows, self.columns = rows, columns
        self.total = rows * columns
        self._kept: dict[Box, dict[int, int]] = {}
        self._parts: dict[tuple[Box, Box, int], float] = {}

    def _nonzeros(self, row: int, column: int, height: int, width: int) -> int:
        """Nonzeros of the tile whose corner is at (row, column)."""
        count = 0
        for r in range(row, row + height):
            low, high = max(column, r - self.band), min(column + width - 1, r + self.band)
            count += max(0, high - low + 1)
        return count

    @cached_property
    def mean(self) -> float:
        """See `DensityModel`."""
        return self._nonzeros(0, 0, self.rows, self.columns) / self.total

    def _tiles(self, box: Box) -> dict[int, int]:
        """Nonzeros → how many tiles of this shape hold so many; 0 is always there, though no tile may be empty.

        Only the row groups that the band's beginning touches are walked; the next one stands for all that follow.
        """
        if box in self._kept:
            return self._kept[box]
        height, width = box
        down, across = self.rows // height, self.columns // width
        warm = math.ceil(self.band / height)
        found: dict[int, int] = {0: 0}
        for group in range(min(warm + 1, down)):
            times = (2 if warm < down else 1) if group < warm else max(0, down - 2 * warm)
            self._row_of_tiles(group, box, across, times, found)
        self._kept[box] = dict(sorted(found.items()))
        return self._kept[box]

    def _row_of_tiles(self, group: int, box: Box, across: int, times: int, found: dict[int, int]) -> None:
        height, width = box
        row = group * height
        for tile in range(across):
            column = tile * width
            if column > row + height - 1 + self.band:  # beyond the band: nothing but zeros from here on
                found[0] = found.get(0, 0) + times * (across - tile)
                return
            held = self._nonzeros(row, column, height, width)
            found[held] = found.get(held, 0) + times

    def most(self, box: Box) -> int:
        """See `DensityModel`."""
        return max(self._tiles(box))

    def least(self, box: Box) -> int:
        """See `DensityModel`."""
        return 0  # the reference's table of tiles always begins with empty ones

    def distribution(self, box: Box) -> list[tuple[int, float]]:
        """See `DensityModel`."""
        tiles = self._tiles(box)
        whole = self._number(box)
        return [(k, n / whole) for k, n in tiles.items() if n > 0]

    def _number(self, box: Box) -> int:
        return (self.rows // box[0]) * (self.columns // box[1])

    def empty(self, box: Box) -> float:
        """See `DensityModel`."""
        return self._tiles(box)[0] / self._number(box)

    def empty_within(self, box: Box, outer: Box, nonzeros: int) -> float:
        """See `DensityModel`."""
        place = (box, outer, nonzeros)
        if place not in self._parts:
            self._parts[place] = self._empty_within(*place)
        return self._parts[place]

    def _empty_within(self, box: Box, outer: Box, nonzeros: int) -> float:
        found = self._first(outer, nonzeros)
        if found is None:
            return 0.0
        (row, column), (height, width) = found, box
        down, across = outer[0] // height, outer[1] // width
        empty = 0
        for i in range(down):
            for j in range(across):
                # where a tile begins, the corner of the larger one is added twice, as in the reference
                r, c = 2 * row + i * height, 2 * column + j * width
                empty += self._nonzeros(r, c, max(0, height - row), max(0, width - column)) == 0
        return empty / (down * across)

    def _first(self, box: Box, nonzeros: int) -> tuple[int, int] | None:
        """Where the first tile of a shape that holds so many nonzeros begins; looked for in the rows of `_tiles`."""
        height, width = box
        for group in range(min(math.ceil(self.band / height) + 1, self.rows // height)):
            row = group * height
            for column in range(0, self.columns - width + 1, width):
                if column > row + height - 1 + self.band:
                    if nonzeros == 0:
                        return row, column
                    break
                if self._nonzeros(row, column, height, width) == nonzeros:
                    return row, column
        return None


def model(density: Density, extents: Sequence[int], name: str) -> DensityModel:
    """The model of a tensor whose ranks have these extents.

    Raises:
        HwsimError: a band in what is no square matrix, or in one too large to be looked at tile by tile.
    """
    if density.distribution == "fixed_structured":
        return Structured(density.density)
    if density.distribution == "hypergeometric":
        return Hypergeometric(density.density, math.prod(extents))
    if len(extents) != 2 or extents[0] != extents[1]:
        raise HwsimError(f"'{name}' is banded, but no square matrix: its ranks are {' × '.join(map(str, extents))}.")
    if math.prod(extents) > MAX_TILES:
        raise HwsimError(
            f"'{name}' is banded and has more than {MAX_TILES:,} elements, which hwsim looks at one by one."
        )
    return Banded(density.band_width, extents[0], extents[1])
