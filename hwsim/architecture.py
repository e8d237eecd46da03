"""`Architecture`: a hierarchy of storages, spatial fan-outs and compute, outer → inner."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

from hwsim.errors import HwsimError
from hwsim.sparsity import DENSE, Sparsity

#: Stands in `Constraints.bypass` for every data space that is not kept, until the problem is known.
OTHERS = "*"

MAX_INSTANCES = 2**24
"""The most instances of one component: the kernels that look for neighbours take memory for each."""


@dataclass(frozen=True)
class FactorConstraint:
    """``dim op value``: the loop bound of one dimension at one level. ``value`` 0 with ``=`` is the whole dimension."""

    dim: str
    op: Literal["=", "<=", ">="]
    value: int


@dataclass(frozen=True)
class LoopConstraint:
    """What a mapping may do with the loops of one level (temporal or spatial).

    Attributes:
        factors: bounds that single dimensions must obey.
        permutation: dimensions named inner → outer; they are the innermost loops of the
            level in that order, dimensions not named are free outside them. For a
            spatial level the order fixes the axes together with ``split``.
        split: spatial only: how many dimensions of the permutation go along X, the
            remaining ones (unnamed ones too) go along Y. None: free.
        no_reuse: temporal only: data spaces that are refetched at every step.
        rmw_first_update: temporal only: outputs whose first update reads too.
        no_multicast: spatial only: data spaces that cannot be multicast or reduced.
        no_link_transfer: spatial only: data spaces that neighbours do not hand on.
        others_one: dimensions without a factor have bound 1 (``factors_only``).
        no_iteration: data spaces whose dimensions have bound 1 (``no_iteration_over_dataspaces``).
        max_factor: the most that a dimension without a factor may have (``default_max_factor``).
    """

    factors: tuple[FactorConstraint, ...] = ()
    permutation: tuple[str, ...] = ()
    split: int | None = None
    no_reuse: frozenset[str] = frozenset()
    rmw_first_update: frozenset[str] = frozenset()
    no_multicast: frozenset[str] = frozenset()
    no_link_transfer: frozenset[str] = frozenset()
    others_one: bool = False
    no_iteration: frozenset[str] = frozenset()
    max_factor: int | None = None


@dataclass(frozen=True)
class Constraints:
    """Constraints that one node of the architecture puts on mappings.

    Attributes:
        keep / bypass: data spaces that the storage must hold, must not hold.
        min_utilization: share of a storage's capacity, or of a fan-out's instances, that must be in use, 0–1.
        maximize_dims: spatial only: dimensions that are to be spread as far as they go.
    """

    temporal: LoopConstraint = LoopConstraint()
    spatial: LoopConstraint = LoopConstraint()
    keep: frozenset[str] = frozenset()
    bypass: frozenset[str] = frozenset()
    min_utilization: float = 0.0
    maximize_dims: tuple[tuple[str, ...], ...] = ()

    def least_of(self, total: int) -> int:
        """The fewest of ``total`` words or instances that ``min_utilization`` allows to be in use.

        The share is meant as it is written: 0.07 of 100 is 7, though the nearest double is a little more.
        """
        return math.ceil(Fraction(repr(self.min_utilization)) * total)


@dataclass(frozen=True)
class Storage:
    """A memory.

    Attributes:
        name: unique in the architecture.
        component: class of the component (``smartbuffer_SRAM``, ``DRAM`` …).
        depth: entries per instance; None is unbounded.
        width: bits per entry (one access moves one entry).
        datawidth: bits per word of data.
        block_size: words per access.
        cluster_size: instances that share one access (vector width of the component).
        read_bandwidth / write_bandwidth / shared_bandwidth: words per cycle and instance; None is unlimited.
        multiple_buffering: share of the capacity that one tile may fill is 1/multiple_buffering.
        network_latency: cycles that the network below takes to fill and to drain, which every layer takes besides.
        power_gated_at: the level with whose instances this one's are switched off; "" where each is by itself.
        attributes: everything the file says, evaluated and inherited (for pricing).
    """

    name: str
    component: str
    depth: int | None
    width: int
    datawidth: int
    block_size: int
    cluster_size: int = 1
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    shared_bandwidth: float | None = None
    multiple_buffering: float = 1.0
    constraints: Constraints = Constraints()
    attributes: dict[str, Any] = field(default_factory=dict, compare=False)
    network_latency: int = 0
    power_gated_at: str = ""

    @cached_property
    def capacity(self) -> int | None:
        """Words that one instance holds; None is unbounded."""
        if self.depth is None:
            return None
        return math.floor(self.depth * self.block_size / Fraction(repr(self.multiple_buffering)))

    @property
    def off_chip(self) -> bool:
        """True of a DRAM, whose class says so in its name."""
        return "dram" in self.component.lower()

    @cached_property
    def min_words(self) -> int:
        """The fewest words that the tiles must fill; an unbounded memory asks for none."""
        return 0 if self.capacity is None else self.constraints.least_of(self.capacity)


@dataclass(frozen=True)
class Fanout:
    """A container (or component) instantiated meshX × meshY times below each instance of what is outside it.

    Attributes:
        of: the node that is instantiated, where that is a component of the same name; in Timeloop's mappings
            a fan-out is the target ``inter_<node>_spatial``.
    """

    name: str
    mesh_x: int
    mesh_y: int
    constraints: Constraints = Constraints()
    attributes: dict[str, Any] = field(default_factory=dict, compare=False)
    of: str = ""

    @property
    def target(self) -> str:
        """Name of this level in Timeloop's mappings."""
        return f"inter_{self.of or self.name}_spatial"

    @cached_property
    def min_instances(self) -> int:
        """The fewest instances that must be in use, below each instance of what is outside."""
        return self.constraints.least_of(self.mesh_x * self.mesh_y)


