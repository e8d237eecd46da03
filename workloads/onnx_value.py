"""What the ONNX reader knows about one value of a graph, and how it reads constants."""

from __future__ import annotations

import functools
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, TypeProto, helper, numpy_helper

from hwsim.errors import HwsimError

#: Constants of at most this many elements are read: shapes, axes, scales, trip counts. Weights are not.
SMALL = 1024

#: No dimension of a tensor may exceed this.
MAX_DIMENSION = 2**31

#: No tensor may have more elements than this.
MAX_ELEMENTS = 2**62

Sizes = tuple[int | None, ...]


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


@dataclass(frozen=True)
class ConstantReader:
    """Turns the file's constant tensors into Values, reading data only where it is small.

    Attributes:
        path: the model's file; external data must lie in its folder.
    """

    path: Path
    _files: dict[str, Path] = field(default_factory=dict, repr=False, compare=False)

    def value(self, name: str, tensor: onnx.TensorProto) -> Value:
        """The constant value of a dense tensor. Raises HwsimError for external data outside the model's folder."""
        shape = tuple(tensor.dims)
        check_sizes(shape, f"tensor '{name}'", str(self.path))
        data, reason = self._data(name, tensor, math.prod(shape))
        return Value("", tensor.data_type, shape, constant=True, data=data, reason=reason)

    def _data(self, name: str, tensor: onnx.TensorProto, elements: int) -> tuple[Any, str]:
        external = tensor.data_location == TensorProto.EXTERNAL
        entries = {e.key: e.value for e in tensor.external_data} if external else {}
        file = self._external_file(name, entries) if external else None
        if elements > SMALL or element_bits(tensor.data_type) == 0:
            return None, ""
        if file is not None:
            raw, reason = _read_slice(file, entries, (elements * element_bits(tensor.data_type) + 7) // 8)
            if reason:
                return None, f"tensor '{name}' is in the external data file '{file.name}', which {reason}"
            inline = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=raw)
        else:
            inline = tensor
        try:
            return numpy_helper.to_array(inline), ""
        except (ValueError, TypeError, AttributeError, KeyError, NotImplementedError):
            return None, f"the file holds no data for tensor '{name}'"

    def _external_file(self, name: str, entries: Mapping[str, str]) -> Path:
        """Where the data of a tensor is, whether or not there is such a file."""
        location = entries.get("location", "")
        if location in self._files:
            return self._files[location]
        folder = self.path.parent.resolve()
        try:
            file = (folder / location).resolve() if location and "\0" not in location else folder
            mode = file.stat().st_mode if file != folder and file.is_relative_to(folder) else 0
        except FileNotFoundError:
            mode = stat.S_IFREG
        except (OSError, RuntimeError, UnicodeError) as error:
            raise HwsimError(
                f"the data of tensor '{name}' is said to be in '{location}', which cannot be looked at "
                f"({getattr(error, 'strerror', None) or error})",
                where=str(self.path),
            ) from error
        if not mode:
            raise HwsimError(
                f"the data of tensor '{name}' is said to be in '{location}', which is outside the model's folder; "
                "external data must lie beside the model",
                where=str(self.path),
            )
        if not stat.S_ISREG(mode):
            raise HwsimError(
                f"the data of tensor '{name}' is said to be in '{location}', which is no regular file",
                where=str(self.path),
            )
        self._files[location] = file
        return file


def _read_slice(file: Path, entries: Mapping[str, str], size: int) -> tuple[bytes, str]:
    """``size`` bytes of an external data file, or why there are none."""
    try:
        offset = int(entries.get("offset", "0"))
        # what has become a pipe or a device since it was looked at would make the reader wait
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return b"", "is no regular file"
            stream.seek(offset)
            raw = stream.read(size)
    except FileNotFoundError:
        return b"", "is missing"
    except (OSError, ValueError, OverflowError) as error:
        return b"", f"cannot be read ({error})"
    return (raw, "") if len(raw) == size else (b"", f"ends before byte {offset + size}")


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
