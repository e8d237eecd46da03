"""Many inputs, in processes that are watched: a crash, a hang or too much memory is laid to the input that did it."""

from __future__ import annotations

import faulthandler
import functools
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.fuzz import judge, kinds
from tests.fuzz.judge import ROOT, Fault

BATCH = 100  # inputs between two entries of the checkpoint
LIFE = 20  # batches that a process does before another takes its place
MOST_SECONDS = 20.0
MOST_BYTES = 2 * 2**30
_POLL_SECONDS = 0.1
_CONTEXT = multiprocessing.get_context("fork")


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    accepted: int = 0
    refused: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, other: Tally) -> None:
        self.accepted += other.accepted
        self.refused += other.refused
        self.faults = dict(Counter(self.faults) + Counter(other.faults))
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)


@dataclass
class Found:
    """A fault with the first input that showed it.

    Attributes:
        number: of the input.
        kind: of the input.
        count: inputs that showed the same.
    """

    number: int
    kind: str
    fault: Fault
    count: int = 1


@dataclass
class Campaign:
    """What is known after some inputs.

    Attributes:
        done: inputs that were run.
        tallies: by kind.
        found: by what and where.
        peak_bytes: the most memory that a process had.
    """

    seed: int
    done: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    peak_bytes: int = 0

    def take(self, batch: dict[str, Any]) -> None:
        """Add what one batch gave, as it stands in the checkpoint."""
        self.done += batch["done"]
        self.peak_bytes = max(self.peak_bytes, batch["peak_bytes"])
        for kind, tally in batch["tallies"].items():
            self.tallies.setdefault(kind, Tally()).add(Tally(**tally))
        for one in batch["found"]:
            fault = Fault(**one["fault"])
            known = self.found.get(f"{fault.what}: {fault.where}")
            if known is None:
                self.found[f"{fault.what}: {fault.where}"] = Found(one["number"], one["kind"], fault, one["count"])
            else:
                known.count += one["count"]


