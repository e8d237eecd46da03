"""The search beside Timeloop's stock mapper, layer by layer, and on the layers of whole networks.

Run it by ``make bench-mapper``; it writes ``benchmarks/mapper.md``. Timeloop's figures are those of
``tests/reference/stock_mapper.jsonl.gz``: its stock stop rule, one thread of a 2-core machine. Nothing is cached.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from hwsim.cost import LayerCost
from hwsim.design import load_architecture
from hwsim.mapper import search
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.problem import Problem, conv, matmul
from tests.reference_cases import architecture, stock_mapper

TIME_LIMIT = 30.0  # seconds per problem, looked at between the levels of the walk
#: Networks of the timing table: those of the zoo, and two given by their distinct problems.
ZOO = ("mobilenet_v2", "resnet18", "llama3_2_1b_prefill", "llama3_2_1b_decode")
VGG16 = [(3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 512, 28), (512, 512, 28), (512, 512, 14)]  # fmt: skip
VIT_B16 = [(197, 768, 2304), (197, 768, 768), (197, 768, 3072), (197, 3072, 768), (1, 768, 1000)]


def problems() -> dict[str, list[Problem]]:
    """Network → distinct problems."""
    out: dict[str, list[Problem]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ZOO:
            out[name] = [x.problem for x in read_onnx(zoo.write(name, Path(folder) / "m.onnx")).layers()]
    out["vgg16"] = [conv({"C": c, "M": m, "R": 3, "S": 3, "P": p, "Q": p}) for c, m, p in VGG16]
    out["vgg16"] += [matmul({"C": c, "M": m}) for c, m in ((25088, 4096), (4096, 4096), (4096, 1000))]
    out["vit_b_16"] = [conv({"C": 3, "M": 768, "R": 16, "S": 16, "P": 14, "Q": 14}, wstride=16, hstride=16)]
    out["vit_b_16"] += [matmul({"P": p, "C": c, "M": m}) for p, c, m in VIT_B16]
    out["vit_b_16"] += [matmul({"B": 12, "P": 197, "C": c, "M": m}) for c, m in ((64, 197), (197, 64))]
    return out


def solve(problem: Problem, arch: str) -> LayerCost:
    """Best mapping by energy × delay, or the best after a while."""
    design = architecture(arch) if arch == "simple_weight_stationary" else load_architecture(arch)
    cost = search(problem, *design, time_limit=TIME_LIMIT)
    assert isinstance(cost, LayerCost) and cost.certificate is not None
    return cost


def stock_table() -> list[str]:
    """Ours against Timeloop's, a line per layer."""
    lines = [
        "| layer | EDP ours (pJ·cycles) | EDP Timeloop | ratio | optimal | s ours | s Timeloop |",
        "|---|---|---|---|---|---|---|",
    ]
    ratios, speedups, ours_s, theirs_s = [], [], [], []
    for row in stock_mapper():
        cost = solve(row.problem, "simple_weight_stationary")
        assert cost.certificate is not None
        theirs = row.energy_pj * row.cycles
        ratio, seconds = cost.edp / theirs, cost.certificate.seconds
        ratios.append(ratio)
        speedups.append(row.timeloop_seconds / seconds)
        ours_s.append(seconds)
        theirs_s.append(row.timeloop_seconds)
        lines.append(
            f"| {row.name} | {cost.edp:.6g} | {theirs:.6g} | {ratio:.4f} | {cost.certificate.optimal} | {seconds:.3f} | {row.timeloop_seconds:.1f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "",
        f"{len(ratios)} layers: geometric-mean EDP ratio {statistics.geometric_mean(ratios):.3f} (largest {max(ratios):.6f}), "
        f"geometric-mean speed-up {statistics.geometric_mean(speedups):,.0f}×, median {statistics.median(ours_s):.3f} s against "
        f"{statistics.median(theirs_s):.1f} s, worst {max(ours_s):.2f} s.",
    ]
    print(lines[-1])
    return lines


def network_line(arch: str) -> str:
    """Seconds per distinct problem of whole networks on one architecture."""
    distinct = list(dict.fromkeys(p for group in problems().values() for p in group))
    seconds, gaps = [], []
    for problem in distinct:
        certificate = solve(problem, arch).certificate
        assert certificate is not None
        seconds.append(certificate.seconds)
        gaps.append(0.0 if certificate.optimal else 1 - certificate.lower_bound / certificate.value)
        if seconds[-1] > 2:
            print(arch, problem.kind, problem.sizes, f"{seconds[-1]:.1f} s", flush=True)
    line = (
        f"| {arch} | {len(distinct)} | {statistics.median(seconds):.3f} | {max(seconds):.2f} "
        f"| {sum(g == 0 for g in gaps)} | {max(gaps):.2g} |"
    )
    print(line, flush=True)
    return line


def main() -> None:
    """Measure and write the tables, each line as soon as it is known."""
    solve(conv({"C": 16, "M": 16, "R": 3, "P": 8}), "simple_ws")  # compiles
    file = Path(__file__).parent / "mapper.md"
    text = ["# The search beside Timeloop's stock mapper", "", "By `make bench-mapper`; one core.", ""]
    text += [*stock_table(), "", "## Whole networks", ""]
    text += [f"{', '.join(problems())}, every distinct problem once, least energy × delay.", ""]
    text += [
        "| architecture | problems | median s | worst s | proved optimal | largest gap |",
        "|---|---|---|---|---|---|",
    ]
    for arch in ("simple_ws", "eyeriss_like", "simba_like"):
        text.append(network_line(arch))
        file.write_text("\n".join(text) + "\n")
    text += ["", f"Peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB."]
    file.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
