"""Best mappings on disk, by content: what was searched once is not searched again.

An entry's name is a hash of everything that decides the result: problem, architecture, prices,
objective and the version of hwsim. An entry holds the mapping and its certificate; the cost is computed anew
by the model. Entries are written to a temporary file and renamed, so processes may share a folder;
one that cannot be read is searched again and overwritten.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hwsim
from hwsim.architecture import Architecture
from hwsim.cost import Certificate, LayerCost
from hwsim.energy import EnergyTable
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from workloads.problem import Problem


def folder() -> Path:
    """``$HWSIM_CACHE_DIR``, or ``hwsim`` in the user's cache folder."""
    own = os.environ.get("HWSIM_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"


def key(problem: Problem, architecture: Architecture, energy: EnergyTable, objective: str) -> str:
    """Hash of all that decides the best mapping."""
    prices = {c: {a: x.energy_pj for a, x in sorted(t.items())} for c, t in sorted(energy.actions.items())}
    levels = [(type(x).__name__, _plain(asdict(x))) for x in architecture.levels]
    text = json.dumps(
        [hwsim.__version__, _plain(asdict(problem)), levels, architecture.compute.name, prices, objective],
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in sorted(value.items()) if k != "attributes"}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    return value


def load(name: str, problem: Problem, architecture: Architecture, energy: EnergyTable) -> LayerCost | None:
    """The cached result under a key, or None where there is none that can be trusted."""
    try:
        data = json.loads((folder() / f"{name}.json").read_text())
        mapping = Mapping(
            tuple(
                LevelMapping(
                    level["level"],
                    tuple(Loop(*loop) for loop in level["temporal"]),
                    tuple(Loop(*loop) for loop in level["spatial"]),
                    frozenset(level["keep"]),
                )
                for level in data["mapping"]
            )
        )
        certificate = Certificate(**data["certificate"])
        cost = evaluate(problem, architecture, mapping, energy)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(cost, LayerCost):
        return None
    value = {"edp": cost.edp, "energy": cost.energy_pj, "latency": float(cost.cycles)}.get(certificate.objective)
    if value is None or abs(value - certificate.value) > 1e-9 * abs(value):
        return None
    return LayerCost(**{**vars(cost), "certificate": certificate})


def store(name: str, cost: LayerCost) -> None:
    """Keep a proved result; a folder that cannot be written is no error."""
    if cost.certificate is None or not cost.certificate.optimal:
        return
    data = {
        "certificate": asdict(cost.certificate),
        "mapping": [
            {
                "level": level.level,
                "temporal": [[x.dim, x.bound, x.axis] for x in level.temporal],
                "spatial": [[x.dim, x.bound, x.axis] for x in level.spatial],
                "keep": sorted(level.keep),
            }
            for level in cost.mapping.levels
        ],
    }
    try:
        folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder(), suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
        os.replace(temporary, folder() / f"{name}.json")
    except OSError:
        return
