"""The page of designs side by side: `hwsim whatif` and `hwsim compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwsim.errors import shorten
from hwsim.figure import Aim
from hwsim.provenance import Inputs
from hwsim.reports import units
from hwsim.reports.columns import (
    CHANGES,
    Column,
    change,
    component_names,
    from_variants,
    gains_and_costs,
    known_figures,
    layer_names,
    percent_change,
)
from hwsim.reports.html.charts import NARROW_NAME, ROW, WIDE_NAME, layer_axis, rounded
from hwsim.reports.html.page import Cell, Chart, Page, Section, block, label, name_cell, sortable, table, text
from hwsim.reports.palette import design_role, named_roles
from hwsim.reports.scales import energy_scale
from hwsim.reports.terminal import loop_nest
from hwsim.whatif import Study

MANY = 8  # columns beyond which points of the trade-off have no names beside them


def whatif_page(variants: Study, inputs: Inputs) -> str:
    """A what-if study as one self-contained page."""
    base = variants[0]
    nests: dict[str, list[tuple[str, str]]] = {}
    for v in variants:
        for layer in v.cost.layers:
            nests.setdefault(layer.name, []).append((v.name, loop_nest(layer.cost, v.design.architecture)))
    notes = [variants.prices]
    if base.design.no_area:
        notes.append(f"No area is known for {', '.join(base.design.no_area)}.")
    return columns_page(
        from_variants(variants),
        f"{base.cost.model}: what if",
        f"on {base.cost.arch} as it is and changed, every layer mapped anew",
        inputs,
        nests,
        notes,
    )


def columns_page(
    columns: Sequence[Column],
    title: str,
    subtitle: str,
    inputs: Inputs,
    nests: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Designs side by side, compared with the first.

    Args:
        columns: at least two.
        title / subtitle: of the page.
        inputs: for its foot.
        nests: layer → (column, loop nest), for what opens on a click.
        notes: said below the headline.
    """
    names = layer_names(columns)
    page = Page(
        title=title,
        subtitle=subtitle,
        claim=_claim(columns),
        figures=_headline(columns),
        inputs=inputs,
        notes=notes,
        details=[_detail(name, columns, (nests or {}).get(name, ())) for name in names],
    )
    page.sections = [_totals(page, columns), _components(page, columns)]
    if names:
        page.sections += [_changes(page, columns, names), _table(columns, names)]
    return page.render()


def _claim(columns: Sequence[Column]) -> str:
    base = columns[0]
    best = min(columns[1:], key=lambda c: c.edp_j_cycles)
    share = change(best.edp_j_cycles, base.edp_j_cycles)
    if share is None or share > 0:
        return (
            f"No design here has a smaller EDP than <b>{text(base.name)}</b> ({units.edp(base.edp_j_cycles)} J·cycles)."
        )
    better, worse = gains_and_costs(best, base)
    others = [part for part in better if not part.startswith("EDP")]
    also = f"; {text(', '.join(others))}" if others else ""
    cost = f". It costs {text(', '.join(worse))}" if worse else ", and nothing got worse"
    return f"<b>{text(best.name)}</b> has the least EDP, {percent_change(share)} against {text(base.name)}{also}{cost}."


def _headline(columns: Sequence[Column]) -> list[tuple[str, str, str]]:
    """The best of every figure, and whose it is."""
    out = []
    for figure in known_figures(columns):
        values = [(v, c.name) for c in columns if (v := c.of(figure)) is not None]
        value, name = max(values, key=lambda p: p[0]) if figure.more else min(values, key=lambda p: p[0])
        same = all(change(v, value) is None for v, _ in values)
        word = "best" if figure.more else "least"
        shown = units.quantity(value, figure.unit).removesuffix(f" {figure.title}")
        out.append((f"{word} {figure.title}", shown, "the same in all" if same else name))
    return out


def _with_change(shown: str, share: float | None, more: bool = False) -> str:
    if share is None:
        return text(shown)
    kind = "good" if (share > 0) == more else "bad"
    return f'{text(shown)} <small class="{kind}">{percent_change(share)}</small>'


