"""Specifications from files: architecture, problem, mapping, components and prices, together or apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hwsim import arch_specs
from hwsim.architecture import Architecture, Storage
from hwsim.design.parts import METRICS, Parts, check_mapper, known, missing
from hwsim.design.settings import Setting, apply_settings, same_value
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError, did_you_mean, printable
from hwsim.hardware import Design
from hwsim.mapping import Mapping as LoopMapping
from hwsim.objective import Objective
from hwsim.pricing import class_fields, price_architecture, price_units
from hwsim.spec.architecture import check_branches, read_any
from hwsim.spec.components import read_components
from hwsim.spec.constraints import check_dimensions
from hwsim.spec.document import Field, parse_document, plain_data, read_document
from hwsim.spec.ert import read_ert
from hwsim.spec.legacy import apply_constraints
from hwsim.spec.mapping import mapping_to_timeloop, read_mapping
from hwsim.spec.nodes import plain as attributes_of
from hwsim.spec.notes import collected, note
from hwsim.spec.problem import read_problem
from hwsim.spec.scope import Scope
from hwsim.spec.source import Sources
from hwsim.spec.sparsity import check_sparsity, read_sparsity
from hwsim.spec.template import is_template
from hwsim.spec.write import architecture_to_timeloop, prices_to_timeloop, problem_to_timeloop
from hwsim.workloads.problem import Problem

MAX_NAME = 1_000


@dataclass(frozen=True)
class Spec:
    """What one specification asks for.

    Attributes:
        name: the file's name as the user gave it.
        mapping: None where the file holds none (it is to be searched).
        places: level → the directive of the mapping file that its loops come from.
        objective: what the file's ``mapper`` asks for; None where it says nothing.
        notes: what the files say and hwsim does not act on, none of which changes a figure.
    """

    name: str
    design: Design
    problem: Problem
    mapping: LoopMapping | None = None
    places: dict[str, Field] = field(default_factory=dict)
    objective: Objective | None = None
    notes: tuple[str, ...] = ()

    @property
    def architecture(self) -> Architecture:
        """The design's."""
        return self.design.architecture

    @property
    def energy(self) -> EnergyTable:
        """The design's prices."""
        return self.design.energy


def shipped_architectures() -> dict[str, Path]:
    """Name → file of the architectures that come with hwsim."""
    folder = Path(next(iter(arch_specs.__path__)))
    return {p.stem: p for p in sorted(folder.glob("*.yaml")) if not p.name.endswith(".ert.yaml")}


