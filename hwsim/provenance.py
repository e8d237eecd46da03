"""What a result was made from, so that it can be made again: inputs, and the program itself."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hwsim
from hwsim.architecture import Architecture
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.sparsity import DENSE

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


#: What computes results: code of ours, and the tables and rubrics that come with it.
_FOLDERS = ("hwsim", "hwsim/arch_specs/components", "hwsim/arch_specs/tables", "hwsim/workloads")
#: Shows results, trains, or is looked at by itself: where rooms are installed they lie inside the package.
_ASIDE = ("hwsim/arch_specs", "hwsim/cli", "hwsim/reports", "hwsim/trainers", "hwsim/workloads")
_KINDS = (".csv", ".gz", ".py", ".yaml")


@functools.cache
def program_sha256() -> str:
    """Hash of all files that compute a result; where there are no sources, of the compiled modules.

    Takes a few ms, once in a process.
    """
    files: dict[str, str] = {}
    for kinds in (_KINDS, (*_KINDS, ".pyc")):
        for folder in _FOLDERS:
            package, below = _package(folder)
            for name, content in _files(importlib.resources.files(package) / below, folder, kinds):
                files[name] = hashlib.sha256(content).hexdigest()
        if any(name.endswith((".py", ".pyc")) for name in files):
            break
    return hashlib.sha256(json.dumps([hwsim.__version__, files], sort_keys=True).encode()).hexdigest()


def _package(folder: str) -> tuple[str, str]:
    """The package that a folder is or lies in, and what is below it: its files need not lie in its parent's."""
    name, *rest = folder.split("/")
    return ".".join([name, *rest[:1]]), "/".join(rest[1:])


def _files(folder: Traversable, path: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Path and content of the files below a folder, which may be in an archive."""
    for entry in folder.iterdir():
        name = f"{path}/{entry.name}"
        if entry.is_dir():
            if entry.name != "__pycache__" and name not in _ASIDE:
                yield from _files(entry, name, kinds)
        elif entry.name.endswith(kinds) and not entry.name.startswith("."):
            yield name, entry.read_bytes()


def version() -> str:
    """Version of the program with the beginning of `program_sha256`: ``0.2.0+3f2a9c1b0d12``."""
    return f"{hwsim.__version__}+{program_sha256()[:12]}"


@dataclass(frozen=True)
class Inputs:
    """The inputs of a result.

    Attributes:
        command: makes it again; options that only say where to write are left out.
        sha256: (what, hash) of every file and design.
        facts: (name, value) of what else decides it: objective, sizes of dimensions.
    """

    command: str
    sha256: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...] = ()
    version: str = field(default_factory=version)


def command(*parts: str, options: Sequence[tuple[str, object]] = ()) -> str:
    """A command line, quoted for a shell; options whose value is None or False are left out, lists are repeated."""
    words = ["hwsim", *parts]
    for name, value in options:
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is True:
                words.append(name)
            elif one is not None and one is not False:
                words += [name, str(one)]
    return shlex.join(words)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file.

    Raises:
        HwsimError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise HwsimError(f"the file cannot be read: {error.strerror}.", where=str(path)) from error


def mapping_design(architecture: Architecture, energy: EnergyTable) -> str:
    """Everything about a design that mappings and their costs depend on, as text: levels, constraints, prices."""
    prices = {c: {a: x.energy_pj for a, x in t.items()} for c, t in energy.actions.items()}
    return json.dumps([_levels(architecture), prices], sort_keys=True)


@functools.lru_cache(maxsize=64)
def _levels(architecture: Architecture) -> str:
    levels = [(type(level).__name__, _plain(asdict(level))) for level in architecture.levels]
    zeros = [_plain(asdict(architecture.sparsity))] if architecture.sparsity != DENSE else []
    return json.dumps([levels, architecture.compute.name, *zeros], sort_keys=True)


def design_sha256(architecture: Architecture, energy: EnergyTable) -> str:
    """Hash of everything about a design that a result depends on: levels, constraints, prices, clock, areas."""
    parts = [mapping_design(architecture, energy), architecture.cycle_seconds, energy.area_um2]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Data that JSON can hold, in an order of its own; attributes serve pricing alone and the prices stand for them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k != "attributes"}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    return value
