"""The small grammars of specifications, each value by hand: attributes, constraints, tables, mappings."""

from pathlib import Path
from typing import Any

import pytest

from hwsim.architecture import (
    OTHERS,
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Fanout,
    LoopConstraint,
    Storage,
)
from hwsim.design import load_specs
from hwsim.errors import HwsimError
from hwsim.mapping import Loop
from hwsim.spec.architecture import check_branches, read_nodes
from hwsim.spec.constraints import directive, factors, merge, permutation, read_node_constraints
from hwsim.spec.document import Field, parse_document
from hwsim.spec.ert import read_ert
from hwsim.spec.legacy import apply_constraints, find_level, read_tree
from hwsim.spec.mapping import mapping_to_timeloop, read_mapping
from hwsim.spec.nodes import check_attributes
from hwsim.spec.problem import read_problem
from hwsim.workloads.problem import conv, matmul


def field(text: str) -> Field:
    return parse_document(text, "f.yaml")


def said(text: str, read: Any) -> str:
    with pytest.raises(HwsimError) as caught:
        read(field(text))
    assert caught.value.where.startswith("f.yaml")
    return caught.value.message


# --- attributes of a memory -----------------------------------------------------------------------------------------


def storage(attributes: str, kind: str = "SRAM") -> Storage:
    nodes = (
        "nodes:\n- !Component {name: DRAM, class: DRAM, attributes: {width: 64}}\n"
        f"- !Component {{name: m, class: {kind}, attributes: {{{attributes}}}}}\n"
        "- !Component {name: mac, class: intmac}\n"
    )
    level = read_nodes(field(nodes), {}, "a").level("m")
    assert isinstance(level, Storage)
    return level


@pytest.mark.parametrize(
    ("attributes", "figures"),  # depth, width, datawidth, block_size, cluster_size, capacity
    [
        ("depth: 8", (8, 16, 16, 1, 1, 8)),
        ("depth: 8, width: 64", (8, 64, 16, 4, 1, 32)),
        ("depth: 8, width: 64, datawidth: 8", (8, 64, 8, 8, 1, 64)),
        ("depth: 8, width: 64, block_size: 2", (8, 64, 16, 2, 2, 16)),
        ("depth: 8, width: 64, cluster_size: 4", (8, 64, 16, 1, 4, 8)),
        ("depth: 8, block_size: 2, cluster_size: 3", (8, 96, 16, 2, 3, 16)),
        ("entries: 9, block_size: 2", (5, 32, 16, 2, 1, 10)),
        ("sizeKB: 1, width: 64", (128, 64, 16, 4, 1, 512)),
        ("sizeKB: 0.5, datawidth: 8", (512, 8, 8, 1, 1, 512)),
        ("memory_depth: 8, memory_width: 32, word-bits: 8", (8, 32, 8, 4, 1, 32)),
        ("data_storage_depth: 4, data_storage_width: 16, word_bits: 4, n_words: 4", (4, 16, 4, 4, 1, 16)),
        ("depth: 8, multiple_buffering: 2", (8, 16, 16, 1, 1, 4)),
        ("depth: 9, multiple-buffering: 2", (9, 16, 16, 1, 1, 4)),
    ],
)
def test_memories(attributes: str, figures: tuple[int, ...]) -> None:
    m = storage(attributes)
    assert (m.depth, m.width, m.datawidth, m.block_size, m.cluster_size, m.capacity) == figures


