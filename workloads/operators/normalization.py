"""Normalizations."""

from __future__ import annotations

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import FLOAT, INT32, like


def _skip_norm(node: Node) -> list[Inferred]:
    x = node.value(0)
    statistics = Inferred(FLOAT, None if x.shape is None else (*x.shape[:-1], 1))
    return [Inferred(x.elem_type, x.shape), statistics, statistics, Inferred(x.elem_type, x.shape)]


def _layer_norm(node: Node) -> list[Inferred]:
    shape, axis = node.shape(0), node.integer("axis", -1)
    statistics = Inferred(FLOAT, tuple(1 if i >= axis % max(1, len(shape)) else n for i, n in enumerate(shape)))
    return [Inferred(node.value(0).elem_type, shape), statistics, statistics]


def _embed_norm(node: Node) -> list[Inferred]:
    batch, length = node.shape(0, 2)
    table = node.value(2)
    embedded = Inferred(table.elem_type, (batch, length, node.shape(2, 2)[1]))
    return [embedded, Inferred(INT32, (batch,)), embedded]


OPERATORS = (
    OperatorType("BatchNormalization", parameters=(1, 2, 3, 4)),
    OperatorType("GroupNormalization", parameters=(1, 2)),
    OperatorType("InstanceNormalization", parameters=(1, 2)),
    OperatorType("LayerNormalization", parameters=(1, 2), types=_layer_norm),  # ONNX Runtime has it in every opset
    OperatorType("RMSNormalization", parameters=(1,)),
    OperatorType("SimplifiedLayerNormalization", types=like(0)),  # ONNX Runtime's, although in ONNX's domain
    OperatorType("com.microsoft.EmbedLayerNormalization", types=_embed_norm),
    OperatorType("com.microsoft.GroupNorm", types=like(0)),
    OperatorType("com.microsoft.SkipGroupNorm", types=like(0)),
    OperatorType("com.microsoft.SkipLayerNormalization", types=_skip_norm),
    OperatorType("com.microsoft.SkipSimplifiedLayerNormalization", types=_skip_norm),
)
