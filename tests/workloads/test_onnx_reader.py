"""Operators of ONNX files become problems; figures derived by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from tests.workloads.test_onnx_bad_input import save, value

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def constant(name: str, *shape: int, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros(shape, dtype), name)


def one(
    tmp_path: Path,
    op: str,
    inputs: dict[str, tuple[int, ...]],
    weights: dict[str, tuple[int, ...]],
    **attributes: object,
):  # type: ignore[no-untyped-def]
    names = [*inputs, *weights]
    node = helper.make_node(op, names, ["y"], name="n", **attributes)
    path = save(
        tmp_path / "m.onnx",
        [node],
        [value(n, *s) for n, s in inputs.items()],
        [constant(n, *s) for n, s in weights.items()],
    )
    return read_onnx(path)


@pytest.mark.parametrize(
    ("op", "x", "w", "attributes", "macs"),
    [
        # MACs = outputs × filter elements per output
        ("Conv", (1, 3, 32), (8, 3, 5), {}, 8 * 28 * 3 * 5),
        ("Conv", (2, 3, 32, 16), (8, 3, 3, 3), {"pads": [1, 1, 1, 1]}, 2 * 8 * 32 * 16 * 27),
        ("Conv", (1, 4, 8, 8, 8), (6, 4, 3, 3, 3), {}, 6 * 6**3 * 4 * 27),
        ("Conv", (1, 8, 16, 16), (8, 1, 3, 3), {"group": 8, "pads": [1, 1, 1, 1]}, 8 * 16 * 16 * 9),
        ("Conv", (1, 8, 16, 16), (12, 2, 3, 3), {"group": 4}, 12 * 14 * 14 * 2 * 9),
        ("Conv", (1, 3, 17, 17), (4, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, 4 * 9 * 9 * 27),
        ("Conv", (1, 3, 20, 20), (4, 3, 3, 3), {"dilations": [2, 3]}, 4 * 16 * 14 * 27),
        ("Conv", (1, 3, 10, 10), (4, 3, 3, 3), {"pads": [0, 2, 1, 0]}, 4 * 9 * 10 * 27),
        # every input position meets every filter element
        ("ConvTranspose", (1, 4, 7, 7), (4, 6, 3, 3), {"strides": [2, 2]}, 7 * 7 * 4 * 6 * 9),
        ("MatMul", (5, 12, 16), (16, 24), {}, 5 * 12 * 16 * 24),
        ("MatMul", (4, 1, 6, 8), (3, 8, 10), {}, 4 * 3 * 6 * 8 * 10),
        ("Gemm", (5, 8), (10, 8), {"transB": 1}, 5 * 8 * 10),
    ],
)
def test_macs(
    tmp_path: Path, op: str, x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, object], macs: int
) -> None:
    workload = one(tmp_path, op, {"x": x}, {"w": w}, **attributes)
    assert workload.macs == macs
    assert workload.operators[0].mapped


def test_depthwise_is_not_dense(tmp_path: Path) -> None:
    problem = one(tmp_path, "Conv", {"x": (1, 8, 16, 16)}, {"w": (8, 1, 3, 3)}, group=8).layers()[0].problem
    assert problem.kind == "depthwise"
    assert "M" not in problem.sizes and problem.sizes["C"] == 8


def test_groups_have_their_own_dimension(tmp_path: Path) -> None:
    problem = one(tmp_path, "Conv", {"x": (1, 8, 16, 16)}, {"w": (12, 2, 3, 3)}, group=4).layers()[0].problem
    assert problem.sizes | {"G": 4, "C": 2, "M": 3} == problem.sizes


def test_lstm_has_input_and_recurrent_products(tmp_path: Path) -> None:
    # 4 gates × hidden 6: sequence 5, batch 2, input 3.
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="n", hidden_size=6)
    path = save(tmp_path / "m.onnx", [node], [value("x", 5, 2, 3)], [constant("w", 1, 24, 3), constant("r", 1, 24, 6)])
    assert read_onnx(path).macs == 5 * 2 * 24 * (3 + 6)


def test_einsum_contraction(tmp_path: Path) -> None:
    workload = one(tmp_path, "Einsum", {"x": (2, 3, 4)}, {"w": (4, 5)}, equation="bij,jk->bik")
    assert workload.macs == 2 * 3 * 4 * 5


def test_integer_operators(tmp_path: Path) -> None:
    node = helper.make_node("MatMulInteger", ["x", "w"], ["y"], name="n")
    x = helper.make_tensor_value_info("x", TensorProto.UINT8, [3, 8])
    path = save(tmp_path / "m.onnx", [node], [x], [constant("w", 8, 4, dtype=np.uint8)])
    assert read_onnx(path).macs == 3 * 8 * 4


def test_weights_behind_nodes(tmp_path: Path) -> None:
    """Constant → Cast → Transpose → Reshape is a weight like any other."""
    raw = numpy_helper.from_array(np.zeros((24, 8), np.float16))
    nodes = [
        helper.make_node("Constant", [], ["k"], value=raw),
        helper.make_node("Cast", ["k"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["c"], ["t"], perm=[1, 0]),
        helper.make_node("Constant", [], ["s"], value=numpy_helper.from_array(np.array([8, 24]))),
        helper.make_node("Reshape", ["t", "s"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="n"),
    ]
    workload = read_onnx(save(tmp_path / "m.onnx", nodes, [value("x", 3, 8)]))
    assert workload.macs == 3 * 8 * 24
    assert workload.params == 8 * 24


def test_symbolic_dimensions(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="n")
    path = save(tmp_path / "m.onnx", [node], [value("x", "batch", "seq", 8)], [constant("w", 8, 4)])
    assert read_onnx(path, {"batch": 2, "seq": 7}).macs == 2 * 7 * 8 * 4
    unbound = read_onnx(path)
    assert unbound.macs == 8 * 4
    assert any("batch" in note and "1" in note for note in unbound.notes)


def test_loop_and_if_bodies_are_entered(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("MatMul", ["h", "w"], ["h2"], name="step")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            value("h", 2, 8),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("h2", 2, 8)],
    )
    trip = numpy_helper.from_array(np.array(6), "trip")
    go = numpy_helper.from_array(np.array(True), "start")
    node = helper.make_node("Loop", ["trip", "start", "x"], ["y"], name="loop", body=body)
    path = save(tmp_path / "m.onnx", [node], [value("x", 2, 8)], [trip, go, constant("w", 8, 8)])
    assert read_onnx(path).macs == 6 * 2 * 8 * 8


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("mobilenet_v2", 300_774_272),  # torch's FlopCounterMode / 2
        ("resnet18", 1_814_073_344),
    ],
)
def test_zoo_macs(tmp_path: Path, name: str, macs: int) -> None:
    path = zoo.write(name, tmp_path / "m.onnx")
    assert path.stat().st_size < 100_000
    assert read_onnx(path).macs == macs


def test_llama_prefill_macs(tmp_path: Path) -> None:
    seq = 128
    width, kv, mlp, vocabulary = 2048, 512, 8192, 128256
    projections = seq * (2 * width * width + 2 * width * kv + 3 * width * mlp)
    attention = 2 * 32 * seq * seq * 64
    workload = read_onnx(zoo.write("llama3_2_1b_prefill", tmp_path / "m.onnx"), {"seq": seq})
    head = workload.macs - 16 * (projections + attention)
    assert head in (seq * width * vocabulary, width * vocabulary)


@pytest.mark.parametrize("path", sorted(LIGHT.glob("light_*.onnx")), ids=lambda p: p.stem)
def test_light_models(path: Path) -> None:
    workload = read_onnx(path)
    assert workload.macs > 0
    assert all(layer.problem.macs > 0 for layer in workload.layers())


def test_nine_light_models() -> None:
    assert len(list(LIGHT.glob("light_*.onnx"))) == 9
