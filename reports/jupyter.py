"""Results as tables: what Jupyter shows of them, and DataFrames (pandas, extra ``notebook``).

Rows are plain dicts with the unit in the name of a column; both kinds of table are made from them. A new kind of result
registers with `rows` and `html`; `hwsim.shown.Shown` asks these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from html import escape
from typing import TYPE_CHECKING, Any

from hwsim.cost import LayerCost, NetworkCost, NetworkLayer
from hwsim.errors import HwsimError, printable
from hwsim.reports import units
from hwsim.reports.columns import change
from hwsim.rubric import Score
from hwsim.whatif import Study, limited_by

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]
#: Bars in a cell: their colour reads on light and dark pages.
BAR = "#4d9acb"
_NUMBERS = (int, float)


def data_frame(result: object, **options: Any) -> pandas.DataFrame:
    """A result's rows as a DataFrame.

    Raises:
        HwsimError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        message = "DataFrames need pandas, which is not installed: pip install 'hwsim[notebook]'."
        raise HwsimError(message, where="to_dataframe()") from error
    return pandas.DataFrame(rows(result, **options))


@singledispatch
def rows(result: object) -> list[Row]:
    """A result's rows for a DataFrame."""
    raise TypeError(f"{type(result).__name__} has no rows")


@singledispatch
def html(result: object) -> str:
    """What Jupyter shows of a result."""
    raise TypeError(f"{type(result).__name__} has no table")


@rows.register
def _network_rows(cost: NetworkCost) -> list[Row]:
    """A row per distinct layer, figures of one occurrence."""
    levels = list(dict.fromkeys(n for layer in cost.layers for n in layer.cost.energy_by_level_pj))
    rows = []
    for layer in cost.layers:
        by_level = layer.cost.energy_by_level_pj
        row: Row = {"layer": layer.name, "op": layer.op, "count": layer.count, "macs": layer.cost.problem.macs}
        row |= {"cycles": layer.cost.cycles, "utilization": layer.cost.utilization}
        row |= {"energy_pj": layer.cost.energy_pj} | {f"{n}_pj": by_level.get(n, 0.0) for n in levels}
        rows.append(row | {"optimal": bool(layer.cost.certificate and layer.cost.certificate.optimal)})
    return rows


@rows.register
def _layer_rows(cost: LayerCost) -> list[Row]:
    """A row per level and data space: counts per instance, energy of all instances."""
    return [
        {
            "level": level.name,
            "data_space": name,
            "instances": space.instances,
            "held_words": space.capacity,
            "reads": space.reads,
            "fills": space.fills,
            "updates": space.updates,
            "energy_pj": space.energy_pj,
        }
        for level in cost.levels
        for name, space in level.data_spaces.items()
    ]


@rows.register
def _study_rows(study: Study, *, layers: bool = False) -> list[Row]:
    """A row per column of a what-if study; or per layer and column, with what limits it, the array or a storage."""
    if layers:
        return [
            {
                "design": v.name,
                "layer": x.name,
                "count": x.count,
                "energy_pj": x.cost.energy_pj,
                "cycles": x.cost.cycles,
                "limited_by": limited_by(x.cost),
            }
            for v in study
            for x in v.cost.layers
        ]
    return [
        {
            "design": v.name,
            "energy_pj": v.cost.energy_pj,
            "cycles": v.cost.cycles,
            "edp_j_cycles": v.cost.edp_j_cycles,
            "utilization": v.cost.utilization,
            "area_um2": v.design.area_um2,
        }
        for v in study
    ]


@rows.register
def _score_rows(score: Score) -> list[Row]:
    """A row per criterion."""
    return [
        {
            "criterion": m.name,
            "figure": None if m.value is None else float(m.value),
            "unit": m.unit,
            "band": m.band,
            "points": float(m.points),
            "max_points": float(m.max_points),
            "next_band": m.next_band,
            "limited_by": m.limited_by,
        }
        for m in score.marks
    ]


@html.register
def _network_html(cost: NetworkCost) -> str:
    """What Jupyter shows of a network's cost: the totals, and a row per layer."""
    title = f"{cost.model} on {cost.arch}, every layer at its least {cost.objective}"
    facts = {
        "energy": f"{cost.energy_pj * 1e-6:,.4g} µJ",
        "cycles": f"{cost.cycles:,}",
        "EDP": f"{cost.edp_j_cycles:,.4g} J·cycles",
        "utilization": f"{cost.utilization:.1%}",
        "peak activation": f"{cost.peak_activation_bytes / 1000:,.4g} kB",
        "parameters": f"{cost.params:,}",
    }
    most = max((x.count * x.cost.energy_pj for x in cost.layers), default=1.0)
    rows = [
        {
            "layer": x.name,
            "op": x.op,
            "×": x.count,
            "MACs": x.cost.problem.macs,
            "cycles": x.cost.cycles,
            "utilization (%)": 100 * x.cost.utilization,
            "energy (µJ)": x.cost.energy_pj * 1e-6,
            "of all": _bar(*(units.share(x.count * x.cost.energy_pj, whole) for whole in (most, cost.energy_pj))),
        }
        for x in cost.layers
    ]
    moved = ", ".join(f"{x.op} ×{x.count} ({x.bytes_moved / 1000:,.4g} kB)" for x in cost.unmapped)
    return html_table(title, facts, rows, f"Not mapped (bytes they move): {moved}" if moved else "")


