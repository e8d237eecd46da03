"""How the reader walks bodies: If, Loop, Scan, and operators with a body of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto

from hwsim.errors import HwsimError
from hwsim.workloads.onnx.trips import followed
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.value import Sizes, Value, check_sizes
from hwsim.workloads.workload import Operator

if TYPE_CHECKING:
    from hwsim.workloads.onnx.reader import GraphReader, Scope

Inputs = tuple[Value | None, ...]

#: The limit that exporters write for a Loop that has none.
UNLIMITED = 2**63 - 1


def foreign_body(reader: GraphReader, node: onnx.NodeProto, graph: onnx.GraphProto, scope: Scope) -> None:
    """The body of another operator: SequenceMap's once a member; once where the repetition is not known."""
    sequence = scope.values.get(node.input[0]) if node.op_type == "SequenceMap" and node.input else None
    times = None if sequence is None or sequence.items is None else len(sequence.items)
    inner = scope.body(scope.prefix + (node.name or node.op_type), graph, times or 1)
    if times == 0:
        return
    inputs = [reader.define(i.name, _declared_input(reader, i), inner) for i in graph.input]
    reader.body(graph, inputs, inner)
    if times is None:
        reader.notes.append(f"the body of '{inner.prefix[:-1]}' ({node.op_type}) is counted once")


def _declared_input(reader: GraphReader, info: onnx.ValueInfoProto) -> Value:
    """A body's input as the body declares it."""
    kind = info.type.WhichOneof("value")
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return Value("", 0, None, container=info.type, reason=f"'{info.name}' is not a tensor")
    tensor = getattr(info.type, kind)
    sizes = None
    if tensor.HasField("shape"):
        sizes = tuple(d.dim_value if d.dim_value > 0 else reader.dims.declared(d.dim_param) for d in tensor.shape.dim)
        check_sizes(sizes, f"input '{info.name}'", reader.where)
    return reader.sized(info.name, tensor.elem_type, sizes, "" if sizes else f"'{info.name}' is declared without shape")


def _walk_if(reader: GraphReader, node: onnx.NodeProto, inputs: Inputs, scope: Scope) -> None:
    """The branch that the condition chooses; where it is not known, the one with more multiply-accumulates."""
    name = reader.name_of(node, scope)
    branches = {a.name: a.g for a in node.attribute if a.type == a.GRAPH}
    condition = inputs[0] if inputs else None
    if condition is None or not {"then_branch", "else_branch"} <= set(branches):
        raise HwsimError(f"operator '{name}' (If): expected a condition and two branches", where=reader.where)
    if condition.data is not None and condition.data.size == 1:
        chosen = "then_branch" if bool(condition.data.reshape(-1)[0]) else "else_branch"
        outputs = reader.body(branches[chosen], (), scope.body(f"{name}/{chosen}", branches[chosen]))
    else:
        outputs = _costlier_branch(reader, name, branches, scope)
    reader.operators.append(Operator(name, "If", (condition.name,), (), repeats=scope.repeats))
    for outer, value in zip(node.output, outputs, strict=False):
        scope.values[outer] = value


def _costlier_branch(
    reader: GraphReader, name: str, branches: Mapping[str, onnx.GraphProto], scope: Scope
) -> list[Value]:
    """Walk both branches and keep the costlier one; a branch that cannot run with these shapes is not taken."""
    walks: dict[str, tuple[int, list[Value], list[Operator], list[str]]] = {}
    faults: list[HwsimError] = []
    operators, notes, macs = reader.operators, reader.notes, reader.macs
    for branch in ("then_branch", "else_branch"):
        reader.operators, reader.notes, reader.macs = [], [], macs
        try:
            outputs = reader.body(branches[branch], (), scope.body(f"{name}/{branch}", branches[branch]))
            walks[branch] = (reader.macs - macs, outputs, reader.operators, reader.notes)
        except HwsimError as fault:
            faults.append(fault)
    reader.operators, reader.notes, reader.macs = operators, notes, macs
    if not walks:
        raise faults[0]
    chosen = max(walks, key=lambda branch: walks[branch][0])
    cost, outputs, walked, said = walks[chosen]
    reader.macs += cost
    reader.operators += walked
    reader.notes += said
    why = f"the other cannot run ({faults[0].message})" if faults else "the costlier one"
    reader.notes.append(f"the condition of '{name}' (If) is only known when it runs: counted {chosen}, {why}")
    return outputs


