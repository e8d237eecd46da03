"""Attention in all its forms: ONNX's, and ONNX Runtime's with projections, caches and heads packed in many ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hwsim.workloads.einsum import Access, Einsum, Index, Rank, contract, ranks
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import like
from hwsim.workloads.problem import matmul

# --- as problems ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Heads:
    """Sizes of an attention: batch, heads of keys and values, query heads of each, queries, keys, a head's parts."""

    batch: int
    heads: int
    shared: int
    length: int
    kv: int
    key: int
    value: int


def _scores_and_values(
    x: _Heads, query: Access, keys: Sequence[Access], values: Sequence[Access], out: Access
) -> list[Einsum]:
    """The two products of attention, queries × keys and scores × values.

    Query heads that share keys and values are rows, so that these are used once. Indices: n batch, h head of keys,
    g query head of it, q query, k key, d part of the key, v part of the value.
    """
    n, h = Index("n", x.batch, "B"), Index("h", x.heads, "B")
    g, q = Index("g", x.shared, "P"), Index("q", x.length, "P")
    batch, rows = x.batch * x.heads, x.shared * x.length
    return [
        Einsum(
            matmul({"B": batch, "P": rows, "C": x.key, "M": x.kv}),
            1,
            (*keys, query, Access("Outputs", ranks("n", "h", "g", "q", "k"))),
            (n, h, g, q, Index("d", x.key, "C"), Index("k", x.kv, "M")),
        ),
        Einsum(
            matmul({"B": batch, "P": rows, "C": x.kv, "M": x.value}),
            1,
            (*values, Access("Inputs", ranks("n", "h", "g", "q", "k")), out),
            (n, h, g, q, Index("k", x.kv, "C"), Index("v", x.value, "M")),
        ),
    ]


def _query_head(x: _Heads, part: str = "", size: int = 0, skip: int = 0) -> Rank:
    """An axis of query heads; with a part, one of all heads' parts side by side, after ``skip`` others."""
    scale = size if part else 1
    terms = ((x.shared * scale, "h"), (scale, "g"), *(((1, part),) if part else ()))
    return Rank(terms, -skip)


def _kv_head(part: str, size: int, skip: int = 0) -> Rank:
    return Rank(((size, "h"), (1, part)), -skip)


def _group(node: Node, heads: int, kv_heads: int) -> int:
    if kv_heads < 1 or heads < 1 or heads % kv_heads:
        raise node.error(f"{heads} query heads cannot share {kv_heads} key/value heads")
    return heads // kv_heads


def _new(past: int) -> Rank:
    """The axis of the new keys: those of the past come first."""
    return Rank(((1, "k"),), past)


def _cached(node: Node, keys: int, values: int) -> tuple[tuple[Access, ...], tuple[Access, ...]]:
    """Past keys and values, [batch, heads, length, size], where they are given."""
    held = [
        (Access("Weights", ranks("n", "h", "k", part), slot),) if node.has(slot) else ()
        for slot, part in ((keys, "d"), (values, "v"))
    ]
    return held[0], held[1]


