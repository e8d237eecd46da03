"""Recurrent layers: LSTM, GRU, RNN."""

from __future__ import annotations

from functools import partial

from hwsim.workloads.einsum import Access, Einsum, Index, ranks
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.problem import matmul


def _recurrent(node: Node, gates: int, transposed: bool = False) -> list[Einsum]:
    """Input products of all time steps at once (weights shared), state products step by step; per direction.

    Weights are [directions, gates · states, features]; ``transposed``: features come before gates · states.
    """
    x, w = node.shape(0, 3), node.shape(1, 3)
    batch_first = bool(node.integer("layout", 0))
    steps, batch = (x[1], x[0]) if batch_first else (x[0], x[1])
    directions, rows, features = (w[0], w[2], w[1]) if transposed else w
    if x[2] != features or rows % gates:
        raise node.error(f"input {list(x)} does not fit weights {list(w)}")
    states = rows // gates
    t, n, d = Index("t", steps, "P"), Index("n", batch, "P"), Index("d", directions, "")
    m = Index("m", rows, "M")

    def weights(slot: int) -> Access:
        return Access("Weights", ranks("d", "c", "m") if transposed else ranks("d", "m", "c"), slot)

    fed = Einsum(
        matmul({"C": features, "M": rows, "P": steps * batch}),
        directions,
        (
            weights(1),
            Access("Inputs", ranks("n", "t", "c") if batch_first else ranks("t", "n", "c"), 0),
            Access("Outputs", None),
        ),
        (d, Index("c", features, "C"), t, n, m),
    )
    carried = Einsum(
        matmul({"C": states, "M": rows, "P": batch}),
        directions * steps,
        (weights(2), Access("Inputs", None), Access("Outputs", None)),
        (d, Index("t", steps, ""), Index("c", states, "C"), n, m),
    )
    return [fed, carried]


def _quantized_type(node: Node) -> list[Inferred]:
    (steps, batch, _), (directions, hidden, _) = node.shape(0, 3), node.shape(2, 3)
    elem = node.value(0).elem_type
    state = Inferred(elem, (directions, batch, hidden))
    return [Inferred(elem, (steps, directions, batch, hidden)), state, state]


OPERATORS = (
    OperatorType("GRU", partial(_recurrent, gates=3), (0, 1, 2), (1, 2, 3)),
    OperatorType("LSTM", partial(_recurrent, gates=4), (0, 1, 2), (1, 2, 3, 7)),
    OperatorType("RNN", partial(_recurrent, gates=1), (0, 1, 2), (1, 2, 3)),
    OperatorType(
        "com.microsoft.DynamicQuantizeLSTM",
        partial(_recurrent, gates=4, transposed=True),
        (0, 1, 2),
        (1, 2, 3, 7),
        types=_quantized_type,
    ),
)
