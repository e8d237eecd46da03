"""Operators that rearrange, copy or convert elements, or read shapes."""

from __future__ import annotations

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import ALL, OperatorType, Reads
from hwsim.workloads.operators.value import Sizes, known_parts


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


OPERATORS = (
    OperatorType("Cast", moves=1, carries=True),
    OperatorType("Compress", shrinks=True),
    OperatorType("Concat", moves=ALL),
    OperatorType("ConstantOfShape", sized_by=(0, lambda node, parts: parts)),
    OperatorType("Expand", moves=1, settings=(1,), sized_by=(1, _expanded)),
    OperatorType("Flatten", moves=1, carries=True),
    OperatorType("Gather", moves=1, tables=(0,), reads=Reads.PART),
    OperatorType("GatherElements", moves=1, reads=Reads.PART),
    OperatorType("GatherND", moves=1, reads=Reads.PART),
    OperatorType("Identity", moves=1, carries=True),
    OperatorType("ImageDecoder", folds=False),
    OperatorType("NonZero", shrinks=True),
    OperatorType("Pad", settings=(1, 2, 3), sized_by=(1, _sliced)),
    OperatorType("Reshape", moves=1, carries=True, settings=(1,), sized_by=(1, _reshaped)),
    OperatorType("Resize", settings=(1, 2, 3), sized_by=(3, _resized)),
    OperatorType("Shape", reads=Reads.SHAPE),
    OperatorType("Size", reads=Reads.SHAPE),
    OperatorType("Slice", moves=1, settings=(1, 2, 3, 4), sized_by=(1, _sliced), reads=Reads.PART),
    OperatorType("Split", moves=1),
    OperatorType("Squeeze", moves=1, carries=True),
    OperatorType("Tile", moves=1, settings=(1,), sized_by=(1, _tiled)),
    OperatorType("TopK", sized_by=(1, lambda node, parts: _but(node.value(0).sizes, (node.integer("axis", -1),)))),
    OperatorType("Transpose", moves=1, carries=True),
    OperatorType("Unique", shrinks=True),
    OperatorType("Unsqueeze", moves=1, carries=True),
)
