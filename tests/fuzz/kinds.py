"""Kinds of inputs: each is made from a source of randomness, and from nothing else."""

from __future__ import annotations

import functools
import inspect
import random
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from hwsim.errors import HwsimError
from tests.fuzz.mutate import (
    in_steps,
    mutate_assignment,
    mutate_bytes,
    mutate_json,
    mutate_onnx,
    mutate_text,
    mutate_yaml,
)
from tests.fuzz.networks import random_network

Files = dict[str, bytes]
Skip = frozenset[int]


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        kind: a key of `KINDS`.
        argv: the command and its arguments; files are named relative to the folder where it runs.
        files: what lies in that folder.
        result: the file that holds the result as JSON; ``-`` is standard output, nothing where there is none.
        macs: multiplications that the result should tell, where they are known: the input is well-formed.
        truth: file → content that the command should write whenever it succeeds.
        free: whether prices may be 0, so that energy may be.
    """

    kind: str
    argv: tuple[str, ...]
    files: Files
    result: str = ""
    macs: int | None = None
    truth: Mapping[str, bytes] = field(default_factory=dict)
    free: bool = False


# --- inputs without a fault -----------------------------------------------------------

ARCHITECTURE = b"""
architecture:
  version: 0.4
  nodes:
  - !Container
    name: chip
    attributes: {technology: 45nm, datawidth: 8, global_cycle_seconds: 1e-9}
  - !Component
    name: DRAM
    class: DRAM
    attributes: {type: LPDDR4, width: 64}
  - !Component
    name: buffer
    class: smartbuffer_SRAM
    attributes: {depth: 16 * 64, width: WIDTH, n_banks: 2, read_bandwidth: 8, write_bandwidth: 8}
  - !Container
    name: PE
    spatial: {meshX: 4, meshY: 2}
    constraints:
      spatial: {permutation: [C, M], split: 1, factors: [R=1, S=1]}
  - !Component
    name: spad
    class: storage
    subclass: smartbuffer_RF
    attributes: {depth: 8, width: 8}
    constraints: {dataspace: {keep: [Weights], bypass: [Inputs, Outputs]}, temporal: {permutation: [P, Q]}}
  - !Component
    name: mac
    class: intmac
    attributes: {multiplier_width: 8, adder_width: 16}
variables: {version: 0.4, WIDTH: 32}
"""
LEGACY = b"""
architecture:
  version: 0.3
  subtree:
  - name: system
    attributes: {technology: 45nm}
    local:
    - {name: DRAM, class: DRAM, attributes: {type: LPDDR4, width: 64, word-bits: 16, block-size: 4}}
    subtree:
    - name: chip
      local:
      - {name: buffer, class: smartbuffer_SRAM, attributes: {memory_depth: 1024, memory_width: 64, word-bits: 16}}
      subtree:
      - name: PE[0..7]
        local:
        - {name: spad, class: smartbuffer_RF, attributes: {memory_depth: 16, memory_width: 16, word-bits: 16, meshX: 4}}
        - {name: mac, class: intmac, attributes: {datawidth: 16, meshX: 4}}
"""
ERT = b"""
ERT:
  version: 0.4
  tables:
  - name: chip.DRAM
    actions: [{name: read, energy: 51.2}, {name: write, energy: 51}, {name: update, energy: 5}, {name: leak, energy: 0}]
  - name: chip.buffer
    actions:
    - {name: random_read, arguments: {a: 1}, energy: 32.4}
    - {name: random_read, energy: 1.5}
    - {name: random_fill, energy: 26.2}
    - {name: random_update, energy: 26.2}
    - {name: leak, energy: 0.005}
  - name: "chip.PE[0..7].spad"
    actions: [{name: read, energy: 0.6}, {name: write, energy: 1.5}, {name: update, energy: 2}, {name: leak, energy: 0}]
  - {name: "chip.PE[0..7].mac", actions: [{name: compute, energy: 0.315}, {name: leak, energy: 0.0036}]}
