"""What commands print and write: names from files, files of every kind, full disks, encodings, what is unexpected."""

import csv
import json
import os
import re
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from onnx import TensorProto, helper

import hwsim as package
from hwsim.design.load import shipped_architectures
from hwsim.errors import MOST_TEXT, HwsimError, did_you_mean, printable, shown_value, visible
from hwsim.files import check_writable, open_regular, read_bytes, read_text, write_file
from hwsim.reports.markdown import _cell
from hwsim.reports.table import csv_text
from hwsim.workloads.onnx.graph import Names
from tests.conftest import Run, nothing_left

Command = Callable[..., Run]
F = TensorProto.FLOAT

NAMES = {
    "escape": "\x1b[31mRED\x1b]0;pwned\x07\x1b[2J",
    "c1": "a\x9b2Jb\x7f",
    "bidi": "a\u202eb\u2066c",
    "lines": "a\nb\r\nc\u2028d",
    "tab": "\t=1+1",
    "closing tag": "[/a]",
    "link": "[link=https://evil.example]conv1[/link]",
    "lost": "[encoder]/conv",
    "emoji": ":smile: :x:",
    "formula": "=cmd|' /C calc'!A0",
    "html": "<img src=x onerror=window.PWN=1>",
    "script": "</script><script>window.PWN=2</script>",
    "math": "$x^{$ \\frac",
    "underscore": "_hidden",
    "markdown": "a|b `c` **d** [e](https://evil.example) https://evil.example",
    "letters of the world": "卷积層 свёртка التفاف",
    "long": "w" * 10_000,
    "long words": "a name " * 2_000,
    "empty": " ",
}
#: Characters that no output shows as they are (JSON has its own escapes).
UNSEEN = re.compile(
    "[^\n -~\u00a1-\u00ac\u00ae-\U0010ffff]|[\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def one_convolution(path: Path, name: str, op: str = "Conv") -> Path:
    """A network of a convolution under a name, and an operator that is not mapped, of a type of the same name."""
    nodes = [
        helper.make_node(op, ["x", "w"], ["c"], name=name),
        helper.make_node("Relu", ["c"], ["y"], name="r" + name),
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", F, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", F, None)],
    )
    graph.initializer.append(helper.make_tensor("w", F, [2, 3, 3, 3], bytes(4 * 54), raw=True))
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return path


#: Elements of pages; none of them fetches anything by itself.
PLAIN = {
    *("html", "head", "meta", "title", "link", "style", "script", "body", "header", "main", "section", "footer", "nav"),
    *("aside", "div", "h1", "h2", "h3", "p", "a", "button", "dl", "dt", "dd", "ul", "li", "i", "b", "span", "small"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "wbr", "details", "summary", "pre", "code"),
    *("svg", "path", "circle", "g"),
}


