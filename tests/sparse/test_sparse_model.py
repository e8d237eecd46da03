"""The sparse model by hand, at its ends (nothing is zero, all is zero), and what it refuses."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.cost import LayerCost
from hwsim.design import load_specs
from hwsim.energy import Action, EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapper import search
from hwsim.model import evaluate
from hwsim.sparsity import ActionOptimization, Density, Format, LevelSparsity, Rank, Saving, Sparsity
from hwsim.spec.ert import SPARSE_COMPUTE_ACTIONS, SPARSE_STORAGE_ACTIONS
from hwsim.workloads.problem import Problem
from tests.reference_cases import Case, architecture, cases

DENSE = [*cases("cases"), *cases("small_cases")]
SPEC = """
architecture:
  version: 0.4
  nodes:
  - !Component
    name: buffer
    class: SRAM
    attributes: {depth: 64, width: 8, datawidth: 8, metadata_storage_width: 8, metadata_datawidth: 4}
    sparse_optimizations: {LEVEL}
  - !Component
    name: mac
    class: intmac
    sparse_optimizations: {COMPUTE}
ERT:
  version: 0.4
  tables:
  - {name: buffer, actions: [{name: read, energy: 1}, {name: write, energy: 10}, {name: gated_read, energy: 0.5}]}
  - {name: mac, actions: [{name: compute, energy: 100}, {name: compute_gated, energy: 25}]}
problem:
  shape: {name: dot, dimensions: [K], data_spaces: [{name: A, projection: [[[K]]]}, {name: B, projection: [[[K]]]},
    {name: Z, projection: [[[M]]], read_write: true}]}
  instance: {K: 16, M: 1, densities: DENSITIES}
