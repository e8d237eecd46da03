"""The reference figures under `tests/reference/`, as the types of the project.

Everything here is independent of the file readers in `hwsim`: the six architectures are
written out as values, the figures are read from our own compact form.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from hwsim.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Fanout,
    LoopConstraint,
    Storage,
)
from hwsim.energy import Action, EnergyTable
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.workloads.problem import Problem, conv, depthwise, matmul

REFERENCE = Path(__file__).parent / "reference"
ARCHITECTURES = (
    "simple_weight_stationary",
    "simple_output_stationary",
    "simple_ws_lab",
    "ws_8x8_narrow",
    "eyeriss_like",
    "simba_like",
)
DATA_SPACES = {"W": "Weights", "I": "Inputs", "O": "Outputs"}
FREE = LoopConstraint()
FIGURES = ("tile", "capacity", "instances", "reads", "fills", "updates", "temporal_reductions", "energy_pj")


@dataclass(frozen=True)
class Case:
    """One mapping and what Timeloop reports for it.

    ``expected``: ``cycles``, ``utilization_pct``, ``energy_pj``, ``compute`` →
    {``computes``, ``instances``, ``energy_pj``}, ``levels`` → level → {``cycles``, ``throttling``,
    ``leakage_pj``, ``data_spaces`` → data space → the names in `FIGURES`}.
    """

    id: str
    arch_name: str
    problem: Problem
    mapping: Mapping
    expected: dict[str, Any]


@dataclass(frozen=True)
class Optimum:
    """An optimum that Timeloop proved by exhaustion; ``metric`` is ``edp``, ``energy`` or ``delay``."""

    arch_name: str
    name: str
    problem: Problem
    metric: str
    cycles: int
    energy_pj: float
    mapping: Mapping
    timeloop_seconds: float

    @property
    def value(self) -> float:
        """The figure that was minimised."""
        return {"edp": self.energy_pj * self.cycles, "energy": self.energy_pj, "delay": float(self.cycles)}[self.metric]


@dataclass(frozen=True)
class StockResult:
    """What Timeloop's mapper found with its stock stop rule, minimising EDP."""

    arch_name: str
    name: str
    problem: Problem
    cycles: int
    energy_pj: float
    timeloop_seconds: float


def cases(name: Literal["cases", "small_cases"]) -> list[Case]:
    """The reference cases of one file."""
    return [
        Case(row["id"], row["arch"], _problem(row["problem"]), _mapping(row["mapping"]), _expected(row["expected"]))
        for row in _rows(name)
    ]


def exhaustive() -> list[Optimum]:
    """The proved optima."""
    return [
        Optimum(
            row["arch"],
            row["name"],
            _problem(row["problem"]),
            row["metric"],
            row["cycles"],
            row["energy_pj"],
            _mapping(row["mapping"]),
            row["timeloop_seconds"],
        )
        for row in _rows("exhaustive")
    ]


def stock_mapper() -> list[StockResult]:
    """The results of Timeloop's stock search."""
    return [
        StockResult(
            row["arch"],
            row["name"],
            _problem(row["problem"]),
            row["cycles"],
            row["energy_pj"],
            row["timeloop_seconds"],
        )
        for row in _rows("stock_mapper")
    ]


@cache
def architecture(name: str) -> tuple[Architecture, EnergyTable]:
    """One of `ARCHITECTURES` and its prices; KeyError if there is none of that name."""
    build = {
        "simple_weight_stationary": lambda: _simple("W"),
        "simple_output_stationary": lambda: _simple("O"),
        "simple_ws_lab": lambda: _simple("W"),
        "ws_8x8_narrow": lambda: _simple("W", mesh=8, glb_depth=4096, glb_bandwidth=4.0),
        "eyeriss_like": _eyeriss,
        "simba_like": _simba,
    }[name]
    return Architecture(name, build(), Compute("mac", "intmac"), source="timeloop-accelergy-exercises"), _energy(name)


def _energy(name: str) -> EnergyTable:
    table = json.loads((REFERENCE / "energy_tables.json").read_text())[name]
    actions = {
        component: {action: Action(float(pj), "ERT", "published") for action, pj in prices.items()}
        for component, prices in table.items()
    }
    return EnergyTable(actions, {}, name)


def _spaces(letters: str) -> frozenset[str]:
    return frozenset(DATA_SPACES[letter] for letter in letters)


def _only(letters: str, temporal: LoopConstraint = FREE) -> Constraints:
    """Keep these data spaces and bypass the others."""
    others = "".join(letter for letter in DATA_SPACES if letter not in letters)
    return Constraints(temporal=temporal, keep=_spaces(letters), bypass=_spaces(others))


def _loops(permutation: str = "", ones: str = "", split: int | None = None) -> LoopConstraint:
    """Permutation (inner → outer), dimensions whose factor is 1, and the split between X and Y."""
    return LoopConstraint(tuple(FactorConstraint(d, "=", 1) for d in ones), tuple(permutation), split)


