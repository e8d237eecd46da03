"""A Dask cluster of real worker processes on this machine, one of them killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

pytest.importorskip("distributed")

from hwsim.errors import HwsimError
from hwsim.explore.check import prepare
from hwsim.explore.cluster import Cluster, JobPlugin
from hwsim.explore.run import Exploration, explore
from hwsim.explore.sampling import Grid
from hwsim.explore.space import load_space
from hwsim.explore.store import Store
from hwsim.explore.workers import InProcess
from hwsim.provenance import version
from hwsim.reports.exploration import explore_data
from hwsim.workloads import zoo
from tests.conftest import Run

SPACE = {
    "models": ["net.onnx"],
    "parameters": {"kib": [4, 8, 16], "columns": [4, 8], "rows": [4, 8]},
    "settings": {"shared_glb.depth": "kib * 1024 / 8", "PE.meshX": "columns", "PE.meshY": "rows"},
    "objectives": ["energy", "latency", "area"],
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers that see neither this folder's files nor each other's caches."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    started = []
    with open(folder / "log", "wb") as log:
        command = [*dask, "--port", address.rpartition(":")[2], "--no-dashboard"]
        started.append(subprocess.Popen(command, stdout=log, stderr=log))
        for k in range(workers):
            place = folder / f"worker{k}"
            place.mkdir()
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
            environment = {**os.environ, "HWSIM_CACHE_DIR": str(place / "cache")}
            command = [*worker, "--no-dashboard", "--local-directory", str(place)]
            started.append(subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=log))
        try:
            yield address, started[1:]
        finally:
            for process in started:
                process.kill()
            for process in started:
                process.wait()


def test_a_lost_worker_loses_nothing(tmp_path: Path) -> None:
    zoo.write("lenet5", tmp_path / "net.onnx")
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    ready = prepare(load_space(tmp_path / "space.yaml"))
    with cluster(tmp_path, 2) as (address, workers), Store(tmp_path / "s.sqlite", ready.identity) as store:
        done_at_kill = []

        def kill_one(found: Exploration) -> None:
            if found.evaluated >= 2 and not done_at_kill:
                done_at_kill.append(found.evaluated)
                workers[0].send_signal(signal.SIGKILL)

        ours = Cluster(ready.job, address)
        deadline = time.monotonic() + 60
        while len(ours.threads()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(ours.threads()) == 2
        found = explore(ready.space, store, Grid(ready.space), ours, 100, tell=kill_one)
        assert workers[0].wait(10) == -signal.SIGKILL and workers[1].poll() is None
    assert done_at_kill and found.evaluated == len(found.trials) == 12 > done_at_kill[0]
    with Store(":memory:", ready.identity) as store:
        serial = explore(ready.space, store, Grid(ready.space), InProcess(ready.job), 100)
    assert explore_data(found) == explore_data(serial)
    assert [t.outcome for t in found.trials] == [t.outcome for t in serial.trials]


def test_no_scheduler(hwsim: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.write("lenet5", tmp_path / "net.onnx")
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    monkeypatch.setattr("hwsim.explore.cluster.CONNECT_SECONDS", 0.3)
    address = f"tcp://127.0.0.1:{free_port()}"
    run = hwsim("explore", tmp_path / "space.yaml", "--grid", "--scheduler", address)
    assert run.code == 2 and "no Dask scheduler answers" in run.err and address in run.err, run.err


def test_large_models_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.write("lenet5", tmp_path / "net.onnx")
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
    monkeypatch.setattr("hwsim.explore.cluster.MAX_MODEL_BYTES", 100)
    with pytest.raises(HwsimError, match="bytes"):
        Cluster(prepare(load_space(tmp_path / "space.yaml")).job, "tcp://127.0.0.1:1")


def test_a_worker_of_another_program_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"this run needs 0\.1\.0\+other"):
        JobPlugin("name", {}, "0.1.0+other").setup(None)
    with pytest.raises(TypeError):  # its own program's: goes on to the job
        JobPlugin("name", {}, version()).setup(None)
