"""Specifications as Timeloop's v0.4 files: what `hwsim.spec` read, written so that it is read the same again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from hwsim.architecture import Architecture, Compute, Constraints, Fanout, Level, LoopConstraint, Storage
from hwsim.energy import EnergyTable
from hwsim.spec import nodes
from hwsim.spec.document import Tagged
from hwsim.spec.sparsity_write import densities_to_timeloop, optimizations_to_timeloop
from hwsim.workloads.problem import Problem

_NO_LOOPS = LoopConstraint()
#: Attributes that say a storage's size in other words than those that are written.
_SIZES = {name for key in nodes.ALIASES for name in nodes.ALIASES[key]} | {"meshX", "meshY", "instances"}


class _Dumper(yaml.SafeDumper):
    """Writes tags, and lists of names in a line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _tagged(dumper: _Dumper, value: Tagged) -> yaml.Node:
    node = dumper.represent_data(value.value)
    node.tag = f"!{value.tag}"
    return node


def _list(dumper: _Dumper, value: list[Any]) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", value)
    node.flow_style = not any(isinstance(item, dict | Tagged) for item in value)
    return node


_Dumper.add_representer(Tagged, _tagged)
_Dumper.add_representer(list, _list)


def specification_text(content: Mapping[str, Any]) -> str:
    """Parts of a specification as YAML."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def architecture_to_timeloop(architecture: Architecture) -> dict[str, Any]:
    """``{version: 0.4, nodes: […]}``; the branches of a ``!Parallel`` follow one another, each with what it keeps."""
    taken = {x.name for x in architecture.levels} | {architecture.compute.name}
    outside = next(name for name in ("system", "chip", "design", "whole") if name not in taken)
    cycle = {"global_cycle_seconds": architecture.cycle_seconds}
    out: list[Any] = [Tagged("Container", {"name": outside, "attributes": cycle})]
    levels: list[Level | Compute] = [*architecture.levels, architecture.compute]
    fan: Fanout | None = None
    for level, inner in zip(levels, [*levels[1:], None], strict=True):
        if isinstance(level, Fanout):
            if _is_of(level, inner):
                fan = level
            else:
                out.append(Tagged("Container", _fanned({"name": level.name}, level, Constraints())))
            continue
        node = _storage(level) if isinstance(level, Storage) else _compute(level)
        own = level.constraints if isinstance(level, Storage) else Constraints()
        node |= optimizations_to_timeloop(architecture, level.name)
        out.append(Tagged("Component", _fanned(node, fan, own)))
        fan = None
    described = {"description": architecture.description} if architecture.description else {}
    return {"version": 0.4, "name": architecture.name, **described, "nodes": out}


def _is_of(fan: Fanout, inner: Level | Compute | None) -> bool:
    """Whether a fan-out is that of the component below it, which then says so itself."""
    named = inner is not None and not isinstance(inner, Fanout) and fan.of == inner.name
    return named and fan.name == f"{fan.of}_instances" and fan.constraints.min_utilization == 0


def _fanned(node: dict[str, Any], fan: Fanout | None, own: Constraints) -> dict[str, Any]:
    if fan is not None:
        node["spatial"] = {"meshX": fan.mesh_x, "meshY": fan.mesh_y}
    limits = _constraints(own, None if fan is None else fan.constraints)
    return node | ({"constraints": limits} if limits else {})


def _storage(level: Storage) -> dict[str, Any]:
    kind = level.component
    given = {"class": kind} if nodes.is_storage(kind) else {"class": "storage", "subclass": kind}
    sizes = {
        "depth": level.depth,
        "width": level.width,
        "datawidth": level.datawidth,
        "block_size": level.block_size,
        "cluster_size": level.cluster_size,
        "read_bandwidth": level.read_bandwidth,
        "write_bandwidth": level.write_bandwidth,
        "shared_bandwidth": level.shared_bandwidth,
        "multiple_buffering": None if level.multiple_buffering == 1 else level.multiple_buffering,
        "network_fill_latency": level.network_latency or None,
        "power_gated_at": level.power_gated_at or None,
    }
    attributes = {name: value for name, value in sizes.items() if value is not None}
    return {"name": level.name, **given, "attributes": attributes | _others(level.attributes, _SIZES | set(sizes))}


def _compute(unit: Compute) -> dict[str, Any]:
    kind = unit.component
    given = {"class": kind} if nodes.is_compute(kind) else {"class": "compute", "subclass": kind}
    others = _others(unit.attributes, {"meshX", "meshY"})
    return {"name": unit.name, **given, **({"attributes": others} if others else {})}


def _others(attributes: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Attributes that pricing or the array simulator may read; switches and the clock are said elsewhere."""
    known = known | {"has_power_gating", "global_cycle_seconds", "version"}
    return {
        name: value
        for name, value in attributes.items()
        if name not in known and isinstance(value, str | int | float | bool)
    }


