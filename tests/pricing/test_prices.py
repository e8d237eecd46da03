"""Prices by hand: every row of the tables, nodes on and off the grid, clocks, areas; and prices that are none."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from hwsim.design import load_architecture
from hwsim.design.settings import Setting
from hwsim.energy import MAX_PRICE, Action, EnergyTable
from hwsim.errors import HwsimError
from hwsim.pricing import class_attributes, price_architecture
from hwsim.pricing.estimators import ESTIMATORS, Dram, Primitives, Sram
from hwsim.pricing.scaling import nanometres
from hwsim.spec.document import parse_document

# a·V² + b·V + c at 0.8 V with Stillmaker & Baas's coefficients, by hand
E45 = 1.103 * 0.64 - 0.362 * 0.8 + 0.2767
E32 = 0.9559 * 0.64 - 0.7823 * 0.8 + 0.471
E65 = 3.755 * 0.64 - 4.398 * 0.8 + 1.975
E7 = 0.1776 * 0.64 - 0.09097 * 0.8 + 0.02447
E130 = 7.171 * 0.64 - 6.709 * 0.8 + 2.904


def energy(kind: str, action: str, attributes: Mapping[str, Any]) -> Action:
    """Of the first estimator that knows the class."""
    found = (x.energy(kind, attributes, action, "here") for x in ESTIMATORS)
    return next(x for x in found if x is not None)


def area(kind: str, attributes: Mapping[str, Any]) -> float:
    found = (x.area(kind, attributes, "here") for x in ESTIMATORS)
    return next(x for x in found if x is not None)


@pytest.mark.parametrize("node", ["40nm", "42nm", 45, 45e-9, 40])
def test_a_figure_of_40_nm_stays_what_it_is(node: object) -> None:
    """Aladdin's tables are of 40 nm: 0.21 pJ for 32 bits of adder, 0.105 pJ for 16."""
    at = {"technology": node}
    assert energy("aladdin_adder", "add", at | {"width": 16}).energy_pj == 0.105
    assert energy("intadder", "add", at | {"width": 32}).energy_pj == 0.21
    assert energy("aladdin_multiplier", "multiply", at | {"width_a": 8, "width_b": 8}).energy_pj == 12.68 / 16
    assert energy("aladdin_register", "read", at | {"width": 16}).energy_pj == pytest.approx(0.144)
    assert energy("aladdin_comparator", "compare", at).energy_pj == 0.02947
    assert energy("aladdin_counter", "count", at).energy_pj == 0.25074
    assert "scaled" not in energy("aladdin_adder", "add", at).source


PRIMITIVES = [
    # class, attributes, action → pJ at 45 nm and 1 ns, µm²
    ("aladdin_adder", {"width": 16}, {"add": 0.105, "read": 0.105, "write": 0, "update": 0, "leak": 0.0012}, 139),
    ("intadder", {"width": 8}, {"add": 0.0525, "read": 0.0525, "write": 0, "update": 0, "leak": 0.000575}, 69.5),
    (
        "aladdin_multiplier",
        {"width_a": 16, "width_b": 8},
        {"multiply": 1.585, "read": 1.585, "write": 0, "update": 0, "leak": 0.01},
        793.75,
    ),
    ("aladdin_register", {"width": 10}, {"read": 0.09, "write": 0, "update": 0, "leak": 0}, 59.8),
    (
        "aladdin_comparator",
        {"width": 64},
        {"compare": 0.05894, "read": 0.05894, "write": 0, "update": 0, "leak": 5.02e-5},
        142,
    ),
    (
        "aladdin_counter",
        {"width": 4},
        {"count": 0.0313425, "read": 0.0313425, "write": 0, "update": 0, "leak": 0.0003213 / 8},
        61.9375,
    ),
]


