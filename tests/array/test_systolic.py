"""The systolic array: its closed form against the stepped machine, hand-worked cases and SCALE-Sim's figures."""

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.array import systolic_kernel, systolic_network
from hwsim.array.systolic import (
    MatrixProduct,
    SystolicCycles,
    SystolicDesign,
    cycles,
    matrix_product,
    systolic_design,
    utilization,
)
from hwsim.array.systolic_machine import SystolicMachine, controller, random_operands
from hwsim.array.systolic_network import layer_on, network_on, step_layer
from hwsim.design import load_architecture
from hwsim.errors import HwsimError
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.problem import Problem, conv, convolution, depthwise, grouped_conv, matmul
from tests.array.scalesim_cases import buffers_kb, cases, scalesim_cycles, scalesim_prefetch, scalesim_write_back
from tests.conftest import Run

Hwsim = Callable[..., Run]


def run(design: SystolicDesign, product: MatrixProduct, seed: int = 0) -> systolic_kernel.SystolicRun:
    """Step random operands; the product has to be right."""
    inputs, weights = random_operands(product, seed=seed)
    found = systolic_kernel.run(design, product, inputs, weights)
    assert np.array_equal(found.results, np.einsum("gtk,gkn->gtn", inputs, weights))
    return found


@st.composite
def jobs(draw: st.DrawFn, side: int = 8, size: int = 24) -> tuple[SystolicDesign, MatrixProduct]:
    sides, sizes = st.integers(1, side), st.integers(1, size)
    design = SystolicDesign(draw(sides), draw(sides), draw(st.booleans()), draw(st.none() | st.integers(1, 12)))
    return design, MatrixProduct(draw(sizes), draw(sizes), draw(sizes), groups=draw(st.integers(1, 3)))


def test_a_tile_by_hand() -> None:
    # [5 6] · [[1 2] [3 4]] on 2 × 2. Cycle 0: weight 3 goes in; 1: weight 1; 2: input 5 meets weight 1;
    # 3: 6 meets 3 and 5·1 + 6·3 = 23 is out; 4: the second column, one behind, hands out 5·2 + 6·4 = 34.
    product = MatrixProduct(tokens=1, reduction=2, outputs=2)
    operands = np.array([[[5, 6]]]), np.array([[[1, 2], [3, 4]]])
    seen: list[tuple[str, list[tuple[int, int]]]] = []
    machine = SystolicMachine(SystolicDesign(2, 2), product, *operands)
    machine.run(lambda m: seen.append((m.phase, [(column, value) for column, _, value in m.left])))
    assert seen == [("preload", []), ("preload", []), ("fill", []), ("stream", [(0, 23)]), ("drain", [(1, 34)])]


def test_every_array_up_to_8x8_and_20_tokens() -> None:
    for rows, columns, tokens in itertools.product(range(1, 9), range(1, 9), range(1, 21)):
        design, product = SystolicDesign(rows, columns), MatrixProduct(tokens, rows, columns)
        found = run(design, product).cycles
        alone = SystolicCycles(preload=rows, fill=rows - 1, stream=tokens, drain=columns - 1)
        assert found == cycles(design, product) == alone
        assert found.total == 2 * rows + columns + tokens - 2


def test_every_part_of_an_array() -> None:
    # tiles at the edge: r of 5 rows, c of 4 columns
    for rows, columns, tokens in itertools.product(range(1, 6), range(1, 5), (1, 2, 7)):
        for double in (False, True):
            design, product = SystolicDesign(5, 4, double), MatrixProduct(tokens, rows, columns)
            assert run(design, product).cycles.total == rows + 5 + columns + tokens - 2


@settings(max_examples=300, deadline=None)
@given(jobs())
def test_folded_products(job: tuple[SystolicDesign, MatrixProduct]) -> None:
    design, product = job
    found = run(design, product)
    assert found.cycles == cycles(design, product)
    assert found.most_waiting <= (design.accumulators or found.most_waiting)
    assert 0 < utilization(design, product) <= 1


