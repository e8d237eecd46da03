"""Quantization of tensors, and what moves quantized ones."""

from __future__ import annotations

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType, Reads
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import UINT8


def _quantized(node: Node) -> list[Inferred]:
    return [Inferred(node.value(2).elem_type if node.has(2) else UINT8, node.value(0).shape)]


def _dequantized(node: Node) -> list[Inferred]:
    return [Inferred(node.value(1).elem_type, node.value(0).shape)]


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


def _gathered(node: Node) -> list[Inferred]:
    """Rows of a table of blocks; in bytes, several values lie side by side on the last axis."""
    table, indices = node.shape(0), node.shape(1)
    if not table or not -len(table) <= node.integer("gather_axis", 0) < len(table):
        raise node.error(f"attribute 'gather_axis' is {node.integer('gather_axis', 0)}, the table is {list(table)}")
    axis = node.integer("gather_axis", 0) % len(table)
    if node.value(0).elem_type == UINT8:
        table = (*table[:-1], table[-1] * (8 // max(1, node.integer("bits", 4))))
    return [Inferred(node.value(2).elem_type, (*table[:axis], *indices, *table[axis + 1 :]))]


OPERATORS = (
    OperatorType("com.microsoft.GatherBlockQuantized", tables=(0,), settings=(2, 3), types=_gathered, reads=Reads.PART),
    OperatorType("DequantizeLinear", settings=(1, 2), carries=True),
    OperatorType("QuantizeLinear", settings=(1, 2)),
    OperatorType("com.microsoft.DequantizeLinear", settings=(1, 2), carries=True, types=_dequantized),
    OperatorType("com.microsoft.QLinearConcat", types=_quantized_concat),
    OperatorType("com.microsoft.QuantizeLinear", settings=(1, 2), types=_quantized),
)
