"""Recomputes the examples of ``docs/departures.md``: Timeloop's rules against set arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwsim.architecture import Architecture, Compute, Fanout, Level, Storage
from hwsim.mapping import LevelMapping, Loop, Mapping
from hwsim.workloads.problem import DataSpace, Problem, conv, matmul
from tests.witness.exact_counter import Exact, exact_counts
from tests.witness.walker import walk

DOCUMENT = Path(__file__).parent.parent / "docs" / "departures.md"


def _storage(name: str) -> Storage:
    return Storage(name, "SRAM", None, 8, 8, 1)


@dataclass(frozen=True)
class Example:
    """Inputs between DRAM and a buffer, maybe over a mesh; loops are written ``P2 R3``, outer → inner."""

    problem: Problem
    dram: str = ""
    mesh: tuple[int, int] | None = None
    across: str = ""
    buffer: str = ""
    levels: tuple[str, ...] = ("DRAM", "PE", "Buffer")
    figure: str = "reads"
    exact: str = "reads"

    def timeloop(self) -> int:
        """What the walker counts, by Timeloop's rules."""
        counts = walk(self.problem, self._architecture(), self._mapping())
        keeper = "Buffer" if self.figure in ("fills", "tile") or self.levels[-1] == "PE" else "DRAM"
        figure = getattr(counts[keeper]["Inputs"], self.figure)
        assert isinstance(figure, int)
        return figure

    def true(self) -> int:
        """What set arithmetic counts."""
        inputs = next(s for s in self.problem.data_spaces if s.name == "Inputs")
        counted: Exact = exact_counts(self.problem, self._mapping(), inputs, self._server())
        figure = getattr(counted, self.exact)
        assert isinstance(figure, int)
        return figure

    def _server(self) -> str:
        return "PE" if self.mesh else "DRAM"

    def _names(self) -> list[str]:
        return [name for name in self.levels if name != "PE" or self.mesh]

    def _architecture(self) -> Architecture:
        levels: list[Level] = [
            Fanout(name, *self.mesh) if name == "PE" and self.mesh else _storage(name) for name in self._names()
        ]
        return Architecture("example", tuple(levels), Compute("mac", "intmac"))

    def _mapping(self) -> Mapping:
        temporal = {"DRAM": self.dram, "Buffer": self.buffer}
        return Mapping(
            tuple(
                LevelMapping(
                    name,
                    tuple(Loop(d, int(b)) for d, b in re.findall(r"([A-Z])(\d+)", temporal.get(name, ""))),
                    tuple(Loop(d, int(b), a) for a, d, b in re.findall(r"([XY])([A-Z])(\d+)", self.across))
                    if name == "PE"
                    else (),
                    frozenset() if name == "PE" else frozenset({"Weights", "Inputs", "Outputs"}),
                )
                for name in self._names()
            )
        )


def _diagonal() -> Problem:
    """Inputs[A + I, B + I]: one loop moves the tile along both ranks."""
    one = tuple(((1, dim),) for dim in "ABI")
    inputs = DataSpace("Inputs", (((1, "A"), (1, "I")), ((1, "B"), (1, "I"))))
    spaces = (DataSpace("Weights", one), inputs, DataSpace("Outputs", one, read_write=True))
    return Problem("custom", (("A", 2), ("B", 2), ("I", 2)), spaces)


EXAMPLES = {
    "hull": Example(conv({"P": 2}, wstride=2), buffer="P2"),
    "stride": Example(conv({"M": 2, "R": 2, "P": 2}), dram="M2 R2", buffer="P2"),
    "extrapolation": Example(conv({"P": 2, "R": 3}), dram="P2 R3"),
    "overlap": Example(conv({"P": 2, "R": 2}), mesh=(2, 1), across="XP2", buffer="R2"),
    "numbering": Example(conv({"P": 3, "R": 2}), dram="R2", mesh=(2, 3), across="YP3", exact="reads_with_links"),
    "whole-parts": Example(
        conv({"P": 4, "R": 2}), dram="R2", mesh=(2, 1), across="XP2", buffer="P2", exact="reads_with_links"
    ),
    "datapath-links": Example(
        matmul({"M": 4}), mesh=(2, 1), across="XM2", buffer="M2", levels=("DRAM", "Buffer", "PE")
    ),
    "partition": Example(conv({"P": 2, "R": 2}), dram="R2", mesh=(2, 1), across="XP2", figure="tile", exact="touched"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str) -> None:
    example = EXAMPLES[name]
    documented = re.search(rf"^\| `{name}` \|.*\| (\d+) \| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert documented, f"docs/departures.md has no row for {name}"
    assert (example.timeloop(), example.true()) == tuple(map(int, documented.groups()))
    assert example.timeloop() != example.true()


def test_a_move_along_two_ranks_is_counted_exactly() -> None:
    """A tile of 2×2 moves by (1, 1): one corner stays, three words are new."""
    example = Example(_diagonal(), dram="I2", buffer="A2 B2")
    assert (example.timeloop(), example.true()) == (7, 7)


def test_every_documented_example_is_recomputed() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)) == set(EXAMPLES)


def test_links_agree_where_the_mesh_is_mapped_in_full() -> None:
    """The numbering departs only where a mesh is wider than what is mapped on it."""
    narrow = Example(conv({"P": 3, "R": 2}), dram="R2", mesh=(1, 3), across="YP3", exact="reads_with_links")
    assert narrow.timeloop() == narrow.true() == 4


def test_sets_and_rules_agree_on_a_plain_sliding_window() -> None:
    """Stride 1, one rank, one loop: 2 elements, then one new one a step."""
    plain = Example(conv({"P": 4, "R": 2}), dram="P4", buffer="R2")
    assert plain.timeloop() == plain.true() == 5
