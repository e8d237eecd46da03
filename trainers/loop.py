"""The training loop for image classifiers: augmentation, schedule, distillation, checkpoints, history."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.errors import HwsimError
from hwsim.trainers.data import Images
from hwsim.trainers.recipe import Augment, Distillation, Training

#: called with (steps done, steps, what to show beside the bar)
Progress = Callable[[int, int, str], None]
Hook = Callable[[int, nn.Module], None]


@dataclass
class History:
    """One row per finished epoch."""

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Task:
    """What `fit` trains on.

    Attributes:
        train / validation: images; validation may be empty.
        mean / std: per channel, of the training images in [0, 1].
        resolution: pixels a side the network sees; None is the images' own.
    """

    train: Images
    validation: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @staticmethod
    def of(train: Images, validation: Images) -> Task:
        """A task with the statistics of its training images."""
        x = train.pixels.reshape(-1, train.pixels.shape[-1])
        mean = x.mean(axis=0, dtype=np.float64) / 255
        std = np.sqrt(np.maximum((x.astype(np.float32) ** 2).mean(axis=0, dtype=np.float64) / 255**2 - mean**2, 1e-12))
        return Task(train, validation, tuple(mean.round(4).tolist()), tuple(std.round(4).tolist()))


@dataclass(frozen=True)
class View:
    """One augmented look at N images of a set.

    Attributes:
        dy / dx: where the window into the padded image lies (pixels), (N,).
        flipped: if it is mirrored, (N,).
        other: position of the image that shows inside the box, (N,); None where nothing is mixed.
        box: top, left, bottom, right (pixels, the latter two excluded), (N, 4); empty boxes show nothing.
    """

    dy: Tensor
    dx: Tensor
    flipped: Tensor
    other: Tensor | None = None
    box: Tensor | None = None

    def at(self, index: Tensor) -> View:
        """The view of some of the images."""
        other = None if self.other is None else self.other[index]
        box = None if self.box is None else self.box[index]
        return View(self.dy[index], self.dx[index], self.flipped[index], other, box)


@dataclass(frozen=True)
class Lessons:
    """What a teacher says of every training image, in several views.

    The student sees just what the teacher saw (Beyer et al. 2022, arXiv 2106.05237); epoch e takes view e modulo
    their number.

    Attributes:
        views: augmented looks at the training images.
        logits: the teacher's, (views, N, classes).
    """

    views: tuple[View, ...]
    logits: Tensor


class Feeder:
    """Batches of augmented, normalised images; everything is one indexing operation per batch.

    Images are padded once (reflected), so that a random crop is a window into the padded image. The
    result is channels-last in memory, as convolutions on CPUs like it.
    """

    def __init__(self, images: Images, task: Task, augment: Augment) -> None:
        self.augment = augment
        self.height, self.width = images.pixels.shape[1:3]
        p = augment.crop
        padded = np.pad(images.pixels, ((0, 0), (p, p), (p, p), (0, 0)), mode="reflect") if p else images.pixels
        self.pixels = torch.from_numpy(np.ascontiguousarray(padded))
        self.labels = torch.from_numpy(images.labels)
        self.scale = 1 / (255 * torch.tensor(task.std))
        self.shift = -torch.tensor(task.mean) / torch.tensor(task.std)

    def __len__(self) -> int:
        return len(self.labels)

    def view(self, count: int, generator: torch.Generator | None) -> View:
        """Random windows, mirrorings and boxes of ``count`` images; none where no generator is given."""
        p = self.augment.crop
        dy = dx = torch.full((count,), p)
        flipped = torch.zeros(count, dtype=torch.bool)
        if generator is not None:
            if p:
                dy = torch.randint(0, 2 * p + 1, (count,), generator=generator)
                dx = torch.randint(0, 2 * p + 1, (count,), generator=generator)
            if self.augment.flip:
                flipped = torch.rand(count, generator=generator) < 0.5
            if self.augment.mix:
                other = torch.randint(0, len(self), (count,), generator=generator)
                return View(dy, dx, flipped, other, self._boxes(count, generator))
        return View(dy, dx, flipped)

    def _boxes(self, n: int, generator: torch.Generator) -> Tensor:
        """Boxes (n, 4) for other images, their area drawn uniformly (CutMix: Yun et al. 2019, arXiv 1905.04899)."""
        size = torch.tensor([self.height, self.width])
        half = torch.rand((n, 1), generator=generator).sqrt() * size / 2
        middle = torch.rand((n, 2), generator=generator) * size
        mixed = torch.rand((n, 1), generator=generator) < self.augment.mix
        low = (middle - half).round().clamp(min=0)
        high = torch.where(mixed, (middle + half).round().minimum(size), low)
        return torch.cat([low, high], 1).long()

    def seen(self, index: Tensor, view: View) -> Tensor:
        """Images at ``index`` under a view of them: (B, H, W, C), 0 to 255."""
        x = self._window(index, view)
        if view.other is None or view.box is None:
            return x
        top, left, bottom, right = view.box.T[:, :, None]
        y, z = torch.arange(self.height), torch.arange(self.width)
        inside = ((y >= top) & (y < bottom))[:, :, None] & ((z >= left) & (z < right))[:, None, :]
        return torch.where(inside[..., None], self._window(view.other, view), x)

    def targets(self, index: Tensor, view: View, classes: int) -> Tensor:
        """How much of each image seen is of each class: (B, classes); an unlabelled image counts for none."""
        shares = torch.zeros(len(index), classes + 1)  # label -1 is the last column
        mine = torch.ones(len(index))
        if view.other is not None and view.box is not None:
            area = (view.box[:, 2:] - view.box[:, :2]).prod(1) / (self.height * self.width)
            mine = 1 - area
            shares.scatter_add_(1, (self.labels[view.other] % (classes + 1))[:, None], area[:, None])
        shares.scatter_add_(1, (self.labels[index] % (classes + 1))[:, None], mine[:, None])
        return shares[:, :-1]

    def _window(self, index: Tensor, view: View) -> Tensor:
        rows = view.dy[:, None] + torch.arange(self.height)
        columns = torch.arange(self.width).expand(len(index), -1)
        columns = torch.where(view.flipped[:, None], self.width - 1 - columns, columns) + view.dx[:, None]
        return self.pixels[index[:, None, None], rows[:, :, None], columns[:, None, :]].float()

    def batch(self, index: Tensor, generator: torch.Generator | None, view: View | None = None) -> tuple[Tensor, View]:
        """Images at ``index``: (x (B, C, H, W), their view); plain where no generator is given.

        Args:
            index: (B,) positions in the set.
            generator: of what is random.
            view: of these images; drawn by the generator unless given.
        """
        view = self.view(len(index), generator) if view is None else view
        x = self.seen(index, view) * self.scale + self.shift
        if generator is not None and self.augment.cutout:
            x = x * self._holes(len(index), generator)[..., None]
        return x.permute(0, 3, 1, 2), view

    def _holes(self, n: int, generator: torch.Generator) -> Tensor:
        """Masks (B, H, W) with a square hole at a random place (DeVries and Taylor 2017, arXiv 1708.04552)."""
        half = self.augment.cutout / 2
        y = torch.rand((n, 1), generator=generator) * self.height
        x = torch.rand((n, 1), generator=generator) * self.width
        in_rows = (torch.arange(self.height) + 0.5 - y).abs() < half
        in_columns = (torch.arange(self.width) + 0.5 - x).abs() < half
        holes: Tensor = ~(in_rows[:, :, None] & in_columns[:, None, :])
        return holes.float()


def learning_rate(settings: Training, step: int, steps_per_epoch: int) -> float:
    """Learning rate at a step, from 0."""
    peak, total = settings.learning_rate, settings.epochs * steps_per_epoch
    if settings.finish is not None and step >= total:
        rest = settings.finish.epochs * steps_per_epoch
        return _one_cycle(settings.finish.learning_rate, step - total, rest, settings.warmup)
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "multistep":
        epoch = step // steps_per_epoch
        return peak * float(0.1 ** sum(epoch >= m for m in settings.milestones))
    if settings.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * step / total))
    return _one_cycle(peak, step, total, settings.warmup)


def _one_cycle(peak: float, step: int, total: int, warmup: float) -> float:
    """Up in a straight line over the share ``warmup`` of the steps, then down to zero."""
    rise = warmup * total
    if step < rise:
        return peak * (step + 1) / rise
    return peak * max(total - step, 1) / max(total - rise, 1)


def resolution_at(settings: Training, epoch: int) -> int | None:
    """Pixels a side in an epoch; None is the images' own."""
    current = None
    for stage in settings.stages:
        if epoch >= stage.epoch:
            current = stage.resolution
    return current


