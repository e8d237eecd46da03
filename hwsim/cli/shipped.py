"""Commands on what comes with hwsim: archs, energy, zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.shared import show
from hwsim.design import load_design, shipped_architectures
from hwsim.errors import visible
from hwsim.reports import terminal
from hwsim.workloads import zoo as models


def archs(
    name: Annotated[str | None, typer.Argument(help="Show this architecture's hierarchy and prices.")] = None,
) -> None:
    """The architectures that come with hwsim; with a name (or file), its hierarchy and energy per action."""
    if name is not None:
        show(terminal.architecture_tree(load_design(name)))
        return
    found = [load_design(known).architecture for known in shipped_architectures()]
    show(terminal.architecture_list(found))


def energy(arch: Annotated[str, typer.Argument(help="Architecture: a name of `hwsim archs` or a file.")]) -> None:
    """Energy per action of every component of an architecture, with estimator and source."""
    design = load_design(arch)
    title = f"energy per action of {design.name}, pJ (leak: per cycle and instance)"
    show(terminal.energy_table(design.energy, title=title))


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
