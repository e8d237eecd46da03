"""Model files with faults: exit code 2, one message that names file and cause, no traceback."""

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.conftest import Run
from workloads import zoo

Hwsim = Callable[..., Run]
F = TensorProto.FLOAT


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    tensors: list[onnx.TensorProto] | None = None,
) -> Path:
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", F, None)], tensors or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])
    path.write_bytes(model.SerializeToString())
    return path


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, F, list(shape))


def refused(hwsim: Hwsim, path: Path, *words: str, extra: tuple[str, ...] = ()) -> None:
    run = hwsim("profile", path, *extra)
    assert run.code == 2, run.out
    assert "Traceback" not in run.err
    assert len(run.err.strip().splitlines()) == 1
    for word in words:
        assert word.lower() in run.err.lower(), run.err


def test_missing(hwsim: Hwsim, tmp_path: Path) -> None:
    refused(hwsim, tmp_path / "none.onnx", "none.onnx", "no such file")


def test_folder(hwsim: Hwsim, tmp_path: Path) -> None:
    refused(hwsim, tmp_path, str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(hwsim: Hwsim, tmp_path: Path) -> None:
    path = zoo.write("lenet5", tmp_path / "m.onnx")
    path.chmod(0)
    refused(hwsim, path, "m.onnx")


def test_not_onnx(hwsim: Hwsim, tmp_path: Path) -> None:
    path = tmp_path / "photo.onnx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    refused(hwsim, path, "photo.onnx", "onnx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated(hwsim: Hwsim, tmp_path: Path, share: float) -> None:
    whole = zoo.write("lenet5", tmp_path / "w.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(hwsim, path, "cut.onnx")


def test_empty_file_and_empty_graph(hwsim: Hwsim, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    refused(hwsim, tmp_path / "empty.onnx", "empty")
    refused(hwsim, save(tmp_path / "graph.onnx", [], [value("x", 1)]), "graph.onnx", "empty")


def test_cyclic_graph(hwsim: Hwsim, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    refused(hwsim, save(tmp_path / "c.onnx", nodes, [value("x", 4)]), "c.onnx", "cycl")


def test_two_gib(hwsim: Hwsim, tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    refused(hwsim, path, "huge.onnx", "2")


@pytest.mark.parametrize("binding", ["batch=0", "batch=two", "batch", "=3", "batch=-1", "batch=1.5"])
def test_bad_binding(hwsim: Hwsim, tmp_path: Path, binding: str) -> None:
    refused(hwsim, zoo.write("lenet5", tmp_path / "m.onnx"), "--dim", extra=("--dim", binding))


def test_binding_of_an_unknown_dimension(hwsim: Hwsim, tmp_path: Path) -> None:
    refused(hwsim, zoo.write("transformer_block", tmp_path / "m.onnx"), "sequ", extra=("--dim", "sequ=8"))


def test_unknown_operator(hwsim: Hwsim, tmp_path: Path) -> None:
    """What an operator that nobody knows returns cannot be inferred, so the rest of the network cannot be costed."""
    weight = helper.make_tensor("w", F, [8, 3, 1, 1], [0.0] * 24)
    nodes = [
        helper.make_node("Swirl", ["x"], ["c"], domain="own", name="swirl"),
        helper.make_node("Conv", ["c", "w"], ["y"], name="conv"),
    ]
    path = save(tmp_path / "u.onnx", nodes, [value("x", 1, 3, 8, 8)], [weight])
    refused(hwsim, path, "u.onnx", "swirl", "own.Swirl")


@pytest.mark.parametrize("location", ["gone.bin", "../secret.bin", "/etc/passwd"])
def test_external_data_that_shapes_depend_on(hwsim: Hwsim, tmp_path: Path, location: str) -> None:
    shape = TensorProto(name="s", data_type=TensorProto.INT64, dims=[2], data_location=TensorProto.EXTERNAL)
    shape.external_data.add(key="location", value=location)
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["z"], name="reshape"),
        helper.make_node("MatMul", ["z", "w"], ["y"], name="product"),
    ]
    weight = helper.make_tensor("w", F, [4, 4], [0.0] * 16)
    path = save(tmp_path / "e.onnx", nodes, [value("x", 4, 4)], [shape, weight])
    refused(hwsim, path, "e.onnx", Path(location).name)


def test_weights_outside_the_file_are_not_needed(hwsim: Hwsim, tmp_path: Path) -> None:
    weight = TensorProto(name="w", data_type=F, dims=[8, 3, 1, 1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="gone.bin")
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    assert hwsim("profile", save(tmp_path / "w.onnx", nodes, [value("x", 1, 3, 8, 8)], [weight])).code == 0


def test_no_operator_can_be_mapped(hwsim: Hwsim, tmp_path: Path) -> None:
    run = hwsim("profile", save(tmp_path / "r.onnx", [helper.make_node("Relu", ["x"], ["y"])], [value("x", 4)]))
    assert "Traceback" not in run.err
    assert "Relu" in run.out + run.err
