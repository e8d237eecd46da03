"""What the documents say of the code."""

import re
from pathlib import Path

from benchmarks import shape
from hwsim.figure import explored
from hwsim.objective import FIGURES as AIMS

ROOT = Path(__file__).parent.parent


def test_every_module_is_named_with_what_it_is_for() -> None:
    """`make shape` writes the table; a module's first sentence may have changed since."""
    modules = shape.read(ROOT)
    table = shape.modules_table(modules).splitlines()[2:]
    assert len(table) == len(modules) and not [line for line in table if line.endswith("|  |")]
    document = shape.DOCUMENT.read_text(encoding="utf-8")
    for line in table:
        name = line.split("|")[1].strip(" *")
        assert f"| {name} |" in document or f"| **{name}** |" in document, f"{name}: run make shape"


def test_the_explorer_s_figures_are_listed_with_their_units() -> None:
    _, _, text = (ROOT / "docs" / "explore.md").read_text(encoding="utf-8").partition("| figure | unit |")
    listed: dict[str, str] = {}
    for names, units in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|", text, re.MULTILINE):
        found = re.findall(r"`(\w+)`", names)
        listed |= zip(found, units.split(", "), strict=True)
    assert listed == {name: x.unit or "–" for name, x in explored().items()}


def test_the_command_line_names_the_objectives() -> None:
    text = (ROOT / "docs" / "explore.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in AIMS)
