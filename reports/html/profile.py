"""The page of `hwsim profile`."""

from __future__ import annotations

from hwsim.architecture import Architecture
from hwsim.cost import NetworkCost, NetworkLayer
from hwsim.objective import FIGURES, Objective
from hwsim.provenance import Inputs
from hwsim.reports import units
from hwsim.reports.figures import (
    MemorySchedule,
    energy_by_component_pj,
    energy_matrix_pj,
    gap,
    memory,
    rooflines,
    top_share,
)
from hwsim.reports.html import charts, graph
from hwsim.reports.html.layer import detail
from hwsim.reports.html.page import Cell, Page, Section, bar, name_cell, sortable, table, text
from hwsim.reports.palette import component_roles
from hwsim.reports.terminal import shape
from hwsim.whatif import limited_by

DEAREST = 7


def _aim(objective: Objective) -> str:
    return ", then ".join(FIGURES[name].words for name in str(objective).split(","))


def profile_page(cost: NetworkCost, architecture: Architecture, inputs: Inputs) -> str:
    """A network's cost as one self-contained page."""
    page = Page(
        title=cost.model,
        subtitle=f"on {cost.arch}, every layer mapped for least {_aim(cost.objective)}",
        claim=_claim(cost, architecture),
        figures=_headline(cost),
        inputs=inputs,
        notes=cost.notes,
        details=[detail(layer, cost, architecture) for layer in cost.layers],
    )
    if cost.layers:
        page.sections += [
            _energy(page, cost, architecture),
            _layers(page, cost, architecture),
            _rooflines(page, cost, architecture),
        ]
    schedule = memory(cost)
    if schedule is not None:
        page.sections.append(_memory(page, cost, schedule))
        drawn, said = graph.draw(cost, architecture)
        page.sections.append(Section("graph", "Graph", drawn, f"{said} A click on a layer opens it."))
    if cost.layers:
        page.sections.append(_table(cost, architecture))
    if cost.unmapped:
        page.sections.append(_unmapped(cost))
    return page.render()


def _claim(cost: NetworkCost, architecture: Architecture) -> str:
    """The line that matters first."""
    if not cost.layers:
        return "No operator of this network is mapped."
    component, of_energy = top_share(list(energy_by_component_pj(cost, architecture).items()))
    dear, dear_share = top_share([(x.name, x.count * x.cost.energy_pj) for x in cost.layers])
    slow, slow_share = top_share([(x.name, x.count * x.cost.cycles) for x in cost.layers])
    last = (
        f"<b>{text(dear)}</b> takes the most energy ({units.percent(dear_share)}) and the most cycles "
        f"({units.percent(slow_share)})."
        if dear == slow
        else f"<b>{text(dear)}</b> takes the most energy ({units.percent(dear_share)}), <b>{text(slow)}</b> the most "
        f"cycles ({units.percent(slow_share)})."
    )
    return (
        f"One inference takes <b>{units.energy(cost.energy_pj)}</b> and <b>{units.count(cost.cycles)} cycles</b>; "
        f"{units.percent(of_energy)} of the energy goes to {text(component)}. {last}"
    )


def _headline(cost: NetworkCost) -> list[tuple[str, str, str]]:
    best = cost.peak_live_bytes_best_order
    order = f"{units.size(best)} in the best order" if best is not None else "in the file's order"
    return [
        ("energy", units.energy(cost.energy_pj), f"{cost.energy_pj / max(1, cost.macs):.3g} pJ per MAC"),
        ("cycles", units.count(cost.cycles), f"{units.count(cost.macs)} MACs"),
        ("latency", units.seconds(cost.seconds), f"at {1e-6 / cost.cycle_seconds:.4g} MHz"),
        ("utilization", units.percent(cost.utilization), "of all multipliers, all cycles"),
        ("EDP", units.edp(cost.edp_j_cycles), "J·cycles"),
        ("peak activation", units.size(cost.peak_activation_bytes), "input and output of one layer"),
        ("peak live", units.size(cost.peak_live_bytes), order),
        ("parameters", units.count(cost.params), f"{units.size(cost.weight_bytes)} as stored"),
    ]


