"""Results as JSON (schemas ``hwsim.profile/1``, ``hwsim.evaluate/1``, ``hwsim.map/1``, ``hwsim.score/1``,
``hwsim.whatif/1``) and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from hwsim.architecture import Architecture, Fanout
from hwsim.cost import Certificate, DataSpaceCost, Illegal, LayerCost, NetworkCost
from hwsim.figure import FIGURES, compared
from hwsim.reports.columns import Column, figures_of
from hwsim.reports.table import Rows
from hwsim.rubric import Score
from hwsim.spec import mapping_to_timeloop
from hwsim.whatif import Study, Variant, limited_by


def profile_data(cost: NetworkCost, architecture: Architecture) -> dict[str, Any]:
    """A network's cost in schema ``hwsim.profile/1``; layers are one occurrence, totals count all."""
    return {
        "schema": "hwsim.profile/1",
        "model": cost.model,
        "arch": cost.arch,
        "objective": str(cost.objective),
        "totals": {
            "macs": cost.macs,
            "params": cost.params,
            "cycles": cost.cycles,
            "energy_pj": cost.energy_pj,
            "edp_j_cycles": cost.edp_j_cycles,
            "utilization": cost.utilization,
            "weight_bytes": cost.weight_bytes,
            "peak_activation_bytes": cost.peak_activation_bytes,
            "peak_live_bytes": cost.peak_live_bytes,
            "peak_live_bytes_best_order": cost.peak_live_bytes_best_order,
        }
        | _more_figures(cost),
        "layers": [
            {
                "name": layer.name,
                "names": list(layer.names),
                "op": layer.op,
                "problem": layer.cost.problem.kind,
                "dims": layer.cost.problem.sizes,
                "count": layer.count,
                "macs": layer.cost.problem.macs,
                "cycles": layer.cost.cycles,
                "energy_pj": layer.cost.energy_pj,
                "energy_by_level_pj": layer.cost.energy_by_level_pj,
                "utilization": layer.cost.utilization,
                "mapping": mapping_to_timeloop(layer.cost.mapping, architecture, layer.cost.problem),
                "optimal": layer.cost.certificate.optimal if layer.cost.certificate else False,
                "lower_bound": layer.cost.certificate.lower_bound if layer.cost.certificate else 0.0,
            }
            for layer in cost.layers
        ],
        "unmapped": [{"op": x.op, "count": x.count, "bytes_moved": x.bytes_moved} for x in cost.unmapped],
        "notes": list(cost.notes),
    }


