"""Mixtures of experts, as ONNX Runtime fuses them: each token goes through the few experts that a router picks."""

from __future__ import annotations

from functools import partial
from math import prod

from hwsim.workloads.einsum import Access, Einsum
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.standard import like
from hwsim.workloads.problem import matmul


def _experts(node: Node, weights: tuple[int, int, int], bits: str = "") -> list[Einsum]:
    """Two or three products of every token with each of its ``k`` experts, tokens spread evenly over the experts.

    Args:
        node: the operator.
        weights: slots of the products' weights, [experts, rows, columns]; the second one's gives the hidden size back.
        bits: attribute that says how many bits of a byte one weight takes, where they are packed.
    """
    x = node.shape(0, 2, 3)
    hidden, tokens = x[-1], prod(x[:-1])
    packing = 8 // (node.integer(bits, 4) or 8) if bits else 1
    out = []
    for place, slot in enumerate(weights):
        if not node.has(slot):
            continue
        experts, *matrix = node.shape(slot, 3)
        inner, rest = divmod(prod(matrix) * packing, hidden or 1)
        if rest or not inner or not experts:
            raise node.error(f"weights {list(node.shape(slot))} do not fit the hidden size {hidden}")
        columns, rows = (hidden, inner) if place == 1 else (inner, hidden)
        each = tokens * min(node.integer("k", 1), experts)
        active = min(experts, each)
        even, more = divmod(each, active) if active else (0, 0)
        access = (Access("Weights", None, slot), Access("Inputs", None), Access("Outputs", None))
        for size, count in ((even, active - more), (even + 1, more)):
            if size and count:
                out.append(Einsum(matmul({"P": size, "C": rows, "M": columns}), count, access))
    return out


def _spread(node: Node) -> str:
    return f"its tokens are counted as spread evenly over its experts, {node.integer('k', 1)} for each token"


OPERATORS = (
    OperatorType(
        "com.microsoft.MoE", partial(_experts, weights=(2, 4, 6)), (0, 2, 4, 6), types=like(0), remark=_spread
    ),
    OperatorType(
        "com.microsoft.QMoE",
        partial(_experts, weights=(2, 5, 8), bits="expert_weight_bits"),
        (0, 2, 5, 8),
        settings=(3, 6, 9),
        types=like(0),
        remark=_spread,
    ),
)
