"""Every row of the lowering table on one operator, problems derived by hand: dimensions and roles, not only MACs."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.errors import HwsimError
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.operators.table import OPERATORS
from hwsim.workloads.problem import Problem, convolution, matmul
from hwsim.workloads.workload import Workload

F, U8, I8, I32 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32
I64 = TensorProto.INT64
LOWERED = {name: each for name, each in OPERATORS.items() if each.lower is not None}
MICROSOFT = "com.microsoft"


class Slot(NamedTuple):
    """An input: fed when the network runs, or constant."""

    constant: bool
    shape: tuple[int, ...]
    elem_type: int = F
    values: tuple[int, ...] = ()


def x(*shape: int, of: int = F) -> Slot:
    return Slot(False, shape, of)


def w(*shape: int, of: int = F) -> Slot:
    return Slot(True, shape, of)


def _held(slot: Slot) -> Any:
    dtype = helper.tensor_dtype_to_np_dtype(slot.elem_type)
    return np.resize(np.array(slot.values or 1, dtype), slot.shape)


def build(path: Path, op: str, slots: list[Slot | None], outputs: int = 1, **attributes: Any) -> Path:
    """A file with one operator ``n``, outputs ``y0``, ``y1`` …; what it is fed with goes through an Abs.

    (A graph input that only a product reads would be taken as its weights.)
    """
    domain, _, op_type = op.rpartition(".")
    names = ["" if slot is None else f"i{index}" for index, slot in enumerate(slots)]
    node = helper.make_node(op_type, names, [f"y{i}" for i in range(outputs)], name="n", domain=domain, **attributes)
    fed = {name: slot for name, slot in zip(names, slots, strict=True) if slot and not slot.constant}
    nodes = [helper.make_node("Abs", [f"{name}.fed"], [name]) for name in fed]
    inputs = [helper.make_tensor_value_info(f"{name}.fed", slot.elem_type, slot.shape) for name, slot in fed.items()]
    tensors = [
        numpy_helper.from_array(_held(slot), name)
        for name, slot in zip(names, slots, strict=True)
        if slot and slot.constant
    ]
    results = [helper.make_tensor_value_info(f"y{i}", F, None) for i in range(outputs)]
    graph = helper.make_graph([*nodes, node], "g", inputs, results, tensors)
    opset = 27 if op in ("LinearAttention", "CausalConvWithState") else 24
    domains = {"": opset, MICROSOFT: 1, f"{MICROSOFT}.nchwc": 1, "ai.onnx.ml": 3, "ai.onnx.preview": 1}
    imports = [helper.make_opsetid(*item) for item in domains.items()]
    path.write_bytes(helper.make_model(graph, opset_imports=imports).SerializeToString())
    return path


def read(tmp_path: Path, op: str, slots: list[Slot | None], outputs: int = 1, **attributes: Any) -> Workload:
    return read_onnx(build(tmp_path / "m.onnx", op, slots, outputs, **attributes))


def mm(m: int, c: int, p: int, b: int = 1) -> Problem:
    """Rows P of the activation, C multiplied away, columns M of the weights, B products."""
    return matmul({"B": b, "M": m, "C": c, "P": p})


def c(*values: int, of: int) -> Slot:
    """A constant list; of one value, a single number."""
    return Slot(True, () if len(values) == 1 else (len(values),), of, values)


def dense(sizes: dict[str, int]) -> Problem:
    """A convolution of stride 1."""
    return convolution(sizes, strides=(1, 1), dilations=(1, 1))


class Case(NamedTuple):
    """An operator and what it comes to: problems with counts, shapes of results, weights, parameters (with biases)."""

    op: str
    slots: list[Slot | None]
    attributes: dict[str, Any]
    problems: list[tuple[Problem, int]]
    shapes: list[tuple[int, ...]]
    weights: int
    params: int


CASES = [
    # 5 samples of 8 features; 3 rows of coefficients.
    *(
        Case(f"ai.onnx.ml.{op}", [x(5, 8)], attributes, [(mm(rows, 8, 5), 1)], shapes, 0, 0)
        for op, attributes, rows, shapes in [
            ("LinearRegressor", {"coefficients": [0.0] * 24, "targets": 3}, 3, [(5, 3)]),
            ("LinearClassifier", {"coefficients": [0.0] * 24, "classlabels_ints": [1, 2, 3]}, 3, [(5,), (5, 3)]),
            ("SVMRegressor", {"support_vectors": [0.1] * 56, "coefficients": [0.1] * 7, "n_supports": 7}, 7, [(5, 1)]),
            ("SVMClassifier", {"support_vectors": [0.1] * 56, "classlabels_ints": [1, 2]}, 7, [(5,), (5, 2)]),
        ]
    ),
    # 2 sequences × 9 other places × 1 real part; 8 points give 8 bins of two parts.
    Case("DFT", [x(2, 8, 9, 1), None, Slot(True, (), I64)], {}, [(mm(16, 8, 18), 1)], [(2, 8, 9, 2)], 0, 0),
    # 3 signals of 40 points in steps of 8, frames of 16: (40 − 16) / 8 + 1 = 4 frames, 16 / 2 + 1 = 9 bins, two parts.
    Case("STFT", [x(3, 40, 1), c(8, of=I64), w(16)], {}, [(mm(18, 16, 12), 1)], [(3, 4, 9, 2)], 0, 16),
    Case(
        "ai.onnx.preview.FlexAttention",
        [x(2, 6, 5, 16), x(2, 3, 7, 16), x(2, 3, 7, 8)],
        {},
        [(mm(7, 16, 10, b=6), 1), (mm(8, 7, 10, b=6), 1)],
        [(2, 6, 5, 8)],
        0,
        0,
    ),
    # 10 tokens × 2 experts each over 3 experts: 20 = 7 + 7 + 6.
    Case(
        "com.microsoft.MoE",
        [x(10, 8), x(10, 3), w(3, 8, 12), None, w(3, 12, 8), None, w(3, 8, 12)],
        {"k": 2},
        [(mm(m, k, p), n) for m, k in ((12, 8), (8, 12), (12, 8)) for p, n in ((6, 1), (7, 2))],
        [(10, 8)],
        3 * 3 * 96,
        3 * 3 * 96,
    ),
    # two 4-bit weights a byte: 12 × 8 of them stand in 12 × 4, 8 × 12 in 8 × 6; 4 tokens reach at most 4 of 5 experts.
    Case(
        "com.microsoft.QMoE",
        [x(2, 2, 8), x(4, 5), w(5, 12, 4, of=U8), w(5, 12), None, w(5, 8, 6, of=U8), w(5, 8)],
        {"expert_weight_bits": 4},
        [(mm(12, 8, 1), 4), (mm(8, 12, 1), 4)],
        [(2, 2, 8)],
        480,
        480,
    ),
    # channels last: height 9, width 8, filter 3 × 5, padded by 1 above and below
    *(
        Case(
            op,
            slots,
            {"pads": [1, 0, 1, 0]} | more,
            [
                (
                    dense({"C": 4, "M": 6, "R": 5, "S": 3, "N": 2, "P": 4, "Q": 9}),
                    1,
                )
            ],
            [(2, 9, 4, 6)],
            360,
            360,
        )
        for op, slots, more in [
            ("com.microsoft.NhwcConv", [x(2, 9, 8, 4), w(6, 3, 5, 4)], {}),
            ("com.microsoft.NhwcFusedConv", [x(2, 9, 8, 4), w(6, 4, 3, 5)], {"activation": "Relu"}),
            (
                "com.microsoft.QLinearConv",
                [x(2, 9, 8, 4, of=U8), w(), w(of=U8), w(6, 4, 3, 5, of=I8), w(), w(of=I8), w(), w(of=U8)],
                {"channels_last": 1},
            ),
        ]
    ),
    # filters of 24 are not all real ones, but nothing tells: 24 × 16; of the 16 inputs 10 are there
    Case(
        "com.microsoft.nchwc.Conv",
        [x(1, 10, 6, 6), w(24, 16, 3, 3)],
        {},
        [
            (
                dense({"C": 10, "M": 24, "R": 3, "S": 3, "N": 1, "P": 4, "Q": 4}),
                1,
            )
        ],
        [(1, 24, 4, 4)],
        24 * 16 * 9,
        24 * 16 * 9,
    ),
    # pads of the third input: (5 − 1) · 2 + 3 − 1 − 0 = 10 high, (4 − 1) · 2 + 3 − 0 − 1 = 8 wide
    Case(
        "com.microsoft.ConvTransposeWithDynamicPads",
        [x(1, 4, 5, 4), w(4, 6, 3, 3), c(1, 0, 0, 1, of=I64)],
        {"strides": [2, 2]},
        [
            (
                convolution(
                    {"C": 4, "M": 6, "R": 3, "S": 3, "N": 1, "P": 4, "Q": 5},
                    strides=(2, 2),
                    dilations=(1, 1),
                    transposed=True,
                ),
                1,
            )
        ],
        [(1, 6, 10, 8)],
        216,
        216,
    ),
    # 3 heads of 8 for each of 2 × 5 queries, 6 gates
    Case(
        "com.microsoft.GatedRelativePositionBias",
        [x(2, 5, 24), w(24), w(1, 3, 5, 5), w(8, 6), w(6), w(1, 3, 1, 1)],
        {"num_heads": 3},
        [(mm(6, 8, 30), 1)],
        [(2, 3, 5, 5)],
        48,
        24 + 75 + 48 + 6 + 3,
    ),
    # 11 tokens in 2 sequences, 5 and 6 of them; 4 heads of 3, each with all tokens of its sequence
    Case(
        "com.microsoft.PackedAttention",
        [x(11, 12), w(12, 36), w(36), x(2, 8, of=I32), x(3, of=I32)],
        {"num_heads": 4},
        [
            (mm(36, 12, 11), 1),
            (mm(5, 3, 5, b=4), 1),
            (mm(3, 5, 5, b=4), 1),
            (mm(6, 3, 6, b=4), 1),
            (mm(3, 6, 6, b=4), 1),
        ],
        [(11, 12)],
        432,
        468,
    ),
    Case(
        "com.microsoft.PackedMultiHeadAttention",
        [x(10, 4, 3, 5), None, None, None, x(2, 8, of=I32), x(3, of=I32)],
        {"num_heads": 4},
        [(mm(5, 5, 5, b=8), 1), (mm(5, 5, 5, b=8), 1)],
        [(10, 20)],
        0,
        0,
    ),
    # one query; a cache of 64 that past and present share
    Case(
        "com.microsoft.DecoderMaskedMultiHeadAttention",
        [x(2, 1, 32), x(2, 1, 32), x(2, 1, 32), None, None, x(2, 4, 64, 8), x(2, 4, 64, 8), x(1, of=I32)],
        {"num_heads": 4, "past_present_share_buffer": 1},
        [(mm(64, 8, 1, b=8), 1), (mm(8, 64, 1, b=8), 1)],
        [(2, 1, 32), (2, 4, 64, 8), (2, 4, 64, 8)],
        0,
        0,
    ),
    # 4 query heads on 2 of keys, over a cache of 40
    Case(
        "com.microsoft.SparseAttention",
        [
            x(1, 8, 64),
            x(1, 8, 32),
            x(1, 8, 32),
            x(1, 2, 40, 16),
            x(1, 2, 40, 16),
            x(1, 3, of=I32),
            x(1, 2, of=I32),
            x(1, of=I32),
            x(1, of=I32),
        ],
        {"num_heads": 4, "kv_num_heads": 2, "sparse_block_size": 16},
        [(mm(40, 16, 16, b=2), 1), (mm(16, 40, 16, b=2), 1)],
        [(1, 8, 64), (1, 2, 40, 16), (1, 2, 40, 16)],
        0,
        0,
    ),
    # 2 batches × 3 key heads are products; 6 / 3 query heads of a key head × 5 tokens are rows; 4 past + 7 new keys.
    Case(
        "Attention",
        [x(2, 6, 5, 16), x(2, 3, 7, 16), x(2, 3, 7, 8), None, x(2, 3, 4, 16), x(2, 3, 4, 8)],
        {},
        [(mm(11, 16, 10, b=6), 1), (mm(8, 11, 10, b=6), 1)],
        [(2, 6, 5, 8), (2, 3, 11, 16), (2, 3, 11, 8)],
        0,
        0,
    ),
    # Every channel has one filter of 4 taps, 9 positions of each of 2 sequences: the past is in the state.
    Case(
        "CausalConvWithState",
        [x(2, 6, 9), w(6, 1, 4), w(6)],
        {},
        [
            (
                convolution(
                    {"C": 6, "R": 4, "N": 2, "P": 9}, strides=(1,), dilations=(1,), depthwise=True, transposed=False
                ),
                1,
            )
        ],
        [(2, 6, 9), (2, 6, 3)],
        24,
        30,
    ),
    # Height 20, filter 3, stride 2: (20 − 3) / 2 + 1 = 9. Width 18, filter 5 dilated by 2 covers 9: 18 − 9 + 1 = 10.
    Case(
        "Conv",
        [x(2, 3, 20, 18), w(8, 3, 3, 5), w(8)],
        {"strides": [2, 1], "dilations": [1, 2]},
        [
            (
                convolution(
                    {"C": 3, "M": 8, "R": 5, "S": 3, "N": 2, "P": 10, "Q": 9}, strides=(1, 2), dilations=(2, 1)
                ),
                1,
            )
        ],
        [(2, 8, 9, 10)],
        360,
        368,
    ),
    # One axis: width alone.
    Case(
        "ConvInteger",
        [x(1, 4, 11, of=U8), w(6, 4, 3, of=U8), w(of=U8), w(of=U8)],
        {"strides": [2]},
        [(convolution({"C": 4, "M": 6, "R": 3, "N": 1, "P": 5}, strides=(2,), dilations=(1,)), 1)],
        [(1, 6, 5)],
        72,
        72,
    ),
    # Positions are those of the inputs, 7 × 5; filters are [C, M / group, height, width]. Height (7−1)·2+3 = 15.
    Case(
        "ConvTranspose",
        [x(1, 4, 7, 5), w(4, 3, 3, 2), w(6)],
        {"strides": [2, 1], "group": 2},
        [
            (
                convolution(
                    {"G": 2, "C": 2, "M": 3, "R": 2, "S": 3, "N": 1, "P": 5, "Q": 7},
                    strides=(1, 2),
                    dilations=(1, 1),
                    transposed=True,
                ),
                1,
            )
        ],
        [(1, 6, 15, 6)],
        72,
        78,
    ),
    # Patches as rows: 2 images × 6 × 6 positions; per group 3 channels × 9 taps meet 6 / 2 filters.
    Case(
        "DeformConv",
        [x(2, 6, 8, 8), w(6, 3, 3, 3), x(2, 18, 6, 6), w(6)],
        {"group": 2},
        [(mm(3, 27, 72, b=2), 1)],
        [(2, 6, 6, 6)],
        162,
        168,
    ),
    # j is contracted, k a column; b and i belong to the activation alone, so they are rows.
    Case("Einsum", [x(2, 3, 4), w(4, 5)], {"equation": "bij,jk->bik"}, [(mm(5, 4, 6), 1)], [(2, 3, 5)], 20, 20),
    # 3 gates of 6 states, 2 directions: 5 steps × 2 sequences at once from 3 features, then step by step from 6 states.
    Case(
        "GRU",
        [x(5, 2, 3), w(2, 18, 3), w(2, 18, 6), w(2, 36)],
        {"hidden_size": 6, "direction": "bidirectional"},
        [(mm(18, 3, 10), 2), (mm(18, 6, 2), 2 * 5)],
        [(5, 2, 2, 6)],
        2 * 18 * 9,
        2 * 18 * 9 + 72,
    ),
    Case("Gemm", [x(8, 5), w(10, 8), w(10)], {"transA": 1, "transB": 1}, [(mm(10, 8, 5), 1)], [(5, 10)], 80, 90),
    # 4 gates; biases for both products (8 · 6), peepholes of 3 gates (3 · 6).
    Case(
        "LSTM",
        [x(5, 2, 3), w(1, 24, 3), w(1, 24, 6), w(1, 48), None, None, None, w(1, 18)],
        {"hidden_size": 6},
        [(mm(24, 3, 10), 1), (mm(24, 6, 2), 5)],
        [(5, 1, 2, 6)],
        24 * 9,
        24 * 9 + 48 + 18,
    ),
    # 2 key heads of 12 / 2 = 6, values of 10 / 2 = 5; per token k⊗v, then the reads of 4 / 2 query heads.
    Case(
        "LinearAttention",
        [x(3, 7, 24), x(3, 7, 12), x(3, 7, 10)],
        {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": "linear"},
        [(mm(5, 1, 6, b=6), 7), (mm(5, 6, 2, b=6), 7)],
        [(3, 7, 20), (3, 2, 6, 5)],
        0,
        0,
    ),
    Case("MatMul", [x(5, 12, 16), w(16, 24)], {}, [(mm(24, 16, 60), 1)], [(5, 12, 24)], 384, 384),
    Case("MatMulInteger", [x(3, 8, of=U8), w(8, 4, of=I8)], {}, [(mm(4, 8, 3), 1)], [(3, 4)], 32, 32),
    # 4 groups of 2 channels and 3 filters; 16 − 3 + 1 = 14 rows, 10 − 1 + 1 = 10 columns.
    Case(
        "QLinearConv",
        [x(1, 8, 16, 10, of=U8), w(), w(of=U8), w(12, 2, 3, 1, of=I8), w(), w(of=I8), w(), w(of=U8), w(12, of=I32)],
        {"group": 4},
        [
            (
                convolution(
                    {"G": 4, "C": 2, "M": 3, "R": 1, "S": 3, "N": 1, "P": 10, "Q": 14},
                    strides=(1, 1),
                    dilations=(1, 1),
                ),
                1,
            )
        ],
        [(1, 12, 14, 10)],
        72,
        84,
    ),
    Case(
        "QLinearMatMul",
        [x(3, 8, of=U8), w(), w(of=U8), w(8, 4, of=U8), w(), w(of=U8), w(), w(of=U8)],
        {},
        [(mm(4, 8, 3), 1)],
        [(3, 4)],
        32,
        32,
    ),
    # One gate; layout 1: batch first.
    Case(
        "RNN",
        [x(2, 5, 3), w(1, 6, 3), w(1, 6, 6)],
        {"hidden_size": 6, "layout": 1},
        [(mm(6, 3, 10), 1), (mm(6, 6, 2), 5)],
        [(2, 5, 1, 6)],
        54,
        54,
    ),
    # Q and K of 8, V of 12 columns in 2 heads; 4 past + 5 new tokens.
    Case(
        "com.microsoft.Attention",
        [x(3, 5, 10), w(10, 28), w(28), None, x(2, 3, 2, 4, 4)],
        {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 12]},
        [(mm(28, 10, 15), 1), (mm(9, 4, 5, b=6), 1), (mm(6, 9, 5, b=6), 1)],
        [(3, 5, 12), (2, 3, 2, 9, 4)],
        280,
        308,
    ),
    # Weights are [directions, features, gates · states] here.
    Case(
        "com.microsoft.DynamicQuantizeLSTM",
        [x(5, 2, 3), w(1, 3, 24, of=I8), w(1, 6, 24, of=I8), w(1, 48)],
        {"hidden_size": 6},
        [(mm(24, 3, 10), 1), (mm(24, 6, 2), 5)],
        [(5, 1, 2, 6)],
        216,
        264,
    ),
    Case(
        "com.microsoft.DynamicQuantizeMatMul",
        [x(3, 8), w(8, 4, of=I8), w(), w(of=I8), w(4)],
        {},
        [(mm(4, 8, 3), 1)],
        [(3, 4)],
        32,
        36,
    ),
    # pads are top, left, bottom, right: 10 + 0 + 1 − 3 + 1 = 9 rows, 10 + 2 + 0 − 3 + 1 = 10 columns.
    Case(
        "com.microsoft.FusedConv",
        [x(1, 3, 10, 10), w(4, 3, 3, 3), w(4)],
        {"pads": [0, 2, 1, 0], "activation": "Relu"},
        [
            (
                convolution(
                    {"C": 3, "M": 4, "R": 3, "S": 3, "N": 1, "P": 10, "Q": 9}, strides=(1, 1), dilations=(1, 1)
                ),
                1,
            )
        ],
        [(1, 4, 9, 10)],
        108,
        112,
    ),
    Case("com.microsoft.FusedGemm", [x(5, 8), w(8, 10), w(10)], {}, [(mm(10, 8, 5), 1)], [(5, 10)], 80, 90),
    # B is transposed to [4, 6, 7].
    Case(
        "com.microsoft.FusedMatMul", [x(4, 5, 6), x(4, 7, 6)], {"transB": 1}, [(mm(7, 6, 5, b=4), 1)], [(4, 5, 7)], 0, 0
    ),
    # 8 query heads on 2, size 64 / 8 = 8; 12 past + 3 new tokens.
    Case(
        "com.microsoft.GroupQueryAttention",
        [x(2, 3, 64), x(2, 3, 16), x(2, 3, 16), x(2, 2, 12, 8), x(2, 2, 12, 8)],
        {"num_heads": 8, "kv_num_heads": 2},
        [(mm(15, 8, 12, b=4), 1), (mm(8, 15, 12, b=4), 1)],
        [(2, 3, 64), (2, 2, 15, 8), (2, 2, 15, 8)],
        0,
        0,
    ),
    # Sizes stand in K and N; 24 rows × 8 values in 4 bits are 24 · 4 packed bytes.
    Case(
        "com.microsoft.MatMulBnb4",
        [x(2, 5, 8), w(96, of=U8), w(3)],
        {"K": 8, "N": 24, "block_size": 64},
        [(mm(24, 8, 10), 1)],
        [(2, 5, 24)],
        96,
        99,
    ),
    Case("com.microsoft.MatMulInteger16", [x(3, 8), w(8, 4)], {}, [(mm(4, 8, 3), 1)], [(3, 4)], 32, 32),
    Case(
        "com.microsoft.MatMulIntegerToFloat",
        [x(3, 8, of=U8), w(8, 4, of=U8), w(), w(), w(of=U8), w(of=U8), w(4)],
        {},
        [(mm(4, 8, 3), 1)],
        [(3, 4)],
        32,
        36,
    ),
    Case(
        "com.microsoft.MatMulNBits",
        [x(2, 5, 32), w(24, 1, 16, of=U8), w(24), None, None, w(24)],
        {"K": 32, "N": 24, "block_size": 32},
        [(mm(24, 32, 10), 1)],
        [(2, 5, 24)],
        384,
        408,
    ),
    # 4 heads of 32 / 4 = 8; values of 16 / 4 = 4; 6 past + 7 new keys.
    Case(
        "com.microsoft.MultiHeadAttention",
        [x(2, 5, 32), x(2, 7, 32), x(2, 7, 16), w(80), None, None, x(2, 4, 6, 8), x(2, 4, 6, 4)],
        {"num_heads": 4},
        [(mm(13, 8, 5, b=8), 1), (mm(4, 13, 5, b=8), 1)],
        [(2, 5, 16), (2, 4, 13, 8), (2, 4, 13, 4)],
        0,
        80,
    ),
    # 24 columns are Q, K and V of 8, in 2 heads of 4.
    Case(
        "com.microsoft.QAttention",
        [x(3, 5, 10, of=U8), w(10, 24, of=U8), w(24), w(), w(), None, w(of=U8), w(of=U8)],
        {"num_heads": 2},
        [(mm(24, 10, 15), 1), (mm(5, 4, 5, b=6), 1), (mm(4, 5, 5, b=6), 1)],
        [(3, 5, 8)],
        240,
        264,
    ),
    Case(
        "com.microsoft.QGemm",
        [x(5, 8, of=U8), w(), w(of=U8), w(10, 8, of=U8), w(), w(of=U8), w(10, of=I32)],
        {"transB": 1},
        [(mm(10, 8, 5), 1)],
        [(5, 10)],
        80,
        90,
    ),
    # The first axis of A moves inwards: [5, 4, 6] becomes [4, 5, 6]; then its last two change places: [4, 6, 5].
    Case(
        "com.microsoft.TransposeMatMul",
        [x(5, 4, 6), x(4, 5, 7)],
        {"transBatchA": 1, "transA": 1},
        [(mm(7, 5, 6, b=4), 1)],
        [(4, 6, 7)],
        0,
        0,
    ),
]


def test_every_row_has_a_case() -> None:
    assert {case.op for case in CASES} == set(LOWERED)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_row(tmp_path: Path, case: Case) -> None:
    workload = read(tmp_path, case.op, case.slots, max(1, len(case.shapes)), **case.attributes)
    operator = workload.operators[-1]
    assert list(operator.problems) == case.problems
    assert [workload.tensors[name].shape for name in operator.outputs] == case.shapes
    assert operator.weight_elements == case.weights
    assert workload.params == case.params


@pytest.mark.parametrize(
    ("op", "slots", "attributes", "shapes"),
    [
        # the sum itself is the last of four results, after mean and variance of each row
        (
            "com.microsoft.SkipLayerNormalization",
            [x(2, 3, 8), x(2, 3, 8), w(8)],
            {},
            [(2, 3, 8), (2, 3, 1), (2, 3, 1), (2, 3, 8)],
        ),
        # (tensor, scale, zero point) per operand, after those of the result: 3 + 4 channels
        (
            "com.microsoft.QLinearConcat",
            [w(), w(of=U8), x(2, 3, 5, of=U8), w(), w(of=U8), x(2, 4, 5, of=U8), w(), w(of=U8)],
            {"axis": 1},
            [(2, 7, 5)],
        ),
    ],
)
def test_results_of_contributed_operators(
    tmp_path: Path, op: str, slots: list[Slot], attributes: dict[str, Any], shapes: list[tuple[int, ...]]
) -> None:
    workload = read(tmp_path, op, slots, len(shapes), **attributes)
    assert [workload.tensors[name].shape for name in workload.operators[-1].outputs] == shapes


@pytest.mark.parametrize(
    ("op", "slots", "attributes", "problems"),
    [
        # the constant operand is the weights, wherever it stands: of w [6, 8] @ x [8, 5], the 5 columns are rows
        ("MatMul", [w(6, 8), x(8, 5)], {}, [(mm(6, 8, 5), 1)]),
        ("MatMul", [x(6, 8), x(8, 5)], {}, [(mm(5, 8, 6), 1)]),
        ("MatMul", [w(6, 8), w(8, 5)], {}, [(mm(5, 8, 6), 1)]),
        ("Gemm", [w(6, 8), x(8, 5)], {}, [(mm(6, 8, 5), 1)]),
        ("com.microsoft.FusedMatMul", [w(6, 8), x(8, 5)], {}, [(mm(6, 8, 5), 1)]),
        (
            "QLinearMatMul",
            [w(6, 8, of=U8), w(), w(of=U8), x(8, 5, of=U8), w(), w(of=U8), w(), w(of=U8)],
            {},
            [(mm(6, 8, 5), 1)],
        ),
        ("Einsum", [w(6, 8), x(8, 5)], {"equation": "ij,jk->ik"}, [(mm(6, 8, 5), 1)]),
        # one group: 6 × 6 positions, 4 channels × 9 taps, 6 filters
        ("DeformConv", [x(1, 4, 8, 8), w(6, 4, 3, 3), x(1, 18, 6, 6)], {}, [(mm(6, 36, 36), 1)]),
        # vectors
        ("MatMul", [x(8), w(8, 5)], {}, [(mm(5, 8, 1), 1)]),
        ("MatMul", [x(6, 8), w(8)], {}, [(mm(1, 8, 6), 1)]),
        # 4 is in both operands, so a batch; 3 in the second alone, a column; 2 in the first alone, a row
        ("MatMul", [x(2, 1, 4, 5, 8), x(1, 3, 4, 8, 7)], {}, [(mm(7 * 3, 8, 5 * 2, b=4), 1)]),
        ("MatMul", [x(4, 5, 8), x(1, 8, 7)], {}, [(mm(7, 8, 20), 1)]),
        ("MatMul", [x(1, 5, 8), x(4, 8, 7)], {}, [(mm(28, 8, 5), 1)]),
        ("MatMul", [x(1, 5, 8), x(1, 8, 7)], {}, [(mm(7, 8, 5), 1)]),
        # left to right: ab,bc contracts b, then (ac),cd contracts c
        ("Einsum", [x(2, 3), x(3, 4), x(4, 5)], {"equation": "ab,bc,cd->ad"}, [(mm(4, 3, 2), 1), (mm(5, 4, 2), 1)]),
        # b is needed later, so the first pair contracts nothing
        ("Einsum", [x(2, 3), x(3, 4), x(3, 5)], {"equation": "ab,bc,bd->acd"}, [(mm(5, 3, 8), 1)]),
        ("Einsum", [x(7, 2, 3), x(7, 3, 4)], {"equation": "...ij,...jk"}, [(mm(4, 3, 2, b=7), 1)]),
        ("Einsum", [x(2, 3), x(3, 4)], {"equation": "i j , j k"}, [(mm(4, 3, 2), 1)]),
        # of what the ellipsis stands for, 6 is in the first operand alone
        ("Einsum", [x(6, 7, 2, 3), x(1, 7, 3, 4)], {"equation": "...ij,...jk->...ik"}, [(mm(4, 3, 2 * 6, b=7), 1)]),
        # a size of 1 is broadcast: that operand has no such index
        ("Einsum", [x(1, 2, 3), x(7, 3, 4)], {"equation": "bij,bjk->bik"}, [(mm(28, 3, 2), 1)]),
        # a label that one operand alone has and the result lacks is summed first
        ("Einsum", [x(2, 3, 9), x(3, 4)], {"equation": "ijs,jk->ik"}, [(mm(4, 3, 2), 1)]),
        ("Einsum", [x(5), x(5)], {"equation": "i,i->"}, [(mm(1, 5, 1), 1)]),
        # packed heads: 64 / 8 = 8 and 32 / 4 = 8, values of 16 / 4 = 4
        (
            "Attention",
            [x(2, 5, 64), x(2, 7, 32), x(2, 7, 16)],
            {"q_num_heads": 8, "kv_num_heads": 4},
            [(mm(7, 8, 10, b=8), 1), (mm(4, 7, 10, b=8), 1)],
        ),
        # the delta rules read the state once more
        (
            "LinearAttention",
            [x(3, 7, 24), x(3, 7, 12), x(3, 7, 10), None, x(3, 7, 12), x(3, 7, 2)],
            {"q_num_heads": 4, "kv_num_heads": 2},
            [(mm(5, 1, 6, b=6), 7), (mm(5, 6, 2, b=6), 7), (mm(5, 6, 1, b=6), 7)],
        ),
        # keys by heads, all in one operand, K and V packed in one
        (
            "com.microsoft.MultiHeadAttention",
            [x(2, 5, 32), x(2, 4, 7, 8), x(2, 4, 7, 6)],
            {"num_heads": 4},
            [(mm(7, 8, 5, b=8), 1), (mm(6, 7, 5, b=8), 1)],
        ),
        (
            "com.microsoft.MultiHeadAttention",
            [x(2, 5, 4, 3, 8)],
            {"num_heads": 4},
            [(mm(5, 8, 5, b=8), 1), (mm(8, 5, 5, b=8), 1)],
        ),
        (
            "com.microsoft.MultiHeadAttention",
            [x(2, 5, 32), x(2, 7, 4, 2, 8)],
            {"num_heads": 4},
            [(mm(7, 8, 5, b=8), 1), (mm(8, 7, 5, b=8), 1)],
        ),
        # 8 + 2 · 2 heads of 96 / 12 = 8 in one operand
        (
            "com.microsoft.GroupQueryAttention",
            [x(2, 3, 96)],
            {"num_heads": 8, "kv_num_heads": 2},
            [(mm(3, 8, 12, b=4), 1), (mm(8, 3, 12, b=4), 1)],
        ),
        # depthwise: as many groups as channels, one filter each
        (
            "Conv",
            [x(1, 8, 16, 16), w(8, 1, 3, 3)],
            {"group": 8, "pads": [1, 1, 1, 1]},
            [
                (
                    convolution(
                        {"C": 8, "R": 3, "S": 3, "P": 16, "Q": 16}, strides=(1, 1), dilations=(1, 1), depthwise=True
                    ),
                    1,
                )
            ],
        ),
        # one channel in one group is dense
        (
            "Conv",
            [x(1, 1, 5, 5), w(1, 1, 3, 3)],
            {},
            [(convolution({"C": 1, "M": 1, "R": 3, "S": 3, "P": 3, "Q": 3}, strides=(1, 1), dilations=(1, 1)), 1)],
        ),
        # two filters per channel are groups of one channel
        (
            "Conv",
            [x(1, 8, 16, 16), w(16, 1, 3, 3)],
            {"group": 8},
            [
                (
                    convolution(
                        {"G": 8, "C": 1, "M": 2, "R": 3, "S": 3, "P": 14, "Q": 14}, strides=(1, 1), dilations=(1, 1)
                    ),
                    1,
                )
            ],
        ),
        # volumes: depth first in the file, T and D in the problem
        (
            "Conv",
            [x(1, 4, 10, 9, 8), w(6, 4, 2, 3, 4)],
            {"strides": [3, 1, 2]},
            [
                (
                    convolution(
                        {"C": 4, "M": 6, "R": 4, "S": 3, "T": 2, "P": 3, "Q": 7, "D": 3},
                        strides=(2, 1, 3),
                        dilations=(1, 1, 1),
                    ),
                    1,
                )
            ],
        ),
        (
            "ConvTranspose",
            [x(1, 4, 7, 7), w(4, 1, 3, 3)],
            {"group": 4},
            [
                (
                    convolution(
                        {"C": 4, "R": 3, "S": 3, "P": 7, "Q": 7},
                        strides=(1, 1),
                        dilations=(1, 1),
                        depthwise=True,
                        transposed=True,
                    ),
                    1,
                )
            ],
        ),
        # nothing is multiplied
        ("Einsum", [x(4), x(5)], {"equation": "i,j->ij"}, []),
        ("Einsum", [x(4, 5)], {"equation": "ij->ji"}, []),
        ("MatMul", [w(0, 8), x(8, 5)], {}, []),
        ("MatMul", [w(0, 3, 8), x(1, 8, 5)], {}, []),
        ("Einsum", [w(0, 8), x(8, 5)], {"equation": "ij,jk->ik"}, []),
    ],
)
def test_forms(
    tmp_path: Path, op: str, slots: list[Slot | None], attributes: dict[str, Any], problems: list[tuple[Problem, int]]
) -> None:
    outputs = 2 if op == "LinearAttention" else 1
    assert list(read(tmp_path, op, slots, outputs, **attributes).operators[-1].problems) == problems


def test_an_operator_that_multiplies_nothing_says_so(tmp_path: Path) -> None:
    workload = read(tmp_path, "Einsum", [x(4), x(5)], equation="i,j->ij")
    assert workload.notes == ("contracts nothing, and is counted as elementwise: n",)
    assert read(tmp_path, "Einsum", [x(4, 5)], equation="ij->ji").notes == ()
    (note,) = read(tmp_path, "Einsum", [w(4, 0), w(0, 5)], equation="ij,jk->ik").notes
    assert "'n' (Einsum) multiplies nothing: an operand or its result is empty" in note


def test_roles_of_a_convolution(tmp_path: Path) -> None:
    """The filter slides along the width by P·stride + R·dilation; weights lack N, P and Q, outputs lack C, R and S."""
    workload = read(tmp_path, "Conv", [x(1, 3, 20, 18), w(8, 3, 3, 5)], strides=[2, 1], dilations=[1, 2])
    spaces = {s.name: s for s in workload.layers()[0].problem.data_spaces}
    assert spaces["Inputs"].projection == (((1, "N"),), ((1, "C"),), ((2, "R"), (1, "P")), ((1, "S"), (2, "Q")))
    assert spaces["Weights"].dimensions == set("CMRS")
    assert spaces["Outputs"].dimensions == set("NMQP")
    assert [s.name for s in workload.layers()[0].problem.data_spaces if s.read_write] == ["Outputs"]


def test_roles_of_a_product() -> None:
    spaces = {s.name: s.dimensions for s in mm(2, 3, 4, b=5).data_spaces}
    assert spaces == {"Weights": set("BCM"), "Inputs": set("BPC"), "Outputs": set("BPM")}


@pytest.mark.parametrize(
    ("op", "slots", "attributes", "words"),
    [
        ("Conv", [x(1, 3, 8, 8), w(8, 4, 3, 3)], {}, ["[1, 3, 8, 8]", "[8, 4, 3, 3]"]),
        ("Conv", [x(1, 4, 8, 8), w(9, 2, 3, 3)], {"group": 2}, ["group=2"]),
        ("Conv", [x(1, 4, 8, 8), w(8, 4, 3, 3)], {"group": 0}, ["group"]),
        ("Conv", [x(1, 4, 8, 8), w(8, 4, 3, 3)], {"strides": [0, 1]}, []),
        ("Conv", [x(1, 4, 8, 8), w(8, 4, 3, 3)], {"strides": [1, 1, 1]}, []),
        ("Conv", [x(1, 4, 8, 8), w(8, 4, 3)], {}, []),
        ("Conv", [x(1, 4, 2, 2, 2, 2), w(8, 4, 1, 1, 1, 1)], {}, ["3-D convolutions"]),
        ("DeformConv", [x(1, 4, 8, 8), w(6, 3, 3, 3), x(1, 18, 6, 6)], {"group": 2}, ["group=2"]),
        ("MatMul", [x(3, 4), w(5, 6)], {}, []),
        ("MatMul", [x(), w(5, 6)], {}, []),
        ("MatMul", [x(2, 3, 4), x(5, 4, 6)], {}, []),
        ("com.microsoft.FusedMatMul", [x(2, 3, 4), x(5, 4, 6)], {}, ["broadcast"]),
        ("com.microsoft.FusedMatMul", [x(3, 4), x(5, 6)], {}, ["[3, 4]", "[5, 6]"]),
        ("com.microsoft.FusedMatMul", [x(), x()], {}, ["multiply"]),
        ("Einsum", [x(2, 3), x(4, 5)], {"equation": "ij,jk->ik"}, []),
        ("Einsum", [x(2, 3)], {"equation": "ij,jk->ik"}, []),
        ("Einsum", [x(2, 3), x(3, 4)], {"equation": "i,jk->ik"}, []),
        ("LSTM", [x(5, 2, 3), w(1, 24, 4), w(1, 24, 6)], {"hidden_size": 6}, ["[1, 24, 4]"]),
        ("LSTM", [x(5, 2, 3), w(1, 23, 3), w(1, 24, 6)], {"hidden_size": 6}, ["[1, 23, 3]"]),
        ("Attention", [x(2, 5, 64), x(2, 7, 32), x(2, 7, 32)], {"q_num_heads": 8, "kv_num_heads": 3}, ["8", "3"]),
        ("Attention", [x(2, 5, 64), x(2, 4, 7, 8), x(2, 7, 32)], {}, []),
        ("com.microsoft.Attention", [x(3, 5, 10), w(10, 24)], {}, ["num_heads"]),
        ("com.microsoft.Attention", [x(3, 5, 10), w(11, 24)], {"num_heads": 2}, ["[11, 24]"]),
        (
            "com.microsoft.Attention",
            [x(3, 5, 10), w(10, 24)],
            {"num_heads": 2, "qkv_hidden_sizes": [8]},
            ["qkv_hidden"],
        ),
        ("com.microsoft.GroupQueryAttention", [x(2, 3, 64)], {"num_heads": 8}, ["kv_num_heads"]),
        (
            "com.microsoft.GroupQueryAttention",
            [x(2, 3, 64), x(2, 3, 24), x(2, 3, 24)],
            {"num_heads": 8, "kv_num_heads": 3},
            ["8 query heads", "3"],
        ),
        ("com.microsoft.MatMulNBits", [x(2, 32), w(24, 1, 16, of=U8), w(24)], {"K": 32}, ["'N'", "missing"]),
        ("com.microsoft.MatMulNBits", [x(2, 31), w(24, 1, 16, of=U8), w(24)], {"K": 32, "N": 24}, ["inner sizes"]),
        ("com.microsoft.MultiHeadAttention", [x(2, 5, 32), x(2, 7, 32), x(2, 7, 32)], {}, ["num_heads", "missing"]),
        ("com.microsoft.MultiHeadAttention", [x(2, 5, 32), x(2, 7, 32)], {"num_heads": 0}, ["num_heads"]),
        ("com.microsoft.MultiHeadAttention", [x(2, 32), x(2, 7, 32)], {"num_heads": 4}, ["[2, 32]", "3 or 5"]),
        ("com.microsoft.MultiHeadAttention", [x(2, 5, 32), x(2, 32)], {"num_heads": 4}, ["[2, 32]", "3 or 4 or 5"]),
        ("com.microsoft.MultiHeadAttention", [x(2, 5, 32), x(2, 7, 32), x(7)], {"num_heads": 4}, ["[7]"]),
        ("com.microsoft.MultiHeadAttention", [x(2, 5, 32), None], {"num_heads": 4}, ["input 1 is missing"]),
    ],
)
def test_operands_that_do_not_fit(
    tmp_path: Path, op: str, slots: list[Slot | None], attributes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(HwsimError) as caught:
        read(tmp_path, op, slots, **attributes)
    assert caught.value.where.endswith("m.onnx")
    for word in ("'n'", *words):
        assert word in caught.value.message


@pytest.mark.parametrize("rank", range(7))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_operands_of_any_rank(tmp_path: Path, case: Case, rank: int) -> None:
    """One operand of another rank: still a network, or one message."""
    for slot, given in enumerate(case.slots):
        if given is not None:
            slots = [*case.slots]
            slots[slot] = given._replace(shape=(2,) * rank)
            try:
                read(tmp_path, case.op, slots, **case.attributes)
            except HwsimError as error:
                assert error.where


def test_a_weight_that_is_cast_on_its_way(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    nodes = [
        helper.make_node("Cast", ["w"], ["c"], to=F),
        helper.make_node("MatMul", ["c", "x"], ["y"], name="n"),
    ]
    inputs = [helper.make_tensor_value_info("x", F, [1, 8, 5])]
    weight = numpy_helper.from_array(np.zeros((6, 8), np.float16), "w")
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", F, None)], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    workload = read_onnx(path)
    assert workload.operators[1].problems == ((mm(6, 8, 5), 1),)
    assert (workload.operators[1].weight_elements, workload.params, workload.weight_bytes) == (48, 48, 96)


#: Slots of the operands, of those that are parameters and nothing else (weights, biases), and of those that are where
#: they are matrices, as the operators' documentation numbers them.
SLOTS: dict[str, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys(("Attention", "LinearAttention", "com.microsoft.GroupQueryAttention"), ((0, 1, 2), (), ())),
    **dict.fromkeys(("CausalConvWithState", "Conv", "ConvTranspose", "Gemm"), ((0, 1), (1, 2), ())),
    **dict.fromkeys(("MatMul", "MatMulInteger"), ((0, 1), (), (1,))),
    **dict.fromkeys(("GRU", "RNN"), ((0, 1, 2), (1, 2, 3), ())),
    **dict.fromkeys(("LSTM", "com.microsoft.DynamicQuantizeLSTM"), ((0, 1, 2), (1, 2, 3, 7), ())),
    **dict.fromkeys(("com.microsoft.FusedConv", "com.microsoft.FusedGemm"), ((0, 1), (1, 2), ())),
    **dict.fromkeys(("com.microsoft.Attention", "com.microsoft.QAttention"), ((0, 1), (), ())),
    **dict.fromkeys(("com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul"), ((0, 1), (), (1,))),
    **dict.fromkeys(("com.microsoft.MatMulBnb4", "com.microsoft.MatMulInteger16"), ((0, 1), (), (1,))),
    **dict.fromkeys(
        [f"ai.onnx.ml.{op}" for op in ("LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor")],
        ((0,), (), ()),
    ),
    **dict.fromkeys(("DFT", "STFT"), ((0,), (), ())),
    **dict.fromkeys(("ai.onnx.preview.FlexAttention", "com.microsoft.SparseAttention"), ((0, 1, 2), (), ())),
    **dict.fromkeys(
        [f"com.microsoft.{op}" for op in ("PackedMultiHeadAttention", "DecoderMaskedMultiHeadAttention")],
        ((0, 1, 2), (), ()),
    ),
    **dict.fromkeys(
        [f"com.microsoft.{op}" for op in ("NhwcConv", "NhwcFusedConv", "nchwc.Conv")], ((0, 1), (1, 2), ())
    ),
    "com.microsoft.ConvTransposeWithDynamicPads": ((0, 1), (1, 3), ()),
    "com.microsoft.GatedRelativePositionBias": ((0, 3), (1, 3, 4), ()),
    "com.microsoft.MoE": ((0, 2, 4, 6), (), ()),
    "com.microsoft.PackedAttention": ((0, 1), (), ()),
    "com.microsoft.QLinearConv": ((0, 3), (3, 8), ()),
    "com.microsoft.QMoE": ((0, 2, 5, 8), (), ()),
    "ConvInteger": ((0, 1), (1,), ()),
    "DeformConv": ((0, 1), (1, 3), ()),
    "Einsum": ((0, 1, 2, 3, 4, 5, 6, 7), (), ()),
    "QLinearConv": ((0, 3), (3, 8), ()),
    "QLinearMatMul": ((0, 3), (), (3,)),
    "com.microsoft.DynamicQuantizeMatMul": ((0, 1), (4,), (1,)),
    "com.microsoft.MatMulIntegerToFloat": ((0, 1), (6,), (1,)),
    "com.microsoft.MatMulNBits": ((0, 1), (5,), (1,)),
    "com.microsoft.MultiHeadAttention": ((0, 1, 2), (), ()),
    "com.microsoft.QGemm": ((0, 3), (3, 6), ()),
}


def test_slots() -> None:
    assert {op: (each.operands, each.parameters, each.tables) for op, each in LOWERED.items()} == SLOTS


def test_what_is_constant(tmp_path: Path) -> None:
    """A weight too large to be folded stays one behind a Cast; a random number and an activation are none."""
    path = tmp_path / "m.onnx"
    nodes = [
        helper.make_node("Cast", ["w"], ["c"], to=F),
        helper.make_node("MatMul", ["x", "c"], ["z"], name="n"),
        helper.make_node("RandomNormal", [], ["r"], shape=[5, 40]),
        helper.make_node("Add", ["z", "r"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", F, [1, 5, 50])]
    weight = numpy_helper.from_array(np.zeros((50, 40), np.float16), "w")
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", F, None)], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    workload = read_onnx(path)
    constant = {name for name, tensor in workload.tensors.items() if tensor.constant}
    assert constant == {"w", "c"}
    assert (workload.params, workload.weight_bytes, workload.operators[1].weight_elements) == (2000, 4000, 2000)
