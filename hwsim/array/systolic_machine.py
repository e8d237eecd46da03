"""The systolic array of `hwsim.array.systolic`, stepped cycle by cycle: real operands move, the product comes out.

A cycle counts once for the whole machine. Whatever enters the array is skewed on the way: row i sees it i cycles after
row 0, column j's weights come j cycles after column 0's. So in PE (i, j) everything happens i + j cycles after it would
in PE (0, 0), weights and the two marks that control them included: *load* shifts the column's weights one PE down, *swap*
makes the weight that was shifted in the one that multiplies. Moving with the data, the marks let the weights of the next
tile follow the last token of this one PE by PE.

There are two grids of PEs with one behaviour: `PEGrid` of small objects, to read, to watch and to test against, and
`VectorGrid`, the same registers as arrays, for whole layers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwsim.array.systolic import MatrixProduct, SystolicCycles, SystolicDesign, Tile, tiles

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
T = TypeVar("T")

_NONE = np.zeros(0, dtype=np.int64)
BUBBLE = -1  # tag of a place in the stream that holds no token


@dataclass(frozen=True, slots=True)
class Lane:
    """What moves to the right along a row in one register: an input, its token's tag and the marks."""

    value: int = 0
    tag: int = BUBBLE
    load: bool = False
    swap: bool = False


class Skew(Generic[T]):
    """A triangle of registers: item i comes out i cycles after it went in."""

    def __init__(self, size: int, idle: T) -> None:
        self.chains = [deque([idle] * i) for i in range(size)]

    def cycle(self, items: Sequence[T]) -> list[T]:
        """Push an item into every chain, take the oldest out of each."""
        for chain, item in zip(self.chains, items, strict=True):
            chain.append(item)
        return [chain.popleft() for chain in self.chains]


class PE:
    """One weight, one multiplication a cycle, and the registers that its neighbours read.

    Attributes:
        weight: what it multiplies with.
        next_weight: shifted in for the next tile; active after a swap.
        passing: weight on the way to the PE below.
        lane: input and marks for the PE at the right.
        sum: partial sum for the PE below.
    """

    def __init__(self) -> None:
        self.weight = self.next_weight = self.passing = self.sum = 0
        self.lane = Lane()

    def cycle(self, lane: Lane, weight_above: int, sum_above: int) -> None:
        """One clock edge: what comes from the left and from above, as it was before."""
        if lane.swap:
            self.weight = self.next_weight
        if lane.load:
            self.passing, self.next_weight = self.next_weight, weight_above
        self.sum = sum_above + self.weight * lane.value
        self.lane = lane


class Grid(Protocol):
    """R × C PEs behind their skews."""

    def __init__(self, rows: int, columns: int) -> None: ...

    def cycle(self, values: Ints, tag: int, load: bool, swap: bool, weights: Ints) -> tuple[Ints, Ints]:
        """One cycle of the whole array.

        Args:
            values: the R inputs of a token, before the skew.
            tag: the token, or `BUBBLE`.
            load: ``weights``, C of them, go in at the top.
            swap: the token is the first of a tile.
            weights: a row of weights, before the skew.

        Returns:
            Tags and sums that the C columns hand out below; the tag is `BUBBLE` where there is none.
        """
        ...

    def registers(self) -> dict[str, list[list[int]]]:
        """What the PEs hold, row by row: weight, next_weight, value, tag, sum."""
        ...


