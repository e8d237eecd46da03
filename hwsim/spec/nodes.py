"""What the two forms of architecture files share: attributes → storages and compute."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwsim.architecture import Compute, Constraints, Fanout, Level, Storage
from hwsim.errors import HwsimError, NotPriced, did_you_mean
from hwsim.spec.document import Field, describe
from hwsim.spec.notes import note
from hwsim.spec.scope import Scope

#: Classes that make a component a memory or the datapath (a class may continue: ``smartbuffer_SRAM``).
STORAGE_CLASSES = ("DRAM", "SRAM", "regfile", "smartbuffer", "storage", "buffer", "register")
NETWORK_CLASSES = ("XY_NoC", "Legacy", "ReductionTree", "SimpleMulticast")
COMPUTE_CLASSES = ("mac", "intmac", "fpmac", "compute", "multiplier")

#: Names of the same attribute: hwsim's first, then those that files in the field use.
ALIASES = {
    "depth": ("depth", "memory_depth", "data_storage_depth"),
    "width": ("width", "memory_width", "data_storage_width"),
    "datawidth": ("datawidth", "word_bits", "word_width", "word-bits"),
    "block_size": ("block_size", "block-size", "n_words"),
    "cluster_size": ("cluster_size", "cluster-size"),
    "read_bandwidth": ("read_bandwidth", "read-bandwidth"),
    "write_bandwidth": ("write_bandwidth", "write-bandwidth"),
    "shared_bandwidth": ("shared_bandwidth", "rw_bandwidth"),
    "bandwidth": ("bandwidth",),
    "multiple_buffering": ("multiple_buffering", "multiple-buffering"),
    "network_fill_latency": ("network_fill_latency", "network-fill-latency"),
    "network_drain_latency": ("network_drain_latency", "network-drain-latency"),
    "min_utilization": ("min_utilization", "min-utilization"),
    "entries": ("entries",),
    "sizeKB": ("sizeKB",),
}
#: Attributes that mean something to a model of the field; a name close to one of them is taken for a slip.
KNOWN = {name for names in ALIASES.values() for name in names} | {
    "technology", "global_cycle_seconds",
    "type", "n_banks", "num_banks", "n_ports", "num_ports", "nports", "n_rdwr_ports",
    "n_rw_ports", "n_rd_ports", "n_wr_ports", "multiplier_width", "adder_width", "meshX", "meshY", "update_fifo_depth",
    "action_latency_cycles", "voltage", "instances", "metadata_storage_width", "metadata_storage_depth", "n_bits",
    "latency", "cycle_time", "clockrate", "network_read", "network_fill", "network_word_bits", "reduction_supported",
    "power_gated_at", "has_power_gating", "vector_access_energy", "energy_scale", "area_scale", "systolic",
}  # fmt: skip
DEFAULT_DATAWIDTH = 16  # Timeloop's
MAX_NODES = 100  # components and containers, each of which hands its attributes on
MAX_LEVELS = 32
MAX_ATTRIBUTES = 500
MAX_ATTRIBUTE = 2**53  # what a double holds exactly
LEAST_BANDWIDTH = 1e-6  # a word in a million cycles
CYCLE_SECONDS = (1e-15, 1.0)
MAX_SCALE = 1e6
#: Parts of Timeloop's language that hwsim does not model: refused rather than ignored, unless they say nothing.
UNMODELLED = {
    "per_dataspace_bandwidth_consumption_scale": "bandwidth that depends on the data space is not modelled",
    "allow_overbooking": "buffers that hold more than fits are not modelled",
    "networks": "networks between levels are not modelled",
}
#: What a component does about zeros; `hwsim.spec.sparsity` reads it.
SPARSE = ("sparse_optimizations", "sparse-optimizations")
#: What scales a component's prices, beside its class or among its attributes.
SCALES = ("energy_scale", "area_scale")


@dataclass(frozen=True)
class Unit:
    """A component of a design, whatever it is for: its name, class and evaluated attributes."""

    name: str
    kind: str
    attributes: Mapping[str, Any]


def is_storage(kind: str) -> bool:
    """True where a component class is a memory."""
    return any(name.lower() in kind.lower() for name in STORAGE_CLASSES)


def is_network(kind: str) -> bool:
    """True where a component class is a network between levels."""
    return any(name in kind for name in NETWORK_CLASSES)


def is_compute(kind: str) -> bool:
    """True where a component class computes."""
    return any(name in kind.lower() for name in COMPUTE_CLASSES)


def check_attributes(field: Field) -> None:
    """Refuse attributes that look like misspelt ones, and those that hwsim cannot honour.

    Others are the file's own: compound components and expressions may read them. A likeness is worth a note.
    """
    if len(field.mapping()) > MAX_ATTRIBUTES:
        field.fail(f"more than {MAX_ATTRIBUTES} attributes.")
    for name in field.mapping():
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.84)
        if name not in KNOWN and near and near[0] not in field.mapping():
            note(f"the model knows no attribute '{name}'. Did you mean '{near[0]}'?", field.where)
    refuse_unmodelled(field)


def refuse_unmodelled(field: Field) -> None:
    """Refuse keys that ask for what hwsim does not model.

    Raises:
        HwsimError: there is one.
    """
    for name, reason in UNMODELLED.items():
        value = field.key(name)
        if value.plain not in (None, False, [], {}):
            value.fail(f"{reason}; remove it to model the design without.")


def disabled(item: Field) -> bool:
    """Whether a component is switched off."""
    return item.key("enabled").plain in (False, "False", "false")


def unmodelled_unit(name: str, kind: str, item: Field) -> None:
    """Tell of a component that neither stores nor computes: a network, a decoder, a converter."""
    note(f"'{name}' of class '{kind}' neither stores nor computes; what it consumes is not counted.", item.where)


class Attributes:
    """Evaluated attributes of one node, read with checks."""

    def __init__(self, scope: Mapping[str, Any], own: Field, name: str) -> None:
        self.scope = scope
        self.own = own
        self.name = name

    def _found(self, name: str) -> tuple[Field, Any]:
        for alias in ALIASES[name]:
            if self.own.has(alias):
                return self.own.key(alias), self.scope[alias]
        for alias in ALIASES[name]:
            if alias in self.scope and self.scope[alias] is not None:
                return self.own.key(alias), self.scope[alias]
        return self.own.key(name), None

    def number(self, name: str, least: float) -> float | None:
        """A positive number, or None where the attribute is absent."""
        field, value = self._found(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            field.fail(f"'{name}' of '{self.name}' should be a number, found {describe(value)}.")
        if not value >= least:
            field.fail(f"'{name}' of '{self.name}' is {describe(value)}; expected at least {least:g}.")
        if value > MAX_ATTRIBUTE:
            field.fail(f"'{name}' of '{self.name}' is {describe(value)}; expected at most 2^53 = {MAX_ATTRIBUTE:,}.")
        return float(value)

    def integer(self, name: str, least: int = 1) -> int | None:
        """A whole number of at least ``least``, or None where the attribute is absent."""
        value = self.number(name, least)
        if value is None:
            return None
        if not value.is_integer():
            self._found(name)[0].fail(f"'{name}' of '{self.name}' is {value:g}; expected a whole number.")
        return int(value)


def plain(scope: Mapping[str, Any]) -> dict[str, Any]:
    """All attributes that a node sees, evaluated; without those that only functions of Python files can give.

    Variables that are no attribute of any node need not be computable as long as nothing asks for them.
    """
    out: dict[str, Any] = {}
    for name in scope:
        if name == "spec":
            continue
        try:
            out[name] = scope[name]
        except NotPriced as error:
            note(f"'{name}' is left out: {error.message}", error.where)
        except HwsimError:
            if _is_attribute(scope, name):
                raise
    return out


def _is_attribute(scope: Mapping[str, Any], name: str) -> bool:
    """Whether a name is said by a node itself or by one around it, and no variable of the whole design."""
    while isinstance(scope, Scope) and isinstance(scope.outer, Scope) and scope.outer.outer:
        if name in scope.fields:
            return True
        scope = scope.outer
    return isinstance(scope, Scope) and name in scope.fields and "spec" not in scope.outer


def own_attributes(item: Field, scope: Scope) -> dict[str, Any]:
    """All attributes of a component, and the scales that stand beside them."""
    out = plain(scope)
    for name in SCALES:
        if item.has(name):
            out[name] = Scope({}, scope).evaluate(item.key(name))
    for name in SCALES:
        value = out.get(name)
        if value is None:
            out.pop(name, None)
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SCALE:
            item.key(name).fail(f"expected a number from 0 to {MAX_SCALE:g}, found {describe(value)}.")
    return out


def storage(name: str, kind: str, item: Field, scope: Scope, constraints: Constraints) -> Storage:
    """A memory from its attributes, with Timeloop's rules for the ones that are left out.

    A word has ``datawidth`` bits (16 by default). ``width`` bits are ``cluster_size`` blocks of
    ``block_size`` words; the one that is missing follows, ``cluster_size`` being 1 where both are.
    The size is ``entries`` words, ``depth`` blocks or ``sizeKB`` kibibytes; without any it is unbounded. A depth of 0
    holds nothing, and only marks a place.
    """
    own = item.key("attributes")
    read = Attributes(scope, own, name)
    datawidth = read.integer("datawidth") or DEFAULT_DATAWIDTH
    width, block, cluster = read.integer("width"), read.integer("block_size"), read.integer("cluster_size")
    if width is not None:
        if block is None and cluster is None:
            block, cluster = width // datawidth, 1
        elif block is None:
            block = width // ((cluster or 1) * datawidth)
        elif cluster is None:
            cluster = width // (block * datawidth)
        if not block or not cluster or width != block * (cluster or 0) * datawidth:
            own.fail(
                f"'{name}': a width of {width} bits is not block_size × cluster_size × datawidth "
                f"({block} × {cluster} × {datawidth})."
            )
    block, cluster = block or 1, cluster or 1
    entries, depth, kilobytes = read.integer("entries", 0), read.integer("depth", 0), read.number("sizeKB", 0)
    if entries is not None:
        depth, extra = -(-entries // block), entries
    elif depth is not None:
        extra = depth * block
    else:
        extra = 0 if kilobytes is None else int(kilobytes * 1024 * 8 / datawidth)
        depth = -(-extra // block) or None
    if depth is None and "DRAM" not in kind:
        _refuse_slip(own, "depth")
        note(f"'{name}' has no size ('depth', rows of 'width' bits): it is taken as unbounded.", own.where)
    both = read.number("bandwidth", 0)
    return Storage(
        name=name,
        component=kind,
        depth=depth,
        width=width or block * cluster * datawidth,
        datawidth=datawidth,
        block_size=block,
        cluster_size=cluster,
        read_bandwidth=_positive(read, "read_bandwidth", both),
        write_bandwidth=_positive(read, "write_bandwidth", both),
        shared_bandwidth=_positive(read, "shared_bandwidth", None),
        multiple_buffering=read.number("multiple_buffering", 1) or 1.0,
        constraints=_with_utilization(constraints, read),
        network_latency=sum(read.integer(f"network_{way}_latency", 0) or 0 for way in ("fill", "drain")),
        power_gated_at=_gate(scope, own),
        attributes=own_attributes(item, scope) | _canonical(depth=depth, width=width, datawidth=datawidth),
    )


def _gate(scope: Scope, own: Field) -> str:
    """The level with which a storage is switched off, as the file names it."""
    given = scope.get("power_gated_at")
    if given is None:
        return ""
    return Field(given, own.file, f"{own.path}.power_gated_at").text()


def gated(levels: Sequence[Level], switches: set[str], top: Field) -> list[Level]:
    """Levels whose ``power_gated_at`` names one of them.

    Args:
        switches: nodes of which ``has_power_gating`` is true. As in Timeloop's front end, what follows such a node is
            switched off with the next level: one by one where that is a storage, and as one below a fan-out.

    Raises:
        HwsimError: there is no such level, or it is not outside.
    """
    out: list[Level] = []
    gate, following = "", False
    for level in levels:
        if following:
            gate = level.name
        following = (level.name if isinstance(level, Storage) else level.of or level.name) in switches
        if isinstance(level, Storage):
            name = level.power_gated_at or gate
            known = {x.name: x.name for x in (*out, level)}
            known |= {x.target: x.name for x in out if isinstance(x, Fanout)}
            if name and name not in known:
                top.fail(
                    f"'{level.name}' is to be switched off with '{name}', which is neither itself nor a level outside "
                    f"it.{did_you_mean(name, known)}"
                )
            out.append(replace(level, power_gated_at=known.get(name, "")))
        else:
            out.append(level)
    return out


def _refuse_slip(own: Field, name: str) -> None:
    """Refuse an attribute that nearly has the name of one that is missing."""
    near = difflib.get_close_matches(name, [x for x in own.mapping() if x not in KNOWN], n=1, cutoff=0.84)
    if near:
        own.fail(f"unknown attribute '{near[0]}'. Did you mean '{name}'?")


def _canonical(**values: int | None) -> dict[str, Any]:
    """Attributes under hwsim's names for them, so that pricing need not know the others."""
    return {name: value for name, value in values.items() if value is not None}


