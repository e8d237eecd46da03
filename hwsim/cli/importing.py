"""`hwsim import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import FileOptions
from hwsim.cli.shared import check_outputs, notes_shown
from hwsim.design import load_content
from hwsim.files import STANDARD_OUTPUT, write_file
from hwsim.spec.write import specification_text


def import_command(
    specs: Annotated[
        list[Path], typer.Argument(metavar="FILES", help="Files with an architecture, and what belongs to it.")
    ],
    files: FileOptions,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write; standard output by default.")
    ] = Path(STANDARD_OUTPUT),
) -> None:
    """One clean v0.4 file of what was understood of an architecture's files, problem and mapping included."""
    check_outputs(output=output)
    with notes_shown():
        write_file(output, specification_text(load_content(specs, **files.given)))
