"""The cost model: whether a mapping is legal, how much it moves, and what that costs, one after the other."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hwsim import counting as kernel
from hwsim import sparse
from hwsim.architecture import Architecture, Fanout, Storage
from hwsim.cost import ComputeCost, DataSpaceCost, Fates, Illegal, LayerCost, LevelCost
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.kernel import FloatArray, IntArray
from hwsim.legality import capacity_faults, structure_faults
from hwsim.mapping import Mapping
from hwsim.traffic import Thinning, Traffic
from hwsim.workloads.problem import DataSpace, Problem

AXES = {"": 0, "X": 1, "Y": 2}
_SWITCHES = (kernel.NO_REUSE, kernel.READ_FIRST, kernel.NO_MULTICAST, kernel.NO_LINKS)


def projection_matrix(problem: Problem, data_space: DataSpace) -> IntArray:
    """Coefficients of a data space's projection as a (ranks, dims) array, dims in the problem's order."""
    index = {name: k for k, (name, _) in enumerate(problem.dims)}
    coef = np.zeros((max(1, len(data_space.projection)), len(problem.dims)), np.int64)
    for r, rank in enumerate(data_space.projection):
        for coefficient, dim in rank:
            coef[r, index[dim]] += coefficient
    return coef


def lower(problem: Problem, mapping: Mapping) -> kernel.Loops:
    """Flatten a mapping into loops outer → inner; loops with bound 1 are left out."""
    index = {name: k for k, (name, _) in enumerate(problem.dims)}
    loops: list[tuple[int, int, int, int]] = []
    start, spatial_start = [], []
    for level in mapping.levels:
        start.append(len(loops))
        loops += [(index[x.dim], x.bound, x.residual, 0) for x in level.temporal if x.bound > 1]
        spatial_start.append(len(loops))
        loops += [(index[x.dim], x.bound, x.residual, AXES[x.axis]) for x in level.spatial if x.bound > 1]
    start.append(len(loops))
    table = np.array(loops, np.int64).reshape(-1, 4)
    return kernel.Loops(
        np.ascontiguousarray(table[:, 0]),
        np.ascontiguousarray(table[:, 1]),
        np.ascontiguousarray(table[:, 2]),
        np.ascontiguousarray(table[:, 3]),
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
        off = (temporal.no_reuse, temporal.rmw_first_update, spatial.no_multicast, spatial.no_link_transfer)
        for switch, names in zip(_SWITCHES, off, strict=True):
            if data_space in names:
                out[switch, k] = True
    return out


def count(problem: Problem, architecture: Architecture, mapping: Mapping) -> Traffic:
    """The traffic of a mapping whose loops are sound, as if there were no zeros.

    Raises:
        HwsimError: the nest has residuals, and too many loops to be walked.
    """
    nest = lower(problem, mapping)
    mesh = mesh_array(architecture)
    counts = np.empty((len(architecture.levels), len(problem.data_spaces), kernel.COLUMNS))
    instances = [Fraction(1)]
    for placed in mapping.levels:
        instances.append(instances[-1] * math.prod(loop.bound for loop in placed.spatial))
    remainders = mapping.has_remainders
    exact = remainders and not kernel.timeloop_counts(nest, np.array([bool(x.keep) for x in mapping.levels]))
    if remainders and not exact:
        instances[:-1] = kernel.instances_at_work(nest)[:-1]
    for d, data_space in enumerate(problem.data_spaces):
        coef = projection_matrix(problem, data_space)
        keep = np.array([data_space.name in level.keep for level in mapping.levels])
        switches = switch_array(architecture, data_space.name)
        if remainders:
            try:
                counts[:, d] = kernel.count_with_remainders(
                    coef, data_space.read_write, nest, keep, mesh, switches, exact
                )
            except ValueError as error:
                raise HwsimError(f"the mapping cannot be counted: {error}.") from None
            continue
        counts[:, d] = kernel.count_data_space(
            coef,
            data_space.read_write,
            nest.dim,
            nest.bound,
            nest.axis,
            nest.start,
            nest.spatial_start,
            keep,
            mesh,
            switches,
        )
    cycles = math.prod(int(b) for b, a in zip(nest.bound, nest.axis, strict=True) if a == 0)
    names = tuple(x.name for x in problem.data_spaces)
    return Traffic.dense(names, cycles, tuple(_plain(x) for x in instances), problem.macs, counts)


def _plain(x: Fraction | float) -> float:
    """A whole number where it is one."""
    return int(x) if x == int(x) else float(x)


def _throttling(level: Storage, traffic: Traffic, k: int) -> float:
    """Share of full speed that the bandwidth of level ``k`` allows."""
    if level.read_bandwidth is level.write_bandwidth is level.shared_bandwidth is None:
        return 1.0
    # Division comes before the sum, as in Timeloop: it decides the last bit, and so the rounding up.
    read = write = 0.0
    for d, row in enumerate(traffic.actual[k].tolist()):
        words = row[kernel.READS], row[kernel.FILLS] + row[kernel.UPDATES]
        if traffic.thinning is not None:
            words = sparse.moved(level, traffic, traffic.thinning, k, d)
        read += words[0] / traffic.cycles
        write += words[1] / traffic.cycles
    limits = (level.read_bandwidth, level.write_bandwidth, level.shared_bandwidth)
    return float(kernel.speed(read, write, *(math.inf if x is None else x for x in limits)))


def _price(energy: EnergyTable, level: Storage, action: str, words: float) -> float:
    """Price of an action; one that does not happen needs none."""
    return energy.price(level.name, action) if words > 0 else 0.0


def _data_space_cost(
    level: Storage, row: FloatArray, instances: float, accessed: float, energy: EnergyTable
) -> DataSpaceCost:
    """Price one row of counts: ``accessed · Σ ⌈words / block⌉ · price``.

    ``cluster_size`` instances share one wide access, and Timeloop spreads the instances in use over as
    many clusters as there are: ``accessed = min(instances in use, clusters)``. Where fewer work than are in use, in
    the average over the rounds, so many fewer accesses are made.
    """
    counts = row.tolist()
    columns = ((kernel.READS, "read"), (kernel.FILLS, "write"), (kernel.UPDATES, "update"))
    prices = [_price(energy, level, action, counts[column]) for column, action in columns]
    # Averages over instances that differ are accesses of all of them together.
    each = instances if any(x != int(x) for x in counts) else 1
    pj = float(kernel.row_energy(np.rint(row * each), level.block_size, *prices)) / each
    words = list(map(_plain, counts))
    return DataSpaceCost(
        tile=words[kernel.TILE],
        capacity=int(counts[kernel.CAPACITY]),
        instances=instances,
        reads=words[kernel.READS],
        fills=words[kernel.FILLS],
        updates=words[kernel.UPDATES],
        temporal_reductions=words[kernel.REDUCTIONS],
        link_transfers=words[kernel.LINKS],
        energy_pj=pj * accessed,
    )


def _thinned(
    design: tuple[Architecture, EnergyTable], traffic: Traffic, thinning: Thinning, k: int,
    spaces: dict[str, DataSpaceCost],
) -> dict[str, DataSpaceCost]:  # fmt: skip
    """The costs of level ``k``'s data spaces with what zeros change beside the counts."""
    architecture, energy = design
    level = architecture.levels[k]
    assert isinstance(level, Storage)
    own, clusters = architecture.sparsity.level(level.name), architecture.clusters(level)
    out = {}
    for name, cost in spaces.items():
        d = traffic.data_spaces.index(name)
        pj = sparse.data_space_energy(level, own, traffic, thinning, (k, d), energy)
        accessed = min(float(thinning.average[k, d]), clusters)
        out[name] = replace(cost, energy_pj=pj * accessed, sparse=sparse.sparse_cost(traffic, thinning, k, d))
    return out


