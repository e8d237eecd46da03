"""Sizes of an ONNX file: folded where they can be, bound or refused by name where not, never guessed."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.errors import HwsimError
from hwsim.workloads.onnx.inference import fold_parts, refine
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.operators.node import Node as OperatorView
from hwsim.workloads.operators.schema import Inferred, broadcast
from hwsim.workloads.operators.value import Sizes, Value, element_bits, known_parts
from hwsim.workloads.workload import Workload

F, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Node = helper.make_node
Info = helper.make_tensor_value_info


def model(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    constants: dict[str, Any] | None = None,
    infos: list[onnx.ValueInfoProto] | None = None,
    output: str = "y",
    opset: int = 18,
) -> Path:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    results = [helper.make_value_info(output, helper.make_tensor_type_proto(F, None))]
    graph = helper.make_graph(nodes, "g", inputs, results, tensors, value_info=infos or [])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString())
    return path


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


# Operator, its inputs, attributes, and the elements of its result, by hand; None: the input is left out.
FOLDED: list[tuple[str, list[Any], dict[str, Any], list[int]]] = [
    ("Abs", [[-3, 2]], {}, [3, 2]),
    ("Add", [[3, 2], [1, 5]], {}, [4, 7]),
    ("And", [[True, True], [True, False]], {}, [1, 0]),
    ("ArgMax", [[1, 9, 3]], {"axis": 0}, [1]),
    ("ArgMin", [[4, 9, 3]], {"axis": 0}, [2]),
    ("BitShift", [np.array([3], np.uint64), np.array([2], np.uint64)], {"direction": "LEFT"}, [12]),
    ("BitwiseAnd", [[6], [3]], {}, [2]),
    ("BitwiseNot", [[-4]], {}, [3]),
    ("BitwiseOr", [[6], [3]], {}, [7]),
    ("BitwiseXor", [[6], [3]], {}, [5]),
    ("Cast", [floats(2.9, 5.1)], {"to": I64}, [2, 5]),
    ("CastLike", [floats(2.9), [1]], {}, [2]),
    ("Ceil", [floats(2.1)], {}, [3]),
    ("Clip", [[1, 5, 9], np.int64(2), np.int64(7)], {}, [2, 5, 7]),
    ("Compress", [[4, 5, 6], [True, False, True]], {"axis": 0}, [4, 6]),
    ("Concat", [[4], [5, 6]], {"axis": 0}, [4, 5, 6]),
    ("ConstantOfShape", [[2]], {"value": numpy_helper.from_array(np.array([7]))}, [7, 7]),
    ("CumSum", [[1, 2, 3], np.int64(0)], {}, [1, 3, 6]),
    ("Div", [[9, 8], [2, 4]], {}, [4, 2]),
    ("Equal", [[4, 5], [4, 6]], {}, [1, 0]),
    ("Exp", [floats(0, 0)], {}, [1, 1]),
    ("Expand", [[3], [2]], {}, [3, 3]),
    ("Flatten", [[[2, 3], [4, 5]]], {"axis": 0}, [2, 3, 4, 5]),
    ("Floor", [floats(2.9)], {}, [2]),
    ("Gather", [[4, 5, 6], [2, 0]], {}, [6, 4]),
    ("GatherElements", [[4, 5, 6], [1, 1]], {}, [5, 5]),
    ("GatherND", [[[4, 5], [6, 7]], [[1, 0]]], {}, [6]),
    ("Greater", [[4, 5], [4, 4]], {}, [0, 1]),
    ("GreaterOrEqual", [[4, 3], [4, 4]], {}, [1, 0]),
    ("Identity", [[4, 5]], {}, [4, 5]),
    ("Less", [[4, 3], [4, 4]], {}, [0, 1]),
    ("LessOrEqual", [[4, 5], [4, 4]], {}, [1, 0]),
    ("Log", [floats(1, np.e**2.5)], {}, [0, 2]),
    ("Max", [[4, 1], [3, 2]], {}, [4, 2]),
    ("Mean", [floats(2, 4), floats(4, 8)], {}, [3, 6]),
    ("Min", [[4, 1], [3, 2]], {}, [3, 1]),
    ("Mod", [[9, 8], [4, 4]], {}, [1, 0]),
    ("Mul", [[3, 2], [4, 5]], {}, [12, 10]),
    ("Neg", [[-3]], {}, [3]),
    ("NonZero", [[0, 5, 0, 7]], {}, [1, 3]),
    ("Not", [[True, False]], {}, [0, 1]),
    ("Or", [[True, False], [False, False]], {}, [1, 0]),
    ("Pad", [[5], [1, 2], np.int64(3)], {}, [3, 5, 3, 3]),
    ("Pow", [floats(9, 16), floats(0.5)], {}, [3, 4]),
    ("Range", [np.int64(2), np.int64(9), np.int64(3)], {}, [2, 5, 8]),
    ("Reciprocal", [floats(0.25)], {}, [4]),
    ("ReduceMax", [[3, 9, 4]], {}, [9]),
    ("ReduceMean", [floats(3, 9)], {}, [6]),
    ("ReduceMin", [[3, 9, 4]], {}, [3]),
    ("ReduceProd", [[3, 9]], {}, [27]),
    ("ReduceSum", [[3, 9]], {}, [12]),
    ("Reshape", [[[3, 9]], [2, 1]], {}, [3, 9]),
    ("Round", [floats(2.5, 3.5)], {}, [2, 4]),
    ("ScatterElements", [[3, 9], [1], [4]], {}, [3, 4]),
    ("ScatterND", [[3, 9], [[0]], [4]], {}, [4, 9]),
    ("Sign", [[3, -0]], {}, [1, 0]),
    ("Slice", [[3, 4, 5, 6], [1], [4], [0], [2]], {}, [4, 6]),
    ("Split", [[3, 4, 5], [1, 2]], {}, [3]),
    ("Sqrt", [floats(9)], {}, [3]),
    ("Squeeze", [[[3, 4]], [0]], {}, [3, 4]),
    ("Sub", [[9, 8], [2, 5]], {}, [7, 3]),
    ("Sum", [floats(1, 2), floats(3, 4)], {}, [4, 6]),
    ("Tile", [[3, 4], [2]], {}, [3, 4, 3, 4]),
    ("TopK", [floats(3, 9, 4), [2]], {}, [9, 4]),
    ("Transpose", [[[3, 4], [5, 6]]], {}, [3, 5, 4, 6]),
    ("Unsqueeze", [[3, 4], [0]], {}, [3, 4]),
    ("Where", [[True, False], [3, 4], [5, 6]], {}, [3, 6]),
    ("Xor", [[True, True], [True, False]], {}, [0, 1]),
]


@pytest.mark.parametrize(("op", "inputs", "attributes", "elements"), FOLDED, ids=[op for op, *_ in FOLDED])
def test_folded(tmp_path: Path, op: str, inputs: list[Any], attributes: dict[str, Any], elements: list[int]) -> None:
    """The result's elements become the sizes of a tensor."""
    names = [f"i{index}" for index in range(len(inputs))]
    outputs = ["r", "r2"] if op in ("Split", "TopK") else ["r"]
    nodes = [
        Node(op, names, outputs, **attributes),
        Node("Cast", ["r"], ["c"], to=I64),
        Node("Reshape", ["c", "flat"], ["s"]),
        Node("ConstantOfShape", ["s"], ["y"]),
    ]
    constants = {**dict(zip(names, inputs, strict=True)), "flat": [-1]}
    workload = read_onnx(model(tmp_path / "m.onnx", nodes, [Info("x", F, [1])], constants))
    assert workload.tensors["y"].shape == tuple(elements)
    assert workload.tensors["y"].constant


