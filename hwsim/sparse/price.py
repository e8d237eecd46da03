"""What thinned traffic takes and costs: the same formulas as for dense traffic, for each fate and for metadata."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hwsim.architecture import Architecture, Storage
from hwsim.cost import Fates, Illegal, SparseCost, Units
from hwsim.counting import FILLS, READS, REDUCTIONS, UPDATES, accesses
from hwsim.energy import EnergyTable
from hwsim.kernel import FloatArray
from hwsim.sparsity import LevelSparsity
from hwsim.traffic import Computes, Metadata, Thinning, Traffic

_FATES = ("actual", "gated", "skipped")
_PRICES = {
    "actual": ((READS, "read"), (FILLS, "write"), (UPDATES, "update")),
    "gated": ((READS, "gated_read"), (UPDATES, "gated_update")),
    "skipped": ((READS, "skipped_read"), (UPDATES, "skipped_update")),
}
#: Rows of a metadata table and what they cost.
_METADATA_PRICES = {
    "actual": ((0, "metadata_read"), (1, "metadata_write"), (2, "metadata_update")),
    "gated": ((0, "gated_metadata_read"), (2, "gated_metadata_update")),
    "skipped": ((0, "skipped_metadata_read"), (2, "skipped_metadata_update")),
}


def metadata_faults(architecture: Architecture, traffic: Traffic) -> Iterator[Illegal]:
    """Storages whose metadata does not fit, outermost first."""
    assert traffic.thinning is not None
    for k, level in enumerate(architecture.levels):
        if not isinstance(level, Storage):
            continue
        sparse = architecture.sparsity.level(level.name)
        if sparse.metadata_depth is None:
            continue
        tables = {d: x for (at, d), x in traffic.thinning.metadata.items() if at == k}
        bits = {d: math.ceil(float((x.held * x.bits).sum())) for d, x in tables.items()}
        there = math.floor(sparse.metadata_depth * sparse.metadata_width / level.multiple_buffering)
        if sum(bits.values()) > there:
            largest = max(bits, key=lambda d: bits[d])
            reason = "the tiles' metadata, in bits, does not fit"
            yield Illegal(level.name, traffic.data_spaces[largest], reason, sum(bits.values()), there)


def moved(level: Storage, traffic: Traffic, thinning: Thinning, k: int, d: int) -> tuple[float, float]:
    """Words that one instance of a level reads and writes for a data space, metadata included.

    Where zeros leave instances without work, the others' words are spread over all.
    """
    words = traffic.actual[k, d] + traffic.gated[k, d]
    read, write = float(words[READS]), float(words[FILLS] + words[UPDATES])
    metadata = thinning.metadata.get((k, d))
    if metadata is not None:
        bits = ((metadata.actual + metadata.gated) * metadata.bits).sum(axis=(1, 2)) // level.datawidth
        read, write = read + float(bits[0]), write + float(bits[1] + bits[2])
    share = thinning.average[k, d] / traffic.instances[k]
    return float(math.ceil(read * share)), float(math.ceil(write * share))


def data_space_energy(
    level: Storage, sparse: LevelSparsity, traffic: Traffic, thinning: Thinning, place: tuple[int, int],
    energy: EnergyTable,
) -> float:  # fmt: skip
    """Energy in pJ of one instance's accesses, whatever their fate."""
    tables = dict(zip(_FATES, (traffic.actual, traffic.gated, traffic.skipped), strict=True))
    pj = 0.0
    for fate, columns in _PRICES.items():
        row = tables[fate][place]
        pj += sum(_cost(level, action, float(accesses(row[c], level.block_size)), energy) for c, action in columns)
    pj *= float(thinning.packing[place])
    pj += _cost(level, "decompression_count", float(thinning.decompressed[place]), energy)
    pj += _cost(level, "compression_count", float(thinning.compressed[place]), energy)
    metadata = thinning.metadata.get(place)
    if metadata is None:
        return pj
    for fate, rows in _METADATA_PRICES.items():
        table: FloatArray = getattr(metadata, fate)
        for m, action in rows:
            bits = float((table[m] * metadata.bits).sum())
            pj += _cost(level, action, float(math.ceil(bits / sparse.metadata_width)), energy)
    return pj


def _cost(level: Storage, action: str, times: float, energy: EnergyTable) -> float:
    """An action that does not happen needs no price."""
    return times * energy.price(level.name, action) if times > 0 else 0.0


def compute_energy(name: str, computes: Computes, energy: EnergyTable) -> float:
    """Energy in pJ of the multiplications."""
    pj = computes.actual * energy.price(name, "compute")
    for times, action in ((computes.gated, "gated_compute"), (computes.skipped, "skipped_compute")):
        pj += times * energy.price(name, action) if times > 0 else 0.0
    return pj


def sparse_cost(traffic: Traffic, thinning: Thinning, k: int, d: int) -> SparseCost:
    """One data space's counts at one level."""
    reads, fills, updates = (
        Fates(*(int(x[k, d, c]) for x in (thinning.dense, traffic.actual, traffic.gated, traffic.skipped)))
        for c in (READS, FILLS, UPDATES)
    )
    metadata = thinning.metadata.get((k, d))
    formats = [_moves(metadata, m) for m in range(3)]
    return SparseCost(
        capacity=traffic.held()[k][traffic.data_spaces[d]],
        instances_avg=float(thinning.average[k, d]),
        reads=reads,
        fills=fills,
        updates=updates,
        temporal_reductions=int(traffic.actual[k, d, REDUCTIONS]),
        format_capacity={} if metadata is None else _units(metadata.held),
        format_reads=formats[0],
        format_fills=formats[1],
        format_updates=formats[2],
    )


def _moves(metadata: Metadata | None, row: int) -> dict[str, Units]:
    return {} if metadata is None else {fate: _units(getattr(metadata, fate)[row]) for fate in _FATES}


def _units(table: FloatArray) -> Units:
    return {str(k): (int(a), int(b)) for k, (a, b) in enumerate(table.tolist())}
