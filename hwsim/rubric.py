"""Rubrics: points for a network's accuracy and cost, as a course would give them.

A rubric is a YAML file: hard constraints (one broken, and the score is 0), criteria with bands of which the best
that holds counts, and ranks against a population. Figures are compared as decimal numbers, so that 20% error is
20% and not the nearest binary fraction.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from hwsim.cost import NetworkCost
from hwsim.design import load_design
from hwsim.errors import HwsimError, did_you_mean, shown_value
from hwsim.figure import Source, graded
from hwsim.files import read_text
from hwsim.hardware import Design
from hwsim.network import profile_workload
from hwsim.shown import Shown
from hwsim.spec.document import read_document
from hwsim.spec.validation import validated
from hwsim.workloads.memory import peak_activation_bytes
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.workload import Workload

FOLDER = Path(__file__).parent / "rubrics"
MAX_POPULATION_BYTES = 10_000_000
MOST_FIGURE = Decimal("1e30")


def _known_figure(name: str) -> str:
    known = graded()
    if name not in known:
        raise ValueError(f"expected one of {', '.join(known)}, found '{name}'.{did_you_mean(name, known)}")
    return name


#: The name of a figure, as rubrics call it.
FigureName = Annotated[str, AfterValidator(_known_figure)]
#: Numbers of a rubric: as many digits as figures have, so that none fills a page.
_Bound = Annotated[Decimal, Field(max_digits=45, decimal_places=15, allow_inf_nan=False)]
_Points = Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=6, allow_inf_nan=False)]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
#: Prose: line ends, such as those of YAML's blocks, are spaces.
_Prose = Annotated[str, AfterValidator(lambda text: " ".join(text.split())), Field(max_length=2000)]
MOST = 100  # criteria, bands, notes


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limit(_Strict):
    """One bound on a figure, in the figure's unit (`hwsim.figure.Figure.bound_unit`)."""

    below: _Bound | None = None
    at_most: _Bound | None = None
    above: _Bound | None = None
    at_least: _Bound | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Limit:
        if sum(x is not None for x in (self.below, self.at_most, self.above, self.at_least)) != 1:
            raise ValueError("expected exactly one of below, at_most, above, at_least")
        return self

    def holds(self, value: Decimal) -> bool:
        """True where the figure is within the bound."""
        return (
            (self.below is not None and value < self.below)
            or (self.at_most is not None and value <= self.at_most)
            or (self.above is not None and value > self.above)
            or (self.at_least is not None and value >= self.at_least)
        )

    def text(self, unit: str) -> str:
        """``< 0.5 mJ``."""
        signs = (("<", self.below), ("≤", self.at_most), (">", self.above), ("≥", self.at_least))
        sign, bound = next((s, b) for s, b in signs if b is not None)
        return f"{sign} {bound:f}{unit if unit == '%' else ' ' + unit if unit else ''}"


class Band(Limit):
    """Points where the bound holds."""

    points: _Points


class Hard(Limit):
    """A bound that must hold."""

    name: _Name
    figure: FigureName


class _Banded(_Strict):
    """Bands, best first: the first that holds gives its points."""

    name: _Name
    bands: tuple[Band, ...] = Field(min_length=1, max_length=MOST)

    @model_validator(mode="after")
    def _falling(self) -> _Banded:
        points = [band.points for band in self.bands]
        if points != sorted(points, reverse=True):
            raise ValueError("bands should be listed from most points to fewest")
        return self


class Criterion(_Banded):
    """Points for a figure."""

    figure: FigureName


class Rank(_Banded):
    """Points by rank in a population: the bands are of the model's percent from the best, ties at the better rank."""

    figure: Literal["parameters", "macs"]


class Rules(_Strict):
    """What holds for models of one dataset only."""

    hard_constraints: tuple[Hard, ...] = Field(default=(), max_length=MOST)
    criteria: tuple[Criterion, ...] = Field(default=(), max_length=MOST)
    ranks: tuple[Rank, ...] = Field(default=(), max_length=MOST)


