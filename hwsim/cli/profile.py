"""`hwsim profile`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from hwsim.cli.options import HardwareOptions, ModelOptions, Outputs, SearchOptions, named_layer
from hwsim.cli.shared import Tell, progress_bar
from hwsim.cost import NetworkCost
from hwsim.design import Design
from hwsim.network import Hints, profile_workload
from hwsim.provenance import Inputs, command, design_sha256
from hwsim.reports.report import ProfileReport
from hwsim.whatif import price_note
from hwsim.workloads.workload import Workload


def profile(
    network: ModelOptions,
    hardware: HardwareOptions,
    search: SearchOptions,
    outputs: Outputs,
    layer: Annotated[str | None, typer.Option(help="Show one layer in depth.")] = None,
) -> None:
    """What a network costs on an architecture, layer by layer, every layer under its best mapping."""
    design, told = hardware.design()
    workload, hashed = network.read()
    with progress_bar("mapping") as progress:
        cost, notes = _cost(workload, design, hardware, search, progress)
    cost, notes = replace(cost, notes=(*told, *cost.notes)), (*told, *notes)
    files = [("--arch", hardware.names), ("--jinja", hardware.jinja), ("--include", hardware.include)]
    options: list[tuple[str, object]] = [*files, ("--objective", search.objective)]
    inputs = Inputs(
        command("profile", network.model, options=[*options, *network.said, ("--set", hardware.settings)]),
        (hashed, ("architecture and prices", design_sha256(design.architecture, design.energy))),
        (("objective", str(search.objective)), *network.facts),
    )
    chosen = None if layer is None else named_layer(cost.layers, layer, cost.model)
    outputs.write(ProfileReport(cost, design, inputs, chosen, notes))


def _cost(
    workload: Workload, design: Design, hardware: HardwareOptions, search: SearchOptions, progress: Tell
) -> tuple[NetworkCost, tuple[str, ...]]:
    """What the network costs, and what is to be said of the prices of a changed design, which is among its notes."""
    hints = Hints()

    def on(design: Design, time_limit: float | None) -> NetworkCost:
        return profile_workload(
            workload,
            design,
            search.objective,
            jobs=search.jobs,
            use_cache=not search.no_cache,
            time_limit=time_limit,
            progress=progress,
            hints=hints,
        )

    cost = on(design, search.time_limit)
    notes = price_note(design, lambda: on(hardware.design(changed=False, own_prices=True)[0], None))
    return replace(cost, notes=(*cost.notes, *notes)), notes
