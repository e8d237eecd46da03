"""Train the encoder–decoder on text: from one stretch of characters, predict the next stretch."""

from __future__ import annotations

import json
import time
from pathlib import Path
from pydoc_data import topics
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.trainers import export, plots
from hwsim.trainers.attention import Transformer, matrix_products
from hwsim.trainers.classifier import Run, versions
from hwsim.trainers.cost import Cost
from hwsim.trainers.recipe import Recipe

MAX_TEXT = 50_000_000


def read_text(name: str, data_dir: Path) -> tuple[str, str]:
    """A text and where it is from: ``pydoc`` is the manual's topics that come with Python, others are files.

    Raises:
        HwsimError: no such file, or it is too long or no UTF-8.
    """
    if name == "pydoc":
        return "\n".join(
            topics.topics[k] for k in sorted(topics.topics)
        ), "the topics of Python's own manual (pydoc_data)"
    file = data_dir / name
    try:
        if file.stat().st_size > MAX_TEXT:
            raise HwsimError(f"the text is over {MAX_TEXT} bytes.", where=str(file))
        return file.read_text(encoding="utf-8"), str(file)
    except (OSError, UnicodeDecodeError) as error:
        raise HwsimError(f"the text cannot be read: {error}.", where=str(file)) from error


def fit(model: Transformer, codes: torch.Tensor, options: dict[str, Any], run: Run) -> list[dict[str, float]]:
    """Train on the first 95% of the text; the losses over the steps, on it and on the rest.

    Args:
        codes: (characters,) of the whole text.
    """
    o, length = options, options["length"]
    cut = int(0.95 * len(codes))
    rng = torch.Generator().manual_seed(run.seed)
    steps = o["steps"] if run.max_steps is None else run.max_steps
    optimizer = torch.optim.AdamW(model.parameters(), lr=o["learning_rate"], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, o["learning_rate"], total_steps=steps + 1)

    def loss_at(starts: torch.Tensor) -> torch.Tensor:
        windows = codes[starts[:, None] + torch.arange(2 * length)]
        target = windows[:, length - 1 :]  # begins with the source's last character
        logits = model(windows[:, :length], target[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten())

    held_out = torch.linspace(cut, len(codes) - 2 * length - 1, 256).long()
    rows: list[dict[str, float]] = []
    total = 0.0
    every = max(1, steps // 20)
    for step in range(1, steps + 1):
        loss = loss_at(torch.randint(0, cut - 2 * length, (o["batch"],), generator=rng))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % every == 0:
            with torch.no_grad():
                held = float(loss_at(held_out))
            rows.append({"epoch": step, "train_loss": round(total / every, 4), "held_out_loss": round(held, 4)})
            total = 0.0
            if run.progress is not None:
                run.progress(step, steps, f"loss {rows[-1]['train_loss']:.3f}")
    return rows


def run(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Train, plot the loss, export, and compare the count of matrix products with the simulator's."""
    started = time.perf_counter()
    run.output.mkdir(parents=True, exist_ok=True)
    o = recipe.options
    text, source = read_text(o["text"], run.data_dir)
    alphabet = sorted(set(text))
    codes = torch.from_numpy(np.array([alphabet.index(c) for c in text], dtype=np.int64))
    length = o["length"]
    torch.manual_seed(run.seed)
    model = Transformer(len(alphabet), length, o["width"], o["heads"], o["hidden"], o["layers"])
    rows = fit(model, codes, o, run)
    plots.curves(rows, run.output / recipe.name, recipe.title + " (over steps)")
    file = run.output / f"{recipe.name}.onnx"
    example = (torch.zeros(1, length, dtype=torch.long), torch.zeros(1, length, dtype=torch.long))
    write_file(file, export.module_to_onnx(model, example, ["source", "target"], ["logits"], {"recipe": recipe.name}))
    figures = cost(file)
    by_place = matrix_products(o["layers"], o["heads"])
    log = {
        "recipe": recipe.name,
        "command": run.command,
        "seed": run.seed,
        "text": source,
        "characters": len(text),
        "alphabet": len(alphabet),
        "parameters": sum(p.numel() for p in model.parameters()),
        "options": o,
        "matrix_products": by_place,
        "matrix_products_total": sum(by_place.values()),
        "matrix_products_by_hwsim": figures.matrix_products,
        "energy_uj": round(figures.energy_pj * 1e-6, 4),
        "cycles": figures.cycles,
        "arch": cost.arch,
        "curve": rows,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    write_file(run.output / f"{recipe.name}.json", json.dumps(log, indent=1) + "\n")
    return log
