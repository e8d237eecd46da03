"""Architecture files in Timeloop's v0.3 form: nested ``subtree`` with ``local`` components."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from hwsim.architecture import MAX_INSTANCES, Architecture, Compute, Constraints, Fanout, Level, Storage
from hwsim.errors import did_you_mean
from hwsim.spec import nodes
from hwsim.spec.constraints import directives, is_vacuous, merge
from hwsim.spec.document import Field
from hwsim.spec.notes import note
from hwsim.spec.scope import Scope

_NAME = re.compile(r"^([^\[\]]+)(?:\[([^\[\]]*)\.\.([^\[\]]*)\])?$")
_TREE_KEYS = {"name", "attributes", "local", "subtree", "version", "description", "required_actions"}
_LOCAL_KEYS = {
    "name", "class", "subclass", "attributes", "description", "required_actions", "enabled", *nodes.SCALES,
    *nodes.SPARSE,
}  # fmt: skip


@dataclass(frozen=True)
class _Unit:
    """A storage or the datapath, with how often it occurs in all and along X."""

    level: Storage | Compute
    instances: int
    mesh_x: int | None
    tree: str
    field: Field


def read_tree(top: Field, variables: Mapping[str, Any], name: str) -> Architecture:
    """An architecture from ``{version: 0.3, subtree: […]}``.

    ``PE[0..255]`` occurs 256 times. How the instances of a component lie under those of the next one
    outside follows from their ``meshX`` (columns in all, by default all instances in one row).
    """
    units: list[_Unit] = []
    cycle = 1e-9
    for tree, label, scope, count in _trees(top, variables):
        if count > MAX_INSTANCES:
            tree.key("name").fail(f"{count:,} instances of '{label}'; hwsim counts up to {MAX_INSTANCES:,}.")
        for item in tree.key("local").items():
            unit = _unit(item, scope, count, label)
            if unit is not None:
                units.append(unit)
                cycle = nodes.cycle_seconds(scope, item)
    return _assemble(units, top, name, cycle)


def _trees(top: Field, variables: Mapping[str, Any]) -> Iterator[tuple[Field, str, Scope, int]]:
    """The trees one inside the other, from the outside: field, name, what it sees, how often it occurs in all."""
    scope = Scope({}, variables)
    if top.has("local"):  # a list of components and nothing around it
        yield top, "", scope, 1
    tree, count = top, 1
    while tree.has("subtree") and tree.key("subtree").plain != []:
        branches = tree.key("subtree").items()
        if len(branches) != 1:
            tree.key("subtree").fail(f"expected one subtree, found {len(branches)}; levels lie one inside the other.")
        tree = branches[0].only(_TREE_KEYS, "subtree")
        own = tree.key("attributes")
        nodes.check_attributes(own)
        inner = Scope(own.mapping(), scope)
        label, times = _instances(tree.need("name"), inner)
        count *= times
        scope = inner
        yield tree, label, scope, count


def _instances(field: Field, scope: Scope) -> tuple[str, int]:
    """``PE[0..n_pe-1]`` → (PE, n_pe)."""
    match = _NAME.match(field.text().strip())
    if match is None:
        field.fail(f"'{field.text()}' is not a name; expected PE or PE[0..255].")
    if match.group(2) is None:
        return match.group(1).strip(), 1
    ends = []
    for text in match.groups()[1:]:
        value = scope.evaluate(Field(text.strip(), field.file, field.path))
        value = int(value) if isinstance(value, str) and value.isdigit() and len(value) < 10 else value
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            field.fail(f"'{field.text()}' is not a name; expected PE or PE[0..255], and '{text}' is no whole number.")
        ends.append(int(value))
    first, last = ends
    if last < first:
        field.fail(f"the range [{first}..{last}] is empty.")
    return match.group(1).strip(), last - first + 1


def _unit(item: Field, scope: Scope, count: int, tree: str) -> _Unit | None:
    nodes.refuse_unmodelled(item)
    item.only(_LOCAL_KEYS, "local")
    if nodes.disabled(item):
        return None
    kind = item.key("class").text() if item.has("class") else item.need("subclass").text()
    priced = item.key("subclass").text() if item.has("subclass") else kind
    own = item.key("attributes")
    nodes.check_attributes(own)
    inner = Scope(own.mapping(), scope)
    name, times = _instances(item.need("name"), inner)
    mesh = Field(inner["meshX"], item.file, f"{own.path}.meshX").integer(1) if own.has("meshX") else None
    if nodes.is_storage(kind) or nodes.is_storage(priced):
        level: Storage | Compute = nodes.storage(name, priced, item, inner, Constraints())
    elif nodes.is_compute(kind) or nodes.is_compute(priced):
        level = nodes.compute(name, priced, item, inner)
    else:
        nodes.unmodelled_unit(name, priced, item)
        return None
    return _Unit(level, count * times, mesh, tree, item)


def _assemble(units: list[_Unit], top: Field, name: str, cycle: float) -> Architecture:
    compute = [u for u in units if isinstance(u.level, Compute)]
    if len(compute) != 1 or units[-1] is not compute[0]:
        # Inside one 'local' the order of storages and compute is free.
        units = [u for u in units if u not in compute] + compute
    if len(compute) != 1:
        top.fail(f"expected one compute unit (class mac, intmac …), found {len(compute)}.")
    if units[0].instances > 1:
        units[0].field.fail(
            f"{units[0].instances:,} instances, but nothing outside them; the outermost unit occurs once."
        )
    levels: list[Level] = []
    outer: _Unit | None = None
    for unit in units:
        if outer is not None and unit.instances != outer.instances:
            levels.append(_between(outer, unit))
        if isinstance(unit.level, Storage):
            levels.append(unit.level)
        outer = unit
    if not levels or not isinstance(levels[0], Storage):
        top.fail("the outermost level should be a storage that holds everything, a DRAM for example.")
    nodes.check_number(top, levels)
    names = [x.name for x in levels]
    for level in levels:
        if names.count(level.name) > 1:
            top.fail(f"two levels have the name '{level.name}'.")
    assert isinstance(compute[0].level, Compute)
    levels = nodes.gated(levels, set(), top)
    return Architecture(name, tuple(levels), compute[0].level, cycle, source=top.file, names_outside=True)


def _between(outer: _Unit, inner: _Unit) -> Fanout:
    """The fan-out between two levels: columns and rows per instance of the outer one."""
    if inner.instances % outer.instances:
        inner.field.fail(
            f"'{inner.level.name}' has {inner.instances} instances, which is no multiple of the "
            f"{outer.instances} of '{outer.level.name}' outside it."
        )
    ratio = inner.instances // outer.instances
    columns_in = inner.mesh_x or inner.instances
    columns_out = outer.mesh_x or outer.instances
    if columns_in % columns_out or ratio % (columns_in // columns_out):
        inner.field.fail(
            f"meshX of '{inner.level.name}' ({columns_in}) and of '{outer.level.name}' ({columns_out}) do not make a "
            f"grid of {ratio} instances each."
        )
    x = columns_in // columns_out
    return Fanout(f"{inner.level.name}_instances", x, ratio // x, of=inner.level.name)


_FLAT_KEYS = {"name", "instances", "technology", "arithmetic", "storage", "version", "description"}


def read_flat(top: Field, variables: Mapping[str, Any], name: str) -> Architecture:
    """An architecture from ``{arithmetic: {…}, storage: […]}`` (v0.1), storages from the innermost outwards.

    Attributes stand beside the name; ``instances`` counts all there are, ``technology`` is DRAM or SRAM.
    """
    top.only(_FLAT_KEYS, "arch")
    listed = [*reversed(top.need("storage").items()), top.need("arithmetic")]
    units = []
    for item in listed:
        own = Field(_plain_keys(item), item.file, item.path)
        nodes.check_attributes(own)
        scope = Scope(own.mapping(), variables)
        computes = item is listed[-1]
        label = item.key("name").text() if item.has("name") else ("arithmetic" if computes else "")
        if not label:
            item.need("name")
        count = (
            Field(scope["instances"], item.file, f"{item.path}.instances").integer(1) if item.has("instances") else 1
        )
        mesh = Field(scope["meshX"], item.file, f"{item.path}.meshX").integer(1) if item.has("meshX") else None
        kind = str(item.key("technology").plain or "SRAM")
        placed = Field({"attributes": own.plain}, item.file, item.path)
        level: Storage | Compute
        if computes:
            level = nodes.compute(label, item.key("class").text() if item.has("class") else "intmac", placed, scope)
        else:
            level = nodes.storage(label, "DRAM" if kind == "DRAM" else "SRAM", placed, scope, Constraints())
        units.append(_Unit(level, count, mesh, "", item))
    return _assemble(units, top, name, 1e-9)


def _plain_keys(item: Field) -> dict[str, Any]:
    """A component's attributes; its ``technology`` names the kind of memory, not the process."""
    return {k: v for k, v in item.plain.items() if k not in ("name", "class", "technology")} if item.mapping() else {}


