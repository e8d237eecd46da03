"""Numbers as the hardware has them: widths of operands and sums, and what happens where a sum does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture
from hwsim.errors import HwsimError

# What the adders do, as the kernels know it.
EXACT, WRAP, SATURATE = range(3)

#: The widest sum that the simulator itself can hold.
WORD_BITS = 63


class Overflow(StrEnum):
    """What an adder does with a sum that it cannot hold.

    ``exact``: nothing is declared: sums are exact, and how wide they grew is reported.
    """

    exact = "exact"
    wrap = "wrap"
    saturate = "saturate"
    error = "error"


class Adder(NamedTuple):
    """The adder as the kernels know it."""

    mode: int  # `EXACT`, `WRAP` or `SATURATE`
    low: int  # smallest sum
    high: int  # largest sum


@dataclass(frozen=True)
class Arithmetic:
    """How the array multiplies and adds.

    Attributes:
        floating: float64 for comparison with frameworks; the widths play no part then.
        operand_bits / sum_bits: widths of the multiplier's operands and of the adder, None where not declared.
        overflow: what the adder does with a sum that does not fit.
    """

    floating: bool
    operand_bits: int | None = None
    sum_bits: int | None = None
    overflow: Overflow = Overflow.exact

    @property
    def mode(self) -> int:
        """The adder as the kernels know it; one that must not overflow is exact, for it is checked before the run."""
        return {Overflow.wrap: WRAP, Overflow.saturate: SATURATE}.get(self.overflow, EXACT)

    @property
    def dtype(self) -> npt.DTypeLike:
        """Type of a word in the simulator."""
        return np.float64 if self.floating else np.int64

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest sum."""
        bits = self.sum_bits or WORD_BITS
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    @property
    def adder(self) -> Adder:
        """The adder for a kernel."""
        return Adder(self.mode, *self.limits)


def arithmetic(architecture: Architecture, *, floating: bool) -> Arithmetic:
    """The arithmetic that an architecture declares.

    ``multiplier_width`` (or ``datawidth``) and ``adder_width`` of the compute unit are the widths, ``overflow`` is
    one of ``wrap``, ``saturate``, ``error``; without it sums are exact.

    Raises:
        HwsimError: a width or ``overflow`` is none.
    """
    unit = architecture.compute
    where = f"{architecture.source or architecture.name}: {unit.name}"

    def width(*names: str) -> int | None:
        for name in names:
            value = unit.attributes.get(name)
            if value is not None:
                if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= WORD_BITS:
                    raise HwsimError(
                        f"expected a width of 1 to {WORD_BITS} bits, found {value!r}.", where=f"{where}.{name}"
                    )
                return int(value)
        return None

    declared = unit.attributes.get("overflow", "exact")
    if declared not in tuple(Overflow):
        raise HwsimError(f"expected one of {', '.join(Overflow)}, found {declared!r}.", where=f"{where}.overflow")
    overflow = Overflow(declared)
    bits = width("adder_width")
    if overflow is not Overflow.exact and bits is None and not floating:
        raise HwsimError("'overflow' is declared, but no adder_width.", where=where)
    return Arithmetic(floating, width("multiplier_width", "datawidth"), bits, overflow)


def bits_needed(low: int, high: int) -> int:
    """Bits of a two's complement number that holds everything from ``low`` to ``high``."""
    return max(int(high).bit_length(), int(-low - 1).bit_length() if low < 0 else 0) + 1


def refuse_operands(how: Arithmetic, name: str, operand: npt.NDArray[Any], where: str) -> None:
    """Refuse an operand that the multiplier cannot take: neither signed nor unsigned.

    Raises:
        HwsimError: a value does not fit.
    """
    if how.floating or how.operand_bits is None or not operand.size:
        return
    low, high = int(operand.min()), int(operand.max())
    fits_signed = -(1 << (how.operand_bits - 1)) <= low and high < 1 << (how.operand_bits - 1)
    fits_unsigned = low >= 0 and high < 1 << how.operand_bits
    if not (fits_signed or fits_unsigned):
        raise HwsimError(
            f"{name} run from {low} to {high}, which {how.operand_bits}-bit multipliers cannot take; "
            "use --set on multiplier_width.",
            where=where,
        )