@pytest.mark.parametrize(
    ("attributes", "limits"),
    [
        ("", (None, None, None)),
        ("bandwidth: 16", (8, 8, None)),
        ("bandwidth: 16, read_bandwidth: 3", (3, 8, None)),
        ("read_bandwidth: 2, write_bandwidth: 0.5", (2, 0.5, None)),
        ("shared_bandwidth: 4", (None, None, 4)),
        ("rw_bandwidth: 4, bandwidth: 2", (1, 1, 4)),
        ("read_bandwidth: 1.0e-6", (1e-6, None, None)),
    ],
)
def test_bandwidths(attributes: str, limits: tuple[float | None, ...]) -> None:
    m = storage("depth: 8, " + attributes)
    assert (m.read_bandwidth, m.write_bandwidth, m.shared_bandwidth) == limits


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ("depth: 8, width: 40", "(2 × 1 × 16)"),
        ("depth: 8, width: 8", "(0 × 1 × 16)"),
        ("depth: 8, width: 64, block_size: 3", "is not block_size × cluster_size × datawidth"),
        ("depth: 1.5", "'depth' of 'm' is 1.5; expected a whole number"),
        ("depth: -3", "'depth' of 'm' is -3; expected at least 0"),
        ("depth: deep", "should be a number"),
        ("depth: true", "should be a number"),
        ("depth: 8, read_bandwidth: 0", "leave it out"),
        ("depth: 8, write_bandwidth: 9.0e-7", "expected at least 1e-06"),
        ("depth: 8, multiple_buffering: 0.5", "expected at least 1"),
        ("depth: 8, min_utilization: 1.001", "a share of the capacity"),
        ("depth: 9007199254740993", "at most 2^53"),
        ("deptth: 8", "Did you mean 'depth'"),
    ],
)
def test_memories_that_are_none(attributes: str, message: str) -> None:
    with pytest.raises(HwsimError) as caught:
        storage(attributes)
    assert message in caught.value.message and "nodes[1]" in caught.value.where


def test_unbounded_and_utilization() -> None:
    assert storage("width: 16", "DRAM").capacity is None
    assert storage("depth: 9007199254740992").depth == 2**53
    half = storage("depth: 9, min-utilization: 0.5")
    assert half.constraints.min_utilization == 0.5 and half.min_words == 5
    assert storage("depth: 8, min_utilization: 1").min_words == 8


def test_attributes_are_few() -> None:
    check_attributes(field("{" + ", ".join(f"x{k}z: 1" for k in range(500)) + "}"))
    assert "more than 500" in said("{" + ", ".join(f"x{k}z: 1" for k in range(501)) + "}", check_attributes)


# --- hierarchies ----------------------------------------------------------------------------------------------------


NODES = """
name: named
description: of a test
nodes:
- !Container {name: chip, attributes: {technology: 45nm, datawidth: 8, global_cycle_seconds: 2.0e-9}}
- !Component {name: DRAM, class: DRAM, attributes: {width: 64}}
- !Container {name: off, enabled: false, spatial: {meshX: 99}}
- !Nothing
- !Hierarchical
  nodes:
  - !Component {name: buffer, class: storage, subclass: smartbuffer_SRAM, spatial: {mesh_X: 2}, attributes: {depth: 8}}
- !Parallel
  nodes:
  - !Component {name: w, class: regfile, attributes: {depth: 1}, constraints: {dataspace: {keep: [Weights]}}}
  - !Nothing
  - !Hierarchical
    nodes:
    - !Component {name: i, class: register, attributes: {depth: 1}, constraints: {dataspace: {keep: [Inputs]}}}
- !Component {name: mac, class: compute, subclass: intmac, spatial: {meshX: 3, meshY: 5}}
"""


def test_nodes() -> None:
    design = read_nodes(field(NODES), {}, "file")
    assert (design.name, design.description, design.source) == ("named", "of a test", "f.yaml")
    assert design.cycle_seconds == 2e-9 and design.containers == {"chip"}
    assert [x.name for x in design.levels] == ["DRAM", "buffer_instances", "buffer", "w", "i", "mac_instances"]
    assert [(x.name, x.mesh_x, x.mesh_y, x.target) for x in design.fanouts] == [
        ("buffer_instances", 2, 1, "inter_buffer_spatial"),
        ("mac_instances", 3, 5, "inter_mac_spatial"),
    ]
    assert [x.component for x in design.storages] == ["DRAM", "smartbuffer_SRAM", "regfile", "register"]
    assert (design.compute.name, design.compute.component) == ("mac", "intmac")
    assert design.compute_instances == 30
    assert [design.instances(x) for x in ("DRAM", "buffer", "w", "mac")] == [1, 2, 2, 30]
    assert design.instances("buffer_instances") == 2
    bound = design.bind(("Weights", "Inputs", "Outputs"))
    assert bound.level("w").constraints.bypass == {"Inputs", "Outputs"}
    assert design.level("w").constraints.bypass == {OTHERS}
    assert {x.datawidth for x in design.storages} == {8}
    with pytest.raises(KeyError):
        design.level("nobody")
    with pytest.raises(KeyError):
        design.instances("nobody")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keep: [Inputs]", "keep: [Weights]", "'Weights' is kept by two branches"),
        ("constraints: {dataspace: {keep: [Inputs]}}", "", "should say what it holds"),
        ("class: register, ", "class: register, spatial: {meshX: 2}, ", "cannot fan out"),
        ("!Component {name: DRAM, class: DRAM, attributes: {width: 64}}", "!Nothing", "no storage outside it feeds"),
        ("class: compute, subclass: intmac", "class: wire", "is neither a memory"),
        ("name: w,", "name: buffer,", "two nodes have the name 'buffer'"),
        (
            "!Component {name: mac",
            "!Component {name: early, class: mac}\n- !Component {name: mac",
            "nothing can follow",
        ),
        ("name: buffer,", "name: buffer, colour: red,", "unknown key 'colour' of !Component"),
        ("!Container {name: chip", "!Box {name: chip", "tag '!Box'"),
        ("!Container {name: chip", "{name: chip", "no tag"),
        ("2.0e-9", "2", "clock cycle"),
    ],
)
def test_nodes_that_are_none(old: str, new: str, message: str) -> None:
    assert old in NODES
    assert message in said(NODES.replace(old, new, 1), lambda f: check_branches(read_nodes(f, {}, "a")))