class _Elements(HTMLParser):
    """Collects names of elements; attributes that run code are elements of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs if name.startswith("on"))}


def elements(page: str) -> set[str]:
    parser = _Elements()
    parser.feed(page)
    return parser.found


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_shown_and_do_nothing(kind: str, hwsim: Command, tmp_path: Path) -> None:
    name = Names().unique(NAMES[kind])  # very long ones lose their middle when they are read
    model = one_convolution(tmp_path / "model.onnx", NAMES[kind])
    out = {k: tmp_path / f"out.{k}" for k in ("json", "csv", "markdown", "html")}
    run = hwsim("profile", model, *(x for k, file in out.items() for x in (f"--{k}", file)))
    assert run.code == 0, run.err
    files = {k: file.read_text(encoding="utf-8") for k, file in out.items()}
    for place, text in (files | {"stdout": run.out, "stderr": run.err}).items():
        # the charting library's own text is not hwsim's
        shown = re.sub(r"<script>.*?</script>", "", text, flags=re.S) if place == "html" else text
        assert not UNSEEN.search(shown), (place, UNSEEN.search(shown))
    # data keep the name as it is
    assert json.loads(files["json"])["layers"][0]["name"] == name
    # text is text: nothing is lost, nothing becomes markup
    flat = "".join(run.out.split())
    start = "".join(visible(name).split())[:30]
    assert start in flat or len(name) > 1000
    assert len(run.out) < 100_000
    rows = list(csv.reader(files["csv"].splitlines()))
    assert len(rows) == 2 and not rows[1][0].startswith(("=", "+", "-", "@", "\t"))
    assert rows[1][0].removeprefix("'") == visible(name)
    assert elements(files["html"]) <= PLAIN and files["html"].count("</script") == 3
    lines = files["markdown"].splitlines()
    assert len(lines) == 5 and all(len(re.findall(r"(?<!\\)\|", x)) == 11 for x in lines[2:])
    table = lines[4]
    assert not re.search(r"(?<!\\)[<`*\[]", table) and not re.search(r"https?:", table)


@pytest.mark.parametrize(
    "kind", ["escape", "closing tag", "math", "underscore", "letters of the world", "long", "lines"]
)
def test_names_in_figures(kind: str, hwsim: Command, tmp_path: Path) -> None:
    model = one_convolution(tmp_path / "model.onnx", NAMES[kind])
    run = hwsim("profile", model, "--plots", tmp_path / "plots")
    assert (run.code, run.err) == (0, "")
    for file in (tmp_path / "plots").glob("*.svg"):
        ElementTree.parse(file)  # control characters would be no XML
    assert len(list((tmp_path / "plots").iterdir())) >= 8


@pytest.mark.parametrize("kind", ["escape", "closing tag", "lines", "long", "bidi", "emoji"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--layer", "none of the network's"),
        ("--arch", "eyeriss_like", "--layer", "{name}"),
        ("--arch", "eyeriss_like", "--layer", "{visible}"),
    ],
)
def test_names_in_messages_and_in_depth(kind: str, arguments: tuple[str, ...], hwsim: Command, tmp_path: Path) -> None:
    name = Names().unique(NAMES[kind])  # very long ones lose their middle when they are read
    model = one_convolution(tmp_path / "model.onnx", NAMES[kind])
    run = hwsim("profile", model, *(x.format(name=name, visible=visible(name)) for x in arguments))
    assert run.code == (2 if "none" in arguments[-1] else 0)
    assert not UNSEEN.search(run.out + run.err)
    assert len(run.err) < 2 * MOST_TEXT and run.err.count("\n") <= 1


def test_an_operator_that_nobody_knows_has_a_name_too(hwsim: Command, tmp_path: Path) -> None:
    for kind, name in NAMES.items():
        run = hwsim("profile", one_convolution(tmp_path / "model.onnx", "c", op=name))
        assert run.code in (0, 2) and not UNSEEN.search(run.out + run.err), kind
        assert run.err.count("\n") <= 1 and len(run.err) < 2 * MOST_TEXT


@pytest.mark.parametrize("kind", ["escape", "closing tag", "html", "long", "math", "underscore", "formula"])
def test_names_of_an_architecture(kind: str, hwsim: Command, tmp_path: Path) -> None:
    name = NAMES[kind]
    text = shipped_architectures()["simple_ws"].read_text(encoding="utf-8")
    file = tmp_path / "own.yaml"
    file.write_text(text.replace("name: shared_glb", f"name: {json.dumps(name)}"), encoding="utf-8")
    model = one_convolution(tmp_path / "model.onnx", "conv")
    out = {k: tmp_path / f"out.{k}" for k in ("json", "csv", "markdown", "html")}
    commands = [
        ("archs", file),
        ("energy", file),
        ("profile", model, "--arch", file, *(x for k, target in out.items() for x in (f"--{k}", target))),
        ("profile", model, "--arch", file, "--layer", "conv", "--plots", tmp_path / "plots"),
        ("profile", model, "--arch", file, "--set", "no.depth=3"),
    ]
    for arguments in commands:
        run = hwsim(*arguments)
        assert run.code in (0, 2) and not UNSEEN.search(run.out + run.err), arguments
        assert run.err.count("\n") <= 1 and len(run.err) < 2 * MOST_TEXT
        if run.code == 0 and kind != "long":
            assert "".join(visible(name).split())[:20] in "".join(run.out.split())
    if out["csv"].exists():
        head = next(csv.reader(out["csv"].read_text(encoding="utf-8").splitlines()))
        assert not any(x.startswith(("=", "+", "-", "@")) for x in head)


def test_texts_of_a_rubric(hwsim: Command, tmp_path: Path) -> None:
    evil = json.dumps(NAMES["escape"] + NAMES["closing tag"] + NAMES["html"])
    file = tmp_path / "own.yaml"
    file.write_text(
        f"name: {evil}\ntitle: {evil}\nsource: {evil}\nnotes: [{evil}]\n"
        f"criteria: [{{name: {evil}, figure: macs, bands: [{{at_most: 1, points: 5}}]}}]\n"
        f"hard_constraints: [{{name: {evil}, figure: parameters, at_least: 1}}]\n",
        encoding="utf-8",
    )
    model = one_convolution(tmp_path / "model.onnx", NAMES["escape"])
    out = {k: tmp_path / f"out.{k}" for k in ("csv", "markdown", "html")}
    run = hwsim("score", model, "--rubric", file, *(x for k, target in out.items() for x in (f"--{k}", target)))
    assert run.code == 0, run.err
    assert "[/a]<img" in run.out
    assert not UNSEEN.search(run.out) and not UNSEEN.search(out["csv"].read_text() + out["markdown"].read_text())
    assert elements(out["html"].read_text(encoding="utf-8")) <= PLAIN


def test_what_jupyter_shows(tmp_path: Path) -> None:
    for name in NAMES.values():
        cost = package.profile(one_convolution(tmp_path / "model.onnx", name))
        for shown in (repr(cost), repr(cost.layers), cost._repr_html_(), cost.layers[0]._repr_html_()):
            assert not UNSEEN.search(shown)
        for page in (cost._repr_html_(), cost.layers[0]._repr_html_()):
            assert elements(page) <= {*("div", "p", "b", "small", "table", "thead", "tbody", "tr", "th", "td")}


def test_progress_shows_names_as_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from hwsim.cli.shared import progress_bar

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for name in NAMES.values():
        with progress_bar("mapping") as tell:
            tell(1, 2, name)
    shown = capsys.readouterr().err
    assert "[/a]" in shown and "RED" in shown and "\x1b]0;" not in shown and "\x9b" not in shown


@pytest.mark.parametrize("width", [50, 60, 80, 170])
def test_a_narrow_terminal_leaves_out_columns_and_cuts_no_figure(
    width: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import io

    from rich.console import Console

    from hwsim.array.systolic import SystolicDesign
    from hwsim.array.systolic_network import network_on
    from hwsim.reports.systolic import systolic_report
    from hwsim.reports.terminal import profile_table
    from hwsim.workloads.onnx.reader import read_onnx

    file = one_convolution(tmp_path / "model.onnx", "conv1")
    cost = package.profile(file)
    page = Console(file=io.StringIO(), width=width)
    page.print(profile_table(cost), systolic_report(network_on(read_onnx(file, {}), SystolicDesign(4, 4, False), None)))
    shown = page.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(x) <= width for x in shown.splitlines())
    # 2·3·2·2·3·3 multiplications: 2 outputs of 3 inputs, 2 × 2 places, windows of 3 × 3
    assert cost.macs == 216
    profile, systolic = shown.split("on a systolic array")
    row = next(x for x in profile.splitlines() if "conv1" in x)
    figures = (str(cost.layers[0].cost.cycles), f"{100 * cost.layers[0].cost.utilization:.1f}%", "nJ", "✓")
    assert all(x in row.split() for x in figures) and "opt" in profile
    assert ("Too narrow for: where the energy goes" in profile) == (width < 100)
    assert any("conv1" in x and "█" in x for x in systolic.splitlines())
    assert ("Too narrow for: preload, fill, stream, drain" in systolic) == (width < 100)


# What text becomes, by hand.


def test_visible_printable_and_values() -> None:
    assert visible("a\x1b[1m\u202e\udcff\n") == "a\\x1b[1m\\u202e\\udcff\\n"
    assert visible("µJ × 卷积 é") == "µJ × 卷积 é"
    assert printable("a" * 10_000) == "a" * 66 + "…" + "a" * 133
    assert len(printable("word " * 10_000)) == MOST_TEXT
    assert str(HwsimError("x\ny", where="\x1b.onnx")) == "\\x1b.onnx: x\\ny"
    assert shown_value("a\nb") == "'a\\\\nb'" or shown_value("a\nb") == "'a\\nb'"
    for huge in (10**5000, ["x" * 10**6] * 1000, {"a": 10**5000}, [[[[[[[[]]]]]]]]):
        assert len(shown_value(huge)) <= 60
    bomb: list[object] = []
    for _ in range(60):
        bomb = [bomb, bomb]  # 2^60 parts when written out
    assert len(shown_value(bomb)) <= 60
    assert did_you_mean("x" * 10_000, ["y" * 10_000] * 3).count("y") <= 200


def test_csv_cells() -> None:
    cells = ["=1", "+1", "-1", "-1.5e3", "-a", "+a", "@a", "\ta", "\ra", "a\nb", "＝1", "a=1", ""]
    wanted = ["'=1", "+1", "-1", "-1.5e3", "'-a", "'+a", "'@a", "'\\ta", "'\\ra", "a\\nb", "'＝1", "a=1", ""]
    assert list(csv.reader([csv_text([cells])])) == [wanted]
    assert csv_text([[-1, 2.5, True, None]]) == "-1,2.5,True,\n"


def test_markdown_cells() -> None:
    cells = {
        "1. a": "1\\. a", "- a": "\\- a", "-12.3%": "-12.3%", "3.5 mJ": "3.5 mJ", "# a": "\\# a", "&lt;": "\\&lt;",
        "www.evil.example": "www\\.evil.example", "HTTP://evil": "HTTP\\://evil", "~~a~~": "\\~\\~a\\~\\~",
    }  # fmt: skip
    assert {text: _cell(text) for text in cells} == cells


# Files that are written.


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.json", tmp_path / "link.json"
    link.symlink_to(Path("there") / "real.json")
    for content in ("first", "second"):  # a link to nothing yet, and to a file
        write_file(link, content)
        assert link.is_symlink() and real.read_text() == content
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["real.json"]


def test_rights_are_kept_and_names_may_be_long(tmp_path: Path) -> None:
    file = tmp_path / ("n" * 250 + ".json")
    write_file(file, "a")
    file.chmod(0o600)
    write_file(file, "b")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("b", 0o600)


@pytest.mark.parametrize(
    ("name", "redirect"), [("-", "pipe"), ("/dev/stdout", "pipe"), ("/dev/stdout", "file"), ("/proc/self/fd/1", "file")]
)
def test_standard_output_holds_the_result_alone(name: str, redirect: str, command: Command, tmp_path: Path) -> None:
    model = one_convolution(tmp_path / "model.onnx", "conv")
    if redirect == "file":
        with (tmp_path / "out").open("wb") as file:
            run = command("profile", model, "--json", name, stdout=file)
        text = (tmp_path / "out").read_text(encoding="utf-8")
    else:
        run = command("profile", model, "--json", name)
        text = run.out
    assert run.code == 0, run.err
    assert json.loads(text)["layers"][0]["name"] == "conv"
    assert stat.S_ISLNK(os.lstat("/dev/stdout").st_mode)


@pytest.mark.parametrize("option", ["json", "csv", "markdown", "html"])
def test_every_result_may_go_to_standard_output(option: str, hwsim: Command, tmp_path: Path) -> None:
    model = one_convolution(tmp_path / "model.onnx", "conv")
    assert hwsim("profile", model, f"--{option}", tmp_path / "file").code == 0
    run = hwsim("profile", model, f"--{option}", "-")
    # the page names the command; both leave out where it writes
    assert (run.code, run.err, run.out) == (0, "", (tmp_path / "file").read_text(encoding="utf-8"))
    assert not Path("-").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--json", "-", "--csv", "-"), "one place"),
        (("--json", "{tmp}/a", "--csv", "{tmp}/./a"), "one place"),
        (("--json", "{tmp}/none/a"), "no such folder"),
        (("--json", "{tmp}"), "it is a folder"),
        (("--html", "/dev/full"), "no space left"),
        (("--json", "{tmp}/fifo"), "nobody reads this pipe"),
        (("--json", "{tmp}/loop"), "cannot be written"),
        (("--json", "{tmp}/" + "n" * 300), "name too long"),
        (("--plots", "-"), "name a folder"),
        (("--plots", "{tmp}/fifo"), "cannot be made"),
    ],
)
def test_where_nothing_can_be_written(options: tuple[str, ...], said: str, hwsim: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    model = one_convolution(tmp_path / "model.onnx", "conv")
    before = sorted(tmp_path.iterdir())
    run = hwsim("profile", model, *(x.format(tmp=tmp_path) for x in options))
    assert run.code == 2 and said in run.err and run.err.count("\n") == 1, run.err
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode) and stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_pipe_that_is_read_gets_the_result(hwsim: Command, tmp_path: Path) -> None:
    pipe, got = tmp_path / "fifo", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    run = hwsim("profile", one_convolution(tmp_path / "model.onnx", "conv"), "--json", pipe)
    reader.join(20)
    assert run.code == 0 and json.loads(got[0])["schema"] == "hwsim.profile/1"


def test_a_full_disk_leaves_nothing(command: Command, tmp_path: Path) -> None:
    """The limit of a file's size stands for a disk that is full: the old file stays, no temporary one is left."""
    model = one_convolution(tmp_path / "model.onnx", "conv")
    out = tmp_path / "page.html"
    out.write_text("old")
    run = command(
        "profile",
        model,
        "--no-cache",
        "--html",
        out,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
    )
    assert run.code == 2 and "page.html: the file cannot be written" in run.err and run.err.count("\n") == 1
    assert out.read_text() == "old"


