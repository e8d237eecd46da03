"""Tables and loop nests for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from hwsim.architecture import Architecture, Fanout
from hwsim.cost import Illegal, LayerCost, NetworkCost, NetworkLayer
from hwsim.energy import EnergyTable
from hwsim.errors import printable
from hwsim.hardware import Design
from hwsim.reports import units
from hwsim.reports.columns import Column, change, component_names, from_variants, known_figures, layer_names
from hwsim.reports.figures import gap
from hwsim.rubric import Score
from hwsim.whatif import Study
from hwsim.workloads.problem import Problem

_SHADES = ("cyan", "green", "yellow", "magenta", "blue", "red", "white")
_GLYPHS = "█▓▒░"
_BAR = 12
NAME = 24  # columns that a name has at least
WIDE = 10_000  # columns that no terminal has
Justify = Literal["left", "right"]


def line(text: str = "", style: str = "") -> Text:
    """Text for the terminal in one style; what came from a file is made `printable`."""
    return Text(printable(text), style=style)


class Fitted:
    """A table that leaves out columns where the terminal is too narrow for all, and says which.

    The first column's names may take several lines; no other column is cut.
    """

    def __init__(self, head: Sequence[tuple[str, Justify]], rows: Sequence[Sequence[str | Text]], spare: Sequence[str]):
        """Head: (title, justification) of every column; ``spare`` are titles, those that are missed least first."""
        self.head, self.rows, self.spare = head, rows, spare

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The widest table that fits."""
        for kept_out in range(len(self.spare) + 1):
            left_out = self.spare[:kept_out]
            table = self._table(left_out, NAME)
            if Measurement.get(console, options.update(max_width=WIDE), table).maximum <= options.max_width:
                break
        yield self._table(left_out, None)
        if left_out:
            yield line(f"Too narrow for: {', '.join(left_out)}.", "dim")

    def _table(self, left_out: Sequence[str], width: int | None) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
        kept = [k for k, (title, _) in enumerate(self.head) if title not in left_out]
        for k in kept:
            title, justify = self.head[k]
            table.add_column(title, justify=justify, no_wrap=k > 0, overflow="fold", max_width=None if k else width)
        for row in self.rows:
            table.add_row(*(row[k] for k in kept))
        return table


def shape(problem: Problem) -> str:
    """A problem in one line, as people write it: ``96→24 1×1 56×56``."""
    n = problem.sizes
    batch = f" N{n['N']}" if n.get("N", 1) > 1 else ""
    if problem.kind == "matmul":
        times = f"{n['B']}× " if n.get("B", 1) > 1 else ""
        return f"{times}{n['P']}×{n['C']} · {n['C']}×{n['M']}"
    if {"R", "S", "P", "Q", "C"} <= n.keys():
        kernel = f"{n['S']}×{n['R']}" if "T" not in n else f"{n['T']}×{n['S']}×{n['R']}"
        image = f"{n['Q']}×{n['P']}" if "D" not in n else f"{n['D']}×{n['Q']}×{n['P']}"
        groups = f"{n['G']}×" if n.get("G", 1) > 1 else ""
        channels = f"{groups}{n['C']}→{n['M']}" if "M" in n else f"{n['C']} dw"
        return f"{channels} {kernel} {image}{batch}"
    return " ".join(f"{d}{size}" for d, size in problem.dims if size > 1)


def _colors(cost: NetworkCost) -> dict[str, str]:
    names = list(dict.fromkeys(name for layer in cost.layers for name in layer.cost.energy_by_level_pj))
    totals = {n: sum(x.count * x.cost.energy_by_level_pj.get(n, 0.0) for x in cost.layers) for n in names}
    ranked = sorted(names, key=lambda n: -totals[n])
    return {name: _SHADES[min(k, len(_SHADES) - 1)] for k, name in enumerate(ranked)}


def _glyph(name: str, colors: dict[str, str]) -> str:
    """Levels that take most differ in shade, too, so that the bar reads without colour."""
    rank = list(colors).index(name)
    return _GLYPHS[rank] if rank < len(_GLYPHS) else "·"


