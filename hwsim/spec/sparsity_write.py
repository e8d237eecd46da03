"""Sparsity as `hwsim.spec.sparsity` reads it."""

from __future__ import annotations

from typing import Any

from hwsim.architecture import Architecture
from hwsim.sparsity import Density, Format
from hwsim.workloads.problem import Problem


def optimizations_to_timeloop(architecture: Architecture, name: str) -> dict[str, Any]:
    """``{sparse_optimizations: …}`` of a storage or of the datapath; empty where there are none."""
    found: dict[str, Any] = {}
    level = architecture.sparsity.level(name)
    if level.formats:
        spaces = [{"name": space, **_format(form)} for space, form in level.formats]
        found["representation_format"] = {"data_spaces": spaces}
    if level.actions:
        found["action_optimization"] = [
            {
                "type": action.kind,
                "options": [{"target": x.target, "condition_on": list(x.conditions)} for x in action.options],
            }
            for action in level.actions
        ]
    if name == architecture.compute.name and architecture.sparsity.compute:
        found["compute_optimization"] = [{"type": kind} for kind in sorted(architecture.sparsity.compute)]
    return {"sparse_optimizations": found} if found else {}


def _format(form: Format) -> dict[str, Any]:
    ranks = [
        {
            "format": rank.format,
            **({"flattened_rankIDs": [list(dims) for dims in rank.flattened]} if rank.flattened else {}),
            "metadata_word_bits": rank.metadata_bits,
            "payload_word_bits": rank.payload_bits,
        }
        for rank in form.ranks
    ]
    return {"ranks": ranks} | ({"rank_application_order": "inner_to_outer"} if form.inner_to_outer else {})


def densities_to_timeloop(problem: Problem) -> dict[str, Any]:
    """``{densities: …}`` of a problem's instance; empty where nothing is zero."""
    found = {name: _density(density) for name, density in problem.densities}
    return {"densities": found} if found else {}


def _density(density: Density) -> dict[str, Any]:
    if density.distribution == "banded":
        return {"distribution": "banded", "band_width": density.band_width}
    return {"distribution": density.distribution, "density": density.density}
