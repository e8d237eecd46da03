"""Commands that are killed, terminated and interrupted: nothing stays alive or half-written, what was done is kept."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from hwsim import processes
from hwsim.cli.signals import signals_end
from hwsim.design import load_design
from hwsim.errors import HwsimError
from hwsim.network import profile, profile_workload
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from tests.conftest import Run

Hwsim = Callable[..., Run]
SIGNALS = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130}
GONE_SECONDS = 2.0
#: Ending by itself means closing and removing what is open, and may take a busy machine longer.
ENDED_SECONDS = {"SIGKILL": GONE_SECONDS, "SIGTERM": 10.0, "SIGINT": 10.0}
#: Commands run elsewhere, on this code.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
}
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Kernels are on disk, so that commands are at work soon."""
    from hwsim import warm

    warm.compile_all()


def network(folder: Path, *sizes: int) -> Path:
    """Square matrix products; of 64 one is mapped at once, of thousands with many divisors in a second or more."""
    nodes, values = [], []
    for k, n in enumerate(sizes):
        for name in ("a", "b"):
            values.append(helper.make_tensor_value_info(f"{name}{k}", TensorProto.FLOAT, [n, n]))
        nodes.append(helper.make_node("MatMul", [f"a{k}", f"b{k}"], [f"y{k}"], name=f"product{n}"))
    results = [helper.make_tensor_value_info(f"y{k}", TensorProto.FLOAT, [n, n]) for k, n in enumerate(sizes)]
    path = folder / "net.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", values, results)), str(path))
    return path