def _where_energy_goes(layer: LayerCost, colors: dict[str, str]) -> Text:
    """A bar split by level, and the levels that take most."""
    text, used = line(), 0.0
    by_level = layer.energy_by_level_pj
    for name, color in colors.items():
        before, used = round(used * _BAR), used + units.share(by_level.get(name, 0.0), layer.energy_pj)
        text.append(_glyph(name, colors) * (round(used * _BAR) - before), style=color)
    top = sorted(by_level, key=lambda name: -by_level[name])[:2]
    text.append(printable(" " + ", ".join(f"{n} {100 * units.share(by_level[n], layer.energy_pj):.0f}%" for n in top)))
    return text


def _totals(cost: NetworkCost) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(6):
        table.add_column()
    best = cost.peak_live_bytes_best_order
    live = units.size(cost.peak_live_bytes) + (f" (best order {units.size(best)})" if best is not None else "")
    rows = [
        ("energy", units.energy(cost.energy_pj), "cycles", units.count(cost.cycles)),
        ("latency", units.seconds(cost.seconds), "utilization", units.percent(cost.utilization)),
        ("EDP", f"{cost.edp_j_cycles:.4g} J·cycles", "MACs", units.count(cost.macs)),
        (
            "weights",
            f"{units.size(cost.weight_bytes)}, {units.count(cost.params)} params",
            "peak activation",
            units.size(cost.peak_activation_bytes),
        ),
        ("", "", "peak live", live),
    ]
    for a, b, c, d in rows:
        table.add_row(line(a, "dim"), line(b, "bold"), line(c, "dim"), line(d, "bold"))
    return table


def proof(cost: LayerCost) -> str:
    """✓ for a mapping that is proved best, else the gap; ? where nothing is known."""
    left = gap(cost)
    return "?" if left is None else "✓" if left == 0 else f"≤{100 * left:.2g}%"


def layer_cells(layer: NetworkLayer) -> list[str]:
    """Name, operator, shape, occurrences of a distinct layer; MACs, cycles, utilization, energy of one occurrence."""
    return [
        layer.name,
        layer.op,
        shape(layer.cost.problem),
        str(layer.count),
        units.count(layer.cost.problem.macs),
        units.count(layer.cost.cycles),
        units.percent(layer.cost.utilization),
        units.energy(layer.cost.energy_pj),
    ]


def profile_table(cost: NetworkCost) -> RenderableType:
    """A network's cost: totals, a line per distinct layer, what was not mapped, notes."""
    colors = _colors(cost)
    head: list[tuple[str, Justify]] = [("layer", "left"), ("op", "left"), ("shape", "left"), ("×", "right")]
    head += [("MACs", "right"), ("cycles", "right"), ("util", "right"), ("energy", "right")]
    head += [("where the energy goes", "left"), ("opt", "left")]
    rows: list[list[str | Text]] = [
        [*layer_cells(x), _where_energy_goes(x.cost, colors), proof(x.cost)] for x in cost.layers
    ]
    table = Fitted(head, rows, ("where the energy goes", "shape", "op", "MACs"))
    legend = line("energy: ") + line("  ").join(
        line(f"{_glyph(name, colors)} {name}", style=color) for name, color in colors.items()
    )
    parts: list[RenderableType] = [
        line(f"{cost.model} on {cost.arch}, every layer at its least {cost.objective}", style="bold"),
        _totals(cost),
        table,
        legend,
        line(
            "A line per distinct layer, figures of one occurrence; × says how often. opt: ✓ proved best, else the gap."
        ),
    ]
    if cost.unmapped:
        text = ", ".join(f"{x.op} ×{x.count} ({units.size(x.bytes_moved)})" for x in cost.unmapped)
        parts.append(line(f"Not mapped (bytes they move): {text}"))
    parts += [note(text) for text in cost.notes]
    return Group(*parts)


def note(text: str) -> Text:
    """A line that the reader should see."""
    return line(f"Note: {text}", style="yellow")


