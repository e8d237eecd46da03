"""A strict checker of Trace Event JSON (the "JSON Object Format" that Perfetto and chrome://tracing read)."""

from __future__ import annotations

import itertools
from typing import Any

TOP = {"traceEvents": list, "displayTimeUnit": str, "otherData": dict}
METADATA = {"process_name": "name", "thread_name": "name", "process_sort_index": "sort_index"}


def check_trace(trace: Any) -> None:
    """Assert that a trace is valid, that every row has a name, and that no row does two things at once."""
    assert isinstance(trace, dict)
    assert set(trace) <= set(TOP) and "traceEvents" in trace
    for key, value in trace.items():
        assert isinstance(value, TOP[key]), key
    assert trace.get("displayTimeUnit", "ms") in ("ms", "ns")
    processes: set[int] = set()
    threads: set[tuple[int, int]] = set()
    bars: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in trace["traceEvents"]:
        assert isinstance(event, dict)
        assert isinstance(event.get("name"), str) and event["name"]
        assert _whole(event.get("pid")) and _whole(event.get("tid"))
        row = (event["pid"], event["tid"])
        if event["ph"] == "M":
            _check_metadata(event)
            if event["name"] == "process_name":
                processes.add(event["pid"])
            elif event["name"] == "thread_name":
                assert row not in threads, f"two names for row {row}"
                threads.add(row)
        else:
            assert event["ph"] == "X", event["ph"]
            assert set(event) == {"ph", "name", "pid", "tid", "ts", "dur", "args"}
            assert _number(event["ts"]) and event["ts"] >= 0
            assert _number(event["dur"]) and event["dur"] > 0
            assert isinstance(event["args"], dict)
            assert all(isinstance(k, str) and isinstance(v, str | int | float) for k, v in event["args"].items())
            bars.setdefault(row, []).append((event["ts"], event["ts"] + event["dur"]))
    assert bars, "nothing happens"
    for row, spans in bars.items():
        assert row in threads and row[0] in processes, f"row {row} has no name"
        spans.sort()
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans)), f"bars of row {row} overlap"


def _check_metadata(event: dict[str, Any]) -> None:
    assert set(event) == {"ph", "name", "pid", "tid", "args"}
    assert event["name"] in METADATA, event["name"]
    assert set(event["args"]) == {METADATA[event["name"]]}
    value = event["args"][METADATA[event["name"]]]
    assert _whole(value) if event["name"].endswith("index") else isinstance(value, str) and value


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
