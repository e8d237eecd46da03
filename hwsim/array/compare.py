"""The machine's counts and cycles beside the model's."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.array.run import Counted, Simulation
from hwsim.cost import LayerCost

COLUMNS = ("reads", "fills", "updates")


@dataclass(frozen=True)
class Count:
    """One count, all instances together: what the machine counted, what the model says, and what lies between.

    Attributes:
        lines: cause → words by which the machine's count is larger than the model's.
    """

    level: str
    data_space: str
    action: str
    machine: int
    model: int
    lines: dict[str, int]

    @property
    def explained(self) -> bool:
        """Whether the lines add up to the difference."""
        return self.machine == self.model + sum(self.lines.values())


@dataclass(frozen=True)
class CycleLines:
    """Cycles of the machine and of the model, ``machine = model + Σ lines``.

    Attributes:
        lines: ``start-up``, ``drain`` and ``stalls`` of the machine, and ``throttling``: what the model itself adds to
            the steps for bandwidth (negative).
    """

    machine: int
    model: int
    lines: dict[str, int]

    @property
    def explained(self) -> bool:
        """Whether the lines add up to the difference."""
        return self.machine == self.model + sum(self.lines.values())


def compare_counts(found: Simulation, cost: LayerCost) -> list[Count]:
    """Every count of every level and data space that either side has."""
    counted = {(c.level, c.data_space): c for c in found.counts}
    out = []
    for level in cost.levels:
        for name, space in level.data_spaces.items():
            machine = counted.pop((level.name, name))
            for action in COLUMNS:
                out.append(
                    Count(
                        level.name,
                        name,
                        action,
                        getattr(machine, action),
                        getattr(space, action) * space.instances,
                        _lines(machine, action),
                    )
                )
    out += [Count(c.level, c.data_space, a, getattr(c, a), 0, {}) for c in counted.values() for a in COLUMNS]
    return out


def _lines(machine: Counted, action: str) -> dict[str, int]:
    named = {name: getattr(line, action) for name, line in machine.lines.items()}
    return {name: words for name, words in named.items() if words}


def compare_cycles(found: Simulation, cost: LayerCost) -> CycleLines:
    """Cycles, with what the machine takes more and what the model allows for."""
    c = found.cycles
    lines = {"start-up": c.start_up, "stalls": c.stalls, "drain": c.drain, "throttling": c.compute - cost.cycles}
    return CycleLines(c.total, cost.cycles, {name: cycles for name, cycles in lines.items() if cycles})
