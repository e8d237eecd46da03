"""The pages' figures as PNG and SVG, the same bytes from the same inputs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwsim.architecture import Architecture
from hwsim.cost import NetworkCost, NetworkLayer
from hwsim.errors import printable, shorten
from hwsim.reports import units
from hwsim.reports.columns import CHANGES, Column, component_names, layer_names
from hwsim.reports.figures import Roofline, components, memory, rooflines
from hwsim.reports.palette import ROLES, component_roles, design_role, named_roles
from hwsim.reports.scales import axis_scale, bytes_scale, energy_scale
from hwsim.rubric import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0  # inches
ROW = 0.19  # inches that a layer takes
NAME = 30
MOST_TITLE = 120
MOST_ROWS = 300  # layers that a figure shows: those that take most
MOST_BARS = 2_000
DPI = 150
MOST_PIXELS = 60_000  # a side; the drawing library ends at 65,535


def profile_plots(cost: NetworkCost, architecture: Architecture) -> dict[str, bytes]:
    """File name → content: energy and cycles by layer, rooflines, memory over the schedule."""
    figures: dict[str, Figure] = {}
    if cost.layers:
        figures |= {"energy": _energy(cost, architecture), "cycles": _cycles(cost)}
        for roof in rooflines(cost, architecture):
            if roof.points:
                name = f"roofline-{_file_name(roof.level)}"
                figures[name if name not in figures else f"{name}-{len(figures)}"] = _roofline(roof, cost)
    drawn = _memory(cost)
    if drawn is not None:
        figures["memory"] = drawn
    return _saved(figures)


def columns_plots(columns: Sequence[Column]) -> dict[str, bytes]:
    """File name → content: energy by component, energy against cycles, changes by layer."""
    figures = {"components": _components(columns), "energy-cycles": _trade(columns)}
    if len(columns) > 1 and layer_names(columns):
        figures["changes"] = _changes(columns)
    return _saved(figures)


def score_plots(score: Score) -> dict[str, bytes]:
    """File name → content: points per criterion."""
    marks = score.marks
    figure, axes = _figure(1.0 + 0.5 * len(marks), str(score.rubric.title))
    rows = range(len(marks))
    axes.barh(rows, [float(m.max_points) for m in marks], color=_color("rule"), height=0.55)
    axes.barh(rows, [float(m.points) for m in marks], color=_color("accent"), height=0.55)
    for row, mark in enumerate(marks):
        edges = [float(points) for _, points in mark.bands]
        axes.vlines(edges, row - 0.28, row + 0.28, color=_color("surface"), linewidth=1)
        axes.text(
            float(mark.max_points),
            row,
            f"  {mark.points.normalize():f} of {mark.max_points.normalize():f}",
            va="center",
        )
    _rows(axes, [m.name for m in marks])
    axes.set_xlim(0, 1.15 * max((float(m.max_points) for m in marks), default=1.0))
    axes.set_xlabel("points")
    return _saved({"points": figure})


def explore_plots(result: Mapping[str, Any]) -> dict[str, bytes]:
    """File name → content: the front of the first two objectives, hypervolume; see `hwsim.reports.html.explore`."""
    figures: dict[str, Figure] = {}
    complete = [t for t in result["trials"] if t["state"] == "complete"]
    if len(result["objectives"]) > 1 and complete:
        figures["front"] = _front(complete, result["objectives"])
    if result["hypervolume"]:
        figure, axes = _figure(3.2, "hypervolume")
        axes.step(*zip(*result["hypervolume"], strict=True), where="post", color=_color("accent"))
        axes.set_xlabel("designs costed")
        axes.set_ylabel("hypervolume")
        figures["hypervolume"] = figure
    return _saved(figures)


def _color(role: str) -> str:
    return ROLES[role][0]


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in shorten(text, NAME).replace("…", "_"))


def _figure(height: float, title: str) -> tuple[Figure, Axes]:
    """A figure without pyplot, which keeps state and asks for a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(_plain(title), loc="left", fontsize=10, fontweight="bold", color=_color("ink"))
    _calm(axes)
    return figure, axes


def _calm(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_color("rule"))
    axes.tick_params(colors=_color("muted"), labelsize=8)
    axes.xaxis.label.set(color=_color("muted"), fontsize=9)
    axes.yaxis.label.set(color=_color("muted"), fontsize=9)
    axes.grid(color=_color("rule"), linewidth=0.6)
    axes.set_axisbelow(True)


def _plain(text: str) -> str:
    """A name shall not be read as a formula, and what cannot be seen is shown as an escape."""
    out = printable(text, MOST_TITLE).replace("$", r"\$")
    return f" {out}" if out.startswith("_") else out  # a legend leaves out names with an underscore in front


def _label(name: str) -> str:
    return _plain(shorten(name, NAME))


