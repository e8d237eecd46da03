"""One ConvNet under many treatments: learning rates, schedules, quantization, pruning, with what each costs."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hwsim.files import write_file
from hwsim.trainers import batches, export, loop, plots
from hwsim.trainers.classifier import Run, deploy, images_of, network_of, some, versions
from hwsim.trainers.cost import Cost
from hwsim.trainers.data import Images
from hwsim.trainers.prune import Pruner, shrink, sparsity
from hwsim.trainers.quantize import quantize_weights
from hwsim.trainers.recipe import Recipe


class Study:
    """The parts that every treatment shares: images, seed, where files go, how a network is measured."""

    def __init__(self, recipe: Recipe, run: Run, cost: Cost) -> None:
        self.recipe, self.run, self.cost = recipe, run, cost
        run.output.mkdir(parents=True, exist_ok=True)
        self.found, self.task = images_of(recipe, run)
        test = self.found.read("test")
        self.test: Images = test if run.max_steps is None else some(test, 200)
        self.rows: list[dict[str, Any]] = []
        self.histories: dict[str, list[dict[str, float]]] = {}

    def train(self, name: str, pruner: Pruner | None = None, **changes: Any) -> nn.Sequential:
        """Train the recipe's network with changed settings; its test accuracy is recorded every epoch for plots."""
        network = network_of(self.recipe, self.found.shape, len(self.found.classes), self.run)
        assert isinstance(network, nn.Sequential)
        settings = self.recipe.schedule.model_copy(update=changes)
        session = loop.Session(
            checkpoint=self.run.output / f"{self.recipe.name}.{name.replace(' ', '-')}.checkpoint",
            resume=self.run.resume,
            watch=self.test,
            max_steps=self.run.max_steps,
            progress=loop.labelled(self.run.progress, name),
        )
        hooks = pruner.hooks if pruner else None
        history = loop.fit(network, self.task, settings, self.run.seed, session, hooks=hooks)
        self.histories[name] = loop.rows_of(history)
        return network

    def accuracy(self, network: nn.Module) -> float:
        """Test accuracy."""
        return batches.accuracy(network, self.test, self.task)

    def row(self, name: str, network: nn.Module, accuracy: str, weight_bytes: int, bits: int) -> None:
        """A line of the table; the network is exported and costed on the architecture with words of ``bits``."""
        file = self.run.output / f"{self.recipe.name}.{name.replace(' ', '-')}.onnx"
        deployed = deploy(deepcopy(network), self.recipe, self.task)
        write_file(file, export.to_onnx(deployed, (1, *self.found.shape), {"dataset": self.found.name}))
        figures = self.cost(file, bits)
        self.rows.append(
            {
                "network": name,
                "test_accuracy": accuracy,
                "weight_bytes": weight_bytes,
                "energy_uj": round(figures.energy_pj * 1e-6, 4),
                "cycles": figures.cycles,
                "word_bits": bits,
            }
        )


def float_bytes(network: nn.Module) -> int:
    """Bytes of all parameters as float32."""
    return sum(4 * p.numel() for p in network.parameters())


def run(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Train and compare; writes the table as JSON and the plots.

    Returns:
        The log, as written.
    """
    started = time.perf_counter()
    options = recipe.options
    words = options["word_bits"]
    study = Study(recipe, run, cost)
    for rate in options["sweep"]:
        study.train(f"learning rate {rate:g}", learning_rate=rate, epochs=options["sweep_epochs"], schedule="constant")
    study.train("cosine", schedule="cosine")
    baseline = study.train("baseline")
    study.row("baseline", baseline, f"{study.accuracy(baseline):.4f}", float_bytes(baseline), words)
    for bits in options["bits"]:
        network = deepcopy(baseline)
        size = quantize_weights(network, bits)
        study.row(f"{bits} bits", network, f"{study.accuracy(network):.4f}", size, bits)
    bits = options["stochastic_bits"]
    found = []
    for k in range(options["stochastic_runs"]):
        network = deepcopy(baseline)
        size = quantize_weights(network, bits, "stochastic", np.random.default_rng([run.seed, k]))
        found.append(study.accuracy(network))
    spread = f"{np.mean(found):.4f} ± {np.std(found, ddof=1):.4f}"
    study.row(f"{bits} bits stochastic", network, spread, size, bits)
    study.rows[-1]["runs"] = found
    _prune(study, words)
    stem = run.output / recipe.name
    _plot(study, stem)
    log = {
        "recipe": recipe.name,
        "title": recipe.title,
        "command": run.command,
        "seed": run.seed,
        "dataset": study.found.name,
        "arch": cost.arch,
        "table": study.rows,
        "training": loop.plain(recipe.schedule),
        "options": options,
        "network": recipe.network,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "epochs": study.histories,
    }
    write_file(stem.with_suffix(".json"), json.dumps(log, indent=1) + "\n")
    return log


def _prune(study: Study, words: int) -> None:
    """Rows of networks pruned by whole filters and by single weights."""
    schedule = {int(k): float(v) for k, v in study.recipe.options["prune"].items()}
    for name, structured in (("structured", True), ("unstructured", False)):
        network = study.train(name, Pruner(structured, schedule))
        accuracy, zero = study.accuracy(network), sparsity(network)
        if structured:
            network = shrink(network)
            size = float_bytes(network)
        else:  # the values that are left and one bit per weight that says where
            kept = sum(int((p != 0).sum()) for p in network.parameters())
            size = 4 * kept + sum(p.numel() for p in network.parameters()) // 8
        study.row(name, network, f"{accuracy:.4f}", size, words)
        study.rows[-1]["sparsity"] = round(zero, 4)


def _plot(study: Study, stem: Path) -> None:
    """Curves of the learning rates, the schedules and pruning."""
    sweep = {k: v for k, v in study.histories.items() if k.startswith("learning rate")}
    plots.compare(sweep, "train_loss", _png(stem, "sweep-loss"), "learning rates", "training loss")
    plots.compare(sweep, "watched_accuracy", _png(stem, "sweep-accuracy"), "learning rates", "test accuracy")
    schedules = {"multistep": study.histories["baseline"], "cosine": study.histories["cosine"]}
    plots.compare(schedules, "watched_accuracy", _png(stem, "schedules"), "schedules", "test accuracy")
    pruned = {k: study.histories[k] for k in ("baseline", "structured", "unstructured")}
    plots.compare(pruned, "watched_accuracy", _png(stem, "pruning"), "pruning to 50%", "test accuracy")


def _png(stem: Path, part: str) -> Path:
    return stem.with_name(f"{stem.name}-{part}.png")
