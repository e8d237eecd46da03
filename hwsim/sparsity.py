"""What zeros a tensor has, and what a design makes of them: types only (see ``docs/sparsity.md``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Distribution = Literal["fixed_structured", "hypergeometric", "banded"]
RankFormat = Literal["UOP", "CP", "B", "RLE", "UB"]
#: Formats that store nothing for what is zero.
COMPRESSED: frozenset[str] = frozenset({"CP", "B", "RLE"})


@dataclass(frozen=True)
class Density:
    """How the nonzeros of a tensor are spread.

    Attributes:
        distribution: ``fixed_structured``: every tile has its share; ``hypergeometric``: they lie anywhere, each place
            as likely as another; ``banded``: around the diagonal of a square matrix.
        density: share of nonzeros, 0–1; of a band it follows.
        band_width: ``banded`` only: nonzeros have ``|row − column| ≤ band_width``.
    """

    distribution: Distribution = "fixed_structured"
    density: float = 1.0
    band_width: int = 0


@dataclass(frozen=True)
class Rank:
    """One rank of a representation format.

    Attributes:
        format: how its fibers are written.
        flattened: lists of dimensions whose consecutive loops the rank takes together; none: one loop.
        metadata_bits / payload_bits: bits of a unit.
    """

    format: RankFormat
    flattened: tuple[tuple[str, ...], ...]
    metadata_bits: int
    payload_bits: int


@dataclass(frozen=True)
class Format:
    """How a level writes the tiles of a data space: ranks, top first.

    Attributes:
        inner_to_outer: ranks take loops from the lowest rank and the innermost loop on, not from the top.
    """

    ranks: tuple[Rank, ...]
    inner_to_outer: bool = False

    @property
    def compressed(self) -> bool:
        """Whether any rank leaves zeros out."""
        return any(rank.format in COMPRESSED for rank in self.ranks)


@dataclass(frozen=True)
class Saving:
    """``target`` need not be accessed where what it meets of all ``conditions`` is zero."""

    target: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class ActionOptimization:
    """Accesses that are gated (their cycle passes) or skipped (it does not): the best of the options."""

    kind: Literal["gating", "skipping"]
    options: tuple[Saving, ...]


@dataclass(frozen=True)
class LevelSparsity:
    """What one storage does.

    Attributes:
        formats: (data space, format).
        metadata_width: bits of one access of its metadata.
        metadata_depth: rows of that width; None is unbounded.
        metadata_datawidth: bits of a unit of metadata, where a rank says nothing.
    """

    formats: tuple[tuple[str, Format], ...] = ()
    actions: tuple[ActionOptimization, ...] = ()
    metadata_width: int = 0
    metadata_depth: int | None = None
    metadata_datawidth: int = 0

    def format(self, data_space: str) -> Format | None:
        """How the data space is written; None where its tiles are plain."""
        return dict(self.formats).get(data_space)


@dataclass(frozen=True)
class Sparsity:
    """What a design does about zeros: storage → `LevelSparsity`, and what the datapath does.

    Attributes:
        compute: ``gating``, ``skipping``: of multiplications by zero.
    """

    levels: tuple[tuple[str, LevelSparsity], ...] = ()
    compute: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.compute) or any(level.formats or level.actions for _, level in self.levels)

    def level(self, name: str) -> LevelSparsity:
        """What the storage of that name does."""
        return dict(self.levels).get(name, LevelSparsity())


#: A design that takes no notice of zeros.
DENSE = Sparsity()
