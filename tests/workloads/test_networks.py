"""Random networks, built with their shapes and multiplications: read, they have the same."""

import random
from pathlib import Path

import onnx

from hwsim.workloads.onnx.reader import read_onnx
from tests.fuzz.networks import random_network


def test_the_networks_are_what_they_are_said_to_be() -> None:
    """By ONNX's own checker and shape inference."""
    for number in range(300):
        made = random_network(random.Random(number))
        onnx.checker.check_model(made.model)
        inferred = onnx.shape_inference.infer_shapes(made.model, check_type=True, strict_mode=True, data_prop=True)
        sizes = inferred.graph.output[0].type.tensor_type.shape.dim
        if not made.dims:
            assert tuple(d.dim_value for d in sizes) == made.shapes[made.output], number


def test_networks_are_read_as_they_were_built(tmp_path: Path) -> None:
    """The shape of every tensor and the multiplications of every operator."""
    path = tmp_path / "model.onnx"
    for number in range(600):
        made = random_network(random.Random(number))
        path.write_bytes(made.model.SerializeToString())
        workload = read_onnx(path, made.dims)
        found = {op.name: sum(n * problem.macs for problem, n in op.problems) for op in workload.operators if op.mapped}
        assert found == made.products, number
        assert {name: workload.tensors[name].shape for name in made.shapes} == made.shapes, number
