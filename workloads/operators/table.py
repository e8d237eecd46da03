"""All known types of operators by name. A new one stands in its family's file; a new family's file stands here."""

from __future__ import annotations

from hwsim.workloads.operators import (
    attention,
    classical,
    convolution,
    einsum,
    elementwise,
    experts,
    matmul,
    moving,
    normalization,
    pooling,
    quantization,
    recurrent,
    spectral,
)
from hwsim.workloads.operators.execution import Call, Contraction
from hwsim.workloads.operators.operator import OperatorType

FAMILIES = (
    attention,
    classical,
    convolution,
    einsum,
    elementwise,
    experts,
    matmul,
    moving,
    normalization,
    pooling,
    quantization,
    recurrent,
    spectral,
)

OPERATORS: dict[str, OperatorType] = {each.name: each for family in FAMILIES for each in family.OPERATORS}


def operator_type(name: str) -> OperatorType:
    """What is known of a type; nothing but its name where it stands in no family's file."""
    return OPERATORS.get(name) or OperatorType(name)


def contraction(call: Call) -> Contraction | None:
    """What the array simulator computes for an operator; None where it computes none, or not this form."""
    execute = operator_type(call.op).execute
    return None if execute is None else execute(call)


#: Operators that the array simulator computes.
EXECUTED = tuple(each.name for each in OPERATORS.values() if each.execute is not None)