def test_shape_and_size(tmp_path: Path) -> None:
    nodes = [
        Node("Shape", ["x"], ["a"], start=1, end=3),
        Node("Shape", ["x"], ["b"], start=-1),
        Node("Size", ["x"], ["n"]),
        Node("Unsqueeze", ["n", "zero"], ["c"]),
        Node("Concat", ["a", "b", "c"], ["s"], axis=0),
        Node("ConstantOfShape", ["s"], ["y"]),
    ]
    path = model(tmp_path / "m.onnx", nodes, [Info("x", F, [2, 3, 4, 5])], {"zero": [0]})
    assert read_onnx(path).tensors["y"].shape == (3, 4, 5, 120)


def test_large_constants_are_not_read(tmp_path: Path) -> None:
    """1,024 numbers are folded, 1,025 are not; of whole numbers and truth values 65,536 are."""
    for size, dtype in itertools.product((1024, 1025, 1 << 16, (1 << 16) + 1), (np.float32, np.int64, bool)):
        known = size <= (1024 if dtype == np.float32 else 1 << 16)
        nodes = [
            Node("Cast", ["t"], ["c"], to=I64),
            Node("ReduceSum", ["c"], ["s"]),
            Node("ConstantOfShape", ["s"], ["y"]),
        ]
        path = model(tmp_path / "m.onnx", nodes, [Info("x", F, [1])], {"t": np.ones(size, dtype)})
        assert read_onnx(path).tensors["y"].shape == ((size,) if known else ())


def test_what_has_no_bound_is_not_run(tmp_path: Path) -> None:
    """A window over padding of 2^40 places; a product of three operands; what changes from run to run."""
    for nodes in (
        [Node("MaxPool", ["t"], ["a"], kernel_shape=[1], strides=[1 << 30], pads=[1 << 30, 0])],
        [Node("Einsum", ["v", "v", "v"], ["a"], equation="i,j,k->")],
        [Node("RandomUniformLike", ["v"], ["a"])],
    ):
        more = [
            Node("Cast", ["a"], ["b"], to=I64),
            Node("Reshape", ["b", "flat"], ["s"]),
            Node("ConstantOfShape", ["s"], ["y"]),
        ]
        constants = {"t": np.ones((1, 1, 2), np.float32), "v": np.ones(1000, np.float32), "flat": [-1]}
        path = model(tmp_path / "m.onnx", [*nodes, *more], [Info("x", F, [1])], constants)
        assert read_onnx(path).tensors["y"].shape == ()


