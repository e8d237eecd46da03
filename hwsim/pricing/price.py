"""Prices of an architecture: compound components are taken apart, primitive ones estimated."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwsim import arch_specs
from hwsim.architecture import Architecture
from hwsim.energy import MAX_PRICE, Action, EnergyTable, checked_price
from hwsim.errors import HwsimError, NotPriced, did_you_mean
from hwsim.pricing.estimators import ESTIMATORS, MAX_SIZE, Estimator
from hwsim.pricing.scaling import table_file
from hwsim.pricing.sparse import sparse_prices
from hwsim.spec.document import Field, describe, read_document
from hwsim.spec.ert import COMPUTE_ACTIONS, DUMMY, STORAGE_ACTIONS, own_prices
from hwsim.spec.nodes import Unit, is_compute, is_storage
from hwsim.spec.scope import Scope

MAX_DEPTH = 12
MAX_PARTS = 10_000
MAX_NAME = 200
#: What a subcomponent takes over from the component around it without being told.
_INHERITED = ("technology", "global_cycle_seconds")
_SHARES = ("energy_scale", "energy_share", "action_share", "repeat")
_ACTION_KEYS = {"name", "arguments", *_SHARES}
_PART_KEYS = {"name", "class", "attributes", "area_scale", "area_share", "energy_scale", "energy_share"}
_CLASS_KEYS = {
    "name", "attributes", "subcomponents", "actions", "area_scale", "description", "version", "primitive_type",
}  # fmt: skip
#: Actions that primitive classes of the field have.
_ACTIONS = ("read", "write", "update", "access", "compute", "add", "multiply", "compare", "shift", "leak")
Wanted = Mapping[str, tuple[str, ...]]
"""hwsim's action → the names that classes give it."""
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
    source = architecture.source or architecture.name
    datapath = architecture.compute
    units: list[tuple[Unit, Wanted]] = [
        (Unit(x.name, x.component, x.attributes), STORAGE_ACTIONS) for x in architecture.storages
    ]
    # idle datapaths leak nothing in Timeloop either
    wanted = {"compute": COMPUTE_ACTIONS["compute"]}
    units.append((Unit(datapath.name, datapath.component, datapath.attributes), wanted))
    table = _table(book, units, source, f"hwsim's estimates for {architecture.name}")
    compute = _own_compute(architecture)
    if compute is not None:
        unpriced = {name: why for name, why in table.unpriced.items() if name != datapath.name}
        table = replace(table, actions=table.actions | {datapath.name: {"compute": compute}}, unpriced=unpriced)
    return own_prices(sparse_prices(table, architecture, book.actions), architecture)


def price_units(
    units: Sequence[Unit], source: str, components: Sequence[Field] = (), variables: Mapping[str, Any] | None = None
) -> EnergyTable:
    """Price every action that the classes of components have, whatever they are for.

    Args:
        source: the file that they stand in.
        components / variables: see `price_architecture`.
    """
    book = _Book([*components, *_standard()], variables or {}, ESTIMATORS)
    wanted: list[tuple[Unit, Wanted]] = []
    for unit in units:
        if is_storage(unit.kind):
            wanted.append((unit, STORAGE_ACTIONS))
        elif is_compute(unit.kind):
            wanted.append((unit, {"compute": COMPUTE_ACTIONS["compute"]}))
        else:
            wanted.append((unit, {action: (action,) for action in book.all_actions(unit)}))
    return _table(book, wanted, source, f"hwsim's estimates for {source}")


def _table(book: _Book, units: Sequence[tuple[Unit, Wanted]], source: str, name: str) -> EnergyTable:
    actions: dict[str, dict[str, Action]] = {}
    areas: dict[str, float] = {}
    unpriced: dict[str, str] = {}
    for unit, wanted in units:
        with _component_of(f"{source}: {unit.name}") as where:
            # CACTI and the register tables speak of one access: a whole row of `width` bits.
            actions[unit.name], lacking = book.actions(unit.kind, unit.attributes, wanted, where)
            try:
                areas[unit.name] = book.area(unit.kind, unit.attributes, where)
            except NotPriced as error:
                lacking = lacking or str(error)
        if not wanted:
            lacking = lacking or f"{source}: {unit.name}: no estimator knows an action of the class '{unit.kind}'."
        if lacking:
            unpriced[unit.name] = lacking
    return EnergyTable(actions, areas, name, unpriced=unpriced)


def _own_compute(architecture: Architecture) -> Action | None:
    """The price of a compute that the architecture itself gives, as in Timeloop: ``energy``."""
    given = architecture.compute.attributes.get("energy")
    if given is None:
        return None
    where = architecture.source or architecture.name
    return Action(
        checked_price(given, f"'energy' of '{architecture.compute.name}'"), "architecture", f"energy in {where}"
    )


