"""Templates: specification files are rendered by Jinja before they are YAML, as Timeloop's front end does.

A template comes from a stranger. It runs in jinja2's immutable sandbox without a loader, with a part of the language
(`_NODES`, `_FILTERS`, `_TESTS`, methods of text and mappings) in which every step is paid for from one account: turns
of loops, calls, characters that are written. Values it makes are bounded. Files are read only from `Folders`.
"""

from __future__ import annotations

import itertools
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.environment import Template
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from hwsim.errors import HwsimError, printable
from hwsim.spec.expression import arithmetic, power

MAX_SOURCE = 2**20
MAX_WORK = 4_000_000
MAX_VALUE = 100_000
"""Characters of a text, or parts of a list, that a template may make."""
MAX_WIDTH = 1_000
MARKS = ("{{", "{%", "{#")

_NODES = {
    "Template", "Output", "TemplateData", "Name", "NSRef", "Const", "List", "Tuple", "Dict", "Pair", "Keyword",
    "Filter", "Test", "Call", "Getattr", "Getitem", "Slice", "Concat", "Compare", "Operand", "Add", "Sub", "Mul",
    "Div", "FloorDiv", "Mod", "Pow", "Not", "And", "Or", "Neg", "Pos", "CondExpr", "For", "If", "Macro", "Assign",
    "AssignBlock", "With", "ExprStmt",
}  # fmt: skip
_STATEMENTS = {"Include": "include", "Import": "import", "FromImport": "from … import", "Extends": "extends"}
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "first", "float", "int", "items", "last", "length", "list", "lower",
    "max", "min", "round", "sort", "sum", "title", "trim", "unique", "upper",
)  # fmt: skip
_TESTS = (
    "!=", "<", "<=", "==", ">", ">=", "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "float",
    "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none",
    "number", "odd", "sequence", "string", "true", "undefined", "upper",
)  # fmt: skip
_METHODS: dict[type, tuple[str, ...]] = {
    str: ("endswith", "isdigit", "lower", "lstrip", "removeprefix", "removesuffix", "replace", "rsplit", "rstrip",
          "split", "startswith", "strip", "title", "upper"),
    dict: ("get", "items", "keys", "values"),
    LoopContext: ("first", "index", "index0", "last", "length", "revindex", "revindex0"),
}  # fmt: skip
_CALLED = {str: _METHODS[str], dict: _METHODS[dict]}


_Kept = TypeVar("_Kept")


class Refused(TemplateError):
    """What a template may not do, or does without end."""


@dataclass
class Account:
    """What the templates of one specification may still do, all together."""

    left: int = MAX_WORK

    def spend(self, work: int) -> None:
        """Pay for turns, calls and characters."""
        self.left -= work
        if self.left < 0:
            raise Refused(f"it takes more than {MAX_WORK:,} steps and characters; loops and texts must end earlier")


def is_template(text: str) -> bool:
    """Whether anything in a file's text is for Jinja."""
    return any(mark in text for mark in MARKS)


def render(
    text: str, file: str, data: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]], account: Account
) -> str:
    """The text that a template makes.

    Args:
        text: the template.
        file: its name, for messages.
        data: variables.
        functions: what it may call besides ``range`` and ``namespace``.
        account: what it may spend.

    Raises:
        HwsimError: it is no template, needs a variable that is not given, asks for what is forbidden, or does not end.
    """
    if len(text) > MAX_SOURCE:
        raise HwsimError(f"a template of {len(text):,} characters; up to {MAX_SOURCE:,} are rendered.", where=file)
    environment = _Environment(account, functions)
    try:
        tree = environment.parse(text, filename=file)
        code = environment.compile(_checked(tree, environment), filename=_FRAME)
        template = Template.from_code(environment, code, environment.make_globals(None))
        pieces = []
        for piece in template.generate(dict(data)):
            account.spend(len(piece))
            pieces.append(piece)
        return "".join(pieces)
    except HwsimError:
        raise
    except UndefinedError as error:
        raise HwsimError(f"the template cannot be rendered: {_undefined(error)}.", where=_line(file, error)) from error
    except TemplateSyntaxError as error:
        where = f"{file}: line {error.lineno}"
        raise HwsimError(f"no valid Jinja template: {_sentence(error.message)}", where=where) from error
    except RecursionError as error:
        raise HwsimError("the template is nested too deeply.", where=file) from error
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
        raise HwsimError(f"the template cannot be rendered: {_sentence(error)}", where=_line(file, error)) from error


_FRAME = "<specification template>"