class Rubric(Rules):
    """A rubric file."""

    name: _Name
    title: _Prose
    source: _Prose
    arch: str = "simple_ws"
    datasets: dict[_Name, Rules] = Field(default={}, max_length=MOST)
    notes: tuple[_Prose, ...] = Field(default=(), max_length=MOST)


@dataclass(frozen=True)
class Facts:
    """What is known about a model.

    Attributes:
        accuracy: share of the test set that is right, 0–1; None where nobody says.
        accuracy_source: where it comes from, in words.
        workload: the network.
        cost: its cost on the rubric's architecture; None where no criterion asks for it.
        population: figure → values of the models it is ranked against.
        design: what ``cost`` is on; None where no criterion asks for it.
    """

    accuracy: Decimal | None
    accuracy_source: str
    workload: Workload
    cost: NetworkCost | None
    population: Mapping[str, tuple[Decimal, ...]]
    design: Design | None = None

    @property
    def known(self) -> dict[Source, Any]:
        """What figures are computed of; None where that is not known."""
        return {"hardware": self.design, "network": self, "mapping": self.cost}

    def figure(self, name: str) -> Decimal | None:
        """A figure, by rubrics' name for it, in the unit of bounds; None where it is not known."""
        figure = graded()[name]
        value = figure.value(self.known)
        return None if value is None else figure.bound(value)

    @property
    def macs(self) -> int:
        """Of one inference."""
        return self.workload.macs

    @property
    def params(self) -> int:
        """The network's parameters."""
        return self.workload.params

    @property
    def weight_bytes(self) -> int:
        """Its weights as stored."""
        return self.workload.weight_bytes

    @property
    def peak_activation_bytes(self) -> int:
        """The largest input plus output of a layer."""
        return peak_activation_bytes(self.workload)


@dataclass(frozen=True)
class Mark:
    """One criterion's outcome.

    Attributes:
        next_band: what more points would need.
        limited_by: what stands in the way.
        bands: (bound, points) of every band, best first.
    """

    name: str
    value: Decimal | None
    unit: str
    band: str | None
    points: Decimal
    max_points: Decimal
    next_band: str | None
    limited_by: str | None
    bands: tuple[tuple[str, Decimal], ...] = ()


@dataclass(frozen=True)
class HardOutcome:
    """One hard constraint's outcome."""

    name: str
    value: Decimal | None
    unit: str
    limit: str
    met: bool


@dataclass(frozen=True)
class Score(Shown):
    """A model's score: 0 where a hard constraint is broken, else the sum of the marks."""

    rubric: Rubric
    facts: Facts
    marks: tuple[Mark, ...]
    hard: tuple[HardOutcome, ...]

    def __repr__(self) -> str:
        return f"Score({self.rubric.name}: {self.points.normalize():f} of {self.max_points.normalize():f} points)"

    @property
    def points(self) -> Decimal:
        """Points in all."""
        if not all(h.met for h in self.hard):
            return Decimal(0)
        return sum((m.points for m in self.marks), Decimal(0))

    @property
    def max_points(self) -> Decimal:
        """Points that the rubric can give."""
        return sum((m.max_points for m in self.marks), Decimal(0))