"""
PROBLEMS = (
    b"""problem:
  shape: conv
  instance: {C: 2, M: 4, R: 3, S: 1, N: 1, P: 4, Q: 2, Wstride: 1, Hstride: 2, Wdilation: 1, Hdilation: 1}
""",
    b"""problem:
  version: 0.4
  shape:
    name: product
    dimensions: [C, M, P]
    coefficients: [{name: Step, default: 1}]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]]]}
    - {name: Inputs, projection: [[[C]], [[P, Step]]]}
    - {name: Outputs, projection: [[[M]], [[P]]], read_write: true}
  instance: {C: 4, M: 4, P: 8, Step: 2}
""",
)
MAPPINGS = (
    b"""mapping:
- {target: DRAM, type: temporal, factors: C=1 M=1 P=2 Q=2 R=1 S=1 N=1, permutation: [P, Q, C, M]}
- {target: DRAM, type: bypass, keep: [Weights, Inputs, Outputs], bypass: []}
- {target: buffer, type: temporal, factors: "C=1,M=2,P=1", permutation: MCP}
- {target: buffer, type: dataspace, keep: [Inputs, Outputs], bypass: [Weights]}
- {target: PE, type: spatial, factors: C=2 M=2, permutation: [C, M], split: 1}
- {target: spad, type: temporal, factors: {P: 2, R: 3}, permutation: PR}
""",
    b"""mapping:
- {target: DRAM, type: temporal, factors: C1 M1 P8, permutation: PCM}
- {target: buffer, type: temporal, factors: "C=1,M=2,P=1", permutation: MCP}
- {target: PE, type: spatial, factors: C4 M2 P1, permutation: CMP, split: 1}
- {target: spad, type: temporal, factors: C=1 M=1 P=1, permutation: CMP}
""",
)
SPACE = b"""
title: Buffer and array
models: [{model: model.onnx, weight: 2}]
arch: arch.yaml
mapping_objective: edp
parameters:
  depth: {low: 64, high: 256, factor: 2}
  columns: [2, 4]
  rows: {low: 1, high: 3, step: 1}
  pes: columns * rows
settings:
  buffer.depth: depth * 2 / 2
  PE.meshX: columns
  PE.meshY: rows
constraints:
  - area <= 400 * mm2
  - pes >= 4
objectives: [energy, latency, {name: mine, expression: area * energy, direction: minimise}]
"""
RUBRIC = b"""
name: own
title: Own
source: "lab"
arch: simple_ws
hard_constraints: [{name: floor, figure: accuracy, at_least: 50}]
criteria:
  - {name: test accuracy, figure: accuracy, bands: [{above: 90, points: 100}, {at_least: 75, points: 40.5}]}
  - {name: energy, figure: energy, bands: [{below: 0.5, points: 10}, {at_most: 1, points: 5}]}
ranks:
  - {name: parameters, figure: parameters, bands: [{at_most: 25, points: 5}, {at_most: 100, points: 2}]}
datasets: {}
notes: [a note]
"""
RECIPE = b"""
name: own
title: Own
dataset: fashion_mnist
target: 0.85
max_parameters: 3000
validation: 5000
network: [conv 8 s2, separable 16 s2, gap, linear 10]
training:
  epochs: 14
  batch: 128
  learning_rate: 0.2
  weight_decay: 2.0e-5
  schedule: one_cycle
  warmup: 0.15
  milestones: [3, 5]
  augment: {crop: 4, flip: true, cutout: 8, mix: 0.1}
  stages: [{epoch: 0, resolution: 24}]
  finish: {epochs: 2, learning_rate: 0.01}
  muon: {learning_rate: 0.02}