def resize(path: Path, known: bool) -> Path:
    """Resize of [1, 1, 32, 32] to twice its height and width, or to what the graph is fed with; then a convolution."""
    size = [
        Node("Reciprocal", ["half"], ["f"]),
        Node("Shape", ["x"], ["hw0"], start=2, end=4),
        Node("Cast", ["hw0"], ["hw1"], to=F),
        Node("Mul", ["hw1", "f"], ["hw2"]),
        Node("Cast", ["hw2"], ["hw"], to=I64),
    ]
    nodes = [
        *(size if known else []),
        Node("Shape", ["x"], ["nc"], start=0, end=2),
        Node("Concat", ["nc", "hw"], ["sizes"], axis=0),
        Node("Resize", ["x", "", "", "sizes"], ["r"], mode="nearest", name="up"),
        Node("Relu", ["r"], ["r2"]),
        Node("Conv", ["r2", "w"], ["y"], pads=[1, 1, 1, 1], name="conv"),
    ]
    inputs = [Info("x", F, [1, 1, 32, 32])] + ([] if known else [Info("hw", I64, [2])])
    return model(path, nodes, inputs, {"half": np.float32(0.5), "w": np.zeros((8, 1, 3, 3), np.float32)})


def test_resize_by_arithmetic(tmp_path: Path) -> None:
    assert read_onnx(resize(tmp_path / "m.onnx", known=True)).macs == 64 * 64 * 8 * 9


def test_resize_that_only_the_run_knows(tmp_path: Path) -> None:
    """Batch and channels are kept; height and width are refused by name, or bound."""
    path = resize(tmp_path / "m.onnx", known=False)
    with pytest.raises(HwsimError) as caught:
        read_onnx(path)
    why = "sizes 2, 3 of 'r' are only known when the network runs; bind with --dim r.2=SIZE --dim r.3=SIZE"
    for words in ("m.onnx", "'conv'", "[1, 1, ?, ?]", why):
        assert words in str(caught.value)
    with pytest.raises(HwsimError, match=r"\[1, 1, 64, \?\]\): size 3 of 'r' is only known .* --dim r.3=SIZE$"):
        read_onnx(path, {"r.2": 64})
    assert read_onnx(path, {"r.2": 64, "r.3": 64}).macs == 64 * 64 * 8 * 9
    with pytest.raises(HwsimError, match=r"no dimension 'r\.0'"):
        read_onnx(path, {"r.0": 2, "r.2": 64, "r.3": 64})


def ending(path: Path, nodes: list[onnx.NodeProto], last: str, columns: int = 8, **kwargs: Any) -> Path:
    """The nodes, then a product of ``last`` with [columns, 4]."""
    constants = {"w": np.zeros((columns, 4), np.float32), **kwargs.pop("constants", {})}
    return model(path, [*nodes, Node("MatMul", [last, "w"], ["y"], name="product")], constants=constants, **kwargs)


X = Info("x", F, [6, 8])
N = Info("n", I64, [1])


