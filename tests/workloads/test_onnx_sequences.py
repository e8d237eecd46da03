"""Sizes that go through sequences, and bodies that run once a member."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.workloads.onnx.reader import read_onnx

F = TensorProto.FLOAT
Node, Info = helper.make_node, helper.make_tensor_value_info
CONSTANTS = {"zero": 0, "one": 1, "last": -1, "parts": [1, 3], "eight": [8], "two": [2], "part": 3}


def macs(path: Path, nodes: list[Any]) -> int:
    """With x [4, 4, 8] and w [8, 16]."""
    held = [numpy_helper.from_array(np.array(v, np.int64), n) for n, v in CONSTANTS.items()]
    held.append(numpy_helper.from_array(np.zeros((8, 16), np.float32), "w"))
    graph = helper.make_graph(nodes, "g", [Info("x", F, [4, 4, 8])], [Info("y", F, None)], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return read_onnx(path).macs


PRODUCT = Node("MatMul", ["r", "w"], ["y"])
BODY = helper.make_graph([Node("MatMul", ["e", "w"], ["f"])], "b", [Info("e", F, None)], [Info("f", F, None)])


@pytest.mark.parametrize(
    ("nodes", "rows"),
    [
        # a list of sizes built member by member: [2, −] and 8, of 16 rows
        (
            [
                Node("SequenceConstruct", ["two", "eight"], ["q"]),
                Node("SequenceInsert", ["q", "eight", "zero"], ["q2"]),
                Node("ConcatFromSequence", ["q2"], ["s"], axis=0),
                Node("Reshape", ["x", "s"], ["r"]),
                PRODUCT,
            ],
            16,
        ),
        # parts of 1 and 3: the last one has 3 · 4 rows, both together 16
        ([Node("SplitToSequence", ["x", "parts"], ["q"]), Node("SequenceAt", ["q", "last"], ["r"]), PRODUCT], 12),
        (
            [Node("SplitToSequence", ["x", "parts"], ["q"]), Node("ConcatFromSequence", ["q"], ["r"], axis=0), PRODUCT],
            16,
        ),
        # parts of at most 3 of 4: 3 and 1
        ([Node("SplitToSequence", ["x", "part"], ["q"]), Node("SequenceAt", ["q", "one"], ["r"]), PRODUCT], 4),
        # single rows without their axis, stacked again
        (
            [
                Node("SplitToSequence", ["x"], ["q"], keepdims=0),
                Node("ConcatFromSequence", ["q"], ["r"], axis=0, new_axis=1),
                PRODUCT,
            ],
            16,
        ),
        # a body for each of 4 members of 4 rows
        (
            [
                Node("SplitToSequence", ["x"], ["q"], keepdims=0),
                Node("SequenceMap", ["q"], ["p"], body=BODY),
                Node("ConcatFromSequence", ["p"], ["y"], axis=0),
            ],
            16,
        ),
    ],
)
def test_sequences(nodes: list[Any], rows: int, tmp_path: Path) -> None:
    body = [node for node in nodes if node.op_type == "SequenceMap"]
    for node in body:  # its input is what a member is
        node.attribute[0].g.input[0].CopyFrom(Info("e", F, [4, 8]))
    assert macs(tmp_path / "m.onnx", nodes) == rows * 8 * 16
