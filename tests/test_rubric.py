"""Rubrics: every band's edge, every hard constraint, ranks, and what is said of wrong files."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import onnx
import pytest

from hwsim.cost import NetworkCost
from hwsim.errors import HwsimError
from hwsim.network import profile
from hwsim.rubric import Facts, Score, grade, load_rubric, read_accuracy, read_population, shipped
from tests.conftest import Run
from workloads import zoo

Hwsim = Callable[..., Run]


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> NetworkCost:
    return profile(zoo.write("lenet5", tmp_path_factory.mktemp("zoo") / "lenet5.onnx"), "simple_ws_lab")


def score(
    rubric: str,
    cost: NetworkCost,
    accuracy: str | None = "0.5",
    population: dict[str, list[int]] | None = None,
    **change: object,
) -> Score:
    """Score a network whose cost and parameter count are what the test says."""
    workload = cost.workload
    if "params" in change:
        workload = replace(workload, params=change.pop("params"))
    if "dataset" in change:
        workload = replace(workload, metadata={"dataset": str(change.pop("dataset"))})
    share = None if accuracy is None else read_accuracy(accuracy, "test")
    others = {k: tuple(Decimal(v) for v in values) for k, values in (population or {}).items()}
    return grade(load_rubric(rubric), Facts(share, "test", workload, replace(cost, **change), others))


def points(result: Score, name: str) -> float:
    return next(float(m.points) for m in result.marks if m.name == name)


# Each bound of the course's tables: exactly on it, and on either side. 1 mJ is 1e9 pJ.
@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ("0.8001", 60), ("0.8", 50), ("0.7999", 50), ("0.7001", 50), ("0.7", 40), ("0.6001", 40), ("0.6", 30),
        ("0.5001", 30),
    ],
)  # fmt: skip
def test_mit_error_bands(cost: NetworkCost, accuracy: str, expected: int) -> None:
    assert points(score("mit-lab1", cost, accuracy), "test error") == expected


@pytest.mark.parametrize(
    ("energy_pj", "expected"),
    [(4.999e8, 20), (5e8, 15), (9.99e8, 15), (1e9, 10), (1.49e9, 10), (1.5e9, 5), (1.99e9, 5), (2e9, 0), (9e9, 0)],
)
def test_mit_energy_bands(cost: NetworkCost, energy_pj: float, expected: int) -> None:
    assert points(score("mit-lab1", cost, energy_pj=energy_pj), "energy") == expected


@pytest.mark.parametrize(
    ("cycles", "expected"),
    [
        (99_999, 20), (100_000, 15), (249_999, 15), (250_000, 10), (499_999, 10), (500_000, 5), (999_999, 5),
        (1_000_000, 0),
    ],
)  # fmt: skip
def test_mit_latency_bands(cost: NetworkCost, cycles: int, expected: int) -> None:
    assert points(score("mit-lab1", cost, cycles=cycles), "latency") == expected


def test_mit_full_score_and_each_broken_constraint(cost: NetworkCost, monkeypatch: pytest.MonkeyPatch) -> None:
    assert score("mit-lab1", cost, "0.81", energy_pj=1e8, cycles=50_000).points == 100
    assert score("mit-lab1", cost, "0.5", energy_pj=1e8, cycles=50_000).points == 0  # error exactly 50%
    assert score("mit-lab1", cost, None, energy_pj=1e8, cycles=50_000).points == 0  # nobody knows
    monkeypatch.setattr("workloads.memory.peak_activation_bytes", lambda workload: 1_000_000)
    broken = score("mit-lab1", cost, "0.81", energy_pj=1e8, cycles=50_000)
    assert broken.points == 0
    assert [x.name for x in broken.hard if not x.met] == ["peak activation"]
    monkeypatch.setattr("workloads.memory.peak_activation_bytes", lambda workload: 999_999)
    assert score("mit-lab1", cost, "0.81", energy_pj=1e8, cycles=50_000).points == 100


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ("0.59855", 0), ("0.59856", 2), ("0.65411", 2), ("0.65412", 4), ("0.72818", 4), ("0.72819", 5.5),
        ("0.81002", 5.5), ("0.81003", 6),
    ],
)  # fmt: skip
def test_hw13_baselines(cost: NetworkCost, accuracy: str, expected: float) -> None:
    assert float(score("hw13", cost, accuracy).points) == expected


def test_hw13_parameter_limit(cost: NetworkCost) -> None:
    assert score("hw13", cost, "0.9", params=100_000).points == 6
    assert score("hw13", cost, "0.9", params=100_001).points == 0


@pytest.mark.parametrize(("accuracy", "expected"), [("0.925", 0), ("0.9251", 100), ("0.95", 100)])
def test_lab0(cost: NetworkCost, accuracy: str, expected: int) -> None:
    assert score("lab0", cost, accuracy).points == expected


@pytest.mark.parametrize(
    ("dataset", "limit", "below", "quartiles"),
    [("cifar10", "0.75", "0.7499", (5, 4, 3, 2)), ("fashion_mnist", "0.85", "0.8499", (2.5, 2, 1.5, 1))],
)
def test_aoc_base_and_quartiles(
    cost: NetworkCost, dataset: str, limit: str, below: str, quartiles: tuple[float, ...]
) -> None:
    assert score("aoc-lab1", cost, below, dataset=dataset).points == 0
    assert score("aoc-lab1", cost, limit, dataset=dataset).points == 40  # no population: the base alone
    macs = cost.workload.macs
    # With three others and the model itself, places 1 to 4 are 25, 50, 75 and 100% from the best.
    for place, expected in enumerate(quartiles):
        others = {"parameters": [10] * place + [10**9] * (3 - place), "macs": [macs] * 3}
        result = score("aoc-lab1", cost, limit, others, dataset=dataset)
        assert points(result, "parameters") == expected
        assert points(result, "MACs") == quartiles[0]  # ties share the better place
    # One place worse than a quarter of eight: 3 of 8 is 37.5%.
    others = {"parameters": [10, 10] + [10**9] * 5, "macs": [1] * 7}
    result = score("aoc-lab1", cost, limit, others, dataset=dataset)
    assert (points(result, "parameters"), points(result, "MACs")) == (quartiles[1], quartiles[3])


def test_aoc_needs_a_known_dataset(cost: NetworkCost) -> None:
    with pytest.raises(HwsimError, match="--dataset"):
        score("aoc-lab1", cost, dataset="mnist")


def test_next_band_and_what_limits(cost: NetworkCost) -> None:
    result = score("mit-lab1", cost, "0.8", energy_pj=9e9, cycles=1_000)
    error, energy, latency = result.marks
    assert (error.band, error.next_band) == ("< 30%", "< 20% for 60")
    assert (energy.band, energy.next_band) == (None, "< 2 mJ for 5")
    assert energy.limited_by is not None and "takes" in energy.limited_by
    assert (latency.band, latency.next_band, latency.limited_by) == ("< 0.1 M cycles", None, None)


def test_schema_and_source_of_the_accuracy(hwsim: Hwsim, tmp_path: Path) -> None:
    file = zoo.write("lenet5", tmp_path / "lenet5.onnx")
    model = onnx.load(file)
    model.metadata_props.add(key="test_accuracy", value="0.93")
    onnx.save(model, file)
    run = hwsim("score", file, "--rubric", "mit-lab1", "--json")
    assert run.code == 0, run.err
    data = json.loads(run.out)
    assert data["schema"] == "hwsim.score/1"
    assert (data["points"], data["max_points"], data["accuracy"]) == (100, 100, 0.93)
    assert "metadata" in data["accuracy_source"]
    assert {"name", "value", "unit", "band", "points", "next_band"} <= data["criteria"][0].keys()
    assert {"name", "value", "limit", "met"} <= data["hard_constraints"][0].keys()
    run = hwsim("score", file, "--rubric", "mit-lab1", "--accuracy", "0.75")
    assert "90 of 100 points" in run.out and "--accuracy" in run.out


@pytest.mark.parametrize("text", ["85", "-0.1", "1.01", "nan", "inf", "abc", ""])
def test_wrong_accuracy(text: str) -> None:
    with pytest.raises(HwsimError, match="0 to 1"):
        read_accuracy(text, "--accuracy")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x", "title"),
        ("name: x\ntitle: x\nsource: x\ncriterias: []", "Did you mean 'criteria'"),
        ("name: x\ntitle: x\nsource: x\ncriteria: [{name: a, figure: speed, bands: [{below: 1, points: 1}]}]", "speed"),
        ("name: x\ntitle: x\nsource: x\ncriteria: [{name: a, figure: error, bands: [{points: 1}]}]", "exactly one"),
        ("name: x\ntitle: x\nsource: x\ncriteria: [{name: a, figure: error, bands: []}]", "bands"),
        (
            "name: x\ntitle: x\nsource: x\n"
            "criteria: [{name: a, figure: error, bands: [{below: 9, points: 1}, {below: 5, points: 2}]}]",
            "most points to fewest",
        ),
    ],
)
def test_faults_of_a_rubric_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(HwsimError, match=said) as caught:
        load_rubric(str(file))
    assert "own.yaml" in caught.value.where


def test_population_faults(tmp_path: Path) -> None:
    for name, text, said in (
        ("a.csv", "parameters\n5\n", "no such column"),
        ("b.csv", "parameters,macs\n5,many\n", "found 'many'"),
        ("c.json", "{}", "one model a row"),
        ("d.json", "[", "cannot be read"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(HwsimError, match=said):
            read_population(tmp_path / name)
    with pytest.raises(HwsimError, match="cannot be read"):
        read_population(tmp_path / "none.csv")


def test_every_shipped_rubric_loads() -> None:
    assert {"mit-lab1", "aoc-lab1", "hw13", "lab0"} <= set(shipped())
    for name in shipped():
        load_rubric(name)
