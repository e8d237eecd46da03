"""Every mapping of a small problem, one by one: what an exact search is checked against.

The space (perfect factorization), from what `hwsim.architecture.LoopConstraint` and `Constraints` say of their fields:

- every dimension is factorized over the storages (in time) and the fan-outs (in space), within
  the levels' constraints on factors: of single dimensions, of those that have none (``others_one``, ``max_factor``),
  and of those that index a data space (``no_iteration``). All of them hold at once, in whatever order they stand;
  constraints on dimensions that the problem lacks drop out;
- loops with bound 1 do not count, so that a nest is enumerated once;
- the temporal loops of a storage stand in any order, except that dimensions named by its
  ``permutation`` (inner → outer) are the innermost ones in that order;
- at a fan-out with a ``split``, the first ``split`` dimensions of the permutation run along X and
  all others along Y (dimensions not named come after those named); without one, each dimension
  runs along X or Y. The product along an axis fits the mesh. The order of loops along an axis is
  no choice: those named stand innermost, as named, then the others, as the problem lists them;
- a storage keeps or bypasses each data space, as far as its constraints leave that open; the
  outermost storage keeps all;
- ``min_utilization`` holds: of a fan-out's instances, of a storage's capacity.

Whether tiles fit their storages is another question: `fits` answers it for one mapping.

Nothing here calls the search or its helpers. Mappings are priced by `hwsim.model.evaluate`; `optima` prices them many
at a time by `tests.witness.batch`, which calls the same counting (a test compares the two).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Architecture, Fanout, Level, Storage
from hwsim.energy import EnergyTable
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.workloads.problem import Problem
from tests.witness.batch import evaluate_packed, pack

Factors = tuple[int, ...]
"""The bound of one dimension at every level, outer → inner."""
Loops = tuple[tuple[Loop, ...], tuple[Loop, ...]]
"""The temporal and the spatial loops of one level."""
Keep = tuple[frozenset[str], ...]
"""What every level keeps, outer → inner."""

OBJECTIVES = ("edp", "energy", "latency")
TIE = 1e-9
"""Energies within this share of each other are one."""


@dataclass(frozen=True)
class Optimum:
    """The best of all mappings: pJ and cycles, and one mapping that has them."""

    energy_pj: float
    cycles: float
    mapping: Mapping

    def value(self, objective: str) -> float:
        """What the objective minimises."""
        return {"edp": self.energy_pj * self.cycles, "energy": self.energy_pj, "latency": self.cycles}[objective]


@dataclass(frozen=True)
class Optima:
    """What enumeration says of a design.

    Attributes:
        size: mappings in the space.
        legal: how many of them have tiles that fit.
        best: per objective; empty where no mapping is legal. ``energy``: the least energy, then the fewest cycles
            among mappings within `TIE` of it; ``latency``: the fewest cycles, then the least energy among those.
    """

    size: int
    legal: int
    best: dict[str, Optimum]


def enumerate_mappings(problem: Problem, architecture: Architecture) -> Iterator[Mapping]:
    """Yield every mapping of the space, whether or not its tiles fit."""
    keeps = list(_keep_choices(problem, architecture))
    for nest in _nests(problem, architecture):
        tiles = _tiles(problem, architecture, nest)
        for keep in keeps:
            if _filled_enough(problem, architecture, tiles, keep):
                yield _mapping(architecture, nest, keep)


def optima(problem: Problem, architecture: Architecture, energy: EnergyTable) -> Optima:
    """The best mappings, by pricing every mapping of the space."""
    nests = list(_nests(problem, architecture))
    keeps = list(_keep_choices(problem, architecture))
    size, costs = 0, []
    if nests:
        tiles = np.array([_tiles(problem, architecture, nest) for nest in nests])
        packed = pack(problem, architecture, [_mapping(architecture, nest, keeps[0]) for nest in nests], energy)
        for keep in keeps:
            kept = _kept(problem, keep)
            cost = evaluate_packed(packed._replace(keep=np.repeat(kept.T[None], len(nests), axis=0)))
            enough = _filled_enough(problem, architecture, tiles, keep)
            size += int(np.count_nonzero(enough))
            cost[~enough] = np.inf
            costs.append(cost)
    if not costs:
        return Optima(0, 0, {})
    pj, cycles = np.concatenate(costs).T

    def best(*figures: npt.NDArray[np.float64]) -> Optimum:
        among = np.arange(len(pj))
        for figure in figures:
            among = among[figure[among] <= figure[among].min() * (1 + TIE)]
        keep, nest = divmod(int(among[0]), len(nests))
        return Optimum(float(pj[among[0]]), float(cycles[among[0]]), _mapping(architecture, nests[nest], keeps[keep]))

    legal = int(np.count_nonzero(np.isfinite(pj)))
    if not legal:
        return Optima(size, 0, {})
    return Optima(size, legal, {"edp": best(pj * cycles, pj), "energy": best(pj, cycles), "latency": best(cycles, pj)})


def space_size(problem: Problem, architecture: Architecture) -> int:
    """How many mappings `enumerate_mappings` yields, counted without making them where no storage has a minimum."""
    if any(x.capacity is not None and x.constraints.min_utilization for x in architecture.storages):
        return sum(1 for _ in enumerate_mappings(problem, architecture))
    keeps = sum(1 for _ in _keep_choices(problem, architecture))
    return keeps * sum(_orders(problem, architecture))


def most_mappings(problem: Problem, architecture: Architecture, most: int) -> int | None:
    """How many mappings the space has if storages' min_utilization is left aside; None if more than ``most``."""
    keeps = sum(1 for _ in itertools.islice(_keep_choices(problem, architecture), most + 1))
    total = 0
    for orders in _orders(problem, architecture):
        total += orders * keeps
        if total > most:
            return None
    return total


