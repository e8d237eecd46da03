"""The command line: the one place that prints and exits. Heavy modules are imported where they are used."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwsim.errors import HwsimError, did_you_mean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from hwsim.cost import NetworkCost, NetworkLayer

app = typer.Typer(
    name="hwsim",
    help="What a neural network costs on an accelerator: cycles, energy, utilization, under proved best mappings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Objective(StrEnum):
    """What a mapping is chosen for."""

    edp = "edp"
    energy = "energy"
    latency = "latency"


PAGE_WIDTH = 170  # columns where the output is no terminal


def main() -> None:
    """Run a command; a user's mistake is one message and exit code 2."""
    try:
        app()
    except HwsimError as error:
        print(f"hwsim: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("hwsim: interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PAGE_WIDTH)


def _show(*parts: RenderableType) -> None:
    console = _console()
    for part in parts:
        console.print(part)


def _json(data: Any) -> str:
    import json

    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, gone when the work is done; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, name: bar.update(task, completed=done, total=total, description=f"{title} {name}")


def _dims(pairs: list[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name or not value:
            raise HwsimError("expected NAME=SIZE, for example batch=1.", where=f"--dim {pair}")
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise HwsimError(
                f"the size of '{name}' should be a whole number of at least 1, found '{value}'.", where=f"--dim {pair}"
            )
        out[name] = int(value)
    return out


@app.command()
def profile(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    arch: Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")] = "simple_ws",
    objective: Annotated[Objective, typer.Option(help="What every layer's mapping minimises.")] = Objective.edp,
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the architecture, COMPONENT.ATTRIBUTE=VALUE; it is priced anew. Repeat for more."
        ),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Show one layer in depth.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.profile/1).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a line per layer.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Search again, without looking at or keeping cached mappings.")
    ] = False,
) -> None:
    """What a network costs on an architecture, layer by layer, every layer under its best mapping."""
    from hwsim.files import write_file
    from hwsim.network import profile_workload
    from hwsim.spec import load_architecture
    from hwsim.spec.settings import Setting
    from reports import data, terminal
    from workloads.onnx_reader import read_onnx

    architecture, energy = load_architecture(arch, [Setting.parse(text) for text in settings or []])
    with _zoo_or_file(model) as path:
        workload = read_onnx(path, _dims(dim or []))
    with _progress("mapping") as progress:
        cost = profile_workload(
            workload, architecture, energy, objective.value, jobs=jobs, use_cache=not no_cache, progress=progress
        )
    if json is not None:
        write_file(json, _json(data.profile_data(cost, architecture)))
    if csv is not None:
        write_file(csv, data.profile_csv(cost))
    if layer is not None:
        chosen = _layer(cost, layer)
        title = f"{chosen.name} ({chosen.op}, ×{chosen.count}) on {cost.arch}"
        _show(terminal.layer_report(chosen.cost, architecture, title))
    else:
        _show(terminal.profile_table(cost))


@contextmanager
def _zoo_or_file(model: str) -> Iterator[Path]:
    """The file of a model; one of the zoo is written for the while."""
    if not model.startswith("zoo:"):
        yield Path(model)
        return
    import tempfile

    from workloads import zoo

    name = model.removeprefix("zoo:")
    with tempfile.TemporaryDirectory() as folder:
        yield zoo.write(name, Path(folder) / f"{name}.onnx")


def _layer(cost: NetworkCost, name: str) -> NetworkLayer:
    for layer in cost.layers:
        if name in layer.names:
            return layer
    names = [n for layer in cost.layers for n in layer.names]
    raise HwsimError(f"the network has no mapped layer '{name}'.{did_you_mean(name, names)}", where=cost.model)


