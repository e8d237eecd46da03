"""`Mapping`: how a problem's loops are laid over an architecture's levels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loop:
    """One loop of the nest: ``for dim in [0, bound)``; ``axis`` is ``""`` (time), ``"X"`` or ``"Y"``."""

    dim: str
    bound: int
    axis: str = ""


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

    def level(self, name: str) -> LevelMapping:
        """The mapping of one level; KeyError if there is none."""
        for level in self.levels:
            if level.level == name:
                return level
        raise KeyError(name)
