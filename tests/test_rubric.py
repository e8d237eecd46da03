"""Rubrics: every band's edge, every hard constraint, ranks, and what is said of wrong files."""

import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from pathlib import Path

import onnx
import pytest
from pydantic import ValidationError

from hwsim.cost import NetworkCost
from hwsim.design import load_design
from hwsim.errors import HwsimError
from hwsim.figure import graded
from hwsim.network import profile
from hwsim.rubric import (
    Facts,
    Limit,
    Score,
    grade,
    load_rubric,
    needs_mapping,
    read_accuracy,
    read_population,
    shipped,
)
from hwsim.workloads import zoo
from tests.conftest import Run

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
    monkeypatch.setattr("hwsim.rubric.peak_activation_bytes", lambda workload: 1_000_000)
    broken = score("mit-lab1", cost, "0.81", energy_pj=1e8, cycles=50_000)
    assert broken.points == 0
    assert [x.name for x in broken.hard if not x.met] == ["peak activation"]
    monkeypatch.setattr("hwsim.rubric.peak_activation_bytes", lambda workload: 999_999)
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


def test_the_dataset_that_is_given_counts(hwsim: Hwsim, tmp_path: Path) -> None:
    file = zoo.write("lenet5", tmp_path / "lenet5.onnx")
    model = onnx.load(file)
    model.metadata_props.add(key="dataset", value="fashion_mnist")
    onnx.save(model, file)
    asked = ("score", file, "--rubric", "aoc-lab1", "--accuracy", "0.8", "--json")
    assert json.loads(hwsim(*asked, "--dataset", "cifar10").out)["points"] == 40  # 75% are enough
    assert json.loads(hwsim(*asked).out)["points"] == 0  # 85% would be


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


HALF = Decimal("0.5")


@pytest.mark.parametrize(
    ("bound", "below", "exactly", "above", "text"),
    [
        ("below", True, False, False, "< 0.5 mJ"),
        ("at_most", True, True, False, "≤ 0.5 mJ"),
        ("above", False, False, True, "> 0.5 mJ"),
        ("at_least", False, True, True, "≥ 0.5 mJ"),
    ],
)
def test_bounds(bound: str, below: bool, exactly: bool, above: bool, text: str) -> None:
    limit = Limit.model_validate({bound: HALF})
    least = Decimal("1e-20")
    assert (limit.holds(HALF - least), limit.holds(HALF), limit.holds(HALF + least)) == (below, exactly, above)
    assert limit.text("mJ") == text
    assert limit.text("%") == text.replace(" mJ", "%") and limit.text("") == text.removesuffix(" mJ")
    for wrong in ({}, {bound: 1, "below" if bound != "below" else "above": 2}):
        with pytest.raises(ValueError, match="exactly one"):
            Limit.model_validate(wrong)