def price(
    problem: Problem, architecture: Architecture, mapping: Mapping, traffic: Traffic, energy: EnergyTable
) -> LayerCost:
    """What traffic costs.

    Raises:
        HwsimError: an action that happens has no price.
    """
    speeds = [
        _throttling(level, traffic, k) if isinstance(level, Storage) else 1.0
        for k, level in enumerate(architecture.levels)
    ]
    level_cycles = [traffic.cycles if speed == 1 else math.ceil(traffic.cycles / speed) for speed in speeds]
    cycles = max([traffic.cycles, *level_cycles])
    levels = []
    for k, (level, placed) in enumerate(zip(architecture.levels, mapping.levels, strict=True)):
        spaces: dict[str, DataSpaceCost] = {}
        leakage = 0.0
        if isinstance(level, Storage):
            instances = traffic.instances[k]
            kept = placed.keep
            most = math.prod(loop.bound for outer in mapping.levels[:k] for loop in outer.spatial)
            accessed = min(most, architecture.clusters(level)) * (instances / most)
            for d, name in enumerate(traffic.data_spaces):
                if name in kept:
                    row = traffic.actual[k, d] if traffic.thinning is None else np.trunc(traffic.actual[k, d])
                    spaces[name] = _data_space_cost(level, row, instances, accessed, energy)
            if traffic.thinning is not None:
                spaces = _thinned((architecture, energy), traffic, traffic.thinning, k, spaces)
            at, together = architecture.gating(level)
            leakage = energy.price(level.name, "leak") * cycles * together * traffic.powered(at)
        levels.append(LevelCost(level.name, level_cycles[k], speeds[k], leakage, spaces))
    cycles += architecture.network_latency
    compute = _compute_cost(architecture.compute.name, problem.macs, traffic, energy)
    busy = compute.computes if compute.sparse is None else compute.sparse.actual + compute.sparse.gated
    return LayerCost(
        problem=problem,
        mapping=mapping,
        levels=tuple(levels),
        compute=compute,
        cycles=cycles,
        energy_pj=compute.energy_pj + sum(level.energy_pj for level in levels),
        utilization=busy / (cycles * architecture.compute_instances),
    )