def _line(file: str, error: BaseException) -> str:
    lines = [number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == _FRAME]
    return f"{file}: line {lines[-1]}" if lines else file


def _sentence(error: object) -> str:
    text = str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def _undefined(error: UndefinedError) -> str:
    message = str(error)
    match = re.fullmatch(r"'([^']+)' is undefined", message)
    if match is None:
        return message.rstrip(".")
    return f"the variable '{match[1]}' has no value; give it with --jinja {match[1]}=VALUE"


class _Checker(NodeTransformer):
    """Refuses what is not in `_NODES`, and has loops, texts and lists pay."""

    def __init__(self, environment: _Environment) -> None:
        self.environment = environment

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        kind = type(node).__name__
        if kind not in _NODES:
            name = _STATEMENTS.get(kind, kind.lower())
            hint = "; {{include(FILE, 'key')}} and {{include_text(FILE)}} take files in" if kind in _STATEMENTS else ""
            raise TemplateSyntaxError(f"'{name}' is not allowed in a specification{hint}.", node.lineno)
        if isinstance(node, nodes.Filter) and node.name not in self.environment.filters:
            raise TemplateSyntaxError(f"the filter '{node.name}' is not known here.", node.lineno)
        if isinstance(node, nodes.Test) and node.name not in self.environment.tests:
            raise TemplateSyntaxError(f"the test '{node.name}' is not known here.", node.lineno)
        weight = sum(len(data.data) for data in node.find_all(nodes.TemplateData)) if _is_loop(node) else 0
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            if node.recursive:
                raise TemplateSyntaxError("a recursive loop is not allowed in a specification.", node.lineno)
            node.iter = self._call("counted", [cast(nodes.Expr, node.iter), nodes.Const(weight)], node)
        elif isinstance(node, nodes.Macro):
            self.environment.weights[node.name] = weight
        elif isinstance(node, nodes.Concat):
            return self._call("joined", node.nodes, node)
        elif isinstance(node, nodes.List | nodes.Dict) or (isinstance(node, nodes.Tuple) and node.ctx == "load"):
            return self._call("kept", [cast(nodes.Expr, node)], node)
        return node

    def _call(self, name: str, arguments: list[nodes.Expr], at: nodes.Node) -> nodes.Call:
        made = nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)
        made.set_lineno(at.lineno)
        made.set_environment(self.environment)
        return made


def _is_loop(node: nodes.Node) -> bool:
    return isinstance(node, nodes.For | nodes.Macro)


