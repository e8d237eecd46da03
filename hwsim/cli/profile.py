"""`hwsim profile`."""

from __future__ import annotations

from dataclasses import replace
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
from hwsim.cost import NetworkCost, NetworkLayer
from hwsim.design import load_design
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError, did_you_mean, visible
from hwsim.files import write_file
from hwsim.network import profile_workload
from hwsim.provenance import Inputs, command, design_sha256
from hwsim.reports import data, terminal
from hwsim.reports.markdown import profile_markdown
from hwsim.whatif import price_note
from hwsim.workloads.onnx_reader import read_onnx


def profile(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    arch: Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")] = "simple_ws",
    objective: ObjectiveText = "edp",
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the architecture, COMPONENT.ATTRIBUTE=VALUE; it is priced anew. Repeat for more."
        ),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Show one layer in depth.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.profile/1).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a line per layer.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown tables.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at, one file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the figures as PNG and SVG into a folder.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
    time_limit: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to search in, all layers together; then the best mappings so far."),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Search again, without looking at or keeping cached mappings.")
    ] = False,
) -> None:
    """What a network costs on an architecture, layer by layer, every layer under its best mapping."""
    quiet = check_outputs(json=json, csv=csv, markdown=markdown, html=html, plots=plots)
    design = load_design(arch, [Setting.parse(text) for text in settings or []])
    with zoo_or_file(model) as path:
        workload = read_onnx(path, dims(dim or []))
        hashed = hash_model(path) if html is not None else ("", "")
    with progress_bar("mapping") as progress:
        cost = profile_workload(
            workload,
            design,
            objective,
            jobs=jobs,
            use_cache=not no_cache,
            time_limit=time_limit,
            progress=progress,
        )
        notes = price_note(
            design,
            lambda: profile_workload(
                workload,
                load_design(arch, own_prices=True),
                objective,
                jobs=jobs,
                use_cache=not no_cache,
                progress=progress,
            ),
        )
    cost = replace(cost, notes=(*cost.notes, *notes))
    if json is not None:
        write_file(json, json_text(data.profile_data(cost, design.architecture)))
    if csv is not None:
        write_file(csv, data.profile_csv(cost))
    if markdown is not None:
        write_file(markdown, profile_markdown(cost))
    if plots is not None:
        from hwsim.reports.plots import profile_plots

        write_plots(plots, profile_plots(cost, design.architecture))
    if html is not None:
        from hwsim.reports.html.profile import profile_page

        options = [("--arch", arch), ("--objective", objective), ("--dim", dim), ("--set", settings)]
        inputs = Inputs(
            command("profile", model, options=options),
            (hashed, ("architecture and prices", design_sha256(design.architecture, design.energy))),
            (("objective", objective), *sizes(dim)),
        )
        write_file(html, profile_page(cost, design.architecture, inputs))
    if layer is not None:
        chosen = _layer(cost, layer)
        title = f"{chosen.name} ({chosen.op}, ×{chosen.count}) on {cost.arch}"
        shown = [terminal.layer_report(chosen.cost, design.architecture, title), *(terminal.note(n) for n in notes)]
    else:
        shown = [terminal.profile_table(cost)]
    if not quiet:
        show(*shown)


def _layer(cost: NetworkCost, name: str) -> NetworkLayer:
    for layer in cost.layers:
        if name in layer.names or name in map(visible, layer.names):
            return layer
    names = [n for layer in cost.layers for n in layer.names]
    raise HwsimError(f"the network has no mapped layer '{name}'.{did_you_mean(name, names)}", where=cost.model)
