"""Reading YAML that comes from strangers: bounded, safe, and every value knows its place.

PyYAML composes the node graph; the values are built here, so that aliases are
expanded under a limit, cycles are refused, repeated keys are reported and tags such
as ``!Component`` are kept. The result is a `Field`: a value with file and path, whose
methods check what they return.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import yaml

from hwsim.errors import HwsimError, did_you_mean, shown_value
from hwsim.files import read_text

MAX_BYTES = 16 * 2**20
MAX_NODES = 500_000
MAX_DEPTH = 100
MAX_TEXT = 10_000
MAX_NUMBER = 500
MAX_KEY = 500
MAX_INTEGER = 2**62
_UNFIT = re.compile("[\0\ud800-\udfff]")
_CORE = "tag:yaml.org,2002:"
_MERGE = _CORE + "merge"
DEEP_MERGE = "<<<"
INCLUDED = "include_loaded"  # what a template writes for a file that it takes in
_INCLUDES = ("include", "includedir", INCLUDED)
_LIBCONFIG = re.compile(r"^\s*\w+\s*[:=]?\s*\n?\s*\{\s*\n(.*\n)*?.*=.*;", re.MULTILINE)
_ATOMS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Tagged:
    """A value that carries a YAML tag of its own, without the ``!``."""

    tag: str
    value: Any


@dataclass(frozen=True)
class Included:
    """A value that stands in another file than what is around it."""

    value: Any
    file: str
    path: str


def bare(value: Any) -> Any:
    """A value without its tag, wherever it stands."""
    while isinstance(value, Tagged | Included):
        value = value.value
    return value


def plain_data(value: Any) -> Any:
    """A value with all that is in it, without tags and places: dicts, lists, text and numbers."""
    value = bare(value)
    if isinstance(value, dict):
        return {key: plain_data(item) for key, item in value.items()}
    return [plain_data(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Field:
    """A value of a file and where it stands.

    Attributes:
        value: plain data (dict, list, str, int, float, bool, None) or `Tagged`.
        file: the file's name as the user gave it.
        path: field path inside it, ``architecture.nodes[2].attributes``.
    """

    value: Any
    file: str
    path: str = ""

    @property
    def where(self) -> str:
        """File and path, as errors print them."""
        return ": ".join(part for part in (self.file, self.path) if part)

    @property
    def tag(self) -> str:
        """The YAML tag without ``!``; empty where there is none."""
        return self.value.tag if isinstance(self.value, Tagged) else ""

    @property
    def plain(self) -> Any:
        """The value without its tag."""
        return self.value.value if isinstance(self.value, Tagged) else self.value

    def fail(self, message: str) -> NoReturn:
        """Raise `HwsimError` for this place."""
        raise HwsimError(message, where=self.where)

    def key(self, name: str) -> Field:
        """The place of a key (its value is None where it is absent)."""
        value = self.plain.get(name) if isinstance(self.plain, dict) else None
        return self._placed(value, f"{self.path}.{name}" if self.path else name)

    def _placed(self, value: Any, path: str) -> Field:
        if isinstance(value, Included):
            return Field(value.value, value.file, value.path)
        return Field(value, self.file, path)

    def has(self, name: str) -> bool:
        """True where the mapping has the key and its value is not null."""
        return isinstance(self.plain, dict) and bare(self.plain.get(name)) is not None

    def need(self, name: str) -> Field:
        """The key's field; an error where it is missing."""
        self.mapping()
        if not self.has(name):
            self.fail(f"'{name}' is missing.{self._near(name)}")
        return self.key(name)

    def _near(self, name: str) -> str:
        present = [k for k in self.plain or () if isinstance(k, str)]
        return f" Present: {', '.join(present)}." if present else ""

    def mapping(self) -> dict[str, Field]:
        """Keys and fields of a mapping (null counts as empty)."""
        if self.plain is None:
            return {}
        if not isinstance(self.plain, dict):
            self.fail(f"expected a mapping (key: value), found {describe(self.plain)}.")
        for name in self.plain:
            if not isinstance(name, str):
                self.fail(f"key {name!r} should be text; put it in quotes.")
        return {name: self.key(name) for name in self.plain}

    def items(self) -> list[Field]:
        """Fields of a list (null counts as empty)."""
        if self.plain is None:
            return []
        if not isinstance(self.plain, list):
            self.fail(f"expected a list, found {describe(self.plain)}.")
        return [self._placed(value, f"{self.path}[{i}]") for i, value in enumerate(self.plain)]

    def only(self, known: Iterable[str], what: str = "") -> Field:
        """Report the first key that is not among the known ones; returns itself."""
        names = set(known)
        for name in self.mapping():
            if name not in names:
                self.fail(f"unknown key '{name}'{' of ' + what if what else ''}.{did_you_mean(name, names)}")
        return self

    def text(self) -> str:
        """A string (numbers are taken as written)."""
        if isinstance(self.plain, bool) or not isinstance(self.plain, str | int | float):
            self.fail(f"expected text, found {describe(self.plain)}.")
        return str(self.plain)

    def integer(self, least: int | None = None) -> int:
        """A whole number, not below ``least``."""
        value = self.plain
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(f"expected a whole number, found {describe(self.plain)}.")
        if least is not None and value < least:
            self.fail(f"{value} is too small; expected at least {least}.")
        if abs(value) > MAX_INTEGER:
            size = f"{value:.3g}" if isinstance(self.plain, float) else f"{value:,}"
            self.fail(f"{size} is too large; hwsim counts up to 2^62 = {MAX_INTEGER:,}.")
        return value

    def names(self) -> list[str]:
        """A list of names, written as a list or as text with commas or spaces."""
        if isinstance(self.plain, str):
            return self.plain.replace(",", " ").split()
        return [item.text() for item in self.items()]


