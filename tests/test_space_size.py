"""The closed count of the mapspace against enumeration."""

import math

import pytest

from hwsim.architecture import Architecture, Compute, Constraints, Fanout, LoopConstraint, Storage
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.spec import load_architecture
from tests import enumerator
from workloads.problem import Problem, conv, depthwise, matmul

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
