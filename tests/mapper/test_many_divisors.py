"""Problems of many divisors: the search neither leaves its arrays nor its time, and what it claims holds.

``make check-bounds`` runs this with ``NUMBA_BOUNDSCHECK=1``, so that a kernel that leaves an array raises, on two
thousand problems (``HWSIM_DIVISORS`` says how many).
"""

from __future__ import annotations

import math
import os
import random
import time
from dataclasses import replace

import pytest

from hwsim.architecture import Architecture, Compute, Constraints, Fanout, LoopConstraint, Storage
from hwsim.cost import LayerCost
from hwsim.design import load_architecture
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapper import search
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.workloads.problem import Problem, conv, matmul
from tests.mapper.random_designs import random_architecture, random_prices
from tests.witness.enumerator import OBJECTIVES

PER_PART = 5
PARTS = max(1, int(os.environ.get("HWSIM_DIVISORS", "30")) // PER_PART)
FOUND = 158  # a part in which tables of partial mappings went on growing when the time was up
LIMIT = 0.2  # seconds that a search may take
LEEWAY = 2.0  # seconds of processor time that it may take beyond: a kernel that is under way ends first

# Sizes with more divisors than any smaller one, powers, primes, and sizes of real layers.
SIZES = (
    *(12, 24, 60, 120, 360, 720, 840, 1260, 1680, 2520, 5040, 7560, 10080, 15120, 20160, 25200, 27720, 45360, 50400),
    *(55440, 83160, 110880, 166320, 221760, 332640, 498960, 554400, 665280, 720720, 1081080, 1441440, 2162160),
    *(2**10, 2**16, 2**20, 3**9, 6**6, 30**3, 210**2, 97, 7919, 768, 3072, 11008, 30522, 50257),
)


def random_problem(rng: random.Random) -> Problem:
    """A matrix product or a convolution with one to five dimensions of many divisors."""
    while True:
        build, dims = rng.choice(((matmul, "BMCP"), (conv, "CMNPQ"), (conv, "CMRSPQ")))
        sizes = {d: rng.choice(SIZES) for d in rng.sample(dims, rng.randint(1, min(5, len(dims))))}
        if math.prod(sizes.values()) < 2**60:  # more is refused before any kernel runs
            return build(sizes)


def small_architecture(rng: random.Random, problem: Problem) -> Architecture:
    """A random one with small buffers."""
    architecture = random_architecture(rng, problem)
    small = [
        replace(x, depth=x.depth and rng.choice((3, 8, 64, 1000, 10**6))) if isinstance(x, Storage) else x
        for x in architecture.levels
    ]
    return replace(architecture, levels=tuple(small))


def check(problem: Problem, architecture: Architecture, energy: EnergyTable, objective: str) -> None:
    """An answer in time whose value is its mapping's and not below its bound; or a reason, or one message."""
    started = time.process_time()
    try:
        cost = search(problem, architecture, energy, objective, time_limit=LIMIT)
    except HwsimError:
        cost = None
    assert time.process_time() - started < LIMIT + LEEWAY
    if isinstance(cost, LayerCost):
        sure = cost.certificate
        assert sure is not None
        assert sure.value == {"edp": cost.edp, "energy": cost.energy_pj, "latency": cost.cycles}[objective]
        assert sure.lower_bound <= sure.value
        assert math.isfinite(sure.value) and cost.cycles > 0 and cost.energy_pj >= 0 and 0 < cost.utilization <= 1


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile the kernels: that is not part of a search's time."""
    mac = Compute("mac", "intmac")
    handing = Architecture("operands handed on", (Storage("DRAM", "DRAM", None, 16, 16, 1), Fanout("PE", 2, 1)), mac)
    for objective in OBJECTIVES:
        search(matmul({"C": 4, "M": 2}), *load_architecture("simple_ws"), objective)
        search(matmul({"C": 4, "M": 2}), handing, random_prices(random.Random(0), handing), objective)


@pytest.mark.parametrize("part", sorted({*range(PARTS), FOUND}))
def test_random_problems(part: int) -> None:
    for k in range(PER_PART):
        rng = random.Random(f"divisors/{part * PER_PART + k}")
        problem = random_problem(rng)
        architecture = small_architecture(rng, problem)
        check(problem, architecture, random_prices(rng, architecture), rng.choice(OBJECTIVES))


@pytest.mark.parametrize(
    "sizes",
    [
        {"C": 367567200},
        {"C": 720720, "M": 720720, "P": 720720},
        {"C": 27720, "M": 27720, "P": 27720},
        {"B": 5040, "C": 5040, "M": 5040, "P": 5040},
        {"C": 2**40},
    ],
    ids=str,
)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_most_divisors(sizes: dict[str, int], objective: str) -> None:
    problem = matmul(sizes)
    two = Architecture(
        "two",
        (Storage("DRAM", "DRAM", None, 16, 16, 1), Storage("buffer", "SRAM", 4096, 16, 16, 1)),
        Compute("mac", "intmac"),
    )
    check(problem, two, random_prices(random.Random(0), two), objective)
    check(problem, *load_architecture("simple_ws"), objective)


@pytest.mark.parametrize("name", ["simple_ws", "eyeriss_like", "nvdla_like", "simba_like", "edge_tpu_like"])
@pytest.mark.parametrize(
    "problem",
    [
        matmul({"C": 367567200}),
        matmul({"C": 720720, "M": 720720, "P": 720720}),
        conv({"C": 5040, "M": 5040, "P": 5040, "Q": 5040, "R": 2520}),
        conv({d: 2**8 for d in "CMNPQ"}),
    ],
    ids=str,
)
def test_the_space_is_counted_in_time(name: str, problem: Problem) -> None:
    """The count comes in a second, or does not come."""
    space = map_space(problem, load_architecture(name)[0])
    started = time.process_time()
    size = space_size(space)
    assert time.process_time() - started < 1.0
    assert size is None or size > 0


def test_a_storage_s_minimum_is_counted_in_time() -> None:
    least = Constraints(min_utilization=0.5)
    buffer = Storage("buffer", "SRAM", 4096, 16, 16, 1, constraints=least)
    levels = (
        Storage("DRAM", "DRAM", None, 16, 16, 1),
        Fanout("PE", 4, 4, Constraints(spatial=LoopConstraint())),
        buffer,
    )
    space = map_space(matmul({"C": 720720, "M": 720720}), Architecture("three", levels, Compute("mac", "intmac")))
    started = time.process_time()
    assert space_size(space) is None
    assert time.process_time() - started < 1.0
