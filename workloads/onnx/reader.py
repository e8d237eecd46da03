"""ONNX files to `Workload`: a walk over the graph with every shape known.

Operators are visited in topological order. Each one's output shapes come from
`inference`, its problems from its type in `operators`. Functions, and the bodies of If, Loop
and Scan, are walked in place, so that their operators are operators of the workload
like any other.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import SparseTensorProto, TensorProto, defs, helper

from hwsim.errors import HwsimError, did_you_mean
from hwsim.workloads.einsum import Einsum
from hwsim.workloads.onnx.constants import ConstantReader
from hwsim.workloads.onnx.control import CONTROL_FLOW, foreign_body
from hwsim.workloads.onnx.dimensions import Dimensions
from hwsim.workloads.onnx.file import load_model
from hwsim.workloads.onnx.graph import (
    Names,
    function_key,
    opsets,
    ordered,
    plain,
    proposed_dims,
    symbolic_names,
    type_name,
    with_channels,
    without_inputs,
)
from hwsim.workloads.onnx.inference import fold, fold_parts, nearest, refine
from hwsim.workloads.onnx.parameters import count_parameters, weight_inputs
from hwsim.workloads.onnx.sequences import MEMBERS, taken
from hwsim.workloads.operators.einsum import summed_product
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred, infer_by_schema, schema_of
from hwsim.workloads.operators.table import OPERATORS, operator_type
from hwsim.workloads.operators.value import SMALL, Sizes, Value, check_sizes, element_bits
from hwsim.workloads.workload import Operator, Tensor, Workload

#: Operators that one model may come to once its functions are expanded.
MAX_OPERATORS = 200_000

#: Multiply-accumulates that one model may come to, and how often an operator may run.
MAX_MACS = 2**62

#: Notes of one kind that a workload keeps.
MAX_NOTES = 50

#: Bodies of If, Loop and Scan that may lie in one another, functions between them included.
MAX_NESTING = 40


def read_onnx(
    path: str | Path,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, float] | None = None,
    trips: Mapping[str, int] | None = None,
) -> Workload:
    """Read an ONNX file.

    Args:
        path: the file; external data is looked for beside it, and only where shapes depend on it.
        dims: sizes of symbolic dimensions by name; a dimension without a name is
            ``INPUT.AXIS``. Unbound ones are what the file proposes (`DEFAULT_DIMS_KEY`), or 1.
            A size inside the graph that only the run knows is ``VALUE.AXIS``; where a
            mapped operator needs it, it must be bound.
        values: inputs of one element by name, where shapes, branches or loops depend on them.
        trips: how often a Loop runs, by its name in the workload, in place of what the file says.

    Raises:
        HwsimError: the file or the binding is at fault; the message says where and why.
    """
    path = Path(path)
    model = load_model(path)
    return GraphReader(path, model, Given(dict(dims or {}), dict(values or {}), dict(trips or {}))).read()


@dataclass(frozen=True)
class Given:
    """What the user says of a model: sizes of dimensions, values of inputs, trip counts of loops, each by name."""

    dims: Mapping[str, int]
    values: Mapping[str, float]
    trips: Mapping[str, int]


@dataclass
class Scope:
    """Where names are looked up while a graph or function is walked.

    Attributes:
        values: ONNX name → value; a body sees the values around it.
        prefix: leads the names of operators and tensors made here.
        repeats: how often this part of the network runs.
        opsets: domain → version.
        attributes: what a function's attribute references stand for.
        declared: ONNX name → type that the file gives for a value, for where inference falls short.
    """

    values: MutableMapping[str, Value]
    prefix: str
    repeats: int
    opsets: Mapping[str, int]
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    declared: Mapping[str, onnx.TypeProto] = field(default_factory=dict)

    def body(self, name: str, graph: onnx.GraphProto, repeats: int = 1) -> Scope:
        """The scope of a body inside this one, which operators lead with the name."""
        around = self.values.maps if isinstance(self.values, ChainMap) else (self.values,)
        return replace(
            self,
            values=ChainMap({}, *around),
            prefix=f"{name}/",
            repeats=self.repeats * repeats,
            declared=_declared(graph),
        )


@dataclass(frozen=True)
class _Call:
    """A function being walked: its remaining operators, and what they are in the place of."""

    function: onnx.FunctionProto
    node: onnx.NodeProto
    nodes: Iterator[onnx.NodeProto]
    inner: Scope
    outer: Scope


class GraphReader:
    """Reads one model; ``read`` is called once."""

    def __init__(self, path: Path, model: onnx.ModelProto, given: Given) -> None:
        self.where = str(path)
        self.path = path
        self.model = model
        self.constants = ConstantReader(path)
        self.dims = Dimensions(given.dims, proposed_dims(model, self.where), symbolic_names(model), self.where)
        self.given = given
        self.loops: list[str] = []
        self.functions = {function_key(f, f.name): f for f in model.functions}
        self.operators: list[Operator] = []
        self.tensors: dict[str, Tensor] = {}
        self.notes: list[str] = []
        self.elem_types: dict[str, int] = {}
        self.macs = 0
        self._operator_names, self._tensor_names = Names(), Names()
        self._visited = 0
        self._nesting = 0
        self._open: set[tuple[str, str, str]] = set()
        self._slots: dict[str, tuple[int, ...]] = {}
        self._unsized: dict[str, str] = {}
        self._unknown_types: dict[str, list[str]] = {}
        self._factors: dict[str, tuple[Value, Value]] = {}
        self._remarks: dict[str, list[str]] = {}
        self._inferred: dict[Hashable, list[Inferred]] = {}
        self._lowered: dict[Hashable, tuple[Einsum, ...]] = {}

    def read(self) -> Workload:
        """The workload; HwsimError where the file or the binding of its dimensions is at fault."""
        graph = self.model.graph
        scope = Scope({}, "", 1, opsets(self.model.opset_import), declared=_declared(graph))
        inputs = self._graph_inputs(graph, scope)
        self._walk_graph(graph, scope)
        outputs = [self.lookup(o.name, scope, "the graph's output").name for o in graph.output]
        self.dims.check_names()
        self._check_loops()
        used = {name for op in self.operators for name in (*op.inputs, *op.outputs)} | set(inputs) | set(outputs)
        tensors = {name: tensor for name, tensor in self.tensors.items() if name in used}
        params, weight_bytes = count_parameters(self.operators, tensors, self.elem_types, self._slots)
        return Workload(
            name=self.path.stem,
            operators=tuple(self.operators),
            tensors=tensors,
            graph_inputs=tuple(inputs),
            graph_outputs=tuple(dict.fromkeys(outputs)),
            params=params,
            weight_bytes=weight_bytes,
            notes=self._notes(tensors, outputs),
            metadata={entry.key: entry.value for entry in self.model.metadata_props},
        )

    def _check_loops(self) -> None:
        for name in self.given.trips:
            if name not in self.loops:
                there = did_you_mean(name, self.loops) or " It has none."
                raise HwsimError(f"the model has no Loop '{name}'.{there}", where=self.where)

    def _notes(self, tensors: Mapping[str, Tensor], outputs: Iterable[str]) -> tuple[str, ...]:
        walked = _few(self.dims.notes) + _few(tuple(dict.fromkeys(self.notes)))
        said = (f"{text}: {_some(names)}" for text, names in self._remarks.items())
        nobody = (
            f"nobody knows '{op}': its results are as the file declares, what it may multiply is not counted: "
            f"{_some(names)}"
            for op, names in self._unknown_types.items()
        )
        return (*walked, *said, *nobody, *self._constant_note(tensors), *self._unsized_note(outputs))

    def _constant_note(self, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
        folded = [op.name for op in self.operators if op.mapped and all(tensors[o].constant for o in op.outputs)]
        if not folded:
            return ()
        return (f"counted although they depend on constants alone (a compiler may fold them): {_some(folded)}",)

    def _unsized_note(self, outputs: Iterable[str]) -> tuple[str, ...]:
        read = {name for op in self.operators for name in op.inputs}.union(outputs)
        names = [name for name in self._unsized if name in read]
        if not names:
            return ()
        return (f"counted as 0 bytes, as their sizes are not known: {_some(names)} ({self._unsized[names[0]]})",)

    # --- values ---------------------------------------------------------------------

    def lookup(self, name: str, scope: Scope, reader: str) -> Value:
        """The value of a name; HwsimError where nothing provides it."""
        value = scope.values.get(name)
        if value is None:
            raise HwsimError(
                f"{reader} reads '{name}', which no operator, input or initializer provides."
                f"{did_you_mean(name, scope.values)}",
                where=self.where,
            )
        return value

    def define(self, name: str, value: Value, scope: Scope) -> Value:
        """Give a value its name in the workload and enter it in the scope."""
        unique = self._tensor_names.unique(scope.prefix + name)
        named = value.named(unique, value.constant)
        if value.shape is None:
            self.tensors[unique] = Tensor(unique, (), 0, value.constant)
            self._unsized[unique] = value.reason
        else:
            self.tensors[unique] = Tensor(unique, value.shape, element_bits(value.elem_type), value.constant)
        self.elem_types[unique] = value.elem_type
        scope.values[name] = named
        return named

    def sized(self, name: str, elem_type: int, sizes: Sizes | None, reason: str) -> Value:
        """A value of which some sizes may not be known, taken from the user's ``NAME.AXIS`` where there is one.

        ``reason``: why not; where it is ``""``, the message says how to bind them.
        """
        if sizes is None:
            return Value("", elem_type, None, reason=reason)
        if None in sizes:
            sizes = tuple(self.dims.given(name, a) if size is None else size for a, size in enumerate(sizes))
        known = tuple(size for size in sizes if size is not None)
        if len(known) == len(sizes):
            return Value("", elem_type, known)
        return Value("", elem_type, None, reason=reason or _how_to_bind(name, sizes), partial=sizes)

    def _graph_inputs(self, graph: onnx.GraphProto, scope: Scope) -> list[str]:
        """Enter initializers and inputs of the main graph; returns the inputs' names in the workload."""
        self._initializers(graph, scope)
        fed = [info for info in graph.input if info.name not in scope.values]
        for name in self.given.values:
            if name not in (names_fed := [info.name for info in fed]):
                there = did_you_mean(name, names_fed) or " It has none."
                raise HwsimError(f"the model has no input '{name}'.{there}", where=self.where)
        weights = weight_inputs(graph, [info for info in fed if info.name not in self.given.values])
        if weights:
            self.notes.append(f"graph inputs taken as weights, which is all they are used as: {_some(weights)}")
        names, held = [], set(weights)
        for info in fed:
            value = self.typed_input(info.name, info.type, constant=info.name in held)
            if info.name in self.given.values:
                value = self._fed(info.name, value)
            named = self.define(info.name, value, scope)
            if info.name not in held:
                names.append(named.name)
        return names

    def _fed(self, name: str, value: Value) -> Value:
        """A graph input whose one element the user gives."""
        number, kind = self.given.values[name], helper.tensor_dtype_to_np_dtype(value.elem_type or TensorProto.STRING)
        if value.shape is None or value.elements != 1 or kind.kind not in "biuf":
            raise HwsimError(f"input '{name}' is no single number, so that no value can be given.", where=self.where)
        limits = np.iinfo(kind) if kind.kind in "iu" else None
        whole = float(number).is_integer()
        if (kind.kind in "biu" and not whole) or (limits is not None and not limits.min <= number <= limits.max):
            raise HwsimError(f"input '{name}' takes {kind} numbers, found {number:g}.", where=self.where)
        return replace(value, data=np.full(value.shape, number, kind))

    def _initializers(self, graph: onnx.GraphProto, scope: Scope) -> None:
        for tensor in graph.initializer:
            self.define(tensor.name, self.constants.value(tensor.name, tensor), scope)
        for sparse in graph.sparse_initializer:
            shape = tuple(sparse.dims)
            check_sizes(shape, f"tensor '{sparse.values.name}'", self.where)
            self.define(sparse.values.name, Value("", sparse.values.data_type, shape, constant=True), scope)

    def typed_input(self, name: str, proto: onnx.TypeProto, constant: bool = False) -> Value:
        """The value of an input of the main graph, its symbolic dimensions bound."""
        kind = proto.WhichOneof("value")
        if kind not in ("tensor_type", "sparse_tensor_type"):
            return Value("", 0, None, container=proto, reason=f"'{name}' is not a tensor")
        tensor = getattr(proto, kind)
        if not tensor.HasField("shape"):
            return Value("", tensor.elem_type, None, constant, reason=f"the file gives no shape for input '{name}'")
        sizes = []
        for axis, dim in enumerate(tensor.shape.dim):
            # absent is what old exporters write as 0 or −1
            known = dim.dim_value > 0
            sizes.append(dim.dim_value if known else self.dims.of_input(name, axis, dim.dim_param))
        check_sizes(tuple(sizes), f"input '{name}'", self.where)
        return Value("", tensor.elem_type, tuple(sizes), constant)

    # --- graphs ---------------------------------------------------------------------

    def _walk_graph(self, graph: onnx.GraphProto, scope: Scope) -> None:
        """Walk the operators of a graph whose inputs and initializers are already in the scope.

        Functions wait in a list of calls, and not in Python's own, so that files may nest them deeply.
        """
        held = {tensor.name: tensor for tensor in graph.initializer}
        nodes, calls = iter(with_channels(self.ordered(graph.node, scope), held)), list[_Call]()
        try:
            while True:
                call = calls[-1] if calls else None
                node = next(call.nodes if call else nodes, None)
                if node is not None:
                    entered = self._walk_node(node, call.inner if call else scope)
                    if entered is not None:
                        calls.append(entered)
                elif call is not None:
                    self._return(calls.pop())
                else:
                    return
        finally:
            self._open.difference_update(function_key(c.function, c.function.name) for c in calls)

    def ordered(self, nodes: Sequence[onnx.NodeProto], scope: Scope) -> list[onnx.NodeProto]:
        """Nodes of one graph in topological order; a note says where the file has another."""
        taken = () if scope.prefix else scope.values  # a body may give its values names that are in use around it
        result = ordered(nodes, taken, self.where)
        if any(a is not b for a, b in zip(result, nodes, strict=True)):
            self.notes.append("the file's operators were not in topological order and have been sorted")
        return result

    def _walk_node(self, node: onnx.NodeProto, scope: Scope) -> _Call | None:
        """Walk one operator; a call of a function is returned, to be walked next."""
        self._visited += 1
        if self._visited > MAX_OPERATORS:
            raise HwsimError(
                f"the model comes to more than {MAX_OPERATORS:,} operators once its functions are expanded",
                where=self.where,
            )
        node = plain(node, scope.attributes)
        inputs = tuple(
            self.lookup(name, scope, f"operator '{node.name or node.op_type}'") if name else None for name in node.input
        )
        function = self.functions.get(function_key(node, node.op_type))
        if function is not None:
            return self._call(function, node, inputs, scope)
        if not node.domain and node.op_type in CONTROL_FLOW:
            CONTROL_FLOW[node.op_type](self, node, inputs, scope)
        elif not node.domain and node.op_type == "Constant":
            self._constant(node, scope)
        else:
            self._operator(node, inputs, scope)
        return None

    # --- plain operators --------------------------------------------------------------

    def _operator(self, node: onnx.NodeProto, inputs: tuple[Value | None, ...], scope: Scope) -> None:
        name = self.name_of(node, scope)
        view = Node(type_name(node), name, inputs, self.attributes(node, name), where=self.where)
        key = _likeness(node, view, scope)
        inferred = self._inferred.get(key) if key is not None else None
        if inferred is None:
            notes = len(self.notes)
            inferred = refine(view, self._infer(node, view, scope))
            if key is not None and len(self.notes) == notes:
                self._inferred[key] = inferred
        values = fold(node, view, inferred, scope.opsets)
        parts: list[Sizes | None] = []
        if any(v is not None and v.data is None for v in inputs) and all(data is None for data in values):
            parts = fold_parts(node, view, inferred, scope.opsets)
        constant = _is_constant(node, inputs)
        outputs, shapes = [], []
        for slot, (output, found) in enumerate(zip(node.output, inferred, strict=True)):
            shape = None
            if output:
                data = values[slot] if slot < len(values) else None
                value = self._output(output, found, data, view, scope)
                if slot < len(parts) and parts[slot] is not None:
                    value = replace(value, parts=parts[slot])
                if not node.domain and slot == 0:
                    value = _with_members(view, value)
                    data = value.data if data is None else data
                named = self.define(output, value.named("", constant or _is_setting(data)), scope)
                outputs.append(named)
                shape = named.shape
            shapes.append(shape)
        for attribute in node.attribute:
            if attribute.type == attribute.GRAPH:
                foreign_body(self, node, attribute.g, scope)
        view = Node(view.op, name, inputs, view.attributes, tuple(shapes), self.where)
        self._record(node, view, outputs, scope, None if key is None else (key, view.output_shapes))

    def attributes(self, node: onnx.NodeProto, name: str) -> dict[str, Any]:
        """A node's attributes as Python values."""
        for attribute in node.attribute:
            if node.op_type != "Constant" and attribute.t.data_location == TensorProto.EXTERNAL:
                raise HwsimError(
                    f"operator '{name}' ({node.op_type}): the data of attribute '{attribute.name}' is said to be in "
                    "another file; only initializers and Constant operators may have external data",
                    where=self.where,
                )
        try:
            return {a.name: helper.get_attribute_value(a) for a in node.attribute}
        except ValueError as error:
            raise HwsimError(f"operator '{name}' ({node.op_type}): {error}", where=self.where) from error

    def _infer(self, node: onnx.NodeProto, view: Node, scope: Scope) -> list[Inferred]:
        """Types of the outputs by slot; the operands of an operator that is not mapped may not fit (a note says so)."""
        known, schema = operator_type(view.op), schema_of(node, scope.opsets)
        if schema is None:
            return self._typed(node, view, known, scope)
        self._check_arity(view, schema, len(node.input))
        inferred, complaint = infer_by_schema(node, view, schema, scope.opsets)
        if complaint and known.lower is not None:
            raise view.error(complaint)
        if complaint:
            inferred = [nearest(view), *[Inferred()] * (len(node.output) - 1)]
            self.notes.append(f"operands of '{view.name}' ({view.op}) do not fit together, check --dim: {complaint}")
        silent = not any(each.container is not None or each.shape is not None for each in inferred)
        if known.types is not None and silent and not complaint:
            inferred = self._typed(node, view, known, scope)
        return inferred if known.amend is None else known.amend(view, inferred)

    def _typed(self, node: onnx.NodeProto, view: Node, known: OperatorType, scope: Scope) -> list[Inferred]:
        """Types of the outputs of an operator that ONNX says nothing of: by its own rule, or as the file declares."""
        if known.types is None:
            self._go_on(node, view, scope)
        found = known.types(view) if known.types is not None and _understood(view) else []
        return [*found, *[Inferred()] * len(node.output)][: len(node.output)]

    def _go_on(self, node: onnx.NodeProto, view: Node, scope: Scope) -> None:
        """Go on behind an operator that nobody knows, where the file says what comes out of it."""
        own = {s.domain for s in defs.get_all_schemas_with_history()}
        declared = [scope.declared.get(name) for name in node.output if name]
        shaped = all(each is not None and each.tensor_type.HasField("shape") for each in declared)
        if node.domain in own or not declared or not shaped:
            raise self._unknown(node, view, scope.opsets)
        self._unknown_types.setdefault(view.op, []).append(view.name)

    def _check_arity(self, view: Node, schema: onnx.defs.OpSchema, count: int) -> None:
        if not schema.min_input <= count <= schema.max_input:
            raise view.error(f"it has {count} inputs, expected {schema.min_input} to {schema.max_input}")

    def _unknown(self, node: onnx.NodeProto, view: Node, opsets: Mapping[str, int]) -> HwsimError:
        schemas = defs.get_all_schemas_with_history()
        if any(s.name == node.op_type and s.domain == node.domain for s in schemas):
            version = opsets.get(node.domain, 1)
            return view.error(f"this operator does not exist in opset {version}, which the file imports")
        known = {s.name for s in schemas if not s.domain} | {n for n, each in OPERATORS.items() if each.types}
        return view.error(
            f"the operator '{view.op}' is not known.{did_you_mean(view.op, known)} "
            "Export it as ONNX operators, as a function inside the model, or with its results' shapes (value_info)"
        )

    def _output(self, name: str, found: Inferred, data: Any, view: Node, scope: Scope) -> Value:
        """The value of one output, its unknown sizes filled in from what the file or the user says."""
        if data is not None and hasattr(data, "shape"):
            elem_type = found.elem_type or _elem_type(data)
            return Value("", elem_type, tuple(data.shape), data=data)
        if found.container is not None:
            return Value("", 0, None, container=found.container, reason=f"'{name}' is not a tensor")
        declared = scope.declared.get(name)
        elem_type = found.elem_type or (declared.tensor_type.elem_type if declared is not None else 0)
        reason = next((v.reason for v in view.inputs if v is not None and v.reason and v.data is None), "")
        sizes = self._complete(found.shape, declared)
        if view.op == "Reshape" and sizes is not None and None not in sizes and not _same_elements(sizes, view):
            sizes = found.shape  # what the file declares cannot be
        if sizes is None:
            reason = reason or f"operator '{view.name}' ({view.op}) does not say the shape of '{name}'"
        value = self.sized(name, elem_type, sizes, reason)
        if value.sizes is not None:
            check_sizes(value.sizes, f"'{name}', a result of operator '{view.name}' ({view.op}),", self.where)
        if value.shape is not None and reason and all(v is None or v.constant for v in view.inputs):
            return replace(value, reason=reason)  # what is missing would have given the data of a constant
        return value

    def _complete(self, found: Sizes | None, declared: onnx.TypeProto | None) -> Sizes | None:
        """Sizes with those that inference leaves open taken from the file's declaration."""
        if (found is not None and None not in found) or declared is None or not declared.tensor_type.HasField("shape"):
            return found
        said = tuple(
            d.dim_value if d.dim_value > 0 else self.dims.declared(d.dim_param) for d in declared.tensor_type.shape.dim
        )
        if found is None:
            return said
        if len(said) != len(found):
            return found
        return tuple(f if f is not None else d for f, d in zip(found, said, strict=True))

    def _constant(self, node: onnx.NodeProto, scope: Scope) -> None:
        """A Constant node: its value stands in one of several attributes."""
        name = self.name_of(node, scope)
        view = Node("Constant", name, (), self.attributes(node, name), where=self.where)
        if len(node.output) != 1 or len(node.attribute) != 1:
            raise view.error("expected one output and one attribute that holds the value")
        key, content = next(iter(view.attributes.items()))
        value = self._constant_value(key, content, view)
        self._record(node, view, [self.define(node.output[0], replace(value, constant=True), scope)], scope)

    def _constant_value(self, key: str, content: Any, view: Node) -> Value:
        types = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
        numbers = content if isinstance(content, Sequence) else [content]
        if key == "value" and isinstance(content, TensorProto):
            return self.constants.value(view.name, content)
        if key == "sparse_value" and isinstance(content, SparseTensorProto):
            check_sizes(content.dims, f"tensor '{view.name}'", self.where)
            return Value("", content.values.data_type, tuple(content.dims))
        if key in types and all(isinstance(x, float if types[key] is np.float32 else int) for x in numbers):
            data = np.array(content, dtype=types[key])
            return Value("", _elem_type(data), data.shape, data=data)
        if key == "value_string":
            return Value("", TensorProto.STRING, ())
        if key == "value_strings" and isinstance(content, Sequence):
            return Value("", TensorProto.STRING, (len(content),))
        raise view.error(f"attribute '{key}' is not one that holds a value, or not of its type")

    def _record(
        self, node: onnx.NodeProto, view: Node, outputs: Sequence[Value], scope: Scope, key: Hashable = None
    ) -> None:
        """Append the operator to the workload, lowered to its problems where it has a rule.

        ``key``: operators that have the same one have the same problems.
        """
        known = operator_type(view.op)
        einsums: tuple[Einsum, ...] = ()
        weights = 0
        if known.lower is not None:
            kept = self._lowered.get(key) if key is not None else None
            einsums = _lower(known, view) if kept is None else kept
            if key is not None:
                self._lowered[key] = einsums
            operands = [view.inputs[slot] for slot in known.operands if view.has(slot)]
            weights = sum(v.elements for v in operands if v is not None and v.constant)
            self._count_macs(view, einsums, scope)
            if not einsums and _is_empty(view):
                self.notes.append(
                    f"operator '{view.name}' ({view.op}) multiplies nothing: an operand or its result is empty"
                )
            elif not einsums and len(view.inputs) > 1:
                self._remark("contracts nothing, and is counted as elementwise", view.name)
            if einsums and known.remark is not None:
                self._remark(known.remark(view), view.name)
        elif view.op == "ReduceSum" and (factors := self._factors.get(view.value(0).name)) is not None:
            einsums = tuple(each for each in summed_product(view, *factors) if each.problem.macs > 0)
            weights = sum(v.elements for v in factors if v.constant)
            self._count_macs(view, einsums, scope)
        elif known.hidden:
            self._remark("multiplies, which is not counted", view.name)
        if view.op == "Mul" and len(outputs) == 1:
            self._factors[outputs[0].name] = (view.value(0), view.value(1))
        if None in view.inputs:
            self._slots[view.name] = tuple(slot for slot, v in enumerate(view.inputs) if v is not None)
        read = [None if v is None else v.name for v in view.inputs]
        written = iter(outputs)
        by_slot = [next(written).name if name else None for name in node.output]
        self.operators.append(
            Operator(
                name=view.name,
                op=node.op_type,
                inputs=tuple(name for name in read if name is not None),
                outputs=tuple(v.name for v in outputs),
                problems=tuple((einsum.problem, einsum.count) for einsum in einsums),
                repeats=scope.repeats,
                weight_elements=weights if einsums else 0,
                domain=node.domain,
                einsums=tuple(einsum.bound(read, by_slot) for einsum in einsums),
            )
        )

    def _remark(self, text: str, name: str) -> None:
        if text:
            self._remarks.setdefault(text, []).append(name)

    def _count_macs(self, view: Node, einsums: Iterable[Einsum], scope: Scope) -> None:
        self.macs += sum(einsum.problem.macs * einsum.count for einsum in einsums) * scope.repeats
        if self.macs > MAX_MACS:
            raise view.error(f"the network comes to more than 2^62 multiply-accumulates ({self.macs:,})")

    def name_of(self, node: onnx.NodeProto, scope: Scope) -> str:
        """A unique name for an operator, from the file's where it has one."""
        return self._operator_names.unique(scope.prefix + (node.name or f"{node.op_type}_{len(self.operators)}"))

    # --- functions and bodies -----------------------------------------------------------

    def _call(
        self, function: onnx.FunctionProto, node: onnx.NodeProto, inputs: tuple[Value | None, ...], scope: Scope
    ) -> _Call:
        """A function's operators, to be walked in place of the operator that calls it."""
        key = function_key(function, function.name)
        if key in self._open:
            raise HwsimError(f"function '{function.name}' calls itself", where=self.where)
        attributes = {a.name: a for a in function.attribute_proto} | {a.name: a for a in node.attribute}
        inner = Scope(
            {n: v for n, v in zip(function.input, inputs, strict=False) if v is not None},
            f"{self.name_of(node, scope)}/",
            scope.repeats,
            {**scope.opsets, **opsets(function.opset_import)},
            attributes,
            {info.name: info.type for info in function.value_info},
        )
        missing = {n for n in function.input if n not in inner.values}
        nodes = self.ordered(function.node, inner)
        self._open.add(key)
        return _Call(function, node, (without_inputs(n, missing) for n in nodes), inner, scope)

    def _return(self, call: _Call) -> None:
        """Hand a function's results to the operator that called it."""
        self._open.discard(function_key(call.function, call.function.name))
        for outer, formal in zip(call.node.output, call.function.output, strict=False):
            if outer:
                call.outer.values[outer] = self.lookup(formal, call.inner, f"function '{call.function.name}'")

    def body(self, graph: onnx.GraphProto, inputs: Sequence[Value], scope: Scope) -> list[Value]:
        """Walk a body; returns its outputs."""
        if scope.repeats > MAX_MACS:
            raise HwsimError(f"the body '{scope.prefix[:-1]}' runs more than 2^62 times", where=self.where)
        if self._nesting >= MAX_NESTING:
            raise HwsimError(
                f"bodies of If, Loop and Scan lie more than {MAX_NESTING} deep in one another", where=self.where
            )
        self._nesting += 1
        try:
            for info, value in zip(graph.input, inputs, strict=False):
                scope.values[info.name] = value
            self._initializers(graph, scope)
            self._walk_graph(graph, scope)
            return [self.lookup(o.name, scope, "the body's output") for o in graph.output]
        finally:
            self._nesting -= 1