def test_a_file_removed_meanwhile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replace = os.replace

    def removed(source: str, target: Path) -> None:
        os.unlink(source)
        replace(source, target)

    monkeypatch.setattr(os, "replace", removed)
    with pytest.raises(HwsimError, match="no such file"), nothing_left(tmp_path):
        write_file(tmp_path / "a", "b")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), nothing_left(tmp_path):
        write_file(tmp_path / "a", "b")
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, hwsim: Command, tmp_path: Path) -> None:
    """/sys is closed to root, too; a cache that cannot be written costs time and nothing else."""
    model = one_convolution(tmp_path / "model.onnx", "conv")
    shut = tmp_path / "shut"
    shut.mkdir()
    shut.chmod(0o555)
    for folder in ["/sys", *([shut] if os.getuid() else [])]:
        run = hwsim("profile", model, "--json", f"{folder}/a.json")
        assert run.code == 2 and "a.json: the file cannot be written" in run.err and run.err.count("\n") == 1
        with monkeypatch.context() as changed:
            changed.setenv("HWSIM_CACHE_DIR", f"{folder}/cache")
            run = hwsim("profile", model, "--json", "-")
        assert run.code == 0 and json.loads(run.out)["model"] == "model", run.err
    assert not list(shut.iterdir())


def test_the_readers_leave(command: Command, tmp_path: Path) -> None:
    model = one_convolution(tmp_path / "model.onnx", "conv")
    for arguments in (("profile", str(model)), ("profile", str(model), "--json", "-"), ("--help",)):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            run = command(*arguments, stdout=pipe)
        assert (run.code, run.err) == (141, ""), arguments
    with Path("/dev/full").open("wb") as full:
        for arguments in (("archs",), ("--help",), ("profile", str(model), "--json", "-")):
            run = command(*arguments, stdout=full)
            assert run.code == 2 and "o space left on device" in run.err and run.err.count("\n") == 1, arguments
    closed = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -c 'from hwsim.cli import main; main()' archs >&- 2>&-"], check=False
    )
    assert closed.returncode == 0


