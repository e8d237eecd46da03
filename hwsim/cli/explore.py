"""`hwsim explore`."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim import provenance
from hwsim.cli.shared import check_outputs, print_json, progress_bar, show, write_plots
from hwsim.errors import HwsimError
from hwsim.explore import SamplerName, sampling
from hwsim.explore.check import Prepared, prepare
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.run import Exploration
from hwsim.explore.run import explore as run
from hwsim.explore.space import load_space
from hwsim.explore.store import Store
from hwsim.explore.workers import Processes, Workers
from hwsim.files import cache_folder, write_file
from hwsim.network import deadline_after
from hwsim.reports import exploration
from hwsim.reports.markdown import explore_markdown
from hwsim.reports.units import quantity


def explore(
    space: Annotated[Path, typer.Argument(help="Space file (.yaml): models, parameters, constraints, objectives.")],
    trials: Annotated[int | None, typer.Option(min=1, max=100_000, help="Distinct designs to look at.")] = None,
    grid: Annotated[bool, typer.Option("--grid", help="Look at every design of the grid.")] = False,
    sampler: Annotated[SamplerName, typer.Option(help="Who proposes designs, with --trials.")] = SamplerName.nsga2,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Processes; as many as cores unless given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything random.")] = 0,
    store: Annotated[
        Path | None,
        typer.Option(help="SQLite file that keeps every outcome; the same command resumes. In the cache unless given."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Evaluate on a Dask cluster, tcp://HOST:PORT, instead of here.")
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds for the whole run; what was found until then is shown, and the same command resumes."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result in schema hwsim.explore/1.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write a line per trial.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with front, parallel coordinates, all designs.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Write the figures as PNG and SVG into this folder.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the front as a Markdown table.")] = None,
) -> None:
    """Search a space of designs: the Pareto front of its objectives, under its constraints."""
    deadline = deadline_after(time_limit)
    if grid == (trials is not None):
        raise HwsimError("say --grid to look at every design, or --trials N.", where="hwsim explore")
    quiet = check_outputs(json="-" if json else None, csv=csv, html=html, markdown=markdown, plots=plots)
    loaded = load_space(space)
    chosen: sampling.Sampler = sampling.Grid(loaded)
    if grid:
        loaded.check_grid()
    else:
        chosen = sampling.make_sampler(loaded, sampler, seed)
    wanted = trials or int(loaded.grid_size)
    prepared = prepare(loaded)
    target = store or _default_store(prepared)
    with Store(target, prepared.identity) as kept, progress_bar(lines=True) as bar:
        for line in kept.damage:
            print(f"hwsim: {target}: {line}; what is missing is evaluated again.", file=sys.stderr)
        working = _workers(prepared, scheduler, workers, deadline)
        found = run(
            loaded, kept, chosen, working, wanted, tell=lambda now: bar(len(now.trials), now.wanted, lambda: _line(now))
        )
    if not found.ended:
        found = replace(found, notes=Evaluator(prepared.job).price_notes())
    if csv is not None:
        write_file(csv, exploration.explore_csv(found))
    if html is not None or plots is not None or markdown is not None:
        options = [("--grid", grid), ("--trials", trials)] + (
            [] if grid else [("--sampler", sampler.value), ("--seed", seed)]
        )
        again = provenance.command("explore", str(space), options=options)
        _write_pages(exploration.page_data(found, prepared, again), html, plots, markdown)
    if json:
        print_json(exploration.explore_data(found))
    elif not quiet:
        show(exploration.explore_report(found))
    if found.ended:
        command = shlex.join(["hwsim", *sys.argv[1:]])
        kept_in = f"{len(found.trials)} outcomes are kept in {target}"
        print(f"hwsim: {found.ended}; {kept_in}. Resume: {command}", file=sys.stderr)
        raise typer.Exit(130 if found.ended == "interrupted" else 0)


def _write_pages(data: dict[str, Any], html: Path | None, plots: Path | None, markdown: Path | None) -> None:
    from hwsim.reports.html.explore import explore_page
    from hwsim.reports.plots import explore_plots

    if html is not None:
        write_file(html, explore_page(data))
    if plots is not None:
        write_plots(plots, explore_plots(data))
    if markdown is not None:
        write_file(markdown, explore_markdown(data))


def _default_store(prepared: Prepared) -> Path:
    """A file of the cache, by the space's content."""
    name = hashlib.sha256(json.dumps(prepared.identity, sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / "explore"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HwsimError(
            f"the cache folder cannot be made: {error.strerror}. Name a --store.", where=str(folder)
        ) from error
    return folder / f"{name[:32]}.sqlite"


def _workers(prepared: Prepared, scheduler: str | None, count: int | None, deadline: float) -> Workers:
    if scheduler is not None:
        if count is not None:
            raise HwsimError("the cluster has its own workers; say --workers or --scheduler.", where="hwsim explore")
        from hwsim.explore.cluster import Cluster

        return Cluster(prepared.job, scheduler, deadline)

    return Processes(prepared.job, count or os.cpu_count() or 1, deadline)


def _line(found: Exploration) -> str:
    """``2 failed · best energy 1.2 mJ, area 3 mm² · hypervolume 0.71``."""
    parts = []
    for state in ("infeasible", "failed"):
        if found.count(state):
            parts.append(f"{found.count(state)} {state}")
    if found.complete:
        best = found.points.min(axis=0) * found.space.signs
        named = zip(found.space.objectives, best, strict=True)
        parts.append("best " + ", ".join(f"{x.name} {quantity(float(v), x.unit)}" for x, v in named))
        parts.append(f"hypervolume {found.hypervolume[-1][1]:.3f} ({len(found.front)} on the front)")
    return " · ".join(parts)
