"""How much activation memory a workload needs.

An activation is a tensor that is not constant. Each has memory of its own: a reshape is
a copy, and nothing is computed in place. While an operator runs, what it reads and what
it writes are both alive.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from hwsim.workloads.workload import Operator, Workload

#: States that the search for the best order visits before it gives up: about a second.
MAX_STATES = 20_000
#: Ready operators that it looks at before it gives up: a second or two.
MAX_WORK = 2_000_000

Figure = TypeVar("Figure")


@dataclass(frozen=True)
class Moment:
    """While one operator runs: its name and type, whether it is mapped, and the bytes of activations alive."""

    operator: str
    op: str
    mapped: bool
    live_bytes: int


def _once(function: Callable[[Workload], Figure]) -> Callable[[Workload], Figure]:
    """Keep a figure with the workload that it is of: sweeps over designs ask for it again and again."""

    @functools.wraps(function)
    def wrapper(workload: Workload) -> Figure:
        kept = workload.__dict__.setdefault("_memory_figures", {})
        if function.__name__ not in kept:
            kept[function.__name__] = function(workload)
        value: Figure = kept[function.__name__]
        return value

    return wrapper


@_once
def peak_activation_bytes(workload: Workload) -> int:
    """The largest sum of input and output activation bytes of any mapped operator; 0 where there is none.

    The size that an accelerator's activation memory needs when it runs one layer at a
    time, as courses on efficient deep learning define it. Weights do not count, and
    what waits in other branches does not either: `peak_live_bytes` has that.
    """
    return max((sum(_sizes(workload, op).values()) for op in workload.operators if op.mapped), default=0)


@_once
def peak_live_bytes(workload: Workload) -> int:
    """The most bytes of activations alive at once when the operators run in the file's order.

    A graph input is alive from the start to its last reader, an activation from its
    operator to its last reader, a graph output from its operator to the end.
    """
    plan = _plan(workload)
    return max([plan.live_at_start, *_live_bytes(plan)])


def memory_schedule(workload: Workload) -> tuple[Moment, ...]:
    """What is alive while each operator runs, in the file's order; operators whose results are constant do not run."""
    plan = _plan(workload)
    return tuple(
        Moment(op.name, op.op, op.mapped, live) for op, live in zip(_steps(workload), _live_bytes(plan), strict=True)
    )


def live_tensors(workload: Workload, operator: str) -> tuple[tuple[str, int], ...]:
    """The activations alive while an operator runs, as (name, bytes), largest first.

    Raises:
        KeyError: no operator of this name runs.
    """
    steps = _steps(workload)
    now = {op.name: step for step, op in enumerate(steps)}[operator]
    born, last = dict.fromkeys(workload.graph_inputs, -1), dict.fromkeys(workload.graph_outputs, len(steps))
    for step, op in enumerate(steps):
        for name in op.inputs:
            born.setdefault(name, -1)
            last[name] = max(last.get(name, 0), step)
        for name in op.outputs:
            born[name] = step
            last.setdefault(name, step)
    sizes = {n: workload.tensors[n].bytes for n in born if n in last and not workload.tensors[n].constant}
    alive = [(n, size) for n, size in sizes.items() if born[n] <= now <= last[n]]
    return tuple(sorted(alive, key=lambda pair: (-pair[1], pair[0])))


def _live_bytes(plan: _Plan) -> list[int]:
    """Bytes alive while each operator runs, in order."""
    progress, out = _Progress(plan), []
    for step, written in enumerate(plan.written):
        out.append(progress.live + written)
        progress.run(step)
    return out


