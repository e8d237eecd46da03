"""Small random designs and problems in which every switch that a constraint can set occurs, from a plain seed.

Sizes are such that all mappings can be made one by one (see `tests.witness.enumerator`). Prices are often small round
numbers, so that many mappings tie.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hwsim.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Fanout,
    Level,
    LoopConstraint,
    Storage,
)
from hwsim.energy import Action, EnergyTable
from hwsim.workloads.problem import DataSpace, Problem, conv, convolution, depthwise, grouped_conv, matmul
from tests.witness.enumerator import most_mappings

MOST = 3000
"""Mappings that a design may have, its capacities left aside."""


@dataclass(frozen=True)
class Design:
    """A problem on an architecture with its prices."""

    problem: Problem
    architecture: Architecture
    energy: EnergyTable


def designs(seed: str, count: int, most: int = MOST) -> list[Design]:
    """So many random designs, each from a seed of its own: ``seed/0``, ``seed/1`` …"""
    return [design(random.Random(f"{seed}/{k}"), most) for k in range(count)]


def design(rng: random.Random, most: int = MOST) -> Design:
    """A random design whose space has at most so many mappings, and more than one where that can be had."""
    while True:
        problem = random_problem(rng)
        architecture = random_architecture(rng, problem)
        size = most_mappings(problem, architecture, most)
        # few designs without any choice: there is little to see
        if size is not None and (size > 3 or rng.random() < 0.1):
            return Design(problem, architecture, random_prices(rng, architecture))


# -- problems -------------------------------------------------------------------------------------------------------


def random_problem(rng: random.Random) -> Problem:
    """A convolution of any form, a matrix product, or projections of its own; now and then a single multiplication."""
    kind = rng.choice(("conv", "conv", "conv", "depthwise", "grouped", "matmul", "transposed", "custom", "custom"))
    letters = {
        "conv": "CMRSNPQ",
        "depthwise": "CRSNPQ",
        "grouped": "GCMRSNPQ",
        "matmul": "BMCP",
        "transposed": "CMRSPQ",
    }
    if kind == "custom":
        return _custom(rng)
    most = rng.choice((0, 1, 2, 2, 3, 3, 3, 4))
    # a sliding window needs both of its dimensions; half the convolutions get one for sure
    pairs = ("RP", "SQ") if kind != "matmul" and rng.random() < 0.5 else ("",)
    chosen = list(rng.choice(pairs))
    rest = [d for d in letters[kind] if d not in chosen]
    chosen += rng.sample(rest, min(len(rest), max(0, most - len(chosen))))
    sizes = {
        d: rng.choice((2, 2, 3, 3, 4, 4, 5, 6, 8, 9)) if len(chosen) < 4 else rng.choice((2, 3, 4)) for d in chosen
    }
    if kind == "matmul":
        return matmul(sizes)
    if kind == "transposed":
        steps, spread = [rng.randint(1, 3) for _ in range(2)], [rng.randint(1, 2) for _ in range(2)]
        return convolution(sizes, strides=steps, dilations=spread, transposed=True)
    build = {"conv": conv, "depthwise": depthwise, "grouped": grouped_conv}[kind]
    steps = {name: rng.choice((1, 1, 1, 2, 3)) for name in ("wstride", "hstride", "wdilation", "hdilation")}
    return build(sizes, **steps)


def _custom(rng: random.Random) -> Problem:
    """Two to four data spaces over dimensions A, B …; ranks are single dimensions, sums of two or three, or scaled."""
    dims = "ABCD"[: rng.randint(1, 4)]
    sizes = tuple((d, rng.choice((1, 2, 2, 3, 4, 6))) for d in dims)

    def rank() -> tuple[tuple[int, str], ...]:
        terms = rng.sample(dims, min(len(dims), rng.choice((1, 1, 1, 2, 2, 3))))
        return tuple((rng.choice((1, 1, 1, 2, 3)), d) for d in terms)

    names = [*rng.sample(["Weights", "Inputs", "Bias"], rng.randint(1, 3)), "Outputs"]
    spaces = tuple(
        DataSpace(name, tuple(rank() for _ in range(rng.choice((0, 1, 1, 2, 2, 3)))), name == "Outputs")
        for name in names
    )
    return Problem("custom", sizes, spaces)


# -- architectures --------------------------------------------------------------------------------------------------


def random_architecture(rng: random.Random, problem: Problem) -> Architecture:
    """One to four storages and up to three fan-outs; half of the designs have few constraints, so that each shows."""
    strict = rng.choice((0.0, 0.1, 0.3, 0.6))
    kinds = ["storage"] * rng.choice((0, 1, 1, 1, 2, 2, 3)) + ["fanout"] * rng.choice((0, 0, 1, 1, 1, 2, 3))
    rng.shuffle(kinds)
    levels: list[Level] = [_storage(rng, "S0", problem, strict, outermost=True)]
    for index, kind in enumerate(kinds, start=1):
        if kind == "fanout":
            mesh = (rng.choice((1, 2, 2, 3, 4)), rng.choice((1, 1, 2, 3)))
            levels.append(Fanout(f"F{index}", *mesh, constraints=_fanout_constraints(rng, problem, strict, mesh)))
        else:
            levels.append(_storage(rng, f"S{index}", problem, strict))
    return Architecture("random", tuple(levels), Compute("mac", "intmac"))


def _storage(rng: random.Random, name: str, problem: Problem, strict: float, *, outermost: bool = False) -> Storage:
    words = sum(problem.data_space_size(x) for x in problem.data_spaces)
    block = rng.choice((1, 1, 1, 2, 4))
    depth = None if outermost or rng.random() < 0.3 else max(1, round(words * rng.uniform(0.1, 1.5) / block))
    limited = rng.random() < 0.4

    def bandwidth() -> float | None:
        return rng.choice((0.25, 0.5, 1.0, 1.5, 2.0, 4.0)) if limited and rng.random() < 0.5 else None

    return Storage(
        name,
        "DRAM" if outermost else "smartbuffer_SRAM",
        depth,
        8 * block,
        8,
        block,
        cluster_size=rng.choice((1, 1, 1, 2, 4)),
        read_bandwidth=bandwidth(),
        write_bandwidth=bandwidth(),
        shared_bandwidth=bandwidth(),
        multiple_buffering=rng.choice((1.0, 1.0, 1.0, 1.0, 2.0)),
        constraints=_storage_constraints(rng, problem, strict, outermost=outermost),
    )


def _storage_constraints(rng: random.Random, problem: Problem, strict: float, *, outermost: bool) -> Constraints:
    names = [x.name for x in problem.data_spaces]
    keep, bypass = set[str](), set[str]()
    for name in names if not outermost else ():
        {"keep": keep, "bypass": bypass, "": set[str]()}[rng.choice(("keep", "keep", "bypass", ""))].add(name)
    return Constraints(
        temporal=replace(
            _loops(rng, problem, strict),
            no_reuse=_some(rng, names, strict),
            rmw_first_update=_some(rng, names, strict),
        ),
        keep=frozenset(keep),
        bypass=frozenset(bypass),
        min_utilization=rng.choice((0.05, 0.1, 0.25, 0.5)) if rng.random() < strict * 0.5 else 0.0,
    )


def _fanout_constraints(rng: random.Random, problem: Problem, strict: float, mesh: tuple[int, int]) -> Constraints:
    names = [x.name for x in problem.data_spaces]
    loops = _loops(rng, problem, strict)
    split = rng.choice((None, 0, 1, 2, 99)) if rng.random() < max(0.3, strict) else None
    return Constraints(
        spatial=replace(
            loops,
            split=split,
            no_multicast=_some(rng, names, strict),
            no_link_transfer=_some(rng, names, strict),
        ),
        min_utilization=rng.choice((0.25, 0.5, 0.75, 1.0))
        if math.prod(mesh) > 1 and rng.random() < strict * 0.5
        else 0.0,
    )


def _loops(rng: random.Random, problem: Problem, strict: float) -> LoopConstraint:
    """Limits on factors and orders, of dimensions that the problem may lack, too."""
    dims = [d for d, _ in problem.dims]
    factors = []
    for dim, size in problem.dims:
        if rng.random() < strict * 0.4:
            op = rng.choice(("=", "=", "<=", "<=", ">="))
            divisors = [n for n in range(1, size + 1) if size % n == 0]
            value = {"=": rng.choice((0, 1, 1, *divisors)), "<=": rng.choice((1, 2, 3, 4)), ">=": rng.choice((1, 2, 3))}
            factors.append(FactorConstraint(dim, op, value[op]))  # type: ignore[arg-type]
    if rng.random() < strict * 0.2:
        factors.append(FactorConstraint("Z", "=", 3))
    order = rng.sample(dims, rng.randint(1, len(dims))) if rng.random() < max(0.15, strict * 0.5) else []
    return LoopConstraint(
        factors=tuple(factors),
        permutation=tuple(order),
        others_one=rng.random() < strict * 0.4,
        no_iteration=_some(rng, [x.name for x in problem.data_spaces], strict * 0.5),
        max_factor=rng.choice((1, 2, 3, 4)) if rng.random() < strict * 0.4 else None,
    )


def _some(rng: random.Random, names: Sequence[str], chance: float) -> frozenset[str]:
    return frozenset(x for x in names if rng.random() < chance * 0.7)


# -- prices ---------------------------------------------------------------------------------------------------------


def random_prices(rng: random.Random, architecture: Architecture) -> EnergyTable:
    """Round prices, prices with many digits, or prices that grow outwards as real ones do; some are free, some leak."""
    style = rng.choice(("round", "round", "digits", "real"))
    leaks = rng.random() < 0.6

    def one(height: int) -> float:
        if style == "round":
            return float(rng.choice((0, 1, 1, 2, 5, 10)))
        if style == "digits":
            return rng.uniform(0.0, 10.0)
        return rng.uniform(0.5, 1.5) * 4.0**height

    prices: dict[str, Callable[[int], float]] = {name: one for name in ("read", "write", "update")}
    prices["leak"] = lambda _: rng.choice((0.0, 0.25, 1.0, rng.uniform(0.0, 3.0))) if leaks else 0.0
    storages = architecture.storages
    actions = {
        x.name: {action: Action(price(len(storages) - k)) for action, price in prices.items()}
        for k, x in enumerate(storages)
    }
    return EnergyTable(
        actions | {architecture.compute.name: {"compute": Action(rng.choice((0.0, 0.5, 1.0)))}}, {}, "random"
    )