@pytest.mark.parametrize(("kind", "attributes", "actions", "square"), PRIMITIVES, ids=[x[0] for x in PRIMITIVES])
def test_primitives(kind: str, attributes: dict[str, Any], actions: dict[str, float], square: float) -> None:
    at = attributes | {"technology": "45nm"}
    for action, pj in actions.items():
        assert energy(kind, action, at).energy_pj == pytest.approx(pj)
        slow = energy(kind, action, at | {"global_cycle_seconds": 2.5e-9}).energy_pj
        assert slow == pytest.approx(pj * (2.5 if action == "leak" else 1)), "a cycle of 2.5 ns leaks 2.5 times as long"
    assert area(kind, at) == pytest.approx(square)
    assert area(kind, attributes | {"technology": 32}) == pytest.approx(square * 0.46)
    assert Primitives().energy(kind, at, "fly", "here") is None


@pytest.mark.parametrize(
    ("node", "pj", "square"),
    [
        ("32nm", E32 / E45, 0.46),
        ("65nm", E65 / E45, 1.5),
        ("55nm", (E45 + E65) / 2 / E45, 1.25),  # half way between 45 and 65
        ("36nm", (E32 + E45) / 2 / E45, 0.73),  # half way between 32 and 40
        (7, E7 / E45, 0.059),
        (5, E7 / E45 * math.sqrt(5 / 7), 0.059 * 5 / 7),  # beyond the table: root, and in proportion
        (180e-9, E130 / E45 * math.sqrt(180 / 130), 6.4 * 180 / 130),
    ],
)
def test_nodes(node: object, pj: float, square: float) -> None:
    at = {"technology": node}
    assert energy("aladdin_adder", "add", at).energy_pj == pytest.approx(0.21 * pj)
    assert energy("aladdin_multiplier", "leak", at).energy_pj == pytest.approx(0.08 * pj)
    assert area("aladdin_adder", at) == pytest.approx(278 * square)
    assert "Stillmaker" in energy("aladdin_adder", "add", at).source


@pytest.mark.parametrize(
    ("name", "per_bit"), [("LPDDR4", 8), ("LPDDR", 40), ("DDR3", 70), ("GDDR5", 14), ("HBM2", 3.9)]
)
def test_dram(name: str, per_bit: float) -> None:
    for action in ("read", "write", "update"):
        assert energy("DRAM", action, {"type": name, "width": 64}).energy_pj == pytest.approx(64 * per_bit)
    assert energy("DRAM", "leak", {"type": name, "width": 64}).energy_pj == 0
    assert area("DRAM", {"type": name, "width": 64}) == 0
    assert Dram().energy("DRAM", {"type": name, "width": 64}, "fly", "here") is None


def test_dram_by_default_and_unknown() -> None:
    assert energy("DRAM", "read", {"width": 128}).energy_pj == 1024
    with pytest.raises(HwsimError, match="'DDR9' has no price; known: LPDDR4, LPDDR, DDR3, GDDR5, HBM2"):
        energy("DRAM", "read", {"type": "DDR9", "width": 64})
    with pytest.raises(HwsimError, match="'width' is missing"):
        energy("DRAM", "read", {"type": "DDR3"})


def sram(figure: str, **attributes: object) -> float:
    at = {"technology": "45nm", "width": 64, "depth": 16384} | attributes
    return area("SRAM", at) if figure == "area" else energy("SRAM", figure, at).energy_pj


def test_sram_on_the_grid() -> None:
    """CACTI's own figures at 45 nm, 64 bits × 16384, 1 bank; mW for 1 ns are pJ, mm² are 10⁶ µm²."""
    figures = {"read": 32.2859, "write": 26.065, "update": 26.065, "leak": 0.00334055, "area": 429_589}
    for figure, value in figures.items():
        assert sram(figure) == pytest.approx(value)
    assert sram("leak", global_cycle_seconds=4e-9) == pytest.approx(4 * 0.00334055)
    assert sram("read", n_banks=4) == pytest.approx(30.2369)
    assert sram("leak", n_banks=32) == pytest.approx(0.00520682)
    assert sram("read", n_banks=64) == pytest.approx(27.7923), "more banks than the table's cost what its most do"
    source = energy("SRAM", "read", {"technology": "45nm", "width": 64, "depth": 16384}).source
    assert "64 bits × 16384, 1 bank, 45 nm" in source and "polated" not in source


