"""What the engine's arrays hold: records with named fields, and the machine that they make up.

Records are for what is looked at node by node; what is looked at instance by instance stands in arrays of its own, so
that neighbours lie side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim.kernel import BoolArray, IntArray, Records

# Kinds of region that a tile takes.
NOTHING, SLAB, WHOLE = range(3)

#: The multipliers' nodes in `Machine.ends`, and rows of `Machine.aim`.
FIRST, SECOND, RESULT = range(3)

PATTERNS = 8
"""Patterns of handovers that a node remembers, by how its tile moved."""

LOOP = np.dtype([("bound", np.int64), ("index", np.int64)], align=True)
"""A temporal loop and its iteration."""

NODE = np.dtype(
    [
        ("words", np.int64),  # of a tile
        ("loops", np.int64),  # temporal loops outside
        ("instances", np.int64),
        ("parent", np.int64),
        ("base", np.int64),  # where the node's buffers start
        ("first", np.int64),  # where its instances start in `Machine.place`
        ("fan", np.int64),  # instances on one innermost mesh
        ("columns", np.int64),
        ("rows", np.int64),
        ("leaders", np.int64),  # instances that fetch for their group
        ("slidings", np.int64),  # ranks in which instances are apart
        ("level", np.int64),
        ("multicast", np.bool_),
        ("linked", np.bool_),  # mesh neighbours hand words on
        ("holds", np.bool_),
        ("refetch", np.bool_),
        ("first_read", np.bool_),
        ("is_result", np.bool_),
    ],
    align=True,
)
"""What the plan says of a node."""

TILE = np.dtype(
    [
        ("kind", np.int64),
        ("before_kind", np.int64),
        ("known", np.int64),  # moves whose handovers are known
        ("has_usual", np.bool_),
    ],
    align=True,
)
"""How a node's tile moved."""

COUNT = np.dtype([(name, np.int64) for name in ("reads", "fills", "updates", "links", "visits")], align=True)
"""Counters over the run, all instances of a node together; visits: words of a result asked for, there or not."""

MOVED = np.dtype([(name, np.int64) for name in ("read", "taken", "passed")], align=True)
"""Words of the present step: read from the parent, taken, handed on (operands) or sent up (results)."""

RANK = np.dtype(
    [
        *((name, np.int64) for name in ("extent", "stride", "sliding", "reach")),
        *((name, np.int64) for name in ("origin", "turn", "usual", "low", "size", "before_low", "before_size")),
    ],
    align=True,
)
"""One rank of a node's tile: its ring, where it stands, how it moves as a rule, and what it took last and before."""

WALK = np.dtype([(name, np.int64) for name in ("low", "end", "at", "there")], align=True)
"""One rank of a walk through a region: from ``low`` to before ``end``, ``there`` in the parent's ring."""

LINK = np.dtype([("source", np.int64), ("to", np.int64), ("leads", np.bool_), ("sends", np.bool_)], align=True)
"""A place in a handover: from whom, to whom (-1: nobody), whether it fetches and sends for its group."""


class Places(NamedTuple):
    """Where instances stand, those of all nodes one after another (`NODE`'s ``first``)."""

    above: IntArray  # where the parent's buffer starts
    leader: IntArray  # who fetches for the group
    straight: IntArray  # where its words lie in the parent's buffer while the ring does not turn
    outer_leads: BoolArray  # whether the instance leads in all meshes but the innermost
    offset: IntArray  # (R, places) of its tile in the parent's


class Machine(NamedTuple):
    """Plan and state of a machine as arrays; N nodes, R ranks (padded with extent 1), L temporal loops."""

    loop: Records  # (L,) `LOOP`
    node: Records  # (N,) `NODE`
    tile: Records  # (N,) `TILE`
    counted: Records  # (N,) `COUNT`
    moved: Records  # (N,) `MOVED`
    rank: Records  # (N, R) `RANK`
    step: IntArray  # (N, L, R) how a tile moves when a loop advances
    place: Places
    buffer: npt.NDArray[Any]  # (words,)
    valid: npt.NDArray[np.uint8]  # (words,)
    latch: npt.NDArray[Any]  # (2, multipliers) operands in the multipliers
    total: npt.NDArray[Any]  # (multipliers,) their sums
    passing: npt.NDArray[Any]  # (multipliers,) sums or operands on their way to a neighbour
    aim: IntArray  # (3, multipliers) where operands lie and the sum belongs
    still: BoolArray  # (3,) the multipliers' buffer has one word, so that the aim is taken once
    moving: IntArray  # (L + 1, N) nodes that move when a loop advances, outer → inner, then -1; last: the first step
    walk: Records  # (R,) `WALK`
    source: IntArray  # (instances,) room for addresses in the parents
    staged: npt.NDArray[Any]  # words on their way to a neighbour
    shift: IntArray  # (N, PATTERNS, R) moves whose handovers are known
    helps: BoolArray  # (N, PATTERNS) whether they save anything
    link: Records  # (N, PATTERNS, fan) `LINK`
    ends: IntArray  # (3,) the multipliers' nodes: first operand, second operand, result
