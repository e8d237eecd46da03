"""Matrix products: MatMul, Gemm, and the quantized, packed and fused forms of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from hwsim.workloads.einsum import Access, Einsum, contract, ranks
from hwsim.workloads.operators.execution import Call, Contraction, Tensor, centred, pack, requantize
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred, broadcast
from hwsim.workloads.operators.standard import FLOAT, INT32, like, standard

T = TypeVar("T")

# --- as problems ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Operand:
    """An operand as it is multiplied: its slot, its shape, and which axis of the tensor each axis is (None: packed)."""

    slot: int
    shape: tuple[int, ...]
    order: tuple[int, ...] | None

    @classmethod
    def of(cls, node: Node, slot: int, *sizes: int, flip: bool = False) -> _Operand:
        """An input, its axes reversed where ``flip`` says so."""
        shape = node.shape(slot, *sizes)
        axes = tuple(range(len(shape)))
        return cls(slot, shape[::-1] if flip else shape, axes[::-1] if flip else axes)

    def access(self, indices: Sequence[str | None]) -> Access:
        """Its tensor's access, from the indices of its axes as multiplied."""
        if self.order is None:
            return Access("", ranks(*indices), self.slot, packed=True)
        stored = sorted(range(len(indices)), key=self.order.__getitem__)
        return Access("", ranks(*(indices[axis] for axis in stored)), self.slot)


def _product(node: Node, a: _Operand, b: _Operand) -> list[Einsum]:
    """NumPy's ``a @ b``: batched, broadcast, 1-D operands; where ``a`` alone is constant, it holds the weights."""
    rows = (1, *a.shape) if len(a.shape) == 1 else a.shape
    columns = (*b.shape, 1) if len(b.shape) == 1 else b.shape
    if not a.shape or not b.shape or rows[-1] != columns[-2]:
        raise node.error(f"cannot multiply {list(a.shape)} by {list(b.shape)}: the inner sizes differ")
    sizes = {"p": rows[-2], "c": rows[-1], "m": columns[-1]}
    first: list[str | None] = ["p", "c"] if len(a.shape) > 1 else ["c"]
    second: list[str | None] = ["c", "m"] if len(b.shape) > 1 else ["c"]
    out = [*["p"] * (len(a.shape) > 1), *["m"] * (len(b.shape) > 1)]
    for axis in range(1, max(len(rows), len(columns)) - 1):
        in_a = rows[-2 - axis] if axis < len(rows) - 1 else 1
        in_b = columns[-2 - axis] if axis < len(columns) - 1 else 1
        if in_a != in_b and 1 not in (in_a, in_b):
            raise node.error(f"cannot broadcast {list(a.shape)} against {list(b.shape)}")
        label = f"b{axis}"
        sizes[label] = max(in_a, in_b) if in_a and in_b else 0
        if axis < len(rows) - 1:
            first.insert(0, label if in_a > 1 or in_b <= 1 else None)
        if axis < len(columns) - 1:
            second.insert(0, label if in_b > 1 or in_a <= 1 else None)
        out.insert(0, label)
    left, right = a.access(first), b.access(second)
    if b.order is not None and node.value(a.slot).constant and not node.value(b.slot).constant:
        left, right = right, left
    return [contract(left, right, Access("", ranks(*out), ~0), sizes)]


def _matmul(node: Node, second: int = 1) -> list[Einsum]:
    return _product(node, _Operand.of(node, 0), _Operand.of(node, second))


def _gemm(node: Node, second: int = 1) -> list[Einsum]:
    a = _Operand.of(node, 0, 2, flip=bool(node.integer("transA", 0)))
    return _product(node, a, _Operand.of(node, second, 2, flip=bool(node.integer("transB", 0))))


def _fused_matmul(node: Node) -> list[Einsum]:
    operands = []
    for slot, side in ((0, "A"), (1, "B")):
        shape = node.shape(slot)
        axes = tuple(range(len(shape)))
        operands.append(_Operand(slot, _transposed(node, side, shape), _transposed(node, side, axes)))
    return _product(node, *operands)


def _transposed(node: Node, side: str, axes: tuple[T, ...]) -> tuple[T, ...]:
    """What ``FusedMatMul`` multiplies: transBatch moves the first axis inwards, trans swaps the last two."""
    if len(axes) > 1 and node.integer(f"transBatch{side}", 0):
        axes = (*axes[1:-1], axes[0], axes[-1])
    if len(axes) > 1 and node.integer(f"trans{side}", 0):
        axes = (*axes[:-2], axes[-1], axes[-2])
    return axes


def _packed_matmul(node: Node) -> list[Einsum]:
    """Matrix product with block-quantized weights whose sizes stand in attributes K and N."""
    weights = _Operand(1, (node.positive("K"), node.positive("N")), None)
    return _product(node, _Operand.of(node, 0), weights)


# --- types ----------------------------------------------------------------------------


def _packed_type(node: Node) -> list[Inferred]:
    return [Inferred(node.value(0).elem_type, (*node.shape(0)[:-1], node.positive("N")))]