distillation: {teacher: t.onnx, temperature: 4, alpha: 0.9}
pruning: {first: 2, last: 5}
"""
SETTINGS = (
    "buffer.depth=512", "PE.meshX=8", "*.technology=32nm", "DRAM.type=HBM2", "spad.width=16", "mac.multiplier_width=8",
    "buffer.n_banks=4", "chip.global_cycle_seconds=2e-9", "buffer.read_bandwidth=4", "D*.width=32",
)  # fmt: skip
SIZES = ("batch=2", "seq=8", "batch=1")


def _value(name: str, *shape: int | str | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def _zeros(name: str, *shape: int) -> onnx.TensorProto:
    size = functools.reduce(int.__mul__, shape, 1)
    return helper.make_tensor(name, TensorProto.FLOAT, shape, bytes(4 * size), raw=True)


def _whole(name: str, *values: int) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    tensors: list[onnx.TensorProto],
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> bytes:
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_empty_tensor_value_info("y")], tensors)
    domains = [("", 23), ("own", 1), ("com.microsoft", 1)]
    opsets = [helper.make_opsetid(name, version) for name, version in domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions)
    helper.set_model_props(model, {"test_accuracy": "0.9", "dataset": "cifar10"})
    return model.SerializeToString()


def tiny_model() -> bytes:
    """One convolution and a matrix product; its batch is symbolic."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v", "b"], ["y"], name="product"),
    ]
    tensors = [_zeros("w", 4, 2, 3, 3), _zeros("v", 64, 8), _zeros("b", 8)]
    return _model(nodes, [_value("x", "batch", 2, 8, 8)], tensors)


def _control() -> bytes:
    """If, Loop, Scan, a function."""
    body = helper.make_graph(
        [helper.make_node("MatMul", ["s", "w"], ["s2"]), helper.make_node("Identity", ["k"], ["k2"])],
        "body", [_value("i"), helper.make_tensor_value_info("k", TensorProto.BOOL, []), _value("s", 2, 4)],
        [helper.make_tensor_value_info("k2", TensorProto.BOOL, []), _value("s2", 2, 4)],
    )  # fmt: skip
    branch = [
        helper.make_graph([helper.make_node("MatMul", ["l", "w"], [f"o{k}"])], f"b{k}", [], [_value(f"o{k}", 2, 4)])
        for k in (0, 1)
    ]
    scan = helper.make_graph(
        [helper.make_node("MatMul", ["row", "w"], ["out"])], "scan", [_value("row", 2, 4)], [_value("out", 2, 4)]
    )
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 23)]
    )
    nodes = [
        helper.make_node("Loop", ["n", "c", "x"], ["l"], name="loop", body=body),
        helper.make_node("If", ["c"], ["i"], name="if", then_branch=branch[0], else_branch=branch[1]),
        helper.make_node("Twice", ["i"], ["t"], name="twice", domain="own"),
        helper.make_node("Unsqueeze", ["t", "zero"], ["u"], name="unsqueeze"),
        helper.make_node("Scan", ["u"], ["y"], name="scan", body=scan, num_scan_inputs=1),
    ]
    true = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    count = helper.make_tensor("n", TensorProto.INT64, [], [3])
    tensors = [_zeros("w", 4, 4), count, true, _whole("zero", 0)]
    return _model(nodes, [_value("x", 2, 4)], tensors, (function,))


def _attention() -> bytes:
    """Attention as standard and contrib operators have it, and computed shapes."""
    nodes = [
        helper.make_node("MultiHeadAttention", ["x", "x", "x"], ["m"], name="mha", domain="com.microsoft", num_heads=2),
        helper.make_node("Attention", ["m", "m", "m"], ["a"], name="attention", q_num_heads=2, kv_num_heads=2),
        helper.make_node("Shape", ["a"], ["s"], name="shape"),
        helper.make_node("Gather", ["s", "zero"], ["g"], name="gather"),
        helper.make_node("Concat", ["g", "rest"], ["to"], name="concat", axis=0),
        helper.make_node("Reshape", ["a", "to"], ["r"], name="reshape"),
        helper.make_node("Expand", ["r", "to"], ["e"], name="expand"),
        helper.make_node("Einsum", ["e", "w"], ["y"], name="einsum", equation="bk,km->bm"),
    ]
    tensors = [_whole("zero", 0), _whole("rest", 24), _zeros("w", 24, 3)]
    return _model(nodes, [_value("x", "batch", 3, 8)], tensors)