def source_hash() -> str:
    """Hash of the program and of the net, so that a checkpoint of others is not taken up."""
    found = hashlib.sha256()
    for folder in ("hwsim", "workloads", "reports", "arch_specs", "trainers", "tests/fuzz"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml", ".csv", ".gz"):
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def start_in(folder: Path) -> None:
    """Warm this process up: compile, import, and make the right results; processes that fork from it have all that."""
    home = folder / "right"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["HWSIM_CACHE_DIR"] = "cache"  # of the folder where a command runs
    os.environ["NUMBA_NUM_THREADS"] = "1"
    import typer.main

    from hwsim import warm
    from hwsim.cli.commands import COMMANDS, function
    from hwsim.explore import workers

    # One process does it all: explorations evaluate here, and the command line is built once, not once a command.
    workers.Processes = lambda job, *_: workers.InProcess(job)  # type: ignore[assignment,misc]
    typer.main.get_command = functools.cache(typer.main.get_command)  # type: ignore[assignment]
    for name in COMMANDS:
        function(name)
    before = Path.cwd()
    os.chdir(home)
    try:
        warm.compile_all()
        (home / "cache").mkdir(exist_ok=True)
        for path in [*(home / "cache").glob("*.json"), home / "store.sqlite"]:
            path.unlink(missing_ok=True)
        with open(os.devnull, "w") as nowhere:
            kept, sys.stdout = sys.stdout, nowhere
            try:
                kinds.prepare(home)
            finally:
                sys.stdout = kept
    finally:
        os.chdir(before)


# --- a process ------------------------------------------------------------------------


def _work(link: Connection, state: Any, folder: Path, seed: int) -> None:
    """Runs the batches that it is told; ``state``: number of the input, and when it began."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "here" / "cache").mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = (folder / "crash.log").open("w")
    faulthandler.enable(log)
    while True:
        try:
            numbers = link.recv()
        except EOFError:
            return
        link.send(_batch(numbers, state, folder / "here", seed))


def _batch(numbers: list[int], state: Any, folder: Path, seed: int) -> dict[str, Any]:
    campaign = Campaign(seed)
    for number in numbers:
        begun = time.monotonic()
        state[:] = [number, begun, time.process_time()]
        case = kinds.make(seed, number)
        cleared = case.kind in ("cache entries", "stores")  # those bring a cache of their own
        if cleared or len(os.listdir(folder / "cache")) > 2000:
            for path in (folder / "cache").iterdir():
                path.unlink()
        outcome = judge.run(case, folder)
        taken = time.monotonic() - begun
        _count(campaign, number, case.kind, outcome.code, outcome.faults, taken)
        campaign.peak_bytes = max(campaign.peak_bytes, _peak())
    state[:] = [-1, 0.0, 0.0]
    return _as_data(campaign)


def _count(campaign: Campaign, number: int, kind: str, code: int, faults: tuple[Fault, ...], taken: float) -> None:
    tally = campaign.tallies.setdefault(kind, Tally())
    campaign.done += 1
    tally.seconds += taken
    tally.longest = max(tally.longest, taken)
    if faults:
        for what in sorted({fault.what for fault in faults}):
            tally.faults[what] = tally.faults.get(what, 0) + 1
    elif code == 0:
        tally.accepted += 1
    else:
        tally.refused += 1
    for fault in faults:
        name = f"{fault.what}: {fault.where}"
        if name in campaign.found:
            campaign.found[name].count += 1
        else:
            campaign.found[name] = Found(number, kind, fault)


def _as_data(campaign: Campaign) -> dict[str, Any]:
    return {
        "done": campaign.done,
        "peak_bytes": campaign.peak_bytes,
        "tallies": {kind: asdict(tally) for kind, tally in campaign.tallies.items()},
        "found": [asdict(found) for found in campaign.found.values()],
    }


def _peak() -> int:
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


class _Worker:
    """A forked process and what it is at."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.batches = 0
        self.numbers: list[int] = []
        self.state = _CONTEXT.Array("d", 3, lock=False)
        self.link, other = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_work, args=(other, self.state, folder, seed), daemon=True)
        self.process.start()
        other.close()

    def give(self, numbers: list[int]) -> None:
        self.numbers = numbers
        self.state[:] = [-1.0, 0.0, 0.0]
        self.batches += 1
        self.link.send(numbers)

    @property
    def number(self) -> int:
        return int(self.state[0])

    def over(self) -> Fault | None:
        """Why the process should be ended, if it should."""
        number, begun, cpu = self.state[:]
        if number < 0:
            return None
        size, used, running = _usage(self.process.pid or 0)
        if size > MOST_BYTES:
            return Fault("memory", f"{size / 2**30:.1f} GiB", f"the process grew to {size:,} bytes")
        elapsed = time.monotonic() - begun
        # A process that others keep from running does not hang: its own time counts then.
        if elapsed > MOST_SECONDS and (not running or used - cpu > MOST_SECONDS or elapsed > 10 * MOST_SECONDS):
            return Fault(
                "hang", f"after {MOST_SECONDS:g} s", f"{elapsed:.0f} s, of them {used - cpu:.0f} s of computing"
            )
        return None

    def end(self) -> None:
        if self.process.pid and self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.link.close()


def _usage(pid: int) -> tuple[int, float, bool]:
    """(bytes in memory, seconds of computing, whether it computes now) of a process; nothing where /proc is missing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, float("inf"), False
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), (int(fields[11]) + int(fields[12])) / ticks, fields[0] == "R"


# --- all of them ----------------------------------------------------------------------


def run(
    seed: int,
    count: int,
    folder: Path,
    *,
    jobs: int = 2,
    seconds: float = float("inf"),
    tell: Callable[[Campaign], None] = lambda _: None,
) -> Campaign:
    """Run the inputs 0 to ``count`` of a seed.

    Args:
        folder: of the checkpoint, from which an interrupted run goes on, and of all files.
        jobs: processes.
        seconds: after which no batch is begun.
        tell: called after each batch.
    """
    folder = folder.resolve()
    start_in(folder)
    path = folder / f"checkpoint-{seed}.jsonl"
    campaign, known = Campaign(seed), set()
    for batch in _checkpoint(path):
        campaign.take(batch)
        known |= set(batch["numbers"])
    todo = [n for n in range(count) if n not in known]
    batches = [todo[k : k + BATCH] for k in range(0, len(todo), BATCH)][::-1]
    with path.open("a") as checkpoint:

        def keep(batch: dict[str, Any], numbers: list[int]) -> None:
            checkpoint.write(json.dumps(batch | {"numbers": numbers}) + "\n")
            checkpoint.flush()
            campaign.take(batch)
            tell(campaign)

        _run_batches(batches, folder, seed, jobs, time.monotonic() + seconds, keep)
    return campaign


def _checkpoint(path: Path) -> Iterator[dict[str, Any]]:
    """Batches that were done by the same program; another's are thrown away."""
    ours = source_hash()
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines or json.loads(lines[0]).get("sources") != ours:
        path.write_text(json.dumps({"sources": ours}) + "\n")
        return
    for line in lines[1:]:
        with suppress(ValueError):
            yield json.loads(line)


