"""Notes: what a file says and hwsim does not act on, where that changes no figure, or what it took for what.

Readers tell of it where they come across it; whoever asked for the reading collects them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MAX_NOTES = 100
_COLLECTED: ContextVar[list[str] | None] = ContextVar("notes", default=None)


def note(message: str, where: str = "") -> None:
    """Tell what the user should know of a file that is read all the same; the same note is told once."""
    notes = _COLLECTED.get()
    text = f"{where}: {message}" if where else message
    if notes is not None and text not in notes and len(notes) < MAX_NOTES:
        notes.append(text)


@contextmanager
def collected(*, quiet: bool = False) -> Iterator[list[str]]:
    """The notes of what is read inside; whoever collects around it has them, too, unless it is ``quiet``."""
    outer, own = _COLLECTED.get(), list[str]()
    token = _COLLECTED.set(own)
    try:
        yield own
    finally:
        _COLLECTED.reset(token)
        if outer is not None and not quiet:
            outer += [text for text in own if text not in outer]