def test_figures_in_their_units(cost: NetworkCost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwsim.rubric.peak_activation_bytes", lambda workload: 1_234_567)
    changed = replace(cost, energy_pj=2.5e9, cycles=1_500_000, utilization=0.375)
    facts = Facts(Decimal("0.85"), "test", replace(cost.workload, params=123), changed, {})
    wanted = {
        "accuracy": ("85", "%"),
        "error": ("15", "%"),
        "parameters": ("123", ""),
        "macs": (str(cost.workload.macs), ""),
        "energy": ("2.5", "mJ"),
        "latency": ("1.5", "M cycles"),
        "edp": ("3750", "J·cycles"),  # 2.5 mJ × 1.5 M cycles
        "peak_activation": ("1.234567", "MB"),
        "utilization": ("37.5", "%"),
    }
    known = graded()
    assert {name: (facts.figure(name), known[name].bound_unit) for name in wanted} == {
        name: (Decimal(value), unit) for name, (value, unit) in wanted.items()
    }
    without = Facts(None, "test", cost.workload, None, {})
    assert {name for name in known if without.figure(name) is not None} == {
        *("parameters", "macs", "peak_activation", "weight_bytes"),
    }
    assert facts.figure("area") is None
    published, own = load_design("simple_ws"), load_design("simple_ws", own_prices=True)  # the first says no areas
    assert replace(facts, design=published).figure("area") is None
    assert replace(facts, design=own).figure("area") == Decimal(str(own.area_um2)) / 10**6


def own(tmp_path: Path, text: str) -> str:
    file = tmp_path / "own.yaml"
    file.write_text(f"name: own\ntitle: t\nsource: s\n{text}", encoding="utf-8")
    return str(file)


def test_which_rubrics_need_mappings(tmp_path: Path) -> None:
    for figure in graded():
        needs = figure in ("energy", "latency", "seconds", "edp", "power", "peak_power", "utilization")
        band, limit = "{below: 1, points: 1}", f"{{name: a, figure: {figure}, below: 1}}"
        criterion = f"{{name: a, figure: {figure}, bands: [{band}]}}"
        for text in (
            f"criteria: [{criterion}]",
            f"hard_constraints: [{limit}]",
            f"datasets: {{x: {{criteria: [{criterion}]}}}}",
            f"datasets: {{x: {{hard_constraints: [{limit}]}}}}",
        ):
            assert needs_mapping(load_rubric(own(tmp_path, text))) is needs


def test_bands_next_band_and_points(cost: NetworkCost, tmp_path: Path) -> None:
    """Points 5, 5, 3, 0: what more points need skips bands that give no more."""
    bands = "[{at_most: 1, points: 5}, {at_most: 2, points: 5}, {at_most: 3, points: 3}, {at_most: 4, points: 0}]"
    rubric = own(tmp_path, f"criteria: [{{name: a, figure: latency, bands: {bands}}}]")
    seen = []
    for millions in (1, 2, 3, 4, 5):
        (mark,) = score(rubric, cost, cycles=millions * 1_000_000).marks
        seen.append((mark.band, mark.points, mark.max_points, mark.next_band, mark.limited_by is None))
        assert mark.bands == tuple((f"≤ {k} M cycles", Decimal(p)) for k, p in ((1, 5), (2, 5), (3, 3), (4, 0)))
        assert (mark.value, mark.unit) == (millions, "M cycles")
    assert seen == [
        ("≤ 1 M cycles", 5, 5, None, True),
        ("≤ 2 M cycles", 5, 5, None, True),
        ("≤ 3 M cycles", 3, 5, "≤ 2 M cycles for 5", False),
        ("≤ 4 M cycles", 0, 5, "≤ 3 M cycles for 3", False),
        (None, 0, 5, "≤ 4 M cycles for 0", False),
    ]


def test_a_figure_that_nobody_knows(cost: NetworkCost, tmp_path: Path) -> None:
    rubric = own(
        tmp_path,
        "hard_constraints: [{name: h, figure: accuracy, at_least: 50}]\n"
        "criteria: [{name: a, figure: error, bands: [{below: 20, points: 4}, {below: 30, points: 1}]}]\n",
    )
    result = score(rubric, cost, None)
    (mark,), (hard,) = result.marks, result.hard
    assert (mark.value, mark.band, mark.points, mark.max_points) == (None, None, 0, 4)
    assert mark.next_band == "the figure itself (< 20% for 4)" and mark.limited_by is None
    assert mark.bands == (("< 20%", 4), ("< 30%", 1))
    assert (hard.value, hard.unit, hard.limit, hard.met) == (None, "%", "≥ 50%", False)
    assert (result.points, result.max_points) == (0, 4)
    known = score(rubric, cost, "0.5")
    assert known.hard[0].met and known.hard[0].value == 50 and known.points == 0
    assert score(rubric, cost, "0.8").points == 1 and score(rubric, cost, "0.801").points == 4
    assert repr(score(rubric, cost, "0.8")) == "Score(own: 1 of 4 points)"


def test_ranks_by_hand(cost: NetworkCost, tmp_path: Path) -> None:
    """Ten models with this one; so many others have fewer parameters."""
    text = "ranks: [{name: r, figure: parameters, bands: [{at_most: 30, points: 2}, {below: 100, points: 1}]}]"
    rubric = own(tmp_path, text)
    for better, percent, given in ((0, 10, 2), (2, 30, 2), (3, 40, 1), (8, 90, 1), (9, 100, 0)):
        others = {"parameters": [99] * better + [100] * (9 - better)}  # the rest has as many: a tie
        (mark,) = score(rubric, cost, None, others, params=100).marks
        assert (mark.value, mark.points, mark.unit) == (percent, given, "% from the best")
    (alone,) = score(rubric, cost, None, params=100).marks
    assert (alone.value, alone.points, alone.max_points) == (None, 0, 2)
    assert alone.next_band == "a population to rank against"
    assert alone.bands == (("≤ 30 % from the best", 2), ("< 100 % from the best", 1))


def test_what_limits_a_figure(cost: NetworkCost, tmp_path: Path) -> None:
    """The largest layer's share, each figure counted another way."""
    by = {
        "energy": [(x.name, x.count * x.cost.energy_pj) for x in cost.layers],
        "edp": [(x.name, x.count * x.cost.energy_pj) for x in cost.layers],
        "latency": [(x.name, x.count * x.cost.cycles) for x in cost.layers],
        # LeNet-5: 6·28²·25, 16·10²·150, 400·120, 120·84, 84·10; weights and biases
        "macs": [("c1", 117_600), ("c3", 240_000), ("f5", 48_000), ("f6", 10_080), ("output", 840)],
        "parameters": [("c1", 156), ("c3", 2_416), ("f5", 48_120), ("f6", 10_164), ("output", 850)],
    }
    for figure, parts in by.items():
        rubric = own(tmp_path, f"criteria: [{{name: a, figure: {figure}, bands: [{{below: 0, points: 1}}]}}]")
        (mark,) = score(rubric, cost).marks
        name, most = max(parts, key=lambda part: part[1])
        share = f"takes {100 * most / sum(x for _, x in parts):.0f}%"
        assert mark.limited_by is not None and mark.limited_by.endswith(share), (figure, mark.limited_by)
        assert figure in ("macs", "parameters") or mark.limited_by.startswith(name)
    for figure in ("accuracy", "utilization", "peak_activation"):
        rubric = own(tmp_path, f"criteria: [{{name: a, figure: {figure}, bands: [{{below: 0, points: 1}}]}}]")
        assert score(rubric, cost).marks[0].limited_by is None


def test_datasets_add_to_what_holds_for_all(cost: NetworkCost, tmp_path: Path) -> None:
    one = "{name: a, figure: macs, bands: [{at_least: 1, points: 1}]}"
    ten = one.replace("points: 1", "points: 10")
    rubric = own(
        tmp_path,
        f"criteria: [{one}]\ndatasets: {{x: {{criteria: [{ten}]}}, y: {{hard_constraints: "
        "[{name: h, figure: macs, below: 1}]}}",
    )
    assert (score(rubric, cost, dataset="x").points, score(rubric, cost, dataset="x").max_points) == (11, 11)
    assert (score(rubric, cost, dataset="y").points, score(rubric, cost, dataset="y").max_points) == (0, 1)
    with pytest.raises(HwsimError, match="grades models of x, y; the model's metadata says 'nothing'"):
        score(rubric, cost)


@pytest.mark.parametrize("text", ["0", "1", "0.5", " 0.85 ", "1e-3"])
def test_right_accuracy(text: str) -> None:
    assert read_accuracy(text, "--accuracy") == Decimal(text.strip())


def test_an_accuracy_in_percent_is_explained() -> None:
    for text, hint in (("85", "85% is 0.85"), ("100", "100% is 1"), ("100.1", ""), ("-1", "")):
        with pytest.raises(HwsimError) as caught:
            read_accuracy(text, "--accuracy")
        assert hint in str(caught.value) and (hint or "% is" not in str(caught.value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("criteria: [{name: a, figure: macs, bands: [{below: .nan, points: 1}]}]", "below"),
        ("criteria: [{name: a, figure: macs, bands: [{below: .inf, points: 1}]}]", "below"),
        ("criteria: [{name: a, figure: macs, bands: [{below: '1e999999999', points: 1}]}]", "below"),
        ("criteria: [{name: a, figure: macs, bands: [{below: 1, points: -1}]}]", "points"),
        ("criteria: [{name: a, figure: macs, bands: [{below: 1, points: '1e999'}]}]", "points"),
        ("criteria: [{name: '', figure: macs, bands: [{below: 1, points: 1}]}]", "name"),
        (f"criteria: [{{name: {'n' * 201}, figure: macs, bands: [{{below: 1, points: 1}}]}}]", "name"),
        ("criteria: [" + "{name: a, figure: macs, bands: [{below: 1, points: 1}]}, " * 101 + "]", "at most 100"),
        ("ranks: [{name: a, figure: energy, bands: [{at_most: 1, points: 1}]}]", "figure"),
        (
            "ranks: [{name: a, figure: macs, bands: [{at_most: 1, points: 1}, {at_most: 2, points: 3}]}]",
            "most points to fewest",
        ),
        ("criteria: {a: 1}", "criteria"),
        ("notes: 2024-99-99", "notes"),
        ("notes: [!!int '']", "is no int"),
        ("notes: [!!bool maybe]", "is no bool"),
        ("? [a, b]\n: c", "keys are names"),
        ("notes: [" + "[" * 200 + "]" * 200 + "]", "nested deeper"),
        ("notes: " + "[" * 5000, "YAML"),
        ("notes: 'a\0b'", "YAML"),
    ],
)
def test_more_faults_of_a_rubric_file(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match=said) as caught:
        load_rubric(own(tmp_path, text))
    assert "own.yaml" in caught.value.where and len(str(caught.value)) < 1000 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "parameters,macs\nNaN,1\n", "found 'NaN'"),
        ("a.csv", "parameters,macs\n1,-Infinity\n", "row 1: macs: .*found '-Infinity'"),
        ("a.csv", "parameters,macs\n1,1\n-1,1\n", "row 2: parameters"),
        ("a.csv", "parameters,macs\n1,1e999999999\n", "found '1e999999999'"),
        ("a.csv", "parameters,macs\n5\n", "found None"),
        ("a.csv", "parameters,macs\n", "one model a row"),
        ("a.csv", "parameters,macs\n1," + "9" * 200_000, "cannot be read"),
        ("a.json", '[{"parameters": true, "macs": 1}]', "found True"),
        ("a.json", '[{"parameters": [1], "macs": 1}]', r"found \[1\]"),
        ("a.json", '[{"parameters": 1, "macs": ' + "9" * 5000 + "}]", "cannot be read"),
        ("a.json", "[" * 100_000, "cannot be read"),
        ("a.json", "[]", "one model a row"),
        ("a.json", "[1]", "one model a row"),
    ],
)
def test_more_population_faults(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(HwsimError, match=said) as caught:
        read_population(tmp_path / name)
    assert len(str(caught.value)) < 1000


def test_populations_as_people_have_them(tmp_path: Path) -> None:
    wanted = {"parameters": (Decimal(5), Decimal(7)), "macs": (Decimal("1e3"), Decimal(8))}
    for name, content in (
        ("a.csv", b"\xef\xbb\xbfparameters,macs\r\n5,1e3\r\n7,8\r\n"),  # as Excel saves it
        ("b.csv", b'name,"macs",parameters\n"a\nb",1000,5\nc, 8,7\n'),
        ("c.json", b'[{"parameters": 5, "macs": 1000.0}, {"macs": "8", "parameters": 7, "more": null}]'),
    ):
        (tmp_path / name).write_bytes(content)
        assert read_population(tmp_path / name) == wanted
    (tmp_path / "edges.csv").write_text("parameters,macs\n0,1e30\n")
    assert read_population(tmp_path / "edges.csv") == {"parameters": (Decimal(0),), "macs": (Decimal("1e30"),)}
    (tmp_path / "over.csv").write_text("parameters,macs\n0,1.000001e30\n")
    with pytest.raises(HwsimError, match="from 0 to 1e30"):
        read_population(tmp_path / "over.csv")


def test_one_more_than_a_rubric_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every limit of a rubric file: reached, and passed by one."""
    one = "{name: a, figure: macs, bands: [{below: 1, points: 1}]}"

    def band(below: str = "1", points: str = "1") -> str:
        return f"criteria: [{{name: a, figure: macs, bands: [{{below: '{below}', points: '{points}'}}]}}]"

    for good, bad in (
        (band(below="9" * 30), band(below="9" * 31)),
        (band(below="1." + "1" * 15), band(below="1." + "1" * 16)),
        (band(points="9" * 9), band(points="9" * 10)),
        (band(points="1." + "1" * 6), band(points="1." + "1" * 7)),
        (band(points="0"), band(points="-0.1")),
        (f"criteria: [{', '.join([one] * 100)}]", f"criteria: [{', '.join([one] * 101)}]"),
        (f"notes: [{', '.join('n' * 100)}]", f"notes: [{', '.join('n' * 101)}]"),
        (f"notes: [{'n' * 2000}]", f"notes: [{'n' * 2001}]"),
        (f"ranks: [{', '.join([one] * 100)}]", f"ranks: [{', '.join([one] * 101)}]"),
        (one.join(["criteria: [", "]"]).replace("name: a", f"name: {'n' * 200}"),
         one.join(["criteria: [", "]"]).replace("name: a", f"name: {'n' * 201}")),
    ):  # fmt: skip
        load_rubric(own(tmp_path, good))
        with pytest.raises(HwsimError):
            load_rubric(own(tmp_path, bad))
    monkeypatch.setattr("hwsim.rubric.MAX_POPULATION_BYTES", 21)
    (tmp_path / "a.csv").write_text("parameters,macs\n1,234"[:21])
    read_population(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("parameters,macs\n1,2345")
    with pytest.raises(HwsimError, match="at most 21"):
        read_population(tmp_path / "a.csv")


def test_prose_of_several_lines_is_one(tmp_path: Path) -> None:
    text = "name: own\ntitle: |\n  two\n  lines\nsource: >\n  a\n\n  b\nnotes: [' c  d ']\n"
    (tmp_path / "own.yaml").write_text(text)
    rubric = load_rubric(str(tmp_path / "own.yaml"))
    assert (rubric.title, rubric.source, rubric.notes) == ("two lines", "a b", ("c d",))


def test_outcomes_do_not_change(cost: NetworkCost) -> None:
    result = score("mit-lab1", cost)
    for part, name in ((result, "marks"), (result.marks[0], "points"), (result.hard[0], "met"), (result.facts, "cost")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, name, None)
    with pytest.raises(ValidationError):
        result.rubric.name = "other"