def loop_nest(cost: LayerCost, architecture: Architecture) -> str:
    """The mapping as an indented loop nest, with what each storage holds per instance."""
    lines, depth = [], 0
    for level, placed, priced in zip(architecture.levels, cost.mapping.levels, cost.levels, strict=True):
        held = ", ".join(f"{name} {space.capacity:,}" for name, space in priced.data_spaces.items())
        if isinstance(level, Fanout):
            lines.append(f"{'  ' * depth}{printable(level.name)}: {level.mesh_x} × {level.mesh_y} instances")
        else:
            lines.append("  " * depth + printable(f"{level.name} [{held or 'holds nothing'}]"))
        for loop in (*placed.temporal, *placed.spatial):
            word = f"parallel along {loop.axis}" if loop.axis else "for"
            short = f", in the last round 0..{loop.residual - 1}" if loop.residual != loop.bound else ""
            lines.append(f"{'  ' * depth}| {word} {printable(loop.dim)} in 0..{loop.bound - 1}{short}")
            depth += 1
    lines.append(f"{'  ' * depth}{printable(architecture.compute.name)}: multiply, accumulate")
    return "\n".join(lines)


def layer_report(
    cost: LayerCost, architecture: Architecture, title: str, unpriced: Mapping[str, str] | None = None
) -> RenderableType:
    """One layer in depth: figures, loop nest, accesses and energy per level and data space, certificate.

    Components in ``unpriced`` have no price, which stands in place of their energy.
    """
    unpriced = unpriced or {}

    def priced(component: str, pj: float) -> tuple[str, str]:
        if component in unpriced:
            return "not priced", ""
        return units.energy(pj), units.percent(units.share(pj, cost.energy_pj))

    head = line(f"{title}: {shape(cost.problem)}", style="bold")
    lacking = f" (without {', '.join(unpriced)})" if unpriced else ""
    figures = line(
        f"{units.energy(cost.energy_pj)}{lacking}, {cost.cycles:,} cycles, "
        f"utilization {units.percent(cost.utilization)}, "
        f"{cost.compute.computes:,} MACs on {cost.compute.instances} of {architecture.compute_instances} units"
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title="accesses per instance (words)", title_justify="left")
    for column in ("level", "data space", "instances", "held", "reads", "fills", "updates", "energy", "share"):
        table.add_column(column, justify="left" if column in ("level", "data space") else "right")
    for level in cost.levels:
        slowest = " ← limits" if level.throttling < 1 and level.cycles == cost.cycles else ""
        for name, space in level.data_spaces.items():
            table.add_row(
                level.name + slowest,
                name,
                f"{space.instances:,}",
                f"{space.capacity:,}",
                f"{space.reads:,}",
                f"{space.fills:,}",
                f"{space.updates:,}",
                *priced(level.name, space.energy_pj),
            )
        if level.leakage_pj:
            table.add_row(level.name, "leakage", "", "", "", "", "", *priced(level.name, level.leakage_pj))
    instances = f"{cost.compute.instances:,}"
    table.add_row(
        cost.compute.name, "compute", instances, "", "", "", "", *priced(cost.compute.name, cost.compute.energy_pj)
    )
    parts: list[RenderableType] = [head, figures, line(), Text(loop_nest(cost, architecture)), line(), table]
    if cost.certificate:
        parts.append(certificate_line(cost))
    return Group(*parts)


def certificate_line(cost: LayerCost) -> Text:
    """What the mapper proved, in a line."""
    c = cost.certificate
    if c is None:
        return line("mapping given, not searched")
    word = "optimal" if c.optimal else f"gap {100 * c.gap:.3g}%"
    tie = f", then {c.tie} {c.tie_value:.6g} (bound {c.tie_bound:.6g})" if c.tie else ""
    space = f" of {c.space_size:.4g} mappings" if c.space_size else ""
    return line(
        f"{c.objective} {c.value:.6g}, {word} (bound {c.lower_bound:.6g}){tie}; {c.evaluated:,} partial mappings"
        f"{space} in {units.seconds(c.seconds)}. {c.argument}"
    )


def architecture_tree(design: Design) -> RenderableType:
    """The hierarchy of an architecture, and what every action costs, with its source."""
    architecture = design.architecture
    root = node = Tree(line(architecture.name, "bold") + line(f" {' '.join(architecture.description.split())}"))
    for level in architecture.levels:
        if isinstance(level, Fanout):
            node = node.add(f"{level.name}: {level.mesh_x} × {level.mesh_y}")
            continue
        words = "unbounded" if level.capacity is None else f"{level.capacity:,} words"
        keep = f", keeps {', '.join(sorted(level.constraints.keep))}" if level.constraints.keep else ""
        node = node.add(
            f"{level.name} ({level.component}): {words} of {level.datawidth} bits, {level.block_size} per access{keep}"
        )
    node.add(f"{architecture.compute.name} ({architecture.compute.component})")
    return Group(root, energy_table(design.energy))


