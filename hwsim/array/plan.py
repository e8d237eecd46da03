"""What the machine is built from: who stands where, what each buffer holds, and how its tile moves.

A plan is geometry, worked out from the mapping once before the run: loops with their strides, tiles as boxes, and where
every instance's box lies relative to its parent's. Nothing is counted here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture, Fanout
from hwsim.cost import Illegal
from hwsim.errors import HwsimError
from hwsim.legality import capacity_faults, structure_faults
from hwsim.mapping import Loop, Mapping
from hwsim.workloads.problem import DataSpace, Problem

OUTSIDE = -1
"""Level of the world outside: it has what the outermost level does not keep whole, and is not counted."""

KEPT_MULTIPLIERS = 4096
"""Plans for more are not kept: tables of where every instance stands would fill the memory."""

Vector = tuple[int, ...]
"""One number per rank of a data space."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class TimeLoop:
    """A temporal loop: ``dim`` advances by ``stride`` in each of ``bound`` iterations; it stands at ``level``."""

    dim: str
    bound: int
    stride: int
    level: int


@dataclass(frozen=True)
class Mesh:
    """The wires below one level: how its instances lie and what they may do for one data space.

    Attributes:
        offsets: where the box of each instance lies relative to the first, in the order of the spatial loops.
        columns / rows: of the mesh on which neighbours are looked up.
        multicast: instances with equal boxes share one access.
        links: mesh neighbours may hand words on.
    """

    offsets: tuple[Vector, ...]
    columns: int
    rows: int
    multicast: bool
    links: bool

    @property
    def size(self) -> int:
        """Instances below one instance of the level."""
        return len(self.offsets)

    def neighbours(self, place: int) -> Iterator[int]:
        """Places beside a place: below, above, right, left where these exist."""
        row, column = divmod(place, self.columns)
        if row >= self.rows:
            return
        for r, c in ((row, column + 1), (row, column - 1), (row + 1, column), (row - 1, column)):
            near = r * self.columns + c
            if 0 <= r < self.rows and 0 <= c < self.columns and near < self.size:
                yield near


@dataclass(frozen=True)
class Placements:
    """Where the instances of a node stand, an entry per instance.

    Of the instances that want the same box one leads: it fetches, the others listen. Groups form mesh by mesh.

    Attributes:
        parent: the instance that it is filled from, (instances,).
        offset: of its box in the parent's, (instances, ranks).
        leader: who leads its group, (instances,).
    """

    parent: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    leader: npt.NDArray[np.int64]

    @property
    def leaders(self) -> int:
        """Instances that lead their group."""
        return int((self.leader == np.arange(len(self.leader))).sum())


