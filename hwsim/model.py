"""The cost model: count the accesses of a mapping, then price them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim import counting as kernel
from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.cost import ComputeCost, DataSpaceCost, Illegal, LayerCost, LevelCost
from hwsim.energy import EnergyTable
from hwsim.legality import capacity_faults, structure_faults
from hwsim.mapping import Mapping
from hwsim.workloads.problem import DataSpace, Problem

IntArray = npt.NDArray[np.int64]
AXES = {"": 0, "X": 1, "Y": 2}


def projection_matrix(problem: Problem, data_space: DataSpace) -> IntArray:
    """Coefficients of a data space's projection as a (ranks, dims) array, dims in the problem's order."""
    index = {name: k for k, (name, _) in enumerate(problem.dims)}
    coef = np.zeros((max(1, len(data_space.projection)), len(problem.dims)), np.int64)
    for r, rank in enumerate(data_space.projection):
        for coefficient, dim in rank:
            coef[r, index[dim]] += coefficient
    return coef


@dataclass(frozen=True)
class Nest:
    """A mapping as the arrays that the kernels read (see `hwsim.counting`)."""

    dim: IntArray
    bound: IntArray
    axis: IntArray
    start: IntArray
    spatial_start: IntArray


def lower(problem: Problem, mapping: Mapping) -> Nest:
    """Flatten a mapping into loops outer → inner; loops with bound 1 are left out."""
    index = {name: k for k, (name, _) in enumerate(problem.dims)}
    loops: list[tuple[int, int, int]] = []
    start, spatial_start = [], []
    for level in mapping.levels:
        start.append(len(loops))
        loops += [(index[x.dim], x.bound, 0) for x in level.temporal if x.bound > 1]
        spatial_start.append(len(loops))
        loops += [(index[x.dim], x.bound, AXES[x.axis]) for x in level.spatial if x.bound > 1]
    start.append(len(loops))
    table = np.array(loops, np.int64).reshape(-1, 3)
    return Nest(
        np.ascontiguousarray(table[:, 0]),
        np.ascontiguousarray(table[:, 1]),
        np.ascontiguousarray(table[:, 2]),
        np.array(start, np.int64),
        np.array(spatial_start, np.int64),
    )


def mesh_array(architecture: Architecture) -> IntArray:
    """(levels, 2) physical columns and rows of each fan-out; 1 × 1 for storages."""
    return np.array(
        [(x.mesh_x, x.mesh_y) if isinstance(x, Fanout) else (1, 1) for x in architecture.levels], np.int64
    ).reshape(-1, 2)


def switch_array(architecture: Architecture, data_space: str) -> npt.NDArray[np.bool_]:
    """(SWITCHES, levels) what the constraints turn off for one data space."""
    out = np.zeros((kernel.SWITCHES, len(architecture.levels)), np.bool_)
    for k, level in enumerate(architecture.levels):
        temporal, spatial = level.constraints.temporal, level.constraints.spatial
        out[kernel.NO_REUSE, k] = data_space in temporal.no_reuse
        out[kernel.READ_FIRST, k] = data_space in temporal.rmw_first_update
        out[kernel.NO_MULTICAST, k] = data_space in spatial.no_multicast
        out[kernel.NO_LINKS, k] = data_space in spatial.no_link_transfer
    return out


def _throttling(level: Storage, counts: list[npt.NDArray[np.float64]], compute_cycles: int) -> float:
    """Share of full speed that a storage's bandwidth allows; ``counts`` are its rows, one per data space."""
    # Division comes before the sum, as in Timeloop: it decides the last bit, and so the rounding up.
    read = write = 0.0
    for row in counts:
        read += float(row[kernel.READS]) / compute_cycles
        write += float(row[kernel.FILLS] + row[kernel.UPDATES]) / compute_cycles
    limits = (level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)
    return float(kernel.speed(read, write, *(math.inf if x is None else x for x in limits)))


def _price(energy: EnergyTable, level: Storage, action: str, words: float) -> float:
    """Price of an action; one that does not happen needs none."""
    return energy.price(level.name, action) if words > 0 else 0.0