class PEGrid:
    """The array as PEs that read their neighbours' registers."""

    def __init__(self, rows: int, columns: int) -> None:
        self.pes = [[PE() for _ in range(columns)] for _ in range(rows)]
        self.inputs = Skew(rows, Lane())
        self.weights = Skew(columns, 0)

    def cycle(self, values: Ints, tag: int, load: bool, swap: bool, weights: Ints) -> tuple[Ints, Ints]:
        """See `Grid`."""
        lanes = self.inputs.cycle([Lane(int(value), tag, load, swap) for value in values])
        tops = self.weights.cycle([int(w) for w in weights])
        # From the far corner backwards, so that every PE still finds what its neighbours held before the edge.
        for i in reversed(range(len(self.pes))):
            row, above = self.pes[i], self.pes[i - 1] if i else None
            for j in reversed(range(len(row))):
                lane = row[j - 1].lane if j else lanes[i]
                weight, sum_above = (above[j].passing, above[j].sum) if above else (tops[j], 0)
                row[j].cycle(lane, weight, sum_above)
        bottom = self.pes[-1]
        return np.array([pe.lane.tag for pe in bottom]), np.array([pe.sum for pe in bottom])

    def registers(self) -> dict[str, list[list[int]]]:
        """See `Grid`."""
        read: dict[str, Callable[[PE], int]] = {
            "weight": lambda pe: pe.weight,
            "next_weight": lambda pe: pe.next_weight,
            "value": lambda pe: pe.lane.value,
            "tag": lambda pe: pe.lane.tag,
            "sum": lambda pe: pe.sum,
        }
        return {name: [[get(pe) for pe in row] for row in self.pes] for name, get in read.items()}


class _Delay:
    """`Skew` for whole vectors: the last ``size`` of them, read along the diagonal."""

    def __init__(self, size: int, idle: int) -> None:
        self.kept = np.full((size, size), idle, dtype=np.int64)
        self.lag = np.arange(size)
        self.now = 0

    def cycle(self, items: Ints | int) -> Ints:
        self.kept[self.now] = items
        out: Ints = self.kept[self.now - self.lag, self.lag]
        self.now = (self.now + 1) % len(self.lag)
        return out


class VectorGrid:
    """The array as one NumPy array per kind of register; a cycle moves all PEs at once."""

    def __init__(self, rows: int, columns: int) -> None:
        shape = (rows, columns)
        self.weight, self.next_weight, self.passing = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        self.value, self.sum = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        self.tag = np.full(shape, BUBBLE, dtype=np.int64)
        self.load, self.swap = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        self.values_in, self.tags_in, self.marks_in = _Delay(rows, 0), _Delay(rows, BUBBLE), _Delay(rows, 0)
        self.weights_in = _Delay(columns, 0)

    def cycle(self, values: Ints, tag: int, load: bool, swap: bool, weights: Ints) -> tuple[Ints, Ints]:
        """See `Grid`."""
        marks = self.marks_in.cycle(load + 2 * swap)
        _shift_right(self.value, self.values_in.cycle(values))
        _shift_right(self.tag, self.tags_in.cycle(tag))
        _shift_right(self.load, (marks & 1) != 0)
        _shift_right(self.swap, (marks & 2) != 0)
        tops = self.weights_in.cycle(weights)
        if self.swap.any():
            np.copyto(self.weight, self.next_weight, where=self.swap)
        if self.load.any():
            above = np.vstack((tops, self.passing[:-1]))
            np.copyto(self.passing, self.next_weight, where=self.load)
            np.copyto(self.next_weight, above, where=self.load)
        self.sum[1:] = self.sum[:-1]
        self.sum[0] = 0
        self.sum += self.weight * self.value
        return self.tag[-1], self.sum[-1]

    def registers(self) -> dict[str, list[list[int]]]:
        """See `Grid`."""
        return {name: getattr(self, name).tolist() for name in ("weight", "next_weight", "value", "tag", "sum")}


def _shift_right(registers: NDArray[Any], entering: NDArray[Any]) -> None:
    registers[:, 1:] = registers[:, :-1]
    registers[:, 0] = entering