def find_architecture(arch: str | os.PathLike[str]) -> Path:
    """The file of a shipped architecture or of a path.

    Raises:
        HwsimError: neither a shipped name nor a file.
    """
    shipped = shipped_architectures()
    text = os.fspath(arch)
    if text in shipped:
        return shipped[text]
    path = Path(text)
    if path.suffix in (".yaml", ".yml") or os.path.exists(path):
        return path
    raise HwsimError(f"no architecture of this name, and no such file.{did_you_mean(text, shipped)}", where=text)


Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A shipped name, a file, or several files: one with the architecture, the others with its components, variables …"""


def load_architecture(
    arch: Files, settings: Sequence[Setting] = (), *, own_prices: bool = False
) -> tuple[Architecture, EnergyTable]:
    """The two parts of `load_design`, as `hwsim.evaluate` and `hwsim.search` take them."""
    design = load_design(arch, settings, own_prices=own_prices)
    return design.architecture, design.energy


def load_design(
    arch: Files,
    settings: Sequence[Setting] = (),
    *,
    own_prices: bool = False,
    jinja: Mapping[str, Any] | None = None,
    include: Sequence[str | os.PathLike[str]] = (),
    unpriced: bool = False,
) -> Design:
    """An architecture with its prices, by shipped name or files.

    The prices are the files' ``ERT``, that of ``NAME.ert.yaml`` beside it, or hwsim's own estimates.

    Args:
        arch: shipped name, file, or files.
        settings: changes to attributes; where they change anything, hwsim's own estimates price the architecture, since
            a given table is that of the unchanged one.
        own_prices: estimate all prices even where nothing is changed, to compare like with like.
        jinja: variables of templates.
        include: folders that the files may take others from, besides their own.
        unpriced: take designs, too, that have components without a price (`EnergyTable.unpriced`).

    Raises:
        HwsimError: a file cannot be read or has a fault, a setting names no component, or a component has no price.
    """
    first, rest = _anchored(_documents(arch, jinja, include))
    design = _changed(first, settings, rest, own_prices=own_prices)
    check_branches(design.architecture)
    if not unpriced:
        design.energy.priced()
    return design


def load_prices(
    arch: Sequence[str | os.PathLike[str]],
    *,
    jinja: Mapping[str, Any] | None = None,
    include: Sequence[str | os.PathLike[str]] = (),
) -> tuple[str, EnergyTable]:
    """A design's name, and what the actions of all its components cost; see `load_design`.

    Components that neither store nor compute are priced, too, and designs that are no hierarchy.
    """
    documents = _documents(arch, jinja, include)
    first, rest = _anchored(documents)
    parts = Parts([first, *rest])
    top = parts.one("architecture") or parts.one("arch")
    assert top is not None
    variables = parts.variables()
    units = [] if top.has("storage") else read_components(top, variables)
    fault: HwsimError | None = None
    try:
        with collected(quiet=True) as notes:
            design = _changed(first, (), rest, own_prices=False)
        own = set(design.energy.actions) | set(design.energy.unpriced)
        units = [unit for unit in units if unit.name not in own]
        name, table = design.name, design.energy
        for text in notes:
            if not any(f"'{unit.name}'" in text for unit in units):  # those are priced below
                note(text)
    except HwsimError as error:
        in_hierarchy = error.where == printable(first.file) or error.where.startswith(printable(top.where))
        if not units or not in_hierarchy:  # a table that is wrong is no reason to price by estimates
            raise
        fault = error
        name, table = Path(first.file).stem, EnergyTable({}, {}, first.file)
    more = price_units(units, first.file, parts.all("components"), variables)
    if fault is not None:
        if set(more.unpriced) == {unit.name for unit in units}:
            raise fault
        note(f"no design to map networks on: {fault}")
    return name, replace(
        table,
        actions=table.actions | more.actions,
        area_um2=table.area_um2 | more.area_um2,
        unpriced=table.unpriced | more.unpriced,
    )


def load_content(
    paths: Sequence[str | os.PathLike[str]],
    *,
    jinja: Mapping[str, Any] | None = None,
    include: Sequence[str | os.PathLike[str]] = (),
) -> dict[str, Any]:
    """What files say, as the parts of one v0.4 specification: architecture, and problem, mapping, prices where given.

    Prices are those of a table; else the design's own classes go along, with the variables that they may read.

    Raises:
        HwsimError: see `load_specs` and `load_design`.
    """
    documents = _documents(paths, jinja, include)
    first, rest = _anchored(documents)
    parts = Parts([first, *rest])
    design = _changed(first, (), rest, own_prices=False)
    out: dict[str, Any] = {"architecture": architecture_to_timeloop(design.architecture)}
    given, mappings = parts.one("problem"), parts.all("mapping")
    if given is not None:
        problem = read_problem(given, parts.variables())
        out["problem"] = problem_to_timeloop(problem)
        if mappings and mappings[0].plain:
            mapping, _ = read_mapping(mappings[0], design.architecture, problem)
            out["mapping"] = mapping_to_timeloop(mapping, design.architecture, problem)
    if design.prices.startswith("hwsim's estimates"):
        classes = [plain_data(item.value) for field in parts.all("components") for item in class_fields(field)]
        if classes:
            out["components"] = {"version": 0.4, "classes": classes}
            values = attributes_of(parts.variables())
            out |= {"variables": values} if values else {}
    else:
        out["ERT"] = prices_to_timeloop(design.energy)
    return out


def _documents(arch: Files, jinja: Mapping[str, Any] | None, include: Sequence[str | os.PathLike[str]]) -> list[Field]:
    """The documents of a design's files; a shipped name stands alone or first."""
    paths = [arch] if isinstance(arch, str | os.PathLike) else list(arch)
    if not paths:
        raise HwsimError("no architecture is named.")
    shipped = shipped_architectures()
    found = [find_architecture(path) if len(paths) == 1 or os.fspath(path) in shipped else Path(path) for path in paths]
    sources = Sources(found, jinja, include)
    return [known(sources.read(path)) for path in found]


