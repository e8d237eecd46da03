"""`Problem`: one tensor contraction (an Einsum with affine projections)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwsim.errors import HwsimError
from hwsim.sparsity import Density

MAX_COUNT = 2**62
"""The most that anything counted of a problem may come to: one doubling less than 64-bit integers hold."""


@dataclass(frozen=True)
class DataSpace:
    """One operand of a problem.

    Attributes:
        name: ``Weights``, ``Inputs``, ``Outputs``, or what the user's file calls it.
        projection: one entry per rank of the tensor; each rank is a sum of
            ``(coefficient, dimension)`` terms, so ``P*stride + R*dilation`` is
            ``((stride, "P"), (dilation, "R"))``.
        read_write: True for the result (it is read back to accumulate partial sums).
    """

    name: str
    projection: tuple[tuple[tuple[int, str], ...], ...]
    read_write: bool = False

    @property
    def dimensions(self) -> frozenset[str]:
        """The problem dimensions that index this data space."""
        return frozenset(dim for rank in self.projection for _, dim in rank)


@dataclass(frozen=True)
class Problem:
    """Dimension sizes and data spaces of one contraction.

    Attributes:
        kind: ``conv``, ``depthwise``, ``grouped_conv``, ``matmul`` or ``custom``; ``_3d`` follows for
            volumes and ``_transpose`` for transposed convolutions (``grouped_conv_3d_transpose``).
        dims: (name, size) pairs in the problem's own order. Two problems are equal
            (and mapped once) when kind, dims and data spaces are equal.
        data_spaces: operands; exactly one is read_write.
        densities: (data space, how its nonzeros are spread), by name; those that are not there have no zeros.

    Raises:
        HwsimError: something that is counted could exceed `MAX_COUNT` under some mapping, or a dimension is given twice
            or not at all.
    """

    kind: str
    dims: tuple[tuple[str, int], ...]
    data_spaces: tuple[DataSpace, ...]
    densities: tuple[tuple[str, Density], ...] = ()

    def __post_init__(self) -> None:
        sizes = self.sizes
        if len(sizes) < len(self.dims):
            raise HwsimError(f"a dimension is given twice: {' '.join(name for name, _ in self.dims)}.")
        for name, size in self.dims:
            _check(f"dimension {name}", size)
        _check(f"the number of multiplications, {_product(self.dims)},", self.macs)
        for space in self.data_spaces:
            # No tile is larger than the product over its ranks of Π coefficient·size (1 + Σ c·(n − 1) ≤ Π c·n), and
            # whatever loops stand outside it repeat it as often as their bounds say. A dimension counts once at least.
            factors: list[tuple[str, int]] = []
            indexed: set[str] = set()
            for rank in space.projection:
                for dim in dict.fromkeys(d for _, d in rank):
                    if dim not in sizes:
                        raise HwsimError(f"data space '{space.name}' is indexed by '{dim}', which is no dimension.")
                    coefficient = sum(c for c, d in rank if d == dim)
                    _check(f"a coefficient of {dim} in data space '{space.name}'", coefficient)
                    if sizes[dim] > 1:
                        factors += [(f"coefficient of {dim}", coefficient)] if coefficient > 1 else []
                        factors += [(dim, sizes[dim])]
                    indexed.add(dim)
            factors += [(d, n) for d, n in self.dims if d not in indexed]
            words = math.prod(n for _, n in factors)
            _check(f"the words of data space '{space.name}' that could move, {_product(factors)},", words)

    @property
    def sizes(self) -> dict[str, int]:
        """Dimension name → size."""
        return dict(self.dims)

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the volume of the iteration space."""
        return math.prod(size for _, size in self.dims)

    def data_space_size(self, data_space: DataSpace) -> int:
        """Elements of the box that a data space covers (1 + Σ coefficient·(size − 1) per rank)."""
        sizes = self.sizes
        return math.prod(1 + sum(c * (sizes[d] - 1) for c, d in rank) for rank in data_space.projection)


def _product(factors: Sequence[tuple[str, int]]) -> str:
    """``M · C = 4 · 3``, without what is 1."""
    shown = [(name, n) for name, n in factors if n != 1]
    return f"{' · '.join(name for name, _ in shown)} = {' · '.join(_power(n) for _, n in shown)}"


def _power(n: int) -> str:
    """An integer, or its order of magnitude where it is too long to be read."""
    return f"{n:,}" if n < 10**20 else f"more than 2^{n.bit_length() - 1}"


def _check(what: str, count: int) -> None:
    if count > MAX_COUNT:
        raise HwsimError(f"{what} comes to {_power(count)}; hwsim counts up to 2^62 = {MAX_COUNT:,}.")


def _ranks(*names: str) -> tuple[tuple[tuple[int, str], ...], ...]:
    return tuple(((1, n),) for n in names)


@dataclass(frozen=True)
class _Axis:
    """One spatial axis of a convolution: its filter and position dimensions, stride and dilation."""

    filter: str
    position: str
    stride: int = 1
    dilation: int = 1

    @property
    def window(self) -> tuple[tuple[int, str], ...]:
        """The rank on which the filter slides."""
        return ((self.dilation, self.filter), (self.stride, self.position))