@_once
def peak_live_bytes_best_order(workload: Workload) -> int | None:
    """The least `peak_live_bytes` over all topological orders; None where the search would take too long.

    Where one operator alone is ready, it runs next, and a ready operator that raises
    neither the peak nor what is alive afterwards can always go first: any order in which
    it comes later is no worse with it moved to the front. What this leaves open is
    searched.
    """
    plan = _plan(workload)
    progress = _Progress(plan)
    ready = [step for step, before in enumerate(plan.before) if not before]
    while ready:
        free = 0 if len(ready) == 1 else next((i for i, step in enumerate(ready) if progress.is_free(step)), None)
        if free is None:
            return _search(_rest(plan, progress), progress.peak, peak_live_bytes(workload))
        ready[free], ready[-1] = ready[-1], ready[free]
        ready += progress.run(ready.pop())
        if progress.work > MAX_WORK + 10 * len(plan.written):
            return None
    return progress.peak


def _search(plan: _Plan, peak: int, limit: int) -> int | None:
    """The least peak that can be had by running the operators of a plan; None where there are too many states.

    A state is the set of operators that have run; what is alive follows from it. The
    search goes through states by least peak (Dijkstra's algorithm with the maximum in
    place of the sum), so the first complete state is optimal.

    Args:
        plan: the operators.
        peak: bytes that were alive at once before.
        limit: a peak that some order is known to reach.
    """
    if len(plan.written) > MAX_STATES:
        return None
    everything = (1 << len(plan.written)) - 1
    before = [sum(1 << step for step in steps) for steps in plan.before]
    readers = {name: sum(1 << step for step in steps) for name, steps in plan.readers.items()}

    def change(step: int, done: int) -> int:
        """Bytes by which the live activations grow when an operator runs after ``done``."""
        waiting = ~(done | 1 << step)
        freed = sum(plan.size[n] for n in plan.reads[step] if n not in plan.outputs and not readers[n] & waiting)
        return plan.kept[step] - freed

    start = tuple(step for step, mask in enumerate(before) if not mask)
    queue = [(peak, 0, 0, plan.live_at_start, start)]
    best = {0: peak}
    work = 0
    while queue:
        peak, _, done, live, ready = heapq.heappop(queue)
        if done == everything:
            return peak
        if peak > best[done]:
            continue
        if len(best) > MAX_STATES:
            return None
        changes = {step: change(step, done) for step in ready}
        free = [step for step in ready if changes[step] <= 0 and live + plan.written[step] <= peak]
        chosen = free[:1] or ready
        work += len(ready) * (1 + len(chosen))
        if work > MAX_WORK:
            return None
        for step in chosen:
            reached, cost = done | 1 << step, max(peak, live + plan.written[step])
            if cost > limit or best.get(reached, limit + 1) <= cost:
                continue
            best[reached] = cost
            freed = [s for s in plan.after[step] if before[s] & ~reached == 0]
            heapq.heappush(
                queue,
                (cost, -reached.bit_count(), reached, live + changes[step], (*(s for s in ready if s != step), *freed)),
            )
    return limit


@dataclass(frozen=True)
class _Plan:
    """The operators that run, as numbers.

    Attributes:
        reads: per operator, the activations that it reads, each once.
        written: per operator, bytes that it writes.
        kept: per operator, bytes of these that anyone needs afterwards.
        before / after: per operator, those it needs and those that need it.
        size: activation → bytes.
        readers: activation → operators that read it.
        outputs: activations that are kept to the end.
        live_at_start: bytes of what is there before the first operator and that anyone needs.
    """

    reads: tuple[tuple[str, ...], ...]
    written: tuple[int, ...]
    kept: tuple[int, ...]
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]
    size: Mapping[str, int]
    readers: Mapping[str, tuple[int, ...]]
    outputs: frozenset[str]
    live_at_start: int


