"""The systolic array of `hwsim.array.systolic`, stepped cycle by cycle: real operands move, the product comes out.

Whatever enters the array is skewed on the way: row i sees it i cycles after row 0, and column j's weights come j
cycles after column 0's. So in PE (i, j) everything happens i + j cycles after it would in PE (0, 0), weights and the
two marks that control them included: *load* shifts the column's weights one PE down, *swap* makes the weight that was
shifted in the one that multiplies. As the marks move with the data, the weights of the next tile follow the last token
of this one PE by PE.

The machine here is one of small objects, to read, to watch and to test against; `hwsim.array.systolic_kernel` is the
same machine compiled, for whole layers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwsim.array.systolic import MatrixProduct, SystolicCycles, SystolicDesign, Tile, tiles

Ints = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Token:
    """A row of inputs on its way past one tile: the ``index``-th of the tile's."""

    tile: Tile
    index: int


@dataclass(frozen=True, slots=True)
class Lane:
    """What moves to the right along a row in one register: an input, its token (None: a bubble) and the marks."""

    value: int = 0
    token: Token | None = None
    load: bool = False
    swap: bool = False


IDLE = Lane()


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
        self.lane = IDLE

    def cycle(self, lane: Lane, weight_above: int, sum_above: int) -> None:
        """One clock edge, given what the neighbours at the left and above held before it."""
        if lane.swap:
            self.weight = self.next_weight
        if lane.load:
            self.passing, self.next_weight = self.next_weight, weight_above
        self.sum = sum_above + self.weight * lane.value
        self.lane = lane


class SystolicArray:
    """R × C PEs behind the skew of the inputs and that of the weights."""

    def __init__(self, rows: int, columns: int) -> None:
        self.pes = [[PE() for _ in range(columns)] for _ in range(rows)]
        self.inputs = Skew(rows, IDLE)
        self.weights = Skew(columns, 0)

    def cycle(self, lanes: Sequence[Lane], weights: Sequence[int]) -> list[tuple[Token | None, int]]:
        """One clock edge.

        Args:
            lanes: R inputs of one token with its marks, before the skew.
            weights: C of them, which a *load* lets in at the top, before the skew.

        Returns:
            Token and sum that each column hands out below.
        """
        left, top = self.inputs.cycle(lanes), self.weights.cycle(weights)
        # From the far corner backwards, so that every PE still finds what its neighbours held before the edge.
        for i in reversed(range(len(self.pes))):
            row, above = self.pes[i], self.pes[i - 1] if i else None
            for j in reversed(range(len(row))):
                weight, sum_above = (above[j].passing, above[j].sum) if above else (top[j], 0)
                row[j].cycle(row[j - 1].lane if j else left[i], weight, sum_above)
        return [(pe.lane.token, pe.sum) for pe in self.pes[-1]]


class Accumulators:
    """The memory below the columns: adds the sums of the tiles of a reduction, token by token.

    Attributes:
        results: groups × tokens × outputs, what the machine computed.
        waiting: sums of each column that are kept until the next tile.
        most_waiting: most that one column ever kept.
    """

    def __init__(self, product: MatrixProduct, columns: int) -> None:
        self.results = np.zeros((product.groups, product.tokens, product.outputs), dtype=np.int64)
        self.waiting = [0] * columns
        self.most_waiting = 0

    def take(self, token: Token, column: int, value: int) -> None:
        """A sum that left a column of the array."""
        tile = token.tile
        self.results[tile.group, tile.tokens[token.index], tile.outputs[column]] += value
        self.waiting[column] += waits(tile)
        self.most_waiting = max(self.most_waiting, self.waiting[column])


def waits(tile: Tile) -> int:
    """1 where a tile's sums begin to wait for the next tile, −1 where they are the last of waiting ones, else 0."""
    return int(tile.reduction.start == 0) - int(tile.last)


@dataclass(frozen=True)
class Segment:
    """A stretch of the controller's work.

    Attributes:
        loads: the tile whose weights go in, the last row first.
        streams: the tile whose tokens go in, beside that. With neither, nothing goes in until every sum is out.
    """

    loads: Tile | None = None
    streams: Tile | None = None

    @property
    def rows(self) -> int:
        """Rows of weights that go in."""
        return len(self.loads.reduction) if self.loads else 0

    @property
    def tokens(self) -> int:
        """Tokens that go in."""
        return len(self.streams.tokens) if self.streams else 0


