"""Constants of a file: tensors inside it and beside it, read where they are small."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, numpy_helper

from hwsim.errors import HwsimError
from hwsim.workloads.operators.value import Value, check_sizes, element_bits, is_small


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
        if not is_small(tensor.data_type, elements) or element_bits(tensor.data_type) == 0:
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
