"""The closed count of the mapspace against enumeration."""

import math
from dataclasses import replace

import pytest

from hwsim.architecture import Architecture, Compute, Constraints, FactorConstraint, Fanout, LoopConstraint, Storage
from hwsim.design import load_architecture
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.workloads.problem import DataSpace, Problem, conv, depthwise, matmul
from tests.witness import enumerator

PROBLEMS = [
    conv({"C": 2, "M": 4, "P": 2, "Q": 2}),
    conv({"C": 3, "M": 2, "R": 3, "P": 4}),
    depthwise({"C": 6, "R": 2, "P": 3}),
    matmul({"M": 8, "C": 4, "P": 2}),
    conv({}),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
@pytest.mark.parametrize("name", ["simple_ws", "simple_os", "eyeriss_like", "simba_like"])
def test_equals_enumeration(problem: Problem, name: str) -> None:
    architecture = load_architecture(name)[0].bind(("Weights", "Inputs", "Outputs"))
    assert space_size(map_space(problem, architecture)) == enumerator.space_size(problem, architecture)


def test_free_axes() -> None:
    everything = Constraints()
    levels = (
        Storage("DRAM", "DRAM", None, 16, 16, 1),
        Fanout("PE", 4, 2, Constraints(spatial=LoopConstraint())),
        Storage("spad", "SRAM", 8, 16, 16, 1, constraints=everything),
    )
    architecture = Architecture("two", levels, Compute("mac", "intmac"))
    problem = matmul({"M": 4, "C": 2})
    assert space_size(map_space(problem, architecture)) == enumerator.space_size(problem, architecture)


def test_large_space_by_hand() -> None:
    """One dimension 2^k over DRAM and glb of simple_ws and along Y: no order to choose, keeps of the glb open."""
    architecture = load_architecture("simple_ws")[0]
    problem = matmul({"B": 2**6})
    # B is free at DRAM, glb, pe_spad, three registers and along Y up to 16: Σ over y = 0…4 of C(6−y+5, 5).
    nests = sum(math.comb(6 - y + 5, 5) for y in range(5))
    assert space_size(map_space(problem, architecture)) == nests * 2**3


def test_more_mappings_than_six_primes_hold() -> None:
    """60 dimensions of 2 over two storages: Σ over a of C(60, a) · a! · (60 − a)! = 61 · 60! nests."""
    dims = tuple((f"D{k}", 2) for k in range(60))
    ranks = tuple(((1, d),) for d, _ in dims)
    problem = Problem("custom", dims, (DataSpace("Outputs", ranks, read_write=True),))
    levels = tuple(Storage(f"S{k}", "SRAM", None, 16, 16, 1) for k in range(2))
    space = map_space(problem, Architecture("two", levels, Compute("mac", "intmac")))
    assert space_size(space) == 2 * 61 * math.factorial(60)  # the inner storage keeps the output or not


def test_a_dimension_of_one_that_must_be_more() -> None:
    two = Constraints(temporal=LoopConstraint(factors=(FactorConstraint("C", ">=", 2),)))
    levels = (Storage("DRAM", "DRAM", None, 16, 16, 1), Storage("buffer", "SRAM", 8, 16, 16, 1, constraints=two))
    architecture = Architecture("two", levels, Compute("mac", "intmac"))
    assert space_size(map_space(matmul({"M": 4}), architecture)) == 0
    assert space_size(map_space(matmul({"M": 4, "C": 2}), architecture)) == enumerator.space_size(
        matmul({"M": 4, "C": 2}), architecture
    )


@pytest.mark.parametrize("share", [0.07, 0.25, 0.5, 1.0])
def test_a_storage_that_must_be_filled(share: float) -> None:
    """By hand, M=4 alone: of 1, 2 or 4 weights of 100 (8, 4) words enough are held where the share says so."""
    for depth in (4, 8, 100):
        least = Constraints(min_utilization=share, keep=frozenset({"Weights"}), bypass=frozenset({"Inputs", "Outputs"}))
        levels = (
            Storage("DRAM", "DRAM", None, 16, 16, 1),
            Storage("buffer", "SRAM", depth, 16, 16, 1, constraints=least),
        )
        architecture = Architecture("two", levels, Compute("mac", "intmac"))
        by_hand = sum(100 * tile >= round(100 * share) * depth for tile in (1, 2, 4))
        assert space_size(map_space(matmul({"M": 4}), architecture)) == by_hand
        # more dimensions, loop orders and keeps: against enumeration
        free = replace(
            architecture, levels=(levels[0], replace(levels[1], constraints=Constraints(min_utilization=share)))
        )
        problem = conv({"C": 2, "M": 4, "R": 2, "P": 3})
        assert space_size(map_space(problem, free)) == enumerator.space_size(problem, free)


def test_a_mesh_that_must_be_used() -> None:
    """6 along a 4 × 2 mesh, half of it at least: 3 is too few, 6 too many; 3 along X with 2 along Y are enough."""
    mesh = Fanout("PE", 4, 2, Constraints(min_utilization=0.5))
    architecture = Architecture("mesh", (Storage("DRAM", "DRAM", None, 16, 16, 1), mesh), Compute("mac", "intmac"))
    assert space_size(map_space(matmul({"M": 6}), architecture)) == 0
    assert space_size(map_space(matmul({"M": 2, "C": 3}), architecture)) == 1  # C along X, M along Y
