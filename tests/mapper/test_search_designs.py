"""The search against enumeration on random designs with every switch that a constraint can set.

``HWSIM_DESIGNS`` says how many (``make check-search`` takes a thousand).
"""

from __future__ import annotations

import os
import random
from dataclasses import fields

import pytest

from hwsim.architecture import Constraints, Fanout, LoopConstraint, Storage
from hwsim.cost import Illegal, LayerCost
from hwsim.mapper import search
from hwsim.mapper.size import space_size
from hwsim.mapper.space import map_space
from hwsim.model import evaluate
from tests.mapper.random_designs import Design, design
from tests.witness.enumerator import OBJECTIVES, TIE, Optima, enumerate_mappings, optima

PER_PART = 10
PARTS = max(1, int(os.environ.get("HWSIM_DESIGNS", "120")) // PER_PART)


def of_part(part: int) -> list[Design]:
    """Each design from a seed of its own, so that one can be made again alone."""
    return [design(random.Random(f"design/{part * PER_PART + k}")) for k in range(PER_PART)]


def compare(one: Design, all_of_them: Optima, objective: str) -> str:
    """What is wrong with the search's answer; empty where nothing is."""
    cost = search(one.problem, one.architecture, one.energy, objective)
    if isinstance(cost, Illegal) or not all_of_them.best:
        agree = isinstance(cost, Illegal) and not all_of_them.best
        return "" if agree else f"search: {cost}; enumeration: {all_of_them.legal} legal mappings"
    best, sure = all_of_them.best[objective], cost.certificate
    assert isinstance(cost, LayerCost) and sure is not None
    value = {"edp": cost.edp, "energy": cost.energy_pj, "latency": float(cost.cycles)}[objective]
    least = best.value(objective)
    tie = {"edp": 0.0, "energy": float(cost.cycles), "latency": cost.energy_pj}[objective]
    least_tie = {"edp": 0.0, "energy": best.cycles, "latency": best.energy_pj}[objective]
    gap = sure.lower_bound < value * (1 - TIE) or sure.tie_bound < sure.tie_value * (1 - TIE)
    faults = [
        ((sure.value, sure.tie_value) != (value, tie), f"the certificate has {sure.value}, the mapping {value}"),
        (value < least * (1 - TIE), f"{value} is better than the best of all mappings, {least}: not of this space"),
        (sure.lower_bound > least * (1 + TIE), f"the bound {sure.lower_bound} is above the optimum {least}"),
        (not sure.optimal and not gap, "no gap, but not called optimal"),
        (sure.optimal and value > least * (1 + TIE), f"{value} is called optimal; enumeration finds {least}"),
        (sure.optimal and tie > least_tie * (1 + TIE), f"{sure.tie} {tie} is called least; enumeration: {least_tie}"),
        (value <= least * (1 + TIE) and sure.tie_bound > least_tie * (1 + TIE), f"{sure.tie}: {least_tie} is possible"),
    ]
    return next((text for wrong, text in faults if wrong), "")


@pytest.mark.parametrize("part", range(PARTS))
def test_search_equals_enumeration(part: int) -> None:
    """Value, tie and size of the space: whatever the certificate calls optimal is, and other bounds hold."""
    wrong = []
    for k, one in enumerate(of_part(part)):
        all_of_them = optima(one.problem, one.architecture, one.energy)
        size = space_size(map_space(one.problem, one.architecture))
        if size != all_of_them.size:
            wrong.append(f"design/{part * PER_PART + k}: {size} mappings in the space; enumerated: {all_of_them.size}")
        for objective in OBJECTIVES:
            fault = compare(one, all_of_them, objective)
            if fault:
                wrong.append(f"design/{part * PER_PART + k}, {objective}: {fault}")
    assert not wrong, "\n".join(wrong)


def test_most_answers_are_proved() -> None:
    """A gap is an honest answer, but not to problems as small as these."""
    certificates = [
        cost.certificate
        for one in of_part(0) + of_part(1)
        for objective in OBJECTIVES
        if isinstance(cost := search(one.problem, one.architecture, one.energy, objective), LayerCost)
    ]
    assert len(certificates) > 20
    assert sum(x is not None and x.optimal for x in certificates) >= 0.95 * len(certificates)


def test_prices_by_the_batch_are_the_model_s() -> None:
    """What `optima` takes from `tests.witness.batch` equals `evaluate`, mapping by mapping."""
    seen = 0
    for one in of_part(0) + of_part(1) + of_part(2):
        if (mappings := list(enumerate_mappings(one.problem, one.architecture))) and len(mappings) < 400:
            costs = [evaluate(one.problem, one.architecture, m, one.energy) for m in mappings]
            legal = [c for c in costs if isinstance(c, LayerCost)]
            found = optima(one.problem, one.architecture, one.energy)
            assert (found.size, found.legal) == (len(mappings), len(legal))
            if not legal:
                continue
            seen += len(legal)
            assert found.best["edp"].value("edp") == pytest.approx(min(c.edp for c in legal), rel=1e-12)
            least = min(c.energy_pj for c in legal)
            assert found.best["energy"].energy_pj == pytest.approx(least, rel=TIE)
            tied = [c.cycles for c in legal if c.energy_pj <= least * (1 + TIE)]
            assert found.best["energy"].cycles == min(tied)
            fewest = min(c.cycles for c in legal)
            assert found.best["latency"].cycles == fewest
            tied_pj = [c.energy_pj for c in legal if c.cycles == fewest]
            assert found.best["latency"].energy_pj == pytest.approx(min(tied_pj), rel=TIE)
    assert seen > 500


def test_every_switch_occurs() -> None:
    """Each field that a constraint or a storage has is set somewhere among the designs, and is left alone elsewhere."""
    levels = [x for part in range(12) for one in of_part(part) for x in one.architecture.levels]
    storages = [x for x in levels if isinstance(x, Storage)]
    fanouts = [x for x in levels if isinstance(x, Fanout)]
    named = {"keep", "bypass", "temporal", "spatial", "maximize_dims"}
    for some, loops in (
        (storages, [x.constraints.temporal for x in storages]),
        (fanouts, [x.constraints.spatial for x in fanouts]),
    ):
        assert {x.constraints.min_utilization > 0 for x in some} == {True, False}
        spatial = some is fanouts
        foreign = {"no_reuse", "rmw_first_update"} if spatial else {"no_multicast", "no_link_transfer", "split"}
        for field in fields(LoopConstraint):
            if field.name not in foreign:
                assert {getattr(x, field.name) == field.default for x in loops} == {True, False}, field.name
    assert (
        {bool(x.constraints.keep) for x in storages} == {bool(x.constraints.bypass) for x in storages} == {True, False}
    )
    operators = {(f.op, f.value == 0) for x in storages for f in x.constraints.temporal.factors}
    assert {("=", True), ("=", False), ("<=", False), (">=", False)} <= operators
    assert {x.name for x in fields(Constraints)} - named == {"min_utilization"}  # a new field belongs into the designs
    for name in ("depth", "block_size", "cluster_size", "read_bandwidth", "write_bandwidth", "shared_bandwidth"):
        assert len({getattr(x, name) for x in storages}) > 1, name
    assert len({x.multiple_buffering for x in storages}) > 1