OLD = """
subtree:
- name: system
  local: [{name: DRAM, class: DRAM, attributes: {width: 64}}]
  subtree:
  - name: chip
    attributes: {technology: 45nm, global_cycle_seconds: 3.0e-9}
    local:
    - {name: wire, class: network}
    - {name: "glb[0..3]", class: SRAM, attributes: {depth: 64, width: 16, meshX: 2}}
    subtree:
    - name: PE[0..7]
      local:
      - {name: "mac[0..1]", class: intmac, attributes: {meshX: 8}}
"""


def test_the_older_form() -> None:
    """4 buffers in 2 columns, 16 multipliers in 8 columns: below a buffer 4 lie in one row."""
    text = OLD.replace(
        "mac[0..1], class: intmac, attributes: {meshX: 8}", "mac[0..1], class: intmac, attributes: {meshX: 8}"
    )
    design = read_tree(field(text), {}, "old")
    assert [(x.name, x.mesh_x, x.mesh_y) for x in design.fanouts] == [("glb_instances", 2, 2), ("mac_instances", 4, 1)]
    assert [x.name for x in design.levels] == ["DRAM", "glb_instances", "glb", "mac_instances"]
    assert design.cycle_seconds == 3e-9 and design.compute_instances == 16
    in_a_row = read_tree(field(OLD.replace(", meshX: 2", "").replace("meshX: 8", "meshX: 16")), {}, "old")
    assert [(x.mesh_x, x.mesh_y) for x in in_a_row.fanouts] == [(4, 1), (4, 1)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("PE[0..7]", "PE[0..6]", "which is no multiple of the 4"),
        ("meshX: 8", "meshX: 7", "do not make a grid"),
        ("meshX: 8", "meshX: 6", "do not make a grid"),
        (
            "local: [{name: DRAM, class: DRAM, attributes: {width: 64}}]",
            "local: []",
            "4 instances, but nothing outside them",
        ),
        ('name: "glb[0..3]"', 'name: "DRAM[0..3]"', "two levels have the name 'DRAM'"),
        ("class: network", "class: intmac", "one compute unit (class mac, intmac …), found 2"),
        ("PE[0..7]", "PE[0..16777216]", "instances of 'PE'"),
    ],
)
def test_older_forms_that_are_none(old: str, new: str, message: str) -> None:
    assert old in OLD
    found = said(OLD.replace(old, new, 1), lambda f: read_tree(f, {}, "a"))
    assert message in found


# --- constraints ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C=3 M=4", [("C", "=", 3), ("M", "=", 4)]),
        ("C3 M4", [("C", "=", 3), ("M", "=", 4)]),
        ("C=3,M=4; P=0", [("C", "=", 3), ("M", "=", 4), ("P", "=", 0)]),
        ("[P<=4, Q>=2, Rx=1]", [("P", "<=", 4), ("Q", ">=", 2), ("Rx", "=", 1)]),
        ("P < 4  Q > 2", [("P", "<=", 3), ("Q", ">=", 3)]),
        ("{C: 3, M_2: 4}", [("C", "=", 3), ("M_2", "=", 4)]),
        ("null", []),
        ("''", []),
    ],
)
def test_factors(text: str, found: list[tuple[str, str, int]]) -> None:
    assert factors(field(text)) == found