def _heads(columns: Sequence[Column]) -> list[str]:
    return [
        f'<i class="key" style="background:var(--{design_role(k)})"></i>{text(c.name)}' for k, c in enumerate(columns)
    ]


def _totals(page: Page, columns: Sequence[Column]) -> Section:
    base, known = columns[0], known_figures(columns)
    rows, words = [], []
    for head, column in zip(_heads(columns), columns, strict=True):
        cells = [head]
        for figure in known:
            value = column.of(figure)
            shown = "not known" if value is None else units.number(value, figure.unit)
            cells.append(_with_change(shown, change(value, base.of(figure)), figure.more))
        rows.append(cells)
    titles = [("design", "nowrap")]
    titles += [(units.title(figure), "r") for figure in known]
    lead = f"Percentages are changes against {text(base.name)}."
    body = table(titles, rows, classes="full")
    for head, column in list(zip(_heads(columns), columns, strict=True))[1:]:
        better, worse = gains_and_costs(column, base)
        gain = f'<span class="good">{text(", ".join(better))}</span>' if better else "nothing got better"
        cost = f'it cost <span class="bad">{text(", ".join(worse))}</span>' if worse else "it cost nothing"
        words.append(f"<li>{head}: {gain}; {cost}.</li>")
    body += f'<h3>What got better, and what it cost</h3><ul class="said">{"".join(words)}</ul>'
    body += "<h3>Energy against cycles</h3>"
    body += page.chart("trade", _trade(columns), "energy against cycles, a point per design")
    return Section("totals", "Totals", body, lead)


def _trade(columns: Sequence[Column]) -> Chart:
    """A point per design, energy over cycles; below and left of the first one is better in both."""
    scale, unit = energy_scale([c.energy_pj for c in columns])
    base = columns[0]
    middle = (min(c.cycles for c in columns) + max(c.cycles for c in columns)) / 2
    data = [
        {
            "type": "scatter",
            "mode": "markers+text" if len(columns) <= MANY else "markers",
            "x": [c.cycles],
            "y": [rounded(c.energy_pj / scale)],
            "text": [label(shorten(c.name, 32))],
            "textposition": f"{('top', 'bottom')[k % 2]} {'left' if c.cycles > middle else 'right'}",
            "textfont": {"size": 11.5, "color": "@muted"},
            "cliponaxis": False,
            "name": label(c.name),
            "marker": {"color": f"@{design_role(k)}", "size": 12},
            "hovertext": [
                f"<b>{label(c.name)}</b><br>{units.energy(c.energy_pj)}, {units.count(c.cycles)} cycles<br>"
                f"EDP {units.edp(c.edp_j_cycles)} J·cycles"
            ],
            "hoverinfo": "text",
        }
        for k, c in enumerate(columns)
    ]
    xs, ys = [c.cycles for c in columns], [c.energy_pj / scale for c in columns]
    line = {"color": "@muted", "width": 1, "dash": "dot"}
    across = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": base.energy_pj / scale,
        "y1": base.energy_pj / scale,
    }
    down = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": base.cycles, "x1": base.cycles}
    layout = {
        "height": 360,
        "margin": {"t": 20},
        "xaxis": {"title": {"text": "cycles"}, "range": _room(xs, 0.16), "zeroline": False, "nticks": 7},
        "yaxis": {"title": {"text": f"energy ({unit})"}, "range": _room(ys, 0.16), "zeroline": False, "nticks": 7},
        "shapes": [across | {"line": line}, down | {"line": line}],
    }
    return {"data": data, "layout": layout}


def _room(values: Sequence[float], share: float) -> list[float]:
    """A range with room around the values."""
    low, high = min(values), max(values)
    room = (high - low or high or 1.0) * share
    return [rounded(low - room), rounded(high + room)]