def fits(problem: Problem, architecture: Architecture, mapping: Mapping) -> bool:
    """Whether at every storage the boxes of the data spaces that it keeps fit together."""
    tiles = _tiles(problem, architecture, [(x.temporal, x.spatial) for x in mapping.levels])
    words = (tiles * _kept(problem, [x.keep for x in mapping.levels])).sum(axis=1)
    return all(
        not isinstance(level, Storage) or level.capacity is None or held <= level.capacity
        for level, held in zip(architecture.levels, words, strict=True)
    )


def _mapping(architecture: Architecture, nest: Iterable[Loops], keep: Keep) -> Mapping:
    return Mapping(
        tuple(
            LevelMapping(level.name, temporal, spatial, kept)
            for level, (temporal, spatial), kept in zip(architecture.levels, nest, keep, strict=True)
        )
    )


def _nests(problem: Problem, architecture: Architecture) -> Iterator[tuple[Loops, ...]]:
    """Every loop nest: what all levels run."""
    for factors in _factorizations(problem, architecture):
        per_level = [_level_choices(problem, level, bounds) for level, bounds in _by_level(architecture, factors)]
        yield from itertools.product(*per_level)


def _orders(problem: Problem, architecture: Architecture) -> Iterator[int]:
    """Loop nests per factorization."""
    for factors in _factorizations(problem, architecture):
        orders = 1
        for level, bounds in _by_level(architecture, factors):
            if isinstance(level, Fanout):
                orders *= sum(_used_mesh_enough(level, loops) for loops in _axes(problem, level, bounds))
            else:
                named = set(level.constraints.temporal.permutation)
                orders *= math.factorial(sum(dim not in named for dim, bound in bounds.items() if bound > 1))
        yield orders


def _tiles(problem: Problem, architecture: Architecture, nest: Iterable[Loops]) -> npt.NDArray[np.int64]:
    """(levels, data spaces) words of the box that each data space spans inside each level, its own loops included."""
    sizes = {dim: 1 for dim, _ in problem.dims}
    words: list[list[int]] = []
    for temporal, spatial in reversed(list(nest)):
        for loop in (*spatial, *temporal):
            sizes[loop.dim] *= loop.bound
        tile = Problem(problem.kind, tuple(sizes.items()), problem.data_spaces)
        words.insert(0, [tile.data_space_size(x) for x in problem.data_spaces])
    return np.array(words)


def _kept(problem: Problem, keep: Iterable[frozenset[str]]) -> npt.NDArray[np.bool_]:
    """(levels, data spaces) whether the level keeps it."""
    return np.array([[x.name in kept for x in problem.data_spaces] for kept in keep])


def _filled_enough(
    problem: Problem, architecture: Architecture, tiles: npt.NDArray[np.int64], keep: Keep
) -> npt.NDArray[np.bool_]:
    """Whether tiles (…, levels, data spaces) fill every storage that asks for it as much as it asks for."""
    words = (tiles * _kept(problem, keep)).sum(axis=-1)
    floor = [
        _share(level.constraints.min_utilization, level.capacity)
        if isinstance(level, Storage) and level.capacity is not None
        else 0
        for level in architecture.levels
    ]
    enough: npt.NDArray[np.bool_] = np.all(words >= np.array(floor), axis=-1)
    return enough


