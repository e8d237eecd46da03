"""What the array simulator found, for the terminal and as JSON (schema ``hwsim.simulate/1``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hwsim.array.compare import Count, compare_counts, compare_cycles
from hwsim.array.machine import Machine
from hwsim.array.network import LayerRun
from hwsim.array.reference import Verdict
from hwsim.reports.terminal import line, shape


def simulation_data(
    model: str, arch: str, runs: Sequence[LayerRun], verdicts: Sequence[Verdict], seconds: Sequence[float]
) -> dict[str, Any]:
    """Runs as JSON: counts of all instances together, the model's beside them, and the lines between."""
    return {
        "schema": "hwsim.simulate/1",
        "model": model,
        "arch": arch,
        "layers": [_layer_data(run, verdict, took) for run, verdict, took in zip(runs, verdicts, seconds, strict=True)],
    }


def _layer_data(run: LayerRun, verdict: Verdict, seconds: float) -> dict[str, Any]:
    cycles, counts = compare_cycles(run.simulation, run.cost), compare_counts(run.simulation, run.cost)
    return {
        "name": run.name,
        "op": run.op,
        "dims": run.cost.problem.sizes,
        "macs": run.simulation.macs,
        "seconds": seconds,
        "output": {
            "agrees": verdict.agrees,
            "reference": verdict.reference,
            "exact": verdict.exact,
            "difference": verdict.difference,
            "elements": verdict.elements,
            "sum_bits": run.simulation.sum_bits,
        },
        "cycles": {
            "machine": cycles.machine,
            "model": cycles.model,
            "compute": run.simulation.cycles.compute,
            "lines": cycles.lines,
            "stalls_by_level": run.simulation.cycles.stalls_by_level,
            "explained": cycles.explained,
        },
        "counts": [
            {
                "level": c.level,
                "data_space": c.data_space,
                "action": c.action,
                "machine": c.machine,
                "model": c.model,
                "lines": c.lines,
                "explained": c.explained,
            }
            for c in counts
        ],
    }


def _right(verdict: Verdict) -> Text:
    if not verdict.agrees:
        return line(f"✗ differs by {verdict.difference:.3g}", style="bold red")
    return line("✓ equal" if verdict.exact else f"✓ within {verdict.difference:.1e}", style="green")


def _counted(counts: Sequence[Count]) -> Text:
    wrong = [c for c in counts if not c.explained]
    if wrong:
        return line(f"✗ {len(wrong)} of {len(counts)}", style="bold red")
    apart = sum(bool(c.lines) for c in counts)
    return line(f"✓ {len(counts)}" + (f", {apart} with lines" if apart else ""), style="green")


def _lines(lines: dict[str, int]) -> str:
    return ", ".join(f"{name} {'+' if n > 0 else '−'}{abs(n):,}" for name, n in lines.items())


def network_table(runs: Sequence[LayerRun], verdicts: Sequence[Verdict], seconds: Sequence[float]) -> RenderableType:
    """A line per layer."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for title in (
        "layer",
        "op",
        "shape",
        "MACs",
        "output",
        "counts",
        "cycles",
        "model",
        "cycles over the model",
        "MAC/s",
    ):
        table.add_column(title, justify="right" if title in ("MACs", "cycles", "model", "MAC/s") else "left")
    for run, verdict, took in zip(runs, verdicts, seconds, strict=True):
        cycles = compare_cycles(run.simulation, run.cost)
        table.add_row(
            run.name,
            run.op,
            shape(run.cost.problem),
            f"{run.simulation.macs:,}",
            _right(verdict),
            _counted(compare_counts(run.simulation, run.cost)),
            f"{cycles.machine:,}",
            f"{cycles.model:,}",
            _lines(cycles.lines),
            f"{run.simulation.macs / took / 1e6:.3g} M" if took else "",
        )
    return table


def layer_tables(run: LayerRun, verdict: Verdict, title: str) -> RenderableType:
    """One layer in depth: output, every count, cycles."""
    counts, cycles = compare_counts(run.simulation, run.cost), compare_cycles(run.simulation, run.cost)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), title="accesses of all instances (words)", title_justify="left")
    for name in ("level", "data space", "action", "counted", "model", "", "lines"):
        table.add_column(name, justify="right" if name in ("counted", "model") else "left")
    for c in counts:
        if not (c.machine or c.model):
            continue
        mark = line("✓", style="green") if c.explained else line("✗", style="bold red")
        table.add_row(c.level, c.data_space, c.action, f"{c.machine:,}", f"{c.model:,}", mark, _lines(c.lines))
    compute = run.simulation.cycles.compute
    time = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows = [("model", cycles.model), *cycles.lines.items(), ("machine", cycles.machine)]
    for name, n in rows:
        note = {"stalls": _by_level(run), "throttling": f"the model's own allowance over {compute:,} steps"}.get(
            name, ""
        )
        time.add_row(line(name, "dim"), line(f"{n:,}", "bold"), note)
    bits = f", sums of {run.simulation.sum_bits} bits" if run.simulation.sum_bits else ""
    return Group(
        line(f"{title}: {shape(run.cost.problem)}", style="bold"),
        line("output ") + _right(verdict) + line(f" to {verdict.reference}, {verdict.elements:,} elements{bits}"),
        line(),
        table,
        line("cycles"),
        time,
    )


def _by_level(run: LayerRun) -> str:
    waits = run.simulation.cycles.stalls_by_level
    return "waiting for " + ", ".join(f"{name} {n:,}" for name, n in waits.items()) if waits else ""


def verdict_line(name: str, verdict: Verdict) -> RenderableType:
    """What became of an output of the network."""
    return line(f"output '{name}' ") + _right(verdict) + line(f" to {verdict.reference}")


def array_frame(machine: Machine, name: str) -> RenderableType:
    """A small array at work: what every multiplier has in its latches, and what moved in this step."""
    plan, cycle = machine.plan, machine.clock.cycle
    meshes = [(f.mesh_x, f.mesh_y) for f in plan.architecture.fanouts]
    columns = min(16, max([1, *(x for x, _ in meshes)]), plan.multipliers)
    grid = Table(box=box.ROUNDED, show_header=False, padding=(0, 1), show_lines=True)
    for _ in range(columns):
        grid.add_column(justify="center")
    cells = []
    for multiplier in machine.multipliers:
        weight, activation = multiplier.operands
        cells.append(line(f"{_short(weight.value)} × {_short(activation.value)}", style="cyan"))
    for row in range(0, len(cells), columns):
        grid.add_row(*cells[row : row + columns])
    moved: dict[str, int] = {}
    for event in machine.events:
        if event.action != "mac":
            key = f"{event.place.split('[')[0]} {event.action} {event.data_space}"
            moved[key] = moved.get(key, 0) + event.words
    lines = [line(f"{key:<44}{words:>6} words") for key, words in sorted(moved.items())]
    loops = "  ".join(f"{x.dim} {i + 1}/{x.bound}" for x, i in zip(plan.loops, machine.index, strict=True))
    head = line(f"{name}  step {machine.steps:,} of {plan.steps:,}, cycle {cycle:,}   {loops}", style="bold")
    return Group(head, grid, *lines)


def _short(value: float) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
