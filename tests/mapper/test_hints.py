"""Hints (mappings of other designs) make the search faster and change nothing of what it finds."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hwsim.cost import Illegal, LayerCost
from hwsim.design import load_architecture
from hwsim.design.settings import Setting
from hwsim.hardware import Design
from hwsim.mapper import search
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from hwsim.network import Hints, map_layer
from hwsim.whatif import study
from hwsim.workloads import zoo
from hwsim.workloads.problem import Problem, conv, depthwise, matmul
from tests.mapper.test_mapper import OBJECTIVES, small_problem
from tests.witness import enumerator


def design(rng: random.Random, name: str = "simple_ws"):  # type: ignore[no-untyped-def]
    """A random relative of an architecture."""
    settings = {
        "shared_glb.depth": rng.choice([256, 2048, 16384]),
        "PE.meshX": rng.choice([4, 8, 24, 64]),
        "PE.meshY": rng.choice([4, 12, 32]),
        "pe_spad.depth": rng.choice([16, 192]),
        "*.technology": rng.choice(["65nm", "45nm", "22nm"]),
    }
    listed = [Setting(*target.rsplit(".", 1), value) for target, value in settings.items()]
    return load_architecture(name, listed, own_prices=True)


def result(cost: LayerCost | Illegal) -> object:
    """All that a search finds, without how long it looked."""
    if isinstance(cost, Illegal):
        return cost
    certificate = cost.certificate
    assert certificate is not None
    return (
        cost.mapping,
        cost.energy_pj,
        cost.cycles,
        certificate.value,
        certificate.optimal,
        certificate.lower_bound,
    )


PROBLEMS = [
    conv({"C": 24, "M": 36, "P": 14, "Q": 14}),
    depthwise({"C": 24, "R": 3, "S": 3, "P": 14, "Q": 14}),
    depthwise({"C": 32, "R": 3, "S": 3, "P": 14, "Q": 14}, wstride=2, hstride=2),
    matmul({"P": 12, "C": 64, "M": 60}),
]


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda x: x.kind)
def test_same_with_and_without(problem: Problem, objective: str) -> None:
    """Over random designs: hints from all designs before, in either order."""
    rng = random.Random(f"{problem.kind}/{objective}")
    designs = [design(rng) for _ in range(4)]
    alone = [search(problem, *x, objective) for x in designs]
    assert any(isinstance(x, LayerCost) for x in alone)
    for order in (range(4), range(3, -1, -1)):
        hints: list[Mapping] = []
        for k in order:
            cost = search(problem, *designs[k], objective, hints=hints)
            assert result(cost) == result(alone[k])
            if isinstance(cost, LayerCost):
                hints.insert(0, cost.mapping)


@pytest.mark.parametrize("name", ["simple_ws", "eyeriss_like"])
def test_any_mapping_of_the_space_as_a_hint(name: str) -> None:
    """Against enumeration, with the best and other mappings of the space as hints."""
    architecture, energy = load_architecture(name)
    architecture = architecture.bind(("Weights", "Inputs", "Outputs"))
    rng = random.Random(f"hints/{name}")
    for _ in range(6):
        problem = small_problem(rng, architecture)
        mappings = list(enumerator.enumerate_mappings(problem, architecture))
        best = enumerator.optima(problem, architecture, energy).best
        for objective in OBJECTIVES:
            alone = search(problem, architecture, energy, objective)
            if not best:
                assert isinstance(alone, Illegal)
                continue
            least = best[objective].value(objective)
            assert isinstance(alone, LayerCost)
            for hints in ([alone.mapping], rng.sample(mappings, min(4, len(mappings)))):
                cost = search(problem, architecture, energy, objective, hints=hints)
                assert result(cost) == result(alone)
                assert OBJECTIVES[objective](cost) == pytest.approx(least, rel=1e-9)  # type: ignore[arg-type]


def test_wrong_hints_do_no_harm() -> None:
    problem = matmul({"P": 12, "C": 16, "M": 24})
    architecture, energy = load_architecture("simple_ws")
    alone = search(problem, architecture, energy)
    foreign = search(problem, *load_architecture("eyeriss_like"))
    other = search(matmul({"P": 4, "C": 4, "M": 4}), architecture, energy)
    assert isinstance(alone, LayerCost) and isinstance(foreign, LayerCost) and isinstance(other, LayerCost)
    levels = alone.mapping.levels
    unknown = Mapping((LevelMapping(levels[0].level, (Loop("Z", 3),), (), levels[0].keep), *levels[1:]))
    kept = Mapping(tuple(LevelMapping(x.level, x.temporal, x.spatial, frozenset()) for x in levels))
    # Output channels along X: better than anything that the constraints of the array allow, but not of this space.
    everything = frozenset({"Weights", "Inputs", "Outputs"})
    bounds = {"DRAM": (), "shared_glb": (Loop("P", 12), Loop("M", 2))}
    spread = {"PE": (Loop("M", 12, "Y"), Loop("C", 16, "X"))}
    forbidden = Mapping(
        tuple(
            LevelMapping(
                x.level,
                bounds.get(x.level, ()),
                tuple(Loop(y.dim, y.bound, y.axis) for y in spread.get(x.level, ())),
                everything if x.level in bounds else x.keep,
            )
            for x in levels
        )
    )
    for hint in (foreign.mapping, other.mapping, unknown, kept, forbidden, Mapping(())):
        cost = search(problem, architecture, energy, hints=[hint])
        assert result(cost) == result(alone)


def test_a_hint_that_breaks_a_constraint_is_no_bound() -> None:
    """A mapping cheaper than all that the constraints allow must not cut the search short."""
    problem = matmul({"P": 8, "C": 16, "M": 16})
    free, energy = load_architecture("simple_ws")
    better = search(problem, free, energy)
    from dataclasses import replace

    from hwsim.architecture import Fanout

    levels = tuple(
        replace(x, constraints=replace(x.constraints, spatial=replace(x.constraints.spatial, others_one=True)))
        if isinstance(x, Fanout)
        else x
        for x in free.levels
    )
    tight = replace(free, levels=levels)
    alone = search(problem, tight, energy)
    assert isinstance(better, LayerCost) and isinstance(alone, LayerCost)
    assert isinstance(evaluate(problem, tight, better.mapping, energy), LayerCost)
    assert better.edp < alone.edp
    assert result(search(problem, tight, energy, hints=[better.mapping])) == result(alone)


def test_the_order_of_designs_does_not_matter() -> None:
    """What is remembered between designs is bounded, and changes no result."""
    problem = depthwise({"C": 24, "R": 3, "S": 3, "P": 14, "Q": 14})
    rng = random.Random(3)
    designs = [design(rng) for _ in range(4)]
    seen = []
    for order in (range(4), range(3, -1, -1)):
        hints = Hints()
        costs = {k: map_layer(problem, Design(*designs[k]), use_cache=False, hints=hints) for k in order}
        seen.append([result(costs[k]) for k in range(4)])
        assert 1 < len(hints) <= Hints.MOST
    assert seen[0] == seen[1]


def test_the_designs_of_a_study_help_one_another_and_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[int] = []

    def watched(*args: Any, hints: Sequence[Mapping], **options: Any) -> Any:
        given.append(len(hints))
        return search(*args, hints=hints, **options)

    monkeypatch.setattr("hwsim.mapper.search", watched)
    model = zoo.write("lenet5", tmp_path / "lenet5.onnx")
    for _ in range(2):
        found = study(model, "simple_ws", ["shared_glb.depth=4096"], use_cache=False)
        layers = len(found[0].cost.layers)
        assert given == [0] * layers + [1] * layers
        given.clear()


@pytest.mark.parametrize(("width", "depth", "words", "node"), [(24, 4096, 16, "45nm"), (64, 2048, 128, "32nm")])
def test_a_layer_that_waits_for_the_buffer_is_proved(width: int, depth: int, words: int, node: str) -> None:
    """On arrays wider than the buffer's bandwidth, cycles depend on every loop outside, and on the rounding."""
    settings: dict[str, int | str] = {
        "PE.meshX": width,
        "PE.meshY": 12,
        "shared_glb.depth": depth,
        "pe_spad.depth": words,
    }
    settings |= {"*.technology": node}
    listed = [Setting(*target.rsplit(".", 1), value) for target, value in settings.items()]
    architecture, energy = load_architecture("simple_ws", listed, own_prices=True)
    cost = search(depthwise({"C": 576, "R": 3, "S": 3, "P": 14, "Q": 14}), architecture, energy)
    assert isinstance(cost, LayerCost) and cost.certificate is not None
    assert any(level.throttling < 1 for level in cost.levels)
    assert cost.certificate.optimal