def test_factors_that_are_none() -> None:
    assert "'=3' is not a factor" in said("'C=2 =3'", factors)
    assert "expected factors" in said("5", factors)
    assert "expected text" in said("[[C]]", factors)
    assert "too small" in said("{C: -1}", factors)
    assert factors(field("'" + "C1 " * 666 + "'")) == [("C", "=", 1)] * 666
    assert "characters" in said("'" + "C1 " * 667 + "'", factors)


@pytest.mark.parametrize("text", ["[C, M, P]", "'C, M, P'", "C M P", "CMP"])
def test_permutations(text: str) -> None:
    assert permutation(field(text)) == ("C", "M", "P")


def test_directives() -> None:
    time = directive(
        "temporal", field("{factors: C=2, permutation: [M], no_reuse: [A], no_temporal_reuse: B, rmw_first_update: O}")
    )
    assert time.temporal == LoopConstraint(
        (FactorConstraint("C", "=", 2),), ("M",), no_reuse=frozenset("AB"), rmw_first_update=frozenset("O")
    )
    space = directive(
        "spatial",
        field("{factors_only: C<=2, split: 1, no_link_transfer: [A], no_multicast_no_reduction: [B], "
              "no_iteration_over_dataspaces: [I], default_max_factor: 3, maximize_dims: [[C, M], [P]]}"),
    )  # fmt: skip
    assert space.spatial == LoopConstraint(
        (FactorConstraint("C", "<=", 2),), (), 1, no_multicast=frozenset("B"), no_link_transfer=frozenset("A"),
        others_one=True, no_iteration=frozenset("I"), max_factor=3,
    )  # fmt: skip
    assert space.maximize_dims == (("C", "M"), ("P",))
    assert directive("bypass", field("{keep: [A], bypass: [B]}")) == Constraints(
        keep=frozenset("A"), bypass=frozenset("B")
    )
    only = directive("dataspace", field("{keep_only: [A]}"))
    assert (only.keep, only.bypass) == (frozenset("A"), frozenset({OTHERS}))
    assert directive("datatype", field("{bypass_only: [A]}")).bypass == frozenset("A")
    for least in (0, 1, 0.25):
        assert directive("utilization", field(f"{{min: {least}}}")).min_utilization == least


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("utilization", "{min: 1.0001}", "from 0 to 1"),
        ("utilization", "{min: -0.0001}", "from 0 to 1"),
        ("utilization", "{min: true}", "from 0 to 1"),
        ("utilization", "{most: 1}", "unknown key 'most'"),
        ("bypass", "{keep: [A], bypass: [A]}", "both kept and bypassed"),
        ("temporal", "{split: 1}", "unknown key 'split'"),
        ("spatial", "{rmw_first_update: A}", "unknown key"),
        ("spatial", "{split: -1}", "too small"),
        ("spatial", "{default_max_factor: 0}", "too small"),
        ("wild", "{}", "unknown constraint type 'wild'"),
    ],
)
def test_directives_that_are_none(kind: str, text: str, message: str) -> None:
    assert message in said(text, lambda f: directive(kind, f))


def test_constraints_together() -> None:
    a = Constraints(
        LoopConstraint((FactorConstraint("C", "=", 2),), ("M",), None, frozenset("A"), frozenset("D"), max_factor=4),
        LoopConstraint(split=1, no_multicast=frozenset("E"), no_link_transfer=frozenset("G")),
        frozenset("KX"), frozenset("B"), 0.5, (("C",),),
    )  # fmt: skip
    b = Constraints(
        LoopConstraint((FactorConstraint("P", "=", 1),), (), None, frozenset("Z"), frozenset("H"), others_one=True,
                       no_iteration=frozenset("I")),
        LoopConstraint(split=0, no_multicast=frozenset("J"), no_link_transfer=frozenset("L")),
        frozenset("B"), frozenset("X"), 0.25, (("P",),),
    )  # fmt: skip
    both = merge(a, b)
    assert both.temporal == LoopConstraint(
        (FactorConstraint("C", "=", 2), FactorConstraint("P", "=", 1)), ("M",), None, frozenset("AZ"), frozenset("DH"),
        others_one=True, no_iteration=frozenset("I"), max_factor=4,
    )  # fmt: skip
    assert both.spatial == LoopConstraint(split=0, no_multicast=frozenset("EJ"), no_link_transfer=frozenset("GL"))
    assert (both.keep, both.bypass) == (frozenset("KB"), frozenset("X"))
    assert both.min_utilization == 0.5 and both.maximize_dims == (("C",), ("P",))
    again = merge(b, a)
    assert again.spatial.split == 1 and again.temporal.permutation == ("M",) and again.temporal.max_factor == 4
    assert again.min_utilization == 0.5 and (again.keep, again.bypass) == (frozenset("KX"), frozenset("B"))


