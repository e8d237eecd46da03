"""Prices of an architecture: compound components are taken apart, primitive ones estimated."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwsim import arch_specs
from hwsim.architecture import Architecture
from hwsim.energy import MAX_PRICE, Action, EnergyTable, checked_price
from hwsim.errors import HwsimError, did_you_mean
from hwsim.pricing.estimators import ESTIMATORS, MAX_SIZE, Estimator
from hwsim.pricing.scaling import table_file
from hwsim.spec.document import Field, describe, read_document
from hwsim.spec.scope import Scope

MAX_DEPTH = 12
MAX_PARTS = 10_000
MAX_NAME = 200
#: What a subcomponent takes over from the component around it without being told.
_INHERITED = ("technology", "global_cycle_seconds")
_PART = re.compile(r"^\s*([^\[\]]+?)\s*(?:\[(.*)\])?\s*$")


@functools.cache
def _standard() -> tuple[Field, ...]:
    folder = Path(next(iter(arch_specs.__path__))) / "components"
    return tuple(read_document(path).need("compound_components") for path in sorted(folder.glob("*.yaml")))


def price_architecture(
    architecture: Architecture,
    components: Sequence[Field] = (),
    variables: Mapping[str, Any] | None = None,
    estimators: Sequence[Estimator] = ESTIMATORS,
) -> EnergyTable:
    """Price every action of every component.

    Args:
        components: the design's own compound components (``{version, classes: […]}``); they come before
            the standard ones.
        variables: names that expressions in them may read.
        estimators: asked in turn for primitive components.

    Raises:
        HwsimError: a class or action that nobody can price, a missing attribute, a fault in a component.
    """
    book = _Book([*components, *_standard()], variables or {}, estimators)
    actions: dict[str, dict[str, Action]] = {}
    areas: dict[str, float] = {}
    units: list[tuple[str, str, Mapping[str, Any], tuple[str, ...]]] = [
        (x.name, x.component, x.attributes, ("read", "write", "update", "leak")) for x in architecture.storages
    ]
    datapath = architecture.compute
    units.append((datapath.name, datapath.component, datapath.attributes, ("compute",)))
    for name, kind, attributes, wanted in units:
        where = f"{architecture.source or architecture.name}: {name}"
        try:
            # CACTI and the register tables speak of one access: a whole row of `width` bits.
            actions[name] = {action: book.price(kind, attributes, action, where) for action in wanted}
            areas[name] = book.area(kind, attributes, where)
        except HwsimError as error:
            if error.where.startswith(where):
                raise
            # a class's own expression, which the attributes given here do not suit
            raise HwsimError(error.message, where=f"{where}: {error.where}") from error
    return EnergyTable(actions, areas, f"hwsim's estimates for {architecture.name}")


def class_attributes(kind: str, components: Sequence[Field] = ()) -> frozenset[str]:
    """Attributes that the price of a class may depend on; none where nobody prices it."""
    own = _Book(components, {}, ()).classes
    return frozenset(own[kind].key("attributes").mapping()) if kind in own else _standard_attributes(kind)


@functools.cache
def _standard_attributes(kind: str) -> frozenset[str]:
    classes = _Book(_standard(), {}, ()).classes
    if kind in classes:
        return frozenset(classes[kind].key("attributes").mapping())
    return frozenset(name for known in ESTIMATORS for name in known.attributes(kind))


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Tell where a price arises that is no price: infinite, negative, not a number, too large to be computed."""
    try:
        yield
    except HwsimError as error:
        if error.where:
            raise
        raise HwsimError(error.message, where=where) from error
    except ArithmeticError as error:
        raise HwsimError("the price is too large to be computed from these attributes.", where=where) from error


