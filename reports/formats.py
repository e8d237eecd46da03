"""The formats in which results are written, each a row of `FORMATS`: what a command's option of its name writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

from hwsim.reports.table import Rows, csv_text, json_text


class Report(ABC):
    """A command's result, ready to be shown and written."""

    @abstractmethod
    def shown(self) -> list[RenderableType]:
        """What the terminal shows."""

    @abstractmethod
    def data(self) -> dict[str, Any]:
        """All of it as plain data, in a schema that it names."""

    @abstractmethod
    def rows(self) -> Rows:
        """Its main table: titles with units, then a row per layer, trial or criterion."""

    @abstractmethod
    def markdown(self) -> str:
        """Markdown tables."""

    @abstractmethod
    def page(self) -> str:
        """A page to look at, one file."""

    @abstractmethod
    def plots(self) -> Mapping[str, bytes]:
        """File name → figure."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: of the option, without its dashes.
        help: what the option writes.
        write: a report's content in this format; several files by name where ``folder`` says so.
    """

    name: str
    help: str
    write: Callable[[Report], str | bytes | Mapping[str, bytes]]
    folder: bool = False


FORMATS: dict[str, Format] = {
    x.name: x
    for x in (
        Format("json", "Write the result as JSON.", lambda report: json_text(report.data())),
        Format("csv", "Write the main table as CSV.", lambda report: csv_text(report.rows())),
        Format("markdown", "Write Markdown tables.", lambda report: report.markdown()),
        Format("html", "Write a page to look at, one file.", lambda report: report.page()),
        Format("plots", "Write the figures as PNG and SVG into a folder.", lambda report: report.plots(), folder=True),
    )
}