def _simple(
    stationary: str, *, mesh: int = 16, glb_depth: int = 16384, glb_bandwidth: float = 16.0
) -> tuple[Storage | Fanout, ...]:
    """The weight- (``W``) or output- (``O``) stationary array; data is 16 bits wide."""
    spad_order = {"W": "PQRS", "O": "RSPQ"}[stationary]
    registers = (
        ("weight_reg", "W", "RSMC"),
        ("input_activation_reg", "I", "PQCN"),
        ("output_activation_reg", "O", "PQMN"),
    )
    return (
        Storage("DRAM", "DRAM", None, 64, 16, 4),
        Storage(
            "shared_glb",
            "smartbuffer_SRAM",
            glb_depth,
            64,
            16,
            4,
            read_bandwidth=glb_bandwidth,
            write_bandwidth=glb_bandwidth,
        ),
        Fanout("PE", mesh, mesh, Constraints(spatial=_loops("CM", "RSPQ", split=1))),
        Storage(
            "pe_spad", "smartbuffer_SRAM", 192, 16, 16, 1, constraints=_only(stationary, temporal=_loops(spad_order))
        ),
        *(
            Storage(name, "aladdin_register", 1, 16, 16, 1, constraints=_only(kept, temporal=_loops(ones=ones)))
            for name, kept, ones in registers
        ),
    )


def _eyeriss() -> tuple[Storage | Fanout, ...]:
    """14 columns of 12 PEs; 8-bit data, 16-bit partial sums."""

    def spad(name: str, kept: str, depth: int, datawidth: int, temporal: LoopConstraint) -> Storage:
        return Storage(
            name,
            "smartbuffer_RF",
            depth,
            16,
            datawidth,
            16 // datawidth,
            read_bandwidth=2.0,
            write_bandwidth=2.0,
            constraints=_only(kept, temporal),
        )

    return (
        Storage("DRAM", "DRAM", None, 64, 8, 8),
        Storage(
            "shared_glb",
            "smartbuffer_SRAM",
            16384,
            64,
            8,
            8,
            read_bandwidth=16.0,
            write_bandwidth=16.0,
            constraints=_only("IO"),
        ),
        Fanout("PE_column", 14, 1, Constraints(spatial=_loops("NCPRSQM", "NCPRS", split=999))),
        Fanout("PE", 1, 12, Constraints(spatial=_loops("NPQRSCM", "NPQR", split=0))),
        spad("ifmap_spad", "I", 12, 8, _loops("NMCPQRS", "NMCPQRS")),
        spad("weights_spad", "W", 192, 8, _loops("NMPQSCR", "NMPQS")),
        spad("psum_spad", "O", 16, 16, _loops("NCPQRSM", "NCRSPQ")),
    )


def _simba() -> tuple[Storage | Fanout, ...]:
    """16 PEs of 4 weight buffers of 4 multipliers; 8-bit data, 24-bit partial sums."""
    return (
        Storage("DRAM", "DRAM", None, 64, 8, 8),
        Storage("GlobalBuffer", "smartbuffer_SRAM", 2048, 256, 8, 32, constraints=_only("IO")),
        Fanout("PE", 16, 1, Constraints(spatial=_loops("MCRSPQN", "RSPQN"))),
        Storage("PEInputBuffer", "smartbuffer_RF", 8192, 64, 8, 8, constraints=_only("I")),
        Fanout("distributed_buffers", 1, 4, Constraints(spatial=_loops("MCQRSPN", "PQRSCN"))),
        Storage("PEWeightBuffer", "smartbuffer_RF", 4096, 64, 8, 8, constraints=_only("W")),
        Storage("PEAccuBuffer", "smartbuffer_RF", 128, 24, 24, 1, constraints=_only("O")),
        Fanout("reg_mac", 1, 4, Constraints(spatial=_loops("CMQRSPN", "PQRSMN"))),
        Storage("PEWeightRegs", "smartbuffer_RF", 1, 512, 8, 1, cluster_size=64, constraints=_only("W")),
    )


def _rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(REFERENCE / f"{name}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def _problem(row: Dict[str, Any]) -> Problem:
    sizes = {key: value for key, value in row.items() if len(key) == 1}
    window = {key.lower(): value for key, value in row.items() if key.endswith(("stride", "dilation"))}
    if row["kind"] == "bmm":
        return matmul(sizes)
    return {"conv": conv, "dw": depthwise}[row["kind"]](sizes, **window)


def _mapping(rows: list[list[str]]) -> Mapping:
    return Mapping(
        tuple(
            LevelMapping(
                level,
                tuple(Loop(dim, int(bound)) for dim, bound in re.findall(r"([A-Z])(\d+)", temporal)),
                tuple(Loop(dim, int(bound), axis) for axis, dim, bound in re.findall(r"([XY])([A-Z])(\d+)", spatial)),
                _spaces(keep),
            )
            for level, keep, temporal, spatial in rows
        )
    )


def _expected(row: Dict[str, Any]) -> dict[str, Any]:
    levels = {}
    for name, level in row["levels"].items():
        data_spaces = {DATA_SPACES[x]: dict(zip(FIGURES, level[x], strict=True)) for x in "WIO" if x in level}
        levels[name] = {key: level[key] for key in ("cycles", "throttling", "leakage_pj")} | {
            "data_spaces": data_spaces
        }
    compute = dict(zip(("computes", "instances", "energy_pj"), row["compute"], strict=True))
    return {key: row[key] for key in ("cycles", "utilization_pct", "energy_pj")} | {
        "compute": compute,
        "levels": levels,
    }
