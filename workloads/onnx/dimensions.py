"""Binding of a model's symbolic dimensions to sizes."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping

from hwsim.errors import HwsimError, did_you_mean

_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., int]] = {"max": max, "min": min, "floor": int, "ceiling": int, "ceil": int}


class Dimensions:
    """Sizes of symbolic dimensions: bound by the user, defaulted by the file, or 1.

    A dimension may be an expression of others (``past + seq``, as exporters write for
    attention masks); it then follows from them unless it is bound itself.

    Args:
        bound: what the user bound, by name.
        defaults: sizes that the file proposes for names left unbound.
        known: every symbolic name in the file.
        where: the file, for messages.

    Raises:
        HwsimError: a size is not a whole number ≥ 1.
    """

    def __init__(self, bound: Mapping[str, int], defaults: Mapping[str, int], known: Iterable[str], where: str) -> None:
        for name, size in bound.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise HwsimError(
                    f"dimension '{name}' is bound to {size!r}; a dimension is a whole number, 1 or more",
                    where=where,
                )
        self._bound = dict(bound)
        self._defaults = dict(defaults)
        self._names = set(known)
        for name in tuple(self._names):
            self._names |= _symbols(name)
        self._used: set[str] = set()
        self._sized: dict[str, int] = {}
        self._notes: dict[str, str] = {}
        self._where = where

    @property
    def notes(self) -> tuple[str, ...]:
        """One line per dimension that the user did not bind."""
        return tuple(self._notes.values())

    def of_input(self, value: str, axis: int, name: str) -> int:
        """Size of one axis of a graph input: bound as ``VALUE.AXIS``, or by its name, if it has one."""
        place = f"{value}.{axis}"
        if not name or place in self._bound:
            return self.unnamed(value, axis)
        self._names.add(place)
        size = self._sized[name] = self.size(name)
        return size

    def size(self, name: str) -> int:
        """Size of a symbolic dimension of the file."""
        if name in self._bound:
            self._used.add(name)
            return self._bound[name]
        if _symbols(name) - {name}:
            return self._evaluate(name)
        if name in self._defaults:
            self._notes[name] = f"dimension '{name}' is not bound: the file proposes {self._defaults[name]}"
            return self._defaults[name]
        self._notes[name] = f"dimension '{name}' is not bound: it defaults to 1"
        return 1

    def unnamed(self, value: str, axis: int) -> int:
        """Size of a graph input's dimension without a name; it can be bound as ``VALUE.AXIS``."""
        size = self.given(value, axis)
        if size is not None:
            return size
        name = f"{value}.{axis}"
        self._notes[name] = f"dimension {axis} of '{value}' has no name: it defaults to 1 (bind it as '{name}')"
        return 1

    def given(self, value: str, axis: int) -> int | None:
        """Size of any value's dimension where the user bound it as ``VALUE.AXIS``."""
        name = f"{value}.{axis}"
        self._names.add(name)
        if name in self._bound:
            self._used.add(name)
        return self._bound.get(name)

    def declared(self, name: str) -> int | None:
        """Size of a symbolic dimension that the file declares inside the graph: bound, or that of a graph input."""
        if name in self._bound:
            self._used.add(name)
            return self._bound[name]
        parts = _symbols(name) - {name} if name and name not in self._sized else set()
        if parts and all(part in self._bound or part in self._sized for part in parts):
            return self._evaluate(name)
        return self._sized.get(name)

    def check_names(self) -> None:
        """Raise HwsimError where the user bound a name that the model does not have."""
        for name in self._bound:
            if name not in self._names and name not in self._used:
                known = did_you_mean(name, self._names) or " All its dimensions are fixed."
                raise HwsimError(f"the model has no dimension '{name}'.{known}", where=self._where)

    def _evaluate(self, expression: str) -> int:
        """Value of an arithmetic expression over symbolic dimensions."""
        try:
            size = self._walk(ast.parse(expression, mode="eval").body)
        except (ZeroDivisionError, TypeError, OverflowError) as error:
            raise HwsimError(f"dimension '{expression}' has no value: {error}", where=self._where) from error
        if size < 0:
            raise HwsimError(
                f"dimension '{expression}' comes out as {size}; bind its parts so that it is not negative",
                where=self._where,
            )
        return size

    def _walk(self, node: ast.expr) -> int:
        if isinstance(node, ast.BinOp):
            return _OPERATIONS[type(node.op)](self._walk(node.left), self._walk(node.right))
        if isinstance(node, ast.UnaryOp):
            return -self._walk(node.operand)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            return _FUNCTIONS[node.func.id.lower()](*(self._walk(arg) for arg in node.args))
        if isinstance(node, ast.Constant):
            return int(node.value)  # type: ignore[arg-type]  # _symbols lets only whole numbers through
        assert isinstance(node, ast.Name)
        return self.size(node.id)


def _symbols(name: str) -> set[str]:
    """The names in a dimension's expression; the name itself where it is not an arithmetic expression."""
    if len(name) > 200:
        return {name}
    try:
        tree = ast.parse(name, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {name}
    found = _expression_names(tree)
    return found or {name}


def _expression_names(node: ast.expr) -> set[str] | None:
    """Names in an expression of sums, products and the functions above; None where it is anything else."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Constant):
        return set() if type(node.value) is int else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _expression_names(node.operand)
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        parts = [node.left, node.right]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.lower() in _FUNCTIONS:
        parts = [] if node.keywords else node.args
    names: set[str] = set()
    for part in parts:
        found = _expression_names(part)
        if found is None:
            return None
        names |= found
    return names if parts else None
