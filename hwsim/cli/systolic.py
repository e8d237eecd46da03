"""`hwsim systolic`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from hwsim.array.systolic import MatrixProduct, SystolicDesign, systolic_design
from hwsim.array.systolic_network import SystolicNetwork, layer_on, network_on, step_network
from hwsim.cli.groups import Group
from hwsim.cli.options import Dims, JsonPath, dims, named_layer, zoo_or_file
from hwsim.cli.shared import check_outputs, notes_shown, progress_bar, show
from hwsim.design import load_design
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.reports.html.systolic import systolic_page
from hwsim.reports.systolic import systolic_data, systolic_report
from hwsim.reports.table import json_text
from hwsim.workloads.onnx.reader import read_onnx

DEFAULT_ARCH = "tpu_v1_like"


@dataclass(frozen=True)
class ArrayOptions(Group):
    """The array: of an architecture, or one of the user's own."""

    arch: Annotated[
        str | None,
        typer.Option(help="Architecture with a systolic array: a name or a file.", show_default=DEFAULT_ARCH),
    ] = None
    rows: Annotated[int | None, typer.Option(min=1, max=4096, help="Rows of an array of your own.")] = None
    columns: Annotated[int | None, typer.Option(min=1, max=4096, help="Columns of an array of your own.")] = None
    double_buffer: Annotated[
        bool, typer.Option("--double-buffer", help="An array of your own loads the next weights while tokens stream.")
    ] = False
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change the architecture, COMPONENT.ATTRIBUTE=VALUE. Repeat for more."),
    ] = None

    def design(self) -> tuple[SystolicDesign, float | None]:
        """The array, and the seconds of its cycle where an architecture gives them."""
        if self.rows is None and self.columns is None:
            if self.double_buffer:
                raise HwsimError(
                    "it goes with --rows and --columns; in a file, multiple_buffering says it.",
                    where="--double-buffer",
                )
            settings = [Setting.parse(text) for text in self.settings or []]
            with notes_shown():
                architecture = load_design(self.arch or DEFAULT_ARCH, settings).architecture
                return systolic_design(architecture), architecture.cycle_seconds
        if self.rows is None or self.columns is None:
            missing = "rows" if self.rows is None else "columns"
            raise HwsimError(f"--{missing} is missing: an array of your own needs both.")
        if self.arch is not None or self.settings:
            raise HwsimError("give either --rows and --columns or an architecture (--arch, --set).", where="--rows")
        return SystolicDesign(self.rows, self.columns, self.double_buffer), None


@dataclass(frozen=True)
class ProductOptions(Group):
    """A product without a model."""

    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a product without a model.")] = None
    reduction: Annotated[int | None, typer.Option(min=1, help="Its reduction.", show_default="the rows")] = None
    outputs: Annotated[int | None, typer.Option(min=1, help="Its outputs.", show_default="the columns")] = None

    def network(self, design: SystolicDesign) -> SystolicNetwork:
        """The product as a network of one layer."""
        if self.tokens is None:
            raise HwsimError("give a model, or --tokens of a matrix product.")
        product = MatrixProduct(self.tokens, self.reduction or design.rows, self.outputs or design.columns)
        return SystolicNetwork("a matrix product", design, (layer_on(design, product, "product"),))


@dataclass(frozen=True)
class LayersOptions(Group):
    """The layers of a model."""

    dim: Dims = None
    layer: Annotated[str | None, typer.Option(help="This layer alone.")] = None

    def network(self, model: str, design: SystolicDesign, cycle_seconds: float | None) -> SystolicNetwork:
        """The model's layers that multiply matrices, on an array."""
        with zoo_or_file(model) as path:
            network = network_on(read_onnx(path, dims(self.dim or [])), design, cycle_seconds)
        if not network.layers:
            raise HwsimError("no operator of the network multiplies matrices.", where=network.model)
        if self.layer is None:
            return network
        chosen = named_layer(network.layers, self.layer, network.model)
        return replace(network, layers=(chosen,), unmapped=())


@dataclass(frozen=True)
class _Written(Group):
    """Where the result goes."""

    json: JsonPath = None
    html: Annotated[
        Path | None, typer.Option(help="Write a page that shows the array at work: one layer on up to 8 × 8 PEs.")
    ] = None


def systolic(
    array: ArrayOptions,
    layers: LayersOptions,
    product: ProductOptions,
    written: _Written,
    model: Annotated[
        str | None, typer.Argument(help="ONNX file, or zoo:NAME; without, the one product that --tokens gives.")
    ] = None,
    step: Annotated[
        bool, typer.Option("--step", help="Step the array on random operands; check cycles and product.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the random operands.")] = 0,
) -> None:
    """Cycles of a network on a systolic weight-stationary array, in closed form and stepped."""
    quiet = check_outputs(json=written.json, html=written.html)
    design, cycle_seconds = array.design()
    if model is None:
        if layers.layer is not None:
            raise HwsimError("there is no model to take a layer from.", where=f"--layer {layers.layer}")
        network = product.network(design)
    else:
        if product.tokens or product.reduction or product.outputs:
            raise HwsimError("--tokens, --reduction and --outputs describe a product without a model.")
        network = layers.network(model, design, cycle_seconds)
    if step:
        network = _stepped(network, seed)
    if written.html is not None:
        write_file(written.html, _page(network, seed))
    if written.json is not None:
        write_file(written.json, json_text(systolic_data(network)))
    if not quiet:
        show(systolic_report(network))
    if not all(x.agrees for x in network.layers):
        raise typer.Exit(1)


def _stepped(network: SystolicNetwork, seed: int) -> SystolicNetwork:
    """The network, its layers stepped on random operands."""
    with progress_bar("stepping") as progress:
        network = step_network(network, seed, progress)
    refused = [x.stepped.refused for x in network.layers if x.stepped is not None]
    if all(refused):
        what = f"'{network.layers[0].name}' is" if len(refused) == 1 else "every layer is"
        raise HwsimError(f"{what} too large to step: {refused[0]}. Take a smaller array or input.", where=network.model)
    return network


def _page(network: SystolicNetwork, seed: int) -> str:
    if len(network.layers) > 1:
        raise HwsimError("a page shows one layer; name it with --layer.", where="--html")
    return systolic_page(network.design, network.layers[0].product, seed)
