"""What a design takes whatever runs on it: area, and memory on the chip."""

from __future__ import annotations

from hwsim.architecture import Architecture
from hwsim.energy import EnergyTable


def area_um2(architecture: Architecture, energy: EnergyTable) -> tuple[float, tuple[str, ...]]:
    """Area of all instances of all components in µm², and the components whose area is not known (off-chip memory)."""
    names = [level.name for level in architecture.storages] + [architecture.compute.name]
    known = energy.area_um2
    total = sum(known[n] * architecture.instances(n) for n in names if n in known)
    return total, tuple(n for n in names if n not in known)


def on_chip_bytes(architecture: Architecture) -> float:
    """Bytes that all memories on the chip hold: every instance of every storage of bounded depth that is no DRAM."""
    memories = [x for x in architecture.storages if x.depth is not None and "dram" not in x.component.lower()]
    return sum(x.depth * x.width * architecture.instances(x.name) for x in memories if x.depth is not None) / 8
