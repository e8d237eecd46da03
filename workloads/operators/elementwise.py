"""Elementwise operators, activations and random numbers among them."""

from __future__ import annotations

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import broadcasting, like

_BROADCASTING = (
    "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where Xor"
)
_LIKE_THE_FIRST = "BiasAdd BiasGelu BiasSoftmax FastGelu Gelu QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuickGelu"
_OLD = "Affine ImageScaler ParametricSoftplus Scale ScaledTanh"
_RANDOM = "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike"


def _halved(node: Node) -> list[Inferred]:
    """One half of the last axis gates the other."""
    *lead, last = node.shape(0)
    return [Inferred(node.value(0).elem_type, (*lead, last // 2))]


OPERATORS = (
    *(OperatorType(name, broadcasts=True) for name in _BROADCASTING.split()),
    *(OperatorType(name, random=True) for name in _RANDOM.split()),
    OperatorType("Clip", settings=(1, 2)),
    OperatorType("PRelu", parameters=(1,), broadcasts=True),
    *(OperatorType(f"com.microsoft.{name}", types=like(0)) for name in _LIKE_THE_FIRST.split()),
    OperatorType("com.microsoft.QLinearAdd", types=broadcasting(0, 3)),
    OperatorType("com.microsoft.QLinearMul", types=broadcasting(0, 3)),
    OperatorType("com.microsoft.QLinearWhere", types=broadcasting(1, 0, 4)),
    OperatorType("com.microsoft.RotaryEmbedding", types=like(0)),
    OperatorType("com.microsoft.BiasSplitGelu", types=_halved),
    OperatorType("com.microsoft.NGramRepeatBlock", types=like(1)),
    # ONNX Runtime's, although in ONNX's domain
    *(OperatorType(name, types=like(0)) for name in _OLD.split()),
)
