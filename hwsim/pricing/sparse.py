"""Prices of what a design with sparse optimizations does besides: accesses that are gated, metadata, compression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hwsim.architecture import Architecture, Storage
from hwsim.energy import Action, EnergyTable
from hwsim.spec.ert import SPARSE_COMPUTE_ACTIONS, SPARSE_STORAGE_ACTIONS, STORAGE_ACTIONS

#: Actions of the metadata's memory and those of a memory of data that they are priced as.
_METADATA = {"metadata_read": "read", "metadata_write": "write", "metadata_update": "update"}
Priced = Callable[[str, Mapping[str, Any], Mapping[str, tuple[str, ...]], str], tuple[dict[str, Action], str]]
"""Class, attributes, wanted actions by their names, and place → prices, and what is lacking."""


def sparse_prices(table: EnergyTable, architecture: Architecture, priced: Priced) -> EnergyTable:
    """The table with the sparse actions that classes price, and the metadata's memory as one of the same class.

    That memory has ``metadata_storage_depth`` rows of ``metadata_storage_width`` bits.
    """
    if not architecture.sparsity:
        return table
    actions = dict(table.actions)
    source = architecture.source or architecture.name
    for level in architecture.storages:
        if level.name in actions:
            found, _ = priced(level.component, level.attributes, SPARSE_STORAGE_ACTIONS, f"{source}: {level.name}")
            actions[level.name] = {**_metadata(level, architecture, priced, source), **found, **actions[level.name]}
    compute = architecture.compute
    if compute.name in actions:
        found, _ = priced(compute.component, compute.attributes, SPARSE_COMPUTE_ACTIONS, f"{source}: {compute.name}")
        actions[compute.name] = {**found, **actions[compute.name]}
    return replace(table, actions=actions)


def _metadata(level: Storage, architecture: Architecture, priced: Priced, source: str) -> dict[str, Action]:
    """Prices of a memory for the metadata; none where there is none."""
    sparse = architecture.sparsity.level(level.name)
    if not sparse.formats:
        return {}
    size = {"width": sparse.metadata_width, "depth": sparse.metadata_depth or level.depth}
    attributes = {**level.attributes, **{name: value for name, value in size.items() if value is not None}}
    wanted = {name: STORAGE_ACTIONS[name] for name in _METADATA.values()}
    found, _ = priced(level.component, attributes, wanted, f"{source}: {level.name}: metadata")
    return {action: found[name] for action, name in _METADATA.items() if name in found}
