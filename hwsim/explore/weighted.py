"""Several networks as one, by their weights: what figures of an explored design are computed of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from hwsim.cost import NetworkCost, NetworkLayer
from hwsim.hardware import Design
from hwsim.workloads.memory import peak_activation_bytes
from hwsim.workloads.workload import Workload


@dataclass(frozen=True)
class Networks:
    """What is known before anything is mapped: sums, of which ``macs`` is weighted; the peak of the model that has the
    highest; the weighted mean of the accuracies, None where one is not known."""

    workloads: Sequence[Workload]
    weights: Sequence[float]
    accuracies: Sequence[Decimal | None]

    @property
    def macs(self) -> float:
        """Multiply-accumulates of one inference of each, weighted."""
        return sum(w * x.macs for w, x in zip(self.weights, self.workloads, strict=True))

    @property
    def params(self) -> int:
        """Parameters of all."""
        return sum(x.params for x in self.workloads)

    @property
    def weight_bytes(self) -> int:
        """Weights of all, as stored."""
        return sum(x.weight_bytes for x in self.workloads)

    @property
    def peak_activation_bytes(self) -> int:
        """The largest input plus output of any layer."""
        return max(peak_activation_bytes(x) for x in self.workloads)

    @property
    def accuracy(self) -> float | None:
        """The weighted mean."""
        known = [w * float(a) for w, a in zip(self.weights, self.accuracies, strict=True) if a is not None]
        return sum(known) / sum(self.weights) if len(known) == len(self.weights) else None


@dataclass(frozen=True)
class Costs(Networks):
    """What networks cost on a design: sums weighted, ``edp`` the product of the two sums.

    Attributes:
        points: by the space's rubric, the weighted mean; None where it names none.
    """

    costs: Sequence[NetworkCost]
    design: Design
    points: float | None = None

    def _sum(self, values: Sequence[float]) -> float:
        return sum(w * x for w, x in zip(self.weights, values, strict=True))

    @cached_property
    def energy_pj(self) -> float:
        """Of one inference of each."""
        return self._sum([x.energy_pj for x in self.costs])

    @cached_property
    def cycles(self) -> float:
        """Of one inference of each."""
        return self._sum([x.cycles for x in self.costs])

    @property
    def cycle_seconds(self) -> float:
        """The design's."""
        return self.design.architecture.cycle_seconds

    @property
    def seconds(self) -> float:
        """Latency at the design's clock."""
        return self.cycles * self.cycle_seconds

    @property
    def edp_j_cycles(self) -> float:
        """Energy–delay product in J·cycles."""
        return self.energy_pj * 1e-12 * self.cycles

    @property
    def utilization(self) -> float:
        """Multiply-accumulates / (cycles × compute instances)."""
        macs = self._sum([x.macs for x in self.costs])
        return macs / (self.cycles * self.design.compute_instances) if self.cycles else 0.0

    @property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """The layers of all."""
        return tuple(layer for cost in self.costs for layer in cost.layers)