@html.register
def _layer_html(cost: LayerCost) -> str:
    """What Jupyter shows of a layer's cost: figures, accesses per level and data space, certificate."""
    facts = {
        "energy": f"{cost.energy_pj * 1e-6:,.4g} µJ",
        "cycles": f"{cost.cycles:,}",
        "utilization": f"{cost.utilization:.1%}",
        "MACs": f"{cost.problem.macs:,}",
    }
    rows = []
    for row in _layer_rows(cost):
        pj = row.pop("energy_pj")
        rows.append({k.replace("_", " "): v for k, v in row.items()} | {"energy (nJ)": pj * 1e-3})
    rows += [
        {"level": x.name, "data space": "leakage", "energy (nJ)": x.leakage_pj * 1e-3}
        for x in cost.levels
        if x.leakage_pj
    ]
    compute = cost.compute
    last = {"level": compute.name, "data space": "compute", "instances": compute.instances}
    rows.append(last | {"energy (nJ)": compute.energy_pj * 1e-3})
    sizes = " ".join(f"{d}={n}" for d, n in cost.problem.dims)
    sure = cost.certificate
    said = "" if sure is None else "Proved best. " if sure.optimal else f"Bound {sure.lower_bound:.6g}. "
    note = "Words per instance. " + (said + sure.argument if sure is not None else "")
    return html_table(f"{cost.problem.kind} {sizes}", facts, rows, note)


@html.register
def _occurring_layer_html(layer: NetworkLayer) -> str:
    return _layer_html(layer.cost)


@rows.register
def _occurring_layer_rows(layer: NetworkLayer) -> list[Row]:
    return _layer_rows(layer.cost)


@html.register
def _study_html(variants: Study) -> str:
    """What Jupyter shows of a what-if study: a row per design with the change against the first."""
    base = variants[0].cost
    rows = []
    for v in variants:
        cost = v.cost
        row: Row = {
            "design": v.name,
            "energy (µJ)": cost.energy_pj * 1e-6,
            "Δ": _change(cost.energy_pj, base.energy_pj),
        }
        row |= {"cycles": cost.cycles, "Δ ": _change(cost.cycles, base.cycles)}
        row |= {"EDP (J·cycles)": cost.edp_j_cycles, "Δ  ": _change(cost.edp_j_cycles, base.edp_j_cycles)}
        rows.append(row | {"area (mm²)": v.design.area_um2 * 1e-6, "utilization (%)": 100 * cost.utilization})
    without = variants[0].design.no_area
    note = f"Area without {', '.join(without)}. " if without else ""
    title = f"{base.model} on {base.arch}, every layer mapped anew at its least {base.objective}"
    return html_table(title, {}, rows, note + variants.prices)


@html.register
def _score_html(score: Score) -> str:
    """What Jupyter shows of a score: hard constraints and criteria, with what more points would need."""
    rows: list[Row] = []
    for hard in score.hard:
        shown = "met" if hard.met else "broken"
        rows.append({"criterion": f"{hard.name} (must)", "figure": _value(hard.value, hard.unit), "band": hard.limit})
        rows[-1] |= {"points": shown, "for more": "", "limited by": ""}
    for mark in score.marks:
        points = f"{mark.points.normalize():f} / {mark.max_points.normalize():f}"
        row = {"criterion": mark.name, "figure": _value(mark.value, mark.unit), "band": mark.band or "none"}
        rows.append(row | {"points": points, "for more": mark.next_band or "", "limited by": mark.limited_by or ""})
    title = f"{score.points.normalize():f} of {score.max_points.normalize():f} points: {score.rubric.title}"
    return html_table(title, {}, rows, f"Accuracy {score.facts.accuracy_source}. Rubric: {score.rubric.source}")


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def html_table(title: str, facts: Mapping[str, str], rows: Sequence[Row], note: str = "") -> str:
    """A titled HTML table with a line of facts above and a note below; everything given is escaped."""
    head = list(dict.fromkeys(name for row in rows for name in row))
    right = {n for n in head if any(isinstance(row.get(n), _NUMBERS) for row in rows)}
    align = {n: "right" if n in right else "left" for n in head}
    titles = "".join(f'<th style="text-align:{align[n]}">{_text(n)}</th>' for n in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:{align[n]}">{_shown(row.get(n, ""))}</td>' for n in head) + "</tr>"
        for row in rows
    )
    line = " &nbsp; ".join(f"{_text(name)} <b>{_text(value)}</b>" for name, value in facts.items())
    return (
        f"<div><p><b>{_text(title)}</b></p>{f'<p>{line}</p>' if line else ''}"
        f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
        f"{f'<p><small>{_text(note)}</small></p>' if note else ''}</div>"
    )


def _text(value: object) -> str:
    return escape(printable(value))


def _shown(value: Any) -> str:
    if isinstance(value, _Html):
        return value
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _text(value)


def _bar(width: float, share: float) -> _Html:
    bar = f'<div style="background:{BAR};height:9px;width:{80 * width:.0f}px;display:inline-block"></div>'
    return _Html(f"{bar} {100 * share:.1f}%")


def _change(value: float, base: float) -> str:
    share = change(value, base)
    return "" if share is None else f"{100 * share:+.1f}%"


def _value(value: Any, unit: str) -> str:
    return "not known" if value is None else f"{float(value):,.4g} {unit}".rstrip()
