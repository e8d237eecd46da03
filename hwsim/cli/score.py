"""`hwsim score`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from hwsim import rubric as rubrics
from hwsim.cli.groups import Group
from hwsim.cli.options import Jobs, OutputsOrShown, zoo_or_file
from hwsim.cli.shared import progress_bar
from hwsim.provenance import Inputs, command, design_sha256, file_sha256
from hwsim.reports.report import ScoreReport
from hwsim.workloads.onnx.reader import read_onnx


@dataclass(frozen=True)
class GradedBy(Group):
    """What a model is graded by, and what its file does not say."""

    rubric: Annotated[str, typer.Option(help="mit-lab1, aoc-lab1, hw13, lab0, or a rubric file (.yaml).")]
    accuracy: Annotated[
        str | None, typer.Option(help="Test accuracy, 0 to 1; otherwise the ONNX file's metadata says.")
    ] = None
    arch: Annotated[str | None, typer.Option(help="Architecture; the rubric's own unless given.")] = None
    dataset: Annotated[str | None, typer.Option(help="Dataset; otherwise the ONNX file's metadata says.")] = None
    population: Annotated[
        Path | None, typer.Option(help="CSV or JSON of other models' parameters and macs, to rank against.")
    ] = None


def score(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    by: GradedBy,
    outputs: OutputsOrShown,
    jobs: Jobs = 1,
) -> None:
    """Points for a model by a course's rubric, and what the next band would need."""
    rubrics.load_rubric(by.rubric)  # a wrong name before a wrong file
    others = rubrics.read_population(by.population) if by.population is not None else None
    with zoo_or_file(model) as path:
        workload, hashed = read_onnx(path, {}), ("model", file_sha256(path))
    with progress_bar("mapping") as progress:
        result = rubrics.score(
            workload,
            by.rubric,
            accuracy=by.accuracy,
            arch=by.arch,
            dataset=by.dataset,
            population=others,
            jobs=jobs,
            progress=progress,
        )
    outputs.write(ScoreReport(result, _inputs(result, model, hashed, by)))


def _inputs(result: rubrics.Score, model: str, hashed: tuple[str, str], by: GradedBy) -> Inputs:
    """What the score was made from."""
    options = [("--rubric", by.rubric), ("--accuracy", by.accuracy), ("--arch", by.arch), ("--dataset", by.dataset)]
    sha256 = [hashed, ("rubric", file_sha256(rubrics.rubric_file(by.rubric)))]
    design = result.facts.design
    if design is not None:
        sha256.append(("architecture and prices", design_sha256(design.architecture, design.energy)))
    if by.population is not None:
        options.append(("--population", str(by.population)))
        sha256.append(("population", file_sha256(by.population)))
    return Inputs(command("score", model, options=options), tuple(sha256))
