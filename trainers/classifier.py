"""Train one image classifier by its recipe, evaluate it once, export it, evaluate the file once."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.trainers import batches, export, loop, plots
from hwsim.trainers.data import Images, ImageSet, open_dataset, split
from hwsim.trainers.network import Deployed, build, fuse, parameter_count
from hwsim.trainers.prune import Pruner, share_to_fit, shrink
from hwsim.trainers.recipe import Augment, Recipe


@dataclass(frozen=True)
class Run:
    """What the command line decides about a run.

    Attributes:
        data_dir / output: where images are, where results go.
        seed: of everything random.
        resume: go on from the last checkpoint.
        weights: file of pretrained weights (recipes that take one).
        teacher: overrides the recipe's teacher file.
        command: as the user typed it, for the log.
        max_steps: optimiser steps per epoch at most, and few images to evaluate; for trials.
        progress: a bar.
    """

    data_dir: Path
    output: Path
    seed: int = 0
    resume: bool = False
    weights: Path | None = None
    teacher: Path | None = None
    command: str = ""
    max_steps: int | None = None
    progress: loop.Progress | None = None


def some(images: Images, count: int) -> Images:
    """At most ``count`` images, evenly spread over the split (archives are in order of class)."""
    return images.take(np.linspace(0, len(images) - 1, min(count, len(images))).astype(np.int64))


def images_of(recipe: Recipe, run: Run) -> tuple[ImageSet, batches.Task]:
    """The recipe's images and the training task (the test split is not read)."""
    found = open_dataset(recipe.dataset, run.data_dir, recipe.resolution)
    images = found.read("train")
    if run.max_steps is not None:
        images = some(images, 2000)
    validation = recipe.validation if run.max_steps is None else min(recipe.validation, 200)
    if validation >= len(images):
        raise HwsimError(f"validation takes {validation} of {len(images)} images.", where=recipe.name)
    train, held_out = split(images, validation, run.seed)
    if recipe.labelled < 1:
        hidden = np.random.default_rng(run.seed).permutation(len(train))[round(recipe.labelled * len(train)) :]
        labels = train.labels.copy()
        labels[hidden] = -1
        train = Images(train.pixels, labels)
    return found, batches.Task.of(train, held_out)


def network_of(recipe: Recipe, shape: tuple[int, int, int], classes: int, run: Run) -> nn.Module:
    """The recipe's network, in channels-last layout, with pretrained weights where a file is given.

    Raises:
        HwsimError: the network is unknown, its outputs are not one per class, or the weights do not fit.
    """
    torch.manual_seed(run.seed)
    if isinstance(recipe.network, str):
        from torchvision import models

        network: Any = getattr(models, recipe.network)()
        if run.weights is not None:
            load_weights(network, run.weights)
        if recipe.network == "mobilenet_v2":
            network.classifier[1] = nn.Linear(network.classifier[1].in_features, classes)
        else:
            network.fc = nn.Linear(network.fc.in_features, classes)
    else:
        network = build(recipe.network, shape, f"{recipe.name}: network", recipe.activation)
    outputs = network.eval()(torch.zeros(1, *shape)).shape
    if tuple(outputs) != (1, classes):
        raise HwsimError(f"expected {classes} outputs, one per class, found {tuple(outputs)}.", where=recipe.name)
    trained: nn.Module = network.to(memory_format=torch.channels_last).train()
    return trained


def load_weights(network: nn.Module, file: Path) -> None:
    """Load a state dictionary; only tensors are accepted, never pickled code.

    Raises:
        HwsimError: the file is missing, is no state dictionary, or does not fit.
    """
    if not file.is_file():
        raise HwsimError("no such weights file.", where=str(file))
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        message = str(error).splitlines()[0]
        raise HwsimError(f"the weights do not fit the network: {message}", where=str(file)) from error


def teacher_of(recipe: Recipe, run: Run) -> Path | None:
    """The teacher's file: the run's, else the recipe's; None where nothing is distilled."""
    return None if recipe.distillation is None else run.teacher or Path(recipe.distillation.teacher)


