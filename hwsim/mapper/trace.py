"""From a complete label back to its mapping: how every level's labels were made is kept, from the datapath outwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.architecture import Fanout
from hwsim.kernel import IntArray
from hwsim.mapper.arrays import Space, digit
from hwsim.mapper.label import Records
from hwsim.mapper.space import MapSpace
from hwsim.mapping import LevelMapping, Loop, Mapping

AXES = ("", "X", "Y")


@dataclass
class Stage:
    """One level's finished labels with what is needed to read their loops back.

    ``origin`` is, per label, (pass, index in the pass); ``passes`` hold each pass's `Origin` records
    and, per base label of the pass, the label it continues at the previous stage.
    """

    keep: frozenset[str]
    bases: list[IntArray]
    passes: list[Records]
    origin: IntArray


@dataclass(frozen=True)
class Last:
    """A complete mapping, seen from the outermost storage.

    Attributes:
        label: the one inside its loops.
        order: of these loops (dimension indices, inner → outer).
        key: of the label.
        keep: what the outermost storage keeps.
    """

    label: int
    order: tuple[int, ...]
    key: int
    keep: frozenset[str]


def loops_of(made: Records, k: int, dims: Sequence[str]) -> tuple[list[Loop], int]:
    """The loops that label k has of its level, outer → inner, and the label that they were put around."""
    loops = []
    while made[k]["pred"] >= 0:
        row = made[k]
        loops.append(Loop(dims[row["dim"]], int(row["bound"]), AXES[row["axis"]]))
        k = int(row["pred"])
    return loops, k


def read_back(space: MapSpace, arrays: Space, stages: Sequence[Stage], last: Last) -> Mapping:
    """Read the loops of a finished label back, from the outermost level inwards."""
    levels, dims, keys, label = space.architecture.levels, space.dims, arrays.keys, last.label
    loops = [Loop(dims[d], int(keys.size[d] // keys.div[d, digit(arrays, last.key, d)])) for d in reversed(last.order)]
    out = [LevelMapping(levels[0].name, temporal=tuple(x for x in loops if x.bound > 1), keep=last.keep)]
    for level, stage in zip(levels[1:], reversed(stages), strict=True):
        q, k = stage.origin[label]
        loops, k = loops_of(stage.passes[q], int(k), dims)
        label = int(stage.bases[q][k])
        if isinstance(level, Fanout):
            out.append(LevelMapping(level.name, spatial=by_axis(level, loops, dims)))
        else:
            out.append(LevelMapping(level.name, temporal=tuple(loops), keep=stage.keep))
    return Mapping(tuple(out))


def by_axis(fanout: Fanout, loops: Sequence[Loop], dims: Sequence[str]) -> tuple[Loop, ...]:
    """Spatial loops outer → inner: Y outside X, along each axis as the permutation (or the problem) lists them."""
    named = list(fanout.constraints.spatial.permutation)
    rank = {d: k for k, d in enumerate([*named, *(d for d in dims if d not in named)])}
    inner_first = sorted(loops, key=lambda x: (x.axis, rank[x.dim]))
    return tuple(reversed(inner_first))