@pytest.mark.parametrize(
    ("nodes", "constants", "bound", "rows"),
    [
        ([Node("Slice", ["x", "zero", "n", "zero"], ["a"])], {"zero": [0]}, {"a.0": 5}, 5),
        ([Node("Expand", ["x", "s"], ["a"])], {}, {"a.0": 5}, 5 * 6),
        ([Node("Tile", ["x", "t"], ["a"])], {}, {"a.0": 12, "a.1": 8}, 12),
        ([Node("Compress", ["x", "mask"], ["a"], axis=0)], {}, {"a.0": 3}, 3),
        (
            [Node("NonZero", ["x"], ["i0"]), Node("Cast", ["i0"], ["i"], to=F), Node("Transpose", ["i"], ["a"])],
            {},
            {"i0.1": 9},
            9,
        ),
        ([Node("Unique", ["x"], ["a"], axis=0)], {}, {"a.0": 4}, 4),
        ([Node("Pad", ["x", "p"], ["a"])], {}, {"a.0": 7, "a.1": 8}, 7),
        (
            [
                Node("Unsqueeze", ["n0", "zero"], ["n2"]),
                Node("Concat", ["n2", "eight"], ["s2"], axis=0),
                Node("ConstantOfShape", ["s2"], ["a"]),
            ],
            {"zero": [0], "eight": [8]},
            {"a.0": 11},
            11,
        ),
        (
            [
                Node("Range", ["n0", "n0", "n0"], ["b"]),
                Node("Cast", ["b"], ["c"], to=F),
                Node("Unsqueeze", ["c", "one"], ["a"]),
            ],
            {"one": [1]},
            {"b.0": 4},
            4,
        ),
        ([Node("OneHot", ["ids", "n", "values"], ["a"])], {"ids": [1, 2], "values": floats(0, 1)}, {"a.1": 8}, 2),
        ([Node("TopK", ["x", "n"], ["a", "i"], axis=0)], {}, {"a.0": 2}, 2),
    ],
    ids=[
        "Slice",
        "Expand",
        "Tile",
        "Compress",
        "NonZero",
        "Unique",
        "Pad",
        "ConstantOfShape",
        "Range",
        "OneHot",
        "TopK",
    ],
)
def test_sizes_from_the_data(
    tmp_path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any], bound: dict[str, int], rows: int
) -> None:
    inputs = [
        X,
        N,
        Info("s", I64, [3]),
        Info("t", I64, [2]),
        Info("mask", BOOL, [6]),
        Info("p", I64, [4]),
        Info("n0", I64, []),
    ]
    columns = {"NonZero": 2, "Range": 1}.get(nodes[0].op_type, 8)
    path = ending(tmp_path / "m.onnx", nodes, "a", columns, inputs=inputs, constants=constants)
    with pytest.raises(HwsimError) as caught:
        read_onnx(path)
    assert "'product'" in caught.value.message
    for name in bound:
        assert f"--dim {name}=SIZE" in caught.value.message
    assert read_onnx(path, bound).macs == rows * columns * 4


def test_known_parts_of_a_list_of_sizes(tmp_path: Path) -> None:
    """[?, 3, 8] of 6 · 8 elements: the one that is missing is 2."""
    nodes = [
        Node("Concat", ["n", "c"], ["s0"], axis=0),
        Node("Identity", ["s0"], ["s1"]),
        Node("Slice", ["s1", "zero", "three"], ["s"]),
        Node("Reshape", ["x", "s"], ["a"]),
    ]
    constants = {"c": [3, 8, 5], "zero": [0], "three": [3]}
    workload = read_onnx(ending(tmp_path / "m.onnx", nodes, "a", inputs=[X, N], constants=constants))
    assert workload.tensors["a"].shape == (2, 3, 8)


def test_known_parts_beside_a_list_of_none(tmp_path: Path) -> None:
    """The empty list says nothing of its own; sizes behind it are then not known."""
    nodes = [Node("Concat", ["n", "none", "c"], ["s"], axis=0), Node("Reshape", ["x", "s"], ["a"])]
    constants = {"c": [8], "none": np.zeros(0, np.int64)}
    path = ending(tmp_path / "m.onnx", nodes, "a", inputs=[X, N], constants=constants)
    assert read_onnx(path, {"a.0": 6, "a.1": 8}).macs == 6 * 8 * 4


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_whatever_stops_onnx_s_inference_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = ending(tmp_path / "m.onnx", [Node("Relu", ["x"], ["a"])], "a", inputs=[X])

    def stops(*args: Any, **kwargs: Any) -> None:
        raise error("no type for that")

    monkeypatch.setattr("onnx.shape_inference.infer_node_outputs", stops)
    with pytest.raises(HwsimError, match=r"operator 'product' \(MatMul\): no type for that"):
        read_onnx(path)


def test_reshape_copies_and_infers(tmp_path: Path) -> None:
    """0 copies the size before it, −1 is what is left: [0, ?, −1] has two unknown sizes, [0, ?, 2] one."""
    nodes = [Node("Concat", ["zero", "n", "c"], ["s"], axis=0), Node("Reshape", ["x", "s"], ["a"])]
    path = ending(tmp_path / "m.onnx", nodes, "a", 2, inputs=[X, N], constants={"c": [2], "zero": [0]})
    assert read_onnx(path).tensors["a"].shape == (6, 4, 2)
    path = ending(tmp_path / "m.onnx", nodes, "a", 2, inputs=[X, N], constants={"c": [-1], "zero": [0]})
    with pytest.raises(HwsimError, match=r"\[6, \?, \?\]"):
        read_onnx(path)
    assert read_onnx(path, {"a.1": 4, "a.2": 2}).tensors["a"].shape == (6, 4, 2)


def test_expand_keeps_what_is_larger_than_one(tmp_path: Path) -> None:
    """[1, 8] by [n, 1] is [n, 8]; by [3, n] it is [3, 8], as n is 1 or 8."""
    one = Info("x", F, [1, 8])
    for parts, shape in ((["n", "c1"], "[?, 8]"), (["c3", "n"], None)):
        nodes = [Node("Concat", parts, ["s"], axis=0), Node("Expand", ["x", "s"], ["a"])]
        path = ending(tmp_path / "m.onnx", nodes, "a", inputs=[one, N], constants={"c1": [1], "c3": [3]})
        if shape:
            with pytest.raises(HwsimError, match=r"\[\?, 8\]"):
                read_onnx(path)
            assert read_onnx(path, {"a.0": 3}).macs == 3 * 8 * 4
        else:
            assert read_onnx(path).macs == 3 * 8 * 4


