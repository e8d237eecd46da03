"""Best mappings on disk, by content: what was searched once is not searched again.

An entry's name is a hash of everything that decides the result: problem, architecture, prices,
objective and the sources of hwsim. An entry holds the whole cost with a checksum, so that reading one
needs no kernels. Entries are written to a temporary file and renamed, so processes may share a folder;
one that cannot be read is searched again and overwritten.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict
from typing import Any

from hwsim.architecture import Architecture
from hwsim.cost import Certificate, ComputeCost, DataSpaceCost, LayerCost, LevelCost
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.files import cache_folder, write_file
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.provenance import mapping_design, program_sha256
from hwsim.workloads.problem import Problem


def key(problem: Problem, architecture: Architecture, energy: EnergyTable, objective: str) -> str:
    """Hash of all that decides the best mapping."""
    parts = (program_sha256(), _problem(problem), mapping_design(architecture, energy), objective)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.lru_cache(maxsize=1024)
def _problem(problem: Problem) -> str:
    return json.dumps(asdict(problem), sort_keys=True)


def _checksum(name: str, entry: Any) -> str:
    """Of an entry and of the key that it is kept under: one that stands under another key is damaged, too."""
    return hashlib.sha256(json.dumps([name, entry], sort_keys=True).encode()).hexdigest()


def load(name: str, problem: Problem) -> LayerCost | None:
    """The cached result under a key, or None where there is none that can be trusted."""
    try:
        data = json.loads((cache_folder() / f"{name}.json").read_text(encoding="utf-8"))
        entry = data["cost"]
        return _cost(entry, problem) if data["checksum"] == _checksum(name, entry) else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None  # RuntimeError: nested too deep, or no home folder


def _cost(entry: dict[str, Any], problem: Problem) -> LayerCost:
    mapping = Mapping(
        tuple(
            LevelMapping(
                level["level"],
                tuple(Loop(*loop) for loop in level["temporal"]),
                tuple(Loop(*loop) for loop in level["spatial"]),
                frozenset(level["keep"]),
            )
            for level in entry["mapping"]
        )
    )
    levels = tuple(
        LevelCost(**{**level, "data_spaces": {n: DataSpaceCost(**x) for n, x in level["data_spaces"].items()}})
        for level in entry["levels"]
    )
    return LayerCost(
        problem=problem,
        mapping=mapping,
        levels=levels,
        compute=ComputeCost(**entry["compute"]),
        cycles=entry["cycles"],
        energy_pj=entry["energy_pj"],
        utilization=entry["utilization"],
        certificate=Certificate(**entry["certificate"]),
    )


def store(name: str, cost: LayerCost) -> None:
    """Keep a proved result; a folder that cannot be written is no error."""
    if cost.certificate is None or not cost.certificate.optimal:
        return
    entry = {
        "mapping": [
            {
                "level": level.level,
                "temporal": [[x.dim, x.bound, x.axis, x.residual] for x in level.temporal],
                "spatial": [[x.dim, x.bound, x.axis, x.residual] for x in level.spatial],
                "keep": sorted(level.keep),
            }
            for level in cost.mapping.levels
        ],
        "levels": [asdict(level) for level in cost.levels],
        "compute": asdict(cost.compute),
        "cycles": cost.cycles,
        "energy_pj": cost.energy_pj,
        "utilization": cost.utilization,
        "certificate": asdict(cost.certificate),
    }
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        write_file(cache_folder() / f"{name}.json", json.dumps({"checksum": _checksum(name, entry), "cost": entry}))
    except (OSError, RuntimeError, HwsimError):
        return