def read_architecture(arch: str | os.PathLike[str], text: str | None = None) -> Field:
    """The document of an architecture, of which `build_design` makes as many designs as are wanted.

    Args:
        arch: shipped name or file.
        text: the file's content, where the file itself is on another machine; it cannot include others then.

    Raises:
        HwsimError: the file cannot be read, or holds no architecture.
    """
    if text is None:
        path = find_architecture(arch)
        document = Sources([path]).read(path)
    elif is_template(text):
        raise HwsimError(
            "it is a template; `hwsim import FILES -o arch.yaml` makes one plain file of it.", where=os.fspath(arch)
        )
    else:
        document = parse_document(text, os.fspath(arch))
    return _anchored([known(document)])[0]


def build_design(document: Field, settings: Sequence[Setting] = (), *, own_prices: bool = False) -> Design:
    """An architecture with its prices from a document; see `load_design`."""
    design = _changed(document, settings, (), own_prices=own_prices)
    check_branches(design.architecture)
    design.energy.priced()
    return design


def _changed(document: Field, settings: Sequence[Setting], shared: Sequence[Field], *, own_prices: bool) -> Design:
    """A design from the document with its architecture and from others with its components, variables …"""
    path = Path(document.file)
    if not settings:
        return _priced([document, *shared], path, own_prices=own_prices)
    changed = apply_settings(document, settings, Parts([document, *shared]).all("components"))
    if not own_prices and _same(changed, document, shared):
        return _priced([changed, *shared], path)
    return _priced([changed, *shared], path, own_prices=True)


def _same(changed: Field, document: Field, shared: Sequence[Field]) -> bool:
    """Whether a changed design is the one before: in what its attributes say, and in what they come to.

    An attribute that is new says nothing new where neither the model nor any price takes notice.
    """
    path = Path(document.file)
    now, _ = _architecture([changed, *shared], path)
    then, _ = _architecture([document, *shared], path)
    if now != then:
        return False
    more = False
    for a, b in zip((*now.levels, now.compute), (*then.levels, then.compute), strict=True):
        if any(not same_value(name, a.attributes.get(name), value) for name, value in b.attributes.items()):
            return False
        more = more or len(a.attributes) > len(b.attributes)
    if not more:
        return True
    own, before = (_priced([d, *shared], path, own_prices=True).energy for d in (changed, document))
    return (own.actions, own.area_um2) == (before.actions, before.area_um2)


def _anchored(documents: Sequence[Field]) -> tuple[Field, list[Field]]:
    """The document with the architecture, and the others."""
    found = [d for d in documents if _holds_architecture(d)]
    if not found:
        documents[0].fail("'architecture' is missing.")
    if len(found) > 1:
        found[1].fail(f"'architecture' is given twice: in {found[0].file} and in {found[1].file}.")
    return found[0], [d for d in documents if d is not found[0]]


def _holds_architecture(document: Field) -> bool:
    return document.has("architecture") or isinstance(document.key("arch").plain, dict)


