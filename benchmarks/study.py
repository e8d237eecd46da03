"""What if the buffer and the array had another size? Two networks on 28 designs, and a check of three of them.

Run by `make study`. Writes docs/study.md (tables, with the text of docs/study/notes.md), docs/study/*.svg and
docs/study/study.json. The check does not use the study's own path: it edits the architecture file as text, writes
problems and mappings as Timeloop's YAML and runs `hwsim evaluate` on them as a process of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from hwsim.cost import NetworkCost
from hwsim.design import load_architecture
from hwsim.design.load import find_architecture
from hwsim.design.settings import Setting
from hwsim.files import write_file
from hwsim.reports.palette import ROLES, component_roles
from hwsim.spec.mapping import mapping_to_timeloop
from hwsim.whatif import Variant, limited_by, study
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.problem import Problem

ROOT = Path(__file__).parent.parent
OUT = ROOT / "docs" / "study"
ARCH = "simple_ws"
NETWORKS = ("resnet18", "mobilenet_v2")
BUFFERS_KIB = (16, 32, 64, 128, 256, 512, 1024)
ARRAYS = (8, 16, 32, 64)
WORDS_PER_KIB = 1024 // 8  # entries of 64 bits
CHECKED = (("resnet18", 16, 8), ("mobilenet_v2", 128, 16), ("mobilenet_v2", 1024, 64))
BASE = (128, 16)
Point = tuple[str, int, int]


def settings(buffer_kib: int, array: int) -> tuple[Setting, ...]:
    """The design with a buffer of so many KiB and an array of so many columns and rows."""
    return (
        Setting("shared_glb", "depth", buffer_kib * WORDS_PER_KIB),
        Setting("PE", "meshX", array),
        Setting("PE", "meshY", array),
    )


def run() -> dict[Point, Variant]:
    """Every network on every design."""
    designs = [(b, a) for b in BUFFERS_KIB for a in ARRAYS]
    out: dict[Point, Variant] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            workload = read_onnx(zoo.write(name, Path(folder) / f"{name}.onnx"), {})
            variants = study(workload, ARCH, [settings(b, a) for b, a in designs])
            # the first column is the design as it is
            for (b, a), variant in zip(designs, variants[1:], strict=True):
                out[name, b, a] = variant
                print(f"{name} {b} KiB {a}×{a}: {variant.cost.energy_pj * 1e-9:.3f} mJ, {variant.cost.cycles:,} cycles")
    return out


def words(cost: NetworkCost, level: str, data_space: str) -> int:
    """Words of one data space that pass a storage, all instances together: reads, fills and updates."""
    total = 0
    for layer in cost.layers:
        for placed in layer.cost.levels:
            if placed.name == level and data_space in placed.data_spaces:
                d = placed.data_spaces[data_space]
                total += layer.count * d.instances * (d.reads + d.fills + d.updates)
    return total


def limits(cost: NetworkCost) -> dict[str, int]:
    """Cycles of the layers by what limits them."""
    out: Counter[str] = Counter()
    for layer in cost.layers:
        out[limited_by(layer.cost)] += layer.count * layer.cost.cycles
    return dict(out)


def energy_by_level(cost: NetworkCost) -> dict[str, float]:
    """Level → pJ over the network."""
    out: Counter[str] = Counter()
    for layer in cost.layers:
        for name, pj in layer.cost.energy_by_level_pj.items():
            out[name] += layer.count * pj
    return dict(out)


def _problem(problem: Problem) -> dict[str, Any]:
    """A problem in Timeloop's form."""
    spaces = []
    for d in problem.data_spaces:
        projection = [" + ".join(f"{c}*{dim}" for c, dim in rank) for rank in d.projection]
        spaces.append({"name": d.name, "projection": projection, **({"read_write": True} if d.read_write else {})})
    shape = {"name": "layer", "dimensions": [d for d, _ in problem.dims], "data_spaces": spaces}
    return {"shape": shape, "instance": dict(problem.dims)}