def shipped() -> list[str]:
    """Names of the rubrics that come with hwsim."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def rubric_file(name: str) -> Path:
    """The file of a rubric, by its own path or a shipped name; it may not exist."""
    return Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"


def load_rubric(name: str) -> Rubric:
    """A rubric by name or file.

    Raises:
        HwsimError: there is none, or a field is wrong.
    """
    file = rubric_file(name)
    if not os.path.exists(file):
        raise HwsimError(f"no such rubric.{did_you_mean(name, shipped())} A file's name ends in .yaml.", where=name)
    return validated(Rubric, read_document(file).value, str(file), (Band, Hard, Criterion))


def needs(rubric: Rubric, source: Source) -> bool:
    """True where a criterion asks for a figure that is known from this."""
    parts: tuple[Rules, ...] = (rubric, *rubric.datasets.values())
    asked = {x.figure for p in parts for x in p.hard_constraints} | {x.figure for p in parts for x in p.criteria}
    return any(graded()[name].known_from == source for name in asked)


def needs_mapping(rubric: Rubric) -> bool:
    """True where a criterion asks for what only mappings tell: energy, cycles …"""
    return needs(rubric, "mapping")


def read_accuracy(text: str, where: str) -> Decimal:
    """An accuracy as a share.

    Raises:
        HwsimError: it is no number from 0 to 1.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation as error:
        raise HwsimError(f"expected a share from 0 to 1, such as 0.85, found '{text}'.", where=where) from error
    if not value.is_finite() or not 0 <= value <= 1:
        hint = f" {value}% is {value / 100}." if value.is_finite() and 1 < value <= 100 else ""
        raise HwsimError(f"expected a share from 0 to 1, such as 0.85, found '{text}'.{hint}", where=where)
    return value


def read_population(file: Path) -> dict[str, tuple[Decimal, ...]]:
    """Figures of other models, from a CSV with columns ``parameters`` and ``macs`` or a JSON list of such objects.

    Raises:
        HwsimError: the file cannot be read, a column is missing, or a value is no number.
    """
    text = read_text(file, MAX_POPULATION_BYTES)
    try:
        rows = json.loads(text) if file.suffix == ".json" else list(csv.DictReader(io.StringIO(text, newline="")))
    except (ValueError, csv.Error, RecursionError) as error:
        raise HwsimError(f"the population cannot be read: {error}.", where=str(file)) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise HwsimError("expected one model a row, with columns parameters and macs.", where=str(file))
    return {
        name: tuple(_population_figure(row, name, f"{file}: row {k + 1}: {name}") for k, row in enumerate(rows))
        for name in ("parameters", "macs")
    }


def _population_figure(row: Mapping[str, Any], name: str, where: str) -> Decimal:
    """One figure of one model."""
    if name not in row:
        raise HwsimError("expected a number, found no such column.", where=where)
    found = row[name]
    try:
        value = Decimal(str(found))
    except (InvalidOperation, ValueError):
        value = Decimal("NaN")
    if isinstance(found, bool) or not value.is_finite() or not 0 <= value <= MOST_FIGURE:
        shown = f"'{found}'" if isinstance(found, str) else shown_value(found)
        raise HwsimError(f"expected a number from 0 to 1e30, found {shown}.", where=where)
    return value


def grade(rubric: Rubric, facts: Facts) -> Score:
    """Score a model.

    Raises:
        HwsimError: the rubric grades by dataset and the model's is not one of them.
    """
    parts: list[Rules] = [rubric]
    if rubric.datasets:
        dataset = facts.workload.metadata.get("dataset", "")
        if dataset not in rubric.datasets:
            known = ", ".join(sorted(rubric.datasets))
            raise HwsimError(
                f"the rubric grades models of {known}; the model's metadata says '{dataset or 'nothing'}'. "
                "Say which with --dataset.",
                where=f"{facts.workload.name}: dataset",
            )
        parts.append(rubric.datasets[dataset])
    hard = tuple(_hard(x, facts) for part in parts for x in part.hard_constraints)
    marks = tuple(_mark(x, facts) for part in parts for x in part.criteria)
    ranks = tuple(_rank(x, facts) for part in parts for x in part.ranks)
    return Score(rubric, facts, marks + ranks, hard)


