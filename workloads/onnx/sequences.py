"""Sequences whose members are known while a file is read: lists of sizes, parts of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.value import SMALL, Value

Items = tuple[Value, ...]


def _split(node: Node) -> Items | None:
    x, axis = node.value(0), node.integer("axis", 0)
    if x.shape is None or not -len(x.shape) <= axis < len(x.shape):
        return None
    axis %= len(x.shape)
    size, given = x.shape[axis], node.value(1).data if node.has(1) else np.array(1)
    if given is None:
        return None
    if given.ndim:
        sizes = [int(part) for part in given.reshape(-1)]
    else:
        part = int(given)
        sizes = [min(part, size - start) for start in range(0, size, part)] if part > 0 and size <= SMALL * part else []
    if sum(sizes) != size or not sizes or len(sizes) > SMALL or min(sizes) < 0:
        return None
    keeps = node.has(1) or node.integer("keepdims", 1)
    out, start = [], 0
    for part in sizes:
        data = None if x.data is None else np.take(x.data, range(start, start + part), axis)
        shape = (*x.shape[:axis], part, *x.shape[axis + 1 :]) if keeps else (*x.shape[:axis], *x.shape[axis + 1 :])
        out.append(Value(x.name, x.elem_type, shape, x.constant, None if data is None else data.reshape(shape)))
        start += part
    return tuple(out)


def _constructed(node: Node) -> Items | None:
    return tuple(value for value in node.inputs if value is not None)


def _inserted(node: Node) -> Items | None:
    items, place = node.value(0).items, node.value(2).data if node.has(2) else np.array(1 << 30)
    if items is None or place is None or len(items) >= SMALL:
        return None
    at = int(place.reshape(-1)[0])
    at = at + len(items) if at < 0 else min(at, len(items))
    return (*items[:at], node.value(1), *items[at:])


#: Operators → the members of the sequence that they make; None where these are not known.
MEMBERS: Mapping[str, Callable[[Node], Items | None]] = {
    "SequenceConstruct": _constructed,
    "SequenceEmpty": lambda node: (),
    "SequenceInsert": _inserted,
    "SplitToSequence": _split,
}


def taken(node: Node) -> Value | None:
    """The result of an operator that reads a sequence of known members; None for others."""
    items = node.value(0).items if node.has(0) else None
    if items is None:
        return None
    if node.op == "SequenceLength":
        return Value("", 7, (), data=np.array(len(items), np.int64))
    if node.op == "SequenceAt" and node.value(1).data is not None:
        place = int(node.value(1).data.reshape(-1)[0])
        return items[place] if -len(items) <= place < len(items) else None
    return _joined(node, items) if node.op == "ConcatFromSequence" and items else None


def _joined(node: Node, items: Items) -> Value | None:
    shapes = [item.shape for item in items]
    first, new, axis = shapes[0], node.integer("new_axis", 0), node.integer("axis", 0)
    if first is None or any(shape is None or len(shape) != len(first) for shape in shapes):
        return None
    if not -len(first) - new <= axis < len(first) + new:
        raise node.error(f"attribute 'axis' is {axis}, but its operands have {len(first)} dimensions")
    axis %= len(first) + new
    data: Any = None
    if all(item.data is not None for item in items):
        try:
            data = (np.stack if new else np.concatenate)([item.data for item in items], axis)
        except ValueError as error:
            raise node.error(str(error)) from error
        return Value("", items[0].elem_type, data.shape, data=data if data.size <= SMALL else None)
    size = len(items) if new else sum(shape[axis] for shape in shapes if shape is not None)
    return Value("", items[0].elem_type, (*first[:axis], size, *first[axis + (not new) :]))