def test_sram_off_the_grid() -> None:
    """Depth, width and banks along powers: half way between two points in logarithms is their geometric mean."""
    assert sram("read", width=32, depth=math.sqrt(64 * 80)) == pytest.approx(math.sqrt(0.671565 * 0.696769))
    assert sram("area", width=32, depth=math.sqrt(64 * 80)) == pytest.approx(1e6 * math.sqrt(0.00105536 * 0.00123976))
    assert sram("write", technology="65nm", n_banks=2) == pytest.approx(math.sqrt(49.595 * 53.9354))
    assert sram("leak", technology="65nm", n_banks=2) == pytest.approx(math.sqrt(0.0216052 * 0.0250837))
    # nodes on a line: 40 nm is 8/13 of the way from 32 to 45
    assert sram("read", technology="40nm") == pytest.approx(18.1554 + 8 / 13 * (32.2859 - 18.1554))
    assert sram("leak", technology="40nm") == pytest.approx(0.00564529 + 8 / 13 * (0.00334055 - 0.00564529))
    said = energy("SRAM", "read", {"technology": "40nm", "width": 64, "depth": 16384}).source
    assert "40 nm (interpolated)" in said
    said = energy("SRAM", "read", {"technology": "45nm", "width": 64, "depth": 70000}).source
    assert "(extrapolated)" in said


def test_sram_beyond_the_nodes() -> None:
    """Above 90 nm with the square of the node, below 22 nm energy with its root, leakage with 0.79 of that."""
    assert sram("read", technology="180nm") == pytest.approx(4 * 123.62)
    assert sram("area", technology="180nm") == pytest.approx(4 * 1_549_940)
    half = math.sqrt(11 / 22)
    assert sram("read", technology="11nm") == pytest.approx(half * 7.40229)
    assert sram("leak", technology="11nm") == pytest.approx(0.79 * half * 0.0195391)
    assert sram("area", technology="11nm") == pytest.approx(11 / 22 * 118_839)


def test_small_sram() -> None:
    """16 bits × 32 from CACTI's least, 32 bits × 64: leakage and area by the bits, energy by Accelergy's rule."""
    assert sram("leak", width=16, depth=32) == pytest.approx(1.16591e-05 / 4)
    assert sram("area", width=16, depth=32) == pytest.approx(1055.36 / 4)
    assert sram("write", width=16, depth=32) == pytest.approx(1.10514 * (0.7 / 2 + 0.3) * 0.5**0.78)
    assert sram("write", width=32, depth=32) == pytest.approx(1.10514 * 0.5**0.78)


def test_compound_components_by_hand() -> None:
    """simple_ws at 45 nm and 1 ns: a buffer is its array and an address adder per direction."""
    architecture, _ = load_architecture("simple_ws")
    own = price_architecture(architecture)
    adder = 0.21 * 14 / 32  # 14 bits of address for 16384 rows
    assert own.price("shared_glb", "read") == pytest.approx(32.2859 + adder)
    read = own.actions["shared_glb"]["read"]
    assert read.estimator == "CACTI + Aladdin" and read.source.startswith("CACTI 7 SRAM, 64 bits × 16384")
    assert read.source.endswith("(Accelergy Aladdin plug-in)"), "what adds less than 1 pJ is named, too"
    assert own.price("shared_glb", "update") == own.price("shared_glb", "write") == pytest.approx(26.065 + adder)
    assert own.price("shared_glb", "leak") == pytest.approx(0.00334055 + 2 * 0.0023 * 14 / 32)
    assert own.area_um2["shared_glb"] == pytest.approx(429_589 + 2 * 278 * 14 / 32)
    assert own.area_um2["mac"] == pytest.approx(278 / 2 + 6350 / 16)
    assert own.area_um2["weight_reg"] == pytest.approx(16 * 5.98)
    assert own.area_um2["DRAM"] == 0
    slow = load_architecture("simple_ws", [Setting.parse("system.global_cycle_seconds=3.0e-9")])[1]
    assert slow.price("shared_glb", "leak") == pytest.approx(3 * own.price("shared_glb", "leak"))
    assert slow.price("shared_glb", "read") == own.price("shared_glb", "read")


