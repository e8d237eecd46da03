"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from hwsim.figure import Figure

_SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """``300774272`` → ``300.8 M``."""
    for scale, prefix in _SCALES:
        if abs(value) >= scale:
            return f"{value / scale:.4g} {prefix}"
    return f"{value:.4g}"


def energy(pj: float) -> str:
    """Picojoules → the unit that leaves one to three digits before the point."""
    for scale, unit in ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ")):
        if abs(pj) >= scale:
            return f"{pj / scale:.4g} {unit}"
    return f"{pj:.4g} pJ"


def seconds(value: float) -> str:
    """Seconds → s, ms or µs."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{value / scale:.4g} {unit}"
    return f"{value / 1e-9:.4g} ns"


def size(n: float) -> str:
    """Bytes → kB, MB, GB (powers of 1000)."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n >= scale:
            return f"{n / scale:.4g} {unit}"
    return f"{n:.0f} B"


def share(part: float, whole: float) -> float:
    """A part of a whole; 0 where the whole is nothing, such as the energy of a design whose prices are all 0."""
    return part / whole if whole else 0.0


def percent(share: float) -> str:
    """``0.4567`` → ``45.7%``."""
    return f"{100 * share:.1f}%"


def edp(j_cycles: float) -> str:
    """An energy–delay product in J·cycles, without its unit: ``12,290``."""
    return f"{j_cycles:,.0f}" if j_cycles >= 1e4 else f"{j_cycles:.4g}"


def area(um2: float) -> str:
    """Square micrometres → mm²."""
    return f"{um2 * 1e-6:.4g} mm²"


#: Unit → how a number in it is written, and the unit that is then still to be said.
_WRITTEN: dict[str, tuple[Callable[[float], str], str]] = {
    "pJ": (energy, ""),
    "s": (seconds, ""),
    "bytes": (size, ""),
    "share": (percent, ""),
    "µm²": (area, ""),
    "cycles": (count, "cycles"),
    "J·cycles": (edp, "J·cycles"),
    "": (count, ""),
}


def _left_out(unit: str) -> str:
    return _WRITTEN[unit][1] if unit in _WRITTEN else unit


def number(value: float, unit: str) -> str:
    """A figure without the unit that its `title` says."""
    return _WRITTEN[unit][0](value) if unit in _WRITTEN else f"{value:.4g}"


def quantity(value: float, unit: str) -> str:
    """A figure in a unit that people read: ``1.2 mJ``, ``300.8 M cycles``."""
    return f"{number(value, unit)} {_left_out(unit)}".strip()


def title(figure: Figure) -> str:
    """What a column of a figure is called, with the unit that `number` leaves out."""
    rest = _left_out(figure.unit)
    return f"{figure.title} ({rest})" if rest and rest != figure.title else figure.title


def graded(value: Decimal | None, unit: str) -> str:
    """A figure in the unit of a rubric's bounds."""
    if value is None:
        return "not known"
    text = f"{value:,.0f}" if value == value.to_integral_value() else f"{value:.4g}"
    return f"{text}{unit}" if unit.startswith("%") else f"{text} {unit}".rstrip()
