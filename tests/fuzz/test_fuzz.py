"""A few thousand inputs at random through the commands, and that the net would catch what it is for."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import campaign, judge, kinds
from tests.fuzz.judge import Fault, Outcome
from tests.fuzz.kinds import Case

ROOT = Path(__file__).parents[2]
COUNT = 3000


def test_a_few_thousand_inputs(tmp_path: Path) -> None:
    """No traceback, no crash, no hang, nothing absurd; what is found stands in the output with its number."""
    command = [
        sys.executable,
        ROOT / "benchmarks" / "fuzz.py",
        "--seed",
        "0",
        "--count",
        str(COUNT),
        "--folder",
        tmp_path,
    ]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr[-3000:]
    rows = [line.split("|")[1:5] for line in run.stdout.splitlines() if line.startswith("| ")]
    counts = {row[0].strip(): [int(cell.replace(",", "")) for cell in row[1:]] for row in rows[1:]}
    assert counts.keys() == {*kinds.KINDS, "all"} and counts["all"][0] == COUNT
    assert all(accepted for _, accepted, _ in counts.values()), run.stdout  # mutations leave something of the input


def test_inputs_are_the_same_for_the_same_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_PREPARED", [kinds.Prepared(b'{"a": [1]}', {"cache/a.json": b"{}"}, b"", b"")])
    first = [kinds.make(7, number) for number in range(200)]
    assert first == [kinds.make(7, number) for number in range(200)]
    assert {case.kind for case in first} > {"onnx bytes", "onnx structure", "networks", "architectures", "stores"}
    assert first != [kinds.make(8, number) for number in range(200)]


def _planted(case: Case, folder: Path) -> Outcome:
    match case.argv[0]:
        case "13":
            os.abort()
        case "57":
            time.sleep(60)
        case "111":
            kept = bytearray(b"x") * (campaign.MOST_BYTES + 2**26)
            time.sleep(60)
            return Outcome(len(kept), ())
        case "160":
            return Outcome(1, (Fault("traceback", "KeyError in here", ""),))
    return Outcome(0, ())


def test_crashes_hangs_and_memory_are_laid_to_their_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(campaign, "MOST_SECONDS", 5.0)
    monkeypatch.setattr(campaign, "MOST_BYTES", 2**30)
    monkeypatch.setattr(campaign, "start_in", lambda folder: None)
    monkeypatch.setattr(kinds, "make", lambda seed, number: Case("planted", (str(number),), {}))
    monkeypatch.setattr(judge, "run", _planted)
    found = campaign.run(1, 250, tmp_path, jobs=2)
    assert {(x.fault.what, x.number) for x in found.found.values()} == {
        ("crash", 13),
        ("hang", 57),
        ("memory", 111),
        ("traceback", 160),
    }
    assert found.done == 250 and found.tallies["planted"].accepted == 246
    assert campaign.run(1, 250, tmp_path, jobs=2).done == 250  # nothing is done twice


@pytest.mark.parametrize(
    ("result", "what"),
    [
        ('{"totals": {"macs": 4, "cycles": 0, "energy_pj": 1.0}, "layers": []}', "cycles is 0"),
        ('{"totals": {"macs": 4, "cycles": 2, "energy_pj": 0.0}, "layers": []}', "energy_pj is 0"),
        ('{"totals": {"macs": 4, "cycles": 2, "energy_pj": NaN}, "layers": []}', "NaN"),
        ('{"totals": {"macs": 4, "cycles": 2, "energy_pj": 1e999}, "layers": []}', "energy_pj is inf"),
        ('{"totals": {"macs": 4, "cycles": 2, "energy_pj": -1}, "layers": []}', "negative energy_pj"),
        ('{"totals": {"macs": 4, "cycles": 1, "energy_pj": 1, "utilization": 1.01}, "layers": []}', "above 1"),
        ('{"totals": {"macs": 5, "cycles": 2, "energy_pj": 1.0}, "layers": []}', "another number"),
        ('{"totals": {"macs": 4, "cycles": 2, "energy_pj": 1.0, "utilization": 1.0}, "layers": []}', ""),
    ],
)
def test_absurd_results(result: str, what: str) -> None:
    faults = list(judge._absurd(Case("networks", ("profile",), {}, "out.json", macs=4), result))
    assert bool(faults) == bool(what)
    assert all(what in fault.where for fault in faults)
