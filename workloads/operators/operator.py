"""`OperatorType`: all that is known of one type of operator. A family's file makes them, `table` collects them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from hwsim.workloads.einsum import Einsum
from hwsim.workloads.operators.execution import Call, Contraction
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.value import Sizes

Lowering = Callable[[Node], Sequence[Einsum]]
TypeRule = Callable[[Node], list[Inferred]]
Amendment = Callable[[Node, list[Inferred]], list[Inferred]]
SizeRule = Callable[[Node, Sizes], Sizes | None]
Execution = Callable[[Call], Contraction | None]

#: As a number of inputs: all of them.
ALL = 1 << 16


class Reads(Enum):
    """How much of its first input an operator reads."""

    ALL = "all"
    PART = "what it returns"
    SHAPE = "none of its elements"


@dataclass(frozen=True)
class OperatorType:
    """One type of operator. What is left out, ONNX's own schema and defaults say.

    Attributes:
        name: its type; domains other than ONNX's own lead with theirs.
        lower: the multiplications that a node with known shapes does; those that come to none are dropped. None: the
            type multiplies nothing that is mapped.
        operands: input slots that these multiply, the activation first.
        swaps: where the first operand alone is constant, it holds the weights.
        parameters: slots that hold parameters and nothing else.
        tables: slots that hold parameters where they are matrices of fixed size, otherwise maybe activations.
        settings: slots of settings and quantization data, which are no parameters.
        types: types of the outputs, where ONNX has no schema, or one that says no shape.
        amend: what ONNX's inference gets wrong, from the node and what it says.
        remark: how a node is counted, where that is to be told.
        hidden: multiplies, but is not mapped; a note says so.
        sized_by: a slot whose elements give the result's sizes, and what they make of them.
        moves: how many inputs, from the first, it hands elements of on without changing them (or whole numbers' type).
        carries: hands a weight on, rearranged or converted.
        broadcasts: elementwise, over shapes that are broadcast.
        random: results change from run to run.
        folds: may be run on known operands while a file is read: its work is bounded by their sizes and the results'.
        shrinks: the result's shape depends on the data, and is no larger than the input times its rank.
        reads: how much of its first input it reads.
        execute: how the array simulator computes it; None where it does not, or not this form.
    """

    name: str
    lower: Lowering | None = None
    operands: tuple[int, ...] = ()
    parameters: tuple[int, ...] = ()
    swaps: bool = False
    tables: tuple[int, ...] = ()
    settings: tuple[int, ...] = ()
    types: TypeRule | None = None
    amend: Amendment | None = None
    remark: Callable[[Node], str] | None = None
    hidden: bool = False
    sized_by: tuple[int, SizeRule] | None = None
    moves: int = 0
    carries: bool = False
    broadcasts: bool = False
    random: bool = False
    folds: bool = True
    shrinks: bool = False
    reads: Reads = Reads.ALL
    execute: Execution | None = None