def _legend(figure: Figure, columns: int) -> None:
    """Below the figure, where there is anything to name."""
    if any(axes.get_legend_handles_labels()[1] for axes in figure.axes):
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """A layer a row, the first on top."""
    axes.set_yticks(range(len(names)), [_plain(shorten(n, NAME)) for n in names], color=_color("ink"), fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _saved(figures: Mapping[str, Figure]) -> dict[str, bytes]:
    import matplotlib

    out = {}
    # without dates, versions and random names the same figure gives the same bytes
    metadata: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with matplotlib.rc_context({"svg.hashsalt": "hwsim", "font.family": "DejaVu Sans"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names' characters that the font lacks
        for name, figure in figures.items():
            dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
            for kind, data in metadata.items():
                content = io.BytesIO()
                figure.savefig(content, format=kind, dpi=dpi, metadata=data, facecolor=_color("surface"))
                out[f"{name}.{kind}"] = content.getvalue()
                figure.set_layout_engine("none")  # laid out once: both kinds look the same
    return out


def _title(cost: NetworkCost, what: str) -> str:
    return f"{cost.model} on {cost.arch}: {what}"


def _names(layers: Sequence[NetworkLayer]) -> list[str]:
    return [f"{x.name} ×{x.count}" if x.count > 1 else x.name for x in layers]


def _most(values: Sequence[float]) -> list[int]:
    """Which rows are shown: all, or those with the largest values, in their order."""
    return sorted(sorted(range(len(values)), key=lambda k: -values[k])[:MOST_ROWS])


def _shown(
    cost: NetworkCost, what: str, taken: Sequence[float], room: float
) -> tuple[list[NetworkLayer], Figure, Axes]:
    """The layers that a figure with a row for each shows, and the empty figure with room (inches) beside the rows."""
    layers = [cost.layers[k] for k in _most(taken)]
    if len(layers) < len(cost.layers):
        what += f", the {len(layers)} of {len(cost.layers):,} layers that take most"
    return layers, *_figure(room + ROW * len(layers), _title(cost, what))


def _energy(cost: NetworkCost, architecture: Architecture) -> Figure:
    taken = [x.count * x.cost.energy_pj for x in cost.layers]
    layers, figure, axes = _shown(cost, "energy by layer and component", taken, 1.4)
    roles = component_roles(architecture)
    scale, unit = energy_scale(taken)
    left = [0.0] * len(layers)
    for name in components(cost, architecture):
        spent = [x.count * x.cost.energy_by_level_pj.get(name, 0.0) / scale for x in layers]
        axes.barh(range(len(spent)), spent, left=left, color=_color(roles[name]), height=0.72, label=_label(name))
        left = [a + b for a, b in zip(left, spent, strict=True)]
    _rows(axes, _names(layers))
    axes.set_xlabel(f"energy ({unit})")
    _legend(figure, 4)
    return figure


def _cycles(cost: NetworkCost) -> Figure:
    taken = [x.count * x.cost.cycles for x in cost.layers]
    layers, figure, axes = _shown(cost, "cycles and utilization", taken, 1.1)
    rows = range(len(layers))
    axes.barh(rows, [x.count * x.cost.cycles for x in layers], color=_color("accent"), height=0.72)
    for row, layer in enumerate(layers):
        shown = f" {units.percent(layer.cost.utilization)}"
        axes.text(layer.count * layer.cost.cycles, row, shown, va="center", fontsize=7, color=_color("muted"))
    _rows(axes, _names(layers))
    axes.set_xlabel("cycles (beside the bar: utilization)")
    axes.xaxis.set_major_formatter(lambda value, _: units.count(value))
    axes.margins(x=0.09)
    return figure


def _roofline(roof: Roofline, cost: NetworkCost) -> Figure:
    figure, axes = _figure(4.2, _title(cost, f"roofline at {roof.level}"))
    xs, ys = [p.intensity for p in roof.points], [p.macs_per_cycle for p in roof.points]
    ridges = [roof.compute_roof / bound for _, bound in roof.bandwidth_roofs]
    low, high = min(xs + ridges) / 2, max(xs + ridges) * 2
    axes.plot(
        [low, high], [roof.compute_roof] * 2, color=_color("compute"), label=f"array {roof.compute_roof:,} MAC/cycle"
    )
    for direction, bound in roof.bandwidth_roofs:
        ridge = roof.compute_roof / bound
        named = f"{direction} bandwidth {bound:g} B/cycle"
        axes.plot([low, ridge], [low * bound, roof.compute_roof], color=_color("c1"), label=named)
    energies = [cost.layers[p.layer].count * cost.layers[p.layer].cost.energy_pj for p in roof.points]
    sizes = [20 + 160 * units.share(e, max(energies)) for e in energies]
    axes.scatter(
        xs, ys, s=sizes, color=_color("accent"), alpha=0.7, linewidths=0.6, edgecolors=_color("surface"), zorder=3
    )
    axes.set(xscale="log", yscale="log", xlabel=f"MAC per byte at {_label(roof.level)}", ylabel="MAC per cycle")
    axes.set_ylim(bottom=min(min(ys) / 2, roof.compute_roof / 8), top=roof.compute_roof * 1.6)
    _legend(figure, 3)
    return figure


def _memory(cost: NetworkCost) -> Figure | None:
    schedule = memory(cost)
    if schedule is None:
        return None
    steps, peak = schedule.steps, schedule.steps[schedule.peak]
    scale, unit = bytes_scale(peak.live_bytes)
    figure, axes = _figure(
        3.4, _title(cost, f"live activations, peak {units.size(peak.live_bytes)} at {peak.operator}")
    )
    colors = [_color("accent" if k == schedule.peak else "c1") for k in range(len(steps))]
    live = [s.live_bytes / scale for s in steps]
    if len(steps) <= MOST_BARS:
        axes.bar(range(len(steps)), live, color=colors, width=0.9)
    else:
        axes.stairs(live, fill=True, color=_color("c1"))
    axes.set(xlabel="operator, in the file's order", ylabel=f"activations alive ({unit})")
    axes.grid(visible=False, axis="x")
    return figure


def _components(columns: Sequence[Column]) -> Figure:
    figure, axes = _figure(1.6 + 0.42 * len(columns), "energy by component")
    scale, unit = energy_scale([c.energy_pj for c in columns])
    names, spent = component_names(columns), [c.by_component_pj() for c in columns]
    roles, left = named_roles(names), [0.0] * len(columns)
    for name in names:
        width = [row.get(name, 0.0) / scale for row in spent]
        axes.barh(range(len(columns)), width, left=left, color=_color(roles[name]), height=0.65, label=_label(name))
        left = [a + b for a, b in zip(left, width, strict=True)]
    _rows(axes, [c.name for c in columns])
    axes.set_xlabel(f"energy ({unit})")
    _legend(figure, 4)
    return figure


def _trade(columns: Sequence[Column]) -> Figure:
    figure, axes = _figure(4.2, "energy against cycles")
    scale, unit = energy_scale([c.energy_pj for c in columns])
    for k, column in enumerate(columns):
        color = _color(design_role(k))
        axes.scatter(
            [column.cycles], [column.energy_pj / scale], color=color, s=60, label=_label(column.name), zorder=3
        )
    axes.set(xlabel="cycles", ylabel=f"energy ({unit})")
    axes.xaxis.set_major_formatter(lambda value, _: units.count(value))
    axes.margins(0.15)
    _legend(figure, 3)
    return figure


def _changes(columns: Sequence[Column]) -> Figure:
    from matplotlib.figure import Figure

    base, names = columns[0], layer_names(columns)
    taken = [sum(c.layers[n].count * c.layers[n].energy_pj for c in columns if n in c.layers) for n in names]
    names = [names[k] for k in _most(taken)]
    figure = Figure(figsize=(WIDTH, 1.5 + ROW * len(names)), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    for axes, aim in zip(pair, CHANGES, strict=True):
        _calm(axes)
        for k, column in enumerate(columns[1:], 1):
            common = [r for r, n in enumerate(names) if n in base.layers and n in column.layers]
            pairs = [(aim.of(column.layers[names[r]]), aim.of(base.layers[names[r]])) for r in common]
            ratio = [after / before if before else 1.0 for after, before in pairs]
            shown = _label(column.name) if aim is CHANGES[0] else None
            axes.scatter(ratio, common, color=_color(design_role(k)), s=22, label=shown, zorder=3)
        axes.axvline(1, color=_color("s0"), linewidth=1)
        axes.set_xlabel(f"{aim.words}, as a multiple of {_plain(shorten(base.name, 24))}")
        _rows(axes, names)
        axes.grid(visible=True, axis="y")
    _legend(figure, 3)
    return figure


def _front(complete: Sequence[Mapping[str, Any]], objectives: Sequence[Mapping[str, str]]) -> Figure:
    x, y = objectives[:2]
    figure, axes = _figure(4.6, f"{y['name']} against {x['name']}")
    scales = [axis_scale([t["objectives"][o["name"]] for t in complete], o["unit"]) for o in (x, y)]
    for on_front, color, size in ((False, "s0", 14), (True, "accent", 36)):
        trials = [t for t in complete if bool(t["on_front"]) is on_front]
        across, up = (
            [t["objectives"][o["name"]] / s for t in trials] for o, (s, _) in zip((x, y), scales, strict=True)
        )
        label = "front" if on_front else "others"
        axes.scatter(across, up, s=size, color=_color(color), alpha=1 if on_front else 0.5, label=label, linewidths=0)
    axes.set(xlabel=f"{_label(x['name'])} ({scales[0][1]})", ylabel=f"{_label(y['name'])} ({scales[1][1]})")
    _legend(figure, 2)
    return figure
