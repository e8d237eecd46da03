"""Profiles that `hwsim profile --json` wrote, read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwsim.errors import HwsimError
from reports.columns import Column, LayerColumn

#: What a reader of a comparison should know about prices.
PRICES = (
    "A profile made with --set is priced by hwsim's estimators, another one by its architecture's own table where it "
    "has one; hwsim whatif prices all columns alike."
)
MAX_BYTES = 100_000_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _Totals(_Part):
    cycles: int = Field(gt=0)
    energy_pj: float = Field(gt=0)
    utilization: float = Field(ge=0, le=1)
    peak_activation_bytes: int = Field(ge=0)


class _Layer(_Part):
    name: str
    count: int = Field(ge=1)
    cycles: int = Field(gt=0)
    energy_pj: float = Field(gt=0)
    utilization: float = Field(ge=0, le=1)
    energy_by_level_pj: dict[str, float]
    optimal: bool


class _Profile(_Part):
    schema_: Literal["hwsim.profile/1"] = Field(alias="schema")
    model: str
    arch: str
    objective: str
    totals: _Totals
    layers: tuple[_Layer, ...] = Field(strict=False)


def read_profiles(files: Sequence[Path]) -> list[Column]:
    """Saved profiles as columns, named by what differs among them.

    Raises:
        HwsimError: a file cannot be read, is no JSON or no profile (says which field).
    """
    profiles = [_read(file) for file in files]
    return [
        Column(
            name,
            p.totals.energy_pj,
            p.totals.cycles,
            p.totals.utilization,
            p.totals.peak_activation_bytes,
            None,
            {
                x.name: LayerColumn(
                    x.count, x.energy_pj, x.cycles, x.utilization, x.energy_by_level_pj, optimal=x.optimal
                )
                for x in p.layers
            },
        )
        for name, p in zip(_names(files, profiles), profiles, strict=True)
    ]


def _read(file: Path) -> _Profile:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise HwsimError(f"the file is over {MAX_BYTES:,} bytes.", where=str(file))
        data = json.loads(file.read_text())
    except OSError as error:
        raise HwsimError(f"the file cannot be read: {error.strerror}.", where=str(file)) from error
    except (ValueError, RecursionError) as error:
        raise HwsimError(f"expected JSON as `hwsim profile --json` writes it: {error}.", where=str(file)) from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != "hwsim.profile/1":
        what = f"schema '{found}'" if found else "no schema"
        raise HwsimError(
            f"expected a file of `hwsim profile --json` (schema hwsim.profile/1), found {what}.", where=str(file)
        )
    try:
        return _Profile.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(p) for p in first["loc"])
        given = "" if first["type"] == "missing" else f", found {str(first['input'])[:60]!r}"
        raise HwsimError(f"{first['msg']}{given}.", where=f"{file}: {path}") from error


def _names(files: Sequence[Path], profiles: Sequence[_Profile]) -> list[str]:
    """What differs of model, architecture and objective; the file's stem where that does not tell all apart."""
    parts = [(p.model, p.arch, p.objective) for p in profiles]
    differ = [k for k in range(3) if len({x[k] for x in parts}) > 1]
    names = [" ".join(x[k] for k in differ) for x in parts]
    if len(set(names)) == len(names):
        return names
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [str(file) for file in files]
