"""Well-formed random networks: graphs of supported operators with random shapes, and the multiplications in them.

Shapes and multiplications are followed here, by the operators' definitions in the ONNX standard, so that what hwsim
reads can be held against them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

OPSET = 18
CHANNELS = (1, 2, 3, 4, 6, 8, 12, 16)
SIDES = (1, 2, 3, 4, 5, 7, 8, 14)
MOST_ELEMENTS = 4096  # of one tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A model, sizes of its symbolic dimensions, and what is known of it by construction.

    Attributes:
        products: multiplications of each contraction, by the operator's name.
        shapes: of the input and of every operator's results.
        output: the result's name.
    """

    model: onnx.ModelProto
    dims: dict[str, int]
    products: dict[str, int]
    shapes: dict[str, Shape]
    output: str

    @property
    def macs(self) -> int:
        """Multiplications in all."""
        return sum(self.products.values())


@dataclass
class _Graph:
    rng: random.Random
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)

    def weight(self, *shape: int, values: list[int] | None = None) -> str:
        name = f"w{len(self.weights)}"
        if values is None:
            data = b"\0" * (4 * math.prod(shape))
            self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, shape, data, raw=True))
        else:
            self.weights.append(helper.make_tensor(name, TensorProto.INT64, shape, values))
        return name

    def add(self, op: str, inputs: list[str], *shapes: Shape, **attributes: object) -> str:
        """An operator with results of these shapes; the name of the first."""
        names = [f"t{len(self.shapes) + i}" for i in range(len(shapes))]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}_{op}", **attributes))
        self.shapes |= dict(zip(names, shapes, strict=True))
        return names[0]

    def pick(self, ranks: tuple[int, ...] = (1, 2, 3, 4, 5)) -> str | None:
        found = [name for name, shape in self.shapes.items() if len(shape) in ranks]
        return self.rng.choice(found[-6:]) if found else None


Maker = Callable[[_Graph], bool]


def _window(g: _Graph, side: int) -> tuple[int, int, int, int, int, int]:
    """(filter, stride, dilation, padding before, after, output) along one axis."""
    rng = g.rng
    k, stride, dilation = rng.choice((1, 1, 2, 3, 3)), rng.choice((1, 1, 2)), rng.choice((1, 1, 1, 2))
    before, after = rng.choice((0, 0, 1)), rng.choice((0, 0, 1))
    reach = dilation * (k - 1) + 1
    if side + before + after < reach:
        return 1, 1, 1, 0, 0, side
    return k, stride, dilation, before, after, (side + before + after - reach) // stride + 1