def apply_constraints(architecture: Architecture, field: Field, variables: Scope | None = None) -> Architecture:
    """Constraints from a list of their own (``architecture_constraints``, ``mapspace_constraints`` …).

    A spatial constraint names the storage outside the fan-out (v0.3) or the container (v0.4).
    """
    listed = _listed(field)
    inside = names_inside(architecture, listed)
    for item in listed.items():
        for kind, found in directives(item, variables):
            level = find_level(architecture, target_of(item), kind, inside=inside)
            if level is None:
                if not is_vacuous(found.spatial):
                    no_fan_out(target_of(item))
                continue
            levels = tuple(
                replace(x, constraints=merge(x.constraints, found)) if x is level else x for x in architecture.levels
            )
            architecture = replace(architecture, levels=levels)
    return architecture


def _listed(field: Field) -> Field:
    """The list of constraints; ``constraints: NAME`` names the key that it stands under."""
    if not isinstance(field.plain, dict):
        return field
    key = "targets" if field.has("targets") or not field.has("constraints") else "constraints"
    given = field.key(key)
    if isinstance(given.plain, str):
        key = given.text() if field.has(given.text()) else f"constraints_{given.text()}"
        given = field.need(key)
    field.only({key, "targets", "constraints", "version", "template"}, "constraints")
    template = field.key("template")
    if template.plain not in (None, "uber"):
        note(f"the mapspace '{template.plain}' is not searched, but all mappings of perfect factors.", template.where)
    return given


