"""Energy reference tables (ERT) as Accelergy writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from hwsim.architecture import Architecture
from hwsim.energy import MAX_PRICE, Action, EnergyTable, checked_price
from hwsim.errors import did_you_mean
from hwsim.spec.document import Field, describe

#: hwsim's action → the names that tables and classes give it, the first one found being meant: Timeloop's, and
#: ``access``, the only action of a component that makes no difference between them.
STORAGE_ACTIONS = {
    "read": ("random_read", "read", "access"),
    "write": ("random_fill", "random_write", "fill", "write", "access"),
    "update": ("random_update", "random_write", "update", "write", "access"),
    "leak": ("leak", "idle"),
}
COMPUTE_ACTIONS = {
    "compute": ("mac_random", "mult_random", "mac", "mult", "compute", "access"),
    "leak": ("leak", "idle"),
}
#: What a design with sparse optimizations does besides; Timeloop takes what a table does not price to cost nothing.
SPARSE_STORAGE_ACTIONS = {
    "gated_read": ("gated_read",),
    "skipped_read": ("skipped_read", "gated_read"),
    "gated_update": ("gated_update", "gated_write"),
    "skipped_update": ("skipped_update", "skipped_write", "gated_update", "gated_write"),
    "metadata_read": ("metadata_read",),
    "metadata_write": ("metadata_fill", "metadata_write"),
    "metadata_update": ("metadata_update", "metadata_write"),
    "gated_metadata_read": ("gated_metadata_read",),
    "skipped_metadata_read": ("skipped_metadata_read", "gated_metadata_read"),
    "gated_metadata_update": ("gated_metadata_update", "gated_metadata_write"),
    "skipped_metadata_update": (
        "skipped_metadata_update", "skipped_metadata_write", "gated_metadata_update", "gated_metadata_write",
    ),
    "decompression_count": ("decompression_count",),
    "compression_count": ("compression_count",),
}  # fmt: skip
SPARSE_COMPUTE_ACTIONS = {
    "gated_compute": ("compute_gated", "gated_compute", *COMPUTE_ACTIONS["compute"]),
    "skipped_compute": (
        "compute_skipped", "skipped_compute", "compute_gated", "gated_compute", *COMPUTE_ACTIONS["compute"],
    ),
}  # fmt: skip
MAX_NAME = 1_000
#: The class of storages that Timeloop's front end puts where a fan-out is; they hold nothing.
DUMMY = "dummy_storage"
_RANGE = re.compile(r"\[[^\]]*\]")


def read_ert(field: Field, architecture: Architecture) -> EnergyTable:
    """Prices of an architecture's components from ``{version, tables: [{name, actions}]}``.

    A table's name ends in the component's (``system.PE[0..255].pe_spad``). Where an action is given for
    several arguments, the most expensive one counts, as in Timeloop; a missing update costs a write, a missing
    leakage nothing.

    Raises:
        HwsimError: a price that is no number. A component without a table, or an action without a price, is unpriced.
    """
    field.only({"version", "tables", "source"}, "ERT")
    tables = {_component(item): item for item in field.need("tables").items()}
    source = field.key("source").text() if field.has("source") else f"ERT of {field.file}"
    actions: dict[str, dict[str, Action]] = {}
    unpriced: dict[str, str] = {}
    compute = architecture.compute.name
    for name, kind in [(x.name, x.component) for x in architecture.storages] + [(compute, "")]:
        if name not in tables and kind == DUMMY:
            actions[name] = {action: Action(0.0, "", "marks a place, and does nothing") for action in STORAGE_ACTIONS}
            continue
        if name not in tables:
            where = field.key("tables").where
            unpriced[name] = f"{where}: component '{name}' has no table.{did_you_mean(name, tables)}"
            continue
        names = COMPUTE_ACTIONS if name == compute else STORAGE_ACTIONS
        if architecture.sparsity:
            names = {**names, **(SPARSE_COMPUTE_ACTIONS if name == compute else SPARSE_STORAGE_ACTIONS)}
        actions[name], lacking = _actions(tables[name], names, source, compute=name == compute)
        if lacking:
            unpriced[name] = lacking
    return own_prices(EnergyTable(actions, {}, field.where, unpriced=unpriced), architecture)


def own_prices(table: EnergyTable, architecture: Architecture) -> EnergyTable:
    """The table with what the architecture itself says of its storages' prices: it comes first, as in Timeloop.

    ``vector_access_energy`` is the energy of an access, a read or a write of ``block_size`` words.
    """
    actions, unpriced = dict(table.actions), dict(table.unpriced)
    for level in architecture.storages:
        given = level.attributes.get("vector_access_energy", level.attributes.get("vector-access-energy"))
        if given is None:
            continue
        source = f"vector_access_energy in {architecture.source or architecture.name}"
        price = Action(checked_price(given, f"'vector_access_energy' of '{level.name}'"), "architecture", source)
        leak = actions.get(level.name, {}).get("leak", Action(0.0, "architecture", source))
        actions[level.name] = {"read": price, "write": price, "update": price, "leak": leak}
        unpriced.pop(level.name, None)
    if architecture.sparsity:
        actions = {name: _completed(table.name, prices) for name, prices in actions.items()}
    return replace(table, actions=actions, unpriced=unpriced)


def _completed(source: str, prices: Mapping[str, Action]) -> dict[str, Action]:
    """Prices with those that a sparse design needs besides: what is not priced costs nothing, as in Timeloop.

    A multiplication that is gated or skipped then costs what any does.
    """
    if "compute" in prices:
        return {name: prices["compute"] for name in SPARSE_COMPUTE_ACTIONS} | dict(prices)
    nothing = {
        name: Action(0.0, "", f"{source}: no {' or '.join(names)} given, 0 as in Timeloop")
        for name, names in SPARSE_STORAGE_ACTIONS.items()
    }
    return nothing | dict(prices)


def _component(item: Field) -> str:
    return _RANGE.sub("", item.need("name").text()[-MAX_NAME:]).split(".")[-1].strip()


def _actions(
    item: Field, names: Mapping[str, tuple[str, ...]], source: str, *, compute: bool
) -> tuple[dict[str, Action], str]:
    """Prices by hwsim's actions, and what is lacking."""
    found: dict[str, float] = {}
    for action in item.need("actions").items():
        value = action.need("energy").plain
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_PRICE:
            action.key("energy").fail(f"expected an energy in pJ, 0 to {MAX_PRICE:g}, found {describe(value)}.")
        name = action.need("name").text()
        found[name] = max(found.get(name, 0.0), float(value))
    out: dict[str, Action] = {}
    lacking = ""
    for action_name, aliases in names.items():
        given = next((alias for alias in aliases if alias in found), None)
        if given is not None:
            out[action_name] = Action(found[given], "ERT", source)
        elif action_name == "leak":  # Timeloop's rule; idle datapaths leak nothing there either
            if not compute:
                out[action_name] = Action(0.0, "ERT", f"{source}: no leakage given")
        elif action_name in SPARSE_STORAGE_ACTIONS:
            continue  # `_completed` says what it costs
        else:
            near = f"; it may be called {' or '.join(aliases)}" if len(aliases) > 1 else ""
            present = f"Present: {', '.join(found) or 'none'}."
            lacking = lacking or f"{item.key('actions').where}: action '{action_name}' has no price{near}. {present}"
    return out, lacking
