"""Quantize arrays to k bits and back: affine codes with one scale and zero point per array.

code = round(value / scale) + zero_point, value ≈ (code − zero_point) · scale, as in Jacob et al. 2018
(arXiv 1712.05877), section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hwsim.errors import HwsimError

SCALE_BYTES = 4  # one float32
ZERO_POINT_BYTES = 1  # one code
Rounding = Literal["nearest", "stochastic"]


@dataclass(frozen=True)
class Quantized:
    """An array as codes.

    Attributes:
        codes: uint8, 0 … 2**bits − 1, in the array's shape.
        scale / zero_point / bits: of the code.
    """

    codes: NDArray[np.uint8]
    scale: float
    zero_point: int
    bits: int

    @property
    def bytes(self) -> int:
        """Stored size: codes packed without gaps, scale and zero point."""
        return (self.codes.size * self.bits + 7) // 8 + SCALE_BYTES + ZERO_POINT_BYTES


def quantize(
    values: NDArray[np.float32], bits: int = 8, rounding: Rounding = "nearest", rng: np.random.Generator | None = None
) -> Quantized:
    """Codes of an array.

    Args:
        values: any shape, finite.
        bits: 1 to 8.
        rounding: to the nearest code, ties to the even one; or stochastic: up with the probability of the
            remainder, so that the error is zero on average.
        rng: draws for stochastic rounding; required there.

    Raises:
        HwsimError: bits out of range, values not finite, or no generator for stochastic rounding.
    """
    if not 1 <= bits <= 8:
        raise HwsimError(f"expected 1 to 8 bits, found {bits}.", where="quantize")
    if not np.isfinite(values).all():
        raise HwsimError("the values are not all finite.", where="quantize")
    top = 2**bits - 1
    # zero is always inside the range, so that it has a code of its own
    low, high = (min(float(values.min()), 0.0), max(float(values.max()), 0.0)) if values.size else (0.0, 0.0)
    scale = (high - low) / top if high > low else 1.0
    zero_point = int(np.rint(-low / scale))
    position = values.astype(np.float64) / scale
    if rounding == "stochastic":
        if rng is None:
            raise HwsimError("stochastic rounding needs a random generator.", where="quantize")
        whole = np.floor(position)
        codes = whole + (rng.random(values.shape) < position - whole)
    else:
        codes = np.rint(position)
    return Quantized(np.clip(codes + zero_point, 0, top).astype(np.uint8), scale, zero_point, bits)


def dequantize(q: Quantized) -> NDArray[np.float32]:
    """The values that the codes stand for."""
    return ((q.codes.astype(np.float64) - q.zero_point) * q.scale).astype(np.float32)


@torch.no_grad()
def quantize_weights(
    model: nn.Module, bits: int, rounding: Rounding = "nearest", rng: np.random.Generator | None = None
) -> int:
    """Replace every parameter by its quantized value, in place; returns the bytes of codes, scales and zero points."""
    total = 0
    for parameter in model.parameters():
        q = quantize(parameter.numpy(), bits, rounding, rng)
        parameter.copy_(torch.from_numpy(dequantize(q)))
        total += q.bytes
    return total
