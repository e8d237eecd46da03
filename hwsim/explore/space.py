"""Space files: models, a base architecture, parameters and what they drive, constraints, objectives."""

from __future__ import annotations

import itertools
import keyword
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from pydantic import Field as PydanticField

from hwsim.errors import HwsimError
from hwsim.explore.domain import Domain, Value
from hwsim.explore.formula import UNITS, Comparison, Formula
from hwsim.figure import explored
from hwsim.objective import Objective as MappingObjective
from hwsim.spec.document import Field, read_document
from hwsim.spec.expression import CONSTANTS, FUNCTIONS
from hwsim.spec.validation import validated

MAX_GRID = 100_000
MAX_PARAMETERS = 64
MAX_OBJECTIVES = 4
MAX_WHOLE = 2**53  # whole numbers up to here are exact as floats, too
MAX_REAL = 1e300  # sums and ratios of two stay finite
Params = dict[str, Value]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Strict):
    """One network: an ONNX file (beside the space file) or ``zoo:NAME``; sizes and arguments may be expressions."""

    model: str
    weight: float = PydanticField(default=1.0, gt=0, allow_inf_nan=False)
    dims: dict[str, int | str] = {}
    arguments: dict[str, int | float | str] = {}


class Parameter(_Strict):
    """``values``, or ``low``–``high`` (with ``step``, or ``log`` and perhaps ``factor``), or a tied ``expression``."""

    values: tuple[bool | int | float | str, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = PydanticField(default=None, gt=0)
    log: bool = False
    factor: int | float | None = PydanticField(default=None, gt=1)
    expression: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """A list is ``values``, text an ``expression``."""
        if isinstance(value, list):
            return {"values": value}
        return {"expression": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_form(self) -> Parameter:
        ranged = self.low is not None or self.high is not None
        if (self.values is not None) + ranged + (self.expression is not None) != 1:
            raise ValueError("expected a list of values, a range (low and high), or an expression that ties it")
        if not ranged and (self.step or self.log or self.factor):
            raise ValueError("step, log and factor belong to a range (low and high)")
        if self.values is not None:
            self._check_values(self.values)
        elif ranged:
            self._check_range()
        return self

    @staticmethod
    def _check_values(values: tuple[Value, ...]) -> None:
        if not values:
            raise ValueError("the list is empty; expected at least one value")
        twice = [v for k, v in enumerate(values) if v in values[:k]]
        if twice:
            raise ValueError(f"the value {twice[0]!r} is listed twice")
        for value in values:
            _check_number(value)

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise ValueError(f"'{'low' if self.low is None else 'high'}' of the range is missing")
        for number in (self.low, self.high, self.step, self.factor):
            _check_number(number)
        if self.low > self.high:
            raise ValueError(f"the range is empty: low {self.low} is above high {self.high}")
        if self.step and (self.log or self.factor):
            raise ValueError("a range has a step or a log scale, not both")
        if (self.log or self.factor) and self.low <= 0:
            raise ValueError(f"a range on a log scale starts above 0, found low {self.low}")
        if (self.log or self.factor) and self.high / self.low > MAX_REAL:
            raise ValueError(f"high is more than {MAX_REAL:g} times low; a log scale does not span so much")

    def domain(self, name: str) -> Domain | None:
        """The values that it can take; None where an expression ties it."""
        if self.expression is not None:
            return None
        if self.values is not None:
            numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)
            return Domain(name, self.values, ordered=numbers)
        low, high = self.low, self.high
        assert low is not None and high is not None
        if self.factor is not None:
            count = _steps(math.log(high / low) / math.log(self.factor))
            return Domain(name, tuple(low * self.factor**k for k in range(count)))
        whole = all(isinstance(x, int) for x in (low, high, self.step or 1))
        if whole:
            return Domain(name, range(int(low), int(high) + 1, int(self.step or 1)), log=self.log)
        if self.step is not None:
            count = _steps((high - low) / self.step)
            return Domain(name, tuple(round(low + k * self.step, 12) for k in range(count)))
        return Domain(name, None, float(low), float(high), self.log)


def _check_number(value: Value | None) -> None:
    """A number of a parameter should be finite, and small enough to calculate with; others may be anything."""
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise ValueError(f"whole numbers should not be above 2^53, found one of {len(f'{abs(value):x}')} hex digits")
    if isinstance(value, float) and not abs(value) <= MAX_REAL:
        raise ValueError(f"numbers should be finite and not above {MAX_REAL:g}, found {value}")


def _steps(exact: float) -> int:
    """Values of a range that is so many steps long."""
    if not exact < MAX_GRID:
        raise ValueError(f"the range has {exact:.6g} steps; up to {MAX_GRID:,} are possible")
    return int(exact + 1e-9) + 1


class Objective(_Strict):
    """A figure or an expression of figures, and which way is better (the figure's own way unless said)."""

    name: str
    expression: str
    direction: Literal["minimise", "maximise"]
    unit: str = ""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"expression": value}
        if not isinstance(value, dict):
            return value
        value = dict(value)
        text = value.get("expression", value.get("name"))
        figure = explored().get(text) if isinstance(text, str) else None
        value.setdefault("expression", text)
        value.setdefault("name", text)
        value.setdefault("direction", "maximise" if figure and figure.more else "minimise")
        value.setdefault("unit", figure.unit if figure else "")
        spelling = {"minimize": "minimise", "min": "minimise", "maximize": "maximise", "max": "maximise"}
        if isinstance(value["direction"], str):
            value["direction"] = spelling.get(value["direction"], value["direction"])
        return value