def _compute_cost(name: str, macs: int, traffic: Traffic, energy: EnergyTable) -> ComputeCost:
    """What the datapath costs; without zeros every multiplication is executed."""
    computes, instances = traffic.computes, int(traffic.instances[-1])
    if traffic.thinning is None:
        return ComputeCost(name, macs, instances, macs * energy.price(name, "compute"))
    fates = Fates(macs, int(computes.actual), int(computes.gated), int(computes.skipped))
    return ComputeCost(name, fates.actual, instances, sparse.compute_energy(name, computes, energy), fates)


def evaluate(
    problem: Problem, architecture: Architecture, mapping: Mapping, energy: EnergyTable
) -> LayerCost | Illegal:
    """Cost of one problem under one mapping, as Timeloop counts it: is it sound, what moves, does it fit, what is paid.

    Energy of a data space at a level is ``accessed · (⌈reads/block⌉·E_read + ⌈fills/block⌉·E_write
    + ⌈updates/block⌉·E_update)``; leakage of a level ``E_leak · cycles · instances in use``, or those that are switched
    off with the instances in use of another level (`Architecture.gating`). The layer takes as many cycles as its
    slowest level, and those in which its networks fill and drain.

    Returns:
        The cost, or why the mapping is illegal (the first fault, outermost level first).

    Raises:
        HwsimError: an action that happens has no price, or factors have residuals where zeros count or nest too deep.
    """
    for fault in structure_faults(problem, architecture, mapping):
        return fault
    traffic = count(problem, architecture, mapping)
    operands = len(problem.data_spaces) - 1
    if architecture.sparsity or (problem.densities and operands == sparse.OPERANDS):
        if mapping.has_remainders:
            raise HwsimError(
                "the mapping has factors with residuals (such as C=3,2); a sparse design is counted under factors that "
                "divide."
            )
        thinned = sparse.thin(problem, architecture, mapping, energy, traffic)
        if isinstance(thinned, Illegal):
            return thinned
        traffic = thinned
    for fault in capacity_faults(architecture, traffic.held()):
        return fault
    if traffic.thinning is not None:
        for fault in sparse.metadata_faults(architecture, traffic):
            return fault
    return price(problem, architecture, mapping, traffic, energy)
