"""Files as people have them: each kind beside a plain file that says the same, or with the figure that Timeloop gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.design import load_specs

ARCH = """
architecture:
  version: 0.4
  nodes:
  - !Container {name: sys, attributes: {technology: "45nm", global_cycle_seconds: 1.0e-9}}
  - !Component {name: DRAM, class: DRAM, attributes: {width: 64, datawidth: 8}}
  - !Component {name: buf, class: SRAM, attributes: {depth: 1024, width: 32, datawidth: 8}}
  - !Component {name: mac, class: intmac, attributes: {multiplier_width: 8, adder_width: 16}}
"""
PROBLEM = """
problem:
  version: 0.4
  shape:
    name: mm
    dimensions: [M, K, N]
    data_spaces:
    - {name: A, projection: [[[M]], [[K]]]}
    - {name: B, projection: [[[K]], [[N]]]}
    - {name: Z, projection: [[[M]], [[N]]], read_write: true}
  instance: {M: 4, K: 8, N: 2}
"""
MAPPING = """
mapping:
- {target: DRAM, type: temporal, factors: [M=4], permutation: [M, K, N]}
- {target: buf, type: temporal, factors: [K=8, N=2], permutation: [K, N, M]}
"""


def table(name: str, **prices: float) -> str:
    actions = ", ".join(f"{{name: {action}, arguments: {{}}, energy: {pj}}}" for action, pj in prices.items())
    return f"  - {{name: {name}, actions: [{actions}]}}\n"


HEAD = "ERT:\n  version: 0.4\n  tables:\n"
DRAM = table("DRAM", read=80, write=80, update=80, leak=0)
BUF = table("buf", read=4, write=6, update=8, leak=0.5)
MAC = table("mac", compute=2)
ERT = HEAD + DRAM + BUF + MAC
CONSTRAINTS = """
mapspace_constraints:
  version: 0.4
  targets:
  - {target: buf, type: temporal, factors: [M=1, K=1, N=1]}
  - {target: buf, type: bypass, keep: [A], bypass: [B, Z]}
"""
CLASS = """
components:
  version: 0.4
  classes:
  - name: smartbuffer_mine
    attributes: {technology: must_specify, depth: must_specify, width: must_specify, global_cycle_seconds: must_specify}
    subcomponents:
    - {name: storage, class: SRAM, attributes: {depth: depth, width: width}}
    actions:
    - {name: read, subcomponents: [{name: storage, actions: [{name: read}]}]}
    - {name: write, subcomponents: [{name: storage, actions: [{name: write}]}]}
    - {name: update, subcomponents: [{name: storage, actions: [{name: update}]}]}
    - {name: leak, subcomponents: [{name: storage, actions: [{name: leak}]}]}
