"""The model by hand: switches, bandwidths, blocks, clusters, leakage, and counts that 64 bits only just hold."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from hwsim import counting
from hwsim.architecture import (
    MAX_INSTANCES,
    Architecture,
    Compute,
    Constraints,
    Fanout,
    Level,
    LoopConstraint,
    Storage,
)
from hwsim.cost import Illegal, LayerCost
from hwsim.energy import Action, EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from hwsim.workloads.problem import MAX_COUNT, DataSpace, Problem, conv, matmul
from tests.witness.batch import evaluate_packed, pack

ALL = frozenset({"Weights", "Inputs", "Outputs"})
#: Prices that no sum can confuse: powers of ten.
PRICES = {"read": 1.0, "write": 10.0, "update": 100.0, "leak": 1000.0}


def storage(name: str = "DRAM", **changes: object) -> Storage:
    return replace(Storage(name, "SRAM", None, 16, 16, 1), **changes)


def design(*levels: Level) -> Architecture:
    return Architecture("by hand", levels, Compute("mac", "intmac"))


def table(architecture: Architecture) -> EnergyTable:
    prices = {x.name: {a: Action(pj) for a, pj in PRICES.items()} for x in architecture.storages}
    return EnergyTable(prices | {"mac": {"compute": Action(1e6)}}, {}, "by hand")


def cost(problem: Problem, architecture: Architecture, *levels: LevelMapping) -> LayerCost:
    found = evaluate(problem, architecture, Mapping(levels), table(architecture))
    assert isinstance(found, LayerCost), found
    return found


def loops(*pairs: tuple[str, int]) -> tuple[Loop, ...]:
    return tuple(Loop(dim, bound) for dim, bound in pairs)


# --- what constraints turn off --------------------------------------------------------------------------------------


def switched(**switch: frozenset[str]) -> Constraints:
    time = {"no_reuse", "rmw_first_update"}
    return Constraints(
        LoopConstraint(**{k: v for k, v in switch.items() if k in time}),  # type: ignore[arg-type]
        LoopConstraint(**{k: v for k, v in switch.items() if k not in time}),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("off", "reads"), [(False, 4), (True, 6)])
def test_link_transfers(off: bool, reads: int) -> None:
    """Three PEs hold inputs 0, 1, 2, then 1, 2, 3: neighbours hand on two, or all three come from DRAM again."""
    limits = switched(no_link_transfer=frozenset({"Inputs"})) if off else Constraints()
    architecture = design(storage(), Fanout("PE", 1, 3, limits), storage("pad"))
    found = cost(
        conv({"P": 3, "R": 2}),
        architecture,
        LevelMapping("DRAM", loops(("R", 2)), keep=ALL),
        LevelMapping("PE", spatial=(Loop("P", 3, "Y"),)),
        LevelMapping("pad", keep=ALL),
    )
    assert found.levels[0].data_spaces["Inputs"].reads == reads
    assert found.levels[2].data_spaces["Inputs"].fills == 2, "from DRAM or from a neighbour: (4 + 2) / 3"
    assert found.levels[0].data_spaces["Inputs"].energy_pj == reads * PRICES["read"]


@pytest.mark.parametrize(("off", "reads"), [(False, 1), (True, 3)])
def test_multicast(off: bool, reads: int) -> None:
    """Three multipliers take the same input: one read, or three."""
    limits = switched(no_multicast=frozenset({"Inputs"})) if off else Constraints()
    found = cost(
        matmul({"M": 3}),
        design(storage(), Fanout("PE", 3, 1, limits)),
        LevelMapping("DRAM", keep=ALL),
        LevelMapping("PE", spatial=(Loop("M", 3, "X"),)),
    )
    spaces = found.levels[0].data_spaces
    assert (spaces["Inputs"].reads, spaces["Weights"].reads, spaces["Outputs"].updates) == (reads, 3, 3)


@pytest.mark.parametrize(("off", "fills"), [(False, 1), (True, 4)])
def test_reuse(off: bool, fills: int) -> None:
    """An input that no loop outside the pad moves is fetched once, or in every one of the four steps."""
    limits = switched(no_reuse=frozenset({"Inputs"})) if off else Constraints()
    found = cost(
        matmul({"M": 4}),
        design(storage(), storage("pad", constraints=limits)),
        LevelMapping("DRAM", loops(("M", 4)), keep=ALL),
        LevelMapping("pad", keep=ALL),
    )
    assert found.levels[1].data_spaces["Inputs"].fills == fills
    assert found.levels[0].data_spaces["Inputs"].reads == fills


@pytest.mark.parametrize(("first", "reads"), [(False, 4), (True, 5)])
def test_first_update(first: bool, reads: int) -> None:
    """Five products sum up in one word: four updates need what is there, the first only if it is to be read, too."""
    limits = switched(rmw_first_update=frozenset({"Outputs"})) if first else Constraints()
    found = cost(matmul({"C": 5}), design(storage(constraints=limits)), LevelMapping("DRAM", loops(("C", 5)), keep=ALL))
    outputs = found.levels[0].data_spaces["Outputs"]
    assert (outputs.updates, outputs.reads, outputs.temporal_reductions) == (5, reads, reads)
    assert outputs.energy_pj == 5 * PRICES["update"] + reads * PRICES["read"]


def test_first_visits_where_the_outermost_memory_keeps_no_results() -> None:
    """The pad's sums are new when they first stand there, though the outermost that keeps them is the buffer."""
    operands = ALL - {"Outputs"}
    found = cost(
        matmul({"C": 5, "M": 3}),
        design(storage(), storage("buffer"), storage("pad")),
        LevelMapping("DRAM", loops(("C", 5), ("M", 3)), keep=operands),
        LevelMapping("buffer", keep=ALL),
        LevelMapping("pad", keep=ALL),
    )
    # M inside C: each of three sums comes back to the pad four times after its first visit.
    assert found.levels[2].data_spaces["Outputs"].fills == 3 * 4
    assert found.levels[1].data_spaces["Outputs"].fills == 0


