"""Model files with faults: exit code 2, one message that names file and cause, no traceback."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.errors import HwsimError
from hwsim.workloads import zoo
from hwsim.workloads.memory import peak_live_bytes, peak_live_bytes_best_order
from hwsim.workloads.onnx.reader import read_onnx
from tests.conftest import Run

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


def external(name: str, location: str, shape: tuple[int, ...] = (2,), **entries: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.INT64, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, text in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=text)
    return tensor


RESHAPED = [
    helper.make_node("Reshape", ["x", "s"], ["z"]),
    helper.make_node("MatMul", ["z", "w"], ["y"], name="product"),
]
WEIGHT = helper.make_tensor("w", F, [4, 4], [0.0] * 16)


@pytest.mark.parametrize("shape", [(2,), (4000, 4000)], ids=["small", "large"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "outside", "link", "long", "nul", "none"])
def test_external_data_that_is_no_file_beside_the_model(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    """Refused before it is opened, needed or not: a pipe would make the reader wait, a device would never end."""
    folder = tmp_path / "model"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("/dev/zero")
    (tmp_path / "outside").write_bytes(bytes(16))
    location = {"device": "/dev/zero", "outside": "../outside", "long": "x" * 5000, "nul": "a\0b", "none": ""}.get(
        kind, kind
    )
    path = save(folder / "e.onnx", RESHAPED, [value("x", 4, 4)], [external("s", location, shape), WEIGHT])
    with pytest.raises(HwsimError, match="'s'"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("content", "entries", "words"),
    [
        (bytes(8), {}, "ends before byte 16"),
        (bytes(16), {"offset": "8"}, "ends before byte 24"),
        (bytes(16), {"offset": "-8"}, "cannot be read"),
        (bytes(16), {"offset": "eight"}, "cannot be read"),
        (bytes(16), {"offset": "9" * 5000}, "cannot be read"),
        (bytes(16), {"offset": "9" * 30}, "cannot be read"),
        (None, {}, "is missing"),
    ],
)
def test_external_data_that_cannot_be_read(
    tmp_path: Path, content: bytes | None, entries: dict[str, str], words: str
) -> None:
    if content is not None:
        (tmp_path / "s.bin").write_bytes(content)
    path = save(tmp_path / "e.onnx", RESHAPED, [value("x", 4, 4)], [external("s", "s.bin", **entries), WEIGHT])
    with pytest.raises(HwsimError, match=words) as caught:
        read_onnx(path)
    assert "s.bin" in caught.value.message and "'product'" in caught.value.message


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "s.bin").write_bytes(bytes(8) + np.array([4, 2, 2], np.int64).tobytes())
    tensor = external("s", "data/s.bin", (3,), offset="8")
    weight = helper.make_tensor("w", F, [2, 4], [0.0] * 8)
    path = save(tmp_path / "e.onnx", RESHAPED, [value("x", 4, 4)], [tensor, weight])
    assert read_onnx(path).macs == 4 * 2 * 2 * 4


def test_external_data_in_an_attribute(tmp_path: Path) -> None:
    """Evaluating such an operator would open the path, seen from the working directory."""
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["y"], name="n", value=external("v", "/dev/zero", (1,)))]
    path = save(tmp_path / "e.onnx", nodes, [value("x", 4)], [numpy_helper.from_array(np.array([2]), "s")])
    with pytest.raises(HwsimError, match=r"'n'.*'value'"):
        read_onnx(path)


def graph_of(op: str, inputs: list[str], outputs: int = 1, **attributes: object) -> list[onnx.NodeProto]:
    return [helper.make_node(op, inputs, [f"y{i}" if i else "y" for i in range(outputs)], name="n", **attributes)]


def body(nodes: list[onnx.NodeProto], inputs: list[str], outputs: list[str]) -> onnx.GraphProto:
    infos = [[helper.make_tensor_value_info(n, F, None) for n in names] for names in (inputs, outputs)]
    return helper.make_graph(nodes, "body", *infos)


ROUND = [helper.make_node("Identity", ["a"], ["b"]), helper.make_node("Identity", ["b"], ["a"])]


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (graph_of("Relu", []), "0 inputs"),
        (graph_of("Relu", ["x", "x"]), "2 inputs"),
        (graph_of("Relu", ["nowhere"]), "'nowhere'"),
        (graph_of("Relu", [""]), "'n'"),
        (graph_of("Relu", ["x"], outputs=2), "'n'"),
        (graph_of("Conv", ["x", "w"], strides=[1.5]), "strides"),
        (graph_of("Conv", ["x", "w"], group="two"), "group"),
        (graph_of("Transpose", ["x"], perm=[7, 7, 7]), "n"),
        (graph_of("Constant", []), "value"),
        (graph_of("Constant", [], value=1), "value"),
        (graph_of("Constant", [], value_int=1.5), "value_int"),
        (graph_of("Constant", [], value_floats="a"), "value_floats"),
        (graph_of("Constant", [], value_strings=3), "value_strings"),
        (graph_of("Constant", [], sparse_value=1.0), "sparse_value"),
        (graph_of("Constant", [], value_int=1, value_float=1.0), "one attribute"),
        (graph_of("If", ["x"], then_branch=3, else_branch=4), "two branches"),
        (graph_of("If", []), "two branches"),
        (graph_of("Loop", ["x", ""], body=3), "body"),
        (graph_of("Loop", [], body=body(ROUND, ["i", "c"], ["a"])), "body"),
        (graph_of("Loop", ["", ""], body=body(ROUND, ["i", "c"], ["a"])), "cyclic"),
        (graph_of("Loop", ["", "c", ""], body=body([], ["i", "c", "s"], ["c", "s"])), "'c'"),
        (graph_of("Scan", ["x"], body=3, num_scan_inputs=1), "body"),
        (graph_of("Scan", ["x"], body=body([], ["s"], ["s"]), num_scan_inputs=-1), "body"),
        (graph_of("Scan", ["x"], body=body([], ["s"], ["t"]), num_scan_inputs=1), "'t'"),
    ],
)
def test_operators_that_are_malformed(tmp_path: Path, nodes: list[onnx.NodeProto], words: str) -> None:
    weight = helper.make_tensor("w", F, [4, 4, 1], [0.0] * 16)
    path = save(tmp_path / "m.onnx", nodes, [value("x", 1, 4, 4)], [weight])
    try:
        workload = read_onnx(path)
    except HwsimError as error:
        assert error.where.endswith("m.onnx") and words in error.message
    else:
        assert nodes[0].op_type == "Transpose" and any(words in note for note in workload.notes)


def test_bodies_that_lie_deep_in_one_another(tmp_path: Path) -> None:
    """Through functions, which a file may nest without end: 100 calls, each in a branch of the one before."""
    functions = []
    for level in range(100):
        inner = helper.make_node(
            f"F{level + 1}" if level < 99 else "Relu", ["x"], ["o"], domain="own" if level < 99 else ""
        )
        branch = body([inner], [], ["o"])
        other = body([helper.make_node("Relu", ["x"], ["o"])], [], ["o"])
        choice = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=other)
        cast = helper.make_node("Cast", ["x"], ["c"], to=TensorProto.BOOL)
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"F{level}", ["x"], ["y"], [cast, choice], imports))
    call = helper.make_node("F0", ["x"], ["y"], domain="own")
    info = [helper.make_tensor_value_info(name, F, [1]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph([call], "g", info[:1], info[1:]),
        functions=functions,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
    )
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    workload = read_onnx(tmp_path / "m.onnx")  # the branch that lies too deep cannot be taken, the other is
    assert any("deep in one another" in note for note in workload.notes)


def test_a_function_that_calls_itself(tmp_path: Path) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function("own", f, ["x"], ["y"], [helper.make_node(g, ["x"], ["y"], domain="own")], imports)
        for f, g in (("F", "G"), ("G", "F"))
    ]
    info = [helper.make_tensor_value_info(name, F, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="own")], "g", info[:1], info[1:])
    (tmp_path / "m.onnx").write_bytes(
        helper.make_model(graph, functions=functions, opset_imports=imports).SerializeToString()
    )
    with pytest.raises(HwsimError, match="'F' calls itself"):
        read_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("key", ["hwsim.default_dims", "x"])
def test_texts_that_are_not_utf8(tmp_path: Path, key: str) -> None:
    path = save(tmp_path / "m.onnx", graph_of("Relu", ["x"]), [value("x", 4)])
    model = onnx.load(path)
    model.metadata_props.add(key=key, value="abcd")
    path.write_bytes(model.SerializeToString().replace(b"abcd", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(HwsimError, match=r"UTF-8|parse"):
        read_onnx(path)


def test_one_multiplication(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", F, [1, 1], [0.0])
    workload = read_onnx(save(tmp_path / "m.onnx", graph_of("MatMul", ["x", "w"]), [value("x", 1, 1)], [weight]))
    assert (workload.macs, len(workload.layers())) == (1, 1)


def test_mutations(tmp_path: Path) -> None:
    """Whatever is done to the bytes of a small model: a network, or one message that names the file."""
    draw = random.Random(0)
    whole = zoo.write("lenet5", tmp_path / "w.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    outcomes = set()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 1, 2, 4])):
            at = draw.randrange(len(content))
            match draw.randrange(3):
                case 0:
                    content[at] = draw.randrange(256)
                case 1:
                    del content[at : at + draw.randrange(1, 9)]
                case _:
                    content[at:at] = draw.randbytes(draw.randrange(1, 5))
        path.write_bytes(content)
        try:
            workload = read_onnx(path)
            assert workload.macs >= 0
            assert 0 <= (peak_live_bytes_best_order(workload) or 0) <= peak_live_bytes(workload)
            outcomes.add("read")
        except HwsimError as error:
            assert error.where.endswith("m.onnx")
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    "tensor",
    [external("w", "gone.bin", (4, 4)), TensorProto(name="w", data_type=F, dims=[4, 4], raw_data=b"abc")],
    ids=["missing", "short"],
)
def test_weights_that_the_simulator_cannot_read(tmp_path: Path, tensor: onnx.TensorProto) -> None:
    """Counting needs no weights, running them does."""
    from hwsim.array.network import Graph

    tensor.data_type = F
    path = save(tmp_path / "m.onnx", graph_of("MatMul", ["x", "w"]), [value("x", 1, 4, 4)], [tensor])
    workload = read_onnx(path)
    assert workload.macs == 64
    with pytest.raises(HwsimError, match="weights cannot be read"):
        Graph(path, workload)
