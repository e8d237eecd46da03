"""Every figure once: its name, unit and value, which way is better, and where it is asked for.

Objectives of a search (`hwsim.objective`), objectives and constraints of the explorer, rubrics, designs side by side
and the command line read `FIGURES`: a new figure is a row. How a value is shown follows from its unit
(`hwsim.reports.units`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Source = Literal["hardware", "network", "mapping"]


@dataclass(frozen=True)
class Aim:
    """A figure of one layer that a search can minimise; the search's kernels know each by its name.

    Attributes:
        of: of a `hwsim.cost.LayerCost`, in ``unit``.
        tie: the figure that breaks ties unless the user names one ("": none does).
        words: what it is called in a sentence.
    """

    name: str
    unit: str
    of: Callable[[Any], float]
    tie: str = ""
    words: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: what objectives, constraints and commands call it.
        unit: of its value.
        known_from: what has to be known first: the ``hardware``, the ``network``, or its ``mapping`` on the hardware.
        of: its value, as ``known_from`` says of a `hwsim.hardware.Design`; of a network (a `hwsim.cost.NetworkCost`, a
            rubric's facts, an explorer's networks: ``macs``, ``params``, ``weight_bytes``, ``peak_activation_bytes``,
            ``accuracy``); or of what a network costs (a `NetworkCost`, an explorer's costs); None where that does not
            tell.
        title: what tables call it; its name unless given.
        key: its name in files, with the unit; its name unless given.
        better: which way is better.
        most: what no design exceeds. All figures are zero or more.
        aim: how a search minimises it; None where none can.
        explored: whether objectives and constraints of the explorer may read it.
        place: where it stands among the figures of designs side by side; None where it is left out.
        graded_as: what rubrics call it; its name unless given; None where they cannot ask for it.
        written: (unit, how much of it ``unit`` is) of rubrics' bounds; as ``unit`` unless given.
        parts: of the same as ``of``: layer → its part, of which the largest is what limits; None where none is.
    """

    name: str
    unit: str
    known_from: Source
    of: Callable[[Any], Decimal | float | None]
    title: str = ""
    key: str = ""
    better: Literal["less", "more"] = "less"
    most: float = float("inf")
    aim: Aim | None = None
    explored: bool = True
    place: int | None = None
    graded_as: str | None = ""
    written: tuple[str, str] | None = None
    parts: Callable[[Any], Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))
        object.__setattr__(self, "key", self.key or self.name)
        if self.graded_as == "":
            object.__setattr__(self, "graded_as", self.name)

    @property
    def more(self) -> bool:
        """True where more is better."""
        return self.better == "more"

    @property
    def bound_unit(self) -> str:
        """The unit that rubrics write bounds in."""
        return self.written[0] if self.written else self.unit

    def bound(self, value: Decimal | float) -> Decimal:
        """A value in the unit that rubrics write bounds in, as a decimal number."""
        return Decimal(str(value)) * Decimal(self.written[1] if self.written else "1")

    def value(self, known: Mapping[Source, Any]) -> Decimal | float | None:
        """Its value, of what is known: the subjects of ``of``; None where that is not enough."""
        subject = known.get(self.known_from)
        return None if subject is None else self.of(subject)


def _by_layer(of: Callable[[Any], float]) -> Callable[[Any], dict[str, float]]:
    return lambda cost: {layer.name: layer.count * of(layer.cost) for layer in cost.layers}


def _by_operator(of: Callable[[Any], float]) -> Callable[[Any], dict[str, float]]:
    return lambda facts: {op.name: of(op) for op in facts.workload.operators}


def _energy_pj(cost: Any) -> float:
    return float(cost.energy_pj)


def _cycles(cost: Any) -> float:
    return float(cost.cycles)


def _peak_power(cost: Any) -> float:
    """The highest power of any layer, in W: its energy / its time."""
    layers = ((x.cost.energy_pj * 1e-12, x.cost.cycles * cost.cycle_seconds) for x in cost.layers)
    return max((joules / seconds for joules, seconds in layers if seconds), default=0.0)


#: In the order of the explorer's tables.
FIGURES: dict[str, Figure] = {
    x.name: x
    for x in (
        # of all components whose area is known, all instances
        Figure("area", "µm²", "hardware", lambda x: x.area_um2 if set(x.components) - set(x.no_area) else None,
               "area on chip", "area_um2", place=4, written=("mm²", "1e-6")),
        Figure("on_chip_bytes", "bytes", "hardware", lambda x: x.on_chip_bytes, "on-chip memory"),
        Figure("compute_instances", "", "hardware", lambda x: x.compute_instances, "compute units"),
        Figure("macs", "", "network", lambda x: x.macs, "MACs",
               parts=_by_operator(lambda op: op.repeats * sum(n * p.macs for p, n in op.problems))),
        Figure("params", "", "network", lambda x: x.params, "parameters", graded_as="parameters",
               parts=_by_operator(lambda op: op.weight_elements)),
        Figure("weight_bytes", "bytes", "network", lambda x: x.weight_bytes, "weights"),  # as stored
        # the largest input plus output of a layer
        Figure("peak_activation_bytes", "bytes", "network", lambda x: x.peak_activation_bytes, "peak activation",
               place=6, graded_as="peak_activation", written=("MB", "1e-6")),
        # of the test set that is right
        Figure("accuracy", "share", "network", lambda x: x.accuracy, better="more", most=1.0, written=("%", "100")),
        Figure("error", "share", "network", lambda x: None if x.accuracy is None else 1 - x.accuracy, most=1.0,
               explored=False, written=("%", "100")),
        Figure("energy", "pJ", "mapping", lambda x: x.energy_pj, key="energy_pj", place=1, written=("mJ", "1e-9"),
               aim=Aim("energy", "pJ", _energy_pj, tie="latency", words="energy"), parts=_by_layer(_energy_pj)),
        Figure("latency", "cycles", "mapping", lambda x: x.cycles, "cycles", "cycles", place=2,
               written=("M cycles", "1e-6"),
               aim=Aim("latency", "cycles", _cycles, tie="energy", words="cycles"), parts=_by_layer(_cycles)),
        Figure("seconds", "s", "mapping", lambda x: x.seconds, "latency"),  # at the architecture's clock
        Figure("edp", "J·cycles", "mapping", lambda x: x.edp_j_cycles, "EDP", "edp_j_cycles", place=3,
               aim=Aim("edp", "pJ·cycles", lambda cost: float(cost.edp), words="energy × delay"),
               parts=_by_layer(_energy_pj)),
        Figure("power", "W", "mapping", lambda x: x.energy_pj * 1e-12 / x.seconds if x.seconds else 0.0),
        Figure("peak_power", "W", "mapping", _peak_power),
        # multiply-accumulates / (latency × compute instances)
        Figure("utilization", "share", "mapping", lambda x: x.utilization, better="more", most=1.0, place=5,
               written=("%", "100")),
        # by the space's rubric
        Figure("points", "", "mapping", lambda x: x.points, better="more", graded_as=None),
    )
}  # fmt: skip


def explored() -> dict[str, Figure]:
    """What objectives and constraints of the explorer may read."""
    return {name: x for name, x in FIGURES.items() if x.explored}


def graded() -> dict[str, Figure]:
    """What rubrics may ask for, by their names for it."""
    return {x.graded_as: x for x in FIGURES.values() if x.graded_as is not None}


def compared() -> list[Figure]:
    """What is shown of designs side by side, in order."""
    return sorted((x for x in FIGURES.values() if x.place is not None), key=lambda x: x.place or 0)
