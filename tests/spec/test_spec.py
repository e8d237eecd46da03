"""Specification files: forms that are read, and a clear message for every fault."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from hwsim.architecture import Fanout, Storage
from hwsim.design import load_architecture, load_specs, shipped_architectures
from hwsim.spec import mapping_to_timeloop
from tests.conftest import Run

Hwsim = Callable[..., Run]

ARCHITECTURE = """
architecture:
  version: 0.4
  nodes:
  - !Container
    name: chip
    attributes: {technology: 45nm, datawidth: 8}
  - !Component
    name: DRAM
    class: DRAM
    attributes: {type: LPDDR4, width: 64}
  - !Component
    name: buffer
    class: smartbuffer_SRAM
    attributes: {depth: 16 * 4, width: WIDTH}
  - !Container
    name: PE
    spatial: {meshX: 4, meshY: 2}
  - !Component
    name: spad
    class: storage
    subclass: smartbuffer_RF
    attributes: {depth: 8, width: 8}
    constraints: {dataspace: {keep: [Weights], bypass: [Inputs, Outputs]}}
  - !Component
    name: mac
    class: intmac
    attributes: {multiplier_width: 8, adder_width: 16}
variables: {version: 0.4, WIDTH: 32}
"""
PROBLEM = """
problem:
  version: 0.4
  shape:
    name: product
    dimensions: [C, M, P]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]]]}
    - {name: Inputs, projection: [[[C]], [[P]]]}
    - {name: Outputs, projection: [[[M]], [[P]]], read_write: true}
  instance: {C: 4, M: 4, P: 8}
"""
MAPPING = """
mapping:
- {target: DRAM, type: temporal, factors: C1 M1 P8, permutation: PCM}
- {target: buffer, type: temporal, factors: "C=1,M=2,P=1", permutation: MCP}
- {target: PE, type: spatial, factors: C4 M2 P1, permutation: CMP, split: 1}
- {target: spad, type: temporal, factors: C=1 M=1 P=1, permutation: CMP}
"""


def write(folder: Path, text: str, name: str = "spec.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_one_file_evaluates(hwsim: Hwsim, tmp_path: Path) -> None:
    run = hwsim("evaluate", write(tmp_path, ARCHITECTURE + PROBLEM + MAPPING), "--json")
    assert run.code == 0, run.err
    (result,) = json.loads(run.out)
    assert result["computes"] == 128
    assert result["cycles"] == 16  # 128 products on 8 multipliers
    assert result["utilization"] == 1.0
    levels = result["levels"]
    assert set(levels) == {"DRAM", "buffer", "inter_PE_spatial", "spad"}
    # 16 weights move once from DRAM; the buffer serves the 8 instances' one word each, twice per DRAM step.
    assert levels["DRAM"]["data_spaces"]["Outputs"]["updates"] == 32
    assert levels["spad"]["data_spaces"]["Weights"]["instances"] == 8
    total = sum(x["leakage_pj"] + sum(d["energy_pj"] for d in x["data_spaces"].values()) for x in levels.values())
    assert abs(total + result["compute"]["energy_pj"] - result["energy_pj"]) < 1e-6 * total


def test_parts_in_files_of_their_own(hwsim: Hwsim, tmp_path: Path) -> None:
    whole = hwsim("evaluate", write(tmp_path, ARCHITECTURE + PROBLEM + MAPPING), "--json")
    parts = [write(tmp_path, text, f"{k}.yaml") for k, text in enumerate((ARCHITECTURE, PROBLEM, MAPPING))]
    assert hwsim("evaluate", *parts, "--json").out == whole.out


def test_table_and_nest(hwsim: Hwsim, tmp_path: Path) -> None:
    run = hwsim("evaluate", write(tmp_path, ARCHITECTURE + PROBLEM + MAPPING))
    assert run.code == 0
    assert "for P in 0..7" in run.out and "parallel along X C in 0..3" in run.out


def test_arch_by_name(hwsim: Hwsim, tmp_path: Path) -> None:
    run = hwsim("map", write(tmp_path, "arch: simple_ws\n" + PROBLEM), "--json")
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert result["schema"] == "hwsim.map/1"
    assert result["optimal"] is True
    assert result["space_size"] > 1000


def test_our_mappings_read_back(tmp_path: Path, hwsim: Hwsim) -> None:
    """What hwsim map prints can be evaluated (by Timeloop, too) and costs the same."""
    spec = write(tmp_path, ARCHITECTURE + PROBLEM)
    found = json.loads(hwsim("map", spec, "--json").out)
    again = write(tmp_path, ARCHITECTURE + PROBLEM + yaml.safe_dump({"mapping": found["mapping"]}), "again.yaml")
    (result,) = json.loads(hwsim("evaluate", again, "--json").out)
    assert result["energy_pj"] == found["energy_pj"] and result["cycles"] == found["cycles"]
    (loaded,) = load_specs([again])
    assert loaded.mapping is not None
    assert mapping_to_timeloop(loaded.mapping, loaded.architecture, loaded.problem) == found["mapping"]


def test_a_storage_keeps_what_the_mapping_leaves_open(tmp_path: Path) -> None:
    (spec,) = load_specs([write(tmp_path, ARCHITECTURE + PROBLEM + MAPPING)])
    assert spec.mapping is not None
    assert spec.mapping.level("buffer").keep == {"Weights", "Inputs", "Outputs"}
    assert spec.mapping.level("spad").keep == {"Weights"}


LEGACY = """
architecture:
  version: 0.3
  subtree:
  - name: system
    attributes: {technology: 45nm}
    local:
    - {name: DRAM, class: DRAM, attributes: {type: LPDDR4, width: 64, word-bits: 16, block-size: 4}}
    subtree:
    - name: chip
      local:
      - {name: GLB, class: smartbuffer_SRAM, attributes: {memory_depth: 1024, memory_width: 64, word-bits: 16}}
      subtree:
      - name: PE[0..255]
        local:
        - name: spad
          class: smartbuffer_RF
          attributes: {memory_depth: 64, memory_width: 16, word-bits: 16, meshX: 32}
        - {name: mac, class: intmac, attributes: {width: 16, meshX: 32}}
