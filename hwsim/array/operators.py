"""From an ONNX operator with its tensors to a contraction with its operands, and from the result back to tensors.

The array multiplies and accumulates; padding is written into the operands beforehand, bias, scales and rounding follow
in numpy. Tensors are laid out as a problem's data spaces index them: spatial axes width first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]


@dataclass(frozen=True)
class Contraction:
    """What the array is to compute for one operator.

    Attributes:
        operands: data space (``Weights``, ``Inputs``) → tensor, an axis per rank.
        finish: from the result's tensor to the operator's output.
        floating: whether the operator computes with floating-point numbers.
    """

    operands: dict[str, Tensor]
    finish: Callable[[Tensor], Tensor]
    floating: bool


@dataclass(frozen=True)
class Call:
    """An operator about to be executed: its type, attributes, and tensors by slot (None where left out)."""

    op: str
    attributes: Mapping[str, Any]
    inputs: Sequence[Tensor | None]
    first_is_weight: bool = False

    def tensor(self, slot: int) -> Tensor:
        """A required input."""
        value = self.inputs[slot]
        assert value is not None
        return value

    def optional(self, slot: int) -> Tensor | None:
        """An input that may be left out."""
        return self.inputs[slot] if slot < len(self.inputs) else None


def contraction(call: Call) -> Contraction | None:
    """The contraction of an operator; None where the simulator has none for it."""
    rule = _RULES.get(call.op)
    return rule(call) if rule is not None else None


# --- convolutions ---------------------------------------------------------------------


def _pads(call: Call, x: Sequence[int], kernel: Sequence[int]) -> list[tuple[int, int]]:
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
    pads = _pads(call, x.shape[2:], w.shape[2:])
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

    return _pack(weights, inputs, done)


def _pack(weights: Tensor, inputs: Tensor, done: Callable[[Tensor], Tensor]) -> Contraction:
    floating = weights.dtype.kind == "f" or inputs.dtype.kind == "f"
    kind = np.float64 if floating else np.int64
    operands = {"Weights": np.ascontiguousarray(weights, kind), "Inputs": np.ascontiguousarray(inputs, kind)}
    return Contraction(operands, done, floating)


def _per_channel(values: Tensor, ndim: int) -> Tensor:
    """A bias or scale per output channel (axis 1), to be broadcast."""
    if not values.ndim:
        return values
    return np.expand_dims(values, tuple(range(1, ndim - 1)))


def _conv(call: Call) -> Contraction:
    x, w, bias = call.tensor(0), call.tensor(1), call.optional(2)

    def finish(sums: Tensor) -> Tensor:
        return (sums if bias is None else sums + _per_channel(bias, sums.ndim)).astype(x.dtype)

    return _convolve(call, x, w, finish)


def _centred(tensor: Tensor, zero: Tensor | None, axis: int | None = None) -> Tensor:
    """A quantized tensor less its zero point (one, or one per index of an axis)."""
    wide = tensor.astype(np.int64)
    if zero is None:
        return wide
    points = zero.astype(np.int64).reshape(-1)
    shape = [1] * tensor.ndim
    if points.size > 1 and axis is not None:
        shape[axis] = points.size
    centred: Tensor = wide - points.reshape(tuple(shape))
    return centred


def _conv_integer(call: Call) -> Contraction:
    x = _centred(call.tensor(0), call.optional(2))
    w = _centred(call.tensor(1), call.optional(3), 0)
    return _convolve(call, x, w, lambda sums: sums.astype(np.int32))


def requantize(sums: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Sums times a scale (float32), rounded half to even, about the zero point, saturated to its type."""
    limits = np.iinfo(zero.dtype)
    scaled = np.rint(sums.astype(np.float32) * scale.astype(np.float32)).astype(np.float32)
    moved = scaled.astype(np.float64) + int(zero.reshape(-1)[0])
    return np.clip(moved, limits.min, limits.max).astype(zero.dtype)


def _qlinear_conv(call: Call) -> Contraction:
    x = _centred(call.tensor(0), call.tensor(2))
    w = _centred(call.tensor(3), call.tensor(5), 0)
    scale = (call.tensor(1) * call.tensor(4) / call.tensor(6)).astype(np.float32)
    bias, zero = call.optional(8), call.tensor(7)

    def finish(sums: Tensor) -> Tensor:
        total = sums if bias is None else sums + _per_channel(bias.astype(np.int64), sums.ndim)
        return requantize(total, _per_channel(scale, sums.ndim), zero)

    return _convolve(call, x, w, finish)


