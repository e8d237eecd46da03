"""`hwsim train`, end to end on generated images."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

import onnx  # noqa: E402

from hwsim.trainers import classifier, export  # noqa: E402
from hwsim.trainers.batches import Feeder, Task  # noqa: E402
from hwsim.trainers.data import Images, open_dataset  # noqa: E402
from hwsim.trainers.network import build  # noqa: E402
from hwsim.trainers.recipe import Augment, Recipe, Training, load_recipe  # noqa: E402
from tests.conftest import Run as Result  # noqa: E402

Hwsim = Callable[..., Result]
RECIPE = """
name: small
title: Textures
dataset: generated
validation: 64
network: [conv 8 s2, separable 16, gap, linear 10]
training: {epochs: 4, batch: 32, learning_rate: 0.2, augment: {crop: 2}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE)
    return file


def test_train_writes_all_it_promises_and_the_file_holds_its_accuracy(
    hwsim: Hwsim, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    run = hwsim("train", recipe, "-o", out, "--threads", "1", "--seed", "3")
    assert run.code == 0, run.err
    log = json.loads((out / "small.json").read_text())
    assert (log["seed"], log["validation_images"], log["parameters"]) == (
        3,
        64,
        3 * 8 * 9 + 32 + 8 * 9 + 32 + 8 * 16 + 64 + 170,
    )
    assert log["test_accuracy"] > 0.5  # ten textures: chance is 0.1
    assert log["epochs"][-1]["train_loss"] < log["epochs"][0]["train_loss"]
    rows = list(csv.DictReader((out / "small.csv").open()))
    assert [float(r["train_loss"]) for r in rows] == pytest.approx([e["train_loss"] for e in log["epochs"]], abs=1e-5)
    assert (out / "small.png").read_bytes().startswith(b"\x89PNG")
    data = {p.key: p.value for p in onnx.load(out / "small.onnx").metadata_props}
    assert data["dataset"] == "generated" and data["seed"] == "3" and data["recipe"] == "small"
    # the accuracy, again, by hand: images in [0, 1], largest logit
    test = open_dataset("generated", tmp_path).read("test")
    logits = export.scorer(str(out / "small.onnx"))(test.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    assert float(data["test_accuracy"]) == pytest.approx((logits.argmax(1) == test.labels).mean(), abs=1e-4)
    again = hwsim("train", "--evaluate", out / "small.onnx", "--data-dir", tmp_path)
    assert f"test accuracy {float(data['test_accuracy']):.4f}" in again.out, again.err
    profile = hwsim("profile", out / "small.onnx")
    assert profile.code == 0 and "0.conv" in profile.out, profile.err


@pytest.mark.parametrize("muon", [False, True])
def test_interrupted_and_resumed_is_the_same_as_undisturbed(recipe: Path, tmp_path: Path, muon: bool) -> None:
    from dataclasses import replace

    if muon:
        recipe.write_text(RECIPE.replace("epochs: 4,", "epochs: 4, muon: {}, average: 0.9,") + "activation: silu\n")
    chosen = load_recipe(str(recipe))
    run = classifier.Run(tmp_path, tmp_path / "one", seed=1)
    classifier.train(chosen, run)

    def stop(done: int, total: int, text: str) -> None:
        if text.startswith("epoch 3"):
            raise KeyboardInterrupt

    broken = replace(run, output=tmp_path / "two", progress=stop)
    with pytest.raises(KeyboardInterrupt):
        classifier.train(chosen, broken)
    assert not (tmp_path / "two" / "small.onnx").exists()
    resumed = classifier.train(chosen, replace(broken, progress=None, resume=True))
    whole = json.loads((tmp_path / "one" / "small.json").read_text())
    drop = lambda rows: [{k: v for k, v in r.items() if k != "seconds"} for r in rows]  # noqa: E731
    assert drop(resumed["epochs"]) == drop(whole["epochs"])
    assert (tmp_path / "one" / "small.onnx").read_bytes() == (tmp_path / "two" / "small.onnx").read_bytes()


def test_a_checkpoint_of_other_settings_is_refused(hwsim: Hwsim, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert hwsim("train", recipe, "-o", out, "--epochs", "1").code == 0
    run = hwsim("train", recipe, "-o", out, "--epochs", "2", "--resume")
    assert run.code == 2 and "other settings" in run.err


def test_distillation_uses_the_teacher(hwsim: Hwsim, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert hwsim("train", recipe, "-o", out).code == 0
    student = tmp_path / "student.yaml"
    student.write_text(
        RECIPE.replace("name: small", "name: student") + "distillation: {teacher: nowhere.onnx, views: 2}\n"
    )
    run = hwsim("train", student, "-o", out)
    assert run.code == 2 and "--teacher" in run.err
    run = hwsim("train", student, "-o", out, "--teacher", out / "small.onnx", "--epochs", "2")
    assert run.code == 0, run.err
    with np.load(out / "student.teacher.npz") as stored:
        assert stored["logits"].shape == (2, 448, 10)
        assert not np.allclose(stored["logits"][0], stored["logits"][1])
    log = json.loads((out / "student.json").read_text())
    assert log["teacher"]["sha256"] == hashlib.sha256((out / "small.onnx").read_bytes()).hexdigest()


def test_frozen_layers_take_the_images_statistics_and_are_folded() -> None:
    # two full batches, so that the mean of their means is the images' mean
    images = Images(np.random.default_rng(0).integers(0, 256, (128, 8, 8, 3), dtype=np.uint8), np.arange(128) % 3)
    task = Task.of(images, images)
    network = build(["conv 4", "residual 6", "gap", "linear 3"], (3, 8, 8))
    x = Feeder(images, task, Augment()).batch(torch.arange(128), None)[0]
    mean = network[0][0](x).mean((0, 2, 3))
    before = [p.detach().clone() for p in network[1].parameters()]
    recipe = Recipe(name="r", title="t", network=("conv 4",), frozen=1, training=Training(epochs=1, learning_rate=1.0))
    classifier.freeze(network, recipe, task)
    conv = network[0][0]
    assert len(network[0]) == 2 and not conv.weight.requires_grad
    # the folded layer's outputs before its ReLU have mean 0 and variance 1 over the images
    y = conv(x)
    assert mean.abs().max() > 1e-3 and y.mean((0, 2, 3)).abs().max() < 1e-3
    assert (y.var((0, 2, 3)) - 1).abs().max() < 0.05
    assert all(torch.equal(a, b) for a, b in zip(before, network[1].parameters(), strict=True))


def test_unlabelled_images_learn_from_the_teacher_alone(hwsim: Hwsim, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    assert hwsim("train", recipe, "-o", out).code == 0
    file = tmp_path / "semi.yaml"
    file.write_text(RECIPE.replace("name: small", "name: semi") + "labelled: 0.1\n")
    run = hwsim("train", file, "-o", out)
    assert run.code == 2 and "'labelled' below 1 needs a 'distillation' section" in run.err
    file.write_text(file.read_text() + f"distillation: {{teacher: {out / 'small.onnx'}, views: 2}}\n")
    semi = load_recipe(str(file))
    _, task = classifier.images_of(semi, classifier.Run(tmp_path, out))
    assert (task.train.labels == -1).sum() == 448 - 45 and set(task.train.labels[task.train.labels >= 0]) <= set(
        range(10)
    )
    run = hwsim("train", file, "-o", out)
    assert run.code == 0, run.err
    taught = json.loads((out / "semi.json").read_text())["test_accuracy"]
    file.write_text(file.read_text().replace("labelled: 0.1", "labelled: 0.01").replace("name: semi", "name: less"))
    assert hwsim("train", file, "-o", out).code == 0
    # chance is 0.1: four labelled images alone would not tell ten classes apart
    assert taught > 0.3 and json.loads((out / "less.json").read_text())["test_accuracy"] > 0.3


def test_pruning_brings_the_network_to_the_budget(hwsim: Hwsim, tmp_path: Path) -> None:
    text = RECIPE.replace("conv 8 s2, separable 16", "conv 16 s2, conv 32").replace("name: small", "name: pruned")
    file = tmp_path / "pruned.yaml"
    file.write_text(text + "max_parameters: 2000\n")
    run = hwsim("train", file, "-o", tmp_path / "runs")
    assert run.code == 2 and "parameters, over 2000" in run.err
    file.write_text(text + "max_parameters: 2000\npruning: {first: 1, last: 9}\n")
    run = hwsim("train", file, "-o", tmp_path / "runs")
    assert run.code == 2 and "'pruning' should have" in run.err
    file.write_text(text + "max_parameters: 2000\npruning: {first: 1, last: 2}\n")
    run = hwsim("train", file, "-o", tmp_path / "runs")
    assert run.code == 0, run.err
    log = json.loads((tmp_path / "runs" / "pruned.json").read_text())
    assert log["parameters"] <= 2000 < log["parameters_before_pruning"]
    model = onnx.load(tmp_path / "runs" / "pruned.onnx")
    weights = [x for x in model.graph.initializer if len(x.dims) == 4 and x.dims[2] == 3]
    assert all(x.dims[0] < full for x, full in zip(weights, (16, 32), strict=True))
    assert log["test_accuracy"] == pytest.approx(log["test_accuracy_after_training"], abs=0.02)


def test_search_keeps_within_the_limits_and_writes_a_recipe(hwsim: Hwsim, tmp_path: Path) -> None:
    file = tmp_path / "found.yaml"
    file.write_text(
        RECIPE.replace("name: small", "name: sought")
        + "options: {search: {trials: 2, epochs: 1, validation: 64, limits: {params: 400}, choices: {a: [4, 8, 64]}, "
        "templates: [['conv {a} s2', gap, linear 10]]}}\n"
    )
    run = hwsim("train", file, "-o", tmp_path / "runs", "--search")
    assert run.code == 0, run.err
    log = json.loads((tmp_path / "runs" / "sought.search.json").read_text())
    assert len(log["table"]) == 2 and all(row["params"] <= 400 for row in log["table"])
    best = load_recipe(str(tmp_path / "runs" / "sought.found.yaml"))
    assert list(best.network) == log["table"][0]["network"]
    assert log["table"][0]["validation_accuracy"] >= log["table"][1]["validation_accuracy"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("network: [", "network: [cnv 8, "), "Did you mean 'conv'"),
        (("linear 10", "linear 9"), "expected 10 outputs"),
        (("validation: 64", "validation: 99999"), "99999"),
        (("dataset: generated", "dataset: cifar10"), "--data-dir"),
        (("title: Textures", "title: Textures\nmax_parameters: 10"), "over 10"),
    ],
)
def test_mistakes_are_one_message(
    hwsim: Hwsim, recipe: Path, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    recipe.write_text(RECIPE.replace(*change))
    run = hwsim("train", recipe, "-o", tmp_path / "runs", "--data-dir", tmp_path)
    assert run.code == 2 and said in run.err and "Traceback" not in run.err


SMALL = {
    "convnet": "dataset: generated\nnetwork: [conv 8 s2, conv 8, pool 2, gap, linear 10]",
    "depthwise": "dataset: generated",
    "transformer": "",
    "language-model": "",
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_studies_run(hwsim: Hwsim, tmp_path: Path, name: str) -> None:
    import yaml

    from hwsim.trainers.recipe import FOLDER

    data = yaml.safe_load((FOLDER / f"{name}.yaml").read_text()) | (yaml.safe_load(SMALL[name]) or {})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(data))
    run = hwsim("train", tmp_path / "study.yaml", "-o", tmp_path / "runs", "--max-steps", "2", "--threads", "1")
    assert run.code == 0, run.err
    log = json.loads((tmp_path / "runs" / f"{data['name']}.json").read_text())
    if name == "transformer":
        assert log["matrix_products_total"] == log["matrix_products_by_hwsim"] == 2 * 3 * (4 + 2 * 4) + 8 + 1
    if name == "convnet":
        rows = {row["network"]: row for row in log["table"]}
        # bit widths reach the energy, structured pruning shrinks the shapes, zeros alone change nothing
        energies = [rows[n]["energy_uj"] for n in ("baseline", "8 bits", "4 bits", "2 bits")]
        assert energies == sorted(energies, reverse=True) and len(set(energies)) == 4
        assert rows["structured"]["energy_uj"] < rows["unstructured"]["energy_uj"] == rows["baseline"]["energy_uj"]
        assert len(rows["2 bits stochastic"]["runs"]) == 10
    if name == "depthwise":
        assert log["largest_difference_from_groups"] < 1e-4
        assert log["fewer_parameters"] == pytest.approx(log["fewer_by_formula"])