def _attention(node: Node) -> list[Einsum]:
    """``Attention`` of ONNX 23: 4-D [batch, heads, length, size] or 3-D with the heads packed in the last axis."""
    q, k, v = node.shape(0), node.shape(1), node.shape(2)
    by_head = len(q) == len(k) == len(v) == 4
    past = node.shape(4, 4)[2] if node.has(4) else 0
    if by_head:
        heads, kv_heads = q[1], k[1]
        x = _Heads(q[0], kv_heads, _group(node, heads, kv_heads), q[2], past + k[2], q[3], v[3])
    elif len(q) == len(k) == len(v) == 3:
        heads, kv_heads = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
        shared = _group(node, heads, kv_heads)
        x = _Heads(q[0], kv_heads, shared, q[1], past + k[1], q[2] // heads, v[2] // kv_heads)
    else:
        raise node.error(f"Q {list(q)}, K {list(k)}, V {list(v)}: expected all of them 3-D or 4-D")
    n, queries, keys = Rank(((1, "n"),)), Rank(((1, "q"),)), _new(past)
    query: tuple[Rank, ...]
    key: tuple[Rank, ...]
    value: tuple[Rank, ...]
    out: tuple[Rank, ...]
    if by_head:
        h, head = Rank(((1, "h"),)), _query_head(x)
        query = (n, head, queries, Rank(((1, "d"),)))
        key, value = (n, h, keys, Rank(((1, "d"),))), (n, h, keys, Rank(((1, "v"),)))
        out = (n, head, queries, Rank(((1, "v"),)))
    else:
        query, key = (n, queries, _query_head(x, "d", x.key)), (n, keys, _kv_head("d", x.key))
        value, out = (n, keys, _kv_head("v", x.value)), (n, queries, _query_head(x, "v", x.value))
    past_keys, past_values = _cached(node, 4, 5)
    return _scores_and_values(
        x,
        Access("Inputs", query, 0),
        (Access("Weights", key, 1), *past_keys),
        (Access("Weights", value, 2), *past_values),
        Access("Outputs", out, ~0),
    )


def _linear_attention(node: Node) -> list[Einsum]:
    """``LinearAttention``: per token and head the state takes k⊗v and gives qᵀS; the delta rules read Sᵀk too."""
    q, k, v = node.shape(0, 3), node.shape(1, 3), node.shape(2, 3)
    heads, kv_heads = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    shared = _group(node, heads, kv_heads)
    key, value = k[2] // kv_heads, v[2] // kv_heads
    steps, batch = q[1], q[0] * kv_heads
    update = matmul({"B": batch, "P": key, "C": 1, "M": value})
    read = matmul({"B": batch, "P": shared, "C": key, "M": value})
    recall = matmul({"B": batch, "P": 1, "C": key, "M": value})
    delta = [Einsum(recall, steps)] if "delta" in node.text("update_rule", "gated_delta") else []
    return [Einsum(update, steps), Einsum(read, steps), *delta]


def _projected_attention(node: Node, past: int) -> list[Einsum]:
    """``com.microsoft.Attention`` / ``QAttention``: Q, K and V are projected by one weight, then attend.

    ``past``: slot of the past keys and values, [2, batch, heads, length, size].
    """
    (batch, length, features), weights = node.shape(0, 3), node.shape(1, 2)
    heads, packed = node.positive("num_heads"), projected_sizes(node)
    if weights[0] != features or sum(packed) != weights[1]:
        raise node.error(f"input and weights {list(weights)} do not fit num_heads={heads}, hidden sizes {list(packed)}")
    before = node.shape(past, 5)[3] if node.has(past) else 0
    projection = Einsum(
        matmul({"C": features, "M": weights[1], "P": batch * length}),
        1,
        (
            Access("Weights", ranks("c", "m"), 1),
            Access("Inputs", ranks("n", "q", "c"), 0),
            Access("Outputs", ranks("n", "q", "m")),
        ),
        (Index("c", features, "C"), Index("m", weights[1], "M"), Index("n", batch, "P"), Index("q", length, "P")),
    )
    x = _Heads(batch, heads, 1, length, before + length, packed[0] // heads, packed[2] // heads)
    n, queries, keys = Rank(((1, "n"),)), Rank(((1, "q"),)), _new(before)
    held = [
        (Access("Weights", (Rank((), -place), *ranks("n", "h", "k", part)), past),) if before else ()
        for place, part in enumerate("dv")
    ]
    attention = _scores_and_values(
        x,
        Access("Inputs", (n, queries, _query_head(x, "d", x.key))),
        (Access("Weights", (n, keys, _kv_head("d", x.key, packed[0]))), *held[0]),
        (Access("Weights", (n, keys, _kv_head("v", x.value, packed[0] + packed[1]))), *held[1]),
        Access("Outputs", (n, queries, _query_head(x, "v", x.value)), ~0),
    )
    return [projection, *attention]


def _multi_head_sizes(node: Node) -> _Heads:
    """Sizes of ``com.microsoft.MultiHeadAttention``.

    Q is [batch, length, width]; K and V are alike, or 4-D by heads, or packed in K as
    [batch, length, heads, 2, size]; or all three are packed in Q as [… , heads, 3, size].
    """
    q, heads = node.shape(0, 3, 5), node.positive("num_heads")
    past = node.shape(6, 4)[2] if node.has(6) else 0
    if len(q) == 5:
        return _Heads(q[0], heads, 1, q[1], past + q[1], q[4], q[4])
    k = node.shape(1, 3, 4, 5)
    v = node.shape(2, 3, 4) if node.has(2) else k
    value = v[-1] if len(v) > 3 else v[2] // heads
    return _Heads(q[0], heads, 1, q[1], past + (k[2] if len(k) == 4 else k[1]), q[2] // heads, value)


def _multi_head_attention(node: Node) -> list[Einsum]:
    """``com.microsoft.MultiHeadAttention``, whose forms `_multi_head_sizes` tells apart."""
    x = _multi_head_sizes(node)
    past = node.shape(6, 4)[2] if node.has(6) else 0
    n, queries, keys = Rank(((1, "n"),)), Rank(((1, "q"),)), _new(past)

    def operand(slot: int, place: int, part: str, size: int) -> Access:
        length = queries if slot == 0 and place == 0 else keys
        axes = len(node.shape(slot))
        if axes == 5:
            held: tuple[Rank, ...] = (n, length, *ranks("h"), Rank((), -place), *ranks(part))
        elif axes == 4:
            held = (n, *ranks("h"), length, *ranks(part))
        else:
            held = (n, length, _kv_head(part, size))
        return Access("Weights" if place else "Inputs", held, slot)

    packed = len(node.shape(0)) == 5
    keyed, valued = (0, 0) if packed else (1, 2 if node.has(2) else 1)
    key, value = operand(keyed, 1 if packed else 0, "d", x.key), operand(valued, 2 if packed else 1, "v", x.value)
    past_keys, past_values = _cached(node, 6, 7)
    return _scores_and_values(
        x,
        operand(0, 0, "d", x.key),
        (Access("Weights", key.ranks, keyed), *past_keys),
        (Access("Weights", value.ranks, valued), *past_values),
        Access("Outputs", (n, queries, _query_head(x, "v", x.value)), ~0),
    )


def _grouped_query_attention(node: Node) -> list[Einsum]:
    """``com.microsoft.GroupQueryAttention``: K and V alike Q with fewer heads, or all three packed in Q's last axis."""
    q = node.shape(0, 3)
    heads, kv_heads = node.positive("num_heads"), node.positive("kv_num_heads")
    shared, packed = _group(node, heads, kv_heads), not node.has(1)
    size = q[2] // (heads + 2 * kv_heads) if packed else q[2] // heads
    new = q[1] if packed else node.shape(1, 3)[1]
    total = (node.shape(3, 4)[2] if node.has(3) else 0) + new
    if node.has(6) and node.value(6).data is not None:
        total = int(node.value(6).data.reshape(-1)[0])
    x = _Heads(q[0], kv_heads, shared, q[1], total, size, size)
    n, queries, keys = Rank(((1, "n"),)), Rank(((1, "q"),)), _new(total - new)
    past_keys, past_values = _cached(node, 3, 4)
    key, value = _kv_head("d", size, heads * size * packed), _kv_head("v", size, (heads + kv_heads) * size * packed)
    return _scores_and_values(
        x,
        Access("Inputs", (n, queries, _query_head(x, "d", size)), 0),
        (Access("Weights", (n, keys, key), 0 if packed else 1), *past_keys),
        (Access("Weights", (n, keys, value), 0 if packed else 2), *past_values),
        Access("Outputs", (n, queries, _query_head(x, "v", size)), ~0),
    )


def _plain_attention(batch: int, heads: int, shared: int, rows: int, kv: int, size: int, value: int) -> list[Einsum]:
    """The two products where the tensors' axes are not told (packed tokens, shared buffers)."""
    scores = matmul({"B": batch * heads, "P": shared * rows, "C": size, "M": kv})
    mixed = matmul({"B": batch * heads, "P": shared * rows, "C": kv, "M": value})
    return [Einsum(scores), Einsum(mixed)]


def _sequences(node: Node, slot: int, tokens: int, heads: int, size: int, value: int) -> list[Einsum]:
    """Attention within sequences that lie in a row without padding; the token offset tells how many there are."""
    sequences = node.shape(slot, 2)[0] or 1
    even, more = divmod(tokens, sequences)
    one = _plain_attention(sequences - more, heads, 1, even, even, size, value)
    return [*one, *_plain_attention(more, heads, 1, even + 1, even + 1, size, value)]


def _packed_attention(node: Node) -> list[Einsum]:
    """``com.microsoft.PackedAttention``: [tokens, features] of several sequences, projected by one weight."""
    (tokens, features), weights = node.shape(0, 2), node.shape(1, 2)
    heads, packed = node.positive("num_heads"), projected_sizes(node)
    if weights[0] != features or sum(packed) != weights[1]:
        raise node.error(f"input and weights {list(weights)} do not fit num_heads={heads}, hidden sizes {list(packed)}")
    sizes = {"t": tokens, "c": features, "m": weights[1]}
    operands = (Access("", ranks("t", "c"), 0), Access("", ranks("c", "m"), 1), Access("", ranks("t", "m")))
    projection = contract(*operands, sizes)
    return [projection, *_sequences(node, 3, tokens, heads, packed[0] // heads, packed[2] // heads)]


def _packed_multi_head(node: Node) -> list[Einsum]:
    """``com.microsoft.PackedMultiHeadAttention``: [tokens, width] three times, or [tokens, heads, 3, size]."""
    q, heads = node.shape(0, 2, 4), node.positive("num_heads")
    size = q[3] if len(q) == 4 else q[1] // heads
    value = node.shape(2, 2)[1] // heads if node.has(2) else size
    return _sequences(node, 4, q[0], heads, size, value)


def _even(node: Node) -> str:
    return "its tokens are counted as spread evenly over its sequences"


def _decoder_attention(node: Node) -> list[Einsum]:
    """``com.microsoft.DecoderMaskedMultiHeadAttention``: one step; where a buffer is shared, all of it is read."""
    (batch, length, width), heads = node.shape(0, 3), node.positive("num_heads")
    past = node.shape(5, 4)[2] if node.has(5) else 0
    shared = node.has(5) and node.integer("past_present_share_buffer", 0)
    keys = node.shape(1, 3, 4) if node.has(1) else ()
    new = 0 if shared else keys[-2] if keys else length
    value = node.shape(2, 3, 4) if node.has(2) else ()
    each = value[-1] // (1 if len(value) == 4 else heads) if value else width // heads
    return _plain_attention(batch, heads, 1, length, past + new, width // heads, each)


def _sparse_attention(node: Node) -> list[Einsum]:
    """``com.microsoft.SparseAttention``: over the whole cache; which blocks the layout leaves out is not looked at."""
    q, past = node.shape(0, 3), node.shape(3, 4)
    heads, kv_heads = node.positive("num_heads"), node.positive("kv_num_heads")
    shared = _group(node, heads, kv_heads)
    total = node.value(7).data if node.has(7) else None
    kv = past[2] if total is None else min(past[2], int(total.reshape(-1)[0]))
    return _plain_attention(q[0], kv_heads, shared, q[1], max(kv, q[1]), past[3], past[3])


def _gated_bias(node: Node) -> list[Einsum]:
    """``com.microsoft.GatedRelativePositionBias``: every query head's part times a small matrix of gates."""
    (batch, length, width), (rows, gates) = node.shape(0, 3), node.shape(3, 2)
    heads = node.positive("num_heads")
    if width != heads * rows:
        raise node.error(f"queries of {width} do not fit {heads} heads of {rows}")
    sizes = {"n": batch, "q": length, "h": heads, "d": rows, "e": gates}
    query = Access("", (*ranks("n", "q"), Rank(((rows, "h"), (1, "d")))), 0)
    return [contract(query, Access("", ranks("d", "e"), 3), Access("", ranks("n", "h", "q", "e")), sizes)]


# --- types ----------------------------------------------------------------------------


def _packed_type(node: Node) -> list[Inferred]:
    return [Inferred(node.value(0).elem_type, (node.shape(0, 2)[0], projected_sizes(node)[2]))]


def _packed_multi_head_type(node: Node) -> list[Inferred]:
    q = node.shape(0, 2, 4)
    width = node.shape(2, 2)[1] if node.has(2) else q[1] * q[-1] if len(q) == 4 else q[1]
    return [Inferred(node.value(0).elem_type, (q[0], width))]


def _decoder_type(node: Node) -> list[Inferred]:
    q, elem = node.shape(0, 3), node.value(0).elem_type
    if not node.has(5):
        return [Inferred(elem, q)]
    grown = 0 if node.integer("past_present_share_buffer", 0) else q[1]
    past = [node.shape(slot, 4) for slot in (5, 6)]
    caches = [Inferred(elem, (*shape[:2], shape[2] + grown, shape[3])) for shape in past]
    return [Inferred(elem, (*q[:2], past[1][1] * past[1][3])), *caches]


def _gated_type(node: Node) -> list[Inferred]:
    batch, length, _ = node.shape(0, 3)
    return [Inferred(node.value(0).elem_type, (batch, node.positive("num_heads"), length, length))]


def _projected_type(node: Node, past: int, type_from: int) -> list[Inferred]:
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


def _multi_head_type(node: Node) -> list[Inferred]:
    x, elem = _multi_head_sizes(node), node.value(0).elem_type
    return [
        Inferred(elem, (x.batch, x.length, x.heads * x.value)),
        Inferred(elem, (x.batch, x.heads, x.kv, x.key)),
        Inferred(elem, (x.batch, x.heads, x.kv, x.value)),
    ]


def _grouped_query_type(node: Node) -> list[Inferred]:
    batch, length, width = node.shape(0, 3)
    heads, kv_heads = node.positive("num_heads"), node.positive("kv_num_heads")
    size = width // (heads if node.has(1) else heads + 2 * kv_heads)
    elem = node.value(0).elem_type
    total = length + (node.shape(3, 4)[2] if node.has(3) else 0)
    cache = Inferred(elem, (batch, kv_heads, total, size))
    return [Inferred(elem, (batch, length, heads * size)), cache, cache]


OPERATORS = (
    OperatorType("Attention", _attention, (0, 1, 2)),
    OperatorType("LinearAttention", _linear_attention, (0, 1, 2)),
    OperatorType("ai.onnx.preview.FlexAttention", _attention, (0, 1, 2)),
    OperatorType(
        "com.microsoft.Attention",
        partial(_projected_attention, past=4),
        (0, 1),
        types=partial(_projected_type, past=4, type_from=0),
    ),
    OperatorType("com.microsoft.GroupQueryAttention", _grouped_query_attention, (0, 1, 2), types=_grouped_query_type),
    OperatorType("com.microsoft.DecoderMaskedMultiHeadAttention", _decoder_attention, (0, 1, 2), types=_decoder_type),
    OperatorType("com.microsoft.GatedRelativePositionBias", _gated_bias, (0, 3), (1, 3, 4), types=_gated_type),
    OperatorType("com.microsoft.MultiHeadAttention", _multi_head_attention, (0, 1, 2), types=_multi_head_type),
    OperatorType("com.microsoft.PackedAttention", _packed_attention, (0, 1), types=_packed_type, remark=_even),
    OperatorType(
        "com.microsoft.PackedMultiHeadAttention",
        _packed_multi_head,
        (0, 1, 2),
        types=_packed_multi_head_type,
        remark=_even,
    ),
    OperatorType(
        "com.microsoft.SparseAttention",
        _sparse_attention,
        (0, 1, 2),
        types=like(0, 3, 4),
        remark=lambda node: "counted over the whole cache: the blocks that its layout leaves out are not looked at",
    ),
    OperatorType(
        "com.microsoft.QAttention",
        partial(_projected_attention, past=8),
        (0, 1),
        settings=(3, 4, 5, 6, 7),
        types=partial(_projected_type, past=8, type_from=3),
    ),
)
