"""The numbers behind the figures, and what goes into files: Markdown, CSV, PNG, SVG, comparisons."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest

import hwsim as package
from hwsim.cost import NetworkCost
from hwsim.errors import shorten
from hwsim.spec import load_architecture
from reports.columns import percent_change
from reports.figures import energy_by_component_pj, energy_matrix_pj, rooflines
from reports.html.graph import folded, lanes, operator_graph
from reports.html.page import embed, label
from reports.markdown import table
from tests.conftest import Run
from workloads import zoo
from workloads.memory import live_tensors, memory_schedule, peak_live_bytes
from workloads.onnx_reader import read_onnx

Hwsim = Callable[..., Run]


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.write("lenet5", tmp_path_factory.mktemp("models") / "lenet5.onnx")


@pytest.fixture(scope="module")
def cost(lenet: Path) -> NetworkCost:
    return package.profile(lenet)


@pytest.mark.parametrize("name", ["lenet5", "mobilenet_v2", "resnet18", "transformer_block"])
def test_memory_over_the_schedule(name: str, tmp_path: Path) -> None:
    workload = read_onnx(zoo.write(name, tmp_path / "m.onnx"), {})
    moments = memory_schedule(workload)
    assert max(m.live_bytes for m in moments) == peak_live_bytes(workload)
    # by lifetimes instead of by what each step adds and frees
    for moment in moments:
        assert sum(size for _, size in live_tensors(workload, moment.operator)) == moment.live_bytes


def test_live_tensors_by_hand(tmp_path: Path) -> None:
    # MobileNetV2 at the activation of block 2's expansion: 96 maps of 112 × 112 in float, before and after.
    workload = read_onnx(zoo.write("mobilenet_v2", tmp_path / "m.onnx"), {})
    assert live_tensors(workload, "block2.expand.relu6") == (
        ("block2.expand", 96 * 112 * 112 * 4),
        ("block2.expand.relu6", 96 * 112 * 112 * 4),
    )


def test_energy_adds_up(cost: NetworkCost) -> None:
    architecture, _ = load_architecture("simple_ws")
    parts = energy_by_component_pj(cost, architecture)
    assert (list(parts)[:1], list(parts)[-1:]) == (["DRAM"], ["mac"])
    assert sum(parts.values()) == pytest.approx(cost.energy_pj)
    spaces, matrix = energy_matrix_pj(cost, architecture)
    assert spaces == ["Weights", "Inputs", "Outputs", "leakage"]
    for name in list(parts)[:-1]:
        assert sum(matrix[name].values()) == pytest.approx(parts[name])


@pytest.mark.parametrize("arch", ["simple_ws", "eyeriss_like", "simple_os"])
def test_no_layer_is_above_its_roofs(arch: str, lenet: Path) -> None:
    architecture, _ = load_architecture(arch)
    roofs = rooflines(package.profile(lenet, arch=arch), architecture)
    assert roofs[0].level == architecture.storages[0].name
    for roof in roofs:
        for point in roof.points:
            bound = min([bound * point.intensity for _, bound in roof.bandwidth_roofs] + [roof.compute_roof])
            assert 0 < point.macs_per_cycle <= bound * (1 + 1e-9)


def test_roofline_by_hand(cost: NetworkCost) -> None:
    architecture, _ = load_architecture("simple_ws")
    dram, glb = rooflines(cost, architecture)
    # 256 units; 16 words of 2 bytes per cycle each way; DRAM is not limited
    assert (dram.level, dram.compute_roof, dram.bandwidth_roofs) == ("DRAM", 256, ())
    assert glb.bandwidth_roofs == (("read", 32.0), ("write", 32.0))
    # the last layer: a matrix of 84 × 10, of which every word crosses DRAM once, as do 84 inputs and 10 outputs
    assert dram.points[-1].intensity == pytest.approx(840 / (2 * (840 + 84 + 10)))


def test_graph_has_residual_edges_in_lanes(tmp_path: Path) -> None:
    graph = operator_graph(read_onnx(zoo.write("mobilenet_v2", tmp_path / "m.onnx"), {}))
    assert nx.is_directed_acyclic_graph(graph) and "ConstantOfShape" not in {
        graph.nodes[n]["operator"].op for n in graph
    }
    assert set(graph.predecessors("block3.add")) == {"block2.project", "block3.project"}
    small = folded(graph)
    assert small.nodes["stem"]["inside"] == ("Clip",)
    assert set(small.predecessors("block3.add")) == {"block2.project", "block3.project"}
    # two branches that overlap take two lanes, one after them takes the first again
    assert lanes([(0, 5), (2, 4), (5, 8), (0, 3)]) == {0: 0, 2: 1, 5: 0}


def test_small_things() -> None:
    assert embed({"a": "</script><!--"}) == '{"a":"\\u003c/script>\\u003c!--"}'
    assert label("<b>&") == "&lt;b&gt;&amp;"
    assert shorten("block1.depthwise", 16) == "block1.depthwise"
    assert shorten("features.18.conv.2", 10) == "fea…conv.2"
    assert (percent_change(-0.1234), percent_change(3.0)) == ("−12.3%", "×4")
    assert table(["a|b"], [["x_y"]]) == "| a\\|b |\n| --- |\n| x\\_y |\n"


def test_markdown_and_plots(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    commands = {
        "profile": ((), {"energy", "cycles", "memory", "roofline-DRAM", "roofline-shared_glb"}),
        "whatif": (("--set", "PE.meshX=8"), {"components", "energy-cycles", "changes"}),
        "score": (("--rubric", "mit-lab1", "--accuracy", "0.7"), {"points"}),
    }
    for command, (extra, names) in commands.items():
        twice = command == "profile"
        for folder in ("a", "b") if twice else ("a",):
            made = tmp_path / command / folder
            run = hwsim(command, lenet, *extra, "--plots", made, "--markdown", tmp_path / f"{command}-{folder}.md")
            assert run.code == 0, run.err
        files = {p.name: p.read_bytes() for p in (tmp_path / command / "a").iterdir()}
        assert files.keys() == {f"{n}.{kind}" for n in names for kind in ("png", "svg")}
        assert not twice or files == {p.name: p.read_bytes() for p in (tmp_path / command / "b").iterdir()}
        for name, content in files.items():
            assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") and len(content) > 5000
            assert not re.search(rb"<dc:date>|\d{4}-\d\d-\d\dT", content)
        lines = [x for x in (tmp_path / f"{command}-a.md").read_text().splitlines() if x.startswith("|")]
        assert len(lines) > 4 and lines[1].startswith("| ---")
    text = (tmp_path / "profile-a.md").read_text()
    assert "| c1 | Conv | 1→6 5×5 28×28 | 1 |" in text


def test_compare(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    for name, arch in (("a", "simple_ws"), ("b", "eyeriss_like"), ("c", "simple_os")):
        assert hwsim("profile", lenet, "--arch", arch, "--json", tmp_path / f"{name}.json").code == 0
    files = [tmp_path / f"{n}.json" for n in "abc"]
    out = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "markdown", "html")}
    run = hwsim("compare", *files, *(x for kind, file in out.items() for x in (f"--{kind}", file)))
    assert run.code == 0, run.err
    rows = list(csv.DictReader(out["csv"].open()))
    assert [r["column"] for r in rows[:3]] == ["simple_ws", "eyeriss_like", "simple_os"]  # what differs names them
    for file, row in zip(files, rows[:3], strict=True):
        totals = json.loads(file.read_text())["totals"]
        assert (float(row["energy_pj"]), int(row["cycles"])) == (totals["energy_pj"], totals["cycles"])
        share = sum(float(v) for k, v in row.items() if k.endswith("_pj") and k not in ("energy_pj",) and v)
        assert share == pytest.approx(totals["energy_pj"])
    for word in ("simple_ws", "eyeriss_like", "energy in DRAM", "c3"):
        assert word in run.out
    before = json.loads(files[0].read_text())["totals"]["energy_pj"]
    after = json.loads(files[1].read_text())["totals"]["energy_pj"]
    assert f"({percent_change(after / before - 1)})" in out["markdown"].read_text()
    assert "has the least EDP" in out["html"].read_text() or "No design here" in out["html"].read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "expected JSON"),
        ("[]", "found no schema"),
        ('{"schema": "hwsim.score/1"}', "found schema 'hwsim.score/1'"),
        ('{"schema": "hwsim.profile/1"}', "model: Field required"),
        (None, "cannot be read"),
    ],
)
def test_compare_refuses_other_files(content: str | None, said: str, hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    assert hwsim("profile", lenet, "--json", tmp_path / "a.json").code == 0
    if content is not None:
        (tmp_path / "b.json").write_text(content)
    run = hwsim("compare", tmp_path / "a.json", tmp_path / "b.json", "--html", tmp_path / "out.html")
    assert run.code == 2 and said in run.err and "b.json" in run.err and "Traceback" not in run.err
    assert not (tmp_path / "out.html").exists()


def test_compare_names_the_field(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    assert hwsim("profile", lenet, "--json", tmp_path / "a.json").code == 0
    data = json.loads((tmp_path / "a.json").read_text())
    data["layers"][1]["energy_pj"] = "much"
    (tmp_path / "b.json").write_text(json.dumps(data))
    run = hwsim("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert run.code == 2 and "b.json: layers.1.energy_pj" in run.err and "'much'" in run.err
    assert hwsim("compare", tmp_path / "a.json").code == 2