def _conv_transpose(call: Call) -> Contraction | None:
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

    return _pack(weights, inputs, done)


# --- matrix products ------------------------------------------------------------------


def _product(call: Call, a: Tensor, b: Tensor, finish: Callable[[Tensor], Tensor]) -> Contraction:
    """numpy's ``a @ b`` as [B, P, C] · [B, C, M]; a batch that one operand alone has is no batch.

    Where the first operand holds the weights, its rows are the columns M.
    """
    rows = a[None] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    rank = max(rows.ndim, columns.ndim)
    rows = rows.reshape([1] * (rank - rows.ndim) + list(rows.shape))
    columns = columns.reshape([1] * (rank - columns.ndim) + list(columns.shape))
    axes = range(rank - 2)
    # An axis that only one operand has indexes that operand alone.
    both = [k for k in axes if rows.shape[k] == columns.shape[k]]
    left = [k for k in axes if k not in both and columns.shape[k] == 1]
    right = [k for k in axes if k not in both and rows.shape[k] == 1]
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    first = rows.transpose([*both, *left, *right, rank - 2, rank - 1])
    second = columns.transpose([*both, *left, rank - 2, *right, rank - 1])
    size = int(np.prod([batch[k] for k in both], dtype=np.int64))
    first = first.reshape(size, -1, rows.shape[-1])
    second = second.reshape(size, columns.shape[-2], -1)
    shape = [*(batch[k] for k in (*both, *left)), rows.shape[-2], *(batch[k] for k in right), columns.shape[-1]]
    order = [*both, *left, rank - 2, *right, rank - 1]

    def done(sums: Tensor) -> Tensor:
        sums = sums.swapaxes(1, 2) if call.first_is_weight else sums
        out = sums.reshape(shape).transpose(np.argsort(order))
        out = out[..., 0, :] if a.ndim == 1 else out
        return finish(out[..., 0] if b.ndim == 1 else out)

    if call.first_is_weight:
        return _pack(first.swapaxes(1, 2), second.swapaxes(1, 2), done)
    return _pack(second, first, done)


def _matmul(call: Call) -> Contraction:
    a, b = call.tensor(0), call.tensor(1)
    return _product(call, a, b, lambda sums: sums.astype(a.dtype))


def _gemm(call: Call) -> Contraction:
    a, b, c = call.tensor(0), call.tensor(1), call.optional(2)
    a = a.T if call.attributes.get("transA", 0) else a
    b = b.T if call.attributes.get("transB", 0) else b
    alpha, beta = float(call.attributes.get("alpha", 1.0)), float(call.attributes.get("beta", 1.0))

    def finish(sums: Tensor) -> Tensor:
        return (alpha * sums + (0 if c is None else beta * c)).astype(a.dtype)

    return _product(call, a, b, finish)


def _matmul_integer(call: Call) -> Contraction:
    a = _centred(call.tensor(0), call.optional(2), call.tensor(0).ndim - 2)
    b = _centred(call.tensor(1), call.optional(3), call.tensor(1).ndim - 1)
    return _product(call, a, b, lambda sums: sums.astype(np.int32))


def _qlinear_matmul(call: Call) -> Contraction:
    a, b = call.tensor(0), call.tensor(3)
    scale = (call.tensor(1) * call.tensor(4) / call.tensor(6)).astype(np.float32)
    left, right = _centred(a, call.tensor(2), a.ndim - 2), _centred(b, call.tensor(5), b.ndim - 1)
    return _product(call, left, right, lambda sums: requantize(sums, scale, call.tensor(7)))


_RULES: Mapping[str, Callable[[Call], Contraction | None]] = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
}

SUPPORTED = tuple(_RULES)
"""Operators that the array simulator computes."""

#: Slots of the two tensors that an operator multiplies, the activation (or first factor) first.
FACTORS: Mapping[str, tuple[int, int]] = {op: (0, 3) if op.startswith("QLinear") else (0, 1) for op in SUPPORTED}