class Command:
    """A command in a session of its own, by which all processes that it starts are known."""

    def __init__(self, folder: Path, *words: str | Path) -> None:
        (folder / "tmp").mkdir(exist_ok=True)
        self.temporary = folder / "tmp"
        environment = {**ENVIRONMENT, "HWSIM_CACHE_DIR": str(folder / "cache"), "TMPDIR": str(self.temporary)}
        code = "from hwsim.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            env=environment,
            cwd=folder,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def alive(self) -> list[int]:
        """Processes of the session that are no zombies."""
        out = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid and fields[0] != "Z":
                out.append(int(status.parent.name))
        return out

    def wait_for(self, ready: Callable[[], bool], seconds: float = 120.0) -> None:
        """Until the command is at a point."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None and time.monotonic() < deadline, self.process.communicate()[1]
            time.sleep(0.01)

    def end(self, name: str) -> str:
        """Send a signal; nothing of the command should be alive soon after. What it said on stderr."""
        assert self.process.poll() is None, "it was done before it could be disturbed"
        self.process.send_signal(getattr(signal, name))
        deadline = time.monotonic() + ENDED_SECONDS[name]
        while self.alive() and time.monotonic() < deadline:
            self.process.poll()
            time.sleep(0.01)
        assert not self.alive()
        _, said = self.process.communicate(timeout=5)
        assert "Traceback" not in said
        assert self.process.returncode == SIGNALS[name]
        return said


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*words: str | Path) -> Command:
        started.append(Command(tmp_path, *words))
        return started[-1]

    yield start
    for one in started:
        for pid in one.alive():
            os.kill(pid, signal.SIGKILL)
        one.process.communicate()


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "cache").glob("*.json"))


def left_over(folder: Path) -> list[Path]:
    """Files that were begun and not finished."""
    return [p for p in folder.rglob("*") if p.suffix == ".tmp" or p.parent == folder / "tmp"]


@linux
@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_profile(
    command: Callable[..., Command], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hwsim: Hwsim, name: str, jobs: int
) -> None:
    model = network(tmp_path, 64, 5040, 7560, 10080)
    run = command("profile", model, "--jobs", str(jobs), "--json", tmp_path / "out.json")
    run.wait_for(lambda: bool(entries(tmp_path)))
    if jobs > 1:
        assert len(run.alive()) == 1 + jobs
    run.end(name)
    kept = {p: p.read_bytes() for p in entries(tmp_path)}
    assert 1 <= len(kept) < 4 and not (tmp_path / "out.json").exists() and not left_over(tmp_path)
    if jobs == 1:
        return
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path / "cache"))
    assert hwsim("profile", model, "--json", tmp_path / "resumed.json").code == 0
    assert all(p.read_bytes() == content for p, content in kept.items()) and len(entries(tmp_path)) == 4
    assert (tmp_path / "resumed.json").read_bytes() == reference(tmp_path, monkeypatch, hwsim, model)


_REFERENCE: list[bytes] = []


def reference(folder: Path, monkeypatch: pytest.MonkeyPatch, hwsim: Hwsim, model: Path) -> bytes:
    """The undisturbed result."""
    if not _REFERENCE:
        monkeypatch.setenv("HWSIM_CACHE_DIR", str(folder / "other"))
        assert hwsim("profile", model, "--json", folder / "whole.json").code == 0
        _REFERENCE.append((folder / "whole.json").read_bytes())
    return _REFERENCE[0]


@linux
def test_no_more_processes_than_layers_to_search(command: Callable[..., Command], tmp_path: Path) -> None:
    first = command("profile", network(tmp_path, 64, 7560, 10080), "--jobs", "200")
    most = 0

    def done_one() -> bool:
        nonlocal most
        most = max(most, len(first.alive()))
        return bool(entries(tmp_path))

    first.wait_for(done_one)
    assert most == 1 + 3
    first.end("SIGKILL")
    # of three layers one is known now
    second = command("profile", tmp_path / "net.onnx", "--jobs", "200")
    second.wait_for(lambda: len(second.alive()) > 1)
    time.sleep(0.2)
    assert len(second.alive()) <= 1 + 2
    second.end("SIGTERM")


@linux
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_explore(command: Callable[..., Command], tmp_path: Path, name: str) -> None:
    """For SIGKILL see test_explore_run.py, with what is resumed."""
    space = {
        "models": ["net.onnx"],
        "parameters": {"columns": [4, 8, 16, 32], "rows": [4, 8, 16, 32]},
        "settings": {"PE.meshX": "columns", "PE.meshY": "rows"},
        "objectives": ["energy", "latency"],
    }
    network(tmp_path, 5040)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    run = command("explore", "space.yaml", "--grid", "--workers", "2", "--store", "s.sqlite", "--csv", "out.csv")
    run.wait_for(lambda: bool(entries(tmp_path)))
    said = run.end(name)
    assert not left_over(tmp_path)
    if name == "SIGINT":
        assert "interrupted" in said and (tmp_path / "out.csv").exists()
    else:
        assert not (tmp_path / "out.csv").exists()


@linux
@pytest.mark.parametrize("name", SIGNALS)
def test_simulate(command: Callable[..., Command], tmp_path: Path, name: str) -> None:
    run = command("simulate", zoo.write("resnet18", tmp_path / "net.onnx"), "--json", "out.json")
    run.wait_for(lambda: bool(entries(tmp_path)))
    run.end(name)
    assert not (tmp_path / "out.json").exists()
    if name != "SIGKILL":
        assert not left_over(tmp_path)


RECIPE = """
name: small
title: Textures
dataset: generated
validation: 64
network: [conv 8 s2, separable 16, gap, linear 10]
training: {epochs: 8, batch: 32, learning_rate: 0.2, augment: {crop: 2}}
"""


@linux
@pytest.mark.parametrize("name", SIGNALS)
def test_train(command: Callable[..., Command], tmp_path: Path, name: str) -> None:
    for module in ("torch", "onnxscript"):
        pytest.importorskip(module, reason="the train extra is not installed")
    (tmp_path / "small.yaml").write_text(RECIPE)
    words = ("train", "small.yaml", "--threads", "1", "-o")
    run = command(*words, "disturbed")
    run.wait_for((tmp_path / "disturbed" / "small.checkpoint").exists)
    run.end(name)
    assert not (tmp_path / "disturbed" / "small.onnx").exists()
    if name != "SIGKILL":
        return
    for more in (("disturbed", "--resume"), ("whole",)):
        again = command(*words, *more)
        _, said = again.process.communicate(timeout=120)
        assert again.process.returncode == 0, said
    one, two = ((tmp_path / folder / "small.onnx").read_bytes() for folder in ("disturbed", "whole"))
    assert one == two


@linux
def test_what_compiles_in_the_background_ends_with_its_starter(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; from hwsim import processes; "
        "processes.background('sleeper'); print(processes._BACKGROUND[0].pid, flush=True); time.sleep(60)"
    )
    sleeper = "import time\nfrom hwsim import processes\nprocesses.end_with_starter()\ntime.sleep(60)\n"
    (tmp_path / "sleeper.py").write_text(sleeper)
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"}
    starter = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    assert starter.stdout is not None
    child = Path("/proc") / starter.stdout.readline().strip()
    time.sleep(0.5)
    assert child.exists()
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + GONE_SECONDS
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists()


@linux
@pytest.mark.parametrize("prctl", [True, False])
def test_workers_see_their_parent_go(tmp_path: Path, prctl: bool) -> None:
    """By the kernel, and without its help by a thread."""
    code = (
        "import sys, time; from hwsim import processes\n"
        f"if not {prctl}: sys.platform = 'other'\n"
        "pool = processes.start_pool(3)\n"
        "list(pool.map(time.sleep, [0.2] * 3))\n"
        "print(*pool._processes, flush=True); pool.submit(time.sleep, 60); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert starter.stdout is not None
    children = [Path("/proc") / pid for pid in starter.stdout.readline().split()]
    assert len(children) == 3 and all(c.exists() for c in children)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + GONE_SECONDS
    while any(c.exists() for c in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(c.exists() for c in children)


def test_a_worker_that_dies_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.network._search_in_time", _die)
    with pytest.raises(HwsimError, match="enough memory"):
        profile(network(tmp_path, 64, 65), jobs=2, use_cache=False)


def test_a_pool_that_was_ended_leaves_no_thread() -> None:
    pool = processes.start_pool(2)
    busy = [pool.submit(time.sleep, 60) for _ in range(4)]
    while not busy[0].running():
        time.sleep(0.01)
    manager = pool._executor_manager_thread
    assert manager is not None and manager.is_alive()
    begun = time.monotonic()
    processes.end_pool(pool)
    assert not manager.is_alive() and time.monotonic() - begun < GONE_SECONDS


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_interrupt_ends_what_follows() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), processes.interrupt_ends():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            done.append("the block goes on")
    assert done and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt), processes.interrupt_ends():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise SystemError("a result with an exception set") from error
    with processes.interrupt_ends():
        pass
    with pytest.raises(SystemError), processes.interrupt_ends():
        raise SystemError


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_is_not_lost_in_compiled_code(
    monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BaseException]
) -> None:
    ended = threading.Event()
    monkeypatch.setattr("hwsim.cli.signals.os._exit", lambda code: ended.set())
    monkeypatch.setattr("hwsim.cli.signals.GRACE_SECONDS", 0.01)
    with pytest.raises(kind), signals_end():
        try:
            signal.raise_signal(number)
        except BaseException as error:
            raise SystemError("a result with an exception set") from error
    assert ended.wait(1.0) == (number == signal.SIGTERM)
    with pytest.raises(SystemError), signals_end():
        raise SystemError


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_time_limit_is_for_all_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """Searches that take all the time that they are given take no more than the limit together."""
    from hwsim.mapper import search

    def slow(*args: Any, time_limit: float, **options: Any) -> Any:
        time.sleep(time_limit)
        return search(*args, **options)

    design = load_design("simple_ws")
    workload = read_onnx(network(tmp_path, 64, 65, 66, 67, 68))
    profile_workload(workload, design, use_cache=False)
    monkeypatch.setattr("hwsim.mapper.search", slow)
    begun = time.monotonic()
    profile_workload(workload, design, jobs=jobs, use_cache=False, time_limit=2.0)
    assert 1.9 < time.monotonic() - begun < 2.0 + 2.5
    with pytest.raises(HwsimError, match="time limit"):
        profile_workload(workload, design, time_limit=float("nan"))


def test_a_run_that_is_out_of_time_is_resumed(hwsim: Hwsim, tmp_path: Path) -> None:
    space = {
        "models": ["net.onnx"],
        "parameters": {"columns": [4, 8, 16, 32]},
        "settings": {"PE.meshX": "columns"},
        "objectives": ["energy"],
    }
    network(tmp_path, 30240)
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    words = ("explore", tmp_path / "space.yaml", "--grid", "--workers", "1", "--store", tmp_path / "s.sqlite", "--json")
    begun = time.monotonic()
    run = hwsim(*words, "--time-limit", "1")
    assert time.monotonic() - begun < 10.0  # the four designs take half a minute
    assert run.code == 0 and "out of time" in run.err and "Resume" in run.err, run.err
    assert json.loads(run.out)["trials"] < 4