def test_register_file_by_hand() -> None:
    """smartbuffer_RF of 16 bits × 16 is priced as 32 × 64 (2048 registers, 64 comparators), and scaled down."""
    rf = """
architecture:
  version: 0.4
  nodes:
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, technology: 45nm}}
  - !Component {name: rf, class: smartbuffer_RF, attributes: {depth: 16, width: 16, technology: 45nm}}
  - !Component {name: mac, class: intmac, attributes: {technology: 45nm}}
"""
    from hwsim.design.load import build_design

    built = build_design(parse_document(rf, "rf.yaml"))
    architecture, own = built.architecture, built.energy
    address = 4  # bits for 16 rows
    share = 16 / 32 * (16 / 64) ** 0.78
    assert own.price("rf", "read") == pytest.approx(share * (32 * 0.009 + 64 * 0.02947) + 0.21 * address / 32)
    assert own.price("rf", "write") == pytest.approx(share * 64 * 0.02947 + 0.21 * address / 32)
    assert own.price("rf", "leak") == pytest.approx(16 / 32 * 16 / 64 * 64 * 2.51e-5 + 2 * 0.0023 * address / 32)
    file = 2048 * 5.98 + 64 * 71
    assert own.area_um2["rf"] == pytest.approx(16 / 32 * 16 / 64 * file + 2 * 278 * address / 32)
    assert own.price("mac", "compute") == pytest.approx(0.105 + 12.68 / 4), "16 bits by default"
    assert architecture.storages[1].capacity == 16


def test_nanometres() -> None:
    for value, nm in (("45nm", 45), ("45 nm", 45), (" 7nm ", 7), ("6.5nm", 6.5), (45, 45), (45e-9, 45), (7e-9, 7)):
        assert nanometres(value) == nm
    for value in ("nm", "45um", "-45nm", "45nm5", 0, -1, math.inf, math.nan, True, None, [], 1e-12, 20_000, "x" * 9999):
        assert nanometres(value) is None, value


# --- prices that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [64, Fraction(1, 4), np.float32(0.5), np.int64(3), 0, MAX_PRICE])
def test_any_real_number_is_a_price(value: Any) -> None:
    action = Action(value)
    assert type(action.energy_pj) is float and action.energy_pj == float(value)
    assert EnergyTable({"DRAM": {"read": action}}, {}).price("DRAM", "read") == float(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, -1e-9, 1e31, 10**400, True, "64", None, 1j, [1.0]])
def test_what_is_no_price_is_refused(value: Any) -> None:
    with pytest.raises(HwsimError, match="the energy of an action"):
        Action(value)
    with pytest.raises(HwsimError, match="the area of component 'DRAM'"):
        EnergyTable({}, {"DRAM": value})


def test_a_table_holds_actions() -> None:
    with pytest.raises(HwsimError, match=r"'read' of component 'DRAM' should be an Action, found int; Action\(64\.0\)"):
        EnergyTable({"DRAM": {"read": 64}}, {})  # type: ignore[dict-item]


