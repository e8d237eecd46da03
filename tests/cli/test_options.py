"""Options that commands share: results go where they are told, and files that are read are never written."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim.cli.commands import COMMANDS, Later, valued
from hwsim.reports.formats import FORMATS, Format
from hwsim.workloads import zoo
from tests.conftest import Run

Hwsim = Callable[..., Run]

PROBLEM = """\
arch: simple_ws
problem:
  shape:
    name: CONV
    dimensions: [C, M, P]
    data_spaces:
    - {name: Weights, projection: [[[C]], [[M]]]}
    - {name: Inputs, projection: [[[C]], [[P]]]}
    - {name: Outputs, projection: [[[M]], [[P]]], read_write: true}
  instance: {C: 4, M: 8, P: 8}
"""
SPACE = """\
models: lenet5.onnx
parameters: {columns: [4], rows: [4]}
settings: {PE.meshX: columns, PE.meshY: rows}
objectives: [energy, latency]
"""
RESULTS = ("profile", "whatif", "compare", "score", "explore")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--json"], ["--json=-"]),
        (["--json", "a.yaml", "b.yaml"], ["--json=-", "a.yaml", "b.yaml"]),
        (["a.yaml", "--json"], ["a.yaml", "--json=-"]),
        (["--json=out", "a.yaml"], ["--json=out", "a.yaml"]),
        (["--json", "-", "a.yaml"], ["--json=-", "a.yaml"]),
        (["-", "--json"], ["-", "--json=-"]),
        (["--json", "--prove", "-"], ["--json=-", "--prove", "-"]),
        (["--", "--json", "-"], ["--", "--json", "-"]),
        (["--jsonx", "-"], ["--jsonx", "-"]),
        ([], []),
    ],
)
def test_an_option_that_may_stand_alone(words: list[str], wanted: list[str]) -> None:
    assert valued(words, {"--json"}) == wanted
    assert valued(words, ()) == words


def test_which_commands_have_one() -> None:
    standing = {name for name in COMMANDS if "--json" in Later(name)._may_stand_alone}
    assert standing == {"evaluate", "map", "score", "explore"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    zoo.write("lenet5", tmp_path / "lenet5.onnx")
    (tmp_path / "problem.yaml").write_text(PROBLEM)
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path


def hashes(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.is_file()}


def given_mapping(hwsim: Hwsim, folder: Path) -> Path:
    """The problem with its best mapping, as `evaluate` takes it."""
    found = json.loads(hwsim("map", "--json", folder / "problem.yaml").out)
    text = PROBLEM + f"mapping: {json.dumps(found['mapping'])}\n"
    (folder / "mapped.yaml").write_text(text)
    return folder / "mapped.yaml"


def commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """Words before the files, and the files."""
    store = ("--grid", "--workers", "1", "--store", str(folder / "s.sqlite"))
    return {
        "evaluate": ("mapped.yaml",),
        "map": ("problem.yaml",),
        "score": ("--rubric", "mit-lab1", "lenet5.onnx"),
        "explore": (*store, "space.yaml"),
    }


def without_time(text: str) -> object:
    found = json.loads(text)
    if isinstance(found, dict):
        found.pop("seconds", None)
    return found


@pytest.mark.parametrize("name", ["evaluate", "map", "score", "explore"])
def test_json_before_files_reads_them(name: str, hwsim: Hwsim, folder: Path) -> None:
    given_mapping(hwsim, folder)
    *words, file = commands(folder)[name]
    before = hashes(folder)
    shown = hwsim(name, *words, "--json", file)
    assert shown.code == 0 and shown.out.startswith(("{", "["))
    wanted = without_time(shown.out)
    for other in (
        (*words, file, "--json"),
        ("--json", *words, file),
        (*words, "--json", "-", file),
        (*words, "--json=-", file),
        (*words, "--json", "--", file),
    ):
        run = hwsim(name, *other)
        assert run.code == 0 and without_time(run.out) == wanted, other
    kept = {x: y for x, y in hashes(folder).items() if not x.startswith("s.sqlite")}
    assert kept == before

    run = hwsim(name, *words, "--json=out.json", file)
    assert run.code == 0 and run.out and not run.out.startswith(("{", "["))  # what people read
    assert without_time((folder / "out.json").read_text()) == wanted
    assert {x: y for x, y in hashes(folder).items() if x in before} == before

    run = hwsim(name, *words, file, "--json", "other.json")  # an argument, not a place to write to
    assert run.code == 2 and not (folder / "other.json").exists()


def test_json_in_the_same_place_as_something_else(hwsim: Hwsim, folder: Path) -> None:
    run = hwsim("map", "problem.yaml", "--json=a", "--prove", "a")
    assert run.code == 2 and "one place" in run.err
    run = hwsim("map", "problem.yaml", "--json=none/a")
    assert run.code == 2 and "no such folder" in run.err


def test_an_illegal_mapping_is_written_and_then_said(hwsim: Hwsim, folder: Path) -> None:
    file = given_mapping(hwsim, folder)
    text = file.read_text()
    file.write_text(text.replace("instance: {C: 4, M: 8, P: 8}", "instance: {C: 4, M: 8, P: 16}"))
    shown = hwsim("evaluate", file, "--json")
    if shown.code == 0 and "error" in json.loads(shown.out)[0]:
        run = hwsim("evaluate", file, "--json=out.json")
        assert run.code == 2 and "illegal" in run.err and Path("out.json").read_text() == shown.out


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_has_every_format(name: str, hwsim: Hwsim, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that there are, and one that a row adds."""
    row = Format(
        "tsv", "Write the main table with tabs.", lambda r: "".join("\t".join(map(str, x)) + "\n" for x in r.rows())
    )
    monkeypatch.setitem(FORMATS, row.name, row)
    words = {
        "profile": ("lenet5.onnx",),
        "whatif": ("lenet5.onnx", "--set", "shared_glb.depth=4096"),
        "compare": ("a.json", "b.json"),
        **commands(folder),
    }[name]
    if name == "compare":
        for file, objective in (("a.json", "edp"), ("b.json", "latency")):
            assert hwsim("profile", "lenet5.onnx", "--json", file, "--objective", objective).code == 0
    help_ = hwsim(name, "--help").out
    written = []
    for kind in FORMATS.values():
        assert f"--{kind.name}" in help_
        written.append(f"--{kind.name}={folder / kind.name}")
    run = hwsim(name, *words, *written)
    assert run.code == 0 and run.out, run.err
    for kind in FORMATS.values():
        assert (folder / kind.name).is_dir() == kind.folder and (folder / kind.name).exists()
    rows = list(csv.reader((folder / "csv").open(encoding="utf-8")))
    assert [line.split("\t") for line in (folder / "tsv").read_text().splitlines()] == rows
    assert json.loads((folder / "json").read_text())["schema"] == f"hwsim.{name}/1"


def test_profiles_compared_as_data(hwsim: Hwsim, folder: Path) -> None:
    profiles = []
    for file, objective in (("a.json", "edp"), ("b.json", "latency")):
        assert hwsim("profile", "lenet5.onnx", "--json", file, "--objective", objective).code == 0
        profiles.append(json.loads(Path(file).read_text()))
    found = json.loads(hwsim("compare", "a.json", "b.json", "--json", "-").out)
    for column, profile in zip(found["columns"], profiles, strict=True):
        assert column["name"] == profile["objective"] and column["area_um2"] is None
        for key in ("energy_pj", "cycles", "edp_j_cycles", "utilization", "peak_activation_bytes"):
            assert column[key] == profile["totals"][key]
        for layer, saved in zip(column["layers"], profile["layers"], strict=True):
            assert layer == {key: saved[key] for key in layer}
    assert "hwsim whatif prices all columns alike" in found["notes"][0]
