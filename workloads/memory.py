"""How much activation memory a workload needs.

An activation is a tensor that is not constant. Each has memory of its own: a reshape is
a copy, and nothing is computed in place. While an operator runs, what it reads and what
it writes are both alive.
"""

from __future__ import annotations

import functools
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from workloads.workload import Operator, Workload

#: States that the search for the best order visits before it gives up: about a second.
MAX_STATES = 20_000

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
    return max((plan.live_at_start, *_live_bytes(plan)))


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
    out, live, done = [], plan.live_at_start, 0
    for step in range(len(plan.reads)):
        out.append(live + plan.written[step])
        live += plan.change(step, done)
        done |= 1 << step
    return out


@_once
def peak_live_bytes_best_order(workload: Workload) -> int | None:
    """The least `peak_live_bytes` over all topological orders; None where the search would visit too many states.

    A state is the set of operators that have run; what is alive follows from it. The
    search goes through states by least peak (Dijkstra's algorithm with the maximum in
    place of the sum), so the first complete state is optimal. A ready operator that
    raises neither the peak nor what is alive afterwards can always go first: any order
    in which it comes later is no worse with it moved to the front.
    """
    plan = _plan(workload)
    everything = (1 << len(plan.reads)) - 1
    limit = peak_live_bytes(workload)
    start = tuple(step for step, before in enumerate(plan.before) if not before)
    queue = [(plan.live_at_start, 0, 0, plan.live_at_start, start)]
    best = {0: plan.live_at_start}
    while queue:
        peak, _, done, live, ready = heapq.heappop(queue)
        if done == everything:
            return peak
        if peak > best[done]:
            continue
        if len(best) > MAX_STATES:
            return None
        changes = {step: plan.change(step, done) for step in ready}
        free = [step for step in ready if changes[step] <= 0 and live + plan.written[step] <= peak]
        for step in free[:1] or ready:
            reached, cost = done | 1 << step, max(peak, live + plan.written[step])
            if cost > limit or best.get(reached, limit + 1) <= cost:
                continue
            best[reached] = cost
            freed = [s for s in plan.after[step] if plan.before[s] & ~reached == 0]
            heapq.heappush(
                queue,
                (cost, -reached.bit_count(), reached, live + changes[step], (*(s for s in ready if s != step), *freed)),
            )
    return limit


@dataclass(frozen=True)
class _Plan:
    """The operators that run, as numbers; sets of operators are bit masks.

    Attributes:
        reads: per operator, (bytes, operators that read it, kept to the end) of each activation it reads.
        written: per operator, bytes that it writes.
        kept: per operator, bytes of these that anyone needs afterwards.
        before / after: per operator, those it needs and those that need it.
        live_at_start: bytes of the graph's inputs that anyone needs.
    """

    reads: tuple[tuple[tuple[int, int, bool], ...], ...]
    written: tuple[int, ...]
    kept: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[tuple[int, ...], ...]
    live_at_start: int

    def change(self, step: int, done: int) -> int:
        """Bytes by which the live activations grow when an operator runs after ``done``."""
        reached = done | 1 << step
        freed = sum(size for size, readers, keep in self.reads[step] if not keep and readers & ~reached == 0)
        return self.kept[step] - freed


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
    producer = {name: step for step, op in enumerate(steps) for name in op.outputs}
    readers: dict[str, int] = {}
    for step, op in enumerate(steps):
        for name in op.inputs:
            readers[name] = readers.get(name, 0) | 1 << step
    outputs = set(workload.graph_outputs)
    before = [sum({1 << producer[name] for name in op.inputs if name in producer}) for op in steps]
    after = [tuple(sorted({s for name in op.outputs for s in _bits(readers.get(name, 0))})) for op in steps]
    inputs = {n for n in (*workload.graph_inputs, *readers) if n not in producer and not workload.tensors[n].constant}
    return _Plan(
        reads=tuple(
            tuple((sizes[step][n], readers[n], n in outputs) for n in dict.fromkeys(op.inputs) if n in sizes[step])
            for step, op in enumerate(steps)
        ),
        written=tuple(sum(sizes[step].get(n, 0) for n in op.outputs) for step, op in enumerate(steps)),
        kept=tuple(
            sum(sizes[step].get(n, 0) for n in op.outputs if n in readers or n in outputs)
            for step, op in enumerate(steps)
        ),
        before=tuple(before),
        after=tuple(after),
        live_at_start=sum(workload.tensors[n].bytes for n in inputs if n in readers or n in outputs),
    )


def _bits(mask: int) -> list[int]:
    return [i for i, bit in enumerate(reversed(f"{mask:b}")) if bit == "1"] if mask else []
