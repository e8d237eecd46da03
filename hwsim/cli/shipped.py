"""Commands on what comes with hwsim: archs, energy, zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import FileOptions
from hwsim.cli.shared import notes_shown, show
from hwsim.design import load_design, load_prices, shipped_architectures
from hwsim.errors import visible
from hwsim.reports import terminal
from hwsim.workloads import zoo as models


def archs(
    files: FileOptions,
    name: Annotated[
        list[str] | None, typer.Argument(help="Show this architecture's hierarchy and prices: a name, or its files.")
    ] = None,
) -> None:
    """The architectures that come with hwsim; with a name (or files), its hierarchy and energy per action."""
    if name:
        with notes_shown():
            show(terminal.architecture_tree(load_design(name, unpriced=True, **files.given)))
        return
    found = [load_design(known).architecture for known in shipped_architectures()]
    show(terminal.architecture_list(found))


def energy(
    files: FileOptions,
    arch: Annotated[list[str], typer.Argument(help="Architecture: a name of `hwsim archs`, or its files.")],
) -> None:
    """Energy per action of every component of an architecture, with estimator and source."""
    with notes_shown():
        name, table = load_prices(arch, **files.given)
        show(terminal.energy_table(table, title=f"energy per action of {name}, pJ (leak: per cycle and instance)"))


def zoo(
    names: Annotated[list[str] | None, typer.Argument(help="Models to write.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("."),
) -> None:
    """The model zoo: list it, or write models as ONNX files (shapes only, kilobytes each)."""
    if not names:
        show(terminal.zoo_list(models.MODELS))
        return
    for name in names:
        print(visible(str(models.write(name, output / f"{name}.onnx"))))
