"""Profiles that `hwsim profile --json` wrote, read back."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwsim.errors import HwsimError, shown_value
from hwsim.figure import compared
from hwsim.files import read_text
from hwsim.reports.columns import Column, LayerColumn
from hwsim.spec.validation import validated

#: What a reader of a comparison should know about prices.
PRICES = (
    "A profile made with --set is priced by hwsim's estimators, another one by its architecture's own table where it "
    "has one; hwsim whatif prices all columns alike."
)
MAX_BYTES = 100_000_000


#: Figures beyond these are damage, and would break figures drawn of them.
_Count = Annotated[int, Field(ge=0, le=10**30)]
_Cycles = Annotated[int, Field(ge=1, le=10**30)]
_Energy = Annotated[float, Field(ge=0, le=1e30)]
_Share = Annotated[float, Field(ge=0, le=1)]
SAME = 1e-6  # relative: totals and parts are sums of the same numbers in another order


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class _Totals(_Part):
    model_config = ConfigDict(extra="allow")  # figures that a later row of `hwsim.figure` brings
    macs: _Count
    params: _Count
    cycles: _Count
    energy_pj: _Energy
    edp_j_cycles: Annotated[float, Field(ge=0)]
    utilization: _Share
    weight_bytes: _Count
    peak_activation_bytes: _Count
    peak_live_bytes: _Count
    peak_live_bytes_best_order: _Count | None

    def figures(self) -> dict[str, float | None]:
        """The figures of `hwsim.figure.compared` that the file has."""
        return {x.name: getattr(self, x.key, None) for x in compared()}

    @model_validator(mode="after")
    def _numbers(self) -> _Totals:
        for name, value in self.figures().items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise ValueError(f"{name} should be a number of 0 or more, found {shown_value(value)}")
        return self

    @model_validator(mode="after")
    def _agrees(self) -> _Totals:
        _same(self.edp_j_cycles, self.energy_pj * 1e-12 * self.cycles, "edp_j_cycles", "energy × cycles")
        return self


class _Layer(_Part):
    name: str
    names: tuple[str, ...] = Field(strict=False, min_length=1)
    op: str
    problem: str
    dims: dict[str, Annotated[int, Field(ge=1, le=10**30)]]
    count: Annotated[int, Field(ge=1, le=10**12)]
    macs: _Count
    cycles: _Cycles
    energy_pj: _Energy
    utilization: _Share
    energy_by_level_pj: dict[str, _Energy]
    mapping: tuple[dict[str, Any], ...] = Field(strict=False)
    optimal: bool
    lower_bound: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _adds_up(self) -> _Layer:
        _same(self.energy_pj, sum(self.energy_by_level_pj.values()), "energy_pj", "the sum of energy_by_level_pj")
        _same(self.macs, math.prod(self.dims.values()), "macs", "the product of dims")
        return self


class _Unmapped(_Part):
    op: str
    count: _Count
    bytes_moved: _Count


class _Profile(_Part):
    schema_: Literal["hwsim.profile/1"] = Field(alias="schema")
    model: str
    arch: str
    objective: str
    totals: _Totals
    layers: tuple[_Layer, ...] = Field(strict=False)
    unmapped: tuple[_Unmapped, ...] = Field(strict=False)
    notes: tuple[str, ...] = Field(strict=False)

    @model_validator(mode="after")
    def _adds_up(self) -> _Profile:
        for name, times in Counter(x.name for x in self.layers).most_common(1):
            if times > 1:
                raise ValueError(f"the layer '{name}' is there {times} times")
        energy, cycles = sum(x.count * x.energy_pj for x in self.layers), sum(x.count * x.cycles for x in self.layers)
        _same(self.totals.energy_pj, energy, "totals.energy_pj", "the sum of the layers")
        _same(self.totals.cycles, cycles, "totals.cycles", "the sum of the layers")
        return self


def _same(value: float, wanted: float, name: str, what: str) -> None:
    if not math.isclose(value, wanted, rel_tol=SAME):
        raise ValueError(f"{name} is {value:.6g}, {what} is {wanted:.6g}; the file was changed")


def read_profiles(files: Sequence[Path]) -> list[Column]:
    """Saved profiles as columns, named by what differs among them.

    Raises:
        HwsimError: a file cannot be read, is no JSON or no profile (says which field).
    """
    profiles = [_read(file) for file in files]
    return [
        Column(
            name,
            p.totals.figures(),
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
        data = json.loads(read_text(file, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise HwsimError(f"expected JSON as `hwsim profile --json` writes it: {error}.", where=str(file)) from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != "hwsim.profile/1":
        what = f"schema {shown_value(found)}" if found else "no schema"
        raise HwsimError(
            f"expected a file of `hwsim profile --json` (schema hwsim.profile/1), found {what}.", where=str(file)
        )
    return validated(_Profile, data, str(file))


def _names(files: Sequence[Path], profiles: Sequence[_Profile]) -> list[str]:
    """What differs of model, architecture and objective; the file's stem where that does not tell all apart."""
    parts = [(p.model, p.arch, p.objective) for p in profiles]
    differ = [k for k in range(3) if len({x[k] for x in parts}) > 1]
    names = [" ".join(x[k] for k in differ) for x in parts]
    if len(set(names)) == len(names):
        return names
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [str(file) for file in files]
