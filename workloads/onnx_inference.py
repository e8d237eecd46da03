"""Shapes and small values of operators' outputs, one operator at a time.

ONNX's own inference does the work; here is what it cannot know: the values of shape
arithmetic, and what to do where operands do not fit together.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import checker, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from hwsim.workloads.onnx_node import Node
from hwsim.workloads.onnx_value import SMALL, Sizes, Value


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


# --- what ONNX's inference says -------------------------------------------------------


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
    """Types of an operator's outputs by slot, and a complaint where its operands do not fit together."""
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


def refine(node: Node, inferred: Sequence[Inferred]) -> list[Inferred]:
    """Sizes that ONNX's inference leaves open because only some elements of a list of sizes are known."""
    slot, rule = _SIZED_BY.get(node.op, (0, None))
    if rule is None or not inferred or not node.has(slot):
        return list(inferred)
    first, *others = inferred
    if first.shape is None or None in first.shape:
        parts = known_parts(node.value(slot))
        sizes = None if parts is None else rule(node, parts)
        if sizes is not None and first.shape is not None and len(first.shape) == len(sizes):
            sizes = tuple(a if a is not None else b for a, b in zip(first.shape, sizes, strict=True))
        if sizes is not None:
            first = replace(first, shape=sizes)
    if node.op == "Reshape" and first.shape is not None and first.shape.count(None) == 1:
        first = replace(first, shape=_solved(first.shape, node.value(0)))
    return [first, *others]


def _reshaped(node: Node, parts: Sizes) -> Sizes:
    before, copies = node.value(0).sizes or (), not node.integer("allowzero", 0)
    old = [*before[: len(parts)], *[None] * (len(parts) - len(before))]
    return tuple(
        None if part is None or part < 0 else kept if part == 0 and copies else part
        for part, kept in zip(parts, old, strict=True)
    )


def _expanded(node: Node, parts: Sizes) -> Sizes | None:
    before = node.value(0).sizes
    if before is None:
        return None
    rank = max(len(before), len(parts))
    old, new = ([*[1] * (rank - len(x)), *x] for x in (before, parts))
    # a size of the input that is not known is 1 or the one that is asked for, where that is more than 1
    return tuple(b if a == 1 or (a is None and b is not None and b > 1) else a for a, b in zip(old, new, strict=True))


def _resized(node: Node, parts: Sizes) -> Sizes | None:
    before = node.value(0).sizes
    axes = node.integers("axes", tuple(range(len(parts))))
    if before is None or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    sizes = list(before)
    for axis, part in zip(axes, parts, strict=True):
        if not -len(before) <= axis < len(before):
            return None
        sizes[axis] = part
    return tuple(sizes)


def _tiled(node: Node, parts: Sizes) -> Sizes | None:
    before = node.value(0).sizes
    if before is None or len(before) != len(parts):
        return None
    return tuple(None if a is None or b is None else a * b for a, b in zip(before, parts, strict=True))


def _sliced(node: Node, parts: Sizes) -> Sizes | None:
    """Slice and Pad: the axes that they do not name keep their sizes."""
    axes = known_parts(node.value(3)) if node.has(3) else tuple(range(len(parts)))
    return _but(node.value(0).sizes, axes)


def _but(sizes: Sizes | None, axes: Sizes | None) -> Sizes | None:
    """The sizes with those of the given axes unknown."""
    if sizes is None or axes is None or None in axes:
        return None
    changed = {axis % len(sizes) for axis in axes if axis is not None and sizes}
    return tuple(None if axis in changed else size for axis, size in enumerate(sizes))


#: Operators whose result's sizes follow from the elements of an input → that input's slot, and what they make of them.
_SIZED_BY: Mapping[str, tuple[int, Callable[[Node, Sizes], Sizes | None]]] = {
    "ConstantOfShape": (0, lambda node, parts: parts),
    "Expand": (1, _expanded),
    "Pad": (1, _sliced),
    "Reshape": (1, _reshaped),
    "Resize": (3, _resized),
    "Slice": (1, _sliced),
    "Tile": (1, _tiled),
    "TopK": (1, lambda node, parts: _but(node.value(0).sizes, (node.integer("axis", -1),))),
}


