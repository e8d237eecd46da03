"""Specifications from files: architecture, problem, mapping, components and prices, together or apart."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hwsim import arch_specs
from hwsim.architecture import Architecture
from hwsim.design.settings import COMPONENTS, Setting, apply_settings, same_value
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError, did_you_mean
from hwsim.hardware import Design
from hwsim.mapping import Mapping as LoopMapping
from hwsim.objective import Objective
from hwsim.pricing import price_architecture
from hwsim.spec.architecture import read_nodes
from hwsim.spec.document import Field, parse_document, read_document
from hwsim.spec.ert import read_ert
from hwsim.spec.legacy import apply_constraints, read_tree
from hwsim.spec.mapping import read_mapping
from hwsim.spec.problem import read_problem
from hwsim.spec.scope import Scope
from hwsim.workloads.problem import Problem

_CONSTRAINTS = ("architecture_constraints", "mapspace_constraints", "constraints")
_IGNORED = ("version", "mapper", "globals", "ART", "mapspace", "description")
MAX_NAME = 1_000
_PARTS = ("architecture", "arch", "problem", "mapping", "variables", "ERT", *_CONSTRAINTS, *COMPONENTS)


@dataclass(frozen=True)
class Spec:
    """What one specification asks for.

    Attributes:
        name: the file's name as the user gave it.
        mapping: None where the file holds none (it is to be searched).
        places: level → the directive of the mapping file that its loops come from.
        objective: what the file's ``mapper`` asks for; None where it says nothing.
    """

    name: str
    design: Design
    problem: Problem
    mapping: LoopMapping | None = None
    places: dict[str, Field] = field(default_factory=dict)
    objective: Objective | None = None

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
    known = shipped_architectures()
    text = os.fspath(arch)
    if text in known:
        return known[text]
    path = Path(text)
    if path.suffix in (".yaml", ".yml") or os.path.exists(path):
        return path
    raise HwsimError(f"no architecture of this name, and no such file.{did_you_mean(text, known)}", where=text)


def load_architecture(
    arch: str | os.PathLike[str], settings: Sequence[Setting] = (), *, own_prices: bool = False
) -> tuple[Architecture, EnergyTable]:
    """The two parts of `load_design`, as `hwsim.evaluate` and `hwsim.search` take them."""
    design = load_design(arch, settings, own_prices=own_prices)
    return design.architecture, design.energy


def load_design(arch: str | os.PathLike[str], settings: Sequence[Setting] = (), *, own_prices: bool = False) -> Design:
    """An architecture with its prices, by shipped name or file.

    The prices are the file's ``ERT``, that of ``NAME.ert.yaml`` beside it, or hwsim's own estimates.

    Args:
        arch: shipped name or file.
        settings: changes to attributes; where they change anything, hwsim's own estimates price the architecture, since
            a given table is that of the unchanged one.
        own_prices: estimate all prices even where nothing is changed, to compare like with like.

    Raises:
        HwsimError: the file cannot be read or has a fault, or a setting names no component.
    """
    return build_design(_anchored(_read(find_architecture(arch))), settings, own_prices=own_prices)


def read_architecture(arch: str | os.PathLike[str], text: str | None = None) -> Field:
    """The document of an architecture, of which `build_design` makes as many designs as are wanted.

    Args:
        arch: shipped name or file.
        text: the file's content, where the file itself is on another machine.

    Raises:
        HwsimError: the file cannot be read, or holds no architecture.
    """
    return _anchored(_read(find_architecture(arch)) if text is None else _known(parse_document(text, os.fspath(arch))))


def build_design(document: Field, settings: Sequence[Setting] = (), *, own_prices: bool = False) -> Design:
    """An architecture with its prices from a document; see `load_design`."""
    path = Path(document.file)
    if not settings:
        return _priced([document], path, own_prices=own_prices)
    changed = apply_settings(document, settings)
    if not own_prices and _same(changed, document):
        return _priced([changed], path)
    return _priced([changed], path, own_prices=True)


def _same(changed: Field, document: Field) -> bool:
    """Whether a changed design is the one before: in what its attributes say, and in what they come to.

    An attribute that is new says nothing new where neither the model nor any price takes notice.
    """
    path = Path(document.file)
    now, _ = _architecture([changed], path)
    then, _ = _architecture([document], path)
    if now != then:
        return False
    more = False
    for a, b in zip((*now.levels, now.compute), (*then.levels, then.compute), strict=True):
        if any(not same_value(name, a.attributes.get(name), value) for name, value in b.attributes.items()):
            return False
        more = more or len(a.attributes) > len(b.attributes)
    if not more:
        return True
    own, before = (_priced([d], path, own_prices=True).energy for d in (changed, document))
    return (own.actions, own.area_um2) == (before.actions, before.area_um2)


def _anchored(document: Field) -> Field:
    if not document.has("architecture"):
        document.fail("'architecture' is missing.")
    return document


def load_specs(paths: Sequence[str | os.PathLike[str]], anchor: str = "mapping") -> list[Spec]:
    """Specifications, one per file that holds the anchor (``mapping``, or ``problem`` where it is to be searched).

    Files without the anchor are parts that all specifications share: an architecture, a problem, components.

    Raises:
        HwsimError: a file cannot be read or has a fault, a part is missing or given twice.
    """
    documents = [_read(Path(path)) for path in paths]
    anchored = [d for d in documents if d.has(anchor)]
    if not anchored:
        files = ", ".join(d.file for d in documents)
        raise HwsimError(f"no '{anchor}' in {'any of ' if len(documents) > 1 else ''}the files.", where=files)
    shared = [d for d in documents if not d.has(anchor)]
    return [_spec(document, [document, *shared], with_mapping=anchor == "mapping") for document in anchored]


def _read(path: Path) -> Field:
    return _known(read_document(path))


def _known(document: Field) -> Field:
    if not isinstance(document.plain, dict):
        document.fail("expected a mapping with 'architecture', 'problem', 'mapping' …")
    for name in document.mapping():
        if name not in _PARTS and name not in _IGNORED:
            document.fail(f"unknown key '{name}'.{did_you_mean(name, _PARTS)}")
    return document


def _part(documents: list[Field], *names: str) -> Field | None:
    """The one field of these names among the documents; None where there is none."""
    found = [d.key(name) for d in documents for name in names if d.has(name)]
    if len(found) > 1:
        found[1].fail(f"given twice: in {found[0].file} and in {found[1].file}.")
    return found[0] if found else None


def _variables(documents: list[Field]) -> Mapping[str, Any]:
    fields: dict[str, Field] = {}
    for document in documents:
        fields |= {k: v for k, v in document.key("variables").mapping().items() if k != "version"}
    return Scope(fields)


def _priced(documents: list[Field], path: Path, *, own_prices: bool = False) -> Design:
    architecture, variables = _architecture(documents, path)
    return Design(architecture, _energy(documents, architecture, variables, own_prices))


def _architecture(documents: list[Field], path: Path) -> tuple[Architecture, Mapping[str, Any]]:
    """The architecture without its prices, and the variables that expressions may read."""
    top = _part(documents, "architecture")
    assert top is not None
    variables = _variables(documents)
    name = path.name.removesuffix(path.suffix)
    legacy = top.has("subtree") and not top.has("nodes")
    architecture = read_tree(top, variables, name) if legacy else read_nodes(top, variables, name)
    for document in documents:
        for key in _CONSTRAINTS:
            if document.has(key):
                architecture = apply_constraints(architecture, document.key(key))
    return architecture, variables


def _energy(
    documents: list[Field], architecture: Architecture, variables: Mapping[str, Any], own_prices: bool
) -> EnergyTable:
    file = Path(architecture.source)
    ert, beside = _part(documents, "ERT"), file.with_name(file.stem + ".ert.yaml")
    given = f"the ERT of {ert.file}" if ert is not None else f"the table {beside.name}" if beside.is_file() else ""
    if given and not own_prices:
        return read_ert(read_document(beside).only({"ERT"}).need("ERT") if ert is None else ert, architecture)

    classes = [d.key(key) for d in documents for key in COMPONENTS if d.has(key)]
    table: EnergyTable = price_architecture(architecture, classes, variables)
    return replace(table, instead_of=given)


def _spec(document: Field, documents: list[Field], *, with_mapping: bool) -> Spec:
    if _part(documents, "arch", "architecture") is None:
        document.fail("'architecture' (or 'arch: NAME' of one that comes with hwsim) is missing.")
    named = _part(documents, "arch")
    if named is not None:
        path = _named(named)
        own = [d for d in documents if not d.has("arch")] + [
            Field({k: v for k, v in d.plain.items() if k != "arch"}, d.file, d.path) for d in documents if d.has("arch")
        ]
        design = _priced([_read(path), *own], path)
    else:
        design = _priced(documents, Path(document.file))
    problem_field = _part(documents, "problem")
    if problem_field is None:
        document.fail("'problem' is missing.")
    problem = read_problem(problem_field, _variables(documents))
    design.architecture.bind(tuple(x.name for x in problem.data_spaces))
    if not with_mapping:
        return Spec(document.file, design, problem, objective=_objective(documents))
    mapping, places = read_mapping(document.key("mapping"), design.architecture, problem)
    return Spec(document.file, design, problem, mapping, places)


#: Timeloop's metrics by the names of hwsim's figures.
_METRICS = {"edp": "edp", "energy": "energy", "delay": "latency"}


def _objective(documents: list[Field]) -> Objective | None:
    """What ``optimization_metrics`` of a ``mapper`` asks for, in order."""
    mapper = _part(documents, "mapper")
    keys = ("optimization_metrics", "optimization-metrics", "optimization_metric", "optimization-metric")
    key = next((k for k in keys if mapper is not None and mapper.has(k)), None)
    if mapper is None or key is None:
        return None
    metrics = mapper.key(key)
    names = [metrics.plain] if isinstance(metrics.plain, str) else metrics.names()
    for name in names:
        if name not in _METRICS:
            metrics.fail(
                f"'{name}' is not minimised by hwsim; {', '.join(_METRICS)} are.{did_you_mean(name, _METRICS)}"
            )
    return Objective.parse(",".join(_METRICS[name] for name in names))


def _named(field: Field) -> Path:
    """The file that ``arch: NAME`` means: shipped, or in the folder of the specification."""
    known = shipped_architectures()
    name = field.text()
    if name in known:
        return known[name]
    folder = Path(field.file).resolve().parent
    path = (folder / name[:MAX_NAME]).resolve()
    if folder not in path.parents or not path.is_file():
        field.fail(f"no architecture '{name}', and no such file beside this one.{did_you_mean(name, known)}")
    return path
