"""A systolic weight-stationary array: how long a matrix product takes on it, in closed form.

The product is ``outputs[T, N] = inputs[T, K] · weights[K, N]``: T tokens, a reduction of K, N outputs. The array has
R rows and C columns of PEs. A PE holds one weight; rows are positions of the reduction, columns are outputs. Inputs
enter at the left, row i one cycle after row i − 1 (the skew), and move one PE to the right a cycle. Partial sums move
one PE down a cycle and leave below the last row into the accumulators of their column. Weights come from above, row
after row, and move down as well.

**One tile**: r ≤ R rows of the reduction, c ≤ C outputs, T tokens, cycles counted from 0.

- The weights of row 0 arrive in cycle r − 1, since the last of the r rows goes in first: r cycles of preload.
- Token t enters PE (0, 0) in cycle r + t and, one cycle for every step right or down, meets PE (i, j) in cycle
  r + t + i + j. Rows below the r-th hold no part of the tile: they get zeros and hand the sums down.
- The last sum, of token T − 1 in column c − 1, leaves row R − 1 in cycle r + (T − 1) + (R − 1) + (c − 1). So the tile
  takes r + R + c + T − 2 cycles, on a full tile **2·R + C + T − 2**: r of preload, R − 1 of fill until the first sum is
  out, T of stream in which column 0 delivers a sum a cycle, c − 1 of drain in which the other columns finish.

**A whole product** is cut into F = ⌈K / R⌉ tiles along the reduction and E = ⌈N / C⌉ along the outputs. Where F > 1,
sums wait in the accumulators between the tiles of a column, so no more tokens than those have entries are streamed at a
time: B = ⌈T / entries⌉ blocks (B = 1 where F = 1, or the entries are unlimited), and G groups (depthwise and grouped
convolutions, batched products) follow one another. Blocks are the outermost loop of a group, then outputs, then the
reduction.

With a *single* weight register a tile begins when the last sum of the one before is out. Summed over all tiles, with
Σ r = K and Σ c = N whatever the edges,

    preload  G·B·E·K
    fill     G·B·E·F·(R − 1)
    stream   G·E·F·T
    drain    G·B·F·(N − E)

*Double-buffered* weights (a second register in each PE, switched by a mark that moves with the first token) let the
next tile's weights move down while tokens stream, and its tokens follow without waiting for the drain. A tile that
streams t tokens is followed after max(t, r') cycles, r' being the rows of the next, so max(0, r' − t) cycles of preload
are seen:

    preload  r₁ + Σ max(0, r' − t) over all tiles but the last
    fill     R − 1
    stream   G·E·F·T
    drain    max(c_last − 1, C − 1 − d)

r₁ = min(R, K); c_last are the columns of the last tile. The drain has two terms because full columns of outputs before
a narrow last one may be out later: d is the distance in time of the last tiles of the two.

The second weight register and the accumulators are those of the first TPU (Jouppi et al., ISCA 2017, section 2);
Gemmini (Genc et al., DAC 2021) switches its two registers the same way. `hwsim.array.systolic_machine` steps the array
and shares none of this arithmetic, only the order of the tiles. Memories are taken to keep up: a row of inputs, of
weights and of sums a cycle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.errors import HwsimError
from hwsim.workloads.problem import DataSpace, Problem

#: Values of the attribute ``systolic`` that a fan-out of a systolic array carries.
AXES = ("rows", "columns")


@dataclass(frozen=True)
class SystolicDesign:
    """A systolic weight-stationary array.

    Attributes:
        rows: PEs down a column: positions of the reduction held at a time.
        columns: PEs along a row: outputs held at a time.
        double_buffered: each PE has a second weight register.
        accumulators: partial sums that wait below each column; None is unlimited.
    """

    rows: int
    columns: int
    double_buffered: bool = False
    accumulators: int | None = None

    @property
    def pes(self) -> int:
        """Multiply-accumulate units."""
        return self.rows * self.columns


@dataclass(frozen=True)
class MatrixProduct:
    """``groups`` products ``[tokens, reduction] · [reduction, outputs]``, one after another."""

    tokens: int
    reduction: int
    outputs: int
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all groups."""
        return self.groups * self.tokens * self.reduction * self.outputs