def test_constraints_as_mapping_and_as_list() -> None:
    listed = read_node_constraints(field("[{type: utilization, min: 0.5}, {type: dataspace, keep: [A]}]"))
    assert listed == read_node_constraints(field("{utilization: {min: 0.5}, dataspace: {keep: [A]}}"))
    assert said("{utilisation: {min: 1}}", read_node_constraints).endswith("Did you mean 'utilization'?")


SMALL = Architecture(
    "small",
    (
        Storage("DRAM", "DRAM", None, 16, 16, 1),
        Fanout("PE", 2, 2),
        Storage("pad", "SRAM", 8, 16, 16, 1),
        Fanout("mac_instances", 2, 1, of="mac"),
    ),
    Compute("mac", "intmac"),
)


@pytest.mark.parametrize(
    ("target", "kind", "name"),
    [
        ("DRAM", "temporal", "DRAM"),
        ("DRAM", "spatial", "PE"),
        ("PE", "utilization", "PE"),
        ("inter_PE_spatial", "spatial", "PE"),
        ("pad", "spatial", "mac_instances"),
        ("pad", "dataspace", "pad"),
        ("mac", "spatial", "mac_instances"),
        ("inter_mac_spatial", "utilization", "mac_instances"),
    ],
)
def test_what_a_target_means(target: str, kind: str, name: str) -> None:
    assert find_level(SMALL, Field(target, "f.yaml"), kind).name == name


def test_constraints_of_a_file() -> None:
    text = "targets: [{target: pad, type: bypass, keep: [A]}, {target: DRAM, type: spatial, split: 1}, {target: PE, type: utilization, min: 1}]"
    found = apply_constraints(SMALL, field(text))
    assert found.level("pad").constraints.keep == {"A"}
    assert found.level("PE").constraints.spatial.split == 1 and found.level("PE").constraints.min_utilization == 1
    assert found.level("DRAM").constraints == Constraints()
    assert "no level 'pda'" in said("[{target: pda, type: bypass}]", lambda f: apply_constraints(SMALL, f))
    flat = Architecture("flat", (Storage("DRAM", "DRAM", None, 16, 16, 1),), Compute("mac", "intmac"))
    assert "no fan-out at 'DRAM'" in said(
        "[{target: DRAM, type: spatial, factors: C=2}]", lambda f: apply_constraints(flat, f)
    )


# --- tables ---------------------------------------------------------------------------------------------------------


ERT = """
source: a book
tables:
- name: chip.DRAM
  actions: [{name: random_read, energy: 1}, {name: read, energy: 9}, {name: random_write, energy: 2}, {name: idle, energy: 3}]
- name: chip.PE[0..3].pad
  actions: [{name: read, energy: 4}, {name: read, energy: 5}, {name: fill, energy: 6}, {name: update, energy: 7}, {name: leak, energy: 0}]
- name: mac[0..7]
  actions: [{name: mac_random, energy: 8}, {name: compute, energy: 1}]
"""


def test_tables() -> None:
    table = read_ert(field(ERT), SMALL)
    prices = {(c, a): x.energy_pj for c, t in table.actions.items() for a, x in t.items()}
    assert prices == {
        ("DRAM", "read"): 1, ("DRAM", "write"): 2, ("DRAM", "update"): 2, ("DRAM", "leak"): 3,
        ("pad", "read"): 5, ("pad", "write"): 6, ("pad", "update"): 7, ("pad", "leak"): 0,
        ("mac", "compute"): 8,
    }  # fmt: skip
    assert {(x.estimator, x.source) for t in table.actions.values() for x in t.values()} == {("ERT", "a book")}
    without = read_ert(field(ERT.replace("source: a book\n", "")), SMALL)
    assert without.actions["mac"]["compute"].source == "ERT of f.yaml"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: chip.DRAM", "name: chip.DARM", "component 'DRAM' has no table. Did you mean 'DARM'?"),
        (
            "{name: random_read, energy: 1}, {name: read, energy: 9}, ",
            "",
            "action 'read' has no price; it may be called",
        ),
        ("mac_random", "mac_often", ""),
        ("{name: mac_random, energy: 8}, {name: compute, energy: 1}", "{name: x, energy: 1}", "Present: x"),
        ("energy: 5", "energy: five", "expected an energy in pJ"),
        ("energy: 5", "energy: -0.001", "expected an energy in pJ"),
        ("energy: 5", "energy: 1.1e+30", "0 to 1e+30"),
    ],
)
def test_tables_that_are_none(old: str, new: str, message: str) -> None:
    assert old in ERT
    text = ERT.replace(old, new, 1).replace(", ]", "]")
    if not message:
        assert read_ert(field(text), SMALL).price("mac", "compute") == 1, "the next name it may have"
        return
    with pytest.raises(HwsimError) as caught:
        read_ert(field(text), SMALL).priced()
    assert message in caught.value.message