def _components(page: Page, columns: Sequence[Column]) -> Section:
    components, spent = component_names(columns), [c.by_component_pj() for c in columns]
    roles = named_roles(components)
    scale, unit = energy_scale([c.energy_pj for c in columns])
    names = [c.name for c in columns]
    data: list[dict[str, Any]] = [
        {
            "type": "bar",
            "orientation": "h",
            "name": label(component),
            "x": [rounded(row.get(component, 0.0) / scale) for row in spent],
            "y": list(range(len(names))),
            "hovertext": [
                f"<b>{label(name)}</b><br>{label(component)}: {units.energy(row.get(component, 0.0))}"
                for name, row in zip(names, spent, strict=True)
            ],
            "hoverinfo": "text",
            "marker": {"color": f"@{roles[component]}", "line": {"width": 0}},
        }
        for component in components
    ]
    layout = {
        "height": 60 + 34 * len(names),
        "barmode": "stack",
        "bargap": 0.3,
        "yaxis": layer_axis(names, WIDE_NAME + 8),
        "xaxis": {"title": {"text": f"energy ({unit})"}, "zeroline": False},
    }
    narrow = {"yaxis": layer_axis(names, NARROW_NAME)}
    chart = page.chart(
        "components", {"data": data, "layout": layout, "narrow": narrow}, "energy by component and design"
    )
    keys = "".join(
        f'<li><i style="background:var(--{roles[name]})"></i><b>{text(name)}</b></li>' for name in components
    )
    base = spent[0]
    rows = []
    for component in components:
        cells = [f'<i class="key" style="background:var(--{roles[component]})"></i>{text(component)}']
        for row in spent:
            value = row.get(component)
            shown = "" if value is None else units.energy(value)
            cells.append(_with_change(shown, change(value, base.get(component))))
        rows.append(cells)
    grid = table([("component", "nowrap"), *((c.name, "r") for c in columns)], rows)
    return Section("components", "Energy by component", f'<ul class="legend">{keys}</ul>{chart}{grid}')


def _changes(page: Page, columns: Sequence[Column], names: Sequence[str]) -> Section:
    keys = "".join(f"<li>{head}</li>" for head in _heads(columns))
    charts = ""
    for aim in CHANGES:
        ratios = _ratios(columns, names, aim)
        chart = page.chart(f"{aim.words}-change", ratios, f"{aim.words} by layer", scroll=True)
        charts += f"<div><h3>{aim.words.capitalize()}</h3>{chart}</div>"
    body = f'<ul class="legend">{keys}</ul><div class="columns">{charts}</div>'
    lead = f"Every layer against {text(columns[0].name)}: left of the line is better. A click on a point opens it."
    return Section("changes", "What changed, layer by layer", body, lead)


#: (span of the ratios, ticks that fit) for an axis of multiples
RATIOS = (
    (2.0, (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2)),
    (6.0, (0.2, 0.25, 0.33, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6)),
    (40.0, (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10, 20, 40)),
    (float("inf"), (1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1e3, 1e4)),
)


def _ratios(columns: Sequence[Column], names: Sequence[str], aim: Aim) -> Chart:
    """A figure of every layer as a multiple of the first column's, a point per column."""
    # points of several columns would hide one another on one line
    apart = min(0.18, 0.7 / len(columns))
    data = [
        _ratio_points((columns[0], column), names, aim, design_role(k), (k - len(columns) / 2) * apart)
        for k, column in enumerate(columns)
        if k
    ]
    values = [float(x) for trace in data for x in trace["x"]] + [1.0]
    low, high = min(values), max(values)
    ticks = [t for t in next(t for span, t in RATIOS if high / low <= span) if low / 1.2 <= t <= high * 1.2]
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 1, "x1": 1, "layer": "below"}
    layout = {
        "height": 56 + ROW * len(names),
        "yaxis": layer_axis(names, WIDE_NAME) | {"showgrid": True},
        "xaxis": {
            "type": "log",
            "side": "top",
            "title": {"text": f"{aim.words}, as a multiple"},
            "tickvals": ticks,
            "ticktext": [f"×{t:g}" for t in ticks],
            "zeroline": False,
        },
        "margin": {"t": 44},
        "shapes": [line | {"line": {"color": "@s0", "width": 1.5}}],
    }
    return {"data": data, "layout": layout, "narrow": {"yaxis": layer_axis(names, NARROW_NAME) | {"showgrid": True}}}


