"""What values a parameter can take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Value = int | float | str | bool


@dataclass(frozen=True)
class Domain:
    """The values of one parameter: a sequence, or all numbers of an interval.

    Attributes:
        values: in order; None where the parameter is continuous.
        low / high: ends of a continuous one.
        log: samplers spread over its logarithm.
        ordered: neighbours in the sequence are alike (numbers, not words).
    """

    name: str
    values: Sequence[Value] | None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    ordered: bool = True

    @property
    def size(self) -> float:
        """How many values there are."""
        return math.inf if self.values is None else len(self.values)

    @property
    def indexed(self) -> bool:
        """Samplers see the value's place in the sequence, not the value itself."""
        return self.values is not None and not (self.log and isinstance(self.values, range))

    def at(self, share: float) -> Value:
        """The value at a share 0 ≤ share < 1 of the domain."""
        if self.values is not None and self.indexed:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = (
            (self.low, self.high) if self.values is None else (float(self.values[0]), float(self.values[-1]) + 1)
        )
        number = low * (high / low) ** share if self.log else low + share * (high - low)
        return min(max(number, low), high) if self.values is None else min(int(number), int(self.values[-1]))
