"""Operators that rearrange, copy or convert elements, or read shapes."""

from __future__ import annotations

from functools import partial

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import ALL, OperatorType, Reads
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import like
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


def _padded(node: Node) -> list[Inferred]:
    pads, shape = known_parts(node.value(1)), node.shape(0)
    if pads is None or len(pads) != 2 * len(shape):
        return [Inferred(node.value(0).elem_type, (None,) * len(shape))]
    both = zip(shape, pads, pads[len(shape) :], strict=False)
    sizes = tuple(None if a is None or b is None else n + a + b for n, a, b in both)
    return [Inferred(node.value(0).elem_type, sizes)]


def _with_axis(node: Node) -> list[Inferred]:
    where, shape = known_parts(node.value(1)), node.shape(0)
    if not where or where[0] is None or not -len(shape) <= where[0] + 1 <= len(shape) + 1:
        return [Inferred(node.value(0).elem_type)]
    place = where[0] % (len(shape) + 1)
    return [Inferred(node.value(0).elem_type, (*shape[:place], 1, *shape[place:]))]


def _reordered(node: Node, out: bool) -> list[Inferred]:
    """To and from ONNX Runtime's blocked layout, whose padded channels are none of the tensor's."""
    shape = node.shape(0)
    if out and node.integer("channels", 0):
        shape = (shape[0], node.integer("channels", 0), *shape[2:])
    if len(shape) > 2 and node.integer("channels_last", 0):
        shape = (shape[0], *shape[2:], shape[1]) if out else (shape[0], shape[-1], *shape[1:-1])
    return [Inferred(node.value(0).elem_type, shape)]


OPERATORS = (
    OperatorType("com.microsoft.ExpandDims", types=_with_axis),
    OperatorType("com.microsoft.Pad", settings=(1, 2), types=_padded),
    OperatorType("com.microsoft.Trilu", types=like(0)),
    OperatorType("com.microsoft.nchwc.ReorderInput", types=partial(_reordered, out=False)),
    OperatorType("com.microsoft.nchwc.ReorderOutput", types=partial(_reordered, out=True)),
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
