"""What accesses cost: blocks, energy, and the speed that bandwidth allows."""

from __future__ import annotations

import numpy as np

from hwsim.counting.nest import FILLS, READS, UPDATES
from hwsim.kernel import FloatArray, kernel


@kernel(forceinline=True)
def accesses(words: float, block: float) -> float:
    """``⌈words / block⌉`` of a whole number of words; none, or fewer than none, need no access.

    Exact below 2^53 words: the nearest quotient of two whole numbers lies on the same side of every whole number.
    """
    return np.ceil(words / block) if words > 0.0 else 0.0


@kernel(forceinline=True)
def access_energy(words: float, block: float, price: float) -> float:
    """Energy in pJ of the accesses for so many words; 0 where there are none, though the price be unknown (NaN)."""
    return accesses(words, block) * price if words > 0.0 else 0.0


@kernel()
def row_energy(row: FloatArray, block: float, read: float, write: float, update: float) -> float:
    """Energy in pJ of one instance's counts: ``Σ ⌈words / block⌉ · price`` over reads, fills and updates.

    A price that is not known is NaN, and so is then the energy, unless the action never happens.
    """
    pj = access_energy(row[READS], block, read) + access_energy(row[FILLS], block, write)
    return pj + access_energy(row[UPDATES], block, update)


@kernel()
def speed(read: float, write: float, read_limit: float, write_limit: float, shared_limit: float) -> float:
    """Share of full speed that a storage's bandwidth allows, from words per cycle at full speed (inf: no limit)."""
    s = 1.0
    if read_limit < read:
        s = min(s, read_limit / read)
    if write_limit < write:
        s = min(s, write_limit / write)
    if shared_limit < read + write:
        s = min(s, shared_limit / (read + write))
    return s


@kernel(forceinline=True)
def transfer_cycles(reads: float, writes: float, read_limit: float, write_limit: float, shared_limit: float) -> float:
    """Cycles, in fractions, that a storage takes for so many words; as `speed`, but without rounding."""
    return max(reads / read_limit, writes / write_limit, (reads + writes) / shared_limit)
