"""Convolutions of all forms: dense, grouped, depthwise, transposed, quantized, deformable, causal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import TypeVar

import numpy as np

from hwsim.workloads.einsum import Access, Einsum, Rank, ranks
from hwsim.workloads.operators.execution import Call, Contraction, Tensor, centred, pack, requantize
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import standard
from hwsim.workloads.operators.value import known_parts
from hwsim.workloads.problem import convolution, matmul

#: Dimensions of the filter and of the positions per spatial axis, from the last.
_AXES = (("R", "P"), ("S", "Q"), ("T", "D"))

# --- as problems ----------------------------------------------------------------------


T = TypeVar("T")


def _first(axes: tuple[T, ...]) -> tuple[T, ...]:
    """Channels moved from the last axis to the second."""
    return (axes[0], axes[-1], *axes[1:-1])


def _last(axes: tuple[T, ...]) -> tuple[T, ...]:
    """Channels moved from the second axis to the last."""
    return (axes[0], *axes[2:], axes[1])


def _channels_last(node: Node, weights: int = 1, ohwi: bool = False) -> list[Einsum]:
    """A convolution over [batch, height, width, channels]; ``ohwi``: the filters are laid out so, too."""
    inner = _nchw(node, weights, ohwi)
    lasting = {weights} if ohwi else set()
    return [
        replace(
            einsum,
            accesses=tuple(
                replace(a, ranks=_last(a.ranks)) if a.ranks and (a.slot in (0, ~0) or a.slot in lasting) else a
                for a in einsum.accesses
            ),
        )
        for einsum in _conv(inner, weights)
    ]


def _nchw(node: Node, weights: int, ohwi: bool) -> Node:
    """The same node with channels in the second place."""
    moved = {0, weights} if ohwi else {0}
    inputs = tuple(
        replace(v, shape=_first(v.shape)) if slot in moved and v is not None and v.shape and len(v.shape) > 2 else v
        for slot, v in enumerate(node.inputs)
    )
    shapes = tuple(_first(s) if s and len(s) > 2 else s for s in node.output_shapes)
    return replace(node, inputs=inputs, output_shapes=shapes)


def _quantized_conv(node: Node) -> list[Einsum]:
    """``com.microsoft.QLinearConv``, in either layout."""
    return _channels_last(node, 3) if node.integer("channels_last", 0) else _conv(node, 3)


def _blocked_conv(node: Node) -> list[Einsum]:
    """ONNX Runtime's blocked convolution: its filters are padded to whole blocks, which is no work."""
    return _conv(_unpadded(node))


def _unpadded(node: Node) -> Node:
    """The node with filters of the channels that there are; the reader says ``channels`` where the file tells."""
    x, w, groups = node.shape(0), node.shape(1), node.integer("group", 1)
    if len(x) < 2 or len(w) < 3:
        raise node.error(f"input {list(x)} does not fit filter {list(w)}")
    made, depthwise = node.integer("channels", w[0]), groups > 1 and groups == w[0] and w[1] == 1
    if depthwise:
        groups, w = x[1], (x[1], *w[1:])
    elif groups == 1:
        w = (min(made, w[0]), min(x[1], w[1]), *w[2:])
    held = replace(node.value(1), shape=w)
    inputs = (node.inputs[0], held, *node.inputs[2:])
    return replace(node, inputs=inputs, attributes={**node.attributes, "group": groups})


def _padded_channels(node: Node) -> str:
    bias = node.value(2).data if node.has(2) else None
    whole = bias is not None and bias.size and bias.reshape(-1)[-1] != 0  # padding has a bias of 0
    blocked = "channels" not in node.attributes and not whole and node.integer("group", 1) == 1
    return "the file does not say how many of its result's channels are padding: all are counted" if blocked else ""


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


# --- types ----------------------------------------------------------------------------


def _channels_last_type(node: Node, weights: int = 1, ohwi: bool = False) -> list[Inferred]:
    (found,) = standard("Conv", (0, weights))(_nchw(node, weights, ohwi))
    return [replace(found, shape=None if found.shape is None else _last(found.shape))]


def _quantized_type(node: Node) -> list[Inferred]:
    lasting = node.integer("channels_last", 0)
    found = _channels_last_type(node, 3) if lasting else standard("Conv", (0, 3))(node)
    return [replace(found[0], elem_type=node.value(7).elem_type)]


def _blocked_type(node: Node) -> list[Inferred]:
    return standard("Conv", (0, 1))(_unpadded(node))


def _dynamic_pads(node: Node) -> Node:
    """The pads of the third input as an attribute, where they are known."""
    pads = known_parts(node.value(2)) if node.has(2) else ()
    if pads is None or None in pads:
        raise node.error("the pads are only known when the network runs")
    return replace(node, attributes={**node.attributes, "pads": list(pads)} if pads else node.attributes)


def _dynamic_transpose(node: Node) -> list[Einsum]:
    return _conv(_dynamic_pads(node), transposed=True)


def _dynamic_type(node: Node) -> list[Inferred]:
    return standard("ConvTranspose", (0, 1))(_dynamic_pads(node))


def _same_size(node: Node, inferred: list[Inferred]) -> list[Inferred]:
    """``SAME_*`` gives input × stride, whatever ``output_padding`` says; ONNX's inference adds that."""
    x, same = node.value(0).sizes, node.text("auto_pad", "NOTSET").startswith("SAME_")
    if not same or x is None or len(x) < 3 or not inferred or "output_shape" in node.attributes:
        return inferred
    strides = node.integers("strides", (1,) * (len(x) - 2), least=1)
    image = tuple(None if n is None else n * stride for n, stride in zip(x[2:], strides, strict=True))
    first = inferred[0]
    return [first if first.shape is None else replace(first, shape=(*first.shape[:2], *image)), *inferred[1:]]


OPERATORS = (
    OperatorType(
        "com.microsoft.ConvTransposeWithDynamicPads",
        _dynamic_transpose,
        (0, 1),
        (1, 3),
        settings=(2,),
        types=_dynamic_type,
    ),
    OperatorType(
        "com.microsoft.NhwcConv",
        partial(_channels_last, ohwi=True),
        (0, 1),
        (1, 2),
        types=partial(_channels_last_type, ohwi=True),
    ),
    OperatorType("com.microsoft.NhwcFusedConv", _channels_last, (0, 1), (1, 2), types=_channels_last_type),
    OperatorType(
        "com.microsoft.QLinearConv",
        _quantized_conv,
        (0, 3),
        (3, 8),
        settings=(1, 2, 4, 5, 6, 7),
        types=_quantized_type,
    ),
    OperatorType(
        "com.microsoft.nchwc.Conv", _blocked_conv, (0, 1), (1, 2), types=_blocked_type, remark=_padded_channels
    ),
    OperatorType("CausalConvWithState", _causal_conv, (0, 1), (1, 2)),
    OperatorType("Conv", _conv, (0, 1), (1, 2), execute=_run_conv),
    OperatorType("ConvInteger", _conv, (0, 1), (1,), settings=(2, 3), execute=_run_conv_integer),
    OperatorType(
        "ConvTranspose", partial(_conv, transposed=True), (0, 1), (1, 2), execute=_run_conv_transpose, amend=_same_size
    ),
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
