"""What a mapping is chosen for: a figure that decides, and figures that break ties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hwsim.errors import HwsimError, did_you_mean

if TYPE_CHECKING:
    from hwsim.cost import LayerCost


@dataclass(frozen=True)
class Figure:
    """A figure of a mapping; less is better.

    Attributes:
        tie: the figure that breaks ties unless the user names one (``""``: none does).
    """

    name: str
    unit: str
    of: Callable[[LayerCost], float]
    tie: str = ""


FIGURES = {
    x.name: x
    for x in (
        Figure("edp", "pJ·cycles", lambda cost: cost.edp),
        Figure("energy", "pJ", lambda cost: cost.energy_pj, tie="latency"),
        Figure("latency", "cycles", lambda cost: float(cost.cycles), tie="energy"),
    )
}


@dataclass(frozen=True)
class Objective:
    """Figures in order: the first is minimised, each other one among the mappings that are equal in all before it.

    Equal means within a relative 10⁻⁹, as sums of energies are exact to some 10⁻¹⁴ only.
    """

    figures: tuple[Figure, ...]

    @classmethod
    def parse(cls, text: str | Objective) -> Objective:
        """An objective from its text: ``edp``, ``energy``, ``latency``, or several with commas; itself where it is one.

        ``latency`` means ``latency,energy``, and ``energy`` means ``energy,latency``.

        Raises:
            HwsimError: a figure that does not exist, or one twice.
        """
        if isinstance(text, Objective):
            return text
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in FIGURES:
                raise HwsimError(
                    f"'{name}' is no objective.{did_you_mean(name, FIGURES)} Several are separated by commas: the "
                    "first decides, the next breaks ties."
                )
            if names.count(name) > 1:
                raise HwsimError(f"the objective '{text}' names '{name}' twice.")
        if len(names) == 1 and FIGURES[names[0]].tie:
            names.append(FIGURES[names[0]].tie)
        return cls(tuple(FIGURES[name] for name in names))

    def __reduce__(self) -> tuple[Any, ...]:
        return Objective.parse, (str(self),)

    def __str__(self) -> str:
        """The shortest text that means this objective."""
        first = self.figures[0]
        if [x.name for x in self.figures] == [first.name, *([first.tie] if first.tie else [])]:
            return first.name
        return ",".join(x.name for x in self.figures)


EDP = Objective.parse("edp")
