"""Options that several commands take, each said once, alone or in groups (`hwsim.cli.groups`)."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Self, TypedDict, TypeVar

import typer

from hwsim.cli.groups import OPTIONAL, Group
from hwsim.cli.shared import check_outputs, show, unpriced_notes, write_plots
from hwsim.design import Design, Setting, load_design
from hwsim.errors import HwsimError, did_you_mean, visible
from hwsim.files import write_file
from hwsim.objective import EDP, FIGURES, Objective
from hwsim.provenance import file_sha256
from hwsim.reports.formats import FORMATS, Report
from hwsim.spec.document import parse_document, plain_data
from hwsim.spec.notes import collected
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.workload import Workload

MOST_DIGITS = 18  # of a size: larger ones count beyond what the model counts


class HasNames(Protocol):
    """A layer: of a network's cost, or of a network on a systolic array."""

    @property
    def names(self) -> tuple[str, ...]:
        """The operators that it is."""


Named = TypeVar("Named", bound=HasNames)

_OBJECTIVE = typer.Option(
    "--objective",
    metavar="FIGURE[,FIGURE]",
    parser=Objective.parse,
    help=f"What a mapping minimises: {', '.join(FIGURES)}; with commas, the next one breaks ties.",
)
ObjectiveOption = Annotated[Objective, _OBJECTIVE]
#: Of a command whose files may say it.
ObjectiveOrNone = Annotated[Objective | None, _OBJECTIVE]
ArchName = Annotated[str, typer.Option(help="Architecture: a name of `hwsim archs` or a file.")]
Dims = Annotated[list[str] | None, typer.Option(help="Size of a symbolic dimension, NAME=SIZE; repeat for more.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Jobs = Annotated[int, typer.Option(min=1, help="Layers mapped side by side.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Search again, without looking at or keeping cached mappings.")
]
JsonPath = Annotated[Path | None, typer.Option("--json", metavar="FILE", help=FORMATS["json"].help)]
#: ``--json`` is standard output, ``--json=FILE`` a file: what follows is an argument of the command.
JsonOrShown = Annotated[
    Path | None,
    typer.Option("--json", metavar=OPTIONAL, help="Print the result as JSON, or write it: --json=FILE."),
]


@dataclass(frozen=True)
class ModelOptions(Group):
    """A network: an ONNX file or one of the zoo, and the sizes of its symbolic dimensions."""

    model: Annotated[str, typer.Argument(help="ONNX file, or zoo:NAME.")]
    dim: Dims = None
    value: Annotated[
        list[str] | None,
        typer.Option(help="Value of an input of one element that shapes or branches depend on, NAME=VALUE."),
    ] = None
    trips: Annotated[list[str] | None, typer.Option(help="How often a Loop runs, LOOP=N.")] = None

    def load(self, path: Path) -> Workload:
        """The network of a file, as the options say."""
        return read_onnx(path, dims(self.dim or []), values(self.value or []), dims(self.trips or [], "--trips"))

    @property
    def said(self) -> tuple[tuple[str, list[str] | None], ...]:
        """The options by name, for the command that makes a result again."""
        return ("--dim", self.dim), ("--value", self.value), ("--trips", self.trips)

    def read(self) -> tuple[Workload, tuple[str, str]]:
        """The network, and its file's row in `hwsim.provenance.Inputs`."""
        with zoo_or_file(self.model) as path:
            return self.load(path), ("model", file_sha256(path))

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is said of dimensions, inputs and loops as facts of a page's inputs."""
        named = (("dimensions", self.dim), ("values", self.value), ("trip counts", self.trips))
        return tuple((name, " ".join(said)) for name, said in named if said)


@dataclass(frozen=True)
class FileOptions(Group):
    """What specification files may need besides themselves."""

    jinja: Annotated[
        list[str] | None,
        typer.Option(
            "--jinja",
            metavar="NAME=VALUE",
            help="A variable of templates among the files (Timeloop's jinja_parse_data). Repeat for more.",
        ),
    ] = None
    include: Annotated[
        list[Path] | None,
        typer.Option("--include", metavar="FOLDER", help="A folder that files may take others from. Repeat for more."),
    ] = None

    @property
    def given(self) -> FilesGiven:
        """As `hwsim.design` takes them.

        Raises:
            HwsimError: a variable has another form.
        """
        return {"jinja": jinja_data(self.jinja), "include": tuple(self.include or ())}


class FilesGiven(TypedDict):
    """Variables of templates, and folders that may be read."""

    jinja: dict[str, Any]
    include: tuple[Path, ...]


@dataclass(frozen=True)
class HardwareOptions(FileOptions):
    """An architecture, as it is or changed."""

    arch: Annotated[
        list[str] | None,
        typer.Option(help="Architecture: a name of `hwsim archs` (simple_ws), or a file; repeat for files beside it."),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change the architecture, COMPONENT.ATTRIBUTE=VALUE; it is priced anew. Repeat for more."
        ),
    ] = None

    @property
    def names(self) -> list[str]:
        """The architecture's name or files."""
        return self.arch or ["simple_ws"]

    @property
    def parsed(self) -> list[Setting]:
        """The changes."""
        return [Setting.parse(text) for text in self.settings or []]

    def design(self, *, changed: bool = True, own_prices: bool = False) -> tuple[Design, tuple[str, ...]]:
        """The design, and what is to be said of its files and of components without a price."""
        with collected() as notes:
            settings = self.parsed if changed else []
            design = load_design(self.names, settings, own_prices=own_prices, unpriced=True, **self.given)
        return design, (*notes, *unpriced_notes(design.energy.unpriced))