def resize(x: Tensor, resolution: int | None) -> Tensor:
    """Images (B, C, H, W) at ``resolution`` pixels a side, bilinear; None keeps them."""
    if resolution is None:
        return x
    return functional.interpolate(x, size=(resolution, resolution), mode="bilinear").contiguous(
        memory_format=torch.channels_last
    )


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, task: Task, resolution: int | None = None, batch: int = 500) -> float:
    """Share of images whose largest logit is their label's."""
    feeder = Feeder(images, task, Augment())
    training = model.training
    model.eval()
    right = 0
    for start in range(0, len(feeder), batch):
        index = torch.arange(start, min(start + batch, len(feeder)))
        x, _ = feeder.batch(index, None)
        right += int((model(resize(x, resolution)).argmax(1) == feeder.labels[index]).sum())
    model.train(training)
    return right / len(feeder)


class Average:
    """Weights averaged over the steps: a shadow that follows the model with a decay."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int) -> None:
        """Move towards the model; the first steps count more, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for k, v in model.state_dict().items():
            if v.dtype.is_floating_point:
                self.shadow[k].lerp_(v, 1 - decay)
            else:
                self.shadow[k].copy_(v)


def loss_of(
    logits: Tensor, targets: Tensor, smoothing: float, soft: Tensor | None, distillation: Distillation | None
) -> Tensor:
    """Cross-entropy of what is labelled, mixed with the divergence from the teacher's logits.

    Args:
        logits / targets: (B, classes); a target is the share of the image that is of the class (`Feeder.targets`).
        smoothing: share of every label that is spread over all classes.
        soft: the teacher's logits, (B, classes).
        distillation: how much the teacher counts.
    """
    labelled = targets.sum(1, keepdim=True)
    spread = targets * (1 - smoothing) + labelled * smoothing / targets.shape[1]
    hard = -(spread * functional.log_softmax(logits, 1)).sum() / labelled.sum().clamp(min=1)
    if soft is None or distillation is None:
        return hard
    t, alpha = distillation.temperature, distillation.alpha
    far = functional.kl_div(
        functional.log_softmax(logits / t, 1),
        functional.log_softmax(soft / t, 1),
        log_target=True,
        reduction="batchmean",
    )
    return alpha * t * t * far + (1 - alpha) * hard