class _Progress:
    """A plan being run, one operator after the other.

    Attributes:
        live: bytes alive before the next operator.
        peak: most bytes alive at once so far.
        work: activations looked at so far.
        done: per operator, whether it has run.
    """

    def __init__(self, plan: _Plan) -> None:
        self.live = self.peak = plan.live_at_start
        self.work = 0
        self.done = [False] * len(plan.written)
        self._plan = plan
        self._unread = {name: len(steps) for name, steps in plan.readers.items()}
        self._waits = [len(before) for before in plan.before]

    def is_free(self, step: int) -> bool:
        """True where an operator raises neither the peak nor what is alive afterwards."""
        return self._change(step) <= 0 and self.live + self._plan.written[step] <= self.peak

    def run(self, step: int) -> list[int]:
        """Run an operator that is ready; returns those that are ready since."""
        self.peak = max(self.peak, self.live + self._plan.written[step])
        self.live += self._change(step)
        self.done[step] = True
        for name in self._plan.reads[step]:
            self._unread[name] -= 1
        for later in self._plan.after[step]:
            self._waits[later] -= 1
        return [later for later in self._plan.after[step] if not self._waits[later]]

    def _change(self, step: int) -> int:
        plan, reads = self._plan, self._plan.reads[step]
        self.work += 1 + len(reads)
        return plan.kept[step] - sum(plan.size[n] for n in reads if self._unread[n] == 1 and n not in plan.outputs)


def _rest(plan: _Plan, progress: _Progress) -> _Plan:
    """What is left of a plan."""
    left = [step for step, done in enumerate(progress.done) if not done]
    number = {step: index for index, step in enumerate(left)}

    def renumbered(steps: Iterable[int]) -> tuple[int, ...]:
        return tuple(number[step] for step in steps if step in number)

    return _Plan(
        reads=tuple(plan.reads[step] for step in left),
        written=tuple(plan.written[step] for step in left),
        kept=tuple(plan.kept[step] for step in left),
        before=tuple(renumbered(plan.before[step]) for step in left),
        after=tuple(renumbered(plan.after[step]) for step in left),
        size=plan.size,
        readers={name: renumbered(steps) for name, steps in plan.readers.items()},
        outputs=plan.outputs,
        live_at_start=progress.live,
    )


def _sizes(workload: Workload, op: Operator) -> dict[str, int]:
    """Activation → bytes, of everything that an operator reads and writes."""
    tensors = workload.tensors
    return {name: tensors[name].bytes for name in (*op.inputs, *op.outputs) if not tensors[name].constant}


def _steps(workload: Workload) -> list[Operator]:
    """The operators that run, in the file's order."""
    return [op for op in workload.operators if op.outputs and workload.active(op)]


def _plan(workload: Workload) -> _Plan:
    steps = _steps(workload)
    sizes = [_sizes(workload, op) for op in steps]
    reads = tuple(tuple(n for n in dict.fromkeys(op.inputs) if n in sizes[step]) for step, op in enumerate(steps))
    producer = {name: step for step, op in enumerate(steps) for name in op.outputs}
    readers: dict[str, list[int]] = {}
    for step, op in enumerate(steps):
        for name in dict.fromkeys(op.inputs):
            readers.setdefault(name, []).append(step)
    outputs = frozenset(workload.graph_outputs)
    before = tuple(tuple({producer[name]: None for name in op.inputs if name in producer}) for op in steps)
    after: list[list[int]] = [[] for _ in steps]
    for step, sources in enumerate(before):
        for source in sources:
            after[source].append(step)
    inputs = {n for n in (*workload.graph_inputs, *readers) if n not in producer and not workload.tensors[n].constant}
    return _Plan(
        reads=reads,
        written=tuple(sum(sizes[step].get(n, 0) for n in op.outputs) for step, op in enumerate(steps)),
        kept=tuple(
            sum(sizes[step].get(n, 0) for n in op.outputs if n in readers or n in outputs)
            for step, op in enumerate(steps)
        ),
        before=before,
        after=tuple(map(tuple, after)),
        size={n: size for each in sizes for n, size in each.items()},
        readers={n: tuple(found) for n, found in readers.items()},
        outputs=outputs,
        live_at_start=sum(workload.tensors[n].bytes for n in inputs if n in readers or n in outputs),
    )
