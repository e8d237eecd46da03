"""Energy and area between technology nodes (Stillmaker & Baas 2017)."""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path
from typing import Any

import yaml

from hwsim import arch_specs


@functools.cache
def table_file(name: str) -> Any:
    """A YAML table of ``arch_specs/tables``."""
    return yaml.safe_load((Path(next(iter(arch_specs.__path__))) / "tables" / name).read_text())


def nanometres(technology: Any) -> float | None:
    """``45nm``, ``45`` or ``45e-9`` in nm; None where it is no technology (1 to 10,000 nm)."""
    if isinstance(technology, str):
        technology = technology[:40]
        match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(?:nm)?\s*", technology)
        technology = float(match.group(1)) if match else None
    if isinstance(technology, bool) or not isinstance(technology, int | float) or not 0 < technology <= 10_000:
        return None
    # In metres: the nearest nanometre's double, so that 45e-9 is 45 nm and not 45.00000000000001.
    node = round(technology * 1e9, 6) if technology < 1e-3 else float(technology)
    return node if node >= 1 else None


def _at(node: float, figure: str) -> float:
    """Energy (at the table's voltage) or area of a node, linear between the nodes of the table.

    Beyond its ends energy follows the square root of the node and area the node itself.
    """
    data = table_file("scaling.yaml")
    v = data["voltage"]
    points = sorted(
        (float(nm), a * v * v + b * v + c if figure == "energy" else area)
        for nm, (a, b, c, area) in data["nodes"].items()
    )
    inside = min(max(node, points[0][0]), points[-1][0])
    beyond = (node / inside) ** (0.5 if figure == "energy" else 1.0)
    for (low, at_low), (high, at_high) in itertools.pairwise(points):
        if low <= inside <= high:
            if at_low == at_high:
                return float(beyond * at_low)
            return float(beyond * (at_low + (at_high - at_low) * (inside - low) / (high - low)))
    raise AssertionError(node)


def energy_scale(source: float, target: float) -> float:
    """What energy at ``source`` nm is multiplied by to be that at ``target`` nm."""
    return 1.0 if source == target else _at(target, "energy") / _at(source, "energy")


def area_scale(source: float, target: float) -> float:
    """What area at ``source`` nm is multiplied by to be that at ``target`` nm."""
    return 1.0 if source == target else _at(target, "area") / _at(source, "area")
