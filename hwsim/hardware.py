"""`Design`: an architecture with its prices, and what it takes whatever runs on it."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.architecture import Architecture
from hwsim.energy import EnergyTable


@dataclass(frozen=True)
class Design:
    """An architecture and what its actions cost."""

    architecture: Architecture
    energy: EnergyTable

    def __repr__(self) -> str:
        return f"Design({self.name}, prices of {self.prices})"

    @property
    def name(self) -> str:
        """The architecture's."""
        return self.architecture.name

    @property
    def prices(self) -> str:
        """Where the prices come from: a table, or hwsim's estimates."""
        return self.energy.name

    @property
    def instead_of(self) -> str:
        """The given table that the prices, which are estimates, stand in for; "" if there is none."""
        return self.energy.instead_of

    @property
    def components(self) -> tuple[str, ...]:
        """What takes area: storages, outermost first, and the compute unit."""
        return (*(level.name for level in self.architecture.storages), self.architecture.compute.name)

    @property
    def area_um2(self) -> float:
        """Area of all instances of all components whose area is known, in µm²."""
        known = self.energy.area_um2
        return sum(known[n] * self.architecture.instances(n) for n in self.components if n in known)

    @property
    def no_area(self) -> tuple[str, ...]:
        """The components whose area is not known (off-chip memory)."""
        return tuple(n for n in self.components if n not in self.energy.area_um2)

    @property
    def on_chip_bytes(self) -> float:
        """Bytes that all memories on the chip hold: every instance of every storage of bounded depth on the chip."""
        memories = (x for x in self.architecture.storages if not x.off_chip)
        return sum((x.depth or 0) * x.width * self.architecture.instances(x.name) for x in memories) / 8

    @property
    def compute_instances(self) -> int:
        """Multiply-accumulate units."""
        return self.architecture.compute_instances