def _quantized() -> bytes:
    """Quantized products, a recurrent network, convolutions in 1-D and transposed, pooling, resizing."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv1d", auto_pad="SAME_UPPER"),
        helper.make_node("ConvTranspose", ["c", "u"], ["t"], name="up", strides=[2]),
        helper.make_node("MaxPool", ["t"], ["p"], name="pool", kernel_shape=[2], strides=[2]),
        helper.make_node("Resize", ["p", "", "", "sizes"], ["z"], name="resize"),
        helper.make_node("LSTM", ["z", "lw", "lr"], ["l", "", ""], name="lstm", hidden_size=2),
        helper.make_node("DynamicQuantizeLinear", ["l"], ["q", "qs", "qz"], name="quantize"),
        helper.make_node("MatMulInteger", ["q", "k", "qz"], ["y"], name="integers"),
    ]
    k = helper.make_tensor("k", TensorProto.INT8, [2, 2], [1, 2, 3, 4])
    tensors = [_zeros("w", 4, 2, 3), _zeros("u", 4, 2, 3), _whole("sizes", 1, 2, 8), k]
    tensors += [_zeros("lw", 1, 8, 8), _zeros("lr", 1, 8, 2)]
    return _model(nodes, [_value("x", 1, 2, 8)], tensors)


@functools.cache
def onnx_seeds() -> tuple[bytes, ...]:
    """Models that mutations start from."""
    from hwsim.workloads import zoo

    names = (("lenet5", {}), ("dw_cifar", {"width": 0.25, "resolution": 8}))
    shipped = [zoo.build(name, arguments).SerializeToString() for name, arguments in names]
    block = zoo.build("transformer_block", {"width": 16, "heads": 2, "hidden": 32}).SerializeToString()
    return (tiny_model(), _control(), _attention(), _quantized(), *shipped, block)


@functools.cache
def yaml_seeds() -> tuple[bytes, ...]:
    """Architectures that mutations start from."""
    from hwsim.design import shipped_architectures

    shipped = [file.read_bytes() for file in shipped_architectures().values()]
    return (ARCHITECTURE, ARCHITECTURE, ARCHITECTURE, LEGACY, *shipped)


@functools.cache
def _limit(command: str) -> tuple[str, ...]:
    """The option that bounds a search, where the command has it."""
    from hwsim.cli.commands import function

    return ("--time-limit", "1") if "time_limit" in inspect.signature(function(command)).parameters else ()


def run_command(argv: tuple[str, ...]) -> int:
    """The command line in this process and folder; its exit code."""
    import sys

    from hwsim.cli import main

    sys.argv = ["hwsim", *argv]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


# --- kinds ----------------------------------------------------------------------------


def _a_model(rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return random_network(rng).model.SerializeToString()
    return rng.choice(onnx_seeds())


def _profile(kind: str, model: bytes, rng: random.Random, *options: str, macs: int | None = None) -> Case:
    own = rng.random() < 0.9
    argv = ("profile", "model.onnx", "--json", "out.json", "--arch", "arch.yaml" if own else "simple_ws", *options)
    argv += _limit("profile") if macs is None else ()
    argv += ("--csv", "out.csv", "--markdown", "out.md") if rng.random() < 0.1 else ()
    argv += ("--html", "out.html") if rng.random() < 0.01 else ()
    return Case(kind, argv, {"model.onnx": model, "arch.yaml": ARCHITECTURE}, "out.json", macs)


def onnx_bytes(rng: random.Random, skip: Skip) -> Case:
    """A model whose file is damaged."""
    model = _a_model(rng)
    return _profile("onnx bytes", in_steps(rng, skip, model, mutate_bytes), rng)


def onnx_structure(rng: random.Random, skip: Skip) -> Case:
    """A model whose fields are changed."""
    model = _a_model(rng)
    return _profile("onnx structure", in_steps(rng, skip, model, mutate_onnx), rng)


def networks(rng: random.Random, skip: Skip) -> Case:
    """A well-formed network: its cost, now and then its cycles on a systolic array, or a run of the array simulator."""
    made = random_network(rng, skip)
    options = [part for name, size in made.dims.items() for part in ("--dim", f"{name}={size}")]
    model, share = made.model.SerializeToString(), rng.random()
    if share < 0.12:
        own = ("simulate", "--arch", "arch.yaml") if share < 0.02 else ("systolic", "--rows", "8", "--columns", "8")
        argv = (own[0], "model.onnx", *own[1:], "--json", "out.json", *options)
        return Case("networks", argv, {"model.onnx": model, "arch.yaml": ARCHITECTURE}, "out.json", made.macs)
    return _profile("networks", model, rng, *options, macs=made.macs)


def _either(rng: random.Random, data: bytes) -> bytes:
    return mutate_yaml(rng, data) if rng.random() < 0.8 else mutate_bytes(rng, data)


def _specification(kind: str, rng: random.Random, files: Files, which: int, *, free: bool = False) -> Case:
    """One of the commands on an architecture, a problem and a mapping."""
    files = {"problem.yaml": PROBLEMS[which], "mapping.yaml": MAPPINGS[which]} | files
    if rng.random() < 0.75:
        return Case(kind, ("evaluate", *sorted(files), "--json"), files, "-", free=free)
    del files["mapping.yaml"]
    objective = rng.choice(("edp", "energy", "latency"))
    argv = ("map", *sorted(files), "--json", "--objective", objective, *_limit("map"))
    return Case(kind, argv, files, "-", free=free)


def architectures(rng: random.Random, skip: Skip) -> Case:
    """A changed architecture: shown, priced, mapped on."""
    arch = in_steps(rng, skip, rng.choice(yaml_seeds()), _either)
    if rng.random() < 0.6:
        return Case("architectures", (rng.choice(("archs", "energy")), "arch.yaml"), {"arch.yaml": arch}, free=True)
    return _specification("architectures", rng, {"arch.yaml": arch}, rng.randrange(2), free=True)


def problems(rng: random.Random, skip: Skip) -> Case:
    """A changed problem."""
    which = rng.randrange(2)
    problem = in_steps(rng, skip, PROBLEMS[which], _either)
    return _specification("problems", rng, {"arch.yaml": ARCHITECTURE, "problem.yaml": problem}, which)


def mappings(rng: random.Random, skip: Skip) -> Case:
    """A changed mapping."""
    which = rng.randrange(2)
    files = {"arch.yaml": ARCHITECTURE, "problem.yaml": PROBLEMS[which]}
    files["mapping.yaml"] = in_steps(rng, skip, MAPPINGS[which], _either)
    return Case("mappings", ("evaluate", *sorted(files), "--json"), files, "-")


def energy_tables(rng: random.Random, skip: Skip) -> Case:
    """A changed energy table: in a file of its own, or beside the architecture."""
    ert = in_steps(rng, skip, ERT, _either)
    if rng.random() < 0.5:
        return Case("energy tables", ("energy", "arch.yaml"), {"arch.yaml": ARCHITECTURE, "arch.ert.yaml": ert})
    return _specification(
        "energy tables", rng, {"arch.yaml": ARCHITECTURE, "ert.yaml": ert}, rng.randrange(2), free=True
    )


def spaces(rng: random.Random, skip: Skip) -> Case:
    """A changed space of designs."""
    space = in_steps(rng, skip, SPACE, _either)
    files = {"space.yaml": space, "arch.yaml": ARCHITECTURE, "model.onnx": tiny_model()}
    sampler = rng.choice(("random", "nsga2", "halton"))
    argv = (
        "explore",
        "space.yaml",
        "--trials",
        "2",
        "--workers",
        "1",
        "--store",
        ":memory:",
        "--json",
        "--sampler",
        sampler,
    )
    return Case("spaces", argv, files, "-", free=True)


def rubrics(rng: random.Random, skip: Skip) -> Case:
    """A changed rubric, or other models' figures."""
    files = {"model.onnx": tiny_model(), "rubric.yaml": RUBRIC}
    argv = ["score", "model.onnx", "--rubric", "rubric.yaml", "--json"]
    if rng.random() < 0.3:
        name = rng.choice(("others.csv", "others.json"))
        text = b"parameters,macs\n10,20\n3000,1e6\n" if name.endswith("csv") else b'[{"parameters": 10, "macs": 20}]'
        files[name] = in_steps(rng, skip, text, mutate_bytes if name.endswith("csv") else mutate_json)
        argv += ["--population", name]
    else:
        files["rubric.yaml"] = in_steps(rng, skip, RUBRIC, _either)
    if rng.random() < 0.3:
        argv += ["--accuracy", mutate_text(rng, "0.9")]
    return Case("rubrics", tuple(argv), files, "-", free=True)