def told_of(teacher: Path) -> dict[str, str]:
    """Which file a student learned from: name, sha256, and the test accuracy it states."""
    stated = export.metadata_of(teacher).get("test_accuracy", "not stated")
    return {
        "file": teacher.name,
        "sha256": hashlib.sha256(teacher.read_bytes()).hexdigest(),
        "test_accuracy": stated,
    }


def lessons_of(recipe: Recipe, run: Run, task: batches.Task) -> batches.Lessons | None:
    """The teacher's logits for every training image in each view; kept beside the checkpoint, view by view."""
    teacher = teacher_of(recipe, run)
    if recipe.distillation is None or teacher is None:
        return None
    if not teacher.is_file():
        raise HwsimError("no such teacher file; train it first, or point --teacher at one.", where=str(teacher))
    feeder = batches.Feeder(task.train, task, recipe.schedule.augment)
    total = len(feeder)
    count = recipe.distillation.views if run.max_steps is None else min(2, recipe.distillation.views)
    seeds = [run.seed * 1_000_003 + 500_000 + v for v in range(count)]
    views = [feeder.view(total, torch.Generator().manual_seed(seed)) for seed in seeds]
    file = run.output / f"{recipe.name}.teacher.npz"
    digest = hashlib.sha256(teacher.read_bytes()).hexdigest()
    state = f"{digest} {total} {run.seed} {recipe.schedule.augment!r}"
    known: list[NDArray[np.float32]] = []
    if file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            known = list(stored["logits"]) if str(stored["state"]) == state else []
    scorer = export.scorer(str(teacher))
    for number, view in enumerate(views[len(known) :], len(known)):
        parts = []
        for start in range(0, total, 250):
            index = torch.arange(start, min(start + 250, total))
            x = feeder.seen(index, view.at(index)).permute(0, 3, 1, 2) / 255
            parts.append(scorer(np.ascontiguousarray(x.numpy())))
            if run.progress is not None:
                done = number * total + start + len(index)
                run.progress(done, len(views) * total, "asking the teacher")
        known.append(np.concatenate(parts))
        part = file.with_suffix(".part.npz")
        np.savez(part, logits=np.stack(known), state=np.array(state))
        part.replace(file)
    return batches.Lessons(tuple(views), torch.from_numpy(np.stack(known[: len(views)])))


@torch.no_grad()
def freeze(network: nn.Module, recipe: Recipe, task: batches.Task, images: int = 2048) -> None:
    """Fix the recipe's first layers: they take the training images' statistics once, and are folded.

    Without it, batch statistics of layers that do not learn would cost half of a step.

    Args:
        network: with its layers in ``features`` or as children.
        recipe / task: how many layers, at what resolution, on what images.
        images: evenly spread training images that the statistics are of.
    """
    layers: nn.Module = getattr(network, "features", network)
    frozen = list(layers.children())[: recipe.frozen]
    if not frozen:
        return
    norms = [m for layer in frozen for m in layer.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    feeder = batches.Feeder(some(task.train, images), task, Augment())
    for index in torch.split(torch.arange(len(feeder)), 64):
        x = batches.resize(feeder.batch(index, None)[0], recipe.schedule.resolution)
        for layer in frozen:
            x = layer.train()(x)
    for name, layer in list(layers.named_children())[: recipe.frozen]:
        [folded] = fuse(nn.Sequential(layer.eval())).children()
        setattr(layers, name, folded.requires_grad_(False))
    network.to(memory_format=torch.channels_last)


def pruner_of(network: nn.Module, recipe: Recipe, parameters: int, most: int) -> Pruner:
    """What prunes a network that is too large, in equal steps over the recipe's pruning epochs.

    Raises:
        HwsimError: the recipe does not prune, or the network is none that can be pruned.
    """
    if recipe.pruning is None:
        raise HwsimError(f"the network has {parameters} parameters, over {most}.", where=recipe.name)
    if not isinstance(network, nn.Sequential):
        raise HwsimError("pruning takes a network that is written layer by layer.", where=recipe.name)
    share = share_to_fit(network, most, recipe.name)
    epochs = range(recipe.pruning.first, recipe.pruning.last + 1)
    return Pruner(True, {epoch: share * (k + 1) / len(epochs) for k, epoch in enumerate(epochs)})


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "onnx": onnx.__version__}