@dataclass(frozen=True)
class Compute:
    """The innermost unit: one multiply-accumulate per cycle and instance."""

    name: str
    component: str
    attributes: dict[str, Any] = field(default_factory=dict, compare=False)


Level = Storage | Fanout


@dataclass(frozen=True)
class Architecture:
    """Levels outer → inner, and the compute unit below them.

    Attributes:
        name: file stem or ``arch: NAME``.
        levels: storages and fan-outs, outermost first; the branches of a ``!Parallel``
            follow one another (each keeps only its own data spaces).
        compute: the datapath.
        cycle_seconds: length of one clock cycle.
        description: one line for ``hwsim archs``.
        source: the file it came from.
        containers: names of containers that occur once, and so are no levels.
        sparsity: what the design does about zeros.
        names_outside: spatial directives name the storage outside a fan-out (v0.3 and older), not what is instantiated.
        branches: of each ``!Parallel`` the names of the storages in each branch; all must say what they keep.

    Raises:
        HwsimError: more instances of the compute unit than `MAX_INSTANCES`.
    """

    name: str
    levels: tuple[Level, ...]
    compute: Compute
    cycle_seconds: float = 1e-9
    description: str = ""
    source: str = ""
    containers: frozenset[str] = field(default=frozenset(), compare=False)
    sparsity: Sparsity = DENSE
    names_outside: bool = field(default=False, compare=False)
    branches: tuple[tuple[tuple[str, ...], ...], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.compute_instances > MAX_INSTANCES:
            raise HwsimError(
                f"the design has more than {MAX_INSTANCES:,} instances of '{self.compute.name}'.",
                where=self.source or self.name,
            )

    @property
    def storages(self) -> tuple[Storage, ...]:
        """The memories, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, Storage))

    @property
    def fanouts(self) -> tuple[Fanout, ...]:
        """The fan-outs, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, Fanout))

    def level(self, name: str) -> Level:
        """The level of that name (a fan-out also by its Timeloop target); KeyError if there is none."""
        for level in self.levels:
            if name == level.name or (isinstance(level, Fanout) and name == level.target):
                return level
        raise KeyError(name)

    def instances(self, name: str) -> int:
        """Instances of a level (or of the compute unit) in the whole design."""
        n = 1
        for level in self.levels:
            if level.name == name:
                return n * (level.mesh_x * level.mesh_y if isinstance(level, Fanout) else 1)
            if isinstance(level, Fanout):
                n *= level.mesh_x * level.mesh_y
        if name == self.compute.name:
            return n
        raise KeyError(name)

    def clusters(self, level: Storage) -> int:
        """How many groups of a storage's instances make one wide access together (``cluster_size`` instances each).

        Timeloop spreads the instances in use over as many clusters as there are, so that as many accesses are made as
        instances are in use, or clusters there are, whichever is less.
        """
        return max(1, self.instances(level.name) // level.cluster_size)

    def gating(self, level: Storage) -> tuple[int, int]:
        """Which level a storage's instances are switched off with, and how many of them with each of its instances.

        Timeloop's rule: those of its own level where there are no more of them than of that one. The instances of a
        fan-out are those of what is outside it.
        """
        names = [x.name for x in self.levels]
        own = names.index(level.name)
        if not level.power_gated_at or level.power_gated_at == level.name:
            return own, 1
        at = names.index(level.power_gated_at)
        outside = math.prod(x.mesh_x * x.mesh_y for x in self.levels[:at] if isinstance(x, Fanout))
        together = self.instances(level.name) // outside
        return (at, together) if together > 1 else (own, 1)

    @cached_property
    def network_latency(self) -> int:
        """Cycles that the networks between all levels take to fill and to drain."""
        return sum(level.network_latency for level in self.storages)

    def bind(self, data_spaces: tuple[str, ...]) -> Architecture:
        """The architecture for a problem with these data spaces: 'all others' are filled in.

        Raises:
            HwsimError: a constraint names a data space that the problem does not have.
        """
        levels: list[Level] = []
        for level in self.levels:
            constraints = level.constraints
            named = constraints.keep | (constraints.bypass - {OTHERS})
            named |= constraints.temporal.no_iteration | constraints.spatial.no_iteration
            for name in sorted(named - set(data_spaces)):
                raise HwsimError(
                    f"the constraints of '{level.name}' name the data space '{name}'; "
                    f"the problem's are {', '.join(data_spaces)}.",
                    where=self.source or self.name,
                )
            if OTHERS in constraints.bypass:
                bypass = frozenset(data_spaces) - constraints.keep
                levels.append(replace(level, constraints=replace(constraints, bypass=bypass)))
            else:
                levels.append(level)
        return replace(self, levels=tuple(levels))

    @property
    def compute_instances(self) -> int:
        """Multiply-accumulate units in the whole design."""
        return math.prod(f.mesh_x * f.mesh_y for f in self.fanouts)
