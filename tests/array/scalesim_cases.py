"""What SCALE-Sim reports for three layers on two arrays, and how its figures come about.

SCALE-Sim 3.0.0 (PyPI `scalesim`), weight-stationary, interface bandwidth CALC (memories never stall the reads). Read
from its installed code, in our words:

- A layer is ⌈K / R⌉ · ⌈N / C⌉ folds, each as long as one of a full array: R cycles of weights, the skew of R − 1, the
  tokens T, the skew of C − 1: 2·R + C + T − 2, whatever part of the array the fold uses.
- ``Total Cycles`` is the number of the last cycle in which the array writes, counted from 0: one less than the cycles.
- ``Total Cycles (incl. prefetch)`` adds what it fetches before the first cycle and writes to DRAM after the last. The
  buffers take in elements by the hundredth of their size, 10 words a cycle (a constant of the code): inputs and weights
  at the same time, so the slower counts. All sums, partial ones included, go out afterwards, C words a cycle; the first
  of these lines leaves in the last cycle. (It is so where inputs and weights fit half their buffers, and the sums half
  theirs; the figures here are of such buffers.)
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from hwsim.array.systolic import MatrixProduct

FILE = Path(__file__).parents[1] / "reference" / "scalesim.json"
PREFETCH_WORDS = 10


@dataclass(frozen=True)
class Case:
    """A layer on an array.

    Attributes:
        input_words: distinct input words (for a convolution, of the padded image).
        cycles / cycles_with_prefetch / stalls: as SCALE-Sim reports them.
    """

    layer: str
    product: MatrixProduct
    input_words: int
    rows: int
    columns: int
    cycles: int
    cycles_with_prefetch: int
    stalls: int
    utilization_pct: float


def cases() -> list[Case]:
    """Everything in ``reference/scalesim.json``."""
    return [Case(product=MatrixProduct(**row.pop("product")), **row) for row in json.loads(FILE.read_text())["cases"]]


def buffers_kb() -> dict[str, int]:
    """Sizes of SCALE-Sim's buffers in these runs."""
    sizes: dict[str, int] = json.loads(FILE.read_text())["buffers_kb"]
    return sizes


def folds(product: MatrixProduct, rows: int, columns: int) -> int:
    """Parts that fit the array."""
    return math.ceil(product.reduction / rows) * math.ceil(product.outputs / columns)


def scalesim_cycles(product: MatrixProduct, rows: int, columns: int) -> int:
    """``Total Cycles``."""
    return folds(product, rows, columns) * (2 * rows + columns + product.tokens - 2) - 1


def scalesim_prefetch(words: int, buffer_kb: int) -> int:
    """Cycles before the first one, in which one buffer is filled."""
    hundredth = buffer_kb * 1024 // 100
    return math.ceil(math.ceil(words / hundredth) * hundredth / PREFETCH_WORDS)


def scalesim_write_back(product: MatrixProduct, rows: int, columns: int) -> int:
    """Cycles after the last one, in which sums go to DRAM."""
    sums = product.tokens * product.outputs * math.ceil(product.reduction / rows)
    return math.ceil(sums / columns) - 1
