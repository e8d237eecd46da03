"""`Einsum`: a problem of an operator in terms of the network's tensors.

The mapper sees a `Problem`, whose data spaces have the names of their roles and whose dimensions may each be the
product of several axes (a batch of heads is one dimension). Its `Einsum` says which tensors these are and how their
axes are indexed, padding included, so that an operator knows its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hwsim.workloads.problem import Problem, matmul


@dataclass(frozen=True)
class Rank:
    """One axis of a tensor as an Einsum indexes it: ``Σ coefficient · index − before``.

    Attributes:
        terms: ``(coefficient, index)``; none where the axis is always read at one place (it is broadcast).
        before: positions ahead of the tensor's first. Where the sum falls outside the tensor, inputs are padding and
            outputs are cropped, unless another access of the same data space holds that part (a cache does).
    """

    terms: tuple[tuple[int, str], ...]
    before: int = 0


@dataclass(frozen=True)
class Access:
    """How a data space of a problem lies in a tensor.

    Attributes:
        data_space: its name in the problem. Several accesses may share one: each holds a part.
        ranks: one per axis of the tensor; None where they are not indexed so.
        slot: input of the operator, ``~n`` for its n-th output; None for a value that stays inside the operator.
        tensor: its name in the `Workload`; ``""`` for a value that stays inside the operator.
        packed: the tensor is stored in other axes (blocks of quantized weights); the ranks are of what it unpacks to.
    """

    data_space: str
    ranks: tuple[Rank, ...] | None
    slot: int | None = None
    tensor: str = ""
    packed: bool = False

    @property
    def indices(self) -> list[str]:
        """Names of the indices, in the order of the axes."""
        return list(dict.fromkeys(name for rank in self.ranks or () for _, name in rank.terms))


@dataclass(frozen=True)
class Index:
    """A loop over one axis.

    Attributes:
        name: what ranks call it.
        size: how many values it takes.
        dim: the problem's dimension that it is a factor of; ``""`` where each of its values is a problem of its own.
    """

    name: str
    size: int
    dim: str


@dataclass(frozen=True)
class Einsum:
    """A problem with the tensors that it reads and writes.

    Attributes:
        problem: what is mapped.
        count: how often one run of the operator computes it.
        accesses: of its data spaces; none where the operator does not say.
        indices: slowest first within a dimension. None given: every dimension is an index of its own name.
    """

    problem: Problem
    count: int = 1
    accesses: tuple[Access, ...] = ()
    indices: tuple[Index, ...] = ()

    def bound(self, inputs: Sequence[str | None], outputs: Sequence[str | None]) -> Einsum:
        """The same with tensors' names in place of slots."""
        return replace(
            self, accesses=tuple(replace(a, tensor=_name(a.slot, inputs, outputs) or a.tensor) for a in self.accesses)
        )


def _name(slot: int | None, inputs: Sequence[str | None], outputs: Sequence[str | None]) -> str | None:
    if slot is None:
        return None
    return inputs[slot] if slot >= 0 else outputs[~slot]


def ranks(*axes: str | None) -> tuple[Rank, ...]:
    """Axes that one index each runs over; None where the axis is broadcast."""
    return tuple(Rank(() if axis is None else ((1, axis),)) for axis in axes)


def contract(first: Access, second: Access, out: Access, sizes: dict[str, int]) -> Einsum:
    """The batched matrix product that contracts two tensors, ``Inputs`` and ``Weights``.

    An index of both operands and the result is batch (B); of both but not the result it
    is contracted (C); of the result and one operand only it is a row of the first (P)
    or a column of the second (M). So a batch that only one operand has is no batch:
    ``[8,128,768] @ [768,768]`` is one product with P = 8·128, its weights used once.
    An index of one operand alone that the result lacks is summed before multiplying.

    Args:
        first / second / out: with the ranks of each, which name the indices.
        sizes: of every index.
    """
    a, b, kept = first.indices, second.indices, out.indices
    roles = {
        "B": [i for i in kept if i in a and i in b],
        "C": [i for i in a if i in b and i not in kept],
        "P": [i for i in kept if i in a and i not in b],
        "M": [i for i in kept if i in b and i not in a],
    }
    indices = tuple(Index(i, sizes[i], dim) for dim, names in roles.items() for i in names)
    known = {index.name for index in indices}
    accesses = tuple(
        # what is summed before has no loop
        replace(access, data_space=space, ranks=access.ranks if known.issuperset(access.indices) else None)
        for space, access in (("Weights", second), ("Inputs", first), ("Outputs", out))
    )
    volumes = {dim: math.prod(sizes[name] for name in names) for dim, names in roles.items()}
    return Einsum(matmul(volumes), 1, accesses, indices)
