"""What an operator says of its tensors' axes, run as loops in Python: it must give what onnxruntime gives."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from hwsim.workloads import zoo
from hwsim.workloads.einsum import Access, Einsum, Index
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.workload import Workload

F = TensorProto.FLOAT


def loops(einsum: Einsum) -> tuple[Index, ...]:
    """The indices, by default one per dimension; their product is the problem's size."""
    indices = einsum.indices or tuple(Index(dim, size, dim) for dim, size in einsum.problem.dims)
    for dim, size in einsum.problem.dims:
        assert np.prod([i.size for i in indices if i.dim == dim]) == size
    assert np.prod([i.size for i in indices if not i.dim]) == einsum.count
    return indices


def place(access: Access, at: dict[str, int], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Where an access is in its tensor; None outside."""
    assert access.ranks is not None and len(access.ranks) == len(shape)
    found = tuple(sum(c * at[i] for c, i in rank.terms) - rank.before for rank in access.ranks)
    return found if all(0 <= x < n for x, n in zip(found, shape, strict=True)) else None


def run(einsum: Einsum, tensors: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """The result of an Einsum, one multiplication at a time; what lies outside a tensor is 0 or dropped."""
    indices, out = loops(einsum), np.zeros(shape)
    for values in itertools.product(*(range(i.size) for i in indices)):
        at = dict(zip((i.name for i in indices), values, strict=True))
        product = {"Weights": 0.0, "Inputs": 0.0}
        for access in einsum.accesses:
            if access.data_space != "Outputs":
                tensor = tensors[access.tensor]
                where = place(access, at, tensor.shape)
                product[access.data_space] += 0.0 if where is None else tensor[where]
            else:
                target = place(access, at, shape)
        if target is not None:
            out[target] += product["Weights"] * product["Inputs"]
    return out


def save(path: Path, nodes: list[Any], fed: dict[str, tuple[int, ...]], held: dict[str, tuple[int, ...]]) -> Workload:
    rng = np.random.default_rng(1)
    weights = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in held.items()]
    inputs = [helper.make_tensor_value_info(n, F, s) for n, s in fed.items()]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", F, None)], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return read_onnx(path)


@pytest.mark.parametrize(
    ("op", "x", "w", "attributes"),
    [
        ("Conv", (1, 2, 5, 6), (3, 2, 3, 2), {"pads": [1, 0, 0, 1], "strides": [2, 1]}),
        ("Conv", (2, 2, 7), (3, 2, 3), {"pads": [2, 1], "dilations": [2]}),
        ("Conv", (1, 4, 5, 4), (6, 2, 3, 3), {"group": 2, "pads": [0, 1, 1, 0]}),
        ("Conv", (1, 3, 6, 5), (3, 1, 3, 3), {"group": 3, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Conv", (1, 3, 6, 5), (2, 3, 2, 4), {"auto_pad": "SAME_LOWER"}),
        ("Conv", (1, 1, 3, 4, 3), (2, 1, 2, 3, 2), {"pads": [1, 0, 1, 0, 2, 0]}),
        ("ConvTranspose", (1, 2, 3, 4), (2, 3, 3, 2), {"strides": [2, 1], "pads": [1, 0, 0, 1]}),
        ("ConvTranspose", (1, 4, 3, 3), (4, 2, 2, 3), {"group": 2, "output_padding": [1, 0], "strides": [2, 2]}),
        ("MatMul", (2, 3, 4), (4, 5), {}),
        ("MatMul", (2, 1, 3, 4), (3, 4, 2), {}),
        ("MatMul", (4,), (3, 4, 2), {}),
        ("MatMul", (2, 3, 4), (4,), {}),
        ("Gemm", (4, 3), (5, 4), {"transA": 1, "transB": 1}),
        ("Einsum", (2, 3, 4), (5, 4, 3), {"equation": "bij,kji->kb"}),
        ("Einsum", (3, 1, 4), (3, 2, 4), {"equation": "...ij,...kj->...ki"}),
    ],
)
@pytest.mark.parametrize("weight_first", [False, True])
def test_the_loops_compute_the_operator(  # type: ignore[no-untyped-def]
    op: str, x: tuple[int, ...], w: tuple[int, ...], attributes, weight_first: bool, tmp_path: Path
) -> None:
    if weight_first and op in ("Conv", "ConvTranspose"):
        return
    path, names = tmp_path / "m.onnx", ["x", "w"]
    held = {"x": x} if weight_first else {"w": w}
    fed = {"w": w} if weight_first else {"x": x}
    nodes = [helper.make_node("Abs", [n], [f"{n}.abs"]) for n in fed]
    nodes.append(helper.make_node(op, [f"{n}.abs" if n in fed else n for n in names], ["y"], **attributes))
    workload = save(path, nodes, fed, held)
    (einsum,) = workload.operators[-1].einsums
    feed = {n: np.random.default_rng(2).standard_normal(s).astype(np.float32) for n, s in fed.items()}
    expected = InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)[0]
    tensors = {f"{n}.abs": abs(v) for n, v in feed.items()}
    tensors |= {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    np.testing.assert_allclose(run(einsum, tensors, expected.shape), expected, rtol=1e-4, atol=1e-5)
    assert [a.tensor for a in einsum.accesses][2:] == ["y"]
    assert (einsum.problem, einsum.count) == workload.operators[-1].problems[0]


@pytest.mark.parametrize("packed", [False, True])
def test_attention_reads_the_past_before_the_new_keys(packed: bool, tmp_path: Path) -> None:
    """Grouped queries with a cache: scores by the loops are Q·Kᵀ over past and new keys, head by head."""
    batch, heads, kv_heads, size, new, past = 2, 4, 2, 3, 2, 3
    rng = np.random.default_rng(3)
    shapes = {"k.past": (batch, kv_heads, past, size), "v.past": (batch, kv_heads, past, size)}
    if packed:
        shapes["q"] = (batch, new, (heads + 2 * kv_heads) * size)
    else:
        shapes |= {"q": (batch, new, heads * size)} | dict.fromkeys(("k", "v"), (batch, new, kv_heads * size))
    names = ["q", "", ""] if packed else ["q", "k", "v"]
    node = helper.make_node(
        "GroupQueryAttention",
        [*names, "k.past", "v.past"],
        ["y", "k.all", "v.all"],
        domain="com.microsoft",
        num_heads=heads,
        kv_num_heads=kv_heads,
    )
    inputs = [helper.make_tensor_value_info(n, F, s) for n, s in shapes.items()]
    graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", F, None)])
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports), tmp_path / "m.onnx")
    scores, mixed = read_onnx(tmp_path / "m.onnx").operators[0].einsums
    tensors = {n: rng.standard_normal(s) for n, s in shapes.items()}
    cut = [heads * size, (heads + kv_heads) * size]
    q, k, v = np.split(tensors["q"], cut, -1) if packed else (tensors[n] for n in "qkv")
    q, k, v = (t.reshape(batch, new, -1, size).swapaxes(1, 2) for t in (q, k, v))
    k, v = np.concatenate([tensors["k.past"], k], 2), np.concatenate([tensors["v.past"], v], 2)
    by_group = q.reshape(batch, kv_heads, heads // kv_heads, new, size)
    expected = by_group @ k[:, :, None].swapaxes(-1, -2)
    found = run(scores, tensors, expected.shape)
    np.testing.assert_allclose(found, expected)
    expected = (found @ v[:, :, None]).reshape(batch, heads, new, size).swapaxes(1, 2).reshape(batch, new, -1)
    np.testing.assert_allclose(run(mixed, tensors | {"": found}, expected.shape), expected)


def test_a_residual_block_knows_its_neighbours(tmp_path: Path) -> None:
    """Both convolutions and the addition name the tensors between them; the padding is that of the second's input."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="one", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["b"], name="two", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    workload = save(tmp_path / "m.onnx", nodes, {"x": (1, 4, 6, 6)}, {"w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3)})
    one, relu, two, add = workload.operators
    reads = {a.data_space: a.tensor for a in two.einsums[0].accesses}
    assert reads == {"Weights": "w2", "Inputs": "r", "Outputs": "b"}
    assert one.einsums[0].accesses[2].tensor in relu.inputs and two.einsums[0].accesses[2].tensor in add.inputs
    assert not add.einsums
    (window,) = [a for a in two.einsums[0].accesses if a.tensor == "r"]
    assert window.ranks is not None and [rank.before for rank in window.ranks] == [0, 0, 1, 1]
    assert len(workload.layers()) == 1  # the problems are equal, and mapped once


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "transformer_block"])
def test_every_access_is_within_its_tensor(name: str, tmp_path: Path) -> None:
    """In whole networks: each axis is covered from its first to its last place, or padding lies around it."""
    workload = read_onnx(zoo.write(name, tmp_path / "m.onnx"))
    for op in workload.operators:
        assert [(e.problem, e.count) for e in op.einsums] == list(op.problems)
        for einsum in op.einsums:
            sizes = {i.name: i.size for i in loops(einsum)}
            for access in einsum.accesses:
                shape = workload.tensors[access.tensor].shape
                assert access.tensor in (*op.inputs, *op.outputs) and access.ranks is not None
                for rank, size in zip(access.ranks, shape, strict=True):
                    reach = 1 + sum(c * (sizes[i] - 1) for c, i in rank.terms)
                    assert rank.before >= 0 and reach - rank.before > 0
                    if access.data_space != "Inputs":
                        assert (rank.before, reach) == (0, size)


