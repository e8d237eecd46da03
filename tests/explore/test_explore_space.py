"""Space files: what parameters may be, formulas, and every fault told before any work starts."""

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwsim.errors import HwsimError
from hwsim.explore.check import prepare
from hwsim.explore.formula import Comparison, Formula
from hwsim.explore.sampling import halton
from hwsim.explore.space import Parameter, Space, load_space
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from tests.conftest import Run

Hwsim = Callable[..., Run]
EXAMPLES = Path(__file__).parents[2] / "examples"

SPACE: dict[str, Any] = {
    "models": ["zoo:lenet5"],
    "parameters": {"kib": [1, 2], "columns": {"low": 4, "high": 8, "step": 4}},
    "settings": {"shared_glb.depth": "kib * 1024 / 8", "PE.meshX": "columns"},
    "objectives": ["energy", "latency"],
}


def write(folder: Path, **changes: Any) -> Path:
    """The space with some keys changed; None takes one out."""
    content = {k: v for k, v in {**SPACE, **changes}.items() if v is not None}
    file = folder / "space.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"settings": {"PE.meshX": "colums"}}, "settings.PE.meshX", "Did you mean 'columns'"),
    ({"parameters": {"x": {"low": 8, "high": 4}}}, "parameters.x", "empty"),
    ({"parameters": {"x": []}}, "parameters.x", "empty"),
    ({"parameters": {"x": [1, 2, 1]}}, "parameters.x", "twice"),
    ({"parameters": {"x": {"low": 0, "high": 4, "log": True}}}, "parameters.x", "above 0"),
    ({"parameters": {"x": {"low": 1}}}, "parameters.x", "'high'"),
    ({"parameters": {"x": {"low": 8, "high": 2**159, "step": 8}}}, "parameters.x", "2^53"),
    ({"parameters": {"x": {"low": 1, "high": 10**400}}}, "parameters.x", "2^53"),
    ({"parameters": {"x": [2**53 + 1]}}, "parameters.x", "2^53"),
    ({"parameters": {"x": [1.1e300]}}, "parameters.x", "1e+300"),
    ({"parameters": {"x": [float("nan")]}}, "parameters.x", "finite"),
    ({"parameters": {"x": {"low": -1e308, "high": 1e308}}}, "parameters.x", "1e+300"),
    ({"parameters": {"x": {"low": 2e-320, "high": 128, "factor": 2}}}, "parameters.x", "times low"),
    ({"parameters": {"x": {"low": 2e-320, "high": 128, "log": True}}}, "parameters.x", "times low"),
    ({"parameters": {"x": {"low": 1, "high": 2, "factor": 1.000001}}}, "parameters.x", "steps"),
    ({"parameters": {"x": {"low": 0.0, "high": 1.0, "step": 1e-320}}}, "parameters.x", "steps"),
    ({"models": ["9" * 5000]}, "models[0].model", "no such model"),
    ({"arch": "9" * 5000}, "arch", "no architecture"),
    ({"arch": ""}, "arch", "not a file"),
    ({"arch": 5}, "arch", "valid string"),
    ({"parameters": {"x": {"low": 1, "high": 3, "stepp": 1}}}, "parameters.x.stepp", "Did you mean 'step'"),
    ({"parameters": {"x": [1], "y": "z + 1", "z": "y + 1"}}, "parameters.y", "circle"),
    ({"parameters": {"x": [1], "y": "w + 1"}}, "parameters.y", "'w' is no parameter"),
    ({"parameters": {"area": [1]}}, "parameters.area", "name of a figure"),
    ({"parameters": {"KiB": [1]}}, "parameters.KiB", "name of a unit"),
    ({"parameters": {"x-y": [1]}}, "parameters.x-y", "letters"),
    ({"parameters": None}, "parameters", "required"),
    ({"constraints": ["area <= 1", "area >= 2"]}, "constraints[1]", "contradicts 'area <= 1'"),
    ({"constraints": ["energy < 3 * mJ", "energy > 3 * mJ"]}, "constraints[1]", "contradicts"),
    ({"constraints": ["utilization > 1"]}, "constraints[0]", "never above 1"),
    ({"constraints": ["on_chip_bytes < 0"]}, "constraints[0]", "never below 0"),
    ({"constraints": ["columns >= 9"]}, "constraints[0]", "no design of the space meets 'columns >= 9'"),
    ({"constraints": ["kib * columns == 4"]}, "constraints[0]", "comparison"),
    ({"constraints": ["area <= 1 * um2"]}, "constraints[0]", "no design of the space meets"),
    ({"constraints": ["aera <= 1"]}, "constraints[0]", "Did you mean 'area'"),
    ({"constraints": ["points >= 3"]}, "constraints[0]", "rubric"),
    ({"models": ["zoo:lenet"]}, "models[0].model", "Did you mean 'lenet5'"),
    ({"models": ["gone.onnx"]}, "models[0].model", "no such model"),
    ({"models": []}, "models", "at least 1"),
    ({"models": [{"model": "zoo:lenet5", "weight": 0}]}, "models[0].weight", "greater than 0"),
    ({"models": [{"model": "zoo:lenet5", "arguments": {"widht": 1}}]}, "arguments.widht", "Did you mean 'width'"),
    ({"models": [{"model": "zoo:lenet5", "arguments": {"width": -1}}]}, "models[0]", "above 0"),
    ({"models": [{"model": "zoo:lenet5", "dims": {"seq": 8}}]}, "models[0]", "seq"),
    ({"objectives": ["columns"]}, "objectives[0]", "'columns' is no figure"),
    ({"objectives": ["enrgy"]}, "objectives[0]", "Did you mean 'energy'"),
    ({"objectives": ["kib * 2"]}, "objectives[0]", "reads no figure"),
    ({"objectives": ["energy", "energy"]}, "objectives[1]", "two objectives"),
    ({"objectives": {"energy": "least"}}, "objectives[0].direction", "minimise"),
    ({"objectives": ["accuracy"]}, "models[0]", "accuracy"),
    ({"settings": {"glb.depth": 8}}, "settings.glb.depth", "no component 'glb'"),
    ({"settings": {"shared_glb.dept": "kib"}}, "settings", "Did you mean 'depth'"),
    ({"settings": {"depth": "kib"}}, "settings.depth", "COMPONENT.ATTRIBUTE"),
    ({"settings": {"shared_glb.depth": "kib - 9"}}, "settings", "none of"),
    ({"arch": "simple_sw"}, "arch", "Did you mean 'simple_"),
    ({"objektives": ["energy"]}, "objektives", "Did you mean 'objectives'"),
    ({"rubric": "mit-lab9", "objectives": ["points"]}, "rubric", "Did you mean 'mit-lab1'"),
    ({"parameters": {"x": {"low": 1, "high": 10**6}, "columns": [4]}}, "parameters", "1,000,000 designs"),
    ({"parameters": {"x": {"low": 0.5, "high": 2.0}, "columns": [4]}}, "parameters.x", "--trials"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "field", "said"), FAULTS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_fault_is_one_message_before_any_work(
    hwsim: Hwsim, tmp_path: Path, changes: dict[str, Any], field: str, said: str
) -> None:
    if "settings" not in changes and "parameters" in changes:
        changes = {**changes, "settings": {}}
    file = write(tmp_path, **changes)
    run = hwsim("explore", file, "--grid", "--store", tmp_path / "store.sqlite")
    assert run.code == 2 and "Traceback" not in run.err, run.err
    assert field in run.err and said in run.err, run.err
    assert not (tmp_path / "store.sqlite").exists()


