"""What a layer and a network cost: the results of the model, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwsim.errors import printable
from hwsim.mapping import Mapping
from hwsim.objective import Objective
from hwsim.shown import Shown
from hwsim.workloads.problem import Problem
from hwsim.workloads.workload import Unmapped, Workload


@dataclass(frozen=True)
class Illegal:
    """Why a mapping cannot run; a value, not an exception.

    Attributes:
        level: the level that rules it out (``""`` where no single one does).
        data_space: the data space that does not fit (``""`` for fan-outs and factors).
        reason: one sentence.
        needed / available: words, instances or loop bounds, as the reason says.
    """

    level: str
    data_space: str
    reason: str
    needed: float
    available: float


@dataclass(frozen=True)
class Fates:
    """What becomes of accesses or multiplications where zeros are taken notice of.

    Attributes:
        algorithmic: those of the dense problem.
        actual: that happen.
        gated: that do not happen, though their cycle passes.
        skipped: that do not happen, nor does their cycle. What is left is of zeros that no one asks for.
    """

    algorithmic: int
    actual: int
    gated: int
    skipped: int


Units = dict[str, tuple[int, int]]
"""Rank of a format, 0 being the lowest → units of metadata and of payload."""


@dataclass(frozen=True)
class SparseCost:
    """Traffic of one data space at one storage with its zeros, per instance.

    Attributes:
        capacity: elements that the fullest tile holds.
        instances_avg: instances that take part on average.
        format_capacity: what the fullest tile's format takes.
        format_reads / format_fills / format_updates: ``actual``, ``gated``, ``skipped`` → units moved.
    """

    capacity: int
    instances_avg: float
    reads: Fates
    fills: Fates
    updates: Fates
    temporal_reductions: int
    format_capacity: Units
    format_reads: dict[str, Units]
    format_fills: dict[str, Units]
    format_updates: dict[str, Units]


@dataclass(frozen=True)
class DataSpaceCost:
    """Traffic of one data space at one storage.

    Counts are per instance over the whole layer; ``energy_pj`` is of all instances together. They are whole numbers
    unless loops have residuals: then instances may differ, and counts, or the instances at work, are averages.

    Attributes:
        tile: elements of the data space in the level's partition (what one instance ever touches).
        capacity: elements held at a time.
        instances: instances in use.
        reads / fills / updates / temporal_reductions: words.
        link_transfers: words of ``reads`` and ``fills`` that pass between neighbours.
        sparse: where zeros are taken notice of; the counts beside it are then those that happen.
    """

    tile: float
    capacity: int
    instances: float
    reads: float
    fills: float
    updates: float
    temporal_reductions: float
    energy_pj: float
    link_transfers: float = 0
    sparse: SparseCost | None = None


@dataclass(frozen=True)
class LevelCost:
    """One level.

    Attributes:
        cycles: that the layer takes at this level's speed.
        throttling: share of full speed that its bandwidth allows.
        leakage_pj: of its instances in use.
    """

    name: str
    cycles: int
    throttling: float
    leakage_pj: float
    data_spaces: dict[str, DataSpaceCost]

    @property
    def energy_pj(self) -> float:
        """Accesses and leakage."""
        return self.leakage_pj + sum(d.energy_pj for d in self.data_spaces.values())


@dataclass(frozen=True)
class ComputeCost:
    """The datapath: ``computes`` in total, ``instances`` in use, energy of all; ``sparse`` as in `DataSpaceCost`."""

    name: str
    computes: int
    instances: int
    energy_pj: float
    sparse: Fates | None = None


@dataclass(frozen=True)
class Certificate:
    """How sure the mapper is.

    Attributes:
        objective: see `hwsim.objective.Objective`; ``edp`` (pJ·cycles), ``energy`` (pJ), ``latency`` (cycles) …
        value: of the mapping found, of the figure that decides.
        optimal: True where no legal mapping of the space is better, ties included.
        lower_bound: no mapping of the space has a smaller value.
        space_size: mappings in the space (distinct loop nests with keep choices), exact; 0 where it was not counted.
        evaluated: mappings (or partial mappings) priced one by one.
        argument: by what reasoning the rest was excluded.
        seconds: time the search took.
        tie: the figure that breaks ties, ``""`` if none does.
        tie_value / tie_bound: its value, and what no mapping with the same ``value`` undercuts.
    """

    objective: str
    value: float
    optimal: bool
    lower_bound: float
    space_size: int
    evaluated: int
    argument: str
    seconds: float
    tie: str = ""
    tie_value: float = 0.0
    tie_bound: float = 0.0

    @property
    def gap(self) -> float:
        """Share of the value, or of the figure that breaks its ties, that may still be gained; 0 where it is proved."""
        pairs = ((self.lower_bound, self.value), (self.tie_bound, self.tie_value))
        return 0.0 if self.optimal else max(1 - bound / value if value > 0 else 0.0 for bound, value in pairs)


@dataclass(frozen=True)
class LayerCost(Shown):
    """Cost of one problem under one mapping.

    Attributes:
        levels: storages and fan-outs, outermost first.
        cycles: of the slowest level.
        energy_pj: everything, leakage included.
        utilization: computes / (cycles × all compute instances of the design), 0–1.
    """

    problem: Problem
    mapping: Mapping
    levels: tuple[LevelCost, ...]
    compute: ComputeCost
    cycles: int
    energy_pj: float
    utilization: float
    certificate: Certificate | None = None

    def __repr__(self) -> str:
        return f"LayerCost({self.problem.kind}: {self.energy_pj * 1e-6:.4g} µJ, {self.cycles:,} cycles)"

    @property
    def edp(self) -> float:
        """Energy–delay product in pJ·cycles."""
        return self.energy_pj * self.cycles

    @property
    def energy_by_level_pj(self) -> dict[str, float]:
        """Level (and compute) name → pJ, leakage included, outermost first."""
        return {level.name: level.energy_pj for level in self.levels if level.energy_pj} | {
            self.compute.name: self.compute.energy_pj
        }


@dataclass(frozen=True)
class NetworkLayer(Shown):
    """One distinct problem of a network: every operator that computes it, and what one occurrence costs."""

    name: str
    op: str
    names: tuple[str, ...]
    count: int
    cost: LayerCost

    def __repr__(self) -> str:
        return printable(f"NetworkLayer({self.name}, {self.op}, ×{self.count}: {self.cost!r})")


@dataclass(frozen=True)
class NetworkCost(Shown):
    """What a network costs on an architecture.

    Totals count every occurrence of every layer; ``edp`` is total energy × total cycles.
    """

    model: str
    arch: str
    objective: Objective
    workload: Workload
    layers: tuple[NetworkLayer, ...]
    unmapped: tuple[Unmapped, ...]
    macs: int
    params: int
    cycles: int
    energy_pj: float
    utilization: float
    weight_bytes: int
    peak_activation_bytes: int
    peak_live_bytes: int
    peak_live_bytes_best_order: int | None
    cycle_seconds: float
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        figures = f"{self.energy_pj * 1e-6:.4g} µJ, {self.cycles:,} cycles"
        return printable(f"NetworkCost({self.model} on {self.arch}: {figures})")

    @property
    def edp_j_cycles(self) -> float:
        """Energy–delay product in J·cycles."""
        return self.energy_pj * 1e-12 * self.cycles

    @property
    def seconds(self) -> float:
        """Latency at the architecture's clock."""
        return self.cycles * self.cycle_seconds