def _run_batches(
    batches: list[list[int]],
    folder: Path,
    seed: int,
    jobs: int,
    until: float,
    keep: Callable[[dict[str, Any], list[int]], None],
) -> None:
    workers: list[_Worker | None] = [None] * jobs
    try:
        while True:
            for k, worker in enumerate(workers):
                if worker is not None and worker.numbers:
                    continue
                if worker is not None and (worker.batches >= LIFE or not batches or time.monotonic() > until):
                    worker.end()
                    workers[k] = None
                if batches and time.monotonic() <= until:
                    workers[k] = workers[k] or _Worker(folder / f"worker{k}", seed)
                    workers[k].give(batches.pop())  # type: ignore[union-attr]
            busy = [w for w in workers if w is not None and w.numbers]
            if not busy:
                return
            ready = wait([w.link for w in busy], _POLL_SECONDS)
            for worker in busy:
                if worker.link in ready:
                    _receive(worker, workers, batches, keep)
                elif (fault := worker.over()) is not None:
                    _blame(worker, workers, batches, keep, fault)
    finally:
        for worker in workers:
            if worker is not None:
                worker.end()


def _receive(
    worker: _Worker,
    workers: list[_Worker | None],
    batches: list[list[int]],
    keep: Callable[[dict[str, Any], list[int]], None],
) -> None:
    try:
        batch = worker.link.recv()
    except (EOFError, ConnectionResetError):
        worker.process.join()
        log = worker.folder / "crash.log"
        text = log.read_text() if log.exists() else ""
        place = next((line.split('"')[1] for line in text.splitlines() if '"' in line and str(ROOT) in line), "")
        where = f"exit {worker.process.exitcode} {place.removeprefix(str(ROOT) + '/')}"
        _blame(worker, workers, batches, keep, Fault("crash", where, text))
        return
    numbers, worker.numbers = worker.numbers, []
    keep(batch, numbers)
    if batch["peak_bytes"] > MOST_BYTES:
        worker.end()
        workers[workers.index(worker)] = None


def _blame(
    worker: _Worker,
    workers: list[_Worker | None],
    batches: list[list[int]],
    keep: Callable[[dict[str, Any], list[int]], None],
    fault: Fault,
) -> None:
    """Lay a fault to the input that a process was at; those before it and after it are done again without it."""
    number, numbers = worker.number, worker.numbers
    worker.end()
    workers[workers.index(worker)] = None
    if number < 0:
        batches.append(numbers)
        return
    kind = kinds.make(worker.seed, number).kind
    campaign = Campaign(worker.seed)
    _count(campaign, number, kind, 1, (Fault(fault.what, f"{kind}, {fault.where}", fault.text),), 0.0)
    rest = [n for n in numbers if n != number]
    if rest:
        batches.append(rest)
    keep(_as_data(campaign), [number])


def write_faults(campaign: Campaign, folder: Path) -> list[Path]:
    """Each fault's input, as small as leaving out mutations makes it, in a folder of its own with a note."""
    made = []
    for name, found in campaign.found.items():
        target = folder / "faults" / f"{campaign.seed}-{found.number}"
        skip = (
            _fewest(campaign.seed, found, folder)
            if found.fault.what in ("traceback", "absurd", "message")
            else frozenset()
        )
        case = kinds.make(campaign.seed, found.number, skip)
        for file, content in case.files.items():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(content)
        note = f"{name}\ntimes: {found.count}\nkind: {found.kind}\nseed and number: {campaign.seed} {found.number}\n"
        note += f"command: hwsim {' '.join(map(ascii, case.argv))}\n\n{found.fault.text[-6000:]}\n"
        target.mkdir(parents=True, exist_ok=True)
        (target / "fault.txt").write_text(note, encoding="utf-8", errors="backslashreplace")
        made.append(target)
    return made


def _fewest(seed: int, found: Found, folder: Path) -> frozenset[int]:
    """Steps of the mutation that can be left out."""
    place = folder / "smaller"
    (place / "cache").mkdir(parents=True, exist_ok=True)
    skip: frozenset[int] = frozenset()
    for step in range(10):
        trial = skip | {step}
        for path in (place / "cache").iterdir():
            path.unlink()
        faults = judge.run(kinds.make(seed, found.number, trial), place).faults
        if any(f.what == found.fault.what and f.where == found.fault.where for f in faults):
            skip = trial
    return skip
