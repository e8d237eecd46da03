"""Problems as Timeloop writes them: a shape (dimensions, coefficients, data spaces) and an instance."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hwsim.errors import HwsimError, did_you_mean
from hwsim.spec.document import Field, describe
from hwsim.spec.notes import note
from hwsim.spec.scope import Scope
from hwsim.spec.sparsity import read_densities
from hwsim.workloads.problem import DataSpace, Problem, conv, depthwise, grouped_conv, matmul

_SHAPE_KEYS = {"name", "dimensions", "coefficients", "data_spaces", "data-spaces", "version"}
_SPACE_KEYS = {"name", "projection", "read_write", "read-write"}
MAX_DIMS = 32
MAX_SPACES = 16
_STEPS = {"Wstride", "Hstride", "Wdilation", "Hdilation"}

#: Shapes by name: builder and the coefficients it takes.
_NAMED: dict[str, Callable[..., Problem]] = {
    "conv": conv,
    "cnn-layer": conv,
    "cnn_layer": conv,
    "depthwise": depthwise,
    "dw": depthwise,
    "grouped_conv": grouped_conv,
    "matmul": matmul,
    "bmm": matmul,
}


def read_problem(field: Field, variables: Mapping[str, Any]) -> Problem:
    """A problem from ``{shape: …, instance: …}``.

    ``shape`` is a mapping as in Timeloop, or a name: ``conv`` (``cnn-layer``), ``depthwise``, ``grouped_conv``,
    ``matmul``; ``kind`` is read like it. Without ``instance`` the sizes stand beside ``shape`` (v0.2).

    Raises:
        HwsimError: an unknown dimension or key, a size below 1, no or several results, a density that is none.
    """
    problem = _dense_problem(field, variables)
    given = field.key("instance") if field.has("instance") else field
    densities = read_densities(given.key("densities"), [x.name for x in problem.data_spaces])
    return replace(problem, densities=densities) if densities else problem


def _dense_problem(field: Field, variables: Mapping[str, Any]) -> Problem:
    """The problem without its zeros."""
    scope = Scope({}, variables)
    sizes = _sizes(field, scope)
    shape = field.key("shape") if field.has("shape") else field.key("kind")
    if shape.plain is None and {"R", "S", "P", "Q", "C", "N"} <= set(sizes):  # Timeloop's shape where none is named
        shape = Field("cnn-layer", field.file, field.path)
    if shape.plain is None:
        field.fail("'shape' is missing: dimensions and data spaces, or the name of a known shape.")
    if isinstance(shape.plain, str):
        return _named(shape, field, sizes)
    shape.only(_SHAPE_KEYS, "shape")
    dims = shape.need("dimensions").names()
    if len(dims) > MAX_DIMS:
        shape.key("dimensions").fail(f"{len(dims)} dimensions; hwsim reads problems of up to {MAX_DIMS}.")
    for dim in dims:
        if dims.count(dim) > 1:
            shape.key("dimensions").fail(f"dimension '{dim}' is given twice.")
    coefficients = _coefficients(shape, sizes)
    _unused(sizes, dims, coefficients, shape)
    key = "data_spaces" if shape.has("data_spaces") or not shape.has("data-spaces") else "data-spaces"
    shape.need(key)
    listed = shape.key(key).items()
    if len(listed) > MAX_SPACES:
        shape.key(key).fail(f"{len(listed)} data spaces; hwsim reads problems of up to {MAX_SPACES}.")
    spaces = tuple(_data_space(item, dims, coefficients) for item in listed)
    _check_spaces(shape.key(key), spaces)
    bounds = tuple((d, sizes[d].integer(1) if d in sizes else 1) for d in dims)
    return _known(_built(field, lambda: Problem("custom", bounds, spaces)))


def _built(field: Field, make: Callable[[], Problem]) -> Problem:
    """The problem; one that is too large to be counted is reported at its place."""
    try:
        return make()
    except HwsimError as error:
        field.fail(error.message)


def _sizes(field: Field, scope: Scope) -> dict[str, Field]:
    """Dimension and coefficient sizes, evaluated."""
    given = field.key("instance") if field.has("instance") else field
    beside = {"shape", "kind", "version", "name", "instance"}
    out: dict[str, Field] = {}
    for name, value in given.mapping().items():
        if given is field and name in beside:
            continue
        if name == "densities":
            continue
        out[name] = Field(scope.evaluate(value), value.file, value.path)
    return out


def _unused(sizes: dict[str, Field], dims: list[str], coefficients: Mapping[str, int], shape: Field) -> None:
    """Tell of sizes that the shape has no use for: Timeloop reads those of its dimensions and coefficients alone.

    Raises:
        HwsimError: one that is used is missing, and another has nearly its name.
    """
    unused = [name for name in sizes if name not in dims and name not in coefficients]
    for name in unused:
        absent = [known for known in (*dims, *coefficients) if known not in sizes]
        near = next((known for known in absent if known.lower() == name.lower()), None)
        if near is None and len(name) > 2:
            near = next(iter(difflib.get_close_matches(name, absent, n=1, cutoff=0.8)), None)
        if near is not None:
            sizes[name].fail(f"'{name}' is neither a dimension nor a coefficient. Did you mean '{near}'?")
    if unused:
        note(f"{', '.join(unused)}: no dimension or coefficient of the shape, not used.", sizes[unused[0]].where)


def _named(shape: Field, field: Field, sizes: dict[str, Field]) -> Problem:
    name = shape.text()
    if name not in _NAMED:
        shape.fail(f"unknown shape '{name}'.{did_you_mean(name, _NAMED)}")
    build = _NAMED[name]
    renamed = name.startswith("cnn") and "K" in sizes and "M" not in sizes  # Timeloop's own name of the dimension
    if renamed:
        sizes = {"M" if key == "K" else key: value for key, value in sizes.items()}
    given = {key: value.integer(1) for key, value in sizes.items()}
    steps = {} if build is matmul else {key.lower(): n for key, n in given.items() if key in _STEPS}
    problem = _built(field, lambda: build({key: n for key, n in given.items() if key not in _STEPS}, **steps))
    known = {*problem.sizes, *({} if build is matmul else _STEPS)}
    for key, value in sizes.items():
        if key not in known:
            value.fail(f"'{key}' is not a size of the shape '{name}'.{did_you_mean(key, known)}")
    return _with_k(problem) if renamed else problem


def _with_k(problem: Problem) -> Problem:
    """The problem whose dimension M is called K."""

    def name(dim: str) -> str:
        return "K" if dim == "M" else dim

    spaces = tuple(
        replace(x, projection=tuple(tuple((c, name(d)) for c, d in rank) for rank in x.projection))
        for x in problem.data_spaces
    )
    return Problem("custom", tuple((name(d), n) for d, n in problem.dims), spaces)


def _coefficients(shape: Field, sizes: dict[str, Field]) -> dict[str, int]:
    out: dict[str, int] = {}
    for item in shape.key("coefficients").items():
        item.only({"name", "default"}, "this coefficient")
        name = item.need("name").text()
        if name in sizes:
            out[name] = sizes[name].integer(1)
        elif item.has("default"):
            out[name] = item.key("default").integer(1)
        else:
            item.fail(f"coefficient '{name}' has neither a default nor a value in the instance.")
    return out


def _data_space(item: Field, dims: list[str], coefficients: dict[str, int]) -> DataSpace:
    item.only(_SPACE_KEYS, "this data space")
    ranks = tuple(_rank(rank, dims, coefficients) for rank in item.need("projection").items())
    written = any(item.key(key).plain is True for key in ("read_write", "read-write"))
    return DataSpace(item.need("name").text(), ranks, written)


def _rank(rank: Field, dims: list[str], coefficients: dict[str, int]) -> tuple[tuple[int, str], ...]:
    """``[[R, Wdilation], [P, Wstride]]`` or ``R*Wdilation + P*Wstride`` as ((coefficient, dimension), …)."""
    if isinstance(rank.plain, str):
        terms = [[name.strip() for name in term.split("*")] for term in rank.plain.split("+")]
    else:
        terms = [[item.text()] if isinstance(item.plain, str) else item.names() for item in rank.items()]
    out = []
    for term in terms:
        found, factor = "", 1
        for name in term:
            if name in dims and not found:
                found = name
            elif name in coefficients:
                factor *= coefficients[name]
            elif re.fullmatch(r"\d+", name) and int(name) > 0:
                factor *= int(name)
            elif name in dims:
                rank.fail(f"the term {'·'.join(term)} multiplies two dimensions; projections are affine.")
            else:
                known = [*dims, *coefficients]
                rank.fail(f"'{name}' is neither a dimension nor a coefficient.{did_you_mean(name, known)}")
        if not found:
            rank.fail(f"the term {'·'.join(term) or describe(rank.plain)} has no dimension.")
        out.append((factor, found))
    return tuple(out)


def _check_spaces(field: Field, spaces: tuple[DataSpace, ...]) -> None:
    names = [x.name for x in spaces]
    for name in names:
        if names.count(name) > 1:
            field.fail(f"two data spaces have the name '{name}'.")
    results = [x.name for x in spaces if x.read_write]
    if len(results) != 1:
        field.fail(f"exactly one data space should be 'read_write: true' (the result), found {len(results)}.")
    if len(spaces) < 2:
        field.fail("a problem reads at least one data space.")


def _known(problem: Problem) -> Problem:
    """The same problem under its usual name, where it is one of the known shapes."""
    for build in (conv, depthwise, grouped_conv, matmul):
        model = build(problem.sizes)
        if dict(model.dims) == problem.sizes and [x.name for x in model.data_spaces] == [
            x.name for x in problem.data_spaces
        ]:
            shapes = zip(model.data_spaces, problem.data_spaces, strict=True)
            if all(_names(a) == _names(b) for a, b in shapes):
                return Problem(model.kind, problem.dims, problem.data_spaces)
    return problem


def _names(space: DataSpace) -> set[frozenset[str]]:
    return {frozenset(d for _, d in rank) for rank in space.projection}
