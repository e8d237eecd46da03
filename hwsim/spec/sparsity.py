"""Sparsity as files say it: ``densities`` of a problem, ``sparse_optimizations`` of components or in a section."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from hwsim.architecture import Architecture, Storage
from hwsim.errors import did_you_mean
from hwsim.sparsity import (
    ActionOptimization,
    Density,
    Distribution,
    Format,
    LevelSparsity,
    Rank,
    RankFormat,
    Saving,
    Sparsity,
)
from hwsim.spec.document import Field, describe

_DISTRIBUTIONS = (*get_args(Distribution), "fixed")
_FORMATS = get_args(RankFormat)
_ORDERS = ("outer_to_inner", "inner_to_outer")
#: Words of the older files, which write a dash.
_SECTIONS = ("representation_format", "action_optimization", "compute_optimization")
MAX_RANKS = 32
MAX_OPTIONS = 100
MAX_BITS = 2**20
MAX_DEPTH = 2**53


def read_densities(field: Field, names: list[str]) -> tuple[tuple[str, Density], ...]:
    """Data space → `Density`: a number, or ``{distribution, density}``; those that are 1 throughout are left out.

    Raises:
        HwsimError: an unknown data space, distribution or key, or a density outside 0–1.
    """
    out = []
    for name, item in field.mapping().items():
        if name not in names:
            item.fail(f"unknown data space '{name}'.{did_you_mean(name, names)}")
        density = _density(item)
        if density != Density():
            out.append((name, density))
    return tuple(sorted(out))


def _density(item: Field) -> Density:
    if item.plain is None:
        return Density()
    if not isinstance(item.plain, dict):
        return Density("fixed_structured", _share(item))
    kind = item.need("distribution").text()
    if kind not in _DISTRIBUTIONS:
        item.key("distribution").fail(f"unknown distribution '{kind}'.{did_you_mean(kind, _DISTRIBUTIONS)}")
    if kind == "banded":
        item.only({"distribution", "band_width"}, "a banded density")
        return Density("banded", 0.0, item.need("band_width").integer(0))
    item.only({"distribution", "density"}, "this density")
    return Density("hypergeometric" if kind == "hypergeometric" else "fixed_structured", _share(item.need("density")))


def _share(field: Field) -> float:
    value = field.plain
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        field.fail(f"a density is a share of nonzeros, 0 to 1; found {describe(value)}.")
    return float(value)


def read_sparsity(architecture: Architecture, top: Field, sections: list[Field]) -> Sparsity:
    """What components of an architecture's document and sections of their own say about zeros.

    Args:
        top: the architecture's document.
        sections: ``sparse_optimizations`` that stand beside it: ``{targets: [{name, …}]}``.

    Raises:
        HwsimError: an unknown key or word, a component that is not there, or one that is spoken of twice.
    """
    given: dict[str, Field] = {}
    for name, item in [*_of_components(top), *(x for section in sections for x in _of_targets(section))]:
        if name in given:
            item.fail(f"'{name}' has sparse optimizations already: {given[name].where}.")
        given[name] = item
    levels: list[tuple[str, LevelSparsity]] = []
    compute: frozenset[str] = frozenset()
    storages = {x.name: x for x in architecture.storages}
    for name, item in given.items():
        sections_of = _sections(item)
        if name == architecture.compute.name:
            compute = _compute(sections_of, item)
        elif name not in storages:
            known = [*storages, architecture.compute.name]
            item.fail(f"'{name}' is neither a memory nor the datapath.{did_you_mean(name, known)}")
        elif "compute_optimization" in sections_of:
            sections_of["compute_optimization"].fail(
                f"'{name}' computes nothing; say it of '{architecture.compute.name}'."
            )
    if given:
        levels = [(x.name, _level(x, _sections(given[x.name]) if x.name in given else {})) for x in storages.values()]
    return Sparsity(tuple(levels), compute)


def _of_components(item: Field) -> Iterator[tuple[str, Field]]:
    """(component, its ``sparse_optimizations``) wherever they stand in an architecture's document."""
    if isinstance(item.plain, list):
        for inner in item.items():
            yield from _of_components(inner)
    elif isinstance(item.plain, dict) and item.key("enabled").plain is not False:
        for holder in (item, item.key("attributes")):
            found = _has(holder, "sparse_optimizations")
            if found is not None and found.plain:
                yield _bare(item.need("name").text()), found
        for key in ("nodes", "subtree", "local"):
            if item.has(key):
                yield from _of_components(item.key(key))


