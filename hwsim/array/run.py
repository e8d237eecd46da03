"""Run a layer: `simulate` makes the plan, refuses what cannot run, steps the engine and hands back what it counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture
from hwsim.array.arithmetic import Arithmetic, Overflow, bits_needed
from hwsim.array.build import build
from hwsim.array.clock import clock_of
from hwsim.array.engine import DONE, run_steps
from hwsim.array.plan import OUTSIDE, Plan, plan
from hwsim.array.presumed import presume
from hwsim.cost import Illegal
from hwsim.mapping import Mapping
from hwsim.workloads.problem import Problem

MEMORY_BYTES = 1 << 30
"""Most that the buffers of one run may take."""

CHUNK_MACS = 20_000_000
"""Multiply-accumulates between two reports of progress."""

Array = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Line:
    """What one cause adds to a count of the machine over the model's, all instances together."""

    reads: int = 0
    fills: int = 0
    updates: int = 0

    def __bool__(self) -> bool:
        return bool(self.reads or self.fills or self.updates)


@dataclass(frozen=True)
class Counted:
    """What the machine counted for one data space at one storage: words, all instances together.

    Attributes:
        reads / fills / updates / temporal_reductions / link_transfers: as in `hwsim.cost.DataSpaceCost`, in total.
        extrapolation: more than if iteration 1 of every loop stood for all later ones.
        sharing: more than if traffic were spread evenly over instances, and rounded.
        first_visits: more than if first visits were an instance's even share of the data space.
    """

    level: str
    data_space: str
    instances: int
    capacity: int
    reads: int
    fills: int
    updates: int
    temporal_reductions: int
    link_transfers: int
    extrapolation: Line
    sharing: Line
    first_visits: Line

    @property
    def lines(self) -> dict[str, Line]:
        """The differences that are not nothing, by name."""
        named = {"extrapolation": self.extrapolation, "sharing": self.sharing, "first visits": self.first_visits}
        return {name: line for name, line in named.items() if line}

    def presumed(self) -> tuple[int, int, int]:
        """Reads, fills and updates without the differences: what the model should say, all instances together."""
        named = (self.extrapolation, self.sharing, self.first_visits)
        return (
            self.reads - sum(line.reads for line in named),
            self.fills - sum(line.fills for line in named),
            self.updates - sum(line.updates for line in named),
        )


@dataclass(frozen=True)
class Cycles:
    """How long the run took.

    ``total = start_up + compute + stalls + drain``.

    Attributes:
        compute: steps, one multiply-accumulate per multiplier each.
        start_up: cycles until the first operands are there.
        stalls: cycles between two steps in which the multipliers wait, and by the level whose port they wait for.
        drain: cycles after the last step until the last result is home.
    """

    total: int
    compute: int
    start_up: int
    stalls: int
    drain: int
    stalls_by_level: dict[str, int]


@dataclass(frozen=True)
class Simulation:
    """What a run yields.

    Attributes:
        output: the result's whole tensor, as the problem's projection indexes it.
        counts: storages outermost first, per level the data spaces in the problem's order.
        macs: multiply-accumulates executed.
        sum_bits: bits that the largest and smallest value of the result need (0 for floats).
    """

    problem: Problem
    output: Array
    counts: tuple[Counted, ...]
    cycles: Cycles
    macs: int
    sum_bits: int