@dataclass(frozen=True)
class _Iteration:
    """A Loop or Scan being walked.

    Attributes:
        node / name: the operator.
        scope / inner: around it and inside its body.
        trips: how often the body runs; None where that is not known, and it is counted once.
        reads: what the operator is given.
        collected: axis along which each collected result is stacked, by output slot.
    """

    node: onnx.NodeProto
    name: str
    scope: Scope
    inner: Scope
    trips: int | None
    reads: tuple[str, ...]
    collected: Mapping[int, int]

    def run(self, reader: GraphReader, body: onnx.GraphProto, entered: Sequence[Value]) -> list[Value]:
        """Record the operator, which writes what the body is entered with, then walk the body."""
        before = len(reader.operators)
        values = [reader.define(i.name, v, self.inner) for i, v in zip(body.input, entered, strict=True)]
        writes = tuple(value.name for value in values)
        op = self.node.op_type
        reader.operators.append(Operator(self.name, op, self.reads, writes, repeats=self.scope.repeats))
        results = reader.body(body, values, self.inner)
        if self.trips == 0:
            reader.operators[before:] = [Operator(self.name, op, self.reads, (), repeats=self.scope.repeats)]
        return results

    def collect(self, reader: GraphReader, results: Mapping[int, Value], lead: tuple[int, ...] = ()) -> None:
        """Stack the results of all iterations; one more operator writes them, after the body."""
        reads, writes = [], []
        for slot, axis in self.collected.items():
            outer = self.node.output[slot] if slot < len(self.node.output) else ""
            if outer:
                each = results[slot]
                sizes = None if each.sizes is None else (*lead, *_inserted(each.sizes, axis, self.trips))
                stacked = reader.sized(outer, each.elem_type, sizes, each.reason)
                if each.container is not None:
                    stacked = replace(stacked, container=each.container)
                if stacked.sizes is not None:
                    check_sizes(stacked.sizes, f"'{outer}', a result of '{self.name}',", reader.where)
                reads.append(each.name)
                writes.append(reader.define(outer, stacked, self.scope).name)
        if writes:
            reads = [] if self.trips == 0 else reads
            name, op = f"{self.name}/results", f"{self.node.op_type}.results"
            reader.operators.append(Operator(name, op, tuple(reads), tuple(writes), repeats=self.scope.repeats))


def _walk_loop(reader: GraphReader, node: onnx.NodeProto, inputs: Inputs, scope: Scope) -> None:
    """The body once, with the trip count as repetition; once where that is not known."""
    name = reader.name_of(node, scope)
    body = next((a.g for a in node.attribute if a.name == "body" and a.type == a.GRAPH), None)
    states = len(inputs) - 2
    if body is None or states < 0 or len(body.input) != len(inputs) or len(body.output) <= states:
        raise HwsimError(f"operator '{name}' (Loop): its body does not fit its inputs", where=reader.where)
    limit, condition, *carried = inputs
    reader.loops.append(name)
    trips = reader.given.trips.get(name)
    if trips is None:
        trips = _trip_count(limit, condition, body)
    if trips is None and condition is not None:
        most = int(limit.data.reshape(-1)[0]) if limit is not None and limit.data is not None else None
        known = limit is None or most is not None
        trips = followed(body, inputs[1:], most, scope.values.get, scope.opsets) if known else None
    if trips is None:
        reader.notes.append(
            f"the trip count of '{name}' (Loop) is not known: its body is counted once; say it with --trips {name}=N"
        )
    count = 1 if trips is None else trips
    starts = [_required(reader, name, value) for value in carried]
    step = Value("", TensorProto.INT64, (), data=np.array(0) if trips == 1 else None)
    going_on = Value("", TensorProto.BOOL, (), data=np.array(True))
    iteration = _Iteration(
        node,
        name,
        scope,
        scope.body(name, body, max(1, count)),
        trips,
        tuple(v.name for v in inputs if v is not None),
        dict.fromkeys(range(states, len(body.output) - 1), 0),
    )
    results = iteration.run(reader, body, [step, going_on, *map(_run_time, starts)])[1:]
    for slot, outer in enumerate(node.output[:states]):
        if outer:
            start, end = starts[slot], results[slot]
            if start.sizes != end.sizes and trips != 1 and count:
                reader.notes.append(f"'{outer}' changes its shape in '{name}' (Loop): counted as after one iteration")
                end = _changing(reader, outer, start, end)
            scope.values[outer] = end if count else start
    iteration.collect(reader, dict(enumerate(results)))