def _bare(name: str) -> str:
    """``PE[0..15]`` → ``PE``."""
    return name.split("[", maxsplit=1)[0].strip()


def _of_targets(section: Field) -> Iterator[tuple[str, Field]]:
    targets = section
    if isinstance(section.plain, dict):
        section.only({"targets", "version"}, "sparse_optimizations")
        targets = section.need("targets")
    for item in targets.items():
        yield _bare(item.need("name").text()), item


def _sections(item: Field) -> dict[str, Field]:
    """The parts of one component's optimizations, dashes or not."""
    out: dict[str, Field] = {}
    for key, value in item.mapping().items():
        name = key.replace("-", "_")
        if name in ("name", "version"):
            continue
        if name not in _SECTIONS:
            value.fail(f"unknown key '{key}' of sparse optimizations.{did_you_mean(name, _SECTIONS)}")
        if value.plain:
            out[name] = value
    return out


def _has(item: Field, name: str) -> Field | None:
    """A key with underscores or dashes; None where it is absent."""
    for key in (name, name.replace("_", "-")):
        if item.has(key):
            return item.key(key)
    return None


def _only(item: Field, names: tuple[str, ...], what: str) -> None:
    item.only({*names, *(x.replace("_", "-") for x in names)}, what)


def _need(item: Field, name: str) -> Field:
    found = _has(item, name)
    return item.need(name) if found is None else found


def _bits(storage: Storage, name: str, field: Field | None, least: int = 0) -> int | None:
    value: Any = storage.attributes.get(name) if field is None else field.plain
    if value is None:
        return None
    place = Field(value, *((field.file, field.path) if field is not None else (storage.name, name)))
    number = place.integer(least)
    if number > (MAX_DEPTH if name.endswith("depth") else MAX_BITS):
        place.fail(f"'{name}' of '{storage.name}' is {number:,}, too large.")
    return number


def _first(storage: Storage, *names: str) -> int | None:
    """The first of an attribute's names that the storage has."""
    found = (_bits(storage, name, None) for name in names)
    return next((value for value in found if value is not None), None)


def _level(storage: Storage, sections: dict[str, Field]) -> LevelSparsity:
    width = _first(storage, "metadata_storage_width", "metadata_width") or 0
    word = _first(storage, "metadata_datawidth", "metadata_word_bits")
    level = LevelSparsity(
        metadata_width=width,
        metadata_depth=_first(storage, "metadata_storage_depth", "metadata_depth"),
        metadata_datawidth=word or 0,
    )
    formats = _formats(sections["representation_format"], storage, level) if "representation_format" in sections else ()
    actions = _actions(sections["action_optimization"]) if "action_optimization" in sections else ()
    return LevelSparsity(formats, actions, width, level.metadata_depth, level.metadata_datawidth)


def _formats(field: Field, storage: Storage, level: LevelSparsity) -> tuple[tuple[str, Format], ...]:
    _only(field, ("data_spaces",), "a representation format")
    out: dict[str, Format] = {}
    for item in _need(field, "data_spaces").items():
        _only(item, ("name", "ranks", "rank_application_order"), "a data space's format")
        name = item.need("name").text()
        if name in out:
            item.fail(f"data space '{name}' has two formats at '{storage.name}'.")
        listed = item.need("ranks").items()
        if len(listed) > MAX_RANKS:
            item.key("ranks").fail(f"{len(listed)} ranks; hwsim reads up to {MAX_RANKS}.")
        if level.metadata_width == 0:
            item.fail(f"'{storage.name}' has no metadata_storage_width, the bits of one access of its metadata.")
        ranks = tuple(_rank(rank, storage, level) for rank in listed)
        order = _has(item, "rank_application_order")
        if order is not None and order.text().replace("-", "_") not in _ORDERS:
            order.fail(f"unknown order '{order.text()}'; expected {' or '.join(_ORDERS)}.")
        _check_order(item, ranks)
        if ranks:
            out[name] = Format(ranks, order is not None and order.text().replace("-", "_") == "inner_to_outer")
    return tuple(out.items())