def target_of(item: Field) -> Field:
    """The name of the level that a directive is for."""
    return item.key("name") if item.has("name") and not item.has("target") else item.need("target")


def no_fan_out(target: Field) -> NoReturn:
    """Refuse loops over space where there is no space."""
    target.fail(f"there is no fan-out at '{target.text()}', so nothing can be spread over space there.")


def names_inside(architecture: Architecture, listed: Field) -> bool:
    """Whether a list's spatial directives name what is instantiated, though the tree's form names what is outside.

    That is so where one names a storage that feeds no fan-out, which Timeloop refuses.
    """
    levels = architecture.levels
    feeding = {a.name for a, b in itertools.pairwise(levels) if isinstance(b, Fanout)}
    below = {b.name for a, b in itertools.pairwise(levels) if isinstance(a, Fanout)}
    named = {str(target_of(x).plain) for x in listed.items() if x.key("type").plain == "spatial"}
    return architecture.names_outside and bool(named & (below - feeding))


def find_level(architecture: Architecture, target: Field, kind: str, *, inside: bool = False) -> Level | None:
    """The level that a directive means.

    A spatial one names the fan-out, what is instantiated (v0.4, and where ``inside`` says so) or the storage outside
    (v0.3); None where there is no fan-out at a storage. A number counts the storages from the innermost outwards.
    """
    levels = architecture.levels
    if isinstance(target.plain, int) and not isinstance(target.plain, bool):
        storages = architecture.storages
        if not 0 <= target.plain < len(storages):
            target.fail(f"there is no storage {target.plain}; they are 0 (innermost) to {len(storages) - 1}.")
        name = storages[-1 - target.plain].name
    else:
        name = target.text()
    for level in levels:
        if isinstance(level, Fanout) and name in (level.name, level.target):
            return level
    for k, level in enumerate(levels):
        if isinstance(level, Fanout):
            if name == level.of and kind == "spatial" and (inside or not architecture.names_outside):
                return level
        elif name == level.name:
            return level if kind != "spatial" else _fan_out(levels, k)
    known = [x.target if isinstance(x, Fanout) else x.name for x in levels]
    target.fail(f"the architecture has no level '{name}'.{did_you_mean(name, known)}")


def _fan_out(levels: tuple[Level, ...], k: int) -> Fanout | None:
    """The fan-out that a storage feeds, or, where it feeds none, the one that it stands below."""
    for at in (k + 1, k - 1):
        if 0 <= at < len(levels):
            level = levels[at]
            if isinstance(level, Fanout):
                return level
    return None