def evaluate_data(
    cost: LayerCost | Illegal, architecture: Architecture, unpriced: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One evaluated mapping in schema ``hwsim.evaluate/1``; counts are per instance, fan-outs have Timeloop's names.

    Args:
        unpriced: component → why it has no price; its energies are null, and the totals are without them.
    """
    if unpriced and not isinstance(cost, Illegal):
        return _without_prices(evaluate_data(cost, architecture), architecture, unpriced)
    names = {x.name: x.target if isinstance(x, Fanout) else x.name for x in architecture.levels}
    if isinstance(cost, Illegal):
        return {
            "error": {
                "level": names.get(cost.level, cost.level),
                "data_space": cost.data_space,
                "reason": cost.reason,
                "needed": cost.needed,
                "available": cost.available,
            }
        }
    return {
        "cycles": cost.cycles,
        "energy_pj": cost.energy_pj,
        "utilization": cost.utilization,
        "computes": cost.compute.computes,
        "levels": {
            names[level.name]: {
                "cycles": level.cycles,
                "throttling": level.throttling,
                "leakage_pj": level.leakage_pj,
                "data_spaces": {name: _data_space(space) for name, space in level.data_spaces.items()},
            }
            for level in cost.levels
        },
        "compute": {"energy_pj": cost.compute.energy_pj, "instances": cost.compute.instances}
        | ({"sparse": vars(cost.compute.sparse)} if cost.compute.sparse else {}),
    }


def _data_space(space: DataSpaceCost) -> dict[str, Any]:
    """A data space's figures; what zeros become stands under ``sparse``, where they are taken notice of."""
    figures = dict(vars(space))
    figures.pop("sparse")
    return figures | ({"sparse": asdict(space.sparse)} if space.sparse is not None else {})


def _without_prices(data: dict[str, Any], architecture: Architecture, unpriced: Mapping[str, str]) -> dict[str, Any]:
    """The data with null for energies that are not known, and why they are not."""
    for name, level in data["levels"].items():
        if name in unpriced:
            level["leakage_pj"] = None
            for space in level["data_spaces"].values():
                space["energy_pj"] = None
    if architecture.compute.name in unpriced:
        data["compute"]["energy_pj"] = None
    return data | {"not_priced": dict(unpriced)}


def map_data(
    cost: LayerCost | Illegal, architecture: Architecture, unpriced: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A search's result in schema ``hwsim.map/1``: the evaluated mapping and its certificate."""
    data = {"schema": "hwsim.map/1", **evaluate_data(cost, architecture, unpriced)}
    if isinstance(cost, LayerCost) and isinstance(cost.certificate, Certificate):
        certificate = cost.certificate
        data |= {
            "mapping": mapping_to_timeloop(cost.mapping, architecture, cost.problem),
            "objective": certificate.objective,
            "value": certificate.value,
            "optimal": certificate.optimal,
            "lower_bound": certificate.lower_bound,
            "tie": certificate.tie,
            "tie_value": certificate.tie_value,
            "tie_lower_bound": certificate.tie_bound,
            "space_size": certificate.space_size,
            "evaluated": certificate.evaluated,
            "argument": certificate.argument,
            "seconds": certificate.seconds,
        }
    return data


def score_data(score: Score) -> dict[str, Any]:
    """A model's score in schema ``hwsim.score/1``; figures are in the unit beside them."""
    facts = score.facts
    return {
        "schema": "hwsim.score/1",
        "model": facts.workload.name,
        "rubric": score.rubric.name,
        "arch": score.rubric.arch if facts.cost is None else facts.cost.arch,
        "accuracy": _number(facts.accuracy),
        "accuracy_source": facts.accuracy_source,
        "points": _number(score.points),
        "max_points": _number(score.max_points),
        "criteria": [
            {
                "name": mark.name,
                "value": _number(mark.value),
                "unit": mark.unit,
                "band": mark.band,
                "points": _number(mark.points),
                "max_points": _number(mark.max_points),
                "next_band": mark.next_band,
                "limited_by": mark.limited_by,
            }
            for mark in score.marks
        ],
        "hard_constraints": [
            {"name": x.name, "value": _number(x.value), "unit": x.unit, "limit": x.limit, "met": x.met}
            for x in score.hard
        ],
    }


def score_rows(score: Score) -> Rows:
    """A line per criterion and hard constraint (no points of its own), figures in the unit beside them."""
    rows: Rows = []
    rows.append(["name", "value", "unit", "band", "points", "max_points", "next_band", "limited_by", "met"])
    for hard in score.hard:
        rows.append([hard.name, _text(hard.value), hard.unit, hard.limit, "", "", "", "", hard.met])
    for mark in score.marks:
        given = [mark.band or "", _text(mark.points), _text(mark.max_points), mark.next_band or ""]
        rows.append([mark.name, _text(mark.value), mark.unit, *given, mark.limited_by or "", ""])
    return rows


def _text(value: Decimal | None) -> str:
    return "" if value is None else f"{value.normalize():f}"


def whatif_data(variants: Study) -> dict[str, Any]:
    """A what-if study in schema ``hwsim.whatif/1``: totals per column, and every layer in every column."""
    return {
        "schema": "hwsim.whatif/1",
        "model": variants[0].cost.model,
        "arch": variants[0].cost.arch,
        "objective": str(variants[0].cost.objective),
        "notes": [variants.prices],
        "columns": [
            {
                "name": v.name,
                "settings": [str(s) for s in v.settings],
                **_figures(v),
                "layers": [
                    {
                        "name": layer.name,
                        "count": layer.count,
                        "cycles": layer.cost.cycles,
                        "energy_pj": layer.cost.energy_pj,
                        "energy_by_level_pj": layer.cost.energy_by_level_pj,
                        "limited_by": limited_by(layer.cost),
                        "optimal": bool(layer.cost.certificate and layer.cost.certificate.optimal),
                    }
                    for layer in v.cost.layers
                ],
            }
            for v in variants
        ],
    }


def compare_data(columns: Sequence[Column], notes: Sequence[str]) -> dict[str, Any]:
    """Saved profiles side by side in schema ``hwsim.compare/1``; a figure that is not known is null."""
    return {
        "schema": "hwsim.compare/1",
        "notes": list(notes),
        "columns": [
            {
                "name": column.name,
                **{figure.key: column.of(figure) for figure in compared()},
                "layers": [
                    {
                        "name": name,
                        "count": layer.count,
                        "cycles": layer.cycles,
                        "energy_pj": layer.energy_pj,
                        "energy_by_level_pj": layer.by_component_pj,
                        "utilization": layer.utilization,
                        "optimal": layer.optimal,
                    }
                    for name, layer in column.layers.items()
                ],
            }
            for column in columns
        ],
    }


def _figures(variant: Variant) -> dict[str, Any]:
    """The figures of a design with a network by their names in files, the components without an area after the area."""
    found = figures_of(variant)
    out: dict[str, Any] = {}
    for name in ("energy", "latency", "edp", "utilization", "area"):
        out[FIGURES[name].key] = found.pop(name)
    out["area_without"] = list(variant.design.no_area)
    return out | {FIGURES[name].key: value for name, value in found.items()}


def _more_figures(cost: NetworkCost) -> dict[str, Any]:
    """Figures of designs side by side that the totals do not have yet, so that `compare` finds them."""
    said = ("energy", "latency", "edp", "utilization", "peak_activation_bytes")
    return {x.key: x.of(cost) for x in compared() if x.name not in said and x.known_from != "hardware"}


def _number(value: Decimal | None) -> int | float | None:
    if value is None:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def profile_rows(cost: NetworkCost) -> Rows:
    """One line per distinct layer, units in the column names; figures are of one occurrence."""
    levels = list(dict.fromkeys(name for layer in cost.layers for name in layer.cost.energy_by_level_pj))
    rows: Rows = []
    rows.append(
        ["name", "op", "problem", "dims", "count", "macs", "cycles", "utilization", "energy_pj"]
        + [f"{name}_pj" for name in levels]
        + ["optimal"]
    )
    for layer in cost.layers:
        by_level = layer.cost.energy_by_level_pj
        dims = " ".join(f"{d}={n}" for d, n in layer.cost.problem.dims)
        certificate = layer.cost.certificate
        rows.append(
            [layer.name, layer.op, layer.cost.problem.kind, dims, layer.count, layer.cost.problem.macs]
            + [layer.cost.cycles, layer.cost.utilization, layer.cost.energy_pj]
            + [by_level.get(name, 0.0) for name in levels]
            + [bool(certificate and certificate.optimal)]
        )
    return rows
