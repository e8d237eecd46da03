"""Shapes and small values of operators' outputs, one operator at a time.

ONNX's own inference does the work; here is what it cannot know: the values of shape
arithmetic, and what to do where operands do not fit together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workloads.onnx_node import Node
from workloads.onnx_value import SMALL

if TYPE_CHECKING:
    import onnx


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


# --- what ONNX's inference says -------------------------------------------------------


def schema_of(node: onnx.NodeProto, opsets: Mapping[str, int]) -> onnx.defs.OpSchema | None:
    """The operator's definition in the opset that the file imports; None where ONNX has none."""
    from onnx import defs

    try:
        return defs.get_schema(node.op_type, opsets.get(node.domain, 1), node.domain)
    except defs.SchemaError:
        return None


def infer_by_schema(
    proto: onnx.NodeProto, node: Node, schema: onnx.defs.OpSchema, opsets: Mapping[str, int]
) -> tuple[list[Inferred], str]:
    """Types of an operator's outputs by slot, and a complaint where its operands do not fit together."""
    from onnx import checker, helper, numpy_helper, shape_inference

    given = {n: v for n, v in zip(proto.input, node.inputs, strict=True) if v is not None}
    types = {n: v.type_proto() for n, v in given.items()}
    data = {n: numpy_helper.from_array(v.data, n) for n, v in given.items() if v.data is not None}
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    try:
        found = shape_inference.infer_node_outputs(schema, proto, types, data, opset_imports=imports)
    except checker.ValidationError as error:
        raise node.error(f"the operator is malformed: {_first_line(error)}") from error
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        return [_nearest(node), *[Inferred()] * (len(proto.output) - 1)], _first_line(error)
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


# --- operands that do not fit together ------------------------------------------------

_BROADCASTING = frozenset(
    {
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "PRelu",
        "Pow",
        "Sub",
        "Sum",
        "Where",
        "Xor",
    }
)


def _nearest(node: Node) -> Inferred:
    """The nearest shape for operands that do not fit, as happens when dimensions are left at 1: the larger sizes."""
    values = [v for v in node.inputs if v is not None]
    shapes = [v.shape for v in values if v.shape is not None]
    elem_type = values[-1].elem_type if values else 0
    if node.op == "Concat" and shapes and len({len(s) for s in shapes}) == 1:
        axis = node.integer("axis", 1)
        if -len(shapes[0]) <= axis < len(shapes[0]):
            joined: list[int | None] = [max(sizes) for sizes in zip(*shapes, strict=True)]
            joined[axis] = sum(s[axis] for s in shapes)
            return Inferred(elem_type, tuple(joined))
    if node.op in _BROADCASTING and shapes:
        return Inferred(elem_type, broadcast(shapes))
    return Inferred(elem_type)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Shape of the elementwise result; where sizes clash, the larger one."""
    rank = max(len(s) for s in shapes)
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(0 if 0 in sizes else max(sizes) for sizes in zip(*padded, strict=True))


# --- values ---------------------------------------------------------------------------

#: Operators whose results are computed where all their inputs are known and small: shape arithmetic.
_FOLDED = frozenset(
    {
        "Abs",
        "Add",
        "And",
        "Cast",
        "CastLike",
        "Ceil",
        "Compress",
        "Concat",
        "ConstantOfShape",
        "CumSum",
        "Div",
        "Equal",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "GatherElements",
        "GatherND",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "NonZero",
        "Not",
        "Or",
        "Range",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Sign",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
        "Xor",
    }
)
#: Of those, the ones whose result is no larger than their input times its rank, though its shape depends on the data.
_SHRINKING = frozenset({"Compress", "NonZero"})


def fold(proto: onnx.NodeProto, node: Node, outputs: Sequence[Inferred], opsets: Mapping[str, int]) -> list[Any]:
    """Values of an operator's outputs where its inputs are known and the outputs small, else Nones."""
    unknown = [None] * len(proto.output)
    if node.op in ("Shape", "Size"):
        return [_shape_value(node)]
    if node.op not in _FOLDED or any(v is not None and v.data is None for v in node.inputs):
        return unknown
    if node.op not in _SHRINKING and not all(_is_small(output) for output in outputs):
        return unknown
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    names = list(dict.fromkeys(n for n in proto.input if n))
    function = helper.make_function("local", "fold", names, list(proto.output), [proto], imports)
    feeds = {n: v.data for n, v in zip(proto.input, node.inputs, strict=True) if v is not None}
    try:
        return list(ReferenceEvaluator(function).run(None, feeds, attributes={}))
    except Exception:  # whatever the evaluator trips over in a stranger's file, it means: value not known
        return unknown


def _is_small(output: Inferred) -> bool:
    sizes = output.shape
    return sizes is not None and None not in sizes and 0 <= math.prod(s or 0 for s in sizes) <= SMALL


def _shape_value(node: Node) -> Any:
    import numpy as np

    shape = node.value(0).shape
    if shape is None:
        return None
    if node.op == "Size":
        return np.array(math.prod(shape), dtype=np.int64)
    return np.array(shape[node.integer("start", 0) : node.integer("end", len(shape))], dtype=np.int64)
