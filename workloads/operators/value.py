"""What the reader knows about one value of a graph."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, TypeProto, helper

from hwsim.errors import HwsimError

#: Constants of at most this many elements are read: shapes, axes, scales, trip counts. Weights are not.
SMALL = 1024

#: The same for whole numbers and truth values: indices, tables of sizes, masks.
LARGE = 1 << 16

#: No dimension of a tensor may exceed this.
MAX_DIMENSION = 2**31

#: No tensor may have more elements than this.
MAX_ELEMENTS = 2**62

Sizes = tuple[int | None, ...]

#: ``TensorProto.DataType`` of sizes.
WHOLE = (TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True, eq=False)
class Value:
    """A value in the scope of a graph.

    Attributes:
        name: unique in the workload; ``""`` until the reader names it.
        elem_type: ``TensorProto.DataType``; 0 where it is not a tensor or not known.
        shape: sizes, all known; None where the value is not a tensor or a size is not known.
        constant: does not depend on what the network is fed with.
        data: the elements, where they are known and few.
        reason: why shape or data are not known (a missing file, a data-dependent shape).
        container: the type of a sequence, optional or map.
        partial: sizes, None for each that is not known; None where shape says all, or not even the rank is known.
        items: members of a sequence, where all are known.
        parts: where only some elements of a list of sizes are known, all in order, None for the others.
    """

    name: str
    elem_type: int
    shape: tuple[int, ...] | None
    constant: bool = False
    data: Any = None
    reason: str = ""
    container: Any = None
    partial: Sizes | None = None
    parts: Sizes | None = None
    items: tuple[Value, ...] | None = None

    @property
    def elements(self) -> int:
        """Number of elements, 0 where it is not known."""
        return 0 if self.shape is None else math.prod(self.shape)

    @property
    def sizes(self) -> Sizes | None:
        """Sizes as far as they are known, None for each that is not; None where not even the rank is known."""
        return self.partial if self.shape is None else self.shape

    def named(self, name: str, constant: bool) -> Value:
        """The same value under its name."""
        return Value(
            name,
            self.elem_type,
            self.shape,
            constant,
            self.data,
            self.reason,
            self.container,
            self.partial,
            self.parts,
            self.items,
        )

    def type_proto(self) -> onnx.TypeProto:
        """The type as ONNX writes it."""
        if self.container is not None:
            assert isinstance(self.container, TypeProto)
            return self.container
        return helper.make_tensor_type_proto(self.elem_type, self.sizes)


def shown(sizes: Sequence[int | None]) -> str:
    """Sizes for a message: ``[1, 8, ?, ?]``."""
    return f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"


@functools.cache
def element_bits(elem_type: int) -> int:
    """Bits of one element of a ``TensorProto.DataType``; 0 for strings, which have no fixed width."""
    name = TensorProto.DataType.Name(elem_type) if elem_type in TensorProto.DataType.values() else "UNDEFINED"
    if name.startswith("COMPLEX"):
        return int(name.removeprefix("COMPLEX"))
    if name.startswith("FLOAT") and name[5:6].isdigit():
        return _leading_number(name[5:])
    fixed = {"FLOAT": 32, "DOUBLE": 64, "BFLOAT16": 16, "BOOL": 8}
    if name in fixed:
        return fixed[name]
    return _leading_number(name.removeprefix("U").removeprefix("INT"))


def _leading_number(text: str) -> int:
    digits = ""
    for char in text:
        if not char.isdigit():
            break
        digits += char
    return int(digits or 0)


def known_parts(value: Value | None) -> Sizes | None:
    """The elements of a short list of whole numbers, None for each that is not known; None where it is no such list."""
    if value is None or value.elem_type not in WHOLE or value.shape is None or not 0 < value.elements <= SMALL:
        return None
    if value.data is not None:
        return tuple(int(x) for x in value.data.reshape(-1))
    return value.parts if value.parts is not None else (None,) * value.elements


def is_small(elem_type: int, elements: int) -> bool:
    """Whether a tensor may be one that shapes depend on, so that its elements are to be known."""
    return elements <= (LARGE if elem_type in (*WHOLE, TensorProto.BOOL) else SMALL)


def check_sizes(shape: Sequence[int | None], what: str, where: str) -> None:
    """Raise HwsimError where a size is negative or absurd; those that are not known (None) pass."""
    known = [size for size in shape if size is not None]
    for size in known:
        if size < 0:
            raise HwsimError(
                f"{what} has shape {shown(shape)}: a size is negative, so an input is smaller than the operator "
                "needs; bind the model's symbolic dimensions with --dim NAME=SIZE",
                where=where,
            )
        if size > MAX_DIMENSION:
            raise HwsimError(
                f"{what} has shape {shown(shape)}: no size may exceed {MAX_DIMENSION:,} (2^31)",
                where=where,
            )
    if len(known) > 1 and math.prod(known) > MAX_ELEMENTS:
        raise HwsimError(f"{what} has shape {shown(shape)}: it has more than 2^62 elements", where=where)
