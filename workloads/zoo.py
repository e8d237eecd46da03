"""The model zoo: small ONNX files of well-known networks, with the shapes of their weights and no weights.

Every weight is a ``ConstantOfShape``: its size stands in the file, its elements do not,
so a file is some kilobytes, valid ONNX, and runs (on zeros) in any runtime. Batch
normalization is folded into the convolutions, as exporters do for inference.

Some networks take arguments that scale them, ``mobilenet_v2(width=0.5,resolution=96)``: ``width`` multiplies channels,
``depth`` the blocks of each stage (rounded up), ``resolution`` is the image's side.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from hwsim.errors import HwsimError, did_you_mean
from hwsim.files import write_file

Sizes = Sequence[int | str]
"""Shape of an input or output; text is a symbolic dimension."""

_FLOAT, _INT64, _BFLOAT16 = 1, 7, 16  # TensorProto.DataType


@dataclass
class _Graph:
    """An ONNX graph under construction; methods add an operator and return the name of its result."""

    name: str
    elem_type: int = _FLOAT
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def op(self, op_type: str, name: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        """Any operator; its result bears its name."""
        results = [name, *outputs]
        self.nodes.append(helper.make_node(op_type, list(inputs), results, name=name, **attributes))
        return name

    def integers(self, name: str, values: Sequence[int]) -> str:
        """A constant list of integers."""
        self.initializers.append(helper.make_tensor(name, _INT64, [len(values)], list(values)))
        return name

    def weight(self, name: str, *shape: int) -> str:
        """A weight: its shape alone."""
        value = helper.make_tensor("value", self.elem_type, [1], [0.0])
        return self.op("ConstantOfShape", name, self.integers(f"{name}.shape", shape), value=value)

    def input(self, name: str, shape: Sizes, elem_type: int | None = None) -> str:
        """A graph input."""
        self.inputs.append(helper.make_tensor_value_info(name, elem_type or self.elem_type, list(shape)))
        return name

    def output(self, name: str, shape: Sizes) -> None:
        """Declare a value as a graph output."""
        self.outputs.append(helper.make_tensor_value_info(name, self.elem_type, list(shape)))

    def conv(
        self, name: str, x: str, c_in: int, c_out: int, kernel: int, *, stride: int = 1, pad: int = 0, group: int = 1
    ) -> str:
        """Square convolution with bias."""
        return self.op(
            "Conv",
            name,
            x,
            self.weight(f"{name}.weight", c_out, c_in // group, kernel, kernel),
            self.weight(f"{name}.bias", c_out),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[pad] * 4,
            group=group,
        )

    def linear(self, name: str, x: str, c_in: int, c_out: int) -> str:
        """Fully connected layer on rows, with bias."""
        weight, bias = self.weight(f"{name}.weight", c_out, c_in), self.weight(f"{name}.bias", c_out)
        return self.op("Gemm", name, x, weight, bias, transB=1)

    def project(self, name: str, x: str, c_in: int, c_out: int, bias: bool = True) -> str:
        """Fully connected layer on the last axis of any tensor."""
        product = self.op("MatMul", name, x, self.weight(f"{name}.weight", c_in, c_out))
        return self.op("Add", f"{name}.add", product, self.weight(f"{name}.bias", c_out)) if bias else product

    def relu(self, x: str) -> str:
        """ReLU."""
        return self.op("Relu", f"{x}.relu", x)

    def pool(self, op_type: str, x: str, kernel: int, stride: int, pad: int = 0) -> str:
        """Square pooling."""
        return self.op(op_type, f"{x}.pool", x, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def classify(self, x: str, features: int, classes: int) -> None:
        """Global average pooling and a fully connected layer, as the graph's output."""
        pooled = self.op("GlobalAveragePool", "pool", x)
        self.linear("classifier", self.op("Flatten", "flatten", pooled), features, classes)
        self.output("classifier", [1, classes])

    def model(self, default_dims: str = "") -> onnx.ModelProto:
        """The finished model; ``default_dims`` proposes sizes for its symbolic dimensions (``seq=128``)."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, producer_name="hwsim", opset_imports=opsets, ir_version=8)
        if self.opset > 21:
            model.ir_version = 11
        if default_dims:
            helper.set_model_props(model, {"hwsim.default_dims": default_dims})
        return model


# --- image classifiers ----------------------------------------------------------------


def _channels(base: int, multiplier: float, divisor: int = 8) -> int:
    """A scaled number of channels: the nearest multiple of ``divisor``, and never less than 90% of what was asked.

    The rule of MobileNetV2's authors, so that widths 0.35, 0.5, 0.75 … give the published networks.
    """
    asked = base * multiplier
    rounded = max(divisor, int(asked + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * asked else rounded


def _lenet5(*, width: float = 1.0) -> onnx.ModelProto:
    g = _Graph("lenet5")
    n1, n3, n5, n6 = (max(1, round(width * n)) for n in (6, 16, 120, 84))
    x = g.op("Tanh", "tanh1", g.conv("c1", g.input("image", [1, 1, 32, 32]), 1, n1, 5))
    x = g.op("Tanh", "tanh3", g.conv("c3", g.pool("AveragePool", x, 2, 2), n1, n3, 5))
    x = g.op("Tanh", "tanh5", g.conv("c5", g.pool("AveragePool", x, 2, 2), n3, n5, 5))
    x = g.op("Tanh", "tanh6", g.linear("f6", g.op("Flatten", "flatten", x), n5, n6))
    g.output(g.linear("output", x, n6, 10), [1, 10])
    return g.model()


def _tiny_cifar(*, width: float = 1.0, resolution: int = 32) -> onnx.ModelProto:
    g = _Graph("tiny_cifar")
    x, channels = g.input("image", [1, 3, resolution, resolution]), 3
    for index, base in enumerate((16, 32, 64), start=1):
        wide = _channels(base, width)
        x = g.pool("MaxPool", g.relu(g.conv(f"conv{index}", x, channels, wide, 3, pad=1)), 2, 2)
        channels = wide
    g.output(g.linear("classifier", g.op("Flatten", "flatten", x), channels * (resolution // 8) ** 2, 10), [1, 10])
    return g.model()


def _dw_cifar(*, width: float = 1.0, resolution: int = 32) -> onnx.ModelProto:
    g = _Graph("dw_cifar")
    channels = _channels(32, width)
    x = g.relu(g.conv("stem", g.input("image", [1, 3, resolution, resolution]), 3, channels, 3, pad=1))
    for index, (base, stride) in enumerate(((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)), start=1):
        wide = _channels(base, width)
        x = g.relu(g.conv(f"dw{index}", x, channels, channels, 3, stride=stride, pad=1, group=channels))
        x = g.relu(g.conv(f"pw{index}", x, channels, wide, 1))
        channels = wide
    g.classify(x, channels, 10)
    return g.model()


def _relu6(g: _Graph, x: str) -> str:
    return g.op("Clip", f"{x}.relu6", x, "zero", "six")


def _mobilenet_v2_imagenet(*, width: float = 1.0, resolution: int = 224, depth: float = 1.0) -> onnx.ModelProto:
    return _mobilenet_v2("mobilenet_v2", (width, depth), resolution, 1000, (1, 2, 2, 2, 1, 2, 1), 2)


def _mobilenet_v2_cifar(*, width: float = 1.0, resolution: int = 32, depth: float = 1.0) -> onnx.ModelProto:
    return _mobilenet_v2("mobilenet_v2_cifar", (width, depth), resolution, 10, (1, 1, 2, 2, 1, 2, 1), 1)


def _mobilenet_v2(
    name: str, scale: tuple[float, float], image: int, classes: int, strides: Sequence[int], stem_stride: int
) -> onnx.ModelProto:
    """MobileNetV2 (Sandler et al. 2018, table 2).

    Args:
        scale: width and depth multipliers; the last convolution grows with widths above 1 and never shrinks.
        strides: of the first block of each stage.
    """
    width, depth = scale
    g = _Graph(name)
    g.initializers += [helper.make_tensor(n, _FLOAT, [], [v]) for n, v in (("zero", 0.0), ("six", 6.0))]
    channels, block = _channels(32, width), 0
    x = _relu6(g, g.conv("stem", g.input("image", [1, 3, image, image]), 3, channels, 3, stride=stem_stride, pad=1))
    stages = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    for (expansion, base, repeats), first_stride in zip(stages, strides, strict=True):
        wide = _channels(base, width)
        for repeat in range(math.ceil(depth * repeats)):
            block += 1
            stride = first_stride if repeat == 0 else 1
            y = _inverted_residual(g, f"block{block}", x, c_in=channels, c_out=wide, expansion=expansion, stride=stride)
            x = g.op("Add", f"block{block}.add", x, y) if stride == 1 and channels == wide else y
            channels = wide
    head = _channels(1280, max(1.0, width))
    g.classify(_relu6(g, g.conv("head", x, channels, head, 1)), head, classes)
    return g.model()


def _inverted_residual(g: _Graph, name: str, x: str, *, c_in: int, c_out: int, expansion: int, stride: int) -> str:
    hidden = c_in * expansion
    if expansion != 1:
        x = _relu6(g, g.conv(f"{name}.expand", x, c_in, hidden, 1))
    x = _relu6(g, g.conv(f"{name}.depthwise", x, hidden, hidden, 3, stride=stride, pad=1, group=hidden))
    return g.conv(f"{name}.project", x, hidden, c_out, 1)


def _resnet18(*, width: float = 1.0, resolution: int = 224, depth: float = 1.0) -> onnx.ModelProto:
    """ResNet-18 (He et al. 2016, table 1), with 1×1 convolutions on the shortcuts that change shape."""
    g = _Graph("resnet18")
    channels = _channels(64, width)
    x = g.relu(g.conv("stem", g.input("image", [1, 3, resolution, resolution]), 3, channels, 7, stride=2, pad=3))
    x = g.pool("MaxPool", x, 3, 2, 1)
    for stage, base in enumerate((64, 128, 256, 512), start=1):
        wide = _channels(base, width)
        for block in range(1, math.ceil(2 * depth) + 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            y = g.relu(g.conv(f"{name}.conv1", x, channels, wide, 3, stride=stride, pad=1))
            y = g.conv(f"{name}.conv2", y, wide, wide, 3, pad=1)
            if stride > 1:
                x = g.conv(f"{name}.shortcut", x, channels, wide, 1, stride=stride)
            x, channels = g.relu(g.op("Add", f"{name}.add", y, x)), wide
    g.classify(x, channels, 1000)
    return g.model()


# --- transformers ---------------------------------------------------------------------


def _transformer_block(*, width: int = 768, heads: int = 12, hidden: int = 3072) -> onnx.ModelProto:
    """One encoder block of BERT-base's size (Devlin et al. 2019), written out in matrix products."""
    if width % heads:
        raise HwsimError(f"width={width} is no multiple of heads={heads}.", where="zoo:transformer_block")
    g = _Graph("transformer_block", opset=20)
    x = g.input("x", ["batch", "seq", width])
    split, merged = g.integers("split", [0, 0, heads, width // heads]), g.integers("merged", [0, 0, width])

    def to_heads(name: str, perm: Sequence[int]) -> str:
        rows = g.op("Reshape", f"{name}.split", g.project(name, x, width, width), split)
        return g.op("Transpose", f"{name}.heads", rows, perm=list(perm))

    query, key, value = to_heads("query", (0, 2, 1, 3)), to_heads("key", (0, 2, 3, 1)), to_heads("value", (0, 2, 1, 3))
    g.initializers.append(helper.make_tensor("scale.factor", _FLOAT, [], [(width // heads) ** -0.5]))
    scores = g.op("Mul", "scale", g.op("MatMul", "scores", query, key), "scale.factor")
    mixed = g.op("MatMul", "mix", g.op("Softmax", "softmax", scores, axis=-1), value)
    rows = g.op("Reshape", "merge", g.op("Transpose", "mix.rows", mixed, perm=[0, 2, 1, 3]), merged)

    def add_norm(name: str, residual: str, y: str) -> str:
        total = g.op("Add", f"{name}.add", residual, y)
        scale, bias = g.weight(f"{name}.scale", width), g.weight(f"{name}.bias", width)
        return g.op("LayerNormalization", name, total, scale, bias, axis=-1)

    x = add_norm("norm1", x, g.project("attention_output", rows, width, width))
    wide = g.op("Gelu", "gelu", g.project("mlp_up", x, width, hidden))
    g.output(add_norm("norm2", x, g.project("mlp_down", wide, hidden, width)), ["batch", "seq", width])
    return g.model("seq=128")


@dataclass(frozen=True)
class _Llama:
    """Dimensions of Llama-3.2-1B (Meta, model card and ``config.json``, September 2024)."""

    layers: int = 16
    width: int = 2048
    heads: int = 32
    kv_heads: int = 8
    head: int = 64
    hidden: int = 8192
    vocabulary: int = 128256


def _llama(name: str, *, decode: bool) -> onnx.ModelProto:
    """Llama-3.2-1B: prefill of a prompt, or one token more after ``past`` of them.

    Angles of the rotary embedding come in as inputs, weights are bfloat16, the
    embedding is the output layer's weight as well, and logits are computed for the
    last token alone, which is what generating text needs.
    """
    m = _Llama()
    g = _Graph(name, elem_type=_BFLOAT16, opset=23)
    length: int | str = 1 if decode else "seq"
    tokens = g.input("tokens", ["batch", length], _INT64)
    angles = [g.input(n, ["batch", length, m.head // 2]) for n in ("cos", "sin")]
    table = g.weight("embedding", m.vocabulary, m.width)
    x = g.op("Gather", "embed", table, tokens)
    for layer in range(m.layers):
        x = _llama_layer(g, m, f"layer{layer}", x, angles=angles, decode=decode)
    x = g.op("RMSNormalization", "norm", x, g.weight("norm.scale", m.width), axis=-1)
    last = g.op("Gather", "last", x, g.integers("last.index", [-1]), axis=1)
    g.output(
        g.op("MatMul", "logits", last, g.op("Transpose", "embedding.t", table, perm=[1, 0])), ["batch", 1, m.vocabulary]
    )
    return g.model("past=127" if decode else "seq=128")


def _llama_layer(g: _Graph, m: _Llama, name: str, x: str, *, angles: Sequence[str], decode: bool) -> str:
    def norm(step: str, y: str) -> str:
        return g.op("RMSNormalization", f"{name}.{step}", y, g.weight(f"{name}.{step}.scale", m.width), axis=-1)

    def rotated(step: str, y: str, heads: int) -> str:
        projected = g.project(f"{name}.{step}", y, m.width, heads * m.head, bias=False)
        return g.op("RotaryEmbedding", f"{name}.{step}.rotary", projected, *angles, num_heads=heads)

    y = norm("attention_norm", x)
    query, key = rotated("query", y, m.heads), rotated("key", y, m.kv_heads)
    value = g.project(f"{name}.value", y, m.width, m.kv_heads * m.head, bias=False)
    cache: Sizes = ["batch", m.kv_heads, "past" if decode else "seq", m.head]
    grown: Sizes = ["batch", m.kv_heads, "past + 1" if decode else "seq", m.head]
    past = [g.input(f"{name}.past_{n}", cache) for n in ("key", "value")] if decode else []
    present = [f"{name}.present_key", f"{name}.present_value"]
    operands = [query, key, value, *(["", *past] if decode else [])]
    heads = {"q_num_heads": m.heads, "kv_num_heads": m.kv_heads}
    mixed = g.op("Attention", f"{name}.attention", *operands, outputs=present, is_causal=1, **heads)
    for output in present:
        g.output(output, grown)
    x = g.op("Add", f"{name}.attention.add", x, g.project(f"{name}.output", mixed, m.width, m.width, bias=False))
    y = norm("mlp_norm", x)
    gate = g.project(f"{name}.gate", y, m.width, m.hidden, bias=False)
    swish = g.op("Mul", f"{name}.swish", gate, g.op("Sigmoid", f"{name}.sigmoid", gate))
    wide = g.op("Mul", f"{name}.gated", swish, g.project(f"{name}.up", y, m.width, m.hidden, bias=False))
    return g.op("Add", f"{name}.mlp.add", x, g.project(f"{name}.down", wide, m.hidden, m.width, bias=False))


# --- the zoo --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    description: str
    build: Callable[..., onnx.ModelProto]


_ZOO = {
    "lenet5": _Entry("LeNet-5 on 32×32 digits (LeCun et al. 1998)", _lenet5),
    "tiny_cifar": _Entry("three convolutions and a classifier on CIFAR-10", _tiny_cifar),
    "dw_cifar": _Entry("depthwise-separable convolutions on CIFAR-10", _dw_cifar),
    "mobilenet_v2": _Entry(
        "MobileNetV2 on ImageNet, 224×224 (Sandler et al. 2018)",
        _mobilenet_v2_imagenet,
    ),
    "mobilenet_v2_cifar": _Entry(
        "MobileNetV2 on CIFAR-10: stem and second stage without stride",
        _mobilenet_v2_cifar,
    ),
    "resnet18": _Entry("ResNet-18 on ImageNet, 224×224 (He et al. 2016)", _resnet18),
    "transformer_block": _Entry("one encoder block of BERT-base's size, 128 tokens unless bound", _transformer_block),
    "llama3_2_1b_prefill": _Entry(
        "Llama-3.2-1B reading a prompt, 128 tokens unless bound (seq)",
        lambda: _llama("llama3_2_1b_prefill", decode=False),
    ),
    "llama3_2_1b_decode": _Entry(
        "Llama-3.2-1B writing one token after 127 unless bound (past)",
        lambda: _llama("llama3_2_1b_decode", decode=True),
    ),
}

MODELS: dict[str, str] = {name: entry.description for name, entry in _ZOO.items()}
"""Model name → description."""


#: The largest value of an argument: a multiplier, a size.
_MOST: dict[type, float] = {float: 16, int: 4096}


def arguments_of(name: str) -> dict[str, int | float]:
    """Arguments that a model takes, with their defaults (a float is a multiplier, an int a size).

    Raises:
        HwsimError: the zoo has no such model.
    """
    if name not in _ZOO:
        raise HwsimError(f"the zoo has no model '{name}'.{did_you_mean(name, _ZOO)}")
    return {
        p.name: p.default for p in inspect.signature(_ZOO[name].build).parameters.values() if p.kind == p.KEYWORD_ONLY
    }


def split_name(text: str) -> tuple[str, dict[str, int | float]]:
    """``mobilenet_v2(width=0.5,resolution=96)`` → name and arguments.

    Raises:
        HwsimError: the text has another form, or a value is no number.
    """
    name, bracket, rest = text.partition("(")
    if not bracket:
        return text, {}
    if not rest.endswith(")"):
        raise HwsimError("expected NAME(ARGUMENT=NUMBER, …).", where=f"zoo:{text}")
    out: dict[str, int | float] = {}
    for pair in rest[:-1].split(","):
        key, _, value = (part.strip() for part in pair.partition("="))
        if key in out:
            raise HwsimError(f"argument '{key}' is given twice.", where=f"zoo:{text}")
        try:
            out[key] = int(value) if value.isascii() and value.isdigit() else float(value)
        except ValueError as error:
            raise HwsimError(f"expected ARGUMENT=NUMBER, found '{pair.strip()}'.", where=f"zoo:{text}") from error
    return name.strip(), out


def checked(name: str, arguments: Mapping[str, Any]) -> dict[str, int | float]:
    """A model's arguments as the numbers that it takes.

    Raises:
        HwsimError: the zoo has no such model, or the model no such argument, or a value is out of bounds.
    """
    known = arguments_of(name)
    out: dict[str, int | float] = {}
    for key, value in arguments.items():
        where = f"zoo:{name}"
        if key not in known:
            hint = did_you_mean(key, known) if known else " It takes none."
            raise HwsimError(f"'{name}' has no argument '{key}'.{hint}", where=where)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise HwsimError(f"expected a number as {key}, found {value!r}.", where=where)
        kind = type(known[key])
        if kind is int and value != int(value):
            raise HwsimError(f"expected a whole number as {key}, found {value}.", where=where)
        if not 0 < value <= _MOST[kind]:
            raise HwsimError(f"expected {key} above 0 and up to {_MOST[kind]:g}, found {value}.", where=where)
        out[key] = kind(value)
    return out


def build(name: str, arguments: Mapping[str, Any] | None = None) -> onnx.ModelProto:
    """The model of that name, scaled by its arguments.

    Raises:
        HwsimError: there is no such model or argument (names the nearest), or a value is out of bounds.
    """
    given = checked(name, arguments or {})
    return _ZOO[name].build(**given)


def write(name: str, path: str | Path, arguments: Mapping[str, Any] | None = None) -> Path:
    """Write a model of the zoo to a file; HwsimError where the file cannot be written."""
    return write_file(path, build(name, arguments).SerializeToString(deterministic=True))
