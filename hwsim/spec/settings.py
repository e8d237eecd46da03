"""Changes to an architecture: ``shared_glb.depth=8192``, ``PE.meshX=32``, ``*.technology=32nm``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml

from hwsim.architecture import Architecture
from hwsim.errors import HwsimError, did_you_mean
from hwsim.spec.document import Field, Tagged

_MESH = ("meshX", "meshY")
_CHILDREN = ("nodes", "subtree", "local")


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
        if not equals or not dot or not component or not name or not raw.strip():
            raise HwsimError(
                "expected COMPONENT.ATTRIBUTE=VALUE, such as shared_glb.depth=8192.", where=f"--set {text}"
            )
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise HwsimError(f"the value '{raw}' cannot be read.", where=f"--set {text}") from error
        if not isinstance(value, str | int | float | bool):
            raise HwsimError(f"expected a number or a word as value, found '{raw}'.", where=f"--set {text}")
        return Setting(component, name, value)

    def __str__(self) -> str:
        return f"{self.component}.{self.name}={self.value}"


def _named(value: Any) -> Iterator[dict[str, Any]]:
    """Every named component and container below a value of the document."""
    if isinstance(value, Tagged):
        value = value.value
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, dict):
        if isinstance(value.get("name"), str):
            yield value
        for key in _CHILDREN:
            yield from _named(value.get(key))


def apply_settings(document: Field, settings: Sequence[Setting]) -> Field:
    """The document with its architecture changed.

    An attribute that no matching component gives itself or could inherit is taken as new: the reader of the
    architecture reports it where the component's class does not know it.

    Raises:
        HwsimError: no component matches.
    """
    plain = deepcopy(document.plain)
    nodes = list(_named(plain["architecture"]))
    for setting in settings:
        hits = [n for n in nodes if fnmatchcase(_base(n["name"]), setting.component)]
        if not hits:
            names = [_base(n["name"]) for n in nodes]
            hint = did_you_mean(setting.component, names)
            raise HwsimError(f"no component '{setting.component}' in {document.file}.{hint}", where=f"--set {setting}")
        for node in hits:
            mesh = setting.name in _MESH and "spatial" in node
            part = node.setdefault("spatial" if mesh else "attributes", {})
            part = part.value if isinstance(part, Tagged) else part
            part[setting.name] = setting.value
    return Field(plain, document.file, document.path)


def _base(name: str) -> str:
    """``PE[0..255]`` → ``PE``."""
    return name.partition("[")[0]


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