def _constraints(own: Constraints, fan: Constraints | None) -> dict[str, Any]:
    out: dict[str, Any] = {}
    spatial = own if fan is None else fan
    if own.keep or own.bypass:
        out["dataspace"] = {"keep": sorted(own.keep), "bypass": sorted(own.bypass)}
    if own.temporal != _NO_LOOPS:
        out["temporal"] = _loops(own.temporal, "no_reuse", own.temporal.no_reuse)
    if spatial.spatial != _NO_LOOPS or spatial.maximize_dims:
        out["spatial"] = _loops(spatial.spatial, "no_multicast_no_reduction", spatial.spatial.no_multicast)
        if spatial.maximize_dims:
            out["spatial"]["maximize_dims"] = [list(dims) for dims in spatial.maximize_dims]
    least = max(own.min_utilization, 0.0 if fan is None else fan.min_utilization)
    return out | ({"utilization": {"min": least}} if least else {})


def _loops(loops: LoopConstraint, name: str, names: frozenset[str]) -> dict[str, Any]:
    factors = "factors_only" if loops.others_one else "factors"
    found: dict[str, Any] = {
        factors: [f"{x.dim}{x.op}{x.value}" for x in loops.factors],
        "permutation": list(loops.permutation),
        "split": loops.split,
        name: sorted(names),
        "rmw_first_update": sorted(loops.rmw_first_update),
        "no_link_transfer": sorted(loops.no_link_transfer),
        "no_iteration_over_dataspaces": sorted(loops.no_iteration),
        "default_max_factor": loops.max_factor,
    }
    return {key: value for key, value in found.items() if value not in (None, []) or key == "factors_only"}


def problem_to_timeloop(problem: Problem) -> dict[str, Any]:
    """``{version: 0.4, shape: …, instance: …}``; factors of a projection are coefficients with a name each."""
    factors = sorted({c for x in problem.data_spaces for rank in x.projection for c, _ in rank if c != 1})
    taken = set(problem.sizes)
    names = {c: next(n for n in (f"step{c}", f"coefficient{c}", f"c_{c}") if n not in taken) for c in factors}
    spaces = []
    for space in problem.data_spaces:
        ranks = [[[dim] if c == 1 else [dim, names[c]] for c, dim in rank] for rank in space.projection]
        written = {"read_write": True} if space.read_write else {}
        spaces.append({"name": space.name, "projection": ranks, **written})
    shape: dict[str, Any] = {"name": problem.kind, "dimensions": list(problem.sizes)}
    if names:
        shape["coefficients"] = [{"name": name, "default": c} for c, name in names.items()]
    shape["data_spaces"] = spaces
    return {"version": 0.4, "shape": shape, "instance": {**problem.sizes, **densities_to_timeloop(problem)}}


def prices_to_timeloop(energy: EnergyTable) -> dict[str, Any]:
    """An ERT; components without a price have no table."""
    tables = [
        {"name": name, "actions": [{"name": a, "arguments": {}, "energy": x.energy_pj} for a, x in actions.items()]}
        for name, actions in energy.actions.items()
        if name not in energy.unpriced
    ]
    return {"version": 0.4, "tables": tables}