mapping:
- {target: buffer, type: temporal, factors: K=16 M=1, permutation: KM}
""".replace("dimensions: [K]", "dimensions: [K, M]")


@pytest.fixture
def dot(tmp_path: Path) -> Any:
    """The cost of a dot product of 16 under optimizations of the buffer and of the multiplier."""

    def made(densities: str, level: str = "{}", compute: str = "{}") -> LayerCost:
        file = tmp_path / "spec.yaml"
        text = SPEC.replace("{LEVEL}", level).replace("{COMPUTE}", compute).replace("DENSITIES", densities)
        file.write_text(text)
        (spec,) = load_specs([file])
        assert spec.mapping is not None
        found = evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy)
        assert isinstance(found, LayerCost), found
        return found

    return made


def gate(target: str, *conditions: str, kind: str = "gating") -> str:
    option = f"{{target: {target}, condition_on: [{', '.join(conditions)}]}}"
    return f"{{action_optimization: [{{type: {kind}, options: [{option}]}}]}}"


def test_a_gated_operand_by_hand(dot: Any) -> None:
    """A quarter of A is there: B is read for 4 of 16, the other 12 reads cost half as much, 4 computes are left."""
    cost = dot("{A: 0.25}", gate("B", "A"))
    b = cost.levels[0].data_spaces["B"]
    assert (b.reads, b.sparse.reads.algorithmic, b.sparse.reads.gated, b.sparse.reads.skipped) == (4, 16, 12, 0)
    assert b.energy_pj == 4 * 1 + 12 * 0.5
    assert cost.levels[0].data_spaces["A"].reads == 16
    assert (cost.compute.computes, cost.compute.energy_pj, cost.cycles) == (4, 400.0, 4)


def test_a_skipped_operand_costs_nothing(dot: Any) -> None:
    """Without a price of its own a skipped read costs what a gated one does."""
    b = dot("{A: 0.25}", gate("B", "A", kind="skipping")).levels[0].data_spaces["B"]
    assert (b.reads, b.sparse.reads.skipped, b.energy_pj) == (4, 12, 4 + 12 * 0.5)


def test_zeros_at_the_multiplier_by_hand(dot: Any) -> None:
    """Half of A and a quarter of B: 2 of 16 products are not zero, the others pass the multiplier idle."""
    cost = dot("{A: 0.5, B: 0.25}", compute="{compute_optimization: [{type: gating}]}")
    assert (cost.compute.computes, cost.compute.sparse.gated, cost.cycles) == (2, 14, 16)
    assert cost.compute.energy_pj == 2 * 100 + 14 * 25


def test_a_compressed_operand_by_hand(dot: Any) -> None:
    """A as coordinates: 4 of 16 are kept and read, each with a coordinate of 4 bits, two of which are one access."""
    form = "{representation_format: {data_spaces: [{name: A, ranks: [{format: CP}]}]}}"
    a = dot("{A: 0.25}", form).levels[0].data_spaces["A"]
    assert (a.capacity, a.reads, a.sparse.format_capacity) == (4, 4, {"0": (4, 0)})
    assert a.sparse.format_reads["actual"] == {"0": (4, 0)} and a.energy_pj == 4  # metadata has no price
    bitmap = form.replace("CP", "B")
    assert dot("{A: 0.25}", bitmap).levels[0].data_spaces["A"].sparse.format_capacity == {"0": (16, 0)}


def test_densities_alone_change_nothing(dot: Any) -> None:
    plain, sparse = dot("{}"), dot("{A: 0.1, B: {distribution: hypergeometric, density: 0.5}}")
    assert (plain.energy_pj, plain.cycles, plain.compute.computes) == (sparse.energy_pj, sparse.cycles, 16)
    assert sparse.compute.sparse is not None and plain.compute.sparse is None


def sparse_prices(energy: EnergyTable, compute: str) -> EnergyTable:
    """The table with prices for all that a sparse design does besides."""
    actions = {name: {a: Action(1.0) for a in SPARSE_STORAGE_ACTIONS} | table for name, table in energy.actions.items()}
    actions[compute] = {a: Action(1.0) for a in SPARSE_COMPUTE_ACTIONS} | energy.actions[compute]
    return replace(energy, actions=actions)


def optimized(case: Case, source: random.Random, formats: bool) -> tuple[Sparsity, Problem]:
    """Random optimizations of a design, for a problem without its densities."""
    design, _ = architecture(case.arch_name)
    inputs = [x.name for x in case.problem.data_spaces if not x.read_write]
    names = [x.name for x in case.problem.data_spaces]
    levels = []
    for level in design.storages:
        actions = []
        for _ in range(source.randrange(3)):
            target = source.choice(names)
            conditions = tuple(x for x in inputs if x != target)
            actions.append(ActionOptimization(source.choice(("gating", "skipping")), (Saving(target, conditions),)))
        form = Format(tuple(Rank("UOP", (tuple(case.problem.sizes),), 4, 4) for _ in range(8)))
        kept = tuple((x, form) for x in inputs) if formats and source.random() < 0.3 else ()
        levels.append((level.name, LevelSparsity(kept, tuple(actions), 64, None, 4)))
    compute = frozenset(source.sample(("gating", "skipping"), source.randrange(3)))
    return Sparsity(tuple(levels), compute), case.problem


def test_without_zeros_the_figures_are_the_dense_ones() -> None:
    """600 random sets of optimizations: what is not there cannot be saved."""
    source = random.Random(22)
    for k in range(600):
        case = DENSE[k % len(DENSE)]
        design, energy = architecture(case.arch_name)
        sparsity, problem = optimized(case, source, formats=False)
        energy = sparse_prices(energy, design.compute.name)
        dense = evaluate(problem, design, case.mapping, energy)
        found = evaluate(problem, replace(design, sparsity=sparsity), case.mapping, energy)
        assert isinstance(found, LayerCost) and isinstance(dense, LayerCost)
        plain = replace(
            found,
            compute=replace(found.compute, sparse=None),
            levels=tuple(
                replace(x, data_spaces={n: replace(d, sparse=None) for n, d in x.data_spaces.items()})
                for x in found.levels
            ),
        )
        if sparsity:
            close = [(plain.energy_pj, dense.energy_pj)]
            close += [(a.leakage_pj, b.leakage_pj) for a, b in zip(plain.levels, dense.levels, strict=True)]
            assert all(a == pytest.approx(b, rel=1e-12) for a, b in close), case.id
            counts = ("tile", "capacity", "reads", "fills", "updates", "temporal_reductions", "link_transfers")
            for a, b in zip(plain.levels, dense.levels, strict=True):
                assert a.cycles == b.cycles
                for name, space in b.data_spaces.items():
                    assert all(getattr(a.data_spaces[name], c) == getattr(space, c) for c in counts), (case.id, name)
            assert plain.cycles == dense.cycles and plain.compute.computes == dense.compute.computes
        else:
            assert plain == dense


@pytest.mark.parametrize("distribution", ["fixed_structured", "hypergeometric"])
def test_where_all_is_zero_nothing_is_left(distribution: Any) -> None:
    """400 random sets of optimizations that skip at the innermost level: no compute, no negative count."""
    source = random.Random(23)
    for k in range(200):
        case = DENSE[(7 * k) % len(DENSE)]
        design, energy = architecture(case.arch_name)
        sparsity, problem = optimized(case, source, formats=True)
        one, two = (x.name for x in problem.data_spaces if not x.read_write)
        both = (Saving(one, (two,)), Saving(two, (one,)))
        last = design.storages[-1].name
        skip = LevelSparsity((), tuple(ActionOptimization("skipping", (x,)) for x in both), 64, None, 4)
        sparsity = replace(sparsity, levels=tuple((n, skip if n == last else x) for n, x in sparsity.levels))
        zeros = tuple((x, Density(distribution, 0.0)) for x in (one, two))
        found = evaluate(
            replace(problem, densities=zeros),
            replace(design, sparsity=sparsity),
            case.mapping,
            sparse_prices(energy, design.compute.name),
        )
        assert isinstance(found, LayerCost), found
        assert found.compute.computes == 0 and found.energy_pj >= 0
        for level in found.levels:
            for space in level.data_spaces.values():
                assert min(space.reads, space.fills, space.updates, space.temporal_reductions) >= 0


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (gate("B", "A", kind="skipping_spatial"), "'skipping_spatial' is not modelled"),
        (gate("B", "A", kind="skiping"), "unknown type 'skiping'"),
        (gate("B", "C"), "name the data space 'C'"),
        (gate("B", "B"), "other than 'B'"),
        ("{action_optimisation: [1]}", "unknown key 'action_optimisation'"),
        ("{representation_format: {data_spaces: [{name: A, ranks: [{format: CSR}]}]}}", "unknown format 'CSR'"),
        (
            "{representation_format: {data_spaces: [{name: A, ranks: [{format: CP}, {format: UOP}]}]}}",
            "below a compressed",
        ),
        ("{compute_optimization: [{type: gating}]}", "computes nothing"),
    ],
)
def test_what_is_refused(dot: Any, level: str, message: str) -> None:
    with pytest.raises(HwsimError) as caught:
        dot("{A: 0.5}", level)
    assert message in caught.value.message and "spec.yaml" in caught.value.where


def test_a_format_with_too_few_ranks_is_an_illegal_mapping() -> None:
    case = next(c for c in DENSE if c.arch_name == "simple_weight_stationary")
    design, energy = architecture(case.arch_name)
    form = Format((Rank("UOP", (), 4, 4),))
    name = design.storages[0].name
    sparsity = Sparsity(((name, LevelSparsity((("Inputs", form),), (), 64, None, 4)),))
    found = evaluate(case.problem, replace(design, sparsity=sparsity), case.mapping, energy)
    assert not isinstance(found, LayerCost) and found.level == name and "fewer ranks" in found.reason


def test_the_search_refuses_a_sparse_design() -> None:
    case = DENSE[0]
    design, energy = architecture(case.arch_name)
    sparsity = Sparsity((), frozenset({"gating"}))
    with pytest.raises(HwsimError, match="sparse optimizations, whose best mapping is not searched for yet"):
        search(case.problem, replace(design, sparsity=sparsity), energy)


def test_estimates_price_what_a_sparse_design_does_besides(tmp_path: Path) -> None:
    """The metadata's memory is one of the same class and of its own size; what no class prices costs nothing."""
    form = "{representation_format: {data_spaces: [{name: A, ranks: [{format: CP}]}]}}"
    text = SPEC.replace("{LEVEL}", form).replace("{COMPUTE}", "{}").replace("DENSITIES", "{A: 0.5}")
    head, tail = text.split("ERT:\n")[0], text[text.index("problem:") :]
    file = tmp_path / "spec.yaml"
    file.write_text("variables: {technology: 45nm, global_cycle_seconds: 1.0e-9}\n" + head + tail)
    (spec,) = load_specs([file])
    prices = spec.energy.actions["buffer"]
    assert prices["metadata_read"].energy_pj > 0 and prices["gated_read"].energy_pj == 0
    assert "0 as in Timeloop" in prices["gated_read"].source
    assert spec.energy.price("mac", "gated_compute") == spec.energy.price("mac", "compute")
    assert spec.mapping is not None
    assert isinstance(evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy), LayerCost)