# Files that are read.


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"0" * 101)
    (tmp_path / "exact").write_bytes(b"0" * 100)
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    (tmp_path / "marked").write_bytes(b"\xef\xbb\xbftext")
    for name, said in (
        ("pipe", "it is a pipe"),
        ("link", "it is a pipe"),
        (".", "it is a folder"),
        ("/dev/zero", "it is a device"),
        ("none", "no such file"),
        ("large", "at most 100"),
        ("a\0b", "no file can have this name"),
        ("\ud800", "no file can have this name"),
        ("n" * 300, "name too long"),
    ):
        with pytest.raises(HwsimError, match=said):
            read_bytes(tmp_path / name, 100)
    assert read_bytes(tmp_path / "exact", 100) == b"0" * 100
    assert read_text(tmp_path / "marked") == "text"
    with pytest.raises(HwsimError, match="UTF-8; the byte at position 0"):
        read_text(tmp_path / "latin")
    assert Path("/proc/self/status").stat().st_size == 0  # a file that says nothing of its size
    with pytest.raises(HwsimError, match="more than 10 bytes"):
        read_bytes("/proc/self/status", 10)
    with open_regular(tmp_path / "exact") as file:
        assert file.read(1) == b"0"


def test_what_can_be_written_is_known_beforehand(tmp_path: Path) -> None:
    for good in (tmp_path / "new", "-", "/dev/null", "/dev/stdout"):
        check_writable(good)
    for bad in (tmp_path, tmp_path / "none" / "a", "a\0b"):
        with pytest.raises(HwsimError):
            check_writable(bad)


