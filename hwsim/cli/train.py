"""`hwsim train`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hwsim.cli.groups import Group
from hwsim.cli.shared import progress_bar, show
from hwsim.design import load_design
from hwsim.design.settings import word_settings
from hwsim.errors import HwsimError
from hwsim.network import profile_workload
from hwsim.reports import terminal
from hwsim.trainers import recipe as recipes
from hwsim.trainers.cost import Figures
from hwsim.workloads.onnx.reader import read_onnx


@dataclass(frozen=True)
class Places(Group):
    """Where images are and results go."""

    data_dir: Annotated[Path, typer.Option(help="Folder (or zip) with the images.")] = Path("data")
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results and checkpoints.")] = Path("runs")


@dataclass(frozen=True)
class Course(Group):
    """How the training goes, where the recipe does not say it or a trial is wanted."""

    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output.")] = False
    weights: Annotated[
        Path | None, typer.Option(help="Pretrained weights (.pth, or a folder of a language model).")
    ] = None
    teacher: Annotated[Path | None, typer.Option(help="ONNX file to distil from, instead of the recipe's.")] = None
    search: Annotated[bool, typer.Option("--search", help="Search the architecture, with costs in the loop.")] = False
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores unless given.")] = None
    max_steps: Annotated[int | None, typer.Option(min=1, help="A trial: so many steps an epoch, few images.")] = None

    def command(self, recipe: str) -> str:
        """The command that makes the result again: what decides it, without the folders of this machine."""
        parts = [f"hwsim train {Path(recipe).name} --data-dir DATA --seed {self.seed}"]
        parts += [f"--epochs {self.epochs}"] if self.epochs is not None else []
        files = (("weights", self.weights), ("teacher", self.teacher))
        parts += [f"--{name} {file.name}" for name, file in files if file]
        return " ".join(parts + (["--search"] if self.search else []))


def train(
    places: Places,
    course: Course,
    recipe: Annotated[str | None, typer.Argument(help="Recipe: a name of the list, or a file (.yaml).")] = None,
    evaluate: Annotated[
        Path | None, typer.Option(help="Measure this ONNX file's test accuracy; trains nothing.")
    ] = None,
    arch: Annotated[str, typer.Option(help="Architecture that costs are of.")] = "simple_ws",
) -> None:
    """Train a recipe, export it to ONNX with its test accuracy; without a recipe, list them."""
    try:
        from hwsim.trainers import run as trainer
        from hwsim.trainers.classifier import Run
    except ImportError as error:
        what = f"training needs {error.name}, which is not installed: pip install 'hwsim[train]'."
        raise HwsimError(what, where="hwsim train") from error

    if evaluate is not None:
        _evaluate_file(evaluate, places.data_dir)
        return
    if recipe is None:
        show(terminal.recipe_list({name: recipes.load_recipe(name).title for name in recipes.shipped()}))
        return
    chosen = recipes.load_recipe(recipe)
    if course.epochs is not None:
        chosen = chosen.model_copy(update={"training": chosen.schedule.model_copy(update={"epochs": course.epochs})})
    trainer.use_threads(course.threads or os.cpu_count() or 1)
    trainer.keep_memory()
    with progress_bar(lines=True) as progress:
        run = Run(
            data_dir=places.data_dir,
            output=places.output,
            seed=course.seed,
            resume=course.resume,
            weights=course.weights,
            teacher=course.teacher,
            command=course.command(recipe),
            max_steps=course.max_steps,
            progress=progress,
        )
        log = (trainer.search if course.search else trainer.train)(chosen, run, _Costs(arch))
    show(terminal.training_report(log, places.output))


def _evaluate_file(file: Path, data_dir: Path) -> None:
    """Accuracy of an ONNX file on the whole test split of the dataset its metadata names."""
    from hwsim.trainers import export
    from hwsim.trainers.data import open_dataset

    if not file.is_file():
        raise HwsimError("no such file.", where=str(file))
    metadata = export.metadata_of(file)
    if "dataset" not in metadata:
        raise HwsimError("the file's metadata names no dataset; was it exported by `hwsim train`?", where=str(file))
    images = open_dataset(metadata["dataset"], data_dir).read("test")
    with progress_bar(lines=True) as progress:
        measured = export.evaluate(str(file), images, lambda done, total: progress(done, total, "evaluating"))
    stated = metadata.get("test_accuracy", "nothing")
    show(f"test accuracy {measured:.4f} of {len(images)} images (the file says {stated}): {file}")


class _Costs:
    """What the trainers may ask about a network's cost."""

    def __init__(self, arch: str) -> None:
        self.arch = Path(arch).stem
        self._arch = arch

    def __call__(self, file: Path, bits: int | None = None) -> Any:
        design = load_design(self._arch)
        if bits is not None:
            # Own prices for every width, so that widths compare.
            design = load_design(self._arch, word_settings(design.architecture, bits), own_prices=True)
        workload = read_onnx(file, {})
        cost = profile_workload(workload, design)
        return Figures(
            energy_pj=cost.energy_pj,
            cycles=cost.cycles,
            macs=cost.macs,
            params=cost.params,
            peak_activation_bytes=cost.peak_activation_bytes,
            matrix_products=workload.matrix_products,
        )
