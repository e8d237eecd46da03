"""Designs side by side: what a what-if study and a comparison of saved profiles have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hwsim.figure import Aim, Figure, Source, compared
from hwsim.objective import FIGURES as AIMS
from hwsim.reports.table import Rows
from hwsim.whatif import Variant, limited_by


@dataclass(frozen=True)
class LayerColumn:
    """One layer in one column; figures are of one occurrence, ``limited_by`` is "" where it is not known."""

    count: int
    energy_pj: float
    cycles: int
    utilization: float
    by_component_pj: dict[str, float]
    limited_by: str = ""
    optimal: bool = False

    @property
    def edp(self) -> float:
        """Energy–delay product in pJ·cycles."""
        return self.energy_pj * self.cycles


@dataclass(frozen=True)
class Column:
    """One design with one network.

    Attributes:
        figures: name → value of the figures of `hwsim.figure.compared`; None where one is not known.
    """

    name: str
    figures: Mapping[str, float | None]
    layers: dict[str, LayerColumn] = field(default_factory=dict)

    def of(self, figure: Figure) -> float | None:
        """A figure's value; None where it is not known."""
        return self.figures.get(figure.name)

    def _known(self, name: str) -> float:
        value = self.figures[name]
        assert value is not None, name
        return value

    @property
    def energy_pj(self) -> float:
        """Of one inference."""
        return self._known("energy")

    @property
    def cycles(self) -> float:
        """Of one inference."""
        return self._known("latency")

    @property
    def edp_j_cycles(self) -> float:
        """Energy–delay product in J·cycles."""
        return self._known("edp")

    def by_component_pj(self) -> dict[str, float]:
        """Component → pJ of the whole network."""
        out: dict[str, float] = {}
        for layer in self.layers.values():
            for name, pj in layer.by_component_pj.items():
                out[name] = out.get(name, 0.0) + layer.count * pj
        return out


def figures_of(variant: Variant) -> dict[str, float | None]:
    """The figures of `hwsim.figure.compared` of a network on a design."""
    known: dict[Source, Any] = {"hardware": variant.design, "network": variant.cost, "mapping": variant.cost}
    values = {x.name: x.value(known) for x in compared()}
    return {name: float(v) if isinstance(v, Decimal) else v for name, v in values.items()}


def known_figures(columns: Sequence[Column]) -> list[Figure]:
    """The figures that are known of any column."""
    return [x for x in compared() if any(c.of(x) is not None for c in columns)]


#: What is shown of how layers changed: figures of one layer.
CHANGES: tuple[Aim, ...] = (AIMS["energy"], AIMS["latency"])
SAME = 5e-4  # smaller changes are not shown


def from_variants(variants: Sequence[Variant]) -> list[Column]:
    """The columns of a what-if study."""
    return [
        Column(
            v.name,
            figures_of(v),
            {
                x.name: LayerColumn(
                    x.count,
                    x.cost.energy_pj,
                    x.cost.cycles,
                    x.cost.utilization,
                    x.cost.energy_by_level_pj,
                    limited_by(x.cost),
                    bool(x.cost.certificate and x.cost.certificate.optimal),
                )
                for x in v.cost.layers
            },
        )
        for v in variants
    ]


def change(value: float | None, base: float | None) -> float | None:
    """Relative change; None where there is none to speak of."""
    if value is None or not base:
        return None
    share = value / base - 1
    return share if abs(share) >= SAME else None


def percent_change(share: float) -> str:
    """``-0.123`` → ``−12.3%``; large growth as a factor."""
    if share >= 2:
        return f"×{1 + share:.3g}"
    return f"{100 * share:+.1f}%".replace("-", "−")


def layer_names(columns: Sequence[Column]) -> list[str]:
    """Every layer of any column, in order of appearance."""
    return list(dict.fromkeys(name for column in columns for name in column.layers))


def component_names(columns: Sequence[Column]) -> list[str]:
    """Every component of any column, in order of appearance: outermost first, compute units last."""
    memories = [n for c in columns for x in c.layers.values() for n in list(x.by_component_pj)[:-1]]
    compute = [n for c in columns for x in c.layers.values() for n in list(x.by_component_pj)[-1:]]
    return list(dict.fromkeys([n for n in memories if n not in compute] + compute))


def gains_and_costs(column: Column, base: Column) -> tuple[list[str], list[str]]:
    """What got better and what it cost, in words: ``cycles −43.2%``."""
    better: list[str] = []
    worse: list[str] = []
    for figure in compared():
        share = change(column.of(figure), base.of(figure))
        if share is not None:
            good = (share > 0) == figure.more
            (better if good else worse).append(f"{figure.title} {percent_change(share)}")
    return better, worse


def columns_rows(columns: Sequence[Column]) -> Rows:
    """A line per layer and column, after one line per column for the whole network; figures of one occurrence."""
    components = component_names(columns)
    rows: Rows = []
    rows.append(
        ["column", "layer", "count", "cycles", "utilization", "energy_pj", "edp_pj_cycles", "area_um2", "limited_by"]
        + [f"{name}_pj" for name in components]
    )
    for column in columns:
        whole, area = column.by_component_pj(), column.figures.get("area")
        rows.append(
            [column.name, "", 1, column.cycles, column.figures["utilization"], column.energy_pj]
            + [column.energy_pj * column.cycles, "" if area is None else area, ""]
            + [whole.get(name, 0.0) for name in components]
        )
    for column in columns:
        for name, layer in column.layers.items():
            rows.append(
                [column.name, name, layer.count, layer.cycles, layer.utilization, layer.energy_pj, layer.edp]
                + ["", layer.limited_by]
                + [layer.by_component_pj.get(c, 0.0) for c in components]
            )
    return rows