def _energy(page: Page, cost: NetworkCost, architecture: Architecture) -> Section:
    roles = component_roles(architecture)
    parts = energy_by_component_pj(cost, architecture)
    split = bar([(name, pj, units.energy(pj), roles[name]) for name, pj in parts.items()])
    spaces, matrix = energy_matrix_pj(cost, architecture)
    rows = [
        [f'<i class="key" style="background:var(--{roles[name]})"></i>{text(name)}']
        + [units.energy(row[space]) if row.get(space) else "" for space in spaces]
        + [units.energy(parts[name])]
        for name, row in matrix.items()
    ]
    grid = table([("component", "nowrap"), *((s, "r") for s in spaces), ("all", "r")], rows)
    body = (
        f'{split}<div class="columns"><div><h3>By component and tensor</h3>{grid}</div>'
        f"<div><h3>Layers that take most</h3>{_dearest(cost)}</div></div>"
    )
    return Section("energy", "Energy", body, "Of the whole network.")


def _dearest(cost: NetworkCost) -> str:
    """The few layers that take most energy, every occurrence counted."""
    ranked = sorted(range(len(cost.layers)), key=lambda k: -cost.layers[k].count * cost.layers[k].cost.energy_pj)
    rows = []
    for index in ranked[:DEAREST]:
        layer = cost.layers[index]
        pj = layer.count * layer.cost.energy_pj
        share = units.share(pj, cost.energy_pj)
        most = cost.layers[ranked[0]].count * cost.layers[ranked[0]].cost.energy_pj
        track = f'<div class="share"><i style="width:{100 * units.share(pj, most):.1f}%"></i></div>'
        name = f"{layer.name} ×{layer.count}" if layer.count > 1 else layer.name
        rows.append([name_cell(name), track, units.energy(pj), units.percent(share)])
    return table([("layer", "name"), ("", "wide"), ("energy", "r"), ("share", "r")], rows, classes="full")


def _layers(page: Page, cost: NetworkCost, architecture: Architecture) -> Section:
    body = (
        '<div class="columns"><div><h3>Energy by layer and component</h3>'
        + page.chart("energy-by-layer", charts.energy(cost, architecture), "energy by layer and component", scroll=True)
        + "</div><div><h3>Cycles and utilization</h3>"
        + page.chart("cycles-by-layer", charts.cycles(cost), "cycles and utilization by layer", scroll=True)
        + "</div></div>"
    )
    several = any(x.count > 1 for x in cost.layers)
    lead = "A row per distinct layer, in the order in which they run"
    lead += "; ×n occurs n times, and all of them are counted." if several else "."
    return Section("layers", "Layer by layer", body, f"{lead} A click on a bar opens the layer.")


def _rooflines(page: Page, cost: NetworkCost, architecture: Architecture) -> Section:
    parts: list[str] = []
    for roof in rooflines(cost, architecture):
        if not roof.points:
            continue
        chart = page.chart(f"roofline-{len(parts)}", charts.roofline(roof, cost), f"roofline at {roof.level}")
        said = "" if roof.bandwidth_roofs else f"The architecture sets no limit to the bandwidth of {text(roof.level)}."
        parts.append(
            f"<div><h3>At {text(roof.level)}</h3>{chart}" + (f'<p class="muted">{said}</p>' if said else "") + "</div>"
        )
    lead = (
        "MACs per byte that a level moves, against MACs per cycle. Bytes are those of the access counts, in the "
        "direction (read or write) that is nearest its limit. The larger a point, the more energy its layer takes."
    )
    return Section("roofline", "Roofline", f'<div class="columns">{"".join(parts)}</div>', lead)