def edited(buffer_kib: int, array: int) -> str:
    """The architecture file as text with the two changes made in it."""
    text = find_architecture(ARCH).read_text()
    for old, new in (
        ("depth: 16384", f"depth: {buffer_kib * WORDS_PER_KIB}"),
        ("meshX: 16, meshY: 16", f"meshX: {array}, meshY: {array}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def check(point: Point, variant: Variant) -> dict[str, Any]:
    """Energy and cycles of a design again, layer by layer, by `hwsim evaluate` on files written here."""
    _, buffer_kib, array = point
    architecture = variant.design.architecture
    layers = variant.cost.layers
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "arch.yaml").write_text(edited(buffer_kib, array))
        files = []
        for k, layer in enumerate(layers):
            spec = {
                "problem": _problem(layer.cost.problem),
                "mapping": mapping_to_timeloop(layer.cost.mapping, architecture, layer.cost.problem),
            }
            files.append(place / f"layer{k:02}.yaml")
            files[-1].write_text(yaml.safe_dump(spec))
        command = [sys.executable, "-c", "from hwsim.cli import main; main()", "evaluate", str(place / "arch.yaml")]
        done = subprocess.run([*command, *map(str, files), "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert len(found) == len(layers)
    energy = sum(layer.count * one["energy_pj"] for layer, one in zip(layers, found, strict=True))
    cycles = sum(layer.count * one["cycles"] for layer, one in zip(layers, found, strict=True))
    return {
        "energy_pj": energy,
        "cycles": cycles,
        "energy_difference": abs(energy / variant.cost.energy_pj - 1),
        "cycles_difference": cycles - variant.cost.cycles,
    }


def table(points: dict[Point, Variant], network: str, figure: Callable[[Variant], str]) -> list[str]:
    """Buffers down, arrays across."""
    out = ["| buffer | " + " | ".join(f"{a}×{a}" for a in ARRAYS) + " |", "|---" * (len(ARRAYS) + 1) + "|"]
    for b in BUFFERS_KIB:
        out.append(f"| {b} KiB | " + " | ".join(figure(points[network, b, a]) for a in ARRAYS) + " |")
    return out


def traffic(points: dict[Point, Variant], network: str, designs: list[tuple[int, int]], vary: str) -> list[str]:
    """Million words at DRAM and at the buffer by tensor, a row a design."""
    spaces = ("Weights", "Inputs", "Outputs")
    head = [f"{level} {d.lower()}" for level in ("DRAM", "shared_glb") for d in spaces]
    out = [f"| {vary} | " + " | ".join(head) + " |", "|---" * 7 + "|"]
    for b, a in designs:
        cost = points[network, b, a].cost
        row = [f"{words(cost, level, d) / 1e6:.2f}" for level in ("DRAM", "shared_glb") for d in spaces]
        out.append(f"| {f'{b} KiB' if vary == 'buffer' else f'{a}×{a}'} | " + " | ".join(row) + " |")
    return out


def bottlenecks(points: dict[Point, Variant], network: str) -> list[str]:
    """Share of cycles by what limits them, arrays down, at the buffer of the design as it is."""
    found = {a: limits(points[network, BASE[0], a].cost) for a in ARRAYS}
    names = sorted({n for x in found.values() for n in x}, key=lambda n: (n != "array", n))
    out = ["| array | cycles (M) | utilization | " + " | ".join(names) + " |", "|---" * (len(names) + 3) + "|"]
    for a in ARRAYS:
        cost = points[network, BASE[0], a].cost
        shares = [f"{100 * found[a].get(n, 0) / cost.cycles:.0f}%" for n in names]
        out.append(
            f"| {a}×{a} | {cost.cycles / 1e6:.3f} | {100 * cost.utilization:.1f}% | " + " | ".join(shares) + " |"
        )
    return out


def plot(points: dict[Point, Variant], network: str, file: Path) -> None:
    """Energy by level over the buffer, cycles over the array, EDP over both."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "hwsim"
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.3), layout="constrained")
    stacks = [energy_by_level(points[network, b, BASE[1]].cost) for b in BUFFERS_KIB]
    roles = component_roles(points[network, *BASE].design.architecture)
    base = [0.0] * len(stacks)
    for name, role in roles.items():
        heights = [s.get(name, 0.0) * 1e-9 for s in stacks]
        left.bar(range(len(stacks)), heights, bottom=base, label=name, color=ROLES[role][0])
        base = [x + y for x, y in zip(base, heights, strict=True)]
    left.set_xticks(range(len(stacks)), [str(b) for b in BUFFERS_KIB])
    left.set(xlabel="global buffer (KiB)", ylabel="energy (mJ)", title=f"{network}, 16×16: energy by level")
    left.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    for b, role in ((16, "s2"), (128, "s1"), (1024, "s3")):
        cycles = [points[network, b, a].cost.cycles / 1e6 for a in ARRAYS]
        middle.plot(ARRAYS, cycles, "o-", label=f"{b} KiB", color=ROLES[role][0])
    ideal = [points[network, BASE[0], ARRAYS[0]].cost.cycles / 1e6 * (ARRAYS[0] / a) ** 2 for a in ARRAYS]
    middle.plot(ARRAYS, ideal, ":", color=ROLES["s0"][0], label="in proportion to the PEs")
    middle.set_xscale("log", base=2)
    middle.set_yscale("log")
    middle.set_xticks(ARRAYS, [f"{a}×{a}" for a in ARRAYS])
    middle.set(xlabel="array (PEs)", ylabel="cycles (M)", title="cycles")
    middle.legend(fontsize=7, frameon=False)
    edp = [[points[network, b, a].cost.edp_j_cycles for a in ARRAYS] for b in BUFFERS_KIB]
    image = right.imshow(edp, cmap="viridis_r", aspect="auto", norm="log", origin="lower")
    right.set_xticks(range(len(ARRAYS)), [f"{a}×{a}" for a in ARRAYS])
    right.set_yticks(range(len(BUFFERS_KIB)), [str(b) for b in BUFFERS_KIB])
    right.set(xlabel="array (PEs)", ylabel="global buffer (KiB)", title="EDP (J·cycles)")
    figure.colorbar(image, ax=right)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def report(points: dict[Point, Variant], checks: dict[Point, dict[str, Any]]) -> str:
    """The page."""
    out = [
        "# Buffer and array: a what-if study",
        "",
        f"ResNet-18 and MobileNetV2 (224×224, batch 1) on `{ARCH}` with its global buffer from {BUFFERS_KIB[0]} KiB to "
        f"{BUFFERS_KIB[-1] // 1024} MiB and its array from {ARRAYS[0]}×{ARRAYS[0]} to {ARRAYS[-1]}×{ARRAYS[-1]} PEs; "
        "every component priced anew, every layer mapped anew for the least EDP. Written by `make study`; one design is",
        "",
        "    hwsim whatif zoo:resnet18 --set shared_glb.depth=2048,PE.meshX=8,PE.meshY=8",
        "",
        (OUT / "notes.md").read_text().strip(),
    ]
    for network in NETWORKS:
        proved = [
            layer.cost.certificate is not None and layer.cost.certificate.optimal
            for (name, _, _), v in points.items()
            if name == network
            for layer in v.cost.layers
        ]
        out += ["", f"## {network}", "", f"![{network}](study/{network}.svg)", ""]
        out += [f"{sum(proved)} of {len(proved)} mappings are proved optimal.", "", "Energy (mJ):", ""]
        out += table(points, network, lambda v: f"{v.cost.energy_pj * 1e-9:.3f}")
        out += ["", "Cycles (M):", "", *table(points, network, lambda v: f"{v.cost.cycles / 1e6:.3f}")]
        out += ["", "EDP (J·cycles):", "", *table(points, network, lambda v: f"{v.cost.edp_j_cycles:.0f}")]
        out += ["", "On-chip area (mm²):", "", *table(points, network, lambda v: f"{v.design.area_um2 * 1e-6:.2f}")]
        out += ["", f"Million words read, filled and updated, by tensor, {BASE[1]}×{BASE[1]} PEs:", ""]
        out += traffic(points, network, [(b, BASE[1]) for b in BUFFERS_KIB], "buffer")
        out += ["", f"The same, {BASE[0]} KiB:", ""]
        out += traffic(points, network, [(BASE[0], a) for a in ARRAYS], "array")
        out += ["", f"What limits the cycles, {BASE[0]} KiB (share of cycles):", "", *bottlenecks(points, network)]
    out += [
        "",
        "## Checked at three points",
        "",
        "The architecture file edited by hand, problems and mappings written as Timeloop's YAML, `hwsim evaluate` as a "
        "process of its own:",
        "",
        "| network | buffer | array | energy (mJ) | relative difference | cycles | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for (name, b, a), c in checks.items():
        out.append(
            f"| {name} | {b} KiB | {a}×{a} | {c['energy_pj'] * 1e-9:.6f} | {c['energy_difference']:.1e} | "
            f"{c['cycles']:,} | {c['cycles_difference']} |"
        )
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)) + "\n"


def main() -> None:
    """Run the study, check it, write page, plots and figures."""
    OUT.mkdir(parents=True, exist_ok=True)
    load_architecture(ARCH)
    points = run()
    checks = {point: check(point, points[point]) for point in CHECKED}
    for point, found in checks.items():
        if found["energy_difference"] > 1e-9 or found["cycles_difference"]:
            sys.exit(f"{point}: evaluate disagrees: {found}")
    for network in NETWORKS:
        plot(points, network, OUT / f"{network}.svg")
    rows = [
        {
            "network": name, "buffer_kib": b, "array": a, "energy_pj": v.cost.energy_pj, "cycles": v.cost.cycles,
            "edp_j_cycles": v.cost.edp_j_cycles, "utilization": v.cost.utilization, "area_um2": v.design.area_um2,
            "energy_by_level_pj": energy_by_level(v.cost), "cycles_limited_by": limits(v.cost),
        }
        for (name, b, a), v in points.items()
    ]  # fmt: skip
    write_file(OUT / "study.json", json.dumps(rows, indent=1) + "\n")
    write_file(ROOT / "docs" / "study.md", report(points, checks))


if __name__ == "__main__":
    main()