def test_only_the_known_axes_are_read(tmp_path: Path) -> None:
    """A size that is not known stops nothing that does not depend on it: pooling leaves [1, 8, 1, 1]."""
    nodes = [
        Node("Resize", ["x", "", "", "sizes"], ["r"], mode="nearest"),
        Node("GlobalAveragePool", ["r"], ["p"]),
        Node("Flatten", ["p"], ["a"]),
    ]
    inputs = [Info("x", F, [1, 8, 4, 4]), Info("hw", I64, [2])]
    nodes = [Node("Shape", ["x"], ["nc"], end=2), Node("Concat", ["nc", "hw"], ["sizes"], axis=0), *nodes]
    workload = read_onnx(ending(tmp_path / "m.onnx", nodes, "a", inputs=inputs))
    assert workload.macs == 8 * 4
    assert workload.tensors["r"].bytes == 0
    (note,) = workload.notes
    assert "counted as 0 bytes" in note and "r" in note and "--dim r.2=SIZE --dim r.3=SIZE" in note


def test_sizes_that_the_file_declares(tmp_path: Path) -> None:
    """A declared symbol is the size of the graph input of that name, an expression follows from its symbols."""
    nodes = [Node("NonZero", ["x"], ["i0"]), Node("Cast", ["i0"], ["i"], to=F), Node("Transpose", ["i"], ["a"])]
    symbolic = Info("x", F, ["rows", 8])

    def read(name: str | int | None, **dims: int) -> Workload:
        infos = [Info("i0", I64, [2, name])]
        return read_onnx(ending(tmp_path / "m.onnx", nodes, "a", 2, inputs=[symbolic], infos=infos), dims)

    assert read("rows", rows=5).macs == 5 * 2 * 4
    assert read("2*rows + 1", rows=5).macs == 11 * 2 * 4
    assert read("other", rows=5, other=7).macs == 7 * 2 * 4
    assert read(9, rows=5).macs == 9 * 2 * 4
    assert read("rows").macs == 2 * 4  # bound to nothing, an input's own size is 1, and a note says so
    for name in ("other", "rows*other", None):
        with pytest.raises(HwsimError, match=r"--dim i0\.1=SIZE"):
            read(name, rows=5)


def test_a_declaration_that_cannot_be(tmp_path: Path) -> None:
    nodes = [Node("Reshape", ["x", "s"], ["a"])]
    infos = [Info("a", F, [7, 8])]
    path = ending(tmp_path / "m.onnx", nodes, "a", inputs=[X, Info("s", I64, [2])], infos=infos)
    with pytest.raises(HwsimError, match=r"--dim a\.0=SIZE --dim a\.1=SIZE"):
        read_onnx(path)


def loop(path: Path, trips: Any, carried: bool) -> Path:
    """A Loop that runs ``trips`` times; its results, or a value that grows by a row each time, meet a product."""
    grown = Node("Concat", ["h", "row"], ["h2"], axis=0) if carried else Node("Relu", ["h"], ["h2"])
    body = helper.make_graph(
        [Node("Identity", ["go"], ["on"]), grown, Node("Identity", ["h"], ["each"])],
        "body",
        [Info("i", I64, []), Info("go", BOOL, []), Info("h", F, None)],
        [Info("on", BOOL, []), Info("h2", F, None), Info("each", F, None)],
    )
    nodes = [Node("Loop", ["trips", "", "x"], ["last", "all"], body=body, name="loop")]
    inputs = [X] if trips is not None else [X, Info("trips", I64, [])]
    constants = {"row": np.zeros((1, 8), np.float32)} | ({"trips": np.int64(trips)} if trips is not None else {})
    return ending(path, nodes, "last" if carried else "all", inputs=inputs, constants=constants)


def test_results_of_a_loop(tmp_path: Path) -> None:
    assert read_onnx(loop(tmp_path / "m.onnx", 5, carried=False)).macs == 5 * 6 * 8 * 4
    assert read_onnx(loop(tmp_path / "m.onnx", -5, carried=False)).macs == 0
    path = loop(tmp_path / "m.onnx", None, carried=False)
    with pytest.raises(HwsimError, match=r"\[\?, 6, 8\].*--dim all.0=SIZE"):
        read_onnx(path)
    workload = read_onnx(path, {"all.0": 5})
    assert workload.macs == 5 * 6 * 8 * 4
    assert any("trip count" in note for note in workload.notes)


