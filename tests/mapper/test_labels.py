"""What partial mappings promise: a complete label's energy and cycles are never above what its mapping costs.

The walk runs without dropping anything, so that every mapping of a small space is met; `hwsim.model.evaluate` says
what it costs. A price at a time shows which action a label counts too often.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from hwsim.architecture import Architecture, Compute, Fanout, Storage
from hwsim.cost import LayerCost
from hwsim.deadline import NEVER
from hwsim.energy import Action, EnergyTable
from hwsim.mapper.lower import aimed, kernel_space
from hwsim.mapper.outer import complete
from hwsim.mapper.space import Limits, map_space
from hwsim.mapper.step import may_link
from hwsim.mapper.trace import Last, read_back
from hwsim.mapper.walk import Walk
from hwsim.model import evaluate
from hwsim.objective import FIGURES
from hwsim.workloads.problem import conv
from tests.mapper.random_designs import Design, design, random_prices


class Complete(Walk):
    """A walk that compares every complete label with its mapping instead of looking for the best one."""

    def compare(self) -> dict[object, tuple[float, LayerCost]]:
        """Mapping → the least that any of its labels promises, and what it costs."""
        self.met: dict[object, tuple[float, LayerCost]] = {}
        self.prune = False
        self.run(None)
        return self.met

    def _complete(self, groups, table, child, kept, keep, stages, beam):  # type: ignore[no-untyped-def]
        for movable, group in groups:
            orders = self.space.orders(0, movable)
            array = np.array(orders, np.int64).reshape(len(orders), -1)
            values = complete(self.arrays, array, table.take(group), child, kept, np.inf)
            for k, q in np.argwhere(np.isfinite(values)):
                key = int(table.origin[group[k]]["key"])
                mapping = read_back(self.space, self.arrays, stages, Last(int(group[k]), orders[q], key, keep))
                cost = evaluate(self.space.problem, self.space.architecture, mapping, self.energy)
                if isinstance(cost, LayerCost):
                    least, _ = self.met.get(mapping, (np.inf, cost))
                    self.met[mapping] = min(least, float(values[k, q])), cost


def _broken(some: Design, energy: EnergyTable, figure: str) -> list[object]:
    """Mappings that cost less than their labels promise."""
    space = map_space(some.problem, some.architecture)
    arrays = aimed(kernel_space(space, energy), figure, Limits())
    walk = Complete(space, energy, arrays, FIGURES[figure], Limits(), NEVER)
    met = walk.compare()
    return [m for m, (promised, cost) in met.items() if promised > FIGURES[figure].of(cost) * (1 + 1e-9) + 1e-9]


@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("figure", ["energy", "latency"])
def test_labels_promise_no_more(figure: str, part: int) -> None:
    """10 random designs each."""
    for k in range(10 * part, 10 * part + 10):
        some = design(random.Random(f"labels/{k}"), 400)
        assert not _broken(some, some.energy, figure), k


@pytest.mark.parametrize("part", range(4))
def test_no_action_is_counted_too_often(part: int) -> None:
    for k in range(5 * part, 5 * part + 5):
        some = design(random.Random(f"actions/{k}"), 200)
        for level, actions in some.energy.actions.items():
            for action in actions:
                only = {
                    x: {a: Action(1.0 if (x, a) == (level, action) else 0.0) for a in table}
                    for x, table in some.energy.actions.items()
                }
                assert not _broken(some, replace(some.energy, actions=only), "energy"), (k, level, action)


@pytest.mark.parametrize(
    ("inside", "moves", "linked"),
    [(1, 1, True), (2, 1, True), (1, 3, False), (3, 1, False)],
    ids=["the same step", "a step more", "two steps less", "nothing is left"],
)
def test_which_loops_may_move_a_tile_to_its_neighbour_s_place(inside: int, moves: int, linked: bool) -> None:
    """A window of three over places: P's loop outside moves by ``inside``, R's inside it by ``moves``."""
    problem = conv({"P": 3 if inside != 2 else 6, "R": 3})
    levels = (Storage("DRAM", "DRAM", None, 16, 16, 1), Fanout("PE", 3, 1), Storage("reg", "SRAM", 64, 16, 16, 1))
    architecture = Architecture("sliding", levels, Compute("mac", "intmac"))
    space = kernel_space(map_space(problem, architecture), random_prices(random.Random(0), architecture))
    names = [d for d, n in problem.dims if n > 1]
    x = np.array([inside if d == "P" else 1 for d in names], np.int64)
    assert may_link(space, 1.0, 0, names.index("R"), moves, 3, x) is linked
