"""Small networks in 8-bit integers with random weights: what an integer array computes, exactly.

The shapes are the zoo's; everything between the contractions is exact in integers, too (a table for tanh, rounded
averages), so that any two runtimes agree to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Tensor = npt.NDArray[Any]


@dataclass
class _Int8Graph:
    """An ONNX graph under construction whose activations are 8-bit integers; methods return a result's name."""

    name: str
    seed: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def constant(self, name: str, value: Any, dtype: npt.DTypeLike) -> str:
        """A constant tensor."""
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, op_type: str, name: str, *inputs: str, **attributes: Any) -> str:
        """Any operator; its result bears its name."""
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, name: str, *shape: int) -> str:
        """Random weights over all of int8 but −128."""
        return self.constant(f"{name}.weight", self.rng.integers(-127, 128, shape), np.int8)

    def _scale(self, terms: int) -> float:
        """Of sums of ``terms`` products, so that results spread like activations: weights are 73 in the mean square."""
        return float(1 / (np.sqrt(terms) * 73.0))

    def conv(self, name: str, x: str, c_in: int, c_out: int, kernel: int, *, unsigned: bool, **attributes: int) -> str:
        """QLinearConv with a bias and a scale per output channel.

        ``unsigned``: image and result are uint8; the result saturates at 0, which is a ReLU.
        """
        group, pad, stride = attributes.get("group", 1), attributes.get("pad", 0), attributes.get("stride", 1)
        kind = np.uint8 if unsigned else np.int8
        terms = c_in // group * kernel * kernel
        scales = self._scale(terms) * self.rng.uniform(0.7, 1.4, c_out)
        return self.op(
            "QLinearConv",
            name,
            x,
            self.constant(f"{name}.x_scale", 1.0, np.float32),
            self.constant(f"{name}.x_zero", 0, kind),
            self.weight(name, c_out, c_in // group, kernel, kernel),
            self.constant(f"{name}.w_scale", scales, np.float32),
            self.constant(f"{name}.w_zero", np.zeros(c_out), np.int8),
            self.constant(f"{name}.y_scale", 1.0, np.float32),
            self.constant(f"{name}.y_zero", 0, kind),
            self.constant(f"{name}.bias", self.rng.integers(-500, 500, c_out), np.int32),
            group=group,
            pads=[pad] * 4,
            strides=[stride] * 2,
            kernel_shape=[kernel] * 2,
        )

    def linear(self, name: str, x: str, c_in: int, c_out: int) -> str:
        """MatMulInteger and a bias: 32-bit sums."""
        product = self.op("MatMulInteger", name, x, self.weight(name, c_in, c_out))
        return self.op(
            "Add", f"{name}.sum", product, self.constant(f"{name}.bias", self.rng.integers(-500, 500, c_out), np.int32)
        )

    def narrow(self, x: str, terms: int) -> str:
        """32-bit sums to int8: scaled, rounded half to even, saturated."""
        real = self.op("Cast", f"{x}.real", x, to=1)
        scaled = self.op("Mul", f"{x}.scaled", real, self.constant(f"{x}.scale", self._scale(terms), np.float32))
        low, high = self.constant(f"{x}.low", -128, np.float32), self.constant(f"{x}.high", 127, np.float32)
        held = self.op("Clip", f"{x}.held", self.op("Round", f"{x}.round", scaled), low, high)
        return self.op("Cast", f"{x}.int8", held, to=3)

    def tanh(self, x: str) -> str:
        """Tanh of int8 by a table, ±127 standing for ±1 on the way out and ±4 on the way in."""
        table = np.rint(127 * np.tanh(np.arange(-128, 128) / 32))
        index = self.op(
            "Add", f"{x}.index", self.op("Cast", f"{x}.wide", x, to=6), self.constant(f"{x}.shift", 128, np.int32)
        )
        return self.op("Gather", f"{x}.tanh", self.constant(f"{x}.table", table, np.int8), index)

    def averaged(self, x: str, pool: Callable[[str], str], to: int) -> str:
        """A pooling of integers, computed exactly and rounded half to even, back in type ``to``."""
        pooled = pool(self.op("Cast", f"{x}.real", x, to=1))
        return self.op("Cast", f"{x}.pooled", self.op("Round", f"{x}.round", pooled), to=to)

    def model(self, shape: list[int], output: str, classes: int, *, unsigned: bool) -> onnx.ModelProto:
        """The finished model: an 8-bit image in, 32-bit scores out."""
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("image", TensorProto.UINT8 if unsigned else TensorProto.INT8, shape)],
            [helper.make_tensor_value_info(output, TensorProto.INT32, [shape[0], classes])],
            self.initializers,
        )
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, producer_name="hwsim", opset_imports=opsets, ir_version=8)


def lenet5(seed: int = 0, batch: int = 1) -> onnx.ModelProto:
    """LeNet-5 as in the zoo, in int8."""
    g = _Int8Graph("lenet5_int8", seed)

    def half(x: str) -> str:
        return g.averaged(x, lambda y: g.op("AveragePool", f"{y}.pool", y, kernel_shape=[2, 2], strides=[2, 2]), 3)

    x = half(g.tanh(g.conv("c1", "image", 1, 6, 5, unsigned=False)))
    x = half(g.tanh(g.conv("c3", x, 6, 16, 5, unsigned=False)))
    x = g.op("Flatten", "flatten", g.tanh(g.conv("c5", x, 16, 120, 5, unsigned=False)))
    x = g.tanh(g.narrow(g.linear("f6", x, 120, 84), 120))
    return g.model([batch, 1, 32, 32], g.linear("output", x, 84, 10), 10, unsigned=False)


def dw_cifar(seed: int = 0, batch: int = 1) -> onnx.ModelProto:
    """The zoo's depthwise-separable network for CIFAR-10, in int8: activations unsigned as after a ReLU."""
    g = _Int8Graph("dw_cifar_int8", seed)
    x, channels = g.conv("stem", "image", 3, 32, 3, pad=1, unsigned=True), 32
    for index, (width, stride) in enumerate(((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)), start=1):
        x = g.conv(f"dw{index}", x, channels, channels, 3, stride=stride, pad=1, group=channels, unsigned=True)
        x = g.conv(f"pw{index}", x, channels, width, 1, unsigned=True)
        channels = width
    x = g.averaged(x, lambda y: g.op("GlobalAveragePool", f"{y}.pool", y), 2)
    scores = g.linear("classifier", g.op("Flatten", "flatten", x), channels, 10)
    return g.model([batch, 3, 32, 32], scores, 10, unsigned=True)


NETWORKS: dict[str, Callable[..., onnx.ModelProto]] = {"lenet5": lenet5, "dw_cifar": dw_cifar}
"""Name → builder, which takes a seed and a batch size."""
