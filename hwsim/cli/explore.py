"""`hwsim explore`."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from hwsim import provenance
from hwsim.cli.groups import Group
from hwsim.cli.options import OutputsOrShown
from hwsim.cli.shared import progress_bar
from hwsim.deadline import Deadline
from hwsim.errors import HwsimError
from hwsim.explore import SamplerName, sampling
from hwsim.explore.check import Prepared, prepare
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.run import Exploration
from hwsim.explore.run import explore as run
from hwsim.explore.space import Space, load_space
from hwsim.explore.store import Store
from hwsim.explore.workers import Processes, Workers
from hwsim.files import cache_folder
from hwsim.reports.exploration import ExploreReport
from hwsim.reports.units import quantity


@dataclass(frozen=True)
class WhatToLookAt(Group):
    """Which designs of the space, and in what order."""

    trials: Annotated[int | None, typer.Option(min=1, max=100_000, help="Distinct designs to look at.")] = None
    grid: Annotated[bool, typer.Option("--grid", help="Look at every design of the grid.")] = False
    sampler: Annotated[SamplerName, typer.Option(help="Who proposes designs, with --trials.")] = SamplerName.nsga2
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything random.")] = 0

    def of_space(self, space: Space) -> tuple[sampling.Sampler, int]:
        """Who proposes designs of a space, and how many are wanted."""
        if self.grid:
            space.check_grid()
            return sampling.Grid(space), int(space.grid_size)
        return sampling.make_sampler(space, self.sampler, self.seed), self.trials or 0

    @property
    def words(self) -> list[tuple[str, object]]:
        """The options that decide the result, for the command that makes it again."""
        if self.grid:
            return [("--grid", True)]
        return [("--trials", self.trials), ("--sampler", self.sampler.value), ("--seed", self.seed)]


@dataclass(frozen=True)
class Evaluating(Group):
    """Who evaluates the designs, for how long, and where outcomes are kept."""

    workers: Annotated[int | None, typer.Option(min=1, max=1024, help="Processes; as many as cores unless given.")] = (
        None
    )
    store: Annotated[
        Path | None,
        typer.Option(help="SQLite file that keeps every outcome; the same command resumes. In the cache unless given."),
    ] = None
    scheduler: Annotated[
        str | None, typer.Option(help="Evaluate on a Dask cluster, tcp://HOST:PORT, instead of here.")
    ] = None
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds for the whole run; what was found until then is shown, and the same command resumes."
        ),
    ] = None

    def started(self, prepared: Prepared, deadline: Deadline) -> Workers:
        """The workers."""
        if self.scheduler is None:
            return Processes(prepared.job, self.workers or os.cpu_count() or 1, deadline)
        if self.workers is not None:
            raise HwsimError("the cluster has its own workers; say --workers or --scheduler.", where="hwsim explore")
        from hwsim.explore.cluster import Cluster

        return Cluster(prepared.job, self.scheduler, deadline)


def explore(
    space: Annotated[Path, typer.Argument(help="Space file (.yaml): models, parameters, constraints, objectives.")],
    look: WhatToLookAt,
    by: Evaluating,
    outputs: OutputsOrShown,
) -> None:
    """Search a space of designs: the Pareto front of its objectives, under its constraints."""
    deadline = Deadline.after(by.time_limit)
    if look.grid == (look.trials is not None):
        raise HwsimError("say --grid to look at every design, or --trials N.", where="hwsim explore")
    loaded = load_space(space)
    sampler, wanted = look.of_space(loaded)
    prepared = prepare(loaded)
    target = by.store or _default_store(prepared)
    with Store(target, prepared.identity) as kept, progress_bar(lines=True) as bar:
        for line in kept.damage:
            print(f"hwsim: {target}: {line}; what is missing is evaluated again.", file=sys.stderr)
        workers = by.started(prepared, deadline)
        found = run(
            loaded,
            kept,
            sampler,
            workers,
            wanted,
            tell=lambda now: bar(len(now.trials), now.wanted, lambda: _line(now)),
        )
    if not found.ended:
        found = replace(found, notes=Evaluator(prepared.job).price_notes())
    again = provenance.command("explore", str(space), options=look.words)
    outputs.write(ExploreReport(found, prepared, again))
    if found.ended:
        command = shlex.join(["hwsim", *sys.argv[1:]])
        kept_in = f"{len(found.trials)} outcomes are kept in {target}"
        print(f"hwsim: {found.ended}; {kept_in}. Resume: {command}", file=sys.stderr)
        raise typer.Exit(130 if found.ended == "interrupted" else 0)


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