architecture_constraints:
  targets:
  - {target: GLB, type: spatial, permutation: CM, split: 1, factors: "P=1"}
  - {target: spad, type: dataspace, keep: [Weights], bypass: [Inputs, Outputs]}
"""


def test_older_form(tmp_path: Path) -> None:
    architecture, energy = load_architecture(write(tmp_path, LEGACY))
    dram, glb, fanout, spad = architecture.levels
    assert isinstance(dram, Storage) and (dram.block_size, dram.datawidth, dram.capacity) == (4, 16, None)
    assert isinstance(glb, Storage) and glb.capacity == 4096
    assert isinstance(fanout, Fanout) and (fanout.mesh_x, fanout.mesh_y) == (32, 8)
    assert fanout.constraints.spatial.permutation == ("C", "M") and fanout.constraints.spatial.split == 1
    assert isinstance(spad, Storage) and spad.constraints.keep == {"Weights"}
    assert architecture.compute_instances == 256
    assert energy.price("DRAM", "read") == 512


def test_spatial_target_of_the_older_form_is_the_storage_outside(hwsim: Hwsim, tmp_path: Path) -> None:
    mapping = MAPPING.replace("target: buffer", "target: GLB").replace("target: PE", "target: GLB")
    run = hwsim("evaluate", write(tmp_path, LEGACY + PROBLEM + mapping), "--json")
    assert run.code == 0, run.err
    assert json.loads(run.out)[0]["cycles"] == 16


@pytest.mark.parametrize("name", sorted(shipped_architectures()))
def test_shipped_architectures(hwsim: Hwsim, name: str) -> None:
    architecture, energy = load_architecture(name)
    assert architecture.description
    for storage in architecture.storages:
        assert all(energy.price(storage.name, action) >= 0 for action in ("read", "write", "update", "leak"))
    run = hwsim("archs", name)
    assert run.code == 0 and architecture.compute.name in run.out
    assert hwsim("energy", name).code == 0
    text = shipped_architectures()[name].read_text()
    assert text.startswith("#") and "Left out" in text


BASE = ARCHITECTURE + PROBLEM + MAPPING
# Fault → (what is replaced by what), words of the message.
FAULTS = {
    "misspelt key of a node": (("attributes: {depth: 16 * 4", "atributes: {depth: 16 * 4"), ("nodes[2]", "attributes")),
    "misspelt attribute": (("depth: 16 * 4", "dephth: 16 * 4"), ("nodes[2].attributes", "'dephth'", "depth")),
    "misspelt top key": (("problem:", "problme:"), ("problme", "problem")),
    "misspelt tag": (("!Container\n    name: PE", "!Contaner\n    name: PE"), ("nodes[3]", "Container")),
    "factor product": (("factors: C1 M1 P8", "factors: C1 M1 P4"), ("mapping", "P", "4", "8")),
    "tile too large": (
        ("factors: C1 M1 P8, permutation: PCM}\n- {target: buffer, type: temporal, factors: \"C=1,M=2,P=1\"",
         "factors: C1 M1 P1, permutation: PCM}\n- {target: buffer, type: temporal, factors: \"C=1,M=2,P=800\""),
        ("mapping", "buffer", "fit")),
    "fan-out exceeded": (("factors: C4 M2 P1, permutation: CMP, split: 1", "factors: C4 M2 P1, permutation: CMP, split: 2"), ("mapping[2]", "fan-out", "8", "4")),
    "unknown dimension in a projection": (("projection: [[[C]], [[P]]]", "projection: [[[C]], [[Q]]]"), ("data_spaces[1]", "'Q'")),
    "unknown dimension in the mapping": (("factors: C1 M1 P8", "factors: C1 M1 X8"), ("mapping[0].factors", "'X'")),
    "unknown level": (("target: spad, type", "target: sped, type"), ("mapping[3].target", "'sped'", "spad")),
    "division by zero": (("depth: 16 * 4", "depth: 16 / (4 - 4)"), ("depth", "divides by zero")),
    "forbidden call": (("depth: 16 * 4", "depth: open('x')"), ("depth", "open")),
    "forbidden attribute": (("depth: 16 * 4", "depth: (1).__class__"), ("depth", "not allowed")),
    "huge power": (("depth: 16 * 4", "depth: 9 ** 9 ** 9"), ("depth",)),
    "size of zero": (("instance: {C: 4", "instance: {C: 0"), ("instance.C", "0")),
    "no result": ((", read_write: true", ""), ("data_spaces", "read_write")),
    "wrong data space in a constraint": (("keep: [Weights], bypass: [Inputs, Outputs]", "keep: [Wieghts], bypass: [Inputs, Outputs]"), ("spad", "Wieghts")),
    "not YAML": (("variables: {", "variables: {{{"), ("spec.yaml",)),
    "key given twice": (("    name: PE\n", "    name: PE\n    name: PE2\n"), ("name", "twice")),
    "sparse": (("    name: spad\n", "    name: spad\n    sparse_optimizations: {gating: [1]}\n"), ("gating",)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_faults(hwsim: Hwsim, tmp_path: Path, fault: str) -> None:
    (old, new), words = FAULTS[fault]
    assert old in BASE
    text = BASE.replace(old, new, 1)
    if fault == "tile too large":
        text = text.replace("P: 8}", "P: 800}")
    run = hwsim("evaluate", write(tmp_path, text))
    assert run.code == 2, run.out
    assert "Traceback" not in run.err and len(run.err.strip().splitlines()) == 1
    for word in ("spec.yaml", *words):
        assert word in run.err, run.err


def test_illegal_mapping_is_a_value_in_json(hwsim: Hwsim, tmp_path: Path) -> None:
    text = BASE.replace("permutation: CMP, split: 1", "permutation: CMP, split: 2")
    (result,) = json.loads(hwsim("evaluate", write(tmp_path, text), "--json").out)
    assert result["error"]["level"] == "inter_PE_spatial"
    assert (result["error"]["needed"], result["error"]["available"]) == (8, 4)


def test_action_without_a_price(hwsim: Hwsim, tmp_path: Path) -> None:
    """Counts and cycles stand; what has no price says so, and why, and the total names it."""
    ert = "ERT: {version: 0.4, tables: [{name: chip.DRAM, actions: [{name: write, energy: 1}, {name: leak, energy: 0}]}]}\n"
    run = hwsim("evaluate", write(tmp_path, BASE + ert))
    assert run.code == 0 and "without DRAM, buffer, spad, mac" in run.out and "not priced" in run.out
    assert "ERT.tables[0].actions" in run.err and "'read'" in run.err and "component 'mac' has no table" in run.err
    whole = json.loads(hwsim("evaluate", write(tmp_path, BASE), "--json").out)[0]
    (without,) = json.loads(hwsim("evaluate", write(tmp_path, BASE + ert), "--json").out)
    assert (
        without["cycles"] == whole["cycles"] and without["levels"]["DRAM"]["data_spaces"]["Inputs"]["energy_pj"] is None
    )
    assert without["compute"]["energy_pj"] is None and sorted(without["not_priced"]) == [
        "DRAM",
        "buffer",
        "mac",
        "spad",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("depth: 16 * 4, ", "", ("'buffer' has no size", "attribute 'depth' is missing")),
        ("subclass: smartbuffer_RF", "subclass: smartbufer_RF", ("'spad' is not priced", "smartbuffer_RF")),
    ],
)
def test_what_has_no_price_is_counted(hwsim: Hwsim, tmp_path: Path, old: str, new: str, words: tuple[str, ...]) -> None:
    assert old in BASE
    run = hwsim("evaluate", write(tmp_path, BASE.replace(old, new, 1)))
    assert run.code == 0 and "not priced" in run.out and "128 MACs" in run.out
    assert all(word in run.err for word in words), run.err


def test_alias_bomb_cycle_and_large_file(hwsim: Hwsim, tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 40))
    for name, text, word in (("bomb", bomb, "alias"), ("cycle", "a: &a [*a]\n", "itself")):
        run = hwsim("evaluate", write(tmp_path, text, f"{name}.yaml"))
        assert run.code == 2 and f"{name}.yaml" in run.err and word in run.err
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(100_000_000)
    run = hwsim("evaluate", huge)
    assert run.code == 2 and "100,000,000" in run.err
