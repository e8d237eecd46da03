"""Constraints on mappings as Timeloop writes them, and the small grammars inside them."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal, cast

from hwsim.architecture import OTHERS, Architecture, Constraints, FactorConstraint, LoopConstraint
from hwsim.errors import HwsimError, did_you_mean
from hwsim.spec.document import Field, describe
from hwsim.spec.notes import note
from hwsim.spec.scope import Scope
from hwsim.workloads.problem import Problem

_TERM = re.compile(r"\s*([A-Za-z_]+?)\s*(<=|>=|=|<|>)?\s*(\d{1,19})(?:\s*,\s*(\d{1,19}))?\s*(?:[,;\s]|$)")
MAX_TERMS = 2_000
_IGNORED = {"target", "type", "version", "name"}
_LOOP_KEYS = {
    "factors",
    "factors_only",
    "permutation",
    "no_iteration_over_dataspaces",
    "default_max_factor",
    "no_reuse",
    "maximize_dims",
}
_UNUSED_KEYS = {"default_min_factor", "remainders"}
_TEMPORAL_KEYS = _LOOP_KEYS | _UNUSED_KEYS | {"rmw_first_update", "no_temporal_reuse"}
_SPATIAL_KEYS = _LOOP_KEYS | _UNUSED_KEYS | {"split", "no_link_transfer", "no_multicast_no_reduction"}
_DATASPACE_KEYS = {"keep", "bypass", "keep_only", "bypass_only", "no_coalesce"}
_NODE_KEYS = {"temporal", "spatial", "dataspace", "datatype", "bypass", "utilization", "max_overbooked_proportion"}


def factors(field: Field) -> list[tuple[str, str, int]]:
    """``R=1 S=1``, ``C3 M4``, ``[P<=4, Q=0]`` or ``{C: 3}`` as (dimension, operator, value)."""
    out = []
    for dim, op, value, residual in terms(field):
        if residual is not None:
            field.fail(f"{dim}{op}{value},{residual} has a residual; only the factors of a mapping may have one.")
        out.append((dim, op, value))
    return out


def terms(field: Field) -> list[tuple[str, str, int, int | None]]:
    """As `factors`, with the residual of terms such as ``C=3,2`` (a comma and a digit belong to the term)."""
    if isinstance(field.plain, dict):
        return [(dim, "=", value.integer(0), None) for dim, value in field.mapping().items()]
    if field.plain is None:
        return []
    if not isinstance(field.plain, str | list):
        field.fail(f"expected factors such as 'C=3 M=4' or [C=3, M=4], found {describe(field.plain)}.")
    text = field.plain if isinstance(field.plain, str) else _joined(field)
    if len(text) > MAX_TERMS:
        field.fail(f"factors of {len(text):,} characters; up to {MAX_TERMS:,} are read.")
    out, at = [], 0
    while text[at:].strip(" ,;"):
        match = _TERM.match(text, at)
        if match is None:
            field.fail(f"'{text[at:].strip()}' is not a factor; expected terms such as C=3, C3, M<=4 or P>=2.")
        dim, op, value = match.group(1), match.group(2) or "=", int(match.group(3))
        if op in ("<", ">"):  # Timeloop's front end writes strict bounds, too
            op, value = op + "=", value - 1 if op == "<" else value + 1
        out.append((dim, op, value, int(match.group(4)) if match.group(4) else None))
        at = match.end()
    return out


def _joined(field: Field) -> str:
    """A list of terms as one text. YAML takes the 2 of ``[C=3,2]`` for an item of its own."""
    items = [str(x.plain) if type(x.plain) is int else x.text() for x in field.items()]
    return "".join(f",{x}" if x.isdecimal() else f" {x}" for x in items)


def permutation(field: Field) -> tuple[str, ...]:
    """``[C, M]``, ``C,M``, ``C M`` or ``CM`` (one letter each), inner → outer."""
    if isinstance(field.plain, str) and not re.search(r"[,\s]", field.plain.strip()):
        names = list(field.plain.strip())
    else:
        names = field.names()
    for name, count in Counter(names).items():
        if count > 1:
            field.fail(f"dimension '{name}' stands twice in the permutation.")
    return tuple(names)


def _names(field: Field, *keys: str) -> frozenset[str]:
    return frozenset(name for key in keys if field.has(key) for name in field.key(key).names())


def _number(field: Field, scope: Scope | None, least: int) -> int:
    """A whole number, or an expression that gives one."""
    value = scope.evaluate(field) if scope is not None else field.plain
    return Field(value, field.file, field.path).integer(least)


def _loop(field: Field, keys: set[str], scope: Scope | None) -> LoopConstraint:
    field.only(keys | _IGNORED, "this constraint")
    only = field.has("factors_only")
    terms = factors(field.key("factors")) + factors(field.key("factors_only"))
    bounds = tuple(FactorConstraint(dim, cast(Literal["=", "<=", ">="], op), value) for dim, op, value in terms)
    split = _number(field.key("split"), scope, 0) if field.has("split") else None
    most = _number(field.key("default_max_factor"), scope, 1) if field.has("default_max_factor") else None
    for key in ("default_min_factor", "remainders"):
        if field.has(key):
            field.key(key).fail(f"'{key}' is not modelled; remove it to search without.")
    spatial = keys is _SPATIAL_KEYS
    unused = _names(field, "no_reuse", "no_temporal_reuse", "no_multicast_no_reduction")
    return LoopConstraint(
        factors=bounds,
        permutation=permutation(field.key("permutation")) if field.has("permutation") else (),
        split=split,
        no_reuse=frozenset() if spatial else unused,
        rmw_first_update=_names(field, "rmw_first_update"),
        no_multicast=unused if spatial else frozenset(),
        no_link_transfer=_names(field, "no_link_transfer"),
        others_one=only,
        no_iteration=_names(field, "no_iteration_over_dataspaces"),
        max_factor=most,
    )


def _maximize(field: Field) -> tuple[tuple[str, ...], ...]:
    if not field.has("maximize_dims"):
        return ()
    lists = field.key("maximize_dims").items()
    return tuple(tuple(item.names()) for item in lists)


def merge(a: Constraints, b: Constraints) -> Constraints:
    """Both constraints at once; where only one of them may say something, ``b`` has the last word."""

    def loops(x: LoopConstraint, y: LoopConstraint) -> LoopConstraint:
        return LoopConstraint(
            x.factors + y.factors,
            y.permutation or x.permutation,
            x.split if y.split is None else y.split,
            x.no_reuse | y.no_reuse,
            x.rmw_first_update | y.rmw_first_update,
            x.no_multicast | y.no_multicast,
            x.no_link_transfer | y.no_link_transfer,
            x.others_one or y.others_one,
            x.no_iteration | y.no_iteration,
            x.max_factor if y.max_factor is None else y.max_factor,
        )

    return Constraints(
        loops(a.temporal, b.temporal),
        loops(a.spatial, b.spatial),
        (a.keep - b.bypass) | b.keep,
        (a.bypass - b.keep) | b.bypass,
        max(a.min_utilization, b.min_utilization),
        a.maximize_dims + b.maximize_dims,
    )


def is_vacuous(constraint: LoopConstraint) -> bool:
    """Whether a constraint says no more than that nothing is spread."""
    return all((op == "=" and value == 1) or (op == "<=" and value >= 1) for op, value in _bounds(constraint))


def _bounds(constraint: LoopConstraint) -> list[tuple[str, int]]:
    return [(factor.op, factor.value) for factor in constraint.factors]


def check_dimensions(architecture: Architecture, problem: Problem) -> None:
    """Refuse constraints on dimensions that the problem lacks; those that a loop of one turn meets are told of.

    Raises:
        HwsimError: there is one.
    """
    where = architecture.source or architecture.name
    unused: dict[str, list[str]] = {}
    for level in architecture.levels:
        for loops in (level.constraints.temporal, level.constraints.spatial):
            for factor in loops.factors:
                if factor.dim in problem.sizes:
                    continue
                if factor.op != "<=" and factor.value > 1:
                    hint = did_you_mean(factor.dim, problem.sizes)
                    raise HwsimError(
                        f"the constraints of '{level.name}' ask for {factor.dim}{factor.op}{factor.value}; the problem "
                        f"has no dimension '{factor.dim}'.{hint}",
                        where=where,
                    )
                unused.setdefault(factor.dim, []).append(level.name)
    for dim, names in unused.items():
        note(
            f"the problem has no dimension '{dim}', which constraints of {', '.join(dict.fromkeys(names))} name.", where
        )


def directives(item: Field, scope: Scope | None = None) -> list[tuple[str, Constraints]]:
    """What one item of a list says of its target: its kind and constraint; ``constraints`` holds several of them."""
    if not item.has("constraints"):
        return [_directive(item, item, scope)]
    return [_directive(part, part, scope) for part in item.key("constraints").items()]


def _directive(item: Field, field: Field, scope: Scope | None) -> tuple[str, Constraints]:
    kind = item.need("type").text()
    given = item.key("attributes") if item.has("attributes") else field
    return kind, directive(kind, given, scope)


def directive(kind: str, field: Field, scope: Scope | None = None) -> Constraints:
    """One constraint: ``temporal``, ``spatial``, ``dataspace`` (``datatype``, ``bypass``) or ``utilization``."""
    if kind == "temporal":
        return Constraints(temporal=_loop(field, _TEMPORAL_KEYS, scope))
    if kind == "spatial":
        return Constraints(spatial=_loop(field, _SPATIAL_KEYS, scope), maximize_dims=_maximize(field))
    if kind in ("dataspace", "datatype", "bypass", "bypassing"):
        field.only(_DATASPACE_KEYS | _IGNORED, "this constraint")
        if field.key("no_coalesce").plain:
            field.key("no_coalesce").fail("'no_coalesce' is not modelled; remove it to model the design without.")
        keep = _names(field, "keep", "keep_only")
        bypass = _names(field, "bypass", "bypass_only")
        if field.has("keep_only"):
            bypass |= {OTHERS}
        for name in keep & bypass:
            field.fail(f"data space '{name}' is both kept and bypassed.")
        return Constraints(keep=keep, bypass=bypass)
    if kind in ("utilization", "parallelism"):
        field.only({"min", *_IGNORED}, "this constraint")
        least = scope.evaluate(field.key("min")) if scope is not None else field.key("min").plain
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
            field.key("min").fail(f"expected a number from 0 to 1, found {describe(least)}.")
        return Constraints(min_utilization=float(least))
    if kind == "max_overbooked_proportion":
        field.fail("buffers that hold more than fits are not modelled; remove 'max_overbooked_proportion'.")
    field.fail(f"unknown constraint type '{kind}'; known: temporal, spatial, dataspace, utilization.")


def read_node_constraints(field: Field, scope: Scope | None = None) -> Constraints:
    """The ``constraints:`` of a node: a mapping from kind to constraint, or a list with ``type``."""
    out = Constraints()
    if isinstance(field.plain, list):
        for item in field.items():
            for _, found in directives(item, scope):
                out = merge(out, found)
        return out
    field.only(_NODE_KEYS, "constraints")
    for kind, value in field.mapping().items():
        if value.plain not in (None, {}, []):
            out = merge(out, directive(kind, value, scope))
    return out
