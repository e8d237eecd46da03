"""`Workload`: a network's graph of operators and tensors, lowered to mapped problems."""

from __future__ import annotations

from dataclasses import dataclass, field

from workloads.problem import Problem


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
        n = 1
        for size in self.shape:
            n *= size
        return n

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
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    problems: tuple[tuple[Problem, int], ...] = ()
    repeats: int = 1
    weight_elements: int = 0

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
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: dict[str, Tensor]
    graph_inputs: tuple[str, ...]
    graph_outputs: tuple[str, ...]
    params: int
    weight_bytes: int
    notes: tuple[str, ...] = field(default=())
