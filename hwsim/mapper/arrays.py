"""The search space as arrays that numba takes (``d`` dims, ``s`` data spaces, ``l`` levels), and sizes in it.

A key is ``x``, what is placed inside, as a number: the divisors' indices as digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hwsim.counting import transfer_cycles
from hwsim.kernel import BoolArray, FloatArray, IntArray, kernel
from hwsim.mapper.label import Label, Records, record


class Keys(NamedTuple):
    """Divisors, and how their indices make a key."""

    div: IntArray  # (d, most divisors) divisors, ascending
    ndiv: IntArray  # (d,)
    stride: IntArray  # (d,) of a dimension's digit in a key
    size: IntArray  # (d,)


class Work(NamedTuple):
    """The problem."""

    coef: IntArray  # (s, ranks, d)
    relevant: BoolArray  # (s, d)
    slides: BoolArray  # (s, d) the dimension indexes a shared rank of the data space
    sliding: int  # index of the data space with shared ranks whose windows the labels follow, −1 if none
    any_vague: bool  # some data space is vague, see `Operand`
    shared_rank: IntArray  # (d,) which shared rank of the sliding data space a dim moves along; −1 if none
    shared_ranks: IntArray  # (shared,) rank numbers
    macs: float


class Operand:
    """A data space.

    Attributes:
        touched: a lower bound of the elements that must move.
        holes: the box around some instances' elements may have more elements than these.
        vague: it has shared ranks, and is not the one that labels follow; every loop is taken for the best case.
        hands_on: a fan-out stands next to the datapath, and its instances may hand it on, see `hand_on`.
    """

    read_write: bool
    touched: float
    holes: bool
    vague: bool
    hands_on: bool


class Level:
    """A storage or a fan-out.

    Attributes:
        top: no fan-out is outside.
        capacity: words; inf if unbounded.
        fill_floor: least words that must be held.
        block: words of an access.
        read, write, update: pJ per access.
        leak: pJ per cycle and instance.
        share: lower bound of accessed / used instances (clusters).
        limited: some bandwidth has a limit.
        read_bw, write_bw, shared_bw: words per cycle; inf if unlimited.
        mesh_x, mesh_y: of a fan-out.
        least_used: instances that a fan-out must use at least (its ``min_utilization``).
    """

    storage: bool
    top: bool
    capacity: float
    fill_floor: float
    block: float
    read: float
    write: float
    update: float
    leak: float
    share: float
    limited: bool
    read_bw: float
    write_bw: float
    shared_bw: float
    mesh_x: float
    mesh_y: float
    least_used: float


class Use:
    """A level and a data space.

    Attributes:
        room: the tightest capacity among storages at or outside the level that must keep the data space.
        first_visits: partial sums that need not be read back, since they are written the first time.
        reach: pJ at least to bring the data space to that level from outside.
        no_reuse, no_multicast, no_links: what constraints switch off.
    """

    room: float
    first_visits: float
    reach: float
    no_reuse: bool
    no_multicast: bool
    no_links: bool


class LoopRange:
    """A level and a dimension: bounds that its loop may have there, and axes that a spatial one may go along."""

    low: int
    high: int
    along_x: bool
    along_y: bool


OPERAND, LEVEL, USE, LOOP_RANGE = record(Operand), record(Level), record(Use), record(LoopRange)


class Fans(NamedTuple):
    """What fan-outs can still do, given what a key leaves to be placed. Filled as needed, 0 where not yet known."""

    level: IntArray  # (fan-outs,) their levels, outermost first
    fill_x: FloatArray  # (fan-outs, d + 1, keys) most instances, by the first dimension that may still be placed there
    fill_y: FloatArray
    cast: FloatArray  # (fan-outs, d + 1, keys, s) the furthest that multicast or reduction can cut the accesses
    reached: BoolArray  # (instances + 1,) scratch of `most_instances`; a wider mesh is taken to be filled


class Outer(NamedTuple):
    """Bounds by what the storage next to the outermost one keeps (``k`` choices), see `outer_floor`."""

    held: BoolArray  # (k, s) what it keeps
    floor: FloatArray  # (k, 2, keys) pJ at least to fill it from outside: with this key inside; with any larger
    reach: FloatArray  # (k, l, s) pJ at least from a level up to what `floor` counts; inf: it may not serve it
    by_keep: bool  # False: there is no such storage, and `floor` counts the outermost one's accesses of all data spaces


class Aim(NamedTuple):
    """What is minimised, and above which figures a mapping does not count."""

    figure: int  # 0 edp, 1 energy, 2 latency
    bounded: bool  # energy or EDP has a limit
    most_edp: float
    most_energy: float
    most_cycles: float


class Scratch(NamedTuple):
    """Room that kernels write over."""

    words: FloatArray  # (s,) of `lower_bound` and `settle`
    serve: FloatArray  # (l, s) of `lower_bound`
    label: Records  # (1,) of `complete` and `outer_words`
    tile: Records  # (1, s)
    rates: Records  # (1,) of `settle`


class Space(NamedTuple):
    """The search space as arrays; of records where each level, data space or dimension has several figures."""

    keys: Keys
    work: Work
    operands: Records  # (s,) of `Operand`
    levels: Records  # (l,) of `Level`
    uses: Records  # (l, s) of `Use`
    loops: Records  # (l, d) of `LoopRange`
    fans: Fans
    outer: Outer
    aim: Aim
    scratch: Scratch
    watch: int  # the outermost storage with a limited bandwidth but for level 0, if no fan-out is outside it; else −1
    may_throttle: bool  # some storage has a limited bandwidth and something leaks
    exact: bool  # all divisors are there


# --- sizes of what a key places inside ----------------------------------------------------------------------


@kernel(forceinline=True)
def digit(space: Space, key: int, d: int) -> int:
    """Index of the divisor of dimension d inside a key."""
    return (key // space.keys.stride[d]) % space.keys.ndiv[d]


@kernel(forceinline=True)
def placed(space: Space, key: int, x: IntArray) -> None:
    """Write the size of every dimension inside a key into x."""
    for d in range(space.keys.size.shape[0]):
        x[d] = space.keys.div[d, digit(space, key, d)]


@kernel(forceinline=True)
def extent_along(space: Space, x: IntArray, s: int, r: int) -> np.int64:
    """Extent along rank r of the box of data space s that x spans."""
    e = np.int64(1)
    for d in range(space.keys.size.shape[0]):
        e += space.work.coef[s, r, d] * (x[d] - 1)
    return e


@kernel(forceinline=True)
def tile_words(space: Space, x: IntArray, s: int) -> float:
    """Elements of data space s in the box that x spans."""
    v = 1.0
    for r in range(space.work.coef.shape[1]):
        v *= extent_along(space, x, s, r)
    return v


@kernel(forceinline=True)
def outside(space: Space, x: IntArray) -> float:
    """Iterations of everything outside x: Π size / x."""
    n = 1.0
    for d in range(space.keys.size.shape[0]):
        n *= space.keys.size[d] // x[d]
    return n


@kernel(forceinline=True)
def held_words(space: Space, x: IntArray, keep: BoolArray) -> float:
    """Words that a level holds of all that it keeps."""
    words = 0.0
    for s in range(space.work.relevant.shape[0]):
        if keep[s]:
            words += tile_words(space, x, s)
    return words


@kernel(forceinline=True)
def limited_cycles(space: Space, level: int, reads: float, writes: float) -> float:
    """Cycles that a storage takes for so many words."""
    return transfer_cycles(
        reads, writes, space.levels[level].read_bw, space.levels[level].write_bw, space.levels[level].shared_bw
    )


@kernel(forceinline=True)
def set_extents(space: Space, label: Label, x: IntArray) -> None:
    """Note how large the sliding data space's tile is on its shared ranks."""
    for k in range(space.work.shared_ranks.shape[0]):
        label.extent[k] = extent_along(space, x, space.work.sliding, space.work.shared_ranks[k])
