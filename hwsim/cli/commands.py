"""The commands by name: each is loaded when it is used, so that help is quick and a command imports what it needs."""

from __future__ import annotations

import functools
from collections.abc import Collection
from importlib import import_module
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from hwsim.cli.groups import OPTIONAL, spread

#: Name → where its function is, and the first line of its help.
COMMANDS: dict[str, tuple[str, str]] = {
    "profile": (
        "profile:profile",
        "What a network costs on an architecture, layer by layer, every layer under its best mapping.",
    ),
    "whatif": (
        "whatif:whatif",
        "What changes if the hardware does: priced and mapped anew, side by side, layer by layer.",
    ),
    "compare": ("compare:compare", "Saved profiles side by side, in total and layer by layer."),
    "simulate": (
        "simulate:simulate",
        "Run layers on the array, word by word: their true output, every access counted beside the model's, cycles.",
    ),
    "explore": (
        "explore:explore",
        "Search a space of designs: the Pareto front of its objectives, under its constraints.",
    ),
    "archs": (
        "shipped:archs",
        "The architectures that come with hwsim; with a name (or files), its hierarchy and energy per action.",
    ),
    "energy": (
        "shipped:energy",
        "Energy per action of every component of an architecture, with estimator and source.",
    ),
    "zoo": ("shipped:zoo", "The model zoo: list it, or write models as ONNX files (shapes only, kilobytes each)."),
    "evaluate": ("mapping:evaluate", "Cost of given mappings, as Timeloop counts them."),
    "map": ("mapping:map_command", "The best mapping of a problem, with its certificate."),
    "import": (
        "importing:import_command",
        "One clean v0.4 file of what was understood of an architecture's files, problem and mapping included.",
    ),
    "score": ("score:score", "Points for a model by a course's rubric, and what the next band would need."),
    "systolic": (
        "systolic:systolic",
        "Cycles of a network on a systolic weight-stationary array, in closed form and stepped.",
    ),
    "train": (
        "train:train",
        "Train a recipe, export it to ONNX with its test accuracy; without a recipe, list them.",
    ),
}


def function(name: str) -> Any:
    """The function that a command runs."""
    module, _, within = COMMANDS[name][0].partition(":")
    return getattr(import_module(f"hwsim.cli.{module}"), within)


def valued(words: list[str], options: Collection[str]) -> list[str]:
    """A command line where options that stand alone have the value ``-``, which is standard output.

    What follows such an option is an argument of the command, so that ``--json FILE`` never takes a file that is to be
    read for one that is to be written; ``--json=FILE`` names the file, and ``--json -`` says what is meant anyway.
    """
    out: list[str] = []
    for k, word in enumerate(words):
        if word == "--":
            return out + words[k:]
        if word == "-" and out and k and words[k - 1] in options:
            continue
        out.append(f"{word}=-" if word in options else word)
    return out


class Later(TyperCommand):
    """A command whose function and options are loaded when it is run or asked for its help."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """See `click.Command.make_context`."""
        return self._loaded.make_context(info_name, valued(args, self._may_stand_alone), parent, **extra)

    @property
    def _may_stand_alone(self) -> set[str]:
        """Options whose value may be left out."""
        return {name for x in self._loaded.params if getattr(x, "metavar", None) == OPTIONAL for name in x.opts}

    @functools.cached_property
    def _loaded(self) -> Any:
        assert self.name is not None
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name)(spread(function(self.name)))
        return typer.main.get_command(app)


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, help_) in COMMANDS.items():
            self.add_command(Later(name, help=help_))
