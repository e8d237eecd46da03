"""An exploration as JSON (schema ``hwsim.explore/1``), as CSV, as plain data for a page, and for the terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hwsim.explore.check import Prepared
from hwsim.explore.run import Exploration
from hwsim.figure import FIGURES, explored
from hwsim.reports.formats import Report
from hwsim.reports.html.explore import explore_page
from hwsim.reports.markdown import explore_markdown
from hwsim.reports.plots import explore_plots
from hwsim.reports.table import Rows
from hwsim.reports.terminal import line, note
from hwsim.reports.units import quantity

SHOWN = 40  # designs of the front in the terminal


@dataclass(frozen=True)
class ExploreReport(Report):
    """What an exploration found; ``command`` makes it again."""

    found: Exploration
    prepared: Prepared
    command: str

    @cached_property
    def _page_data(self) -> dict[str, Any]:
        return page_data(self.found, self.prepared, self.command)

    def shown(self) -> list[RenderableType]:
        """How many trials came to what, and the designs of the front."""
        return [explore_report(self.found)]

    def data(self) -> dict[str, Any]:
        """In schema ``hwsim.explore/1``."""
        return explore_data(self.found)

    def rows(self) -> Rows:
        """A row per trial."""
        return explore_rows(self.found)

    def markdown(self) -> str:
        """A row per design of the front."""
        return explore_markdown(self._page_data)

    def page(self) -> str:
        """Front, parallel coordinates, all designs."""
        return explore_page(self._page_data)

    def plots(self) -> Mapping[str, bytes]:
        """The front, and the hypervolume over the trials."""
        return explore_plots(self._page_data)


def explore_data(found: Exploration) -> dict[str, Any]:
    """In schema ``hwsim.explore/1``: the front, sorted by parameters, and how it was come by."""
    return {
        "schema": "hwsim.explore/1",
        "title": found.space.title,
        "trials": len(found.trials),
        "failed": found.count("failed"),
        "infeasible": found.count("infeasible"),
        "objectives": _objectives(found),
        "front": [{"params": t.outcome.params, "objectives": t.outcome.objectives} for t in found.front],
        "hypervolume": found.hypervolume[-1][1] if found.hypervolume else 0.0,
        "hypervolume_box": _box(found),
        "notes": list(found.notes),
    }


def page_data(found: Exploration, prepared: Prepared, command: str) -> dict[str, Any]:
    """Everything that a page shows: every trial with figures, the front, hypervolume over trials, what it is made of.

    Args:
        command: that makes it again.
    """
    front = {t.number for t in found.front}
    return {
        "title": found.space.title,
        "objectives": _objectives(found),
        "params": list(found.space.content.parameters),
        "trials": [
            {
                "number": t.number,
                "state": t.outcome.state,
                "params": t.outcome.params,
                "objectives": t.outcome.objectives,
                "figures": {FIGURES[name].key: value for name, value in t.outcome.figures.items()},
                "on_front": t.number in front,
                "reason": t.outcome.reason,
            }
            for t in found.trials
        ],
        "hypervolume": [list(step) for step in found.hypervolume],
        "hypervolume_box": _box(found),
        "notes": list(found.notes),
        "inputs": {
            "command": command,
            "sha256": {name: _digest(part) for name, part in prepared.identity.items() if name != "hwsim"},
            "hwsim": prepared.identity["hwsim"],
        },
    }


def _digest(part: str) -> str:
    """Of a part of the space; files come as digests."""
    return (
        part if len(part) == 64 and not part.startswith(('"', "{", "[")) else hashlib.sha256(part.encode()).hexdigest()
    )


def _objectives(found: Exploration) -> list[dict[str, str]]:
    return [{"name": x.name, "unit": x.unit, "direction": x.direction} for x in found.space.objectives]


def _box(found: Exploration) -> dict[str, Any] | None:
    """Corners of the box that hypervolumes are shares of, in the objectives' own units."""
    if found.box is None:
        return None
    names, signs = [x.name for x in found.space.objectives], found.space.signs
    corners = {"ideal": found.box.ideal, "reference": found.box.reference}
    return {
        corner: {n: sign * v for n, sign, v in zip(names, signs, values, strict=True)}
        for corner, values in corners.items()
    }