@settings(max_examples=60, deadline=None)
@given(jobs(side=5, size=8))
def test_objects_and_kernel_are_one_machine(job: tuple[SystolicDesign, MatrixProduct]) -> None:
    """Register by register, cycle by cycle."""
    design, product = job
    inputs, weights = random_operands(product)
    state = systolic_kernel.empty_state(design, product)
    machine = SystolicMachine(design, product, inputs, weights)
    for segment in controller(design, product):
        plain, step = systolic_kernel.numbers(segment), 0
        while step < (max(segment.rows, segment.tokens) or design.rows + design.columns):
            if not systolic_kernel.advance(state, inputs, weights, plain, step, step + 1):
                break
            step += 1
            assert machine.cycle()
            for i, row in enumerate(machine.array.pes):
                for j, pe in enumerate(row):
                    kept = (pe.weight, pe.next_weight, pe.passing, pe.sum, pe.lane.value, pe.lane.token is not None)
                    registers = (state.weight, state.next_weight, state.passing, state.sum, state.value)
                    assert kept == (*(int(x[i, j]) for x in registers), state.tag[i, j] >= 0)
            assert machine.owed == state.owed.tolist()
    assert not machine.cycle()
    assert np.array_equal(machine.accumulators.results, state.results)
    assert np.array_equal(state.results, np.einsum("gtk,gkn->gtn", inputs, weights))
    ended = (state.counts[k] for k in range(systolic_kernel.PRELOAD, systolic_kernel.DRAIN + 1))
    assert machine.phases == dict(zip(systolic_network.PHASES, ended, strict=True))
    assert machine.accumulators.most_waiting == state.counts[systolic_kernel.MOST_WAITING]


def test_double_buffering_by_hand() -> None:
    # 3 tiles of 4 rows along the reduction; 6 tokens hide the 4 cycles of preload, 2 tokens leave 2 of them
    design = SystolicDesign(4, 4, double_buffered=True)
    assert cycles(design, MatrixProduct(6, 12, 4)) == SystolicCycles(preload=4, fill=3, stream=18, drain=3)
    assert cycles(design, MatrixProduct(2, 12, 4)) == SystolicCycles(preload=4 + 2 + 2, fill=3, stream=6, drain=3)
    # one row, one token: the second tile, of one column, follows a cycle later and is out before the first one's last
    narrow = SystolicDesign(1, 8, double_buffered=True)
    assert cycles(narrow, MatrixProduct(1, 1, 9)) == SystolicCycles(preload=1, fill=0, stream=2, drain=6)
    assert run(narrow, MatrixProduct(1, 1, 9)).cycles.total == 9


def test_accumulators_cut_the_stream() -> None:
    # 10 tokens, 4 sums kept: 3 blocks, each with both tiles of the reduction; a reduction of one tile keeps no sums
    design = SystolicDesign(4, 4, accumulators=4)
    found = run(design, MatrixProduct(10, 8, 4))
    assert (found.most_waiting, found.cycles.preload, found.cycles.stream) == (4, 3 * 8, 20)
    assert run(design, MatrixProduct(10, 4, 4)).most_waiting == 0
    assert cycles(design, MatrixProduct(10, 4, 4)) == cycles(
        replace(design, accumulators=None), MatrixProduct(10, 4, 4)
    )


def test_operands_of_another_shape_are_refused() -> None:
    product = MatrixProduct(2, 3, 4)
    inputs, weights = random_operands(product)
    for wrong in ((inputs[:, :1], weights), (inputs, weights.astype(float))):
        with pytest.raises(ValueError, match="int64 of shape"):
            systolic_kernel.run(SystolicDesign(2, 2), product, *wrong)


@pytest.mark.parametrize("case", cases(), ids=lambda c: f"{c.layer}-{c.rows}x{c.columns}")
def test_scalesim(case) -> None:  # type: ignore[no-untyped-def]
    p, design = case.product, SystolicDesign(case.rows, case.columns)
    ours = cycles(design, p).total
    assert case.cycles == scalesim_cycles(p, case.rows, case.columns) and case.stalls == 0
    # Its folds are whole arrays': R − r cycles more of preload and C − c of drain where an edge tile has fewer.
    down, across = range(0, p.reduction, case.rows), range(0, p.outputs, case.columns)
    absent = sum(
        case.rows - min(case.rows, p.reduction - k) + case.columns - min(case.columns, p.outputs - n)
        for k in down
        for n in across
    )
    assert ours == case.cycles + 1 - absent  # + 1: it numbers cycles from 0 and reports the last one's number
    size = buffers_kb()
    fetched = max(
        scalesim_prefetch(case.input_words, size["ifmap"]), scalesim_prefetch(p.reduction * p.outputs, size["filter"])
    )
    written = scalesim_write_back(p, case.rows, case.columns)
    assert case.cycles_with_prefetch == case.cycles + fetched + written
    assert case.utilization_pct == pytest.approx(100 * utilization(design, p) * ours / case.cycles)


def test_scalesim_layers_are_those_of_the_zoo(tmp_path: Path) -> None:
    stored = {case.layer: case.product for case in cases()}
    for model, name in (("resnet18", "stem"), ("mobilenet_v2", "block3.expand")):
        layers = read_onnx(zoo.write(model, tmp_path / f"{model}.onnx")).layers()
        problem = next(x.problem for x in layers if name in x.names)
        assert matrix_product(problem) == stored[f"{model} {name}"]


