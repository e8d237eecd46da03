"""Layers and networks from ONNX on the array: tensors in, tensors out, every mapped operator stepped.

Operators that the array does not compute (activations, pooling, quantization, shapes) run in numpy between them, by
ONNX's own reference implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from hwsim.architecture import Architecture
from hwsim.array.arithmetic import arithmetic, refuse_operands
from hwsim.array.run import Simulation, simulate
from hwsim.cost import Illegal, LayerCost
from hwsim.errors import HwsimError, did_you_mean, visible
from hwsim.files import open_regular
from hwsim.workloads.onnx.file import load_model
from hwsim.workloads.onnx.graph import ordered
from hwsim.workloads.operators.execution import Call, Contraction, Tensor
from hwsim.workloads.operators.table import EXECUTED, contraction, operator_type
from hwsim.workloads.problem import Problem
from hwsim.workloads.workload import Operator, Workload

MOST_ELEMENTS = 1 << 28
MOST_BYTES = 8 * MOST_ELEMENTS + 2**16  # of a .npy file
"""Elements of the largest tensor that a network run takes."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LayerRun:
    """One operator's run on the array.

    Attributes:
        name / op: of the operator.
        simulation: what the array computed and counted.
        output: the operator's output tensor.
        call: the operator with its tensors, for a reference to compute the same.
    """

    name: str
    op: str
    cost: LayerCost
    simulation: Simulation
    output: Tensor
    call: Call


