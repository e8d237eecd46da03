"""`Workload`: a network's graph of operators and tensors, lowered to mapped problems."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hwsim.workloads.einsum import Einsum
from hwsim.workloads.operators.operator import Reads
from hwsim.workloads.operators.table import operator_type
from hwsim.workloads.problem import Problem


@dataclass(frozen=True)
class Tensor:
    """A value of the graph.

    Attributes:
        name: unique in the workload.
        shape: sizes, all known.
        bits: width of one element as the file stores it.
        constant: True for weights and other values known before the network runs.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    constant: bool = False

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes, rounded up to a whole byte."""
        return (self.elements * self.bits + 7) // 8


@dataclass(frozen=True)
class Operator:
    """One node of the network, in topological order.

    Attributes:
        name: the node's name in the file, or ``<op>_<index>``; unique.
        op: operator type (``Conv``, ``Relu`` …).
        inputs / outputs: tensor names it reads and writes (constants included).
        problems: what it lowers to, as (problem, repeats): most mapped operators
            have one; an LSTM has several; () means the operator is not mapped.
        repeats: how often the operator runs (a Loop body's trip count), ≥ 1.
        weight_elements: constant elements that its problems use as weights.
        domain: of its type; ``""`` for ONNX's own.
        einsums: its problems once more, in the same order, with the tensors that they read and write.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    problems: tuple[tuple[Problem, int], ...] = ()
    repeats: int = 1
    weight_elements: int = 0
    domain: str = ""
    einsums: tuple[Einsum, ...] = ()

    @property
    def type(self) -> str:
        """Operator type, led by its domain where that is not ONNX's own."""
        return f"{self.domain}.{self.op}" if self.domain else self.op

    @property
    def mapped(self) -> bool:
        """True where the operator lowers to at least one problem."""
        return bool(self.problems)


@dataclass(frozen=True)
class Layer:
    """One distinct problem with every operator that computes it."""

    problem: Problem
    op: str
    names: tuple[str, ...]
    count: int

    @property
    def name(self) -> str:
        """Name of the first operator that computes it."""
        return self.names[0]


@dataclass(frozen=True)
class Unmapped:
    """All operators of one type that are not mapped: how many, and the bytes they read and write."""

    op: str
    count: int
    bytes_moved: int


@dataclass(frozen=True)
class Workload:
    """A network, ready to be costed.

    Attributes:
        name: file stem or graph name.
        operators: topological order, every node of the file.
        tensors: by name.
        graph_inputs / graph_outputs: tensor names.
        params: trainable elements (initializers and constants used as weights, biases …).
        weight_bytes: their bytes as stored.
        notes: things the user should know (dimensions that defaulted to 1,
            Loops with unknown trip count …).
        metadata: what the file says about itself, key → text (accuracy, dataset, seed …).
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: dict[str, Tensor]
    graph_inputs: tuple[str, ...]
    graph_outputs: tuple[str, ...]
    params: int
    weight_bytes: int
    notes: tuple[str, ...] = field(default=())
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole network, every repetition counted."""
        return sum(op.repeats * count * problem.macs for op in self.operators for problem, count in op.problems)

    @property
    def matrix_products(self) -> int:
        """Two-dimensional matrix products of one inference; a batch (the heads of an attention) counts each."""
        return sum(
            op.repeats * count * problem.sizes.get("B", 1)
            for op in self.operators
            for problem, count in op.problems
            if problem.kind == "matmul"
        )

    def active(self, operator: Operator) -> bool:
        """True where an operator has to run with the network: not everything it writes is constant."""
        return not operator.outputs or any(not self.tensors[name].constant for name in operator.outputs)

    def layers(self) -> tuple[Layer, ...]:
        """The distinct problems in order of first appearance, each with all the operators that compute it."""
        names: dict[Problem, list[Operator]] = {}
        counts: dict[Problem, int] = {}
        for op in self.operators:
            for problem, count in op.problems:
                users = names.setdefault(problem, [])
                if not users or users[-1] is not op:
                    users.append(op)
                counts[problem] = counts.get(problem, 0) + op.repeats * count
        return tuple(
            Layer(problem, users[0].op, tuple(op.name for op in users), counts[problem])
            for problem, users in names.items()
        )

    def unmapped(self) -> tuple[Unmapped, ...]:
        """The operators that are not mapped, by type in alphabetical order, with the bytes they move.

        An operator whose results are constant is counted and moves nothing: it does
        not run with the network.
        """
        counts: dict[str, int] = {}
        moved: dict[str, int] = {}
        for op in self.operators:
            if not op.mapped:
                counts[op.op] = counts.get(op.op, 0) + op.repeats
                moved[op.op] = moved.get(op.op, 0) + op.repeats * self.bytes_moved(op)
        return tuple(Unmapped(op, counts[op], moved[op]) for op in sorted(counts))

    def bytes_moved(self, op: Operator) -> int:
        """Bytes that one run of an operator reads and writes, constants included; 0 where it does not run."""
        if not self.active(op):
            return 0
        written = sum(self.tensors[name].bytes for name in op.outputs)
        read = [self.tensors[name].bytes for name in op.inputs]
        reads = operator_type(op.type).reads
        if read and reads is Reads.SHAPE:
            read[0] = 0
        elif read and reads is Reads.PART:
            read[0] = min(read[0], written)
        return written + sum(read)
