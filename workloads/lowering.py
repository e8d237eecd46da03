"""From operators to problems: one table, one small function per kind of operator.

A new operator is a row of `RULES`. A rule's function takes a `Node` whose input shapes
are known and returns the problems that the operator computes, each with how often it
computes it; ``()`` where this instance multiplies nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from hwsim.workloads.onnx_contrib import fused_matmul_shapes, multi_head_sizes, projected_sizes
from hwsim.workloads.onnx_node import Node
from hwsim.workloads.problem import Problem, convolution, matmul

Lowered = tuple[tuple[Problem, int], ...]


@dataclass(frozen=True)
class Rule:
    """How one operator type becomes problems.

    Attributes:
        lower: the function.
        operands: input slots that its problems multiply, the activation first.
        extras: further slots that hold parameters (biases).
    """

    lower: Callable[[Node], Lowered]
    operands: tuple[int, ...] = (0, 1)
    extras: tuple[int, ...] = ()


# --- contractions ---------------------------------------------------------------------


def contract(a: Sequence[str], b: Sequence[str], out: Sequence[str], sizes: Mapping[str, int]) -> Problem:
    """The batched matrix product that contracts two labelled tensors.

    A label in both operands and the result is batch (B); in both but not the result it
    is contracted (C); in the result and one operand only it is a row of the first (P)
    or a column of the second (M). So a batch that only one operand has is no batch:
    ``[8,128,768] @ [768,768]`` is one product with P = 8·128, its weights used once.
    A label of one operand alone that the result lacks is summed before multiplying.
    """
    first, second, kept = set(a), set(b), set(out)

    def volume(labels: set[str]) -> int:
        return math.prod(sizes[label] for label in labels)

    return matmul(
        {
            "B": volume(first & second & kept),
            "C": volume((first & second) - kept),
            "P": volume((first - second) & kept),
            "M": volume((second - first) & kept),
        }
    )


def _product(node: Node, a: tuple[int, ...], b: tuple[int, ...], swap: bool = False) -> Lowered:
    """NumPy's ``a @ b``: batched, broadcast, 1-D operands; ``swap``: the first operand holds the weights."""
    rows, columns = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if not a or not b or rows[-1] != columns[-2]:
        raise node.error(f"cannot multiply {list(a)} by {list(b)}: the inner sizes differ")
    left, right, out, sizes = ["p", "c"], ["c", "m"], ["p", "m"], {"p": rows[-2], "c": rows[-1], "m": columns[-1]}
    for axis in range(1, max(len(rows), len(columns)) - 1):
        in_a = rows[-2 - axis] if axis < len(rows) - 1 else 1
        in_b = columns[-2 - axis] if axis < len(columns) - 1 else 1
        if in_a != in_b and 1 not in (in_a, in_b):
            raise node.error(f"cannot broadcast {list(a)} against {list(b)}")
        label = f"b{axis}"
        sizes[label] = max(in_a, in_b) if in_a and in_b else 0
        if in_a > 1 or in_b <= 1:
            left.append(label)
        if in_b > 1 or in_a <= 1:
            right.append(label)
        out.append(label)
    problem = contract(right, left, out, sizes) if swap else contract(left, right, out, sizes)
    return ((problem, 1),)


def _matmul(node: Node, first: int = 0, second: int = 1) -> Lowered:
    swap = node.value(first).constant and not node.value(second).constant
    return _product(node, node.shape(first), node.shape(second), swap)


def _gemm(node: Node, second: int = 1) -> Lowered:
    a, b = node.shape(0, 2), node.shape(second, 2)
    a = a[::-1] if node.integer("transA", 0) else a
    b = b[::-1] if node.integer("transB", 0) else b
    return _product(node, a, b, node.value(0).constant and not node.value(second).constant)


def _fused_matmul(node: Node) -> Lowered:
    return _product(node, *fused_matmul_shapes(node), node.value(0).constant and not node.value(1).constant)


def _packed_matmul(node: Node) -> Lowered:
    """Matrix product with block-quantized weights whose sizes stand in attributes K and N."""
    a, k, n = node.shape(0), node.positive("K"), node.positive("N")
    return _product(node, a, (k, n))


