"""Profile a network: every distinct layer under its best mapping, and the totals."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from hwsim import cache
from hwsim.cost import Illegal, LayerCost, NetworkCost, NetworkLayer
from hwsim.deadline import NEVER, Deadline
from hwsim.design import load_design
from hwsim.errors import HwsimError
from hwsim.hardware import Design
from hwsim.mapping import Mapping as LoopNest
from hwsim.objective import EDP, Objective
from hwsim.workloads.memory import peak_activation_bytes, peak_live_bytes, peak_live_bytes_best_order
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.problem import Problem
from hwsim.workloads.workload import Layer, Workload

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Job:
    """One problem to be mapped; ``use_cache``: look for the mapping on disk first, and keep it there."""

    problem: Problem
    design: Design
    objective: Objective
    use_cache: bool = True

    @property
    def topic(self) -> Hashable:
        """What jobs have in common whose best mappings are hints for one another."""
        return self.problem, tuple(x.name for x in self.design.architecture.levels), str(self.objective)

    @property
    def key(self) -> str:
        """What its result is cached under."""
        return cache.key(self.problem, self.design.architecture, self.design.energy, str(self.objective))


class Hints:
    """What was best lately for problems on designs with the same levels: hints for the next design.

    They make a search faster, and do not change what it finds.
    """

    MOST_PROBLEMS = 1024
    MOST = 8  # of one problem

    def __init__(self) -> None:
        self._kept: dict[Hashable, list[LoopNest]] = {}

    def remember(self, job: Job, cost: LayerCost) -> None:
        """Keep the best mapping of a job."""
        before = self._kept.pop(job.topic, [])
        if len(self._kept) >= self.MOST_PROBLEMS:
            del self._kept[next(iter(self._kept))]
        self._kept[job.topic] = [cost.mapping, *(x for x in before if x != cost.mapping)][: self.MOST]

    def of(self, job: Job) -> tuple[LoopNest, ...]:
        """The best mappings of like jobs, latest first."""
        return tuple(self._kept.get(job.topic, ()))

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))


def map_layer(
    problem: Problem,
    design: Design,
    objective: str | Objective = EDP,
    *,
    use_cache: bool = True,
    deadline: Deadline = NEVER,
    hints: Hints | None = None,
) -> LayerCost | Illegal:
    """Best mapping of one problem, from the cache where it is known.

    Args:
        problem / design: what is mapped, on what.
        objective: see `hwsim.objective.Objective.parse`.
        use_cache: look for the mapping on disk first, and keep it there.
        deadline: when the best mapping so far is taken.
        hints: what was best on other designs; the mapping found is kept in it.
    """
    job, hints = Job(problem, design, Objective.parse(objective), use_cache), Hints() if hints is None else hints
    cost = _known(job) or _search(job, hints.of(job), deadline)
    if isinstance(cost, LayerCost):
        hints.remember(job, cost)
    return cost


def _known(job: Job) -> LayerCost | None:
    """The cached best mapping."""
    return cache.load(job.key, job.problem) if job.use_cache else None


def _search(job: Job, hints: Sequence[LoopNest], deadline: Deadline) -> LayerCost | Illegal:
    """The best mapping, searched for and kept."""
    from hwsim import processes, warm
    from hwsim.mapper import search

    warm.start()
    limit, design = deadline.left(), job.design
    with processes.interrupt_ends():
        cost = search(job.problem, design.architecture, design.energy, job.objective, time_limit=limit, hints=hints)
        if isinstance(cost, LayerCost) and job.use_cache:
            cache.store(job.key, cost)
    return cost


@dataclass(frozen=True)
class _Run:
    """How the layers of a network are mapped."""

    workers: int
    deadline: Deadline
    hints: Hints
    progress: Progress | None


def _map_all(jobs: list[Job], names: list[str], run: _Run) -> list[LayerCost | Illegal]:
    """Cost of every layer: the cached ones at once, the others searched side by side."""
    costs: dict[int, LayerCost | Illegal] = {}

    def tell(name: str) -> None:
        if run.progress:
            run.progress(len(costs), len(jobs), name)

    def take(k: int, cost: LayerCost | Illegal) -> None:
        costs[k] = cost
        if isinstance(cost, LayerCost):
            run.hints.remember(jobs[k], cost)
        tell(names[k])

    tell("")
    for k, job in enumerate(jobs):
        known = _known(job)
        if known is not None:
            take(k, known)
    todo = [k for k in range(len(jobs)) if k not in costs]
    found = _in_pool if min(run.workers, len(todo)) > 1 else _one_by_one
    for k, cost in zip(todo, found([jobs[k] for k in todo], run), strict=True):
        take(k, cost)
    return [costs[k] for k in range(len(jobs))]


def _one_by_one(jobs: list[Job], run: _Run) -> Iterator[LayerCost | Illegal]:
    for k, job in enumerate(jobs):
        yield _search(job, run.hints.of(job), run.deadline.share(len(jobs) - k))


def _in_pool(jobs: list[Job], run: _Run) -> Iterator[LayerCost | Illegal]:
    from hwsim import processes, warm

    warm.compile_all()
    workers = min(run.workers, len(jobs))
    pool = processes.start_pool(workers)
    try:
        waiting: deque[Future[LayerCost | Illegal]] = deque()
        for k, job in enumerate(jobs):
            waiting.append(
                pool.submit(_search_in_time, job, run.hints.of(job), run.deadline, math.ceil((len(jobs) - k) / workers))
            )
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise HwsimError(
            "a process that searched for a mapping died; is there enough memory? Ask for fewer --jobs.", where="--jobs"
        ) from error
    finally:
        processes.end_pool(pool)


def _search_in_time(job: Job, hints: Sequence[LoopNest], deadline: Deadline, of: int) -> LayerCost | Illegal:
    """In a process of the pool, which has ``of`` jobs to go, with this one."""
    return _search(job, hints, deadline.share(of))


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
    design: Design,
    objective: str | Objective = EDP,
    *,
    jobs: int = 1,
    use_cache: bool = True,
    time_limit: float | None = None,
    progress: Progress | None = None,
    hints: Hints | None = None,
) -> NetworkCost:
    """Cost of a network that was read already; see `profile`. With ``hints``, several designs help one another."""
    deadline = Deadline.after(time_limit)
    goal, architecture = Objective.parse(objective), design.architecture
    layers = workload.layers()
    todo = [Job(layer.problem, design, goal, use_cache) for layer in layers]
    run = _Run(jobs, deadline, Hints() if hints is None else hints, progress)
    costs = _map_all(todo, [layer.name for layer in layers], run)
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
        objective=goal,
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
    objective: str | Objective = EDP,
    *,
    dims: Mapping[str, int] | None = None,
    jobs: int = 1,
    use_cache: bool = True,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> NetworkCost:
    """What a network costs on an architecture, every layer under its best mapping.

    Args:
        path: an ONNX file.
        arch: name of a shipped architecture, or an architecture file.
        objective: see `hwsim.objective.Objective.parse`.
        dims: sizes of the model's symbolic dimensions; others are 1.
        jobs: processes that map layers side by side; the result is the same.
        use_cache: look for mappings on disk first, and keep them there.
        time_limit: seconds for all layers together; each that is searched has its share of what is left, and where
            that does not suffice the best mapping so far, with its gap.
        progress: called with (layers done, layers, name of the last).

    Raises:
        HwsimError: a file, name or size is wrong, or a layer fits no mapping.
    """
    design = load_design(arch)
    workload = read_onnx(path, dict(dims or {}))
    return profile_workload(
        workload, design, objective, jobs=jobs, use_cache=use_cache, time_limit=time_limit, progress=progress
    )