def recipes(rng: random.Random, skip: Skip) -> Case:
    """A changed recipe; it is read, not trained."""
    return Case("recipes", ("(recipe)", "recipe.yaml"), {"recipe.yaml": in_steps(rng, skip, RECIPE, _either)})


def settings(rng: random.Random, skip: Skip) -> Case:
    """A changed ``--set``."""
    text = in_steps(rng, skip, rng.choice(SETTINGS), mutate_assignment)
    argv: tuple[str, ...] = ("profile", "model.onnx", "--json", "out.json", "--arch", "arch.yaml", f"--set={text}")
    if rng.random() < 0.2:
        argv = ("whatif", "model.onnx", "--json", "out.json", "--arch", "arch.yaml", f"--set={text}")
    return Case("settings", argv, {"model.onnx": tiny_model(), "arch.yaml": ARCHITECTURE}, "out.json", free=True)


def sizes(rng: random.Random, skip: Skip) -> Case:
    """A changed ``--dim``."""
    text = in_steps(rng, skip, rng.choice(SIZES), mutate_assignment)
    model = rng.choice((tiny_model(), onnx_seeds()[2]))
    return _profile("sizes", model, rng, f"--dim={text}")


def saved(rng: random.Random, skip: Skip) -> Case:
    """A changed result of ``profile --json``, compared with the right one."""
    right = prepared().profile
    mutate = mutate_json if rng.random() < 0.7 else mutate_bytes
    files = {"a.json": right, "b.json": in_steps(rng, skip, right, _guarded(mutate))}
    names = ("a.json", "b.json") if rng.random() < 0.5 else ("b.json", "a.json")
    return Case("saved results", ("compare", *names, "--csv", "out.csv"), files)


