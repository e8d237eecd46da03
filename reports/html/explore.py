"""The page of an exploration: Pareto front, parallel coordinates, hypervolume over time, every design.

The result is a plain dict::

    {"title": str,
     "objectives": [{"name": str, "unit": str, "direction": "minimize" | "maximize"}],
     "params": [str],
     "trials": [{"number": int, "state": "complete" | "failed" | "infeasible", "params": {name: value},
                 "objectives": {name: float}, "figures": {"energy_pj": float, …}, "on_front": bool,
                 "reason": str | None}],
     "hypervolume": [[trials, value], …],
     "inputs": {"command": str, "sha256": {what: digest}, name: value, …}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from hwsim.errors import shorten
from hwsim.figure import FIGURES
from hwsim.provenance import Inputs
from hwsim.reports.html.charts import decades, rounded
from hwsim.reports.html.page import Cell, Chart, Page, Section, label, sortable, table, text
from hwsim.reports.scales import axis_scale
from hwsim.reports.units import quantity

Trial = Mapping[str, Any]
MAX_ROWS = 2000  # designs in table and parallel coordinates: those of the front, then in order
FEW = 12  # different values of a parameter that stand at equal distances
LINES = 300  # designs off the front that parallel coordinates draw
SPAN = 15  # ratio of the most to the least from which an axis is logarithmic
PAIRS = 3  # pairs of objectives that are drawn


def explore_page(result: Mapping[str, Any], inputs: Inputs | None = None) -> str:
    """An exploration as one self-contained page.

    Args:
        result: as this module's docstring says.
        inputs: for the foot of the page; ``result["inputs"]`` unless given.
    """
    if inputs is None:
        given = dict(result["inputs"])
        command, digests = given.pop("command"), given.pop("sha256", {})
        inputs = Inputs(command, tuple(digests.items()), tuple((str(k), str(v)) for k, v in given.items()))
    objectives = result["objectives"]
    complete = [t for t in result["trials"] if t["state"] == "complete"]
    chosen = sorted(complete, key=lambda t: (not t["on_front"], t["number"]))[:MAX_ROWS]
    detail = {t["number"]: k for k, t in enumerate(chosen)}
    page = Page(
        title=result["title"],
        subtitle=f"{len(result['trials']):,} designs; {_aims(objectives)}",
        claim=_claim(result, complete),
        figures=_headline(result, complete),
        inputs=inputs,
        notes=result.get("notes", ()),
        details=[_detail(t, objectives) for t in chosen],
    )
    if complete:
        page.sections.append(_front(page, complete, objectives, detail))
        page.sections.append(_parallel(page, chosen, objectives, result["params"], detail))
    if result["hypervolume"]:
        page.sections.append(_hypervolume(page, result["hypervolume"]))
    if complete:
        page.sections.append(_table(chosen, len(complete), objectives, result["params"]))
    lost = [t for t in result["trials"] if t["state"] != "complete"]
    if lost:
        page.sections.append(_lost(lost))
    return page.render()


def _less(objective: Mapping[str, str]) -> bool:
    return not objective["direction"].startswith("max")


def _aims(objectives: Sequence[Mapping[str, str]]) -> str:
    return ", ".join(f"{'least' if _less(o) else 'most'} {o['name']}" for o in objectives)


def _best(complete: Sequence[Trial], objective: Mapping[str, str]) -> Trial:
    sign = 1 if _less(objective) else -1
    return min(complete, key=lambda t: (sign * t["objectives"][objective["name"]], t["number"]))


def _params(trial: Trial) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in trial["params"].items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _claim(result: Mapping[str, Any], complete: Sequence[Trial]) -> str:
    if not complete:
        return "No design could be costed."
    front = [t for t in complete if t["on_front"]]
    said = f"<b>{len(front)} of {len(complete):,} designs</b> are worth choosing: none is better in everything."
    if len(front) == 1:
        said = f"<b>One of {len(complete):,} designs</b> is better than all others in everything."
    parts = []
    for objective in result["objectives"]:
        best = _best(complete, objective)
        value = quantity(best["objectives"][objective["name"]], objective["unit"])
        word = "least" if _less(objective) else "most"
        parts.append(f"{word} {text(objective['name'])} is <b>{text(value)}</b> with {text(_params(best))}")
    return f"{said} The {'; the '.join(parts)}."


def _headline(result: Mapping[str, Any], complete: Sequence[Trial]) -> list[tuple[str, str, str]]:
    states = [t["state"] for t in result["trials"]]
    failed, infeasible = states.count("failed"), states.count("infeasible")
    out = [
        ("designs", f"{len(complete):,}", f"{failed:,} failed, {infeasible:,} against a constraint"),
        ("on the front", f"{sum(bool(t['on_front']) for t in complete):,}", "none is better in everything"),
    ]
    for objective in result["objectives"] if complete else ():
        best = _best(complete, objective)
        value = quantity(best["objectives"][objective["name"]], objective["unit"])
        out.append(
            (f"{'least' if _less(objective) else 'most'} {objective['name']}", value, f"design {best['number']}")
        )
    if result["hypervolume"]:
        trials, value = result["hypervolume"][-1]
        out.append(("hypervolume", f"{value:.4g}", f"after {trials:,} designs"))
    return out


def _hover(trial: Trial, objectives: Sequence[Mapping[str, str]]) -> str:
    lines = [f"<b>design {trial['number']}</b>{' on the front' if trial['on_front'] else ''}"]
    lines += [f"{label(o['name'])}: {label(quantity(trial['objectives'][o['name']], o['unit']))}" for o in objectives]
    lines += [f"{label(n)} = {label(_value(v))}" for n, v in trial["params"].items()]
    return "<br>".join(lines)


def _front(
    page: Page, complete: Sequence[Trial], objectives: Sequence[Mapping[str, str]], detail: Mapping[int, int]
) -> Section:
    if len(objectives) == 1:
        chart = page.chart("front-0", _progress(complete, objectives[0], detail), "objective by design")
        return Section("front", "Designs", chart, "A point per design; the line is the best so far.")
    pairs = list(combinations(objectives, 2))[:PAIRS]
    charts = [
        page.chart(
            f"front-{k}", _scatter(complete, pair, objectives, detail), f"{pair[0]['name']} and {pair[1]['name']}"
        )
        for k, pair in enumerate(pairs)
    ]
    body = charts[0] if len(charts) == 1 else f'<div class="columns">{"".join(f"<div>{c}</div>" for c in charts)}</div>'
    lead = "A point per design, those of the front in colour. Hover for its figures, click for everything about it."
    return Section("front", "Pareto front", body, lead)


def _scatter(
    complete: Sequence[Trial],
    pair: Sequence[Mapping[str, str]],
    objectives: Sequence[Mapping[str, str]],
    detail: Mapping[int, int],
) -> Chart:
    (x, y), data, axes = pair, [], []
    for objective in pair:
        axes.append(axis_scale([t["objectives"][objective["name"]] for t in complete], objective["unit"]))
    for on_front in (False, True):
        trials = [t for t in complete if bool(t["on_front"]) is on_front]
        trials.sort(key=lambda t: (t["objectives"][x["name"]], t["objectives"][y["name"]], t["number"]))
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "name": "front" if on_front else "others",
            "x": [rounded(t["objectives"][x["name"]] / axes[0][0]) for t in trials],
            "y": [rounded(t["objectives"][y["name"]] / axes[1][0]) for t in trials],
            "customdata": [detail.get(t["number"], -1) for t in trials],
            "hovertext": [_hover(t, objectives) for t in trials],
            "hoverinfo": "text",
            "marker": {"color": "@s0", "size": 6, "opacity": 0.55},
        }
        if on_front:
            trace["marker"] = {"color": "@accent", "size": 10, "line": {"color": "@surface", "width": 1}}
            if len(objectives) == 2:
                step = "hv" if _less(y) else "vh"
                trace |= {"mode": "lines+markers", "line": {"color": "@accent", "width": 1.2, "shape": step}}
        data.append(trace)
    layout = {
        "height": 440,
        "margin": {"t": 40},
        "showlegend": True,
        "xaxis": {"title": {"text": _title(x, axes[0][1])}, "zeroline": False, "nticks": 7}
        | _kind(complete, x, axes[0][0]),
        "yaxis": {"title": {"text": _title(y, axes[1][1])}, "zeroline": False, "nticks": 7}
        | _kind(complete, y, axes[1][0]),
    }
    return {"data": data, "layout": layout}


def _kind(complete: Sequence[Trial], objective: Mapping[str, str], scale: float) -> dict[str, Any]:
    """Type and ticks of an axis: logarithmic where the values span much."""
    values = [t["objectives"][objective["name"]] / scale for t in complete]
    low, high = min(values), max(values)
    return {"type": "log", **decades(low / 1.2, high * 1.2)} if 0 < low <= high / SPAN else {}


def _title(objective: Mapping[str, str], unit: str) -> str:
    return label(f"{objective['name']} ({unit})" if unit and unit != objective["name"] else objective["name"])


def _progress(complete: Sequence[Trial], objective: Mapping[str, str], detail: Mapping[int, int]) -> Chart:
    trials = sorted(complete, key=lambda t: t["number"])
    values = [t["objectives"][objective["name"]] for t in trials]
    scale, unit = axis_scale(values, objective["unit"])
    best, bests = None, []
    for value in values:
        best = value if best is None else min(best, value) if _less(objective) else max(best, value)
        bests.append(rounded(best / scale))
    numbers = [t["number"] for t in trials]
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "designs",
        "x": numbers,
        "y": [rounded(v / scale) for v in values],
        "customdata": [detail.get(n, -1) for n in numbers],
        "hovertext": [_hover(t, [objective]) for t in trials],
        "hoverinfo": "text",
        "marker": {"color": ["@accent" if t["on_front"] else "@s0" for t in trials], "size": 7},
    }
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "name": "best so far", "x": numbers, "y": bests}
    line |= {"hoverinfo": "skip", "line": {"color": "@accent", "width": 1.5, "shape": "hv"}}
    layout = {
        "height": 400,
        "margin": {"t": 40},
        "showlegend": True,
        "xaxis": {"title": {"text": "design"}, "zeroline": False},
        "yaxis": {"title": {"text": _title(objective, unit)}, "zeroline": False, "nticks": 7},
    }
    return {"data": [points, line], "layout": layout}


def _parallel(
    page: Page,
    trials: Sequence[Trial],
    objectives: Sequence[Mapping[str, str]],
    params: Sequence[str],
    detail: Mapping[int, int],
) -> Section:
    axes = [_Coordinate(name, [t["params"].get(name) for t in trials], "") for name in params]
    axes += [_Coordinate(o["name"], [t["objectives"][o["name"]] for t in trials], o["unit"]) for o in objectives]
    heights = [[axis.heights[k] for axis in axes] for k in range(len(trials))]
    off = [k for k, trial in enumerate(trials) if not trial["on_front"]]
    drawn = off[:: -(-len(off) // LINES)] if off else []
    data = _lines_off_the_front(heights, drawn)
    data += [_line_of(trial, heights[k], objectives, detail) for k, trial in enumerate(trials) if trial["on_front"]]
    figure: Chart = {"data": data, **_coordinates(axes)}
    chart = page.chart("parallel", figure, "parallel coordinates")
    lead = (
        "A line per design through its parameters and objectives, from the least below to the most above; the front's "
        "in colour."
    )
    if len(drawn) < len(off):
        lead += f" Of the {len(off):,} others {len(drawn)} are drawn."
    return Section("parallel", "Parallel coordinates", chart, lead)


def _lines_off_the_front(heights: Sequence[Sequence[float]], drawn: Sequence[int]) -> list[dict[str, Any]]:
    """One trace with a line for each of the trials ``drawn``."""
    others: dict[str, list[Any]] = {"x": [], "y": []}
    for k in drawn:
        others["x"] += [*range(len(heights[k])), None]
        others["y"] += [*heights[k], None]
    plain = {"type": "scatter", "mode": "lines"}
    line = {"line": {"color": "@s0", "width": 1 if len(drawn) < 100 else 0.6}, "opacity": 0.3, "hoverinfo": "skip"}
    return [plain | others | line]


def _line_of(
    trial: Trial, heights: Sequence[float], objectives: Sequence[Mapping[str, str]], detail: Mapping[int, int]
) -> dict[str, Any]:
    """The line of a design on the front."""
    hover = _hover(trial, objectives)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(heights))),
        "y": heights,
        "customdata": [detail[trial["number"]]] * len(heights),
        "hovertext": [hover] * len(heights),
        "hoverinfo": "text",
        "line": {"color": "@accent", "width": 1.6},
        "marker": {"color": "@accent", "size": 6},
    }


def _coordinates(axes: Sequence[_Coordinate]) -> dict[str, Any]:
    """Layout of parallel coordinates, in width and where the figure is narrow."""
    xs = list(range(len(axes)))
    notes = [
        {
            "x": k,
            "y": y,
            "yshift": 10 if y else -10,
            "text": label(shorten(said, 14)),
            "showarrow": False,
            "font": {"size": 11, "color": "@muted"},
        }
        for k, axis in enumerate(axes)
        for y, said in ((0, axis.low), (1, axis.high))
    ]
    line = {"color": "@rule", "width": 1.5}
    layout = {
        "height": 420,
        "margin": {"t": 30, "b": 70},
        "xaxis": {
            "tickvals": xs,
            "ticktext": [_broken(shorten(axis.name, 26)) for axis in axes],
            "range": [-0.35, len(axes) - 0.65],
            "showgrid": False,
            "zeroline": False,
            "showline": False,
            "tickangle": 0,
            "ticklabelstandoff": 18,
            "tickfont": {"color": "@ink", "size": 12},
        },
        "yaxis": {"visible": False, "range": [-0.1, 1.1]},
        "annotations": notes,
        "shapes": [{"type": "line", "x0": k, "x1": k, "y0": 0, "y1": 1, "line": line, "layer": "below"} for k in xs],
    }
    narrow: dict[str, Any] = {"xaxis": {"tickangle": -90, "tickfont": {"size": 10.5}}, "height": 480}
    small = {"size": 8.5, "color": "@muted"}
    narrow["annotations"] = [n | {"font": small, "text": str(n["text"]).removesuffix(" cycles")} for n in notes]
    narrow["xaxis"]["ticktext"] = [label(shorten(axis.name, 22)) for axis in axes]
    return {"layout": layout, "narrow": narrow}


def _broken(name: str) -> str:
    """A name in two lines where it has a joint."""
    head, dot, tail = name.rpartition(".")
    return f"{label(head)}{dot}<br>{label(tail)}" if dot else label(name)


class _Coordinate:
    """One vertical axis: where each value stands (0 to 1), and what its ends are called."""

    def __init__(self, name: str, values: Sequence[Any], unit: str) -> None:
        self.name = name
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            order = sorted(set(values))
            self.low, self.high = ((quantity(v, unit) if unit else _value(v)) for v in (order[0], order[-1]))
            if len(order) > FEW or unit:
                span = (order[-1] - order[0]) or 1.0
                self.heights = [rounded((v - order[0]) / span) for v in values]
                return
        else:
            values = [str(v) for v in values]
            order = sorted(set(values))
            self.low, self.high = order[0], order[-1]
        # few values stand at equal distances, so that 8, 16, 64 can be told apart
        place = {v: k / max(1, len(order) - 1) for k, v in enumerate(order)}
        self.heights = [rounded(place[v]) for v in values]


def _hypervolume(page: Page, hypervolume: Sequence[Sequence[float]]) -> Section:
    layout = {
        "height": 280,
        "xaxis": {"title": {"text": "designs costed"}, "zeroline": False, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "hypervolume"}, "zeroline": False, "nticks": 6},
    }
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in hypervolume],
        "y": [rounded(y) for _, y in hypervolume],
        "line": {"color": "@accent", "width": 2, "shape": "hv"},
        "hovertemplate": "%{x} designs: %{y:.5g}<extra></extra>",
    }
    chart = page.chart("hypervolume", {"data": [line], "layout": layout}, "hypervolume by designs costed")
    lead = "The volume of objectives that the front dominates: where it is flat, more designs bring nothing new."
    return Section("hypervolume", "Hypervolume", chart, lead)


def _table(
    trials: Sequence[Trial], complete: int, objectives: Sequence[Mapping[str, str]], params: Sequence[str]
) -> Section:
    head = [("design", "r"), ("front", "nowrap"), *((o["name"], "r") for o in objectives), *((p, "r") for p in params)]
    rows = []
    for trial in trials:
        front = '<span class="good">✓</span>' if trial["on_front"] else ""
        row = [Cell(str(trial["number"]), trial["number"]), Cell(front, 0 if trial["on_front"] else 1)]
        for o in objectives:
            value = trial["objectives"][o["name"]]
            row.append(Cell(text(quantity(value, o["unit"])), value))
        for name in params:
            value = trial["params"].get(name, "")
            row.append(Cell(text(_value(value)), value if isinstance(value, int | float) else str(value)))
        rows.append(row)
    lead = "The front first. A click on a column's title sorts, a click on a row (or the Enter key) opens the design."
    if complete > len(trials):
        lead += f" {len(trials):,} of {complete:,} designs are listed."
    return Section("table", "All designs", sortable("trial-table", head, rows, list(range(len(rows)))), lead)


def _detail(trial: Trial, objectives: Sequence[Mapping[str, str]]) -> str:
    front = "on the Pareto front" if trial["on_front"] else "not on the Pareto front"
    aims = [[text(o["name"]), text(quantity(trial["objectives"][o["name"]], o["unit"]))] for o in objectives]
    chosen = [[text(name), text(_value(value))] for name, value in trial["params"].items()]
    figures, known = [], {x.key: (x.title, x.unit) for x in FIGURES.values()}
    for key, value in trial.get("figures", {}).items():
        title, unit = known.get(key, (key.replace("_", " "), ""))
        figures.append([text(title), text("not known" if value is None else quantity(value, unit))])
    parts = (("Parameters", chosen), ("Objectives", aims), ("Figures", figures))
    body = "".join(f"<h3>{title}</h3>{table([('', 'nowrap'), ('', 'r')], rows)}" for title, rows in parts if rows)
    return f'<h2 id="drawer-title">Design {trial["number"]}</h2><p class="muted">{front}</p>{body}'


def _lost(lost: Sequence[Trial]) -> Section:
    reasons: dict[tuple[str, str], list[Trial]] = {}
    for trial in lost:
        reasons.setdefault((trial["state"], trial.get("reason") or "no reason given"), []).append(trial)
    rows = [
        [text(state), f"{len(trials):,}", text(reason), text(_params(trials[0]))]
        for (state, reason), trials in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))[:50]
    ]
    head = [("state", "nowrap"), ("designs", "r"), ("why", "words"), ("for example", "words")]
    return Section("lost", "Designs without figures", table(head, rows, classes="full"))