def test_names_are_given_once(hwsim: Hwsim, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("models: [zoo:lenet5]\nparameters:\n  x: [1]\n  x: [2]\nobjectives: [energy]\n")
    run = hwsim("explore", file, "--grid")
    assert run.code == 2 and "parameters.x" in run.err and "twice" in run.err, run.err


def test_the_command_needs_to_know_how_much(hwsim: Hwsim, tmp_path: Path) -> None:
    assert "--grid" in hwsim("explore", write(tmp_path)).err
    assert hwsim("explore", write(tmp_path), "--grid", "--trials", "3").code == 2


def values(**form: Any) -> list[Any]:
    domain = Parameter.model_validate(form).domain("x")
    assert domain is not None and domain.values is not None
    return list(domain.values)


def test_ranges() -> None:
    assert values(low=8, high=32, step=8) == [8, 16, 24, 32]
    assert values(low=8, high=31, step=8) == [8, 16, 24]
    assert values(low=16, high=128, factor=2) == [16, 32, 64, 128]
    assert values(low=0.1, high=0.5, step=0.1) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert values(low=3, high=5) == [3, 4, 5]
    continuous = Parameter(low=0.5, high=2.0, log=True).domain("x")
    assert continuous is not None and continuous.values is None
    # the middle of a log scale is the geometric mean
    assert continuous.at(0.5) == pytest.approx(1.0)
    integers = Parameter(low=1, high=1000, log=True).domain("x")
    assert integers is not None and integers.at(0.0) == 1 and integers.at(0.9999999) == 1000 and integers.at(0.5) == 31


def test_tied_parameters_are_computed_in_any_order(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, parameters={"c": "b + 1", "b": "a * 2", "a": [1, 5]}, settings={}))
    assert [space.complete(free) for free in space.grid()] == [{"c": 3, "b": 2, "a": 1}, {"c": 11, "b": 10, "a": 5}]


def test_a_grid_takes_every_combination(tmp_path: Path) -> None:
    space = load_space(write(tmp_path))
    assert list(space.grid()) == [{"kib": k, "columns": c} for k, c in itertools.product((1, 2), (4, 8))]


