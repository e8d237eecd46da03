"""Faults that inputs at random found, each as small as it could be made."""

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from tests.conftest import Run
from tests.fuzz.kinds import ARCHITECTURE, ERT, MAPPINGS, PROBLEMS, RECIPE

Hwsim = Callable[..., Run]


def refused(run: Run, *words: str) -> None:
    assert run.code == 2, run.out + run.err
    assert len(run.err.strip().splitlines()) == 1 and "Traceback" not in run.err, run.err
    for word in words:
        assert word in run.err, run.err


@pytest.mark.parametrize("equation", [b"a-b", b"ab,bc-ac", b"ab\xf8,bc->ac", b"ab;bc->ac", b"a1,1c->ac", b"ab->ab->ab"])
def test_an_equation_that_is_none(hwsim: Hwsim, tmp_path: Path, equation: bytes) -> None:
    """Some of these let ONNX's own inference go round for ever."""
    node = helper.make_node("Einsum", ["x", "w"], ["y"], name="einsum")
    attribute = node.attribute.add()
    attribute.name, attribute.type, attribute.s = "equation", 3, equation
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_empty_tensor_value_info("y")],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [0.0] * 6)],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    refused(hwsim("profile", path), "m.onnx")


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!int _", "!!float x", "9" * 400, "9" * 5000])
def test_values_that_are_none_of_what_they_say(hwsim: Hwsim, tmp_path: Path, value: str) -> None:
    arch = tmp_path / "arch.yaml"
    arch.write_bytes(ARCHITECTURE.replace(b"width: 64", f"width: {value}".encode()))
    refused(hwsim("archs", arch), "arch.yaml")


@pytest.mark.parametrize("target", ["[DRAM]", "{a: DRAM}", "null", "1"])
def test_a_target_that_is_no_name(hwsim: Hwsim, tmp_path: Path, target: str) -> None:
    files = {"arch": ARCHITECTURE, "problem": PROBLEMS[0]}
    files["mapping"] = MAPPINGS[0].replace(b"target: DRAM", f"target: {target}".encode(), 1)
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_bytes(content)
    refused(hwsim("evaluate", *(tmp_path / f"{name}.yaml" for name in files)), "mapping.yaml")


@pytest.mark.parametrize("table", ["null", "1", "[]", "{name: null}"])
def test_a_table_that_is_none(hwsim: Hwsim, tmp_path: Path, table: str) -> None:
    (tmp_path / "arch.yaml").write_bytes(ARCHITECTURE)
    (tmp_path / "arch.ert.yaml").write_bytes(ERT.replace(b"  tables:\n", f"  tables:\n  - {table}\n".encode()))
    refused(hwsim("energy", tmp_path / "arch.yaml"), "arch.ert.yaml")


@pytest.mark.parametrize("value", ["2001-99-99", "!!bool maybe", "9" * 5000, "'\\0'", '"\\0"', "[" * 3000])
def test_a_recipe_that_is_none(tmp_path: Path, value: str) -> None:
    from hwsim.errors import HwsimError
    from hwsim.trainers.recipe import load_recipe

    path = tmp_path / "recipe.yaml"
    path.write_bytes(RECIPE.replace(b"target: 0.85", f"target: {value}".encode()))
    with pytest.raises(HwsimError, match=r"recipe\.yaml") as error:
        load_recipe(str(path))
    assert len(str(error.value).splitlines()) == 1