def test_missing_prices_name_the_nearest() -> None:
    table = EnergyTable({"DRAM": {"read": Action(1)}}, {}, "mine")
    with pytest.raises(HwsimError, match=r"mine: component 'DRM' has no energy table\. Did you mean 'DRAM'\?"):
        table.price("DRM", "read")
    with pytest.raises(
        HwsimError, match=r"mine: action 'raed' of component 'DRAM' has no price\. Did you mean 'read'\?"
    ):
        table.price("DRAM", "raed")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("*.technology=.inf", "found inf"),
        ("*.technology=.nan", "found nan"),
        ("*.technology=0", "found 0"),
        ("*.technology=-45", "found -45"),
        ("*.technology=1.0e+9", "1 to 10,000 nm"),
        ("shared_glb.depth=.inf", "at most 2^53"),
        ("shared_glb.depth=.nan", "at least 0"),
        ("shared_glb.width=1152921504606846976", "at most 2^53"),
        ("*.global_cycle_seconds=0", "clock cycle"),
        ("*.global_cycle_seconds=.nan", "clock cycle"),
        ("*.global_cycle_seconds=2", "clock cycle"),
        ("shared_glb.global_cycle_seconds=fast", "clock cycle"),
        ("shared_glb.read_bandwidth=1.0e-9", "words per cycle"),
        ("mac.multiplier_width=-8", "above 0"),
        ("mac.multiplier_width=.inf", "above 0"),
        ("mac.multiplier_width=1.0e+17", "the energy of an action"),
    ],
)
def test_absurd_attributes_are_refused_where_they_arise(text: str, said: str) -> None:
    with pytest.raises(HwsimError) as caught:
        load_architecture("simple_ws", [Setting.parse(text)])
    assert said in caught.value.message and caught.value.where, caught.value


def test_larger_memories_cost_more_far_beyond_the_table() -> None:
    """CACTI's last steps have slopes that cross; extrapolated both ways at once, the largest cost nothing."""
    for technology in (22, 32, 45, 65, 90):
        for figure in ("read", "write", "leak", "area"):
            costs = [sram(figure, technology=technology, width=2**k, depth=2 ** (k + 7)) for k in range(9, 40)]
            assert all(a < b for a, b in itertools.pairwise(costs))


def test_a_price_beyond_all_measure_is_refused() -> None:
    architecture, _ = load_architecture("simple_ws")
    with pytest.raises(HwsimError, match="the energy of an action is") as caught:
        price_architecture(architecture, [parse_document(SQUARED, "own.yaml")])
    assert "simple_ws.yaml: mac" in caught.value.where or "own.yaml" in caught.value.where


SQUARED = """
- name: intmac
  attributes: {technology: must_specify, size: 1.0e+15}
  subcomponents: [{name: array, class: SRAM, attributes: {width: size, depth: size}}]
  actions: [{name: compute, energy_scale: size, subcomponents: [{name: array, actions: [{name: read}]}]}]
"""


@pytest.mark.parametrize("value", [".inf", ".nan", "-1", "1.0e+31", "true", "x", "[1]", "null"])
def test_a_table_file_with_what_is_no_price(tmp_path: Path, value: str) -> None:
    folder = Path(__file__).parents[2] / "arch_specs"
    (tmp_path / "a.yaml").write_text((folder / "simple_ws.yaml").read_text())
    table = (folder / "simple_ws.ert.yaml").read_text()
    assert "energy: 32.377775" in table
    (tmp_path / "a.ert.yaml").write_text(table.replace("energy: 32.377775", f"energy: {value}"))
    with pytest.raises(HwsimError) as caught:
        load_architecture(tmp_path / "a.yaml")
    assert "a.ert.yaml: ERT.tables[1].actions[0]" in caught.value.where and "energy" in str(caught.value)


SCALED = """
- name: intmac
  attributes: {technology: must_specify}
  subcomponents:
  - {name: adder, class: aladdin_adder, area_scale: 2, energy_scale: 3}
  - {name: "many[1..4]", class: intadder}
  area_scale: 5
  actions:
  - name: compute
    energy_scale: 7
    subcomponents:
    - {name: adder, actions: [{name: add, energy_scale: 11}]}
    - {name: "many[2..3]", actions: [{name: add, arguments: {width: 8}}]}
    - {name: "many[1]", actions: [{name: add}]}
"""


def test_scales_by_hand() -> None:
    """0.21 pJ · 3 · 11, two adders of 8 bits (0.0525 pJ), one of 32, all 7 times; areas 2 · 278 + 4 · 278, 5 times."""
    own = price_architecture(load_architecture("simple_ws")[0], [parse_document(SCALED, "own.yaml")])
    assert own.price("mac", "compute") == pytest.approx(7 * (0.21 * 33 + 2 * 0.0525 + 0.21))
    assert own.area_um2["mac"] == pytest.approx(5 * 6 * 278)


