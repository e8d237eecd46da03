"""How many mappings a mapspace holds, exactly and without making them.

A mapping is a nest (loops with bound 1 left out) with a choice of what every storage keeps. The factorizations of
different dimensions are coupled in two ways only: through the orders of a storage's free loops (k of them stand
in k! orders) and through the meshes of the fan-outs. For the first, k! = Σⱼ wⱼ·jᵏ over j = 0…n with fixed weights,
so the sum over all k becomes a sum over grid points j of products over dimensions; for the second, what is left of
the axes is carried as a state. All of it modulo several primes, put together by the Chinese remainder theorem.

Where ``min_utilization`` of a storage decides, tiles couple all dimensions: there tiles are walked from the datapath
outwards. Either way the work is counted before it is done, and what would take too long is not begun (`WORK`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwsim.architecture import Fanout, Storage
from hwsim.mapper.factors import divisors
from hwsim.mapper.space import MapSpace, factor_range, spatial_axes

IntArray = npt.NDArray[np.int64]
Room = tuple[int, ...]  # what may still be placed along X and Y of every fan-out, and how much must be

WORK = 100_000_000  # multiplications of numbers in arrays: some tenths of a second
CALL = 1_000  # of these take as long as asking for one array
STEPS = 10_000  # tiles walked one by one, as long


class _TooMuch(Exception):
    """The count would take too long."""


class _Work:
    """Work that is left."""

    def __init__(self, most: float) -> None:
        self.left = most

    def take(self, amount: float) -> None:
        """Take from what is left.

        Raises:
            _TooMuch: there is not so much left.
        """
        self.left -= amount
        if self.left < 0:
            raise _TooMuch


def space_size(space: MapSpace) -> int | None:
    """Mappings in the space, whether or not their tiles fit; None where counting them would take too long.

    `Storage.min_words` and `Fanout.min_instances` hold for the mappings counted.
    """
    levels = space.architecture.levels
    for (dim, size), level in itertools.product(space.problem.dims, levels):
        if size == 1 and _range(space, level, dim)[0] > 1:
            return 0
    try:
        if any(isinstance(x, Storage) and x.min_words for x in levels):
            return _by_tiles(space, _Work(STEPS))
        return math.prod(len(choices) for choices in space.keeps) * _nests(space, _Work(WORK))
    except _TooMuch:
        return None


def _range(space: MapSpace, level: Storage | Fanout, dim: str) -> tuple[int, int]:
    loops = level.constraints.spatial if isinstance(level, Fanout) else level.constraints.temporal
    return factor_range(loops, dim, space.problem)


# -- in closed form -------------------------------------------------------------------------------------------------


def _nests(space: MapSpace, work: _Work) -> int:
    """Loop nests."""
    storages = space.architecture.storages
    free = [[x for x in storages if _free(space, x, d)] for d in space.dims]
    most = [sum(x in some for some in free) for x in storages]  # loops that may stand in any order
    temporal = [_temporal(space, d, some, work) for d, some in zip(space.dims, free, strict=True)]
    spatial = [_spatial(space, d, ways) for d, ways in zip(space.dims, temporal, strict=True)]
    bound = math.prod(map(math.factorial, most))
    for ways, uses in zip(temporal, spatial, strict=True):
        bound *= sum(int(ways[rest].sum()) for _, rest in uses)
    primes = _primes(bound)
    modulus = np.array(primes, np.int64).reshape(-1, *(1,) * len(storages))

    weight = np.ones((len(primes), *(1,) * len(storages)), np.int64)
    for k, n in enumerate(most):
        shape = [n + 1 if q == k else 1 for q in range(len(storages))]
        weight = weight * np.array([_weights(n, p) for p in primes], np.int64).reshape(-1, *shape) % modulus
    states = {_whole_room(space): weight}
    # Dimensions with few places in space come first: states grow late.
    turns = sorted(range(len(space.dims)), key=lambda d: len(spatial[d]))
    for turn, d in enumerate(turns):
        values = {}
        ahead = _most_room(space, [spatial[k] for k in turns[turn + 1 :]])
        for rest in {rest for _, rest in spatial[d]}:
            values[rest] = _at_grid_points(temporal[d][rest], free[d], storages, most, modulus)
            work.take(CALL * len(storages) + values[rest].size)
        after: dict[Room, IntArray] = {}
        for room, value in states.items():
            for use, rest in spatial[d]:
                left = _left(room, use, ahead)
                if left is not None:
                    work.take(CALL + 2 * weight.size)
                    product = value * values[rest] % modulus
                    after[left] = after[left] + product if left in after else product
        states = {room: value % modulus for room, value in after.items()}
    total = [0] * len(primes)
    for value in states.values():
        total = [t + int(v) for t, v in zip(total, value.reshape(len(primes), -1).sum(axis=1), strict=True)]
    return _chinese([t % p for t, p in zip(total, primes, strict=True)], primes)


def _free(space: MapSpace, level: Storage, dim: str) -> bool:
    return _range(space, level, dim)[1] > 1 and dim not in level.constraints.temporal.permutation


def _temporal(space: MapSpace, dim: str, free: Sequence[Storage], work: _Work) -> dict[int, IntArray]:
    """What is left for the storages → ways to factorize it over them, by those of ``free`` that get a part (2, 2 …)."""
    sizes = np.array(divisors(space.problem.sizes[dim]))
    work.take(len(sizes) ** 2 * (len(space.architecture.storages) + 2.0 ** len(free) / 8))
    part, rest = np.divmod(sizes[:, None], sizes[None, :])
    part[rest != 0] = 0
    ways = np.zeros((len(sizes), 1))
    ways[0] = 1.0
    for level in space.architecture.storages:
        low, high = _range(space, level, dim)
        more = ((part > 1) & (part >= low) & (part <= high)).astype(np.float64) @ ways
        none = ways if low <= 1 else np.zeros_like(ways)
        ways = np.stack([none, more], axis=-1).reshape(len(sizes), -1) if level in free else none + more
        if ways.max() >= 2.0**53:  # no longer exact
            raise _TooMuch
    return {int(n): row.astype(np.int64) for n, row in zip(sizes, ways, strict=True)}


def _at_grid_points(
    ways: IntArray, free: Sequence[Storage], storages: Sequence[Storage], most: Sequence[int], modulus: IntArray
) -> IntArray:
    """Σ over ``ways`` of Π j over the storages that get a part, at every grid point (those where it is not free: 1)."""
    out = ways.reshape(1, *(2 if x in free else 1 for x in storages)) % modulus
    for axis, (level, n) in enumerate(zip(storages, most, strict=True), start=1):
        if level in free:
            none, part = np.split(out, 2, axis=axis)
            shape = [-1 if q == axis else 1 for q in range(out.ndim)]
            out = (none + part * np.arange(n + 1).reshape(shape)) % modulus
    return out


def _spatial(space: MapSpace, dim: str, ways: dict[int, IntArray]) -> list[tuple[tuple[int, ...], int]]:
    """(along X and Y of every fan-out, what is left for the storages) that one dimension may take."""
    size = space.problem.sizes[dim]
    out: list[tuple[tuple[int, ...], int]] = [((), size)]
    for fanout in space.architecture.fanouts:
        places = list(_axes(space, fanout, dim))
        out = [
            ((*use, *place), rest // math.prod(place))
            for use, rest in out
            for place in places
            if rest % math.prod(place) == 0
        ]
    return [(use, rest) for use, rest in out if ways[rest].any()]


def _axes(space: MapSpace, fanout: Fanout, dim: str) -> Iterator[tuple[int, int]]:
    """(along X, along Y) that one dimension may take at a fan-out."""
    low, high = _range(space, fanout, dim)
    along_x, along_y = spatial_axes(fanout, dim)
    for bound in divisors(space.problem.sizes[dim]):
        if bound > max(fanout.mesh_x, fanout.mesh_y):
            return
        if not low <= bound <= high:
            continue
        if bound == 1:
            yield (1, 1)
            continue
        if along_x and bound <= fanout.mesh_x:
            yield (bound, 1)
        if along_y and bound <= fanout.mesh_y:
            yield (1, bound)


def _whole_room(space: MapSpace) -> Room:
    return tuple(n for x in space.architecture.fanouts for n in (x.mesh_x, x.mesh_y, x.min_instances))


def _most_room(space: MapSpace, uses: Sequence[list[tuple[tuple[int, ...], int]]]) -> tuple[int, ...]:
    """What some dimensions ask for at most, along X and Y of every fan-out: rooms above that are alike."""
    most = [
        [max((use[k] for use, _ in some), default=1) for some in uses]
        for k in range(2 * len(space.architecture.fanouts))
    ]
    return tuple(map(math.prod, most))


def _left(room: Room, use: tuple[int, ...], ahead: tuple[int, ...]) -> Room | None:
    """The room after so many instances along each axis; None where they exceed it, or leave too little in use.

    ⌊⌊m/a⌋/b⌋ = ⌊m/(a·b)⌋, and so with ⌈ ⌉: how the instances came together does not matter.
    """
    out = []
    for k, (x, y) in enumerate(zip(use[::2], use[1::2], strict=True)):
        room_x, room_y, least = room[3 * k] // x, room[3 * k + 1] // y, -(-room[3 * k + 2] // (x * y))
        most_x, most_y = ahead[2 * k], ahead[2 * k + 1]
        if not room_x or not room_y or least > most_x * most_y:
            return None
        out += [min(room_x, most_x), min(room_y, most_y), least]
    return tuple(out)


# -- numbers modulo primes ------------------------------------------------------------------------------------------


@lru_cache
def _primes(bound: int) -> tuple[int, ...]:
    """Primes below 2³¹, the largest first, whose product exceeds a bound."""
    out: list[int] = []
    candidate = 2**31
    while math.prod(out) <= bound:
        candidate -= 1
        if len(divisors(candidate)) == 2:
            out.append(candidate)
    return tuple(out)


def _chinese(residues: Sequence[int], primes: Sequence[int]) -> int:
    total, modulus = 0, 1
    for r, p in zip(residues, primes, strict=True):
        total += modulus * ((r - total) * pow(modulus, -1, p) % p)
        modulus *= p
    return total


@lru_cache
def _weights(n: int, p: int) -> tuple[int, ...]:
    """w with Σⱼ wⱼ·jᵏ = k! modulo p for k = 0…n: the value of t ↦ Σ k!·[tᵏ] on the Lagrange polynomials of 0…n."""
    out = []
    for j in range(n + 1):
        poly, scale = [1], 1
        for i in range(n + 1):
            if i != j:
                poly = [(a - i * b) % p for a, b in zip([0, *poly], [*poly, 0], strict=True)]
                scale = scale * (j - i) % p
        out.append(sum(math.factorial(k) * c for k, c in enumerate(poly)) * pow(scale, -1, p) % p)
    return tuple(out)


# -- by tiles -------------------------------------------------------------------------------------------------------


def _by_tiles(space: MapSpace, work: _Work) -> int:
    """Mappings, where what a storage holds decides: ways to reach every tile (sizes of the dimensions inside)."""
    sizes = tuple(space.problem.sizes[d] for d in space.dims)
    ways = {(1,) * len(sizes): 1}
    for level, keeps in reversed(list(zip(space.architecture.levels, space.keeps, strict=True))):
        ranges = [_range(space, level, d) for d in space.dims]
        after: dict[tuple[int, ...], int] = {}
        kept: dict[tuple[int, ...], int] = {}
        for tile, inside in ways.items():
            parts = [
                [n for n in divisors(size // have) if low <= n <= high]
                for size, have, (low, high) in zip(sizes, tile, ranges, strict=True)
            ]
            work.take(math.prod(map(len, parts)))
            for bounds in itertools.product(*parts):
                grown = tuple(a * b for a, b in zip(tile, bounds, strict=True))
                if grown not in kept:
                    kept[grown] = _enough(space, level, keeps, grown)
                orders = kept[grown] and _orders(space, level, bounds)
                if orders:
                    after[grown] = after.get(grown, 0) + inside * orders * kept[grown]
        ways = after
    return ways.get(sizes, 0)


def _enough(space: MapSpace, level: Storage | Fanout, keeps: Sequence[frozenset[str]], tile: tuple[int, ...]) -> int:
    """Choices of what a level keeps that fill it as much as it asks for."""
    if isinstance(level, Fanout) or not level.min_words:
        return len(keeps)
    sizes = dict(zip(space.dims, tile, strict=True))
    words = {
        x.name: math.prod(1 + sum(c * (sizes.get(d, 1) - 1) for c, d in rank) for rank in x.projection)
        for x in space.problem.data_spaces
    }
    return sum(sum(words[name] for name in keep) >= level.min_words for keep in keeps)


def _orders(space: MapSpace, level: Storage | Fanout, bounds: tuple[int, ...]) -> int:
    """Orders of a storage's loops, or axes of a fan-out's."""
    loops = [(d, n) for d, n in zip(space.dims, bounds, strict=True) if n > 1]
    if isinstance(level, Storage):
        return math.factorial(sum(d not in level.constraints.temporal.permutation for d, _ in loops))
    rooms = [(level.mesh_x, level.mesh_y)]
    for d, n in loops:
        along_x, along_y = spatial_axes(level, d)
        rooms = [(x // n, y) for x, y in rooms if along_x and x >= n] + [
            (x, y // n) for x, y in rooms if along_y and y >= n
        ]
    return len(rooms) if math.prod(bounds) >= level.min_instances else 0
