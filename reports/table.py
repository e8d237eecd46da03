"""Tables as CSV that spreadsheets open without surprises."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from hwsim.errors import visible

#: Where a cell starts with one of these, spreadsheets take it for a formula (wide forms are those of Asian keyboards).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, a line each; numbers stay numbers, text stays text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(x) if isinstance(x, str) else x for x in row])
    return out.getvalue()


def _cell(text: str) -> str:
    """Text that is no formula: an apostrophe in front says so; characters that cannot be seen are escapes."""
    if text.startswith(FORMULA) and not _is_number(text):
        text = f"'{text}"
    return visible(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
