"""Exploration of 1,000 designs: time and memory of the grid, ten kills, and how soon NSGA-II finds the front.

Run by ``make bench-explore`` (some 20 minutes on two idle cores), or part by part::

    python benchmarks/bench_explore.py grid     # the grid from a cold cache: time, CPU, memory over the run
    python benchmarks/bench_explore.py kills    # the grid again, killed ten times at random moments
    python benchmarks/bench_explore.py nsga2    # three seeds, 20% of the evaluations; outcomes come from the grid

What is measured is kept in ``--folder`` and written to ``benchmarks/explore.md`` (``--output``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from hwsim.explore import SamplerName
from hwsim.explore.check import prepare
from hwsim.explore.front import Box, on_front
from hwsim.explore.run import Exploration, explore
from hwsim.explore.sampling import POPULATION, Grid, make_sampler
from hwsim.explore.space import load_space
from hwsim.explore.store import Store
from hwsim.explore.workers import InProcess

HERE = Path(__file__).parent
KILLS = 10
SEEDS = (0, 1, 2)
SHARE = 0.2  # of the grid's evaluations that a sampler may use
SAMPLE_SECONDS = 2.0


def command(space: Path, store: Path, workers: int) -> list[str]:
    """The exploration as a user would start it."""
    start = "from hwsim.cli import main; main()"
    return [
        sys.executable,
        "-c",
        start,
        "explore",
        str(space),
        "--grid",
        "--workers",
        str(workers),
        "--store",
        str(store),
        "--json",
    ]


def cold(folder: Path, name: str) -> dict[str, str]:
    """An environment without cached mappings."""
    return {**os.environ, "HWSIM_CACHE_DIR": str(folder / name)}


def rows(store: Path) -> dict[str, str]:
    """Outcomes in a store; none where there is no store yet."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30)) as file:
            return dict(file.execute("SELECT params, outcome FROM designs"))
    except sqlite3.OperationalError:
        return {}


def family(pid: int) -> list[int]:
    """A process and its children (Linux)."""
    out = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                out.append(int(stat.parent.name))
        except OSError:
            continue
    return out


def resident_mib(pid: int) -> float:
    """Memory that a process holds, in MiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
    except (OSError, StopIteration):
        return 0.0


class Memory(threading.Thread):
    """Samples (share of the designs that is done, MiB of the process and of its workers)."""

    def __init__(self, pid: int, store: Path, designs: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.store, self.designs = pid, store, designs
        self.samples: list[tuple[float, float, float]] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Until `over` is set."""
        while not self.over.wait(SAMPLE_SECONDS):
            parent, *children = family(self.pid)
            done = len(rows(self.store)) / self.designs
            self.samples.append((done, resident_mib(parent), sum(map(resident_mib, children))))

    def mean(self, low: float, high: float) -> tuple[float, float]:
        """Mean MiB of parent and workers between two shares of the run."""
        chosen = [s for s in self.samples if low <= s[0] <= high] or self.samples[-1:]
        return sum(s[1] for s in chosen) / len(chosen), sum(s[2] for s in chosen) / len(chosen)


def measure_grid(space: Path, folder: Path, workers: int) -> dict[str, Any]:
    """The whole grid from a cold cache."""
    store = folder / "grid.sqlite"
    store.unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", str(folder / "grid_cache")], check=True)
    designs = int(load_space(space).grid_size)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command(space, store, workers), env=cold(folder, "grid_cache"), stdout=subprocess.PIPE)
    memory = Memory(process.pid, store, designs)
    memory.start()
    out, _ = process.communicate()
    seconds = time.perf_counter() - started
    memory.over.set()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, process.returncode
    result = json.loads(out)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    early, late = memory.mean(0.1, 0.3), memory.mean(0.8, 1.0)
    return {
        "designs": result["trials"], "failed": result["failed"], "front": len(result["front"]), "workers": workers,
        "seconds": seconds, "cpu_seconds": cpu, "parent_mib": [early[0], late[0]], "workers_mib": [early[1], late[1]],
        "json": result,
    }  # fmt: skip


def measure_kills(space: Path, folder: Path, workers: int, expected: dict[str, Any]) -> dict[str, Any]:
    """The grid again, killed at random moments; every finished outcome should stay as it was."""
    store = folder / "kills.sqlite"
    store.unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", str(folder / "kills_cache")], check=True)
    source, lost, changed, moments = random.Random(2024), 0, 0, []
    designs = expected["designs"]
    for kill in range(KILLS):
        # at a random moment of the time in which the next tenth of the designs is expected, start-up included
        wait = source.uniform(0.2, 1.0) * max(4.0, 2 * expected["seconds"] / (KILLS + 1))
        process = subprocess.Popen(
            command(space, store, workers), env=cold(folder, "kills_cache"), stdout=subprocess.DEVNULL
        )
        time.sleep(wait)
        before = rows(store)
        process.send_signal(signal.SIGKILL)
        process.wait()
        after = rows(store)
        lost += len(before.keys() - after.keys())
        changed += sum(before[k] != after[k] for k in before.keys() & after.keys())
        moments.append(len(after))
        print(f"kill {kill + 1}: {len(after)} of {designs} designs are kept", flush=True)
        if process.returncode != -signal.SIGKILL:
            break  # it was done before
    out = subprocess.run(
        command(space, store, workers), env=cold(folder, "kills_cache"), stdout=subprocess.PIPE, check=True
    )
    return {
        "kept_at_kills": moments,
        "lost": lost,
        "changed": changed,
        "same": json.loads(out.stdout) == expected["json"],
    }


