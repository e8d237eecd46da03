"""The systolic array beside SCALE-Sim: three layers, two arrays, weight-stationary.

Needs SCALE-Sim (`pip install -e '.[scalesim]'`). Run it by ``make bench-scalesim``, or with ``--page`` to write the page
anew from stored figures. It writes ``tests/reference/scalesim.json`` (SCALE-Sim's figures) and ``benchmarks/scalesim.md``.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from hwsim.array.systolic import SystolicDesign, cycles, matrix_product
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx
from hwsim.workloads.problem import Problem, matmul
from tests.array.scalesim_cases import (
    FILE,
    Case,
    buffers_kb,
    cases,
    folds,
    scalesim_cycles,
    scalesim_prefetch,
    scalesim_write_back,
)

ARRAYS = ((8, 8), (32, 32))
#: Large enough that nothing is fetched or written back twice, so that each term of its total stands alone.
BUFFERS_KB = {"ifmap": 16384, "filter": 16384, "ofmap": 65536}
CONFIG = """\
[general]
run_name = run
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = {ifmap}
FilterSramSzkB = {filter}
OfmapSramSzkB = {ofmap}
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Dataflow = ws
ReadRequestBuffer = 32
WriteRequestBuffer = 32
[layout]
IfmapCustomLayout = False
FilterCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def layer_of(model: str, name: str) -> Problem:
    """The problem of a layer of the zoo."""
    with tempfile.TemporaryDirectory() as folder:
        layers = read_onnx(zoo.write(model, Path(folder) / "m.onnx")).layers()
    return next(layer.problem for layer in layers if name in layer.names)


def layers() -> dict[str, Problem]:
    """A convolution, a pointwise one, and a matrix product: one head's scores in ViT-B/16 (197 tokens, 64 wide)."""
    return {
        "resnet18 stem": layer_of("resnet18", "stem"),
        "mobilenet_v2 block3.expand": layer_of("mobilenet_v2", "block3.expand"),
        "vit_b_16 scores, one head": matmul({"P": 197, "C": 64, "M": 197}),
    }


def topology(problem: Problem) -> tuple[str, int]:
    """SCALE-Sim's line for a layer (padded image height and width, filter, channels, filters, stride), input words."""
    s = problem.sizes
    if problem.kind == "matmul":
        return f"layer,{s['P']},{s['C']},1,{s['C']},1,{s['M']},1,", s["P"] * s["C"]
    inputs = next(x for x in problem.data_spaces if x.name == "Inputs")
    stride = {dim: step for rank in inputs.projection for step, dim in rank}
    assert stride["P"] == stride["Q"] and stride["R"] == stride["S"] == 1
    height, width = ((s[q] - 1) * stride["Q"] + s[f] for q, f in (("Q", "S"), ("P", "R")))
    line = f"layer,{height},{width},{s['S']},{s['R']},{s['C']},{s['M']},{stride['Q']},"
    return line, height * width * s["C"]


def scalesim(line: str, rows: int, columns: int) -> dict[str, float]:
    """One run: its COMPUTE_REPORT.csv, the first line."""
    from scalesim.scale_sim import scalesim as Scalesim

    with tempfile.TemporaryDirectory() as folder:
        config, topo, layout = (Path(folder) / name for name in ("run.cfg", "layer.csv", "layout.csv"))
        config.write_text(CONFIG.format(rows=rows, columns=columns, **BUFFERS_KB))
        topo.write_text(
            f"Layer, IFMAP height, IFMAP width, Filter height, Filter width, Channels, Filters, Stride,\n{line}\n"
        )
        layout.write_text("Layer,\nlayer," + 20 * "1," + "\n")
        run = Scalesim(save_disk_space=True, verbose=False, config=str(config), topology=str(topo), layout=str(layout))
        run.run_scale(top_path=str(Path(folder) / "out"))
        with open(Path(folder) / "out" / "run" / "COMPUTE_REPORT.csv") as report:
            row = next(csv.DictReader(report, skipinitialspace=True))
    return {name: float(value) for name, value in row.items() if name and value}


