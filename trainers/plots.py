"""Loss and accuracy curves as PNG and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.files import write_file

Rows = Sequence[Mapping[str, float]]


def curves(rows: Rows, stem: Path, title: str) -> None:
    """Write ``STEM.csv`` (a line per epoch) and ``STEM.png`` (loss and accuracy over the epochs)."""
    if not rows:
        return
    names = list(dict.fromkeys(k for row in rows for k in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(stem.with_suffix(".csv"), text.getvalue())
    figure, axes = _figure(2)
    _lines(axes[0], {n.removesuffix("_loss"): (rows, n) for n in names if n.endswith("_loss")}, "loss")
    _lines(axes[1], {n.removesuffix("_accuracy"): (rows, n) for n in names if n.endswith("_accuracy")}, "accuracy")
    figure.suptitle(title)
    _save(figure, stem.with_suffix(".png"))


def compare(runs: Mapping[str, Rows], column: str, file: Path, title: str, label: str) -> None:
    """One line per run over the epochs, as PNG."""
    figure, axes = _figure(1)
    _lines(axes[0], {name: (rows, column) for name, rows in runs.items()}, label)
    axes[0].set_title(title)
    _save(figure, file)


def _figure(panels: int) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, panels, figsize=(5 * panels, 3.6), layout="constrained", squeeze=False)
    return figure, axes[0]


def _lines(axis: Any, lines: Mapping[str, tuple[Rows, str]], label: str) -> None:
    for name, (rows, column) in lines.items():
        points = [(row["epoch"], row[column]) for row in rows if column in row]
        if points:
            axis.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 15 else None)
    axis.set_xlabel("epoch")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3)
    if lines:
        axis.legend(frameon=False)


def _save(figure: Any, file: Path) -> None:
    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": ""})
    pyplot.close(figure)
    write_file(file, buffer.getvalue())
