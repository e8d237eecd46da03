"""Estimators of primitive components: each knows some classes and says where its figures come from.

To add one, write a class with `Estimator`'s methods and list it in `ESTIMATORS`.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hwsim import arch_specs
from hwsim.energy import Action
from hwsim.errors import NotPriced
from hwsim.pricing.scaling import area_scale, energy_scale, nanometres, table_file
from hwsim.spec.document import describe
from hwsim.spec.nodes import is_cycle

Attributes = Mapping[str, Any]
MAX_SIZE = 1e18
"""The largest attribute that is priced; what is larger is a slip, and its powers would overflow."""


class Estimator(Protocol):
    """Prices primitive components."""

    def energy(self, kind: str, attributes: Attributes, action: str, where: str) -> Action | None:
        """Price of one action (leak: per cycle), or None where the class or action is not known."""

    def area(self, kind: str, attributes: Attributes, where: str) -> float | None:
        """Area in µm² of one instance, or None where the class is not known."""

    def attributes(self, kind: str) -> tuple[str, ...]:
        """The attributes that it reads of a class; none where the class is not known."""


def _number(attributes: Attributes, name: str, where: str, default: float | None = None) -> float:
    value = attributes.get(name, default)
    if value is None:
        raise NotPriced(f"attribute '{name}' is missing; the component cannot be priced without it.", where=where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SIZE:
        found = describe(value)
        raise NotPriced(f"attribute '{name}' should be a number above 0 and up to 1e18, found {found}.", where=where)
    return float(value)


def _technology(attributes: Attributes, where: str) -> float:
    node = nanometres(attributes.get("technology"))
    if node is None:
        found = describe(attributes.get("technology"))
        raise NotPriced(
            f"attribute 'technology' should be a node such as 45nm, 1 to 10,000 nm, found {found}.", where=where
        )
    return node


def _cycle_ns(attributes: Attributes, where: str) -> float:
    value = attributes.get("global_cycle_seconds", 1e-9)
    if not is_cycle(value):
        found = describe(value)
        raise NotPriced(
            f"attribute 'global_cycle_seconds' should be the seconds of a clock cycle, found {found}.", where=where
        )
    return float(value) * 1e9


class Primitives:
    """Small logic from ``tables/primitives.yaml``: energy in proportion to its size, scaled to the node."""

    def _row(self, kind: str) -> Mapping[str, Any] | None:
        rows: list[Mapping[str, Any]] = table_file("primitives.yaml")["primitives"]
        return next((row for row in rows if row["name"] == kind), None)

    def _share(self, row: Mapping[str, Any], attributes: Attributes, where: str) -> float:
        return float(math.prod(_number(attributes, name, where, size) / size for name, size in row["size"].items()))

    def energy(self, kind: str, attributes: Attributes, action: str, where: str) -> Action | None:
        """See `Estimator`."""
        row = self._row(kind)
        if row is None or action not in row["energy"]:
            return None
        node = _technology(attributes, where)
        scale = energy_scale(row["technology"], node)
        pj = row["energy"][action] * self._share(row, attributes, where) * scale
        if action == "leak":
            pj *= _cycle_ns(attributes, where)
        scaled = "" if scale == 1 else f", scaled to {node:g} nm (Stillmaker & Baas 2017)"
        return Action(pj, "Aladdin", row["source"] + scaled)

    def area(self, kind: str, attributes: Attributes, where: str) -> float | None:
        """See `Estimator`."""
        row = self._row(kind)
        if row is None:
            return None
        scale = area_scale(row["technology"], _technology(attributes, where))
        return float(row["area"] * self._share(row, attributes, where) * scale)

    def attributes(self, kind: str) -> tuple[str, ...]:
        """See `Estimator`."""
        row = self._row(kind)
        return () if row is None else (*row["size"], "technology", "global_cycle_seconds")


class Dram:
    """Off-chip memory: pJ per bit by type."""

    def energy(self, kind: str, attributes: Attributes, action: str, where: str) -> Action | None:
        """See `Estimator`."""
        if "DRAM" not in kind:
            return None
        table = table_file("dram.yaml")["dram"]
        if action == "leak":
            return Action(0.0, "DRAM", "off-chip: standby power is not the chip's")
        if action not in ("read", "write", "update"):
            return None
        name = str(attributes.get("type", table["default"]))
        if name not in table["pj_per_bit"]:
            raise NotPriced(f"DRAM type '{name}' has no price; known: {', '.join(table['pj_per_bit'])}.", where=where)
        bits = _number(attributes, "width", where)
        return Action(table["pj_per_bit"][name] * bits, "DRAM", f"{name}, {table['source']}")

    def area(self, kind: str, attributes: Attributes, where: str) -> float | None:
        """See `Estimator`."""
        return 0.0 if "DRAM" in kind else None

    def attributes(self, kind: str) -> tuple[str, ...]:
        """See `Estimator`."""
        return ("type", "width") if "DRAM" in kind else ()


_FIGURES = ("read", "write", "leak", "area")


@functools.cache
def _sram_grid() -> dict[tuple[float, int], dict[tuple[float, float], tuple[float, ...]]]:
    """(node, banks) → (width, depth) → read pJ, write pJ, leak mW, area mm²."""
    packed = Path(next(iter(arch_specs.__path__))) / "tables" / "cacti_sram.csv.gz"
    grid: dict[tuple[float, int], dict[tuple[float, float], tuple[float, ...]]] = {}
    lines = (x for x in gzip.decompress(packed.read_bytes()).decode().splitlines() if not x.startswith("#"))
    for row in csv.DictReader(io.StringIO("\n".join(lines))):
        points = grid.setdefault((float(row["tech_nm"]), int(row["n_banks"])), {})
        figures = (row["read_pj"], row["write_pj"], row["leak_mw"], row["area_mm2"])
        points[float(row["width_bits"]), float(row["depth"])] = tuple(map(float, figures))
    return grid


def _bracket(value: float, known: Sequence[float]) -> tuple[float, float]:
    """The neighbours of a value, not below the least, among known ones; beyond the end the last two, to extrapolate."""
    if value in known or len(known) == 1:
        return (value, value) if value in known else (known[0], known[0])
    above = next((k for k, x in enumerate(known) if x > value), len(known) - 1)
    return known[above - 1], known[above]


def _mix(value: float, low: float, high: float, at_low: float, at_high: float) -> float:
    """Between two points on a line of logarithms: figures follow powers of the size."""
    if low == high or at_low <= 0 or at_high <= 0:
        return at_low
    share = math.log(value / low) / math.log(high / low)
    return float(at_low * (at_high / at_low) ** share)


class Sram:
    """SRAM arrays from a grid of CACTI runs, interpolated in width, depth and node.

    CACTI takes no width under 32 bits and no bank under 64 rows. Below, energy follows
    ``(0.7·width/32 + 0.3) · (depth/64)^0.78``, leakage and area follow ``width/32 · depth/64``; below 22 nm energy
    follows the square root of the node and area the node, above 90 nm everything its square, as in Accelergy.
    """

    def energy(self, kind: str, attributes: Attributes, action: str, where: str) -> Action | None:
        """See `Estimator`."""
        if kind not in ("SRAM", "sram") or action not in ("read", "write", "update", "leak"):
            return None
        figure = "write" if action == "update" else action
        value, how = self._figure(figure, attributes, where)
        if action == "leak":
            value *= _cycle_ns(attributes, where)  # mW · ns = pJ
        return Action(value, "CACTI", f"CACTI 7 SRAM, {how}")

    def area(self, kind: str, attributes: Attributes, where: str) -> float | None:
        """See `Estimator`."""
        return self._figure("area", attributes, where)[0] * 1e6 if kind in ("SRAM", "sram") else None

    def attributes(self, kind: str) -> tuple[str, ...]:
        """See `Estimator`."""
        known = ("width", "depth", "n_banks", "technology", "global_cycle_seconds")
        return known if kind in ("SRAM", "sram") else ()

    def _figure(self, figure: str, attributes: Attributes, where: str) -> tuple[float, str]:
        width, depth = _number(attributes, "width", where), _number(attributes, "depth", where)
        banks = int(_number(attributes, "n_banks", where, 1))
        node = _technology(attributes, where)
        nodes = sorted({n for n, _ in _sram_grid()})
        inside = min(max(node, nodes[0]), nodes[-1])
        low, high = _bracket(inside, nodes)
        at_low, exact_low = self._at_node(figure, low, width, depth, banks)
        at_high, exact_high = self._at_node(figure, high, width, depth, banks)
        share = 0.0 if low == high else (inside - low) / (high - low)
        value = at_low + (at_high - at_low) * share
        exact = exact_low and exact_high and node in nodes
        how = f"{width:g} bits × {depth:g}, {banks} bank{'s' if banks > 1 else ''}, {node:g} nm"
        widths, depths = zip(*next(iter(_sram_grid().values())), strict=True)
        outside = width > max(widths) or depth > max(depths)
        said = " (extrapolated)" if outside else "" if exact else " (interpolated)"
        return value * self._beyond(figure, node, nodes), how + said

    def _beyond(self, figure: str, node: float, nodes: list[float]) -> float:
        if node > nodes[-1]:
            return (node / nodes[-1]) ** 2
        if node >= nodes[0]:
            return 1.0
        share = node / nodes[0]
        return float({"area": share, "leak": 0.79 * share**0.5}.get(figure, share**0.5))

    def _at_node(self, figure: str, node: float, width: float, depth: float, banks: int) -> tuple[float, bool]:
        known = sorted(b for n, b in _sram_grid() if n == node)
        inside = min(max(banks, known[0]), known[-1])
        b0, b1 = _bracket(inside, known)
        at0, exact = self._at_banks(figure, node, width, depth, int(b0))
        at1, _ = self._at_banks(figure, node, width, depth, int(b1))
        return _mix(inside, b0, b1, at0, at1), exact and inside == b0 == banks

    def _at_banks(self, figure: str, node: float, width: float, depth: float, banks: int) -> tuple[float, bool]:
        points = _sram_grid()[node, banks]
        widths = sorted({w for w, _ in points})
        depths = sorted({d for _, d in points})
        if width > widths[-1] and depth > depths[-1]:
            # Each beyond the table by its own slope: mixed, the slopes cross, and the larger memory costs less.
            at = [self._at_banks(figure, node, w, d, banks)[0] for w, d in ((width, depths[-1]), (widths[-1], depth))]
            return at[0] * at[1] / self._at_banks(figure, node, widths[-1], depths[-1], banks)[0], False
        w, d = max(width, widths[0]), max(depth, depths[0])
        (w0, w1), (d0, d1) = _bracket(w, widths), _bracket(d, depths)
        k = _FIGURES.index(figure)
        at0 = _mix(d, d0, d1, points[w0, d0][k], points[w0, d1][k])
        at1 = _mix(d, d0, d1, points[w1, d0][k], points[w1, d1][k])
        narrow, shallow = width / w, depth / d
        small = narrow * shallow if figure in ("leak", "area") else (0.7 * narrow + 0.3) * shallow**0.78
        return _mix(w, w0, w1, at0, at1) * small, w0 == w1 and d0 == d1 and small == 1.0


ESTIMATORS: tuple[Estimator, ...] = (Primitives(), Dram(), Sram())
