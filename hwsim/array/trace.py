"""A run as Trace Event JSON, which Perfetto and ``chrome://tracing`` open: a row per storage instance and multiplier.

One cycle is one microsecond of the trace. Cycles in which a row does the same are one bar; its arguments say how
many words of which data space moved, and with which elements it began.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hwsim.array.machine import Event, Machine

MOST_MACS = 2_000_000
"""Largest layer that is traced."""


@dataclass
class _Bar:
    """What a row is doing: the same actions since ``start``."""

    name: str
    start: int
    end: int
    words: dict[str, int] = field(default_factory=dict)
    first: str = ""


class Tracer:
    """Collects the events of a machine's steps into bars."""

    def __init__(self, machine: Machine, title: str) -> None:
        self.machine = machine
        self.title = title
        self.done: list[dict[str, Any]] = []
        self._rows: dict[str, tuple[int, int]] = {}
        self._open: dict[str, _Bar] = {}
        self._name_rows()

    def _name_rows(self) -> None:
        """A process per level, a thread per instance, named as in the architecture."""
        plan = self.machine.plan
        names = [level.name for level in plan.architecture.levels] + [plan.architecture.compute.name]
        active = {node.level for node in plan.nodes}
        for level, (name, places) in enumerate(zip(names, self.machine.place_names, strict=True)):
            if level not in active:
                continue
            self.done.append(_named("process_name", level + 1, 0, name))
            self.done.append(
                {"ph": "M", "name": "process_sort_index", "pid": level + 1, "tid": 0, "args": {"sort_index": level}}
            )
            for x, place in enumerate(places):
                self._rows[place] = (level + 1, x + 1)
                self.done.append(_named("thread_name", level + 1, x + 1, place))

    def record(self, start: int, end: int) -> None:
        """Take in what happened in the step that the machine just made, from cycle ``start`` to ``end``."""
        happened: dict[str, list[Event]] = {}
        for event in self.machine.events:
            happened.setdefault(event.place, []).append(event)
        for place, events in happened.items():
            if place not in self._rows:
                continue
            name = self._name(place, events)
            bar = self._open.get(place)
            if bar is None or bar.name != name or bar.end != start:
                if bar is not None:
                    self._close(place, bar)
                bar = self._open[place] = _Bar(name, start, end, first=_element(events[0]))
            bar.end = end
            for event in events:
                key = f"{event.action} {event.data_space}"
                bar.words[key] = bar.words.get(key, 0) + event.words

    def _name(self, place: str, events: list[Event]) -> str:
        """What a bar is called: a multiplier by the weight it works with, a storage by its actions."""
        if events[0].action == "mac":
            multiplier = self.machine.multipliers[self._rows[place][1] - 1]
            return f"W{list(multiplier.operands[0].element)}"
        return ", ".join(sorted({f"{event.action} {event.data_space}" for event in events}))

    def _close(self, place: str, bar: _Bar) -> None:
        pid, tid = self._rows[place]
        args = {"first": bar.first, **bar.words}
        self.done.append(
            {
                "ph": "X",
                "name": bar.name,
                "pid": pid,
                "tid": tid,
                "ts": bar.start,
                "dur": bar.end - bar.start,
                "args": args,
            }
        )

    def json(self) -> str:
        """The whole trace."""
        for place, bar in self._open.items():
            self._close(place, bar)
        self._open = {}
        whole = {"displayTimeUnit": "ns", "otherData": {"title": self.title, "cycle": "1 us"}, "traceEvents": self.done}
        return json.dumps(whole, separators=(",", ":")) + "\n"


def _named(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _element(event: Event) -> str:
    return f"{event.data_space}{list(event.first)}"


def traced(
    machine: Machine,
    title: str,
    progress: Callable[[int, int], None] | None = None,
    each: Callable[[Machine], None] | None = None,
) -> Tracer:
    """Run a machine (made with ``follow``) to its end and keep its trace.

    Args:
        progress: called with (steps done, all).
        each: called after every step.
    """
    tracer = Tracer(machine, title)
    while True:
        start = machine.clock.cycle
        if not machine.cycle():
            break
        tracer.record(start, machine.clock.cycle)
        if each is not None:
            each(machine)
        if progress is not None and machine.steps % 256 == 0:
            progress(machine.steps, machine.plan.steps)
    start = machine.clock.cycle
    machine.finish()
    tracer.record(start, max(start + 1, machine.clock.cycle))
    return tracer