def _checked(tree: nodes.Template, environment: _Environment) -> nodes.Template:
    checked = _Checker(environment).visit(tree)
    assert isinstance(checked, nodes.Template)
    return checked


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, closed further: what is not named here cannot be called or read."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self, account: Account, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(undefined=StrictUndefined, optimized=False, autoescape=False, loader=None, cache_size=0)
        self.account = account
        self.weights: dict[str, int] = {}
        self.finalize = self.written
        own: dict[str, Callable[..., Any]] = {
            "join": self._join, "string": self.text, "replace": self._replace, "indent": self._indent,
        }  # fmt: skip
        self.filters = {name: self._bounded(FILTERS[name]) for name in _FILTERS} | own
        self.tests = {name: TESTS[name] for name in _TESTS}
        self.globals = {"range": self._range, "namespace": Namespace, **functions}
        known = [*self.globals.values(), self.counted, self.joined, self.kept]
        self.known = {getattr(f, "__func__", f) for f in known}

    # what the checked tree calls

    def counted(self, items: Any, weight: int) -> list[Any]:
        """The items of a loop, whose turns are paid for: one step and the text inside, each."""
        if isinstance(items, Undefined):
            iter(items)  # says which variable it is
        found = list(itertools.islice(items, MAX_VALUE + 1))
        if len(found) > MAX_VALUE:
            raise Refused(f"a loop of more than {MAX_VALUE:,} turns")
        self.account.spend(len(found) * (1 + weight))
        return found

    def joined(self, *parts: Any) -> str:
        """``a ~ b``."""
        return self.kept("".join(map(self.text, parts)))

    def kept(self, value: _Kept) -> _Kept:
        """A value of bounded size."""
        if isinstance(value, str):
            if len(value) > MAX_VALUE:
                raise Refused(f"a text of {len(value):,} characters; up to {MAX_VALUE:,} can be made")
            self.account.spend(len(value) // 100)
        elif isinstance(value, list | tuple | dict):
            self.account.spend(self._size(value) // 10)
        return value

    def _size(self, value: Any) -> int:
        size, waiting = 0, [value]
        while waiting:
            item = waiting.pop()
            size += 1 + (len(item) // 10 if isinstance(item, str) else 0)
            if size > MAX_VALUE:
                raise Refused(f"a list of more than {MAX_VALUE:,} parts")
            if isinstance(item, Namespace):
                raise Refused("a namespace cannot stand in a list")
            if isinstance(item, list | tuple):
                waiting += item
            elif isinstance(item, dict):
                waiting += [*item, *item.values()]
        return size

    def text(self, value: Any) -> str:
        """A value as it is written; lists and mappings as YAML takes them."""
        if isinstance(value, Undefined):
            return str(value)  # says which variable it is
        if value is None or isinstance(value, str | int | float):
            return str(value)
        if isinstance(value, list | tuple | dict):
            self.kept(value)
            return str(list(value) if isinstance(value, tuple) else value)
        raise Refused(f"{type(value).__name__.lower()} cannot be written")

    def written(self, value: Any) -> str:
        """What ``{{ … }}`` puts into the text."""
        text = self.text(value)
        self.account.spend(len(text))
        return text

    # functions and filters

    def _bounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            if not isinstance(result, Undefined) and hasattr(result, "__next__"):
                result = list(itertools.islice(result, MAX_VALUE + 1))
            return self.kept(result)

        called.__dict__.update(getattr(function, "__dict__", {}))  # which arguments jinja passes
        return called

    def _range(self, *ends: int) -> list[int]:
        found = range(*ends)
        if len(found) > MAX_VALUE:
            raise Refused(f"a range of {len(found):,} numbers; up to {MAX_VALUE:,} can be made")
        self.account.spend(len(found))
        return list(found)

    def _join(self, items: Iterable[Any], between: str = "") -> str:
        return self.kept(self.text(between).join(map(self.text, self.counted(items, len(between)))))

    def _replace(self, value: Any, old: str, new: str) -> str:
        text = self.text(value)
        if (text.count(old) + 1) * len(new) > MAX_VALUE:
            raise Refused(f"a text of more than {MAX_VALUE:,} characters")
        return self.kept(text.replace(old, new))

    def _indent(self, value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
        if not 0 <= width <= MAX_WIDTH:
            raise Refused(f"an indent of {width}; up to {MAX_WIDTH:,} can be made")
        lines = self.text(value).split("\n")
        self.account.spend(width * len(lines))
        pad = " " * width
        return "\n".join(pad + x if (k or first) and (x or blank) else x for k, x in enumerate(lines))

    # what the sandbox asks

    def call(self, context: Context, obj: Any, /, *arguments: Any, **named: Any) -> Any:
        self.account.spend(1)
        if isinstance(obj, Macro):
            self.account.spend(self.weights.get(obj.name, 0))
        elif isinstance(obj, Undefined):
            obj()  # says which function it is
        elif not (isinstance(obj, _Method) or (callable(obj) and getattr(obj, "__func__", obj) in self.known)):
            raise Refused("only functions that templates of the field know can be called")
        return super().call(context, obj, *arguments, **named)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            return super().call_binop(context, operator, left, right)  # says which variable it is
        function = power if operator == "**" else self.binop_table[operator]
        return self.kept(arithmetic(function, left, right))

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Undefined):
            return super().getattr(obj, attribute)
        if isinstance(obj, Namespace) and not attribute.startswith("_"):
            return getattr(obj, attribute)
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        for kind, names in _METHODS.items():
            if isinstance(obj, kind) and attribute in names:
                found = getattr(obj, attribute)
                return _Method(self, found) if kind in _CALLED else found
        raise Refused(f"'{printable(attribute, 60)}' of {type(obj).__name__} cannot be read")

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            return super().getitem(obj, argument)
        if isinstance(obj, dict):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        if isinstance(obj, str | list | tuple) and isinstance(argument, int | slice):
            return obj[argument]
        raise Refused(f"{printable(repr(argument), 60)} of {type(obj).__name__} cannot be read")


@dataclass
class _Method:
    """A method of text or of a mapping, whose result is bounded."""

    environment: _Environment
    function: Callable[..., Any] = field(repr=False)

    def __call__(self, *arguments: Any) -> Any:
        if getattr(self.function, "__name__", "") == "replace":
            return self.environment._replace(self.function.__self__, *arguments)  # type: ignore[attr-defined]
        result = self.function(*arguments)
        listed = isinstance(result, Sequence | None | bool | int | float | dict)
        return self.environment.kept(result if listed else list(result))
