"""The frame of every page: head, headline, sections, inputs; styles and scripts go inline."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hwsim.errors import shorten, visible
from hwsim.provenance import Inputs
from hwsim.reports.palette import ROLES

FOLDER = Path(__file__).parent
#: The browser itself refuses whatever is not in the page.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

MOST_NAME = 300  # characters of a name in a table
TALL = 80  # rows beyond which a table scrolls by itself

Chart = dict[str, Any]
"""A Plotly figure: ``data``, ``layout``; colours are roles as in ``@accent``, filled in by the page's script.
``narrow``: changes to the layout where the figure is less than 560 pixels wide."""


@dataclass(frozen=True)
class Section:
    """One part of a page: HTML, and an anchor that the page's head links to."""

    anchor: str
    title: str
    body: str
    lead: str = ""


@dataclass
class Page:
    """A page under construction.

    Attributes:
        title / subtitle: what was costed, on what.
        claim: the one line that matters most, as HTML.
        figures: (name, value, further words) of the headline.
        charts: id → figure.
        details: what opens on a click, a number each.
    """

    title: str
    subtitle: str
    claim: str
    figures: Sequence[tuple[str, str, str]]
    inputs: Inputs
    sections: list[Section] = field(default_factory=list)
    charts: dict[str, Chart] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    notes: Sequence[str] = ()

    def chart(self, name: str, figure: Chart, label: str, *, scroll: bool = False) -> str:
        """Keep a figure; returns the element that shows it."""
        name = f"chart-{name}"
        self.charts[name] = figure
        height = int(figure["layout"]["height"])
        element = (
            f'<div class="chart" id="{name}" role="img" aria-label="{text(label)}" style="height:{height}px"></div>'
        )
        return f'<div class="scroll-y" tabindex="0" aria-label="{text(label)}">{element}</div>' if scroll else element

    def render(self) -> str:
        """The page as one file."""
        links = "".join(f'<a href="#{s.anchor}">{text(s.title)}</a>' for s in self.sections)
        figures = "".join(
            f'<div class="figure"><dt>{text(name)}</dt><dd>{text(value)}</dd><p>{text(more)}</p></div>'
            for name, value, more in self.figures
        )
        sections = "".join(
            f'<section id="{s.anchor}"><h2>{text(s.title)}</h2>'
            + (f'<p class="lead">{s.lead}</p>' if s.lead else "")
            + f"{s.body}</section>"
            for s in self.sections
        )
        notes = "".join(f'<p class="note">{text(note)}</p>' for note in self.notes)
        data = {"charts": self.charts, "details": self.details, "roles": list(ROLES)}
        return _TEMPLATE.format(
            policy=POLICY,
            title=text(f"{self.title} {self.subtitle}"),
            style=_style(),
            heading=text(self.title),
            subtitle=text(self.subtitle),
            links=links,
            claim=self.claim,
            tiles="" if len(self.figures) % 3 or len(self.figures) % 4 == 0 else " three",
            figures=figures,
            notes=notes,
            sections=sections,
            inputs=_inputs(self.inputs),
            data=embed(data),
            plotly=_plotly() if self.charts else "",
            script=(FOLDER / "page.js").read_text(encoding="utf-8"),
        )


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>
<div class="head"><div><h1>{heading}</h1><p class="subtitle">{subtitle}</p></div>
<button id="theme" class="quiet" type="button">Dark</button></div>
<p class="claim">{claim}</p>
<dl class="figures{tiles}">{figures}</dl>
{notes}
<nav aria-label="Sections">{links}<a href="#inputs">Inputs</a></nav>
</header>
<main>{sections}</main>
<footer id="inputs">{inputs}</footer>
<aside id="drawer" role="dialog" aria-modal="false" aria-labelledby="drawer-title" hidden>
<div class="drawer-bar"><button id="previous" class="quiet" type="button" aria-label="previous">←</button>
<button id="next" class="quiet" type="button" aria-label="next">→</button>
<button id="close" class="quiet" type="button">Close</button></div>
<div id="drawer-body"></div>
</aside>
<script type="application/json" id="data">{data}</script>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""


def text(value: object) -> str:
    """Text as HTML, quotes included; every character of it can be seen."""
    return html.escape(visible(str(value)))


def block(value: str) -> str:
    """Text of several lines as HTML."""
    return "\n".join(map(text, value.split("\n")))


def name_cell(value: str) -> str:
    """A layer's name as HTML that may break where names have their joints."""
    return re.sub(r"([./_:])(?=.)", r"\1<wbr>", text(shorten(value, MOST_NAME)))


