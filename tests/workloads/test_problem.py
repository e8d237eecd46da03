"""The contractions that have a name: dimensions, what each data space is indexed by, and their sizes by hand."""

from typing import Any

import pytest

from hwsim.workloads.problem import Problem, conv, convolution, depthwise, grouped_conv, matmul

SIZES = {"C": 2, "M": 3, "R": 3, "S": 2, "N": 4, "P": 5, "Q": 7}


def shape(problem: Problem) -> dict[str, str]:
    """Every data space as text: ``N C 3R+2P S+Q``."""
    return {
        x.name: " ".join("+".join(f"{c if c != 1 else ''}{d}" for c, d in rank) for rank in x.projection)
        for x in problem.data_spaces
    }


CASES: list[tuple[str, Problem, str, dict[str, str]]] = [
    (
        "conv",
        conv(SIZES, wstride=2, hstride=3, wdilation=4, hdilation=5),
        "CMRSNPQ",
        {"Weights": "C M R S", "Inputs": "N C 4R+2P 5S+3Q", "Outputs": "N M Q P"},
    ),
    (
        "depthwise",
        depthwise({k: v for k, v in SIZES.items() if k != "M"}, wstride=2, hstride=3, wdilation=4, hdilation=5),
        "CRSNPQ",
        {"Weights": "C R S", "Inputs": "N C 4R+2P 5S+3Q", "Outputs": "N C Q P"},
    ),
    (
        "grouped_conv",
        grouped_conv({**SIZES, "G": 6}, wstride=2, hstride=3, wdilation=4, hdilation=5),
        "GCMRSNPQ",
        {"Weights": "G C M R S", "Inputs": "N G C 4R+2P 5S+3Q", "Outputs": "N G M Q P"},
    ),
    (
        "conv",
        convolution({"C": 2, "M": 3, "R": 3, "P": 5}, strides=[2], dilations=[4]),
        "CMRSNPQ",
        {"Weights": "C M R S", "Inputs": "N C 4R+2P S+Q", "Outputs": "N M Q P"},
    ),
    (
        "conv_3d",
        convolution({**SIZES, "T": 2, "D": 3}, strides=[2, 3, 4], dilations=[5, 6, 7]),
        "CMRSTNPQD",
        {"Weights": "C M R S T", "Inputs": "N C 5R+2P 6S+3Q 7T+4D", "Outputs": "N M D Q P"},
    ),
    (
        "grouped_conv_3d",
        convolution({**SIZES, "G": 2, "T": 2, "D": 3}, strides=[1, 1, 1], dilations=[1, 1, 1]),
        "GCMRSTNPQD",
        {"Weights": "G C M R S T", "Inputs": "N G C R+P S+Q T+D", "Outputs": "N G M D Q P"},
    ),
    (
        "conv_transpose",
        convolution(SIZES, strides=[2, 3], dilations=[4, 5], transposed=True),
        "CMRSNPQ",
        {"Weights": "C M R S", "Inputs": "N C P Q", "Outputs": "N M 5S+3Q 4R+2P"},
    ),
    (
        "depthwise_transpose",
        convolution(SIZES, strides=[2, 3], dilations=[1, 1], depthwise=True, transposed=True),
        "CRSNPQ",
        {"Weights": "C R S", "Inputs": "N C P Q", "Outputs": "N C S+3Q R+2P"},
    ),
    (
        "matmul",
        matmul({"B": 2, "M": 3, "C": 4, "P": 5}),
        "BMCP",
        {"Weights": "B C M", "Inputs": "B P C", "Outputs": "B P M"},
    ),
]


@pytest.mark.parametrize(("kind", "problem", "dims", "shapes"), CASES, ids=[f"{x[0]} {x[2]}" for x in CASES])
def test_shapes(kind: str, problem: Problem, dims: str, shapes: dict[str, str]) -> None:
    assert problem.kind == kind
    assert "".join(d for d, _ in problem.dims) == dims
    assert shape(problem) == shapes
    assert [x.name for x in problem.data_spaces if x.read_write] == ["Outputs"]
    assert next(x.dimensions for x in problem.data_spaces if x.name == "Outputs") == {
        c for c in shapes["Outputs"] if c.isalpha()
    }


@pytest.mark.parametrize("build", [conv, depthwise, grouped_conv, matmul])
def test_what_is_not_given_is_one(build: Any) -> None:
    problem = build({})
    assert set(problem.sizes.values()) == {1} and problem.macs == 1
    assert all(problem.data_space_size(x) == 1 for x in problem.data_spaces)
    assert all(c == 1 for x in problem.data_spaces for rank in x.projection for c, _ in rank), "strides of 1"


def test_a_line_has_a_stride_of_its_own() -> None:
    """A 1-D convolution: width alone, the height of 1 moves by 1."""
    line = convolution({"R": 3, "P": 4}, strides=[2], dilations=[1])
    assert line == conv({"R": 3, "P": 4}, wstride=2)
    assert line.data_space_size(line.data_spaces[1]) == 1 + 2 + 2 * 3