@app.command()
def whatif(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    groups: Annotated[
        list[str],
        typer.Option(
            "--set", help="A column: COMPONENT.ATTRIBUTE=VALUE, several separated by commas. Repeat for more."
        ),
    ],
    arch: Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")] = "simple_ws",
    objective: Annotated[Objective, typer.Option(help="What every layer's mapping minimises.")] = Objective.edp,
    dim: Annotated[
        list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON (hwsim.whatif/1).")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
) -> None:
    """What changes if the hardware does: priced and mapped anew, side by side, layer by layer."""
    from hwsim.files import write_file
    from hwsim.whatif import parse_group, study
    from reports import data, terminal
    from workloads.onnx_reader import read_onnx

    parsed = [parse_group(text) for text in groups]
    with _zoo_or_file(model) as path:
        workload = read_onnx(path, _dims(dim or []))
    with _progress("mapping") as progress:
        variants = study(workload, arch, parsed, objective.value, jobs=jobs, progress=progress)
    if json is not None:
        write_file(json, _json(data.whatif_data(variants)))
    _show(terminal.whatif_report(variants))


@app.command()
def archs(
    name: Annotated[str | None, typer.Argument(help="Show this architecture's hierarchy and prices.")] = None,
) -> None:
    """The architectures that come with hwsim; with a name (or file), its hierarchy and energy per action."""
    from hwsim.spec import load_architecture, shipped_architectures
    from reports import terminal

    if name is not None:
        _show(terminal.architecture_tree(*load_architecture(name)))
        return
    found = [load_architecture(known)[0] for known in shipped_architectures()]
    _show(terminal.architecture_list(found))


@app.command()
def energy(arch: Annotated[str, typer.Argument(help="Architecture: a name of `hwsim archs` or a file.")]) -> None:
    """Energy per action of every component of an architecture, with estimator and source."""
    from hwsim.spec import load_architecture
    from reports import terminal

    architecture, table = load_architecture(arch)
    _show(
        terminal.energy_table(
            table, title=f"energy per action of {architecture.name}, pJ (leak: per cycle and instance)"
        )
    )


@app.command()
def zoo(
    names: Annotated[list[str] | None, typer.Argument(help="Models to write.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("."),
) -> None:
    """The model zoo: list it, or write models as ONNX files (shapes only, kilobytes each)."""
    from reports import terminal
    from workloads import zoo as models

    if not names:
        _show(terminal.zoo_list(models.MODELS))
        return
    for name in names:
        print(models.write(name, output / f"{name}.onnx"))


@app.command()
def evaluate(
    specs: Annotated[list[Path], typer.Argument(help="Files with architecture, problem, mapping (together or apart).")],
    json: Annotated[bool, typer.Option("--json", help="Print a list in schema hwsim.evaluate/1.")] = False,
) -> None:
    """Cost of given mappings, as Timeloop counts them."""
    from hwsim.cost import Illegal
    from hwsim.model import evaluate as evaluate_mapping
    from hwsim.spec import load_specs
    from reports import data, terminal

    loaded = load_specs(specs)
    costs = []
    for spec in loaded:
        assert spec.mapping is not None
        costs.append(evaluate_mapping(spec.problem, spec.architecture, spec.mapping, spec.energy))
    if json:
        print(_json([data.evaluate_data(c, s.architecture) for c, s in zip(costs, loaded, strict=True)]), end="")
        return
    for spec, cost in zip(loaded, costs, strict=True):
        if isinstance(cost, Illegal):
            place = spec.places[cost.level].where if cost.level in spec.places else f"{spec.name}: mapping"
            raise HwsimError(f"the mapping is illegal: {terminal.why(cost)}", where=place)
        _show(terminal.layer_report(cost, spec.architecture, f"{spec.name} on {spec.architecture.name}"))


@app.command("map")
def map_command(
    specs: Annotated[list[Path], typer.Argument(help="Files with architecture and problem (together or apart).")],
    objective: Annotated[Objective, typer.Option(help="What the mapping minimises.")] = Objective.edp,
    json: Annotated[bool, typer.Option("--json", help="Print the result in schema hwsim.map/1.")] = False,
    prove: Annotated[Path | None, typer.Option(help="Write mapping and certificate as JSON.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which the best so far is shown.")
    ] = None,
    front: Annotated[
        bool,
        typer.Option("--pareto", help="Every trade of energy for cycles that is worth making, instead of one mapping."),
    ] = False,
) -> None:
    """The best mapping of a problem, with its certificate."""
    from dataclasses import replace

    from hwsim import warm
    from hwsim.cost import Illegal
    from hwsim.files import write_file
    from hwsim.mapper import search
    from hwsim.mapper.size import space_size
    from hwsim.mapper.space import map_space
    from hwsim.spec import load_specs
    from reports import data, terminal

    loaded = load_specs(specs, "problem")
    if len(loaded) != 1:
        raise HwsimError(f"expected one problem, found {len(loaded)}.", where=", ".join(s.name for s in loaded))
    spec = loaded[0]
    warm.start()
    if front:
        from hwsim.mapper import pareto

        points = pareto(spec.problem, spec.architecture, spec.energy, time_limit=time_limit)
        if isinstance(points, Illegal):
            raise HwsimError(f"no mapping is legal: {terminal.why(points)}", where=spec.name)
        if prove is not None or json:
            text = _json({"schema": "hwsim.map/1", "front": [data.map_data(x, spec.architecture) for x in points]})
            if prove is not None:
                write_file(prove, text)
            if json:
                print(text, end="")
                return
        _show(terminal.front_table(points, f"{spec.name} on {spec.architecture.name}"))
        return
    with _search_line(objective.value) as tell:
        cost = search(
            spec.problem, spec.architecture, spec.energy, objective.value, time_limit=time_limit, progress=tell
        )
    if not isinstance(cost, Illegal) and cost.certificate is not None:
        size = space_size(map_space(spec.problem, spec.architecture)) or 0
        cost = replace(cost, certificate=replace(cost.certificate, space_size=size))
    result = data.map_data(cost, spec.architecture)
    if prove is not None:
        write_file(prove, _json(result))
    if json:
        print(_json(result), end="")
    elif isinstance(cost, Illegal):
        raise HwsimError(f"no mapping is legal: {terminal.why(cost)}", where=spec.name)
    else:
        _show(terminal.layer_report(cost, spec.architecture, f"{spec.name} on {spec.architecture.name}"))


@contextmanager
def _search_line(objective: str) -> Iterator[Callable[[float, float, float], None]]:
    """A line on stderr with the best so far and how far it may be from the optimum; gone when the search ends."""
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("searching") as status:
        yield lambda best, bound, gap: status.update(
            f"searching · least {objective} so far {best:.5g}, bound {bound:.5g}, gap at most {100 * gap:.0f}% "
            "(Ctrl-C keeps the best)"
        )


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")],
    rubric: Annotated[str, typer.Option(help="mit-lab1, aoc-lab1, hw13, lab0, or a rubric file (.yaml).")],
    accuracy: Annotated[
        str | None, typer.Option(help="Test accuracy, 0 to 1; otherwise the ONNX file's metadata says.")
    ] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture; the rubric's own unless given.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Dataset; otherwise the ONNX file's metadata says.")] = None,
    population: Annotated[
        Path | None, typer.Option(help="CSV or JSON of other models' parameters and macs, to rank against.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result in schema hwsim.score/1.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")] = 1,
) -> None:
    """Points for a model by a course's rubric, and what the next band would need."""
    from dataclasses import replace

    from hwsim import rubric as rubrics
    from hwsim.network import profile_workload
    from hwsim.spec import load_architecture
    from reports import data, terminal
    from workloads.onnx_reader import read_onnx

    chosen = rubrics.load_rubric(rubric)
    others = rubrics.read_population(population) if population is not None else {}
    given = None if accuracy is None else rubrics.read_accuracy(accuracy, "--accuracy")
    hardware = load_architecture(arch or chosen.arch) if rubrics.needs_mapping(chosen) or arch else None
    with _zoo_or_file(model) as path:
        workload = read_onnx(path, {})
    source = "given by --accuracy"
    if given is None:
        stated = workload.metadata.get("test_accuracy")
        source = "from the file's metadata (test_accuracy)" if stated else "not known: give --accuracy"
        given = None if stated is None else rubrics.read_accuracy(stated, f"{model}: metadata test_accuracy")
    if dataset is not None:
        workload = replace(workload, metadata=workload.metadata | {"dataset": dataset})
    cost = None
    if hardware is not None:
        with _progress("mapping") as progress:
            cost = profile_workload(workload, *hardware, jobs=jobs, progress=progress)
    result = rubrics.grade(chosen, rubrics.Facts(given, source, workload, cost, others))
    if json:
        print(_json(data.score_data(result)), end="")
    else:
        _show(terminal.score_report(result))


@app.command()
def train(
    recipe: Annotated[str | None, typer.Argument(help="Recipe: a name of the list, or a file (.yaml).")] = None,
    data_dir: Annotated[Path, typer.Option(help="Folder (or zip) with the images.")] = Path("data"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for results and checkpoints.")] = Path("runs"),
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the output.")] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Pretrained weights (.pth, or a folder of a language model).")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="ONNX file to distil from, instead of the recipe's.")] = None,
    search: Annotated[bool, typer.Option("--search", help="Search the architecture, with costs in the loop.")] = False,
    evaluate: Annotated[
        Path | None, typer.Option(help="Measure this ONNX file's test accuracy; trains nothing.")
    ] = None,
    arch: Annotated[str, typer.Option(help="Architecture that costs are of.")] = "simple_ws",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores unless given.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="A trial: so many steps an epoch, few images.")] = None,
) -> None:
    """Train a recipe, export it to ONNX with its test accuracy; without a recipe, list them."""
    from reports import terminal

    try:
        from trainers import recipe as recipes
        from trainers import run as trainer
        from trainers.classifier import Run
    except ImportError as error:
        what = f"training needs {error.name}, which is not installed: pip install 'hwsim[train]'."
        raise HwsimError(what, where="hwsim train") from error

    if evaluate is not None:
        _evaluate_file(evaluate, data_dir)
        return
    if recipe is None:
        _show(terminal.recipe_list({name: recipes.load_recipe(name).title for name in recipes.shipped()}))
        return
    chosen = recipes.load_recipe(recipe)
    if epochs is not None:
        chosen = chosen.model_copy(update={"training": chosen.schedule.model_copy(update={"epochs": epochs})})
    trainer.use_threads(threads or os.cpu_count() or 1)
    # what decides the result, without the folders of this machine
    parts = [f"hwsim train {Path(recipe).name} --data-dir DATA --seed {seed}"]
    parts += [f"--epochs {epochs}"] if epochs is not None else []
    parts += [f"--{name} {file.name}" for name, file in (("weights", weights), ("teacher", teacher)) if file]
    command = " ".join(parts + (["--search"] if search else []))
    with _training_progress() as progress:
        run = Run(data_dir, output, seed, resume, weights, teacher, command, max_steps, progress)
        log = (trainer.search if search else trainer.train)(chosen, run, _Costs(arch))
    _show(terminal.training_report(log, output))


