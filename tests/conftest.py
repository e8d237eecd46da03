"""Shared fixtures."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FAULT = 70  # exit code of what is unexpected
#: Processes that may outlive a command: the compiler of kernels and what Python's own pools share.
LASTING = ("hwsim.warm", "multiprocessing.resource_tracker", "multiprocessing.forkserver")


class Run(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests neither see nor touch the user's cached mappings."""
    os.environ["HWSIM_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


def processes(mark: str) -> dict[int, str]:
    """Living processes below this one, and those that carry a mark in their environment, with their commands."""
    parents, commands, marked = {}, {}, set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            state, parent = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:2]
            if state != b"Z":
                pid = int(folder.name)
                parents[pid] = int(parent)
                commands[pid] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                if mark and mark.encode() in (folder / "environ").read_bytes():
                    marked.add(pid)
    below = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= grown
    found = (below | marked) - {os.getpid()}
    return {pid: commands[pid] for pid in found if not any(x in commands[pid] for x in LASTING)}


@contextmanager
def nothing_left(*folders: Path, mark: str = "") -> Iterator[None]:
    """Fail where what runs inside leaves a process, or a file under a temporary name in one of the folders."""
    before = set(processes(mark))
    yield
    end = time.monotonic() + 5
    while (left := {p: what for p, what in processes(mark).items() if p not in before}) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, f"processes are left: {left}"
    unfinished = [str(file) for folder in folders for file in folder.rglob(".*.tmp")]
    assert not unfinished, f"files are left half-written: {unfinished}"


def check_told(code: int, out: str, err: str) -> None:
    """Fail where a command shows a traceback, or met something that it did not expect."""
    if code == FAULT and "The traceback is in " in err:
        file = Path(err.partition("The traceback is in ")[2].partition(";")[0])
        raise AssertionError(file.read_text(encoding="utf-8"))
    assert code != FAULT, err
    assert "Traceback (most recent call last)" not in out + err, out + err


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Run]:
    """Run the command line in this process; fails on a traceback, a process or a half-written file that it leaves."""
    from hwsim.cli import main

    def run(*args: str | Path) -> Run:
        monkeypatch.setattr(sys, "argv", ["hwsim", *map(str, args)])
        code: int | str | None = 0
        with nothing_left(tmp_path, Path(os.environ["HWSIM_CACHE_DIR"])):
            try:
                main()
            except SystemExit as stop:
                code = stop.code
        captured = capsys.readouterr()
        check_told(int(code or 0), captured.out, captured.err)
        return Run(int(code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Run]:
    """Run the command line in a process of its own, with the same checks; options are those of `subprocess.run`."""

    def run(*args: str | bytes | Path, env: dict[str, str] | None = None, **options: Any) -> Run:
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120}
        whole = [sys.executable, "-c", "from hwsim.cli import main; main()", *args]
        mark = f"HWSIM_TEST={uuid.uuid4()}"
        environment = os.environ | dict([mark.split("=")]) | (env or {})
        with nothing_left(tmp_path, Path(os.environ["HWSIM_CACHE_DIR"]), mark=mark):
            done = subprocess.run(whole, env=environment, check=False, **given | options)
        out, err = ((x or b"").decode("utf-8", "backslashreplace") for x in (done.stdout, done.stderr))
        check_told(done.returncode, out, err)
        return Run(done.returncode, out, err)

    return run