def _trip_count(limit: Value | None, condition: Value | None, body: onnx.GraphProto) -> int | None:
    if condition is not None and condition.data is not None and not condition.data.any():
        return 0
    if condition is not None and not _condition_stays(body):
        return None
    if limit is None or limit.data is None or limit.data.size != 1:
        return None
    trips = int(limit.data.reshape(-1)[0])
    return max(trips, 0) if trips < UNLIMITED else None


def _changing(reader: GraphReader, outer: str, start: Value, end: Value) -> Value:
    """A value that a Loop carries and that has other sizes after each iteration."""
    a, b = start.sizes, end.sizes
    if a is None or b is None or len(a) != len(b):
        return replace(end, shape=None, data=None, reason=f"'{outer}' changes its shape in a Loop")
    sizes = tuple(y if x == y else None for x, y in zip(a, b, strict=True))
    return replace(reader.sized(outer, end.elem_type, sizes, ""), name=end.name)


def _inserted(sizes: Sizes, axis: int, size: int | None) -> Sizes:
    axis %= len(sizes) + 1
    return (*sizes[:axis], size, *sizes[axis:])


def _walk_scan(reader: GraphReader, node: onnx.NodeProto, inputs: Inputs, scope: Scope) -> None:
    """The body once per element along the scanned axis; in opset 8 a batch axis comes first everywhere."""
    name = reader.name_of(node, scope)
    attributes = reader.attributes(node, name)
    body = next((a.g for a in node.attribute if a.name == "body" and a.type == a.GRAPH), None)
    count = attributes.get("num_scan_inputs", 0)
    batched = scope.opsets.get("", 1) < 9
    operands = inputs[1:] if batched else inputs  # opset 8 begins with the lengths
    states = len(operands) - count if isinstance(count, int) else -1
    if body is None or states < 0 or count < 1 or len(body.input) != len(operands) or len(body.output) < states:
        raise HwsimError(f"operator '{name}' (Scan): its body does not fit its inputs", where=reader.where)
    view = Node("Scan", name, operands, attributes, where=reader.where)
    lead = view.shape(0)[:1] if batched else ()
    axes = (0,) * count if batched else view.integers("scan_input_axes", (0,) * count)
    stacked = (0,) * (len(body.output) - states)
    stacked = stacked if batched else view.integers("scan_output_axes", stacked)
    trips, entered = 1, []
    for slot in range(len(operands)):
        shape = view.shape(slot)[len(lead) :]
        if slot >= states:
            if not shape:
                raise view.error(f"input {slot} has no axis to scan")
            axis = axes[slot - states] % len(shape)
            trips, shape = shape[axis], shape[:axis] + shape[axis + 1 :]
        entered.append(replace(_run_time(view.value(slot)), shape=shape))
    iteration = _Iteration(
        node,
        name,
        scope,
        scope.body(name, body, max(1, trips) * math.prod(lead)),
        trips,
        tuple(v.name for v in operands if v is not None),
        {slot: axis for slot, axis in enumerate(stacked, start=states)},
    )
    results = iteration.run(reader, body, entered)
    for slot, outer in enumerate(node.output[:states]):
        if outer:
            scope.values[outer] = results[slot] if trips else view.value(slot)
    iteration.collect(reader, dict(enumerate(results)), lead)


def _required(reader: GraphReader, name: str, value: Value | None) -> Value:
    if value is None:
        raise HwsimError(f"operator '{name}' (Loop): a value that it carries is missing", where=reader.where)
    return value


def _run_time(value: Value) -> Value:
    """A value as a loop carries it: same type, but it changes from iteration to iteration."""
    return replace(value, constant=False, data=None)


def _condition_stays(body: onnx.GraphProto) -> bool:
    """True where a Loop's body hands on the condition that it was given, or a constant."""
    if not body.output:
        return False
    name, sources = body.output[0].name, {o: n for n in body.node for o in n.output}
    while name in sources and sources[name].op_type in ("Cast", "Identity") and sources[name].input:
        name = sources.pop(name).input[0]  # a cycle is no condition that stays; the walk will refuse it
    constants = {t.name for t in body.initializer}
    return name == body.input[1].name or name in constants or (name in sources and sources[name].op_type == "Constant")


CONTROL_FLOW: Mapping[str, Callable[[GraphReader, onnx.NodeProto, Inputs, Scope], None]] = {
    "If": _walk_if,
    "Loop": _walk_loop,
    "Scan": _walk_scan,
}
"""Operator type → how its bodies are walked."""