# --- bandwidth, leakage, blocks, clusters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "share", "cycles"),
    [
        # Every cycle two words are read (weight, input) and one is written (output).
        ({"read_bandwidth": 2.0}, 1, 4),
        ({"read_bandwidth": 1.99}, 0.995, 5),  # 4 / 0.995 = 4.02
        ({"read_bandwidth": 1.0}, 0.5, 8),
        ({"write_bandwidth": 1.0}, 1, 4),
        ({"write_bandwidth": 0.99}, 0.99, 5),
        ({"write_bandwidth": 0.25}, 0.25, 16),
        ({"shared_bandwidth": 3.0}, 1, 4),
        ({"shared_bandwidth": 2.99}, 2.99 / 3, 5),
        ({"shared_bandwidth": 1.5}, 0.5, 8),
        ({"read_bandwidth": 1.0, "write_bandwidth": 0.25, "shared_bandwidth": 2.0}, 0.25, 16),
    ],
)
def test_bandwidth(limit: dict[str, float], share: float, cycles: int) -> None:
    architecture = design(storage(**limit))
    found = cost(matmul({"M": 4}), architecture, LevelMapping("DRAM", loops(("M", 4)), keep=ALL))
    (level,) = found.levels
    assert level.throttling == pytest.approx(share)
    assert (level.cycles, found.cycles) == (cycles, cycles)
    assert found.utilization == 4 / cycles
    assert level.leakage_pj == cycles * PRICES["leak"]
    assert found.energy_pj == cycles * 1000 + 4 * 1 + 4 * 1 + 4 * 100 + 4 * 1e6
    packed = pack(found.problem, architecture, [found.mapping], table(architecture))
    assert evaluate_packed(packed).tolist() == [[found.energy_pj, found.cycles]]


def test_the_slowest_level_sets_the_pace_and_all_leak_that_long() -> None:
    """A pad that is read at half speed: DRAM waits, and leaks, with it; of the pads the three in use."""
    architecture = design(storage(), Fanout("PE", 4, 1), storage("pad", read_bandwidth=1.0))
    found = cost(
        matmul({"M": 3, "P": 2}),
        architecture,
        LevelMapping("DRAM", keep=ALL),
        LevelMapping("PE", spatial=(Loop("M", 3, "X"),)),
        LevelMapping("pad", loops(("P", 2)), keep=ALL),
    )
    assert [x.cycles for x in found.levels] == [2, 2, 4] and found.cycles == 4
    assert [x.leakage_pj for x in found.levels] == [4000, 0, 3 * 4000]
    assert found.compute.instances == 3 and found.utilization == 6 / (4 * 4)


