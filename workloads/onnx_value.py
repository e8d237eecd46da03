"""What the ONNX reader knows about one value of a graph, and how it reads constants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.errors import HwsimError

if TYPE_CHECKING:
    import onnx

#: Constants of at most this many elements are read: shapes, axes, scales, trip counts. Weights are not.
SMALL = 1024

#: No dimension of a tensor may exceed this.
MAX_DIMENSION = 2**31


@dataclass(frozen=True, eq=False)
class Value:
    """A value in the scope of a graph.

    Attributes:
        name: unique in the workload; ``""`` until the reader names it.
        elem_type: ``TensorProto.DataType``; 0 where it is not a tensor or not known.
        shape: sizes, all known; None where the value is not a tensor or nothing is known.
        constant: does not depend on what the network is fed with.
        data: the elements, where they are known and few.
        reason: why shape or data are not known (a missing file, a data-dependent shape).
        container: the type of a sequence, optional or map.
    """

    name: str
    elem_type: int
    shape: tuple[int, ...] | None
    constant: bool = False
    data: Any = None
    reason: str = ""
    container: Any = None

    @property
    def elements(self) -> int:
        """Number of elements, 0 where it is not known."""
        return 0 if self.shape is None else math.prod(self.shape)

    def type_proto(self) -> onnx.TypeProto:
        """The type as ONNX writes it."""
        from onnx import TypeProto, helper

        if self.container is not None:
            assert isinstance(self.container, TypeProto)
            return self.container
        return helper.make_tensor_type_proto(self.elem_type, self.shape)


def element_bits(elem_type: int) -> int:
    """Bits of one element of a ``TensorProto.DataType``; 0 for strings, which have no fixed width."""
    from onnx import TensorProto

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

    def value(self, name: str, tensor: onnx.TensorProto) -> Value:
        """The constant value of a dense tensor. Raises HwsimError for external data outside the model's folder."""
        shape = tuple(tensor.dims)
        check_sizes(shape, f"tensor '{name}'", str(self.path))
        data, reason = self._data(name, tensor, math.prod(shape))
        return Value("", tensor.data_type, shape, constant=True, data=data, reason=reason)

    def _data(self, name: str, tensor: onnx.TensorProto, elements: int) -> tuple[Any, str]:
        from onnx import TensorProto, numpy_helper

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
        except (ValueError, TypeError, AttributeError):
            return None, f"the file holds no data for tensor '{name}'"

    def _external_file(self, name: str, entries: Mapping[str, str]) -> Path:
        location = entries.get("location", "")
        folder = self.path.parent.resolve()
        file = (folder / location).resolve() if location and "\0" not in location else folder
        if file == folder or not file.is_relative_to(folder):
            raise HwsimError(
                f"the data of tensor '{name}' is said to be in '{location}', which is outside the model's folder; "
                "external data must lie beside the model",
                where=str(self.path),
            )
        return file


def _read_slice(file: Path, entries: Mapping[str, str], size: int) -> tuple[bytes, str]:
    """``size`` bytes of an external data file, or why there are none."""
    try:
        offset = int(entries.get("offset", "0"))
        with file.open("rb") as stream:
            stream.seek(offset)
            raw = stream.read(size)
    except FileNotFoundError:
        return b"", "is missing"
    except (OSError, ValueError, OverflowError) as error:
        return b"", f"cannot be read ({error})"
    return (raw, "") if len(raw) == size else (b"", f"ends before byte {offset + size}")


def check_sizes(shape: tuple[int, ...], what: str, where: str) -> None:
    """Raise HwsimError where a size is negative or absurd."""
    for size in shape:
        if size < 0:
            raise HwsimError(
                f"{what} has shape {list(shape)}: a size is negative, so an input is smaller than the operator "
                "needs; bind the model's symbolic dimensions with --dim NAME=SIZE",
                where=where,
            )
        if size > MAX_DIMENSION:
            raise HwsimError(
                f"{what} has shape {list(shape)}: no size may exceed {MAX_DIMENSION:,} (2^31)",
                where=where,
            )