def score(
    model: str | Path | Workload,
    rubric: str,
    *,
    accuracy: str | float | None = None,
    arch: str | None = None,
    dataset: str | None = None,
    population: Mapping[str, tuple[Decimal, ...]] | None = None,
    jobs: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> Score:
    """Points for a model.

    Args:
        model: an ONNX file, or a workload that was read already.
        rubric: name of a shipped rubric, or a file.
        accuracy: share of the test set that is right; the file's metadata says unless given.
        arch: architecture, the rubric's own unless given.
        dataset: what the model is for; the file's metadata says unless given.
        population: see `read_population`.
        jobs: layers mapped side by side.
        progress: called with (layers done, layers, name of the last).

    Raises:
        HwsimError: a name, file or figure is wrong, or a layer fits no mapping.
    """
    chosen = load_rubric(rubric)
    given = None if accuracy is None else read_accuracy(str(accuracy), "--accuracy")
    mapped = needs_mapping(chosen) or arch is not None
    hardware = load_design(arch or chosen.arch) if mapped or needs(chosen, "hardware") else None
    workload = model if isinstance(model, Workload) else read_onnx(model, {})
    source = "given by --accuracy"
    if given is None:
        stated = workload.metadata.get("test_accuracy")
        source = "from the file's metadata (test_accuracy)" if stated else "not known: give --accuracy"
        where = f"{workload.name}: metadata test_accuracy"
        given = None if stated is None else read_accuracy(stated, where)
    if dataset is not None:
        workload = replace(workload, metadata=workload.metadata | {"dataset": dataset})
    cost = profile_workload(workload, hardware, jobs=jobs, progress=progress) if hardware and mapped else None
    return grade(chosen, Facts(given, source, workload, cost, population or {}, hardware))


def _hard(hard: Hard, facts: Facts) -> HardOutcome:
    value, unit = facts.figure(hard.figure), graded()[hard.figure].bound_unit
    return HardOutcome(hard.name, value, unit, hard.text(unit), value is not None and hard.holds(value))


def _mark(criterion: Criterion, facts: Facts) -> Mark:
    value, unit = facts.figure(criterion.figure), graded()[criterion.figure].bound_unit
    return _banded(criterion.name, value, unit, criterion.bands, _limited_by(criterion.figure, facts))


def _rank(rank: Rank, facts: Facts) -> Mark:
    """Rank among the population and the model itself, in percent from the best; smaller figures are better."""
    own, others = facts.figure(rank.figure), facts.population.get(rank.figure)
    if others is None or own is None:
        best = rank.bands[0].points
        needs, edges = "a population to rank against", _edges(rank.bands, "% from the best")
        return Mark(rank.name, None, "% from the best", None, Decimal(0), best, needs, None, edges)
    place = 1 + sum(x < own for x in others)
    share = Decimal(100 * place) / (len(others) + 1)
    return _banded(rank.name, share, "% from the best", rank.bands, _limited_by(rank.figure, facts))


def _banded(name: str, value: Decimal | None, unit: str, bands: tuple[Band, ...], limited_by: str | None) -> Mark:
    if value is None:
        needs = f"the figure itself ({bands[0].text(unit)} for {bands[0].points:f})"
        return Mark(name, None, unit, None, Decimal(0), bands[0].points, needs, None, _edges(bands, unit))
    won = next((k for k, band in enumerate(bands) if band.holds(value)), len(bands))
    better = [band for band in bands[:won] if won == len(bands) or band.points > bands[won].points]
    coming = f"{better[-1].text(unit)} for {better[-1].points:f}" if better else None
    points = bands[won].points if won < len(bands) else Decimal(0)
    band = bands[won].text(unit) if won < len(bands) else None
    edges = _edges(bands, unit)
    return Mark(name, value, unit, band, points, bands[0].points, coming, limited_by if better else None, edges)


def _edges(bands: tuple[Band, ...], unit: str) -> tuple[tuple[str, Decimal], ...]:
    return tuple((band.text(unit), band.points) for band in bands)


def _limited_by(name: str, facts: Facts) -> str | None:
    """The layer that takes the most of a figure."""
    figure = graded()[name]
    subject = facts.known[figure.known_from]
    parts = {} if subject is None or figure.parts is None else figure.parts(subject)
    total = sum(parts.values())
    if not total:
        return None
    most = max(parts, key=lambda k: parts[k])
    return f"{most} takes {100 * parts[most] / total:.0f}%"
