"""Mappings as Timeloop writes them: a list of directives, each for one level."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwsim.architecture import OTHERS, Architecture, Fanout, Level, Storage
from hwsim.errors import did_you_mean
from hwsim.mapping import LevelMapping, Loop, Mapping, factors_fault
from hwsim.spec.constraints import permutation, terms
from hwsim.spec.document import Field
from hwsim.spec.legacy import find_level, names_inside, no_fan_out, target_of
from hwsim.workloads.problem import Problem

_KINDS = ("temporal", "spatial", "datatype", "dataspace", "bypass", "bypassing")
_KEYS = {
    "temporal": {"target", "name", "type", "factors", "permutation"},
    "spatial": {"target", "name", "type", "factors", "permutation", "split"},
    "bypass": {"target", "name", "type", "keep", "bypass"},
}


def read_mapping(field: Field, architecture: Architecture, problem: Problem) -> tuple[Mapping, dict[str, Field]]:
    """A mapping from Timeloop's directives, and where each level's last directive stands.

    A factor ``C=3,2`` has a residual (see `hwsim.mapping.Loop`). Loop bounds that are not given are 1, dimensions that
    a permutation leaves out follow outside it in the problem's order, spatial loops go along X up to ``split`` (all of
    them by default). A data space for which a storage has no directive is kept unless the architecture has it bypassed.

    Raises:
        HwsimError: an unknown level, dimension or data space, or factors that do not run through a dimension.
    """
    temporal: dict[str, tuple[Loop, ...]] = {}
    spatial: dict[str, tuple[Loop, ...]] = {}
    keep: dict[str, dict[str, bool]] = {}
    places: dict[str, Field] = {}
    inside = names_inside(architecture, field)
    for item in field.items():
        kind = item.need("type").text()
        if kind not in _KINDS:
            item.key("type").fail(f"unknown type '{kind}'.{did_you_mean(kind, _KINDS)}")
        known = "bypass" if kind in ("datatype", "dataspace", "bypassing") else kind
        item.only(_KEYS[known], f"a directive of type '{kind}'")
        level = _target(item, architecture, known, inside=inside)
        if level is None:
            continue
        if known == "bypass":
            keep.setdefault(level.name, {}).update(_choices(item, problem))
            continue
        places[level.name] = item
        loops = _loops(item, problem)
        table = temporal if known == "temporal" else spatial
        if level.name in table:
            item.fail(f"a second {kind} directive for '{target_of(item).plain}'.")
        table[level.name] = _with_axes(item, loops, problem) if known == "spatial" else tuple(reversed(loops))
    bound = architecture.bind(tuple(x.name for x in problem.data_spaces))
    levels = []
    for level in bound.levels:
        own = keep.get(level.name, {})
        kept = frozenset(
            x.name
            for x in problem.data_spaces
            if isinstance(level, Storage) and own.get(x.name, _default(level, x.name))
        )
        levels.append(LevelMapping(level.name, temporal.get(level.name, ()), spatial.get(level.name, ()), kept))
    mapping = Mapping(tuple(levels))
    _check_factors(field, mapping, problem)
    return mapping, places


def _default(level: Storage, data_space: str) -> bool:
    return data_space not in level.constraints.bypass and OTHERS not in level.constraints.bypass


def _target(item: Field, architecture: Architecture, kind: str, *, inside: bool) -> Level | None:
    """The level a directive is for; None where it is for a container that is instantiated once and says nothing."""
    target = target_of(item)
    name = target.text()
    names = {x.name for x in architecture.levels} | {x.target for x in architecture.fanouts}
    idle = kind != "bypass" and all(b == 1 for _, _, b, _ in terms(item.key("factors")))
    if name not in names and idle and _is_single(name, architecture):
        return None
    level = find_level(architecture, target, kind, inside=inside)
    if level is None and not idle:
        no_fan_out(target)
    return level


def _is_single(name: str, architecture: Architecture) -> bool:
    """Containers that occur once are no levels; Timeloop lets mappings name them all the same."""
    return name.startswith("inter_") or name in architecture.containers


def _choices(item: Field, problem: Problem) -> dict[str, bool]:
    known = [x.name for x in problem.data_spaces]
    out: dict[str, bool] = {}
    for key, kept in (("keep", True), ("bypass", False)):
        for name in item.key(key).names():
            if name not in known:
                item.key(key).fail(f"unknown data space '{name}'.{did_you_mean(name, known)}")
            if out.get(name, kept) != kept:
                item.fail(f"data space '{name}' is both kept and bypassed.")
            out[name] = kept
    return out


def _loops(item: Field, problem: Problem) -> list[Loop]:
    """Loops inner → outer."""
    given: dict[str, tuple[int, int]] = {}
    sizes = problem.sizes
    for dim, op, value, residual in terms(item.key("factors")):
        if dim not in sizes:
            item.key("factors").fail(f"unknown dimension '{dim}'.{did_you_mean(dim, sizes)}")
        if op != "=":
            item.key("factors").fail(f"a mapping gives each factor as {dim}={value}, not {dim}{op}{value}.")
        bound = value or sizes[dim]
        if residual is not None and not 1 <= residual <= bound:
            found = f"{dim}={value},{residual} has a residual of {residual}"
            item.key("factors").fail(f"{found}; expected one between 1 and {bound}: the last round runs that often.")
        given[dim] = bound, residual or bound
    order = permutation(item.key("permutation")) if item.has("permutation") else ()
    for dim in order:
        if dim not in sizes:
            item.key("permutation").fail(f"unknown dimension '{dim}'.{did_you_mean(dim, sizes)}")
    loops = []
    for d in (*order, *(d for d in sizes if d not in order)):
        bound, residual = given.get(d, (1, 1))
        loops.append(Loop(d, bound, "", residual))
    return loops


def _with_axes(item: Field, loops: list[Loop], problem: Problem) -> tuple[Loop, ...]:
    split = item.key("split").integer(0) if item.has("split") else len(loops)
    return tuple(reversed([replace(x, axis="X" if k < split else "Y") for k, x in enumerate(loops)]))


def _check_factors(field: Field, mapping: Mapping, problem: Problem) -> None:
    for dim, size in problem.dims:
        if found := factors_fault(dim, size, mapping):
            if not field.plain:
                field.fail("the mapping is empty; `hwsim map` searches for one.")
            field.fail(f"{found}.")


def mapping_to_timeloop(mapping: Mapping, architecture: Architecture, problem: Problem) -> list[dict[str, Any]]:
    """Timeloop's directives for a mapping, innermost level first; `read_mapping` reads them back."""
    names = [x.name for x in problem.data_spaces]
    out: list[dict[str, Any]] = []
    for level, placed in reversed(list(zip(architecture.levels, mapping.levels, strict=True))):
        if isinstance(level, Storage):
            kept = [n for n in names if n in placed.keep]
            bypassed = [n for n in names if n not in placed.keep]
            out.append({"target": level.name, "type": "datatype", "keep": kept, "bypass": bypassed})
    for level, placed in reversed(list(zip(architecture.levels, mapping.levels, strict=True))):
        target = level.target if isinstance(level, Fanout) else level.name
        if isinstance(level, Fanout):
            inner = [x for axis in ("X", "Y") for x in reversed(placed.spatial) if x.axis == axis]
            columns = sum(x.axis == "X" for x in inner)
            out.append({"target": target, "type": "spatial", **_write(inner, problem), "split": columns})
        out.append({"target": target, "type": "temporal", **_write(list(reversed(placed.temporal)), problem)})
    return out


def _write(loops: list[Loop], problem: Problem) -> dict[str, str]:
    """Factors and permutation (inner → outer); names of several letters are set apart with commas."""
    given = {x.dim: x.factor for x in loops}
    order = [x.dim for x in loops]
    order += [d for d in problem.sizes if d not in order]
    comma = "" if all(len(d) == 1 for d in order) else ","
    return {
        "factors": " ".join(f"{d}={given.get(d, 1)}" for d in problem.sizes),
        "permutation": comma.join(order),
    }