def _data_space_cost(
    level: Storage, row: npt.NDArray[np.float64], instances: int, clusters: int, energy: EnergyTable
) -> DataSpaceCost:
    """Price one row of counts: ``accessed · Σ ⌈words / block⌉ · price``.

    ``cluster_size`` instances share one wide access, and Timeloop spreads the instances in use over as
    many clusters as there are: ``accessed = min(instances in use, clusters)``.
    """
    columns = ((kernel.READS, "read"), (kernel.FILLS, "write"), (kernel.UPDATES, "update"))
    prices = [_price(energy, level, action, row[column]) for column, action in columns]
    pj = float(kernel.row_energy(row, level.block_size, *prices))
    return DataSpaceCost(
        tile=int(row[kernel.TILE]),
        capacity=int(row[kernel.CAPACITY]),
        instances=instances,
        reads=int(row[kernel.READS]),
        fills=int(row[kernel.FILLS]),
        updates=int(row[kernel.UPDATES]),
        temporal_reductions=int(row[kernel.REDUCTIONS]),
        link_transfers=int(row[kernel.LINKS]),
        energy_pj=pj * min(instances, clusters),
    )


def evaluate(
    problem: Problem, architecture: Architecture, mapping: Mapping, energy: EnergyTable
) -> LayerCost | Illegal:
    """Cost of one problem under one mapping, as Timeloop counts it.

    Energy of a data space at a level is ``accessed · (⌈reads/block⌉·E_read + ⌈fills/block⌉·E_write
    + ⌈updates/block⌉·E_update)``; leakage of a level ``E_leak · cycles · instances in use``. The layer takes
    as many cycles as its slowest level.

    Returns:
        The cost, or why the mapping is illegal (the first fault, outermost level first).

    Raises:
        HwsimError: an action that happens has no price.
    """
    for fault in structure_faults(problem, architecture, mapping):
        return fault
    nest = lower(problem, mapping)
    mesh = mesh_array(architecture)
    counts: dict[str, npt.NDArray[np.float64]] = {}
    for data_space in problem.data_spaces:
        keep = np.array([data_space.name in level.keep for level in mapping.levels])
        counts[data_space.name] = kernel.count_data_space(
            projection_matrix(problem, data_space),
            data_space.read_write,
            nest.dim,
            nest.bound,
            nest.axis,
            nest.start,
            nest.spatial_start,
            keep,
            mesh,
            switch_array(architecture, data_space.name),
        )
    held = [
        {name: int(row[k, kernel.CAPACITY]) for name, row in counts.items()} for k in range(len(architecture.levels))
    ]
    for fault in capacity_faults(architecture, held):
        return fault

    compute_cycles = math.prod(int(b) for b, a in zip(nest.bound, nest.axis, strict=True) if a == 0)
    speeds = [
        _throttling(level, [counts[d.name][k] for d in problem.data_spaces], compute_cycles)
        if isinstance(level, Storage)
        else 1.0
        for k, level in enumerate(architecture.levels)
    ]
    level_cycles = [compute_cycles if speed == 1 else math.ceil(compute_cycles / speed) for speed in speeds]
    cycles = max([compute_cycles, *level_cycles])

    levels, instances = [], 1
    for k, (level, placed) in enumerate(zip(architecture.levels, mapping.levels, strict=True)):
        spaces: dict[str, DataSpaceCost] = {}
        leakage = 0.0
        if isinstance(level, Storage):
            clusters = max(1, architecture.instances(level.name) // level.cluster_size)
            for data_space in problem.data_spaces:
                if data_space.name in placed.keep:
                    row = counts[data_space.name][k]
                    spaces[data_space.name] = _data_space_cost(level, row, instances, clusters, energy)
            leakage = energy.price(level.name, "leak") * cycles * instances
        levels.append(LevelCost(level.name, level_cycles[k], speeds[k], leakage, spaces))
        instances *= math.prod(loop.bound for loop in placed.spatial)
    macs = problem.macs
    compute = ComputeCost(
        architecture.compute.name, macs, instances, macs * energy.price(architecture.compute.name, "compute")
    )
    return LayerCost(
        problem=problem,
        mapping=mapping,
        levels=tuple(levels),
        compute=compute,
        cycles=cycles,
        energy_pj=compute.energy_pj + sum(level.energy_pj for level in levels),
        utilization=macs / (cycles * architecture.compute_instances),
    )
