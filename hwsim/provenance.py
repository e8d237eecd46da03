"""What a result was made from, so that it can be made again."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hwsim
from hwsim.architecture import Architecture
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError


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
    version: str = hwsim.__version__


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


def design_sha256(architecture: Architecture, energy: EnergyTable) -> str:
    """Hash of everything about a design that a result depends on: levels, constraints, clock, prices, areas."""
    prices = {c: {a: x.energy_pj for a, x in t.items()} for c, t in energy.actions.items()}
    levels = [(type(level).__name__, _plain(asdict(level))) for level in architecture.levels]
    parts = [levels, architecture.compute.name, architecture.cycle_seconds, prices, energy.area_um2]
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
