"""The training loop for image classifiers: epochs, hooks, checkpoints, history."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.errors import HwsimError
from hwsim.trainers.batches import Feeder, Lessons, Task, accuracy, resize
from hwsim.trainers.data import Images
from hwsim.trainers.optimizers import Average, Optimizers, learning_rate, loss_of
from hwsim.trainers.recipe import Augment, Distillation, Training

#: called with (steps done, steps, what to show beside the bar)
Progress = Callable[[int, int, str], None]
Hook = Callable[[int, nn.Module], None]


@dataclass
class History:
    """One row per finished epoch."""

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def resolution_at(settings: Training, epoch: int) -> int | None:
    """Pixels a side in an epoch; None is the images' own."""
    current = None
    for stage in settings.stages:
        if epoch >= stage.epoch:
            current = stage.resolution
    return current


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


@dataclass(frozen=True)
class Hooks:
    """What happens between steps: called with (epoch, model), for pruning schedules."""

    before_epoch: Hook | None = None
    after_step: Hook | None = None


@dataclass(frozen=True)
class Teaching:
    """A teacher's lessons, and how much they count."""

    lessons: Lessons
    distillation: Distillation


@dataclass(frozen=True)
class Session:
    """How far a run goes, where it keeps its state, and who looks on.

    Attributes:
        checkpoint: file that holds the state after every epoch.
        resume: go on from the checkpoint where there is one.
        watch: images whose accuracy the history records every epoch beside the validation images'; nothing
            is chosen by it.
        max_steps: stop every epoch early, for trials.
        progress: a bar.
    """

    checkpoint: Path | None = None
    resume: bool = False
    watch: Images | None = None
    max_steps: int | None = None
    progress: Progress | None = None


def fit(
    model: nn.Module,
    task: Task,
    settings: Training,
    seed: int,
    session: Session,
    *,
    teaching: Teaching | None = None,
    hooks: Hooks | None = None,
) -> History:
    """Train a model in place.

    Args:
        model: maps (B, C, H, W) to (B, classes).
        task / settings / seed: data, how, and where randomness starts.
        session: checkpoints, steps, what is watched.
        teaching: by the teacher to distil from.
        hooks: what happens between steps.

    Returns:
        The history; with averaging on, the model ends with the averaged weights.

    Raises:
        HwsimError: the checkpoint is of other settings.
    """
    hooks = hooks or Hooks()
    feeder = Feeder(task.train, task, settings.augment)
    average = Average(model, settings.average) if settings.average else None
    step = _Step(model, feeder, Optimizers(model, settings), settings, average, teaching, hooks.after_step)
    key = {"settings": repr(settings), "seed": seed, "images": len(feeder)}
    history = _resumed(step, session, key)
    started = time.perf_counter() - history.seconds
    for epoch in range(len(history.rows), settings.all_epochs):
        if hooks.before_epoch is not None:
            hooks.before_epoch(epoch, model)
        row = _epoch(step, epoch, seed, session)
        row |= _measure(model, average, task, session.watch, resolution_at(settings, settings.all_epochs))
        history.rows.append(row)
        history.seconds = time.perf_counter() - started
        row["seconds"] = round(history.seconds, 1)
        if session.checkpoint is not None:
            state = {"model": model.state_dict(), "optimizers": step.optimizers.state_dict(), "rows": history.rows}
            state |= {"average": None if average is None else average.shadow, "seconds": history.seconds}
            _save(session.checkpoint, {**state, "settings": key})
    if average is not None:
        model.load_state_dict(average.shadow)
    return history


def _resumed(step: _Step, session: Session, key: dict[str, Any]) -> History:
    """What the checkpoint holds, put into model, optimisers and average; an empty history where there is none."""
    if not session.resume or session.checkpoint is None:
        return History()
    state = _load(session.checkpoint, key)
    if state is None:
        return History()
    step.model.load_state_dict(state["model"])
    step.optimizers.load_state_dict(state["optimizers"])
    if step.average is not None:
        step.average.shadow = state["average"]
    return History(state["rows"], state["seconds"])


@dataclass
class _Step:
    """One optimiser step on one batch."""

    model: nn.Module
    feeder: Feeder
    optimizers: Optimizers
    settings: Training
    average: Average | None
    teaching: Teaching | None
    after: Hook | None

    def __call__(self, epoch: int, k: int, steps: int, index: Tensor, generator: torch.Generator) -> tuple[float, int]:
        """Take step k of an epoch; returns the batch's loss and for how many images the guess shows in most pixels."""
        settings = self.settings
        view = soft = distillation = None
        if self.teaching is not None:
            lessons, distillation = self.teaching.lessons, self.teaching.distillation
            turn = epoch % len(lessons.views)
            view, soft = lessons.views[turn].at(index), lessons.logits[turn, index]
        x, view = self.feeder.batch(index, generator, view)
        logits = self.model(resize(x, resolution_at(settings, epoch)))
        targets = self.feeder.targets(index, view, logits.shape[1])
        loss = loss_of(logits, targets, settings.label_smoothing, soft, distillation)
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


def _epoch(step: _Step, epoch: int, seed: int, session: Session) -> dict[str, float]:
    """All batches once. The epoch alone decides order and augmentation: a resumed run is the undisturbed one."""
    settings, count = step.settings, len(step.feeder)
    max_steps, progress = session.max_steps, session.progress
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
