"""`hwsim score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.shared import json_text, progress_bar, show, zoo_or_file


def score(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    rubric: Annotated[str, typer.Option(help="mit-lab1, aoc-lab1, hw13, lab0, or a rubric file (.yaml).")],
    accuracy: Annotated[
        str | None, typer.Option(help="Test accuracy, 0 to 1; otherwise the ONNX file's metadata says.")
    ] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture; the rubric's own unless given.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset; otherwise the ONNX file's metadata says.")] = None,
    population: Annotated[
        Path | None, typer.Option(help="CSV or JSON of other models' parameters and macs, to rank against.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result in schema hwsim.score/1.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
) -> None:
    """Points for a model by a course's rubric, and what the next band would need."""
    from dataclasses import replace

    from hwsim import rubric as rubrics
    from hwsim.network import profile_workload
    from hwsim.spec import load_architecture
    from reports import data, terminal
    from workloads.onnx_reader import read_onnx

    chosen = rubrics.load_rubric(rubric)
    others = rubrics.read_population(population) if population is not None else {}
    given = None if accuracy is None else rubrics.read_accuracy(accuracy, "--accuracy")
    hardware = load_architecture(arch or chosen.arch) if rubrics.needs_mapping(chosen) or arch else None
    with zoo_or_file(model) as path:
        workload = read_onnx(path, {})
    source = "given by --accuracy"
    if given is None:
        stated = workload.metadata.get("test_accuracy")
        source = "from the file's metadata (test_accuracy)" if stated else "not known: give --accuracy"
        given = None if stated is None else rubrics.read_accuracy(stated, f"{model}: metadata test_accuracy")
    if dataset is not None:
        workload = replace(workload, metadata=workload.metadata | {"dataset": dataset})
    cost = None
    if hardware is not None:
        with progress_bar("mapping") as progress:
            cost = profile_workload(workload, *hardware, jobs=jobs, progress=progress)
    result = rubrics.grade(chosen, rubrics.Facts(given, source, workload, cost, others))
    if json:
        print(json_text(data.score_data(result)), end="")
    else:
        show(terminal.score_report(result))
