"""Types of an operator's outputs, as ONNX's own inference gives them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import checker, defs, helper, numpy_helper, shape_inference

from hwsim.workloads.operators.node import Node


@dataclass(frozen=True)
class Inferred:
    """What is known of one output.

    Attributes:
        elem_type: ``TensorProto.DataType``; 0 where it is not known.
        shape: sizes, None where one depends on the data; None where not even the rank is known.
        container: its type where it is a sequence, optional or map.
    """

    elem_type: int = 0
    shape: tuple[int | None, ...] | None = None
    container: onnx.TypeProto | None = None


#: Einsum's equation; on others ONNX's inference may go round for ever.
_TERM = r"[A-Za-z ]*(\.\.\.[A-Za-z ]*)?"
_EQUATION = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?")


def schema_of(node: onnx.NodeProto, opsets: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """The operator's definition in the opset that the file imports; None where ONNX has none."""
    return _schema(node.op_type, opsets.get(node.domain, 1), node.domain)


@functools.cache
def _schema(op_type: str, version: int, domain: str) -> onnx.defs.OpSchema | None:
    try:
        return defs.get_schema(op_type, version, domain)
    except (defs.SchemaError, TypeError):  # no such operator; an opset that no number in ONNX can be
        return None


def infer_by_schema(
    proto: onnx.NodeProto, node: Node, schema: onnx.defs.OpSchema, opsets: Mapping[str, int]
) -> tuple[list[Inferred], str]:
    """Types of an operator's outputs by slot; none, and a complaint, where its operands do not fit together."""
    if node.op == "Einsum" and not _EQUATION.fullmatch(node.text("equation", "")):
        raise node.error("the equation is none: expected letters, '...', ',' and '->', such as 'ab,bc->ac'")
    given = {n: v for n, v in zip(proto.input, node.inputs, strict=True) if v is not None}
    types = {n: v.type_proto() for n, v in given.items()}
    # arrays alone: an operator on strings or none of the evaluator's types leaves what ONNX cannot write
    data = {n: numpy_helper.from_array(v.data, n) for n, v in given.items() if v.data is not None}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        found = shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=imports)
    except checker.ValidationError as error:
        raise node.error(f"the operator is malformed: {_first_line(error)}") from error
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        return [], _first_line(error)
    return [_inferred(found[name]) if name in found else Inferred() for name in proto.output], ""


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _inferred(proto: onnx.TypeProto) -> Inferred:
    kind = proto.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return Inferred(container=proto)
    tensor = getattr(proto, kind)
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    return Inferred(tensor.elem_type, shape)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of the elementwise result; where sizes clash, the larger one."""
    rank = max(len(s) for s in shapes)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(0 if 0 in sizes else max(sizes) for sizes in zip(*padded, strict=True))
