"""The pages, in a browser: they open without errors or network, and answer clicks, keys and themes."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hwsim.reports.html.explore import explore_page
from hwsim.reports.palette import ROLES
from hwsim.workloads import zoo
from tests.conftest import Run

Hwsim = Callable[..., Run]
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PATIENCE = 120_000  # milliseconds: other work may share the machine

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


class Opened(NamedTuple):
    """A page in the browser, and what it complained about or asked the network for."""

    page: Any
    faults: list[str]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def opened(browser: Any) -> dict[Path, Opened]:
    """Pages that are open already: reading one takes most of a second."""
    return {}


@pytest.fixture
def show(browser: Any, opened: dict[Path, Opened]) -> Callable[..., Opened]:
    """A page as it is right after it was opened, in a width and colour scheme."""

    def open_page(file: Path, width: int = 1280, scheme: str = "light") -> Opened:
        if file not in opened:
            opened[file] = read_page(browser, file, width, scheme)
        page = opened[file].page
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, media="screen")
        page.evaluate("delete document.documentElement.dataset.theme")
        page.keyboard.press("Escape")
        page.wait_for_function("document.querySelector('.chart')?._fullLayout.width <= innerWidth || !window.Plotly")
        page.mouse.move(0, 0)
        return opened[file]

    return open_page


def read_page(browser: Any, file: Path, width: int, scheme: str) -> Opened:
    page, faults = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), []
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: faults.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else faults.append(r.url))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    return Opened(page, faults)


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> dict[str, Path]:
    """One page of every kind."""
    from hwsim.cli import app

    folder = tmp_path_factory.mktemp("pages")
    model = zoo.write("lenet5", folder / "lenet5.onnx")
    sets = ("--set", "shared_glb.depth=8192", "--set", "PE.meshX=8")
    score = ("--rubric", "mit-lab1", "--accuracy", "0.75")
    for command in (("profile", model), ("whatif", model, *sets), ("score", model, *score)):
        made = folder / f"{command[0]}.html"
        with redirect_stdout(StringIO()):
            app([*map(str, command), "--html", str(made)], standalone_mode=False)
    (folder / "explore.html").write_text(explore_page(exploration()))
    return {p.stem: p for p in folder.glob("*.html")}


def exploration() -> dict[str, Any]:
    """Designs whose front is known: energy falls with depth, latency with width, and one is out of bounds."""
    trials: list[dict[str, Any]] = []
    for depth in (1024, 4096, 16384):
        for width in (8, 16, 32):
            energy, cycles = 3e9 + 4e12 / depth + 1e7 * width, 40_000_000 // width
            trials.append(
                {
                    "number": len(trials),
                    "state": "complete",
                    "params": {"shared_glb.depth": depth, "PE.meshX": width, "technology": "45nm"},
                    "objectives": {"energy": energy, "latency": cycles},
                    "figures": {"energy_pj": energy, "cycles": cycles, "area_um2": 1e5 * width},
                    "on_front": depth == 16384,
                    "reason": None,
                }
            )
    lost = {
        "state": "infeasible",
        "params": {"shared_glb.depth": 1},
        "objectives": {},
        "figures": {},
        "on_front": False,
    }
    trials.append({"number": len(trials), "reason": "area 9 mm² > 8 mm²", **lost})
    objectives = [("energy", "pJ"), ("latency", "cycles")]
    return {
        "title": "buffer and array",
        "objectives": [{"name": n, "unit": u, "direction": "minimize"} for n, u in objectives],
        "params": ["shared_glb.depth", "PE.meshX", "technology"],
        "trials": trials,
        "hypervolume": [[k, 1 - 0.5**k] for k in range(1, 10)],
        "inputs": {"command": "hwsim explore space.yaml", "sha256": {"space.yaml": "5e1f"}, "sampler": "grid"},
    }


@needs_browser
@pytest.mark.parametrize("kind", ["profile", "whatif", "score", "explore"])
def test_opens_without_faults_and_fits(kind: str, pages: dict[str, Path], show: Callable[..., Opened]) -> None:
    for width, scheme in ((390, "dark"), (390, "light"), (1280, "light"), (1280, "dark")):
        page, faults = show(pages[kind], width, scheme)
        assert faults == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        surface = rgb("surface", scheme == "dark")
        shown = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert shown == f"rgb({', '.join(map(str, surface))})"
        widths = page.evaluate("[...document.querySelectorAll('.chart')].map((c) => c._fullLayout.width)")
        assert all(200 < drawn <= width for drawn in widths)
        assert len(widths) == {"profile": 5, "whatif": 4, "score": 0, "explore": 3}[kind]


def colors(page: Any, selector: str) -> dict[tuple[int, int, int], float]:
    """Colour → share of the pixels of an element's screenshot."""
    image = pytest.importorskip("PIL.Image")
    shot = image.open(BytesIO(page.locator(selector).first.screenshot())).convert("RGB")
    counts = shot.getcolors(shot.width * shot.height)
    return {color: n / (shot.width * shot.height) for n, color in counts}


