"""`Mapping`: how a problem's loops are laid over an architecture's levels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Loop:
    """One loop of the nest: ``for dim in [0, bound)``; ``axis`` is ``""`` (time), ``"X"`` or ``"Y"``.

    Where all loops over the same dimension outside it are in their last iteration, it runs ``residual`` times instead
    (0, the default: ``bound`` times there, too). A dimension of 7 over 3 lanes is ``Loop("C", 3)`` around
    ``Loop("C", 3, "X", 1)``: three rounds, in the last of which one lane works.
    """

    dim: str
    bound: int
    axis: str = ""
    residual: int = 0

    def __post_init__(self) -> None:
        if not self.residual:
            object.__setattr__(self, "residual", self.bound)

    @property
    def factor(self) -> str:
        """As mapping files write it: ``3``, or ``3,1`` with a residual."""
        return str(self.bound) if self.residual == self.bound else f"{self.bound},{self.residual}"


def covered(loops: Iterable[Loop]) -> int:
    """Iterations of a dimension that its loops, outer → inner, run through: the last index and 1."""
    last = 0
    for loop in loops:
        last = last * loop.bound + loop.residual - 1
    return last + 1


@dataclass(frozen=True)
class LevelMapping:
    """The loops of one level, outer → inner: first the temporal ones, then the spatial ones below it.

    Attributes:
        level: name of the storage or fan-out.
        temporal: loops with bound > 1, outer → inner. Only storages have them in
            mappings that hwsim makes; Timeloop files may give a fan-out some too.
        spatial: loops with bound > 1 along X or Y, outer → inner (Y loops outside X loops).
        keep: data spaces that the storage keeps; always empty for a fan-out.
    """

    level: str
    temporal: tuple[Loop, ...] = ()
    spatial: tuple[Loop, ...] = ()
    keep: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Mapping:
    """One LevelMapping per level of the architecture, outermost first."""

    levels: tuple[LevelMapping, ...]

    def over(self, dim: str) -> list[Loop]:
        """The loops over one dimension, outer → inner."""
        return [x for level in self.levels for x in (*level.temporal, *level.spatial) if x.dim == dim]

    @property
    def has_remainders(self) -> bool:
        """Whether some loop has a last round that is not full."""
        return any(x.residual != x.bound for level in self.levels for x in (*level.temporal, *level.spatial))

    def level(self, name: str) -> LevelMapping:
        """The mapping of one level; KeyError if there is none."""
        for level in self.levels:
            if level.level == name:
                return level
        raise KeyError(name)


def factors_fault(dim: str, size: int, mapping: Mapping) -> str:
    """What is wrong with the factors of a dimension of this size, ``""`` if nothing.

    Without residuals they multiply to the size; with them the last index that they reach is its last one, and the
    outermost loop, which has but one last round, is full.
    """
    loops = [x for x in mapping.over(dim) if x.bound != 1]
    text = " × ".join(x.factor for x in loops) or "1"
    reached = covered(loops)
    said = f"the factors of dimension {dim}"
    if all(x.residual == x.bound for x in loops):
        return "" if reached == size else f"{said} multiply to {text} = {reached}, but {dim} is {size}"
    if reached != size:
        rule = "a factor B,R runs B times, and R times in the last round of all loops outside"
        return f"{said}, {text}, run through {reached} iterations, but {dim} is {size} ({rule})"
    if loops[0].residual != loops[0].bound:
        outer = f"the outermost loop over {dim} has one round only"
        return f"{outer}, and {loops[0].factor} cuts it short: its factor is {loops[0].residual}"
    return ""
