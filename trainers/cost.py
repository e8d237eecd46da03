"""What a recipe may ask about a network's cost; the command line brings the answers, trainers need no simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Figures:
    """Cost of one network.

    Attributes:
        energy_pj / cycles / macs / params: of one inference.
        peak_activation_bytes: largest input plus output of a layer.
        matrix_products: two-dimensional matrix products of one inference, each head of an attention counted.
    """

    energy_pj: float
    cycles: int
    macs: int
    params: int
    peak_activation_bytes: int
    matrix_products: int


class Cost(Protocol):
    """Cost of an ONNX file on an architecture, with words of another width where asked for."""

    @property
    def arch(self) -> str:
        """Name of the architecture."""

    def __call__(self, file: Path, bits: int | None = None) -> Figures:
        """Figures of one file."""