def _image(wstride: int, hstride: int, wdilation: int, hdilation: int) -> tuple[_Axis, _Axis]:
    """The two axes of an image: width, height."""
    return _Axis("R", "P", wstride, wdilation), _Axis("S", "Q", hstride, hdilation)


def _convolution(
    sizes: Mapping[str, int], channels: str, axes: tuple[_Axis, ...], *, grouped: bool = False, transposed: bool = False
) -> Problem:
    """A convolution of any form over the given spatial axes, width first.

    Forward, the filter slides over the inputs and the positions are those of the
    outputs; transposed, it slides over the outputs and the positions are those of
    the inputs, so that the iteration space is exactly the multiplications done.
    ``channels``: the channel dimensions, ``CM``, ``C`` (depthwise) or ``GCM``.
    """
    group = ("G",) if grouped else ()
    filters = tuple(a.filter for a in axes)
    positions = tuple(a.position for a in axes)
    produced = "M" if "M" in channels else "C"
    windows = tuple(a.window for a in axes)
    if transposed:
        inputs = _ranks("N", *group, "C", *positions)
        outputs = _ranks("N", *group, produced) + tuple(reversed(windows))
    else:
        inputs = _ranks("N", *group, "C") + windows
        outputs = _ranks("N", *group, produced, *reversed(positions))
    kind = {"CM": "conv", "C": "depthwise", "GCM": "grouped_conv"}[channels]
    kind += ("_3d" if len(axes) == 3 else "") + ("_transpose" if transposed else "")
    return Problem(
        kind,
        tuple((d, int(sizes.get(d, 1))) for d in (*channels, *filters, "N", *positions)),
        (
            DataSpace("Weights", _ranks(*channels, *filters)),
            DataSpace("Inputs", inputs),
            DataSpace("Outputs", outputs, read_write=True),
        ),
    )


def conv(
    sizes: Mapping[str, int], *, wstride: int = 1, hstride: int = 1, wdilation: int = 1, hdilation: int = 1
) -> Problem:
    """Dense 2-D convolution with dimensions C M R S N P Q (missing ones are 1).

    Weights ``C·M·R·S``; Inputs ``N·C·(R·wdilation + P·wstride)·(S·hdilation + Q·hstride)``;
    Outputs ``N·M·Q·P``. Timeloop's ``cnn_layer`` shape: R slides along P, S along Q.
    R and P are the width, S and Q the height; a 1-D convolution has R and P alone.
    """
    return _convolution(sizes, "CM", _image(wstride, hstride, wdilation, hdilation))


def depthwise(
    sizes: Mapping[str, int], *, wstride: int = 1, hstride: int = 1, wdilation: int = 1, hdilation: int = 1
) -> Problem:
    """Depthwise convolution with dimensions C R S N P Q: each channel has its own filter.

    Weights ``C·R·S``; Inputs as in `conv`; Outputs ``N·C·Q·P``.
    """
    return _convolution(sizes, "C", _image(wstride, hstride, wdilation, hdilation))


def grouped_conv(
    sizes: Mapping[str, int], *, wstride: int = 1, hstride: int = 1, wdilation: int = 1, hdilation: int = 1
) -> Problem:
    """Grouped convolution with dimensions G C M R S N P Q; C and M are channels *per group*.

    Weights ``G·C·M·R·S``; Inputs ``N·G·C·(window of R, P)·(window of S, Q)``; Outputs ``N·G·M·Q·P``.
    """
    return _convolution(sizes, "GCM", _image(wstride, hstride, wdilation, hdilation), grouped=True)


def convolution(
    sizes: Mapping[str, int],
    *,
    strides: Sequence[int],
    dilations: Sequence[int],
    depthwise: bool = False,
    transposed: bool = False,
) -> Problem:
    """Convolution of any form: 1-D to 3-D, dense, depthwise or grouped, forward or transposed.

    Args:
        sizes: dimension sizes as in `conv`; G makes it grouped. With three axes the
            filter's depth is T and the depth position D, after ``R S`` and ``P Q``.
        strides / dilations: per spatial axis, width first, then height, then depth.
        depthwise: one filter per channel C, no M.
        transposed: P, Q and D are *input* positions, and the output ranks are
            ``position·stride + filter·dilation``. MACs: input positions × filter × C × M
            (per group), what `torch.utils.flop_counter` counts.
    """
    names = (("R", "P"), ("S", "Q"), ("T", "D"))
    count = max(2, len(strides))
    pad = (1,) * (count - len(strides))
    steps = zip(names, (*strides, *pad), (*dilations, *pad), strict=False)
    axes = tuple(_Axis(f, p, stride, dilation) for (f, p), stride, dilation in steps)
    channels = "C" if depthwise else "GCM" if "G" in sizes else "CM"
    return _convolution(sizes, channels, axes, grouped=channels == "GCM", transposed=transposed)


def matmul(sizes: Mapping[str, int]) -> Problem:
    """Batched matrix product with dimensions B M C P: ``Outputs[B,P,M] += Inputs[B,P,C]·Weights[B,C,M]``."""
    return Problem(
        "matmul",
        tuple((d, int(sizes.get(d, 1))) for d in "BMCP"),
        (
            DataSpace("Weights", _ranks("B", "C", "M")),
            DataSpace("Inputs", _ranks("B", "P", "C")),
            DataSpace("Outputs", _ranks("B", "P", "M"), read_write=True),
        ),
    )
