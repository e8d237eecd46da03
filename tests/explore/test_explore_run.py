"""Explorations: figures agree with independent runs, nothing is computed twice or lost, order does not matter."""

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwsim.design import load_architecture
from hwsim.design.settings import Setting
from hwsim.errors import HwsimError
from hwsim.explore import SamplerName
from hwsim.explore.check import Prepared, prepare
from hwsim.explore.evaluate import Evaluator, Outcome
from hwsim.explore.front import Box
from hwsim.explore.run import Exploration, explore
from hwsim.explore.sampling import POPULATION, Grid, make_sampler
from hwsim.explore.space import Params, load_space
from hwsim.explore.store import Store
from hwsim.explore.workers import InProcess, Processes
from hwsim.network import profile, profile_workload
from hwsim.reports.exploration import explore_data, explore_rows, page_data
from hwsim.reports.table import csv_text
from hwsim.whatif import study
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from tests.conftest import Run

Hwsim = Callable[..., Run]

SPACE: dict[str, Any] = {
    "models": ["zoo:lenet5"],
    "parameters": {"kib": [4, 16], "columns": [4, 8], "rows": [4, 8, 16], "pes": "rows * columns"},
    "settings": {"shared_glb.depth": "kib * 1024 / 8", "PE.meshX": "columns", "PE.meshY": "rows"},
    "objectives": ["energy", "latency", "area"],
}


def space(folder: Path, **changes: Any) -> Path:
    file = folder / "space.yaml"
    file.write_text(yaml.safe_dump({**SPACE, **changes}, sort_keys=False))
    return file


def prepared(folder: Path, **changes: Any) -> Prepared:
    return prepare(load_space(space(folder, **changes)))


class Counting(InProcess):
    """Counts what is evaluated, and may stop in the middle or finish in another order."""

    def __init__(self, ready: Prepared, *, stop_after: int = -1, backwards: bool = False) -> None:
        super().__init__(ready.job)
        self.seen: list[Params] = []
        self.stop_after = stop_after
        self.backwards = backwards

    def evaluate(self, designs: Sequence[Params]) -> Iterator[tuple[int, Outcome]]:
        done = list(super().evaluate(designs)) if self.backwards else super().evaluate(designs)
        for index, outcome in reversed(done) if isinstance(done, list) else done:
            if len(self.seen) == self.stop_after:
                raise KeyboardInterrupt
            self.seen.append(designs[index])
            yield index, outcome


def grid(ready: Prepared, store: str | Path = ":memory:", workers: InProcess | Processes | None = None) -> Exploration:
    with Store(store, ready.identity) as kept:
        return explore(ready.space, kept, Grid(ready.space), workers or InProcess(ready.job), 10**6)


