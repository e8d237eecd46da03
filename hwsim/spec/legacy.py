"""Architecture files in Timeloop's v0.3 form: nested ``subtree`` with ``local`` components."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hwsim.architecture import MAX_INSTANCES, Architecture, Compute, Constraints, Fanout, Level, Storage
from hwsim.errors import did_you_mean
from hwsim.spec import nodes
from hwsim.spec.constraints import directive, merge
from hwsim.spec.document import Field
from hwsim.spec.scope import Scope

_NAME = re.compile(r"^([^\[\]]+)(?:\[\s*(\d{1,9})\s*\.\.\s*(\d{1,9})\s*\])?$")
_TREE_KEYS = {"name", "attributes", "local", "subtree", "version", "description"}
_LOCAL_KEYS = {"name", "class", "subclass", "attributes", "description"}


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
    tree, scope, count = top, Scope({}, variables), 1
    while tree.has("subtree"):
        branches = tree.key("subtree").items()
        if len(branches) != 1:
            tree.key("subtree").fail(f"expected one subtree, found {len(branches)}; levels lie one inside the other.")
        tree = branches[0].only(_TREE_KEYS, "subtree")
        label, times = _instances(tree.need("name"))
        count *= times
        if count > MAX_INSTANCES:
            tree.key("name").fail(f"{count:,} instances of '{label}'; hwsim counts up to {MAX_INSTANCES:,}.")
        own = tree.key("attributes")
        nodes.check_attributes(own)
        scope = Scope(own.mapping(), scope)
        for item in tree.key("local").items():
            unit = _unit(item, scope, count, label)
            if unit is not None:
                units.append(unit)
                cycle = nodes.cycle_seconds(scope, item)
    return _assemble(units, top, name, cycle)


def _instances(field: Field) -> tuple[str, int]:
    match = _NAME.match(field.text().strip())
    if match is None:
        field.fail(f"'{field.text()}' is not a name; expected PE or PE[0..255].")
    if match.group(2) is None:
        return match.group(1), 1
    first, last = int(match.group(2)), int(match.group(3))
    if last < first:
        field.fail(f"the range [{first}..{last}] is empty.")
    return match.group(1), last - first + 1


def _unit(item: Field, scope: Scope, count: int, tree: str) -> _Unit | None:
    item.only(_LOCAL_KEYS, "local")
    name, times = _instances(item.need("name"))
    kind = item.key("class").text() if item.has("class") else item.need("subclass").text()
    priced = item.key("subclass").text() if item.has("subclass") else kind
    own = item.key("attributes")
    nodes.check_attributes(own)
    inner = Scope(own.mapping(), scope)
    mesh = Field(inner["meshX"], item.file, f"{own.path}.meshX").integer(1) if own.has("meshX") else None
    if nodes.is_storage(kind) or nodes.is_storage(priced):
        level: Storage | Compute = nodes.storage(name, priced, own, inner, Constraints())
    elif nodes.is_compute(kind) or nodes.is_compute(priced):
        level = nodes.compute(name, priced, inner)
    else:
        return None  # a network or another unit that holds no data: Timeloop leaves it to Accelergy
    return _Unit(level, count * times, mesh, tree, item)


def _assemble(units: list[_Unit], top: Field, name: str, cycle: float) -> Architecture:
    compute = [u for u in units if isinstance(u.level, Compute)]
    if len(compute) != 1 or units[-1] is not compute[0]:
        # Inside one 'local' the order of storages and compute is free.
        units = [u for u in units if u not in compute] + compute
    if len(compute) != 1:
        top.fail(f"expected one compute unit (class mac, intmac …), found {len(compute)}.")
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
    return Architecture(name, tuple(levels), compute[0].level, cycle, source=top.file)


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


def apply_constraints(architecture: Architecture, field: Field) -> Architecture:
    """Constraints from a file of their own (``architecture_constraints``, ``mapspace_constraints``).

    A spatial constraint names the storage outside the fan-out (v0.3) or the container (v0.4).
    """
    targets = field
    if isinstance(field.plain, dict):
        field.only({"version", "targets"}, "constraints")
        targets = field.key("targets")
    for item in targets.items():
        kind, target = item.need("type").text(), item.need("target")
        level = find_level(architecture, target, kind)
        found = directive(kind, item)
        levels = tuple(
            replace(x, constraints=merge(x.constraints, found)) if x is level else x for x in architecture.levels
        )
        architecture = replace(architecture, levels=levels)
    return architecture


def find_level(architecture: Architecture, target: Field, kind: str) -> Level:
    """The level that a directive means: a spatial one may name the fan-out, what is inside or the storage outside."""
    name = target.text()
    levels = architecture.levels
    for k, level in enumerate(levels):
        if isinstance(level, Fanout):
            if name in (level.name, level.target) or (name == level.of and kind == "spatial"):
                return level
        elif name == level.name:
            if kind != "spatial":
                return level
            if k + 1 < len(levels) and isinstance(levels[k + 1], Fanout):
                return levels[k + 1]
            if k > 0 and isinstance(levels[k - 1], Fanout):
                return levels[k - 1]
            target.fail(f"there is no fan-out at '{name}', so nothing can be spread over space there.")
    known = [x.target if isinstance(x, Fanout) else x.name for x in levels]
    target.fail(f"the architecture has no level '{name}'.{did_you_mean(name, known)}")
