"""Convolutions of all forms: dense, grouped, depthwise, transposed, quantized, deformable, causal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import numpy as np

from hwsim.workloads.einsum import Access, Einsum, Rank, ranks
from hwsim.workloads.operators.execution import Call, Contraction, Tensor, centred, pack, requantize
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.standard import standard
from hwsim.workloads.problem import convolution, matmul

#: Dimensions of the filter and of the positions per spatial axis, from the last.
_AXES = (("R", "P"), ("S", "Q"), ("T", "D"))

# --- as problems ----------------------------------------------------------------------


def _conv(node: Node, weights: int = 1, transposed: bool = False) -> list[Einsum]:
    x, w = node.shape(0), node.shape(weights)
    spatial = len(x) - 2
    groups = node.integer("group", 1)
    if not 1 <= spatial <= 3 or len(w) != len(x):
        raise node.error(f"input {list(x)} with filter {list(w)}: only 1-D, 2-D and 3-D convolutions are known")
    c_in, c_out = (w[0], w[1] * groups) if transposed else (w[1] * groups, w[0])
    if groups < 1 or x[1] != c_in or c_in % groups or c_out % groups:
        raise node.error(
            f"input {list(x)} does not fit filter {list(w)} with group={groups}: expected {c_in} input channels"
        )
    y = node.output_shape()
    sizes = {"N": x[0], "C": c_in // groups, "M": c_out // groups}
    positions = x[2:] if transposed else y[2:]
    for axis, (filter_dim, position) in enumerate(_AXES[:spatial], start=1):
        sizes |= {filter_dim: w[-axis], position: positions[-axis]}
    depthwise = groups > 1 and c_in == c_out == groups
    if groups > 1:
        sizes |= {"C": groups} if depthwise else {"G": groups}
    ones = (1,) * spatial
    strides, dilations = node.integers("strides", ones, least=1), node.integers("dilations", ones, least=1)
    problem = convolution(
        sizes, strides=strides[::-1], dilations=dilations[::-1], depthwise=depthwise, transposed=transposed
    )
    before = _before(node, y if transposed else x, x if transposed else y, w, transposed)
    dims = list(reversed(_AXES[:spatial]))
    windows = tuple(
        Rank(((dilation, f), (stride, p)), pad)
        for (f, p), stride, dilation, pad in zip(dims, strides, dilations, before, strict=True)
    )
    filters, places = ranks(*(f for f, _ in dims)), ranks(*(p for _, p in dims))
    channels, produced = _channels(groups, depthwise, sizes)
    split = (channels, *ranks("M")) if transposed else (produced, *ranks("C"))
    held = ranks("C", None) if depthwise else split
    return [
        Einsum(
            problem,
            1,
            (
                Access("Weights", (*held, *filters), weights),
                Access("Inputs", (*ranks("N"), channels, *(places if transposed else windows)), 0),
                Access("Outputs", (*ranks("N"), produced, *(windows if transposed else places)), ~0),
            ),
        )
    ]


def _channels(groups: int, depthwise: bool, sizes: dict[str, int]) -> tuple[Rank, Rank]:
    """Channel axes of the input and of the output: a group's channels lie together."""
    if depthwise:
        return Rank(((1, "C"),)), Rank(((1, "C"),))
    if groups == 1:
        return Rank(((1, "C"),)), Rank(((1, "M"),))
    return Rank(((sizes["C"], "G"), (1, "C"))), Rank(((sizes["M"], "G"), (1, "M")))