@dataclass(frozen=True)
class Node:
    """One data space at one level: a buffer in every instance, or the latches of the multipliers.

    Attributes:
        level: index in the architecture; ``len(levels)`` for the multipliers, `OUTSIDE` for the world outside.
        name: of the level.
        extent: elements of the tile per rank.
        loops: how many of the plan's temporal loops stand outside the tile (the outermost ones).
        instances: in use.
        parent: index of the node that it is filled from; -1 for the outermost.
        meshes: of the levels between parent (included) and this one, outer → inner.
        step: per loop outside: how far the tile moves when the loop advances and all loops inside it rewind.
        holds: False for the multipliers' latches, which take their word anew in every step.
        refetch: takes its tile anew in every step (``no_reuse``).
        first_read: partial sums are read for the first update, too (``rmw_first_update``).
    """

    space: int
    level: int
    name: str
    extent: Vector
    loops: int
    instances: int
    parent: int
    meshes: tuple[Mesh, ...]
    step: tuple[Vector, ...]
    holds: bool
    refetch: bool
    first_read: bool

    @property
    def words(self) -> int:
        """Words of one tile."""
        return math.prod(self.extent)

    @cached_property
    def placements(self) -> Placements:
        """Where the instances stand."""
        offset = np.zeros((1, len(self.extent)), np.int64)
        leader = np.zeros(1, np.int64)
        for mesh in self.meshes:
            own = np.array(mesh.offsets, np.int64).reshape(mesh.size, len(self.extent))
            offset = (offset[:, None] + own).reshape(-1, len(self.extent))
            seen: dict[Vector, int] = {}
            first = [seen.setdefault(o, x) if mesh.multicast else x for x, o in enumerate(mesh.offsets)]
            leader = (leader[:, None] * mesh.size + np.array(first, np.int64)).reshape(-1)
        fan = len(leader)
        parents = np.arange(self.instances // fan)
        leader = (parents[:, None] * fan + leader).reshape(-1)
        return Placements(np.repeat(parents, fan), np.tile(offset, (len(parents), 1)), leader)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything the machine needs to know before the first cycle.

    Attributes:
        loops: temporal loops, outer → inner.
        nodes: per data space outer → inner, the multipliers last; data spaces in the problem's order.
        chains: per data space the indices of its nodes, outer → inner.
        used: instances in use per level; one more entry for the multipliers.
        box: per data space the extents of the whole tensor's hull.
    """

    problem: Problem
    architecture: Architecture
    mapping: Mapping
    loops: tuple[TimeLoop, ...]
    nodes: tuple[Node, ...]
    chains: tuple[tuple[int, ...], ...]
    used: tuple[int, ...]
    box: tuple[Vector, ...] = field(default=())

    @property
    def steps(self) -> int:
        """Steps that the temporal loops take: multiply-accumulates per multiplier."""
        return math.prod(loop.bound for loop in self.loops)

    @property
    def multipliers(self) -> int:
        """Multipliers in use."""
        return self.used[-1]

    @property
    def memory_words(self) -> int:
        """Words that all buffers in use hold together."""
        return sum(node.words * node.instances for node in self.nodes)


def plan(problem: Problem, architecture: Architecture, mapping: Mapping) -> Plan | Illegal:
    """The plan of a layer, or why the mapping cannot run.

    What rules it out is `hwsim.legality`'s, by this plan's own tiles. The last plans for arrays that are not large are
    kept, since a network runs the same layers for every image.
    """
    used = math.prod(loop.bound for placed in mapping.levels for loop in placed.spatial)
    return (_kept_plan if used <= KEPT_MULTIPLIERS else _plan)(problem, architecture, mapping)


def per_plan(make: Callable[[Plan], Made]) -> Callable[[Plan], Made]:
    """Work something out once per plan, and keep it as long as the plan lives."""
    known: WeakKeyDictionary[Plan, Made] = WeakKeyDictionary()

    @wraps(make)
    def found(plan: Plan) -> Made:
        if plan not in known:
            known[plan] = make(plan)
        return known[plan]

    return found


def _plan(problem: Problem, architecture: Architecture, mapping: Mapping) -> Plan | Illegal:
    for fault in structure_faults(problem, architecture, mapping):
        return fault
    if mapping.has_remainders:
        raise HwsimError(
            "the mapping has factors with residuals (such as C=3,2); the array simulator runs loops that divide, "
            "hwsim evaluate counts any."
        )
    loops, across = strides(problem, mapping)
    used = [1]
    for placed in mapping.levels:
        used.append(used[-1] * math.prod(loop.bound for loop in placed.spatial))
    sizes = sizes_inside(problem, mapping)
    nodes: list[Node] = []
    chains: list[tuple[int, ...]] = []
    for number, space in enumerate(problem.data_spaces):
        chain: list[int] = []
        keepers = [k for k, placed in enumerate(mapping.levels) if space.name in placed.keep]
        if used[keepers[0]] > 1 or any(loop.level < keepers[0] for loop in loops):
            keepers.insert(0, OUTSIDE)
        for level in (*keepers, len(mapping.levels)):
            outer = max(0, nodes[chain[-1]].level) if chain else level
            meshes = tuple(make_mesh(architecture, problem, space, k, across[k]) for k in range(outer, level))
            nodes.append(
                make_node(
                    problem,
                    architecture,
                    number,
                    level,
                    loops,
                    sizes[max(0, level)],
                    used[max(0, level)],
                    chain,
                    meshes,
                )
            )
            chain.append(len(nodes) - 1)
        chains.append(tuple(chain))
    held: list[dict[str, int]] = [{} for _ in architecture.levels]
    for node in nodes:
        if 0 <= node.level < len(held):
            held[node.level][problem.data_spaces[node.space].name] = node.words
    for fault in capacity_faults(architecture, held):
        return fault
    boxes = tuple(_extent(space, problem.sizes) for space in problem.data_spaces)
    return Plan(problem, architecture, mapping, loops, tuple(nodes), tuple(chains), tuple(used), boxes)


_kept_plan = lru_cache(maxsize=32)(_plan)


def coefficients(space: DataSpace, dim: str) -> Vector:
    """How far one step of a dimension moves each rank of a data space."""
    return tuple(sum(c for c, d in rank if d == dim) for rank in space.projection)


def _extent(space: DataSpace, sizes: dict[str, int]) -> Vector:
    return tuple(1 + sum(c * (sizes[d] - 1) for c, d in rank) for rank in space.projection)


def strides(problem: Problem, mapping: Mapping) -> tuple[tuple[TimeLoop, ...], dict[int, tuple[tuple[Loop, int], ...]]]:
    """Temporal loops outer → inner, and per level its spatial loops, each with its stride."""
    stride = {name: 1 for name, _ in problem.dims}
    times: list[TimeLoop] = []
    across: dict[int, tuple[tuple[Loop, int], ...]] = {}
    for level in reversed(range(len(mapping.levels))):
        spatial: list[tuple[Loop, int]] = []
        for loop in reversed(mapping.levels[level].spatial):
            spatial.insert(0, (loop, stride[loop.dim]))
            stride[loop.dim] *= loop.bound
        across[level] = tuple(spatial)
        for loop in reversed(mapping.levels[level].temporal):
            if loop.bound > 1:
                times.insert(0, TimeLoop(loop.dim, loop.bound, stride[loop.dim], level))
            stride[loop.dim] *= loop.bound
    return tuple(times), across


def sizes_inside(problem: Problem, mapping: Mapping) -> list[dict[str, int]]:
    """Per level the extent of every dimension in its own and all inner loops; 1 for the multipliers."""
    sizes = [{name: 1 for name, _ in problem.dims}]
    for placed in reversed(mapping.levels):
        inside = dict(sizes[0])
        for loop in (*placed.temporal, *placed.spatial):
            inside[loop.dim] *= loop.bound
        sizes.insert(0, inside)
    return sizes


def make_mesh(
    architecture: Architecture, problem: Problem, space: DataSpace, level: int, loops: tuple[tuple[Loop, int], ...]
) -> Mesh:
    """The wires below a level for one data space; ``loops``: its spatial loops with their strides."""
    offsets = []
    for index in itertools.product(*(range(loop.bound) for loop, _ in loops)):
        offset = [0] * len(space.projection)
        for i, (loop, stride) in zip(index, loops, strict=True):
            for r, c in enumerate(coefficients(space, loop.dim)):
                offset[r] += i * c * stride
        offsets.append(tuple(offset))
    at = architecture.levels[level]
    mapped = {axis: math.prod(loop.bound for loop, _ in loops if loop.axis == axis) for axis in "XY"}
    mesh_x, mesh_y = (at.mesh_x, at.mesh_y) if isinstance(at, Fanout) else (1, 1)
    limits = at.constraints.spatial
    # Buffers are wired to their neighbours where a window slides across them; multipliers always are.
    feeds_multipliers = level + 1 == len(architecture.levels)
    shared = [{d for c, d in rank if c} for rank in space.projection]
    slides = any(len(dims) > 1 and loop.dim in dims for dims in shared for loop, _ in loops if loop.bound > 1)
    return Mesh(
        tuple(offsets),
        max(mesh_x, mapped["X"]),
        max(mesh_y, mapped["Y"]),
        space.name not in limits.no_multicast,
        bool(offsets[1:]) and space.name not in limits.no_link_transfer and (feeds_multipliers or slides),
    )


def make_node(
    problem: Problem,
    architecture: Architecture,
    number: int,
    level: int,
    loops: tuple[TimeLoop, ...],
    sizes: dict[str, int],
    instances: int,
    chain: list[int],
    meshes: tuple[Mesh, ...],
) -> Node:
    """The node of data space ``number`` at a level.

    Args:
        loops: all temporal loops. sizes: extents of the dimensions inside. instances: in use.
        chain: the data space's nodes outside so far. meshes: between the last of these and the level.
    """
    space = problem.data_spaces[number]
    holds = level < len(architecture.levels)
    real = 0 <= level < len(architecture.levels)
    outside = [loop for loop in loops if loop.level < level]
    limits = architecture.levels[level].constraints.temporal if real else None
    return Node(
        number,
        level,
        architecture.levels[level].name if real else architecture.compute.name if level > 0 else "outside",
        _extent(space, sizes),
        len(outside),
        instances,
        chain[-1] if chain else -1,
        meshes,
        steps_of(space, outside, [loop.bound for loop in outside]),
        holds,
        not holds or (limits is not None and space.name in limits.no_reuse),
        limits is not None and space.name in limits.rmw_first_update,
    )


def steps_of(space: DataSpace, loops: list[TimeLoop], bounds: list[int]) -> tuple[Vector, ...]:
    """How far a tile moves when a loop advances by one and the loops inside it go back from their last iteration."""
    moves = [tuple(c * loop.stride for c in coefficients(space, loop.dim)) for loop in loops]
    rewound = [0] * len(space.projection)
    steps: list[Vector] = []
    for move, bound in zip(reversed(moves), reversed(bounds), strict=True):
        steps.insert(0, tuple(m - back for m, back in zip(move, rewound, strict=True)))
        rewound = [back + m * (bound - 1) for m, back in zip(move, rewound, strict=True)]
    return tuple(steps)
