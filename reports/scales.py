"""Units of axes: the factor and the unit in which a figure's largest value has one to three digits."""

from __future__ import annotations

from collections.abc import Sequence

Steps = tuple[tuple[float, str], ...]
ENERGY: Steps = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))
BYTES: Steps = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
CYCLES: Steps = ((1e9, "G cycles"), (1e6, "M cycles"), (1e3, "k cycles"))
#: unit of the values → larger ones
STEPS: dict[str, Steps] = {"pJ": ENERGY, "bytes": BYTES, "cycles": CYCLES}


def energy_scale(picojoules: Sequence[float]) -> tuple[float, str]:
    """For energies in pJ."""
    return axis_scale(picojoules, "pJ")


def bytes_scale(most: float) -> tuple[float, str]:
    """For bytes, by the largest."""
    scale, unit = axis_scale([most], "bytes")
    return scale, "B" if unit == "bytes" else unit


def axis_scale(values: Sequence[float], unit: str) -> tuple[float, str]:
    """For values in any unit; one that has no larger ones stays as it is."""
    if unit == "µm²":
        return 1e6, "mm²"
    most = max((abs(v) for v in values), default=0.0)
    return next(((s, u) for s, u in STEPS.get(unit, ()) if most >= s), (1.0, unit))
