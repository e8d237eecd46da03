"""`EnergyTable`: what every action of every component costs, with its source."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import HwsimError, did_you_mean


@dataclass(frozen=True)
class Action:
    """Price of one action.

    Attributes:
        energy_pj: per action (``leak``: per cycle and instance).
        estimator: what computed the figure (``ERT``, ``cacti``, ``aladdin`` …).
        source: where the figure comes from; says what is interpolated or scaled.
    """

    energy_pj: float
    estimator: str = ""
    source: str = ""


@dataclass(frozen=True)
class EnergyTable:
    """(component, action) → price. Actions: ``read``, ``write``, ``update``, ``leak``; ``compute`` for the datapath.

    Attributes:
        actions: component name (as in the architecture) → action → price.
        area_um2: component name → area of one instance, where known.
        name: where the table came from.
    """

    actions: dict[str, dict[str, Action]]
    area_um2: dict[str, float]
    name: str = ""

    def price(self, component: str, action: str) -> float:
        """Energy of one action in pJ; an action without a price is an error."""
        table = self.actions.get(component)
        if table is None:
            raise HwsimError(
                f"component '{component}' has no energy table.{did_you_mean(component, self.actions)}", where=self.name
            )
        if action not in table:
            raise HwsimError(
                f"action '{action}' of component '{component}' has no price.{did_you_mean(action, table)}",
                where=self.name,
            )
        return table[action].energy_pj