"""
MINE = ARCH.replace("class: SRAM", "class: smartbuffer_mine")


def changed(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


class Files:
    """Writes texts as files of one folder and runs a command on them."""

    def __init__(self, folder: Path, run: Any) -> None:
        self.folder = folder
        self.run = run
        self.notes = ""

    def __call__(self, command: str, *texts: str) -> dict[str, Any]:
        names = []
        for k, text in enumerate(texts):
            names.append(self.folder / f"f{k}.yaml")
            names[-1].write_text(text)
        run = self.run(command, *names, "--json")
        assert run.code == 0, run.err
        self.notes = run.err
        found: Any = json.loads(run.out)
        return dict(found[0] if isinstance(found, list) else found)


@pytest.fixture
def files(hwsim: Any, tmp_path: Path) -> Files:
    return Files(tmp_path, hwsim)


def figures(found: dict[str, Any]) -> tuple[int, float]:
    return found["cycles"], pytest.approx(found["energy_pj"], rel=1e-9)


def test_the_plain_files(files: Files) -> None:
    assert figures(files("evaluate", ARCH, PROBLEM, MAPPING, ERT)) == (64, 1104.0)  # timeloop-model 4cf6d4c


SAME: dict[str, Callable[[], tuple[str, ...]]] = {
    "an undefined variable with a default": lambda: (
        changed(ARCH, "width: 32, datawidth: 8}", "width: 32, datawidth: {{bits|default(8)}} }"), PROBLEM, MAPPING, ERT,
    ),
    "a problem merged deep": lambda: (
        ARCH, changed(PROBLEM, "problem:\n", "base_ignore: &base\n").replace("K: 8", "K: 1, H: 1")
        + "problem:\n  <<<: *base\n  instance: {M: 4, K: 8, N: 2}\n", MAPPING, ERT,
    ),
    "sizes that the shape has no use for": lambda: (
        ARCH, changed(PROBLEM, "N: 2}", "N: 2, H: 224, W: 224, Hpad: 0}"), MAPPING, ERT,
    ),
    "no leakage of what has none": lambda: (ARCH, PROBLEM, MAPPING, HEAD + changed(DRAM, ", {name: leak, arguments: {}, energy: 0}", "") + BUF + MAC),
    "attributes like known ones": lambda: (changed(ARCH, "{depth", "{nbanks: 2, num-ports: 2, depth"), PROBLEM, MAPPING, ERT),
    "a cycle of a second": lambda: (changed(ARCH, "1.0e-9", "1"), PROBLEM, MAPPING, ERT),
    "a storage of depth 0": lambda: (
        changed(ARCH, "  - !Component {name: mac", "  - !Component {name: mark, class: regfile, attributes: {depth: 0, width: 8, datawidth: 8}, constraints: {dataspace: {bypass: [A, B, Z]}}}\n  - !Component {name: mac"),
        PROBLEM, MAPPING, ERT + table("mark", read=9, write=9, update=9, leak=0),
    ),
    "a dummy without a price that does nothing": lambda: (
        changed(ARCH, "  - !Component {name: mac", "  - !Component {name: mark, class: dummy_storage, attributes: {technology: -1, depth: 1, width: 1, datawidth: 1}, constraints: {dataspace: {bypass: [A, B, Z]}}}\n  - !Component {name: mac"),
        PROBLEM, MAPPING, ERT,
    ),
    "scales of a table's components": lambda: (changed(ARCH, "class: SRAM,", "class: SRAM, energy_scale: 3,"), PROBLEM, MAPPING, ERT),
    "variables in a list": lambda: (
        changed(ARCH, "depth: 1024", "depth: half * 2"), PROBLEM, MAPPING, ERT, "variables: [{version: 0.4}, {quarter: 256}, {half: quarter * 2}]",
    ),
    "required actions, and what is off": lambda: (
        changed(ARCH, "class: SRAM,", "class: SRAM, required_actions: [read], enabled: true,"), PROBLEM, MAPPING, ERT,
    ),
    "variables that nothing needs": lambda: (
        ARCH, PROBLEM, MAPPING, ERT, "variables: {shares: '[0.2] * 8', other: encoded(shares), nothing: 1 / 0}",
    ),
    "an attribute that Python files give": lambda: (
        changed(ARCH, "{depth", "{bits: encoded(8), depth"), PROBLEM, MAPPING, ERT,
    ),
    "levels by number": lambda: (ARCH, PROBLEM, changed(changed(MAPPING, "target: DRAM", "target: 1"), "target: buf", "target: 0"), ERT),
    "what the front end writes": lambda: (
        ARCH, PROBLEM, MAPPING, ERT, "dumped_by_timeloop_front_end: true\nART: {tables: []}\nERT_summary: {}\nmapspace: {version: 0.4, template: uber}\nglobals: {version: 0.4, environment_variables: {}, expression_custom_functions: [], accelergy_plug_ins: []}\narchitecture_constraints: {targets: []}\ncompound_components: {version: 0.4, classes: []}",
    ),
    "libconfig's words in YAML": lambda: (
        "arch:\n  arithmetic: {name: mac, instances: 1, word-bits: 8}\n  storage:\n  - {name: buf, entries: 4096, word-bits: 8, block-size: 4}\n  - {name: DRAM, technology: DRAM, word-bits: 8, block-size: 8}\n",
        PROBLEM, MAPPING, ERT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SAME, ids=str)
def test_the_same_in_other_words(files: Files, kind: str) -> None:
    assert figures(files("evaluate", *SAME[kind]())) == (64, 1104.0)
    assert "not priced" not in files.notes


@pytest.mark.parametrize(
    ("tables", "energy"),
    [
        (HEAD + table("DRAM", read=80, write=80, update=80) + table("buf", read=4, write=6, update=8) + MAC, 1072.0),
        # an access costs what it costs: 5 × 80 · … as with read, write and update of 4 pJ, and no leakage
        (HEAD + DRAM + table("buf", access=4) + MAC, 984.0),
        (HEAD + DRAM + table("buf", read=4, write=4, leak=0) + MAC, 984.0),  # a missing update costs a write
        (
            HEAD + DRAM + table("buf", random_read=4, read=9, random_fill=4, write=9, random_update=4, update=9) + MAC,
            984.0,
        ),
        (HEAD + DRAM + BUF + table("mac", mac_random=2, compute=5), 1104.0),
    ],
)
def test_what_tables_leave_out(files: Files, tables: str, energy: float) -> None:
    """Timeloop's rules: write for a missing update, nothing for a missing leakage."""
    assert figures(files("evaluate", ARCH, PROBLEM, MAPPING, tables)) == (64, energy)


