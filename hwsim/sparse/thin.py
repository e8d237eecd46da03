"""From dense traffic to what zeros and formats leave of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hwsim.architecture import Architecture, Storage
from hwsim.cost import Illegal
from hwsim.counting import CAPACITY, FILLS, READS, REDUCTIONS, UPDATES
from hwsim.energy import EnergyTable
from hwsim.errors import HwsimError
from hwsim.mapping import Mapping
from hwsim.sparse.density import DensityModel, model
from hwsim.sparse.formats import TileRank, TooFewRanks, occupancy, tile_ranks
from hwsim.sparse.savings import Entry, entries
from hwsim.sparse.tiles import Tiles
from hwsim.sparsity import Density, Format
from hwsim.traffic import Computes, Metadata, Thinning, Traffic
from hwsim.workloads.problem import DataSpace, Problem

#: Below this share of the full block count a compressed tile's last block counts: words per access → density 0.1 … 1.0.
_FEW_BLOCKS = {
    2: (251, 125, 84, 63, 51, 42, 36, 32, 28, 1),
    4: (375, 188, 125, 94, 75, 63, 54, 47, 42, 1),
    8: (438, 219, 146, 110, 88, 73, 63, 55, 49, 1),
    16: (469, 235, 157, 118, 94, 79, 67, 59, 52, 1),
    32: (485, 243, 162, 122, 97, 81, 70, 61, 52, 1),
}
OPERANDS = 2
"""The reference knows how the zeros of two operands meet."""
#: What two operands are, in the order in which the reference sums what becomes of them.
_PAIRS = (
    ("nonzero", "nonzero"), ("nonzero", "zero"), ("nonzero", "absent"), ("zero", "zero"), ("zero", "absent"),
    ("absent", "absent"),
)  # fmt: skip
#: Columns of the traffic that a metadata table has rows for.
_MOVES = (READS, FILLS, UPDATES)


@dataclass(frozen=True)
class _Tile:
    """One data space's tile at one level (0 is innermost).

    Attributes:
        size: elements of the dense tile.
        expected: nonzeros.
        most: elements held, the size where the level has no metadata.
        ranks: lowest first.
        units: (ranks, 2) expected metadata and payload units.
        held: the same of the fullest tile.
        present: probability that the tile is sent at all.
        packing: accesses over those of one whose blocks are all full.
    """

    form: Format | None
    ranks: list[TileRank]
    size: int
    expected: float
    most: int
    units: np.ndarray
    held: np.ndarray
    present: float
    packing: float

    @property
    def density(self) -> float:
        """Share of the tile that is stored, as expected."""
        return self.expected / self.size


def _packing(distribution: list[tuple[int, float]], size: int, expected: float, block: int) -> float:
    """Accesses of a compressed tile over those of one whose blocks are all full."""
    density = expected / size
    if block not in _FEW_BLOCKS or density >= 1 or expected == 0:
        return 1.0
    decile = math.floor(density / 0.1) - 1
    if size // block >= _FEW_BLOCKS[block][max(0, decile)]:
        return 1.0
    accesses = sum(math.ceil(k / block) * p for k, p in distribution if k >= 1)
    return accesses / (expected / block)


def _tile(
    space: DataSpace, box: tuple[int, ...], form: Format | None, ranks: list[TileRank], density: DensityModel,
    sent_if_any: bool, block: int,
) -> _Tile:  # fmt: skip
    """A tile's expected and largest contents.

    Args:
        sent_if_any: the level outside has metadata, so that empty tiles are never sent.
    """
    size = math.prod(box)
    distribution = density.distribution(box)
    present = 1.0
    if sent_if_any and density.least(box) == 0:
        first = distribution[0][1]  # the least that occurs, though that need not be 0 (as in the reference)
        present = 1.0 - first
        distribution = [(k, p / present) for k, p in distribution[1:]] if present > 0 else []
    expected = 0.0
    if form is None:
        for k, p in distribution:
            expected += p * k
        none = np.zeros((0, 2))
        return _Tile(None, ranks, size, expected, size, none, none, present, 1.0)
    order = form.inner_to_outer
    units = np.zeros((len(ranks), 2))
    for k, p in distribution:
        expected += p * k
        units += p * np.array(occupancy(ranks, box, k, density, order))
    most = density.most(box)
    held = np.ceil(np.array(occupancy(ranks, box, most, density, order)))
    packing = _packing(density.distribution(box), size, expected, block) if form.compressed else 1.0
    return _Tile(form, ranks, size, expected, most, units, held, present, packing)


class _Thinner:
    """One mapping's traffic while it is thinned; level 0 is innermost here, data spaces are as in the traffic."""

    def __init__(
        self, problem: Problem, architecture: Architecture, mapping: Mapping, energy: EnergyTable, traffic: Traffic
    ) -> None:
        self.problem = problem
        self.storages = [x if isinstance(x, Storage) else None for x in reversed(architecture.levels)]
        self.levels = [None if x is None else architecture.sparsity.level(x.name) for x in self.storages]
        self.compute = architecture.sparsity.compute
        self.energy = energy
        self.tiles = Tiles(problem, architecture, mapping)
        self.dense = traffic.actual[::-1]
        self.actual = self.dense.copy()
        self.gated, self.skipped = np.zeros(self.dense.shape), np.zeros(self.dense.shape)
        self.traffic = traffic
        self.index = {x.name: d for d, x in enumerate(problem.data_spaces)}
        densities = dict(problem.densities)
        self.models = {
            x.name: model(densities.get(x.name, Density()), self.tiles.box(x, problem.sizes), x.name)
            for x in problem.data_spaces
        }
        self.held: dict[tuple[int, str], _Tile] = {}
        self.metadata: dict[tuple[int, str], Metadata] = {}

    def run(self) -> Traffic:
        """The thinned traffic."""
        for space in self.problem.data_spaces:
            self._formats(space)
        found = entries(
            self.tiles, self.models, self.levels, [1 if x is None else x.block_size for x in self.storages], self._worth
        )
        savings = {
            space.name: self._spread(space, {k: e for (k, name), e in found.items() if name == space.name})
            for space in self.problem.data_spaces
        }
        self._reductions()
        return self._traffic(savings)

    def _formats(self, space: DataSpace) -> None:
        """Tiles of a data space at every level that keeps it, and what formats alone change, innermost first."""
        inner: list[TileRank] | None = None
        d = self.index[space.name]
        for k, level in enumerate(self.levels):
            if level is None or space.name not in self.tiles.keep[k]:
                continue
            form = level.format(space.name)
            try:
                inner = tile_ranks(self.tiles, space, k, form, inner)
            except TooFewRanks as error:
                storage = self.storages[k]
                assert storage is not None
                raise TooFewRanks(replace(error.fault, level=storage.name)) from error
            box = self.tiles.tile(space, k)
            storage = self.storages[k]
            assert storage is not None
            outer = self.tiles.parent(space.name, k)
            sent = outer is not None and self._form(outer, space.name) is not None
            tile = _tile(space, box, form, inner, self.models[space.name], sent, storage.block_size)
            self.held[k, space.name] = tile
            if form is not None:
                self._write(k, d, space, tile)

    def _form(self, level: int, name: str) -> Format | None:
        """How a level writes a data space; None where plainly."""
        found = self.levels[level]
        return None if found is None else found.format(name)

    def _write(self, k: int, d: int, space: DataSpace, tile: _Tile) -> None:
        """Counts of a level that has metadata, before anything is saved."""
        row = self.actual[k, d]
        row[CAPACITY] = tile.most
        moved = np.zeros((3, len(tile.ranks), 2))
        for m, column in enumerate(_MOVES):
            moved[m] = np.ceil(tile.units * (row[column] / tile.size))
            row[column] -= math.floor(row[column] * (1.0 - tile.density))
        bits = np.array([(r.rank.metadata_bits, r.rank.payload_bits) for r in tile.ranks if r.rank], float)
        nothing = np.zeros(moved.shape)
        self.metadata[k, space.name] = Metadata(bits, tile.held, moved, nothing, nothing.copy())

    def _worth(self, name: str, level: int) -> float:
        """What reading a data space's tile from a level costs, data and metadata."""
        storage, sparse = self.storages[level], self.levels[level]
        assert storage is not None and sparse is not None
        child = self.tiles.child(name, level)
        sent = self.held[level if child is None else child, name]
        metadata = float(sent.units.sum()) * (sparse.metadata_datawidth // storage.datawidth)
        words = self.held[level, name].expected + metadata
        return self.energy.price(storage.name, "read") / storage.block_size * words

    def _spread(self, space: DataSpace, own: dict[int, Entry]) -> float | None:
        """Take what is saved off a data space's counts, outermost first.

        Returns:
            The share of computes that the innermost entry spares; None where there is none, or for a result.
        """
        d, previous = self.index[space.name], 0.0
        for level in sorted(own, reverse=True):
            p = own[level].p
            self._own(level, d, space, own[level].kind, _rest(p, previous))
            form = self._form(level, space.name)
            for k in range(level - 1, -1, -1):
                if space.name not in self.tiles.keep[k]:
                    continue
                self._cut(k, d, space, p, lowest=form is not None and len(form.ranks) == 1)
                if k in own:
                    self._forget(k, space)
                    break
            previous = p
        return None if space.read_write or not own else own[min(own)].p

    def _cut(self, k: int, d: int, space: DataSpace, p: float, *, lowest: bool) -> None:
        """What a level further out leaves out never comes here."""
        row = self.actual[k, d]
        for column in _MOVES:
            row[column] -= math.floor(row[column] * p)
        metadata = self.metadata.get((k, space.name))
        if metadata is not None and lowest:
            for m in (0, 1):
                metadata.actual[m, 0] -= np.floor(metadata.actual[m, 0] * p)

    def _forget(self, k: int, space: DataSpace) -> None:
        """The reference reads a format as often as it is updated, where a level further out saves, too."""
        metadata = self.metadata.get((k, space.name))
        if metadata is not None:
            metadata.actual[0] = metadata.actual[2]

    def _own(self, k: int, d: int, space: DataSpace, kind: str, p: float) -> None:
        """A level's own saving."""
        saved = self.gated if kind == "gating" else self.skipped
        row = self.actual[k, d]
        rounded = math.ceil if space.read_write else math.floor
        for column, spared in ((READS, rounded(row[READS] * p)), (UPDATES, math.floor(row[UPDATES] * p))):
            saved[k, d, column] += spared
            row[column] -= spared
        metadata = self.metadata.get((k, space.name))
        if metadata is None:
            return
        child = self.tiles.child(space.name, k)
        ranks = len(metadata.bits)
        if child is not None:
            form = self._form(child, space.name)
            ranks = min(ranks, 0 if form is None else len(form.ranks))
        table = metadata.gated if kind == "gating" else metadata.skipped
        for m in (0, 2):
            spared_units = np.floor(metadata.actual[m, :ranks] * p)
            table[m, :ranks] += spared_units
            metadata.actual[m, :ranks] -= spared_units

    def _reductions(self) -> None:
        for space in self.problem.data_spaces:
            if space.read_write:
                d = self.index[space.name]
                for row, dense in zip(self.actual[:, d], self.dense[:, d], strict=True):
                    if dense[UPDATES] > 0:
                        row[REDUCTIONS] = math.ceil(row[REDUCTIONS] * row[UPDATES] / dense[UPDATES])

    def _traffic(self, savings: dict[str, float | None]) -> Traffic:
        levels, names = len(self.levels), self.traffic.data_spaces
        average = np.ones((levels, len(names))) * np.array(self.traffic.instances[:-1][::-1], float)[:, None]
        packing = np.ones((levels, len(names)))
        decompressed, compressed = np.zeros((levels, len(names))), np.zeros((levels, len(names)))
        for (k, name), tile in self.held.items():
            d = self.index[name]
            average[k, d] *= tile.present
            packing[k, d] = tile.packing
            outer = self.tiles.parent(name, k)
            if outer is None:
                continue
            above = self._form(outer, name)
            if above is not None and above.compressed and not (tile.form is not None and tile.form.compressed):
                decompressed[k, d] = self.actual[k, d, FILLS]
                compressed[k, d] = self.actual[outer, d, UPDATES]
        computes = self._computes(savings)
        cycles = max(1, math.ceil((computes.actual + computes.gated) / self.traffic.instances[-1]))
        thinning = Thinning(
            dense=self.traffic.actual,
            average=average[::-1],
            packing=packing[::-1],
            decompressed=decompressed[::-1],
            compressed=compressed[::-1],
            metadata={(levels - 1 - k, self.index[n]): x for (k, n), x in self.metadata.items()},
        )
        return replace(
            self.traffic,
            cycles=cycles,
            computes=computes,
            actual=np.ascontiguousarray(self.actual[::-1]),
            gated=np.ascontiguousarray(self.gated[::-1]),
            skipped=np.ascontiguousarray(self.skipped[::-1]),
            thinning=thinning,
        )

    def _computes(self, savings: dict[str, float | None]) -> Computes:
        """What becomes of the multiplications, by independent zeros of the two operands."""
        total = float(self.problem.macs)
        inputs = [x.name for x in self.problem.data_spaces if not x.read_write]
        saved = {}
        for name in inputs:
            share = savings[name]
            if share is not None:
                total -= math.floor(total * share)
                saved[name] = _rounded(share)
        one, two = inputs
        states_one = self._states(one, _given(self.models[one].mean, saved.get(two)))
        states_two = self._states(two, _given(self.models[two].mean, saved.get(one)))
        times = {"actual": 0.0, "gated": 0.0, "skipped": 0.0, "gone": 0.0}
        for x, y in _PAIRS:
            chance = states_one[x] * states_two[y]
            if x != y:
                chance += states_one[y] * states_two[x]
            times[self._fate(x, y)] += total * chance
        gated, skipped, gone = (math.floor(times[x]) for x in ("gated", "skipped", "gone"))
        return Computes(total - gated - skipped - gone, gated, skipped)

    def _states(self, name: str, nonzero: float) -> dict[str, float]:
        """Probabilities of an operand: nonzero, a zero that is there, or a zero that is not stored."""
        innermost = next(k for k in range(len(self.levels)) if name in self.tiles.keep[k])
        zero, other = ("zero", "absent") if self._form(innermost, name) is None else ("absent", "zero")
        return {"nonzero": nonzero, zero: 1.0 - nonzero, other: 0.0}

    def _fate(self, x: str, y: str) -> str:
        """What becomes of a multiplication."""
        if x == y == "nonzero":
            return "actual"
        if x == y == "absent":
            return "gone"
        idle = "gated" if "gating" in self.compute else "actual"
        if "absent" in (x, y):
            return "skipped" if "skipping" in self.compute else idle
        return idle


def _rounded(share: float) -> float:
    """To a millionth, as the reference does before it multiplies."""
    return math.floor(share * 1e6 + 0.5) / 1e6


def _given(density: float, saved: float | None) -> float:
    """Density of an operand among the computes that are left; of those that meet its zeros some are saved (or None)."""
    if saved is None:
        return _rounded(density)
    return min(1.0, max(0.0, _rounded(density) / (1.0 - saved))) if saved < 1 else 1.0


def _rest(p: float, previous: float) -> float:
    """What a level saves of what a level further out, which saves ``previous``, lets through."""
    return 1.0 - (1.0 - p) / (1.0 - previous) if previous < 1 else 0.0


def thin(
    problem: Problem, architecture: Architecture, mapping: Mapping, energy: EnergyTable, traffic: Traffic
) -> Traffic | Illegal:
    """What zeros and formats leave of dense traffic.

    Returns:
        The traffic, or why the mapping is illegal: it has more loops than a format has ranks.

    Raises:
        HwsimError: the problem does not have two operands, or a density does not suit its tensor.
    """
    inputs = [x.name for x in problem.data_spaces if not x.read_write]
    if len(inputs) != OPERANDS:
        raise HwsimError(
            f"sparsity is modelled for products of two operands; this problem reads {len(inputs)}: {', '.join(inputs)}."
        )
    try:
        return _Thinner(problem, architecture, mapping, energy, traffic).run()
    except TooFewRanks as error:
        return error.fault