def test_a_value_that_a_loop_makes_longer(tmp_path: Path) -> None:
    assert read_onnx(loop(tmp_path / "m.onnx", 1, carried=True)).macs == 7 * 8 * 4
    path = loop(tmp_path / "m.onnx", 5, carried=True)
    with pytest.raises(HwsimError, match=r"\[\?, 8\].*--dim last.0=SIZE"):
        read_onnx(path)
    assert read_onnx(path, {"last.0": 11}).macs == 11 * 8 * 4


@pytest.mark.parametrize("trips", [2**31 + 1, 2**59, 2**62, 2**63 - 2])
def test_a_loop_that_runs_too_often(tmp_path: Path, trips: int) -> None:
    path = loop(tmp_path / "m.onnx", trips, carried=False)
    with pytest.raises(HwsimError, match=r"2\^31|2\^62"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ([2**31 + 1], "2^31"),
        ([2**31, 2**31, 2], "2^62"),
        ([2**62], "2^31"),
        ([1, 4, 2**31, 2**31], "2^62"),
    ],
)
def test_sizes_beyond_the_limit(tmp_path: Path, shape: list[int], words: str) -> None:
    path = model(tmp_path / "m.onnx", [Node("Relu", ["x"], ["y"])], [Info("x", F, shape)])
    with pytest.raises(HwsimError) as caught:
        read_onnx(path)
    assert words in caught.value.message and "'x'" in caught.value.message