def controller(design: SystolicDesign, product: MatrixProduct) -> Iterator[Segment]:
    """What is done one after the other to compute a product."""
    before: Tile | None = None
    for tile in tiles(design, product):
        if design.double_buffered and before is not None:
            yield Segment(loads=tile, streams=before)
        else:
            if before is not None:
                yield from (Segment(streams=before), Segment())
            yield Segment(loads=tile)
        before = tile
    yield from (Segment(streams=before), Segment())


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

    Attributes:
        phase: what the last cycle was spent on.
        phases: cycles so far by phase.
        left: column, token and sum of what left the array in the last cycle.
    """

    def __init__(self, design: SystolicDesign, product: MatrixProduct, inputs: Ints, weights: Ints) -> None:
        check_operands(product, inputs, weights)
        self.design, self.inputs, self.weights = design, inputs, weights
        self.array = SystolicArray(design.rows, design.columns)
        self.accumulators = Accumulators(product, design.columns)
        self.segments = controller(design, product)
        self.segment, self.position = Segment(), 0
        self.owed = [0] * design.columns  # sums of each column on their way
        self.phases = {"preload": 0, "fill": 0, "stream": 0, "drain": 0}
        self.phase = ""
        self.flowing = False  # column 0 has handed out a sum since the array was empty
        self.left: list[tuple[int, Token, int]] = []

    def cycle(self) -> bool:
        """Advance by a cycle; False, and nothing happens, once the product is complete."""
        while self._segment_is_over():
            following = next(self.segments, None)
            if following is None:
                return False
            self.segment, self.position = following, 0
            self.flowing = self.flowing and not (following.rows and not following.tokens)
        loading, streaming = self.position < self.segment.rows, self.position < self.segment.tokens
        weights = self._weights() if loading else [0] * self.design.columns
        lanes = self._token(loading) if streaming else [Lane(load=loading)] * self.design.rows
        self.left = []
        for column, (token, value) in enumerate(self.array.cycle(lanes, weights)):
            if token is not None and column < len(token.tile.outputs):
                self.accumulators.take(token, column, value)
                self.owed[column] -= 1
                self.left.append((column, token, value))
        self.phase = self._phase()
        self.phases[self.phase] += 1
        self.position += 1
        return True

    def _segment_is_over(self) -> bool:
        if self.segment.rows or self.segment.tokens:
            return self.position >= max(self.segment.rows, self.segment.tokens)
        return not any(self.owed)

    def _phase(self) -> str:
        """What the last cycle was spent on, as column 0 shows it.

        It hands out a sum (stream). Before the first one it waits for weights (preload) or, with a token in the array,
        for the sum (fill). After that a cycle without a sum is one in which no token could enter for want of weights
        (preload again), or all of its sums are out and other columns are late (drain).
        """
        if self.left and self.left[0][0] == 0:
            self.flowing = True
            return "stream"
        if self.flowing:
            return "preload" if self.owed[0] else "drain"
        return "fill" if self.owed[0] else "preload"

    def _weights(self) -> list[int]:
        """A row of the loaded tile's weights, zeros beyond its outputs."""
        tile = self.segment.loads
        assert tile is not None
        row = tile.reduction[-1 - self.position]
        found = [int(self.weights[tile.group, row, n]) for n in tile.outputs]
        return found + [0] * (self.design.columns - len(found))

    def _token(self, loading: bool) -> list[Lane]:
        """A token of the streamed tile, zeros beyond its reduction; its sums are owed from now on."""
        tile = self.segment.streams
        assert tile is not None
        for column in range(len(tile.outputs)):
            self.owed[column] += 1
        token, swap = Token(tile, self.position), self.position == 0
        values = [int(self.inputs[tile.group, tile.tokens[self.position], k]) for k in tile.reduction]
        values += [0] * (self.design.rows - len(values))
        return [Lane(value, token, loading, swap) for value in values]

    def run(self, watch: Callable[[SystolicMachine], None] | None = None) -> SystolicRun:
        """Step to the end; ``watch`` sees the machine after every cycle."""
        while self.cycle():
            if watch is not None:
                watch(self)
        return SystolicRun(SystolicCycles(**self.phases), self.accumulators.results, self.accumulators.most_waiting)


def check_operands(product: MatrixProduct, inputs: Ints, weights: Ints) -> None:
    """ValueError where the operands are not integers of the product's shape."""
    wanted = (
        (product.groups, product.tokens, product.reduction),
        (product.groups, product.reduction, product.outputs),
    )
    for name, array, shape in zip(("inputs", "weights"), (inputs, weights), wanted, strict=True):
        if array.shape != shape or array.dtype != np.int64:
            raise ValueError(f"{name}: int64 of shape {shape} expected, found {array.dtype} of {array.shape}")


def random_operands(product: MatrixProduct, bits: int = 8, seed: int = 0) -> tuple[Ints, Ints]:
    """Signed integers of ``bits`` bits for inputs and weights, the same for the same seed."""
    draw = np.random.default_rng(seed)
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    inputs = draw.integers(low, high, (product.groups, product.tokens, product.reduction), dtype=np.int64)
    return inputs, draw.integers(low, high, (product.groups, product.reduction, product.outputs), dtype=np.int64)
