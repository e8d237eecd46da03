"""`hwsim whatif`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.shared import Objective, dims, json_text, progress_bar, show, zoo_or_file


def whatif(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    groups: Annotated[
        list[str],
        typer.Option(
            "--set", help="A column: COMPONENT.ATTRIBUTE=VALUE, several separated by commas. Repeat for more."
        ),
    ],
    arch: Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")] = "simple_ws",
    objective: Annotated[Objective, typer.Option(help="What every layer's mapping minimises.")] = Objective.edp,
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.whatif/1).")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
) -> None:
    """What changes if the hardware does: priced and mapped anew, side by side, layer by layer."""
    from hwsim.files import write_file
    from hwsim.whatif import parse_group, study
    from reports import data, terminal
    from workloads.onnx_reader import read_onnx

    parsed = [parse_group(text) for text in groups]
    with zoo_or_file(model) as path:
        workload = read_onnx(path, dims(dim or []))
    with progress_bar("mapping") as progress:
        variants = study(workload, arch, parsed, objective.value, jobs=jobs, progress=progress)
    if json is not None:
        write_file(json, json_text(data.whatif_data(variants)))
    show(terminal.whatif_report(variants))