def simulate(
    problem: Problem,
    architecture: Architecture,
    mapping: Mapping,
    operands: dict[str, Array],
    how: Arithmetic,
    *,
    progress: Progress | None = None,
) -> Simulation | Illegal:
    """Run a layer on the array.

    Args:
        operands: data space → tensor with one axis per rank of its projection, the hull of the data space in size.
        progress: called with (multiply-accumulates done, all).

    Returns:
        What was computed and counted, or why the layer cannot run: the mapping is illegal, the buffers exceed
        `MEMORY_BYTES`, or sums overflow where that is declared an error.
    """
    made = plan(problem, architecture, mapping)
    if isinstance(made, Illegal):
        return made
    fault = too_large(made) or may_overflow(problem, operands, how)
    if fault is not None:
        return fault
    homes = {chain[0]: made.problem.data_spaces[k] for k, chain in enumerate(made.chains)}
    m = build(made, {n: operands[x.name] for n, x in homes.items() if not x.read_write}, how.dtype)
    clock = clock_of(made)
    chunk = max(1, CHUNK_MACS // made.multipliers)
    while True:
        done = run_steps(m, clock, chunk, how.adder) == DONE
        if progress is not None:
            progress(int(clock.now["steps"][0]) * made.multipliers, problem.macs)
        if done:
            break
    home = next(n for n, x in homes.items() if x.read_write)
    start = int(m.node["base"][home])
    words = m.buffer[start : start + made.nodes[home].words]
    counter = dict(enumerate(m.counted.tolist()))
    waits = {level.name: int(w) for level, w in zip(architecture.levels, clock.port["waits"], strict=True) if w}
    total, compute, start_up, stalls, drain = clock.now[0].tolist()
    cycles = Cycles(total, compute, start_up, stalls, drain, waits)
    return finish(made, words.reshape(made.nodes[home].extent).copy(), counter, cycles, how)


def finish(
    made: Plan, output: Array, counter: dict[int, tuple[int, ...]], cycles: Cycles, how: Arithmetic
) -> Simulation:
    """Put what a machine counted (node → reads, fills, updates, links, visits) beside what the model presumes."""
    # A word of a result is read once less often than it is updated, for every time it was not there before.
    first = {
        n: c[2] - c[0] + c[3] for n, c in counter.items() if made.problem.data_spaces[made.nodes[n].space].read_write
    }
    presumed = presume(made, first)
    counts = []
    for level, space in sorted(presumed):
        number = next(n for n in made.chains[space] if made.nodes[n].level == level)
        node = made.nodes[number]
        reads, fills, updates, links, visits = counter[number]
        is_result = made.problem.data_spaces[space].read_write
        outermost = number == next(n for n in made.chains[space] if made.nodes[n].level != OUTSIDE)
        if outermost:
            fills = visits = 0
        walked, figure, with_first = (
            presumed[level, space].walked,
            presumed[level, space].figure,
            presumed[level, space].counted_first,
        )
        # What the short walk has for results are updates and visits; first visits are as counted.
        walked_reads = walked[0] - first[number] if is_result else walked[0]
        walked_fills = walked[1] - (visits - fills) if is_result else walked[1]
        counts.append(
            Counted(
                node.name,
                made.problem.data_spaces[space].name,
                node.instances,
                node.words,
                reads,
                fills,
                updates,
                reads if is_result else 0,
                links,
                Line(reads - walked_reads, fills - walked_fills, updates - walked[2]),
                Line(walked_reads - with_first[0], walked_fills - with_first[1], walked[2] - with_first[2]),
                Line(with_first[0] - figure[0], with_first[1] - figure[1], with_first[2] - figure[2]),
            )
        )
    bits = 0 if how.floating or not output.size else bits_needed(int(output.min()), int(output.max()))
    return Simulation(made.problem, output, tuple(counts), cycles, made.problem.macs, bits)


def too_large(made: Plan) -> Illegal | None:
    """Refusal of a layer whose buffers do not fit into memory."""
    needed = made.memory_words * 9  # a word of 8 bytes and its valid bit
    if needed <= MEMORY_BYTES:
        return None
    return Illegal(
        "", "", "the buffers of all instances need more bytes than the simulator may take", needed, MEMORY_BYTES
    )


def may_overflow(problem: Problem, operands: dict[str, Array], how: Arithmetic) -> Illegal | None:
    """Refusal where sums could exceed the adder and that is declared an error, or exceed what the simulator can hold.

    The bound holds for these operands: the number of products in one sum times the largest product.
    """
    if how.floating:
        return None
    result = next(space for space in problem.data_spaces if space.read_write)
    terms = problem.macs // max(1, _distinct(problem, result.dimensions))
    largest = terms
    for tensor in operands.values():
        largest *= max((abs(int(tensor.min())), abs(int(tensor.max()))), default=0) if tensor.size else 0
    bits = bits_needed(-largest, largest)
    available = how.sum_bits if how.overflow is Overflow.error and how.sum_bits else 63
    if bits <= available:
        return None
    return Illegal("", result.name, "the sums of these operands may overflow the adder (bits)", bits, available)


def _distinct(problem: Problem, dims: frozenset[str]) -> int:
    n = 1
    for name, size in problem.dims:
        n *= size if name in dims else 1
    return n