@dataclass(frozen=True)
class SearchOptions(Group):
    """How mappings are searched for."""

    objective: ObjectiveOption = EDP
    jobs: Jobs = 1
    time_limit: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds to search in, all layers together; then the best mappings so far."),
    ] = None
    no_cache: NoCache = False


@dataclass(frozen=True)
class Outputs(Group):
    """Where a result goes: an option for each of `hwsim.reports.formats.FORMATS`."""

    files: Mapping[str, Path]
    quiet: bool
    json_option: ClassVar[Any] = JsonPath

    @classmethod
    def options(cls) -> list[Parameter]:
        """A parameter for each format."""
        plain = {
            x.name: Annotated[
                Path | None, typer.Option(f"--{x.name}", metavar="FOLDER" if x.folder else "FILE", help=x.help)
            ]
            for x in FORMATS.values()
        }
        return [
            Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in (plain | {"json": cls.json_option}).items()
        ]

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Looks at where results are to go, before the work begins; see `hwsim.cli.shared.check_outputs`."""
        return cls({name: file for name, file in values.items() if file is not None}, check_outputs(**values))

    def write(self, report: Report) -> None:
        """Write what is asked for; show the result, unless one goes to standard output."""
        for name, target in self.files.items():
            content = FORMATS[name].write(report)
            if isinstance(content, Mapping):
                write_plots(target, content)
            else:
                write_file(target, content)
        if not self.quiet:
            show(*report.shown())


class OutputsOrShown(Outputs):
    """Where a result goes, of a command whose ``--json`` stands alone; see `JsonOrShown`."""

    json_option: ClassVar[Any] = JsonOrShown


def values(pairs: list[str]) -> dict[str, float]:
    """Values of inputs from ``NAME=VALUE``.

    Raises:
        HwsimError: a pair has another form, or a value is no number.
    """
    out: dict[str, float] = {}
    for pair in pairs:
        name, _, text = pair.rpartition("=")
        word = {"true": "1", "false": "0"}.get(text.lower(), text)
        try:
            out[name] = int(word) if word.lstrip("+-").isdecimal() and len(word) <= MOST_DIGITS else float(word)
        except ValueError:
            name = ""
        if not name or not math.isfinite(out[name]):
            raise HwsimError("expected NAME=VALUE with a number, for example sr=16000.", where=f"--value {pair}")
    return out


def dims(pairs: list[str], option: str = "--dim") -> dict[str, int]:
    """Sizes of symbolic dimensions from ``NAME=SIZE``; trip counts of loops, too.

    Raises:
        HwsimError: a pair has another form, or a size is no positive whole number.
    """
    out: dict[str, int] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not name or not value:
            raise HwsimError("expected NAME=SIZE, for example batch=1.", where=f"{option} {pair}")
        digits = value.lstrip("0")
        if not value.isascii() or not value.isdigit() or not digits or len(digits) > MOST_DIGITS:
            raise HwsimError(
                f"the size of '{name}' should be a whole number of at least 1, and of {MOST_DIGITS} digits at most; "
                f"found '{value}'.",
                where=f"{option} {pair}",
            )
        out[name] = int(digits)
    return out


def jinja_data(pairs: list[str] | None) -> dict[str, Any]:
    """Variables of templates from ``NAME=VALUE``; values are read as YAML: numbers, words, lists.

    Raises:
        HwsimError: a pair has another form.
    """
    out: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, raw = pair.partition("=")
        where = f"--jinja {pair}"
        if not equals or not name.isidentifier():
            raise HwsimError("expected NAME=VALUE, such as architecture=eyeriss_like.", where=where)
        try:
            value = plain_data(parse_document(raw, where).value)
        except HwsimError:  # text
            value = raw
        out[name] = raw if value is None or isinstance(value, str) else value
    return out


def named_layer(layers: Sequence[Named], name: str, model: str) -> Named:
    """The layer of a name, which may be as it is shown.

    Raises:
        HwsimError: no layer has it.
    """
    for layer in layers:
        if name in layer.names or name in map(visible, layer.names):
            return layer
    names = [n for layer in layers for n in layer.names]
    raise HwsimError(f"the network has no mapped layer '{name}'.{did_you_mean(name, names)}", where=model)


@contextmanager
def zoo_or_file(model: str) -> Iterator[Path]:
    """The file of a model; one of the zoo is written for the while."""
    if not model.startswith("zoo:"):
        yield Path(model)
        return

    name, arguments = zoo.split_name(model.removeprefix("zoo:"))
    with tempfile.TemporaryDirectory() as folder:
        yield zoo.write(name, Path(folder) / f"{name}.onnx", arguments)
