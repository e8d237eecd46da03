"""Depthwise-separable convolution written without ``groups``, checked against ``groups``, timed and counted."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.files import write_file
from hwsim.trainers import loop, plots
from hwsim.trainers.classifier import Run, images_of, some, versions
from hwsim.trainers.cost import Cost
from hwsim.trainers.recipe import Recipe


class DepthwiseSeparable(nn.Module):
    """Depthwise k×k (stride 1, padding k // 2) and pointwise 1×1, no biases.

    The depthwise part is a sum over the kernel's taps: each shifted image is multiplied, channel by channel, by
    the tap's weight. Parameters: C·k² + C·M against C·M·k² of a standard convolution, a factor of
    1 / (1/M + 1/k²).
    """

    def __init__(self, channels: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.kernel = kernel
        self.depthwise = nn.Parameter(torch.empty(channels, kernel, kernel).uniform_(-1, 1) / kernel)
        self.pointwise = nn.Parameter(torch.empty(outputs, channels).normal_() / channels**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, M, H, W)."""
        height, width, half = x.shape[2], x.shape[3], self.kernel // 2
        padded = functional.pad(x, (half, half, half, half))
        y = torch.zeros_like(x)
        for r in range(self.kernel):
            for s in range(self.kernel):
                y = y + padded[:, :, r : r + height, s : s + width] * self.depthwise[:, r, s][None, :, None, None]
        return torch.einsum("nchw,mc->nmhw", y, self.pointwise)


class Grouped(nn.Module):
    """The same convolution by ``groups``, with the weights of a `DepthwiseSeparable`."""

    def __init__(self, twin: DepthwiseSeparable) -> None:
        super().__init__()
        self.depthwise = nn.Parameter(twin.depthwise.detach()[:, None].clone())
        self.pointwise = nn.Parameter(twin.pointwise.detach()[:, :, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, M, H, W)."""
        padding = self.depthwise.shape[-1] // 2
        y = functional.conv2d(x, self.depthwise, padding=padding, groups=len(self.depthwise))
        return functional.conv2d(y, self.pointwise)


def _network(block: Callable[[int, int], nn.Module], widths: list[int], classes: int, channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for i, o in zip([channels, *widths], widths, strict=False):
        layers += [block(i, o), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def seconds_per_step(block: nn.Module, x: Tensor, repeats: int) -> dict[str, float]:
    """Forward and backward through one block: median and spread over the repeats, after a warm-up."""
    taken = []
    for k in range(repeats + 2):
        started = time.perf_counter()
        block(x).sum().backward()
        if k >= 2:
            taken.append(time.perf_counter() - started)
    return {"median": statistics.median(taken), "min": min(taken), "max": max(taken)}


def run(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Check, count, time, train; writes the log and the plot."""
    run.output.mkdir(parents=True, exist_ok=True)
    options = recipe.options
    channels, outputs, kernel = options["channels"], options["outputs"], 3
    torch.manual_seed(run.seed)
    own = DepthwiseSeparable(channels, outputs, kernel)
    grouped = Grouped(own)
    standard = nn.Conv2d(channels, outputs, kernel, padding=kernel // 2, bias=False)
    x = torch.randn(8, channels, 16, 16)
    difference = float((own(x) - grouped(x)).abs().max().detach())
    count = {"own": sum(p.numel() for p in own.parameters()), "standard": standard.weight.numel()}
    repeats = 2 if run.max_steps is not None else options["repeats"]
    times = {n: seconds_per_step(b, x, repeats) for n, b in (("own", own), ("groups", grouped), ("standard", standard))}
    found, task = images_of(recipe, run)
    test = found.read("test")
    test = test if run.max_steps is None else some(test, 200)
    histories = {}
    for name, make in (("own", DepthwiseSeparable), ("groups", lambda i, o: Grouped(DepthwiseSeparable(i, o)))):
        torch.manual_seed(run.seed)
        network = _network(make, options["widths"], len(found.classes), found.shape[0])
        session = loop.Session(watch=test, max_steps=run.max_steps, progress=run.progress)
        history = loop.fit(network, task, recipe.schedule, run.seed, session)
        histories[name] = loop.rows_of(history)
    plots.curves(histories["own"], run.output / recipe.name, recipe.title)
    log = {
        "recipe": recipe.name,
        "command": run.command,
        "seed": run.seed,
        "largest_difference_from_groups": difference,
        "parameters": count,
        "fewer_parameters": count["standard"] / count["own"],
        "fewer_by_formula": 1 / (1 / outputs + 1 / kernel**2),
        "seconds_forward_backward": times,
        "groups_faster": times["own"]["median"] / times["groups"]["median"],
        "epochs": histories,
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }
    write_file(run.output / f"{recipe.name}.json", json.dumps(log, indent=1) + "\n")
    return log