class Graph:
    """An ONNX file's main graph, operator by operator, with the workload that was read from it.

    Args:
        where: what messages call it; the file where it is left out.

    Raises:
        HwsimError: the graph has functions or control flow.
    """

    def __init__(self, path: Path, workload: Workload, where: str = "") -> None:
        self.where = where or str(path)
        self.model = load_model(path)
        graph = self.model.graph
        try:
            onnx.load_external_data_for_model(self.model, str(path.parent))
            self.values: dict[str, Tensor] = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        except (onnx.checker.ValidationError, OSError, ValueError, TypeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise HwsimError(f"the weights cannot be read: {reason}", where=self.where) from error
        if self.model.functions:
            raise HwsimError("the model has functions of its own, which the simulator does not run.", where=self.where)
        taken = {i.name for i in graph.input} | {t.name for t in graph.initializer}
        self.nodes = ordered(list(graph.node), taken, self.where)
        for node in self.nodes:
            if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
                raise HwsimError(
                    f"operator '{node.name}' ({node.op_type}) has a body, which the simulator does not run.",
                    where=self.where,
                )
        self.operators = {out: op for op in workload.operators for out in op.outputs}
        self.workload = workload
        self.inputs = [i for i in graph.input if i.name not in self.values]
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        self.types = {
            v.name: v.type.tensor_type.elem_type for v in (*inferred.input, *inferred.value_info, *inferred.output)
        }

    @property
    def opset(self) -> int:
        """Version of ONNX's operators that the model uses."""
        return next((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 17)

    def layers(self) -> dict[str, Problem]:
        """Name → problem of the operators that the array computes."""
        return {self.operator(n).name: self.operator(n).problems[0][0] for n in self.nodes if self.on_array(n)}

    def node(self, name: str) -> onnx.NodeProto:
        """The node of a layer.

        Raises:
            HwsimError: there is none of that name, or the array does not compute it.
        """
        for node in self.nodes:
            if node.output[0] in self.operators and name in (found := self.operator(node).name, visible(found)):
                if self.on_array(node):
                    return node
                raise HwsimError(
                    f"'{name}' is a {node.op_type}; the array computes {', '.join(EXECUTED)}.", where=self.where
                )
        raise HwsimError(
            f"the network has no mapped layer '{name}'.{did_you_mean(name, self.layers())}", where=self.where
        )

    def fill_weights(self, rng: np.random.Generator) -> None:
        """Draw weights that the file has only the shapes of (as the zoo's), in the model and here."""
        graph = self.model.graph
        for node in [n for n in graph.node if n.op_type == "ConstantOfShape"]:
            tensor = self.workload.tensors[node.output[0]]
            kind = self.types.get(node.output[0], onnx.TensorProto.FLOAT)
            if kind != onnx.TensorProto.FLOAT or not tensor.shape:
                continue
            self.check_size(node.output[0])
            fan = max(1, tensor.elements // tensor.shape[0])
            weight = (rng.standard_normal(tensor.shape) / np.sqrt(fan)).astype(np.float32)
            self.values[node.output[0]] = weight
            graph.initializer.append(onnx.numpy_helper.from_array(weight, node.output[0]))
            graph.node.remove(node)
            self.nodes = [n for n in self.nodes if n.output[0] != node.output[0]]

    def check_size(self, name: str) -> None:
        """Refuse a tensor that is too large to run with."""
        tensor = self.workload.tensors.get(name)
        if tensor is not None and tensor.elements > MOST_ELEMENTS:
            raise HwsimError(
                f"'{name}' has {tensor.elements:,} elements; the simulator takes {MOST_ELEMENTS:,}.", where=self.where
            )

    def feed(self, source: str, rng: np.random.Generator) -> dict[str, Tensor]:
        """The graph's inputs: random, or its only one from a .npy file.

        Raises:
            HwsimError: the file does not fit.
        """
        fed = {}
        for info in self.inputs:
            self.check_size(info.name)
            shape = self.workload.tensors[info.name].shape
            if source == "random":
                fed[info.name] = self.random(info.name, shape, rng)
            elif len(self.inputs) > 1:
                names = ", ".join(i.name for i in self.inputs)
                raise HwsimError(
                    f"the network has several inputs ({names}): only random ones are possible.", where=source
                )
            else:
                fed[info.name] = self.read(source, info.name, shape)
        return fed

    def read(self, source: str, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor from a .npy file.

        Raises:
            HwsimError: it cannot be read, or its shape or type is not the tensor's.
        """
        open_regular(source, MOST_BYTES).close()
        try:
            found = np.load(source, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # of a damaged header numpy hands on whatever its parsers raise
            raise HwsimError(f"not a readable .npy file: {error}", where=source) from error
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.types.get(name) or onnx.TensorProto.FLOAT)
        if not isinstance(found, np.ndarray) or found.shape != shape:
            there = list(found.shape) if isinstance(found, np.ndarray) else "an archive"
            raise HwsimError(f"'{name}' takes shape {list(shape)}, the file has {there}.", where=source)
        if not np.can_cast(found.dtype, dtype, "same_kind"):
            raise HwsimError(f"'{name}' takes {dtype}, the file has {found.dtype}.", where=source)
        return np.asarray(found, dtype)

    def layer_call(self, node: onnx.NodeProto, source: str, rng: np.random.Generator) -> Call:
        """A layer with its tensors: weights of the file, the activation as `feed` says, other inputs random.

        Raises:
            HwsimError: the file of the input does not fit.
        """
        activation = node.input[operator_type(node.op_type).operands[0]]
        values: dict[str, Tensor] = {}
        for name in dict.fromkeys(filter(None, node.input)):
            self.check_size(name)
            tensor = self.workload.tensors[name]
            if tensor.constant:
                values[name] = self.constant(name)
            elif name == activation and source != "random":
                values[name] = self.read(source, name, tensor.shape)
            else:
                values[name] = self.random(name, tensor.shape, rng)
        return self.call(node, values)

    def constant(self, name: str) -> Tensor:
        """A tensor that depends on constants alone."""
        if name not in self.values:
            node = next(n for n in self.nodes if name in n.output)
            inputs = {i: self.constant(i) for i in node.input if i}
            self.values.update(zip(node.output, in_numpy(self, node, inputs), strict=False))
        return self.values[name]

    def operator(self, node: onnx.NodeProto) -> Operator:
        """The workload's operator of a node."""
        return self.operators[node.output[0]]

    def on_array(self, node: onnx.NodeProto) -> bool:
        """Whether the array computes a node."""
        return node.op_type in EXECUTED and not node.domain and self.operator(node).mapped

    def call(self, node: onnx.NodeProto, values: Mapping[str, Tensor]) -> Call:
        """A node with its tensors."""
        tensors = self.workload.tensors
        known = operator_type(node.op_type)
        swap = False
        if known.swaps:
            first, second = known.operands[:2]
            swap = tensors[node.input[first]].constant and not tensors[node.input[second]].constant
        return Call(
            node.op_type,
            {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
            [values[name] if name else None for name in node.input],
            swap,
        )

    def random(self, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor:
        """Random values of a tensor's type: normal for floats, the whole range for 8-bit integers."""
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.types.get(name) or onnx.TensorProto.FLOAT)
        if dtype.kind in "iu" and dtype.itemsize == 1:
            limits = np.iinfo(dtype)
            return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        if dtype.kind in "iu":
            return np.zeros(shape, dtype)
        return rng.standard_normal(shape).astype(np.float32)


def run_layer(
    architecture: Architecture,
    cost: LayerCost,
    name: str,
    call: Call,
    progress: Callable[[int, int], None] | None = None,
) -> LayerRun:
    """Run one operator on the array under the mapping of its cost.

    Raises:
        HwsimError: it cannot run; the message says why.
    """
    problem = cost.problem
    made = contract(architecture, problem, name, call)
    how = arithmetic(architecture, floating=made.floating)
    bound = architecture.bind(tuple(space.name for space in problem.data_spaces))
    found = simulate(problem, bound, cost.mapping, made.operands, how, progress=progress)
    if isinstance(found, Illegal):
        raise refusal(name, architecture, found)
    return LayerRun(name, call.op, cost, found, made.finish(found.output), call)


def contract(architecture: Architecture, problem: Problem, name: str, call: Call) -> Contraction:
    """The contraction of an operator, checked against its problem and the multipliers' width.

    Raises:
        HwsimError: the simulator cannot compute the operator, or an operand does not fit.
    """
    made = contraction(call)
    where = f"layer '{name}'"
    if made is None:
        raise HwsimError(
            f"the array simulator does not compute this form of {call.op}; it knows {', '.join(EXECUTED)}.",
            where=where,
        )
    for space in problem.data_spaces:
        if space.read_write:
            continue
        shape = tuple(1 + sum(c * (problem.sizes[d] - 1) for c, d in rank) for rank in space.projection)
        if made.operands[space.name].shape != shape:
            found = list(made.operands[space.name].shape)
            raise HwsimError(f"{space.name} have shape {found}, its problem says {list(shape)}.", where=where)
    how = arithmetic(architecture, floating=made.floating)
    for space_name, operand in made.operands.items():
        refuse_operands(how, space_name, operand, where)
    return made


def refusal(name: str, architecture: Architecture, reason: Illegal) -> HwsimError:
    """An illegal layer as an error."""
    place = f" at level '{reason.level}'" if reason.level else ""
    space = f" for {reason.data_space}" if reason.data_space else ""
    return HwsimError(
        f"layer '{name}' cannot run: {reason.reason}{place}{space} "
        f"(needs {reason.needed:,g}, there is {reason.available:,g}).",
        where=architecture.name,
    )


def run_network(
    graph: Graph,
    architecture: Architecture,
    costs: Mapping[Problem, LayerCost],
    feed: Mapping[str, Tensor],
    progress: Progress | None = None,
) -> Iterator[LayerRun | dict[str, Tensor]]:
    """Run a network operator by operator; yields each run on the array, and at last the graph's outputs by name.

    Args:
        costs: problem → its cost with the mapping to run under.
        feed: the graph's inputs.
        progress: called with (operator, multiply-accumulates done, all of the operator).

    Raises:
        HwsimError: an operator cannot run.
    """
    values = dict(graph.values) | dict(feed)
    for node in graph.nodes:
        operator = graph.operator(node)
        if graph.on_array(node):
            cost = costs[operator.problems[0][0]]
            call = graph.call(node, values)
            tick = None
            if progress is not None:
                tick = _named(progress, operator.name)
            run = run_layer(architecture, cost, operator.name, call, tick)
            values[node.output[0]] = run.output
            yield run
            continue
        for name, value in zip(node.output, in_numpy(graph, node, values), strict=False):
            values[name] = value
    yield {out.name: values[out.name] for out in graph.model.graph.output}


def _named(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def in_numpy(graph: Graph, node: onnx.NodeProto, values: Mapping[str, Tensor]) -> list[Tensor]:
    """The outputs of one operator by ONNX's reference implementation.

    Raises:
        HwsimError: there is none, or it fails, or the result is too large.
    """
    graph.check_size(node.output[0])
    model = single(graph, node, values)
    try:
        found = ReferenceEvaluator(model).run(None, {name: values[name] for name in set(node.input) if name})
    except Exception as error:  # whatever the reference implementation of some operator may raise
        raise HwsimError(
            f"operator '{node.name or node.output[0]}' ({node.op_type}) cannot be computed in numpy: {error}",
            where=graph.where,
        ) from error
    return [np.asarray(value) for value in found]


def single(graph: Graph, node: onnx.NodeProto, values: Mapping[str, Tensor]) -> onnx.ModelProto:
    """A model of one node, its inputs fed."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.asarray(values[name]).dtype) for name in node.input if name}
    inputs = [helper.make_tensor_value_info(n, kind, values[n].shape) for n, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(n, graph.types.get(n, 1), None) for n in node.output if n]
    made = helper.make_graph([node], "single", inputs, outputs)
    model = helper.make_model(made, opset_imports=graph.model.opset_import)
    model.ir_version = min(graph.model.ir_version, 11)
    return model
