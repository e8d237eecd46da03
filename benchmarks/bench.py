"""Measure what the README promises: start-up, first run, cold and warm profile, memory, and the kernels' throughput.

Run it by ``make bench``; it writes ``benchmarks/results.md``. Nothing of the user's caches is used.
"""

from __future__ import annotations

import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
HWSIM = str(Path(sys.executable).with_name("hwsim"))
MODEL = "zoo:mobilenet_v2"


def timed(args: list[str], env: dict[str, str]) -> tuple[float, float]:
    """(seconds, peak MiB) of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(args, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{args} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def throughput(seconds: float = 3.0) -> tuple[float, float]:
    """Mappings per second of one ResNet-18 layer on simple_ws: inside the kernels, and through ``evaluate``."""
    import numpy as np

    from hwsim import batch
    from hwsim.design import load_architecture
    from hwsim.mapper.factors import divisors
    from hwsim.mapping import LevelMapping, Loop, Mapping
    from hwsim.model import evaluate
    from hwsim.workloads.problem import conv

    architecture, energy = load_architecture("simple_ws")
    problem = conv({"C": 128, "M": 128, "R": 3, "S": 3, "P": 28, "Q": 28})
    rng = random.Random(1)
    keeps = [frozenset({"Weights", "Inputs", "Outputs"})] * 2 + [x.constraints.keep for x in architecture.levels[2:]]
    mappings: list[Mapping] = []
    while len(mappings) < 2000:
        loops: dict[str, list[Loop]] = {x.name: [] for x in architecture.levels}
        for dim, size in problem.dims:
            left = size
            for level, limit in (("pe_spad", 4), ("PE", 16 if dim in "CM" else 1), ("shared_glb", 10**9)):
                factor = rng.choice([d for d in divisors(left) if d <= limit])
                loops[level].append(Loop(dim, factor, {"C": "X", "M": "Y"}.get(dim, "Y") if level == "PE" else ""))
                left //= factor
            loops["DRAM"].append(Loop(dim, left))
        for own in loops.values():
            rng.shuffle(own)
        levels = tuple(
            LevelMapping(
                x.name,
                () if x.name == "PE" else tuple(loops[x.name]),
                tuple(loops[x.name]) if x.name == "PE" else (),
                k,
            )
            for x, k in zip(architecture.levels, keeps, strict=True)
        )
        mapping = Mapping(levels)
        if hasattr(evaluate(problem, architecture, mapping, energy), "cycles"):
            mappings.append(mapping)
    packed = batch.pack(problem, architecture, mappings, energy)
    figures = batch.evaluate_packed(packed)
    for k in range(0, len(mappings), 97):
        cost = evaluate(problem, architecture, mappings[k], energy)
        assert np.isclose(figures[k, 0], cost.energy_pj) and figures[k, 1] == cost.cycles
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        batch.evaluate_packed(packed)
        done += len(mappings)
    inside = done / (time.perf_counter() - start)
    start = time.perf_counter()
    for mapping in mappings:
        evaluate(problem, architecture, mapping, energy)
    return inside, len(mappings) / (time.perf_counter() - start)


def main() -> None:
    """Measure and write the table."""
    lines = [
        "# Measured",
        "",
        "By `make bench` on " + f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
        "",
    ]
    lines += ["| what | measured | asked |", "|---|---|---|"]

    def report(what: str, measured: str, asked: str) -> None:
        lines.append(f"| {what} | {measured} | {asked} |")
        print(f"{what}: {measured} ({asked})", flush=True)

    help_times = [timed([HWSIM, "--help"], {})[0] for _ in range(5)]
    report("`hwsim --help`, best of 5", f"{min(help_times):.2f} s", "< 0.3 s")
    with tempfile.TemporaryDirectory() as fresh:
        env = {"NUMBA_CACHE_DIR": f"{fresh}/numba", "HWSIM_CACHE_DIR": f"{fresh}/hwsim"}
        first, _ = timed([HWSIM, "profile", MODEL], env)
        report("MobileNetV2, first run on a machine (compiles)", f"{first:.1f} s", "< 60 s")
        cold, memory = timed([HWSIM, "profile", MODEL, "--no-cache"], env)
        report(
            "MobileNetV2, kernels compiled, no mapping cached, one core",
            f"{cold:.1f} s, {memory:.0f} MiB",
            "< 20 s, < 1 GiB",
        )
        both, _ = timed([HWSIM, "profile", MODEL, "--no-cache", "--jobs", "2"], env)
        report("the same with `--jobs 2`", f"{both:.1f} s", "≤ 5 s")
        warm, memory = timed([HWSIM, "profile", MODEL], env)
        report("MobileNetV2, mappings cached", f"{warm:.2f} s, {memory:.0f} MiB", "≤ 1.5 s")
    inside, outside = throughput()
    report("mappings per second and core inside the kernels (ResNet-18 layer)", f"{inside:,.0f}", "≥ 200,000")
    report("mappings per second through `evaluate`", f"{outside:,.0f}", "")
    report("peak memory of this benchmark", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", "")
    (HERE / "results.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