SIZES = {"C": 6, "M": 10, "R": 3, "S": 2, "N": 2, "P": 5, "Q": 4}


@pytest.mark.parametrize(
    ("problem", "product"),
    [
        (conv(SIZES, wstride=2), MatrixProduct(40, 36, 10)),
        (depthwise(SIZES), MatrixProduct(40, 6, 1, groups=6)),
        (grouped_conv({**SIZES, "G": 4}), MatrixProduct(40, 36, 10, groups=4)),
        (matmul({"B": 3, "P": 7, "C": 8, "M": 9}), MatrixProduct(7, 8, 9, groups=3)),
        # transposed: every input position makes a filter's worth of outputs, which are overlapped afterwards
        (convolution(SIZES, strides=(2, 2), dilations=(1, 1), transposed=True), MatrixProduct(40, 6, 60)),
    ],
    ids=lambda x: x.kind if isinstance(x, Problem) else "",
)
def test_problems_as_matrix_products(problem: Problem, product: MatrixProduct) -> None:
    assert matrix_product(problem) == product and product.macs == problem.macs


def test_other_problems_are_refused() -> None:
    spaces, dims = matmul({}).data_spaces, matmul({}).dims
    renamed = Problem("custom", dims, (replace(spaces[0], name="A"), *spaces[1:]))
    alone = Problem("custom", (("Z", 2), *dims), (replace(spaces[0], projection=(((1, "Z"),),)), *spaces[1:]))
    for problem, said in ((renamed, "has A, Inputs, Outputs"), (alone, "dimension Z indexes one operand alone")):
        with pytest.raises(HwsimError, match=said):
            matrix_product(problem)


def test_the_first_tpu_declares_its_array() -> None:
    design = systolic_design(load_architecture("tpu_v1_like")[0])
    assert design == SystolicDesign(256, 256, double_buffered=True, accumulators=4096)


DESIGN = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: system, attributes: {datawidth: 8, technology: 45nm}}
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64}}
  - !Container {name: outer, spatial: {meshX: 4}, attributes: {OUTER}}
  - !Container {name: inner, spatial: {meshY: 3}, attributes: {INNER}}
  - !Component {name: reg, class: storage, subclass: aladdin_register, attributes: {depth: 1, width: 8},
                constraints: {dataspace: {keep: [Weights]}}}
  - !Component {name: mac, class: intmac, attributes: {multiplier_width: 8, adder_width: 32}}
