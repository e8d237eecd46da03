"""`hwsim whatif`."""

from __future__ import annotations

from typing import Annotated

import typer

from hwsim.cli.options import ArchName, Jobs, ModelOptions, ObjectiveOption, Outputs
from hwsim.cli.shared import progress_bar
from hwsim.objective import EDP
from hwsim.provenance import Inputs, command, design_sha256
from hwsim.reports.report import WhatifReport
from hwsim.whatif import parse_group, study


def whatif(
    network: ModelOptions,
    groups: Annotated[
        list[str],
        typer.Option(
            "--set", help="A column: COMPONENT.ATTRIBUTE=VALUE, several separated by commas. Repeat for more."
        ),
    ],
    outputs: Outputs,
    arch: ArchName = "simple_ws",
    objective: ObjectiveOption = EDP,
    jobs: Jobs = 1,
) -> None:
    """What changes if the hardware does: priced and mapped anew, side by side, layer by layer."""
    parsed = [parse_group(text) for text in groups]
    workload, hashed = network.read()
    with progress_bar("mapping") as progress:
        variants = study(workload, arch, parsed, objective, jobs=jobs, progress=progress)
    options = [("--arch", arch), ("--objective", objective), *network.said, ("--set", groups)]
    designs = [
        (f"{v.name}: architecture and prices", design_sha256(v.design.architecture, v.design.energy)) for v in variants
    ]
    facts = (("objective", str(objective)), *network.facts)
    inputs = Inputs(command("whatif", network.model, options=options), (hashed, *designs), facts)
    outputs.write(WhatifReport(variants, inputs))