def measure() -> None:
    """Run SCALE-Sim on every layer and array and store its figures."""
    from importlib.metadata import version

    found: list[dict[str, Any]] = []
    for name, problem in layers().items():
        line, words = topology(problem)
        for rows, columns in ARRAYS:
            print(name, rows, columns, flush=True)
            report = scalesim(line, rows, columns)
            product = matrix_product(problem)
            found.append(
                {
                    "layer": name,
                    "product": {"tokens": product.tokens, "reduction": product.reduction, "outputs": product.outputs},
                    "input_words": words,
                    "rows": rows,
                    "columns": columns,
                    "cycles": int(report["Total Cycles"]),
                    "cycles_with_prefetch": int(report["Total Cycles (incl. prefetch)"]),
                    "stalls": int(report["Stall Cycles"]),
                    "utilization_pct": report["Overall Util %"],
                }
            )
    data = {"scalesim": version("scalesim"), "numpy": version("numpy"), "buffers_kb": BUFFERS_KB, "cases": found}
    FILE.write_text(json.dumps(data, indent=1) + "\n")


def line_of(case: Case) -> str:
    """A row of the page."""
    p = case.product
    single = cycles(SystolicDesign(case.rows, case.columns), p)
    double = cycles(SystolicDesign(case.rows, case.columns, double_buffered=True), p)
    down, across = -(-p.reduction // case.rows), -(-p.outputs // case.columns)
    absent_rows = across * (down * case.rows - p.reduction)
    absent_columns = down * (across * case.columns - p.outputs)
    assert case.cycles == scalesim_cycles(p, case.rows, case.columns)
    assert single.total == case.cycles + 1 - absent_rows - absent_columns
    sizes = f"{p.tokens} × {p.reduction} × {p.outputs}"
    return (
        f"| {case.layer} | {sizes} | {case.rows} × {case.columns} | {folds(p, case.rows, case.columns)} | {case.cycles:,} | +1 "
        f"| {-absent_rows:,} | {-absent_columns:,} | {single.total:,} | {double.total:,} |"
    )


def prefetch_line(case: Case) -> str:
    """A row of the second table."""
    p, sizes = case.product, buffers_kb()
    ifmap = scalesim_prefetch(case.input_words, sizes["ifmap"])
    weights = scalesim_prefetch(p.reduction * p.outputs, sizes["filter"])
    back = scalesim_write_back(p, case.rows, case.columns)
    assert case.cycles + max(ifmap, weights) + back == case.cycles_with_prefetch
    return f"| {case.layer} | {case.rows} × {case.columns} | {case.cycles:,} | {max(ifmap, weights):,} | {back:,} | {case.cycles_with_prefetch:,} |"


def page() -> str:
    """``benchmarks/scalesim.md``."""
    stored = json.loads(FILE.read_text())
    sizes = ", ".join(f"{name} {size} KiB" for name, size in stored["buffers_kb"].items())
    return "\n".join(
        [
            "# The systolic array beside SCALE-Sim",
            "",
            f"SCALE-Sim {stored['scalesim']} from PyPI (with NumPy {stored['numpy']}: 2.4 refuses a conversion in its code), dataflow `ws`,",
            f"interface bandwidth CALC, buffers {sizes}, no sparsity, no layout, no Ramulator. By `make bench-scalesim`.",
            "",
            "T × K × N are tokens, reduction, outputs. SCALE-Sim's folds last as long as a full array's, 2·R + C + T − 2 cycles, and it",
            "reports the number of the last cycle from 0. Ours counts cycles, and at the edges shifts in only the r rows of weights",
            "that there are and waits only for the c columns that are used: Σ (R − r) and Σ (C − c) cycles less. With that every",
            "difference is accounted for; the script and `tests/array/test_systolic.py` check it.",
            "",
            "| layer | T × K × N | array | folds | SCALE-Sim | last cycle is a number | rows absent | columns absent | hwsim, single | hwsim, double-buffered |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *map(line_of, cases()),
            "",
            "Double-buffered weights are what SCALE-Sim does not model: it waits for the drain before every fold.",
            "",
            "Its other total includes what comes before and after: inputs and weights are fetched by the hundredth of a buffer at 10 words a",
            "cycle (the slower of the two counts), and all partial sums are written out after the last cycle, C words a cycle.",
            "hwsim's systolic array has no DRAM, so this total has no counterpart; it is explained to the cycle all the same:",
            "",
            "| layer | array | SCALE-Sim | + fetched before | + written after | SCALE-Sim incl. prefetch |",
            "|---|---|---|---|---|---|",
            *map(prefetch_line, cases()),
            "",
        ]
    )


if __name__ == "__main__":
    if "--page" not in sys.argv[1:]:
        measure()
    (ROOT / "benchmarks" / "scalesim.md").write_text(page())