class Optimizers:
    """SGD, and Muon for the weights of dense convolutions where the settings ask for it.

    Muon takes matrices: a weight (M, C, R, S) is M rows of R·S·C. Depthwise filters have no matrix to speak of and
    stay with SGD.
    """

    def __init__(self, model: nn.Module, settings: Training) -> None:
        model.to(memory_format=torch.channels_last)  # so that `_rows` are views of the weights
        convolutions = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
        self.weights = [w for w in convolutions if w.requires_grad] if settings.muon else []
        self.rows = [nn.Parameter(_rows(w.detach())) for w in self.weights]
        known = {id(w) for w in self.weights}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
        decayed = [p for p in others if p.ndim > 1]
        self.sgd = torch.optim.SGD(
            [
                {"params": decayed, "weight_decay": settings.weight_decay},
                {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov and settings.momentum > 0,
        )
        self.all: list[tuple[torch.optim.Optimizer, float]] = [(self.sgd, 1.0)]
        if settings.muon and self.rows:
            muon = torch.optim.Muon(
                self.rows,
                lr=settings.muon.learning_rate,
                weight_decay=settings.muon.weight_decay,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
            )
            self.all.append((muon, settings.muon.learning_rate / settings.learning_rate))

    def step(self, rate: float) -> None:
        """One step with the gradients that the parameters have; they are taken away.

        Args:
            rate: SGD's learning rate; Muon's goes up and down with it.
        """
        for weight, rows in zip(self.weights, self.rows, strict=True):
            rows.grad = None if weight.grad is None else _rows(weight.grad)
        for optimizer, share in self.all:
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for weight in self.weights:
            weight.grad = None

    def state_dict(self) -> list[dict[str, Any]]:
        """States of the optimisers."""
        return [optimizer.state_dict() for optimizer, _ in self.all]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """What `state_dict` gave."""
        for (optimizer, _), state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)


def _rows(weight: Tensor) -> Tensor:
    """A channels-last weight (M, C, R, S) as a matrix (M, R·S·C) in the same memory."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _save(file: Path, state: dict[str, Any]) -> None:
    part = file.with_suffix(".tmp")
    torch.save(state, part)
    os.replace(part, file)


def _load(file: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    state: dict[str, Any] = torch.load(file, weights_only=True)
    if state.get("settings") != wanted:
        raise HwsimError(
            "the checkpoint belongs to other settings or another seed; remove it or train without --resume.",
            where=str(file),
        )
    return state


def fit(
    model: nn.Module,
    task: Task,
    settings: Training,
    seed: int,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    lessons: Lessons | None = None,
    distillation: Distillation | None = None,
    before_epoch: Hook | None = None,
    after_step: Hook | None = None,
    watch: Images | None = None,
    max_steps: int | None = None,
    progress: Progress | None = None,
) -> History:
    """Train a model in place.

    Args:
        model: maps (B, C, H, W) to (B, classes).
        task / settings / seed: data, how, and where randomness starts.
        checkpoint: file that holds the state after every epoch.
        resume: go on from the checkpoint where there is one.
        lessons: of the teacher to distil from.
        distillation: how much the teacher counts.
        before_epoch / after_step: called with (epoch, model), for pruning schedules.
        watch: images whose accuracy the history records every epoch beside the validation images'; nothing
            is chosen by it.
        max_steps: stop early, for trials.
        progress: a bar.

    Returns:
        The history; with averaging on, the model ends with the averaged weights.

    Raises:
        HwsimError: the checkpoint is of other settings.
    """
    feeder = Feeder(task.train, task, settings.augment)
    optimizers = Optimizers(model, settings)
    average = Average(model, settings.average) if settings.average else None
    history = History()
    key = {"settings": repr(settings), "seed": seed, "images": len(feeder)}
    first = 0
    if resume and checkpoint is not None and (state := _load(checkpoint, key)) is not None:
        model.load_state_dict(state["model"])
        optimizers.load_state_dict(state["optimizers"])
        if average is not None:
            average.shadow = state["average"]
        history = History(state["rows"], state["seconds"])
        first = len(history.rows)
    step = _Step(model, feeder, optimizers, settings, average, lessons, distillation, after_step)
    started = time.perf_counter() - history.seconds
    for epoch in range(first, settings.all_epochs):
        if before_epoch is not None:
            before_epoch(epoch, model)
        row = _epoch(step, epoch, seed, max_steps, progress)
        row |= _measure(model, average, task, watch, resolution_at(settings, settings.all_epochs))
        history.rows.append(row)
        history.seconds = time.perf_counter() - started
        row["seconds"] = round(history.seconds, 1)
        if checkpoint is not None:
            state = {"model": model.state_dict(), "optimizers": optimizers.state_dict(), "rows": history.rows}
            state |= {"average": None if average is None else average.shadow, "seconds": history.seconds}
            _save(checkpoint, {**state, "settings": key})
    if average is not None:
        model.load_state_dict(average.shadow)
    return history


@dataclass
class _Step:
    """One optimiser step on one batch."""

    model: nn.Module
    feeder: Feeder
    optimizers: Optimizers
    settings: Training
    average: Average | None
    lessons: Lessons | None
    distillation: Distillation | None
    after: Hook | None

    def __call__(self, epoch: int, k: int, steps: int, index: Tensor, generator: torch.Generator) -> tuple[float, int]:
        """Take step k of an epoch; returns the batch's loss and for how many images the guess shows in most pixels."""
        settings = self.settings
        turn = 0 if self.lessons is None else epoch % len(self.lessons.views)
        view = None if self.lessons is None else self.lessons.views[turn].at(index)
        soft = None if self.lessons is None else self.lessons.logits[turn, index]
        x, view = self.feeder.batch(index, generator, view)
        logits = self.model(resize(x, resolution_at(settings, epoch)))
        targets = self.feeder.targets(index, view, logits.shape[1])
        loss = loss_of(logits, targets, settings.label_smoothing, soft, self.distillation)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers.step(learning_rate(settings, epoch * steps + k, steps))
        if self.after is not None:
            self.after(epoch, self.model)
        if self.average is not None:
            self.average.follow(self.model, epoch * steps + k)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise HwsimError(
                f"the loss is no longer finite (epoch {epoch + 1}, step {k + 1}); lower learning_rate.",
                where="training",
            )
        guessed = targets.gather(1, logits.detach().argmax(1, keepdim=True))
        return value, int((guessed >= 0.5).sum())


def _epoch(step: _Step, epoch: int, seed: int, max_steps: int | None, progress: Progress | None) -> dict[str, float]:
    """All batches once. The epoch alone decides order and augmentation: a resumed run is the undisturbed one."""
    settings, count = step.settings, len(step.feeder)
    steps = math.ceil(count / settings.batch)
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    torch.manual_seed(seed * 1_000_003 + epoch)  # dropout
    order = torch.randperm(count, generator=generator)
    total, right, seen = 0.0, 0, 0
    step.model.train()
    for k in range(steps if max_steps is None else min(steps, max_steps)):
        index = order[k * settings.batch : (k + 1) * settings.batch]
        loss, correct = step(epoch, k, steps, index, generator)
        total, right, seen = total + loss * len(index), right + correct, seen + len(index)
        if progress is not None and (k % 10 == 9 or k + 1 == steps):
            shown = f"epoch {epoch + 1}/{settings.all_epochs} loss {total / seen:.3f} accuracy {right / seen:.1%}"
            progress(epoch * steps + k + 1, settings.all_epochs * steps, shown)
    rate = float(step.optimizers.sgd.param_groups[0]["lr"])
    return {"epoch": epoch + 1, "learning_rate": rate, "train_loss": total / seen, "train_accuracy": right / seen}


def _measure(
    model: nn.Module, average: Average | None, task: Task, watch: Images | None, resolution: int | None
) -> dict[str, float]:
    """Validation figures, and the accuracy on watched images, of the averaged weights where there are any."""
    kept = None
    if average is not None:
        kept = {k: v.clone() for k, v in model.state_dict().items()}
        model.load_state_dict(average.shadow)
    row = _validate(model, task, resolution) if len(task.validation) else {}
    if watch is not None:
        row["watched_accuracy"] = accuracy(model, watch, task, resolution)
    if kept is not None:
        model.load_state_dict(kept)
    return row


def labelled(progress: Progress | None, label: str) -> Progress | None:
    """A progress function that says first which part of a study runs."""
    if progress is None:
        return None
    return lambda done, total, text: progress(done, total, f"{label}: {text}")


@torch.no_grad()
def _validate(model: nn.Module, task: Task, resolution: int | None) -> dict[str, float]:
    feeder = Feeder(task.validation, task, Augment())
    model.eval()
    x, _ = feeder.batch(torch.arange(len(feeder)), None)
    y = feeder.labels
    logits = torch.cat([model(resize(part, resolution)) for part in torch.split(x, 250)])
    model.train()
    right = float((logits.argmax(1) == y).float().mean())
    return {"validation_loss": float(functional.cross_entropy(logits, y)), "validation_accuracy": right}


def plain(settings: Training) -> dict[str, Any]:
    """The settings as they go into a log."""
    return settings.model_dump(mode="json")


def rows_of(history: History) -> list[dict[str, float]]:
    """The history's rows, rounded for a log."""
    return [{k: round(v, 6) for k, v in row.items()} for row in asdict(history)["rows"]]
