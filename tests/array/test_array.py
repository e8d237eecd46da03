"""The array simulator: it computes the layer, and its counts are the cost model's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from hwsim.architecture import Architecture, Compute, Storage
from hwsim.array.arithmetic import Arithmetic, Overflow, arithmetic, bits_needed, refuse_operands
from hwsim.array.machine import Machine
from hwsim.array.plan import Plan, plan
from hwsim.array.run import Simulation, finish, simulate
from hwsim.cost import Illegal, LayerCost
from hwsim.energy import Action, EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.model import evaluate
from hwsim.workloads.problem import DataSpace, Problem, conv, matmul
from tests.array.array_cases import nest, operands, reference
from tests.strategies import Mapped, mapped

EXACT = Arithmetic(floating=False)
RANDOM = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run(case: Mapped, how: Arithmetic = EXACT) -> Simulation:
    found = simulate(case.problem, case.architecture, case.mapping, operands(case.problem), how)
    assert isinstance(found, Simulation), found
    return found


def planned(problem: Problem, architecture: Architecture, mapping: Mapping) -> Plan:
    made = plan(problem, architecture, mapping)
    assert isinstance(made, Plan), made
    return made


def model_counts(cost: LayerCost) -> dict[tuple[str, str], tuple[int, ...]]:
    """(level, data space) → capacity of an instance, then reads, fills, updates of all instances together."""
    return {
        (level.name, name): (s.capacity, s.reads * s.instances, s.fills * s.instances, s.updates * s.instances)
        for level in cost.levels
        for name, s in level.data_spaces.items()
    }


def presumed_counts(found: Simulation) -> dict[tuple[str, str], tuple[int, ...]]:
    return {(c.level, c.data_space): (c.capacity, *c.presumed()) for c in found.counts}


def slides(space: DataSpace) -> bool:
    """Whether tiles of the data space may overlap: some rank is indexed by two dimensions."""
    return any(len({d for c, d in rank if c}) > 1 for rank in space.projection)


def test_random_layers_are_computed_and_counted_as_the_model_counts() -> None:
    """At least 1,000 random pairs where every count is the model's outright, and those between with their lines."""
    outright = 0

    @settings(RANDOM, max_examples=1250)
    @given(mapped())
    def each(case: Mapped) -> None:
        nonlocal outright
        outright += counted_as_the_model_counts(case)

    each()
    assert outright >= 1000


def counted_as_the_model_counts(case: Mapped) -> bool:
    """Run a pair and check all that holds; returns whether its counts are the model's without any line."""
    found = run(case)
    cost = evaluate(case.problem, case.architecture, case.mapping, case.energy)
    assert isinstance(cost, LayerCost)

    assert (found.output == reference(case.problem, operands(case.problem))).all()
    assert presumed_counts(found) == model_counts(cost)

    # Where no window slides there is nothing to explain, but for what neighbouring multipliers hand on.
    feeds_multipliers = bool(case.mapping.levels[-1].spatial)
    for space in case.problem.data_spaces:
        lines = {name for c in found.counts if c.data_space == space.name for name in c.lines}
        if not slides(space):
            assert lines <= ({"sharing", "extrapolation"} if feeds_multipliers else set()), (space.name, lines)
        if not space.read_write:
            assert "first visits" not in lines

    cycles = found.cycles
    assert cycles.compute == math.prod(loop.bound for level in case.mapping.levels for loop in level.temporal)
    assert cycles.total == cycles.start_up + cycles.compute + cycles.stalls + cycles.drain
    assert cycles.stalls == sum(cycles.stalls_by_level.values())
    # No port passes more words per cycle than it can, and none is waited for that has no limit.
    for level in case.architecture.storages:
        of_level = [c for c in found.counts if c.level == level.name]
        reads = sum(c.reads / c.instances for c in of_level)
        writes = sum((c.fills + c.updates) / c.instances for c in of_level)
        for words, limit in (
            (reads, level.read_bandwidth),
            (writes, level.write_bandwidth),
            (reads + writes, level.shared_bandwidth),
        ):
            if limit is not None:
                assert cycles.total >= words / limit - 1e-6
    if all(not c.lines for c in found.counts):
        # The model is the ideal; where it divides in floating point it can land one above the exact quotient.
        assert cycles.total >= cost.cycles - 1
    limits = [(x.read_bandwidth, x.write_bandwidth, x.shared_bandwidth) for x in case.architecture.storages]
    if all(limit is None for row in limits for limit in row):
        assert cycles.total == cycles.compute == cost.cycles
    outright = not any(c.lines for c in found.counts)
    if outright:
        counted = {(c.level, c.data_space): (c.capacity, c.reads, c.fills, c.updates) for c in found.counts}
        assert counted == model_counts(cost)
    return outright


