"""Shapes and small values of operators' outputs, one operator at a time.

ONNX's own inference does the work; here is what it cannot know: the values of shape
arithmetic, and what to do where operands do not fit together.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred, broadcast
from hwsim.workloads.operators.table import operator_type
from hwsim.workloads.operators.value import SMALL, WHOLE, Sizes, Value, is_small, known_parts


def refine(node: Node, inferred: Sequence[Inferred]) -> list[Inferred]:
    """Sizes that ONNX's inference leaves open because only some elements of a list of sizes are known."""
    slot, rule = operator_type(node.op).sized_by or (0, None)
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


def _solved(sizes: Sizes, value: Value) -> Sizes:
    """The one unknown size of a reshaped value, from the number of its elements."""
    rest = math.prod(size for size in sizes if size is not None)
    if value.shape is None or rest < 1 or value.elements % rest:
        return sizes
    return tuple(value.elements // rest if size is None else size for size in sizes)


# --- operands that do not fit together ------------------------------------------------


def nearest(node: Node) -> Inferred:
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
    if operator_type(node.op).broadcasts and shapes:
        return Inferred(elem_type, broadcast(shapes))
    return Inferred(elem_type)


# --- values ---------------------------------------------------------------------------


def fold(proto: onnx.NodeProto, node: Node, outputs: Sequence[Inferred], opsets: Mapping[str, int]) -> list[Any]:
    """Values of an operator's outputs where its inputs are known and the outputs small, else Nones.

    Whatever ONNX's reference evaluator can compute, except what `OperatorType.folds` rules out.
    """
    unknown = [None] * len(proto.output)
    known = operator_type(node.op)
    if node.op in ("Shape", "Size"):
        return [_shape_value(node)]
    if not _is_plain(proto, known) or any(v is not None and v.data is None for v in node.inputs):
        return unknown
    if not known.shrinks and not all(_is_small(output) for output in outputs):
        return unknown
    feeds = {n: v.data for n, v in zip(proto.input, node.inputs, strict=True) if v is not None}
    return _evaluate(proto, feeds, opsets) or unknown


def _is_plain(proto: onnx.NodeProto, known: OperatorType) -> bool:
    """An operator of ONNX that computes the same every time, in a time that its operands and results bound."""
    bodies = any(a.type in (a.GRAPH, a.GRAPHS) for a in proto.attribute)
    return not proto.domain and not bodies and known.folds and not known.random and known.lower is None


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


def fold_parts(
    proto: onnx.NodeProto, node: Node, outputs: Sequence[Inferred], opsets: Mapping[str, int]
) -> list[Sizes | None]:
    """Elements of an operator's outputs that are known although others are not, per output.

    The operator is run on the positions of the elements in place of the elements, so
    that every element of a result says where it comes from.
    """
    if node.op == "Shape":
        return [_shape_parts(node)]
    moved = operator_type(node.op).moves
    sources, settings = node.inputs[:moved], dict(zip(proto.input[moved:], node.inputs[moved:], strict=True))
    if (
        not all(_is_list(output) for output in outputs)
        or not any(v is not None and (v.parts or v.data is not None) for v in sources)
        or any(v is not None and v.data is None for v in settings.values())
        or (node.op == "Cast" and node.integer("to", 0) not in WHOLE)
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


def _is_list(output: Inferred) -> bool:
    """A result that may be a list of sizes."""
    return output.elem_type in WHOLE and _is_small(output) and math.prod(s or 0 for s in output.shape or ()) <= SMALL


def _is_small(output: Inferred) -> bool:
    sizes = output.shape
    if sizes is None or any(size is None or size < 0 for size in sizes):
        return False
    return is_small(output.elem_type, math.prod(s or 0 for s in sizes))


def _shape_value(node: Node) -> Any:
    if node.op == "Size":
        value = node.value(0)
        return None if value.shape is None else np.array(value.elements, dtype=np.int64)
    parts = _shape_parts(node)
    return None if parts is None or None in parts else np.array(parts, dtype=np.int64)