def load_specs(
    paths: Sequence[str | os.PathLike[str]],
    anchor: str = "mapping",
    *,
    jinja: Mapping[str, Any] | None = None,
    include: Sequence[str | os.PathLike[str]] = (),
) -> list[Spec]:
    """Specifications, one per file that holds the anchor (``mapping``, or ``problem`` where it is to be searched).

    Files without the anchor are parts that all specifications share: an architecture, a problem, components.

    Args:
        jinja: variables of templates.
        include: folders that the files may take others from, besides their own.

    Raises:
        HwsimError: a file cannot be read or has a fault, a part is missing or given twice.
    """
    loaded = load_each(paths, anchor, jinja=jinja, include=include)
    for one in loaded:
        if isinstance(one, HwsimError):
            raise one
    return [one for one in loaded if isinstance(one, Spec)]


def load_each(
    paths: Sequence[str | os.PathLike[str]],
    anchor: str = "mapping",
    *,
    jinja: Mapping[str, Any] | None = None,
    include: Sequence[str | os.PathLike[str]] = (),
) -> list[Spec | HwsimError]:
    """`load_specs`, where each specification is itself or what is wrong with it, in the order of the files.

    Raises:
        HwsimError: none can be had.
    """
    sources = Sources(paths, jinja, include)
    documents: list[Field | HwsimError] = []
    for path in paths:
        try:
            documents.append(known(sources.read(path)))
        except HwsimError as error:
            documents.append(error)
    read = [d for d in documents if isinstance(d, Field)]
    anchored = [d for d in read if Parts([d]).all(anchor)]
    faults = [d for d in documents if isinstance(d, HwsimError)]
    if not anchored:
        raise faults[0] if faults else missing(anchor, read)
    shared = [d for d in read if d not in anchored]
    # What a file that cannot be read would have given nobody knows: one more specification where there are several,
    # but a part of it where there is one, and prices where no other file has them.
    in_doubt = len(anchored) == 1 or not any(Parts([d]).all("ERT") for d in read)
    out: list[Spec | HwsimError] = []
    for document in documents:
        if isinstance(document, HwsimError):
            out.append(document)
        elif document in anchored and faults and in_doubt and not _whole(document):
            out.append(faults[0])
        elif document in anchored:
            try:
                out.append(_noted([document, *shared], anchor))
            except HwsimError as error:
                out.append(error)
    if not any(isinstance(one, Spec) for one in out):
        raise next(one for one in (*faults, *out) if isinstance(one, HwsimError))
    return out


def _whole(document: Field) -> bool:
    """Whether a file needs no other one: it has an architecture and a problem."""
    parts = Parts([document])
    return bool(parts.all("architecture") or parts.all("arch")) and bool(parts.all("problem"))


def _noted(documents: list[Field], anchor: str) -> Spec:
    with collected() as notes:
        spec = _spec(Parts(documents), with_mapping=anchor == "mapping")
    return replace(spec, notes=tuple(notes))


def _priced(documents: Sequence[Field], path: Path, *, own_prices: bool = False) -> Design:
    parts = Parts(documents)
    architecture, variables = _architecture(documents, path)
    return Design(architecture, _energy(parts, architecture, variables, own_prices))


def _architecture(documents: Sequence[Field], path: Path) -> tuple[Architecture, Scope]:
    """The architecture without its prices, and the variables that expressions may read."""
    parts = Parts(documents)
    parts.sections()
    top = parts.one("architecture") or parts.one("arch")
    assert top is not None
    variables = parts.variables()
    name = path.name.removesuffix(path.suffix)
    architecture = read_any(top, variables, name)
    for listed in [*parts.all("constraints"), *parts.all("mapspace")]:
        architecture = apply_constraints(architecture, listed, variables)
    sparsity = read_sparsity(architecture, top, parts.all("sparse_optimizations"))
    return replace(architecture, sparsity=sparsity), variables


