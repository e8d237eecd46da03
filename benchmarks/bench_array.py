"""The array simulator: how fast it steps, and what it says of whole networks.

Run it by ``make bench-array``; it writes ``benchmarks/array.md`` and fails where a result or a count is wrong.
Seconds are CPU time of one core, kernels compiled, mappings known.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from hwsim.architecture import Architecture
from hwsim.array.arithmetic import Arithmetic
from hwsim.array.compare import compare_counts, compare_cycles
from hwsim.array.network import Graph, LayerRun, run_layer, run_network
from hwsim.array.reference import TOLERANCE, compare, run_model
from hwsim.array.run import Simulation, simulate
from hwsim.cost import LayerCost
from hwsim.design import load_architecture, load_design
from hwsim.network import map_layer
from hwsim.workloads import int8
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.problem import Problem, conv, depthwise, grouped_conv, matmul

ROOT = Path(__file__).parent.parent
IMAGES = 20
KINDS: dict[str, Problem] = {
    "dense 3×3, 64→64, 28×28": conv({"C": 64, "M": 64, "R": 3, "S": 3, "P": 28, "Q": 28}),
    "pointwise, 128→128, 28×28": conv({"C": 128, "M": 128, "P": 28, "Q": 28}),
    "strided 3×3, 32→64, 28×28": conv({"C": 32, "M": 64, "R": 3, "S": 3, "P": 28, "Q": 28}, wstride=2, hstride=2),
    "grouped 3×3, 4 × 16→16, 28×28": grouped_conv({"G": 4, "C": 16, "M": 16, "R": 3, "S": 3, "P": 28, "Q": 28}),
    "depthwise 3×3, 128, 28×28": depthwise({"C": 128, "R": 3, "S": 3, "P": 28, "Q": 28}),
    "matrix product 256×256×256": matmul({"C": 256, "M": 256, "P": 256}),
}
ARCHITECTURES = ("simple_ws", "simple_os", "eyeriss_like", "nvdla_like")


def mapped(problem: Problem, arch: str) -> tuple[Architecture, LayerCost]:
    """A problem's best mapping, searched once and then cached."""
    design = load_design(arch)
    cost = map_layer(problem, design)
    assert isinstance(cost, LayerCost), cost
    return design.architecture.bind(tuple(space.name for space in problem.data_spaces)), cost