@settings(RANDOM, max_examples=250)
@given(mapped())
def test_the_engine_and_the_objects_are_one_machine(case: Mapped) -> None:
    if case.problem.macs > 150:
        return
    found = run(case)
    made = planned(case.problem, case.architecture, case.mapping)
    machine = Machine(made, operands(case.problem), EXACT)
    machine.run()
    assert (machine.output() == found.output).all()
    assert finish(made, machine.output(), machine.counter(), found.cycles, EXACT).counts == found.counts
    cycles = found.cycles
    assert list(machine.clock.now[0]) == [cycles.total, cycles.compute, cycles.start_up, cycles.stalls, cycles.drain]
    assert sum(m.macs for m in machine.multipliers) == case.problem.macs == found.macs
    # Every result holds each of its products once.
    assert sum(word.products for word in machine.results().values()) == case.problem.macs


@settings(RANDOM, max_examples=100)
@given(mapped())
def test_a_second_run_starts_from_nothing(case: Mapped) -> None:
    """Plans are kept; what a run leaves behind is not."""
    first = run(case)
    others = operands(case.problem, seed=1)
    second = simulate(case.problem, case.architecture, case.mapping, others, EXACT)
    assert isinstance(second, Simulation)
    assert (second.output == reference(case.problem, others)).all()
    assert (second.counts, second.cycles) == (first.counts, first.cycles)
    assert run(case).output.tolist() == first.output.tolist()


def test_a_word_can_be_followed_from_dram_to_the_multiplier_and_back() -> None:
    problem = matmul({"M": 2, "C": 2, "P": 2})
    architecture, mapping = nest("DRAM WIO: P2", "mesh 2x1: XM2", "pad WIO: C2")
    machine = Machine(planned(problem, architecture, mapping), operands(problem), EXACT)
    assert machine.cycle()
    weight, activation = machine.multipliers[1].operands
    assert (weight.element, weight.way) == ((0, 0, 1), ("DRAM", "pad[1]", "mac[1]"))
    assert (activation.element, activation.way) == ((0, 0, 0), ("DRAM", "pad[1]", "mac[1]"))
    machine.run()
    result = machine.results()[0, 1, 1]
    assert result.way == ("mac[1]", "pad[1]", "DRAM")
    assert result.products == 2


# --- hand-made figures ----------------------------------------------------------------


def counts_of(problem: Problem, *lines: str) -> dict[tuple[str, str], tuple[int, int, int]]:
    architecture, mapping = nest(*lines)
    found = simulate(problem, architecture, mapping, operands(problem), EXACT)
    assert isinstance(found, Simulation)
    return {(c.level, c.data_space): (c.reads, c.fills, c.updates) for c in found.counts}


def test_a_sliding_window_by_hand() -> None:
    """P=4 outputs of a 2-wide filter: the buffer takes 2 inputs, then one new one for each further output."""
    counts = counts_of(conv({"P": 4, "R": 2}), "DRAM WIO: P4", "buffer I: R2")
    assert counts["DRAM", "Inputs"] == (2 + 3, 0, 0)
    assert counts["buffer", "Inputs"] == (8, 5, 0)  # one operand per multiplication
    assert counts["DRAM", "Weights"] == (8, 0, 0)  # not kept below: one per multiplication
    assert counts["DRAM", "Outputs"] == (4, 0, 8)  # 8 products, 4 of them first ones


def test_partial_sums_by_hand() -> None:
    """C in two parts outside, M inside it: the 2·3 sums leave the buffer twice and come back once."""
    counts = counts_of(matmul({"C": 4, "M": 2, "P": 3}), "DRAM WIO: C2 M2", "buffer O: P3 C2")
    assert counts["DRAM", "Outputs"] == (6, 0, 12)
    # 24 products; the first one of each of the 6 sums finds nothing to read.
    assert counts["buffer", "Outputs"] == (24 - 6, 6, 24)


def test_multicast_and_reduction_by_hand() -> None:
    """M along X, C along Y: an input serves 3 columns, a sum is made of 2 rows."""
    counts = counts_of(matmul({"C": 2, "M": 3, "P": 5}), "DRAM WIO: P5", "mesh 3x2: XM3 YC2", "pad W:")
    assert counts["DRAM", "Inputs"] == (2 * 5, 0, 0)
    assert counts["DRAM", "Outputs"] == (0, 0, 3 * 5)
    assert counts["DRAM", "Weights"] == (6, 0, 0)
    assert counts["pad", "Weights"] == (30, 6, 0)


