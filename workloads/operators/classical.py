"""Classical models of ``ai.onnx.ml``: linear ones and support vectors, whose weights are attributes; preparation."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.workloads.einsum import Access, Einsum, Index, ranks
from hwsim.workloads.operators.node import Node
from hwsim.workloads.operators.operator import OperatorType
from hwsim.workloads.operators.schema import Inferred
from hwsim.workloads.operators.standard import FLOAT, INT64, like
from hwsim.workloads.problem import matmul


def _batch(node: Node) -> tuple[int, int]:
    """Samples and their features: [features] is one sample."""
    shape = node.shape(0, 1, 2)
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _length(node: Node, name: str) -> int:
    values = node.attributes.get(name, ())
    return len(values) if isinstance(values, Sequence) else 0


def _product(node: Node, numbers: str) -> list[Einsum]:
    """Every sample with every row of a matrix that an attribute holds."""
    samples, features = _batch(node)
    rows, rest = divmod(_length(node, numbers), features or 1)
    if rest:
        raise node.error(f"attribute '{numbers}' has {_length(node, numbers)} numbers for {features} features")
    x = ranks("c") if len(node.shape(0)) == 1 else ranks("p", "c")
    return [
        Einsum(
            matmul({"P": samples, "C": features, "M": rows}),
            1,
            (Access("Weights", ranks("m", "c")), Access("Inputs", x, 0), Access("Outputs", ranks("p", "m"))),
            (Index("p", samples, "P"), Index("c", features, "C"), Index("m", rows, "M")),
        )
    ]


def _linear(node: Node) -> list[Einsum]:
    return _product(node, "coefficients")


def _support_vectors(node: Node) -> list[Einsum]:
    """The kernel's products with all support vectors; a linear machine keeps coefficients alone."""
    return _product(node, "support_vectors" if _length(node, "support_vectors") else "coefficients")


def _regressed(node: Node) -> list[Inferred]:
    return [Inferred(FLOAT, (_batch(node)[0], node.integer("targets", 1)))]


def _classified(node: Node, inferred: list[Inferred]) -> list[Inferred]:
    """Labels and scores; ONNX's inference takes the number of classes from names alone."""
    samples, names = _batch(node)[0], ("classlabels_ints", "classlabels_strings", "classlabels_int64s")
    classes = max(_length(node, name) for name in names)
    label = Inferred(8 if _length(node, "classlabels_strings") else INT64, (samples,))
    return [label, Inferred(FLOAT, (samples, classes) if classes else None)][: len(inferred)]


_ML = "ai.onnx.ml"

OPERATORS = (
    OperatorType(f"{_ML}.LinearRegressor", _linear, (0,), types=_regressed),
    OperatorType(f"{_ML}.LinearClassifier", _linear, (0,), amend=_classified),
    OperatorType(f"{_ML}.SVMRegressor", _support_vectors, (0,), types=_regressed),
    OperatorType(f"{_ML}.SVMClassifier", _support_vectors, (0,), amend=_classified),
    OperatorType(f"{_ML}.Binarizer", types=like(0)),
    OperatorType(f"{_ML}.Imputer", types=like(0)),
    OperatorType(f"{_ML}.Normalizer", types=like(0, elem_type=FLOAT)),
    OperatorType(f"{_ML}.Scaler", types=like(0, elem_type=FLOAT)),
)
