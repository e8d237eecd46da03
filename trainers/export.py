"""Export to ONNX with what the file should tell about itself, and evaluation of such files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from hwsim.errors import HwsimError
from hwsim.files import write_file
from hwsim.trainers.data import Images

TOLERANCE = 1e-3  # largest |logit difference| between the file and the torch model, relative to the largest logit


def to_onnx(model: nn.Module, shape: tuple[int, ...], metadata: dict[str, str]) -> bytes:
    """An image network as an ONNX file's bytes: input ``image`` of ``shape`` (1, C, H, W), output ``logits``."""
    return module_to_onnx(model, (torch.zeros(shape),), ["image"], ["logits"], metadata)


def module_to_onnx(
    model: nn.Module, example: tuple[torch.Tensor, ...], inputs: list[str], outputs: list[str], metadata: dict[str, str]
) -> bytes:
    """Any module as an ONNX file's bytes.

    Args:
        model: is put into eval mode.
        example: inputs, whose shapes become the file's.
        inputs / outputs: their names in the file.
        metadata: written into the file, all values as text.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.eval(), example, input_names=inputs, output_names=outputs, dynamo=True, verbose=False
        )
    assert program is not None
    graph = program.model_proto
    _name_nodes(graph)
    graph.producer_name = "hwsim"
    del graph.metadata_props[:]
    for key, value in metadata.items():
        graph.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(graph)
    data: bytes = graph.SerializeToString()
    return data


def _name_nodes(model: onnx.ModelProto) -> None:
    """Call nodes after the modules they come from, and leave the exporter's traces of source files out."""
    used: dict[str, int] = {}
    for node in model.graph.node:
        scopes = next((p.value for p in node.metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "")
        names = re.findall(r"'([^']*)'", scopes)
        module = next((n for n in reversed(names[:-1]) if n), "")
        name = f"{module.removeprefix('body.')}.{node.op_type.lower()}".lstrip(".")
        used[name] = used.get(name, 0) + 1
        node.name = name if used[name] == 1 else f"{name}_{used[name]}"
        del node.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]


def scorer(data: bytes | str) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A function from images (N, C, H, W) in [0, 1] to logits (N, classes), one image at a time, by onnxruntime.

    Raises:
        HwsimError: the file cannot be run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        where = data if isinstance(data, str) else "model"
        raise HwsimError(f"onnxruntime cannot run the model: {error}", where=where) from error
    name = session.get_inputs()[0].name
    return lambda x: np.concatenate([session.run(None, {name: image[None]})[0] for image in x])


def in_unit(images: Images) -> NDArray[np.float32]:
    """(N, C, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(images.pixels.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)


def evaluate(
    data: bytes | str, images: Images, progress: Callable[[int, int], None] | None = None, chunk: int = 250
) -> float:
    """Accuracy of an ONNX file, run one image at a time."""
    logits_of = scorer(data)
    right = 0
    for start in range(0, len(images), chunk):
        part = images.take(np.arange(start, min(start + chunk, len(images))))
        right += int((logits_of(in_unit(part)).argmax(1) == part.labels).sum())
        if progress is not None:
            progress(min(start + chunk, len(images)), len(images))
    return right / len(images)


def check(data: bytes, model: nn.Module, images: Images) -> float:
    """Largest difference between the file's logits and the torch model's, relative to the largest logit.

    Raises:
        HwsimError: it exceeds `TOLERANCE`.
    """
    x = in_unit(images)
    with torch.no_grad():
        wanted = model.eval()(torch.from_numpy(x)).numpy()
    worst = float(np.abs(scorer(data)(x) - wanted).max() / np.abs(wanted).max())
    if worst > TOLERANCE:
        raise HwsimError(f"the exported file's logits differ from the model's by {worst:.2g}.", where="export")
    return worst


def metadata_of(file: Path) -> dict[str, str]:
    """A file's metadata.

    Raises:
        HwsimError: it is no ONNX file.
    """
    try:
        return {p.key: p.value for p in onnx.load(str(file), load_external_data=False).metadata_props}
    except Exception as error:
        raise HwsimError("the file is no ONNX model.", where=str(file)) from error


def write_metadata(file: Path, metadata: dict[str, str]) -> None:
    """Replace keys of a file's metadata."""
    model = onnx.load(str(file))
    merged = {p.key: p.value for p in model.metadata_props} | metadata
    del model.metadata_props[:]
    for key, value in merged.items():
        model.metadata_props.add(key=key, value=value)
    write_file(file, model.SerializeToString())