def _einsum(node: Node) -> Lowered:
    """Einsum by pairs, left to right; one that contracts nothing (outer product, transpose) lowers to nothing."""
    shapes = [node.shape(slot) for slot in range(len(node.inputs))]
    terms, result = parse_einsum(node, shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            if size != sizes.setdefault(label, size) and 1 not in (size, sizes[label]):
                raise node.error(f"label '{label}' has sizes {sizes[label]} and {size}")
            sizes[label] = max(size, sizes[label]) if size else 0
    # A size of 1 that is broadcast is no index of that operand.
    operands = [
        [label for label, size in zip(term, shape, strict=True) if size == sizes[label]]
        for term, shape in zip(terms, shapes, strict=True)
    ]
    problems: list[tuple[Problem, int]] = []
    left = operands[0]
    swap = len(operands) == 2 and node.value(0).constant and not node.value(1).constant
    for index, right in enumerate(operands[1:], start=1):
        needed = set(result).union(*operands[index + 1 :])
        out = [label for label in dict.fromkeys([*left, *right]) if label in needed]
        if set(left) & set(right) - needed:
            pair = (right, left) if swap else (left, right)
            problems.append((contract(*pair, out, sizes), 1))
        left = out
    return tuple(problems)


def parse_einsum(node: Node, shapes: Sequence[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """Labels of every operand and of the result; an ellipsis becomes labels ``.0``, ``.1`` … counted from the right."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise node.error(f"equation '{equation}' has {len(terms)} operands, the operator {len(shapes)}")
    labels = []
    for term, shape in zip(terms, shapes, strict=True):
        hidden = len(shape) - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise node.error(f"equation '{equation}': '{term}' does not fit shape {list(shape)}")
        labels.append(_expand(term, hidden))
    widest = max((sum(label.startswith(".") for label in term) for term in labels), default=0)
    if arrow:
        return labels, _expand(right, widest)
    seen = [label for term in labels for label in term]
    free = sorted(label for label in set(seen) if seen.count(label) == 1 and not label.startswith("."))
    return labels, [*_expand("...", widest), *free]


def _expand(term: str, hidden: int) -> list[str]:
    before, dots, after = term.partition("...")
    ellipsis = [f".{axis}" for axis in reversed(range(hidden))] if dots else []
    return [*before, *ellipsis, *after]


# --- convolutions ---------------------------------------------------------------------


def _conv(node: Node, weights: int = 1, transposed: bool = False) -> Lowered:
    x, w = node.shape(0), node.shape(weights)
    spatial = len(x) - 2
    groups = node.integer("group", 1)
    if not 1 <= spatial <= 3 or len(w) != len(x):
        raise node.error(f"input {list(x)} with filter {list(w)}: only 1-D, 2-D and 3-D convolutions are known")
    c_in, per_group = (w[0], w[1] * groups) if transposed else (w[1] * groups, w[0])
    c_out = per_group
    if groups < 1 or x[1] != c_in or c_in % groups or c_out % groups:
        raise node.error(
            f"input {list(x)} does not fit filter {list(w)} with group={groups}: expected {c_in} input channels"
        )
    positions = x[2:] if transposed else node.output_shape()[2:]
    sizes = {"N": x[0], "C": c_in // groups, "M": c_out // groups}
    for axis, (filter_dim, position) in enumerate((("R", "P"), ("S", "Q"), ("T", "D"))[:spatial], start=1):
        sizes |= {filter_dim: w[-axis], position: positions[-axis]}
    depthwise = groups > 1 and c_in == c_out == groups
    if groups > 1:
        sizes |= {"C": groups} if depthwise else {"G": groups}
    ones = (1,) * spatial
    problem = convolution(
        sizes,
        strides=node.integers("strides", ones, least=1)[::-1],
        dilations=node.integers("dilations", ones, least=1)[::-1],
        depthwise=depthwise,
        transposed=transposed,
    )
    return ((problem, 1),)


def _deform_conv(node: Node) -> Lowered:
    """Every output position samples its own patch, so the patches are the rows of a matrix product per group."""
    x, w, y, groups = node.shape(0), node.shape(1), node.output_shape(), node.integer("group", 1)
    if len(x) < 3 or len(w) != len(x) or groups < 1 or x[1] != w[1] * groups or w[0] % groups:
        raise node.error(f"input {list(x)} does not fit filter {list(w)} with group={groups}")
    positions = x[0] * math.prod(y[2:])
    return ((matmul({"B": groups, "C": math.prod(w[1:]), "M": w[0] // groups, "P": positions}), 1),)


def _causal_conv(node: Node) -> Lowered:
    """Depthwise convolution over the past: x [batch, channels, length], weights [channels, 1, k]."""
    (n, c, length), w = node.shape(0, 3), node.shape(1, 3)
    return ((convolution({"C": c, "R": w[2], "N": n, "P": length}, strides=(1,), dilations=(1,), depthwise=True), 1),)


# --- recurrent ------------------------------------------------------------------------


def _recurrent(node: Node, gates: int, transposed: bool = False) -> Lowered:
    """Input products of all time steps at once (weights shared), state products step by step; per direction.

    Weights are [directions, gates · states, features]; ``transposed``: features come before gates · states.
    """
    x, w = node.shape(0, 3), node.shape(1, 3)
    steps, batch = (x[1], x[0]) if node.integer("layout", 0) else (x[0], x[1])
    directions, rows, features = (w[0], w[2], w[1]) if transposed else w
    if x[2] != features or rows % gates:
        raise node.error(f"input {list(x)} does not fit weights {list(w)}")
    return (
        (matmul({"C": features, "M": rows, "P": steps * batch}), directions),
        (matmul({"C": rows // gates, "M": rows, "P": batch}), directions * steps),
    )


# --- attention ------------------------------------------------------------------------


def _scores_and_values(*, heads: int, rows: int, kv: int, key: int, value: int) -> Lowered:
    """The two products of attention, queries × keys and scores × values.

    ``heads``: of keys and values, all batches together; ``rows``: queries per such head.
    Query heads that share keys and values are rows, so that these are used once.
    """
    scores = matmul({"B": heads, "P": rows, "C": key, "M": kv})
    mixed = matmul({"B": heads, "P": rows, "C": kv, "M": value})
    return (scores, 1), (mixed, 1)


def _group(node: Node, heads: int, kv_heads: int) -> int:
    if kv_heads < 1 or heads < 1 or heads % kv_heads:
        raise node.error(f"{heads} query heads cannot share {kv_heads} key/value heads")
    return heads // kv_heads


def _attention(node: Node) -> Lowered:
    """``Attention`` of ONNX 23: 4-D [batch, heads, length, size] or 3-D with the heads packed in the last axis."""
    q, k, v = node.shape(0), node.shape(1), node.shape(2)
    if len(q) == 4 and len(k) == 4 and len(v) == 4:
        heads, kv_heads = q[1], k[1]
        q_length, kv_length, key, value = q[2], k[2], q[3], v[3]
    elif len(q) == 3 and len(k) == 3 and len(v) == 3:
        heads, kv_heads = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
        _group(node, heads, kv_heads)
        q_length, kv_length, key, value = q[1], k[1], q[2] // heads, v[2] // kv_heads
    else:
        raise node.error(f"Q {list(q)}, K {list(k)}, V {list(v)}: expected all of them 3-D or 4-D")
    past = node.shape(4, 4)[2] if node.has(4) else 0
    shared = _group(node, heads, kv_heads)
    return _scores_and_values(heads=q[0] * kv_heads, rows=shared * q_length, kv=past + kv_length, key=key, value=value)


def _linear_attention(node: Node) -> Lowered:
    """``LinearAttention``: per token and head the state takes k⊗v and gives qᵀS; the delta rules read Sᵀk too."""
    q, k, v = node.shape(0, 3), node.shape(1, 3), node.shape(2, 3)
    heads, kv_heads = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    shared = _group(node, heads, kv_heads)
    key, value = k[2] // kv_heads, v[2] // kv_heads
    steps, batch = q[1], q[0] * kv_heads
    update = matmul({"B": batch, "P": key, "C": 1, "M": value})
    read = matmul({"B": batch, "P": shared, "C": key, "M": value})
    recall = matmul({"B": batch, "P": 1, "C": key, "M": value})
    delta = ((recall, steps),) if "delta" in node.text("update_rule", "gated_delta") else ()
    return ((update, steps), (read, steps), *delta)


def _projected_attention(node: Node, past: int) -> Lowered:
    """``com.microsoft.Attention`` / ``QAttention``: Q, K and V are projected by one weight, then attend.

    ``past``: slot of the past keys and values, [2, batch, heads, length, size].
    """
    (batch, length, features), weights = node.shape(0, 3), node.shape(1, 2)
    heads, packed = node.positive("num_heads"), projected_sizes(node)
    if weights[0] != features or sum(packed) != weights[1]:
        raise node.error(f"input and weights {list(weights)} do not fit num_heads={heads}, hidden sizes {list(packed)}")
    before = node.shape(past, 5)[3] if node.has(past) else 0
    projection = matmul({"C": features, "M": weights[1], "P": batch * length})
    attention = _scores_and_values(
        heads=batch * heads, rows=length, kv=before + length, key=packed[0] // heads, value=packed[2] // heads
    )
    return ((projection, 1), *attention)


def _multi_head_attention(node: Node) -> Lowered:
    """``com.microsoft.MultiHeadAttention``, whose forms `multi_head_sizes` tells apart."""
    x = multi_head_sizes(node)
    return _scores_and_values(heads=x.batch * x.heads, rows=x.length, kv=x.kv, key=x.key, value=x.value)


def _grouped_query_attention(node: Node) -> Lowered:
    """``com.microsoft.GroupQueryAttention``: K and V alike Q with fewer heads, or all three packed in Q's last axis."""
    q = node.shape(0, 3)
    heads, kv_heads = node.positive("num_heads"), node.positive("kv_num_heads")
    shared = _group(node, heads, kv_heads)
    size = q[2] // heads if node.has(1) else q[2] // (heads + 2 * kv_heads)
    new = node.shape(1, 3)[1] if node.has(1) else q[1]
    past = node.shape(3, 4)[2] if node.has(3) else 0
    total = past + new
    if node.has(6) and node.value(6).data is not None:
        total = int(node.value(6).data.reshape(-1)[0])
    return _scores_and_values(heads=q[0] * kv_heads, rows=shared * q[1], kv=total, key=size, value=size)


_CONV = Rule(_conv, (0, 1), (2,))
_MATMUL = Rule(_matmul)

RULES: Mapping[str, Rule] = {
    "Attention": Rule(_attention, (0, 1, 2)),
    "CausalConvWithState": Rule(_causal_conv, (0, 1), (2,)),
    "Conv": _CONV,
    "ConvInteger": Rule(_conv),
    "ConvTranspose": Rule(partial(_conv, transposed=True), (0, 1), (2,)),
    "DeformConv": Rule(_deform_conv, (0, 1), (3,)),
    "Einsum": Rule(_einsum, tuple(range(8))),
    "GRU": Rule(partial(_recurrent, gates=3), (0, 1, 2), (3,)),
    "Gemm": Rule(_gemm, (0, 1), (2,)),
    "LSTM": Rule(partial(_recurrent, gates=4), (0, 1, 2), (3, 7)),
    "LinearAttention": Rule(_linear_attention, (0, 1, 2)),
    "MatMul": _MATMUL,
    "MatMulInteger": _MATMUL,
    "QLinearConv": Rule(partial(_conv, weights=3), (0, 3), (8,)),
    "QLinearMatMul": Rule(partial(_matmul, second=3), (0, 3)),
    "RNN": Rule(partial(_recurrent, gates=1), (0, 1, 2), (3,)),
    "com.microsoft.Attention": Rule(partial(_projected_attention, past=4), (0, 1), (2,)),
    "com.microsoft.DynamicQuantizeLSTM": Rule(partial(_recurrent, gates=4, transposed=True), (0, 1, 2), (3, 7)),
    "com.microsoft.DynamicQuantizeMatMul": Rule(_matmul, (0, 1), (4,)),
    "com.microsoft.FusedConv": _CONV,
    "com.microsoft.FusedGemm": Rule(_gemm, (0, 1), (2,)),
    "com.microsoft.FusedMatMul": Rule(_fused_matmul),
    "com.microsoft.GroupQueryAttention": Rule(_grouped_query_attention, (0, 1, 2)),
    "com.microsoft.MatMulBnb4": Rule(_packed_matmul),
    "com.microsoft.MatMulInteger16": _MATMUL,
    "com.microsoft.MatMulIntegerToFloat": Rule(_matmul, (0, 1), (6,)),
    "com.microsoft.MatMulNBits": Rule(_packed_matmul, (0, 1), (5,)),
    "com.microsoft.MultiHeadAttention": Rule(_multi_head_attention, (0, 1, 2), (3,)),
    "com.microsoft.QAttention": Rule(partial(_projected_attention, past=8), (0, 1), (2,)),
    "com.microsoft.QGemm": Rule(partial(_gemm, second=3), (0, 3), (6,)),
    "com.microsoft.TransposeMatMul": Rule(_fused_matmul),
}
"""Operator type → rule. Domains other than ONNX's own lead with theirs."""