def test_sizes_at_the_limit(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", [Node("Relu", ["x"], ["y"])], [Info("x", F, [2**31, 2**31])])
    assert read_onnx(path).tensors["y"].elements == 2**62


def test_many_multiplications(tmp_path: Path) -> None:
    path = ending(tmp_path / "m.onnx", [Node("Relu", ["x"], ["a"])], "a", inputs=[Info("x", F, [2**31, 2**28, 8])])
    with pytest.raises(HwsimError, match=r"2\^62"):
        read_onnx(path)


def test_sizes_are_whole_numbers_of_any_length(tmp_path: Path) -> None:
    """2^31 · 2^24 · 8 · 4 = 2^60 multiply-accumulates, exactly."""
    path = ending(tmp_path / "m.onnx", [Node("Relu", ["x"], ["a"])], "a", inputs=[Info("x", F, [2**31, 2**24, 8])])
    assert read_onnx(path).macs == 2**60


def view(op: str, *inputs: Value | None, **attributes: Any) -> OperatorView:
    return OperatorView(op, "n", inputs, attributes)


def shaped(*sizes: int | None) -> Value:
    known = tuple(size for size in sizes if size is not None)
    return Value("", F, known) if len(known) == len(sizes) else Value("", F, None, partial=sizes)


def listed(*parts: int | None) -> Value:
    if None in parts:
        return Value("", I64, (len(parts),), parts=parts)
    return Value("", I64, (len(parts),), data=np.array(parts))


NOTHING = Value("", F, None)
UNREAD = Value("", I64, (2,))


@pytest.mark.parametrize(
    ("node", "found", "sizes"),
    [
        # ONNX's inference goes first; what it leaves open is filled in
        (view("Relu", shaped(2, 3)), (None, 3), (None, 3)),
        (view("Tile", shaped(2, 3), listed(4, None)), (8, 9), (8, 9)),
        (view("Tile", shaped(2, 3), listed(4, None)), (None, 9), (8, 9)),
        (view("Tile", shaped(2, 3), listed(4, None)), (None, None, None), (8, None)),
        (view("Tile", shaped(2, None), listed(4, 5)), None, (8, None)),
        (view("Tile", NOTHING, listed(4, 5)), None, None),
        (view("Tile", shaped(2, 3), listed(4, None, 5)), None, None),
        (view("ConstantOfShape", listed(4, None)), None, (4, None)),
        (view("ConstantOfShape", UNREAD), None, (None, None)),
        (view("ConstantOfShape", shaped(2)), None, None),
        (view("Expand", shaped(1, 8), listed(4, 1, None)), None, (4, 1, 8)),
        (view("Expand", shaped(3, 1, None), listed(5)), None, (3, 1, 5)),
        (view("Expand", shaped(3, 1, None), listed(None, 1)), None, (3, None, None)),
        (view("Expand", shaped(0, 1), listed(None, 4)), None, (0, 4)),
        (view("Expand", NOTHING, listed(4, None)), None, None),
        # one size that is not known follows from the number of elements
        (view("Reshape", shaped(6, 8), listed(None, 4)), None, (12, 4)),
        (view("Reshape", shaped(6, 8), listed(-1, 5)), None, (None, 5)),
        (view("Reshape", shaped(6, 8), listed(None, -1, 4)), None, (None, None, 4)),
        (view("Reshape", shaped(6, None), listed(0, 0, None)), None, (6, None, None)),
        (view("Reshape", shaped(6, None), listed(3, None)), None, (3, None)),
        (view("Reshape", shaped(6, 8), listed(None, 3, 0)), None, (None, 3, None)),
        (view("Reshape", shaped(6, 8), listed(0, None), allowzero=1), None, (0, None)),
        (view("Reshape", shaped(0, 8), listed(None, 4)), None, (0, 4)),
        (view("Reshape", NOTHING, listed(0, None)), None, (None, None)),
        (view("Reshape", shaped(6, 8), UNREAD), (None, 4), (12, 4)),
        (view("Resize", shaped(1, 3, 4, 5), None, None, listed(1, 3, None, 7)), None, (1, 3, None, 7)),
        (view("Resize", shaped(1, 3, 4, 5), None, None, listed(None, 7), axes=[2, -1]), None, (1, 3, None, 7)),
        (view("Resize", shaped(1, 3, 4, 5), None, None, listed(None, 7), axes=[2, 4]), None, None),
        (view("Resize", shaped(1, 3, 4, 5), None, None, listed(None, 7), axes=[2, -5]), None, None),
        (view("Resize", shaped(1, 3, 4, 5), None, None, listed(None, 7), axes=[-4, 3]), None, (None, 3, 4, 7)),
        (view("Resize", NOTHING, None, None, listed(1, None)), None, None),
        (
            view("Resize", shaped(4, 5), None, None, listed(None, 7), keep_aspect_ratio_policy=b"not_larger"),
            None,
            None,
        ),
        (view("Resize", shaped(4, 5), None, None), (None, 5), (None, 5)),
        # the axes that Slice, Pad and TopK do not name keep their sizes
        (view("Slice", shaped(6, 7, 8), UNREAD, UNREAD, listed(0, -1)), None, (None, 7, None)),
        (view("Slice", shaped(6, 7, 8), UNREAD, UNREAD), None, (None, None, 8)),
        (view("Slice", shaped(6, 7, 8), UNREAD, UNREAD, UNREAD), None, None),
        (view("Slice", NOTHING, UNREAD, UNREAD), None, None),
        (view("Slice", shaped(), UNREAD, UNREAD), None, ()),
        (view("Pad", shaped(6, 7), Value("", I64, (4,))), None, (None, None)),
        (view("Pad", shaped(6, 7), UNREAD, None, listed(1)), None, (6, None)),
        (view("TopK", shaped(6, 7), Value("", I64, (1,))), None, (6, None)),
        (view("TopK", shaped(6, 7), Value("", I64, (1,)), axis=0), None, (None, 7)),
    ],
)
def test_refined(node: OperatorView, found: Sizes | None, sizes: Sizes | None) -> None:
    first, second = refine(node, [Inferred(F, found), Inferred(F, (9,))])
    assert first == Inferred(F, sizes)
    assert second == Inferred(F, (9,))
    assert refine(node, []) == []


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        (None, None),
        (listed(3, 4), (3, 4)),
        (listed(3, None), (3, None)),
        (UNREAD, (None, None)),
        (shaped(2), None),
        (Value("", I64, None), None),
        (Value("", I64, (0,)), None),
        (Value("", I64, (1024,)), (None,) * 1024),
        (Value("", I64, (1025,)), None),
        (Value("", TensorProto.INT32, (), data=np.array(7)), (7,)),
    ],
)
def test_known_parts(value: Value | None, parts: Sizes | None) -> None:
    assert known_parts(value) == parts


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "size", "parts"),
    [
        ("Shape", [shaped(2, None, 4)], {}, 3, [(2, None, 4)]),
        ("Shape", [shaped(2, None, 4)], {"start": 1, "end": -1}, 1, [(None,)]),
        ("Shape", [NOTHING], {}, 3, [None]),
        ("Concat", [listed(3), listed(None, 4), UNREAD], {"axis": 0}, 5, [(3, None, 4, None, None)]),
        ("Concat", [UNREAD, UNREAD], {"axis": 0}, 4, []),  # nothing is known
        ("Concat", [listed(3), Value("", I64, None)], {"axis": 0}, 5, []),
        ("Gather", [listed(3, None, 5), listed(2, 1)], {}, 2, [(5, None)]),
        ("Gather", [listed(3, None, 5), UNREAD], {}, 2, []),
        ("Gather", [UNREAD, listed(1, 0)], {}, 2, []),
        ("Slice", [listed(3, None, 5), listed(1), listed(3)], {}, 2, [(None, 5)]),
        ("Cast", [listed(3, None)], {"to": TensorProto.INT32}, 2, [(3, None)]),
        ("Cast", [listed(3, None)], {"to": F}, 2, []),
        ("Add", [listed(3, None), listed(1, 1)], {}, 2, []),
        ("Expand", [listed(None, 3), listed(2, 2)], {}, 4, [(None, 3, None, 3)]),
        ("Flatten", [listed(3, None)], {"axis": 0}, 2, [(3, None)]),
        ("GatherElements", [listed(3, None, 5), listed(2, 1)], {}, 2, [(5, None)]),
        ("GatherND", [listed(3, None, 5), Value("", I64, (2, 1), data=np.array([[2], [1]]))], {}, 2, [(5, None)]),
        ("Reshape", [listed(3, None), listed(2, 1)], {}, 2, [(3, None)]),
        ("Split", [listed(3, None, 5), listed(2, 1)], {}, 2, [(3, None)]),
        ("Squeeze", [listed(None, 3), listed()], {}, 2, [(None, 3)]),
        ("Tile", [listed(None, 3), listed(2)], {}, 4, [(None, 3, None, 3)]),
        ("Transpose", [listed(None, 3)], {}, 2, [(None, 3)]),
        ("Unsqueeze", [listed(None, 3), listed(0)], {}, 2, [(None, 3)]),
        ("Identity", [listed(3, None)], {}, 1025, []),
    ],
)
def test_parts_that_move(
    op: str, inputs: list[Value], attributes: dict[str, Any], size: int, parts: list[Sizes | None]
) -> None:
    names = [f"i{index}" for index in range(len(inputs))]
    proto = Node(op, names, ["y"], **attributes)
    kind = attributes.get("to", I64)
    found = fold_parts(proto, view(op, *inputs, **attributes), [Inferred(kind, (size,))], {"": 18})
    assert found == parts


