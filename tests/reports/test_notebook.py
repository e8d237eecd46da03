"""Results in Jupyter: tables, DataFrames, and the executed notebook."""

import json
import sys
from pathlib import Path

import pytest

import hwsim
from hwsim.errors import HwsimError
from hwsim.workloads import zoo

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "course_lab.ipynb"
MODEL = ROOT / "workloads" / "trained" / "mit_lab1.onnx"


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.write("lenet5", tmp_path_factory.mktemp("models") / "lenet5.onnx")


def test_network_and_layer(lenet: Path) -> None:
    pytest.importorskip("pandas")
    cost = hwsim.profile(lenet)
    frame = cost.to_dataframe()
    assert list(frame["layer"]) == ["c1", "c3", "c5", "f6", "output"]
    assert (frame["count"] * frame["energy_pj"]).sum() == pytest.approx(cost.energy_pj)
    parts = [n for n in frame if n.endswith("_pj") and n != "energy_pj"]
    assert frame[parts].sum(axis=1).to_list() == pytest.approx(frame["energy_pj"].to_list())
    shown = cost._repr_html_()
    assert shown.count("<tr>") == 6 and f"{cost.cycles:,}" in shown and "lenet5 on simple_ws" in shown
    layer = cost.layers[0].cost
    accesses = layer.to_dataframe()
    priced = sum(x.leakage_pj for x in layer.levels) + layer.compute.energy_pj
    assert accesses["energy_pj"].sum() + priced == pytest.approx(layer.energy_pj)
    assert "Proved best." in layer._repr_html_() and cost.layers[0]._repr_html_() == layer._repr_html_()
    assert repr(cost) == f"NetworkCost(lenet5 on simple_ws: {cost.energy_pj * 1e-6:.4g} µJ, {cost.cycles:,} cycles)"


def test_study_and_score(lenet: Path) -> None:
    pytest.importorskip("pandas")
    study = hwsim.study(lenet, "simple_ws", ["shared_glb.depth=8192", "PE.meshX=8,PE.meshY=8"])
    frame = study.to_dataframe()
    assert list(frame["design"]) == ["as is", "shared_glb.depth=8192", "PE.meshX=8, PE.meshY=8", "all together"]
    assert list(frame["cycles"]) == [v.cost.cycles for v in study]
    assert len(study.to_dataframe(layers=True)) == 4 * 5
    assert "all together" in study._repr_html_()
    score = hwsim.score(lenet, "mit-lab1", accuracy=0.75)
    assert score.to_dataframe()["points"].sum() == float(score.points)
    assert "test error (must)" in score._repr_html_() and "of 100 points" in repr(score)


def test_names_are_escaped() -> None:
    from hwsim.reports.jupyter import html_table

    assert "&lt;b&gt;" in html_table("<b>", {"<b>": "<b>"}, [{"<b>": "<b>"}], "<b>")
    assert "<b><b>" not in html_table("<b>", {"<b>": "<b>"}, [{"<b>": "<b>"}], "<b>")


def test_without_pandas(lenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(HwsimError, match=r"pip install 'hwsim\[notebook\]'"):
        hwsim.profile(lenet).to_dataframe()


def test_the_notebook_is_executed_and_current() -> None:
    book = json.loads(NOTEBOOK.read_text())
    code = [c for c in book["cells"] if c["cell_type"] == "code"]
    assert all(c["execution_count"] == k + 1 for k, c in enumerate(code))
    outputs = [o for c in code for o in c["outputs"]]
    assert len(outputs) >= 10 and not [o for o in outputs if o["output_type"] == "error"]
    text = NOTEBOOK.read_text()
    assert not any(folder in text for folder in ("/home/", "/root/", "/tmp/", "/work/", "/usr/"))
    assert len(text) < 300_000
    # what it shows is what hwsim says today
    shown = ["".join(o.get("data", {}).get("text/html", "")) for o in outputs]
    assert hwsim.profile(MODEL, arch="simple_ws_lab")._repr_html_() in shown
    assert hwsim.score(MODEL, "mit-lab1")._repr_html_() in shown
