"""The numbers behind the figures, and what goes into files: Markdown, CSV, PNG, SVG, comparisons."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from onnx import TensorProto, helper

import hwsim as package
from hwsim.cost import NetworkCost
from hwsim.design import load_architecture
from hwsim.design.load import shipped_architectures
from hwsim.errors import HwsimError, shorten
from hwsim.reports import units
from hwsim.reports.columns import percent_change
from hwsim.reports.figures import energy_by_component_pj, energy_matrix_pj, rooflines
from hwsim.reports.html.graph import folded, lanes, operator_graph
from hwsim.reports.html.page import embed, label
from hwsim.reports.markdown import table
from hwsim.reports.saved import read_profiles
from hwsim.reports.scales import axis_scale
from hwsim.workloads import zoo
from hwsim.workloads.memory import live_tensors, memory_schedule, peak_live_bytes
from hwsim.workloads.onnx.reader import read_onnx
from tests.conftest import Run

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
    assert run.code == 2 and "b.json: layers[1].energy_pj" in run.err and "'much'" in run.err
    assert hwsim("compare", tmp_path / "a.json").code == 2


def test_units_at_their_edges() -> None:
    assert [units.count(x) for x in (0, 999, 1000, 999_999, 1e6, 1e9, 1e12, 2.5e15, -1500)] == [
        "0", "999", "1 k", "1000 k", "1 M", "1 G", "1 T", "2.5 P", "-1.5 k",
    ]  # fmt: skip
    assert [units.energy(x) for x in (0, 0.5, 999, 1e3, 1e6, 1.5e9, 1e12)] == [
        "0 pJ", "0.5 pJ", "999 pJ", "1 nJ", "1 µJ", "1.5 mJ", "1 J",
    ]  # fmt: skip
    assert [units.seconds(x) for x in (2, 1, 0.5, 1e-3, 5e-6, 1e-6, 5e-7)] == [
        "2 s", "1 s", "500 ms", "1 ms", "5 µs", "1 µs", "500 ns",
    ]  # fmt: skip
    assert [units.size(x) for x in (0, 999, 1000, 1.5e6, 1e9)] == ["0 B", "999 B", "1 kB", "1.5 MB", "1 GB"]
    assert [units.edp(x) for x in (0.12345, 9999, 10_000, 12_290.4)] == ["0.1235", "9999", "10,000", "12,290"]
    assert [units.percent(x) for x in (0, 0.4567, 1)] == ["0.0%", "45.7%", "100.0%"]
    assert [units.share(*x) for x in ((1, 4), (1, 0), (0, 0))] == [0.25, 0.0, 0.0]
    assert axis_scale([999], "pJ") == (1.0, "pJ") and axis_scale([1, -1000], "pJ") == (1e3, "nJ")
    assert axis_scale([], "bytes") == (1.0, "bytes") and axis_scale([5], "µm²") == (1e6, "mm²")
    assert axis_scale([1e9], "cycles") == (1e9, "G cycles") and axis_scale([1e9], "J·cycles") == (1.0, "J·cycles")


#: What may stand in a field of damaged JSON; no number here can be right anywhere.
ANYTHING = (None, True, -1, 1.5, "", "x", [], {}, [[]], {"a": 1}, 10**400, -0.5, [None], "9" * 5000)


def fields(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in JSON."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from fields(part, (*path, key))


def test_compare_with_anything_in_any_field(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    """A field that `compare` or its reader knows is refused by its name where its type is wrong or it is missing."""
    assert hwsim("profile", lenet, "--json", tmp_path / "a.json").code == 0
    whole = json.loads((tmp_path / "a.json").read_text())
    whole["layers"] = whole["layers"][:2]
    totals = whole["totals"]
    totals["energy_pj"] = sum(x["count"] * x["energy_pj"] for x in whole["layers"])
    totals["cycles"] = sum(x["count"] * x["cycles"] for x in whole["layers"])
    totals["edp_j_cycles"] = totals["energy_pj"] * 1e-12 * totals["cycles"]
    file, good = tmp_path / "b.json", json.dumps(whole)
    file.write_text(good)
    assert len(read_profiles([file, file])) == 2
    accepted: set[tuple[str, ...]] = set()
    for path in fields(whole):
        for found in (*ANYTHING, "missing"):
            changed = json.loads(good)
            place = changed
            for key in path[:-1]:
                place = place[key]
            if found == "missing":
                del place[path[-1]]
            else:
                place[path[-1]] = found
            file.write_text(json.dumps(changed))
            try:
                read_profiles([file, file])
                if "mapping" not in path[:-1] and found not in ("", "x", "9" * 5000):
                    accepted.add((*(k for k in path if isinstance(k, str)), repr(found)))
            except HwsimError as error:
                assert str(file) in error.where and str(error).isprintable() and len(str(error)) < 1000
    # what may be so: a lower bound, a proof, no best order known, lists that may be shorter, sizes that are 1
    assert accepted == {
        ("layers", "lower_bound", "1.5"),
        ("layers", "optimal", "True"),
        ("totals", "peak_live_bytes_best_order", "None"),
        ("layers", "mapping", "[]"),
        ("notes", "[]"),
        ("unmapped", "[]"),
        ("unmapped", "'missing'"),
        ("layers", "dims", "C", "'missing'"),
        ("layers", "dims", "N", "'missing'"),
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p["totals"].update(energy_pj=1.0), "edp_j_cycles is"),
        (lambda p: p["totals"].update(cycles=p["totals"]["cycles"] + 1), "edp_j_cycles is"),
        (lambda p: p["layers"].pop(), "totals.energy_pj is .* the sum of the layers is"),
        (lambda p: p["layers"][0].update(count=7), "totals.energy_pj is"),
        (lambda p: p["layers"][0].update(cycles=7), "totals.cycles is"),
        (lambda p: p["layers"][0]["energy_by_level_pj"].update(DRAM=7.0), r"layers\[0\]: energy_pj is"),
        (lambda p: p["layers"][1].update(name=p["layers"][0]["name"]), "is there 2 times"),
        (lambda p: p["totals"].update(energy_pj=float("nan")), "energy_pj"),
        (lambda p: p.update(schema="hwsim.profile/2"), "found schema 'hwsim.profile/2'"),
    ],
)
def test_compare_sees_what_does_not_add_up(
    change: Callable[[Any], object], said: str, hwsim: Hwsim, lenet: Path, tmp_path: Path
) -> None:
    assert hwsim("profile", lenet, "--json", tmp_path / "a.json").code == 0
    data = json.loads((tmp_path / "a.json").read_text())
    change(data)
    (tmp_path / "b.json").write_text(json.dumps(data))
    run = hwsim("compare", tmp_path / "a.json", tmp_path / "b.json")
    assert run.code == 2 and re.search(said, run.err) and "b.json" in run.err, run.err


def test_a_network_without_mapped_layers(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    """Nothing costs nothing: every report has it, and compares with it."""
    relu = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="r")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    file = tmp_path / "relu.onnx"
    file.write_bytes(helper.make_model(relu, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    out = {k: tmp_path / f"out.{k}" for k in ("csv", "markdown", "html")}
    written = [x for k, target in out.items() for x in (f"--{k}", target)] + ["--plots", tmp_path / "plots"]
    run = hwsim("profile", file, "--json", tmp_path / "b.json", *written)
    assert (run.code, run.err) == (0, "") and "0 pJ" in run.out
    assert hwsim("profile", lenet, "--json", tmp_path / "a.json").code == 0
    for pair in (("a.json", "b.json"), ("b.json", "a.json"), ("b.json", "b.json")):
        run = hwsim("compare", *(tmp_path / name for name in pair), *written)
        assert (run.code, run.err) == (0, "")
    run = hwsim("whatif", file, "--set", "PE.meshX=8", *written)
    assert (run.code, run.err) == (0, "")


def test_prices_of_zero(hwsim: Hwsim, lenet: Path, tmp_path: Path) -> None:
    """A table whose prices are all 0 is allowed: energies and shares are 0, nothing is divided by them."""
    folder = shipped_architectures()["simple_ws"].parent
    (tmp_path / "free.yaml").write_text((folder / "simple_ws.yaml").read_text(encoding="utf-8"))
    prices = re.sub(r"energy: *[\d.e+-]+", "energy: 0", (folder / "simple_ws.ert.yaml").read_text(encoding="utf-8"))
    (tmp_path / "free.ert.yaml").write_text(prices)
    out = {k: tmp_path / f"out.{k}" for k in ("json", "csv", "markdown", "html")}
    written = [x for k, target in out.items() for x in (f"--{k}", target)]
    run = hwsim("profile", lenet, "--arch", tmp_path / "free.yaml", "--objective", "latency", *written)
    assert (run.code, run.err) == (0, "")
    assert json.loads(out["json"].read_text())["totals"]["energy_pj"] == 0
    run = hwsim("profile", lenet, "--arch", tmp_path / "free.yaml", "--objective", "latency", "--layer", "c1")
    assert (run.code, run.err) == (0, "") and "0 pJ" in run.out
    run = hwsim(
        "profile", lenet, "--arch", tmp_path / "free.yaml", "--objective", "latency", "--plots", tmp_path / "plots"
    )
    assert (run.code, run.err) == (0, "")
    assert "nan" not in out["html"].read_text(encoding="utf-8").split("<footer")[0].lower().split("<body>")[1]


def test_figures_of_many_layers_show_those_that_take_most(monkeypatch: pytest.MonkeyPatch, cost: NetworkCost) -> None:
    """Five layers, room for two: those with most energy, in the network's order; a tall figure has fewer dots."""
    from hwsim.reports import plots

    monkeypatch.setattr(plots, "MOST_ROWS", 2)
    monkeypatch.setattr(plots, "MOST_BARS", 2)
    monkeypatch.setattr(plots, "MOST_PIXELS", 300)
    by_energy = [x.count * x.cost.energy_pj for x in cost.layers]
    assert plots._most(by_energy) == sorted(sorted(range(5), key=lambda k: -by_energy[k])[:2])
    architecture, _ = load_architecture("simple_ws")
    files = plots.profile_plots(cost, architecture)
    text = re.sub(r"<!-- (.*?) -->", r"\1", files["energy.svg"].decode())
    assert "the 2 of 5 layers that take most" in text
    shown = {x.name for k, x in enumerate(cost.layers) if k in plots._most(by_energy)}
    assert {x.name for x in cost.layers if f"\n{x.name}\n" in text.replace("   ", "\n") or x.name in text} >= shown
    width, height = (int.from_bytes(files["energy.png"][k : k + 4]) for k in (16, 20))
    assert max(width, height) <= 301