def explore_rows(found: Exploration) -> Rows:
    """A line per trial: state, parameters, objectives, figures with their units, reason."""
    rows: Rows = []
    params, objectives = list(found.space.content.parameters), [x.name for x in found.space.objectives]
    others = [name for name in explored() if name not in objectives]
    titles = [f"{n} ({FIGURES[n].unit})" if FIGURES[n].unit else n for n in others]
    units_of = [f"{x.name} ({x.unit})" if x.unit else x.name for x in found.space.objectives]
    rows.append(["trial", "state", "on_front", *params, *units_of, *titles, "reason"])
    front = {t.number for t in found.front}
    for t in found.trials:
        o = t.outcome
        rows.append(
            [t.number, o.state, t.number in front]
            + [o.params.get(n, "") for n in params]
            + [o.objectives.get(n, "") for n in objectives]
            + [o.figures.get(n, "") for n in others]
            + [o.reason or ""]
        )
    return rows


def explore_report(found: Exploration) -> RenderableType:
    """How many trials came to what, and the designs of the front."""
    counts = f"{len(found.trials)} trials ({found.evaluated} evaluated now), {len(found.complete)} complete"
    for state in ("infeasible", "failed"):
        if found.count(state):
            counts += f", {found.count(state)} {state}"
    parts: list[RenderableType] = [line(found.space.title, style="bold"), line(f"{counts}, {found.seconds:.1f} s")]
    notes = [note(text) for text in found.notes]
    if not found.complete:
        parts.append(line(_nothing(found), style="yellow"))
        return Group(*parts, *notes)
    parts += [_front_table(found)]
    if len(found.front) > SHOWN:
        parts.append(line(f"{len(found.front) - SHOWN} more; --csv and --json have all."))
    value = found.hypervolume[-1][1]
    parts.append(
        line(
            f"Front: {len(found.front)} of {len(found.complete)} designs; no other is better in one objective and not "
            f"worse in the rest. Hypervolume {value:.4f}, a share of the box from the best values to 10% beyond the "
            "front's worst."
        )
    )
    return Group(*parts, *notes)


def _nothing(found: Exploration) -> str:
    """Why no design is complete: the most frequent reason."""
    reasons = [(t.outcome.reason or "").partition(" does not hold")[0] for t in found.trials]
    if not reasons:
        return "No trial was finished."
    common = max(dict.fromkeys(reasons), key=reasons.count)
    what = f"break {common}" if any(common == c.text for c in found.space.comparisons) else common
    return f"No design is complete. {reasons.count(common)} of {len(reasons)}: {what}"


def _front_table(found: Exploration) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in found.space.content.parameters:
        table.add_column(name, justify="right")
    best = [min(sign * t.outcome.objectives[x.name] for t in found.front) for x, sign in _directed(found)]
    for x, _ in _directed(found):
        table.add_column(f"{x.name} {'↓' if x.direction == 'minimise' else '↑'}", justify="right", style="bold")
    others = [n for n in ("energy", "latency", "area") if n not in {x.expression for x in found.space.objectives}]
    for name in others:
        table.add_column(name, justify="right", style="dim")
    for t in found.front[:SHOWN]:
        cells: list[str | Text] = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in t.outcome.params.values()]
        for (x, sign), least in zip(_directed(found), best, strict=True):
            value = t.outcome.objectives[x.name]
            text = quantity(value, x.unit)
            cells.append(line(text, "green" if sign * value == least else ""))
        cells += [quantity(t.outcome.figures[n], FIGURES[n].unit) for n in others]
        table.add_row(*cells)
    return table


def _directed(found: Exploration) -> list[tuple[Any, int]]:
    return list(zip(found.space.objectives, found.space.signs, strict=True))
