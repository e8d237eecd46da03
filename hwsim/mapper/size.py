"""How many mappings a mapspace holds, exactly and without making them.

A mapping is a nest (loops with bound 1 left out) with a choice of what every storage keeps. The factorizations of
different dimensions are coupled in two ways only: through the orders of a storage's free loops (k of them stand
in k! orders) and through the meshes of the fan-outs. For the first, k! = Σⱼ wⱼ·jᵏ over j = 0…n with fixed weights,
so the sum over all k becomes a sum over grid points j of products over dimensions; for the second, the products
along the axes are carried as a state. All of it modulo several primes, put together by the Chinese remainder theorem.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Fanout, Storage
from hwsim.mapper.space import MapSpace, divisors, factor_range, spatial_axes

_PRIMES = (2147483647, 2147483629, 2147483587, 2147483579, 2147483563, 2147483549)
IntArray = npt.NDArray[np.int64]
Mesh = tuple[int, ...]  # instances in use along X and Y of every fan-out


def space_size(space: MapSpace) -> int | None:
    """Mappings in the space, whether or not their tiles fit; None where ``min_utilization`` of a storage decides."""
    if any(x.constraints.min_utilization for x in space.architecture.storages):
        return None
    keeps = math.prod(len(choices) for choices in space.keeps)
    residues = [_nests(space, p) for p in _PRIMES]
    return keeps * _chinese(residues)


def _chinese(residues: list[int]) -> int:
    total, modulus = 0, 1
    for r, p in zip(residues, _PRIMES, strict=True):
        total += modulus * ((r - total) * pow(modulus, -1, p) % p)
        modulus *= p
    return total


def _weights(n: int, p: int) -> list[int]:
    """w with Σⱼ wⱼ·jᵏ = k! modulo p for k = 0…n: the value of t ↦ Σ k!·[tᵏ] on the Lagrange polynomials of 0…n."""
    out = []
    for j in range(n + 1):
        poly, scale = [1], 1
        for i in range(n + 1):
            if i != j:
                poly = [(a - i * b) % p for a, b in zip([0, *poly], [*poly, 0], strict=True)]
                scale = scale * (j - i) % p
        out.append(sum(math.factorial(k) * c for k, c in enumerate(poly)) * pow(scale, -1, p) % p)
    return out


def _free(space: MapSpace, level: Storage, dim: str) -> bool:
    return (
        factor_range(level.constraints.temporal, dim, space.problem)[1] > 1
        and dim not in level.constraints.temporal.permutation
    )


def _nests(space: MapSpace, p: int) -> int:
    """Loop nests modulo p."""
    storages = space.architecture.storages
    degrees = [sum(_free(space, x, d) for d in space.dims) for x in storages]
    grid = np.indices([n + 1 for n in degrees]).reshape(len(storages), -1).astype(np.int64)
    points = {x.name: grid[k] for k, x in enumerate(storages)}
    weight = np.ones(grid.shape[1], np.int64)
    for k, n in enumerate(degrees):
        weight = weight * np.array(_weights(n, p), np.int64)[grid[k]] % p
    states: dict[Mesh, IntArray] = {(1,) * (2 * len(space.architecture.fanouts)): weight}
    for dim in space.dims:
        factors = _factors(space, dim, points, p)
        after: dict[Mesh, IntArray] = {}
        for mesh, value in states.items():
            for use, ways in factors.items():
                joined = tuple(a * b for a, b in zip(mesh, use, strict=True))
                if _fits(space, joined):
                    product = value * ways % p
                    after[joined] = (after[joined] + product) % p if joined in after else product
        states = after
    enough = (value for mesh, value in states.items() if _used(space, mesh))
    return int(sum(int(value.sum()) for value in enough) % p)


def _fits(space: MapSpace, mesh: Mesh) -> bool:
    return all(
        mesh[2 * k] <= x.mesh_x and mesh[2 * k + 1] <= x.mesh_y for k, x in enumerate(space.architecture.fanouts)
    )


def _used(space: MapSpace, mesh: Mesh) -> bool:
    return all(
        mesh[2 * k] * mesh[2 * k + 1] >= x.constraints.min_utilization * x.mesh_x * x.mesh_y
        for k, x in enumerate(space.architecture.fanouts)
    )


def _factors(space: MapSpace, dim: str, points: dict[str, IntArray], p: int) -> dict[Mesh, IntArray]:
    """Spatial use of one dimension → Σ over its temporal factorizations of Π j over free loops, at every grid point."""
    size = space.problem.sizes[dim]
    temporal = _temporal(space, dim, points, p)
    out: dict[Mesh, IntArray] = {}
    for bounds in itertools.product(*(_spatial(space, x, dim) for x in space.architecture.fanouts)):
        use = tuple(n for pair in bounds for n in pair)
        spread = math.prod(use)
        if size % spread == 0 and _fits(space, use) and size // spread in temporal:
            out[use] = temporal[size // spread]
    return out


def _spatial(space: MapSpace, fanout: Fanout, dim: str) -> Iterator[tuple[int, int]]:
    """(along X, along Y) that one dimension may take at a fan-out."""
    low, high = factor_range(fanout.constraints.spatial, dim, space.problem)
    along_x, along_y = spatial_axes(fanout, dim)
    for bound in divisors(space.problem.sizes[dim]):
        if not low <= bound <= high:
            continue
        if bound == 1:
            yield (1, 1)
            continue
        if along_x and bound <= fanout.mesh_x:
            yield (bound, 1)
        if along_y and bound <= fanout.mesh_y:
            yield (1, bound)


def _temporal(space: MapSpace, dim: str, points: dict[str, IntArray], p: int) -> dict[int, IntArray]:
    """What is left for the storages → ways to factorize it over them, weighted with j per free loop."""
    sizes = divisors(space.problem.sizes[dim])
    one = np.ones_like(next(iter(points.values())))
    ways: dict[int, IntArray] = {1: one}
    for level in space.architecture.storages:
        low, high = factor_range(level.constraints.temporal, dim, space.problem)
        weight = points[level.name] if dim not in level.constraints.temporal.permutation else one
        after: dict[int, IntArray] = {}
        for done, value in ways.items():
            for total in sizes:
                if total % done == 0 and low <= total // done <= high:
                    product = value * weight % p if total != done else value
                    after[total] = (after[total] + product) % p if total in after else product
        ways = after
    return ways
