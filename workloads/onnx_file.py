"""Opening an ONNX file that may come from anyone."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.errors import HwsimError

if TYPE_CHECKING:
    import onnx

#: Protobuf messages, and so ONNX files, are smaller than this.
MAX_FILE_BYTES = 2**31


def load_model(path: Path) -> onnx.ModelProto:
    """The model in a file, its external data left where it is.

    Raises:
        HwsimError: the file cannot be read, is too large, is no ONNX model, or holds no operators.
    """
    content = _read(path)
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise HwsimError(
            "not an ONNX model, or a truncated one: its protobuf does not parse", where=str(path)
        ) from error
    if not model.HasField("graph"):
        raise HwsimError("not an ONNX model: it holds no graph", where=str(path))
    if not model.graph.node:
        raise HwsimError("the graph is empty: it holds no operators", where=str(path))
    if not model.opset_import:
        raise HwsimError("the model imports no opset: the file is truncated or malformed", where=str(path))
    return model


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise HwsimError("not a file", where=str(path))
        if status.st_size >= MAX_FILE_BYTES:
            raise HwsimError(
                f"the file holds {status.st_size:,} bytes; an ONNX file is smaller than 2 GiB: "
                "save the weights as external data (onnx.save_model(…, save_as_external_data=True))",
                where=str(path),
            )
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise HwsimError("there is no such file", where=str(path)) from error
    except (OSError, ValueError) as error:
        raise HwsimError(
            f"the file cannot be read: {getattr(error, 'strerror', None) or error}", where=str(path)
        ) from error
    if not content:
        raise HwsimError("the file is empty", where=str(path))
    return content