def _conv(g: _Graph) -> bool:
    x = g.pick((3, 4, 5))
    if x is None:
        return False
    n, c, *sides = g.shapes[x]
    group = g.rng.choice([d for d in range(1, c + 1) if c % d == 0])
    m = group * g.rng.choice((1, 1, 2, 3))
    if group == 1:
        m = g.rng.choice(CHANNELS)
    windows = [_window(g, side) for side in sides]
    kernel, out = tuple(w[0] for w in windows), tuple(w[5] for w in windows)
    if n * m * math.prod(out) > MOST_ELEMENTS:
        return False
    inputs = [x, g.weight(m, c // group, *kernel)] + ([g.weight(m)] if g.rng.random() < 0.5 else [])
    attributes: dict[str, object] = {
        "group": group,
        "strides": [w[1] for w in windows],
        "dilations": [w[2] for w in windows],
    }
    attributes["pads"] = [w[3] for w in windows] + [w[4] for w in windows]
    if g.rng.random() < 0.5:
        attributes["kernel_shape"] = kernel
    g.add("Conv", inputs, (n, m, *out), **attributes)
    g.products[g.nodes[-1].name] = n * m * math.prod(out) * (c // group) * math.prod(kernel)
    return True


def _same_conv(g: _Graph) -> bool:
    """With ``auto_pad``: SAME gives ceil(side / stride), VALID no padding."""
    x = g.pick((3, 4))
    if x is None:
        return False
    n, c, *sides = g.shapes[x]
    k, stride, m = g.rng.choice((1, 2, 3)), g.rng.choice((1, 2)), g.rng.choice(CHANNELS)
    pad = g.rng.choice(("SAME_UPPER", "SAME_LOWER", "VALID"))
    if pad == "VALID" and min(sides) < k:
        return False
    out = tuple(-(-s // stride) if pad != "VALID" else (s - k) // stride + 1 for s in sides)
    if n * m * math.prod(out) > MOST_ELEMENTS:
        return False
    g.add("Conv", [x, g.weight(m, c, *[k] * len(sides))], (n, m, *out), auto_pad=pad, strides=[stride] * len(sides))
    g.products[g.nodes[-1].name] = n * m * math.prod(out) * c * k ** len(sides)
    return True


def _transposed_conv(g: _Graph) -> bool:
    x = g.pick((3, 4))
    if x is None:
        return False
    n, c, *sides = g.shapes[x]
    k, stride, m = g.rng.choice((1, 2, 3)), g.rng.choice((1, 2)), g.rng.choice(CHANNELS)
    group = g.rng.choice((1, c)) if c <= 8 else 1
    out = tuple((s - 1) * stride + k for s in sides)
    if n * m * group * math.prod(out) > MOST_ELEMENTS:
        return False
    g.add(
        "ConvTranspose",
        [x, g.weight(c, m, *[k] * len(sides))],
        (n, m * group, *out),
        strides=[stride] * len(sides),
        group=group,
    )
    g.products[g.nodes[-1].name] = (
        n * c * math.prod(sides) * m * k ** len(sides)
    )  # every input meets every weight of its channel
    return True


def _matmul(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape, m = g.shapes[x], g.rng.choice(CHANNELS)
    if math.prod(shape[:-1]) * m > MOST_ELEMENTS:
        m = 1
    if len(shape) == 1 or (len(shape) > 2 and g.rng.random() < 0.5) or g.rng.random() < 0.7:
        other: Shape = (shape[-1], m)
    else:
        other = (*[s if g.rng.random() < 0.7 else 1 for s in shape[:-2]], shape[-1], m)
    out = (*shape[:-1], m)
    g.add("MatMul", [x, g.weight(*other)], out)
    g.products[g.nodes[-1].name] = math.prod(out) * shape[-1]
    return True


def _product_with_itself(g: _Graph) -> bool:
    """x · xᵀ: both operands are activations."""
    x = g.pick((2, 3, 4))
    if x is None:
        return False
    shape = g.shapes[x]
    axes = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    if math.prod(shape[:-1]) * shape[-2] > MOST_ELEMENTS:
        return False
    turned = g.add("Transpose", [x], (*shape[:-2], shape[-1], shape[-2]), perm=axes)
    g.add("MatMul", [x, turned], (*shape[:-1], shape[-2]))
    g.products[g.nodes[-1].name] = math.prod(shape) * shape[-2]
    return True


def _gemm(g: _Graph) -> bool:
    x = g.pick((2,))
    if x is None:
        return False
    (rows, inner), m, turned = g.shapes[x], g.rng.choice(CHANNELS), g.rng.randrange(2)
    inputs = [x, g.weight(*((m, inner) if turned else (inner, m)))] + ([g.weight(m)] if g.rng.random() < 0.5 else [])
    g.add("Gemm", inputs, (rows, m), transB=turned)
    g.products[g.nodes[-1].name] = rows * inner * m
    return True


def _einsum(g: _Graph) -> bool:
    x = g.pick((2, 3))
    if x is None:
        return False
    shape, m = g.shapes[x], g.rng.choice(CHANNELS)
    left = "abc"[: len(shape)]
    out = (*shape[:-1], m)
    g.add("Einsum", [x, g.weight(shape[-1], m)], out, equation=f"{left},{left[-1]}m->{left[:-1]}m")
    g.products[g.nodes[-1].name] = math.prod(shape) * m
    return True


def _recurrent(g: _Graph) -> bool:
    x = g.pick((3,))
    if x is None:
        return False
    steps, batch, features = g.shapes[x]
    op, gates = g.rng.choice((("RNN", 1), ("GRU", 3), ("LSTM", 4)))
    hidden, both = g.rng.choice((1, 2, 4, 8)), g.rng.randrange(2)
    directions = 1 + both
    weights = [g.weight(directions, gates * hidden, features), g.weight(directions, gates * hidden, hidden)]
    shapes = [(steps, directions, batch, hidden), (directions, batch, hidden)] + [(directions, batch, hidden)] * (
        op == "LSTM"
    )
    if math.prod(shapes[0]) > MOST_ELEMENTS:
        return False
    g.add(op, [x, *weights], *shapes, hidden_size=hidden, direction="bidirectional" if both else "forward")
    g.products[g.nodes[-1].name] = directions * steps * batch * gates * hidden * (features + hidden)
    return True


def _pool(g: _Graph) -> bool:
    x = g.pick((3, 4))
    if x is None:
        return False
    n, c, *sides = g.shapes[x]
    if g.rng.random() < 0.2:
        g.add(g.rng.choice(("GlobalAveragePool", "GlobalMaxPool")), [x], (n, c, *[1] * len(sides)))
        return True
    k, stride = g.rng.choice((1, 2, 3)), g.rng.choice((1, 2))
    if min(sides) < k:
        return False
    out = tuple((s - k) // stride + 1 for s in sides)
    kernel, strides = [k] * len(sides), [stride] * len(sides)
    g.add(g.rng.choice(("MaxPool", "AveragePool")), [x], (n, c, *out), kernel_shape=kernel, strides=strides)
    return True


def _pointwise(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    g.add(
        g.rng.choice(("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "HardSwish", "Identity", "LeakyRelu", "Softmax")),
        [x],
        g.shapes[x],
    )
    return True


def _binary(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    alike = [name for name, other in g.shapes.items() if other == shape]
    other = (
        g.rng.choice(alike) if g.rng.random() < 0.6 else g.weight(*[s if g.rng.random() < 0.5 else 1 for s in shape])
    )
    g.add(g.rng.choice(("Add", "Sub", "Mul", "Max")), [x, other], shape)
    return True


def _norm(g: _Graph) -> bool:
    x = g.pick((2, 3, 4))
    if x is None:
        return False
    shape = g.shapes[x]
    if g.rng.random() < 0.5:
        g.add("BatchNormalization", [x, *(g.weight(shape[1]) for _ in range(4))], shape)
    else:
        g.add("LayerNormalization", [x, g.weight(shape[-1])], shape)
    return True


def _reshape(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    size, out = math.prod(shape), []
    rest = size
    for _ in range(g.rng.randint(1, 3)):
        out.append(g.rng.choice([d for d in range(1, min(rest, 16) + 1) if rest % d == 0]))
        rest //= out[-1]
    out.append(rest)
    g.rng.shuffle(out)
    asked = list(out)
    if g.rng.random() < 0.5:
        asked[g.rng.randrange(len(asked))] = -1
    g.add("Reshape", [x, g.weight(len(asked), values=asked)], tuple(out))
    return True


def _transpose(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    axes = list(range(len(shape)))
    g.rng.shuffle(axes)
    g.add("Transpose", [x], tuple(shape[a] for a in axes), perm=axes)
    return True


def _flatten(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    axis = g.rng.randint(0, len(shape))
    g.add("Flatten", [x], (math.prod(shape[:axis]), math.prod(shape[axis:])), axis=axis)
    return True


def _squeeze(g: _Graph) -> bool:
    x = g.pick((1, 2, 3, 4))
    if x is None:
        return False
    shape = g.shapes[x]
    ones = [a for a, size in enumerate(shape) if size == 1]
    if ones and len(shape) > 1:
        axis = g.rng.choice(ones)
        g.add("Squeeze", [x, g.weight(1, values=[axis])], (*shape[:axis], *shape[axis + 1 :]))
    else:
        axis = g.rng.randint(0, len(shape))
        g.add("Unsqueeze", [x, g.weight(1, values=[axis])], (*shape[:axis], 1, *shape[axis:]))
    return True


def _reduce(g: _Graph) -> bool:
    x = g.pick((2, 3, 4, 5))
    if x is None:
        return False
    shape = g.shapes[x]
    axis, keep = g.rng.randrange(len(shape)), g.rng.randrange(2)
    out = (*shape[:axis], *([1] if keep else []), *shape[axis + 1 :])
    g.add(g.rng.choice(("ReduceMean", "ReduceMax")), [x, g.weight(1, values=[axis])], out, keepdims=keep)
    return True


def _concat(g: _Graph) -> bool:
    x = g.pick()
    if x is None or 2 * math.prod(g.shapes[x]) > MOST_ELEMENTS:
        return False
    shape = g.shapes[x]
    axis = g.rng.randrange(len(shape))
    fits = [
        n
        for n, s in g.shapes.items()
        if len(s) == len(shape) and all(s[a] == shape[a] for a in range(len(s)) if a != axis)
    ]
    other = g.rng.choice(fits)
    total = shape[axis] + g.shapes[other][axis]
    g.add("Concat", [x, other], (*shape[:axis], total, *shape[axis + 1 :]), axis=axis)
    return True


def _split(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    axes = [a for a, s in enumerate(shape) if s > 1]
    if not axes:
        return False
    axis = g.rng.choice(axes)
    first = g.rng.randint(1, shape[axis] - 1)
    parts = [(*shape[:axis], n, *shape[axis + 1 :]) for n in (first, shape[axis] - first)]
    g.add("Split", [x, g.weight(2, values=[first, shape[axis] - first])], *parts, axis=axis)
    return True


def _slice(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    axis, step = g.rng.randrange(len(shape)), g.rng.choice((1, 1, 2))
    start = g.rng.randrange(shape[axis])
    end = g.rng.choice((shape[axis], 2**31 - 1, g.rng.randint(start + 1, shape[axis])))
    size = -(-(min(end, shape[axis]) - start) // step)
    bounds = [g.weight(1, values=[v]) for v in (start, end, axis, step)]
    g.add("Slice", [x, *bounds], (*shape[:axis], size, *shape[axis + 1 :]))
    return True


def _pad(g: _Graph) -> bool:
    x = g.pick()
    if x is None:
        return False
    shape = g.shapes[x]
    pads = [g.rng.choice((0, 0, 1)) for _ in range(2 * len(shape))]
    out = tuple(s + pads[a] + pads[a + len(shape)] for a, s in enumerate(shape))
    if math.prod(out) > MOST_ELEMENTS:
        return False
    g.add("Pad", [x, g.weight(len(pads), values=pads)], out)
    return True


def _resize(g: _Graph) -> bool:
    x = g.pick((3, 4))
    if x is None:
        return False
    n, c, *sides = g.shapes[x]
    out = (n, c, *(s * 2 for s in sides))
    if math.prod(out) > MOST_ELEMENTS:
        return False
    g.add("Resize", [x, "", "", g.weight(len(out), values=list(out))], out, mode="nearest")
    return True


def _shape_of_itself(g: _Graph) -> bool:
    """A reshape to a shape that the graph computes: Shape, Gather, Concat."""
    x = g.pick((2, 3, 4))
    if x is None:
        return False
    shape = g.shapes[x]
    nodes = [
        helper.make_node("Shape", [x], [f"s{len(g.nodes)}"], name=f"n{len(g.nodes)}_Shape"),
        helper.make_node(
            "Gather",
            [f"s{len(g.nodes)}", g.weight(1, values=[0])],
            [f"g{len(g.nodes)}"],
            name=f"n{len(g.nodes)}_Gather",
        ),
        helper.make_node(
            "Concat",
            [f"g{len(g.nodes)}", g.weight(1, values=[-1])],
            [f"c{len(g.nodes)}"],
            axis=0,
            name=f"n{len(g.nodes)}_C",
        ),
    ]
    target = nodes[-1].output[0]
    g.nodes += nodes
    g.add("Reshape", [x, target], (shape[0], math.prod(shape[1:])))
    return True


def _gather(g: _Graph) -> bool:
    x = g.pick((1, 2, 3, 4))
    if x is None:
        return False
    shape = g.shapes[x]
    axis, count = g.rng.randrange(len(shape)), g.rng.choice((1, 2, 3))
    if math.prod(shape) * count > MOST_ELEMENTS:
        return False
    rows = g.weight(count, values=[g.rng.randrange(-shape[axis], shape[axis]) for _ in range(count)])
    g.add("Gather", [x, rows], (*shape[:axis], count, *shape[axis + 1 :]), axis=axis)
    return True


CONTRACTIONS: tuple[Maker, ...] = (
    _conv, _conv, _conv, _same_conv, _transposed_conv, _matmul, _matmul, _product_with_itself, _gemm, _einsum,
    _recurrent,
)  # fmt: skip
OTHERS: tuple[Maker, ...] = (
    _pool, _pointwise, _pointwise, _binary, _norm, _reshape, _transpose, _flatten, _squeeze, _reduce, _concat, _split,
    _slice, _pad, _resize, _shape_of_itself, _gather,
)  # fmt: skip


def random_network(rng: random.Random, skip: frozenset[int] = frozenset()) -> Network:
    """A network of a few operators, at least one of them a contraction; steps in ``skip`` are left out."""
    rank = rng.choice((2, 3, 3, 4, 4, 4, 5))
    shape = tuple(rng.choice(CHANNELS if axis == 1 else SIDES if axis > 1 else (1, 1, 2, 3)) for axis in range(rank))
    while math.prod(shape) > MOST_ELEMENTS:
        shape = (*shape[:-1], max(1, shape[-1] // 2)) if shape[-1] > 1 else (1, *shape[1:-2], 1, 1)
    symbolic = rng.random() < 0.3
    seeds = [rng.getrandbits(64) for _ in range(rng.randint(1, 10))]
    g = _Graph(rng)
    g.shapes["x"] = shape
    for step, seed in enumerate(seeds):
        g.rng = random.Random(seed)
        if step not in skip:
            g.rng.choice(CONTRACTIONS if step == 0 or g.rng.random() < 0.3 else OTHERS)(g)
    g.rng = rng
    if not g.products and not _matmul(g):
        raise AssertionError("a product with weights is always possible")
    if symbolic and any(n.op_type in ("Reshape", "Resize", "Pad") for n in g.nodes):
        symbolic = False  # sizes stand in the graph's constants
    dims = {"batch": shape[0]} if symbolic else {}
    given = ["batch" if symbolic and axis == 0 else size for axis, size in enumerate(shape)]
    output = list(g.shapes)[-1]
    graph = helper.make_graph(
        g.nodes,
        "random",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, given)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * len(g.shapes[output]))],
        g.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return Network(model, dims, g.products, g.shapes, output)
