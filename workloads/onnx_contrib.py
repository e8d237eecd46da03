"""Output types of ONNX Runtime's contrib operators, which have no schema in ONNX.

The input slots are those of ONNX Runtime's documentation (``docs/ContribOperators.md``
in microsoft/onnxruntime).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from onnx import defs, helper

from hwsim.workloads.onnx_inference import Inferred, broadcast, infer_by_schema
from hwsim.workloads.onnx_node import Node
from hwsim.workloads.onnx_value import Value

TypeRule = Callable[[Node], list[Inferred]]

_FLOAT, _UINT8, _INT32 = 1, 2, 6  # TensorProto.DataType


def _like(*slots: int) -> TypeRule:
    """Outputs that have type and shape of the given inputs, in turn."""
    return lambda node: [Inferred(node.value(slot).elem_type, node.value(slot).sizes) for slot in slots]


def _standard(op_type: str, slots: Sequence[int], type_from: int = 0, elem_type: int = 0) -> TypeRule:
    """The shape that an ONNX operator gives on some of the inputs; the type of one input, or a fixed one."""

    def rule(node: Node) -> list[Inferred]:
        schema = defs.get_schema(op_type, 13, "")
        kept = [node.inputs[slot] if slot < len(node.inputs) else None for slot in slots]
        attributes = {k: v for k, v in node.attributes.items() if k in schema.attributes}
        names = ["" if value is None else f"input{slot}" for slot, value in enumerate(kept)]
        # The shape does not depend on the type, and the ONNX operator may not take the quantized one.
        floats = tuple(None if v is None else Value("", _FLOAT, v.shape) for v in kept)
        inner = Node(op_type, node.name, floats, attributes, where=node.where)
        try:
            proto = helper.make_node(op_type, names, ["y"], **attributes)
        except (ValueError, TypeError) as error:
            raise node.error(str(error)) from error
        outputs, complaint = infer_by_schema(proto, inner, schema, {"": 13})
        if complaint:
            raise node.error(complaint)
        return [Inferred(elem_type or node.value(type_from).elem_type, outputs[0].shape)]

    return rule


def _packed_matmul(node: Node) -> list[Inferred]:
    return [Inferred(node.value(0).elem_type, (*node.shape(0)[:-1], node.positive("N")))]


def fused_matmul_shapes(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Operands of ``FusedMatMul`` as multiplied: transBatch moves the first axis inwards, trans swaps the last two."""
    shapes = []
    for slot, side in ((0, "A"), (1, "B")):
        shape = node.shape(slot)
        if len(shape) > 1 and node.integer(f"transBatch{side}", 0):
            shape = (*shape[1:-1], shape[0], shape[-1])
        if len(shape) > 1 and node.integer(f"trans{side}", 0):
            shape = (*shape[:-2], shape[-1], shape[-2])
        shapes.append(shape)
    return shapes[0], shapes[1]


def _fused_matmul(node: Node) -> list[Inferred]:
    a, b = fused_matmul_shapes(node)
    if not a or not b:
        raise node.error(f"cannot multiply {list(a)} by {list(b)}: an operand has no dimensions")
    shape = broadcast([a[:-2], b[:-2]]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())
    return [Inferred(node.value(0).elem_type, shape)]


