"""Commands on mappings: evaluate and map."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from hwsim import warm
from hwsim.cli.options import FileOptions, JsonOrShown, ObjectiveOrNone
from hwsim.cli.shared import check_outputs, console, show, show_notes
from hwsim.cost import Illegal, LayerCost
from hwsim.design import Spec, load_each, load_specs
from hwsim.errors import HwsimError
from hwsim.files import is_standard_output, write_file
from hwsim.mapper import pareto, search
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.model import evaluate as evaluate_mapping
from hwsim.objective import EDP, Objective
from hwsim.reports import data, terminal
from hwsim.reports.table import json_text


def evaluate(
    specs: Annotated[list[Path], typer.Argument(help="Files with architecture, problem, mapping (together or apart).")],
    files: FileOptions,
    json: JsonOrShown = None,
) -> None:
    """Cost of given mappings, as Timeloop counts them."""
    quiet = check_outputs(json=json)
    results = [_evaluated(one) for one in load_each(specs, **files.given)]
    for result in results:
        if result.spec is not None:
            show_notes(result.spec.notes, result.spec.energy.unpriced)
    if json is not None:
        write_file(json, json_text([result.data() for result in results]))
    if not quiet:
        _show(results)
    _tell([result.cost for result in results if isinstance(result.cost, HwsimError)])


@dataclass(frozen=True)
class _Evaluated:
    """One of several specifications: its cost, or why there is none."""

    spec: Spec | None
    cost: LayerCost | Illegal | HwsimError

    @property
    def fault(self) -> HwsimError | None:
        """Why there is no cost; None where there is one."""
        if isinstance(self.cost, HwsimError):
            return self.cost
        if isinstance(self.cost, Illegal) and self.spec is not None:
            places = self.spec.places
            where = places[self.cost.level].where if self.cost.level in places else f"{self.spec.name}: mapping"
            return HwsimError(f"the mapping is illegal: {terminal.why(self.cost)}", where=where)
        return None

    def data(self) -> dict[str, Any]:
        """In schema ``hwsim.evaluate/1``."""
        if isinstance(self.cost, HwsimError):
            return {"error": {"where": self.cost.where, "reason": self.cost.message}}
        assert self.spec is not None
        found = data.evaluate_data(self.cost, self.spec.architecture, self.spec.energy.unpriced)
        return found | ({"notes": list(self.spec.notes)} if self.spec.notes else {})


def _evaluated(one: Spec | HwsimError) -> _Evaluated:
    if isinstance(one, HwsimError):
        return _Evaluated(None, one)
    assert one.mapping is not None
    return _Evaluated(one, evaluate_mapping(one.problem, one.architecture, one.mapping, one.energy))


def _show(results: Sequence[_Evaluated]) -> None:
    """Costs on stdout; what is wrong with the others on stderr, or raised where there is one alone."""
    faults = [result.fault for result in results if result.fault is not None]
    if len(results) == 1 and faults:
        raise faults[0]
    for spec, cost in ((x.spec, x.cost) for x in results):
        if spec is not None and isinstance(cost, LayerCost):
            show(terminal.layer_report(cost, spec.architecture, _title(spec), spec.energy.unpriced))
    _tell(faults)


def _tell(faults: Sequence[HwsimError]) -> None:
    """Faults on stderr, and the exit code that says so."""
    for fault in faults:
        print(f"hwsim: {fault}", file=sys.stderr)
    if faults:
        raise typer.Exit(2)


@dataclass(frozen=True)
class _Found:
    """What a search found: as data and as the terminal shows it; ``illegal`` where no mapping is legal."""

    data: dict[str, Any]
    shown: RenderableType
    illegal: Illegal | None = None


def map_command(
    specs: Annotated[list[Path], typer.Argument(help="Files with architecture and problem (together or apart).")],
    files: FileOptions,
    objective: ObjectiveOrNone = None,
    json: JsonOrShown = None,
    prove: Annotated[Path | None, typer.Option(help="Write mapping and certificate as JSON.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which the best so far is shown.")
    ] = None,
    front: Annotated[
        bool,
        typer.Option("--pareto", help="Every trade of energy for cycles that is worth making, instead of one mapping."),
    ] = False,
) -> None:
    """The best mapping of a problem, with its certificate."""
    quiet = check_outputs(json=json, prove=prove)
    spec = _one(load_specs(specs, "problem", **files.given))
    show_notes(spec.notes, spec.energy.unpriced)
    warm.start()
    found = _front(spec, time_limit) if front else _best(spec, objective or spec.objective or EDP, time_limit)
    for target in (prove, json):
        if target is not None:
            write_file(target, json_text(found.data))
    if json is not None and is_standard_output(json):
        return
    if found.illegal is not None:
        raise HwsimError(f"no mapping is legal: {terminal.why(found.illegal)}", where=spec.name)
    if not quiet:
        show(found.shown)


def _one(specs: Sequence[Spec]) -> Spec:
    if len(specs) != 1:
        raise HwsimError(f"expected one problem, found {len(specs)}.", where=", ".join(s.name for s in specs))
    return specs[0]


def _title(spec: Spec) -> str:
    return f"{spec.name} on {spec.architecture.name}"


def _front(spec: Spec, time_limit: float | None) -> _Found:
    """Every trade of energy for cycles."""
    points = pareto(spec.problem, spec.architecture, spec.energy, time_limit=time_limit)
    if isinstance(points, Illegal):
        raise HwsimError(f"no mapping is legal: {terminal.why(points)}", where=spec.name)
    found = {
        "schema": "hwsim.map/1",
        "front": [data.map_data(x, spec.architecture, spec.energy.unpriced) for x in points],
    }
    return _Found(found, terminal.front_table(points, _title(spec)))


def _best(spec: Spec, objective: Objective, time_limit: float | None) -> _Found:
    """The best mapping."""
    with _search_line(objective) as tell:
        cost = search(spec.problem, spec.architecture, spec.energy, objective, time_limit=time_limit, progress=tell)
    if isinstance(cost, Illegal):
        return _Found(data.map_data(cost, spec.architecture), "", cost)
    if cost.certificate is not None:
        size = space_size(map_space(spec.problem, spec.architecture)) or 0
        cost = replace(cost, certificate=replace(cost.certificate, space_size=size))
    unpriced = spec.energy.unpriced
    report = terminal.layer_report(cost, spec.architecture, _title(spec), unpriced)
    return _Found(data.map_data(cost, spec.architecture, unpriced), report)


@contextmanager
def _search_line(objective: Objective) -> Iterator[Callable[[float, float, float], None]]:
    """A line on stderr with the best so far and how far it may be from the optimum; gone when the search ends."""
    with console(stderr=True).status("searching") as status:
        yield lambda best, bound, gap: status.update(
            f"searching · least {objective} so far {best:.5g}, bound {bound:.5g}, gap at most {100 * gap:.0f}% "
            "(Ctrl-C keeps the best)"
        )
