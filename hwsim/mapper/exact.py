"""The mapper: exact search over all mappings of a problem on an architecture."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.cost import Certificate, Illegal, LayerCost
from hwsim.deadline import Deadline, OutOfTime
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapper.arrays import Space
from hwsim.mapper.infeasible import contradiction
from hwsim.mapper.lower import aimed, kernel_space, key_count, most_keys
from hwsim.mapper.space import Limits, MapSpace, map_space
from hwsim.mapper.walk import SLACK, Progress, Walk, why_empty
from hwsim.mapping import Mapping
from hwsim.model import evaluate
from hwsim.objective import Objective
from hwsim.workloads.problem import Problem

LARGE = 50_000  # keys: where there are more, a search among some of them comes first, since the tables take seconds


def search(
    problem: Problem,
    architecture: Architecture,
    energy: EnergyTable,
    objective: str | Objective = "edp",
    *,
    time_limit: float | None = None,
    most_cycles: float = math.inf,
    progress: Progress | None = None,
    hints: Sequence[Mapping] = (),
) -> LayerCost | Illegal:
    """The best mapping of a problem on an architecture, with a certificate.

    Figure by figure of the objective: the least value of the first one; then the least of the next one among the
    mappings that are equal in the first; and so on.

    Args:
        objective: see `hwsim.objective.Objective.parse`.
        time_limit: seconds after which the best mapping so far is returned, with its gap.
        most_cycles: mappings that take longer do not count.
        progress: called with incumbent, bound and gap whenever the incumbent gets better.
        hints: mappings that may be good here, such as the best ones of like designs; whether legal or not, they
            make the search faster at best, and do not change what it finds.

    Returns:
        The cost under the best mapping (``certificate`` set), or why no mapping is legal. Interrupted (Ctrl-C) or
        out of time, the best mapping so far with the gap that is left.

    Raises:
        HwsimError: an action has no price; the problem is too large for the search; no mapping was found in time.
    """
    if architecture.network_latency:
        options: dict[str, Any] = {"time_limit": time_limit, "most_cycles": most_cycles, "progress": progress}
        return _with_networks(problem, architecture, energy, objective, hints=hints, **options)
    started = time.perf_counter()
    deadline = Deadline.after(time_limit)
    goal = objective if isinstance(objective, Objective) else Objective.parse(objective)
    space = map_space(problem, architecture)
    empty = contradiction(space)
    if empty is not None:
        return empty
    fine, coarse = _lowered(space, energy, deadline)
    limits, known, walks = Limits(latency=most_cycles), list(hints), list[Walk]()
    for figure in goal.figures:
        final = figure is goal.figures[-1]
        if coarse is not None:
            walk = Walk(space, energy, aimed(coarse, figure.name, limits), figure, limits, deadline, progress, final)
            if fine is None:
                walk.floor = _floor(space, coarse, energy, figure.name)
                walk.solve(known)
                walk.complete = False
            else:
                walk.dive_for(known)
                known = [x.mapping for x in (walk.known, walk.best) if x is not None] + known
        if fine is not None and (coarse is None or not walk.interrupted):
            walk = Walk(space, energy, aimed(fine, figure.name, limits), figure, limits, deadline, progress, final)
            walk.solve(known)
        walks.append(walk)
        if walk.best is None and len(walks) > 1:  # bounds are not exact here: ties stay as they were
            walk.best, walk.complete = walks[-2].best, False
        if walk.best is None:
            return _without(walk)
        limits = limits.at_most(figure.name, walk.value(walk.best) * (1 + SLACK))
        known = [walk.best.mapping]
        if walk.interrupted:
            break
    best = walks[-1].best
    assert best is not None
    return replace(best, certificate=_certificate(goal, walks, best, time.perf_counter() - started))


def _with_networks(
    problem: Problem,
    architecture: Architecture,
    energy: EnergyTable,
    objective: str | Objective,
    *,
    most_cycles: float,
    **options: Any,
) -> LayerCost | Illegal:
    """`search` where networks add the same cycles to every mapping: the best one is that of the design without them.

    Raises:
        HwsimError: the objective weighs cycles against something else, so that these cycles change what is best.
    """
    more = architecture.network_latency
    goal = objective if isinstance(objective, Objective) else Objective.parse(objective)
    for figure in goal.figures:
        if figure.name not in ("energy", "latency"):
            raise HwsimError(
                f"networks add {more:,} cycles to every mapping (network_fill_latency, network_drain_latency), which a "
                f"search for {figure.name} does not weigh; choose energy or latency (--objective).",
                where=architecture.source or architecture.name,
            )
    levels = tuple(replace(x, network_latency=0) if isinstance(x, Storage) else x for x in architecture.levels)
    bare = replace(architecture, levels=levels)
    found = search(problem, bare, energy, goal, most_cycles=most_cycles - more, **options)
    if isinstance(found, Illegal) or found.certificate is None:
        return found
    cost = evaluate(problem, architecture, found.mapping, energy)
    assert isinstance(cost, LayerCost)
    proof = found.certificate
    if goal.figures[0].name == "latency":
        proof = replace(proof, value=proof.value + more, lower_bound=proof.lower_bound + more)
    if proof.tie == "latency":
        proof = replace(proof, tie_value=proof.tie_value + more, tie_bound=proof.tie_bound + more)
    return replace(cost, certificate=proof)


def _lowered(space: MapSpace, energy: EnergyTable, deadline: Deadline) -> tuple[Space | None, Space | None]:
    """The space with all divisors, unless it is too large or the time is up; with some of them, where it is large."""
    keys = key_count(space)
    coarse = kernel_space(space, energy, coarse=True) if keys > LARGE else None
    if keys > most_keys(space):
        return None, coarse
    try:
        return kernel_space(space, energy, check=deadline.check if coarse is not None else lambda: None), coarse
    except OutOfTime:
        return None, coarse


def _floor(space: MapSpace, arrays: Space, energy: EnergyTable, figure: str) -> float:
    """What no mapping undercuts, whatever its factors: full fan-outs, and every data space moved once."""
    fans = [x for x in space.architecture.levels if isinstance(x, Fanout)]
    cycles = arrays.work.macs / min(arrays.work.macs, math.prod(x.mesh_x * x.mesh_y for x in fans))
    pj = arrays.work.macs * energy.price(space.architecture.compute.name, "compute")
    for s in range(len(space.problem.data_spaces)):
        pj += min(arrays.uses[p, s]["reach"] for p, may in enumerate(space.may_keep) if may[s])
    return {"edp": pj * cycles, "energy": pj, "latency": cycles}[figure]


def _without(walk: Walk) -> Illegal:
    """Why there is no mapping.

    Raises:
        HwsimError: the search ended before it found one.
    """
    if walk.interrupted:
        raise KeyboardInterrupt
    if not walk.complete:
        raise HwsimError("no mapping was found in the time and memory that the search had; there may be one.")
    return why_empty(walk)


def _certificate(goal: Objective, walks: list[Walk], best: LayerCost, seconds: float) -> Certificate:
    """What is proved: of the figure that decides, and of the one that breaks its ties."""
    bounds = [walk.bound(best) for walk in walks]
    proved = [b >= walk.value(best) * (1 - SLACK) for walk, b in zip(walks, bounds, strict=True)]
    tie = walks[-1] if len(walks) > 1 else None
    return Certificate(
        objective=str(goal),
        value=walks[0].value(best),
        optimal=all(proved) and len(walks) == len(goal.figures),
        lower_bound=bounds[0],
        space_size=0,
        evaluated=sum(walk.labels for walk in walks),
        argument=_argument(walks),
        seconds=seconds,
        tie=tie.figure.name if tie else "",
        tie_value=tie.value(best) if tie else 0.0,
        tie_bound=bounds[-1] if tie else 0.0,
    )


def pareto(
    problem: Problem, architecture: Architecture, energy: EnergyTable, *, time_limit: float | None = None
) -> list[LayerCost] | Illegal:
    """The energy–latency front: every (energy, cycles) that no mapping betters in one without losing in the other.

    The least energy first; then, again and again, the least energy among mappings that take fewer cycles than the
    last one, until there is none. Each point carries its own certificate.

    Args:
        time_limit: seconds after which the front so far is returned.

    Returns:
        from least energy to fewest cycles; or why no mapping is legal.
    """
    deadline = Deadline.after(time_limit)
    front: list[LayerCost] = []
    most = math.inf
    while True:
        left = deadline.left()
        if front and left is not None and left <= 0:
            return front
        try:
            cost = search(problem, architecture, energy, "energy", most_cycles=most, time_limit=left)
        except (HwsimError, KeyboardInterrupt):
            if front:
                return front
            raise
        if isinstance(cost, Illegal):
            return front or cost
        front.append(cost)
        most = cost.cycles - 1


def _argument(walks: list[Walk]) -> str:
    """By what reasoning the mappings that were not priced are excluded."""
    if any(not walk.arrays.exact for walk in walks):
        return "Too large a space: only some factors of each dimension were tried; nothing is proved beyond the bound."
    if not walks[0].space.all_orders:
        return "There are more loop orders than the search tries where windows slide like this; nothing is proved."
    if not all(walk.complete for walk in walks):
        return "The search was cut short; nothing is proved beyond the bound."
    return (
        "Partial mappings were grown from the datapath outwards, every divisor and every loop order that can change a "
        "count. One was dropped only where its admissible lower bound does not beat the best mapping found, or "
        "where another with the same loops still to place is no worse in any figure that what follows can depend on."
    )
