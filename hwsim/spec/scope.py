"""`Scope`: the names that an expression may read, evaluated when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwsim.errors import HwsimError
from hwsim.spec.document import Field
from hwsim.spec.expression import CONSTANTS, evaluate_tree, free_names, parse

MAX_CHAIN = 50
"""Names that may need one another in a row."""


class Scope(Mapping[str, Any]):
    """Attributes of one node over those that it inherits; a value may name any other, in any order.

    Text is an expression where it parses as one: ``1024 * 16``, ``max(1, depth)``, or
    a name that is known here. Anything else is text: ``45nm``, ``LPDDR4``.
    """

    def __init__(self, fields: Mapping[str, Field | Any], outer: Mapping[str, Any] | None = None) -> None:
        self.fields = dict(fields)
        self.outer: Mapping[str, Any] = {} if outer is None else outer
        self.values_: dict[str, Any] = {}
        self.pending: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        if name not in self.fields or name in self.pending:
            # ``width: width`` hands on what is outside; a longer cycle is reported below.
            return self.outer[name]
        if name not in self.values_:
            if len(self.pending) >= MAX_CHAIN:
                where = getattr(self.fields[name], "where", "")
                raise HwsimError(f"'{name}' stands at the end of a chain of more than {MAX_CHAIN} names.", where=where)
            self.pending.add(name)
            try:
                self.values_[name] = self.evaluate(self.fields[name])
            finally:
                self.pending.discard(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.fields
        yield from (name for name in self.outer if name not in self.fields)

    def __len__(self) -> int:
        return len(set(self.fields) | set(self.outer))

    def __contains__(self, name: object) -> bool:
        return (name in self.fields and name not in self.pending) or name in self.outer

    def evaluate(self, field: Field | Any) -> Any:
        """Value of a field: numbers, lists and mappings as they are, text as described above."""
        if not isinstance(field, Field):
            return field
        value = field.plain
        if isinstance(value, list):
            return [self.evaluate(item) for item in field.items()]
        if isinstance(value, dict):
            return {name: self.evaluate(item) for name, item in field.mapping().items()}
        if isinstance(value, str):
            return self._text(value, field)
        return value

    def _text(self, text: str, field: Field) -> Any:
        tree = parse(text)
        if tree is None:
            return text
        names = free_names(tree)
        bare = text.strip().isidentifier()
        if bare and text.strip() in self.pending and text.strip() not in self.outer:
            return text
        if bare and not any(name in self or name in CONSTANTS for name in names):
            return text
        for name in names & self.pending:
            if name not in self.outer:
                field.fail(f"'{text}' goes round in a circle: '{name}' needs itself.")
        return evaluate_tree(tree, text, self, field.where)
