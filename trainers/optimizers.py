"""How weights move: loss, learning rate over the steps, optimisers, averaging."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.trainers.recipe import Distillation, Training


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