def rgb(role: str, dark: bool) -> tuple[int, int, int]:
    value = ROLES[role][dark]
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_drawn_in_the_components_colours(
    scheme: str, pages: dict[str, Path], show: Callable[..., Opened]
) -> None:
    page, dark = show(pages["profile"], 1280, scheme).page, scheme == "dark"
    energy = colors(page, "#chart-energy-by-layer")
    # most of LeNet's energy goes to DRAM, whose bars are the longest; the multipliers take a little
    assert energy[rgb("c0", dark)] > 0.08 > energy[rgb("compute", dark)] > 0.001
    assert energy[rgb("surface", dark)] > 0.4
    assert colors(page, "#chart-cycles-by-layer")[rgb("accent", dark)] > 0.03
    memory = colors(page, "#chart-memory")
    assert memory[rgb("c1", dark)] > 0.05 and memory[rgb("accent", dark)] > 0.01  # the peak stands out
    split = colors(page, ".split")
    assert split[rgb("c0", dark)] > 0.7
    # the legend of the whole and the bars use the same colours: none of the other theme's
    other = rgb("c0", not dark)
    assert other not in energy and other not in split


@needs_browser
def test_the_theme_can_be_turned(pages: dict[str, Path], show: Callable[..., Opened]) -> None:
    page = show(pages["profile"]).page
    assert page.locator("#theme").text_content() == "Dark"
    page.locator("#theme").click()
    assert page.locator("#theme").text_content() == "Light"
    assert colors(page, "#chart-energy-by-layer")[rgb("c0", True)] > 0.08


@needs_browser
def test_a_layer_opens_from_bar_graph_and_table(pages: dict[str, Path], show: Callable[..., Opened]) -> None:
    page, faults = show(pages["profile"])
    drawer = page.locator("#drawer")
    assert drawer.is_hidden()
    bar = page.locator("#chart-energy-by-layer .barlayer .trace").first.locator(".point path").nth(1)
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert drawer.is_visible() and page.locator("#drawer-title").text_content() == "c3"
    said = drawer.text_content()
    for word in ("DRAM [", "parallel along", "mac: multiply", "Proved best", "updates", "shared_glb", "Weights"):
        assert word in said
    # the counts are those of the cost model
    row = drawer.locator("tbody tr", has_text="mac").last.locator("td").all_text_contents()
    assert row[:2] == ["mac", "compute"]
    page.keyboard.press("ArrowRight")
    assert page.locator("#drawer-title").text_content() == "c5"
    page.keyboard.press("Escape")
    assert drawer.is_hidden()
    page.locator(".graph .op[data-detail]").first.click()
    assert page.locator("#drawer-title").text_content() == "c1"
    page.locator("#close").click()
    page.locator("#layer-table tbody tr").nth(2).focus()
    page.keyboard.press("Enter")
    assert page.locator("#drawer-title").text_content() == "c5"
    assert faults == []


@needs_browser
def test_the_table_sorts_by_mouse_and_keys(
    pages: dict[str, Path], show: Callable[..., Opened], hwsim: Hwsim, tmp_path: Path
) -> None:
    model = pages["profile"].with_name("lenet5.onnx")
    assert hwsim("profile", model, "--json", tmp_path / "r.json").code == 0
    layers = json.loads((tmp_path / "r.json").read_text())["layers"]
    by_energy = [x["name"] for x in sorted(layers, key=lambda x: -x["energy_pj"])]
    page = show(pages["profile"]).page
    names = page.locator("#layer-table tbody td:nth-child(2)")
    assert names.all_text_contents() == [x["name"] for x in layers]
    button = page.locator("#layer-table th button", has_text="energy")
    button.click()
    assert names.all_text_contents() == by_energy
    button.focus()
    page.keyboard.press("Enter")
    assert names.all_text_contents() == by_energy[::-1]
    assert page.locator("#layer-table th[aria-sort=ascending]").text_content().startswith("energy")
    page.locator("#layer-table th button", has_text="layer").click()
    assert names.all_text_contents() == sorted(by_energy)


@needs_browser
def test_the_front_answers_hover_and_click(pages: dict[str, Path], show: Callable[..., Opened]) -> None:
    page, faults = show(pages["explore"])
    chart = page.locator("#chart-front-0")
    chart.scroll_into_view_if_needed()
    front = chart.locator(".scatterlayer .trace").nth(1).locator(".points path")
    assert front.count() == 3  # the deep buffer with each of the three widths
    box = front.first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 3, y - 2)
    page.mouse.move(x, y)
    hover = chart.locator(".hoverlayer .hovertext")
    hover.first.wait_for()
    said = hover.first.text_content()
    assert "on the front" in said and "shared_glb.depth = 16384" in said and "latency: 5 M cycles" in said
    page.mouse.click(x, y)
    assert page.locator("#drawer-title").text_content() == "Design 6"
    assert "on the Pareto front" in page.locator("#drawer-body").text_content()
    assert "area 9 mm² > 8 mm²" in page.locator("#lost").text_content()
    assert colors(page, "#chart-parallel")[rgb("accent", False)] > 0.0004
    assert faults == []


