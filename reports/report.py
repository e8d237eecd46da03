"""Results with what their reports say besides: profiles, designs side by side, scores.

Explorations have theirs in `hwsim.reports.exploration`, which needs more.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from hwsim.cost import NetworkCost, NetworkLayer
from hwsim.hardware import Design
from hwsim.provenance import Inputs
from hwsim.reports import data, markdown, terminal
from hwsim.reports.columns import Column, columns_rows, from_variants
from hwsim.reports.formats import Report
from hwsim.reports.html.columns import columns_page, whatif_page
from hwsim.reports.html.profile import profile_page
from hwsim.reports.html.score import score_page
from hwsim.reports.plots import columns_plots, profile_plots, score_plots
from hwsim.reports.table import Rows
from hwsim.rubric import Score
from hwsim.whatif import Study


@dataclass(frozen=True)
class ProfileReport(Report):
    """A network on a design; ``layer`` is the one that the terminal shows in depth, ``notes`` are said below it."""

    cost: NetworkCost
    design: Design
    inputs: Inputs
    layer: NetworkLayer | None = None
    notes: tuple[str, ...] = ()

    def shown(self) -> list[RenderableType]:
        """Totals and a row per layer, or one layer in depth."""
        if self.layer is None:
            return [terminal.profile_table(self.cost)]
        title = f"{self.layer.name} ({self.layer.op}, ×{self.layer.count}) on {self.cost.arch}"
        unpriced = self.design.energy.unpriced
        shown = terminal.layer_report(self.layer.cost, self.design.architecture, title, unpriced)
        return [shown, *(terminal.note(text) for text in self.notes)]

    def data(self) -> dict[str, Any]:
        """In schema ``hwsim.profile/1``."""
        return data.profile_data(self.cost, self.design.architecture)

    def rows(self) -> Rows:
        """A row per distinct layer."""
        return data.profile_rows(self.cost)

    def markdown(self) -> str:
        """Totals, and a row per layer."""
        return markdown.profile_markdown(self.cost)

    def page(self) -> str:
        """The network in charts; a layer opens on a click."""
        return profile_page(self.cost, self.design.architecture, self.inputs)

    def plots(self) -> Mapping[str, bytes]:
        """Energy and cycles by layer, rooflines, memory."""
        return profile_plots(self.cost, self.design.architecture)


class ColumnsReport(Report):
    """Designs side by side."""

    @property
    @abstractmethod
    def columns(self) -> Sequence[Column]:
        """A column a design."""

    def rows(self) -> Rows:
        """A row per column, and per layer and column."""
        return columns_rows(self.columns)

    def plots(self) -> Mapping[str, bytes]:
        """Energy by component, energy against cycles, changes by layer."""
        return columns_plots(self.columns)


@dataclass(frozen=True)
class CompareReport(ColumnsReport):
    """Saved profiles side by side; ``notes`` are what a reader should know about them."""

    profiles: Sequence[Column]
    inputs: Inputs
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> Sequence[Column]:
        """A column a profile."""
        return self.profiles

    def shown(self) -> list[RenderableType]:
        """Totals and layers, changes against the first."""
        return [terminal.columns_report(self.columns), *self.notes]

    def data(self) -> dict[str, Any]:
        """In schema ``hwsim.compare/1``."""
        return data.compare_data(self.columns, self.notes)

    def markdown(self) -> str:
        """A row per design, and per layer."""
        return markdown.columns_markdown(self.columns)

    def page(self) -> str:
        """The designs in charts."""
        names = "; ".join(column.name for column in self.columns)
        return columns_page(self.columns, "Comparison", names, self.inputs, notes=self.notes)


@dataclass(frozen=True)
class WhatifReport(ColumnsReport):
    """A what-if study."""

    study: Study
    inputs: Inputs

    @property
    def columns(self) -> Sequence[Column]:
        """A column a variant."""
        return from_variants(self.study)

    def shown(self) -> list[RenderableType]:
        """Totals and layers, with what limits each before and after."""
        return [terminal.whatif_report(self.study)]

    def data(self) -> dict[str, Any]:
        """In schema ``hwsim.whatif/1``."""
        return data.whatif_data(self.study)

    def markdown(self) -> str:
        """A row per design, and per layer."""
        return markdown.columns_markdown(self.columns, [self.study.prices])

    def page(self) -> str:
        """The designs in charts, with every layer's loop nests."""
        return whatif_page(self.study, self.inputs)


@dataclass(frozen=True)
class ScoreReport(Report):
    """Points by a rubric."""

    score: Score
    inputs: Inputs

    def shown(self) -> list[RenderableType]:
        """Points, and what more would need."""
        return [terminal.score_report(self.score)]

    def data(self) -> dict[str, Any]:
        """In schema ``hwsim.score/1``."""
        return data.score_data(self.score)

    def rows(self) -> Rows:
        """A row per hard constraint and criterion."""
        return data.score_rows(self.score)

    def markdown(self) -> str:
        """A row per hard constraint and criterion."""
        return markdown.score_markdown(self.score)

    def page(self) -> str:
        """The points in bars."""
        return score_page(self.score, self.inputs)

    def plots(self) -> Mapping[str, bytes]:
        """Points by criterion."""
        return score_plots(self.score)