def _solved(sizes: Sizes, value: Value) -> Sizes:
    """The one unknown size of a reshaped value, from the number of its elements."""
    rest = math.prod(size for size in sizes if size is not None)
    if value.shape is None or rest < 1 or value.elements % rest:
        return sizes
    return tuple(value.elements // rest if size is None else size for size in sizes)


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
    if len(shapes) < len(values):
        return Inferred(elem_type)
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
        "ArgMax",
        "ArgMin",
        "BitShift",
        "BitwiseAnd",
        "BitwiseNot",
        "BitwiseOr",
        "BitwiseXor",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Compress",
        "Concat",
        "ConstantOfShape",
        "CumSum",
        "Div",
        "Equal",
        "Exp",
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
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "NonZero",
        "Not",
        "Or",
        "Pad",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
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
        "Sum",
        "Tile",
        "TopK",
        "Transpose",
        "Unsqueeze",
        "Where",
        "Xor",
    }
)
#: Operators that only move elements, or hand whole numbers on: from which slot on the inputs are no elements.
_MOVING = {
    "Cast": 1,
    "Concat": 1024,
    "Expand": 1,
    "Flatten": 1,
    "Gather": 1,
    "GatherElements": 1,
    "GatherND": 1,
    "Identity": 1,
    "Reshape": 1,
    "Slice": 1,
    "Split": 1,
    "Squeeze": 1,
    "Tile": 1,
    "Transpose": 1,
    "Unsqueeze": 1,
}
#: ``TensorProto.DataType`` of sizes.
_WHOLE = (6, 7)
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
    feeds = {n: v.data for n, v in zip(proto.input, node.inputs, strict=True) if v is not None}
    return _evaluate(proto, feeds, opsets) or unknown


def _evaluate(proto: onnx.NodeProto, feeds: Mapping[str, Any], opsets: Mapping[str, int]) -> list[Any] | None:
    """What ONNX's reference evaluator computes for one operator; None where it cannot."""
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    names = list(dict.fromkeys(n for n in proto.input if n))
    outputs = [name or f"{index}" for index, name in enumerate(proto.output)]
    function = helper.make_function("local", "fold", names, [n for n in proto.output if n], [proto], imports)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ReferenceEvaluator(function).run(None, dict(feeds), attributes={})
    except Exception:  # whatever the evaluator trips over in a stranger's file, it means: value not known
        return None
    by_name = dict(zip((n for n in proto.output if n), found, strict=True))
    return [_array(by_name.get(name)) for name in outputs]


def _array(result: Any) -> Any:
    """A result as an array of numbers; None where it is none."""
    number = isinstance(result, np.ndarray | np.generic) and result.dtype.kind in "biufc"
    return np.asarray(result) if number else None


def known_parts(value: Value | None) -> Sizes | None:
    """The elements of a short list of whole numbers, None for each that is not known; None where it is no such list."""
    if value is None or value.elem_type not in _WHOLE or value.shape is None or not 0 < value.elements <= SMALL:
        return None
    if value.data is not None:
        return tuple(int(x) for x in value.data.reshape(-1))
    return value.parts if value.parts is not None else (None,) * value.elements


def fold_parts(
    proto: onnx.NodeProto, node: Node, outputs: Sequence[Inferred], opsets: Mapping[str, int]
) -> list[Sizes | None]:
    """Elements of an operator's outputs that are known although others are not, per output.

    The operator is run on the positions of the elements in place of the elements, so
    that every element of a result says where it comes from.
    """
    if node.op == "Shape":
        return [_shape_parts(node)]
    moved = _MOVING.get(node.op, 0)
    sources, settings = node.inputs[:moved], dict(zip(proto.input[moved:], node.inputs[moved:], strict=True))
    if (
        not all(_is_small(output) and output.elem_type in _WHOLE for output in outputs)
        or not any(v is not None and (v.parts or v.data is not None) for v in sources)
        or any(v is not None and v.data is None for v in settings.values())
        or (node.op == "Cast" and node.integer("to", 0) not in _WHOLE)
    ):
        return []
    elements: list[int | None] = []
    feeds = {n: v.data for n, v in settings.items() if v is not None}
    for name, value in zip(proto.input, sources, strict=False):
        parts = known_parts(value)
        if value is None or value.shape is None or parts is None or name in settings:
            return []
        feeds[name] = np.arange(len(elements), len(elements) + len(parts)).reshape(value.shape)
        elements += parts
    places = _evaluate(proto, feeds, opsets) or []
    return [None if p is None else tuple(elements[place] for place in p.reshape(-1)) for p in places]


def _shape_parts(node: Node) -> Sizes | None:
    sizes = node.value(0).sizes
    return None if sizes is None else sizes[node.integer("start", 0) : node.integer("end", len(sizes))]


def _is_small(output: Inferred) -> bool:
    sizes = output.shape
    return sizes is not None and None not in sizes and 0 <= math.prod(s or 0 for s in sizes) <= SMALL


def _shape_value(node: Node) -> Any:
    if node.op == "Size":
        value = node.value(0)
        return None if value.shape is None else np.array(value.elements, dtype=np.int64)
    parts = _shape_parts(node)
    return None if parts is None or None in parts else np.array(parts, dtype=np.int64)