def speed_table() -> list[str]:
    """MAC steps per second by kind of layer."""
    lines = [
        "| layer | architecture | multipliers | MACs | seconds, first run | again | million MAC steps/s, first run | again "
        "| counts | with lines |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rng = np.random.default_rng(0)
    for arch in ARCHITECTURES:
        for name, problem in KINDS.items():
            architecture, cost = mapped(problem, arch)
            sizes = problem.sizes
            tensors = {
                space.name: rng.integers(
                    -99, 99, tuple(1 + sum(c * (sizes[d] - 1) for c, d in rank) for rank in space.projection)
                )
                for space in problem.data_spaces
                if not space.read_write
            }
            took = []
            for _ in range(4):
                start = process_time()
                found = simulate(problem, architecture, cost.mapping, tensors, Arithmetic(floating=False))
                took.append(process_time() - start)
            assert isinstance(found, Simulation), found
            counts = compare_counts(found, cost)
            assert all(c.explained for c in counts) and compare_cycles(found, cost).explained, name
            first, again = took[0], min(took[1:])
            lines.append(
                f"| {name} | {arch} | {cost.compute.instances} | {problem.macs:,} | {first:.3f} | {again:.3f} "
                f"| {problem.macs / first / 1e6:.1f} | {problem.macs / again / 1e6:.1f} | {len(counts)} equal | {sum(bool(c.lines) for c in counts)} |"
            )
            print(lines[-1], flush=True)
    return lines


def load(path: Path) -> tuple[Graph, Architecture, dict[Problem, LayerCost]]:
    """A network and the mappings of its layers on simple_ws."""
    graph = Graph(path, read_onnx(path))
    architecture, _ = load_architecture("simple_ws")
    return graph, architecture, {p: mapped(p, "simple_ws")[1] for p in set(graph.layers().values())}


def run_images(path: Path, images: int) -> tuple[int, float, float, int, int, float]:
    """Run images through a network.

    Returns:
        MACs, seconds, seconds of the layers on the array alone, counts compared, counts with lines, largest difference.
    """
    graph, architecture, costs = load(path)
    rng = np.random.default_rng(1)
    macs = counted = with_lines = 0
    seconds = on_array = worst = 0.0
    for _ in range(images):
        feed = graph.feed("random", rng)
        start = process_time()
        *runs, outputs = run_network(graph, architecture, costs, feed)
        seconds += process_time() - start
        for run in runs:
            assert isinstance(run, LayerRun)
            start = process_time()
            run_layer(architecture, run.cost, run.name, run.call)
            on_array += process_time() - start
            counts = compare_counts(run.simulation, run.cost)
            assert all(c.explained for c in counts), run.name
            assert compare_cycles(run.simulation, run.cost).explained, run.name
            macs += run.simulation.macs
            counted += len(counts)
            with_lines += sum(bool(c.lines) for c in counts)
        expected, who = run_model(graph.model, feed)
        assert isinstance(outputs, dict)
        for name, value in outputs.items():
            verdict = compare(value, expected[name], who)
            assert verdict.agrees, (path.name, name, verdict)
            worst = max(worst, verdict.difference)
    return macs, seconds, on_array, counted, with_lines, worst


def network_table() -> list[str]:
    """Whole networks against onnxruntime and the model."""
    lines = [
        "| network on simple_ws | images | MACs | seconds | on the array | million MAC steps/s there | output | counts "
        "| with lines |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, build in int8.NETWORKS.items():
            paths[f"{name}, int8"] = (Path(folder) / f"{name}.onnx", IMAGES)
            paths[f"{name}, int8"][0].write_bytes(build().SerializeToString())
        paths["MobileNetV2 trained on CIFAR-10, float"] = (ROOT / "workloads/trained/mobilenetv2_cifar10.onnx", 1)
        for name, (path, images) in paths.items():
            macs, seconds, on_array, counted, with_lines, worst = run_images(path, images)
            output = (
                "equal to onnxruntime" if worst == 0 else f"within {worst:.1e} of onnxruntime (limit {TOLERANCE:g})"
            )
            lines.append(
                f"| {name} | {images} | {macs:,} | {seconds:.1f} | {on_array:.1f} | {macs / on_array / 1e6:.1f} | {output} "
                f"| {counted} equal | {with_lines} |"
            )
            print(lines[-1], flush=True)
    return lines


def pairs_table() -> list[str]:
    """What lies between the machine and the model on the random pairs of the tests."""
    from hypothesis import HealthCheck, given, settings

    from tests.array.array_cases import operands
    from tests.strategies import Mapped
    from tests.strategies import mapped as pairs

    found: Counter[str] = Counter()

    @settings(
        max_examples=1000, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(pairs())
    def run(case: Mapped) -> None:
        result = simulate(
            case.problem, case.architecture, case.mapping, operands(case.problem), Arithmetic(floating=False)
        )
        assert isinstance(result, Simulation)
        named = {name for c in result.counts for name in c.lines}
        found.update(named or {"none"})

    run()
    return ["| line | pairs of 1,000 |", "|---|---|", *(f"| {name} | {n} |" for name, n in found.most_common())]


def warm() -> None:
    """Compile the kernels for whole numbers and for floats, or load them."""
    problem = matmul({"C": 2})
    architecture, cost = mapped(problem, "simple_ws")
    for kind, dtype in ((False, np.int64), (True, np.float64)):
        ones = {
            space.name: np.ones(2, dtype).reshape((1, 2, 1) if space.name == "Weights" else (1, 1, 2))
            for space in problem.data_spaces[:2]
        }
        assert isinstance(simulate(problem, architecture, cost.mapping, ones, Arithmetic(floating=kind)), Simulation)


def main() -> None:
    """Measure and write the page."""
    warm()
    parts = [
        "# The array simulator, measured",
        "",
        "Written by `make bench-array`. Seconds are CPU time on one core with compiled kernels and known mappings; a MAC step is",
        "one multiply-accumulate with its operands read from simulated storages, everything counted. The first run of a layer also",
        "works out where everything stands, which later ones know (the best of three). The time of a step is a fixed part and one",
        "that grows with the multipliers in use, so arrays that a layer leaves mostly empty are slower per MAC.",
        '"Equal" counts are those of the model once the lines named in [docs/simulator.md](../docs/simulator.md) are taken off; the last',
        "column says how many have any.",
        "",
        "## Speed by kind of layer",
        "",
        *speed_table(),
        "",
        "## Networks",
        "",
        "Seconds are of all images and operators; on the array: of its layers alone, run once more with their plans known.",
        "",
        *network_table(),
        "",
        "## Random layers on small arrays",
        "",
        "How many pairs have a count with a line (a pair may have several):",
        "",
        *pairs_table(),
    ]
    (ROOT / "benchmarks" / "array.md").write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
