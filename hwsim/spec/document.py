"""Reading YAML that comes from strangers: bounded, safe, and every value knows its place.

PyYAML composes the node graph; the values are built here, so that aliases are
expanded under a limit, cycles are refused, repeated keys are reported and tags such
as ``!Component`` are kept. The result is a `Field`: a value with file and path, whose
methods check what they return.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

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
_ATOMS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Tagged:
    """A value that carries a YAML tag of its own, without the ``!``."""

    tag: str
    value: Any


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
        return Field(value, self.file, f"{self.path}.{name}" if self.path else name)

    def has(self, name: str) -> bool:
        """True where the mapping has the key and its value is not null."""
        return isinstance(self.plain, dict) and self.plain.get(name) is not None

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
        return [Field(value, self.file, f"{self.path}[{i}]") for i, value in enumerate(self.plain)]

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

    def walk(self) -> Iterator[Field]:
        """Itself and every field below it."""
        yield self
        below: Iterable[Field] = ()
        if isinstance(self.plain, dict):
            below = self.mapping().values()
        elif isinstance(self.plain, list):
            below = self.items()
        for field in below:
            yield from field.walk()


def describe(value: Any) -> str:
    """A value in a few words, for error messages."""
    if isinstance(value, dict):
        return f"a mapping with {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    return shown_value(value)


def read_document(path: str | os.PathLike[str]) -> Field:
    """Read one YAML file.

    Raises:
        HwsimError: the file cannot be read, is larger than 16 MiB, is not YAML, has a
            cyclic alias, or grows beyond 500,000 values or 100 levels when aliases are expanded.
    """
    return parse_document(read_text(path, MAX_BYTES), os.fspath(path))


def parse_document(text: str, file: str = "<text>") -> Field:
    """Parse YAML text; see `read_document`."""
    if text.lstrip().startswith("{{") or "\n{{" in text or "{%" in text:
        raise HwsimError(
            "this is a Jinja template ({{…}} or {%…%}); render it, or name the files that it includes instead.",
            where=file,
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        return Field(None if node is None else _Builder(loader, file).build(node, ""), file)
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


class _Builder:
    """Turns composed YAML nodes into plain data, with limits."""

    def __init__(self, loader: Any, file: str) -> None:
        self.loader = loader
        self.file = file
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
        return value if node.tag.startswith(_CORE) else Tagged(node.tag.lstrip("!"), value)

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
            return node.value
        if len(node.value) > MAX_NUMBER:
            self.fail(path, f"a number of {len(node.value):,} characters; up to {MAX_NUMBER} are read.")
        try:
            return construct(node)
        except (ValueError, KeyError, IndexError, OverflowError):  # an explicit tag on what is no such value
            self.fail(path, f"'{node.value}' is no {node.tag.removeprefix(_CORE)}.")

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[Any, Any]:
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for source in self._merge_sources(value_node, path):
                    merged = {**source, **merged}
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
        return {**merged, **own}

    def _merge_sources(self, node: yaml.Node, path: str) -> list[dict[Any, Any]]:
        value = self.build(node, f"{path}.<<" if path else "<<")
        sources = value if isinstance(value, list) else [value]
        for source in sources:
            if not isinstance(source, dict):
                self.fail(path, f"'<<' merges mappings, found {describe(source)}.")
        return sources