def deploy(network: nn.Module, recipe: Recipe, task: batches.Task) -> Deployed:
    """The network with its normalisation before it and batch normalisations folded."""
    return Deployed(fuse(network.eval()), task.mean, task.std, recipe.schedule.resolution).eval()


def train(recipe: Recipe, run: Run) -> dict[str, Any]:
    """Run a classifier recipe; writes ``NAME.onnx``, ``.json``, ``.csv``, ``.png`` and a checkpoint into the output.

    Returns:
        The log, as written.
    """
    started = time.perf_counter()
    run.output.mkdir(parents=True, exist_ok=True)
    found, task = images_of(recipe, run)
    network = network_of(recipe, found.shape, len(found.classes), run)
    parameters = parameter_count(network)
    pruner = None
    if recipe.max_parameters is not None and parameters > recipe.max_parameters:
        pruner = pruner_of(network, recipe, parameters, recipe.max_parameters)
    freeze(network, recipe, task)
    lessons = lessons_of(recipe, run, task)
    teacher = teacher_of(recipe, run)
    told = told_of(teacher) if teacher else None
    session = loop.Session(
        checkpoint=run.output / f"{recipe.name}.checkpoint",
        resume=run.resume,
        max_steps=run.max_steps,
        progress=run.progress,
    )
    taught = loop.Teaching(lessons, recipe.distillation) if lessons and recipe.distillation else None
    hooks = pruner.hooks if pruner else None
    history = loop.fit(network, task, recipe.schedule, run.seed, session, teaching=taught, hooks=hooks)
    if pruner is not None:
        pruner.apply(network)  # averaged weights are not quite zero
        assert isinstance(network, nn.Sequential)
        network = shrink(network)
    plots.curves(history.rows, run.output / recipe.name, recipe.title)
    log = {
        "recipe": recipe.name,
        "title": recipe.title,
        "command": run.command,
        "seed": run.seed,
        "dataset": found.name,
        "classes": list(found.classes),
        "train_images": len(task.train),
        "validation_images": len(task.validation),
        "parameters": parameter_count(network) if pruner else parameters,
        "parameters_before_pruning": parameters if pruner else None,
        "labelled": recipe.labelled,
        "rules": list(recipe.rules),
        "network": recipe.network,
        "activation": recipe.activation if not isinstance(recipe.network, str) else None,
        "training": loop.plain(recipe.schedule),
        "distillation": recipe.distillation.model_dump() if recipe.distillation else None,
        "teacher": told,
        "pretrained": run.weights.name if run.weights else None,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "train_seconds": round(history.seconds, 1),
        "epochs": loop.rows_of(history),
    }
    return finish(network, recipe, run, found, task, log, started)


def finish(
    network: nn.Module,
    recipe: Recipe,
    run: Run,
    found: ImageSet,
    task: batches.Task,
    log: dict[str, Any],
    started: float,
) -> dict[str, Any]:
    """Evaluate the trained network once, export it, check and evaluate the file once, write both results."""
    test = found.read("test")
    if run.max_steps is not None:
        test = some(test, 200)
    after_training = batches.accuracy(network, test, task, recipe.schedule.resolution)
    deployed = deploy(network, recipe, task)
    metadata = {
        "test_accuracy": f"{after_training:.4f}",
        "dataset": found.name,
        "recipe": recipe.name,
        "seed": str(run.seed),
        "parameters": str(log["parameters"]),
        "classes": ",".join(found.classes),
    }
    shape = (1, *found.shape)
    data = export.to_onnx(deployed, shape, metadata)
    log["export_difference"] = export.check(data, deployed, some(test, 64))
    file = run.output / f"{recipe.name}.onnx"
    write_file(file, data)
    tell = run.progress
    of_file = export.evaluate(
        str(file), test, None if tell is None else lambda done, total: tell(done, total, "evaluating the file")
    )
    export.write_metadata(file, {"test_accuracy": f"{of_file:.4f}"})
    log |= {
        "test_images": len(test),
        "test_accuracy_after_training": after_training,
        "test_accuracy": of_file,
        "target": recipe.target,
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    write_file(run.output / f"{recipe.name}.json", json.dumps(log, indent=1) + "\n")
    return log
