"""What a mapping is chosen for: a figure that decides, and figures that break ties (`hwsim.figure` has them all)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwsim import figure
from hwsim.errors import HwsimError, did_you_mean
from hwsim.figure import Aim

#: What a search can minimise.
FIGURES: dict[str, Aim] = {
    x.aim.name: x.aim for x in map(figure.FIGURES.get, ("edp", "energy", "latency")) if x and x.aim
}


@dataclass(frozen=True)
class Objective:
    """Figures in order: the first is minimised, each other one among the mappings that are equal in all before it.

    Equal means within a relative 10⁻⁹, as sums of energies are exact to some 10⁻¹⁴ only.
    """

    figures: tuple[Aim, ...]

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
