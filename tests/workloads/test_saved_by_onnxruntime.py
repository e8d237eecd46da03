"""Files as onnxruntime saves them after it has optimized them: what they compute is what the file before computed."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.errors import HwsimError
from hwsim.workloads.onnx.reader import read_onnx

F = TensorProto.FLOAT
Node = helper.make_node


def network(path: Path, nodes: list[onnx.NodeProto], x: tuple[int, ...], weights: dict[str, tuple[int, ...]]) -> Path:
    rng = np.random.default_rng(0)
    held = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in weights.items()]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", F, x)], [info("y", F, None)], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("channels", [20, 16, 5])
def test_padding_of_channels_is_no_work(channels: int, tmp_path: Path) -> None:
    """Dense, depthwise and pointwise convolutions, a sum, a pool: channels are padded to blocks of 8 or 16."""
    c, pads = channels, [1, 1, 1, 1]
    nodes = [
        Node("Conv", ["x", "w1", "b1"], ["a"], pads=pads),
        Node("Relu", ["a"], ["r"]),
        Node("Conv", ["r", "w2"], ["c"], pads=pads),
        Node("Add", ["c", "r"], ["d"]),
        Node("Conv", ["d", "w3"], ["e"], pads=pads, group=c),
        Node("Conv", ["e", "w4"], ["f"]),
        Node("Conv", ["f", "w5"], ["p"]),
        Node("GlobalAveragePool", ["p"], ["y"]),
    ]
    weights = {"w1": (c, 3, 3, 3), "b1": (c,), "w2": (c, c, 3, 3), "w3": (c, 1, 3, 3)}
    weights |= {"w4": (c + 8, c, 1, 1), "w5": (36, c + 8, 1, 1)}
    path = network(tmp_path / "before.onnx", nodes, (1, 3, 16, 16), weights)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "after.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    saved = onnx.load(tmp_path / "after.onnx")
    before, after = read_onnx(path), read_onnx(tmp_path / "after.onnx")
    assert after.macs == before.macs == 256 * c * (27 + 9 * c + 9 + c + 8) + 256 * 36 * (c + 8)
    if any(node.domain == "com.microsoft.nchwc" for node in saved.graph.node):  # a processor without blocks has none
        assert [op.op for op in after.operators if op.domain == "com.microsoft.nchwc"]


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("more", [None, [1, 1]])
def test_a_transposed_convolution_of_the_same_size(auto_pad: str, more: list[int] | None, tmp_path: Path) -> None:
    attributes = {"auto_pad": auto_pad, "strides": [2, 2]} | ({"output_padding": more} if more else {})
    nodes = [Node("ConvTranspose", ["x", "w"], ["y"], **attributes)]
    path = network(tmp_path / "m.onnx", nodes, (1, 2, 3, 3), {"w": (2, 1, 3, 3)})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.zeros((1, 2, 3, 3), np.float32)})
    assert read_onnx(path).tensors["y"].shape == y.shape == (1, 1, 6, 6)


def test_layer_normalization_in_an_opset_before_onnx_had_it(tmp_path: Path) -> None:
    nodes = [Node("LayerNormalization", ["x", "s"], ["n"]), Node("MatMul", ["n", "w"], ["y"])]
    path = network(tmp_path / "m.onnx", nodes, (4, 8), {"s": (8,), "w": (8, 5)})
    model = onnx.load(path)
    model.opset_import[0].version = 11
    onnx.save(model, path)
    workload = read_onnx(path)
    assert workload.macs == 160 and workload.params == 48


@pytest.mark.parametrize("domain", ["TRT", "org.pytorch.aten", "com.microsoft"])
def test_nobody_knows_the_operator_but_its_results_are_declared(domain: str, tmp_path: Path) -> None:
    nodes = [
        Node("MatMul", ["x", "w"], ["a"]),
        Node("Sorted", ["a"], ["b"], name="sort", domain=domain),
        Node("MatMul", ["b", "v"], ["y"]),
    ]
    path = network(tmp_path / "m.onnx", nodes, (4, 8), {"w": (8, 6), "v": (6, 5)})
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.save(model, path)
    with pytest.raises(HwsimError, match=rf"'{domain}.Sorted' is not known.*value_info"):
        read_onnx(path)
    model.graph.value_info.append(helper.make_tensor_value_info("b", F, [4, 6]))
    onnx.save(model, path)
    workload = read_onnx(path)
    assert workload.macs == 4 * 8 * 6 + 4 * 6 * 5
    assert [note for note in workload.notes if f"nobody knows '{domain}.Sorted'" in note and note.endswith(": sort")]


def test_an_unknown_operator_in_onnx_s_own_domain_is_a_mistake(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", [Node("Matmul", ["x", "w"], ["y"])], (4, 8), {"w": (8, 6)})
    with pytest.raises(HwsimError, match=r"'Matmul' is not known\. Did you mean 'MatMul'"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("domain", "op", "inputs", "attributes", "shapes"),
    [
        ("com.microsoft", "BiasSplitGelu", {"x": (2, 5, 12), "b": (12,)}, {}, [(2, 5, 6)]),
        ("com.microsoft", "Trilu", {"x": (5, 4)}, {"upper": 0}, [(5, 4)]),
        ("com.microsoft", "GridSample", {"x": (2, 3, 8, 8), "g": (2, 5, 4, 2)}, {}, [(2, 3, 5, 4)]),
        ("com.microsoft", "NGramRepeatBlock", {"x": (2, 5), "s": (2, 30)}, {"ngram_size": 3}, [(2, 30)]),
        ("com.microsoft", "QLinearReduceMean", {"x": (2, 3, 4)}, {"axes": [-1], "keepdims": 0}, [(2, 3)]),
        ("com.microsoft", "QLinearWhere", {"c": (4,), "x": (2, 4), "s": (), "z": (), "t": (2, 1)}, {}, [(2, 4)]),
        ("com.microsoft", "GatherBlockQuantized", {"x": (9, 16), "i": (2, 3), "s": (9, 2)}, {}, [(2, 3, 16)]),
        ("com.microsoft.nchwc", "Upsample", {"x": (1, 16, 4, 5)}, {"scales": [1, 1, 2, 3]}, [(1, 16, 8, 15)]),
        ("com.microsoft.nchwc", "ReorderInput", {"x": (1, 4, 5, 3)}, {"channels_last": 1}, [(1, 3, 4, 5)]),
        (
            "com.microsoft.nchwc",
            "ReorderOutput",
            {"x": (1, 16, 4, 5)},
            {"channels": 12, "channels_last": 1},
            [(1, 4, 5, 12)],
        ),
        ("ai.onnx.ml", "Scaler", {"x": (5, 12)}, {"scale": [1.0], "offset": [0.0]}, [(5, 12)]),
        ("ai.onnx.ml", "Normalizer", {"x": (5, 12)}, {}, [(5, 12)]),
    ],
)
def test_shapes_go_through(  # type: ignore[no-untyped-def]
    domain: str, op: str, inputs: dict[str, tuple[int, ...]], attributes, shapes: list[tuple[int, ...]], tmp_path: Path
) -> None:
    node = Node(op, list(inputs), ["y"], domain=domain, **attributes)
    x, *others = inputs.items()
    path = network(tmp_path / "m.onnx", [node], x[1], dict(others))
    model = onnx.load(path)
    model.graph.node[0].input[0] = "x"
    model.opset_import.append(helper.make_opsetid(domain, 1))
    onnx.save(model, path)
    workload = read_onnx(path)
    assert [workload.tensors[name].shape for name in workload.operators[-1].outputs] == shapes


def test_what_multiplies_and_is_not_counted_is_named(tmp_path: Path) -> None:
    path = network(tmp_path / "m.onnx", [Node("Det", ["x"], ["y"], name="det")], (3, 4, 4), {})
    assert read_onnx(path).notes == ("multiplies, which is not counted: det",)