def test_no_first_read_elision(files: Files) -> None:
    """64 + … reads of Z and as many fills as tiles: 1204 pJ, timeloop-model 4cf6d4c with the variable set."""
    switch = "globals: {version: 0.4, environment_variables: {TIMELOOP_ENABLE_FIRST_READ_ELISION: %s}}"
    assert figures(files("evaluate", ARCH, PROBLEM, MAPPING, ERT, switch % 0)) == (64, 1204.0)
    assert figures(files("evaluate", ARCH, PROBLEM, MAPPING, ERT, switch % 1)) == (64, 1104.0)
    assert not files.notes


CLASSES = {
    "the class": CLASS,
    "lists of lists of classes": changed(CLASS, "  - name: smart", "  - - name: smart").replace("\n    ", "\n      "),
    "ranges of arguments": changed(CLASS, "{name: write, subcomponents: [{name: storage, actions: [{name: write}]}]}", "{name: write, arguments: {data_delta: 0..1, address_delta: 0..n_banks}, subcomponents: [{name: storage, actions: [{name: write, arguments: {data_delta: data_delta, address_delta: address_delta}}]}]}"),
    "a part without bits": changed(changed(CLASS, "    actions:\n", "    - {name: meta, class: aladdin_register, attributes: {width: 0}}\n    actions:\n"), "[{name: storage, actions: [{name: read}]}]", "[{name: storage, actions: [{name: read}]}, {name: meta, actions: [{name: read}]}]"),
    "an attribute beside it": changed(CLASS, "{depth: depth, width: width}", "{depth: half * 2, half: 512, width: width}"),
    "shares of v0.3": changed(changed(CLASS, "{depth: depth, width: width}}", "{depth: depth, width: width}, area_share: 1}"), "actions: [{name: read}]", "actions: [{name: read, repeat: 2, action_share: 0.5}]"),
    "access alone": changed(CLASS, "    - {name: read, sub", "    - {name: random_read, sub"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES, ids=str)
def test_compound_classes(files: Files, kind: str) -> None:
    """A class that hands everything to an SRAM costs what the SRAM does."""
    plain = files("evaluate", ARCH, PROBLEM, MAPPING)
    assert figures(files("evaluate", MINE, PROBLEM, MAPPING, CLASSES[kind])) == figures(plain)


def test_a_class_without_update_and_leakage(files: Files) -> None:
    plain = files("evaluate", ARCH, PROBLEM, MAPPING)["levels"]["buf"]
    lines = [line for line in CLASS.splitlines() if "name: update" not in line and "name: leak" not in line]
    own = files("evaluate", MINE, PROBLEM, MAPPING, "\n".join(lines))["levels"]["buf"]
    assert own["leakage_pj"] == 0 < plain["leakage_pj"]
    assert own["data_spaces"] == plain["data_spaces"]  # an SRAM's update is a write


@pytest.mark.parametrize("place", ["class: SRAM, energy_scale: 2,", "class: SRAM, attributes: {energy_scale: 2, "])
def test_energy_scale(files: Files, place: str) -> None:
    """A scale beside the class or among the attributes scales what the component is estimated at, and nothing else."""
    plain = files("evaluate", ARCH, PROBLEM, MAPPING)
    old = "class: SRAM, attributes: {" if "attributes" in place else "class: SRAM,"
    scaled = files("evaluate", changed(ARCH, old, place), PROBLEM, MAPPING)
    for name, level in scaled["levels"].items():
        factor = 2 if name == "buf" else 1
        assert level["leakage_pj"] == pytest.approx(factor * plain["levels"][name]["leakage_pj"])
        for space, costs in level["data_spaces"].items():
            assert costs["energy_pj"] == pytest.approx(
                factor * plain["levels"][name]["data_spaces"][space]["energy_pj"]
            )


def test_prices_in_the_architecture(files: Files) -> None:
    """Of an access, before a table; of a compute, where there is no table. By hand: (words / block) · pJ."""
    own = changed(ARCH, "{width: 64,", "{vector_access_energy: 64, width: 64,").replace("{mult", "{energy: 3, mult")
    with_table, without = (files("evaluate", own, PROBLEM, MAPPING, *more) for more in ((ERT,), ()))
    for found, mac in ((with_table, 2), (without, 3)):
        # A: 32 words once, B: 16 words four times … the reads and updates of the plain table are of 8 words each
        spaces = found["levels"]["DRAM"]["data_spaces"]
        words = {name: [x[k] for k in ("reads", "fills", "updates")] for name, x in spaces.items()}
        accesses = {name: sum(-(-n // 8) for n in counts) for name, counts in words.items()}
        assert {name: x["energy_pj"] for name, x in spaces.items()} == {n: 64 * a for n, a in accesses.items()}
        assert found["compute"]["energy_pj"] == 64 * mac


@pytest.mark.parametrize(
    "constraints",
    [
        changed(CONSTRAINTS, "mapspace_constraints", "mapspace"),
        changed(CONSTRAINTS, "mapspace_constraints", "extra_mapping_constraints"),
        changed(CONSTRAINTS, "mapspace_constraints", "constraints"),
        changed(CONSTRAINTS, "{target", "{name"),
        changed(changed(CONSTRAINTS, "mapspace_constraints", "mapspace"), "  targets:", "  constraints: mine\n  mine:"),
        changed(changed(CONSTRAINTS, "mapspace_constraints", "mapspace"), "  targets:", "  constraints: mine\n  constraints_mine:"),
        changed(CONSTRAINTS, "target: buf", "target: 0"),
        "mapspace_constraints:\n- {target: buf, constraints: [{type: temporal, attributes: {factors: M=1 K=1 N=1}}, {type: bypassing, keep: [A], bypass: [B, Z]}]}\n",
    ],
    ids=range(8),
)  # fmt: skip
def test_constraints_under_all_their_names(files: Files, constraints: str) -> None:
    wanted = figures(files("map", ARCH, PROBLEM, CONSTRAINTS, ERT))
    assert wanted != figures(files("map", ARCH, PROBLEM, ERT))
    assert figures(files("map", ARCH, PROBLEM, constraints, ERT)) == wanted


SPATIAL = "- !Container {name: PE, spatial: {meshX: 2}, constraints: {spatial: {permutation: [M, N, K], split: %s}}}\n"


def test_expressions_in_constraints(files: Files) -> None:
    def arch(split: str) -> str:
        return changed(ARCH, "- !Component {name: mac", SPATIAL % split + "  - !Component {name: mac")

    wanted = files("map", arch("3"), PROBLEM)
    assert figures(files("map", arch("len(spec.problem.instance)"), PROBLEM)) == figures(wanted)


def test_branches_that_a_file_of_constraints_keeps(files: Files) -> None:
    """What a branch of `!Parallel` keeps may stand beside the architecture."""
    branch = "- !Parallel\n    nodes:\n    - !Component {name: ra, class: regfile, attributes: {depth: 4, width: 8, datawidth: 8}%s}\n    - !Component {name: rz, class: regfile, attributes: {depth: 4, width: 8, datawidth: 8}%s}\n  "
    kept = ", constraints: {dataspace: {keep: [%s]}}"
    inline, apart = (
        changed(ARCH, "- !Component {name: mac", branch % parts + "- !Component {name: mac")
        for parts in ((kept % "A", kept % "Z"), ("", ""))
    )
    keeps = (
        "constraints: {targets: [{target: ra, type: dataspace, keep: [A]}, {target: rz, type: dataspace, keep: [Z]}]}"
    )
    assert figures(files("map", apart, PROBLEM, keeps)) == figures(files("map", inline, PROBLEM))


OLD = """
architecture:
  version: 0.3
  subtree:
  - name: system
    attributes: {technology: 45nm, n_pe: 8}
    local:
    - {name: DRAM, class: DRAM, attributes: {width: 64, block-size: 8, word-bits: 8}}
    - {name: glb, class: SRAM, attributes: {depth: 4096, width: 64, block-size: 8, word-bits: 8}}
    - {name: "dummy[0..3]", class: regfile, attributes: {depth: 16, width: 8, word-bits: 8, block-size: 1, meshX: 4}}
    subtree:
    - name: "PE[0..7]"
      local:
      - {name: spad, class: regfile, attributes: {depth: 16, width: 8, word-bits: 8, block-size: 1, meshX: 4}}
      - {name: mac, class: intmac, attributes: {datawidth: 8, meshX: 4}}
"""
OLD_ERT = HEAD + "".join(
    table(name, read=pj, write=pj, update=pj, leak=0)
    for name, pj in (("system.DRAM", 80), ("system.glb", 8), ('"system.dummy[0..3]"', 0), ('"system.PE[0..7].spad"', 1))
) + table('"system.PE[0..7].mac"', compute=2)  # fmt: skip
OLD_PROBLEM = (
    changed(PROBLEM, "M: 4, K: 8, N: 2", "M: 4, K: 2, N: 6")
    .replace("data_spaces", "data-spaces")
    .replace("read_write", "read-write")
)
OLD_MAPPING = """
mapping:
- {target: DRAM, type: temporal, factors: M=1 K=1 N=1, permutation: MKN}
- {target: glb, type: temporal, factors: M=1 K=1 N=6, permutation: MKN}
- {target: glb, type: spatial, factors: M=4 K=1 N=1, permutation: MKN, split: 3}
- {target: dummy, type: bypass, keep: [], bypass: [A, B, Z]}
- {target: dummy, type: temporal, factors: M=1 K=1 N=1, permutation: MKN}
- {target: dummy, type: spatial, factors: M=1 K=2 N=1, permutation: MKN, split: 0}
- {target: spad, type: temporal, factors: M=1 K=1 N=1, permutation: MKN}
"""  # fmt: skip


def test_a_spatial_directive_names_the_storage_outside(files: Files) -> None:
    """Of a tree, also where that storage is itself instantiated: 4 · 2 of 8 PEs, 6 steps; timeloop-model 4cf6d4c."""
    assert figures(files("evaluate", OLD, OLD_PROBLEM, OLD_MAPPING, OLD_ERT)) == (6, 848.0)
    limits = "mapspace_constraints:\n- {target: %s, type: spatial, factors: K=1 N=1}\n- {target: %s, type: spatial, factors: M=1 N=1}\n- {target: dummy, type: bypass, bypass: [A, B, Z]}\n"
    outside = files("map", OLD, OLD_PROBLEM, limits % ("glb", "dummy"), OLD_ERT)
    assert figures(files("map", OLD, OLD_PROBLEM, limits % ("dummy", "spad"), OLD_ERT)) == figures(outside)
    spread = {x["target"]: x["factors"] for x in outside["mapping"] if x["type"] == "spatial"}
    assert spread == {"inter_dummy_spatial": "M=4 K=1 N=1", "inter_spad_spatial": "M=1 K=2 N=1"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("PE[0..7]", "PE[0..n_pe-1]"),
        ("PE[0..7]", "PE[1..n_pe]"),
        ("meshX: 4}}\n\n", "meshX: 4}}\n\n"),
        ("datawidth: 8, meshX: 4}}", "datawidth: 8, meshX: 4}, required_actions: [compute], enabled: true}"),
        ("datawidth: 8, meshX: 4}}\n", "datawidth: 8, meshX: 4}}\n      subtree: []\n"),
    ],
)
def test_trees_in_other_words(files: Files, old: str, new: str) -> None:
    tree = (OLD + "\n").replace(old, new)
    assert figures(files("evaluate", tree, OLD_PROBLEM, OLD_MAPPING, OLD_ERT)) == (6, 848.0)


def test_units_of_a_tree_that_are_not_modelled_are_told_of(files: Files) -> None:
    wires = changed(
        OLD,
        '    subtree:\n    - name: "PE',
        '    - {name: wires, class: XY_NoC, attributes: {n_PE: 8}}\n    subtree:\n    - name: "PE',
    )
    files("evaluate", wires, OLD_PROBLEM, OLD_MAPPING, OLD_ERT + table("system.wires", transfer_random=4))
    assert "'wires' of class 'XY_NoC'" in files.notes and "not counted" in files.notes


def test_networks_among_nodes_are_told_of(files: Files) -> None:
    wires = changed(
        ARCH, "- !Component {name: mac", "- !Component {name: wires, class: SimpleMulticast}\n  - !Component {name: mac"
    )
    assert figures(files("evaluate", wires, PROBLEM, MAPPING, ERT)) == (64, 1104.0)
    assert "'wires' of class 'SimpleMulticast'" in files.notes and "not counted" in files.notes


def test_dummies_in_a_row(files: Files) -> None:
    """Two fan-outs, each under a dummy of the front end's: M over two columns, K over two rows, two steps."""
    dummy = "    - {name: 'inter_%s_spatial[1..%d]', class: dummy_storage, attributes: {width: 1, depth: 1, datawidth: 1, technology: -1, meshX: %d, meshY: 1}}\n"
    arch = (
        "architecture:\n  version: '0.4'\n  subtree:\n  - name: top\n    attributes: {technology: 45nm}\n    local:\n"
        "    - {name: 'DRAM[1..1]', class: DRAM, attributes: {width: 8, datawidth: 8}}\n"
        + dummy % ("col", 1, 1) + dummy % ("row", 2, 2)
        + "    - {name: 'mac[1..4]', class: intmac, attributes: {meshX: 2, meshY: 2}}\n"
    )  # fmt: skip
    bypass = "- {target: inter_%s_spatial, type: datatype, keep: [], bypass: [A, B, Z]}\n"
    mapping = (
        "mapping:\n- {target: DRAM, type: datatype, keep: [A, B, Z], bypass: []}\n"
        "- {target: DRAM, type: temporal, factors: M=1 K=2, permutation: MK}\n"
        + bypass % "col" + "- {target: inter_col_spatial, type: spatial, factors: M=2 K=1, permutation: MK, split: 2}\n"
        "- {target: inter_col_spatial, type: temporal, factors: M=1 K=1, permutation: MK}\n"
        + bypass % "row" + "- {target: inter_row_spatial, type: spatial, factors: M=1 K=2, permutation: MK, split: 0}\n"
        "- {target: inter_row_spatial, type: temporal, factors: M=1 K=1, permutation: MK}\n"
    )  # fmt: skip
    problem = "problem: {shape: {name: mv, dimensions: [M, K], data_spaces: [{name: A, projection: [[[M]], [[K]]]}, {name: B, projection: [[[K]]]}, {name: Z, projection: [[[M]]], read_write: true}]}, instance: {M: 2, K: 4}}"
    found = files("evaluate", arch, mapping, problem)
    reads = {name: space["reads"] for name, space in found["levels"]["DRAM"]["data_spaces"].items()}
    # 8 weights, 4 inputs multicast to both columns; sums of both rows stay at the multipliers for both steps
    assert found["cycles"] == 2 and reads == {"A": 8, "B": 4, "Z": 0}
    assert found["levels"]["DRAM"]["data_spaces"]["Z"]["updates"] == 2


def test_an_early_form(files: Files) -> None:
    """v0.1: storages from the inside out, their attributes beside the name; timeloop-model 4cf6d4c."""
    arch = "arch:\n  arithmetic: {name: MACs, instances: 2, meshX: 2, word-bits: 8}\n  storage:\n  - {name: spad, entries: 16, instances: 2, meshX: 2, word-bits: 8}\n  - {name: DRAM, technology: DRAM, instances: 1, word-bits: 8}\n"
    mapping = "mapping:\n- {target: DRAM, type: temporal, factors: M=4 K=4 N=1, permutation: MKN}\n- {target: DRAM, type: spatial, factors: M=1 K=2 N=1, permutation: KMN, split: 3}\n- {target: spad, type: temporal, factors: M=1 K=1 N=2, permutation: NMK}\n"
    ert = HEAD + DRAM + table('"spad[0..1]"', read=1, write=1, update=1, leak=0) + table('"MACs[0..1]"', compute=2)
    assert figures(files("evaluate", arch, PROBLEM, mapping, ert)) == (32, 8784.0)


def test_the_layer_of_old_has_k_and_no_m(files: Files) -> None:
    sizes = "R: 1, S: 1, P: 4, Q: 2, C: 8, N: 1"
    wanted = figures(files("map", ARCH, f"problem: {{shape: conv, {sizes}, M: 4}}", ERT))
    assert figures(files("map", ARCH, f"problem: {{shape: cnn-layer, {sizes}, K: 4}}", ERT)) == wanted
    assert figures(files("map", ARCH, f"problem: {{{sizes}, K: 4}}", ERT)) == wanted, "the shape where none is named"
    limits = "mapspace: [{target: buf, type: temporal, factors: K=1, permutation: KPQ}]"
    assert files("map", ARCH, f"problem: {{shape: cnn-layer, {sizes}, K: 4}}", ERT, limits)["cycles"] > 0


def test_what_is_not_acted_on(hwsim: Any, tmp_path: Path) -> None:
    """A word that would change figures is an error, one that cannot is told of; none is dropped."""
    refused = {
        "mapper: {algoritm: random}": "unknown key 'algoritm' of mapper. Did you mean 'algorithm'",
        "sparse_optimizations: {targets: [{name: bfu, action_optimization: 1}]}": "neither a memory nor the datapath",
        "mapspace: [{target: buf, type: max_overbooked_proportion, proportion: 0.1}]": "not modelled",
        "mapspace: [{target: buf, type: temporal, default_min_factor: 2}]": "'default_min_factor' is not modelled",
        "mapspace: {targets: [], other: 1}": "unknown key 'other' of constraints",
        "layout: [{target: buf}]": "data layouts are not modelled",
        "globals: {environment_variables: {TIMELOOP_DISABLE_TEMPORAL_EXTRAPOLATION: 1}}": "changes Timeloop's counts",
        "globals: {envronment_variables: {}}": "unknown key 'envronment_variables' of globals",
        "problm: 1": "unknown key 'problm'. Did you mean 'problem'",
    }  # fmt: skip
    told = {
        "mapper: {max_temporal_loops_in_a_mapping: 3}": "mappings with more temporal loops than this are searched, too",
        "mapper: {algorithm: random, timeout: 10}": "algorithm, timeout: not used",
        "globals: {expression_custom_functions: [f.py]}": "functions that Python files define are not run: f.py",
        "globals: {accelergy_plug_ins: [p]}": "plug-ins of Accelergy are not run",
        "globals: {environment_variables: {HOME: 1}}": "HOME = 1 has no effect",
        "mapspace: {template: ruby}": "'ruby' is not searched",
        "ignore_this: 1": "",
        "globals: {environment_variables: {TIMELOOP_HIDE_INCONSEQUENTIAL_STATS: 1}}": "",
    }
    names = []
    for k, text in enumerate((ARCH, PROBLEM, ERT)):
        names.append(tmp_path / f"f{k}.yaml")
        names[-1].write_text(text)
    more = tmp_path / "more.yaml"
    for text, message in refused.items():
        more.write_text(text)
        run = hwsim("map", *names, more)
        assert run.code == 2 and message in run.err, (text, run.err)
    for text, message in told.items():
        more.write_text(text)
        run = hwsim("map", *names, more, "--json")
        assert run.code == 0 and message in run.err and bool(run.err) == bool(message), (text, run.err)


def test_one_bad_file_of_several(hwsim: Any, tmp_path: Path) -> None:
    """Each file has its own result or its own error, in order."""
    (tmp_path / "parts.yaml").write_text(ARCH + PROBLEM + ERT)
    texts = {"a": MAPPING, "b": changed(MAPPING, "M=4", "M=3"), "c": "mapping: [", "d": MAPPING}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    paths = [tmp_path / f"{name}.yaml" for name in ("parts", *texts)]
    run = hwsim("evaluate", *paths, "--json")
    found = json.loads(run.out)
    assert run.code == 2 and [x.get("cycles") for x in found] == [64, None, None, 64]
    assert "multiply to 3" in found[1]["error"]["reason"] and "b.yaml" in found[1]["error"]["where"]
    assert "not valid YAML" in found[2]["error"]["reason"] and "c.yaml" in found[2]["error"]["where"]
    run = hwsim("evaluate", *paths)
    assert run.code == 2 and run.out.count("64 cycles") == 2 and len(run.err.splitlines()) == 2


def test_prices_of_several_files_and_of_any_tree(hwsim: Any, tmp_path: Path) -> None:
    """Pricing needs no datapath and no hierarchy; classes may stand beside the architecture."""
    for name, text in (("arch", MINE), ("comp", CLASS), ("plain", ARCH)):
        (tmp_path / f"{name}.yaml").write_text(text)
    both, plain = (
        hwsim("energy", tmp_path / "arch.yaml", tmp_path / "comp.yaml"),
        hwsim("energy", tmp_path / "plain.yaml"),
    )
    assert both.code == 0 and both.out.split()[10:] == plain.out.replace("plain", "arch").split()[10:]
    tree = tmp_path / "tree.yaml"
    tree.write_text(
        "architecture:\n  version: 0.3\n  subtree:\n  - name: chip\n    attributes: {technology: 45nm}\n    local:\n    - {name: adder, class: intadder, attributes: {width: 16}}\n    - {name: buf, class: SRAM, attributes: {width: 32, depth: 1024}}\n    subtree: []\n"
    )
    run = hwsim("energy", tree)
    assert run.code == 0 and "adder" in run.out and "CACTI" in run.out and "expected one compute unit" in run.err


LIMITS = "{dataspace: {keep: [A]}, temporal: {factors: [M<=2], permutation: [K]}}"
CONSTRAINED = changed(
    changed(ARCH, "width: 32, datawidth: 8}", f"width: 32, datawidth: 8, read_bandwidth: 2, network_drain_latency: 3}}, constraints: {LIMITS}"),
    "- !Component {name: mac", SPATIAL % 1 + "  - !Component {name: mac",
)  # fmt: skip


@pytest.mark.parametrize(
    "texts",
    [
        (ARCH, PROBLEM, MAPPING, ERT),
        (MINE, PROBLEM, MAPPING, CLASS),
        (OLD, OLD_PROBLEM, OLD_MAPPING, OLD_ERT),
        SAME["libconfig's words in YAML"](),
        (CONSTRAINED, PROBLEM, MAPPING, ERT),
    ],
    ids=("plain", "own classes", "a tree", "the early form", "constraints"),
)  # fmt: skip
def test_import(hwsim: Any, tmp_path: Path, texts: tuple[str, ...]) -> None:
    """One file that says the same: architecture, prices, the mapping's cost; importing it again changes nothing."""
    names = []
    for k, text in enumerate(texts):
        names.append(tmp_path / f"f{k}.yaml")
        names[-1].write_text(text)
    clean, again = tmp_path / "clean.yaml", tmp_path / "again.yaml"
    run = hwsim("import", *names, "-o", clean)
    assert run.code == 0, run.err
    before, after = (json.loads(hwsim("evaluate", *paths, "--json").out)[0] for paths in (names, [clean]))
    before.pop("notes", None)
    assert after == before
    (old,), (new,) = load_specs(names), load_specs([clean])
    assert new.architecture.levels == old.architecture.levels and new.problem == old.problem
    assert hwsim("import", clean, "-o", again).code == 0 and again.read_text() == clean.read_text()


def test_libconfig_is_named(hwsim: Any, tmp_path: Path) -> None:
    old = tmp_path / "sample.cfg"
    old.write_text("arch:\n{\n  arithmetic: { instances = 4; word-bits = 8; };\n};\n")
    run = hwsim("map", old)
    assert run.code == 2 and "libconfig" in run.err


def test_a_bad_part_of_a_specification_is_not_left_out(hwsim: Any, tmp_path: Path) -> None:
    """Prices that cannot be read are not replaced by estimates; the error stands on stderr, too, beside JSON."""
    (tmp_path / "prices.yaml").write_text("ERT: {version: 0.4, tables: [\x0e]}\n")
    for name, text in (("arch", ARCH), ("problem", PROBLEM), ("mapping", MAPPING)):
        (tmp_path / f"{name}.yaml").write_text(text)
    files = [tmp_path / f"{name}.yaml" for name in ("arch", "prices", "problem", "mapping")]
    for more in ([], ["--json"]):
        found = hwsim("evaluate", *more, *files)
        assert found.code == 2 and "prices.yaml" in found.err and "energy_pj" not in found.out
