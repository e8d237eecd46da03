"""Commands on mappings: evaluate and map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hwsim import warm
from hwsim.cli.shared import ObjectiveText, check_outputs, console, json_text, print_json, show
from hwsim.cost import Illegal
from hwsim.design import load_specs
from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.mapper import pareto, search
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.model import evaluate as evaluate_mapping
from hwsim.reports import data, terminal


def evaluate(
    specs: Annotated[list[Path], typer.Argument(help="Files with architecture, problem, mapping (together or apart).")],
    json: Annotated[bool, typer.Option("--json", help="Print a list in schema hwsim.evaluate/1.")] = False,
) -> None:
    """Cost of given mappings, as Timeloop counts them."""
    loaded = load_specs(specs)
    costs = []
    for spec in loaded:
        assert spec.mapping is not None
        costs.append(evaluate_mapping(spec.problem, spec.architecture, spec.mapping, spec.energy))
    if json:
        print_json([data.evaluate_data(c, s.architecture) for c, s in zip(costs, loaded, strict=True)])
        return
    for spec, cost in zip(loaded, costs, strict=True):
        if isinstance(cost, Illegal):
            place = spec.places[cost.level].where if cost.level in spec.places else f"{spec.name}: mapping"
            raise HwsimError(f"the mapping is illegal: {terminal.why(cost)}", where=place)
        show(terminal.layer_report(cost, spec.architecture, f"{spec.name} on {spec.architecture.name}"))


def map_command(
    specs: Annotated[list[Path], typer.Argument(help="Files with architecture and problem (together or apart).")],
    objective: ObjectiveText = "",
    json: Annotated[bool, typer.Option("--json", help="Print the result in schema hwsim.map/1.")] = False,
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
    quiet = check_outputs(json="-" if json else None, prove=prove)
    loaded = load_specs(specs, "problem")
    if len(loaded) != 1:
        raise HwsimError(f"expected one problem, found {len(loaded)}.", where=", ".join(s.name for s in loaded))
    spec = loaded[0]
    objective = objective or str(spec.objective or "edp")
    warm.start()
    if front:
        points = pareto(spec.problem, spec.architecture, spec.energy, time_limit=time_limit)
        if isinstance(points, Illegal):
            raise HwsimError(f"no mapping is legal: {terminal.why(points)}", where=spec.name)
        if prove is not None or json:
            result = {"schema": "hwsim.map/1", "front": [data.map_data(x, spec.architecture) for x in points]}
            if prove is not None:
                write_file(prove, json_text(result))
            if json:
                print_json(result)
        if not quiet:
            show(terminal.front_table(points, f"{spec.name} on {spec.architecture.name}"))
        return
    with _search_line(objective) as tell:
        cost = search(spec.problem, spec.architecture, spec.energy, objective, time_limit=time_limit, progress=tell)
    if not isinstance(cost, Illegal) and cost.certificate is not None:
        size = space_size(map_space(spec.problem, spec.architecture)) or 0
        cost = replace(cost, certificate=replace(cost.certificate, space_size=size))
    result = data.map_data(cost, spec.architecture)
    if prove is not None:
        write_file(prove, json_text(result))
    if json:
        print_json(result)
    elif isinstance(cost, Illegal):
        raise HwsimError(f"no mapping is legal: {terminal.why(cost)}", where=spec.name)
    elif not quiet:
        show(terminal.layer_report(cost, spec.architecture, f"{spec.name} on {spec.architecture.name}"))


@contextmanager
def _search_line(objective: str) -> Iterator[Callable[[float, float, float], None]]:
    """A line on stderr with the best so far and how far it may be from the optimum; gone when the search ends."""
    with console(stderr=True).status("searching") as status:
        yield lambda best, bound, gap: status.update(
            f"searching · least {objective} so far {best:.5g}, bound {bound:.5g}, gap at most {100 * gap:.0f}% "
            "(Ctrl-C keeps the best)"
        )
