"""The search against enumeration, against Timeloop's proved optima, and its own promises."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.architecture import Architecture, Compute, Constraints, Storage
from hwsim.cost import Illegal, LayerCost
from hwsim.design import load_architecture, shipped_architectures
from hwsim.mapper import pareto, search
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.mapping import Mapping
from hwsim.model import evaluate
from hwsim.workloads.problem import Problem, conv, depthwise, matmul
from tests.conftest import Run
from tests.mapper.random_designs import random_prices
from tests.reference_cases import architecture as reference_architecture
from tests.reference_cases import exhaustive
from tests.witness import enumerator

OBJECTIVES: dict[str, Callable[[LayerCost], float]] = {
    "edp": lambda c: c.edp,
    "energy": lambda c: c.energy_pj,
    "latency": lambda c: float(c.cycles),
}
MOST = 1500  # mappings that one problem may have here


def small_problem(rng: random.Random, architecture: Architecture) -> Problem:
    """A random problem whose space can be enumerated."""
    while True:
        build = rng.choice([conv, depthwise, matmul])
        dims = {conv: "CMRSNPQ", depthwise: "CRSNPQ", matmul: "BMCP"}[build]
        sizes = {d: rng.choice([2, 3, 4, 6]) for d in rng.sample(dims, rng.randint(1, 3))}
        steps = {} if build is matmul else {"wstride": rng.randint(1, 2), "hdilation": rng.randint(1, 2)}
        problem = build(sizes, **steps)
        if (space_size(map_space(problem, architecture)) or MOST + 1) <= MOST:
            return problem


@pytest.mark.parametrize("part", range(30))
@pytest.mark.parametrize("name", ["simple_ws", "eyeriss_like", "nvdla_like"])
def test_agrees_with_enumeration(name: str, part: int) -> None:
    """300 random problems × three objectives × three architectures: the value, and the figure that breaks ties."""
    architecture, energy = load_architecture(name)
    architecture = architecture.bind(("Weights", "Inputs", "Outputs"))
    rng = random.Random(f"{name}/{part}")
    for _ in range(10):
        problem = small_problem(rng, architecture)
        best = enumerator.optima(problem, architecture, energy).best
        for objective, figure in OBJECTIVES.items():
            cost = search(problem, architecture, energy, objective)
            if not best:
                assert isinstance(cost, Illegal)
                continue
            least = best[objective].value(objective)
            assert isinstance(cost, LayerCost) and cost.certificate is not None
            assert cost.certificate.value == pytest.approx(least, rel=1e-9), (problem, objective)
            assert cost.certificate.value == figure(cost)
            assert cost.certificate.lower_bound <= least * (1 + 1e-9), (problem, objective)
            assert cost.certificate.optimal, (problem, objective)
            if objective != "edp":
                figures = (best[objective].energy_pj, best[objective].cycles)
                assert (cost.energy_pj, cost.cycles) == pytest.approx(figures, rel=1e-9), (problem, objective)


@pytest.mark.parametrize("case", exhaustive(), ids=lambda c: f"{c.arch_name}/{c.name}/{c.metric}")
def test_timeloops_proved_optima(case) -> None:  # type: ignore[no-untyped-def]
    """The listed mapping is priced again: Timeloop's own sum is of figures printed with two decimals."""
    architecture, energy = reference_architecture(case.arch_name)
    listed = evaluate(case.problem, architecture, case.mapping, energy)
    assert isinstance(listed, LayerCost)
    objective = {"edp": "edp", "energy": "energy", "delay": "latency"}[case.metric]
    cost = search(case.problem, architecture, energy, objective)
    assert isinstance(cost, LayerCost) and cost.certificate is not None
    assert cost.certificate.value == pytest.approx(OBJECTIVES[objective](listed), rel=1e-6)
    assert cost.certificate.value == pytest.approx(case.value, rel=1e-5)
    assert cost.certificate.optimal