def test_an_extrapolated_count_is_told_apart() -> None:
    """P2 R3 above a one-element buffer: the example of docs/departures.md, where the model says 5 and 6 is true."""
    problem = conv({"P": 2, "R": 3})
    architecture, mapping = nest("DRAM WIO: P2 R3", "buffer WIO:")
    found = simulate(problem, architecture, mapping, operands(problem), EXACT)
    assert isinstance(found, Simulation)
    inputs = next(c for c in found.counts if (c.level, c.data_space) == ("DRAM", "Inputs"))
    assert inputs.reads == 6
    assert inputs.presumed()[0] == 5
    assert {name: line.reads for name, line in inputs.lines.items()} == {"extrapolation": 1}


# --- cycles ---------------------------------------------------------------------------


def cycles_of(depth: int | None, read: float | None = 1.0) -> tuple[int, int, int, int, int]:
    """8 multiplications with 2-word tiles of weights behind a DRAM that reads one word a cycle."""
    problem = matmul({"C": 2, "M": 2, "P": 2})
    dram = Storage("DRAM", "DRAM", None, 8, 8, 1, read_bandwidth=read)
    pad = Storage("pad", "SRAM", depth, 8, 8, 1)
    free = Storage("free", "SRAM", None, 8, 8, 1)
    architecture = Architecture("two", (free, dram, pad), Compute("mac", "intmac"))
    mapping = Mapping(
        (
            LevelMapping("free", keep=frozenset({"Inputs", "Outputs"})),
            LevelMapping("DRAM", (Loop("M", 2),), keep=frozenset({"Weights"})),
            LevelMapping("pad", (Loop("P", 2), Loop("C", 2)), keep=frozenset({"Weights"})),
        )
    )
    found = simulate(problem, architecture, mapping, operands(problem), EXACT)
    assert isinstance(found, Simulation)
    c = found.cycles
    return c.total, c.compute, c.start_up, c.stalls, c.drain


def test_a_buffer_with_room_for_two_tiles_is_filled_while_it_is_used() -> None:
    # The first tile's 2 words take 2 cycles: 1 before that of the first product. The second tile comes meanwhile.
    assert cycles_of(depth=4) == (9, 8, 1, 0, 0)


def test_a_buffer_with_room_for_one_tile_makes_the_multipliers_wait() -> None:
    assert cycles_of(depth=3) == (10, 8, 1, 1, 0)


def test_a_slow_port_makes_them_wait_for_the_rest() -> None:
    # A tile's 2 words take 8 cycles. The first step ends with the first tile; the second one has the next 3 steps,
    # and 5 cycles are left, in the last of which the fifth step multiplies.
    assert cycles_of(depth=4, read=0.25) == (8 + 7 + 4, 8, 7, 4, 0)


def test_results_drain_through_a_narrow_port() -> None:
    problem = matmul({"C": 2, "M": 3})
    architecture, mapping = nest("DRAM WIO:", "pad O: C2 M3", bandwidth={"DRAM": (100.0, 1.0)})
    found = simulate(problem, architecture, mapping, operands(problem), EXACT)
    assert isinstance(found, Simulation)
    assert (found.cycles.compute, found.cycles.stalls, found.cycles.drain) == (6, 0, 3)


# --- arithmetic -----------------------------------------------------------------------


def one_sum(overflow: Overflow, *factors: int) -> int:
    """The sum of the factors, each times 1, in an adder of 8 bits."""
    problem = matmul({"C": len(factors)})
    architecture, mapping = nest(f"DRAM WIO: C{len(factors)}", "pad WIO:")
    how = Arithmetic(floating=False, sum_bits=8, overflow=overflow)
    tensors = {"Weights": np.ones((1, len(factors), 1), np.int64), "Inputs": np.array([[factors]])}
    found = simulate(problem, architecture, mapping, tensors, how)
    assert isinstance(found, Simulation), found
    machine = Machine(planned(problem, architecture, mapping), tensors, how)
    machine.run()
    assert machine.output().item() == found.output.item()
    return int(found.output.item())


def test_a_corner_that_stays_is_taken_again_and_named() -> None:
    """Inputs[A + I, B + I]: the 2×2 tile moves by (1, 1). The figure has 4 + 3 words, the machine takes 4 + 4."""
    one = tuple(((1, dim),) for dim in "ABI")
    inputs = DataSpace("Inputs", (((1, "A"), (1, "I")), ((1, "B"), (1, "I"))))
    spaces = (DataSpace("Weights", one), inputs, DataSpace("Outputs", one, read_write=True))
    problem = Problem("custom", (("A", 2), ("B", 2), ("I", 2)), spaces)
    architecture, mapping = nest("DRAM WIO: I2", "pad WIO: A2 B2")
    found = simulate(problem, architecture, mapping, operands(problem), EXACT)
    assert isinstance(found, Simulation)
    free = dict.fromkeys(("read", "write", "update", "leak", "compute"), Action(0.0))
    cost = evaluate(problem, architecture, mapping, EnergyTable({x: free for x in ("DRAM", "pad", "mac")}, {}, "free"))
    assert isinstance(cost, LayerCost)
    assert presumed_counts(found) == model_counts(cost)
    counted = next(c for c in found.counts if (c.level, c.data_space) == ("DRAM", "Inputs"))
    assert (counted.reads, cost.levels[0].data_spaces["Inputs"].reads) == (8, 7)