def test_figures_agree_with_independent_runs(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    outcome = Evaluator(ready.job)({"kib": 16, "columns": 8, "rows": 4})
    settings = [Setting("shared_glb", "depth", 2048), Setting("PE", "meshX", 8), Setting("PE", "meshY", 4)]
    workload = read_onnx(zoo.write("lenet5", tmp_path / "lenet5.onnx"))
    column = study(workload, "simple_ws", [tuple(settings)])[1]
    figures = outcome.figures
    assert outcome.state == "complete" and outcome.params["pes"] == 32
    assert (figures["energy"], figures["latency"]) == (column.cost.energy_pj, column.cost.cycles)
    assert (figures["area"], figures["edp"]) == (column.design.area_um2, column.cost.edp_j_cycles)
    assert figures["utilization"] == pytest.approx(column.cost.utilization)
    assert figures["seconds"] == pytest.approx(column.cost.cycles * 1e-9)
    # a layer of E pJ in t cycles of 1 ns takes E / (1000 t) W
    layers = [layer.cost for layer in column.cost.layers]
    assert figures["peak_power"] == pytest.approx(max(x.energy_pj / x.cycles / 1000 for x in layers))
    # buffer of 2048 rows of 64 bits; per PE 192 words of 16 bits and three registers of 16 bits
    assert figures["on_chip_bytes"] == 2048 * 8 + 32 * (192 * 2 + 3 * 2)
    assert figures["compute_instances"] == 32


def test_several_models_are_weighted(tmp_path: Path) -> None:
    models = [{"model": "zoo:lenet5", "weight": 3}, {"model": "zoo:lenet5", "weight": 0.5, "arguments": {"width": "w"}}]
    ready = prepared(tmp_path, models=models, parameters={"w": [2]}, settings={}, objectives=["edp", "peak_power"])
    figures = Evaluator(ready.job)({"w": 2}).figures
    costs = []
    for width in (1, 2):
        workload = read_onnx(zoo.write("lenet5", tmp_path / "lenet5.onnx", {"width": width}))
        costs.append(study(workload, "simple_ws", [])[0].cost)
    small, wide = costs
    assert figures["energy"] == pytest.approx(3 * small.energy_pj + 0.5 * wide.energy_pj)
    assert figures["latency"] == 3 * small.cycles + 0.5 * wide.cycles
    assert figures["edp"] == pytest.approx(figures["energy"] * 1e-12 * figures["latency"])
    assert figures["peak_activation_bytes"] == wide.peak_activation_bytes
    assert figures["weight_bytes"] == small.weight_bytes + wide.weight_bytes


def test_grid_and_front(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    found = grid(ready)
    data = explore_data(found)
    assert (data["schema"], data["trials"], data["failed"]) == ("hwsim.explore/1", 12, 0)
    # the front by its definition, from the trials of the page
    page = page_data(found, ready, "hwsim explore space.yaml --grid")
    trials = page["trials"]
    assert page["params"] == list(SPACE["parameters"]) and len(page["inputs"]["sha256"]["architecture file"]) == 64
    assert page["hypervolume"][-1][1] == data["hypervolume"]
    values = [tuple(t["objectives"].values()) for t in trials]
    best = [t for t, v in zip(trials, values, strict=True) if not any(_dominates(w, v) for w in values)]
    assert {json.dumps(x["params"]) for x in data["front"]} == {json.dumps(x["params"]) for x in best}
    assert [tuple(x["params"].values()) for x in data["front"]] == sorted(tuple(x["params"].values()) for x in best)
    assert [t["number"] for t in trials if t["on_front"]] == [t["number"] for t in best] and 1 < len(best) < 12
    assert 0 < data["hypervolume"] <= 1
    rows = list(csv.DictReader(io.StringIO(csv_text(explore_rows(found)))))
    assert len(rows) == 12 and float(rows[3]["energy (pJ)"]) == trials[3]["figures"]["energy_pj"]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def test_what_is_known_is_not_computed_again_and_order_does_not_matter(tmp_path: Path) -> None:
    ready, store = prepared(tmp_path), tmp_path / "s.sqlite"
    whole = explore_data(grid(ready))
    stopped = Counting(ready, stop_after=5)
    found = grid(ready, store, stopped)
    assert found.ended == "interrupted" and len(found.trials) == 5
    rest = Counting(ready, backwards=True)
    resumed = grid(ready, store, rest)
    assert resumed.evaluated == len(rest.seen) == 7 and not any(x in stopped.seen for x in rest.seen)
    assert explore_data(resumed) == whole
    # a sampler finds the grid's outcomes
    with Store(store, ready.identity) as kept:
        again = explore(
            ready.space, kept, make_sampler(ready.space, SamplerName.qmc, 0), Counting(ready, stop_after=0), 12
        )
    assert again.evaluated == 0 and explore_data(again)["front"] == whole["front"]


class Analytic(Counting):
    """Outcomes by formula instead of mapping, of all three states."""

    def __init__(self, ready: Prepared, *, stop_after: int = -1, backwards: bool = False) -> None:
        super().__init__(ready, stop_after=stop_after, backwards=backwards)
        self._evaluator = self.outcome  # type: ignore[assignment]

    def outcome(self, free: Params) -> Outcome:
        kib, rows, slow = float(free["kib"]), float(free["rows"]), free["word"] == "45nm"
        if rows == 8 and kib > 12:
            return Outcome("failed", free, reason="fits no mapping")
        if kib * rows > 300:
            return Outcome("infeasible", free, violation=kib * rows / 300 - 1, reason="too large")
        energy, latency = kib + 200 / rows + 10 * slow, 1000 / rows + 100 / kib + float(free["columns"])
        return Outcome("complete", free, {}, {"energy": energy, "latency": latency, "area": kib * rows})


WIDE: dict[str, Any] = {
    "kib": {"low": 4, "high": 256, "log": True},
    "columns": {"low": 1, "high": 2.5, "log": True},
    "rows": [2, 4, 8, 16],
    "word": ["45nm", "32nm"],
}


@pytest.mark.parametrize("name", list(SamplerName))
def test_samplers_resume_where_they_were(tmp_path: Path, name: SamplerName) -> None:
    ready = prepared(tmp_path, parameters=WIDE, settings={})

    def run(store: Path, workers: InProcess, trials: int = 60) -> Exploration:
        with Store(store, ready.identity) as kept:
            return explore(ready.space, kept, make_sampler(ready.space, name, 7), workers, trials)

    whole = run(tmp_path / "a.sqlite", Analytic(ready, backwards=True))
    assert len({json.dumps(t.outcome.params) for t in whole.trials}) == len(whole.trials) == 60
    assert all(whole.count(state) for state in ("complete", "infeasible", "failed"))
    store = tmp_path / "b.sqlite"
    for stop in (3, 20, 14):
        run(store, Analytic(ready, stop_after=stop))
    rest = Analytic(ready)
    resumed = run(store, rest)
    assert len(rest.seen) == 60 - 37
    assert [t.outcome for t in resumed.trials] == [t.outcome for t in whole.trials]
    # fewer trials are the first of more, and another seed asks for others
    fewer = run(store, Analytic(ready, stop_after=0), 30)
    assert [t.outcome for t in fewer.trials] == [t.outcome for t in whole.trials][:30]
    with Store(":memory:", ready.identity) as kept:
        other = explore(ready.space, kept, make_sampler(ready.space, name, 8), Analytic(ready), 60)
    assert [t.outcome.params for t in other.trials] != [t.outcome.params for t in whole.trials]


class Distances(InProcess):
    """Two objectives over eight parameters: squared distances to two corners; the front is the line between."""

    def evaluate(self, designs: Sequence[Params]) -> Iterator[tuple[int, Outcome]]:
        for index, free in enumerate(designs):
            energy, latency = (sum((float(v) - c) ** 2 for v in free.values()) for c in (2.0, 7.0))
            yield index, Outcome("complete", free, {}, {"energy": energy, "latency": latency})


def test_nsga2_learns(tmp_path: Path) -> None:
    """In a large space it comes closer to the front than as many designs spread evenly."""
    parameters = {f"x{k}": {"low": 0, "high": 9} for k in range(8)}
    ready = prepared(tmp_path, parameters=parameters, settings={}, objectives=["energy", "latency"])
    found = {}
    for name in (SamplerName.nsga2, SamplerName.qmc):
        with Store(":memory:", ready.identity) as kept:
            sampler = make_sampler(ready.space, name, 3)
            found[name] = explore(ready.space, kept, sampler, Distances(ready.job), 10 * POPULATION).points
    # The corners are 8 · 5² apart; the line between them dominates 1 − ∫(1 − √x)² dx = 5/6 of the box.
    box = Box((0.0, 0.0), (200.0, 200.0))
    volume = {name: box.hypervolume(points) for name, points in found.items()}
    assert volume[SamplerName.nsga2] > volume[SamplerName.qmc] + 0.05, volume


@pytest.mark.parametrize("name", list(SamplerName))
def test_a_sampler_stops_when_it_has_seen_everything(tmp_path: Path, name: SamplerName) -> None:
    ready = prepared(tmp_path)
    with Store(":memory:", ready.identity) as kept:
        found = explore(ready.space, kept, make_sampler(ready.space, name, 0), InProcess(ready.job), 50)
    assert len(found.trials) == 12
    assert explore_data(found)["front"] == explore_data(grid(ready))["front"]


def test_designs_that_cannot_be_are_counted_with_their_reason(tmp_path: Path) -> None:
    # one row of the buffer cannot hold what eyeriss_like has to keep there
    ready = prepared(
        tmp_path,
        arch="eyeriss_like",
        parameters={"depth": [0, 1, 4096]},
        settings={"shared_glb.depth": "depth", "shared_glb.width": "16 if depth > 1 else 8"},
        objectives=["energy"],
    )
    store = tmp_path / "s.sqlite"
    found = grid(ready, store)
    assert [t.outcome.state for t in found.trials] == ["failed", "failed", "complete"]
    zero, one = (t.outcome.reason or "" for t in found.trials[:2])
    assert "no room for one element" in zero and "shared_glb" in zero and "fits no mapping" in one
    assert explore_data(found)["failed"] == 2
    assert grid(ready, store).evaluated == 0


def test_constraints_on_the_hardware_spare_the_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepared(tmp_path, constraints=["compute_instances <= 32", "energy <= 1 * J"])
    mapped = []

    def watched(*args: Any, **options: Any) -> Any:
        mapped.append(args)
        return profile_workload(*args, **options)

    monkeypatch.setattr("hwsim.explore.evaluate.profile_workload", watched)
    outcome = Evaluator(ready.job)({"kib": 4, "columns": 8, "rows": 16})
    assert outcome.state == "infeasible" and not mapped
    assert outcome.reason == "compute_instances <= 32 does not hold: 128, 32" and outcome.violation == 0.75
    assert Evaluator(ready.job)({"kib": 4, "columns": 4, "rows": 8}).state == "complete" and mapped


def test_points_and_accuracy(tmp_path: Path) -> None:
    accuracy = "0.6 + width / 10"
    ready = prepared(
        tmp_path,
        models=[{"model": "zoo:tiny_cifar", "arguments": {"width": "width"}}],
        parameters={"width": [0.5, 1, 3]},
        settings={},
        accuracy=accuracy,
        rubric={"name": "mit-lab1", "dataset": "cifar10"},
        objectives={"points": "maximise", "accuracy": "maximise", "params": "minimise"},
    )
    found = grid(ready)
    assert [t.outcome.objectives["accuracy"] for t in found.trials] == pytest.approx([0.65, 0.7, 0.9])
    from hwsim import rubric

    workload = read_onnx(zoo.write("tiny_cifar", tmp_path / "tiny_cifar.onnx", {"width": 3}))
    cost = study(workload, "simple_ws", [])[0].cost
    facts = rubric.Facts(rubric.read_accuracy("0.9", ""), "", workload, cost, {})
    assert found.trials[2].outcome.figures["points"] == float(
        rubric.grade(rubric.load_rubric("mit-lab1"), facts).points
    )
    assert len({t.outcome.figures["params"] for t in found.trials}) == 3


def test_a_store_belongs_to_one_space(tmp_path: Path) -> None:
    store = tmp_path / "s.sqlite"
    Store(store, prepared(tmp_path).identity).__exit__(None, None, None)
    with pytest.raises(HwsimError, match=r"different space.*parameters"):
        Store(store, prepared(tmp_path, parameters={**SPACE["parameters"], "kib": [8]}).identity)
    # a title changes nothing
    Store(store, prepared(tmp_path, title="other").identity).__exit__(None, None, None)
    other = tmp_path / "o.sqlite"
    with closing(sqlite3.connect(other)) as file:
        file.execute("CREATE TABLE mine (x)")
    with pytest.raises(HwsimError, match="no store"):
        Store(other, {})
    (tmp_path / "t.sqlite").write_text("not a database, but long enough to be looked at as one" * 30)
    with pytest.raises(HwsimError, match="not a database"):
        Store(tmp_path / "t.sqlite", {})
    with pytest.raises(HwsimError, match="cannot be used"):
        Store(tmp_path / "no" / "s.sqlite", {})


def test_killed_at_any_moment_it_resumes(hwsim: Hwsim, tmp_path: Path) -> None:
    """One moment; benchmarks/bench_explore.py has ten."""
    file, store = space(tmp_path), tmp_path / "s.sqlite"
    command = [sys.executable, "-c", "from hwsim.cli import main; main()", "explore", str(file), "--grid"]
    command += ["--store", str(store), "--workers", "2"]
    environment = {**os.environ, "HWSIM_CACHE_DIR": str(tmp_path / "cold")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and _rows(store) < 2:
        time.sleep(0.02)
    children = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rows = _rows(store)
    assert rows >= 2 and len(children) >= 2
    while children and time.monotonic() < deadline:  # workers without a parent go by themselves
        children = [c for c in children if Path(f"/proc/{c}/cmdline").exists()]
        time.sleep(0.02)
    assert not children
    workers = Counting(prepare(load_space(file)))
    with Store(store, prepare(load_space(file)).identity) as kept:
        resumed = explore(load_space(file), kept, Grid(load_space(file)), workers, 12)
    assert len(workers.seen) == 12 - rows
    assert explore_data(resumed) == explore_data(grid(prepare(load_space(file))))


def _rows(store: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as file:
            return int(file.execute("SELECT count(*) FROM designs").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _children(pid: int) -> list[str]:
    """Processes of this machine whose parent it is (Linux)."""
    out = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if status.read_text().rpartition(")")[2].split()[1] == str(pid):
                out.append(status.parent.name)
        except OSError:
            continue
    return out


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    workers, killed = Processes(ready.job, 1), []

    def kill_first(found: Exploration) -> None:
        if found.evaluated and not killed:
            assert workers._pool is not None
            killed.extend(workers._pool._processes)
            os.kill(killed[0], signal.SIGKILL)

    with Store(":memory:", ready.identity) as kept:
        found = explore(ready.space, kept, Grid(ready.space), workers, 12, tell=kill_first)
    assert killed and explore_data(found) == explore_data(grid(ready))


def test_terminal_report(hwsim: Hwsim, tmp_path: Path) -> None:
    run = hwsim("explore", space(tmp_path), "--grid", "--workers", "1", "--csv", tmp_path / "t.csv")
    assert run.code == 0, run.err
    for text in ("12 trials", "kib", "energy ↓", "mm²", "Hypervolume"):
        assert text in run.out, run.out
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 13
    none = hwsim("explore", space(tmp_path, constraints=["energy <= 1 * pJ"]), "--trials", "3", "--workers", "1")
    assert none.code == 0 and "No design is complete. 3 of 3: break energy <= 1 * pJ" in none.out, none.out


def test_prices_are_own_estimates(tmp_path: Path) -> None:
    ready = prepared(tmp_path, parameters={"kib": [128]}, settings={"shared_glb.depth": "kib * 128"})
    energy = Evaluator(ready.job)({"kib": 128}).figures["energy"]
    assert load_architecture("simple_ws")[0].level("shared_glb") == load_architecture(
        "simple_ws", [Setting("shared_glb", "depth", 128 * 128)]
    )[0].level("shared_glb")
    # the published table that comes with the architecture gives another figure than hwsim's estimators
    assert energy != profile(zoo.write("lenet5", tmp_path / "lenet5.onnx")).energy_pj


@pytest.mark.parametrize("what", ["gone", "changed", "full"])
def test_the_machine_s_faults_are_no_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    model = zoo.write("lenet5", tmp_path / "net.onnx")
    content = model.read_bytes()
    parameters = {"n": [1, 2], "rows": [4, 8]}
    models = [{"model": "net.onnx"}] if what != "full" else ["zoo:lenet5"]
    ready = prepared(tmp_path, models=models, parameters=parameters, settings={"PE.meshY": "rows"})
    store = tmp_path / "s.sqlite"
    with monkeypatch.context() as harm:
        if what == "gone":
            model.unlink()
        elif what == "changed":
            zoo.write("lenet5", model, {"width": 2})
        else:

            def full(*_: object, **__: object) -> None:
                raise HwsimError("the file cannot be written: No space left on device.") from OSError(28, "")

            harm.setattr("hwsim.workloads.zoo.write", full)
        with pytest.raises(HwsimError, match=r"net\.onnx|No space left"):
            grid(ready, store)
    assert _rows(store) == 0
    model.write_bytes(content)
    assert grid(ready, store).count("complete") == 4


def test_a_store_that_is_removed_meanwhile_is_told(tmp_path: Path) -> None:
    ready = prepared(tmp_path)
    store = tmp_path / "s.sqlite"

    def remove(found: Exploration) -> None:
        if found.evaluated == 1:
            store.unlink(missing_ok=True)

    with Store(store, ready.identity) as kept, pytest.raises(HwsimError, match="cannot be used"):
        monkey = pytest.MonkeyPatch()
        with monkey.context() as every_time:
            every_time.setattr("hwsim.explore.run.TELL_SECONDS", 0.0)
            explore(ready.space, kept, Grid(ready.space), InProcess(ready.job), 12, tell=remove)


def test_a_rubric_file_belongs_to_the_space(tmp_path: Path) -> None:
    from hwsim import rubric

    file = tmp_path / "rubric.yaml"
    text = rubric.rubric_file("mit-lab1").read_text()
    file.write_text(text)
    changes = {"rubric": str(file), "objectives": ["energy"], "parameters": {"kib": [4]}, "settings": {}}
    before = prepared(tmp_path, **changes).identity
    assert prepared(tmp_path, **changes).identity == before
    file.write_text(text + "\n# changed\n")
    after = prepared(tmp_path, **changes).identity
    assert {name for name in before if before[name] != after[name]} == {"rubric file"}
