"""Rows as CSV that spreadsheets open without surprises, data as JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from hwsim.errors import visible

#: A table: the titles of its columns with their units, then its rows.
Rows = list[Sequence[object]]
#: Where a cell starts with one of these, spreadsheets take it for a formula (wide forms are those of Asian keyboards).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, a line each; numbers stay numbers, text stays text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(x) if isinstance(x, str) else x for x in row])
    return out.getvalue()


def json_text(data: Any) -> str:
    """Data as it goes into a file or onto stdout; characters that cannot be seen are escapes, as JSON has them."""
    text = json.dumps(data, indent=1, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = re.sub(r"[^\n -~]", lambda c: c[0] if c[0].isprintable() else json.dumps(c[0])[1:-1], text)
    return text + "\n"


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
