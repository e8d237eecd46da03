"""What an operator or a network should yield: by onnxruntime where it is installed, else by ONNX's numpy code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hwsim.errors import HwsimError
from hwsim.workloads.operators.execution import Call, Tensor
from hwsim.workloads.operators.table import operator_type

TOLERANCE = 1e-5
"""Largest difference of a floating-point result, relative to the largest element of the reference."""


@dataclass(frozen=True)
class Verdict:
    """How a result compares with a reference.

    Attributes:
        reference: who computed it.
        exact: True where all elements had to be equal (integers).
        difference: largest difference; of floats relative to the largest element.
        elements: compared.
    """

    reference: str
    exact: bool
    difference: float
    elements: int

    @property
    def agrees(self) -> bool:
        """Whether the result is right."""
        return self.difference == 0 if self.exact else self.difference <= TOLERANCE


def compare(found: Tensor, expected: Tensor, reference: str) -> Verdict:
    """Compare a result with a reference's."""
    exact = found.dtype.kind in "iub"
    if found.shape != expected.shape:
        return Verdict(reference, exact, float("inf"), expected.size)
    if not found.size:
        return Verdict(reference, exact, 0.0, 0)
    if exact:
        return Verdict(
            reference, True, float(np.abs(found.astype(np.int64) - expected.astype(np.int64)).max()), found.size
        )
    largest = float(np.abs(expected).max())
    difference = float(np.abs(found.astype(np.float64) - expected).max())
    return Verdict(reference, False, difference / largest if largest else difference, found.size)


def operator_model(call: Call, opset: int) -> tuple[onnx.ModelProto, dict[str, Tensor]]:
    """A model of one operator, and what to feed it: what it multiplies first; the rest are constants."""
    names = ["" if value is None else f"in{slot}" for slot, value in enumerate(call.inputs)]
    fed = operator_type(call.op).operands[0]
    node = helper.make_node(call.op, names, ["out"])
    node.attribute.extend(helper.make_attribute(key, value) for key, value in call.attributes.items())
    feed, inputs, constants = {}, [], []
    for slot, (name, value) in enumerate(zip(names, call.inputs, strict=True)):
        if value is None:
            continue
        if slot == fed:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            inputs.append(helper.make_tensor_value_info(name, kind, value.shape))
            feed[name] = value
        else:
            constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
    graph = helper.make_graph([node], "operator", inputs, [onnx.ValueInfoProto(name="out")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", min(opset, 21))])
    model.ir_version = 10
    return onnx.shape_inference.infer_shapes(model), feed


def run_model(model: onnx.ModelProto, feed: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """A model's outputs by name, and who computed them.

    Raises:
        HwsimError: neither onnxruntime nor ONNX's reference implementation runs it.
    """
    names = [out.name for out in model.graph.output]
    missing = ""
    if find_spec("onnxruntime") is not None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            found: list[Any] = session.run(names, dict(feed))
            return dict(zip(names, found, strict=True)), f"onnxruntime {ort.__version__}"
        except Exception as error:  # a runtime's own errors, of many kinds; not every type has a kernel there
            missing = f"; onnxruntime: {str(error).splitlines()[0]}"

    try:
        computed = ReferenceEvaluator(model).run(names, dict(feed))
    except Exception as error:
        raise HwsimError(f"no reference computes this: {error}{missing}") from error
    return dict(zip(names, computed, strict=True)), f"onnx {onnx.__version__}'s numpy code{missing}"


def check_operator(call: Call, found: Tensor, opset: int) -> Verdict:
    """Compare an operator's output with a reference's."""
    model, feed = operator_model(call, opset)
    outputs, who = run_model(model, feed)
    return compare(found, outputs["out"], who)
