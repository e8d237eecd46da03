"""Architecture search with the simulator in the loop: sample, cost, train briefly, keep what validates best."""

from __future__ import annotations

import itertools
import json
import re
import time
from typing import Any

import numpy as np
import torch
import yaml

from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.trainers import export, loop
from hwsim.trainers.classifier import Run, deploy, images_of, network_of, versions
from hwsim.trainers.cost import Cost, Figures
from hwsim.trainers.recipe import Recipe

_LIMITS = {"energy_mj": "energy_pj", "cycles": "cycles", "params": "params", "macs": "macs"}


def candidates(options: dict[str, Any], seed: int) -> list[tuple[str, ...]]:
    """Every network of the templates' choices, in an order drawn by the seed."""
    names = sorted(options["choices"])
    out = []
    for template in options["templates"]:
        for values in itertools.product(*(options["choices"][n] for n in names)):
            chosen = dict(zip(names, values, strict=True))
            network = tuple(_filled(str(layer), chosen) for layer in template)
            if network not in out:
                out.append(network)
    return [out[k] for k in np.random.default_rng(seed).permutation(len(out))]


def _filled(layer: str, chosen: dict[str, Any]) -> str:
    """A layer with its choices in place of their names; nothing else in braces has a meaning."""
    return re.sub(r"{(.*?)}", lambda name: str(chosen[name[1]]), layer)


def within(figures: Figures, limits: dict[str, float]) -> bool:
    """True where no limit is exceeded."""
    return all(getattr(figures, _LIMITS[k]) * (1e-9 if k == "energy_mj" else 1) <= v for k, v in limits.items())


def run(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Search; writes ``NAME.search.json`` and the best network as a recipe ``NAME.found.yaml``.

    Each candidate is costed before it is trained, so that none outside the limits takes time; all are trained
    alike, briefly, on the training split and compared on the validation split. The test split is not read.

    Returns:
        The log, as written.
    """
    options = recipe.options.get("search")
    if options is None:
        raise HwsimError("a section 'options.search' is missing.", where=recipe.name)
    started = time.perf_counter()
    run.output.mkdir(parents=True, exist_ok=True)
    searching = recipe.model_copy(update={"validation": options["validation"]})
    found, task = images_of(searching, run)
    settings = recipe.schedule.model_copy(update={"epochs": options["epochs"]})
    rows: list[dict[str, Any]] = []
    refused = 0
    for network in candidates(options, run.seed):
        if len(rows) >= options["trials"]:
            break
        trial = searching.model_copy(update={"network": network})
        model = network_of(trial, found.shape, len(found.classes), run)
        file = run.output / f"{recipe.name}.trial.onnx"
        write_file(file, export.to_onnx(deploy(model, trial, task), (1, *found.shape), {}))
        figures = cost(file)
        if not within(figures, options["limits"]):
            refused += 1
            continue
        model = network_of(trial, found.shape, len(found.classes), run)
        label = f"trial {len(rows) + 1}/{options['trials']}"
        session = loop.Session(max_steps=run.max_steps, progress=loop.labelled(run.progress, label))
        history = loop.fit(model, task, settings, run.seed, session)
        row = {"network": network, "validation_accuracy": history.rows[-1]["validation_accuracy"]}
        rows.append(row | {"energy_mj": figures.energy_pj * 1e-9, "cycles": figures.cycles, "params": figures.params})
    if not rows:
        raise HwsimError(f"no network of the templates is within the limits {options['limits']}.", where=recipe.name)
    rows.sort(key=lambda row: -row["validation_accuracy"])
    best = {**recipe.model_dump(mode="json", exclude_defaults=True), "network": list(rows[0]["network"])}
    best["options"] = {k: v for k, v in recipe.options.items() if k != "search"}
    write_file(run.output / f"{recipe.name}.found.yaml", yaml.safe_dump(best, sort_keys=False, allow_unicode=True))
    log = {
        "recipe": recipe.name,
        "command": run.command,
        "seed": run.seed,
        "arch": cost.arch,
        "limits": options["limits"],
        "epochs": options["epochs"],
        "outside_limits": refused,
        "table": rows,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "wall_seconds": round(time.perf_counter() - started, 1),
    }
    write_file(run.output / f"{recipe.name}.search.json", json.dumps(log, indent=1) + "\n")
    return log
