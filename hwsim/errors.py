"""The one exception a user's mistake raises; every room may import it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

FEW = 20


class HwsimError(Exception):
    """A mistake in the user's input, told so that it can be mended.

    Attributes:
        where: file (and field path inside it), for example
            ``simple.yaml: architecture.nodes[2].attributes.depth``.
        message: what was found, what was expected, what to do.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        self.message = message
        self.where = where
        super().__init__(f"{where}: {message}" if where else message)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or the names where they are few."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" Known: {', '.join(names)}." if 0 < len(names) <= FEW else ""
