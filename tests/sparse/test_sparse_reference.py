"""Timeloop's figures of sparse designs, case by case, through the files that `hwsim evaluate` reads."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hwsim.cost import LayerCost
from hwsim.design import load_content, load_specs
from hwsim.model import evaluate
from hwsim.reports.data import evaluate_data
from hwsim.spec.write import specification_text

REFERENCE = Path(__file__).parent.parent / "reference" / "sparse_cases.jsonl.gz"
CASES = [json.loads(line) for line in gzip.decompress(REFERENCE.read_bytes()).decode().splitlines()]


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where figures differ by more than a millionth; kinds of access that the reference does not list do not occur."""
    if isinstance(theirs, dict):
        return [x for key in theirs for x in differences(ours.get(key, {}), theirs[key], f"{where}.{key}")]
    if isinstance(theirs, list):
        return [x for a, b in zip(ours, theirs, strict=True) for x in differences(a, b, where)]
    same = abs(ours - theirs) <= max(2e-6, 1e-6 * abs(theirs))
    return [] if same else [f"{where}: {ours}, not {theirs}"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_equals_timeloop(case: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(case["spec"], encoding="utf-8")
    (spec,) = load_specs([file])
    assert spec.mapping is not None
    cost = evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy)
    assert isinstance(cost, LayerCost), cost
    found, expected = evaluate_data(cost, spec.architecture), case["expected"]
    wrong = [x for key in ("cycles", "energy_pj") for x in differences(found[key], expected[key], key)]
    wrong += differences(found["compute"]["sparse"], expected["compute"], "compute")
    for name, level in expected["levels"].items():
        ours = found["levels"][name]
        wrong += [] if level["leakage_pj"] is None else differences(ours["leakage_pj"], level["leakage_pj"], name)
        for data_space, figures in level["data_spaces"].items():
            own = ours["data_spaces"][data_space]
            given = own["sparse"] | {"energy_pj": own["energy_pj"]}
            wrong += differences(given, figures, f"{name}.{data_space}")
            assert all(own[k] == own["sparse"][k]["actual"] for k in ("reads", "fills", "updates"))
    assert wrong == []
    assert abs(100 * cost.utilization - expected["utilization_pct"]) < 0.01


@pytest.mark.parametrize("case", CASES[::5], ids=lambda case: case["id"])
def test_a_file_that_is_written_back_says_the_same(case: dict[str, Any], tmp_path: Path) -> None:
    """`hwsim import` leaves nothing out: optimizations, densities, prices per action."""
    file, again = tmp_path / "spec.yaml", tmp_path / "again.yaml"
    file.write_text(case["spec"], encoding="utf-8")
    again.write_text(specification_text(load_content([file])), encoding="utf-8")
    one, two = (load_specs([x])[0] for x in (file, again))
    assert one.problem.densities == two.problem.densities and one.architecture.sparsity == two.architecture.sparsity
    assert one.mapping is not None and two.mapping is not None
    costs = [evaluate(x.problem, x.architecture, x.mapping, x.energy) for x in (one, two)]  # type: ignore[arg-type]
    assert isinstance(costs[0], LayerCost) and isinstance(costs[1], LayerCost)
    assert costs[0].levels == costs[1].levels and costs[0].compute == costs[1].compute
