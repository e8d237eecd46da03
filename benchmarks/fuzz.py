"""Mutated inputs and random networks through the commands: ``make fuzz``, bounded by COUNT and SECONDS.

A run that was interrupted goes on where it stopped. Faults are written to ``build/fuzz/faults``, one folder each, with
the input as small as it could be made; a whole run writes ``benchmarks/fuzz.md``. One input alone:
``python benchmarks/fuzz.py --seed 1 --only 1234``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = str(ROOT)

from tests.fuzz import campaign as net
from tests.fuzz import judge, kinds

REPORT = ROOT / "benchmarks" / "fuzz.md"


def table(found: net.Campaign) -> str:
    """A row per kind, as Markdown."""
    whats = ("traceback", "crash", "hang", "memory", "absurd", "refused", "message")
    names = (*whats[:5], "well-formed, refused", "message")
    lines = ["| kind | inputs | accepted | refused | " + " | ".join(names) + " | ms each | longest, s |"]
    lines.append("|---|" + "---:|" * (len(whats) + 5))
    total = net.Tally()
    for kind in [*kinds.KINDS, "all"]:
        tally = total if kind == "all" else found.tallies.get(kind, net.Tally())
        if kind != "all":
            total.add(tally)
        inputs = tally.accepted + tally.refused + sum(tally.faults.values())
        cells = [kind, f"{inputs:,}", f"{tally.accepted:,}", f"{tally.refused:,}"]
        cells += [f"{tally.faults.get(what, 0):,}" for what in whats]
        cells += [f"{1000 * tally.seconds / max(1, inputs):.0f}", f"{tally.longest:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def faults(found: net.Campaign) -> str:
    """A line per fault."""
    order = sorted(found.found.items(), key=lambda x: (x[1].fault.what, -x[1].count))
    return "\n".join(f"- {name} ({one.count}, first by {one.kind} {one.number})" for name, one in order)


def report(found: net.Campaign, jobs: int) -> str:
    """The page that a whole run writes."""
    seconds = sum(tally.seconds for tally in found.tallies.values()) / jobs
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    return f"""# Inputs at random

Made by `make fuzz SEED={found.seed} COUNT={found.done}`: {found.done:,} inputs in {seconds / 60:.0f} minutes on {jobs} of {machine}.
A fault is an exception other than the library's own, a crash, a hang ({net.MOST_SECONDS:g} s), more than 2 GiB of memory, an absurd
result (negative, NaN, infinite, no cycles or energy with work to do, utilization above 1, another count of
multiplications than a network was built with, another result from a damaged cache or store), a well-formed network that is
refused, or a message of many lines, over {judge.MOST_MESSAGE} characters or with control characters. The most memory that a
process had is {found.peak_bytes / 2**20:.0f} MiB.

{table(found)}

{faults(found) or "No fault was found."}
"""


def main() -> int:
    """Run, tell, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no more inputs are begun")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--only", type=int, help="run this input alone, and show what comes of it")
    parser.add_argument("--report", action="store_true", help="write benchmarks/fuzz.md")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.only is not None:
        return only(args.seed, args.only, args.folder.resolve())
    begun, last = time.monotonic(), [0.0, None]

    def tell(now: net.Campaign) -> None:
        if last[1] is None:
            last[1] = now.done
        if time.monotonic() - last[0] > 10:
            last[0] = time.monotonic()
            rate = (now.done - last[1]) / max(1e-9, last[0] - begun)
            left = (args.count - now.done) / rate / 60 if rate else 0
            text = f"{now.done:,}/{args.count:,} · {rate:.0f} a second · {len(now.found)} faults · {left:.0f} min left"
            print(text, file=sys.stderr, flush=True)

    found = net.run(args.seed, args.count, args.folder, jobs=args.jobs, seconds=args.seconds, tell=tell)
    print(table(found))
    print(faults(found))
    net.write_faults(found, args.folder.resolve())
    if args.report:
        REPORT.write_text(report(found, args.jobs), encoding="utf-8")
    return 1 if found.found else 0


def only(seed: int, number: int, folder: Path) -> int:
    """One input, alone."""
    net.start_in(folder)
    place = folder / "only"
    (place / "cache").mkdir(parents=True, exist_ok=True)
    for path in (place / "cache").iterdir():
        path.unlink()
    case = kinds.make(seed, number)
    print(case.kind, *map(ascii, case.argv), f"(in {place})")
    outcome = judge.run(case, place)
    print("exit code", outcome.code)
    for fault in outcome.faults:
        print(f"{fault.what}: {fault.where}\n{fault.text}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