class Accumulators:
    """The memory below the columns: adds the sums of the tiles of a reduction, token by token.

    Attributes:
        results: groups × tokens × outputs, what the machine computed.
        most_waiting: most sums that one column ever kept between two tiles.
    """

    def __init__(self, product: MatrixProduct, columns: int) -> None:
        self.results = np.zeros((product.groups, product.tokens, product.outputs), dtype=np.int64)
        self.waiting = np.zeros(columns, dtype=np.int64)
        self.most_waiting = 0

    def take(self, columns: Ints, addresses: Ints, sums: Ints) -> None:
        """Sums that left in one cycle, at most one of a column; ``addresses``: rows of group, token, first output,
        and +1 where the sum begins to wait, −1 where it is the last of a waiting one."""
        group, token, output, waits = addresses.T
        self.results[group, token, output + columns] += sums
        self.waiting[columns] += waits
        self.most_waiting = max(self.most_waiting, int(self.waiting.max()))


@dataclass(frozen=True)
class Step:
    """What the controller hands to the array in one cycle.

    Attributes:
        loads: tile and row of it (counted from its first) whose weights go in.
        streams: tile and token of it (counted from its first) that goes in.
        empties: nothing goes in, now and until every sum is out (no cycle where all are out already).
    """

    loads: tuple[Tile, int] | None = None
    streams: tuple[Tile, int] | None = None
    empties: bool = False

    @property
    def swap(self) -> bool:
        """The first token of a tile makes its weights the active ones."""
        return self.streams is not None and self.streams[1] == 0


def controller(design: SystolicDesign, product: MatrixProduct) -> Iterator[Step]:
    """The steps of a product in order."""
    ahead: Tile | None = None
    for tile in tiles(design, product):
        if ahead is None or not design.double_buffered:
            if ahead is not None:
                yield from _stream(ahead, None)
                yield Step(empties=True)
            for row in reversed(range(len(tile.reduction))):
                yield Step(loads=(tile, row))
        else:
            yield from _stream(ahead, tile)
        ahead = tile
    assert ahead is not None
    yield from _stream(ahead, None)
    yield Step(empties=True)


def _stream(tile: Tile, following: Tile | None) -> Iterator[Step]:
    """The tokens of a tile, while the weights of the following one go in behind the swap."""
    rows = len(following.reduction) if following else 0
    for k in range(max(len(tile.tokens), rows)):
        yield Step(
            loads=(following, rows - 1 - k) if following and k < rows else None,
            streams=(tile, k) if k < len(tile.tokens) else None,
        )


@dataclass(frozen=True)
class Watched:
    """One cycle as an onlooker sees it: the registers after the edge, and what left."""

    cycle: int
    phase: str
    tile: Tile | None
    registers: dict[str, list[list[int]]]
    left: tuple[tuple[int, int, int], ...]
    """(column, token, sum)"""


@dataclass(frozen=True)
class SystolicRun:
    """What stepping a product gave.

    Attributes:
        cycles: counted, by phase.
        results: int64, groups × tokens × outputs.
        most_waiting: most sums that one column's accumulators kept at a time.
    """

    cycles: SystolicCycles
    results: Ints
    most_waiting: int


