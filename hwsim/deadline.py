"""When to stop: one clock for the search, networks and explorations."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from hwsim.errors import HwsimError


class OutOfTime(Exception):
    """The time is up; what was found so far counts."""


@dataclass(frozen=True)
class Deadline:
    """A point of time.

    Attributes:
        at: in seconds of `time.monotonic`; infinite: never.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline in so many seconds; None: never.

        Raises:
            HwsimError: the time limit is negative or no number.
        """
        if seconds is None:
            return cls()
        if not seconds >= 0:
            raise HwsimError(f"a time limit should be 0 seconds or more, found {seconds:g}.", where="time limit")
        return cls(time.monotonic() + seconds)

    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.at

    def check(self) -> None:
        """Raise OutOfTime if the time is up."""
        if self.late():
            raise OutOfTime

    def left(self) -> float | None:
        """Seconds that are left, 0 at least; None: for ever."""
        return None if math.isinf(self.at) else max(0.0, self.at - time.monotonic())

    def share(self, of: int) -> Deadline:
        """The deadline of the next one of so many that are to have the same time each."""
        left = self.left()
        return self if left is None else Deadline(time.monotonic() + left / of)


NEVER = Deadline()
