"""Architecture files in Timeloop's v0.4 form: a list of nodes, outer → inner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hwsim.architecture import MAX_INSTANCES, OTHERS, Architecture, Compute, Constraints, Fanout, Level, Storage
from hwsim.errors import HwsimError, did_you_mean
from hwsim.spec import nodes
from hwsim.spec.constraints import read_node_constraints
from hwsim.spec.document import Field
from hwsim.spec.legacy import read_flat, read_tree
from hwsim.spec.scope import Scope

_TAGS = ("Component", "Container", "Parallel", "Hierarchical", "Nothing")
_NODE_KEYS = {
    "name", "class", "subclass", "attributes", "spatial", "constraints", "nodes", "required_actions", "enabled",
    "description", "version", *nodes.SCALES, *nodes.UNMODELLED, *nodes.SPARSE,
}  # fmt: skip
_TOP_KEYS = {"version", "nodes", "name", "description", "source", "subtree", "local"}


@dataclass
class _Reading:
    """What has been read so far, on the way down."""

    levels: list[Level] = field(default_factory=list)
    compute: Compute | None = None
    instances: int = 1
    names: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    cycle_seconds: float = 1e-9
    branches: list[tuple[tuple[str, ...], ...]] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)


def read_any(top: Field, variables: Mapping[str, Any], name: str) -> Architecture:
    """An architecture in whatever form: nodes (v0.4), a tree (v0.2, v0.3), storages and arithmetic (v0.1)."""
    if top.has("storage") or top.has("arithmetic"):
        return read_flat(top, variables, name)
    if top.has("subtree") or (top.has("local") and not top.has("nodes")):
        return read_tree(top, variables, name)
    return read_nodes(top, variables, name)


def read_nodes(top: Field, variables: Mapping[str, Any], name: str) -> Architecture:
    """An architecture from ``{version: 0.4, nodes: […]}``.

    Raises:
        HwsimError: an unknown key or tag, a missing or wrong attribute, no compute unit.
    """
    top.only(_TOP_KEYS, "architecture")
    out = _Reading()
    listed = top.need("nodes").items()
    _walk(listed, Scope({}, variables), out)
    if out.compute is None:
        top.key("nodes").fail(
            f"no node computes: the last one should be a !Component of class {', '.join(nodes.COMPUTE_CLASSES[:4])}."
        )
    if not out.levels or not isinstance(out.levels[0], Storage):
        top.key("nodes").fail("the outermost level should be a storage that holds everything, a DRAM for example.")
    nodes.check_number(top.key("nodes"), out.levels)
    levels = nodes.gated(out.levels, out.switches, top.key("nodes"))
    return Architecture(
        name=top.key("name").text() if top.has("name") else name,
        levels=tuple(levels),
        compute=out.compute,
        cycle_seconds=out.cycle_seconds,
        description=top.key("description").text() if top.has("description") else "",
        source=top.file,
        containers=frozenset(out.names) - {x.name for x in out.levels} - {out.compute.name},
        branches=tuple(out.branches),
    )


def _walk(items: list[Field], scope: Scope, out: _Reading) -> Scope:
    """Read nodes one inside the other; what a container says reaches all that follow it."""
    for item in items:
        if out.compute is not None:
            item.fail(f"nothing can follow the compute unit '{out.compute.name}'.")
        scope = _node(item, scope, out)
    return scope


def _node(item: Field, scope: Scope, out: _Reading) -> Scope:
    tag = item.tag
    if tag not in _TAGS:
        found = f"tag '!{tag}'" if tag else "no tag"
        item.fail(f"{found}; nodes are !{', !'.join(_TAGS)}.{did_you_mean(tag, _TAGS) if tag else ''}")
    nodes.refuse_unmodelled(item)
    item.only(_NODE_KEYS, f"!{tag}")
    if tag == "Nothing" or nodes.disabled(item):
        return scope
    if tag == "Parallel":
        _parallel(item, scope, out)
        return scope
    if tag == "Hierarchical":
        return _walk(item.need("nodes").items(), scope, out)
    own = item.key("attributes")
    nodes.check_attributes(own)
    inner = Scope(own.mapping(), scope)
    name = item.need("name").text()
    if name in out.names:
        item.key("name").fail(f"two nodes have the name '{name}'.")
    if len(out.names) >= nodes.MAX_NODES:
        item.fail(f"more than {nodes.MAX_NODES} components and containers.")
    if own.has("has_power_gating") and str(inner["has_power_gating"]).lower() == "true":
        out.switches.add(name)
    constraints = read_node_constraints(item.key("constraints"), inner)
    _fan_out(item, name, inner, constraints, out, component=tag == "Component")
    out.names[name] = inner
    if tag == "Container":
        return inner
    _component(item, name, inner, constraints, out)
    return scope


def _mesh(item: Field, scope: Scope) -> tuple[int, int]:
    spatial = item.key("spatial").only({"meshX", "meshY", "mesh_X", "mesh_Y"}, "spatial")
    sizes = []
    for axis in ("X", "Y"):
        key = f"mesh{axis}" if spatial.has(f"mesh{axis}") else f"mesh_{axis}"
        value = scope.evaluate(spatial.key(key)) if spatial.has(key) else 1
        sizes.append(Field(value, item.file, f"{spatial.path}.{key}").integer(1))
    return sizes[0], sizes[1]


def _fan_out(item: Field, name: str, scope: Scope, constraints: Constraints, out: _Reading, *, component: bool) -> None:
    x, y = _mesh(item, scope)
    out.instances *= x * y
    if out.instances > MAX_INSTANCES:
        found = f"{out.instances:,} instances of '{name}'; hwsim counts up to {MAX_INSTANCES:,}."
        item.key("spatial").fail(f"the design would have {found}")
    if x * y == 1:
        return
    if not out.levels:
        item.key("spatial").fail(
            f"'{name}' is instantiated {x} × {y} times, but no storage outside it feeds the array."
        )
    limits = replace(constraints, temporal=Constraints().temporal, keep=frozenset(), bypass=frozenset())
    if component and _is_memory(item):  # its utilization is that of its capacity
        limits = replace(limits, min_utilization=0.0)
    unique = f"{name}_instances" if component else name
    out.levels.append(Fanout(unique, x, y, limits, nodes.plain(scope), of=name if component else ""))


def _classes(item: Field) -> tuple[str, str]:
    """The class of a component, and the class that prices it."""
    kind = item.key("class").text() if item.has("class") else ""
    subclass = item.key("subclass").text() if item.has("subclass") else ""
    return kind, subclass or kind or item.need("class").text()


def _is_memory(item: Field) -> bool:
    kind, priced = _classes(item)
    return nodes.is_storage(kind) or (nodes.is_storage(priced) and not nodes.is_compute(kind))


def _component(item: Field, name: str, scope: Scope, constraints: Constraints, out: _Reading) -> None:
    kind, priced = _classes(item)
    if _is_memory(item):
        limits = replace(constraints, spatial=Constraints().spatial, maximize_dims=())
        out.levels.append(nodes.storage(name, priced, item, scope, limits))
    elif nodes.is_network(kind):
        nodes.unmodelled_unit(name, kind, item)
    elif nodes.is_compute(kind) or nodes.is_compute(priced):
        out.compute = nodes.compute(name, priced, item, scope)
        out.cycle_seconds = nodes.cycle_seconds(scope, item)
    else:
        item.key("class").fail(
            f"class '{kind or priced}' is neither a memory ({', '.join(nodes.STORAGE_CLASSES[:5])}, …) nor compute "
            f"({', '.join(nodes.COMPUTE_CLASSES[:4])}); say 'class: storage' or 'class: compute' and "
            f"'subclass: {priced}'."
        )


def _parallel(item: Field, scope: Scope, out: _Reading) -> None:
    """The branches of a ``!Parallel`` follow one another; each storage keeps its own data spaces and no others."""
    branches: list[tuple[str, ...]] = []
    for branch in item.need("nodes").items():
        first = len(out.levels)
        if branch.tag == "Nothing":
            continue
        if branch.tag == "Hierarchical":
            _walk(branch.need("nodes").items(), scope, out)
        else:
            _node(branch, scope, out)
        for k in range(first, len(out.levels)):
            level = out.levels[k]
            if isinstance(level, Fanout):
                branch.fail(f"'{level.name}': a branch of !Parallel cannot fan out; put the fan-out above or below it.")
            out.levels[k] = replace(level, constraints=replace(level.constraints, bypass=frozenset({OTHERS})))
        branches.append(tuple(level.name for level in out.levels[first:]))
    out.branches.append(tuple(branches))


def check_branches(architecture: Architecture) -> None:
    """Every branch of a ``!Parallel`` says what it keeps, in its node or in a list of constraints.

    Raises:
        HwsimError: one does not, or two keep the same data space.
    """
    for branches in architecture.branches:
        kept: dict[str, tuple[str, tuple[str, ...]]] = {}
        for name, branch in ((name, names) for names in branches for name in names):
            keep = architecture.level(name).constraints.keep
            where = f"{architecture.source or architecture.name}: {name}"
            if not keep:
                raise HwsimError(
                    "it is a branch of !Parallel: 'constraints.dataspace.keep' should say what it holds.", where=where
                )
            for data_space in keep:
                if data_space in kept and kept[data_space][1] is not branch:
                    raise HwsimError(
                        f"data space '{data_space}' is kept by two branches of the same !Parallel, "
                        f"'{kept[data_space][0]}' and '{name}'.",
                        where=where,
                    )
                kept[data_space] = (name, branch)
