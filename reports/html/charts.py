"""A network's figures for Plotly; colours are roles (`hwsim.reports.palette`), filled in by the page's script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hwsim.architecture import Architecture
from hwsim.cost import NetworkCost
from hwsim.errors import shorten
from hwsim.reports import units
from hwsim.reports.figures import MemorySchedule, Roofline, components
from hwsim.reports.html.page import Chart, label
from hwsim.reports.palette import component_roles
from hwsim.reports.scales import axis_scale, bytes_scale, energy_scale
from hwsim.reports.terminal import shape

ROW = 21  # pixels that a layer takes
WIDE_NAME, NARROW_NAME = 26, 19


def layer_axis(names: Sequence[str], length: int) -> dict[str, Any]:
    """A vertical axis with a layer a row, the first on top."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [label(shorten(name, length)) for name in names],
        "range": [len(names) - 0.4, -0.6],
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"size": 12 if length == WIDE_NAME else 11, "color": "@ink"},
        "ticks": "",
    }


def _titles(cost: NetworkCost) -> list[str]:
    return [f"{x.name} ×{x.count}" if x.count > 1 else x.name for x in cost.layers]


def _rows(names: Sequence[str], **x: Any) -> dict[str, Any]:
    """Layout of a figure with a layer a row."""
    return {
        "height": 56 + ROW * len(names),
        "barmode": "stack",
        "bargap": 0.28,
        "yaxis": layer_axis(names, WIDE_NAME),
        "xaxis": {"side": "top", "zeroline": False, "nticks": 6} | x,
        "margin": {"t": 44},
    }


def energy(cost: NetworkCost, architecture: Architecture) -> Chart:
    """Energy by layer and component: stacked bars, every occurrence counted."""
    roles, names = component_roles(architecture), _titles(cost)
    scale, unit = energy_scale([x.count * x.cost.energy_pj for x in cost.layers])
    data = []
    for component in components(cost, architecture):
        spent = [x.count * x.cost.energy_by_level_pj.get(component, 0.0) for x in cost.layers]
        share = [100 * units.share(pj, x.count * x.cost.energy_pj) for pj, x in zip(spent, cost.layers, strict=True)]
        hover = [
            f"<b>{label(x.name)}</b>{f' ×{x.count}' if x.count > 1 else ''}<br>{label(component)}: {units.energy(pj)} "
            f"({part:.1f}% of the layer)<br>layer: {units.energy(x.count * x.cost.energy_pj)}"
            for x, pj, part in zip(cost.layers, spent, share, strict=True)
        ]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label(component),
                "x": [rounded(pj / scale) for pj in spent],
                "y": list(range(len(names))),
                "customdata": list(range(len(names))),
                "hovertext": hover,
                "hoverinfo": "text",
                "marker": {"color": f"@{roles[component]}", "line": {"width": 0}},
            }
        )
    narrow = {"yaxis": layer_axis(names, NARROW_NAME)}
    return {"data": data, "layout": _rows(names, title={"text": f"energy ({unit})"}), "narrow": narrow}


def cycles(cost: NetworkCost) -> Chart:
    """Cycles and utilization by layer, side by side with the same rows."""
    names = _titles(cost)
    rows = list(range(len(names)))
    spent = [x.count * x.cost.cycles for x in cost.layers]
    scale, unit = axis_scale(spent, "cycles")
    hover = [
        f"<b>{label(x.name)}</b>{f' ×{x.count}' if x.count > 1 else ''}<br>{units.count(c)} cycles "
        f"({100 * c / cost.cycles:.1f}% of the network)<br>utilization {units.percent(x.cost.utilization)}"
        for x, c in zip(cost.layers, spent, strict=True)
    ]
    shared = {
        "type": "bar",
        "orientation": "h",
        "y": rows,
        "customdata": rows,
        "hovertext": hover,
        "hoverinfo": "text",
    }
    used = [rounded(100 * x.cost.utilization) for x in cost.layers]
    data = [
        shared | {"x": [rounded(c / scale) for c in spent], "marker": {"color": "@accent"}, "name": "cycles"},
        shared | {"x": [100] * len(rows), "xaxis": "x2", "marker": {"color": "@raised"}, "hoverinfo": "skip"},
        shared | {"x": used, "xaxis": "x2", "marker": {"color": "@s0"}, "name": "utilization"},
    ]
    layout = _rows(
        names, title={"text": "cycles" if scale == 1 else f"cycles ({unit.split()[0]})"}, domain=[0, 0.66], nticks=5
    )
    layout |= {
        "barmode": "overlay",
        "xaxis2": {
            "side": "top",
            "title": {"text": "utilization (%)"},
            "range": [0, 100],
            "domain": [0.72, 1],
            "tickvals": [0, 50, 100],
            "zeroline": False,
        },
    }
    return {"data": data, "layout": layout, "narrow": {"yaxis": layer_axis(names, NARROW_NAME)}}


