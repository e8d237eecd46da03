"""Designs side by side: what a what-if study and a comparison of saved profiles have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hwsim.reports import units
from hwsim.reports.table import csv_text
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
    """One design with one network; ``area_um2`` is None where it is not known."""

    name: str
    energy_pj: float
    cycles: int
    utilization: float
    peak_activation_bytes: int
    area_um2: float | None
    layers: dict[str, LayerColumn] = field(default_factory=dict)

    @property
    def edp_j_cycles(self) -> float:
        """Energy–delay product in J·cycles."""
        return self.energy_pj * 1e-12 * self.cycles

    def by_component_pj(self) -> dict[str, float]:
        """Component → pJ of the whole network."""
        out: dict[str, float] = {}
        for layer in self.layers.values():
            for name, pj in layer.by_component_pj.items():
                out[name] = out.get(name, 0.0) + layer.count * pj
        return out


@dataclass(frozen=True)
class Metric:
    """One figure of a column: less is better, except where ``more`` says otherwise."""

    name: str
    unit: str
    value: Callable[[Column], float | None]
    shown: Callable[[float], str]
    more: bool = False


METRICS = (
    Metric("energy", "pJ", lambda c: c.energy_pj, units.energy),
    Metric("cycles", "cycles", lambda c: c.cycles, units.count),
    Metric("EDP", "J·cycles", lambda c: c.edp_j_cycles, units.edp),
    Metric("area on chip", "µm²", lambda c: c.area_um2, lambda v: f"{v * 1e-6:.3f} mm²"),
    Metric("utilization", "share", lambda c: c.utilization, units.percent, more=True),
    Metric("peak activation", "bytes", lambda c: c.peak_activation_bytes, units.size),
)
SAME = 5e-4  # smaller changes are not shown


def from_variants(variants: Sequence[Variant]) -> list[Column]:
    """The columns of a what-if study."""
    return [
        Column(
            v.name,
            v.cost.energy_pj,
            v.cost.cycles,
            v.cost.utilization,
            v.cost.peak_activation_bytes,
            v.design.area_um2,
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
    for metric in METRICS:
        share = change(metric.value(column), metric.value(base))
        if share is not None:
            good = (share > 0) == metric.more
            (better if good else worse).append(f"{metric.name} {percent_change(share)}")
    return better, worse


def columns_csv(columns: Sequence[Column]) -> str:
    """A line per layer and column, after one line per column for the whole network; figures of one occurrence."""
    components = component_names(columns)
    rows: list[Sequence[object]] = []
    rows.append(
        ["column", "layer", "count", "cycles", "utilization", "energy_pj", "edp_pj_cycles", "area_um2", "limited_by"]
        + [f"{name}_pj" for name in components]
    )
    for column in columns:
        whole = column.by_component_pj()
        rows.append(
            [column.name, "", 1, column.cycles, column.utilization, column.energy_pj, column.energy_pj * column.cycles]
            + ["" if column.area_um2 is None else column.area_um2, ""]
            + [whole.get(name, 0.0) for name in components]
        )
    for column in columns:
        for name, layer in column.layers.items():
            rows.append(
                [column.name, name, layer.count, layer.cycles, layer.utilization, layer.energy_pj, layer.edp]
                + ["", layer.limited_by]
                + [layer.by_component_pj.get(c, 0.0) for c in components]
            )
    return csv_text(rows)
