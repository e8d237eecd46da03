"""What the top keys of specification files are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hwsim.errors import HwsimError, did_you_mean
from hwsim.spec.document import Field, plain_data
from hwsim.spec.expression import CUSTOM_HINT
from hwsim.spec.notes import note
from hwsim.spec.scope import Scope

#: Parts by the key that names them.
_PARTS = (
    "architecture", "arch", "problem", "mapping", "variables", "ERT", "mapper", "mapspace", "globals", "components",
    "constraints", "sparse_optimizations", "layout",
)  # fmt: skip
#: Parts whose key may hold more than their name (``extra_mapping_constraints``), in the order in which they are tried.
_WITHIN = ("ignore", "components", "constraints", "mapping", "globals")
#: Keys that say nothing about the design: what the field's tools write for themselves.
_SILENT = (
    "version", "description", "ART", "ART_summary", "ERT_summary", "dumped_by_timeloop_front_end", "ignore",
    "processors",
)  # fmt: skip
#: Environment variables of Timeloop that change what it prints, or how it works, and no figure.
_PRINTING = (
    "TIMELOOP_OUTPUT_STAT", "TIMELOOP_HIDE", "TIMELOOP_LOG", "TIMELOOP_DUMP", "TIMELOOP_PRINT", "TIMELOOP_UNITTEST",
    "TIMELOOP_ENABLE_TRACING",
)  # fmt: skip
#: Those that change what it counts.
_COUNTING = (
    "TIMELOOP_DISABLE_FIRST_ELEMENT_ONLY_SPATIAL_EXTRAPOLATION", "TIMELOOP_DISABLE_LINK_TRANSFERS",
    "TIMELOOP_DISABLE_SPATIAL_EXTRAPOLATION", "TIMELOOP_DISABLE_TEMPORAL_EXTRAPOLATION",
    "TIMELOOP_ENABLE_RUBY_CYCLE_COUNT", "TIMELOOP_ENABLE_TOROIDAL_LINKS", "TIMELOOP_ENABLE_UPDATED_RMW",
    "TIMELOOP_MULTICAST_MODEL", "TIMELOOP_RUN_LAST_ITERATION", "TIMELOOP_USE_ISL",
)  # fmt: skip
FIRST_READ = "TIMELOOP_ENABLE_FIRST_READ_ELISION"


def part_of(key: str) -> str:
    """The part that a top key is; "" where it is none."""
    if key in _PARTS or key in _SILENT:
        return key
    return next((name for name in _WITHIN if name in key), "")


class Parts:
    """The documents of one specification by what they say."""

    def __init__(self, documents: Iterable[Field]) -> None:
        self.documents = tuple(documents)

    def all(self, part: str) -> list[Field]:
        """The fields of a part, in the order of the documents."""
        return [
            document.key(key)
            for document in self.documents
            for key in document.plain
            if part_of(key) == part and document.has(key)
        ]

    def one(self, part: str) -> Field | None:
        """The one field of a part; None where there is none.

        Raises:
            HwsimError: it is given twice.
        """
        found = self.all(part)
        if len(found) > 1:
            found[1].fail(f"given twice: in {found[0].file} and in {found[1].file}.")
        return found[0] if found else None

    def variables(self) -> Scope:
        """The variables that expressions may read, from mappings or lists of them."""
        fields: dict[str, Field] = {}
        for top in self.all("variables"):
            for given in top.items() if isinstance(top.plain, list) else [top]:
                fields |= {k: v for k, v in given.mapping().items() if k != "version"}
        return Scope(fields, {"spec": {part: _content(self.all(part)) for part in ("problem", "variables", "mapper")}})

    def sections(self) -> None:
        """Look at the parts that no design comes from, and tell of what they ask for in vain.

        Raises:
            HwsimError: one asks for what changes figures and is not modelled.
        """
        for top in self.all("globals"):
            _globals(top)
        for top in self.all("layout"):
            top.fail("data layouts are not modelled; remove them to model the design without bank conflicts.")

    def first_read_elided(self) -> bool:
        """Whether a result's first update needs no read: Timeloop's default, which an environment variable ends."""
        for top in self.all("globals"):
            given = top.key("environment_variables")
            if given.has(FIRST_READ):
                return str(given.key(FIRST_READ).plain).lower() not in ("0", "false")
        return True


def _content(fields: list[Field]) -> Any:
    """A part as expressions see it (``spec.problem.instance``)."""
    return plain_data(fields[0].value) if len(fields) == 1 else {}


def known(document: Field) -> Field:
    """The document, whose top keys are all parts of a specification."""
    if not isinstance(document.plain, dict):
        document.fail("expected a mapping with 'architecture', 'problem', 'mapping' …")
    for name in document.mapping():
        if not part_of(name):
            document.fail(f"unknown key '{name}'.{did_you_mean(name, [*_PARTS, *_SILENT])}")
    return document


def _globals(top: Field) -> None:
    top.only({"version", "environment_variables", "expression_custom_functions", "accelergy_plug_ins"}, "globals")
    for name, value in top.key("environment_variables").mapping().items():
        if name in _COUNTING and str(value.plain).lower() not in ("0", "false", "none"):
            value.fail(f"{name} changes Timeloop's counts, which is not modelled; remove it to count as by default.")
        if name != FIRST_READ and not name.startswith(_PRINTING):
            note(f"the environment variable {name} = {value.plain} has no effect.", value.where)
    functions = [item.text() for item in top.key("expression_custom_functions").items()]
    if functions:
        note(f"{CUSTOM_HINT}: {', '.join(functions)}.", top.where)
    plug_ins = [item.text() for item in top.key("accelergy_plug_ins").items()]
    if plug_ins:
        note(f"plug-ins of Accelergy are not run, what only they can price has no price: {', '.join(plug_ins)}.",
             top.where)  # fmt: skip


#: Keys of ``mapper`` that say how Timeloop searches and prints; hwsim's search needs none of them.
_SEARCH = {
    "algorithm", "diagnostics", "emit_whoop_nest", "filter_revisits", "live_status", "log_all_mappings", "log_interval",
    "log_mappings_verbose", "log_mappings_yaml", "log_oave_mappings", "log_oaves", "log_oaves_mappings", "log_stats",
    "log_suboptimal", "max_permutations_per_if_visit", "num_threads", "out_prefix", "penalize_consecutive_bypass_fails",
    "search_size", "sync_interval", "timeout", "victory_condition", "log_all", "verbose", "metric", "model",
    "heuristic", "log_oaves_yaml", "num_threads_per_core",
}  # fmt: skip
METRICS = ("optimization_metrics", "optimization_metric")


def check_mapper(top: Field) -> None:
    """Tell of what a ``mapper`` asks for that hwsim's search does not do.

    Raises:
        HwsimError: it has a key that the field does not know.
    """
    unused = []
    for key, value in top.mapping().items():
        name = key.replace("-", "_")
        if name in METRICS or name == "version":
            continue
        if name == "max_temporal_loops_in_a_mapping":
            if value.plain not in (None, -1, "-1"):
                note("mappings with more temporal loops than this are searched, too, and may be the best.", value.where)
        elif name in _SEARCH or "ignore" in name or name.startswith("log_"):
            unused.append(key)
        else:
            top.fail(f"unknown key '{key}' of mapper.{did_you_mean(key, [*_SEARCH, *METRICS])}")
    if unused:
        note(f"{', '.join(unused)}: not used; hwsim searches until it has proved the best mapping.", top.where)


def missing(part: str, documents: Sequence[Field]) -> HwsimError:
    """No document holds a part."""
    where = ", ".join(d.file for d in documents)
    return HwsimError(f"no '{part}' in {'any of ' if len(documents) > 1 else ''}the files.", where=where)
