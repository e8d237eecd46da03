"""All components of a design, whatever they are for and however they hang together: enough to price them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwsim.spec import nodes
from hwsim.spec.document import Field
from hwsim.spec.nodes import Unit, own_attributes
from hwsim.spec.scope import Scope

_MAX_UNITS = 1_000


def read_components(top: Field, variables: Mapping[str, Any]) -> list[Unit]:
    """The components of ``{nodes: […]}`` or ``{subtree: […]}``, from the outside; of several with a name the first.

    Raises:
        HwsimError: a component without name or class, or more than 1,000 of them.
    """
    found: dict[str, Unit] = {}
    for unit in _units(top, Scope({}, variables)):
        found.setdefault(unit.name, unit)
        if len(found) > _MAX_UNITS:
            top.fail(f"more than {_MAX_UNITS:,} components.")
    return list(found.values())


def _units(tree: Field, scope: Scope) -> Iterator[Unit]:
    for item in tree.key("local").items():
        yield from _unit(item, scope)
    for branch in tree.key("subtree").items():
        yield from _units(branch, Scope(branch.key("attributes").mapping(), scope))
    for item in tree.key("nodes").items():
        if item.tag == "Container":
            scope = Scope(item.key("attributes").mapping(), scope)
        elif item.tag in ("Hierarchical", "Parallel", "Pipelined"):
            yield from _units(item, scope)
        elif item.tag != "Nothing":
            yield from _unit(item, scope)


def _unit(item: Field, scope: Scope) -> Iterator[Unit]:
    if nodes.disabled(item):
        return
    kind = item.key("subclass") if item.has("subclass") else item.need("class")
    inner = Scope(item.key("attributes").mapping(), scope)
    yield Unit(item.need("name").text().partition("[")[0], kind.text(), own_attributes(item, inner))