class RubricChoice(_Strict):
    """What ``points`` are given by, and the dataset where the model's file does not say."""

    name: str
    dataset: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class SpaceFile(_Strict):
    """A space file as it is written."""

    title: str = ""
    models: tuple[Model, ...] = PydanticField(min_length=1, max_length=64)
    arch: str = "simple_ws"
    mapping_objective: str = "edp"
    parameters: dict[str, Parameter] = PydanticField(min_length=1, max_length=MAX_PARAMETERS)
    settings: dict[str, bool | int | float | str] = {}
    constraints: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = PydanticField(min_length=1, max_length=MAX_OBJECTIVES)
    accuracy: float | str | None = None
    rubric: RubricChoice | None = None

    @field_validator("models", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        listed = value if isinstance(value, list) else [value]
        return [{"model": item} if isinstance(item, str) else item for item in listed]

    @field_validator("mapping_objective")
    @classmethod
    def _mapping_objective(cls, value: str) -> str:
        try:
            return str(MappingObjective.parse(value))
        except HwsimError as error:
            raise ValueError(error.message) from error

    @field_validator("objectives", mode="before")
    @classmethod
    def _objectives(cls, value: Any) -> Any:
        """A list, or figure → direction."""
        if isinstance(value, dict):
            return [{"expression": k, "direction": v} for k, v in value.items()]
        return value if isinstance(value, list) else [value]


_PARTS = (Model, Parameter, Objective, RubricChoice)


@dataclass(frozen=True)
class Space:
    """A space whose names and formulas are checked.

    Attributes:
        file: the file's name as the user gave it; models and architectures are looked for beside it.
        content: what it says.
        domains: the free parameters, in the file's order.
        tied: parameters that expressions give, each after those that it reads.
        settings: (component, attribute) → formula.
        comparisons: the constraints.
    """

    file: str
    content: SpaceFile
    domains: tuple[Domain, ...]
    tied: dict[str, Formula]
    settings: dict[tuple[str, str], Formula]
    comparisons: tuple[Comparison, ...]

    @property
    def title(self) -> str:
        """The title, or the file's stem."""
        return self.content.title or Path(self.file).stem

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is minimised or maximised."""
        return self.content.objectives

    @cached_property
    def objective_formulas(self) -> tuple[Formula, ...]:
        """The objectives' formulas, in order."""
        return tuple(Formula(x.expression, f"{self.file}: objectives[{k}]") for k, x in enumerate(self.objectives))

    @property
    def accuracy(self) -> Formula | None:
        """Accuracy by parameters; None where the models' files say."""
        given = self.content.accuracy
        return None if given is None else Formula(given, f"{self.file}: accuracy")

    @property
    def asked_for(self) -> frozenset[str]:
        """Parameters and figures that objectives and constraints read."""
        return frozenset().union(*(f.names for f in self.objective_formulas), *(c.names for c in self.comparisons))

    @property
    def signs(self) -> tuple[int, ...]:
        """1 for each objective that is minimised, −1 for the others."""
        return tuple(1 if x.direction == "minimise" else -1 for x in self.objectives)

    @property
    def grid_size(self) -> float:
        """How many designs the free parameters make; infinite where one is continuous."""
        return math.prod(domain.size for domain in self.domains)

    def check_grid(self) -> None:
        """The space should have a grid, of a size that can be enumerated.

        Raises:
            HwsimError: a parameter is continuous, or there are more than `MAX_GRID` designs.
        """
        for domain in self.domains:
            if domain.values is None:
                raise HwsimError(
                    "a grid needs values: give the range a step (or a factor), or use --trials.",
                    where=f"{self.file}: parameters.{domain.name}",
                )
        if self.grid_size > MAX_GRID:
            raise HwsimError(
                f"the grid has {self.grid_size:,} designs; up to {MAX_GRID:,} are enumerated. Use --trials N.",
                where=f"{self.file}: parameters",
            )

    def grid(self) -> Iterator[Params]:
        """Every design, the last parameter fastest; raises as `check_grid` does."""
        self.check_grid()
        names = [d.name for d in self.domains]
        for values in itertools.product(*(d.values for d in self.domains if d.values is not None)):
            yield dict(zip(names, values, strict=True))

    def complete(self, free: Mapping[str, Value]) -> Params:
        """All parameters in the file's order, the tied ones computed.

        Raises:
            HwsimError: an expression cannot be computed for these values.
        """
        known: Params = dict(free)
        for name, formula in self.tied.items():
            known[name] = formula.value(known)
        return {name: known[name] for name in self.content.parameters}


def load_space(path: str | Path) -> Space:
    """Read a space file.

    Raises:
        HwsimError: the file cannot be read or has a fault; says which field.
    """
    return read_space(read_document(path))


def read_space(document: Field) -> Space:
    """A space from a document; see `load_space`."""
    file = document.file
    if not isinstance(document.plain, dict):
        document.fail("expected a mapping with models, parameters, settings, objectives …")
    content = validated(SpaceFile, document.value, file, _PARTS)
    _check_names(content, file)
    names = set(content.parameters)
    domains = []
    for name, parameter in content.parameters.items():
        try:
            domain = parameter.domain(name)
        except ValueError as error:
            raise HwsimError(f"{error}.", where=f"{file}: parameters.{name}") from error
        if domain is not None:
            domains.append(domain)
    if not domains:
        raise HwsimError(
            "every parameter is tied to others; at least one should have values.", where=f"{file}: parameters"
        )
    settings = {
        _target(text, file): Formula(value, f"{file}: settings.{text}").check(names, "parameter")
        for text, value in content.settings.items()
    }
    comparisons = tuple(
        part
        for k, text in enumerate(content.constraints)
        for part in Comparison.read(text, f"{file}: constraints[{k}]")
    )
    for comparison in comparisons:
        comparison.left.check(names | explored().keys(), "figure or parameter")
        comparison.right.check(names | explored().keys(), "figure or parameter")
    space = Space(file, content, tuple(domains), _tied(content, file), settings, comparisons)
    _check_objectives(space)
    _check_models(space)
    return space


def _check_names(content: SpaceFile, file: str) -> None:
    taken = {**explored(), **UNITS, **FUNCTIONS, **CONSTANTS}
    for name in content.parameters:
        where = f"{file}: parameters.{name}"
        if not name.isidentifier() or keyword.iskeyword(name):
            raise HwsimError("a parameter's name should be a word of letters, digits and _.", where=where)
        if name in taken:
            what = "a figure" if name in explored() else "a unit" if name in UNITS else "a function or constant"
            raise HwsimError(f"'{name}' is the name of {what}; choose another.", where=where)
    seen: set[str] = set()
    for k, objective in enumerate(content.objectives):
        if objective.name in seen:
            raise HwsimError(f"two objectives have the name '{objective.name}'.", where=f"{file}: objectives[{k}]")
        seen.add(objective.name)


def _target(text: str, file: str) -> tuple[str, str]:
    component, _, attribute = text.rpartition(".")
    if not component or not attribute:
        raise HwsimError(
            "expected COMPONENT.ATTRIBUTE: value, such as shared_glb.depth: glb_kib * 128.",
            where=f"{file}: settings.{text}",
        )
    return component, attribute


def _tied(content: SpaceFile, file: str) -> dict[str, Formula]:
    """The tied parameters, each after those that it reads."""
    waiting = {
        name: Formula(p.expression, f"{file}: parameters.{name}").check(content.parameters, "parameter")
        for name, p in content.parameters.items()
        if p.expression is not None
    }
    out: dict[str, Formula] = {}
    while waiting:
        ready = [name for name, formula in waiting.items() if not formula.names & waiting.keys()]
        if not ready:
            name = next(iter(waiting))
            raise HwsimError(
                f"'{name}' goes round in a circle: {', '.join(waiting)} need one another.",
                where=f"{file}: parameters.{name}",
            )
        out |= {name: waiting.pop(name) for name in ready}
    return out


def _check_objectives(space: Space) -> None:
    names = space.content.parameters
    for formula in space.objective_formulas:
        if formula.text in names or (isinstance(formula.text, str) and not formula.names):
            known = ", ".join(explored())
            raise HwsimError(
                f"'{formula.text}' is no figure; objectives are figures ({known}) or expressions of them.",
                where=formula.where,
            )
        formula.check(names.keys() | explored().keys(), "figure")
        if not formula.names & explored().keys():
            raise HwsimError(f"'{formula.text}' reads no figure: {', '.join(explored())}.", where=formula.where)
    if space.content.rubric is None:
        for formula in space.objective_formulas:
            _needs_no_points(formula.names, formula.where)
        for comparison in space.comparisons:
            _needs_no_points(comparison.names, comparison.where)
    if space.accuracy is not None:
        space.accuracy.check(names, "parameter")


def _needs_no_points(names: frozenset[str], where: str) -> None:
    if "points" in names:
        raise HwsimError("points need a rubric: add 'rubric: NAME'.", where=where)


def _check_models(space: Space) -> None:
    for k, model in enumerate(space.content.models):
        for part, given in (("dims", model.dims), ("arguments", model.arguments)):
            for name, value in given.items():
                Formula(value, f"{space.file}: models[{k}].{part}.{name}").check(space.content.parameters, "parameter")