# --- files ----------------------------------------------------------------------------------------------------------


def test_an_architecture_by_name_or_beside(tmp_path: Path) -> None:
    """``arch`` names one that comes with hwsim, or a file in the specification's own folder and nowhere else."""
    (tmp_path / "own.yaml").write_text(
        "architecture: {nodes: [!Component {name: DRAM, class: DRAM, attributes: {width: 64}}, "
        "!Component {name: mac, class: intmac, attributes: {technology: 45}}]}"
    )
    (tmp_path / "below").mkdir()
    spec = tmp_path / "spec.yaml"
    for arch, levels in (("simple_ws", 7), ("own.yaml", 1)):
        spec.write_text(f"arch: {arch}\nproblem: {{shape: matmul}}\n")
        (loaded,) = load_specs([spec], "problem")
        assert len(loaded.architecture.levels) == levels and loaded.mapping is None
    (tmp_path / "below" / "spec.yaml").write_text("arch: ../own.yaml\nproblem: {shape: matmul}\n")
    spec.write_text("arch: simple_wss\nproblem: {shape: matmul}\n")
    for path, hint in ((tmp_path / "below" / "spec.yaml", "no architecture"), (spec, "Did you mean 'simple_ws'?")):
        with pytest.raises(HwsimError, match="no such file beside this one") as caught:
            load_specs([path], "problem")
        assert hint in caught.value.message and caught.value.where.endswith("spec.yaml: arch")


