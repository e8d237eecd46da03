"""Energy reference tables (ERT) as Accelergy writes them."""

from __future__ import annotations

import re

from hwsim.architecture import Architecture
from hwsim.energy import MAX_PRICE, Action, EnergyTable
from hwsim.errors import did_you_mean
from hwsim.spec.document import Field, describe

#: hwsim's action → the names that tables give it, the first one found being meant.
STORAGE_ACTIONS = {
    "read": ("random_read", "read"),
    "write": ("random_fill", "random_write", "fill", "write"),
    "update": ("random_update", "random_write", "update", "write"),
    "leak": ("leak", "idle"),
}
COMPUTE_ACTIONS = {
    "compute": ("mac_random", "mult_random", "mac", "mult", "compute"),
    "leak": ("leak", "idle"),
}
MAX_NAME = 1_000
_RANGE = re.compile(r"\[[^\]]*\]")


def read_ert(field: Field, architecture: Architecture) -> EnergyTable:
    """Prices of an architecture's components from ``{version, tables: [{name, actions}]}``.

    A table's name ends in the component's (``system.PE[0..255].pe_spad``). Where an action is given for
    several arguments, the most expensive one counts, as in Timeloop.

    Raises:
        HwsimError: a component without a table, an action without a price, a price that is no number.
    """
    field.only({"version", "tables", "source"}, "ERT")
    tables = {_component(item): item for item in field.need("tables").items()}
    source = field.key("source").text() if field.has("source") else f"ERT of {field.file}"
    actions: dict[str, dict[str, Action]] = {}
    compute = architecture.compute.name
    for name in [x.name for x in architecture.storages] + [compute]:
        if name not in tables:
            field.key("tables").fail(f"component '{name}' has no table.{did_you_mean(name, tables)}")
        names = COMPUTE_ACTIONS if name == compute else STORAGE_ACTIONS
        actions[name] = _actions(tables[name], names, source, compute=name == compute)
    return EnergyTable(actions, {}, field.where)


def _component(item: Field) -> str:
    return _RANGE.sub("", item.need("name").text()[-MAX_NAME:]).split(".")[-1].strip()


def _actions(item: Field, names: dict[str, tuple[str, ...]], source: str, *, compute: bool) -> dict[str, Action]:
    found: dict[str, float] = {}
    for action in item.need("actions").items():
        value = action.need("energy").plain
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_PRICE:
            action.key("energy").fail(f"expected an energy in pJ, 0 to {MAX_PRICE:g}, found {describe(value)}.")
        name = action.need("name").text()
        found[name] = max(found.get(name, 0.0), float(value))
    out: dict[str, Action] = {}
    for action_name, aliases in names.items():
        given = next((alias for alias in aliases if alias in found), None)
        if given is not None:
            out[action_name] = Action(found[given], "ERT", source)
        elif not (compute and action_name == "leak"):  # idle datapaths leak nothing in Timeloop either
            near = f"; it may be called {' or '.join(aliases)}" if len(aliases) > 1 else ""
            item.key("actions").fail(
                f"action '{action_name}' has no price{near}. Present: {', '.join(found) or 'none'}."
            )
    return out
