"""The numbers behind the figures, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.architecture import Architecture, Storage
from hwsim.cost import LayerCost, NetworkCost
from hwsim.whatif import limited_by
from hwsim.workloads.memory import live_tensors, memory_schedule

LEAKAGE = "leakage"


def components(cost: NetworkCost, architecture: Architecture) -> list[str]:
    """The components that take energy, outermost first, the compute unit last."""
    taken = {name for layer in cost.layers for name in layer.cost.energy_by_level_pj}
    return [n for n in (*(s.name for s in architecture.storages), architecture.compute.name) if n in taken]


def energy_by_component_pj(cost: NetworkCost, architecture: Architecture) -> dict[str, float]:
    """Component → pJ of the whole network, in the order of `components`."""
    return {
        name: sum(x.count * x.cost.energy_by_level_pj.get(name, 0.0) for x in cost.layers)
        for name in components(cost, architecture)
    }


def energy_matrix_pj(cost: NetworkCost, architecture: Architecture) -> tuple[list[str], dict[str, dict[str, float]]]:
    """Data spaces (and leakage, where there is any), and component → data space → pJ of the whole network."""
    spaces = list(dict.fromkeys(d.name for layer in cost.layers for d in layer.cost.problem.data_spaces))
    matrix: dict[str, dict[str, float]] = {name: {} for name in components(cost, architecture)}
    for layer in cost.layers:
        for level in layer.cost.levels:
            if level.name not in matrix:
                continue
            row = matrix[level.name]
            for space, priced in level.data_spaces.items():
                row[space] = row.get(space, 0.0) + layer.count * priced.energy_pj
            row[LEAKAGE] = row.get(LEAKAGE, 0.0) + layer.count * level.leakage_pj
    leaks = any(row.get(LEAKAGE) for row in matrix.values())
    return spaces + ([LEAKAGE] if leaks else []), matrix


@dataclass(frozen=True)
class RooflinePoint:
    """One layer: multiply-accumulates per byte at the level, and per cycle."""

    layer: int
    intensity: float
    macs_per_cycle: float
    limited_by: str


@dataclass(frozen=True)
class Roofline:
    """One storage level against the array.

    Attributes:
        compute_roof: MAC/cycle of all units.
        bandwidth_roofs: (direction, bytes/cycle of all instances) of every bandwidth that is limited.
        points: a layer each; bytes are those of the direction that is nearest its limit, of all directions where none
            is limited.
    """

    level: str
    compute_roof: int
    bandwidth_roofs: tuple[tuple[str, float], ...]
    points: tuple[RooflinePoint, ...]


def rooflines(cost: NetworkCost, architecture: Architecture) -> list[Roofline]:
    """The roofline of the outermost storage, and of every other one whose bandwidth is limited.

    A level that moves w words for m MACs at b words per cycle allows no more than m · b / w MAC/cycle; so the layer's
    point lies below the roof b at the intensity m / w. Words become bytes by the level's datawidth.
    """
    out = []
    for k, level in enumerate(architecture.storages):
        limits = _bandwidths(level)
        if k > 0 and not limits:
            continue
        instances, word = architecture.instances(level.name), level.datawidth / 8
        points = []
        for index, layer in enumerate(cost.layers):
            moved = _words(layer.cost, level.name)
            counted = max(limits, key=lambda d: moved[d] / limits[d]) if limits else "read and write"
            if moved[counted]:
                macs, each = layer.cost.problem.macs, layer.cost
                points.append(
                    RooflinePoint(index, macs / (moved[counted] * word), macs / each.cycles, limited_by(each))
                )
        roofs = tuple((name, bound * word * instances) for name, bound in limits.items())
        out.append(Roofline(level.name, architecture.compute_instances, roofs, tuple(points)))
    return out


def _bandwidths(level: Storage) -> dict[str, float]:
    """Direction → words per cycle and instance, of those that are limited."""
    bounds = {
        "read": level.read_bandwidth,
        "write": level.write_bandwidth,
        "read and write": level.shared_bandwidth,
    }
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _words(cost: LayerCost, level: str) -> dict[str, float]:
    """Direction → words that all instances of a level move."""
    spaces = next(x for x in cost.levels if x.name == level).data_spaces.values()
    read = sum(s.reads * s.instances for s in spaces)
    written = sum((s.fills + s.updates) * s.instances for s in spaces)
    return {"read": read, "write": written, "read and write": read + written}


@dataclass(frozen=True)
class MemoryStep:
    """While one operator runs: the layer that it is (None where it is not mapped) and the bytes alive."""

    operator: str
    op: str
    layer: int | None
    live_bytes: int


@dataclass(frozen=True)
class MemorySchedule:
    """Live activations over the file's order; ``peak`` is a step, ``at_peak`` the (tensor, bytes) alive there."""

    steps: tuple[MemoryStep, ...]
    peak: int
    at_peak: tuple[tuple[str, int], ...]


def memory(cost: NetworkCost) -> MemorySchedule | None:
    """The memory schedule of a network; None where no operator runs."""
    moments = memory_schedule(cost.workload)
    if not moments:
        return None
    layer = layer_of(cost)
    peak = max(range(len(moments)), key=lambda k: moments[k].live_bytes)
    return MemorySchedule(
        tuple(MemoryStep(m.operator, m.op, layer.get(m.operator), m.live_bytes) for m in moments),
        peak,
        live_tensors(cost.workload, moments[peak].operator),
    )


def layer_of(cost: NetworkCost) -> dict[str, int]:
    """Operator → its (first) layer, a number in ``cost.layers``."""
    out: dict[str, int] = {}
    for index, layer in enumerate(cost.layers):
        for name in layer.names:
            out.setdefault(name, index)
    return out


def gap(cost: LayerCost) -> float | None:
    """Share by which a mapping may still be bettered: 0 where it is proved best, None where nothing is known."""
    certificate = cost.certificate
    if certificate is None:
        return None
    return certificate.gap


def top_share(parts: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The (name, value) that takes most, as a share of the sum."""
    name, value = max(parts, key=lambda pair: pair[1])
    total = sum(v for _, v in parts)
    return name, value / total if total else 0.0