def _fused_type(node: Node) -> list[Inferred]:
    a, b = _transposed(node, "A", node.shape(0)), _transposed(node, "B", node.shape(1))
    if not a or not b:
        raise node.error(f"cannot multiply {list(a)} by {list(b)}: an operand has no dimensions")
    shape = broadcast([a[:-2], b[:-2]]) + a[-2:-1] + (b[-1:] if len(b) > 1 else ())
    return [Inferred(node.value(0).elem_type, shape)]


def _quantized_gemm(node: Node) -> list[Inferred]:
    (product,) = standard("Gemm", (0, 3))(node)
    return [Inferred(node.value(8).elem_type if node.has(8) else FLOAT, product.shape)]


# --- as the array simulator computes them -----------------------------------------------


def _run_product(call: Call, a: Tensor, b: Tensor, finish: Callable[[Tensor], Tensor]) -> Contraction:
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
        return pack(first.swapaxes(1, 2), second.swapaxes(1, 2), done)
    return pack(second, first, done)


def _run_matmul(call: Call) -> Contraction:
    a, b = call.tensor(0), call.tensor(1)
    return _run_product(call, a, b, lambda sums: sums.astype(a.dtype))


def _run_gemm(call: Call) -> Contraction:
    a, b, c = call.tensor(0), call.tensor(1), call.optional(2)
    a = a.T if call.attributes.get("transA", 0) else a
    b = b.T if call.attributes.get("transB", 0) else b
    alpha, beta = float(call.attributes.get("alpha", 1.0)), float(call.attributes.get("beta", 1.0))

    def finish(sums: Tensor) -> Tensor:
        return (alpha * sums + (0 if c is None else beta * c)).astype(a.dtype)

    return _run_product(call, a, b, finish)


def _run_matmul_integer(call: Call) -> Contraction:
    a = centred(call.tensor(0), call.optional(2), call.tensor(0).ndim - 2)
    b = centred(call.tensor(1), call.optional(3), call.tensor(1).ndim - 1)
    return _run_product(call, a, b, lambda sums: sums.astype(np.int32))


def _run_qlinear_matmul(call: Call) -> Contraction:
    a, b = call.tensor(0), call.tensor(3)
    scale = (call.tensor(1) * call.tensor(4) / call.tensor(6)).astype(np.float32)
    left, right = centred(a, call.tensor(2), a.ndim - 2), centred(b, call.tensor(5), b.ndim - 1)
    return _run_product(call, left, right, lambda sums: requantize(sums, scale, call.tensor(7)))


OPERATORS = (
    OperatorType("Det", hidden=True),
    OperatorType("com.microsoft.Inverse", types=like(0), hidden=True),
    OperatorType("Gemm", _gemm, (0, 1), (1, 2), swaps=True, execute=_run_gemm),
    OperatorType("MatMul", _matmul, (0, 1), tables=(1,), swaps=True, execute=_run_matmul),
    OperatorType(
        "MatMulInteger", _matmul, (0, 1), tables=(1,), swaps=True, settings=(2, 3), execute=_run_matmul_integer
    ),
    OperatorType(
        "QLinearMatMul",
        partial(_matmul, second=3),
        (0, 3),
        tables=(3,),
        swaps=True,
        settings=(1, 2, 4, 5, 6, 7),
        execute=_run_qlinear_matmul,
    ),
    OperatorType(
        "com.microsoft.DynamicQuantizeMatMul",
        _matmul,
        (0, 1),
        (4,),
        tables=(1,),
        settings=(2, 3),
        types=standard("MatMul", (0, 1)),
    ),
    OperatorType("com.microsoft.FusedGemm", _gemm, (0, 1), (1, 2), types=standard("Gemm", (0, 1, 2))),
    OperatorType("com.microsoft.FusedMatMul", _fused_matmul, (0, 1), tables=(1,), types=_fused_type),
    OperatorType("com.microsoft.MatMulBnb4", _packed_matmul, (0, 1), tables=(1,), types=_packed_type),
    OperatorType(
        "com.microsoft.MatMulInteger16",
        _matmul,
        (0, 1),
        tables=(1,),
        types=standard("MatMul", (0, 1), elem_type=INT32),
    ),
    OperatorType(
        "com.microsoft.MatMulIntegerToFloat",
        _matmul,
        (0, 1),
        (6,),
        tables=(1,),
        settings=(2, 3, 4, 5),
        types=standard("MatMul", (0, 1), type_from=2),
    ),
    OperatorType(
        "com.microsoft.MatMulNBits", _packed_matmul, (0, 1), (5,), tables=(1,), settings=(2, 3, 4), types=_packed_type
    ),
    OperatorType(
        "com.microsoft.QGemm",
        partial(_gemm, second=3),
        (0, 3),
        (3, 6),
        settings=(1, 2, 4, 5, 7, 8),
        types=_quantized_gemm,
    ),
    OperatorType("com.microsoft.TransposeMatMul", _fused_matmul, (0, 1), tables=(1,), types=_fused_type),
)