def entries(rng: random.Random, skip: Skip) -> Case:
    """A changed entry of the cache: the result is what it was."""
    files = dict(prepared().cache)
    name = rng.choice(sorted(files))
    mutate = mutate_json if rng.random() < 0.7 else mutate_bytes
    files[name] = in_steps(rng, skip, files[name], _guarded(mutate))
    files |= {"model.onnx": tiny_model(), "arch.yaml": ARCHITECTURE}
    argv = ("profile", "model.onnx", "--json", "out.json", "--arch", "arch.yaml")
    return Case("cache entries", argv, files, "out.json", truth={"out.json": prepared().profile})


def stores(rng: random.Random, skip: Skip) -> Case:
    """A changed store of an exploration: outcomes are what they were, or it is refused."""
    mutate = _mutate_rows if rng.random() < 0.5 else mutate_bytes
    files = {"space.yaml": SPACE, "arch.yaml": ARCHITECTURE, "model.onnx": tiny_model()}
    files["store.sqlite"] = in_steps(rng, skip, prepared().store, _guarded(mutate))
    return Case("stores", _EXPLORE, files, truth={"out.csv": prepared().trials})


def _guarded(mutate: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, bytes], bytes]:
    """A mutation that leaves alone what it cannot read, as an earlier one may have left it."""

    def change(rng: random.Random, data: bytes) -> bytes:
        try:
            return mutate(rng, data)
        except (ValueError, RecursionError, sqlite3.DatabaseError):
            return mutate_bytes(rng, data)

    return change


