"""ResNet-18 fine-tuned whole, with frozen layers, and with frozen layers and a LoRA head."""

from __future__ import annotations

import json
import time
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.trainers import loop, plots
from hwsim.trainers.classifier import Run, images_of, network_of, some, versions
from hwsim.trainers.cost import Cost
from hwsim.trainers.recipe import Recipe


class LoraLinear(nn.Module):
    """A frozen linear layer plus a trained product of two thin matrices (Hu et al. 2021, arXiv 2106.09685).

    y = x·Wᵀ + b + (alpha / rank) · x·Aᵀ·Bᵀ with A (rank, inputs) normal and B (outputs, rank) zero at first, so that
    training starts from the frozen layer.
    """

    def __init__(self, frozen: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        if not 1 <= rank <= min(frozen.in_features, frozen.out_features):
            raise HwsimError(f"expected a rank from 1 to {min(frozen.weight.shape)}, found {rank}.", where="lora")
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, frozen.in_features) / frozen.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(frozen.out_features, rank))
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs) → (N, outputs)."""
        y: Tensor = self.frozen(x) + self.scale * (x @ self.down.T @ self.up.T)
        return y

    def merged(self) -> nn.Linear:
        """One linear layer that computes the same."""
        out = nn.Linear(self.frozen.in_features, self.frozen.out_features)
        with torch.no_grad():
            out.weight.copy_(self.frozen.weight + self.scale * self.up @ self.down)
            out.bias.copy_(self.frozen.bias)
        return out


def freeze(network: nn.Module, names: list[str]) -> None:
    """Stop training these children.

    Raises:
        HwsimError: a name is not a child's.
    """
    children = dict(network.named_children())
    for name in names:
        if name not in children:
            raise HwsimError(f"no layer '{name}'; known: {', '.join(children)}.", where="options.frozen")
        children[name].requires_grad_(False)


def run(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Train the three variants; writes the log and the plot of their test accuracy."""
    started = time.perf_counter()
    run.output.mkdir(parents=True, exist_ok=True)
    options = recipe.options
    found, task = images_of(recipe, run)
    test = found.read("test")
    test = test if run.max_steps is None else some(test, 100)
    histories, trained = {}, {}
    for name in ("whole", "frozen", "frozen and LoRA"):
        network = network_of(recipe, found.shape, len(found.classes), run)
        if name != "whole":
            freeze(network, options["frozen"])
        if "LoRA" in name:
            assert isinstance(network.fc, nn.Linear)
            network.fc = LoraLinear(network.fc, options["rank"], options["alpha"])
        trained[name] = sum(p.numel() for p in network.parameters() if p.requires_grad)
        progress = loop.labelled(run.progress, name)
        session = loop.Session(watch=test, max_steps=run.max_steps, progress=progress)
        history = loop.fit(network, task, recipe.schedule, run.seed, session)
        histories[name] = loop.rows_of(history)
    plots.compare(histories, "watched_accuracy", run.output / f"{recipe.name}.png", recipe.title, "test accuracy")
    log = {
        "recipe": recipe.name,
        "command": run.command,
        "seed": run.seed,
        "pretrained": run.weights.name if run.weights else None,
        "trained_parameters": trained,
        "epochs": histories,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    write_file(run.output / f"{recipe.name}.json", json.dumps(log, indent=1) + "\n")
    return log
