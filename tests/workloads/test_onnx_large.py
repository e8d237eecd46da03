"""Large graphs: 100,000 operators are read in 30 s on one core, whatever the graph looks like.

Here 8,000 in 6 s of processor time, which leaves room for a busy machine and none for a quadratic algorithm.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.workloads.memory import peak_activation_bytes, peak_live_bytes, peak_live_bytes_best_order
from hwsim.workloads.onnx.reader import read_onnx

F = TensorProto.FLOAT
OPERATORS = 8_000
SECONDS = 6
Node = helper.make_node
Parts = tuple[list[onnx.NodeProto], list[onnx.TensorProto], list[onnx.FunctionProto]]


def value(index: int) -> str:
    return f"v{index}" if index else "x"


def chain(n: int) -> Parts:
    return [Node("Relu", [value(i)], [value(i + 1)]) for i in range(n)], [], []


def backwards(n: int) -> Parts:
    return chain(n)[0][::-1], [], []


def products(n: int) -> Parts:
    weights = [numpy_helper.from_array(np.zeros((4, 4), np.float32), f"w{i}") for i in range(n)]
    return [Node("MatMul", [value(i), f"w{i}"], [value(i + 1)], name=f"m{i}") for i in range(n)], weights, []


def residual(n: int) -> Parts:
    nodes = []
    for i in range(n // 2):
        nodes += [Node("Relu", [value(i)], [f"r{i}"]), Node("Add", [value(i), f"r{i}"], [value(i + 1)])]
    return nodes, [], []


def wide(n: int) -> Parts:
    return (
        [*(Node("Relu", ["x"], [f"r{i}"]) for i in range(n)), Node("Sum", [f"r{i}" for i in range(n)], ["v1"])],
        [],
        [],
    )


def hub(n: int) -> Parts:
    return [Node("Add", [value(i), "x"], [value(i + 1)]) for i in range(n)], [], []


def shapes(n: int) -> Parts:
    nodes = [Node("Shape", ["x"], ["s0"]), *(Node("Add", [f"s{i}", "one"], [f"s{i + 1}"]) for i in range(n))]
    return [*nodes, Node("Relu", ["x"], ["v1"])], [numpy_helper.from_array(np.array([1]), "one")], []


def branches(n: int) -> Parts:
    def graph(i: int, name: str) -> onnx.GraphProto:
        info = helper.make_tensor_value_info(name, F, [4, 4])
        return helper.make_graph([Node("Relu", [value(i)], [name])], "b", [], [info])

    nodes = [
        Node("If", ["c"], [value(i + 1)], then_branch=graph(i, "p"), else_branch=graph(i, "q")) for i in range(n // 2)
    ]
    return [Node("Cast", ["x0"], ["c"], to=TensorProto.BOOL), *nodes], [], []


def function(name: str, nodes: list[onnx.NodeProto]) -> onnx.FunctionProto:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], nodes, imports)


def functions(n: int) -> Parts:
    """Each calls the next one, 20 operators a function."""
    depth = n // 20
    found = []
    for level in range(depth):
        body = chain(19)[0]
        last = (
            Node(f"F{level + 1}", ["v19"], ["y"], domain="own") if level < depth - 1 else Node("Relu", ["v19"], ["y"])
        )
        found.append(function(f"F{level}", [*body, last]))
    return [Node("F0", ["x"], ["v1"], domain="own")], [], found


def calls(n: int) -> Parts:
    body = chain(10)[0]
    body[-1].output[0] = "y"
    nodes = [Node("F", [value(i)], [value(i + 1)], domain="own") for i in range(n // 10)]
    return nodes, [], [function("F", body)]


KINDS = [chain, backwards, products, residual, wide, hub, shapes, branches, functions, calls]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_large(tmp_path: Path, kind: Callable[[int], Parts]) -> None:
    nodes, tensors, found = kind(OPERATORS)
    last = max((o for n in nodes for o in n.output if o.startswith("v")), key=lambda name: int(name[1:]))
    inputs = [helper.make_tensor_value_info("x", F, [4, 4]), helper.make_tensor_value_info("x0", F, [])]
    outputs = [helper.make_tensor_value_info(last, F, [4, 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports, functions=found).SerializeToString())
    start = time.process_time()
    workload = read_onnx(path)
    layers = workload.layers()
    peaks = peak_activation_bytes(workload), peak_live_bytes(workload), peak_live_bytes_best_order(workload)
    assert time.process_time() - start < SECONDS
    assert len(workload.operators) >= OPERATORS - 500
    assert len(layers) == (1 if kind is products else 0)
    assert workload.macs == (OPERATORS * 64 if kind is products else 0)
    # 4 × 4 floats are 64 bytes: two of them at each operator of a chain, three where one waits, all in a wide graph
    assert peaks[0] == (128 if kind is products else 0)
    assert peaks[1] == {residual: 192, hub: 192, wide: 64 * (OPERATORS + 1)}.get(kind, 128)
    assert peaks[2] == (None if kind is wide else peaks[1])


def test_a_deep_chain_of_functions(tmp_path: Path) -> None:
    """2,000 functions, each of which calls the one before it."""
    found = [function("F0", [Node("Relu", ["x"], ["y"])])]
    found += [function(f"F{i}", [Node(f"F{i - 1}", ["x"], ["y"], domain="own")]) for i in range(1, 2000)]
    info = [helper.make_tensor_value_info(name, F, [4]) for name in "xy"]
    graph = helper.make_graph([Node("F1999", ["x"], ["y"], domain="own")], "g", info[:1], info[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=imports, functions=found).SerializeToString())
    workload = read_onnx(path)
    assert [op.op for op in workload.operators] == ["Relu"]
    assert len(workload.operators[0].name) == 500
