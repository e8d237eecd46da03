"""Which of a model's values are parameters, and how many there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx
from onnx import TensorProto

from hwsim.workloads.onnx.graph import type_name
from hwsim.workloads.operators.table import operator_type
from hwsim.workloads.workload import Operator, Tensor

#: Element types of parameters, and those that only biases of quantized operators have.
_TYPES = ("FLOAT", "DOUBLE", "BFLOAT", "INT8", "UINT8", "INT4", "UINT4", "INT2", "UINT2")
_BIAS_TYPES = frozenset({"INT16", "INT32", "UINT16"})


def weight_inputs(graph: onnx.GraphProto, fed: Sequence[onnx.ValueInfoProto]) -> list[str]:
    """Graph inputs that are weights: used for nothing else, directly or rearranged.

    Exporters that leave the weights out of the file write them as inputs. The second
    operand of a MatMul, or the table of a Gather, may be an activation as well; it is
    taken as a weight where it is a matrix of fixed size.
    """
    uses: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for slot, name in enumerate(node.input):
            uses.setdefault(name, []).append((node, slot))
    outputs = {o.name for o in graph.output}

    def only_weight(info: onnx.ValueInfoProto) -> bool:
        names, fixed_matrix = [info.name], _is_fixed_matrix(info)
        for name in names:  # grows by what carriers make of it
            if name in outputs or name not in uses or len(names) > 64:
                return False
            for node, slot in uses[name]:
                if operator_type(type_name(node)).carries and slot == 0 and len(node.output) == 1:
                    names.append(node.output[0])
                elif not _is_weight_slot(node, slot, fixed_matrix):
                    return False
        return True

    return [info.name for info in fed if only_weight(info)]


def _is_fixed_matrix(info: onnx.ValueInfoProto) -> bool:
    """Whether an input is a matrix of fixed size, of numbers that parameters have."""
    dims, kind = info.type.tensor_type.shape.dim, info.type.tensor_type.elem_type
    if kind not in TensorProto.DataType.values() or not TensorProto.DataType.Name(kind).startswith(
        _TYPES
    ):  # indices and masks are no parameters
        return False
    return len(dims) == 2 and all(d.dim_value > 0 for d in dims)


def _is_weight_slot(node: onnx.NodeProto, slot: int, fixed_matrix: bool) -> bool:
    known = operator_type(type_name(node))
    return slot in known.parameters or (fixed_matrix and slot in known.tables)


def count_parameters(
    operators: Iterable[Operator],
    tensors: Mapping[str, Tensor],
    elem_types: Mapping[str, int],
    slots: Mapping[str, tuple[int, ...]],
) -> tuple[int, int]:
    """Elements and bytes of the distinct constants that the running operators use as parameters.

    Followed back through constant operators to where the file holds them. Counted are
    floating-point and narrow integer constants; not counted are shapes, indices and
    masks, quantization scales, and single numbers that only unmapped operators read
    (the 0.5 of a GELU).

    ``slots``: operator → slots of its inputs, where one before them is left out.
    """
    operators = list(operators)
    producers = {output: op for op in operators for output in op.outputs}
    # (tensor, whether a mapped or dequantizing operator reads it), each followed back once
    pending = [
        (name, op.mapped)
        for op in operators
        if any(not tensors[o].constant for o in op.outputs)
        for name in _parameter_inputs(op, slots)
    ]
    seen = set(pending)
    found: dict[str, Tensor] = {}
    while pending:
        name, of_mapped = pending.pop()
        if not tensors[name].constant:
            continue
        producer = producers.get(name)
        if producer is None or not producer.inputs or producer.op == "ConstantOfShape":
            if _is_parameter(tensors[name], elem_types[name], of_mapped):
                found[name] = tensors[name]
            continue
        mark = of_mapped or producer.op == "DequantizeLinear"
        sources = {(source, mark) for source in _parameter_inputs(producer, slots)} - seen
        seen |= sources
        pending += sources
    return sum(t.elements for t in found.values()), sum(t.bytes for t in found.values())


def _is_parameter(tensor: Tensor, elem_type: int, of_mapped: bool) -> bool:
    kind = TensorProto.DataType.Name(elem_type) if elem_type in TensorProto.DataType.values() else ""
    if of_mapped:
        return kind.startswith(_TYPES) or kind in _BIAS_TYPES
    return kind.startswith(_TYPES) and tensor.elements > 1


def _parameter_inputs(op: Operator, slots: Mapping[str, tuple[int, ...]]) -> list[str]:
    skipped = operator_type(op.type).settings
    places = slots.get(op.name) or range(len(op.inputs))
    return [name for slot, name in zip(places, op.inputs, strict=True) if slot not in skipped]