def test_an_adder_is_exact_wraps_or_saturates_as_declared() -> None:
    assert one_sum(Overflow.exact, 100, 100, -50) == 150
    assert one_sum(Overflow.wrap, 100, 100, -50) == 150 - 256
    assert one_sum(Overflow.saturate, 100, 100, -50) == 127 - 50
    assert one_sum(Overflow.wrap, -100, -100) == 56
    assert one_sum(Overflow.saturate, -100, -100, 3) == -128 + 3


def test_sums_that_may_overflow_are_refused_where_that_is_an_error() -> None:
    problem = matmul({"C": 4})
    architecture, mapping = nest("DRAM WIO: C4", "pad WIO:")
    how = Arithmetic(floating=False, sum_bits=8, overflow=Overflow.error)
    tensors = {"Weights": np.full((1, 4, 1), 8), "Inputs": np.full((1, 1, 4), 4)}
    refused = simulate(problem, architecture, mapping, tensors, how)
    assert isinstance(refused, Illegal)
    assert (refused.data_space, refused.needed, refused.available) == ("Outputs", 9, 8)  # 4·8·4 = 128
    tensors["Inputs"] -= 1
    assert isinstance(simulate(problem, architecture, mapping, tensors, how), Simulation)


def test_bits_of_a_range() -> None:
    assert [bits_needed(0, 127), bits_needed(0, 128), bits_needed(-128, 0), bits_needed(-129, 5)] == [8, 9, 8, 9]
    assert bits_needed(0, 0) == 1


def test_operands_that_the_multiplier_cannot_take_are_refused() -> None:
    how = Arithmetic(floating=False, operand_bits=8)
    refuse_operands(how, "Inputs", np.array([0, 255]), "here")
    refuse_operands(how, "Inputs", np.array([-128, 127]), "here")
    with pytest.raises(HwsimError, match="from -1 to 128"):
        refuse_operands(how, "Inputs", np.array([-1, 128]), "here")


def test_the_arithmetic_is_the_architectures() -> None:
    def unit(**attributes: object) -> Architecture:
        return Architecture("a", (), Compute("mac", "intmac", attributes))

    how = arithmetic(unit(multiplier_width=8, adder_width=16, overflow="wrap"), floating=False)
    assert (how.operand_bits, how.sum_bits, how.overflow) == (8, 16, Overflow.wrap)
    with pytest.raises(HwsimError, match="wrap, saturate, error"):
        arithmetic(unit(overflow="clip"), floating=False)
    with pytest.raises(HwsimError, match="no adder_width"):
        arithmetic(unit(overflow="wrap"), floating=False)
    with pytest.raises(HwsimError, match="width of 1 to 63 bits"):
        arithmetic(unit(adder_width=0), floating=False)


# --- refusals -------------------------------------------------------------------------


def test_illegal_mappings_are_refused_as_the_model_refuses_them() -> None:
    problem = matmul({"C": 4, "M": 2})
    small = Storage("pad", "SRAM", 3, 8, 8, 1)
    good, mapping = nest("DRAM WIO: M2", "mesh 2x1: XC2", "pad W: C2")
    tight = Architecture("tight", (good.levels[0], good.levels[1], small), good.compute)
    assert isinstance(plan(problem, tight, mapping), Plan)

    too_big = Mapping(
        (
            mapping.levels[0],
            mapping.levels[1],
            LevelMapping("pad", (Loop("C", 2),), (), frozenset({"Weights", "Inputs"})),
        )
    )
    fault = plan(problem, tight, too_big)
    assert isinstance(fault, Illegal)
    assert (fault.level, fault.needed, fault.available) == ("pad", 4, 3)

    too_wide = Mapping((mapping.levels[0], LevelMapping("mesh", (), (Loop("C", 4, "X"),)), LevelMapping("pad")))
    fault = plan(problem, tight, too_wide)
    assert isinstance(fault, Illegal)
    assert (fault.level, fault.needed, fault.available) == ("mesh", 4, 2)

    fault = plan(matmul({"C": 5, "M": 2}), tight, mapping)
    assert isinstance(fault, Illegal)
    assert "dimension C" in fault.reason


def test_a_layer_too_large_for_memory_is_refused() -> None:
    problem = matmul({"C": 2**15, "M": 2**15})
    architecture, mapping = nest(f"DRAM WIO: C{2**15} M{2**15}", "pad WIO:")
    refused = simulate(problem, architecture, mapping, {}, EXACT)
    assert isinstance(refused, Illegal)
    assert "bytes" in refused.reason
