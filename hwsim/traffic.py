"""`Traffic`: how often every data space is accessed at every level, before anything has a price."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hwsim.counting import CAPACITY
from hwsim.kernel import FloatArray


@dataclass(frozen=True)
class Computes:
    """Multiply-accumulates of all instances: executed, idle for their cycle, and left out with their cycle."""

    actual: float
    gated: float = 0.0
    skipped: float = 0.0


@dataclass(frozen=True)
class Metadata:
    """What the representation format of a tile takes and moves at one level, per instance; the lowest rank first.

    Attributes:
        bits: (ranks, 2) bits of a unit of metadata and of a unit of payload.
        held: (ranks, 2) units that the fullest tile takes.
        actual / gated / skipped: (3, ranks, 2) units that reads, fills and updates move.
    """

    bits: FloatArray
    held: FloatArray
    actual: FloatArray
    gated: FloatArray
    skipped: FloatArray


@dataclass(frozen=True)
class Thinning:
    """What zeros and formats change beside the counts, per level and data space.

    Attributes:
        dense: (levels, data spaces, COLUMNS) the counts of the same nest without zeros.
        average: (levels, data spaces) instances that take part on average: some get nothing but zeros.
        packing: (levels, data spaces) accesses of a compressed tile over those of one whose blocks are all full.
        decompressed / compressed: (levels, data spaces) words that pass such a unit.
        metadata: (level, data space) → what its format adds.
    """

    dense: FloatArray
    average: FloatArray
    packing: FloatArray
    decompressed: FloatArray
    compressed: FloatArray
    metadata: dict[tuple[int, int], Metadata]


@dataclass(frozen=True)
class Traffic:
    """Counts of a nest, per instance over the whole run; the columns are those of `hwsim.counting`.

    Attributes:
        data_spaces: their names, in the order of the tables.
        cycles: that the datapath takes at full speed.
        instances: (levels + 1) in use, the last those of the datapath; on average over the run where rounds differ.
        computes: what becomes of the multiply-accumulates.
        actual / gated / skipped: (levels, data spaces, COLUMNS) what happens, what costs its cycle alone, and what is
            left out with its cycle. A dense nest gates and skips nothing. Rows of levels that do not keep the data
            space are 0.
        thinning: None in a dense nest.
    """

    data_spaces: tuple[str, ...]
    cycles: int
    instances: tuple[float, ...]
    computes: Computes
    actual: FloatArray
    gated: FloatArray
    skipped: FloatArray
    thinning: Thinning | None = field(default=None)

    @classmethod
    def dense(
        cls, data_spaces: tuple[str, ...], cycles: int, instances: tuple[float, ...], macs: int, counts: FloatArray
    ) -> Traffic:
        """The traffic of a nest that takes no notice of zeros."""
        nothing = np.zeros(counts.shape)
        return cls(data_spaces, cycles, instances, Computes(macs), counts, nothing, nothing)

    def held(self) -> list[dict[str, int]]:
        """Per level: elements of each data space that one instance holds at a time."""
        table = self.actual[:, :, CAPACITY].tolist()
        return [dict(zip(self.data_spaces, map(int, row), strict=True)) for row in table]

    def powered(self, level: int) -> float:
        """Instances of a level that are in use, and so leak; where zeros leave some without work, on average."""
        if self.thinning is None or level >= len(self.thinning.average):
            return self.instances[level]
        return max(1.0, float(self.thinning.average[level].max()))
