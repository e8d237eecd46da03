"""`Problem`: one tensor contraction (an Einsum with affine projections)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


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
        kind: ``conv``, ``depthwise``, ``grouped_conv``, ``matmul`` or ``custom``.
        dims: (name, size) pairs in the problem's own order. Two problems are equal
            (and mapped once) when kind, dims and data spaces are equal.
        data_spaces: operands; exactly one is read_write.
    """

    kind: str
    dims: tuple[tuple[str, int], ...]
    data_spaces: tuple[DataSpace, ...]

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


def _ranks(*names: str) -> tuple[tuple[tuple[int, str], ...], ...]:
    return tuple(((1, n),) for n in names)


def conv(
    sizes: Mapping[str, int], *, wstride: int = 1, hstride: int = 1, wdilation: int = 1, hdilation: int = 1
) -> Problem:
    """Dense 2-D convolution with dimensions C M R S N P Q (missing ones are 1).

    Weights ``C·M·R·S``; Inputs ``N·C·(R·wdilation + P·wstride)·(S·hdilation + Q·hstride)``;
    Outputs ``N·M·Q·P``. Timeloop's ``cnn_layer`` shape: R slides along P, S along Q.
    """
    window = (((wdilation, "R"), (wstride, "P")), ((hdilation, "S"), (hstride, "Q")))
    return Problem(
        "conv",
        tuple((d, int(sizes.get(d, 1))) for d in "CMRSNPQ"),
        (
            DataSpace("Weights", _ranks("C", "M", "R", "S")),
            DataSpace("Inputs", _ranks("N", "C") + window),
            DataSpace("Outputs", _ranks("N", "M", "Q", "P"), read_write=True),
        ),
    )


def depthwise(
    sizes: Mapping[str, int], *, wstride: int = 1, hstride: int = 1, wdilation: int = 1, hdilation: int = 1
) -> Problem:
    """Depthwise convolution with dimensions C R S N P Q: each channel has its own filter.

    Weights ``C·R·S``; Inputs as in `conv`; Outputs ``N·C·Q·P``.
    """
    window = (((wdilation, "R"), (wstride, "P")), ((hdilation, "S"), (hstride, "Q")))
    return Problem(
        "depthwise",
        tuple((d, int(sizes.get(d, 1))) for d in "CRSNPQ"),
        (
            DataSpace("Weights", _ranks("C", "R", "S")),
            DataSpace("Inputs", _ranks("N", "C") + window),
            DataSpace("Outputs", _ranks("N", "C", "Q", "P"), read_write=True),
        ),
    )


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