def _check_order(item: Field, ranks: tuple[Rank, ...]) -> None:
    compressed = False
    for rank in ranks:
        plain = rank.format in ("UOP", "UB")
        if compressed and plain:
            item.key("ranks").fail(f"the uncompressed rank {rank.format} lies below a compressed one.")
        compressed = compressed or not plain


def _rank(item: Field, storage: Storage, level: LevelSparsity) -> Rank:
    _only(item, ("format", "flattened_rankIDs", "metadata_word_bits", "payload_word_bits", "name"), "a rank")
    kind = item.need("format").text().upper()
    if kind not in _FORMATS:
        item.key("format").fail(f"unknown format '{item.key('format').plain}'.{did_you_mean(kind, _FORMATS)}")
    flattened = _has(item, "flattened_rankIDs")
    lists = tuple(tuple(x.names()) for x in flattened.items()) if flattened is not None else ()
    metadata = _word(item, "metadata_word_bits", storage, level)
    payload = _word(item, "payload_word_bits", storage, level)
    if kind == "UB":
        metadata = payload = level.metadata_datawidth
    elif kind == "B" and _has(item, "metadata_word_bits") is None:
        metadata = 1
    return Rank(kind, lists, metadata, payload)  # type: ignore[arg-type]


def _word(item: Field, name: str, storage: Storage, level: LevelSparsity) -> int:
    """Bits of a unit: what is given, raised until a row of the metadata's memory holds a whole number of them."""
    given = _has(item, name)
    bits = level.metadata_datawidth if given is None else _bits(storage, name, given) or 0
    if given is not None and bits and level.metadata_width % bits:
        if bits > level.metadata_width:
            given.fail(f"{bits} bits do not fit a row of {level.metadata_width} bits.")
        bits = next(b for b in range(bits, level.metadata_width + 1) if level.metadata_width % b == 0)
    return bits


def _actions(field: Field) -> tuple[ActionOptimization, ...]:
    out = []
    for item in field.items():
        _only(item, ("type", "options", "name"), "an action optimization")
        kind = item.need("type").text()
        if "spatial" in kind:
            item.key("type").fail(f"'{kind}' is not modelled; 'gating' and 'skipping' are.")
        if kind not in ("gating", "skipping"):
            item.key("type").fail(f"unknown type '{kind}'.{did_you_mean(kind, ('gating', 'skipping'))}")
        listed = item.need("options").items()
        if len(listed) > MAX_OPTIONS:
            item.key("options").fail(f"{len(listed)} options; hwsim reads up to {MAX_OPTIONS}.")
        out.append(ActionOptimization(kind, tuple(_saving(x) for x in listed)))  # type: ignore[arg-type]
    return tuple(out)


def _saving(item: Field) -> Saving:
    _only(item, ("target", "condition_on"), "an option")
    conditions = tuple(_need(item, "condition_on").names())
    target = item.need("target").text()
    if not conditions or target in conditions:
        _need(item, "condition_on").fail(f"expected data spaces other than '{target}'.")
    return Saving(target, conditions)


def _compute(sections: dict[str, Field], item: Field) -> frozenset[str]:
    for name, section in sections.items():
        if name != "compute_optimization":
            section.fail("this is the datapath: it has a 'compute_optimization' alone.")
    kinds = set()
    for entry in sections["compute_optimization"].items() if "compute_optimization" in sections else ():
        entry.only({"type", "name"}, "a compute optimization")
        kind = entry.need("type").text()
        if kind not in ("gating", "skipping"):
            entry.key("type").fail(f"unknown type '{kind}'.{did_you_mean(kind, ('gating', 'skipping'))}")
        kinds.add(kind)
    return frozenset(kinds)


def check_sparsity(architecture: Architecture, data_spaces: tuple[str, ...], where: str) -> None:
    """Refuse optimizations of data spaces that a problem does not have.

    Raises:
        HwsimError: as said.
    """
    for name, level in architecture.sparsity.levels:
        named = {n for n, _ in level.formats}
        named |= {n for a in level.actions for s in a.options for n in (s.target, *s.conditions)}
        for wrong in sorted(named - set(data_spaces)):
            raise Field(None, where).fail(
                f"the sparse optimizations of '{name}' name the data space '{wrong}'; "
                f"the problem's are {', '.join(data_spaces)}."
            )
