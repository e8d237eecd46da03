"""A network on a systolic array as a terminal table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from hwsim.array.systolic import MatrixProduct, SystolicCycles, SystolicDesign
from hwsim.array.systolic_network import PHASES, Stepped, SystolicLayer, SystolicNetwork
from hwsim.reports import units
from hwsim.reports.terminal import Fitted, Justify, line

BAR_WIDTH = 12
GLYPHS = dict(zip(PHASES, "▒░█·", strict=True))


def design_line(design: SystolicDesign) -> str:
    """The array in a line."""
    weights = "double-buffered" if design.double_buffered else "single"
    sums = "unlimited" if design.accumulators is None else f"{design.accumulators:,} a column"
    return f"{design.rows} rows × {design.columns} columns, {weights} weights, accumulators {sums}"


def shape(product: MatrixProduct) -> str:
    """``tokens × reduction × outputs``, the groups in front where there are several."""
    groups = f"{product.groups:,} × " if product.groups > 1 else ""
    sizes = f"{product.tokens:,} × {product.reduction:,} × {product.outputs:,}"
    return f"{groups}({sizes})" if groups else sizes


def phase_bar(cycles: SystolicCycles, width: int = BAR_WIDTH) -> str:
    """The phases of the cycles as a bar."""
    ends, passed = [], 0
    for phase in PHASES:
        passed += getattr(cycles, phase)
        ends.append(round(width * passed / cycles.total))
    starts = [0, *ends[:-1]]
    return "".join(GLYPHS[phase] * (end - start) for phase, start, end in zip(PHASES, starts, ends, strict=True))


def _checked(layer: SystolicLayer) -> Text:
    stepped = layer.stepped
    if stepped is None:
        return line()
    if stepped.refused:
        return line(f"too large: {stepped.refused}", style="dim")
    if layer.agrees:
        return line("✓ cycles and product", style="green")
    found = stepped.cycles.total if stepped.cycles else 0
    fault = "" if stepped.product_matches else ", wrong product"
    return line(f"✗ {found:,} cycles{fault}", style="bold red")


def systolic_report(network: SystolicNetwork) -> RenderableType:
    """The totals, then a line per distinct layer with its phases, and what stepping showed."""
    stepped = any(x.stepped is not None for x in network.layers)
    total = network.cycles
    head = line(f"{network.model} on a systolic array: {design_line(network.design)}", style="bold")
    latency = f" ({units.seconds(total.total * network.cycle_seconds)})" if network.cycle_seconds else ""
    figures = line(
        f"{total.total:,} cycles{latency}, utilization {units.percent(network.utilization)}, "
        f"{units.count(network.macs)} MACs"
    )
    titles = ("layer", "op", "×", "tokens × reduction × outputs", "cycles", "util", "phases", *PHASES)
    columns: list[tuple[str, Justify]] = [(n, "left" if n in ("layer", "op", "phases") else "right") for n in titles]
    columns += [("stepped", "left")] if stepped else []
    rows: list[list[str | Text]] = []
    for x in network.layers:
        row: list[str | Text] = [
            x.name,
            x.op,
            str(x.count),
            shape(x.product),
            f"{x.cycles.total:,}",
            units.percent(x.utilization),
        ]
        row += [phase_bar(x.cycles), *(f"{getattr(x.cycles, phase):,}" for phase in PHASES)]
        rows.append([*row, *([_checked(x)] if stepped else [])])
    table = Fitted(columns, rows, (*PHASES, "op", "tokens × reduction × outputs"))
    shares = ", ".join(f"{GLYPHS[p]} {p} {units.percent(getattr(total, p) / total.total)}" for p in PHASES)
    parts: list[RenderableType] = [
        head,
        figures,
        table,
        line(f"{shares}; a layer's figures are of one occurrence.", "dim"),
    ]
    if network.unmapped:
        names = ", ".join(f"{x.op} ×{x.count}" for x in network.unmapped)
        parts.append(line(f"Not on the array: {names}.", style="dim"))
    return Group(*parts)


def _cycles(cycles: SystolicCycles) -> dict[str, int]:
    return {"total": cycles.total, **{phase: getattr(cycles, phase) for phase in PHASES}}


def _stepped(stepped: Stepped) -> dict[str, Any]:
    if stepped.cycles is None:
        return {"refused": stepped.refused}
    return {"cycles": _cycles(stepped.cycles), "product_matches": stepped.product_matches}


def systolic_data(network: SystolicNetwork) -> dict[str, Any]:
    """The network as plain data, schema hwsim.systolic/1."""
    design = network.design
    layers = []
    for x in network.layers:
        p = x.product
        layer: dict[str, Any] = {
            "name": x.name,
            "op": x.op,
            "names": list(x.names),
            "count": x.count,
            "product": {"groups": p.groups, "tokens": p.tokens, "reduction": p.reduction, "outputs": p.outputs},
            "macs": p.macs,
            "cycles": _cycles(x.cycles),
            "utilization": x.utilization,
        }
        if x.stepped is not None:
            layer["stepped"] = _stepped(x.stepped)
        layers.append(layer)
    return {
        "schema": "hwsim.systolic/1",
        "model": network.model,
        "design": {
            "rows": design.rows,
            "columns": design.columns,
            "double_buffered": design.double_buffered,
            "accumulators": design.accumulators,
        },
        "macs": network.macs,
        "cycles": _cycles(network.cycles),
        "utilization": network.utilization,
        "layers": layers,
    }