@pytest.mark.parametrize("value", ["true", "[1]", "x", "-1", ".inf", ".nan", "1.0e+31"])
def test_scales_that_are_none(value: str) -> None:
    book = parse_document(SCALED.replace("energy_scale: 11", f"energy_scale: {value}"), "own.yaml")
    with pytest.raises(HwsimError, match="expected a number from 0 to 1e") as caught:
        price_architecture(load_architecture("simple_ws")[0], [book])
    assert caught.value.where.endswith("energy_scale")


@pytest.mark.parametrize("span", ["[3..1]", "[a..b]", "[1..2.0e+18]", "[1..[2]]"])
def test_ranges_that_are_none(span: str) -> None:
    book = parse_document(SCALED.replace("many[1..4]", f"many{span}"), "own.yaml")
    with pytest.raises(HwsimError, match=r"no range of instances|is no name"):
        price_architecture(load_architecture("simple_ws")[0], [book])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: compute", "name: compote", "class 'intmac' has no action 'compute'. Did you mean 'compote'?"),
        ("class: intadder", "class: intader", "no estimator prices the class 'intader'. Did you mean 'intadder'?"),
        ("{name: adder, actions", "{name: addre, actions", "no subcomponent 'addre'. Did you mean 'adder'?"),
        ("name: add, energy_scale: 11", "name: fly", "action 'fly' of class 'aladdin_adder' has no price"),
        ("technology: must_specify", "speed: must_specify", "attribute 'speed' is missing; class 'intmac' needs it"),
        ("many[1..4]", "ma]ny", "is no name of a subcomponent"),
    ],
)
def test_classes_that_are_none(old: str, new: str, said: str) -> None:
    assert old in SCALED
    with pytest.raises(HwsimError) as caught:
        design = load_architecture("simple_ws")[0]
        price_architecture(design, [parse_document(SCALED.replace(old, new), "own.yaml")]).priced()
    assert said in caught.value.message and caught.value.where


def test_a_class_of_itself() -> None:
    itself = SCALED.replace("class: intadder", "class: intmac")
    itself = itself.replace("{name: add, arguments: {width: 8}}", "{name: compute}")
    with pytest.raises(HwsimError, match="deeper than 12 levels; does 'intmac' contain itself"):
        price_architecture(load_architecture("simple_ws")[0], [parse_document(itself, "own.yaml")])


def test_parts_without_end(tmp_path: Path) -> None:
    """A class of ten parts, of ten parts each, twelve deep, would be 10¹² parts."""
    adder = {"name": "c11", "actions": [{"name": "compute"}]}
    classes = [
        {
            "name": f"c{k}",
            "subcomponents": [{"name": f"p{i}", "class": f"c{k + 1}"} for i in range(10)],
            "actions": [
                {
                    "name": "compute",
                    "subcomponents": [{"name": f"p{i}", "actions": [{"name": "compute"}]} for i in range(10)],
                }
            ],
        }
        for k in range(11)
    ]
    book = parse_document(yaml.safe_dump({"classes": [*classes, adder]}), "deep.yaml")
    architecture, _ = load_architecture("simple_ws")
    with pytest.raises(HwsimError, match="more than 10,000 parts"):
        price_architecture(replace(architecture, compute=replace(architecture.compute, component="c0")), [book])


def test_what_classes_read() -> None:
    assert class_attributes("smartbuffer_SRAM") == {"technology", "width", "depth", "address_bits"}
    assert class_attributes("SRAM") == {"technology", "width", "depth", "n_banks", "global_cycle_seconds"}
    assert class_attributes("DRAM") == {"type", "width"}
    assert class_attributes("aladdin_multiplier") == {"width_a", "width_b", "technology", "global_cycle_seconds"}
    assert class_attributes("nothing") == frozenset()
    assert Sram().attributes("DRAM") == ()
