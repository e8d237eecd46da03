"""Write docs/trained.md from the committed models and logs: every figure is read or computed, none typed.

Run by `make trained`. Logs and models are those that `hwsim train` wrote into workloads/trained (and the studies'
logs and plots into docs/trained).
"""

from __future__ import annotations

import json
from pathlib import Path

import hwsim
from hwsim.files import write_file

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "workloads" / "trained"
STUDIES = ROOT / "docs" / "trained"
OUT = ROOT / "docs" / "trained.md"


def models() -> list[str]:
    """A row per model that has its log beside it."""
    rows = [
        "| model | test accuracy | parameters | MACs | energy, simple_ws_lab | cycles | peak activation | epochs, seed | wall time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    commands = []
    for file in sorted(MODELS.glob("*.json")):
        log = json.loads(file.read_text())
        onnx = file.with_suffix(".onnx")
        figures = "| | | |"
        if onnx.exists():
            cost = hwsim.profile(onnx, "simple_ws_lab")
            figures = f"| {cost.macs / 1e6:.3f} M | {cost.energy_pj * 1e-9:.4f} mJ | {cost.cycles:,} | {cost.peak_activation_bytes / 1e3:.1f} kB"
        rows.append(
            f"| `{file.stem}` | {100 * log['test_accuracy']:.2f}% | {log['parameters']:,} {figures} | "
            f"{len(log['epochs'])}, {log['seed']} | {max(log['wall_seconds'], log['train_seconds']) / 60:.1f} min on {log['threads']} core |"
        )
        commands.append(f"    {log['command']}")
    return [*rows, "", "Commands:", "", *commands]


def study(name: str) -> list[str]:
    """The table and plots of a study, if its log is there."""
    file = STUDIES / f"{name}.json"
    if not file.exists():
        return []
    log = json.loads(file.read_text())
    out = ["", f"## {log.get('title', name)}", "", f"    {log['command']}", ""]
    if "table" in log:
        out.append("| network | test accuracy | weight bytes | energy (µJ) | cycles | word bits |")
        out.append("|---|---|---|---|---|---|")
        for row in log["table"]:
            out.append(
                f"| {row['network']} | {row['test_accuracy']} | {row['weight_bytes']:,} | {row['energy_uj']} | {row['cycles']:,} | {row['word_bits']} |"
            )
        out.append("")
        out.append(
            f"Energy and cycles on `{log['arch']}` with words and multipliers of that width. {len(log['epochs']['baseline'])} epochs, seed {log['seed']}."
        )
    if "matrix_products" in log:
        curve = log["curve"]
        out.append(
            f"Trained on {log['text']} ({log['characters']:,} characters). Loss per character on the training part "
            f"{curve[0]['train_loss']:.2f} → {curve[-1]['train_loss']:.2f}, on the held-out part "
            f"{curve[0]['held_out_loss']:.2f} → {curve[-1]['held_out_loss']:.2f}. Matrix products per inference: "
            f"{log['matrix_products_total']} by formula ({', '.join(f'{v} {k}' for k, v in log['matrix_products'].items())}), "
            f"{log['matrix_products_by_hwsim']} counted by hwsim in the exported file."
        )
    if "speed_up" in log:
        s = log["speed_up"]
        out.append(
            f"Decoding {log['tokens_per_run']} tokens, {log['weights']}, {log['threads']} thread(s): `torch.compile` is "
            f"{s['median']:.2f}× as fast as eager (median of {len(log['tokens_per_second']['compiled'])} runs after "
            f"{log['warm_up_runs']} warm-up runs; {s['min']:.2f}× to {s['max']:.2f}×; slowest compiled run against "
            f"fastest eager run {s['worst_compiled_against_best_eager']:.2f}×)."
        )
    for png in sorted(STUDIES.glob(f"{name}*.png")):
        out += ["", f"![{png.stem}](trained/{png.name})"]
    return out


def main() -> None:
    """Write the page."""
    lines = ["# Trained models", "", "Written by `make trained` from the logs beside the files.", ""]
    lines += models()
    for png in sorted(STUDIES.glob("*.png")):
        if (MODELS / f"{png.stem}.json").exists():
            lines += ["", f"![{png.stem}](trained/{png.name})"]
    for name in ("convnet", "transformer", "language_model", "depthwise"):
        lines += study(name)
    notes = STUDIES / "notes.md"
    if notes.exists():
        lines += ["", notes.read_text().rstrip()]
    write_file(OUT, "\n".join(lines) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
