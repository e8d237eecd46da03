"""Opening an ONNX file that may come from anyone."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from hwsim.errors import HwsimError

#: Protobuf messages, and so ONNX files, are smaller than this.
MAX_FILE_BYTES = 2**31

#: No operator set will ever have this number.
MAX_OPSET = 100_000


def load_model(path: Path) -> onnx.ModelProto:
    """The model in a file, its external data left where it is.

    Raises:
        HwsimError: the file cannot be read, is too large, is no ONNX model, or holds no operators.
    """
    content = _read(path)

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
    if not all(isinstance(text, str) for text in _texts(model)):
        raise HwsimError("the model is corrupt: a name in it is not UTF-8 text", where=str(path))
    for imported in model.opset_import:
        if not 1 <= imported.version <= MAX_OPSET:
            raise HwsimError(f"the model imports opset {imported.version}, which cannot be", where=str(path))
    return model


def _texts(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every name in the model; protobuf hands out bytes where one is not UTF-8."""
    yield from (o.domain for o in model.opset_import)
    yield from (text for entry in model.metadata_props for text in (entry.key, entry.value))
    yield from _graph_texts(model.graph)
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
        yield from (attribute.name for attribute in function.attribute_proto)
        yield from (o.domain for o in function.opset_import)
        yield from _value_texts(function.value_info)
        yield from _node_texts(function.node)


def _graph_texts(graph: onnx.GraphProto) -> Iterator[str | bytes]:
    yield from _value_texts((*graph.input, *graph.output, *graph.value_info))
    for tensor in graph.initializer:
        yield tensor.name
        yield from _external_texts(tensor)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    yield from _node_texts(graph.node)


def _external_texts(tensor: onnx.TensorProto) -> Iterator[str | bytes]:
    for entry in tensor.external_data:
        yield from (entry.key, entry.value)


def _value_texts(infos: Iterable[onnx.ValueInfoProto]) -> Iterator[str | bytes]:
    for info in infos:
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)


def _node_texts(nodes: Iterable[onnx.NodeProto]) -> Iterator[str | bytes]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
            yield from _external_texts(attribute.t)
            for graph in (attribute.g, *attribute.graphs):
                yield from _graph_texts(graph)


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