@pytest.mark.parametrize(
    ("x", "w", "axes", "keeps", "macs"),
    [
        ((1, 6, 1), (1, 6, 5), [1], 0, 30),  # a product of [1, 6] and [6, 5]
        ((3, 4, 1, 6), (5, 6), [-1], 1, 3 * 4 * 6 * 5),
        ((3, 4, 6), (3, 4, 6), [2], 0, 0),  # the same axes twice: elementwise, and a sum
        ((3, 4, 6), (6,), [2], 0, 72),  # with a vector
        ((3, 4, 6), (3, 4, 1), [2], 0, 0),  # scaled, then summed
    ],
)
def test_a_product_spelt_as_mul_and_sum(
    x: tuple[int, ...], w: tuple[int, ...], axes: list[int], keeps: int, macs: int, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    nodes = [
        helper.make_node("Constant", [], ["axes"], value_ints=axes),
        helper.make_node("Mul", ["x", "w"], ["m"]),
        helper.make_node("ReduceSum", ["m", "axes"], ["y"], keepdims=keeps),
    ]
    workload = save(path, nodes, {"x": x}, {"w": w})
    assert workload.macs == macs
    feed = {"x": np.random.default_rng(2).standard_normal(x).astype(np.float32)}
    expected = InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)[0]
    held = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    for einsum in workload.operators[-1].einsums:
        np.testing.assert_allclose(run(einsum, feed | held, expected.shape), expected, rtol=1e-4, atol=1e-5)