class _Book:
    """Compound classes by name, and the estimators behind them."""

    def __init__(
        self, documents: Sequence[Field], variables: Mapping[str, Any], estimators: Sequence[Estimator]
    ) -> None:
        self.variables = variables
        self.estimators = estimators
        self.classes: dict[str, Field] = {}
        self.entered = 0
        for document in documents:
            listed = (
                document if isinstance(document.plain, list) else document.only({"version", "classes"}).need("classes")
            )
            for item in listed.items():
                item.only({"name", "attributes", "subcomponents", "actions", "area_scale", "description"}, "this class")
                self.classes.setdefault(item.need("name").text(), item)

    def price(self, kind: str, attributes: Mapping[str, Any], action: str, where: str, depth: int = 0) -> Action:
        """Energy of one action of a component class with these attributes."""
        if kind not in self.classes:
            return self._primitive(kind, attributes, action, where)
        item = self._enter(kind, where, depth)
        scope: Mapping[str, Any] = self._scope(item, attributes, where)
        named = [a for a in item.key("actions").items() if a.need("name").text() == action]
        if not named:
            known = [a.need("name").text() for a in item.key("actions").items()]
            item.key("actions").fail(f"class '{kind}' has no action '{action}'.{did_you_mean(action, known)}")
        chosen = named[0].only({"name", "subcomponents", "arguments", "energy_scale"}, "this action")
        scope = self._with_arguments(chosen, scope)
        parts: list[Action] = []
        for used in chosen.key("subcomponents").items():
            parts += self._used(item, used, scope, attributes, where, depth)
        scale = self._value(chosen, "energy_scale", scope)
        big = sorted((p for p in parts if p.energy_pj > 0), key=lambda p: -p.energy_pj) or parts
        estimators = " + ".join(dict.fromkeys(p.estimator for p in big))
        with _placed(where):
            total = scale * sum(part.energy_pj for part in parts)
            return Action(total, estimators, "; ".join(dict.fromkeys(p.source for p in big)))

    def _used(
        self, item: Field, used: Field, scope: Mapping[str, Any], attributes: Mapping[str, Any], where: str, depth: int
    ) -> list[Action]:
        """The actions of one subcomponent that an action sets off."""
        used.only({"name", "actions"}, "this subcomponent's use")
        name, span = self._part(used.need("name"), scope)
        part = self._find(item, name, used)
        count = span if span is not None else self._part(part.need("name"), scope)[1] or 1
        inner = self._part_attributes(part, scope, attributes)
        out = []
        for action in used.need("actions").items():
            action.only({"name", "energy_scale", "arguments"}, "this action")
            given = {**inner, **{k: self._eval(v, scope) for k, v in action.key("arguments").mapping().items()}}
            scale = count * self._value(action, "energy_scale", scope) * self._value(part, "energy_scale", scope)
            kind = part.need("class").text()
            one = self.price(kind, given, action.need("name").text(), f"{where}.{name}", depth + 1)
            with _placed(action.where):
                out.append(Action(one.energy_pj * scale, one.estimator, one.source))
        return out

    def area(self, kind: str, attributes: Mapping[str, Any], where: str, depth: int = 0) -> float:
        """Area of one instance in µm²."""
        if kind not in self.classes:
            for estimator in self.estimators:
                with _placed(where):
                    found = estimator.area(kind, attributes, where)
                    if found is not None:
                        return checked_price(found, "the area")
            raise self._unknown(kind, where)
        item = self._enter(kind, where, depth)
        scope = self._scope(item, attributes, where)
        total = 0.0
        for part in item.key("subcomponents").items():
            name, span = self._part(part.need("name"), scope)
            inner = self._part_attributes(part, scope, attributes)
            one = self.area(part.need("class").text(), inner, f"{where}.{name}", depth + 1)
            count = span or 1
            total += count * self._value(part, "area_scale", scope) * one
        with _placed(where):
            return checked_price(total * self._value(item, "area_scale", scope), "the area")

    def _enter(self, kind: str, where: str, depth: int) -> Field:
        if depth > MAX_DEPTH:
            raise HwsimError(
                f"components nested deeper than {MAX_DEPTH} levels; does '{kind}' contain itself?", where=where
            )
        self.entered += 1
        if self.entered > MAX_PARTS:
            raise HwsimError(f"'{kind}' and what it is made of have more than {MAX_PARTS:,} parts.", where=where)
        return self.classes[kind]

    def _scope(self, item: Field, attributes: Mapping[str, Any], where: str) -> Scope:
        """The class's attributes over the variables; what the component says comes first."""
        fields: dict[str, Any] = {}
        for name, value in item.key("attributes").mapping().items():
            given = attributes.get(name)
            if given is not None:
                fields[name] = given
            elif value.plain == "must_specify":
                raise HwsimError(
                    f"attribute '{name}' is missing; class '{item.need('name').text()}' needs it.", where=where
                )
            else:
                fields[name] = value
        rest = {k: v for k, v in attributes.items() if k not in fields}
        return Scope({**rest, **fields}, self.variables)

    def _with_arguments(self, action: Field, scope: Mapping[str, Any]) -> Mapping[str, Any]:
        arguments = action.key("arguments").mapping()
        return Scope({k: v for k, v in arguments.items() if k not in scope}, scope) if arguments else scope

    def _find(self, item: Field, name: str, used: Field) -> Field:
        known = {_split(part.need("name"))[0]: part for part in item.key("subcomponents").items()}
        if name not in known:
            used.key("name").fail(f"no subcomponent '{name}'.{did_you_mean(name, known)}")
        return known[name].only({"name", "class", "attributes", "area_scale", "energy_scale"}, "this subcomponent")

    def _part(self, field: Field, scope: Mapping[str, Any]) -> tuple[str, float | None]:
        """``bit[1..width]`` → (bit, how many); ``address[1]`` → one."""
        name, span = _split(field)
        if span is None:
            return name, None
        ends = span.split("..")
        if len(ends) == 1:
            return name, 1
        first, last = (self._eval(Field(end, field.file, field.path), scope) for end in ends[:2])
        if not all(isinstance(x, int | float) and abs(x) <= MAX_SIZE for x in (first, last)) or last < first - 1:
            field.fail(f"[{span}] is no range of instances.")
        return name, float(last - first + 1)

    def _part_attributes(self, part: Field, scope: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
        own = {k: self._eval(v, scope) for k, v in part.key("attributes").mapping().items()}
        return {k: outer[k] for k in _INHERITED if k in outer} | own

    def _eval(self, field: Field, scope: Mapping[str, Any]) -> Any:
        return Scope({}, scope).evaluate(field)

    def _value(self, field: Field, name: str, scope: Mapping[str, Any]) -> float:
        if not field.has(name):
            return 1.0
        value = self._eval(field.key(name), scope)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_PRICE:
            field.key(name).fail(f"expected a number from 0 to {MAX_PRICE:g}, found {describe(value)}.")
        return float(value)

    def _primitive(self, kind: str, attributes: Mapping[str, Any], action: str, where: str) -> Action:
        for estimator in self.estimators:
            with _placed(where):
                found = estimator.energy(kind, attributes, action, where)
            if found is not None:
                return found
        if any(estimator.area(kind, attributes, where) is not None for estimator in self.estimators):
            raise HwsimError(f"action '{action}' of class '{kind}' has no price.", where=where)
        raise self._unknown(kind, where)

    def _unknown(self, kind: str, where: str) -> HwsimError:
        known = [*self.classes, "SRAM", "DRAM", *(row["name"] for row in table_file("primitives.yaml")["primitives"])]
        return HwsimError(
            f"no estimator prices the class '{kind}'.{did_you_mean(kind, known)} "
            "Define it under 'components', or give an ERT.",
            where=where,
        )


def _split(field: Field) -> tuple[str, str | None]:
    match = _PART.match(field.text()) if len(field.text()) <= MAX_NAME else None
    if match is None:
        field.fail(f"'{field.text()}' is no name of a subcomponent; expected name or name[1..n].")
    return match.group(1), match.group(2)