@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "folder", "socket"])
def test_every_command_refuses_what_is_no_file(kind: str, hwsim: Command, tmp_path: Path) -> None:
    """Pipes and devices may never end: each place that takes a file refuses them before it reads."""
    import socket

    model = one_convolution(tmp_path / "model.onnx", "conv")
    assert hwsim("profile", model, "--json", tmp_path / "a.json").code == 0
    odd = Path(kind) if kind.startswith("/") else tmp_path / "odd.yaml"
    listening = socket.socket(socket.AF_UNIX)
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    elif kind == "socket":
        listening.bind(str(odd))
    for arguments in (
        ("profile", odd),
        ("profile", model, "--arch", odd),
        ("whatif", odd, "--set", "PE.meshX=8"),
        ("simulate", odd),
        ("simulate", model, "--layer", "conv", "--input", odd),
        ("systolic", odd),
        ("compare", tmp_path / "a.json", odd),
        ("score", model, "--rubric", odd),
        ("score", model, "--rubric", "lab0", "--accuracy", "0.9", "--population", odd),
        ("map", odd),
        ("evaluate", odd),
        ("explore", odd, "--grid"),
        ("archs", odd),
        ("energy", odd),
    ):
        run = hwsim(*arguments)
        assert run.code == 2 and run.err.count("\n") == 1, (arguments, run.err)
        assert odd.name in run.err
    listening.close()


