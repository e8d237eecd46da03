"""Generate text with a Llama-shaped model, eager and compiled, and time the decoding of both."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hwsim.errors import HwsimError, did_you_mean
from hwsim.files import write_file
from hwsim.trainers import export, llama
from hwsim.trainers.classifier import Run, versions
from hwsim.trainers.cost import Cost
from hwsim.trainers.recipe import Recipe

Step = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


@torch.no_grad()
def generate(model: llama.Llama, decode: Step, prompt: list[int], count: int) -> tuple[list[int], float]:
    """Greedy tokens after a prompt, and the seconds that decoding took (the prompt's own step is not counted)."""
    keys, values = model.empty_cache()
    logits, keys, values = model(torch.tensor([prompt]), torch.arange(len(prompt)), keys, values)
    out = [int(logits.argmax())]
    started = time.perf_counter()
    for position in range(len(prompt), len(prompt) + count - 1):
        logits, keys, values = decode(torch.tensor([[out[-1]]]), torch.tensor([position]), keys, values)
        out.append(int(logits.argmax()))
    return out, time.perf_counter() - started


def _model(o: dict[str, Any], run: Run) -> tuple[llama.Llama, llama.ByteTokenizer | llama.FileTokenizer]:
    """The model of the weights folder, or one of the size asked for with random weights."""
    if run.weights is None:
        if o["size"] not in llama.SHAPES:
            hint = did_you_mean(o["size"], llama.SHAPES)
            raise HwsimError(f"unknown size '{o['size']}'.{hint}", where="options.size")
        return llama.Llama(llama.SHAPES[o["size"]], o["length"]).eval(), llama.ByteTokenizer()
    file = run.weights / "tokenizer.json"
    tokenizer = llama.FileTokenizer(file) if file.is_file() else llama.ByteTokenizer()
    return llama.load(run.weights, o["length"]).eval(), tokenizer


def run(recipe: Recipe, run: Run, cost: Cost) -> dict[str, Any]:
    """Time, generate, export the prefill and the decode step, cost them."""
    run.output.mkdir(parents=True, exist_ok=True)
    o = recipe.options
    torch.manual_seed(run.seed)
    tokens, warm, repeats = o["tokens"], o["warm_up"], o["repeats"]
    if run.max_steps is not None:
        tokens, warm, repeats = 4, 1, 2
    model, tokenizer = _model(o, run)
    prompt = tokenizer.encode(o["prompt"])[: o["length"] - tokens]
    steps: dict[str, Step] = {"eager": model}
    if run.max_steps is None or o.get("compile_in_trials"):
        steps["compiled"] = torch.compile(model, dynamic=False)
    times: dict[str, list[float]] = {}
    texts = {}
    for name, step in steps.items():
        for k in range(warm + repeats):
            if run.progress is not None:
                run.progress(k, warm + repeats, name)
            out, seconds = generate(model, step, prompt, tokens)
            if k >= warm:
                times.setdefault(name, []).append((tokens - 1) / seconds)
        texts[name] = out
    if len({tuple(t) for t in texts.values()}) > 1:
        raise HwsimError("compiled and eager decoding generate different tokens.", where=recipe.name)
    log: dict[str, Any] = {
        "recipe": recipe.name,
        "command": run.command,
        "seed": run.seed,
        "weights": str(run.weights.name) if run.weights else f"random, shape '{o['size']}'",
        "parameters": sum(p.numel() for p in model.parameters()),
        "prompt": o["prompt"],
        "generated": tokenizer.decode(texts["eager"]),
        "warm_up_runs": warm,
        "tokens_per_run": tokens,
        "tokens_per_second": times,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    if "compiled" in times:
        ratios = [c / statistics.median(times["eager"]) for c in times["compiled"]]
        log["speed_up"] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        low = min(times["compiled"]) / max(times["eager"])
        log["speed_up"]["worst_compiled_against_best_eager"] = low
    log["exports"] = {}
    for name, length in (("prefill", min(o["prefill"], o["length"])), ("decode", 1)):
        file = run.output / f"{recipe.name}.{name}.onnx"
        log["exports"][name] = _export(model, file, length, cost)
    write_file(run.output / f"{recipe.name}.json", json.dumps(log, indent=1) + "\n")
    return log


def _export(model: llama.Llama, file: Path, length: int, cost: Cost) -> dict[str, Any]:
    """Write one step over ``length`` tokens as ONNX, and cost it."""
    position = torch.arange(length) if length > 1 else torch.tensor([model.length - 1])
    example = (torch.zeros(1, length, dtype=torch.long), position, *model.empty_cache())
    names = ["tokens", "position", "keys", "values"]
    data = export.module_to_onnx(model, example, names, ["logits", "new_keys", "new_values"], {"step": file.stem})
    write_file(file, data)
    figures = cost(file)
    return {
        "file": file.name,
        "tokens": length,
        "macs": figures.macs,
        "energy_uj": figures.energy_pj * 1e-6,
        "cycles": figures.cycles,
        "arch": cost.arch,
    }