@pytest.mark.parametrize(("words", "accesses"), [(3, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_blocks(words: int, accesses: int) -> None:
    """Four words to an access, the last may be part of one."""
    found = cost(
        matmul({"M": words}), design(storage(block_size=4)), LevelMapping("DRAM", loops(("M", words)), keep=ALL)
    )
    weights = found.levels[0].data_spaces["Weights"]
    assert (weights.reads, weights.energy_pj) == (words, accesses * PRICES["read"])
    assert found.levels[0].data_spaces["Outputs"].energy_pj == accesses * PRICES["update"]


@pytest.mark.parametrize(("used", "accessed"), [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_clusters(used: int, accessed: int) -> None:
    """Four pads in two clusters that are accessed as one: no more than two accesses at a time."""
    found = cost(
        matmul({"M": used}),
        design(storage(), Fanout("PE", 4, 1), storage("pad", cluster_size=2)),
        LevelMapping("DRAM", keep=ALL),
        LevelMapping("PE", spatial=(Loop("M", used, "X"),) if used > 1 else ()),
        LevelMapping("pad", keep=ALL),
    )
    weights = found.levels[2].data_spaces["Weights"]
    assert (weights.instances, weights.reads, weights.fills) == (used, 1, 1)
    assert weights.energy_pj == accessed * (PRICES["read"] + PRICES["write"])


def test_an_action_that_never_happens_needs_no_price() -> None:
    architecture = design(storage())
    prices = table(architecture).actions
    frugal = EnergyTable({"DRAM": {k: v for k, v in prices["DRAM"].items() if k != "write"}, "mac": prices["mac"]}, {})
    mapping = Mapping((LevelMapping("DRAM", keep=ALL),))
    assert isinstance(evaluate(matmul({}), architecture, mapping, frugal), LayerCost)
    for action in ("read", "update", "leak"):
        without = EnergyTable({c: {k: v for k, v in t.items() if k != action} for c, t in prices.items()}, {})
        with pytest.raises(HwsimError, match=f"action '{action}' of component 'DRAM' has no price"):
            evaluate(matmul({}), architecture, mapping, without)


def test_packed_mappings_that_do_not_fit_are_infinite() -> None:
    """Three words for one product: a memory of two is too small by one."""
    mapping = Mapping((LevelMapping("DRAM", keep=ALL),))
    for depth, fits in ((3, True), (2, False)):
        architecture = design(storage(depth=depth))
        found = evaluate_packed(pack(matmul({}), architecture, [mapping], table(architecture)))
        assert bool(np.isfinite(found).all()) == fits
        assert isinstance(evaluate(matmul({}), architecture, mapping, table(architecture)), Illegal) != fits


# --- as much as 64 bits hold ----------------------------------------------------------------------------------------


def test_cycles_are_exact_above_what_a_double_holds() -> None:
    steps = 3**38  # more than 2^53, and odd
    found = cost(matmul({"P": steps}), design(storage()), LevelMapping("DRAM", loops(("P", steps)), keep=ALL))
    assert found.cycles == found.levels[0].cycles == steps and found.utilization == 1


def test_a_tile_of_2_to_the_64_words_is_refused() -> None:
    """A stride of 2³² − 1 in both directions: two positions each are 2³² wide, which 64-bit integers count as 0."""
    with pytest.raises(HwsimError) as caught:
        conv({"P": 2, "Q": 2}, wstride=2**32 - 1, hstride=2**32 - 1)
    for word in ("'Inputs'", "coefficient of P", "4,294,967,295", "2^62"):
        assert word in caught.value.message


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda n: matmul({"M": n}), MAX_COUNT),
        (lambda n: matmul({"M": n, "C": 2}), MAX_COUNT // 2),
        (lambda n: conv({"P": 2}, wstride=n), MAX_COUNT // 2),
        (lambda n: conv({"R": 2}, wdilation=n), MAX_COUNT // 2),
        (lambda n: conv({"P": 2, "Q": 2, "M": n}, wstride=2, hstride=2), MAX_COUNT // 16),
        (lambda n: conv({"P": 1}, wstride=n), MAX_COUNT),
    ],
)
def test_the_limit_is_sharp(build, size: int) -> None:  # type: ignore[no-untyped-def]
    assert build(size).macs > 0
    with pytest.raises(HwsimError, match=r"comes to .*; hwsim counts up to 2\^62 = 4,611,686,018,427,387,904"):
        build(size + 1)


def test_huge_sizes_are_told_briefly() -> None:
    for exponent in (100, 5_000, 100_000):
        with pytest.raises(HwsimError) as caught:
            matmul({"M": 2**exponent})
        assert len(str(caught.value)) < 300 and f"2^{exponent}" in caught.value.message


def test_a_tile_at_the_limit_is_counted_right() -> None:
    """One word of a stride of 2⁶⁰ apart from the next: the window is 2⁶⁰ + 1 wide."""
    problem = conv({"P": 2}, wstride=2**60)
    found = cost(problem, design(storage()), LevelMapping("DRAM", loops(("P", 2)), keep=ALL))
    assert found.levels[0].data_spaces["Inputs"].capacity == pytest.approx(2**60)
    small = design(storage(depth=2**59))
    fault = evaluate(problem, small, found.mapping, table(small))
    assert isinstance(fault, Illegal) and fault.data_space == "Inputs" and fault.needed == pytest.approx(2**60)


def test_the_share_of_an_instance_of_a_large_tensor() -> None:
    """2⁶² weights over two PEs: each sees half; their product with a tile would not fit 64 bits."""
    found = cost(
        matmul({"M": 2**31, "C": 2**31}),
        design(storage(), Fanout("PE", 2, 1), storage("pad")),
        LevelMapping("DRAM", loops(("C", 2**31)), keep=ALL),
        LevelMapping("PE", spatial=(Loop("M", 2, "X"),)),
        LevelMapping("pad", loops(("M", 2**30)), keep=ALL),
    )
    pads = found.levels[2].data_spaces
    assert (pads["Weights"].tile, pads["Inputs"].tile, pads["Outputs"].tile) == (2**61, 2**31, 2**30)


def test_shares_against_integers_without_end() -> None:
    rng = random.Random(0)
    for _ in range(2_000):
        of = rng.randrange(1, 2 ** rng.randrange(1, 63))
        part = rng.randrange(1, of + 1)
        whole = rng.randrange(0, 2 ** rng.randrange(1, 63))
        assert counting.share_of(whole, part, of) == whole * part // of


def test_dimensions_and_data_spaces_must_agree() -> None:
    one = DataSpace("Weights", (((1, "C"),),))
    out = DataSpace("Outputs", (((1, "C"),),), read_write=True)
    with pytest.raises(HwsimError, match="a dimension is given twice: C C"):
        Problem("custom", (("C", 2), ("C", 3)), (one, out))
    with pytest.raises(HwsimError, match="indexed by 'X', which is no dimension"):
        Problem("custom", (("C", 2),), (DataSpace("Weights", (((1, "X"),),)), out))


def test_more_instances_than_can_be_looked_at() -> None:
    rows = MAX_INSTANCES // 2**12
    assert design(storage(), Fanout("PE", 2**12, rows)).compute_instances == MAX_INSTANCES
    with pytest.raises(HwsimError, match="more than 16,777,216 instances of 'mac'"):
        design(storage(), Fanout("PE", 2**12, rows + 1))


def test_sizes_of_boxes() -> None:
    problem = conv({"C": 2, "M": 3, "R": 3, "P": 5, "Q": 4}, wstride=2, wdilation=3)
    sizes = {x.name: problem.data_space_size(x) for x in problem.data_spaces}
    # inputs: 1 + 3·(3 − 1) + 2·(5 − 1) = 15 wide, 4 high, 2 channels
    assert sizes == {"Weights": 18, "Inputs": 2 * 15 * 4, "Outputs": 3 * 5 * 4}
    assert problem.macs == math.prod((2, 3, 3, 5, 4))


@pytest.mark.parametrize("moves", [((1,), (1,)), ((1, 0), (1, 0)), ((1, 0, 0), (1, 0, 1))])
def test_tiles_that_slide_along_one_rank_may_coincide(moves: tuple[tuple[int, ...], ...]) -> None:
    """Two by two instances, P + R each: 0, 1, 1, 2, of which three differ, unless another rank tells them apart."""
    move = np.array(moves, np.int64)
    alike = all(b == 0 for b in moves[1][1:])
    assert counting.distinct_boxes(0, 2, np.array([2, 2], np.int64), move) == (3 if alike else 4)
