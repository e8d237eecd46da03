"""Types of results where ONNX has no schema: those of an input, or those that an ONNX operator would give."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import defs, helper

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import TypeRule
from hwsim.workloads.operators.schema import Inferred, broadcast, infer_by_schema
from hwsim.workloads.operators.value import Value

FLOAT, UINT8, INT32, INT64 = 1, 2, 6, 7  # TensorProto.DataType


def like(*slots: int, elem_type: int = 0) -> TypeRule:
    """Outputs that have type (or the one that is given) and shape of the given inputs, in turn."""
    return lambda node: [Inferred(elem_type or node.value(slot).elem_type, node.value(slot).sizes) for slot in slots]


def standard(op_type: str, slots: Sequence[int], type_from: int = 0, elem_type: int = 0) -> TypeRule:
    """The shape that an ONNX operator gives on some of the inputs; the type of one input, or a fixed one."""

    def rule(node: Node) -> list[Inferred]:
        version = max(13, defs.get_schema(op_type, "").since_version if op_type == "GridSample" else 13)
        schema = defs.get_schema(op_type, version, "")
        kept = [node.inputs[slot] if slot < len(node.inputs) else None for slot in slots]
        attributes = {k: v for k, v in node.attributes.items() if k in schema.attributes}
        names = ["" if value is None else f"input{slot}" for slot, value in enumerate(kept)]
        # The shape does not depend on the type, and the ONNX operator may not take the quantized one.
        floats = tuple(None if v is None else Value("", FLOAT, v.shape) for v in kept)
        inner = Node(op_type, node.name, floats, attributes, where=node.where)
        try:
            proto = helper.make_node(op_type, names, ["y"], **attributes)
        except (ValueError, TypeError) as error:
            raise node.error(str(error)) from error
        outputs, complaint = infer_by_schema(proto, inner, schema, {"": version})
        if complaint:
            raise node.error(complaint)
        return [Inferred(elem_type or node.value(type_from).elem_type, outputs[0].shape)]

    return rule


def broadcasting(*slots: int) -> TypeRule:
    """An elementwise result over the shapes of some inputs, with the type of the first of them."""
    return lambda node: [Inferred(node.value(slots[0]).elem_type, broadcast([node.shape(slot) for slot in slots]))]