def _before(
    node: Node, slid: tuple[int, ...], stepped: tuple[int, ...], w: tuple[int, ...], transposed: bool
) -> list[int]:
    """Padding (of a transposed convolution: cropping) ahead of each spatial axis.

    Args:
        node: the operator.
        slid / stepped: shapes of what the filter slides over, and of what it is placed for.
        w: shape of the filter.
        transposed: the filter slides over the output.
    """
    axes = len(slid) - 2
    auto = node.text("auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * axes
    if auto == "NOTSET" and "output_shape" not in node.attributes:
        return list(node.integers("pads", (0,) * 2 * axes)[:axes])
    ones = (1,) * axes
    strides, dilations = node.integers("strides", ones), node.integers("dilations", ones)
    more = node.integers("output_padding", (0,) * axes) if transposed else (0,) * axes
    out = []
    for axis in range(axes):
        reach = (w[axis + 2] - 1) * dilations[axis] + 1
        total = max(0, strides[axis] * (stepped[axis + 2] - 1) + more[axis] + reach - slid[axis + 2])
        out.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
    return out


def _deform_conv(node: Node) -> list[Einsum]:
    """Every output position samples its own patch, so the patches are the rows of a matrix product per group."""
    x, w, y, groups = node.shape(0), node.shape(1), node.output_shape(), node.integer("group", 1)
    if len(x) < 3 or len(w) != len(x) or groups < 1 or x[1] != w[1] * groups or w[0] % groups:
        raise node.error(f"input {list(x)} does not fit filter {list(w)} with group={groups}")
    positions = x[0] * prod(y[2:])
    return [Einsum(matmul({"B": groups, "C": prod(w[1:]), "M": w[0] // groups, "P": positions}))]


def _causal_conv(node: Node) -> list[Einsum]:
    """Depthwise convolution over the past: x [batch, channels, length], weights [channels, 1, k].

    The state holds what came before: [batch, channels, k − 1].
    """
    (n, c, length), w = node.shape(0, 3), node.shape(1, 3)
    problem = convolution({"C": c, "R": w[2], "N": n, "P": length}, strides=(1,), dilations=(1,), depthwise=True)
    window = ((1, "R"), (1, "P"))
    past = (Access("Inputs", (*ranks("N", "C"), Rank(window)), 3),) if node.has(3) else ()
    accesses = (
        Access("Weights", ranks("C", None, "R"), 1),
        Access("Inputs", (*ranks("N", "C"), Rank(window, w[2] - 1)), 0),
        *past,
        Access("Outputs", ranks("N", "C", "P"), ~0),
    )
    return [Einsum(problem, 1, accesses)]


# --- as the array simulator computes them -----------------------------------------------


def _run_pads(call: Call, x: Sequence[int], kernel: Sequence[int]) -> list[tuple[int, int]]:
    """Padding before and after, per spatial axis."""
    axes = len(kernel)
    auto = call.attributes.get("auto_pad", b"NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else auto
    if auto in ("NOTSET", ""):
        pads = list(call.attributes.get("pads", [0] * 2 * axes))
        return list(zip(pads[:axes], pads[axes:], strict=True))
    if auto == "VALID":
        return [(0, 0)] * axes
    strides = call.attributes.get("strides", [1] * axes)
    dilations = call.attributes.get("dilations", [1] * axes)
    out = []
    for size, k, stride, dilation in zip(x, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size)
        small, large = total // 2, total - total // 2
        out.append((small, large) if auto == "SAME_UPPER" else (large, small))
    return out


def _reversed(tensor: Tensor, leading: int) -> Tensor:
    """Spatial axes in reverse: width first."""
    axes = [*range(leading), *reversed(range(leading, tensor.ndim))]
    return np.ascontiguousarray(tensor.transpose(axes))


def _flat(tensor: Tensor, spatial: int) -> Tensor:
    """A 1-D image or filter as one of height 1."""
    return np.expand_dims(tensor, -2) if spatial == 1 else tensor


def _convolve(call: Call, x: Tensor, w: Tensor, finish: Callable[[Tensor], Tensor]) -> Contraction:
    """A convolution of zero-centred operands; ``finish`` gets the sums as [N, M, …]."""
    spatial = w.ndim - 2
    groups = int(call.attributes.get("group", 1))
    pads = _run_pads(call, x.shape[2:], w.shape[2:])
    strides = call.attributes.get("strides", [1] * spatial)
    dilations = call.attributes.get("dilations", [1] * spatial)
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    used = []
    for size, k, stride, dilation in zip(x.shape[2:], w.shape[2:], strides, dilations, strict=True):
        reach = (k - 1) * dilation + 1
        used.append(slice((size - reach) // stride * stride + reach))
    x = x[(slice(None), slice(None), *used)]
    x, w = _flat(x, spatial), _flat(w, spatial)
    n, c_out = x.shape[0], w.shape[0]
    if groups == 1:
        weights, inputs = _reversed(w, 2).swapaxes(0, 1), _reversed(x, 2)
    elif groups == x.shape[1] == c_out:
        weights, inputs = _reversed(w[:, 0], 1), _reversed(x, 2)
    else:
        w = w.reshape(groups, c_out // groups, *w.shape[1:])
        weights = _reversed(w, 3).swapaxes(1, 2)
        inputs = _reversed(x.reshape(n, groups, -1, *x.shape[2:]), 3)

    def done(sums: Tensor) -> Tensor:
        image = sums.shape[-2:] if spatial == 1 else sums.shape[-spatial:]
        return finish(sums.reshape(n, c_out, *(image[1:] if spatial == 1 else image)))

    return pack(weights, inputs, done)


def _per_channel(values: Tensor, ndim: int) -> Tensor:
    """A bias or scale per output channel (axis 1), to be broadcast."""
    if not values.ndim:
        return values
    return np.expand_dims(values, tuple(range(1, ndim - 1)))


def _run_conv(call: Call) -> Contraction:
    x, w, bias = call.tensor(0), call.tensor(1), call.optional(2)

    def finish(sums: Tensor) -> Tensor:
        return (sums if bias is None else sums + _per_channel(bias, sums.ndim)).astype(x.dtype)

    return _convolve(call, x, w, finish)


def _run_conv_integer(call: Call) -> Contraction:
    x = centred(call.tensor(0), call.optional(2))
    w = centred(call.tensor(1), call.optional(3), 0)
    return _convolve(call, x, w, lambda sums: sums.astype(np.int32))


def _run_qlinear_conv(call: Call) -> Contraction:
    x = centred(call.tensor(0), call.tensor(2))
    w = centred(call.tensor(3), call.tensor(5), 0)
    scale = (call.tensor(1) * call.tensor(4) / call.tensor(6)).astype(np.float32)
    bias, zero = call.optional(8), call.tensor(7)

    def finish(sums: Tensor) -> Tensor:
        total = sums if bias is None else sums + _per_channel(bias.astype(np.int64), sums.ndim)
        return requantize(total, _per_channel(scale, sums.ndim), zero)

    return _convolve(call, x, w, finish)


def _run_conv_transpose(call: Call) -> Contraction | None:
    x, w, bias = call.tensor(0), call.tensor(1), call.optional(2)
    spatial, groups = w.ndim - 2, int(call.attributes.get("group", 1))
    if call.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET") or "output_shape" in call.attributes:
        return None
    pads = list(call.attributes.get("pads", [0] * 2 * spatial))
    more = list(call.attributes.get("output_padding", [0] * spatial))
    n, c_out = x.shape[0], w.shape[1] * groups
    depthwise = groups > 1 and groups == x.shape[1] == c_out
    x, w = _flat(x, spatial), _flat(w, spatial)
    if groups == 1:
        weights, inputs = _reversed(w, 2), _reversed(x, 2)
    elif depthwise:
        weights, inputs = _reversed(w[:, 0], 1), _reversed(x, 2)
    else:
        weights = _reversed(w.reshape(groups, -1, *w.shape[1:]), 3)
        inputs = _reversed(x.reshape(n, groups, -1, *x.shape[2:]), 3)

    def done(sums: Tensor) -> Tensor:
        image = sums.reshape(n, c_out, *sums.shape[-max(2, spatial) :])
        image = image[:, :, 0] if spatial == 1 else image
        image = np.pad(image, [(0, 0), (0, 0), *((0, m) for m in more)])
        cut = tuple(slice(a, size - b) for a, b, size in zip(pads, pads[spatial:], image.shape[2:], strict=False))
        image = image[(slice(None), slice(None), *cut)]
        return (image if bias is None else image + _per_channel(bias, image.ndim)).astype(x.dtype)

    return pack(weights, inputs, done)


OPERATORS = (
    OperatorType("CausalConvWithState", _causal_conv, (0, 1), (1, 2)),
    OperatorType("Conv", _conv, (0, 1), (1, 2), execute=_run_conv),
    OperatorType("ConvInteger", _conv, (0, 1), (1,), settings=(2, 3), execute=_run_conv_integer),
    OperatorType("ConvTranspose", partial(_conv, transposed=True), (0, 1), (1, 2), execute=_run_conv_transpose),
    OperatorType("DeformConv", _deform_conv, (0, 1), (1, 3)),
    OperatorType(
        "QLinearConv",
        partial(_conv, weights=3),
        (0, 3),
        (3, 8),
        settings=(1, 2, 4, 5, 6, 7),
        execute=_run_qlinear_conv,
    ),
    OperatorType("com.microsoft.FusedConv", _conv, (0, 1), (1, 2), types=standard("Conv", (0, 1, 2))),
)
