"""From an ONNX operator with its tensors to a contraction with its operands, and from the result back to tensors.

The array multiplies and accumulates; padding is written into the operands beforehand, bias, scales and rounding follow
in numpy. Tensors are laid out as a problem's data spaces index them: spatial axes width first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]


@dataclass(frozen=True)
class Contraction:
    """What the array is to compute for one operator.

    Attributes:
        operands: data space (``Weights``, ``Inputs``) → tensor, an axis per rank.
        finish: from the result's tensor to the operator's output.
        floating: whether the operator computes with floating-point numbers.
    """

    operands: dict[str, Tensor]
    finish: Callable[[Tensor], Tensor]
    floating: bool


@dataclass(frozen=True)
class Call:
    """An operator about to be executed: its type, attributes, and tensors by slot (None where left out)."""

    op: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Tensor | None]
    first_is_weight: bool = False

    def tensor(self, slot: int) -> Tensor:
        """A required input."""
        value = self.inputs[slot]
        assert value is not None
        return value

    def optional(self, slot: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[slot] if slot < len(self.inputs) else None


def pack(weights: Tensor, inputs: Tensor, done: Callable[[Tensor], Tensor]) -> Contraction:
    """The contraction of two operands laid out as the problem's data spaces, in the array's number types."""
    floating = weights.dtype.kind == "f" or inputs.dtype.kind == "f"
    kind = np.float64 if floating else np.int64
    operands = {"Weights": np.ascontiguousarray(weights, kind), "Inputs": np.ascontiguousarray(inputs, kind)}
    return Contraction(operands, done, floating)


def centred(tensor: Tensor, zero: Tensor | None, axis: int | None = None) -> Tensor:
    """A quantized tensor less its zero point (one, or one per index of an axis)."""
    wide = tensor.astype(np.int64)
    if zero is None:
        return wide
    points = zero.astype(np.int64).reshape(-1)
    shape = [1] * tensor.ndim
    if points.size > 1 and axis is not None:
        shape[axis] = points.size
    centred: Tensor = wide - points.reshape(tuple(shape))
    return centred


def requantize(sums: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Sums times a scale (float32), rounded half to even, about the zero point, saturated to its type."""
    limits = np.iinfo(zero.dtype)
    scaled = np.rint(sums.astype(np.float32) * scale.astype(np.float32)).astype(np.float32)
    moved = scaled.astype(np.float64) + int(zero.reshape(-1)[0])
    return np.clip(moved, limits.min, limits.max).astype(zero.dtype)
