"""Why a mapspace is empty: what can be told from the constraints alone, before any search."""

from __future__ import annotations

from hwsim.architecture import Fanout, Level, LoopConstraint, Storage
from hwsim.cost import Illegal
from hwsim.mapper.factors import divisors
from hwsim.mapper.space import MapSpace, factor_range


def _loops(level: Level) -> LoopConstraint:
    return level.constraints.spatial if isinstance(level, Fanout) else level.constraints.temporal


def contradiction(space: MapSpace) -> Illegal | None:
    """The constraint that no mapping can obey, outermost level first; None where none stands out.

    Found here: bounds of a factor that contradict each other or the mesh, a factor that does not divide its
    dimension, a dimension that cannot be factorized over the levels, and a storage that is too small
    for one element of everything it must keep.
    """
    return _factor(space) or _factorization(space) or _one_element(space)


def _factor(space: MapSpace) -> Illegal | None:
    for level in space.architecture.levels:
        for dim, size in space.problem.dims:
            low, high = factor_range(_loops(level), dim, space.problem)
            if low > high:
                return Illegal(level.name, "", f"the bounds of the factor of {dim} contradict each other", low, high)
            if size % low and low == high:
                return Illegal(level.name, "", f"the factor {dim}={low} does not divide {dim}={size}", low, size)
            if low > size:
                return Illegal(level.name, "", f"the factor of {dim} is larger than {dim}", low, size)
            if isinstance(level, Fanout) and low > max(level.mesh_x, level.mesh_y):
                most = max(level.mesh_x, level.mesh_y)
                return Illegal(level.name, "", f"the factor of {dim} exceeds the fan-out", low, most)
    return None


def _factorization(space: MapSpace) -> Illegal | None:
    """Whether every dimension is a product of factors that the levels allow."""
    for dim, size in space.problem.dims:
        ranges = [factor_range(_loops(level), dim, space.problem) for level in space.architecture.levels]
        if all(low == 1 for low, _ in ranges) and any(
            high >= size
            for (_, high), x in zip(ranges, space.architecture.levels, strict=True)
            if isinstance(x, Storage)
        ):
            continue  # one storage may have all of it
        reached = {1}
        for level, (low, high) in zip(space.architecture.levels, ranges, strict=True):
            most = min(high, max(level.mesh_x, level.mesh_y)) if isinstance(level, Fanout) else high
            ways = [n for n in divisors(size) if low <= n <= most]
            reached = {a * b for a in reached for b in ways if size % (a * b) == 0}
        if size not in reached:
            most = max(reached, default=0)
            return Illegal("", "", f"the factors that the levels allow do not multiply to {dim}={size}", size, most)
    return None


def _one_element(space: MapSpace) -> Illegal | None:
    names = [x.name for x in space.problem.data_spaces]
    for level, choices in zip(space.architecture.levels, space.keeps, strict=True):
        if isinstance(level, Storage) and level.capacity is not None:
            fewest = min(choices, key=len)
            if len(fewest) > level.capacity:
                last = [n for n in names if n in fewest][-1]
                reason = "there is no room for one element of each data space that the level must keep"
                return Illegal(level.name, last, reason, len(fewest), level.capacity)
    return None