def label(value: str) -> str:
    """Text for a figure: Plotly reads some tags in it, and a layer's name shall not be one."""
    return visible(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def embed(data: object) -> str:
    """JSON inside a script element: nothing in it can end the element."""
    plain = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def table(
    head: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]], *, classes: str = "", caption: str = ""
) -> str:
    """A plain table; ``head`` is (title, class of the column's cells), cells are HTML."""
    titles = "".join(f'<th scope="col" class="{kind}">{text(title)}</th>' for title, kind in head)
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(row, head, strict=True)) + "</tr>"
        for row in rows
    )
    named = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll-x"><table class="{classes}">{named}<thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


@dataclass(frozen=True)
class Cell:
    """A cell of a sortable table: what is shown (HTML) and what it is sorted by."""

    shown: str
    key: float | str


def sortable(
    name: str,
    head: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[Cell]],
    details: Sequence[int | None],
    groups: Sequence[tuple[str, int]] = (),
) -> str:
    """A table whose columns sort on a click or the Enter key; a row with a detail's number opens it.

    Args:
        name: id of the table.
        head: (title, class of the cells) of each column.
        rows: cells.
        details: a number per row, None where nothing opens.
        groups: (title, columns that it is above) of a line over the titles, where there is one.
    """
    above = "".join(f'<th class="group" scope="colgroup" colspan="{n}">{text(title)}</th>' for title, n in groups)
    above = f"<tr>{above}</tr>" if groups else ""
    titles = "".join(
        f'<th scope="col" class="{kind}" aria-sort="none">'
        f'<button type="button" data-column="{k}">{text(title)}</button></th>'
        for k, (title, kind) in enumerate(head)
    )
    body = []
    for row, detail in zip(rows, details, strict=True):
        opens = "" if detail is None else f' data-detail="{detail}" tabindex="0"'
        cells = "".join(
            f'<td class="{kind}" data-key="{text(cell.key)}">{cell.shown}</td>'
            for cell, (_, kind) in zip(row, head, strict=True)
        )
        body.append(f"<tr{opens}>{cells}</tr>")
    tall = " tall" if len(rows) > TALL else ""
    return (
        f'<div class="scroll-x{tall}" tabindex="0" aria-label="{text(name)}"><table class="sortable" id="{name}">'
        f"<thead>{above}<tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def bar(parts: Sequence[tuple[str, float, str, str]]) -> str:
    """One bar in full width, split by (name, value, value as shown, role), with its legend."""
    total = sum(value for _, value, _, _ in parts) or 1.0
    pieces = "".join(
        f'<span style="width:{100 * value / total:.3f}%;background:var(--{role})" '
        f'title="{text(name)}: {text(shown)}"></span>'
        for name, value, shown, role in parts
    )
    keys = "".join(
        f'<li><i style="background:var(--{role})"></i><b>{text(name)}</b> {text(shown)} '
        f'<span class="muted">{100 * value / total:.1f}%</span></li>'
        for name, value, shown, role in parts
    )
    return f'<div class="split" aria-hidden="true">{pieces}</div><ul class="legend">{keys}</ul>'


def _inputs(inputs: Inputs) -> str:
    rows = [("command", inputs.command), ("hwsim", inputs.version), *inputs.facts]
    rows += [(f"sha256 of {what}", digest) for what, digest in inputs.sha256]
    body = "".join(f"<dt>{text(name)}</dt><dd><code>{text(value)}</code></dd>" for name, value in rows)
    return f'<h2>Inputs</h2><p class="lead">The same inputs give the same page, byte for byte.</p><dl>{body}</dl>'


@cache
def _style() -> str:
    light = ";".join(f"--{name}:{value[0]}" for name, value in ROLES.items())
    dark = ";".join(f"--{name}:{value[1]}" for name, value in ROLES.items())
    themes = (
        f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        f":root[data-theme=light]{{{light};color-scheme:light}}:root[data-theme=dark]{{{dark};color-scheme:dark}}"
        f"@media print{{:root,:root[data-theme]{{{light}}}}}"
    )
    return themes + (FOLDER / "page.css").read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    """The charting library's own text, as its Python package carries it."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source.replace("</script", "<\\/script")


def merged(*layouts: Mapping[str, Any]) -> dict[str, Any]:
    """Layouts laid over one another."""
    out: dict[str, Any] = {}
    for layout in layouts:
        for key, value in layout.items():
            both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
            out[key] = merged(out[key], value) if both else value
    return out
