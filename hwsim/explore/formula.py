"""Formulas of a space: expressions over parameters and figures, and comparisons of two of them."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hwsim.errors import HwsimError, did_you_mean
from hwsim.spec.expression import CONSTANTS, evaluate_tree, free_names, parse

#: Names that bounds may be written with: ``area <= 2.5 * mm2``.
UNITS: dict[str, float] = {
    "pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "mJ": 1e9, "J": 1e12,
    "um2": 1.0, "mm2": 1e6,
    "W": 1.0, "mW": 1e-3, "uW": 1e-6,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
    "B": 1, "kB": 1000, "MB": 10**6, "KiB": 1024, "MiB": 2**20,
}  # fmt: skip
_SIGNS: dict[type[ast.cmpop], str] = {ast.LtE: "<=", ast.Lt: "<", ast.GtE: ">=", ast.Gt: ">"}
_GIVEN = {**CONSTANTS, **UNITS}
_parsed = lru_cache(maxsize=4096)(parse)


@dataclass(frozen=True)
class Formula:
    """A number, a word, or an expression in text; ``where`` is its place in the file."""

    text: int | float | str | bool
    where: str

    @property
    def tree(self) -> ast.expr | None:
        """The parsed expression; None for numbers and for words that are no expression (``45nm``)."""
        return _parsed(self.text) if isinstance(self.text, str) else None

    @property
    def names(self) -> frozenset[str]:
        """Parameters and figures that it reads."""
        return frozenset() if self.tree is None else frozenset(free_names(self.tree) - _GIVEN.keys())

    def check(self, known: Collection[str], what: str) -> Formula:
        """Itself.

        Raises:
            HwsimError: it reads a name that is not known; ``what`` says what names would be.
        """
        for name in sorted(self.names - set(known)):
            quotes = f" (A word stands in quotes of its own: \"'{name}'\".)" if self.text == name else ""
            raise HwsimError(f"'{name}' is no {what}.{did_you_mean(name, known)}{quotes}", where=self.where)
        return self

    def value(self, names: Mapping[str, Any]) -> Any:
        """Its value; whole numbers as int.

        Raises:
            HwsimError: it cannot be computed (division by zero …).
        """
        if self.tree is None or not isinstance(self.text, str):
            return self.text
        value = evaluate_tree(self.tree, self.text, {**UNITS, **names}, self.where)
        return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value

    def number(self, names: Mapping[str, Any]) -> float:
        """Its value as a finite number.

        Raises:
            HwsimError: it is none.
        """
        value = self.value(names)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise HwsimError(f"'{self.text}' should be a number, and is {value!r}.", where=self.where)
        return float(value)


@dataclass(frozen=True)
class Comparison:
    """``left sign right``: what a constraint asks for."""

    left: Formula
    sign: str
    right: Formula
    text: str
    where: str

    @staticmethod
    def read(text: str, where: str) -> tuple[Comparison, ...]:
        """A comparison, or the two of ``1 <= x <= 2``.

        Raises:
            HwsimError: the text is none.
        """
        tree = parse(text.replace("≤", "<=").replace("≥", ">="))
        if not isinstance(tree, ast.Compare) or any(type(op) not in _SIGNS for op in tree.ops):
            raise HwsimError(f"expected a comparison such as 'area <= 2.5 * mm2', found '{text}'.", where=where)
        sides = [Formula(ast.unparse(side), where) for side in (tree.left, *tree.comparators)]
        signs = [_SIGNS[type(op)] for op in tree.ops]
        return tuple(
            Comparison(sides[k], sign, sides[k + 1], f"{sides[k].text} {sign} {sides[k + 1].text}", where)
            for k, sign in enumerate(signs)
        )

    @property
    def names(self) -> frozenset[str]:
        """Parameters and figures that it reads."""
        return self.left.names | self.right.names

    def violation(self, names: Mapping[str, Any]) -> float:
        """By how much it is broken, as a share of the larger side; 0 where it holds.

        Raises:
            HwsimError: a side cannot be computed, or is no number.
        """
        left, right = self.left.number(names), self.right.number(names)
        holds = {"<=": left <= right, "<": left < right, ">=": left >= right, ">": left > right}[self.sign]
        if holds:
            return 0.0
        return max(abs(left - right) / max(abs(left), abs(right), 1e-300), 1e-12)
