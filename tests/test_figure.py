"""The table of figures: what reads it, and that a new row is all that a new figure takes."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from hwsim.explore.workers import InProcess
from hwsim.figure import FIGURES, Figure, compared, explored, graded
from hwsim.network import profile
from hwsim.objective import FIGURES as AIMS
from hwsim.objective import Objective
from hwsim.reports import units
from hwsim.workloads import zoo
from tests.conftest import Run

Hwsim = Callable[..., Run]
SPACE = """\
models: lenet5.onnx
parameters: {columns: [4, 8], rows: [4]}
settings: {PE.meshX: columns, PE.meshY: rows}
objectives: [energy_per_mac, latency]
constraints: [energy_per_mac > 0]
"""
RUBRIC = """\
name: own
title: t
source: s
arch: nvdla_like
criteria: [{name: thrift, figure: energy_per_mac, bands: [{below: 1000, points: 3}]}]
hard_constraints: [{name: size, figure: area, below: 1000}]
"""


def test_names_and_keys_are_distinct() -> None:
    assert all(name == x.name for name, x in FIGURES.items())
    assert len({x.key for x in FIGURES.values()}) == len(FIGURES) == len({x.title for x in FIGURES.values()})
    assert [x.place for x in compared()] == list(range(1, len(compared()) + 1))
    for text in (*explored(), *graded()):
        assert text.isidentifier()


def test_a_search_minimises_what_has_an_aim() -> None:
    aims = {name: x.aim for name, x in FIGURES.items() if x.aim}
    assert aims == AIMS and list(AIMS) == ["edp", "energy", "latency"]  # as messages list them
    for name, aim in AIMS.items():
        assert aim.name == name and (not aim.tie or aim.tie in AIMS)
        assert Objective.parse(name).figures[0] is aim


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.write("lenet5", tmp_path_factory.mktemp("model") / "lenet5.onnx")


def test_values_of_a_network_by_hand(lenet: Path) -> None:
    cost = replace(profile(lenet), energy_pj=2e9, cycles=1000, cycle_seconds=1e-6)
    found = {x.name: x.of(cost) for x in FIGURES.values() if x.known_from == "mapping" and x.name != "points"}
    wanted = {"energy": 2e9, "latency": 1000, "seconds": 1e-3, "edp": 2.0, "power": 2.0}  # 2 mJ in 1 ms
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    layers = [(x.cost.energy_pj, x.cost.cycles) for x in cost.layers]
    assert found["peak_power"] == pytest.approx(max(pj / cycles for pj, cycles in layers) * 1e-6)  # pJ / µs = µW
    still = replace(cost, cycles=0, layers=())
    assert FIGURES["power"].of(still) == 0.0 == FIGURES["peak_power"].of(still)


def test_bounds_are_decimal() -> None:
    assert FIGURES["energy"].bound(2.5e9) == Decimal("2.5") and FIGURES["energy"].bound_unit == "mJ"
    assert FIGURES["macs"].bound(7) == 7 and FIGURES["macs"].bound_unit == ""
    assert FIGURES["error"].bound(1 - Decimal("0.8")) == 20


@pytest.mark.parametrize(
    ("name", "value", "number", "quantity", "title"),
    [
        ("energy", 1.5e9, "1.5 mJ", "1.5 mJ", "energy"),
        ("latency", 225_800, "225.8 k", "225.8 k cycles", "cycles"),
        ("latency", 7, "7", "7 cycles", "cycles"),
        ("edp", 12_290.4, "12,290", "12,290 J·cycles", "EDP (J·cycles)"),
        ("area", 2.5e6, "2.5 mm²", "2.5 mm²", "area on chip"),
        ("utilization", 0.4567, "45.7%", "45.7%", "utilization"),
        ("peak_activation_bytes", 1e6, "1 MB", "1 MB", "peak activation"),
        ("power", 1.25, "1.25", "1.25 W", "power (W)"),
        ("seconds", 2e-3, "2 ms", "2 ms", "latency"),
        ("macs", 3e8, "300 M", "300 M", "MACs"),
    ],
)
def test_how_figures_are_shown(name: str, value: float, number: str, quantity: str, title: str) -> None:
    unit = FIGURES[name].unit
    assert (units.number(value, unit), units.quantity(value, unit)) == (number, quantity)
    assert units.title(FIGURES[name]) == title


def test_a_new_figure_is_one_row(hwsim: Hwsim, lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Figure("energy_per_mac", "pJ", "mapping", lambda x: x.energy_pj / (x.macs or 1), "energy per MAC", place=7)
    monkeypatch.setitem(FIGURES, row.name, row)
    cost = profile(lenet)
    each = cost.energy_pj / cost.macs
    shown = units.quantity(each, "pJ")

    made = [f"{kind}.{kind}" for kind in ("json", "csv", "markdown", "html")]
    written = [part for name in made for part in (f"--{name.split('.')[0]}", tmp_path / name)]
    run = hwsim("profile", lenet, "--json", tmp_path / "p.json")
    assert run.code == 0 and json.loads((tmp_path / "p.json").read_text())["totals"]["energy_per_mac"] == each
    run = hwsim("whatif", lenet, "--set", "shared_glb.depth=4096", *written)
    assert run.code == 0 and "energy per MAC" in run.out
    columns = json.loads((tmp_path / "json.json").read_text())["columns"]
    assert [c["energy_per_mac"] for c in columns] == [c["energy_pj"] / cost.macs for c in columns]
    for name in ("markdown.markdown", "html.html"):
        assert "energy per MAC" in (tmp_path / name).read_text()

    run = hwsim("compare", tmp_path / "p.json", tmp_path / "p.json", "--markdown", tmp_path / "c.md")
    assert run.code == 0 and "energy per MAC" in run.out and shown in (tmp_path / "c.md").read_text()

    (tmp_path / "lenet5.onnx").write_bytes(lenet.read_bytes())
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.setattr("hwsim.cli.explore.Processes", lambda job, *_: InProcess(job))  # where the row is
    options = ("--grid", "--workers", "1", "--store", tmp_path / "s", "--csv", tmp_path / "e.csv")
    run = hwsim("explore", tmp_path / "space.yaml", *options, "--html", tmp_path / "e.html")
    assert run.code == 0 and "energy_per_mac ↓" in run.out and "energy per MAC" in (tmp_path / "e.html").read_text()
    rows = list(csv.DictReader((tmp_path / "e.csv").open()))
    for line in rows:
        assert float(line["energy_per_mac (pJ)"]) == pytest.approx(float(line["energy (pJ)"]) / float(line["macs"]))

    (tmp_path / "own.yaml").write_text(RUBRIC)
    run = hwsim("score", lenet, "--rubric", tmp_path / "own.yaml", "--json")
    each = (cost := profile(lenet, "nvdla_like")).energy_pj / cost.macs
    (mark,), (size,) = json.loads(run.out)["criteria"], json.loads(run.out)["hard_constraints"]
    assert (mark["value"], mark["unit"], mark["points"]) == (pytest.approx(each), "pJ", 3)
    assert size["met"] and size["unit"] == "mm²" and 0 < size["value"] < 1000


def test_a_rubric_of_the_hardware_alone_maps_nothing(
    hwsim: Hwsim, lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwsim.rubric.profile_workload", lambda *_, **__: pytest.fail("something was mapped"))
    rubric = RUBRIC.replace("energy_per_mac", "on_chip_bytes").replace("1000, points", "1e9, points")
    (tmp_path / "own.yaml").write_text(rubric)
    run = hwsim("score", lenet, "--rubric", tmp_path / "own.yaml", "--json")
    assert run.code == 0 and json.loads(run.out)["points"] == 3


def test_a_figure_that_is_none(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(RUBRIC.replace("energy_per_mac", "enrgy"))
    run = hwsim("score", lenet, "--rubric", tmp_path / "own.yaml")
    assert run.code == 2 and "criteria[0].figure" in run.err and "found 'enrgy'. Did you mean 'energy'?" in run.err
