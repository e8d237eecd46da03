"""Of the fastest mappings the cheapest: no other objective's mapping is as fast and takes less energy.

``HWSIM_DESIGNS`` (see `make check-search`) adds ResNet-18, which takes minutes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwsim.design import load_architecture, shipped_architectures
from hwsim.hardware import Design
from hwsim.network import profile_workload
from hwsim.objective import FIGURES
from hwsim.workloads import zoo
from hwsim.workloads.onnx.reader import read_onnx

MODELS = ["lenet5", *(["resnet18"] if "HWSIM_DESIGNS" in os.environ else [])]


@pytest.mark.parametrize("arch", shipped_architectures())
@pytest.mark.parametrize("model", MODELS)
def test_no_other_objective_is_as_fast_and_cheaper(model: str, arch: str, tmp_path: Path) -> None:
    workload = read_onnx(zoo.write(model, tmp_path / "m.onnx"))
    design = load_architecture(arch)
    found = {name: profile_workload(workload, Design(*design), name, use_cache=False) for name in FIGURES}
    for others in ("edp", "energy"):
        for fast, other in zip(found["latency"].layers, found[others].layers, strict=True):
            assert fast.cost.cycles <= other.cost.cycles, (fast.name, others)
            if fast.cost.cycles == other.cost.cycles:
                assert fast.cost.energy_pj <= other.cost.energy_pj * (1 + 1e-9), (fast.name, others)