def energy_table(energy: EnergyTable, title: str = "energy per action") -> Table:
    """Every action with its price, estimator and source (″: as in the line above)."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title=title, title_justify="left")
    for column in ("component", "action", "pJ", "estimator", "source"):
        table.add_column(column, justify="right" if column == "pJ" else "left", overflow="fold")
    above = ("", "")
    for component, actions in energy.actions.items():
        for k, (action, price) in enumerate(actions.items()):
            origin = (price.estimator, price.source)
            table.add_row(
                component if k == 0 else "",
                action,
                f"{price.energy_pj:.6g}",
                *(("″", "″") if origin == above else origin),
            )
            above = origin
        if component in energy.area_um2:
            table.add_row("", "area", f"{energy.area_um2[component]:,.0f} µm²", "", "")
    for component, reason in energy.unpriced.items():
        table.add_row(component, "not priced", "", "", reason)
    return table


def architecture_list(architectures: Sequence[Architecture]) -> Table:
    """A line per architecture."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for architecture in architectures:
        table.add_row(line(architecture.name, "bold"), " ".join(architecture.description.split()))
    return table


def zoo_list(models: Mapping[str, str]) -> Table:
    """A line per model of the zoo."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, description in models.items():
        table.add_row(line(name, "bold"), description)
    return table


def why(reason: Illegal) -> str:
    """Why a mapping is illegal, in a sentence."""
    place = f" at level '{reason.level}'" if reason.level else ""
    space = f" ({reason.data_space} takes most)" if reason.data_space and reason.level else ""
    space = f" ({reason.data_space})" if reason.data_space and not reason.level else space
    return f"{reason.reason}{place}{space}: needs {reason.needed:,g}, there is {reason.available:,g}."


def front_table(points: Sequence[LayerCost], title: str) -> RenderableType:
    """The energy–latency front of one problem, a line per mapping."""
    table = Table(title=f"{title}: energy against cycles", box=box.SIMPLE_HEAD, padding=(0, 1), title_justify="left")
    for name in ("energy", "cycles", "EDP (pJ·cycles)", "utilization", "proved"):
        table.add_column(name, justify="right")
    for cost in points:
        proved = "✓" if cost.certificate is not None and cost.certificate.optimal else ""
        table.add_row(
            units.energy(cost.energy_pj),
            f"{cost.cycles:,}",
            f"{cost.edp:.4g}",
            units.percent(cost.utilization),
            proved,
        )
    return Group(table, line("From least energy to fewest cycles; nothing in between is better in both.", style="dim"))


def score_report(score: Score) -> RenderableType:
    """A score: points first, then each hard constraint and criterion with what more points would need."""
    facts, rubric = score.facts, score.rubric
    broken = [x.name for x in score.hard if not x.met]
    points = f"{score.points.normalize():f} of {score.max_points.normalize():f} points"
    headline = line(f"{points}  {rubric.title}", style="bold red" if broken else "bold")
    where = f" on {facts.cost.arch}" if facts.cost is not None else ""
    about = line(f"{facts.workload.name}{where}; accuracy {facts.accuracy_source}", style="dim")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for title in ("criterion", "figure", "band", "points", "for more", "limited by"):
        table.add_column(title, justify="right" if title in ("figure", "points") else "left")
    for hard in score.hard:
        met = line("met", style="green") if hard.met else line("broken: no points in all", style="bold red")
        table.add_row(f"{hard.name} (must)", units.graded(hard.value, hard.unit), hard.limit, "", met, "")
    for mark in score.marks:
        given = f"{mark.points.normalize():f} / {mark.max_points.normalize():f}"
        row = (mark.band or "none", given, mark.next_band or "", mark.limited_by or "")
        table.add_row(mark.name, units.graded(mark.value, mark.unit), *row)
    notes = [line(note, style="dim") for note in rubric.notes]
    return Group(headline, about, table, *notes, line(f"rubric: {rubric.source}", style="dim"))


def recipe_list(titles: Mapping[str, str]) -> RenderableType:
    """The recipes that come with hwsim."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("recipe")
    table.add_column("what it trains")
    for name, title in titles.items():
        table.add_row(name, title)
    return Group(table, line("hwsim train RECIPE --data-dir FOLDER", style="dim"))