def _factorizations(problem: Problem, architecture: Architecture) -> Iterator[dict[str, Factors]]:
    """Every dimension → bounds per level that obeys the factor constraints and the fan-outs' instances."""
    dims = [(dim, list(_splits(problem, dim, size, architecture.levels))) for dim, size in problem.dims]
    room = tuple(level.mesh_x * level.mesh_y if isinstance(level, Fanout) else None for level in architecture.levels)

    def extend(index: int, room: tuple[int | None, ...], chosen: dict[str, Factors]) -> Iterator[dict[str, Factors]]:
        if index == len(dims):
            yield chosen
            return
        dim, choices = dims[index]
        for bounds in choices:
            left = tuple(None if free is None else free // bound for free, bound in zip(room, bounds, strict=True))
            if 0 not in left:
                yield from extend(index + 1, left, chosen | {dim: bounds})

    yield from extend(0, room, {})


def _splits(problem: Problem, dim: str, rest: int, levels: tuple[Level, ...]) -> Iterator[Factors]:
    """Every way to write ``rest`` as a product over the levels, within their factor constraints."""
    if not levels:
        if rest == 1:
            yield ()
        return
    for bound in range(1, rest + 1):
        if rest % bound == 0 and _allowed(problem, dim, bound, levels[0]):
            for inner in _splits(problem, dim, rest // bound, levels[1:]):
                yield (bound, *inner)


def _allowed(problem: Problem, dim: str, bound: int, level: Level) -> bool:
    """Whether a level may run a loop of this bound over a dimension."""
    loops = level.constraints.spatial if isinstance(level, Fanout) else level.constraints.temporal
    named = [factor for factor in loops.factors if factor.dim == dim]
    for factor in named:
        if factor.op == "=" and bound != (factor.value or problem.sizes[dim]):  # =0 is the whole dimension
            return False
        if (factor.op == "<=" and bound > factor.value) or (factor.op == ">=" and bound < factor.value):
            return False
    if not named and loops.others_one and bound > 1:
        return False
    if not named and loops.max_factor is not None and bound > loops.max_factor:
        return False
    indexes = any(x.name in loops.no_iteration and dim in x.dimensions for x in problem.data_spaces)
    return bound == 1 or not indexes


def _by_level(architecture: Architecture, factors: dict[str, Factors]) -> Iterator[tuple[Level, dict[str, int]]]:
    for index, level in enumerate(architecture.levels):
        yield level, {dim: bounds[index] for dim, bounds in factors.items()}


def _level_choices(
    problem: Problem, level: Level, bounds: dict[str, int]
) -> list[tuple[tuple[Loop, ...], tuple[Loop, ...]]]:
    """(temporal loops, spatial loops), outer → inner, that the level may run with these bounds."""
    if isinstance(level, Fanout):
        return [((), loops) for loops in _axes(problem, level, bounds) if _used_mesh_enough(level, loops)]
    innermost = [dim for dim in level.constraints.temporal.permutation if bounds.get(dim, 1) > 1]
    free = [dim for dim, bound in bounds.items() if bound > 1 and dim not in innermost]
    return [
        (tuple(Loop(dim, bounds[dim]) for dim in (*order, *reversed(innermost))), ())
        for order in itertools.permutations(free)
    ]


def _axes(problem: Problem, level: Fanout, bounds: dict[str, int]) -> Iterator[tuple[Loop, ...]]:
    """Every assignment of the spatial loops to X and Y that fits the mesh."""
    constraint = level.constraints.spatial
    named = constraint.permutation
    unnamed = [dim for dim, _ in problem.dims if dim not in named]
    inner_to_outer = [dim for dim in (*named, *unnamed) if bounds.get(dim, 1) > 1]
    choices: Iterable[tuple[str, ...]]
    if constraint.split is None:
        choices = itertools.product("XY", repeat=len(inner_to_outer))
    else:
        along_x = set(named[: constraint.split]) | (set(unnamed) if constraint.split > len(named) else set())
        choices = [tuple("X" if dim in along_x else "Y" for dim in inner_to_outer)]
    for axes in choices:
        loops = [Loop(dim, bounds[dim], axis) for dim, axis in zip(inner_to_outer, axes, strict=True)]
        along = {axis: math.prod(loop.bound for loop in loops if loop.axis == axis) for axis in "XY"}
        if along["X"] <= level.mesh_x and along["Y"] <= level.mesh_y:
            yield tuple(sorted(reversed(loops), key=lambda loop: loop.axis, reverse=True))


def _used_mesh_enough(level: Fanout, loops: tuple[Loop, ...]) -> bool:
    used = math.prod(loop.bound for loop in loops)
    return used >= _share(level.constraints.min_utilization, level.mesh_x * level.mesh_y)


def _share(share: float, of: int) -> int:
    """The fewest that are at least such a share, as it is written: 0.07 of 100 is 7."""
    return math.ceil(Fraction(str(share)) * of)


def _keep_choices(problem: Problem, architecture: Architecture) -> Iterator[tuple[frozenset[str], ...]]:
    """What each level keeps, outer → inner."""
    outermost = architecture.storages[0]
    names = [space.name for space in problem.data_spaces]
    per_level: list[list[frozenset[str]]] = []
    for level in architecture.levels:
        if isinstance(level, Fanout):
            per_level.append([frozenset()])
            continue
        fixed = set(names) if level is outermost else level.constraints.keep & set(names)
        free = [name for name in names if name not in fixed | level.constraints.bypass]
        per_level.append(
            [frozenset(fixed | set(some)) for n in range(len(free) + 1) for some in itertools.combinations(free, n)]
        )
    yield from itertools.product(*per_level)
