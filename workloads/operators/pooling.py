"""Pooling and its like: windows that are not multiplied by weights."""

from __future__ import annotations

from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.standard import standard

OPERATORS = (
    OperatorType("com.microsoft.QLinearAveragePool", types=standard("AveragePool", (0,))),
    OperatorType("com.microsoft.QLinearGlobalAveragePool", types=standard("GlobalAveragePool", (0,))),
)
