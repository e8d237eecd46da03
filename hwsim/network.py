"""Profile a network: every distinct layer under its best mapping, and the totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hwsim.architecture import Architecture
from hwsim.cost import Illegal, LayerCost, NetworkCost, NetworkLayer
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapping import Mapping as LoopNest
from workloads.problem import Problem
from workloads.workload import Layer, Workload

Progress = Callable[[int, int, str], None]
Job = tuple[Problem, Architecture, EnergyTable, str, bool]

# What was best lately for a problem on designs with the same levels, latest first: hints for the next design.
_HINTS: dict[object, list[LoopNest]] = {}
_MOST_PROBLEMS = 1024
_MOST_HINTS = 8


def _remember(topic: object, mapping: LoopNest) -> None:
    hints = _HINTS.pop(topic, [])
    if len(_HINTS) >= _MOST_PROBLEMS:
        del _HINTS[next(iter(_HINTS))]
    _HINTS[topic] = [mapping, *(x for x in hints if x != mapping)][:_MOST_HINTS]


def map_layer(job: Job) -> LayerCost | Illegal:
    """Best mapping of one problem, from the cache where it is known.

    What was best for the problem on other designs makes the search faster, and does not change what it finds.

    Args:
        job: problem, architecture, energy, objective, whether to use the cache.
    """
    from hwsim import cache

    problem, architecture, energy, objective, use_cache = job
    name = cache.key(problem, architecture, energy, objective)
    known = cache.load(name, problem) if use_cache else None
    topic = (problem, tuple(x.name for x in architecture.levels), objective)
    if known is not None:
        _remember(topic, known.mapping)
        return known
    from hwsim import warm
    from hwsim.mapper import search

    warm.start()
    cost = search(problem, architecture, energy, objective, hints=_HINTS.get(topic, ()))
    if isinstance(cost, LayerCost):
        _remember(topic, cost.mapping)
        if use_cache:
            cache.store(name, cost)
    return cost


def _map_all(jobs: list[Job], names: list[str], workers: int, progress: Progress | None) -> list[LayerCost | Illegal]:
    costs: list[LayerCost | Illegal] = []
    if progress:
        progress(0, len(jobs), "")
    if workers > 1 and len(jobs) > 1:
        with ProcessPoolExecutor(workers) as pool:
            for name, cost in zip(names, pool.map(map_layer, jobs), strict=True):
                costs.append(cost)
                if progress:
                    progress(len(costs), len(jobs), name)
        return costs
    for name, job in zip(names, jobs, strict=True):
        costs.append(map_layer(job))
        if progress:
            progress(len(costs), len(jobs), name)
    return costs


def _refuse(layer: Layer, reason: Illegal, where: str) -> HwsimError:
    place = f" at level '{reason.level}'" if reason.level else ""
    space = f" for {reason.data_space}" if reason.data_space else ""
    sizes = " ".join(f"{d}={n}" for d, n in layer.problem.dims)
    return HwsimError(
        f"layer '{layer.name}' ({layer.op}, {sizes}) fits no mapping: {reason.reason}{place}{space} "
        f"(needs {reason.needed:g}, there is {reason.available:g}).",
        where=where,
    )


def profile_workload(
    workload: Workload,
    architecture: Architecture,
    energy: EnergyTable,
    objective: str = "edp",
    *,
    jobs: int = 1,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> NetworkCost:
    """Cost of a network that was read already; see `profile`."""
    from workloads.memory import peak_activation_bytes, peak_live_bytes, peak_live_bytes_best_order

    layers = workload.layers()
    todo = [(layer.problem, architecture, energy, objective, use_cache) for layer in layers]
    costs = _map_all(todo, [layer.name for layer in layers], jobs, progress)
    mapped = []
    for layer, cost in zip(layers, costs, strict=True):
        if isinstance(cost, Illegal):
            raise _refuse(layer, cost, workload.name)
        mapped.append(NetworkLayer(layer.name, layer.op, layer.names, layer.count, cost))
    cycles = sum(x.count * x.cost.cycles for x in mapped)
    macs = sum(x.count * x.cost.problem.macs for x in mapped)
    return NetworkCost(
        model=workload.name,
        arch=architecture.name,
        objective=objective,
        workload=workload,
        layers=tuple(mapped),
        unmapped=workload.unmapped(),
        macs=macs,
        params=workload.params,
        cycles=cycles,
        energy_pj=sum(x.count * x.cost.energy_pj for x in mapped),
        utilization=macs / (cycles * architecture.compute_instances) if cycles else 0.0,
        weight_bytes=workload.weight_bytes,
        peak_activation_bytes=peak_activation_bytes(workload),
        peak_live_bytes=peak_live_bytes(workload),
        peak_live_bytes_best_order=peak_live_bytes_best_order(workload),
        cycle_seconds=architecture.cycle_seconds,
        notes=workload.notes,
    )


def profile(
    path: str | Path,
    arch: str | Path = "simple_ws",
    objective: str = "edp",
    *,
    dims: Mapping[str, int] | None = None,
    jobs: int = 1,
    use_cache: bool = True,
    progress: Progress | None = None,
) -> NetworkCost:
    """What a network costs on an architecture, every layer under its best mapping.

    Args:
        path: an ONNX file.
        arch: name of a shipped architecture, or an architecture file.
        objective: ``edp``, ``energy`` or ``latency``.
        dims: sizes of the model's symbolic dimensions; others are 1.
        jobs: processes that map layers side by side; the result is the same.
        use_cache: look for mappings on disk first, and keep them there.
        progress: called with (layers done, layers, name of the last).

    Raises:
        HwsimError: a file, name or size is wrong, or a layer fits no mapping.
    """
    from hwsim.spec import load_architecture
    from workloads.onnx_reader import read_onnx

    architecture, energy = load_architecture(arch)
    workload = read_onnx(path, dict(dims or {}))
    return profile_workload(
        workload, architecture, energy, objective, jobs=jobs, use_cache=use_cache, progress=progress
    )
