"""Pooling and its like: windows that are not multiplied by weights."""

from __future__ import annotations

from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import standard

_WINDOWS = "AveragePool Col2Im LpPool MaxPool MaxRoiPool MaxUnpool RoiAlign"


def _upsampled(node: Node) -> list[Inferred]:
    shape, scales = node.shape(0), node.attributes.get("scales", ())
    if len(scales) != len(shape) or not all(isinstance(s, int | float) for s in scales):
        raise node.error(f"attribute 'scales' is {scales!r}, expected {len(shape)} numbers")
    return [Inferred(node.value(0).elem_type, tuple(int(n * s) for n, s in zip(shape, scales, strict=True)))]


def _reduced(node: Node) -> list[Inferred]:
    shape, keeps = node.shape(0), node.integer("keepdims", 1)
    axes = node.attributes.get("axes") or range(len(shape))
    if not all(isinstance(a, int) and -len(shape) <= a < len(shape) for a in axes):
        raise node.error(f"attribute 'axes' is {axes!r}, expected axes of {list(shape)}")
    gone = {axis % len(shape) for axis in axes}
    left = [1 if i in gone else n for i, n in enumerate(shape) if keeps or i not in gone]
    return [Inferred(node.value(0).elem_type, tuple(left))]


_NCHWC = "com.microsoft.nchwc"

OPERATORS = (
    *(
        OperatorType(f"{_NCHWC}.{name}", types=standard(name, (0,)))
        for name in ["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"]
    ),
    OperatorType(f"{_NCHWC}.Upsample", types=_upsampled),
    OperatorType("com.microsoft.QLinearReduceMean", types=_reduced),
    *(OperatorType(name, folds=False) for name in _WINDOWS.split()),
    OperatorType("com.microsoft.GridSample", types=standard("GridSample", (0, 1))),
    OperatorType("com.microsoft.QLinearAveragePool", types=standard("AveragePool", (0,))),
    OperatorType("com.microsoft.QLinearGlobalAveragePool", types=standard("GlobalAveragePool", (0,))),
)