def _energy(parts: Parts, architecture: Architecture, variables: Scope, own_prices: bool) -> EnergyTable:
    file = Path(architecture.source)
    ert, beside = parts.one("ERT"), file.with_name(file.stem + ".ert.yaml")
    if ert is not None and not ert.key("tables").plain:
        ert = None
    given = f"the ERT of {ert.file}" if ert is not None else f"the table {beside.name}" if beside.is_file() else ""
    if given and not own_prices:
        return read_ert(read_document(beside).only({"ERT"}).need("ERT") if ert is None else ert, architecture)

    table: EnergyTable = price_architecture(architecture, parts.all("components"), variables)
    return replace(table, instead_of=given)


def _spec(parts: Parts, *, with_mapping: bool) -> Spec:
    document = parts.documents[0]
    named = parts.one("arch")
    if named is None and parts.one("architecture") is None:
        document.fail("'architecture' (or 'arch: NAME' of one that comes with hwsim) is missing.")
    if named is not None and not isinstance(named.plain, dict):
        path = _named(named)
        own = [Field({k: v for k, v in d.plain.items() if k != "arch"}, d.file, d.path) for d in parts.documents]
        design = _priced([known(Sources([path]).read(path)), *own], path)
    else:
        design = _priced(parts.documents, Path(document.file))
    problem_field = parts.one("problem")
    if problem_field is None:
        document.fail("'problem' is missing.")
    problem = read_problem(problem_field, parts.variables())
    if not parts.first_read_elided():
        design = replace(design, architecture=_reading_first(design.architecture, problem))
    design.architecture.bind(tuple(x.name for x in problem.data_spaces))
    check_sparsity(design.architecture, tuple(x.name for x in problem.data_spaces), document.file)
    if not with_mapping:
        check_branches(design.architecture)
        check_dimensions(design.architecture, problem)
        return Spec(document.file, design, problem, objective=_objective(parts))
    (mapping_field,) = Parts([document]).all("mapping")[:1]
    mapping, places = read_mapping(mapping_field, design.architecture, problem)
    return Spec(document.file, design, problem, mapping, places)


def _reading_first(architecture: Architecture, problem: Problem) -> Architecture:
    """The architecture whose every storage reads a result before its first update, too."""
    results = frozenset(x.name for x in problem.data_spaces if x.read_write)
    levels = [
        replace(
            x, constraints=replace(x.constraints, temporal=replace(x.constraints.temporal, rmw_first_update=results))
        )
        if isinstance(x, Storage)
        else x
        for x in architecture.levels
    ]
    return replace(architecture, levels=tuple(levels))


#: Timeloop's metrics by the names of hwsim's figures.
_METRICS = {"edp": "edp", "energy": "energy", "delay": "latency"}


def _objective(parts: Parts) -> Objective | None:
    """What ``optimization_metrics`` of a ``mapper`` asks for, in order."""
    mapper = parts.one("mapper")
    if mapper is None:
        return None
    check_mapper(mapper)
    key = next((k for k in mapper.mapping() if k.replace("-", "_") in METRICS and mapper.key(k).plain), None)
    if key is None:
        return None
    metrics = mapper.key(key)
    names = [metrics.plain] if isinstance(metrics.plain, str) else metrics.names()
    for k, name in enumerate(names):
        if k > 0 and name.replace("-", "_") == "last_level_accesses":
            note("ties are not broken by last_level_accesses, but by hwsim's own order.", metrics.where)
        elif name not in _METRICS:
            metrics.fail(
                f"'{name}' is not minimised by hwsim; {', '.join(_METRICS)} are.{did_you_mean(name, _METRICS)}"
            )
    return Objective.parse(",".join(_METRICS[name] for name in names if name in _METRICS))


def _named(field: Field) -> Path:
    """The file that ``arch: NAME`` means: shipped, or in the folder of the specification."""
    shipped = shipped_architectures()
    name = field.text()
    if name in shipped:
        return shipped[name]
    folder = Path(field.file).resolve().parent
    path = (folder / name[:MAX_NAME]).resolve()
    if folder not in path.parents or not path.is_file():
        field.fail(f"no architecture '{name}', and no such file beside this one.{did_you_mean(name, shipped)}")
    return path