def _declared(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    """The types that a graph gives for its values."""
    return {info.name: info.type for info in (*graph.value_info, *graph.output)}


def _same_elements(sizes: Sizes, view: Node) -> bool:
    before = view.value(0).shape
    return before is None or math.prod(before) == math.prod(size or 0 for size in sizes)


def _how_to_bind(name: str, sizes: Sizes) -> str:
    axes = [axis for axis, size in enumerate(sizes) if size is None]
    options = " ".join(f"--dim {name}.{axis}=SIZE" for axis in axes)
    which = f"size {axes[0]}" if len(axes) == 1 else f"sizes {', '.join(map(str, axes))}"
    verb = "is" if len(axes) == 1 else "are"
    return f"{which} of '{name}' {verb} only known when the network runs; bind with {options}"


def _with_members(view: Node, value: Value) -> Value:
    """A sequence with its members, or what is taken out of one, as far as they are known."""
    found = taken(view)
    if found is not None and found.shape is not None:
        return replace(found, name="", constant=False)
    members = MEMBERS.get(view.op)
    return value if members is None or value.container is None else replace(value, items=members(view))


def _likeness(node: onnx.NodeProto, view: Node, scope: Scope) -> Hashable:
    """What the types of an operator's outputs and its problems depend on; None where that is not told so easily."""
    if any(v is not None and v.container is not None for v in view.inputs):
        return None
    if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        return None
    return (
        view.op,
        tuple(scope.opsets.items()),
        tuple([a.SerializeToString(deterministic=True) for a in node.attribute]),
        tuple([v and _traits(v) for v in view.inputs]),
        tuple([bool(name) for name in node.output]),
    )


def _few(notes: tuple[str, ...]) -> tuple[str, ...]:
    if len(notes) <= MAX_NOTES:
        return notes
    return (*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES:,} more notes like these")


def _traits(value: Value) -> Hashable:
    data = None if value.data is None else (value.data.dtype.str, blake2b(value.data.tobytes()).digest())
    return value.elem_type, value.sizes, value.constant, data, value.parts


def _lower(known: OperatorType, view: Node) -> tuple[Einsum, ...]:
    """The problems of an operator that multiply something."""
    assert known.lower is not None
    try:
        return tuple(einsum for einsum in known.lower(view) if einsum.problem.macs * einsum.count > 0)
    except HwsimError as error:
        raise error if error.where else view.error(error.message) from error


def _is_empty(view: Node) -> bool:
    return any(v is not None and v.elements == 0 and v.shape is not None for v in view.inputs) or any(
        shape is not None and 0 in shape for shape in view.output_shapes
    )


def _is_constant(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> bool:
    return not operator_type(type_name(node)).random and all(v is None or v.constant for v in inputs)


def _is_setting(data: Any) -> bool:
    """Known from shapes alone, and no larger than lists of sizes are; what is larger has to be made when it runs."""
    return data is not None and data.size <= SMALL


def _understood(view: Node) -> bool:
    """True where the shapes that a contrib operator's rule needs are known."""
    return operator_type(view.op).lower is not None or all(v is None or v.sizes is not None for v in view.inputs)


def _elem_type(data: Any) -> int:
    return int(helper.np_dtype_to_tensor_dtype(data.dtype))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