@dataclass(frozen=True)
class Tile:
    """What the array holds at a time: a part of the weights and the tokens that stream past it.

    Attributes:
        group: which of the products.
        tokens / reduction / outputs: the parts of the matrices.
        last: no tile of these outputs and tokens follows; the sums are complete.
    """

    group: int
    tokens: range
    reduction: range
    outputs: range
    last: bool


@dataclass(frozen=True)
class SystolicCycles:
    """Where the cycles of a product go; see the module's text."""

    preload: int
    fill: int
    stream: int
    drain: int

    @property
    def total(self) -> int:
        """Cycles until the last sum is out."""
        return self.preload + self.fill + self.stream + self.drain


def systolic_design(architecture: Architecture) -> SystolicDesign:
    """The systolic array that an architecture describes.

    Two fan-outs carry the attribute ``systolic``, one ``columns`` and one ``rows``. Weights are double-buffered where
    the storage inside both that keeps Weights has ``multiple_buffering`` of 2 or more; the accumulators are the storage
    between the two that keeps Outputs.

    Raises:
        HwsimError: there are no such fan-outs, several of a kind, or they stand in another order.
    """
    where = architecture.source or architecture.name
    marked: dict[str, Fanout] = {}
    inherited = ""
    for fanout in architecture.fanouts:
        axis = str(fanout.attributes.get("systolic", ""))
        if not axis or axis == inherited:
            continue
        if axis not in AXES or axis in marked:
            found = "a second time" if axis in marked else f"with the value '{axis}'"
            raise HwsimError(
                f"'{fanout.name}' has the attribute 'systolic' {found}; one container is {' and one '.join(AXES)}.",
                where=where,
            )
        marked[axis], inherited = fanout, axis
    if set(marked) != set(AXES):
        raise HwsimError(
            "no systolic array: one container should have the attribute 'systolic: columns' and one inside it "
            "'systolic: rows' (as in tpu_v1_like), or give --rows and --columns.",
            where=where,
        )
    for fanout in architecture.fanouts:
        if fanout not in marked.values():
            raise HwsimError(f"'{fanout.name}' makes several arrays; one systolic array is modelled.", where=where)
    levels = list(architecture.levels)
    outer, inner = levels.index(marked["columns"]), levels.index(marked["rows"])
    if outer > inner:
        raise HwsimError("the container of the rows should stand inside that of the columns.", where=where)
    sums = [s for s in levels[outer:inner] if isinstance(s, Storage) and "Outputs" in s.constraints.keep]
    weights = [s for s in levels[inner:] if isinstance(s, Storage) and "Weights" in s.constraints.keep]
    return SystolicDesign(
        rows=_side(marked["rows"]),
        columns=_side(marked["columns"]),
        double_buffered=any(s.multiple_buffering >= 2 for s in weights),
        accumulators=sums[-1].capacity if sums else None,
    )


def _side(fanout: Fanout) -> int:
    return fanout.mesh_x * fanout.mesh_y


