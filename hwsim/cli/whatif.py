"""`hwsim whatif`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.shared import (
    ObjectiveText,
    check_outputs,
    dims,
    hash_model,
    json_text,
    progress_bar,
    show,
    sizes,
    write_plots,
    zoo_or_file,
)
from hwsim.files import write_file
from hwsim.provenance import Inputs, command, design_sha256
from hwsim.reports import data, terminal
from hwsim.reports.columns import columns_csv, from_variants
from hwsim.reports.markdown import columns_markdown
from hwsim.whatif import parse_group, study
from hwsim.workloads.onnx_reader import read_onnx


def whatif(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    groups: Annotated[
        list[str],
        typer.Option(
            "--set", help="A column: COMPONENT.ATTRIBUTE=VALUE, several separated by commas. Repeat for more."
        ),
    ],
    arch: Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")] = "simple_ws",
    objective: ObjectiveText = "edp",
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.whatif/1).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a line per layer and column.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown tables.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at, one file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the figures as PNG and SVG into a folder.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
) -> None:
    """What changes if the hardware does: priced and mapped anew, side by side, layer by layer."""
    quiet = check_outputs(json=json, csv=csv, markdown=markdown, html=html, plots=plots)
    parsed = [parse_group(text) for text in groups]
    with zoo_or_file(model) as path:
        workload = read_onnx(path, dims(dim or []))
        hashed = hash_model(path) if html is not None else ("", "")
    with progress_bar("mapping") as progress:
        variants = study(workload, arch, parsed, objective, jobs=jobs, progress=progress)
    if json is not None:
        write_file(json, json_text(data.whatif_data(variants)))
    columns = from_variants(variants)
    if csv is not None:
        write_file(csv, columns_csv(columns))
    if markdown is not None:
        write_file(markdown, columns_markdown(columns, [variants.prices]))
    if plots is not None:
        from hwsim.reports.plots import columns_plots

        write_plots(plots, columns_plots(columns))
    if html is not None:
        from hwsim.reports.html.columns import whatif_page

        options = [("--arch", arch), ("--objective", objective), ("--dim", dim), ("--set", groups)]
        designs = [
            (f"{v.name}: architecture and prices", design_sha256(v.design.architecture, v.design.energy))
            for v in variants
        ]
        facts = (("objective", objective), *sizes(dim))
        inputs = Inputs(command("whatif", model, options=options), (hashed, *designs), facts)
        write_file(html, whatif_page(variants, inputs))
    if not quiet:
        show(terminal.whatif_report(variants))
