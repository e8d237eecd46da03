"""`hwsim systolic`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hwsim.array.systolic import MatrixProduct, SystolicDesign, systolic_design
from hwsim.array.systolic_network import SystolicNetwork, layer_on, network_on, step_network
from hwsim.cli.shared import check_outputs, dims, json_text, progress_bar, show, zoo_or_file
from hwsim.design import load_design
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError, did_you_mean, visible
from hwsim.files import write_file
from hwsim.reports.systolic import systolic_data, systolic_report
from hwsim.workloads.onnx_reader import read_onnx

DEFAULT_ARCH = "tpu_v1_like"


def systolic(
    model: Annotated[
        str | None, typer.Argument(help="ONNX file, or zoo:NAME; without, the one product that --tokens gives.")
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(help="Architecture with a systolic array: a name or a file.", show_default=DEFAULT_ARCH),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, max=4096, help="Rows of an array of your own.")] = None,
    columns: Annotated[int | None, typer.Option(min=1, max=4096, help="Columns of an array of your own.")] = None,
    double_buffer: Annotated[
        bool, typer.Option("--double-buffer", help="An array of your own loads the next weights while tokens stream.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the architecture, COMPONENT.ATTRIBUTE=VALUE. Repeat for more."),
    ] = None,
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a product without a model.")] = None,
    reduction: Annotated[int | None, typer.Option(min=1, help="Its reduction.", show_default="the rows")] = None,
    outputs: Annotated[int | None, typer.Option(min=1, help="Its outputs.", show_default="the columns")] = None,
    layer: Annotated[str | None, typer.Option(help="This layer alone.")] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Step the array on random operands; check cycles and product.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random operands.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.systolic/1).")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page that shows the array at work: one layer on up to 8 × 8 PEs.")
    ] = None,
) -> None:
    """Cycles of a network on a systolic weight-stationary array, in closed form and stepped."""
    quiet = check_outputs(json=json, html=html)
    design, cycle_seconds = _design(arch, rows, columns, double_buffer, settings or [])
    if model is None:
        if layer is not None:
            raise HwsimError("there is no model to take a layer from.", where=f"--layer {layer}")
        network = _product(design, tokens, reduction, outputs)
    else:
        if tokens or reduction or outputs:
            raise HwsimError("--tokens, --reduction and --outputs describe a product without a model.")
        network = _network(model, design, cycle_seconds, dims(dim or []), layer)
    if step:
        with progress_bar("stepping") as progress:
            network = step_network(network, seed, progress)
        refused = [x.stepped.refused for x in network.layers if x.stepped is not None]
        if all(refused):
            what = f"'{network.layers[0].name}' is" if len(refused) == 1 else "every layer is"
            raise HwsimError(
                f"{what} too large to step: {refused[0]}. Take a smaller array or input.", where=network.model
            )
    if html is not None:
        write_file(html, _page(network, seed))
    if json is not None:
        write_file(json, json_text(systolic_data(network)))
    if not quiet:
        show(systolic_report(network))
    if not all(x.agrees for x in network.layers):
        raise typer.Exit(1)


def _design(
    arch: str | None, rows: int | None, columns: int | None, double_buffer: bool, settings: list[str]
) -> tuple[SystolicDesign, float | None]:
    """The array, and the seconds of its cycle where an architecture gives them."""
    if rows is None and columns is None:
        if double_buffer:
            raise HwsimError(
                "it goes with --rows and --columns; in a file, multiple_buffering says it.", where="--double-buffer"
            )
        design = load_design(arch or DEFAULT_ARCH, [Setting.parse(text) for text in settings])
        return systolic_design(design.architecture), design.architecture.cycle_seconds
    if rows is None or columns is None:
        raise HwsimError(f"--{'rows' if rows is None else 'columns'} is missing: an array of your own needs both.")
    if arch is not None or settings:
        raise HwsimError("give either --rows and --columns or an architecture (--arch, --set).", where="--rows")
    return SystolicDesign(rows, columns, double_buffer), None


def _product(design: SystolicDesign, tokens: int | None, reduction: int | None, outputs: int | None) -> SystolicNetwork:
    if tokens is None:
        raise HwsimError("give a model, or --tokens of a matrix product.")
    product = MatrixProduct(tokens, reduction or design.rows, outputs or design.columns)
    return SystolicNetwork("a matrix product", design, (layer_on(design, product, "product"),))


def _page(network: SystolicNetwork, seed: int) -> str:
    from hwsim.reports.html.systolic import systolic_page

    if len(network.layers) > 1:
        raise HwsimError("a page shows one layer; name it with --layer.", where="--html")
    return systolic_page(network.design, network.layers[0].product, seed)


def _network(
    model: str, design: SystolicDesign, cycle_seconds: float | None, sizes: dict[str, int], layer: str | None
) -> SystolicNetwork:
    with zoo_or_file(model) as path:
        network = network_on(read_onnx(path, sizes), design, cycle_seconds)
    if not network.layers:
        raise HwsimError("no operator of the network multiplies matrices.", where=network.model)
    if layer is None:
        return network
    chosen = [x for x in network.layers if layer in x.names or layer in map(visible, x.names)]
    if not chosen:
        names = [name for x in network.layers for name in x.names]
        raise HwsimError(f"the network has no mapped layer '{layer}'.{did_you_mean(layer, names)}", where=network.model)
    return replace(network, layers=tuple(chosen), unmapped=())