"""


@pytest.mark.parametrize(
    ("outer", "inner", "said"),
    [
        ("systolic: columns", "systolic: rows", ""),
        ("systolic: columns", "", "no systolic array"),
        ("", "", "no systolic array"),
        ("systolic: rows", "systolic: columns", "inside that of the columns"),
        ("systolic: columns", "systolic: diagonal", "'diagonal'"),
        ("sistolic: columns", "systolic: rows", "Did you mean 'systolic'"),
    ],
)
def test_designs_in_files(tmp_path: Path, hwsim: Hwsim, outer: str, inner: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(DESIGN.replace("OUTER", outer).replace("INNER", inner))
    found = hwsim("systolic", "zoo:lenet5", "--arch", path)
    if said:
        assert found.code == 2 and said in found.err and "a.yaml" in found.err, found.err
    else:
        assert found.code == 0 and "3 rows × 4 columns, single weights, accumulators unlimited" in found.out, found.err


def test_networks_stepped(hwsim: Hwsim, tmp_path: Path) -> None:
    args = ("systolic", "zoo:lenet5", "--rows", "8", "--columns", "8", "--double-buffer", "--step")
    assert hwsim(*args, "--json", tmp_path / "a.json").code == 0
    text = (tmp_path / "a.json").read_text()
    data = json.loads(text)
    assert data["schema"] == "hwsim.systolic/1" and len(data["layers"]) == 5
    for layer in data["layers"]:
        assert layer["stepped"] == {"cycles": layer["cycles"], "product_matches": True}
        sizes = layer["product"]
        assert layer["cycles"] == systolic_cycles(SystolicDesign(8, 8, True), MatrixProduct(**sizes))
    total = sum(x["count"] * x["cycles"]["total"] for x in data["layers"])
    assert data["cycles"]["total"] == total and data["utilization"] == data["macs"] / (64 * total)
    assert hwsim(*args, "--json", tmp_path / "b.json").code == 0 and (tmp_path / "b.json").read_text() == text


def systolic_cycles(design: SystolicDesign, product: MatrixProduct) -> dict[str, int]:
    found = cycles(design, product)
    return {"total": found.total, **{phase: getattr(found, phase) for phase in systolic_network.PHASES}}


def test_a_depthwise_layer_runs_group_by_group(tmp_path: Path) -> None:
    workload = read_onnx(zoo.write("mobilenet_v2_cifar", tmp_path / "m.onnx"))
    network = network_on(workload, SystolicDesign(16, 16))
    layer = next(x for x in network.layers if x.product.groups > 1 and x.product.tokens <= 64)
    assert (layer.product.reduction, layer.product.outputs) == (9, 1)
    stepped = step_layer(network.design, layer)
    assert stepped.stepped is not None and not stepped.stepped.refused and stepped.agrees
    # alone on the array, group after group: 9 + 16 + 1 + T − 2 cycles each
    assert layer.cycles.total == layer.product.groups * (24 + layer.product.tokens)


def test_what_disagrees_is_said(hwsim: Hwsim, monkeypatch: pytest.MonkeyPatch) -> None:
    real = systolic_kernel.run

    def late(*args) -> systolic_kernel.SystolicRun:  # type: ignore[no-untyped-def]
        found = real(*args)
        found.results[0, 0, 0] += 1
        return replace(found, cycles=replace(found.cycles, drain=found.cycles.drain + 1))

    monkeypatch.setattr(systolic_kernel, "run", late)
    found = hwsim("systolic", "--rows", "4", "--columns", "4", "--tokens", "6", "--step")
    assert found.code == 1 and "✗ 17 cycles, wrong product" in found.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "give a model, or --tokens"),
        (("zoo:lenet5", "--rows", "4"), "--columns is missing"),
        (("zoo:lenet5", "--rows", "4", "--columns", "4", "--arch", "tpu_v1_like"), "either --rows and --columns or"),
        (("zoo:lenet5", "--double-buffer"), "--double-buffer"),
        (("zoo:lenet5", "--tokens", "3"), "without a model"),
        (("--tokens", "3", "--layer", "c1"), "--layer"),
        (("zoo:lenet5", "--layer", "c2"), "no mapped layer 'c2'"),
        (("zoo:lenet5", "--arch", "simple_ws"), "no systolic array"),
        (("zoo:mobilenet_v2", "--layer", "block1.depthwise", "--step"), "too large to step"),
    ],
)
def test_mistakes_are_one_message(hwsim: Hwsim, args: tuple[str, ...], said: str) -> None:
    found = hwsim("systolic", *args)
    assert found.code == 2 and said in found.err and "Traceback" not in found.err, found.err


def test_layers_too_large_are_named_beside_the_others(hwsim: Hwsim, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systolic_network, "MAX_PE_STEPS", 100_000)
    found = hwsim("systolic", "zoo:lenet5", "--rows", "8", "--columns", "8", "--step")
    assert found.code == 0 and "too large" in found.out and "✓ cycles and product" in found.out
    monkeypatch.setattr(systolic_network, "MAX_WORDS", 10)
    layer = step_layer(SystolicDesign(2, 2), layer_on(SystolicDesign(2, 2), MatrixProduct(2, 2, 2), "x"))
    assert layer.stepped is not None and "words of operands" in layer.stepped.refused


def test_page_of_an_array_at_work(hwsim: Hwsim, tmp_path: Path) -> None:
    size = ("--rows", "3", "--columns", "2", "--tokens", "4", "--reduction", "5", "--outputs", "3", "--double-buffer")
    assert hwsim("systolic", *size, "--html", tmp_path / "a.html").code == 0
    text = (tmp_path / "a.html").read_text()
    # nothing from elsewhere, and both colour schemes
    assert not re.search(r"src=|href=|url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "prefers-color-scheme:dark" in text
    data = json.loads(text[text.index("parentElement,") + len("parentElement,") : text.rindex(")</script>")])
    design, product = SystolicDesign(3, 2, double_buffered=True), MatrixProduct(4, 5, 3)
    assert len(data["frames"]) == cycles(design, product).total == text.count('<i class="sa-') - 4  # 4 in the legend
    # what leaves last for each result is the product of the page's operands
    inputs, weights = random_operands(product, bits=4)
    results = np.zeros((4, 3), dtype=np.int64)
    for frame in data["frames"]:
        for _, token, output, _, total, _ in frame["left"]:
            results[token, output] = total
    assert np.array_equal(results, inputs[0] @ weights[0])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--rows", "9", "--columns", "2", "--tokens", "3"), "up to 8 × 8"),
        (("--rows", "2", "--columns", "2", "--tokens", "1000"), "at most 400 cycles"),
        (("zoo:lenet5", "--rows", "2", "--columns", "2"), "--layer"),
    ],
)
def test_pages_too_large_are_refused(hwsim: Hwsim, tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    found = hwsim("systolic", *args, "--html", tmp_path / "a.html")
    assert found.code == 2 and said in found.err and not (tmp_path / "a.html").exists()