def test_formulas_and_comparisons() -> None:
    assert Formula("kib * 1024 / 8", "").value({"kib": 4}) == 512
    assert isinstance(Formula("kib * 1024 / 8", "").value({"kib": 4}), int)
    assert Formula("45nm", "").value({}) == "45nm" and Formula("'LPDDR4'", "").value({}) == "LPDDR4"
    (one,) = Comparison.read("area ≤ 2.5 * mm2", "")
    assert one.violation({"area": 2.5e6}) == 0 and one.violation({"area": 5e6}) == pytest.approx(0.5)
    low, high = Comparison.read("1 <= x < 2", "")
    assert low.violation({"x": 0.5}) > 0 and high.violation({"x": 0.5}) == 0 and high.violation({"x": 2}) > 0
    with pytest.raises(HwsimError, match="a number"):
        one.violation({"area": "large"})


def test_formulas_reach_nothing() -> None:
    for text in ("__import__('os')", "x.__class__", "(lambda: 1)()", "[i for i in x]", "2 ** 99999999"):
        with pytest.raises(HwsimError):
            Formula(text, "f").value({"x": 1})


def test_halton_points_are_spread_evenly_and_by_seed() -> None:
    points = list(itertools.islice(halton(2, seed=1), 144))
    # 144 points in 4 × 3 cells, 12 each: of random points, squared misses would add up to about 144 · 11/12 = 132
    counts = [sum(int(4 * x) == i and int(3 * y) == j for x, y in points) for i in range(4) for j in range(3)]
    assert sum((n - 12) ** 2 for n in counts) < 40
    assert points == list(itertools.islice(halton(2, seed=1), 144)) != list(itertools.islice(halton(2, seed=2), 144))


@pytest.mark.parametrize(
    ("name", "macs_m", "params_m"),
    [
        ("mobilenet_v2(width=1.4)", 582, 6.06),
        ("mobilenet_v2(width=0.75,resolution=160)", 107, 2.61),
        ("mobilenet_v2(width=0.5,resolution=128)", 32, 1.95),
        ("mobilenet_v2(width=0.35,resolution=96)", 11, 1.66),
    ],
)
def test_scaled_networks_have_the_published_sizes(tmp_path: Path, name: str, macs_m: float, params_m: float) -> None:
    # TensorFlow-Slim's table of MobileNetV2 checkpoints; its figures are cut off, and count no biases of folded layers
    base, arguments = zoo.split_name(name)
    workload = read_onnx(zoo.write(base, tmp_path / "m.onnx", arguments))
    assert workload.macs / 1e6 == pytest.approx(macs_m, abs=1.0)
    assert workload.params / 1e6 == pytest.approx(params_m, abs=0.03)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lenet5(width=0.5", "NAME(ARGUMENT=NUMBER"),
        ("lenet5(width=wide)", "found 'width=wide'"),
        ("lenet5(widht=2)", "Did you mean 'width'"),
        ("lenet5(width=1,width=2)", "twice"),
        ("mobilenet_v2(resolution=99.5)", "whole number"),
        ("llama3_2_1b_decode(width=2)", "takes none"),
        ("transformer_block(heads=7)", "multiple"),
    ],
)
def test_wrong_arguments_of_a_network(hwsim: Hwsim, name: str, said: str) -> None:
    run = hwsim("profile", f"zoo:{name}")
    assert run.code == 2 and said in run.err, run.err


def test_the_examples_can_be_explored() -> None:
    sizes = {file.name: prepare(load_space(file)).space.grid_size for file in EXAMPLES.glob("explore_*.yaml")}
    assert sizes["explore_simple_ws.yaml"] == 64 and sizes["explore_joint.yaml"] > 1000


def test_models_are_looked_for_beside_the_space(tmp_path: Path) -> None:
    zoo.write("lenet5", tmp_path / "net.onnx")
    prepared = prepare(load_space(write(tmp_path, models=["net.onnx"])))
    before = prepared.identity
    zoo.write("lenet5", tmp_path / "net.onnx", {"width": 2})
    space: Space = load_space(tmp_path / "space.yaml")
    assert prepare(space).identity["model net.onnx"] != before["model net.onnx"]


def test_damaged_spaces_are_one_message(tmp_path: Path) -> None:
    """Bytes and values of the examples changed at random: a space, or a message."""
    source = random.Random(15)
    pieces = [
        b"'",
        b"0x" + b"f" * 40,
        b"[",
        b"{",
        b"&a ",
        b"*a ",
        b"!tag ",
        b"1e400",
        b"2020-01-01",
        b":",
        b"\n",
        b"''",
        b"\xff",
    ]
    good = bad = 0
    file = tmp_path / "space.yaml"
    for _ in range(300):
        content = bytearray(source.choice(sorted(EXAMPLES.glob("explore*.yaml"))).read_bytes())
        for _ in range(source.choice((1, 1, 2))):
            place = source.randrange(len(content))
            length = source.choice((0, 0, 1, 8))
            content[place : place + length] = source.choice((*pieces, bytes([source.randrange(256)])))
        file.write_bytes(content)
        try:
            load_space(file).check_grid()
            good += 1
        except HwsimError as error:
            assert str(error).startswith(str(file))
            bad += 1
    assert good > 30 and bad > 30
