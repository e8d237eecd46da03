"""A small systolic array at work, for teaching: every register of every cycle, on a page that needs nothing else."""

from __future__ import annotations

import html
import json
from importlib import resources
from typing import Any

from hwsim.array.systolic import MatrixProduct, SystolicDesign, cycles
from hwsim.array.systolic_machine import SystolicMachine, random_operands
from hwsim.array.systolic_network import PHASES
from hwsim.errors import HwsimError

MAX_SIDE = 8
MAX_CYCLES = 400
OPERAND_BITS = 4  # single digits read best


def systolic_page(design: SystolicDesign, product: MatrixProduct, seed: int = 0) -> str:
    """A whole HTML page of `systolic_fragment`.

    Raises:
        HwsimError: the array or the product is too large to be looked at.
    """
    title = f"Systolic array, {design.rows} × {design.columns}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<style>:root{color-scheme:light dark}body{margin:24px;background:#fff}"
        "h1{font:600 20px system-ui,sans-serif;margin:0 0 4px;color:#1d2530}"
        "@media (prefers-color-scheme:dark){body{background:#13171d}h1{color:#e6eaef}}</style></head>"
        f"<body><h1>{html.escape(title)}</h1>{systolic_fragment(design, product, seed)}</body></html>\n"
    )


def systolic_fragment(design: SystolicDesign, product: MatrixProduct, seed: int = 0) -> str:
    """Markup, style and script that show an array computing a product of random operands, cycle by cycle.

    Args:
        design: at most 8 × 8 PEs.
        product: of one group, done in at most 400 cycles.
        seed: of the operands.

    Raises:
        HwsimError: the array or the product is too large to be looked at.
    """
    _check(design, product)
    data = _trace(design, product, seed)
    spent = cycles(design, product)
    assert len(data["frames"]) == spent.total
    files = resources.files("hwsim.reports.html")
    style, script = ((files / f"systolic.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    legend = "".join(f'<li><i class="sa-{x}"></i>{x} {getattr(spent, x)}</li>' for x in PHASES)
    bar = "".join(f'<i class="sa-{frame["phase"]}"></i>' for frame in data["frames"])
    weights = "double-buffered" if design.double_buffered else "single"
    text = (
        f"{product.tokens} tokens × {product.reduction} inputs × {product.outputs} outputs, {weights} weights: "
        f"{spent.total} cycles. In a PE: the input at the left, its weight in the middle, at the right the weight that "
        "moves in, below the sum it hands down. A colour is a token."
    )
    buttons = "".join(
        f'<button type="button" data-do="{name}" aria-label="{label}">{sign}</button>'
        for name, label, sign in (
            ("start", "To the start", "Start"),
            ("back", "One cycle back", "Back"),
            ("play", "Play or pause", "Play"),
            ("next", "One cycle on", "Next"),
        )
    )
    speeds = "".join(
        f'<option value="{ms}"{" selected" if ms == 700 else ""}>{label}</option>'
        for ms, label in ((1500, "slow"), (700, "normal"), (250, "fast"))
    )
    plain = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<div class="systolic"><style>{style}</style><p class="sa-about">{html.escape(text)}</p>'
        f'<div class="sa-controls">{buttons}<select aria-label="Speed">{speeds}</select><div class="sa-time">'
        f'<input type="range" min="0" max="{spent.total}" value="0" aria-label="Cycle">'
        f'<div class="sa-phases">{bar}</div></div></div><ul class="sa-legend">{legend}</ul>'
        '<p class="sa-say" aria-live="polite"></p>'
        '<div class="sa-stage"><div class="sa-result"><p>Results, in the accumulators. Italic: '
        "further tiles of the reduction follow.</p><table></table></div></div>"
        f"<script>({script.strip()})(document.currentScript.parentElement,{plain})</script></div>"
    )


def _check(design: SystolicDesign, product: MatrixProduct) -> None:
    if max(design.rows, design.columns) > MAX_SIDE:
        raise HwsimError(
            f"an array of {design.rows} × {design.columns} is too large to be looked at; "
            f"up to {MAX_SIDE} × {MAX_SIDE} is shown."
        )
    spent = cycles(design, product).total
    if product.groups > 1 or spent > MAX_CYCLES:
        raise HwsimError(
            f"the product takes {spent:,} cycles in {product.groups} groups; "
            f"one group of at most {MAX_CYCLES} cycles is shown."
        )


def _trace(design: SystolicDesign, product: MatrixProduct, seed: int) -> dict[str, Any]:
    """Every cycle's registers, as the script reads them."""
    machine = SystolicMachine(design, product, *random_operands(product, OPERAND_BITS, seed))
    frames: list[dict[str, Any]] = []
    fresh, used = ([[0] * design.columns for _ in range(design.rows)] for _ in range(2))

    def watch(m: SystolicMachine) -> None:
        pes = m.array.pes
        tokens = [[pe.lane.token for pe in row] for row in pes]
        for i, row in enumerate(pes):
            for j, pe in enumerate(row):
                used[i][j] |= int(pe.lane.swap)
                fresh[i][j] = int(pe.lane.load or (fresh[i][j] and not pe.lane.swap))
        left = []
        for column, token, value in m.left:
            t, n = token.tile.tokens[token.index], token.tile.outputs[column]
            left.append([column, t, n, value, int(m.accumulators.results[0, t, n]), int(token.tile.last)])
        frames.append(
            {
                "phase": m.phase,
                "weight": [
                    [pe.weight if used[i][j] else None for j, pe in enumerate(row)] for i, row in enumerate(pes)
                ],
                "fresh": [list(row) for row in fresh],
                "next": [[pe.next_weight for pe in row] for row in pes],
                "value": [[pe.lane.value for pe in row] for row in pes],
                "token": [[-1 if x is None else x.tile.tokens[x.index] for x in row] for row in tokens],
                "load": [[int(pe.lane.load) for pe in row] for row in pes],
                "sum": [[pe.sum for pe in row] for row in pes],
                "left": left,
            }
        )

    machine.run(watch)
    sizes = {"rows": design.rows, "columns": design.columns, "tokens": product.tokens, "outputs": product.outputs}
    return {**sizes, "frames": frames}