@contextmanager
def _component_of(where: str) -> Iterator[str]:
    """Say of which component an error is that its class's own expression raises."""
    try:
        yield where
    except HwsimError as error:
        if error.where.startswith(where):
            raise
        raise type(error)(error.message, where=f"{where}: {error.where}") from error


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
        self.defaults: dict[str, Field] = {}
        self.entered = 0
        for document in documents:
            for item in class_fields(document):
                item.only(_CLASS_KEYS, "this class")
                name = item.need("name").text()
                if (
                    "primitive" in document.path
                ):  # what the attributes of a primitive class are where they are not given
                    self.defaults.setdefault(name, item.key("attributes"))
                else:
                    self.classes.setdefault(name, item)

    def actions(
        self, kind: str, attributes: Mapping[str, Any], wanted: Mapping[str, tuple[str, ...]], where: str
    ) -> tuple[dict[str, Action], str]:
        """Prices of a component's actions under whichever of their names its class knows, and what is lacking.

        A class without leakage leaks nothing, as in Timeloop.
        """
        out: dict[str, Action] = {}
        lacking = ""
        if kind == DUMMY and kind not in self.classes:
            return {action: Action(0.0, "", "marks a place, and does nothing") for action in wanted}, ""
        if attributes.get("depth") == 0:
            return {action: Action(0.0, "", "a depth of 0 holds nothing") for action in wanted}, ""
        scale = float(attributes.get("energy_scale", 1.0))
        for action, names in wanted.items():
            present = self._present(kind)
            known = [action, *names] if present is None else [name for name in names if name in present]
            if action == "leak" and not known:
                out[action] = Action(0.0, "", f"class '{kind}' gives no leakage")
                continue
            try:
                found = self._first(kind, attributes, known or [action], where)
            except NotPriced as error:
                lacking = lacking or str(error)
                continue
            if scale != 1.0:
                with _placed(where):
                    found = Action(found.energy_pj * scale, found.estimator, f"{found.source}, scaled by {scale:g}")
            out[action] = found
        return out, lacking

    def all_actions(self, unit: Unit) -> list[str]:
        """The actions that a component's class has, or that estimators price."""
        present = self._present(unit.kind)
        if present is not None:
            return sorted(present)
        found = []
        for action in _ACTIONS:
            with suppress(HwsimError):
                if any(x.energy(unit.kind, unit.attributes, action, "") is not None for x in self.estimators):
                    found.append(action)
        return found

    def _present(self, kind: str) -> set[str] | None:
        """The actions of a compound class; None of a primitive one."""
        if kind not in self.classes:
            return None
        return {action.need("name").text() for action in self.classes[kind].key("actions").items()}

    def _first(self, kind: str, attributes: Mapping[str, Any], names: Sequence[str], where: str) -> Action:
        """The price under the first name that has one."""
        refused: list[NotPriced] = []
        for name in names:
            try:
                return self.price(kind, attributes, name, where)
            except NotPriced as error:
                refused.append(error)
        raise refused[0]

    def price(self, kind: str, attributes: Mapping[str, Any], action: str, where: str, depth: int = 0) -> Action:
        """Energy of one action of a component class with these attributes."""
        if kind not in self.classes:
            return self._primitive(kind, attributes, action, where)
        item = self._enter(kind, where, depth)
        scope: Mapping[str, Any] = self._scope(item, attributes, where)
        named = [a for a in item.key("actions").items() if a.need("name").text() == action]
        if not named:
            known = [a.need("name").text() for a in item.key("actions").items()]
            raise NotPriced(
                f"class '{kind}' has no action '{action}'.{did_you_mean(action, known)}",
                where=item.key("actions").where,
            )
        chosen = named[0].only(_ACTION_KEYS | {"subcomponents"}, "this action")
        scope = self._with_arguments(chosen, scope)
        parts: list[Action] = []
        for used in chosen.key("subcomponents").items():
            parts += self._used(item, used, scope, attributes, where, depth)
        scale = math.prod(self._value(chosen, key, scope) for key in _SHARES)
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
            action.only(_ACTION_KEYS, "this action")
            given = {**inner, **{k: self._eval(v, scope) for k, v in action.key("arguments").mapping().items()}}
            scale = count * self._value(part, "energy_scale", scope) * self._value(part, "energy_share", scope)
            for key in _SHARES:
                scale *= self._value(action, key, scope)
            kind = part.need("class").text()
            one = self.price(kind, given, action.need("name").text(), f"{where}.{name}", depth + 1)
            with _placed(action.where):
                out.append(Action(one.energy_pj * scale, one.estimator, one.source))
        return out

    def area(self, kind: str, attributes: Mapping[str, Any], where: str) -> float:
        """Area of one instance of a component in µm²."""
        if attributes.get("depth") == 0 or (kind == DUMMY and kind not in self.classes):
            return 0.0
        with _placed(where):
            return checked_price(self._area(kind, attributes, where) * attributes.get("area_scale", 1.0), "the area")

    def _area(self, kind: str, attributes: Mapping[str, Any], where: str, depth: int = 0) -> float:
        if kind not in self.classes:
            attributes = self._completed(kind, attributes)
            if self._is_nothing(kind, attributes):
                return 0.0
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
            one = self._area(part.need("class").text(), inner, f"{where}.{name}", depth + 1)
            count = span or 1
            share = self._value(part, "area_scale", scope) * self._value(part, "area_share", scope)
            total += count * share * one
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
                raise NotPriced(
                    f"attribute '{name}' is missing; class '{item.need('name').text()}' needs it.", where=where
                )
            else:
                fields[name] = value
        rest = {k: v for k, v in attributes.items() if k not in fields}
        return Scope({**rest, **fields}, self.variables)

    def _with_arguments(self, action: Field, scope: Mapping[str, Any]) -> Mapping[str, Any]:
        """Arguments of an action; of a range the upper end, which costs most, where the class knows it."""
        out: dict[str, Any] = {}
        for name, value in action.key("arguments").mapping().items():
            ends = str(value.plain).split("..")
            if len(ends) == 2:
                with suppress(HwsimError):
                    out[name] = self._eval(Field(ends[1].strip(), value.file, value.path), scope)
            elif name not in scope:
                out[name] = value
        return Scope(out, scope) if out else scope

    def _find(self, item: Field, name: str, used: Field) -> Field:
        known = {_split(part.need("name"))[0]: part for part in item.key("subcomponents").items()}
        if name not in known:
            used.key("name").fail(f"no subcomponent '{name}'.{did_you_mean(name, known)}")
        return known[name].only(_PART_KEYS, "this subcomponent")

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
        """A subcomponent's attributes, one after the other: each may read those before it, then what is around them.

        What nothing around knows is looked for among those that follow.
        """
        fields = part.key("attributes").mapping()
        later = Scope({k: v for k, v in fields.items() if k not in scope}, scope)
        own: dict[str, Any] = {}
        for name, value in fields.items():
            own[name] = Scope(own, later).evaluate(value)
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

    def _completed(self, kind: str, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Attributes with the defaults that the file gives a primitive class."""
        defaults = self.defaults.get(kind)
        if defaults is None:
            return attributes
        given = {k: v.plain for k, v in defaults.mapping().items() if v.plain not in (None, "must_specify")}
        return {**given, **attributes}

    def _is_nothing(self, kind: str, attributes: Mapping[str, Any]) -> bool:
        """Whether a component has no bits: a width or depth of 0, as parts have that a design does without."""
        known = {name for estimator in self.estimators for name in estimator.attributes(kind)} - set(_INHERITED)
        sizes = [attributes.get(name) for name in known if name != "n_banks"]
        return any(not isinstance(size, bool) and isinstance(size, int | float) and size == 0 for size in sizes)

    def _primitive(self, kind: str, attributes: Mapping[str, Any], action: str, where: str) -> Action:
        attributes = self._completed(kind, attributes)
        if self._is_nothing(kind, attributes):
            return Action(0.0, "", "nothing: a width or depth of 0")
        for estimator in self.estimators:
            with _placed(where):
                found = estimator.energy(kind, attributes, action, where)
            if found is not None:
                return found
        if any(estimator.area(kind, attributes, where) is not None for estimator in self.estimators):
            raise NotPriced(f"action '{action}' of class '{kind}' has no price.", where=where)
        raise self._unknown(kind, where)

    def _unknown(self, kind: str, where: str) -> NotPriced:
        known = [*self.classes, "SRAM", "DRAM", *(row["name"] for row in table_file("primitives.yaml")["primitives"])]
        return NotPriced(
            f"no estimator prices the class '{kind}'.{did_you_mean(kind, known)} "
            "Define it under 'components', or give an ERT.",
            where=where,
        )


def class_fields(document: Field) -> list[Field]:
    """The classes of ``{version, classes: […]}`` or of a list of them."""
    listed = document if isinstance(document.plain, list) else document.only({"version", "classes"}).key("classes")
    return list(_flat(listed))


def _flat(listed: Field, depth: int = 0) -> Iterator[Field]:
    """Classes of a list; lists in it are theirs, as several files that are included give them."""
    if depth > MAX_DEPTH:
        listed.fail(f"lists nested deeper than {MAX_DEPTH} levels.")
    for item in listed.items():
        if isinstance(item.plain, list):
            yield from _flat(item, depth + 1)
        else:
            yield item


def _split(field: Field) -> tuple[str, str | None]:
    match = _PART.match(field.text()) if len(field.text()) <= MAX_NAME else None
    if match is None:
        field.fail(f"'{field.text()}' is no name of a subcomponent; expected name or name[1..n].")
    return match.group(1), match.group(2)