def _memory(page: Page, cost: NetworkCost, schedule: MemorySchedule) -> Section:
    chart = page.chart(
        "memory", charts.memory(schedule, cost.peak_live_bytes_best_order), "live bytes over the schedule"
    )
    at = schedule.steps[schedule.peak]
    alive = ", ".join(f"{text(name)} ({units.size(size)})" for name, size in schedule.at_peak[:6])
    more = f" and {len(schedule.at_peak) - 6} more" if len(schedule.at_peak) > 6 else ""
    lead = (
        f"Activations alive while each operator runs, in the file's order. The peak, "
        f"<b>{units.size(at.live_bytes)}</b>, is at {text(at.operator)} ({text(at.op)}); alive there: {alive}{more}."
    )
    return Section("memory", "Memory", chart, lead)


def _table(cost: NetworkCost, architecture: Architecture) -> Section:
    outer = architecture.storages[0].name
    head = [("#", "r"), ("layer", "name"), ("op", ""), ("shape", "nowrap"), ("×", "r"), ("MACs", "r"), ("cycles", "r")]
    head += [("util.", "r"), ("energy", "r"), ("where it goes", ""), (f"{outer}", "r"), ("limited by", "nowrap")]
    head += [("proof", "nowrap")]
    roles = component_roles(architecture)
    rows = [_line(k, layer, outer, roles) for k, layer in enumerate(cost.layers)]
    lead = (
        "Figures of one occurrence; × says how often a layer occurs. A click on a column's title sorts, a click on a "
        "row (or the Enter key) opens the layer. Proof: ✓ no mapping is better, else the gap that is left."
    )
    return Section("table", "All layers", sortable("layer-table", head, rows, list(range(len(rows)))), lead)


def _line(index: int, layer: NetworkLayer, outer: str, roles: dict[str, str]) -> list[Cell]:
    cost, by_level = layer.cost, layer.cost.energy_by_level_pj
    share = units.share(by_level.get(outer, 0.0), cost.energy_pj)
    open_gap = gap(cost)
    proof = "?" if open_gap is None else "✓" if open_gap == 0 else f"≤{100 * open_gap:.2g}%"
    mini = "".join(
        f'<span style="width:{100 * units.share(pj, cost.energy_pj):.2f}%;background:var(--{roles[n]})"></span>'
        for n, pj in by_level.items()
    )
    return [
        Cell(str(index + 1), index),
        Cell(name_cell(layer.name), layer.name),
        Cell(text(layer.op), layer.op),
        Cell(text(shape(cost.problem)), shape(cost.problem)),
        Cell(str(layer.count), layer.count),
        Cell(units.count(cost.problem.macs), cost.problem.macs),
        Cell(units.count(cost.cycles), cost.cycles),
        Cell(units.percent(cost.utilization), cost.utilization),
        Cell(units.energy(cost.energy_pj), cost.energy_pj),
        Cell(f'<div class="mini">{mini}</div>', share),
        Cell(units.percent(share), share),
        Cell(text(limited_by(cost)), limited_by(cost)),
        Cell(proof, -1.0 if open_gap is None else open_gap),
    ]


def _unmapped(cost: NetworkCost) -> Section:
    moved = sum(x.bytes_moved for x in cost.unmapped)
    kinds = table(
        [("operator", "nowrap"), ("how many", "r"), ("bytes moved", "r")],
        [
            [text(x.op), f"{x.count:,}", units.size(x.bytes_moved)]
            for x in sorted(cost.unmapped, key=lambda x: -x.bytes_moved)
        ],
    )
    single = sorted(
        ((op, op.repeats * cost.workload.bytes_moved(op)) for op in cost.workload.operators if not op.mapped),
        key=lambda pair: -pair[1],
    )
    moving = [(op, moves) for op, moves in single if moves]
    names = table(
        [("operator", "name"), ("type", "nowrap"), ("bytes moved", "r")],
        [[name_cell(op.name), text(op.op), units.size(moves)] for op, moves in moving],
    )
    each = f"<details><summary>Each of the {len(moving)} that move any</summary>{names}</details>" if moving else ""
    lead = f"Operators that are no tensor contraction; they move {units.size(moved)}, which no figure above counts."
    return Section("unmapped", "Not mapped", kinds + each, lead)
