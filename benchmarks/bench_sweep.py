"""The search over many designs: a seeded sample of a five-parameter space around ``simple_ws``, MobileNetV2 on each.

Run it by ``python benchmarks/bench_sweep.py [DESIGNS]``; it writes ``benchmarks/sweep.md``. Nothing is cached on disk.
Every problem of every design is searched with what the process remembers of the designs before, and again without;
both have to find the same mapping, energy, cycles and certificate.
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from hwsim import network
from hwsim.cost import Illegal, LayerCost
from hwsim.design import load_architecture, load_design
from hwsim.design.settings import Setting
from hwsim.mapper import search
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx

SPACE = {
    "shared_glb.depth": [2048, 4096, 8192, 16384, 32768, 65536, 131072],
    "PE.meshX": [8, 12, 16, 24, 32, 64],
    "PE.meshY": [8, 12, 16, 24, 32, 64],
    "pe_spad.depth": [16, 32, 64, 128, 192, 384],
    "*.technology": ["65nm", "45nm", "32nm", "22nm"],
}
SEED = 0


def sample(count: int) -> list[dict[str, object]]:
    """Designs drawn at random: neighbours have little in common, which is the worst case for what is remembered."""
    rng = random.Random(SEED)
    return [{name: rng.choice(values) for name, values in SPACE.items()} for _ in range(count)]


def neighbours(count: int) -> list[dict[str, object]]:
    """Part of a grid: technology changes with every design, the scratchpad with every fourth."""
    base = {"shared_glb.depth": 16384, "PE.meshX": 16, "PE.meshY": 16}
    grid = [
        {**base, "PE.meshX": x, "pe_spad.depth": depth, "*.technology": node}
        for x in (16, 24, 32)
        for depth in (64, 192, 384)
        for node in SPACE["*.technology"]
    ]
    return grid[:count]


def found(cost: LayerCost | Illegal) -> object:
    """What a search found, without the work that it took."""
    if isinstance(cost, Illegal) or cost.certificate is None:
        return cost
    c = cost.certificate
    return cost.mapping, cost.energy_pj, cost.cycles, c.value, c.optimal, c.lower_bound


def run(name: str, designs: list[dict[str, object]], problems: list) -> list[str]:  # type: ignore[type-arg]
    """Lines of the table: CPU seconds a design with what is remembered, and without."""
    hints = network.Hints()
    spent: dict[str, list[float]] = {"remembering": [], "each alone": []}
    worst = dict.fromkeys(spent, 0.0)
    open_, same, count = 0, 0, 0
    for design in designs:
        started = time.process_time()
        listed = [Setting(*target.rsplit(".", 1), value) for target, value in design.items()]
        built = load_design("simple_ws", listed, own_prices=True)
        loading = time.process_time() - started
        for kind in spent.values():
            kind.append(loading)
        for problem in problems:
            start = time.process_time()
            first = network.map_layer(problem, built, use_cache=False, hints=hints)
            middle = time.process_time()
            second = search(problem, built.architecture, built.energy)
            for kind, seconds in (("remembering", middle - start), ("each alone", time.process_time() - middle)):
                spent[kind][-1] += seconds
                worst[kind] = max(worst[kind], seconds)
            count += 1
            same += found(first) == found(second)
            open_ += not (isinstance(first, LayerCost) and first.certificate and first.certificate.optimal)
        print(name, design, f"{spent['remembering'][-1]:.2f} s, alone {spent['each alone'][-1]:.2f} s", flush=True)
    print(f"{same} of {count} the same with and without")
    if same != count:
        sys.exit("the search depends on what was searched before")
    return [
        f"| {name}, {kind}, {len(designs)} designs | {statistics.mean(x):.2f} | {statistics.median(x):.2f} | {max(x):.2f} "
        f"| {worst[kind]:.2f} | {open_} of {count} open |"
        for kind, x in spent.items()
    ]


def main() -> None:
    """Measure and write the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    with tempfile.TemporaryDirectory() as folder:
        layers = read_onnx(zoo.write("mobilenet_v2", Path(folder) / "m.onnx")).layers()
    problems = [x.problem for x in layers]
    search(problems[0], *load_architecture("simple_ws"))  # compiles
    lines = run("random", sample(count), problems)
    lines += run("grid", neighbours(count), problems)
    text = [
        "# The search over many designs",
        "",
        f"By `python benchmarks/bench_sweep.py {count}`; CPU seconds of one core. MobileNetV2, {len(problems)} distinct "
        "problems a design, least energy × delay, nothing cached. *Remembering*: what was best on designs before bounds "
        "the search (`map_layer`); *each alone*: without. Both find the same mapping, energy, cycles and certificate.",
        "",
        "| designs | mean s a design | median s | worst design s | worst problem s | not proved |",
        "|---|---|---|---|---|---|",
        *lines,
        "",
        f"Peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB.",
    ]
    (Path(__file__).parent / "sweep.md").write_text("\n".join(text) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
