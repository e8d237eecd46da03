"""Each formula stands once: evaluation and search call the same functions, and a fault in one is seen on both sides.

In a process without compiled kernels a function is replaced wherever it is called, and two independent witnesses look:
the walker at the counts of given mappings, Timeloop's proved optima at what the search finds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Of a fold's step, of windows, words, prices and bandwidth: the function and a wrong one in its place.
FAULTS = {
    "advance": "lambda fills, bound, kept: bound * fills",
    "new_rows": "lambda distance, extent: extent",
    "revisits": "lambda words, first: words",
    "nearest": "lambda x: np.floor(x + 0.5) + 2.0",
    "access_energy": "lambda words, block, price: 2.0 * right(words, block, price)",
    "speed": "lambda *rates: 0.5 * right(*rates)",
}

LOOK = """
import math, sys
import numpy as np
import hwsim.mapper.exact, hwsim.model
from hwsim import counting
from hwsim.cost import LayerCost
from hwsim.errors import HwsimError
from hwsim.mapper import search
from hwsim.model import evaluate
from tests.reference_cases import architecture, cases, exhaustive
from tests.witness.walker import walk_cost

name = sys.argv[1]
users = {room: [m for n, m in sorted(sys.modules.items()) if n.startswith(room) and getattr(m, name, None) is not None]
         for room in ("hwsim.counting", "hwsim.mapper", "hwsim.model")}
right = getattr(counting, name)
if sys.argv[2]:
    wrong = eval(sys.argv[2])
    for modules in users.values():
        for module in modules:
            setattr(module, name, wrong)
    if name == "speed":
        counting.speed = wrong
print("used by search", bool(users["hwsim.mapper"]))

def counted():
    for case in cases("small_cases")[::9]:
        arch, energy = architecture(case.arch_name)
        mine = evaluate(case.problem, arch, case.mapping, energy)
        walked = walk_cost(case.problem, arch, energy, case.mapping)
        same = isinstance(mine, LayerCost) and mine.cycles == walked.cycles
        if not same or not math.isclose(mine.energy_pj, walked.total_energy_pj, rel_tol=1e-9):
            return False
    return True

def found():
    for case in exhaustive():
        if case.name not in ("conv_1_2_3_1", "conv_1_2_3_3", "pw_2_4_2_2", "fc16x4"):
            continue
        arch, energy = architecture(case.arch_name)
        try:
            cost = search(case.problem, arch, energy, {"delay": "latency"}.get(case.metric, case.metric))
        except HwsimError:
            return False
        certain = isinstance(cost, LayerCost) and cost.certificate.optimal
        if not certain or not math.isclose(cost.certificate.value, case.value, rel_tol=1e-5):
            return False
    return True

for look in (counted, found):
    try:
        print(look.__name__, look())
    except (AssertionError, ArithmeticError, ValueError, IndexError, TypeError) as error:  # wrong enough to break
        print(look.__name__, False)
"""


def look(name: str, wrong: str) -> dict[str, bool]:
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LOOK, name, wrong]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    return {line.rpartition(" ")[0]: line.endswith("True") for line in run.stdout.splitlines()}


def test_without_a_fault_both_agree() -> None:
    assert look("advance", "") == {"used by search": True, "counted": True, "found": True}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen_by_both_witnesses(name: str) -> None:
    assert look(name, FAULTS[name]) == {"used by search": True, "counted": False, "found": False}