def roofline(roof: Roofline, cost: NetworkCost) -> Chart:
    """Every layer under the roofs of the array and of one storage's bandwidth, both axes logarithmic."""
    xs, ys = [p.intensity for p in roof.points], [p.macs_per_cycle for p in roof.points]
    ridges = [roof.compute_roof / bytes_per_cycle for _, bytes_per_cycle in roof.bandwidth_roofs]
    low, high = _decade(min(xs + ridges) / 2, max(xs + ridges) * 2)
    bottom = min(min(ys) / 2, roof.compute_roof / 8)
    data: list[dict[str, Any]] = []
    slopes: dict[float, list[str]] = {}
    for direction, bound in roof.bandwidth_roofs:
        slopes.setdefault(bound, []).append(direction)
    for bound, directions in slopes.items():
        start = max(low, bottom / bound)
        ridge = roof.compute_roof / bound
        data.append(
            _line(
                [start, ridge],
                [start * bound, roof.compute_roof],
                f"{' or '.join(directions)} bandwidth {bound:g} B/cycle",
                "@c1",
            )
        )
    data.append(_line([low, high], [roof.compute_roof] * 2, f"array {roof.compute_roof:,} MAC/cycle", "@compute"))
    data.append(_layer_points(roof, cost))
    layout = {
        "height": 380,
        "showlegend": True,
        "legend": {"font": {"size": 11.5}},
        "margin": {"t": 52},
        "xaxis": {"type": "log", "title": {"text": f"MAC per byte at {label(roof.level)}"}, **decades(low, high)},
        "yaxis": {
            "type": "log",
            "title": {"text": "MAC per cycle"},
            **decades(bottom, roof.compute_roof * 1.6),
        },
    }
    return {"data": data, "layout": layout, "narrow": {"margin": {"t": 76}}}


def _layer_points(roof: Roofline, cost: NetworkCost) -> dict[str, Any]:
    """A point per layer, its area in proportion to the layer's energy."""
    energies = [cost.layers[p.layer].count * cost.layers[p.layer].cost.energy_pj for p in roof.points]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "layers",
        "showlegend": False,
        "x": [rounded(p.intensity) for p in roof.points],
        "y": [rounded(p.macs_per_cycle) for p in roof.points],
        "customdata": [p.layer for p in roof.points],
        "hoverinfo": "text",
        "hovertext": [
            f"<b>{label(cost.layers[p.layer].name)}</b> {label(shape(cost.layers[p.layer].cost.problem))}<br>"
            f"{p.intensity:.4g} MAC/byte at {label(roof.level)}<br>{p.macs_per_cycle:.4g} MAC/cycle, "
            f"limited by {label(p.limited_by)}"
            for p in roof.points
        ],
        "marker": {
            "color": "@accent",
            "opacity": 0.75,
            "line": {"color": "@surface", "width": 1},
            # area in proportion to energy
            "size": [rounded(7 + 15 * units.share(e, max(energies)) ** 0.5) for e in energies],
        },
    }


def _line(x: list[float], y: list[float], name: str, role: str) -> dict[str, Any]:
    line = {"color": role, "width": 2}
    plain = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "line": line}
    return plain | {"x": [rounded(v) for v in x], "y": [rounded(v) for v in y], "name": label(name)}


def _decade(low: float, high: float) -> tuple[float, float]:
    """A range of at least a factor of ten with the same middle."""
    wider = max(1.0, (10 * low / high) ** 0.5)
    return low / wider, high * wider


def decades(low: float, high: float) -> dict[str, Any]:
    """Range and ticks of a logarithmic axis: powers of ten, and 2 and 5 between them where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    between = (1, 2, 5) if last - first <= 3 else (1,)
    ticks = [m * 10.0**k for k in range(first, last + 1) for m in between]
    return {
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": [f"{t:g}" if t < 1e4 else units.count(t) for t in ticks],
        "zeroline": False,
    }


def memory(schedule: MemorySchedule, best_order: int | None) -> Chart:
    """Live activation bytes while each operator runs, the peak marked."""
    steps = schedule.steps
    scale, unit = bytes_scale(steps[schedule.peak].live_bytes)
    hover = [f"<b>{label(s.operator)}</b> {label(s.op)}<br>{units.size(s.live_bytes)} alive" for s in steps]
    colors = ["@accent" if k == schedule.peak else "@c1" for k in range(len(steps))]
    bars = {
        "type": "bar",
        "x": list(range(len(steps))),
        "y": [rounded(s.live_bytes / scale) for s in steps],
        "customdata": [-1 if s.layer is None else s.layer for s in steps],
        "hovertext": hover,
        "hoverinfo": "text",
        "marker": {"color": colors, "line": {"width": 0}},
    }
    peak = steps[schedule.peak]
    right = schedule.peak > len(steps) / 2
    layout: dict[str, Any] = {
        "height": 320,
        "bargap": 0.08 if len(steps) > 60 else 0.2,
        "margin": {"t": 28},
        "xaxis": {"title": {"text": "operator, in the file's order"}, "showgrid": False, "zeroline": False},
        "yaxis": {"title": {"text": f"activations alive ({unit})"}, "rangemode": "tozero", "nticks": 6},
        "annotations": [
            {
                "x": schedule.peak,
                "y": peak.live_bytes / scale,
                "text": f"peak {units.size(peak.live_bytes)} at {label(shorten(peak.operator, 28))}",
                "showarrow": False,
                "yshift": 10,
                "xanchor": "right" if right else "left",
                "font": {"color": "@accent", "size": 12.5},
            }
        ],
        "shapes": [],
    }
    if best_order is not None and best_order < peak.live_bytes:
        line = {"color": "@muted", "width": 1.5, "dash": "dot"}
        y = best_order / scale
        layout["shapes"] = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}]
        layout["annotations"].append(
            {
                "xref": "paper",
                "x": 0 if right else 1,
                "xanchor": "left" if right else "right",
                "y": y,
                "yshift": 9,
                "showarrow": False,
                "text": f"peak of the best order {units.size(best_order)}",
                "font": {"color": "@muted", "size": 11.5},
            }
        )
    return {"data": [bars], "layout": layout}


def rounded(value: float) -> float:
    """Six digits: more are not seen and make the page large."""
    return float(f"{value:.6g}")