def _positive(read: Attributes, name: str, both: float | None) -> float | None:
    value = read.number(name, 0)
    if value == 0:
        read.own.fail(f"'{name}' of '{read.name}' is 0; leave it out where bandwidth is unlimited.")
    if value is None and both is not None:
        value = both / 2
    if value is not None and value < LEAST_BANDWIDTH:
        read.own.fail(f"'{name}' of '{read.name}' is {value:g} words per cycle; expected at least {LEAST_BANDWIDTH:g}.")
    return value


def _with_utilization(constraints: Constraints, read: Attributes) -> Constraints:
    least = read.number("min_utilization", 0) or 0.0
    if least > 1:
        read.own.fail(f"'min_utilization' of '{read.name}' is {least:g}; it is a share of the capacity, 0 to 1.")
    return replace(constraints, min_utilization=max(constraints.min_utilization, least))


def compute(name: str, kind: str, item: Field, scope: Scope) -> Compute:
    """The datapath."""
    return Compute(name, kind, own_attributes(item, scope))


def cycle_seconds(scope: Mapping[str, Any], where: Field) -> float:
    """``global_cycle_seconds`` of the innermost node, 1 ns where it is not given."""
    value = scope.get("global_cycle_seconds", 1e-9)
    if not is_cycle(value):
        where.fail(f"'global_cycle_seconds' should be the seconds of a clock cycle, found {describe(value)}.")
    return float(value)


def is_cycle(value: Any) -> bool:
    """Whether a value can be the length of a clock cycle in seconds."""
    low, high = CYCLE_SECONDS
    return not isinstance(value, bool) and isinstance(value, int | float) and low <= value <= high


def check_number(field: Field, levels: list[Level]) -> None:
    """Refuse a hierarchy of more levels than a design has."""
    if len(levels) > MAX_LEVELS:
        field.fail(f"{len(levels)} levels; hwsim reads designs of up to {MAX_LEVELS} storages and fan-outs.")