def test_ties_go_to_the_other_figure() -> None:
    architecture, energy = load_architecture("simple_ws")
    cost = search(matmul({"M": 16, "C": 16, "P": 8}), architecture, energy, "latency")
    assert isinstance(cost, LayerCost)
    other = search(matmul({"M": 16, "C": 16, "P": 8}), architecture, energy, "edp")
    assert isinstance(other, LayerCost)
    assert cost.cycles == 8
    assert cost.energy_pj <= other.energy_pj if other.cycles == cost.cycles else cost.cycles < other.cycles


def test_time_limit_gives_the_best_so_far_and_its_gap(hwsim: Callable[..., Run], tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text("arch: simple_ws\nproblem: {shape: conv, instance: {C: 512, M: 512, R: 3, S: 3, P: 28, Q: 28}}\n")
    run = hwsim("map", spec, "--json", "--time-limit", "0")
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert result["optimal"] is False and result["lower_bound"] <= result["value"]


def test_contradicting_factors_are_infeasible(hwsim: Callable[..., Run], tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "arch: simple_ws\nproblem: {shape: conv, instance: {C: 4}}\n"
        "constraints: {targets: [{target: DRAM, type: temporal, factors: C=3}]}\n"
    )
    run = hwsim("map", spec)
    assert run.code == 2 and "no mapping is legal" in run.err
    for word in ("DRAM", "C=3", "C=4"):
        assert word in run.err


@pytest.mark.parametrize(
    ("target", "factors", "words"),
    [
        ("DRAM", "C=2 C>=4", ("DRAM", "contradict")),
        ("PE", "C=64", ("PE", "fan-out")),
        ("DRAM", "C<=2", ("multiply to C=64",)),
    ],
)
def test_infeasible_constraints_are_named(
    hwsim: Callable[..., Run], tmp_path: Path, target: str, factors: str, words: tuple[str, ...]
) -> None:
    kind = "spatial" if target == "PE" else "temporal"
    others = "".join(
        f", {{target: {x}, type: temporal, factors: C=1}}" for x in ("shared_glb", "pe_spad", "output_activation_reg")
    )
    spec = tmp_path / "s.yaml"
    spec.write_text(
        "arch: simple_ws\nproblem: {shape: conv, instance: {C: 64}}\n"
        f"constraints: {{targets: [{{target: {target}, type: {kind}, factors: {factors}}}{others}]}}\n"
    )
    run = hwsim("map", spec)
    assert run.code == 2
    for word in words:
        assert word in run.err, run.err


def test_a_buffer_without_room_for_one_element(hwsim: Callable[..., Run], tmp_path: Path) -> None:
    text = shipped_architectures()["simple_os"].read_text().replace("depth: 192, width: 16", "depth: 1, width: 16")
    text = text.replace("{keep: [Outputs], bypass: [Inputs, Weights]}", "{keep: [Outputs, Weights], bypass: [Inputs]}")
    spec = tmp_path / "s.yaml"
    spec.write_text(text + "problem: {shape: conv, instance: {C: 4}}\n")
    run = hwsim("map", spec)
    assert run.code == 2
    for word in ("pe_spad", "Outputs", "needs 2, there is 1"):
        assert word in run.err, run.err


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_search_keeps_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.mapper import exact, walk

    problem = matmul({"P": 48, "C": 64, "M": 96})
    architecture, energy = load_architecture("simple_ws")
    whole = exact.search(problem, architecture, energy)
    assert isinstance(whole, LayerCost) and whole.certificate is not None
    told: list[tuple[float, float, float]] = []
    run = walk.Walk.run

    def interrupted(self: walk.Walk, beam: int | None) -> None:
        if beam is None:
            raise KeyboardInterrupt
        run(self, beam)

    monkeypatch.setattr(walk.Walk, "run", interrupted)
    cut = exact.search(problem, architecture, energy, progress=lambda *x: told.append(x))
    assert isinstance(cut, LayerCost) and cut.certificate is not None
    assert not cut.certificate.optimal
    # its bound is that of the whole space: not above the optimum
    assert 0 < cut.certificate.lower_bound <= whole.certificate.value <= cut.certificate.value
    # so it is where a part of a large space is searched first
    monkeypatch.setattr(exact, "LARGE", 0)
    monkeypatch.setattr(walk.Walk, "run", lambda self, beam: _interrupt())
    again = exact.search(problem, architecture, energy, hints=[cut.mapping])
    assert isinstance(again, LayerCost) and again.certificate is not None and not again.certificate.optimal
    best, bound, gap = told[-1]
    assert (best, bound) == (cut.certificate.value, cut.certificate.lower_bound)
    assert gap == pytest.approx(1 - bound / best)


@pytest.mark.parametrize("where", ["close_level", "complete", "evaluate"])
def test_what_ends_in_the_middle_of_a_level_is_not_proved(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The time is up in the last piece of work that there is: nothing after it looks at the clock."""
    from hwsim.mapper import exact, walk

    ends, exhaustive_run = [False], [False]
    run, stop, work = walk.Walk.run, walk.Walk.stop, getattr(walk, where)

    def runs(self: walk.Walk, beam: int | None) -> None:
        exhaustive_run[0] = beam is None
        run(self, beam)

    def ending(*args: Any) -> Any:
        ends[0] = exhaustive_run[0]
        if ends[0] and where == "close_level":
            return walk.PAUSED  # before any label was seen to go on
        done = work(*args)
        if ends[0] and where == "evaluate":
            return replace(done, energy_pj=2 * done.energy_pj)  # so bad that others might still be better
        return done

    monkeypatch.setattr(walk, "PART", 1)
    monkeypatch.setattr(walk.Walk, "run", runs)
    monkeypatch.setattr(walk.Walk, "stop", lambda self, beam=None: ends[0] or stop(self, beam))
    monkeypatch.setattr(walk, where, ending)
    # One choice of what is kept: there is no further one that would look at the clock.
    kept = Constraints(keep=frozenset({"Weights", "Inputs", "Outputs"}))
    levels = (Storage("DRAM", "DRAM", None, 16, 16, 1), Storage("buffer", "SRAM", 64, 16, 16, 1, constraints=kept))
    design = Architecture("two", levels, Compute("mac", "intmac"))
    cost = exact.search(matmul({"P": 48, "C": 64, "M": 96}), design, random_prices(random.Random(0), design))
    assert ends[0] and isinstance(cost, LayerCost) and cost.certificate is not None
    assert "cut short" in cost.certificate.argument


def test_ties_that_nobody_could_look_at_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.mapper import exact, walk

    problem = matmul({"P": 48, "C": 64, "M": 96})
    architecture, energy = load_architecture("simple_ws")
    fewest = exact.search(problem, architecture, energy, "latency")
    solve = walk.Walk.solve

    def first_alone(self: walk.Walk, hints: Sequence[Mapping]) -> None:
        if self.figure.name == "latency":
            solve(self, hints)

    monkeypatch.setattr(walk.Walk, "solve", first_alone)
    cost = exact.search(problem, architecture, energy, "latency")
    assert isinstance(cost, LayerCost) and isinstance(fewest, LayerCost) and cost.certificate is not None
    assert cost.cycles == fewest.cycles and not cost.certificate.optimal


@pytest.mark.parametrize("limit", ["read_bandwidth", "write_bandwidth", "shared_bandwidth"])
def test_any_bandwidth_is_a_limit(limit: str) -> None:
    from hwsim.mapper.lower import kernel_space

    architecture, energy = load_architecture("simple_ws")
    plain = [
        replace(x, read_bandwidth=None, write_bandwidth=None, shared_bandwidth=None) if isinstance(x, Storage) else x
        for x in architecture.levels
    ]
    for k, level in enumerate(plain):
        if isinstance(level, Storage):
            changed = replace(architecture, levels=(*plain[:k], replace(level, **{limit: 0.5}), *plain[k + 1 :]))
            space = kernel_space(map_space(matmul({"P": 4, "C": 8}), changed), energy)
            assert list(space.levels["limited"]) == [n == k for n in range(len(plain))] and space.may_throttle
    without = replace(architecture, levels=tuple(plain))
    assert not kernel_space(map_space(matmul({"P": 4, "C": 8}), without), energy).levels["limited"].any()


@pytest.mark.parametrize("name", ["simple_ws", "simple_os"])
def test_front_agrees_with_enumeration(name: str) -> None:
    architecture, energy = load_architecture(name)
    architecture = architecture.bind(("Weights", "Inputs", "Outputs"))
    rng = random.Random(f"front/{name}")
    longest = 0
    for _ in range(12):
        problem = small_problem(rng, architecture)
        costs = [
            evaluate(problem, architecture, m, energy) for m in enumerator.enumerate_mappings(problem, architecture)
        ]
        points = sorted({(c.cycles, c.energy_pj) for c in costs if isinstance(c, LayerCost)})
        expected: list[tuple[int, float]] = []
        for cycles, pj in points:  # fewest cycles first; equal energies to rounding are one
            if not expected or (pj < expected[-1][1] * (1 - 1e-9) and cycles > expected[-1][0]):
                expected.append((cycles, pj))
        found = pareto(problem, architecture, energy)
        if isinstance(found, Illegal):
            assert not expected
            continue
        assert [c.cycles for c in reversed(found)] == [c for c, _ in expected]
        assert [c.energy_pj for c in reversed(found)] == pytest.approx([e for _, e in expected], rel=1e-9)
        assert all(c.certificate is not None and c.certificate.optimal for c in found)
        longest = max(longest, len(found))
    assert longest > 1  # fronts of one point alone would show little


def test_front_on_the_command_line(hwsim: Callable[..., Run], tmp_path: Path) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text("arch: simple_ws\nproblem: {shape: conv, instance: {C: 3, M: 24, R: 3, S: 3, P: 14, Q: 14}}\n")
    run = hwsim("map", spec, "--pareto", "--json")
    assert run.code == 0, run.err
    front = json.loads(run.out)["front"]
    cycles, pj = [p["cycles"] for p in front], [p["energy_pj"] for p in front]
    assert cycles == sorted(cycles, reverse=True) and pj == sorted(pj) and len(set(cycles)) == len(cycles)
    assert "fewest cycles" in hwsim("map", spec, "--pareto").out


@pytest.mark.parametrize("objective", ["edp", "energy", "latency"])
def test_a_written_certificate_is_rechecked_by_brute_force(
    hwsim: Callable[..., Run], tmp_path: Path, objective: str
) -> None:
    """The checker knows the file, the enumerator and the cost model; nothing of the search."""
    import yaml

    sizes = {"C": 3, "M": 4, "P": 6, "R": 2}
    spec, proof = tmp_path / "s.yaml", tmp_path / "proof.json"
    spec.write_text(yaml.safe_dump({"arch": "simple_ws", "problem": {"shape": "conv", "instance": sizes}}))
    run = hwsim("map", spec, "--objective", objective, "--prove", proof)
    assert run.code == 0, run.err
    claim = json.loads(proof.read_text())
    assert claim["optimal"] is True and claim["argument"]
    architecture, energy = load_architecture("simple_ws")
    architecture = architecture.bind(("Weights", "Inputs", "Outputs"))
    problem = conv({d: sizes.get(d, 1) for d in "CMRSNPQ"})
    costs = [evaluate(problem, architecture, m, energy) for m in enumerator.enumerate_mappings(problem, architecture)]
    least = min(OBJECTIVES[objective](c) for c in costs if isinstance(c, LayerCost))
    assert claim["value"] == pytest.approx(least, rel=1e-9)
    assert claim["lower_bound"] <= least * (1 + 1e-9)
    assert claim["space_size"] == len(costs) == enumerator.space_size(problem, architecture)
    # the mapping in the file, priced as anyone would price it
    given = tmp_path / "given.yaml"
    given.write_text(yaml.safe_dump({**yaml.safe_load(spec.read_text()), "mapping": claim["mapping"]}))
    priced = json.loads(hwsim("evaluate", given, "--json").out)[0]
    assert (priced["cycles"], priced["energy_pj"]) == (claim["cycles"], claim["energy_pj"])
