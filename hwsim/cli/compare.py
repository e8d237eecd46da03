"""`hwsim compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.options import Outputs
from hwsim.errors import HwsimError
from hwsim.provenance import Inputs, command, file_sha256
from hwsim.reports.report import CompareReport
from hwsim.reports.saved import PRICES, read_profiles


def compare(
    files: Annotated[list[Path], typer.Argument(help="Files of `hwsim profile --json`; the first is compared with.")],
    outputs: Outputs,
) -> None:
    """Saved profiles side by side, in total and layer by layer."""
    if len(files) < 2:
        raise HwsimError("expected at least two files to compare.", where=str(files[0]))
    columns = read_profiles(files)
    inputs = Inputs(command("compare", *map(str, files)), tuple((str(f), file_sha256(f)) for f in files))
    outputs.write(CompareReport(columns, inputs, (PRICES,)))
