"""What the documents say of the code."""

from pathlib import Path

from benchmarks import shape

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
