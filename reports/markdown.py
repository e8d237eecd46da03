"""Results as Markdown tables, for READMEs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hwsim.cost import NetworkCost
from hwsim.errors import printable
from hwsim.reports import units
from hwsim.reports.columns import Column, change, known_figures, layer_names, percent_change
from hwsim.reports.terminal import layer_cells, proof
from hwsim.reports.units import graded
from hwsim.rubric import Score
from hwsim.whatif import limited_by


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A Markdown table; ``right`` are the columns of figures."""
    rule = ["---:" if k in right else "---" for k in range(len(head))]
    lines = [[_cell(c) for c in row] for row in (head, *rows)]
    lines.insert(1, rule)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Text that is text, in a cell or at the start of a line: names may hold what Markdown reads as its own."""
    out = re.sub(r"[\\|*_`<>\[\]~$&#]", r"\\\g<0>", printable(text))
    out = re.sub(r"(?i)\b(https?|ftp|mailto)(?=:)|\bwww(?=\.)", r"\g<0>\\", out)  # bare addresses become links
    return re.sub(r"^(\d+(?=[.)]\s)|(?=[-+]\s))", r"\1\\", out)  # lists


def profile_markdown(cost: NetworkCost) -> str:
    """Totals in a line, and a row per distinct layer (figures of one occurrence)."""
    head = ["layer", "op", "shape", "×", "MACs", "cycles", "utilization", "energy", "limited by", "proof"]
    rows = [[*layer_cells(layer), limited_by(layer.cost), proof(layer.cost)] for layer in cost.layers]
    totals = (
        f"{_cell(cost.model)} on {_cell(cost.arch)}, every layer at its least {cost.objective}: "
        f"{units.energy(cost.energy_pj)}, {units.count(cost.cycles)} cycles, EDP {units.edp(cost.edp_j_cycles)} "
        f"J·cycles, utilization {units.percent(cost.utilization)}, "
        f"peak activation {units.size(cost.peak_activation_bytes)}.\n\n"
    )
    return totals + table(head, rows, range(3, 8)) + _notes(cost.notes)


def _notes(notes: Sequence[str]) -> str:
    return "".join(f"\nNote: {_cell(note)}\n" for note in notes)


def columns_markdown(columns: Sequence[Column], notes: Sequence[str] = ()) -> str:
    """A row per design with changes against the first, and a row per layer; then notes."""
    base = columns[0]
    known = known_figures(columns)
    rows = []
    for column in columns:
        cells = [column.name]
        for figure in known:
            value = column.of(figure)
            shown = "not known" if value is None else units.number(value, figure.unit)
            cells.append(shown if value is None else _changed(shown, value, base.of(figure)))
        rows.append(cells)
    titles = ["design", *map(units.title, known)]
    out = table(titles, rows, range(1, len(titles)))
    layers = []
    for name in layer_names(columns):
        first = base.layers.get(name)
        cells = [name]
        for column in columns:
            layer = column.layers.get(name)
            if layer is None:
                cells.append("")
                continue
            energy = _changed(units.energy(layer.energy_pj), layer.energy_pj, first.energy_pj if first else None)
            cycles = _changed(f"{units.count(layer.cycles)} cycles", layer.cycles, first.cycles if first else None)
            cells.append(", ".join([energy, cycles, *([layer.limited_by] if layer.limited_by else [])]))
        layers.append(cells)
    return out + "\n" + table(["layer", *(c.name for c in columns)], layers) + _notes(notes)


def _changed(shown: str, value: float, base: float | None) -> str:
    share = change(value, base)
    return shown if share is None else f"{shown} ({percent_change(share)})"


def score_markdown(score: Score) -> str:
    """Points in a line, and a row per hard constraint and criterion."""
    rows = [
        [f"{h.name} (must)", graded(h.value, h.unit), h.limit, "met" if h.met else "broken", ""] for h in score.hard
    ]
    for mark in score.marks:
        points = f"{mark.points.normalize():f} / {mark.max_points.normalize():f}"
        rows.append([mark.name, graded(mark.value, mark.unit), mark.band or "none", points, mark.next_band or ""])
    said = (
        f"{_cell(score.facts.workload.name)}: {score.points.normalize():f} of {score.max_points.normalize():f} points "
        f"by {_cell(score.rubric.name)}.\n\n"
    )
    return said + table(["criterion", "figure", "band", "points", "for more"], rows, (1, 3))


def explore_markdown(result: Mapping[str, Any]) -> str:
    """A row per design on the front of an exploration (see `hwsim.reports.html.explore`), by the first objective."""
    aims, params = result["objectives"], result["params"]
    front = [t for t in result["trials"] if t["state"] == "complete" and t["on_front"]]
    front.sort(key=lambda t: (t["objectives"][aims[0]["name"]], t["number"]))
    rows = [
        [str(t["number"])]
        + [str(t["params"].get(name, "")) for name in params]
        + [units.quantity(t["objectives"][o["name"]], o["unit"]) for o in aims]
        for t in front
    ]
    head = ["design", *params, *(o["name"] for o in aims)]
    return table(head, rows, range(len(params) + 1, len(head))) + _notes(result.get("notes", ()))