def _mutate_rows(rng: random.Random, data: bytes) -> bytes:
    """One change to a row of a SQLite file, as SQLite makes it: its pages stay sound."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        path.write_bytes(data)
        file = sqlite3.connect(path, isolation_level=None)
        try:
            table = rng.choice(("space", "designs", "designs", "designs"))
            rows = file.execute(f"SELECT rowid, * FROM {table}").fetchall()
            columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
            row, column = rng.choice(rows), rng.randrange(len(columns))
            text = str(row[1 + column]).encode()
            try:
                new = (mutate_json if rng.random() < 0.7 else mutate_bytes)(rng, text)
            except (ValueError, RecursionError):
                new = mutate_bytes(rng, text)
            if rng.random() < 0.15:
                file.execute(f"DELETE FROM {table} WHERE rowid = ?", (row[0],))
            else:
                file.execute(
                    f"UPDATE OR IGNORE {table} SET {columns[column]} = ? WHERE rowid = ?",
                    (new.decode(errors="replace"), row[0]),
                )
        finally:
            file.close()
        return path.read_bytes()


_EXPLORE = ("explore", "space.yaml", "--grid", "--workers", "1", "--store", "store.sqlite", "--csv", "out.csv")


@dataclass(frozen=True)
class Prepared:
    """Results of right inputs, which damaged copies are held against.

    Attributes:
        profile: ``profile --json`` of the tiny model.
        cache: the cache after it, as files ``cache/NAME``.
        store: after an exploration.
        trials: its ``--csv``.
    """

    profile: bytes
    cache: Files
    store: bytes
    trials: bytes


_PREPARED: list[Prepared] = []


def prepare(folder: Path) -> None:
    """Make the results that damaged copies start from, in this folder, which is the current one."""
    for name, content in (("model.onnx", tiny_model()), ("arch.yaml", ARCHITECTURE), ("space.yaml", SPACE)):
        (folder / name).write_bytes(content)
    design = ("model.onnx", "--arch", "arch.yaml")
    codes = [run_command(("profile", *design, "--json", "out.json")), run_command(_EXPLORE)]
    codes += [run_command(("simulate", *design)), run_command(("systolic", "model.onnx"))]  # compiled once, here
    if any(codes):
        raise HwsimError("the inputs without a fault are refused.", where=str(folder))
    cache = {f"cache/{p.name}": p.read_bytes() for p in (folder / "cache").glob("*.json")}
    read = [(folder / name).read_bytes() for name in ("out.json", "store.sqlite", "out.csv")]
    _PREPARED[:] = [Prepared(read[0], cache, read[1], read[2])]


def prepared() -> Prepared:
    """See `prepare`."""
    return _PREPARED[0]


#: kind → (share of the inputs in percent, maker)
KINDS: dict[str, tuple[float, Callable[[random.Random, Skip], Case]]] = {
    "onnx bytes": (12, onnx_bytes),
    "onnx structure": (26, onnx_structure),
    "networks": (10, networks),
    "architectures": (12, architectures),
    "problems": (7, problems),
    "mappings": (6, mappings),
    "energy tables": (5, energy_tables),
    "spaces": (3, spaces),
    "rubrics": (4, rubrics),
    "recipes": (3, recipes),
    "settings": (4, settings),
    "sizes": (2, sizes),
    "saved results": (3, saved),
    "cache entries": (2, entries),
    "stores": (1, stores),
}


def make(seed: int, number: int, skip: Skip = frozenset()) -> Case:
    """The input of a number; the same for the same seed, on every machine."""
    rng = random.Random(f"{seed} {number}")
    (maker,) = rng.choices([m for _, m in KINDS.values()], [share for share, _ in KINDS.values()])
    return maker(rng, skip)