def test_parts_given_twice_or_not_at_all(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.yaml", tmp_path / "part.yaml"
    whole.write_text("arch: simple_ws\nproblem: {shape: matmul}\nmapping: []\n")
    part.write_text("problem: {shape: matmul}\n")
    with pytest.raises(HwsimError, match=r"given twice: in .*whole\.yaml and in .*part\.yaml"):
        load_specs([whole, part])
    with pytest.raises(HwsimError, match="no 'mapping' in the files"):
        load_specs([part])
    part.write_text("mapping: []\n")
    with pytest.raises(HwsimError, match=r"'architecture' .* is missing"):
        load_specs([part])
    part.write_text("mapping: []\narch: simple_ws\n")
    with pytest.raises(HwsimError, match="'problem' is missing"):
        load_specs([part])
    part.write_text("mpping: []\n")
    with pytest.raises(HwsimError, match=r"unknown key 'mpping'\. Did you mean 'mapping'"):
        load_specs([part])
    part.write_text("[]\n")
    with pytest.raises(HwsimError, match="expected a mapping with"):
        load_specs([part])
    with pytest.raises(HwsimError, match="no such file"):
        load_specs([tmp_path / "none.yaml"])
    with pytest.raises(HwsimError, match="a folder"):
        load_specs([tmp_path])


# --- problems and mappings ------------------------------------------------------------------------------------------


def test_problems() -> None:
    assert read_problem(field("{shape: conv, C: 2, P: 3, Wstride: 2}"), {}) == conv({"C": 2, "P": 3}, wstride=2)
    assert read_problem(field("{kind: bmm, instance: {M: k, C: k * 2}}"), {"k": 3}) == matmul({"M": 3, "C": 6})
    custom = """
    shape:
      dimensions: [A, B]
      coefficients: [{name: s, default: 2}, {name: t}]
      data-spaces:
      - {name: X, projection: [[[A, s], [B]], "B*t*3 + A"]}
      - {name: Y, projection: [A], read-write: true}
    instance: {A: 4, t: 5, densities: {X: 1.0}}
    """
    problem = read_problem(field(custom), {})
    assert problem.kind == "custom" and problem.dims == (("A", 4), ("B", 1))
    assert problem.data_spaces[0].projection == (((2, "A"), (1, "B")), ((15, "B"), (1, "A")))
    assert [x.read_write for x in problem.data_spaces] == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{C: 2}", "'shape' is missing"),
        ("{shape: cnov, C: 2}", "unknown shape 'cnov'. Did you mean 'conv'?"),
        ("{shape: conv, Z: 2}", "'Z' is not a size of the shape 'conv'"),
        ("{shape: matmul, Wstride: 2}", "'Wstride' is not a size"),
        ("{shape: conv, C: 0}", "too small"),
        ("{shape: conv, C: 2.5}", "whole number"),
        ("{shape: conv, densities: {Inputs: 1.5}}", "a density is a share of nonzeros, 0 to 1"),
        ("{shape: conv, densities: {Inputs: {density: 0.5}}}", "'distribution' is missing"),
        ("{shape: conv, densities: {Inptus: 0.5}}", "unknown data space 'Inptus'"),
        ("{shape: conv, densities: {Inputs: {distribution: unifrom, density: 0.5}}}", "unknown distribution"),
        ("{shape: conv, densities: {Inputs: {distribution: banded, density: 0.5}}}", "unknown key 'density'"),
        ("{shape: conv, densities: {Inputs: {distribution: fixed, density: 1, confidence: 0.9}}}", "'confidence'"),
        ("{shape: {dimensions: [A], data_spaces: [{name: X, projection: [[[A, B]]]}]}}", "neither a dimension nor a coefficient"),
        ("{shape: {dimensions: [A, B], data_spaces: [{name: X, projection: [A*B]}]}}", "multiplies two dimensions"),
        ("{shape: {dimensions: [A], data_spaces: [{name: X, projection: ['3']}]}}", "has no dimension"),
        ("{shape: {dimensions: [A], data_spaces: [{name: X, projection: [A], read_write: true}]}}", "at least one data space"),
        ("{shape: {dimensions: [A], data_spaces: [{name: X, projection: [A]}, {name: X, projection: [A]}]}}", "the name 'X'"),
        ("{shape: {dimensions: [A], data_spaces: [{name: X, projection: [A]}, {name: Y, projection: [A]}]}}", "found 0"),
        ("{shape: {dimensions: [A], coefficients: [{name: s}], data_spaces: []}}", "neither a default nor a value"),
        ("{shape: {dimensions: [A], coefficients: [{name: s, default: 0}], data_spaces: []}}", "too small"),
        ("{shape: {dimensions: [A], coefficients: [{name: s}], data_spaces: []}, instance: {s: 0}}", "too small"),
        ("{shape: {dimensions: [A], data_spaces: []}, instance: {a: 1}}", "'a' is neither"),
    ],
)  # fmt: skip
def test_problems_that_are_none(text: str, message: str) -> None:
    assert message in said(text, lambda f: read_problem(f, {}))


def test_mappings() -> None:
    text = """
- {target: DRAM, type: temporal, factors: C=2 M=1 P=0, permutation: PC}
- {target: PE, type: spatial, factors: M=4, permutation: CM, split: 2}
- {target: pad, type: bypass, keep: [Weights], bypass: [Outputs]}
- {target: inter_mac_spatial, type: spatial, factors: C2}
- {target: inter_once_spatial, type: spatial, factors: C1}
"""
    problem = matmul({"C": 4, "M": 4, "P": 3})
    mapping, places = read_mapping(field(text), SMALL, problem)
    dram, pe, pad, mac = mapping.levels
    assert [x for x in dram.temporal if x.bound > 1] == [Loop("C", 2), Loop("P", 3)], "outer → inner"
    assert [x for x in pe.spatial if x.bound > 1] == [Loop("M", 4, "X")]
    assert {x.dim: x.axis for x in pe.spatial} == {"C": "X", "M": "X", "B": "Y", "P": "Y"}
    assert [x for x in mac.spatial if x.bound > 1] == [Loop("C", 2, "X")] and {x.axis for x in mac.spatial} == {"X"}
    assert dram.keep == {"Weights", "Inputs", "Outputs"} and pad.keep == {"Weights", "Inputs"}
    assert pe.keep == mac.keep == frozenset()
    assert places["DRAM"].path == "[0]" and places["PE"].path == "[1]"
    again, _ = read_mapping(Field(mapping_to_timeloop(mapping, SMALL, problem), "f.yaml"), SMALL, problem)

    def large(m: Any) -> list[Any]:
        return [[[x for x in part if x.bound > 1] for part in (p.temporal, p.spatial)] + [p.keep] for p in m.levels]

    assert large(again) == large(mapping)


