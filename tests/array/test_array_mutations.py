"""A counting kernel that is wrong is caught by the array simulator, whatever is wrong with it."""

from __future__ import annotations

import re
import types
from functools import cache
from pathlib import Path

import pytest
from test_array import EXACT, model_counts, presumed_counts

from hwsim import counting, model
from hwsim.architecture import Architecture
from hwsim.array.run import Simulation, simulate
from hwsim.cost import LayerCost
from hwsim.energy import Action, EnergyTable
from hwsim.mapping import Mapping
from hwsim.workloads.problem import Problem, conv, convolution, depthwise, matmul
from tests.array.array_cases import nest, no_multicast, operands, read_first, refetch

#: The package as one module: its files in the order in which they need each other.
SOURCE = "\n".join(
    Path(counting.__file__).with_name(f"{name}.py").read_text()
    for name in ("geometry", "fills", "fanout", "nest", "price")
)

CASES: dict[str, tuple[Problem, tuple[Architecture, Mapping]]] = {
    "window": (
        conv({"C": 2, "M": 2, "P": 4, "Q": 2, "R": 3, "S": 2}, wstride=2),
        nest("DRAM WIO: M2 Q2 P4", "buffer I: C2 S2 R3", "pad WO:"),
    ),
    "dense halo": (conv({"P": 6, "R": 3, "M": 2}), nest("DRAM WIO: P3 M2", "buffer IO: P2 R3")),
    "rewound window": (conv({"P": 2, "R": 2, "M": 2}), nest("DRAM WIO: M2 R2", "buffer WIO: P2")),
    "partial sums": (matmul({"C": 4, "M": 2, "P": 3}), nest("DRAM WIO: C2 M2", "buffer O: P3 C2")),
    "multicast": (matmul({"C": 4, "M": 6, "P": 3}), nest("DRAM WIO: P3", "mesh 3x2: XM3 YC2", "pad WIO: C2 M2")),
    "passed on": (
        conv({"C": 4, "M": 4, "P": 2}),
        nest("DRAM WIO: P2", "mesh 2x2: XC2 YM2", "pad W: M2", "inner 2x1: XC2", "reg WIO:"),
    ),
    "windows side by side": (
        conv({"P": 8, "R": 3, "C": 2}),
        nest("DRAM WIO: C2 P4", "mesh 2x1: XP2", "pad WIO: R3"),
    ),
    "handed on": (conv({"P": 3, "R": 4}), nest("DRAM WIO: R4", "mesh 3x1: XP3", "pad WIO:")),
    "two columns": (conv({"P": 3, "R": 3, "M": 2}), nest("DRAM WIO: R3", "mesh 2x3: XM2 YP3", "pad I:", "reg WO:")),
    "multipliers": (matmul({"M": 4, "C": 4}), nest("DRAM WIO:", "pad WIO: M2 C2", "mesh 2x2: XM2 YC2")),
    "transposed": (
        convolution({"P": 3, "R": 3, "C": 2}, strides=(2,), dilations=(1,), transposed=True),
        nest("DRAM WIO: C2 P3", "buffer WO: R3"),
    ),
    "depthwise": (
        depthwise({"C": 4, "P": 3, "Q": 3, "R": 2, "S": 2}),
        nest("DRAM WIO: C2", "mesh 2x1: XC2", "pad WIO: Q3 P3 S2 R2", "reg O:"),
    ),
    "refetched": (
        matmul({"C": 4, "M": 3}),
        nest("DRAM WIO: C4 M3", "pad WIO:", limits={"pad": refetch("Weights", "Inputs")}),
    ),
    "read first": (
        matmul({"C": 4, "M": 3}),
        nest("DRAM WIO: C4", "pad WIO: M3", limits={"pad": read_first("Outputs")}),
    ),
    "one by one": (
        matmul({"C": 2, "M": 3, "P": 2}),
        nest("DRAM WIO: P2", "mesh 3x2: XM3 YC2", "pad WIO:", limits={"mesh": no_multicast("Inputs")}),
    ),
}

