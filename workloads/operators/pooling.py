"""Pooling and its like: windows that are not multiplied by weights."""

from __future__ import annotations

from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.standard import standard

_WINDOWS = "AveragePool Col2Im LpPool MaxPool MaxRoiPool MaxUnpool RoiAlign"

OPERATORS = (
    *(OperatorType(name, folds=False) for name in _WINDOWS.split()),
    OperatorType("com.microsoft.QLinearAveragePool", types=standard("AveragePool", (0,))),
    OperatorType("com.microsoft.QLinearGlobalAveragePool", types=standard("GlobalAveragePool", (0,))),
)
