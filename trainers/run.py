"""One entry for every recipe."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from hwsim.trainers import classifier
from hwsim.trainers.classifier import Run
from hwsim.trainers.cost import Cost
from hwsim.trainers.recipe import Recipe


def _classifier(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    return classifier.train(recipe, run)


def _study(module: str) -> Callable[[Recipe, Run, Cost], dict[str, Any]]:
    def start(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
        log: dict[str, Any] = import_module(f"hwsim.trainers.studies.{module}").run(recipe, run, cost)
        return log

    return start


#: a recipe's ``kind`` → what runs it
KINDS: dict[str, Callable[[Recipe, Run, Cost], dict[str, Any]]] = {
    "classifier": _classifier,
    "convnet-study": _study("convnet"),
    "lora-study": _study("lora"),
    "language-model": _study("language"),
    "transformer": _study("transformer"),
    "depthwise-study": _study("depthwise"),
}


def train(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Run a recipe and return its log."""
    return KINDS[recipe.kind](recipe, run, cost)


def search(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Run a recipe's architecture search and return its log."""
    log: dict[str, Any] = _study("search")(recipe, run, cost)
    return log


def use_threads(count: int) -> None:
    """Let PyTorch compute on so many CPU threads."""
    torch.set_num_threads(count)


def keep_memory() -> None:
    """Let the C library keep freed memory for the next step; without glibc, nothing happens.

    By default glibc maps every large activation anew and gives it back after use, so that a training step on a
    CPU spends a sixth of its time in page faults.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3  # from malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(m_mmap_threshold, 32 << 20)  # the largest that glibc takes
    mallopt(m_trim_threshold, 1 << 30)