def _evaluate_file(file: Path, data_dir: Path) -> None:
    """Accuracy of an ONNX file on the whole test split of the dataset its metadata names."""
    from trainers import export
    from trainers.data import open_dataset

    if not file.is_file():
        raise HwsimError("no such file.", where=str(file))
    metadata = export.metadata_of(file)
    if "dataset" not in metadata:
        raise HwsimError("the file's metadata names no dataset; was it exported by `hwsim train`?", where=str(file))
    images = open_dataset(metadata["dataset"], data_dir).read("test")
    with _training_progress() as progress:
        measured = export.evaluate(str(file), images, lambda done, total: progress(done, total, "evaluating"))
    stated = metadata.get("test_accuracy", "nothing")
    print(f"test accuracy {measured:.4f} of {len(images)} images (the file says {stated}): {file}")


@contextmanager
def _training_progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar with the time left on a terminal; elsewhere a line a minute, so that a log shows life."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)
        return
    last = [time.monotonic()]

    def line(done: int, total: int, text: str) -> None:
        if time.monotonic() - last[0] >= 60:
            last[0] = time.monotonic()
            print(f"{done}/{total} {text}", file=sys.stderr, flush=True)

    yield line


class _Costs:
    """What the trainers may ask about a network's cost."""

    def __init__(self, arch: str) -> None:
        self.arch = Path(arch).stem
        self._arch = arch

    def __call__(self, file: Path, bits: int | None = None) -> Any:
        from hwsim.network import profile_workload
        from hwsim.spec import load_architecture
        from hwsim.spec.settings import word_settings
        from trainers.cost import Figures
        from workloads.onnx_reader import read_onnx

        architecture, energy = load_architecture(self._arch)
        if bits is not None:
            architecture, energy = load_architecture(self._arch, word_settings(architecture, bits))
        workload = read_onnx(file, {})
        cost = profile_workload(workload, architecture, energy)
        return Figures(
            energy_pj=cost.energy_pj,
            cycles=cost.cycles,
            macs=cost.macs,
            params=cost.params,
            peak_activation_bytes=cost.peak_activation_bytes,
            matrix_products=workload.matrix_products,
        )
