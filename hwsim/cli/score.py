"""`hwsim score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim import rubric as rubrics
from hwsim.cli.shared import check_outputs, hash_model, print_json, progress_bar, show, write_plots, zoo_or_file
from hwsim.design import load_architecture
from hwsim.files import write_file
from hwsim.provenance import Inputs, command, design_sha256, file_sha256
from hwsim.reports import data, terminal
from hwsim.reports.markdown import score_markdown
from hwsim.rubric import Score, rubric_file
from hwsim.workloads.onnx_reader import read_onnx


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
    csv: Annotated[Path | None, typer.Option(help="Write a line per criterion.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown tables.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at, one file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the figures as PNG and SVG into a folder.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
) -> None:
    """Points for a model by a course's rubric, and what the next band would need."""
    quiet = check_outputs(json="-" if json else None, csv=csv, markdown=markdown, html=html, plots=plots)
    rubrics.load_rubric(rubric)  # a wrong name before a wrong file
    others = rubrics.read_population(population) if population is not None else None
    with zoo_or_file(model) as path:
        workload = read_onnx(path, {})
        hashed = hash_model(path) if html is not None else ("", "")
    with progress_bar("mapping") as progress:
        result = rubrics.score(
            workload,
            rubric,
            accuracy=accuracy,
            arch=arch,
            dataset=dataset,
            population=others,
            jobs=jobs,
            progress=progress,
        )
    if csv is not None:
        write_file(csv, data.score_csv(result))
    if markdown is not None:
        write_file(markdown, score_markdown(result))
    if plots is not None:
        from hwsim.reports.plots import score_plots

        write_plots(plots, score_plots(result))
    if html is not None:
        write_file(html, _page(result, model, hashed, rubric, accuracy, arch, dataset, population))
    if json:
        print_json(data.score_data(result))
    elif not quiet:
        show(terminal.score_report(result))


def _page(
    result: Score,
    model: str,
    hashed: tuple[str, str],
    rubric: str,
    accuracy: str | None,
    arch: str | None,
    dataset: str | None,
    population: Path | None,
) -> str:
    from hwsim.reports.html.score import score_page

    options = [("--rubric", rubric), ("--accuracy", accuracy), ("--arch", arch), ("--dataset", dataset)]
    sha256 = [hashed, ("rubric", file_sha256(rubric_file(rubric)))]
    if result.facts.cost is not None:
        design = design_sha256(*load_architecture(arch or result.rubric.arch))
        sha256.append(("architecture and prices", design))
    if population is not None:
        options.append(("--population", str(population)))
        sha256.append(("population", file_sha256(population)))
    return score_page(result, Inputs(command("score", model, options=options), tuple(sha256)))