# Encodings.


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda env: ",".join(f"{k}={v}" for k, v in env.items()),
)
def test_encodings(env: dict[str, str], command: Command, hwsim: Command, tmp_path: Path) -> None:
    model = one_convolution(tmp_path / "model.onnx", NAMES["letters of the world"])
    wanted = json.loads(hwsim("profile", model, "--json", "-").out)
    out = {k: tmp_path / f"out.{k}" for k in ("json", "csv", "markdown", "html")}
    run = command("profile", model, *(x for k, target in out.items() for x in (f"--{k}", target)), env=env)
    assert run.code == 0 and "model on simple_ws" in run.out, run.err
    assert json.loads(out["json"].read_text(encoding="utf-8")) == wanted
    assert json.loads(command("profile", model, "--json", "-", env=env).out) == wanted


def test_names_of_files_that_are_no_text(command: Command, tmp_path: Path) -> None:
    plain = one_convolution(tmp_path / "model.onnx", "conv")
    odd = os.fsencode(tmp_path) + b"/\xff\xfe.onnx"
    with open(odd, "wb") as file:
        file.write(plain.read_bytes())
    out = {k: os.fsencode(tmp_path) + b"/\xff." + k.encode() for k in ("json", "csv", "markdown", "html")}
    run = command("profile", odd, *(x for k, target in out.items() for x in (f"--{k}".encode(), target)))
    assert run.code == 0, run.err
    with open(out["json"], "rb") as file:
        assert json.loads(file.read())["model"] == "\udcff\udcfe"
    for arguments in ((b"\xff.onnx",), (plain, "--arch", b"\xff"), (plain, b"--\xff")):
        run = command("profile", *arguments)
        assert run.code == 2 and "\\udcff" in run.err and run.err.count("\n") == 1


