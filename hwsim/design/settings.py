"""Changes to an architecture: ``shared_glb.depth=8192``, ``PE.meshX=32``, ``*.technology=32nm``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hwsim.architecture import Architecture
from hwsim.errors import HwsimError, did_you_mean
from hwsim.pricing import class_attributes
from hwsim.pricing.scaling import nanometres
from hwsim.spec import nodes
from hwsim.spec.document import Field, Included, Tagged, bare, describe, parse_document

_MESH = ("meshX", "meshY")
_CHILDREN = ("nodes", "subtree", "local")
MAX_VALUE = 2_000


@dataclass(frozen=True)
class Setting:
    """One change: attribute ``name`` of every component or container that ``component`` (a pattern) matches."""

    component: str
    name: str
    value: Any

    @staticmethod
    def parse(text: str) -> Setting:
        """Read ``COMPONENT.ATTRIBUTE=VALUE``; the component may hold ``*`` and ``?``.

        Raises:
            HwsimError: it has another form, or the value is no number or word.
        """
        target, equals, raw = text.partition("=")
        component, dot, name = target.strip().rpartition(".")
        where = f"--set {text}"
        if not equals or not dot or not component or not name or not raw.strip():
            raise HwsimError("expected COMPONENT.ATTRIBUTE=VALUE, such as shared_glb.depth=8192.", where=where)
        if len(raw) > MAX_VALUE:
            raise HwsimError(f"a value may have up to {MAX_VALUE:,} characters, not {len(raw):,}.", where=where)
        try:
            value = parse_document(raw).plain
        except HwsimError as error:
            raise HwsimError(f"the value '{raw}' cannot be read.", where=where) from error
        if not isinstance(value, str | int | float | bool):
            raise HwsimError(f"expected a number or a word as value, found {describe(value)}.", where=where)
        return Setting(component, name, value)

    def __str__(self) -> str:
        return f"{self.component}.{self.name}={self.value}"


@dataclass(frozen=True)
class _Node:
    """A named component or container of the document."""

    plain: dict[str, Any]
    container: bool

    @property
    def name(self) -> str:
        """``PE[0..255]`` → ``PE``."""
        return str(self.plain["name"]).partition("[")[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """What it says itself; empty where that is no mapping, which its reader reports."""
        given = bare(self.plain.get("attributes"))
        return given if isinstance(given, dict) else {}


def _named(value: Any, where: str = "") -> Iterator[_Node]:
    """Every named component and container below a value of the document; ``where``: the key that it stands under."""
    value = value.value if isinstance(value, Included) else value
    tag = value.tag if isinstance(value, Tagged) else ""
    value = bare(value)
    if isinstance(value, list):
        for item in value:
            yield from _named(item, where)
    elif isinstance(value, dict):
        if isinstance(value.get("name"), str):
            yield _Node(value, tag == "Container" or where == "subtree")
        for key in _CHILDREN:
            yield from _named(value.get(key), key)


#: What the array simulator reads of the compute unit (`hwsim.array.arithmetic`).
_COMPUTED = {"multiplier_width", "datawidth", "adder_width", "overflow"}


class _Known:
    """Which attributes mean something to a node: what it says or inherits, and what its class knows."""

    def __init__(self, found: Sequence[_Node], classes: Sequence[Field]) -> None:
        self._inherited = {name for node in found if node.container for name in node.attributes}
        self._own: dict[int, set[str]] = {}
        for node in found:
            kinds = [str(node.plain[k]) for k in ("class", "subclass") if isinstance(node.plain.get(k), str)]
            names = {"technology", "global_cycle_seconds"} | set(node.attributes)
            names = names.union(*(class_attributes(kind, classes) for kind in kinds))
            if any(nodes.is_storage(kind) for kind in kinds):
                names |= {name for group in nodes.ALIASES.values() for name in group}
            elif not node.container:
                names |= _COMPUTED
            self._own[id(node)] = names
        self._all = self._inherited.union(*self._own.values())

    def of(self, node: _Node) -> set[str]:
        """What may be set; of a container, what anything inside could inherit."""
        return {*_MESH, "systolic"} | (self._all if node.container else self._own[id(node)] | self._inherited)


def apply_settings(document: Field, settings: Sequence[Setting], classes: Sequence[Field] = ()) -> Field:
    """The document with its architecture changed; ``classes``: compound components that it may use.

    A pattern reaches those of the components it matches that know the attribute.

    Raises:
        HwsimError: no component matches, or none of them knows the attribute.
    """
    plain: Mapping[str, Any] = deepcopy(document.plain)
    top = bare(plain["architecture"])
    found = list(_named(top))
    known = _Known(found, classes)
    nested = isinstance(top, dict) and top.get("subtree") is not None and top.get("nodes") is None
    for setting in settings:
        where = f"--set {setting}"
        hits = [n for n in found if fnmatchcase(n.name, setting.component)]
        if not hits:
            hint = did_you_mean(setting.component, [n.name for n in found])
            raise HwsimError(f"no component '{setting.component}' in {document.file}.{hint}", where=where)
        able = [n for n in hits if setting.name in known.of(n)]
        if not able:
            names = set[str]().union(*(known.of(n) for n in hits))
            of = f"'{hits[0].name}'" if len(hits) == 1 else f"any of {', '.join(n.name for n in hits)}"
            hint = did_you_mean(setting.name, names)
            raise HwsimError(f"'{setting.name}' is no attribute of {of}.{hint}", where=where)
        for node in able:
            mesh = setting.name in _MESH and not nested  # an attribute in the older form
            part = bare(node.plain.get("spatial" if mesh else "attributes")) or {}
            if isinstance(part, dict):  # anything else is the reader's to report
                node.plain["spatial" if mesh else "attributes"] = part | {setting.name: setting.value}
    return Field(plain, document.file, document.path)


def same_value(name: str, a: Any, b: Any) -> bool:
    """Whether two values of an attribute mean the same: 32nm and 32, 16384 and 16384.0."""
    if name == "technology" and nanometres(a) is not None:
        return nanometres(a) == nanometres(b)
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def word_settings(architecture: Architecture, bits: int) -> list[Setting]:
    """Changes that make a design one of ``bits``-wide words.

    Every storage's words take ``bits``; entries of one word shrink with them, wider ones hold more words. The
    multiplier becomes bits × bits and the adder twice that.
    """
    out = []
    for level in architecture.storages:
        out.append(Setting(level.name, "datawidth", bits))
        if level.width == level.datawidth:
            out.append(Setting(level.name, "width", bits))
    for name, width in (("multiplier_width", bits), ("adder_width", 2 * bits)):
        if name in architecture.compute.attributes:
            out.append(Setting(architecture.compute.name, name, width))
    return out