#: What is wrong → (right, wrong), each found once in the source.
MUTATIONS: dict[str, tuple[str, str]] = {
    "halo too wide by one": (
        "extent[i, r] = extent[i + 1, r] + move[i, r] * (bound[i] - 1)",
        "extent[i, r] = extent[i + 1, r] + move[i, r] * (bound[i] - 1) + (coef[r, d] > 0) * (bound[i] > 1)",
    ),
    "stride forgotten": ("move[i, r] = coef[r, d] * size[d]", "move[i, r] = min(coef[r, d], 1) * size[d]"),
    "spatial loops repeat like temporal ones": (
        "outside[i + 1] = outside[i] * (bound[i] if axis[i] == 0 else 1)",
        "outside[i + 1] = outside[i] * bound[i]",
    ),
    "new slab too wide by one": (
        "stays *= extent[r] - new_rows(shift[r], extent[r])",
        "stays *= extent[r] - new_rows(shift[r], extent[r]) - (shift[r] != 0)",
    ),
    "no reuse of the overlap": ("return min(abs(distance), extent)", "return extent"),
    "an overlap seen where tiles only touch": (
        "return min(abs(distance), extent)",
        "return min(abs(distance), extent) * (abs(distance) != extent)",
    ),
    "a tile that stays is fetched again": (
        "        if is_zero(step):\n            cost = np.int64(0)\n        elif usual_cost",
        "        if usual_cost",
    ),
    "loops counted once too often": (
        "return bound * fills - (bound - 1) * kept",
        "return (bound + 1) * fills - bound * kept",
    ),
    "first fill forgotten": ("    fills = full\n    for i", "    fills = full - full\n    for i"),
    "any move keeps the stride": (
        "        else:\n            cost = full\n        fills = advance",
        "        else:\n            cost = usual_cost\n        fills = advance",
    ),
    "refetched tiles kept": ("        return full * outside[child]\n", "        return full\n"),
    "multicast forgotten": (
        "if not is_zero(move[i]):\n            groups *= bound[i]",
        "if True:\n            groups *= bound[i]",
    ),
    "everything is multicast": (
        "if not is_zero(move[i]):\n            groups *= bound[i]",
        "if False:\n            groups *= bound[i]",
    ),
    "multicast where it is switched off": (
        "groups = fanout if switches[NO_MULTICAST, level] else distinct_boxes(first, last, bound, move)",
        "groups = distinct_boxes(first, last, bound, move)",
    ),
    "fan-out of a level passed through forgotten": (
        "content = content * demand[FANOUT, between] * demand[ASKED, between] / demand[DELIVERED, between]",
        "content = content * demand[ASKED, between] / demand[DELIVERED, between]",
    ),
    "multicast of a level passed through forgotten": (
        "content = content * demand[FANOUT, between] * demand[ASKED, between] / demand[DELIVERED, between]",
        "content = content * demand[FANOUT, between]",
    ),
    "partial sums are not read back": (
        "out[level, READS] = _whole(revisits(content + peer, first), n)",
        "out[level, READS] = 0.0",
    ),
    "first sums are read": ("READ_FIRST, level] else tile[level]", "READ_FIRST, level] else 0.0"),
    "first sums are never read": ("0.0 if switches[READ_FIRST, level] else tile[level]", "tile[level]"),
    "first sums are fetched": (
        "revisits(share + peer, 0.0 if outermost else first)",
        "revisits(share + peer, 0.0)",
    ),
    "updates without the first": (
        "out[level, UPDATES] = _whole(content, n)",
        "out[level, UPDATES] = _whole(content - first, n)",
    ),
    "operands stay in the multipliers": (
        "fills = outside[last]  # rule 2: the datapath reads at every step",
        "fills = tile_fills(last, bound, axis, move, extent, outside, False, scratch)",
    ),
    "links save nothing": ("out[ASKED, level] -= saved", "out[ASKED, level] -= 0"),
    "links deliver twice": ("out[DELIVERED, level] -= handed", "out[DELIVERED, level] -= 0"),
    "handed words not counted": ("peer = demand[HANDED, level - 1] / demand[INSTANCES, level]", "peer = 0.0"),
    "neighbours along one axis only": ("for side in range(4):", "for side in range(2):"),
}


def mutant(old: str, new: str) -> types.ModuleType:
    """The counting module with a change, as plain Python."""
    assert SOURCE.count(old) == 1, f"the source has this {SOURCE.count(old)} times: {old}"
    plain = re.sub(r"^@(njit|kernel)\(.*\)\n|^from .*\n", "", SOURCE.replace(old, new), flags=re.MULTILINE)
    plain = f"from __future__ import annotations\n{plain}"
    module = types.ModuleType("mutant")
    module.__dict__.update({k: v for k, v in vars(counting).items() if not k.startswith("__")})  # nests that are walked
    exec(compile(plain, "mutant", "exec"), module.__dict__)
    return module


@cache
def simulated(name: str) -> Simulation:
    problem, (architecture, mapping) = CASES[name]
    found = simulate(problem, architecture, mapping, operands(problem), EXACT)
    assert isinstance(found, Simulation)
    return found


def prices(architecture: Architecture) -> EnergyTable:
    actions = {s.name: dict.fromkeys(("read", "write", "update", "leak"), Action(1.0)) for s in architecture.storages}
    return EnergyTable(actions | {"mac": {"compute": Action(1.0)}}, {}, "ones")


def disagreeing(kernel: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cases in which the model, counting with these kernels, says something else than the simulator."""
    monkeypatch.setattr(model, "kernel", kernel)
    found = []
    for name, (problem, (architecture, mapping)) in CASES.items():
        try:
            cost = model.evaluate(problem, architecture, mapping, prices(architecture))
        except (ZeroDivisionError, ValueError, OverflowError):  # wrong enough to break
            found.append(name)
            continue
        assert isinstance(cost, LayerCost)
        if model_counts(cost) != presumed_counts(simulated(name)):
            found.append(name)
    return found


def test_the_kernels_as_they_are_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    assert disagreeing(mutant("return bound * fills", "return bound * fills"), monkeypatch) == []


@pytest.mark.parametrize("fault", MUTATIONS)
def test_a_wrong_kernel_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disagreeing(mutant(*MUTATIONS[fault]), monkeypatch), f"no case tells: {fault}"