@pytest.mark.parametrize(
    ("shapes", "result"),
    [([(2, 1), (3,)], (2, 3)), ([(4, 1, 5), (3, 1), ()], (4, 3, 5)), ([(2,), (3,)], (3,)), ([(1, 0), (4, 3)], (4, 0))],
)
def test_broadcast(shapes: list[tuple[int, ...]], result: tuple[int, ...]) -> None:
    assert broadcast(shapes) == result


@pytest.mark.parametrize(
    ("op", "shapes", "attributes", "result"),
    [
        ("Add", [[4, 5], [4, 6]], {}, (4, 6)),
        ("Concat", [[4, 5], [3, 6]], {"axis": 1}, (4, 11)),
        ("Concat", [[4, 5], [3, 6]], {"axis": -2}, (7, 6)),
    ],
)
def test_operands_that_do_not_fit(
    tmp_path: Path, op: str, shapes: list[list[int]], attributes: dict[str, int], result: tuple[int, ...]
) -> None:
    """As happens where dimensions are left at 1: the larger sizes, and a note."""
    inputs = [Info(f"i{index}", F, shape) for index, shape in enumerate(shapes)]
    path = model(tmp_path / "m.onnx", [Node(op, ["i0", "i1"], ["y"], name="n", **attributes)], inputs)
    workload = read_onnx(path)
    assert workload.tensors["y"].shape == result
    assert "'n'" in workload.notes[0] and "--dim" in workload.notes[0]


def test_types_without_a_fixed_width() -> None:
    bits = {F: 32, I64: 64, BOOL: 8, TensorProto.DOUBLE: 64, TensorProto.FLOAT16: 16, TensorProto.BFLOAT16: 16}
    bits |= {TensorProto.INT4: 4, TensorProto.UINT2: 2, TensorProto.UINT16: 16, TensorProto.FLOAT8E4M3FN: 8}
    bits |= {TensorProto.FLOAT4E2M1: 4, TensorProto.COMPLEX64: 64, TensorProto.COMPLEX128: 128}
    bits |= {TensorProto.STRING: 0, TensorProto.UNDEFINED: 0, 99: 0}
    assert {kind: element_bits(kind) for kind in bits} == bits


def test_the_body_of_an_operator_that_repeats_it(tmp_path: Path) -> None:
    """SequenceMap: once for each of 3 members, with the shapes that its body declares; once and noted if unknown."""
    for size, macs, split in ((4, 3 * 4 * 8 * 4, ["x"]), (4, 4 * 8 * 4, ["x", "n"]), (None, None, ["x"])):
        body = helper.make_graph(
            [Node("MatMul", ["e", "w"], ["f"], name="inner")], "b", [Info("e", F, [size, 8])], [Info("f", F, None)]
        )
        nodes = [
            Node("SplitToSequence", split, ["q"], axis=0, keepdims=0),
            Node("SequenceMap", ["q"], ["q2"], body=body, name="map"),
            Node("ConcatFromSequence", ["q2"], ["y"], axis=0),
        ]
        inputs = [Info("x", F, [3, 4, 8]), Info("n", I64, [])]
        path = model(tmp_path / "m.onnx", nodes, inputs, {"w": np.zeros((8, 4), np.float32)})
        if macs is None:
            with pytest.raises(HwsimError, match=r"--dim e\.0=SIZE"):
                read_onnx(path)
            assert read_onnx(path, {"e.0": 5}).macs == 3 * 5 * 8 * 4
        else:
            workload = read_onnx(path)
            assert workload.macs == macs
            assert ("the body of 'map' (SequenceMap) is counted once" in workload.notes) == ("n" in split)