def _attention(node: Node, past: int, type_from: int) -> list[Inferred]:
    batch, length, _ = node.shape(0, 3)
    heads, packed = node.positive("num_heads"), projected_sizes(node)
    total = length + (node.shape(past, 5)[3] if node.has(past) else 0)
    elem = node.value(type_from).elem_type
    present = (2, batch, heads, total, packed[0] // heads)
    return [Inferred(elem, (batch, length, packed[-1])), Inferred(elem, present)]


def projected_sizes(node: Node) -> tuple[int, ...]:
    """Columns of the weight that make Q, K and V, for an attention that projects them."""
    width = node.shape(1, 2)[1]
    return node.integers("qkv_hidden_sizes", (width // 3,) * 3, least=1 if width else 0)


@dataclass(frozen=True)
class Attending:
    """Sizes of a multi-head attention: queries, keys with those of the past, and a head's part of each."""

    batch: int
    heads: int
    length: int
    kv: int
    key: int
    value: int


def multi_head_sizes(node: Node) -> Attending:
    """Sizes of ``com.microsoft.MultiHeadAttention``.

    Q is [batch, length, width]; K and V are alike, or 4-D by heads, or packed in K as
    [batch, length, heads, 2, size]; or all three are packed in Q as [… , heads, 3, size].
    """
    q, heads = node.shape(0, 3, 5), node.positive("num_heads")
    past = node.shape(6, 4)[2] if node.has(6) else 0
    if len(q) == 5:
        return Attending(q[0], heads, q[1], past + q[1], q[4], q[4])
    k = node.shape(1, 3, 4, 5)
    v = node.shape(2, 3, 4) if node.has(2) else k
    value = v[-1] if len(v) > 3 else v[2] // heads
    return Attending(q[0], heads, q[1], past + (k[2] if len(k) == 4 else k[1]), q[2] // heads, value)


def _multi_head_attention(node: Node) -> list[Inferred]:
    x, elem = multi_head_sizes(node), node.value(0).elem_type
    return [
        Inferred(elem, (x.batch, x.length, x.heads * x.value)),
        Inferred(elem, (x.batch, x.heads, x.kv, x.key)),
        Inferred(elem, (x.batch, x.heads, x.kv, x.value)),
    ]


def _grouped_query_attention(node: Node) -> list[Inferred]:
    batch, length, width = node.shape(0, 3)
    heads, kv_heads = node.positive("num_heads"), node.positive("kv_num_heads")
    size = width // (heads if node.has(1) else heads + 2 * kv_heads)
    elem = node.value(0).elem_type
    total = length + (node.shape(3, 4)[2] if node.has(3) else 0)
    cache = Inferred(elem, (batch, kv_heads, total, size))
    return [Inferred(elem, (batch, length, heads * size)), cache, cache]


def _recurrent(node: Node) -> list[Inferred]:
    (steps, batch, _), (directions, hidden, _) = node.shape(0, 3), node.shape(2, 3)
    elem = node.value(0).elem_type
    state = Inferred(elem, (directions, batch, hidden))
    return [Inferred(elem, (steps, directions, batch, hidden)), state, state]


def _skip_norm(node: Node) -> list[Inferred]:
    x = node.value(0)
    statistics = Inferred(_FLOAT, None if x.shape is None else (*x.shape[:-1], 1))
    return [Inferred(x.elem_type, x.shape), statistics, statistics, Inferred(x.elem_type, x.shape)]


def _embed_norm(node: Node) -> list[Inferred]:
    batch, length = node.shape(0, 2)
    table = node.value(2)
    embedded = Inferred(table.elem_type, (batch, length, node.shape(2, 2)[1]))
    return [embedded, Inferred(_INT32, (batch,)), embedded]


def _quantized_concat(node: Node) -> list[Inferred]:
    """Scale and zero point of the result, then (tensor, scale, zero point) per operand."""
    rank = len(node.shape(2))
    shapes = [node.shape(slot, rank) for slot in range(2, len(node.inputs), 3)]
    axis = node.integer("axis", 0)
    if not -rank <= axis < rank:
        raise node.error(f"attribute 'axis' is {axis}, but its operands have {rank} dimensions")
    joined = list(shapes[0])
    joined[axis] = sum(s[axis] for s in shapes)
    return [Inferred(node.value(2).elem_type, tuple(joined))]


def _quantized_elementwise(node: Node) -> list[Inferred]:
    return [Inferred(node.value(0).elem_type, broadcast([node.shape(0), node.shape(3)]))]


def _quantized_gemm(node: Node) -> list[Inferred]:
    (product,) = _standard("Gemm", (0, 3))(node)
    return [Inferred(node.value(8).elem_type if node.has(8) else _FLOAT, product.shape)]


_MICROSOFT: Mapping[str, TypeRule] = {
    "Attention": partial(_attention, past=4, type_from=0),
    "BiasAdd": _like(0),
    "BiasGelu": _like(0),
    "BiasSoftmax": _like(0),
    "DequantizeLinear": lambda node: [Inferred(node.value(1).elem_type, node.value(0).shape)],
    "DynamicQuantizeLSTM": _recurrent,
    "DynamicQuantizeMatMul": _standard("MatMul", (0, 1)),
    "EmbedLayerNormalization": _embed_norm,
    "FastGelu": _like(0),
    "FusedConv": _standard("Conv", (0, 1, 2)),
    "FusedGemm": _standard("Gemm", (0, 1, 2)),
    "FusedMatMul": _fused_matmul,
    "Gelu": _like(0),
    "GroupNorm": _like(0),
    "GroupQueryAttention": _grouped_query_attention,
    "MatMulBnb4": _packed_matmul,
    "MatMulInteger16": _standard("MatMul", (0, 1), elem_type=_INT32),
    "MatMulIntegerToFloat": _standard("MatMul", (0, 1), type_from=2),
    "MatMulNBits": _packed_matmul,
    "MultiHeadAttention": _multi_head_attention,
    "QAttention": partial(_attention, past=8, type_from=3),
    "QGemm": _quantized_gemm,
    "QLinearAdd": _quantized_elementwise,
    "QLinearAveragePool": _standard("AveragePool", (0,)),
    "QLinearConcat": _quantized_concat,
    "QLinearGlobalAveragePool": _standard("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": _like(0),
    "QLinearMul": _quantized_elementwise,
    "QLinearSigmoid": _like(0),
    "QLinearSoftmax": _like(0),
    "QuantizeLinear": lambda node: [
        Inferred(node.value(2).elem_type if node.has(2) else _UINT8, node.value(0).shape),
    ],
    "QuickGelu": _like(0),
    "RotaryEmbedding": _like(0),
    "SkipGroupNorm": _like(0),
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
    "TransposeMatMul": _fused_matmul,
}

#: Operator type → types of its outputs. The last one ONNX Runtime registers in ONNX's own domain.
CONTRIB: Mapping[str, TypeRule] = {
    **{f"com.microsoft.{name}": rule for name, rule in _MICROSOFT.items()},
    "SimplifiedLayerNormalization": _like(0),
}
