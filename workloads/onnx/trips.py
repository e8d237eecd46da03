"""How often a Loop runs whose condition comes from counters and constants: the condition alone is run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hwsim.workloads.onnx.graph import type_name
from hwsim.workloads.operators.table import operator_type
from hwsim.workloads.operators.value import SMALL, Value

#: Iterations that are followed before a Loop counts as one of unknown length.
MAX_TRIPS = 20_000
#: Operators that a condition may take.
MAX_OPERATORS = 32
#: Besides those that are elementwise over two operands, or hand elements on.
_SIMPLE = frozenset({"Abs", "Ceil", "Constant", "Floor", "Gather", "Neg", "Not"})


def followed(
    body: onnx.GraphProto,
    entered: Sequence[Value | None],
    limit: int | None,
    around: Callable[[str], Value | None],
    opsets: Mapping[str, int],
) -> int | None:
    """The trip count; None where the condition needs what is not known, or does not end.

    Args:
        body: the Loop's.
        entered: condition and carried values before the first iteration, in the order of the body's inputs.
        limit: the most iterations; None for no limit.
        around: a value of the graph around the Loop by name.
        opsets: domain → version.
    """
    states = [info.name for info in body.input[1:]]
    after = dict(zip(states, (info.name for info in body.output), strict=False))
    held = {tensor.name: tensor for tensor in body.initializer}
    makers = {name: node for node in body.node for name in node.output if name}
    nodes, leaves = _slice(body.output[0].name, makers, after)
    if not 0 < len(nodes) <= MAX_OPERATORS or not all(_is_simple(node) for node in nodes):
        return None
    start = dict(zip(states, entered, strict=False))
    feeds: dict[str, Any] = {}
    for name in leaves:
        value = start.get(name) if name in start else None if name in held else around(name)
        if name == body.input[0].name:
            feeds[name] = np.array(0, np.int64)
        elif name in held:
            feeds[name] = numpy_helper.to_array(held[name]) if held[name].ByteSize() <= 16 * SMALL else None
        else:
            feeds[name] = None if value is None else value.data
        if feeds[name] is None or feeds[name].size > SMALL:
            return None
    wanted = {after[name]: name for name in states if name in feeds}
    outputs = list(dict.fromkeys([body.output[0].name, *wanted]))
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    run = [node for node in body.node if any(node is each for each in nodes)]
    try:
        made = helper.make_function("local", "condition", list(feeds), outputs, run, imports)
        return _run(ReferenceEvaluator(made), feeds, outputs, wanted, (body.input[0].name, limit))
    except Exception:  # whatever the evaluator trips over in a stranger's file, it means: not known
        return None


def _run(
    evaluator: ReferenceEvaluator,
    feeds: dict[str, Any],
    outputs: Sequence[str],
    wanted: Mapping[str, str],
    counter: tuple[str, int | None],
) -> int | None:
    number, limit = counter
    for trip in range(MAX_TRIPS):
        if limit is not None and trip >= limit:
            return limit
        if number in feeds:
            feeds[number] = np.array(trip, np.int64)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = dict(zip(outputs, evaluator.run(None, dict(feeds), attributes={}), strict=True))
        if not found[outputs[0]].any():
            return trip + 1
        feeds.update({name: found[output] for output, name in wanted.items()})
        if any(value.size > SMALL for value in feeds.values()):
            return None
    return None


def _slice(
    name: str, makers: Mapping[str, onnx.NodeProto], after: Mapping[str, str]
) -> tuple[list[onnx.NodeProto], list[str]]:
    """The operators that a value comes from, over all iterations, and the names that none of them makes."""
    nodes: list[onnx.NodeProto] = []
    leaves: list[str] = []
    waiting, seen = [name], {""}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in makers:
            if not any(makers[name] is node for node in nodes):
                nodes.append(makers[name])
            waiting += makers[name].input
        else:
            leaves.append(name)
            waiting += [after[name]] if name in after else []
        if len(seen) > 8 * MAX_OPERATORS:
            return [], []
    return nodes, leaves


def _is_simple(node: onnx.NodeProto) -> bool:
    known = operator_type(type_name(node))
    return not node.domain and (known.broadcasts or known.carries or node.op_type in _SIMPLE)
