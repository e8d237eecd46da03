"""The one exception a user's mistake raises, and how text that came from a file is shown; every room may import it."""

from __future__ import annotations

import difflib
import itertools
import re
import reprlib
from collections.abc import Iterable

FEW = 20
MOST_WORD = 200  # characters of a name without spaces that are shown
MOST_TEXT = 1200  # characters of a text that are shown
MOST_COMPARED = 5_000  # names among which the nearest is looked for


def shorten(name: str, length: int) -> str:
    """A name that fits: part of its first half is left out, since layers' names differ most at the end."""
    if len(name) <= length:
        return name
    head = (length - 1) // 3
    return f"{name[:head]}…{name[-(length - 1 - head) :]}"


def visible(text: str) -> str:
    """Text in which every character is one to be seen.

    Control characters, line ends, characters that reverse the direction of writing, and lone surrogates become
    escapes such as ``\\x1b``, so that text from a file can neither steer a terminal nor pass for another text.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable(text: object, length: int = MOST_TEXT) -> str:
    """Text from a file, as a terminal or a message shows it: `visible`, and not without end."""
    out = visible(str(text))
    if len(out) > MOST_WORD:
        out = re.sub(rf"\S{{{MOST_WORD + 1},}}", lambda word: shorten(word[0], MOST_WORD), out)
    return shorten(out, length)


def shown_value(value: object, length: int = 60) -> str:
    """A value in a message, as Python writes it; of long lists and deep ones the beginning."""
    brief = reprlib.Repr()
    brief.maxstring = brief.maxlong = brief.maxother = length
    try:
        text = brief.repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a number of thousands of digits"
    return printable(shorten(text, length))


class HwsimError(Exception):
    """A mistake in the user's input, told so that it can be mended; its text is `printable`.

    Attributes:
        where: file (and field path inside it), for example
            ``simple.yaml: architecture.nodes[2].attributes.depth``.
        message: what was found, what was expected, what to do.
    """

    def __init__(self, message: str, *, where: str = "") -> None:
        self.message = printable(message)
        self.where = printable(where)
        super().__init__(f"{self.where}: {self.message}" if where else self.message)


class NotPriced(HwsimError):
    """A component whose energy nobody knows; what it does can be counted all the same."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or the names where they are few."""
    names = sorted(set(known))
    looked_at = {x[:MOST_WORD]: x for x in itertools.islice(names, MOST_COMPARED)}
    near = difflib.get_close_matches(name[:MOST_WORD], looked_at, n=1, cutoff=0.5)
    if near:
        return f" Did you mean '{printable(looked_at[near[0]])}'?"
    return f" Known: {', '.join(map(printable, names))}." if 0 < len(names) <= FEW else ""