def test_exploration_as_tables() -> None:
    from hwsim.reports.markdown import explore_markdown
    from hwsim.reports.plots import explore_plots

    result = exploration()
    lines = explore_markdown(result).splitlines()
    assert len(lines) == 2 + 3 and lines[2].startswith("| 6 | 16384 | 8 | 45nm | 3.324 mJ | 5 M cycles |")
    assert explore_plots(result).keys() == {"front.png", "front.svg", "hypervolume.png", "hypervolume.svg"}


@needs_browser
def test_a_network_without_layers(hwsim: Hwsim, tmp_path: Path, show: Callable[..., Opened]) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="only")], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph), str(tmp_path / "relu.onnx"))
    run = hwsim("profile", tmp_path / "relu.onnx", "--html", tmp_path / "relu.html", "--plots", tmp_path / "plots")
    assert run.code == 0, run.err
    page, faults = show(tmp_path / "relu.html")
    assert "No operator of this network is mapped." in page.locator(".claim").text_content() and faults == []


@needs_browser
def test_whatif_points_open_a_layer(pages: dict[str, Path], show: Callable[..., Opened]) -> None:
    page, faults = show(pages["whatif"])
    point = page.locator("#chart-cycles-change .scatterlayer .trace").last.locator(".points path").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#drawer-title").text_content() == "c1"
    assert page.locator("#drawer-body pre").count() == 4  # a loop nest in every column
    assert faults == []


@needs_browser
def test_paper_is_light_and_whole(pages: dict[str, Path], show: Callable[..., Opened]) -> None:
    page = show(pages["profile"], 1280, "dark").page
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("#theme").is_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('.graph')).maxHeight") == "none"
    assert colors(page, "#chart-energy-by-layer")[rgb("c0", False)] > 0.05
    page.evaluate("dispatchEvent(new Event('afterprint'))")


def test_a_page_holds_all_it_needs_and_how_to_make_it_again(pages: dict[str, Path], tmp_path: Path) -> None:
    import hashlib

    text = pages["profile"].read_text()
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.S)  # without the scripts' own sources
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", own)
    assert "default-src 'none'" in text
    model = pages["profile"].with_name("lenet5.onnx")
    assert hashlib.sha256(model.read_bytes()).hexdigest() in text
    assert "hwsim profile" in text and "--arch simple_ws --objective edp" in text
    assert str(tmp_path.parent.parent) not in own.replace(str(model), "")  # no path but the one the user gave


@pytest.mark.parametrize(
    "command",
    [
        ("profile",),
        ("whatif", "--set", "shared_glb.depth=8192"),
        ("score", "--rubric", "mit-lab1", "--accuracy", "0.75"),
    ],
    ids=lambda command: command[0],
)
def test_same_inputs_same_bytes(command: tuple[str, ...], hwsim: Hwsim, tmp_path: Path) -> None:
    model = zoo.write("lenet5", tmp_path / "lenet5.onnx")
    for name, extra in (("a.html", ()), ("b.html", ("--no-cache",) if command[0] == "profile" else ())):
        run = hwsim(command[0], model, *command[1:], "--html", tmp_path / name, *extra)
        assert run.code == 0, run.err
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert hwsim(command[0], model, *command[1:], "--html", tmp_path / "no" / "a.html").code == 2


HOSTILE = "</script><img src=x onerror=\"document.title='taken'\"><b>&amp;"


def hostile_model(folder: Path) -> Path:
    """LeNet with a layer whose name would be markup."""
    import onnx

    model = onnx.load(str(zoo.write("lenet5", folder / "plain.onnx")))
    next(n for n in model.graph.node if n.op_type == "Conv").name = HOSTILE
    onnx.save(model, str(folder / "hostile.onnx"))
    return folder / "hostile.onnx"


@needs_browser
def test_names_are_text(hwsim: Hwsim, tmp_path: Path, show: Callable[..., Opened]) -> None:
    model = hostile_model(tmp_path)
    assert hwsim("profile", model, "--html", tmp_path / "h.html").code == 0
    page, faults = show(tmp_path / "h.html")
    page.locator("#layer-table tbody tr").first.click()
    assert page.locator("#drawer-title").text_content() == HOSTILE
    assert page.title() != "taken" and page.locator("img").count() == 0 and faults == []
