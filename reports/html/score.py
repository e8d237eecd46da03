"""The page of `hwsim score`: points per criterion with the bands' edges, and what more would need."""

from __future__ import annotations

from decimal import Decimal

from hwsim.provenance import Inputs
from hwsim.reports.html.page import Page, Section, table, text
from hwsim.reports.units import graded
from hwsim.rubric import Mark, Score

WORDS = 17  # percent of a bar's width that the words at a band's edge take


def score_page(score: Score, inputs: Inputs) -> str:
    """A model's score by a rubric as one self-contained page."""
    facts, rubric = score.facts, score.rubric
    where = f" on {facts.cost.arch}" if facts.cost is not None else ""
    page = Page(
        title=f"{facts.workload.name}: {score.points.normalize():f} of {score.max_points.normalize():f} points",
        subtitle=f"{rubric.title}{where}",
        claim=_claim(score),
        figures=[(m.name, graded(m.value, m.unit), _points(m)) for m in score.marks],
        inputs=inputs,
        notes=[f"Accuracy: {facts.accuracy_source}.", *rubric.notes, f"Rubric: {rubric.source}"],
    )
    if score.hard:
        page.sections.append(_hard(score))
    bars = "".join(_bar(mark) for mark in score.marks)
    lead = "A bar is the share of a criterion's points; the lines are the bands, with the points that each gives."
    page.sections.append(Section("criteria", "Points", bars, lead))
    page.sections.append(_more(score))
    return page.render()


def _points(mark: Mark) -> str:
    return f"{mark.points.normalize():f} of {mark.max_points.normalize():f} points"


def _claim(score: Score) -> str:
    broken = [h for h in score.hard if not h.met]
    if broken:
        names = ", ".join(f"{h.name} is {graded(h.value, h.unit)}, it must be {h.limit}" for h in broken)
        return f'<span class="bad">No points:</span> {text(names)}.'
    points = f"<b>{score.points.normalize():f} of {score.max_points.normalize():f} points</b>"
    open_marks = [m for m in score.marks if m.next_band]
    if not open_marks:
        return f"{points}: every criterion is in its best band."
    nearest = max(open_marks, key=lambda m: m.max_points - m.points)
    if nearest.value is None:
        return f"{points}. For <b>{text(nearest.name)}</b> it takes {text(nearest.next_band or '')}."
    by = f" ({text(nearest.limited_by)})" if nearest.limited_by else ""
    return (
        f"{points}. Most is still to be had for <b>{text(nearest.name)}</b>: "
        f"{text(nearest.next_band or '')}, it is {text(graded(nearest.value, nearest.unit))}{by}."
    )


def _hard(score: Score) -> Section:
    rows = []
    for hard in score.hard:
        met = '<span class="good">✓ met</span>' if hard.met else '<span class="bad">✗ broken: no points in all</span>'
        rows.append([text(hard.name), text(graded(hard.value, hard.unit)), text(hard.limit), met])
    head = [("constraint", "nowrap"), ("figure", "r"), ("must be", "r"), ("", "nowrap")]
    return Section("hard", "Hard constraints", table(head, rows))


def _bar(mark: Mark) -> str:
    """A criterion's points as a bar, the steps of its bands on it."""
    most = mark.max_points or Decimal(1)
    edges, free = "", [-100.0, -100.0]  # how far each of two lines of words is taken
    for band, points in reversed(mark.bands):
        left = float(100 * points / most)
        line = 0 if left - free[0] >= WORDS else 1
        free[line] = left
        won = " won" if band == mark.band else ""
        edges += (
            f'<span class="edge{won}" style="left:{left:.2f}%;padding-top:{3 + 18 * line}px">'
            f"<b>{points.normalize():f}</b> {text(band)}</span>"
        )
    said = f'<span class="muted">{text(graded(mark.value, mark.unit))}</span>'
    return (
        f'<div class="criterion"><h3>{text(mark.name)} {said} '
        f'<span class="given">{_points(mark)}</span></h3>'
        f'<div class="track" role="img" aria-label="{text(f"{mark.name}: {_points(mark)}")}">'
        f'<i style="width:{100 * mark.points / most:.2f}%"></i></div><div class="edges">{edges}</div></div>'
    )


def _more(score: Score) -> Section:
    rows = [
        [
            text(m.name),
            text(graded(m.value, m.unit)),
            text(m.band or "none"),
            f"{m.points.normalize():f} / {m.max_points.normalize():f}",
            text(m.next_band or "nothing: this is the best band"),
            text(m.limited_by or ""),
        ]
        for m in score.marks
    ]
    head = [("criterion", "nowrap"), ("figure", "r"), ("band", "nowrap"), ("points", "r")]
    return Section(
        "more",
        "What the next band needs",
        table([*head, ("for more", "nowrap"), ("limited by", "words")], rows, classes="full"),
    )