def describe(value: Any) -> str:
    """A value in a few words, for error messages."""
    if isinstance(value, dict):
        return f"a mapping with {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    return shown_value(value)


class Includes(Protocol):
    """What the tags ``!include``, ``!includedir`` and ``!include_loaded`` bring in."""

    def included(self, name: str, file: str) -> Field:
        """The content of a file, named as in ``file``."""

    def included_folder(self, name: str, file: str) -> list[Field]:
        """The contents of a folder's YAML files."""

    def included_before(self, name: str) -> Field | None:
        """What a template included under a name; None where it did not."""


def read_document(path: str | os.PathLike[str]) -> Field:
    """Read one YAML file; see `parse_document`.

    Raises:
        HwsimError: the file cannot be read, is larger than 16 MiB, is not YAML, has a
            cyclic alias, or grows beyond 500,000 values or 100 levels when aliases are expanded.
    """
    return parse_document(read_text(path, MAX_BYTES), os.fspath(path))


def parse_document(text: str, file: str = "<text>", includes: Includes | None = None) -> Field:
    """Parse YAML text; without ``includes`` its tags for other files are refused."""
    if _LIBCONFIG.search(text[:MAX_TEXT]) and not file.endswith((".yaml", ".yml")):
        raise HwsimError(
            "this looks like a libconfig file (KEY = VALUE; in braces), the form before YAML; write it as YAML.",
            where=file,
        )
    if includes is None and any(mark in text for mark in ("{{", "{%")):
        raise HwsimError("this is a Jinja template ({{…}} or {%…%}), which cannot be rendered here.", where=file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        try:
            node = loader.get_single_node()
        except yaml.composer.ComposerError as error:
            if "duplicate anchor" not in str(error):
                raise
            loader.dispose()
            loader = _Reusing(text)
            node = loader.get_single_node()
        return Field(None if node is None else _Builder(loader, file, includes).build(node, ""), file)
    except yaml.YAMLError as error:
        raise HwsimError(f"not valid YAML: {_yaml_problem(error)}.", where=file) from error
    except RecursionError as error:
        raise HwsimError(f"nested deeper than {MAX_DEPTH} levels.", where=file) from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # numbers that their tags do not allow
        raise HwsimError(f"a value cannot be read: {error}.", where=file) from error
    finally:
        loader.dispose()


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else str(problem)


class _Reusing(yaml.SafeLoader):
    """A loader for which an anchor that is given again means the later one from there on, as YAML 1.2 says."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)


class _Builder:
    """Turns composed YAML nodes into plain data, with limits."""

    def __init__(self, loader: Any, file: str, includes: Includes | None) -> None:
        self.loader = loader
        self.file = file
        self.includes = includes
        self.count = 0
        self.open: set[int] = set()

    def fail(self, path: str, message: str) -> NoReturn:
        raise HwsimError(message, where=f"{self.file}: {path}" if path else self.file)

    def build(self, node: yaml.Node, path: str) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            self.fail(path, f"more than {MAX_NODES:,} values once the aliases (*name) are expanded.")
        if len(self.open) >= MAX_DEPTH:
            self.fail(path, f"nested deeper than {MAX_DEPTH} levels.")
        if id(node) in self.open:
            self.fail(path, "an alias (*name) contains itself.")
        self.open.add(id(node))
        try:
            value = self._value(node, path)
        finally:
            self.open.discard(id(node))
        if node.tag.startswith(_CORE):
            return value
        tag = node.tag.lstrip("!")
        if tag in _INCLUDES:
            return self._included(tag, value, path)
        return Tagged(tag, value)

    def _included(self, tag: str, name: Any, path: str) -> Any:
        if self.includes is None:
            self.fail(path, f"'!{tag}' takes in another file, which cannot be had here.")
        if not isinstance(name, str) or not name.strip():
            self.fail(path, f"'!{tag}' should be followed by a file's name, found {describe(name)}.")
        name = name.strip().removesuffix(",")
        if tag == "includedir":
            return [_elsewhere(field) for field in self.includes.included_folder(name, self.file)]
        found = self.includes.included_before(name) if tag == INCLUDED else self.includes.included(name, self.file)
        if found is None:
            self.fail(path, f"nothing was included under the name '{name}'.")
        return _elsewhere(found)

    def _value(self, node: yaml.Node, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{path}[{i}]") for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        if len(node.value) > MAX_TEXT:
            self.fail(path, f"a text of {len(node.value):,} characters; up to {MAX_TEXT:,} are read.")
        if _UNFIT.search(node.value):
            self.fail(path, "the text holds a character that no text has (NUL or half a pair of surrogates).")
        construct = {
            "int": self.loader.construct_yaml_int,
            "float": self.loader.construct_yaml_float,
            "bool": self.loader.construct_yaml_bool,
            "null": self.loader.construct_yaml_null,
        }.get(node.tag.removeprefix(_CORE))
        if construct is None:
            bare = node.value == "" and not getattr(node, "style", None)  # ``!Nothing`` and no more
            return None if bare else node.value
        if len(node.value) > MAX_NUMBER:
            self.fail(path, f"a number of {len(node.value):,} characters; up to {MAX_NUMBER} are read.")
        try:
            return construct(node)
        except (ValueError, KeyError, IndexError, OverflowError):  # an explicit tag on what is no such value
            self.fail(path, f"'{node.value}' is no {node.tag.removeprefix(_CORE)}.")

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[Any, Any]:
        own: dict[Any, Any] = {}
        merged: list[tuple[dict[Any, Any], bool]] = []
        for key_node, value_node in node.value:
            deep = key_node.tag != _MERGE and key_node.value == DEEP_MERGE
            if key_node.tag == _MERGE or deep:
                merged += [(source, deep) for source in self._merge_sources(value_node, path, key_node.value)]
                continue
            key = self.build(key_node, path)
            if not isinstance(key, _ATOMS):
                self.fail(path, f"a key is {describe(key)}; keys are names.")
            if isinstance(key, str) and len(key) > MAX_KEY:
                self.fail(path, f"a key of {len(key):,} characters; up to {MAX_KEY} are read.")
            place = f"{path}.{key}" if path else str(key)
            if key in own:
                self.fail(place, "this key is given twice.")
            own[key] = self.build(value_node, place)
        for source, deep in merged:
            own = _merged(own, source, deep=deep)
        return {key: value.value if _is_final(value) else value for key, value in own.items()}

    def _merge_sources(self, node: yaml.Node, path: str, key: str) -> list[dict[Any, Any]]:
        value = self.build(node, f"{path}.{key}" if path else key)
        sources = []
        for source in bare(value) if isinstance(bare(value), list) else [value]:
            if not isinstance(bare(source), dict):
                self.fail(path, f"'{key}' merges mappings, found {describe(bare(source))}.")
            sources.append(_spread(source))
        return sources


def _elsewhere(field: Field) -> Any:
    return field.value if isinstance(field.value, Included) else Included(field.value, field.file, field.path)


def _spread(source: Any) -> dict[Any, Any]:
    """The values of a mapping, each with its place where that is in another file."""
    if not isinstance(source, Included):
        return dict(bare(source))
    place = Field(source.value, source.file, source.path)
    return {
        key: value if isinstance(value, Included) else Included(value, place.file, f"{place.path}.{key}".lstrip("."))
        for key, value in bare(source).items()
    }


def _is_final(value: Any) -> bool:
    return isinstance(value, Tagged) and value.tag == "nomerge"


def _merged(own: dict[Any, Any], source: dict[Any, Any], *, deep: bool) -> dict[Any, Any]:
    """What ``own`` says, and what ``source`` says besides; deep: mappings inside too, and lists one after the other."""
    out = dict(own)
    for key, value in source.items():
        if key not in out:
            out[key] = value
        elif deep and not _is_final(out[key]):
            out[key] = _joined(out[key], value)
    return out


def _joined(own: Any, more: Any) -> Any:
    a, b = bare(own), bare(more)
    if isinstance(a, dict) and isinstance(b, dict):
        joined: Any = _merged(a, _spread(more), deep=True)
    elif isinstance(a, list) and isinstance(b, list):
        joined = [*a, *b]
    else:
        return own
    return Tagged(own.tag, joined) if isinstance(own, Tagged) else joined
