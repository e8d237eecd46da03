"""Fourier transforms, counted as the matrix products that they are defined as."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from hwsim.workloads.einsum import Einsum
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.problem import matmul


def _transform(places: int, points: int, parts: int, bins: int) -> list[Einsum]:
    """Every bin of every transform: real and imaginary part from every point's real (and imaginary) part."""
    return [Einsum(matmul({"P": places, "C": points * parts, "M": bins * 2}))]


def _stft(node: Node) -> list[Einsum]:
    x, (batch, frames, bins, _) = node.shape(0, 2, 3), node.output_shape()
    length = node.value(3).data if node.has(3) else None
    if length is not None:
        points = int(length.reshape(-1)[0])
    elif node.has(2):
        points = node.shape(2, 1)[0]
    else:
        raise node.error("the frame's length is only known when the network runs")
    return _transform(batch * frames, points, x[2] if len(x) == 3 else 1, bins)


def _dft(node: Node) -> list[Einsum]:
    x, y = node.shape(0), node.output_shape()
    axis = node.integer("axis", 1 if not node.has(2) and "axis" in node.attributes else -2)
    given = node.value(2).data if node.has(2) else None
    if node.has(2) and given is None:
        raise node.error("the axis is only known when the network runs")
    axis = axis if given is None else int(given.reshape(-1)[0])
    if len(x) < 2 or len(x) != len(y) or not -len(x) <= axis < len(x) or axis in (-1, len(x) - 1):
        raise node.error(f"input {list(x)} has no axis {axis} to transform")
    places = prod(size for place, size in enumerate(x[:-1]) if place != axis % len(x))
    return _transform(places, x[axis], x[-1], y[axis])


def _one_sided(node: Node, inferred: list[Inferred]) -> list[Inferred]:
    """Half the bins unless ``onesided`` is 0, which ONNX's inference does not take as the default."""
    length = node.value(3).data if node.has(3) else None
    points = int(length.reshape(-1)[0]) if length is not None else node.value(2).elements if node.has(2) else 0
    found = inferred[0]
    if not node.integer("onesided", 1) or not points or found.shape is None or len(found.shape) != 4:
        return inferred
    return [replace(found, shape=(*found.shape[:2], points // 2 + 1, found.shape[3])), *inferred[1:]]


def _dense(node: Node) -> str:
    return "counted as a product with the matrix of the Fourier transform; a fast transform multiplies less"


OPERATORS = (
    OperatorType("DFT", _dft, (0,), remark=_dense),
    OperatorType("STFT", _stft, (0,), settings=(1, 3), amend=_one_sided, remark=_dense),
)