class SystolicMachine:
    """Controller, array and accumulators; `cycle()` is one clock cycle.

    Args:
        design: the array.
        product: what it computes.
        inputs: integers, groups × tokens × reduction.
        weights: integers, groups × reduction × outputs.
        grid: `VectorGrid` or `PEGrid`.

    Sums are exact as long as they fit 64 bits.
    """

    def __init__(
        self,
        design: SystolicDesign,
        product: MatrixProduct,
        inputs: Ints,
        weights: Ints,
        grid: type[PEGrid] | type[VectorGrid] = VectorGrid,
    ) -> None:
        assert inputs.shape == (product.groups, product.tokens, product.reduction)
        assert weights.shape == (product.groups, product.reduction, product.outputs)
        self.design, self.product = design, product
        self.inputs, self.weights = inputs, weights
        self.grid = grid(design.rows, design.columns)
        self.accumulators = Accumulators(product, design.columns)
        self.steps = controller(design, product)
        self.empties = False
        self.owed = np.zeros(design.columns, dtype=np.int64)  # sums of each column on their way
        # Where the sums of a token go, by its tag; no more tokens than this are on their way at a time.
        self.addresses = np.zeros((design.rows + design.columns, 4), dtype=np.int64)
        self.widths = np.zeros(design.rows + design.columns, dtype=np.int64)
        self.tags = 0
        self.phases = {"preload": 0, "fill": 0, "stream": 0, "drain": 0}
        self.phase = "preload"
        self.tile: Tile | None = None
        self.left: tuple[Ints, Ints, Ints] = (_NONE, _NONE, _NONE)

    def cycle(self) -> bool:
        """Advance by a cycle; False, and nothing happens, once the product is complete."""
        step = self._next_step()
        if step is None:
            return False
        self.phase = self._phase(step)
        self.phases[self.phase] += 1
        row = np.zeros(self.design.columns, dtype=np.int64)
        if step.loads is not None:
            tile, k = step.loads
            part = slice(tile.outputs.start, tile.outputs.stop)
            row[: len(tile.outputs)] = self.weights[tile.group, tile.reduction[k], part]
        values, tag = np.zeros(self.design.rows, dtype=np.int64), BUBBLE
        if step.streams is not None:
            values[: len(step.streams[0].reduction)], tag = self._token(*step.streams)
        self._collect(*self.grid.cycle(values, tag, step.loads is not None, step.swap, row))
        return True

    def _next_step(self) -> Step | None:
        """What the controller wants; None at the end."""
        if not self.empties:
            step = next(self.steps, None)
            if step is None or not step.empties:
                return step
        self.empties = bool(self.owed.any())
        return Step() if self.empties else self._next_step()

    def _phase(self, step: Step) -> str:
        """What a cycle is spent on: a token enters, weights do, column 0 is still busy, other columns are."""
        if step.streams is not None:
            return "stream"
        if step.loads is not None:
            return "preload"
        return "fill" if self.owed[0] else "drain"

    def _token(self, tile: Tile, k: int) -> tuple[Ints, int]:
        """Inputs and tag of a token; its sums are owed from now on."""
        tag, slot = self.tags, self.tags % len(self.widths)
        first = tile.reduction.start == 0
        # A sum that is first and last at once, or neither, leaves the number of waiting ones as it is.
        self.addresses[slot] = tile.group, tile.tokens[k], tile.outputs.start, int(first) - int(tile.last)
        self.widths[slot] = len(tile.outputs)
        self.owed[: len(tile.outputs)] += 1
        self.tags, self.tile = tag + 1, tile
        part = slice(tile.reduction.start, tile.reduction.stop)
        return self.inputs[tile.group, tile.tokens[k], part], tag

    def _collect(self, tags: Ints, sums: Ints) -> None:
        columns = np.flatnonzero(tags != BUBBLE)
        slots = tags[columns] % len(self.widths)
        useful = columns < self.widths[slots]
        columns, slots = columns[useful], slots[useful]
        if len(columns):
            self.accumulators.take(columns, self.addresses[slots], sums[columns])
            self.owed[columns] -= 1
        self.left = columns, self.addresses[slots, 1], sums[columns]

    def run(self, watch: Callable[[Watched], None] | None = None) -> SystolicRun:
        """Step to the end; ``watch`` is called after every cycle."""
        cycle = 0
        while self.cycle():
            if watch is not None:
                left = tuple(zip(*(part.tolist() for part in self.left), strict=True))
                watch(Watched(cycle, self.phase, self.tile, self.grid.registers(), left))
            cycle += 1
        return SystolicRun(SystolicCycles(**self.phases), self.accumulators.results, self.accumulators.most_waiting)


def random_operands(product: MatrixProduct, bits: int = 8, seed: int = 0) -> tuple[Ints, Ints]:
    """Signed integers of ``bits`` bits for inputs and weights, the same for the same seed."""
    draw = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    inputs = draw.integers(low, high, (product.groups, product.tokens, product.reduction), dtype=np.int64)
    return inputs, draw.integers(low, high, (product.groups, product.reduction, product.outputs), dtype=np.int64)