def measure_nsga2(space: Path, folder: Path) -> list[dict[str, Any]]:
    """Share of the grid front's hypervolume, in the grid front's box, after a share of the evaluations."""
    ready = prepare(load_space(space))
    with Store(folder / "grid.sqlite", ready.identity) as store:
        known = len(store)
        whole = explore(ready.space, store, Grid(ready.space), InProcess(ready.job), known)
        assert whole.evaluated == 0, "run the grid first"
        box = Box.around(whole.points[on_front(whole.points)])
        full = box.hypervolume(whole.points)
        most = int(SHARE * known)
        out = []
        for name in (SamplerName.nsga2, SamplerName.tpe, SamplerName.qmc):
            for seed in SEEDS:
                found = explore(ready.space, store, make_sampler(ready.space, name, seed), InProcess(ready.job), most)
                out.append(
                    {
                        "sampler": name.value, "seed": seed, "evaluations": len(found.trials), "of": known,
                        "share": box.hypervolume(found.points) / full, "needed": _needed(found, box, full),
                        "on_front": sum(any((p == q).all() for q in whole.points[on_front(whole.points)]) for p in found.points),
                    }
                )  # fmt: skip
                print(out[-1], flush=True)
    return out


def _needed(found: Exploration, box: Box, full: float, share: float = 0.99) -> int | None:
    """Evaluations after which the share was reached; None where it was not."""
    for k in range(1, len(found.points) + 1):
        if box.hypervolume(found.points[:k]) >= share * full:
            return found.complete[k - 1].number + 1
    return None


def page(results: dict[str, Any], space: Path) -> str:
    """What was measured, as Markdown."""
    lines = [
        "# Exploration, measured",
        "",
        f"By `make bench-explore`: {space.name}, {os.cpu_count()} cores, {platform.machine()}.",
        "",
    ]
    if "grid" in results:
        g = results["grid"]
        lines += [
            "## The whole grid, from a cold cache", "",
            f"{g['designs']:,} designs ({g['failed']} failed), {g['workers']} workers: **{g['seconds']:.0f} s**, "
            f"{g['cpu_seconds']:.0f} s of CPU, {g['cpu_seconds'] / g['designs']:.2f} s per design; {g['front']} designs on the front.",
            "", "| memory (MiB) | first third | end |", "|---|---|---|",
            f"| process that keeps the results | {g['parent_mib'][0]:.0f} | {g['parent_mib'][1]:.0f} |",
            f"| workers together | {g['workers_mib'][0]:.0f} | {g['workers_mib'][1]:.0f} |", "",
        ]  # fmt: skip
    if "kills" in results:
        k = results["kills"]
        lines += [
            "## Killed (SIGKILL) and resumed", "",
            f"{len(k['kept_at_kills'])} kills at random moments, with {', '.join(map(str, k['kept_at_kills']))} designs finished: "
            f"{k['lost']} finished trials lost, {k['changed']} changed; the result is {'the same as' if k['same'] else 'DIFFERENT from'} "
            "that of the undisturbed run.", "",
        ]  # fmt: skip
    if "nsga2" in results:
        lines += [
            "## Samplers against the grid", "",
            "Hypervolume that the designs found dominate, as a share of the grid front's, in the grid front's box (reference point: 10% "
            f"beyond its worst values). Every evaluation is a distinct design; NSGA-II has {POPULATION} designs per generation, the first "
            "generation is a Halton sample.", "",
            "| sampler | seed | evaluations | share of the hypervolume | evaluations to 99% | designs of the grid's front |", "|---|---|---|---|---|---|",
        ]  # fmt: skip
        for r in results["nsga2"]:
            lines.append(
                f"| {r['sampler']} | {r['seed']} | {r['evaluations']} of {r['of']:,} | {100 * r['share']:.2f}% | {r['needed'] or '–'} | {r['on_front']} |"
            )
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Measure what is asked for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["grid", "kills", "nsga2"], help="grid, kills, nsga2")
    parser.add_argument("--space", type=Path, default=HERE / "explore_space.yaml")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "build" / "bench-explore")
    parser.add_argument("--output", type=Path, default=HERE / "explore.md")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / "results.json"
    results: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for part in asked.parts:
        if part == "grid":
            results["grid"] = measure_grid(asked.space, asked.folder, asked.workers)
        elif part == "kills":
            results["kills"] = measure_kills(asked.space, asked.folder, asked.workers, results["grid"])
        else:
            results["nsga2"] = measure_nsga2(asked.space, asked.folder)
        kept.write_text(json.dumps(results))
        asked.output.write_text(page(results, asked.space))
    print(asked.output.read_text())


if __name__ == "__main__":
    main()