@pytest.mark.parametrize("factors", ["'C=3,1 M=4'", "'C=3,1,M=4'", "[C=3,1, M=4]", "'C=3, 1 M4'", "['C=3,1', 'M=4']"])
def test_residuals(factors: str) -> None:
    text = f"""
- {{target: DRAM, type: temporal, factors: C=2}}
- {{target: PE, type: spatial, factors: {factors}}}
"""
    problem = matmul({"C": 4, "M": 4})
    mapping, _ = read_mapping(field(text), SMALL, problem)
    assert [x for x in mapping.levels[1].spatial if x.bound > 1] == [Loop("C", 3, "X", 1), Loop("M", 4, "X")]
    written = mapping_to_timeloop(mapping, SMALL, problem)
    assert any("C=3,1" in x.get("factors", "") for x in written)
    again, _ = read_mapping(Field(written, "f.yaml"), SMALL, problem)
    assert [x for x in again.over("C") if x.bound > 1] == [Loop("C", 2), Loop("C", 3, "X", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{target: DRAM, type: temporal, factors: C=2}]", "the factors of dimension C multiply to 2 = 2, but C is 4"),
        ("[{target: DRAM, type: temporal, factors: 'C=3,0'}]", "C=3,0 has a residual of 0; expected one between 1 and 3"),
        ("[{target: DRAM, type: temporal, factors: 'C=3,4'}]", "C=3,4 has a residual of 4; expected one between 1 and 3"),
        ("[{target: DRAM, type: temporal, factors: 'C=5,4'}]", "has one round only, and 5,4 cuts it short: its factor is 4"),
        ("[{target: DRAM, type: temporal, factors: C=2}, {target: pad, type: temporal, factors: 'C=3,2'}]", "2 × 3,2, run through 5"),
        ("[{target: DRAM, type: temporal, factors: C<=4}]", "gives each factor as C=4, not C<=4"),
        ("[{target: DRAM, type: temporal, factors: X=4}]", "unknown dimension 'X'"),
        ("[{target: DRAM, type: temporal, factors: C=4, permutation: CX}]", "unknown dimension 'X'"),
        ("[{target: DRAM, type: temporal, factors: C=2}, {target: DRAM, type: temporal, factors: C=2}]", "a second temporal"),
        ("[{target: DRAM, type: tempral}]", "unknown type 'tempral'. Did you mean 'temporal'?"),
        ("[{target: DRAM, type: temporal, split: 1}]", "unknown key 'split'"),
        ("[{target: pad, type: bypass, keep: [Wieghts]}]", "unknown data space 'Wieghts'. Did you mean 'Weights'?"),
        ("[{target: pad, type: bypass, keep: [Weights], bypass: [Weights]}]", "both kept and bypassed"),
        ("[{target: nowhere, type: temporal, factors: C=4}]", "no level 'nowhere'"),
        ("{target: DRAM}", "expected a list"),
    ],
)  # fmt: skip
def test_mappings_that_are_none(text: str, message: str) -> None:
    assert message in said(text, lambda f: read_mapping(f, SMALL, matmul({"C": 4})))


@pytest.mark.parametrize(
    ("mapper", "objective"),
    [
        ("mapper: {optimization_metrics: [delay, energy], timeout: 0}", "latency"),
        ("mapper: {optimization-metrics: [energy]}", "energy"),
        ("mapper: {optimization_metric: edp}", "edp"),
        ("mapper: {optimization-metrics: [edp, delay]}", "edp,latency"),
        ("mapper: {algorithm: random}", "None"),
        ("", "None"),
    ],
)
def test_what_a_mapper_section_asks_for(mapper: str, objective: str, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(f"arch: simple_ws\nproblem: {{shape: matmul, instance: {{C: 2}}}}\n{mapper}\n", encoding="utf-8")
    assert str(load_specs([file], "problem")[0].objective) == objective


def test_a_metric_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = (
        "arch: simple_ws\nproblem: {shape: matmul, instance: {C: 2}}\nmapper: {optimization_metrics: [delay, area]}\n"
    )
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HwsimError, match="'area' is not minimised"):
        load_specs([file], "problem")
