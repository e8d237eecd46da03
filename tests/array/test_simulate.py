"""`hwsim simulate`: operators and networks from ONNX on the array, against onnxruntime and the model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_array_mutations import prices
from trace_checker import check_trace

from hwsim.array.compare import compare_counts, compare_cycles
from hwsim.array.network import Graph, LayerRun, run_layer, run_network
from hwsim.array.reference import check_operator, compare, operator_model, run_model
from hwsim.cost import LayerCost
from hwsim.design import load_design
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from hwsim.network import map_layer
from hwsim.workloads import int8
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.operators.execution import Call
from hwsim.workloads.problem import Problem
from tests.array.array_cases import nest
from tests.conftest import Run

Hwsim = Callable[..., Run]
RNG = np.random.default_rng(7)


def real(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def small(dtype: type[np.integer[Any]], *shape: int) -> Any:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def one(value: float, dtype: Any = np.float32) -> Any:
    return np.array(value, dtype)


OPERATORS: dict[str, Call] = {
    "strided, padded unevenly": Call(
        "Conv", {"strides": [2, 1], "pads": [1, 0, 2, 1]}, [real(2, 3, 7, 6), real(4, 3, 3, 2), real(4)]
    ),
    "dilated": Call("Conv", {"dilations": [2, 3]}, [real(1, 2, 8, 9), real(3, 2, 3, 2)]),
    "same upper": Call("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, [real(1, 2, 6, 7), real(3, 2, 3, 4)]),
    "same lower": Call("Conv", {"auto_pad": "SAME_LOWER"}, [real(1, 2, 5, 5), real(3, 2, 2, 2)]),
    "grouped": Call("Conv", {"group": 2}, [real(1, 4, 5, 4), real(6, 2, 2, 3), real(6)]),
    "depthwise": Call("Conv", {"group": 4, "pads": [1, 1, 1, 1]}, [real(1, 4, 4, 5), real(4, 1, 3, 3), real(4)]),
    "depthwise, two filters a channel": Call("Conv", {"group": 3}, [real(1, 3, 4, 5), real(6, 1, 2, 3)]),
    "one axis": Call("Conv", {"pads": [1, 1], "strides": [2]}, [real(2, 3, 8), real(4, 3, 3), real(4)]),
    "volume": Call("Conv", {"strides": [1, 2, 1]}, [real(1, 2, 4, 5, 3), real(3, 2, 2, 3, 2)]),
    "transposed": Call(
        "ConvTranspose",
        {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 0]},
        [real(1, 3, 4, 3), real(3, 2, 3, 2), real(2)],
    ),
    "transposed, grouped": Call("ConvTranspose", {"group": 2}, [real(1, 4, 3, 3), real(4, 3, 2, 2)]),
    "matrix product": Call("MatMul", {}, [real(5, 7), real(7, 3)]),
    "batched product": Call("MatMul", {}, [real(2, 1, 4, 3), real(1, 3, 3, 5)]),
    "equal batches": Call("MatMul", {}, [real(2, 3, 4, 3), real(2, 3, 3, 5)]),
    "vector": Call("MatMul", {}, [real(6), real(2, 6, 3)]),
    "gemm": Call("Gemm", {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 2.0}, [real(6, 4), real(5, 6), real(4, 5)]),
    "integer convolution": Call(
        "ConvInteger", {}, [small(np.uint8, 1, 3, 5, 5), small(np.int8, 4, 3, 3, 3), one(128, np.uint8)]
    ),
    "quantized convolution": Call(
        "QLinearConv",
        {"pads": [1, 1, 1, 1]},
        [
            small(np.uint8, 1, 3, 5, 5),
            one(0.5),
            one(128, np.uint8),
            small(np.int8, 4, 3, 3, 3),
            np.array([0.1, 0.2, 0.3, 0.4], np.float32),
            np.zeros(4, np.int8),
            one(17.0),
            one(31, np.uint8),
            np.array([5, -900, 0, 70], np.int32),
        ],
    ),
    "integer product": Call(
        "MatMulInteger", {}, [small(np.int8, 4, 9), small(np.int8, 9, 5), one(0, np.int8), one(0, np.int8)]
    ),
    "quantized product": Call(
        "QLinearMatMul",
        {},
        [
            small(np.uint8, 4, 9),
            one(0.7),
            one(128, np.uint8),
            small(np.uint8, 9, 5),
            one(0.3),
            one(128, np.uint8),
            one(25.0),
            one(100, np.uint8),
        ],
    ),
}


def outermost(problem: Problem) -> tuple[Any, Mapping]:
    """Two storages, all loops at the outer one."""
    architecture, _ = nest("DRAM WIO:", "pad WIO:")
    loops = tuple(Loop(dim, size) for dim, size in problem.dims if size > 1)
    everything = frozenset(space.name for space in problem.data_spaces)
    return architecture, Mapping((LevelMapping("DRAM", loops, (), everything), LevelMapping("pad", (), (), everything)))


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_computed_as_onnxruntime_computes_it(name: str, tmp_path: Path) -> None:
    call = OPERATORS[name]
    model, _ = operator_model(call, 17)
    path = tmp_path / "operator.onnx"
    path.write_bytes(model.SerializeToString())
    workload = read_onnx(path)
    problem = workload.operators[0].problems[0][0]
    architecture, mapping = outermost(problem)
    cost = evaluate(problem, architecture, mapping, prices(architecture))
    assert isinstance(cost, LayerCost)
    run = run_layer(architecture, cost, name, call)
    verdict = check_operator(call, run.output, 17)
    assert verdict.reference.startswith("onnxruntime")
    assert verdict.agrees, verdict
    assert verdict.exact == (call.op.startswith("QLinear") or call.op.endswith("Integer"))
    assert all(count.explained for count in compare_counts(run.simulation, cost))


@pytest.mark.parametrize(("name", "images"), [("lenet5", 20), ("dw_cifar", 2)])
def test_int8_networks_equal_onnxruntime_and_the_model(name: str, images: int, tmp_path: Path) -> None:
    """All layers on simple_ws under the mappings that profile chooses; `make bench-array` runs 20 images of both."""
    path = tmp_path / f"{name}.onnx"
    model = int8.NETWORKS[name]()
    path.write_bytes(model.SerializeToString())
    graph = Graph(path, read_onnx(path))
    design = load_design("simple_ws")
    costs: dict[Problem, LayerCost] = {}
    for problem in set(graph.layers().values()):
        cost = map_layer(problem, design)
        assert isinstance(cost, LayerCost)
        costs[problem] = cost
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(images):
        feed = graph.feed("random", rng)
        *runs, outputs = run_network(graph, design.architecture, costs, feed)
        assert [run.name for run in runs if isinstance(run, LayerRun)] == list(graph.layers())
        for run in runs:
            assert isinstance(run, LayerRun)
            assert all(count.explained and not count.lines for count in compare_counts(run.simulation, run.cost))
            assert compare_cycles(run.simulation, run.cost).explained
        assert isinstance(outputs, dict)
        expected, who = run_model(model, feed)
        assert who.startswith("onnxruntime")
        for key, value in outputs.items():
            verdict = compare(value, expected[key], who)
            assert verdict.exact and verdict.agrees, (key, verdict)
            seen.add(value.tobytes())
    assert len(seen) == images  # no constant network


def test_the_reference_tells_a_wrong_result() -> None:
    call = OPERATORS["integer product"]
    right = call.tensor(0).astype(np.int64) @ call.tensor(1).astype(np.int64)
    assert check_operator(call, right.astype(np.int32), 17).agrees
    wrong = right.copy()
    wrong[0, 0] += 1
    assert not check_operator(call, wrong.astype(np.int32), 17).agrees
    assert not compare(np.array([1.0, 2.0]), np.array([1.0, 2.0001]), "").agrees
    assert compare(np.array([1.0, 2.0]), np.array([1.0, 2.000001]), "").agrees


# --- the command ----------------------------------------------------------------------


def test_a_layer_with_its_trace(hwsim: Hwsim, tmp_path: Path) -> None:
    trace, result = tmp_path / "t.json", tmp_path / "r.json"
    run = hwsim("simulate", "zoo:lenet5", "--layer", "c1", "--trace", trace, "--json", result)
    assert run.code == 0, run.err
    assert "onnxruntime" in run.out
    assert trace.stat().st_size < 20_000_000
    data = json.loads(trace.read_text())
    check_trace(data)
    rows = {(e["pid"], e["tid"]): e["args"]["name"] for e in data["traceEvents"] if e["name"] == "thread_name"}
    names = set(rows.values())
    assert {"DRAM", "shared_glb", "pe_spad[0]", "pe_spad[5]", "mac[0]", "mac[5]"} <= names
    macs = {
        name: sum(e["args"].get("mac Outputs", 0) for e in data["traceEvents"] if (e["pid"], e["tid"]) == row)
        for row, name in rows.items()
        if name.startswith("mac")
    }
    assert macs == {f"mac[{x}]": 117600 // 6 for x in range(6)}

    layer = json.loads(result.read_text())["layers"][0]
    assert layer["output"]["agrees"] and not layer["output"]["exact"]
    assert all(count["explained"] for count in layer["counts"])
    cycles = layer["cycles"]
    assert cycles["machine"] == cycles["model"] + sum(cycles["lines"].values())
    end = max(e["ts"] + e["dur"] for e in data["traceEvents"] if e["ph"] == "X")
    assert end == cycles["machine"] + 1  # the results' way home is a bar of a cycle where no port limits it


def test_the_checker_finds_faults_in_traces() -> None:
    def named(kind: str) -> dict[str, Any]:
        return {"ph": "M", "name": kind, "pid": 1, "tid": 1, "args": {"name": "a"}}

    def bar(ts: float, dur: float) -> dict[str, Any]:
        return {"ph": "X", "name": "x", "pid": 1, "tid": 1, "ts": ts, "dur": dur, "args": {}}

    names = [named("process_name"), named("thread_name")]
    check_trace({"traceEvents": [*names, bar(0, 1), bar(1, 1)]})
    for bad in (
        [*names, bar(0, 2), bar(1, 1)],
        [*names, bar(0, 0)],
        [*names, bar(-1, 1)],
        [names[0], bar(0, 1)],
        names,
    ):
        with pytest.raises(AssertionError):
            check_trace({"traceEvents": bad})


def test_a_network_layer_by_layer(hwsim: Hwsim, tmp_path: Path) -> None:
    path = tmp_path / "lenet5.onnx"
    path.write_bytes(int8.lenet5().SerializeToString())
    run = hwsim("simulate", path, "--seed", "3")
    assert run.code == 0, run.err
    assert run.out.count("✓ equal") == 6  # five layers and the network's output


def test_input_from_a_file(hwsim: Hwsim, tmp_path: Path) -> None:
    path, image = tmp_path / "lenet5.onnx", tmp_path / "image.npy"
    path.write_bytes(int8.lenet5().SerializeToString())
    np.save(image, np.zeros((1, 1, 32, 32), np.int8))
    assert hwsim("simulate", path, "--layer", "c1", "--input", image).code == 0
    np.save(image, np.zeros((1, 1, 28, 28), np.int8))
    run = hwsim("simulate", path, "--layer", "c1", "--input", image)
    assert run.code == 2 and "[1, 1, 32, 32]" in run.err and "[1, 1, 28, 28]" in run.err
    np.save(image, np.array([{}], object), allow_pickle=True)
    run = hwsim("simulate", path, "--layer", "c1", "--input", image)
    assert run.code == 2 and "not a readable .npy file" in run.err


def test_watch_shows_the_array(hwsim: Hwsim, tmp_path: Path) -> None:
    path = tmp_path / "lenet5.onnx"
    path.write_bytes(int8.lenet5().SerializeToString())
    run = hwsim("simulate", path, "--layer", "output", "--watch")
    assert run.code == 0, run.err
    assert "step 6 of 6" in run.out and "×" in run.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("zoo:lenet5", "--layer", "c2"), "zoo:lenet5: the network has no mapped layer 'c2'. Did you mean 'c"),
        (("zoo:lenet5", "--layer", "tanh1"), "is a Tanh; the array computes"),
        (("zoo:lenet5", "--trace", "t.json"), "--layer"),
        (("INT8", "--layer", "c3", "--set", "mac.overflow=error"), "may overflow the adder (bits)"),
        (("INT8", "--layer", "c3", "--set", "mac.multiplier_width=4"), "4-bit multipliers cannot take"),
        (("INT8", "--layer", "c3", "--set", "mac.overflow=never"), "wrap, saturate, error"),
        (("zoo:lenet5", "--layer", "c1", "--input", "none.npy"), "none.npy"),
    ],
)
def test_refusals_before_the_run(hwsim: Hwsim, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    path = tmp_path / "lenet5.onnx"
    path.write_bytes(int8.lenet5().SerializeToString())
    run = hwsim("simulate", *(str(path) if a == "INT8" else a for a in arguments))
    assert run.code == 2, run.out
    assert message in run.err and "Traceback" not in run.err
    assert not Path("t.json").exists()


def test_an_adder_that_wraps_does_not_give_onnxruntimes_result(hwsim: Hwsim, tmp_path: Path) -> None:
    """int8 sums of 150 products need more than 16 bits: a 16-bit adder that wraps is seen in the output."""
    path = tmp_path / "lenet5.onnx"
    path.write_bytes(int8.lenet5().SerializeToString())
    assert hwsim("simulate", path, "--layer", "c3").code == 0
    run = hwsim("simulate", path, "--layer", "c3", "--set", "mac.overflow=wrap")
    assert run.code == 1 and "differs" in run.out
    wide = ("--set", "mac.overflow=wrap", "--set", "mac.adder_width=32")
    assert hwsim("simulate", path, "--layer", "c3", *wide).code == 0
    assert math.log2(150 * 127 * 128) < 31
