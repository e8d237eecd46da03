"""Every mapping of a small problem, one by one: what an exact search is checked against.

The space (perfect factorization):

- every dimension is factorized over the storages (in time) and the fan-outs (in space), within
  the levels' factor constraints; constraints on dimensions that the problem lacks drop out;
- loops with bound 1 do not count, so that a nest is enumerated once;
- the temporal loops of a storage stand in any order, except that dimensions named by its
  ``permutation`` (inner → outer) are the innermost ones in that order;
- at a fan-out with a ``split``, the first ``split`` dimensions of the permutation run along X and
  all others along Y (dimensions not named come after those named); without one, each dimension
  runs along X or Y. The product along an axis fits the mesh. The order of loops along an axis is
  no choice;
- a storage keeps or bypasses each data space, as far as its constraints leave that open; the
  outermost storage keeps all;
- ``min_utilization`` holds: of a fan-out's instances, of a storage's capacity.

Whether tiles fit their storages is another question: `fits` answers it for one mapping.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

from hwsim.architecture import Architecture, Fanout, Level, Storage
from hwsim.mapping import LevelMapping, Loop, Mapping
from workloads.problem import Problem

Factors = tuple[int, ...]
"""The bound of one dimension at every level, outer → inner."""


def enumerate_mappings(problem: Problem, architecture: Architecture) -> Iterator[Mapping]:
    """Yield every mapping of the space, whether or not its tiles fit."""
    keeps = list(_keep_choices(problem, architecture))
    for factors in _factorizations(problem, architecture):
        per_level = [_level_choices(problem, level, bounds) for level, bounds in _by_level(architecture, factors)]
        for loops in itertools.product(*per_level):
            for keep in keeps:
                mapping = Mapping(
                    tuple(
                        LevelMapping(level.name, temporal, spatial, kept)
                        for level, (temporal, spatial), kept in zip(architecture.levels, loops, keep, strict=True)
                    )
                )
                if _used_enough(problem, architecture, mapping):
                    yield mapping


def space_size(problem: Problem, architecture: Architecture) -> int:
    """How many mappings `enumerate_mappings` yields, counted without making them (no storage's min_utilization)."""
    _no_storage_minimum(architecture)
    nests = 0
    for factors in _factorizations(problem, architecture):
        orders = 1
        for level, bounds in _by_level(architecture, factors):
            if isinstance(level, Fanout):
                orders *= sum(_used_mesh_enough(level, loops) for loops in _axes(problem, level, bounds))
            else:
                named = set(level.constraints.temporal.permutation)
                orders *= math.factorial(sum(dim not in named for dim, bound in bounds.items() if bound > 1))
        nests += orders
    return nests * sum(1 for _ in _keep_choices(problem, architecture))


def fits(problem: Problem, architecture: Architecture, mapping: Mapping) -> bool:
    """Whether at every storage the boxes of the data spaces that it keeps fit together."""
    return all(
        storage.capacity is None or words <= storage.capacity
        for storage, words in zip(architecture.storages, _occupancy(problem, architecture, mapping), strict=True)
    )


def _occupancy(problem: Problem, architecture: Architecture, mapping: Mapping) -> list[int]:
    """Words that each storage holds, outermost first."""
    sizes = {dim: 1 for dim, _ in problem.dims}
    words: list[int] = []
    for level, loops in reversed(list(zip(architecture.levels, mapping.levels, strict=True))):
        for loop in (*loops.spatial, *loops.temporal):
            sizes[loop.dim] *= loop.bound
        if isinstance(level, Storage):
            tile = Problem(problem.kind, tuple(sizes.items()), problem.data_spaces)
            words.insert(0, sum(tile.data_space_size(s) for s in problem.data_spaces if s.name in loops.keep))
    return words


def _used_enough(problem: Problem, architecture: Architecture, mapping: Mapping) -> bool:
    return all(
        storage.capacity is None or words >= storage.constraints.min_utilization * storage.capacity
        for storage, words in zip(architecture.storages, _occupancy(problem, architecture, mapping), strict=True)
        if storage.constraints.min_utilization
    )


def _no_storage_minimum(architecture: Architecture) -> None:
    for storage in architecture.storages:
        if storage.constraints.min_utilization:
            raise NotImplementedError(f"{storage.name}: its min_utilization takes tile sizes; enumerate instead")


def _factorizations(problem: Problem, architecture: Architecture) -> Iterator[dict[str, Factors]]:
    """Every dimension → bounds per level that obeys the factor constraints and the fan-outs' instances."""
    dims = [(dim, list(_splits(dim, size, size, architecture.levels))) for dim, size in problem.dims]
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


def _splits(dim: str, size: int, rest: int, levels: tuple[Level, ...]) -> Iterator[Factors]:
    """Every way to write ``rest`` as a product over the levels, within their factor constraints."""
    if not levels:
        if rest == 1:
            yield ()
        return
    for bound in range(1, rest + 1):
        if rest % bound == 0 and _allowed(dim, size, bound, levels[0]):
            for inner in _splits(dim, size, rest // bound, levels[1:]):
                yield (bound, *inner)


def _allowed(dim: str, size: int, bound: int, level: Level) -> bool:
    loops = level.constraints.spatial if isinstance(level, Fanout) else level.constraints.temporal
    for constraint in loops.factors:
        if constraint.dim != dim:
            continue
        # Timeloop reads ``=0`` as the whole dimension.
        value = constraint.value or size
        if not {"=": bound == value, "<=": bound <= value, ">=": bound >= value}[constraint.op]:
            return False
    return True


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
    inner_to_outer = [dim for dim in (*named, *reversed(unnamed)) if bounds.get(dim, 1) > 1]
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
    return used >= level.constraints.min_utilization * level.mesh_x * level.mesh_y


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