def matrix_product(problem: Problem) -> MatrixProduct:
    """A contraction as matrix products: im2col, if it is a convolution.

    A dimension of inputs and outputs alone counts tokens, one of weights and inputs alone the reduction, one of weights
    and outputs alone the outputs, one of all three the groups. So a convolution has N·P·Q tokens, a reduction of C·R·S
    and M outputs; a transposed one, whose filter slides over the outputs, N·P·Q input positions, C and M·R·S.

    Raises:
        HwsimError: the operands are not Weights, Inputs and Outputs, or a dimension indexes only one of them.
    """
    spaces: dict[str, DataSpace] = {space.name: space for space in problem.data_spaces}
    if set(spaces) != {"Weights", "Inputs", "Outputs"}:
        raise HwsimError(f"a systolic array multiplies Weights by Inputs; this problem has {', '.join(spaces)}.")
    sizes = {"tokens": 1, "reduction": 1, "outputs": 1, "groups": 1}
    roles = {"IO": "tokens", "WI": "reduction", "WO": "outputs", "WIO": "groups"}
    for dim, size in problem.dims:
        letters = "".join(name[0] for name in ("Weights", "Inputs", "Outputs") if dim in spaces[name].dimensions)
        if size > 1 and letters not in roles:
            raise HwsimError(f"dimension {dim} indexes one operand alone; that is no matrix product.")
        sizes[roles.get(letters, "groups")] *= size
    return MatrixProduct(**sizes)


def tiles(design: SystolicDesign, product: MatrixProduct) -> Iterator[Tile]:
    """The tiles of a product in the order in which the array works on them."""
    block = token_block(design, product)
    for group in range(product.groups):
        for tokens in _parts(product.tokens, block):
            for outputs in _parts(product.outputs, design.columns):
                for reduction in _parts(product.reduction, design.rows):
                    yield Tile(group, tokens, reduction, outputs, last=reduction.stop == product.reduction)


def _parts(size: int, part: int) -> list[range]:
    return [range(start, min(size, start + part)) for start in range(0, size, part)]


def token_block(design: SystolicDesign, product: MatrixProduct) -> int:
    """Tokens that stream at a time: as many as the accumulators hold sums, all where no sum has to wait."""
    if design.accumulators is None or product.reduction <= design.rows:
        return product.tokens
    return min(product.tokens, design.accumulators)


def cycles(design: SystolicDesign, product: MatrixProduct) -> SystolicCycles:
    """Cycles of a product, tiles at the edges included; the module's text derives them."""
    across, down = math.ceil(product.outputs / design.columns), math.ceil(product.reduction / design.rows)
    blocks = math.ceil(product.tokens / token_block(design, product))
    stream = product.groups * across * down * product.tokens
    if design.double_buffered:
        return _double_buffered(design, product, stream)
    return SystolicCycles(
        preload=product.groups * blocks * across * product.reduction,
        fill=product.groups * blocks * across * down * (design.rows - 1),
        stream=stream,
        drain=product.groups * blocks * down * (product.outputs - across),
    )


def _double_buffered(design: SystolicDesign, product: MatrixProduct, stream: int) -> SystolicCycles:
    """Cycles where weights move in behind the stream."""
    across, down = math.ceil(product.outputs / design.columns), math.ceil(product.reduction / design.rows)
    block = token_block(design, product)
    blocks = math.ceil(product.tokens / block)
    last_block = product.tokens - (blocks - 1) * block
    first_rows, last_rows = min(design.rows, product.reduction), product.reduction - (down - 1) * design.rows
    # What follows the tiles of one column of outputs: full tiles, the one at the edge, the first of the next column.
    followers = [(max(0, down - 2), design.rows), (int(down > 1), last_rows), (1, first_rows)]

    def waits(tokens: int) -> int:
        return sum(count * max(0, rows - tokens) for count, rows in followers)

    everywhere = product.groups * across * ((blocks - 1) * waits(block) + waits(last_block))
    after_the_last = max(0, first_rows - last_block)
    drain = product.outputs - (across - 1) * design.columns - 1
    if across > 1:
        apart = sum(count * max(last_block, rows) for count, rows in followers)
        drain = max(drain, design.columns - 1 - apart)
    return SystolicCycles(
        preload=first_rows + everywhere - after_the_last, fill=design.rows - 1, stream=stream, drain=drain
    )


def utilization(design: SystolicDesign, product: MatrixProduct) -> float:
    """Multiply-accumulates over PEs × cycles, 0–1."""
    return product.macs / (design.pes * cycles(design, product).total)
