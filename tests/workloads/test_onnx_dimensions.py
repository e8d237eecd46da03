"""Symbolic dimensions: what binds them, what their expressions come to, what is refused."""

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from hwsim.errors import HwsimError
from hwsim.workloads.onnx.dimensions import Dimensions
from hwsim.workloads.onnx.reader import read_onnx
from tests.workloads.test_onnx_bad_input import save, value


def sizes(
    tmp_path: Path, names: list[str | int], proposed: str = "", **dims: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Shape of an input with these dimensions, and the notes."""
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [value("x", *names)])
    if proposed:
        import onnx

        model = onnx.load(path)
        model.metadata_props.add(key="hwsim.default_dims", value=proposed)
        path.write_bytes(model.SerializeToString())
    workload = read_onnx(path, dims)
    return workload.tensors["x"].shape, workload.notes


@pytest.mark.parametrize(
    ("expression", "size"),
    [
        ("a + b", 17),
        ("a - b", 7),
        ("a*b", 60),
        ("a // b", 2),
        ("a / b", 2),
        ("a % b", 2),
        ("-b + a", 7),
        ("max(a, b, 3)", 12),
        ("min(a, b)", 5),
        ("floor(a/b)", 2),
        ("ceiling(a)", 12),
        ("Max(1, a)", 12),
        ("2*(a + 1) - b*b", 1),
        ("a - 12", 0),
    ],
)
def test_expressions(tmp_path: Path, expression: str, size: int) -> None:
    assert sizes(tmp_path, ["a", "b", expression], a=12, b=5) == ((12, 5, size), ())


@pytest.mark.parametrize(
    ("expression", "words"),
    [("b - a", "comes out as -7"), ("a // (b - 5)", "no value"), ("a % (b - 5)", "no value"), ("max(a)", "no value")],
)
def test_expressions_without_a_size(tmp_path: Path, expression: str, words: str) -> None:
    with pytest.raises(HwsimError, match=words):
        sizes(tmp_path, ["a", "b", expression], a=12, b=5)


@pytest.mark.parametrize(
    "name",
    [
        "unk__7",
        "a.b",
        "a b",
        "a**2",
        "f(a)",
        "max(a, key=b)",
        "a if b else 1",
        "a + 1.5",
        "a + 'b'",
        "a < b",
        "[a]",
        "(" * 90,
        "a +",
        "é",
        "~a",
    ],
)
def test_names_that_are_no_expression(tmp_path: Path, name: str) -> None:
    """They are names like any other: 1 with a note, or as bound."""
    shape, notes = sizes(tmp_path, [name])
    assert shape == (1,) and f"'{name}' is not bound: it defaults to 1" in notes[0]
    assert sizes(tmp_path, [name], **{name: 7}) == ((7,), ())


def test_long_expressions_are_names(tmp_path: Path) -> None:
    name = "+".join(["a"] * 101)
    assert len(name) == 201
    longest = "+".join(["a"] * 99) + " +a"
    assert len(longest) == 200
    assert sizes(tmp_path, ["a", longest], a=2)[0] == (2, 200)
    assert sizes(tmp_path, ["a", name], a=2)[0] == (2, 1)
    assert sizes(tmp_path, ["a", name[2:]], a=2)[0] == (2, 200)


def test_what_is_bound_goes_first(tmp_path: Path) -> None:
    assert sizes(tmp_path, ["a", "a + 1"], a=3, **{"a + 1": 9})[0] == (3, 9)
    assert sizes(tmp_path, ["a", "a"], a=3, **{"x.1": 9})[0] == (3, 9)
    shape, notes = sizes(tmp_path, ["a", "b", "a*b"], proposed="a=4 b=6", b=5)
    assert shape == (4, 5, 20)
    assert notes == ("dimension 'a' is not bound: the file proposes 4",)


def test_dimensions_without_a_name(tmp_path: Path) -> None:
    shape, notes = sizes(tmp_path, [-1, "", 3], **{"x.1": 8})
    assert shape == (1, 8, 3)
    assert notes == ("dimension 0 of 'x' has no name: it defaults to 1 (bind it as 'x.0')",)


@pytest.mark.parametrize("name", ["c", "x.0", "x.2", "a+b"])
def test_names_that_the_model_lacks(tmp_path: Path, name: str) -> None:
    with pytest.raises(HwsimError, match="no dimension"):
        sizes(tmp_path, [4, "a"], a=3, **{name: 2})
    with pytest.raises(HwsimError, match="All its dimensions are fixed"):
        sizes(tmp_path, [4], **{name: 2} if name == "c" else {"c": 2})


def test_names_in_an_expression_can_be_bound(tmp_path: Path) -> None:
    assert sizes(tmp_path, ["a + past"], past=4)[0] == (5,)
    assert sizes(tmp_path, ["a + past"], past=4, **{"a + past": 9})[0] == (9,)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "3"])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(HwsimError, match="1 or more"):
        Dimensions({"a": size}, {}, (), "m.onnx")  # type: ignore[dict-item]


@pytest.mark.parametrize("text", ["a", "=3", "a=", "a=0", "a=-1", "a=2147483649", "a=1.5", "a=" + "9" * 5000])
def test_proposals_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(HwsimError, match="expected NAME=SIZE"):
        sizes(tmp_path, ["a"], proposed=text)


def test_sizes_beyond_the_limit(tmp_path: Path) -> None:
    assert sizes(tmp_path, ["a"], a=2**31)[0] == (2**31,)
    for dims in ({"a": 2**31 + 1}, {"a": 2**40}):
        with pytest.raises(HwsimError, match=r"2\^31"):
            sizes(tmp_path, ["a"], **dims)
    with pytest.raises(HwsimError, match=r"2\^31"):
        sizes(tmp_path, ["a*a*a"], a=2**31)


def test_a_sequence_is_no_size(tmp_path: Path) -> None:
    info = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, ["n"])
    nodes = [helper.make_node("SequenceLength", ["s"], ["c"]), helper.make_node("Cast", ["c"], ["y"], to=1)]
    workload = read_onnx(save(tmp_path / "m.onnx", nodes, [info]))
    assert "counted as 0 bytes" in workload.notes[0] and "'s' is not a tensor" in workload.notes[0]