def _ratio_points(
    pair: tuple[Column, Column], names: Sequence[str], aim: Aim, role: str, shift: float
) -> dict[str, Any]:
    base, column = pair
    xs, ys, hover = [], [], []
    for row, name in enumerate(names):
        before, after = base.layers.get(name), column.layers.get(name)
        if before is None or after is None:
            continue
        old, new = aim.of(before), aim.of(after)
        share = change(new, old)
        limits = f"<br>limited by {label(before.limited_by)} → {label(after.limited_by)}" if before.limited_by else ""
        said = "no change" if share is None else percent_change(share)
        xs.append(rounded(new / old) if old else 1.0)
        ys.append(row)
        hover.append(f"<b>{label(name)}</b>, {label(column.name)}<br>{aim.words} {said}{limits}")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(shorten(column.name, 40)),
        "x": xs,
        "y": [rounded(y + shift) for y in ys],
        "customdata": ys,
        "hovertext": hover,
        "hoverinfo": "text",
        "marker": {"color": f"@{role}", "size": 8, "opacity": 0.9},
    }


def _table(columns: Sequence[Column], names: Sequence[str]) -> Section:
    limits = any(x.limited_by for c in columns for x in c.layers.values())
    head = [("layer", "name"), ("×", "r")]
    each = [("energy", "r"), ("cycles", "r"), *([("limited by", "nowrap")] if limits else [])]
    head += each * len(columns)
    groups = [("", 2), *((shorten(c.name, 40), len(each)) for c in columns)]
    rows = []
    for name in names:
        base = columns[0].layers.get(name)
        count = next(c.layers[name].count for c in columns if name in c.layers)
        cells = [Cell(name_cell(name), name), Cell(str(count), count)]
        for column in columns:
            layer = column.layers.get(name)
            if layer is None:
                cells += [Cell("", "")] * (3 if limits else 2)
                continue
            energy = change(layer.energy_pj, base.energy_pj if base else None)
            cycles = change(layer.cycles, base.cycles if base else None)
            cells.append(Cell(_with_change(units.energy(layer.energy_pj), energy), layer.energy_pj))
            cells.append(Cell(_with_change(units.count(layer.cycles), cycles), layer.cycles))
            if limits:
                moved = base is not None and base.limited_by != layer.limited_by
                shown = f"<b>{text(layer.limited_by)}</b>" if moved else text(layer.limited_by)
                cells.append(Cell(shown, layer.limited_by))
        rows.append(cells)
    lead = "Figures of one occurrence; × says how often a layer occurs. A click on a column's title sorts."
    if limits:
        lead += " What limits a layer is bold where it is not what limited it before."
    body = sortable("layer-table", head, rows, list(range(len(rows))), groups)
    return Section("table", "All layers", body, lead)


def _detail(name: str, columns: Sequence[Column], nests: Sequence[tuple[str, str]]) -> str:
    present = [(c, c.layers[name]) for c in columns if name in c.layers]
    first = present[0][1]
    rows = []
    for column, layer in present:
        figures = [
            _with_change(units.energy(layer.energy_pj), change(layer.energy_pj, first.energy_pj)),
            _with_change(units.count(layer.cycles), change(layer.cycles, first.cycles)),
            units.percent(layer.utilization),
            text(layer.limited_by),
        ]
        rows.append([name_cell(column.name), *figures])
    head = [("design", "name"), ("energy", "r"), ("cycles", "r"), ("util.", "r"), ("limited by", "nowrap")]
    components = component_names(columns)
    used = [n for n in components if any(layer.by_component_pj.get(n) for _, layer in present)]
    grid = []
    for component in used:
        before = first.by_component_pj.get(component)
        cells = [text(component)]
        for _, layer in present:
            pj = layer.by_component_pj.get(component, 0.0)
            cells.append(_with_change(units.energy(pj), change(pj, before)))
        grid.append(cells)
    energies = table([("component", "nowrap"), *((c.name, "r") for c, _ in present)], grid)
    loops = "".join(f"<h3>Loop nest: {text(column)}</h3><pre>{block(nest)}</pre>" for column, nest in nests)
    times = f'<p class="muted">{first.count} times; figures of one</p>' if first.count > 1 else ""
    return (
        f'<h2 id="drawer-title">{text(name)}</h2>{times}{table(head, rows)}'
        f"<h3>Energy by component</h3>{energies}{loops}"
    )
