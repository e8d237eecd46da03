"""Loops whose length follows from counters, and what the user says of inputs and loops."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.cli import main
from hwsim.errors import HwsimError
from hwsim.workloads.onnx.reader import read_onnx

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Node, Info = helper.make_node, helper.make_tensor_value_info
ONE = 4 * 8 * 16  # multiply-accumulates of one x [4, 8] · w [8, 16]


def save(path: Path, nodes: list[Any], constants: dict[str, Any], inputs: list[Any] | None = None) -> Path:
    held = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    held.append(numpy_helper.from_array(np.zeros((8, 16), np.float32), "w"))
    graph = helper.make_graph(nodes, "g", [Info("x", F, [4, 8]), *(inputs or [])], [Info("y", F, None)], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def loop(steps: list[Any], *, first: int = 0, limit: str = "") -> list[Any]:
    """A Loop that carries ``a``; ``steps`` make its next value ``a2`` and the condition ``c2``."""
    body = helper.make_graph(
        [*steps, Node("MatMul", ["x", "w"], ["mm"])],
        "b",
        [Info("i", I64, []), Info("c", BOOL, []), Info("a", I64, [])],
        [Info("c2", BOOL, []), Info("a2", I64, []), Info("mm", F, [4, 16])],
    )
    return [Node("Loop", [limit, "yes", "a0"], ["a9", "y"], name="loop", body=body)]


CONSTANTS: dict[str, Any] = {
    "yes": True,
    "a0": np.int64(3),
    "one": np.int64(1),
    "two": np.int64(2),
    "end": np.int64(50),
}


@pytest.mark.parametrize(
    ("steps", "limit", "trips"),
    [
        # 3, 4 … 50: the condition a2 < 50 fails after the 47th
        ([Node("Add", ["a", "one"], ["a2"]), Node("Less", ["a2", "end"], ["c2"])], "", 47),
        # doubling 3: 6, 12, 24, 48, 96
        ([Node("Mul", ["a", "two"], ["a2"]), Node("Less", ["a2", "end"], ["c2"])], "end", 5),
        # by the iteration's own number, behind a Not: i = 0 … 3
        (
            [
                Node("Identity", ["a"], ["a2"]),
                Node("Greater", ["i", "two"], ["far"]),
                Node("Not", ["far"], ["c2"]),
            ],
            "",
            4,
        ),
        # the limit comes first
        ([Node("Add", ["a", "one"], ["a2"]), Node("Less", ["a2", "end"], ["c2"])], "two", 2),
        # for ever: counted once
        ([Node("Identity", ["a"], ["a2"]), Node("Less", ["a2", "end"], ["c2"])], "", None),
        # what is computed decides: counted once
        (
            [
                Node("Identity", ["a"], ["a2"]),
                Node("ReduceSum", ["x"], ["s"], keepdims=0),
                Node("Cast", ["s"], ["c2"], to=BOOL),
            ],
            "end",
            None,
        ),
    ],
)
def test_a_condition_from_counters(steps: list[Any], limit: str, trips: int | None, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", loop(steps, limit=limit), CONSTANTS)
    workload = read_onnx(path)
    assert workload.macs == (trips or 1) * ONE
    assert any("--trips loop=N" in note for note in workload.notes) == (trips is None)
    assert read_onnx(path, trips={"loop": 9}).macs == 9 * ONE


def branches(tmp_path: Path) -> Path:
    """16 columns where the rate is 16,000, else 64."""
    then = helper.make_graph([Node("MatMul", ["x", "w"], ["o"])], "t", [], [Info("o", F, None)])
    other = helper.make_graph([Node("MatMul", ["x", "v"], ["p"])], "e", [], [Info("p", F, None)])
    nodes = [Node("Equal", ["sr", "rate"], ["c"]), Node("If", ["c"], ["y"], then_branch=then, else_branch=other)]
    constants = {"rate": np.int64(16000), "v": np.zeros((8, 64), np.float32)}
    return save(tmp_path / "m.onnx", nodes, constants, [Info("sr", I64, [])])


def test_the_value_of_an_input_chooses_the_branch(tmp_path: Path) -> None:
    path = branches(tmp_path)
    assert read_onnx(path).macs == 4 * ONE  # the costlier one
    assert read_onnx(path, values={"sr": 16000}).macs == ONE
    assert read_onnx(path, values={"sr": 8000}).macs == 4 * ONE


@pytest.mark.parametrize(
    ("values", "trips", "message"),
    [
        ({"st": 1}, {}, "no input 'st'. Did you mean 'sr'"),
        ({"x": 1}, {}, "'x' is no single number"),
        ({"sr": 1.5}, {}, "takes int64 numbers, found 1.5"),
        ({"sr": 1e30}, {}, "takes int64 numbers"),
        ({}, {"loop": 2}, "no Loop 'loop'. It has none"),
    ],
)
def test_what_the_model_does_not_have(
    values: dict[str, float], trips: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(HwsimError) as caught:
        read_onnx(branches(tmp_path), values=values, trips=trips)
    assert message in str(caught.value)


def test_values_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "o.json"
    arguments = ["profile", str(branches(tmp_path)), "--value", "sr=16000", "--json", str(out), "--objective", "energy"]
    monkeypatch.setattr(sys, "argv", ["hwsim", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads(out.read_text())["totals"]["macs"] == ONE


def test_a_mask_is_no_weight(tmp_path: Path) -> None:
    """Whole numbers that a Gather takes rows of: a table of floats of the same shape is a weight."""
    for kind, constant in ((I64, False), (TensorProto.INT32, False), (BOOL, False), (F, True)):
        nodes = [Node("Gather", ["mask", "at"], ["y"])]
        path = save(tmp_path / "m.onnx", nodes, {"at": np.array([0, 1])}, [Info("mask", kind, [2, 13])])
        assert read_onnx(path).tensors["mask"].constant is constant
