"""Expressions in specifications: ``1024 * 16``, ``ceil(log2(depth))``, ``a if b else c``.

They are parsed by Python's own grammar and walked here: numbers, text, names that the
caller knows, operators, a few functions. Nothing else is reachable, and sizes are bounded.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from hwsim.errors import HwsimError, NotPriced, did_you_mean

MAX_LENGTH = 2_000
MAX_BITS = 4_096
MAX_DEPTH = 50

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "bool": bool,
    "ceil": math.ceil,
    "exp": math.exp,
    "float": float,
    "floor": math.floor,
    "gcd": math.gcd,
    "int": int,
    "len": len,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "prod": math.prod,
    "round": round,
    "sqrt": math.sqrt,
    "str": str,
    "sum": sum,
    "trunc": math.trunc,
}
CONSTANTS: dict[str, Any] = {"pi": math.pi, "e": math.e, "inf": math.inf, "true": True, "false": False}
CUSTOM_HINT = "functions that Python files define are not run"
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def power(base: Any, exponent: Any) -> Any:
    """``base ** exponent`` with a bound on the size of the result."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_BITS:
        raise OverflowError(f"the result has more than {MAX_BITS} bits")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError("the result is not a real number")
    return result


FUNCTIONS["pow"] = power
_BINARY[ast.Pow] = power


def parse(text: str) -> ast.expr | None:
    """The expression's tree; None where the text is not an expression (``45nm``)."""
    if len(text) > MAX_LENGTH:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's parser, on text that is no expression
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def free_names(tree: ast.expr) -> set[str]:
    """The names that an expression reads, called functions aside."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def evaluate(text: str, names: Mapping[str, Any], where: str = "") -> Any:
    """Value of an expression.

    Args:
        text: the expression.
        names: variables and attributes that it may read.
        where: file and field path, for errors.

    Raises:
        HwsimError: not an expression, an unknown name or function, a forbidden
            construct, a division by zero, a result out of bounds.
    """
    tree = parse(text)
    if tree is None:
        raise HwsimError(f"'{_short(text)}' is not an expression.", where=where)
    return evaluate_tree(tree, text, names, where)


def evaluate_tree(tree: ast.expr, text: str, names: Mapping[str, Any], where: str = "") -> Any:
    """Value of a parsed expression; see `evaluate`."""
    try:
        return _Evaluator(names, text, where).value(tree, 0)
    except ZeroDivisionError as error:
        raise HwsimError(f"'{_short(text)}' divides by zero.", where=where) from error
    except (OverflowError, ValueError, TypeError, KeyError, IndexError) as error:
        raise HwsimError(f"'{_short(text)}' cannot be computed: {error}.", where=where) from error


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


class _Evaluator:
    """Walks an expression's tree; what it does not name is refused."""

    def __init__(self, names: Mapping[str, Any], text: str, where: str) -> None:
        self.names = names
        self.text = text
        self.where = where

    def refuse(self, message: str) -> HwsimError:
        return HwsimError(f"'{_short(self.text)}': {message}", where=self.where)

    def value(self, node: ast.expr, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self.refuse(f"nested deeper than {MAX_DEPTH} levels.")
        result = self._value(node, depth + 1)
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise self.refuse(f"the result has more than {MAX_BITS} bits.")
        if isinstance(result, str | list | tuple) and len(result) > MAX_LENGTH:
            raise self.refuse(f"the result is longer than {MAX_LENGTH}.")
        return result

    def _value(self, node: ast.expr, depth: int) -> Any:  # noqa: PLR0911 (one case per construct)
        match node:
            case ast.Constant(value=value) if isinstance(value, int | float | str) or value is None:
                return value
            case ast.Name(id=name):
                return self._name(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return arithmetic(_BINARY[type(op)], self.value(left, depth), self.value(right, depth))
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
                return _UNARY[type(sign)](self.value(operand, depth))
            case ast.BoolOp(op=ast.And(), values=values):
                return all(self.value(v, depth) for v in values)
            case ast.BoolOp(values=values):
                return any(self.value(v, depth) for v in values)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test, depth) else orelse, depth)
            case ast.Compare():
                return self._compare(node, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item, depth) for item in items]
            case ast.Attribute(value=whole, attr=name):
                return self._attribute(self.value(whole, depth), name)
            case ast.Subscript(value=whole, slice=index) if not isinstance(index, ast.Slice):
                return self.value(whole, depth)[self.value(index, depth)]
        raise self.refuse(f"{type(node).__name__} is not allowed; use numbers, names, operators and functions.")

    def _name(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        raise self.refuse(f"'{name}' is not known here.{did_you_mean(name, self.names)}")

    def _attribute(self, whole: Any, name: str) -> Any:
        """``spec.problem.instance``: a value of a mapping."""
        if not isinstance(whole, Mapping):
            raise self.refuse("Attribute is not allowed; use numbers, names, operators and functions.")
        if name not in whole:
            raise self.refuse(f"'{name}' is not known here.{did_you_mean(name, map(str, whole))}")
        return whole[name]

    def _compare(self, node: ast.Compare, depth: int) -> bool:
        left = self.value(node.left, depth)
        for op, item in zip(node.ops, node.comparators, strict=True):
            if type(op) not in _COMPARE:
                raise self.refuse(f"the comparison {type(op).__name__} is not allowed.")
            right = self.value(item, depth)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _call(self, node: ast.Call, depth: int) -> Any:
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            name = ast.unparse(node.func)
            message = f"'{name}' may not be called; {CUSTOM_HINT}.{did_you_mean(name, FUNCTIONS)}"
            raise NotPriced(f"'{_short(self.text)}': {message}", where=self.where)
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.refuse("functions take plain arguments here.")
        return FUNCTIONS[node.func.id](*(self.value(a, depth) for a in node.args))


def arithmetic(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Apply an operator; text can be joined, lists of numbers repeated, too."""
    if function is operator.mul and not (isinstance(left, int | float) and isinstance(right, int | float)):
        return _repeated(left, right)
    if function is operator.mod and isinstance(left, str):
        raise TypeError("text cannot be formatted")
    return function(left, right)


def _repeated(left: Any, right: Any) -> list[Any]:
    """``[0.2] * 8``."""
    items, times = (left, right) if isinstance(left, list) else (right, left)
    plain = isinstance(items, list) and all(isinstance(x, int | float) for x in items)
    if not plain or isinstance(times, bool) or not isinstance(times, int):
        raise TypeError("only numbers can be multiplied, and lists of numbers be repeated")
    if len(items) * times > MAX_LENGTH:
        raise OverflowError(f"the list would be longer than {MAX_LENGTH}")
    return items * times
