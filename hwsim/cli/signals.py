"""How SIGTERM and Ctrl-C end a command."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 1.0


@contextmanager
def signals_end() -> Iterator[None]:
    """SIGTERM leaves the block as an exit does (code 143), so that what is open is closed and removed.

    Python raises exceptions of signals anywhere, and compiled code that it was called from turns them into others or
    loses them; so what leaves the block after a signal is the signal's own, and after SIGTERM the process ends soon
    in any case.

    Raises:
        SystemExit: after SIGTERM.
        KeyboardInterrupt: after Ctrl-C.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            last = threading.Timer(GRACE_SECONDS, os._exit, (128 + number,))
            last.daemon = True
            last.start()
        raise _exception(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception:
        if received:
            raise _exception(received[-1]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exception(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
