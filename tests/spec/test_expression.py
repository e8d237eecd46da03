"""Expressions in specifications: what they come to, and everything that is refused in one message."""

import math
from typing import Any

import pytest

from hwsim.errors import HwsimError
from hwsim.spec.document import Field
from hwsim.spec.expression import evaluate, parse
from hwsim.spec.scope import MAX_CHAIN, Scope

NAMES: dict[str, Any] = {"depth": 48, "width": 16, "name": "glb", "list": [3, 5, 7]}

VALUES: list[tuple[str, Any]] = [
    ("1024 * 16", 16384),
    ("2 + 3 * 4 - 1", 13),
    ("7 / 2", 3.5),
    ("7 // 2", 3),
    ("-7 // 2", -4),
    ("7 % 4", 3),
    ("2 ** 10", 1024),
    ("pow(2, 10)", 1024),
    ("2 ** -1", 0.5),
    ("-(+3)", -3),
    ("not 0", True),
    ("depth * width", 768),
    ("ceil(log2(depth))", 6),
    ("floor(3.7) + trunc(-3.7) + round(2.6)", 3),
    ("max(1, depth) - min(list[0], 2)", 46),
    ("sum(list) + prod(list) + len(list)", 15 + 105 + 3),
    ("gcd(48, 36)", 12),
    ("abs(-5) + int('7') + float('0.5')", 12.5),
    ("sqrt(16) + exp(0) + log(1) + log10(100)", 7.0),
    ("1 if depth > 40 else 2", 1),
    ("1 if depth > 48 else 2", 2),
    ("1 < 2 < 3", True),
    ("1 < 3 < 2", False),
    ("depth >= 48 and width <= 16 and depth != width", True),
    ("depth < 48 or width == 16", True),
    ("depth < 48 or width > 16", False),
    ("5 in list", True),
    ("6 not in list", True),
    ("name + 'x'", "glbx"),
    ("str(12) + '3'", "123"),
    ("[1, 2][1] + (3, 4)[0]", 5),
    ("pi", math.pi),
    ("e", math.e),
    ("true", True),
    ("bool(0)", False),
]


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[x[0] for x in VALUES])
def test_values(text: str, value: Any) -> None:
    found = evaluate(text, NAMES)
    assert found == value and type(found) is type(value)


REFUSED = [
    ("1 / 0", "divides by zero"),
    ("1 % 0", "divides by zero"),
    ("depht", "Did you mean 'depth'?"),
    ("open('x')", "'open' may not be called"),
    ("name.upper()", "may not be called"),
    ("name.upper", "Attribute is not allowed"),
    ("(lambda: 1)()", "may not be called"),
    ("[x for x in list]", "ListComp is not allowed"),
    ("{1: 2}", "Dict is not allowed"),
    ("list[0:2]", "is not allowed"),
    ("depth is 3", "the comparison Is is not allowed"),
    ("1 << 3", "BinOp is not allowed"),
    ("~1", "UnaryOp is not allowed"),
    ("max(depth, key=abs)", "plain arguments"),
    ("max(*list)", "plain arguments"),
    ("9 ** 9 ** 9", "4096 bits"),
    ("2 ** 4097", "4096 bits"),
    ("10.0 ** 400", "cannot be computed"),
    ("(-8) ** 0.5", "not a real number"),
    ("name * 5", "only numbers"),
    ("name % 5", "text cannot be formatted"),
    ("max()", "cannot be computed"),
    ("list[3]", "cannot be computed"),
    ("log(0)", "cannot be computed"),
    ("int('x')", "cannot be computed"),
    ("1 + name", "cannot be computed"),
    ("1j", "Constant is not allowed"),
    ("1 +", "not an expression"),
    ("+".join(["1"] * 60), "nested deeper than 50"),
    ("[" + ",".join("1" for _ in range(900)) + "]+" * 1 + "[" + ",".join("1" for _ in range(90)) + "]", ""),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[x[0][:30] for x in REFUSED])
def test_refused(text: str, said: str) -> None:
    if not said:
        assert len(evaluate(text, NAMES)) == 990
        return
    with pytest.raises(HwsimError) as caught:
        evaluate(text, NAMES, "file.yaml: a.b")
    assert said in caught.value.message and caught.value.where == "file.yaml: a.b"


def test_limits_are_sharp() -> None:
    assert evaluate("2 ** 2047 * 2 ** 2047 * 2", {}) == 2**4095, "4096 bits"
    with pytest.raises(HwsimError, match="4096 bits"):
        evaluate("2 ** 2047 * 2 ** 2047 * 4", {})
    assert evaluate("-" * 49 + "1", {}) == -1
    with pytest.raises(HwsimError, match="nested deeper"):
        evaluate("-" * 51 + "1", {})
    assert parse("1" + " " * 1_999) is not None and parse("1" + " " * 2_000) is None
    long = {"text": "x" * 1_500}
    assert len(evaluate("text + text[0]", long)) == 1_501
    with pytest.raises(HwsimError, match="longer than"):
        evaluate("text + text", long)


@pytest.mark.parametrize(
    "text", ["45nm", "LPDDR4", "smartbuffer SRAM", "a b", "(" * 500, "\0", "0x" + "f" * 3000, "-" * 3000]
)
def test_text_that_is_no_expression(text: str, recwarn: pytest.WarningsRecorder) -> None:
    assert parse(text) is None or text == "LPDDR4"
    assert not recwarn.list


# --- names that read one another ------------------------------------------------------------------------------------


def scope(values: dict[str, Any], outer: Scope | None = None) -> Scope:
    return Scope({k: Field(v, "f.yaml", k) for k, v in values.items()}, outer)


def test_names_in_any_order() -> None:
    inner = scope({"a": "b + 1", "b": "c * 2", "c": 5, "d": "45nm", "e2": ["a", {"k": "b"}]})
    assert dict(inner) == {"a": 11, "b": 10, "c": 5, "d": "45nm", "e2": [11, {"k": 10}]}
    assert len(inner) == 5 and "a" in inner and "z" not in inner


def test_what_is_outside_is_handed_on() -> None:
    outer = scope({"width": 32, "depth": 4})
    inner = scope({"width": "width", "depth": "depth * 2", "free": "unknown"}, outer)
    assert (inner["width"], inner["depth"], inner["free"]) == (32, 8, "unknown")
    assert set(inner) == {"width", "depth", "free"} and set(scope({}, outer)) == {"width", "depth"}


def test_circles_and_chains() -> None:
    with pytest.raises(HwsimError, match="goes round in a circle"):
        scope({"a": "b + 1", "b": "a + 1"})["a"]
    chain = {f"n{k}": f"n{k + 1} + 1" for k in range(MAX_CHAIN - 1)} | {f"n{MAX_CHAIN - 1}": 0}
    assert scope(chain)["n0"] == MAX_CHAIN - 1
    longer = {f"n{k}": f"n{k + 1} + 1" for k in range(2_000)} | {"n2000": 0}
    with pytest.raises(HwsimError, match="chain of more than 50 names"):
        scope(longer)["n0"]
