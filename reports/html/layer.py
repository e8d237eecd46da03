"""One layer in depth, as it opens on a click."""

from __future__ import annotations

from hwsim.architecture import Architecture
from hwsim.cost import LayerCost, NetworkCost, NetworkLayer
from hwsim.objective import FIGURES, Objective
from hwsim.reports import units
from hwsim.reports.html.page import bar, block, table, text
from hwsim.reports.palette import component_roles
from hwsim.reports.terminal import loop_nest, shape
from hwsim.whatif import limited_by


def detail(layer: NetworkLayer, network: NetworkCost, architecture: Architecture) -> str:
    """Figures, loop nest, accesses per level and data space, certificate."""
    cost, count = layer.cost, layer.count
    energy, cycles = count * cost.energy_pj, count * cost.cycles
    facts = (
        ("energy", units.energy(cost.energy_pj)),
        ("cycles", f"{cost.cycles:,}"),
        ("utilization", units.percent(cost.utilization)),
        ("limited by", limited_by(cost)),
        ("MACs", f"{cost.problem.macs:,}"),
        ("units in use", f"{cost.compute.instances:,} of {architecture.compute_instances:,}"),
        ("share of energy", units.percent(units.share(energy, network.energy_pj))),
        ("share of cycles", units.percent(cycles / network.cycles)),
    )
    also = [name for name in layer.names if name != layer.name]
    same = f'<p class="muted">The same problem: {text(", ".join(also))}</p>' if also else ""
    roles = component_roles(architecture)
    split = [(n, pj, units.energy(pj), roles[n]) for n, pj in cost.energy_by_level_pj.items()]
    times = f", {count} times; figures of one" if count > 1 else ""
    return (
        f'<h2 id="drawer-title">{text(layer.name)}</h2>'
        f'<p class="muted">{text(layer.op)} {text(shape(cost.problem))}{times}</p>{same}'
        f'<dl class="facts">{"".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}</dd></div>" for a, b in facts)}</dl>'
        f"<h3>Energy</h3>{bar(split)}"
        f"<h3>Loop nest</h3><pre>{block(loop_nest(cost, architecture))}</pre>"
        f"<h3>Accesses per instance (words)</h3>{accesses(cost)}"
        f"<h3>Certificate</h3><p>{text(certificate(cost))}</p>"
    )


def accesses(cost: LayerCost) -> str:
    """Counts per level and data space, per instance; energy of all instances."""
    head = [("level", "nowrap"), ("data space", "nowrap")]
    head += [(n, "r") for n in ("instances", "held", "reads", "fills", "updates", "energy", "share")]
    rows = []
    for level in cost.levels:
        for name, space in level.data_spaces.items():
            counts = (space.instances, space.capacity, space.reads, space.fills, space.updates)
            rows.append([text(level.name), text(name), *(f"{n:,}" for n in counts), *_energy(space.energy_pj, cost)])
        if level.leakage_pj:
            rows.append([text(level.name), "leakage", *[""] * 5, *_energy(level.leakage_pj, cost)])
    compute = cost.compute
    rows.append([text(compute.name), "compute", f"{compute.instances:,}", *[""] * 4, *_energy(compute.energy_pj, cost)])
    return table(head, rows)


def _energy(pj: float, cost: LayerCost) -> tuple[str, str]:
    return units.energy(pj), units.percent(units.share(pj, cost.energy_pj))


def certificate(cost: LayerCost) -> str:
    """What the mapper proved, in a sentence or two; without times, which differ from run to run."""
    c = cost.certificate
    if c is None:
        return "The mapping was given, not searched."
    first = Objective.parse(c.objective).figures[0]
    if c.optimal:
        said = f"Proved best: no mapping has a smaller {first.name} than {c.value:.6g} {first.unit}"
        said += f", and none of these a smaller {c.tie} than {c.tie_value:.6g} {FIGURES[c.tie].unit}." if c.tie else "."
    else:
        tie = f" (then {c.tie} {c.tie_value:.6g}, bound {c.tie_bound:.6g})" if c.tie else ""
        said = (
            f"{first.name} {c.value:.6g} {first.unit}; the bound is {c.lower_bound:.6g}{tie}, so that at most "
            f"{100 * c.gap:.2g}% could still be gained."
        )
    space = f" The space has {c.space_size:.4g} mappings." if c.space_size else ""
    return f"{said}{space} {c.argument}"
