"""Many mappings of one problem at once, inside the kernels: for sampling, sweeps and measuring speed.

`hwsim.model.evaluate` tells everything about one mapping; here only energy, cycles and whether it fits, but
without leaving compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwsim import counting as kernel
from hwsim.architecture import Architecture, Storage
from hwsim.energy import EnergyTable
from hwsim.kernel import njit
from hwsim.mapping import Mapping
from hwsim.model import lower, mesh_array, projection_matrix, switch_array
from hwsim.workloads.problem import Problem


class Packed(NamedTuple):
    """Mappings of one problem as arrays (``m`` mappings, ``l`` levels, ``s`` data spaces, loops of all end to end)."""

    coef: Any  # (s, ranks, dims)
    ranks: Any  # (s,)
    read_write: Any  # (s,)
    mesh: Any  # (l, 2)
    switches: Any  # (s, SWITCHES, l)
    first: Any  # (m + 1,) where a mapping's loops begin
    dim: Any  # (loops,)
    bound: Any
    axis: Any
    start: Any  # (m, l + 1)
    spatial_start: Any  # (m, l)
    keep: Any  # (m, s, l)
    block: Any  # (l,)
    prices: Any  # (l, 4) read, write, update, leak in pJ
    capacity: Any  # (l,) words, inf if unbounded
    clusters: Any  # (l,)
    limits: Any  # (l, 3) bandwidths
    storage: Any  # (l,) bool
    compute_pj: float


def pack(problem: Problem, architecture: Architecture, mappings: Sequence[Mapping], energy: EnergyTable) -> Packed:
    """Lower mappings, whose structure must be legal, to arrays.

    Raises:
        HwsimError: an action has no price.
    """
    spaces, levels = problem.data_spaces, architecture.levels
    nests = [lower(problem, mapping) for mapping in mappings]
    matrices = [projection_matrix(problem, x) for x in spaces]
    coef = np.zeros((len(spaces), max(x.shape[0] for x in matrices), len(problem.dims)), np.int64)
    for s, matrix in enumerate(matrices):
        coef[s, : matrix.shape[0]] = matrix

    def limit(level: object, name: str) -> float:
        value = getattr(level, name, None)
        return math.inf if value is None else float(value)

    actions = ("read", "write", "update", "leak")
    prices = [[energy.price(x.name, a) for a in actions] if isinstance(x, Storage) else [0.0] * 4 for x in levels]
    clusters = [architecture.clusters(x) if isinstance(x, Storage) else 1 for x in levels]
    names = ("read_bandwidth", "write_bandwidth", "shared_bandwidth")
    return Packed(
        coef=coef,
        ranks=np.array([x.shape[0] for x in matrices]),
        read_write=np.array([x.read_write for x in spaces]),
        mesh=mesh_array(architecture),
        switches=np.array([switch_array(architecture, x.name) for x in spaces]),
        first=np.cumsum([0, *(len(x.dim) for x in nests)]),
        dim=np.concatenate([x.dim for x in nests]),
        bound=np.concatenate([x.bound for x in nests]),
        axis=np.concatenate([x.axis for x in nests]),
        start=np.array([x.start for x in nests]),
        spatial_start=np.array([x.spatial_start for x in nests]),
        keep=np.array([[[x.name in p.keep for p in m.levels] for x in spaces] for m in mappings]),
        block=np.array([x.block_size if isinstance(x, Storage) else 1 for x in levels]),
        prices=np.array(prices),
        capacity=np.array([limit(x, "capacity") for x in levels]),
        clusters=np.array(clusters, np.float64),
        limits=np.array([[limit(x, name) for name in names] for x in levels]),
        storage=np.array([isinstance(x, Storage) for x in levels]),
        compute_pj=problem.macs * energy.price(architecture.compute.name, "compute"),
    )


def evaluate_packed(packed: Packed) -> npt.NDArray[np.float64]:
    """(m, 2) energy in pJ and cycles of every mapping; inf where its tiles do not fit."""
    out: npt.NDArray[np.float64] = _evaluate(packed)
    return out


@njit(cache=True)
def _evaluate(p):  # type: ignore[no-untyped-def]
    mappings, levels = p.spatial_start.shape
    spaces = p.coef.shape[0]
    out = np.empty((mappings, 2))
    read, write = np.empty(levels), np.empty(levels)
    held, pj, used = np.empty(levels), np.empty(levels), np.empty(levels)
    for m in range(mappings):
        a, b = p.first[m], p.first[m + 1]
        dim, bound, axis = p.dim[a:b], p.bound[a:b], p.axis[a:b]
        cycles = 1.0
        for i in range(b - a):
            if axis[i] == 0:
                cycles *= bound[i]
        instances = 1.0
        for l in range(levels):
            used[l] = instances
            for i in range(p.spatial_start[m, l], p.start[m, l + 1]):
                instances *= bound[i]
            read[l] = write[l] = held[l] = pj[l] = 0.0
        for s in range(spaces):
            counts = kernel.count_data_space(
                p.coef[s, : p.ranks[s]],
                p.read_write[s],
                dim,
                bound,
                axis,
                p.start[m],
                p.spatial_start[m],
                p.keep[m, s],
                p.mesh,
                p.switches[s],
            )
            for l in range(levels):
                row = counts[l]
                held[l] += row[kernel.CAPACITY]
                read[l] += row[kernel.READS] / cycles
                write[l] += (row[kernel.FILLS] + row[kernel.UPDATES]) / cycles
                if p.storage[l] and p.keep[m, s, l]:
                    one = kernel.row_energy(row, p.block[l], p.prices[l, 0], p.prices[l, 1], p.prices[l, 2])
                    pj[l] += one * min(used[l], p.clusters[l])
        slowest = cycles
        fits = True
        for l in range(levels):
            if p.storage[l]:
                fits = fits and held[l] <= p.capacity[l]
                share = kernel.speed(read[l], write[l], p.limits[l, 0], p.limits[l, 1], p.limits[l, 2])
                slowest = max(slowest, np.ceil(cycles / share))
        energy = p.compute_pj
        for l in range(levels):
            if p.storage[l]:
                energy += pj[l] + p.prices[l, 3] * slowest * used[l]
        out[m, 0] = energy if fits else np.inf
        out[m, 1] = slowest if fits else np.inf
    return out