def test_lone_surrogates_from_json(hwsim: Command, tmp_path: Path) -> None:
    model = one_convolution(tmp_path / "model.onnx", "conv")
    assert hwsim("profile", model, "--json", tmp_path / "a.json").code == 0
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "b.json").write_text(text.replace('"conv"', '"\\ud800"').replace('"simple_ws"', '"\\udfff"'))
    out = {k: tmp_path / f"out.{k}" for k in ("csv", "markdown", "html")}
    args = (x for k, target in out.items() for x in (f"--{k}", target))
    run = hwsim("compare", tmp_path / "a.json", tmp_path / "b.json", *args, "--plots", tmp_path / "plots")
    assert run.code == 0, run.err
    assert "\\ud800" in run.out and "\\udfff" in out["csv"].read_text(encoding="utf-8")


# What is unexpected, and the version.


@pytest.mark.parametrize(
    "error", [TypeError("[/a]\x1b\n" * 1000), MemoryError(), RecursionError(), KeyError("x"), TimeoutError(), OSError()]
)
def test_what_is_unexpected_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from hwsim import cli

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("hwsim.cli.shipped.shipped_architectures", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["hwsim", "archs"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    told = capsys.readouterr().err
    assert stop.value.code == cli.FAULT and told.count("\n") == 1 and not UNSEEN.search(told)
    (kept,) = tmp_path.iterdir()
    assert str(kept) in told and "Traceback" in kept.read_text(encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(SystemExit):
        cli.main()
    assert "could not be kept" in capsys.readouterr().err


def test_what_the_system_refuses_is_no_fault(monkeypatch: pytest.MonkeyPatch, hwsim: Command) -> None:
    """A file that goes away between two looks at it, a folder closed meanwhile: one message with its name."""

    def broken(*_: object, **__: object) -> None:
        os.stat("/nowhere/\x1b.yaml")

    monkeypatch.setattr("hwsim.cli.shipped.shipped_architectures", broken)
    run = hwsim("archs")
    assert (run.code, run.err) == (2, "hwsim: /nowhere/\\x1b.yaml: no such file or directory.\n")


def test_version_and_wrong_use(hwsim: Command) -> None:
    assert hwsim("--version").out.startswith(f"hwsim {package.__version__}")
    for arguments, said in (
        (("nonsense",), "'nonsense'"),
        (("profile",), "'model'"),
        (("profile", "x", "--nope"), "--nope"),
        (("profile", "x", "--jobs", "0"), "--jobs"),
        (("profile", "x", "\x1b[2J[/a]"), "\\x1b[2J[/a]"),
    ):
        run = hwsim(*arguments)
        assert run.code == 2 and said in run.err and run.err.count("\n") == 1 and run.out == ""
        assert "--help" in run.err
    run = hwsim()
    assert run.code == 2 and "profile" in run.out


def test_the_checks_of_commands_see_what_is_left(tmp_path: Path) -> None:
    from tests.conftest import check_told

    (tmp_path / "in").mkdir()
    with pytest.raises(AssertionError, match="half-written"), nothing_left(tmp_path):
        (tmp_path / "in" / ".a.json.x.tmp").write_text("")
    with pytest.raises(AssertionError, match="processes are left"), nothing_left(tmp_path / "none"):
        sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    sleeping.kill()
    sleeping.wait()
    for code, text in ((0, "Traceback (most recent call last):\n"), (70, "hwsim: unexpected")):
        with pytest.raises(AssertionError):
            check_told(code, "", text)


@pytest.mark.parametrize("size", ["9" * 5000, "1" * 19, "0", "00", "-1", "1.5", "²", "x"])
def test_a_size_that_is_none(size: str, hwsim: Command) -> None:
    run = hwsim("profile", "zoo:lenet5", "--dim", f"batch={size}")
    assert run.code == 2 and "'batch' should be a whole number" in run.err and run.err.count("\n") == 1
