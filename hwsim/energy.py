"""`EnergyTable`: what every action of every component costs, with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real

from hwsim.errors import HwsimError, did_you_mean

MAX_PRICE = 1e30
"""pJ of an action (or µm²) above which a price is taken for a fault: no product with a count may overflow."""


def checked_price(value: object, what: str) -> float:
    """A price or an area as a float.

    Raises:
        HwsimError: it is no number, negative, not finite, or above `MAX_PRICE`.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise HwsimError(f"{what} should be a number, found {type(value).__name__}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number <= MAX_PRICE:
        raise HwsimError(f"{what} is {number:g}; expected a number from 0 to {MAX_PRICE:g}.")
    return number


@dataclass(frozen=True)
class Action:
    """Price of one action.

    Attributes:
        energy_pj: per action (``leak``: per cycle and instance).
        estimator: what computed the figure (``ERT``, ``cacti``, ``aladdin`` …).
        source: where the figure comes from; says what is interpolated or scaled.

    Raises:
        HwsimError: the energy is no finite number of 0 or more.
    """

    energy_pj: float
    estimator: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "energy_pj", checked_price(self.energy_pj, "the energy of an action"))


@dataclass(frozen=True)
class EnergyTable:
    """(component, action) → price. Actions: ``read``, ``write``, ``update``, ``leak``; ``compute`` for the datapath.

    Attributes:
        actions: component name (as in the architecture) → action → price.
        area_um2: component name → area of one instance, where known.
        name: where the table came from.
        instead_of: the given table that these estimates stand in for, since it is that of the unchanged design; "" if
            there is none.
        unpriced: component name → why one or more of its actions have no price; those cost nothing in the totals, which
            whoever shows them says.

    Raises:
        HwsimError: a price is no `Action`, or an area no finite number of 0 or more.
    """

    actions: dict[str, dict[str, Action]]
    area_um2: dict[str, float]
    name: str = ""
    instead_of: str = ""
    unpriced: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for component, table in self.actions.items():
            for name, action in table.items():
                if not isinstance(action, Action):
                    raise HwsimError(
                        f"the price of action '{name}' of component '{component}' should be an Action, found "
                        f"{type(action).__name__}; Action(64.0) for example.",
                        where=self.name,
                    )
        for component, area in self.area_um2.items():
            checked_price(area, f"the area of component '{component}'")

    def price(self, component: str, action: str) -> float:
        """Energy of one action in pJ; one without a price is an error, or 0 where it is known to have none."""
        table = self.actions.get(component)
        if component in self.unpriced and action not in (table or ()):
            return 0.0
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

    def priced(self) -> EnergyTable:
        """The table itself, where nothing in it lacks a price.

        Raises:
            HwsimError: a component does.
        """
        for component, reason in self.unpriced.items():
            raise HwsimError(f"'{component}' has no price: {reason}", where=self.name)
        return self