_HIDDEN = frozenset({"epochs", "classes", "curve", "tokens_per_second", "network", "training", "options", "versions"})


def training_report(log: Mapping[str, object], folder: object) -> RenderableType:
    """What a recipe found: its figures, and its table where it has one."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for key, value in log.items():
        if key not in _HIDDEN and key != "table" and value not in (None, [], {}):
            table.add_row(line(key.replace("_", " "), style="dim"), line(str(value)))
    rows = log.get("table")
    parts: list[RenderableType] = [table]
    if isinstance(rows, list) and rows:
        lines = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
        names = [k for k in rows[0] if k != "runs"]
        for name in names:
            lines.add_column(name.replace("_", " "), justify="left" if name == names[0] else "right")
        for row in rows:
            lines.add_row(*(_cell(row.get(name)) for name in names))
        parts.append(lines)
    return Group(*parts, line(f"written to {folder}", style="dim"))


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"


def _change(value: float, base: float, shown: str) -> Text:
    """A figure with its change; green where it fell, red where it rose (all figures here are better when less)."""
    share = change(value, base)
    if share is None:
        return line(shown)
    return Text.assemble(shown, (f"  {100 * share:+.1f}%", "green" if share < 0 else "red"))


def columns_report(columns: Sequence[Column]) -> RenderableType:
    """Saved profiles side by side: a row per figure, then every layer; changes are against the first."""
    said = "Percentages of a layer are of its EDP, against the first column."
    return Group(_totals_beside(columns), _layers_beside(columns), line(said, style="dim"))


def whatif_report(variants: Study) -> RenderableType:
    """Columns side by side: the totals, then every layer with what limits it before and after."""
    base, columns = variants[0], from_variants(variants)
    head = f"{base.cost.model} on {base.cost.arch}, every layer mapped anew at its least {base.cost.objective}"
    said = [f"Percentages of a layer are of its EDP. {variants.prices}"]
    said += [f"No area is known for {', '.join(base.design.no_area)}."] if base.design.no_area else []
    return Group(
        line(head, style="bold"),
        _totals_beside(columns),
        _layers_beside(columns),
        *(line(text, style="dim") for text in said),
    )


def _totals_beside(columns: Sequence[Column]) -> Table:
    """A row per figure that any column has, and per component."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("")
    for column in columns:
        table.add_column(line(column.name), justify="right")
    for figure in known_figures(columns):
        values = [column.of(figure) for column in columns]
        first, cells = values[0], []
        for value in values:
            shown = "not known" if value is None else units.number(value, figure.unit)
            plain = figure.more or value is None or first is None
            cells.append(line(shown) if plain else _change(value or 0.0, first or 0.0, shown))
        table.add_row(units.title(figure), *cells)
    for component in component_names(columns):
        spent = [column.by_component_pj().get(component) for column in columns]
        cells = [line() if v is None else _change(v, spent[0] or 0.0, units.energy(v)) for v in spent]
        table.add_row(line(f"  energy in {component}", style="dim"), *cells)
    return table


def _layers_beside(columns: Sequence[Column]) -> Table:
    """A row per layer of any column."""
    limits = ", limited by" if any(x.limited_by for c in columns for x in c.layers.values()) else ""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("layer")
    table.add_column("×", justify="right")
    for column in columns:
        table.add_column(line(f"{column.name}: energy, cycles{limits}"), justify="right")
    for name in layer_names(columns):
        found = [column.layers.get(name) for column in columns]
        before = found[0].edp if found[0] else 0.0
        cells = []
        for layer in found:
            if layer is None:
                cells.append(line("–"))
                continue
            parts = [units.energy(layer.energy_pj), units.count(layer.cycles), *filter(None, [layer.limited_by])]
            cells.append(_change(layer.edp, before, ", ".join(parts)))
        table.add_row(line(name), str(next(x.count for x in found if x)), *cells)
    return table
