"""Einsum, by pairs of operands."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.workloads.einsum import Access, Einsum, contract, ranks
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.value import Value, known_parts


def _einsum(node: Node) -> list[Einsum]:
    """Einsum by pairs, left to right; one that contracts nothing (outer product, transpose) lowers to nothing."""
    shapes = [node.shape(slot) for slot in range(len(node.inputs))]
    terms, result = parse_einsum(node, shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, size in zip(term, shape, strict=True):
            if size != sizes.setdefault(label, size) and 1 not in (size, sizes[label]):
                raise node.error(f"label '{label}' has sizes {sizes[label]} and {size}")
            sizes[label] = max(size, sizes[label]) if size else 0
    # A size of 1 that is broadcast is no index of that operand.
    operands = [
        [label if size == sizes[label] else None for label, size in zip(term, shape, strict=True)]
        for term, shape in zip(terms, shapes, strict=True)
    ]
    swap = len(operands) == 2 and node.value(0).constant and not node.value(1).constant
    einsums: list[Einsum] = []
    left = Access("", ranks(*operands[0]), 0)
    for slot, operand in enumerate(operands[1:], start=1):
        right = Access("", ranks(*operand), slot)
        last = slot == len(operands) - 1
        needed = set(result).union(*operands[slot + 1 :])
        ours = [*left.indices, *right.indices]
        kept = result if last else [label for label in dict.fromkeys(ours) if label in needed]
        out = Access("", ranks(*kept), ~0 if last else None)
        if set(left.indices) & set(right.indices) - needed:
            pair = (right, left) if swap else (left, right)
            einsums.append(contract(*pair, out, sizes))
        left = out
    return einsums


def summed_product(node: Node, a: Value, b: Value) -> list[Einsum]:
    """A ReduceSum of a Mul of ``a`` and ``b``, where the two spell a product of matrices.

    That is: both have an axis that is summed, and one has an axis that stays and that the other lacks.
    """
    shape, given = node.shape(0), known_parts(node.value(1)) if node.has(1) else node.attributes.get("axes")
    if a.shape is None or b.shape is None or a is b or not given or None in given:
        return []
    axes = {axis % len(shape) for axis in given if axis is not None and shape}
    names = [f"d{axis}" for axis in range(len(shape))]

    def indices(value: Value) -> list[str | None]:
        own = value.shape or ()
        sizes = zip(names[len(shape) - len(own) :], own, strict=True)
        return [name if size > 1 else None for name, size in sizes]

    first, second = indices(a), indices(b)
    gone = {names[axis] for axis in axes}
    both, one = set(first) & set(second) - {None}, set(first) ^ set(second) - {None}
    if not both & gone or not (one - {None}) - gone:
        return []
    kept: list[str | None] = []
    for axis, (name, size) in enumerate(zip(names, shape, strict=True)):
        if axis not in axes:
            kept.append(name if size > 1 else None)
        elif node.integer("keepdims", 1):
            kept.append(None)
    operands = [Access("", ranks(*first), None, a.name), Access("", ranks(*second), None, b.name)]
    if a.constant and not b.constant:
        operands.reverse()
    left, right = operands
    return [contract(left, right, Access("", ranks(*kept), ~0), dict(zip(names, shape, strict=True)))]


def parse_einsum(node: Node, shapes: Sequence[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """Labels of every operand and of the result; an ellipsis becomes labels ``.0``, ``.1`` … counted from the right."""
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise node.error(f"equation '{equation}' has {len(terms)} operands, the operator {len(shapes)}")
    labels = []
    for term, shape in zip(terms, shapes, strict=True):
        hidden = len(shape) - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise node.error(f"equation '{equation}': '{term}' does not fit shape {list(shape)}")
        labels.append(_expand(term, hidden))
    widest = max((sum(label.startswith(".") for label in term) for term in labels), default=0)
    if arrow:
        return labels, _expand(right, widest)
    seen = [label for term in labels for label in term]
    free = sorted(label for label in set(seen) if seen.count(label) == 1 and not label.startswith("."))
    return labels, [*_expand("...", widest), *free]


def _expand(term: str, hidden: int) -> list[str]:
    before, dots, after = term.partition("...")
    ellipsis = [f".{axis}" for axis in reversed(range(hidden))] if dots else []
    return [*before, *ellipsis, *after]


OPERATORS = (OperatorType("Einsum", _einsum, tuple(range(8))),)
