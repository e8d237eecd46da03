"""The shape of the code, room by room, and what imports what: ``make shape``.

Rooms are the packages of hwsim; the modules at its top are one more. Imports inside functions (lazy ones) count as
imports; those for type checkers alone do not. Complexity is ruff's (McCabe). Writes the tables of modules and of shape in
``docs/architecture.md`` between their marks; ``--against REVISION`` shows that revision's shape.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "architecture.md"
MARKS = ("<!-- shape -->", "<!-- /shape -->")
MODULE_MARKS = ("<!-- modules -->", "<!-- /modules -->")
#: Folder in the repository → package.
FOLDERS = {
    "hwsim": "hwsim",
    "arch_specs": "hwsim.arch_specs",
    "workloads": "hwsim.workloads",
    "reports": "hwsim.reports",
    "trainers": "hwsim.trainers",
}
MOST_ARGUMENTS, MOST_COMPLEXITY = 7, 12
_COMPLEX = re.compile(r"is too complex \((\d+) > ")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """A file: its lines, its functions and what it imports."""

    name: str
    path: Path
    tree: ast.Module
    lines: int
    imports: set[str] = field(default_factory=set)
    lazy: int = 0

    @property
    def room(self) -> str:
        """The package it is in, or ``hwsim`` for the modules at the top."""
        _, *rest = self.name.split(".")
        is_package = self.path.name == "__init__.py"
        return ".".join(["hwsim", *rest[: 1 if len(rest) > 1 or is_package else 0]])

    def functions(self) -> Iterator[Function]:
        """All functions and methods."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node


def read(root: Path) -> list[Module]:
    """The modules of a tree, with what each imports of the others."""
    modules = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            inner = path.relative_to(root / folder).with_suffix("").parts
            name = ".".join([package, *inner]).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            modules[name] = Module(name, path, ast.parse(text), len(text.splitlines()))
    for module in modules.values():
        _read_imports(module, modules)
    return list(modules.values())


def _read_imports(module: Module, modules: dict[str, Module]) -> None:
    typing_only = {
        id(node)
        for test in ast.walk(module.tree)
        if isinstance(test, ast.If) and ast.unparse(test.test).endswith("TYPE_CHECKING")
        for node in ast.walk(test)
    }
    inside = {id(node) for function in module.functions() for node in ast.walk(function)}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Import | ast.ImportFrom) or id(node) in typing_only:
            continue
        names = {known for name in _named(node, module) if (known := _known(name, modules))} - {module.name}
        module.imports |= names
        module.lazy += id(node) in inside


def _named(node: ast.Import | ast.ImportFrom, module: Module) -> list[str]:
    """Modules that a statement may import, the longest names that it can mean."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = module.name.split(".")[: None if module.path.name == "__init__.py" else -1]
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _known(name: str, modules: dict[str, Module]) -> str:
    """The module of ours that a dotted name is, or lies in; of older trees, whose rooms had names of their own, too."""
    for candidate in (name, name.rpartition(".")[0]):
        for tried in (candidate, f"hwsim.{candidate}"):
            if tried in modules and tried != "hwsim":
                return tried
    return ""


def graph(modules: Sequence[Module]) -> nx.DiGraph:
    """Who imports whom."""
    found = nx.DiGraph()
    found.add_nodes_from(module.name for module in modules)
    found.add_edges_from((module.name, other) for module in modules for other in module.imports)
    return found


def circles(modules: Sequence[Module]) -> list[list[str]]:
    """Modules that import each other in a circle, largest first."""
    found = [sorted(c) for c in nx.strongly_connected_components(graph(modules)) if len(c) > 1]
    return sorted(found, key=lambda c: (-len(c), c))


def complexities(root: Path) -> dict[Path, list[int]]:
    """File → complexity of its functions, by ruff."""
    command = [
        *(sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero", "--select", "C901"),
        *("--config", "lint.mccabe.max-complexity=0", "--output-format", "json", *FOLDERS),
    ]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    found: dict[Path, list[int]] = {}
    for one in json.loads(run.stdout):
        match = _COMPLEX.search(one["message"])
        assert match is not None, one["message"]
        found.setdefault(Path(one["filename"]), []).append(int(match[1]))
    return found


def arguments(function: Function) -> int:
    """Arguments that a caller gives."""
    given = function.args
    names = [x.arg for x in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def annotated(function: Function) -> bool:
    """Whether arguments and result say their type."""
    given = function.args
    asked = [x for x in (*given.posonlyargs, *given.args, *given.kwonlyargs) if x.arg not in ("self", "cls")]
    return function.returns is not None and all(x.annotation is not None for x in asked)


COLUMNS = (
    "room", "files", "lines", "longest file", "functions", "median", "p90", "longest", f"arguments > {MOST_ARGUMENTS}",
    f"complexity > {MOST_COMPLEXITY}", "most complex", "lazy imports", "annotated",
)  # fmt: skip


def row(room: str, modules: Sequence[Module], complexity: dict[Path, list[int]]) -> list[str]:
    """A room's figures, in the order of `COLUMNS`."""
    functions = [f for module in modules for f in module.functions()]
    lengths = sorted((f.end_lineno or f.lineno) - f.lineno + 1 for f in functions) or [0]
    found = [c for module in modules for c in complexity.get(module.path, [])] or [0]
    share = sum(map(annotated, functions)) / len(functions) if functions else 1.0
    return [
        room,
        str(len(modules)),
        f"{sum(m.lines for m in modules):,}",
        f"{max(m.lines for m in modules):,}",
        str(len(functions)),
        f"{statistics.median(lengths):.0f}",
        str(lengths[min(len(lengths) - 1, len(lengths) * 9 // 10)]),
        str(lengths[-1]),
        str(sum(arguments(f) > MOST_ARGUMENTS for f in functions)),
        str(sum(c > MOST_COMPLEXITY for c in found)),
        str(max(found)),
        str(sum(m.lazy for m in modules)),
        f"{share:.0%}",
    ]


def table(root: Path) -> str:
    """The rooms of a tree as Markdown, with circles and tests below."""
    modules, complexity = read(root), complexities(root)
    rooms: dict[str, list[Module]] = {}
    for module in modules:
        rooms.setdefault(module.room, []).append(module)
    rows = [row(room, rooms[room], complexity) for room in sorted(rooms)] + [row("all", modules, complexity)]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += ["| " + " | ".join(cells) + " |" for cells in rows]
    found = circles(modules)
    said = "; ".join(f"{len(c)} ({', '.join(c)})" for c in found) if found else "none"
    code, tests = (sum(m.lines for m in modules), _lines(root / "tests"))
    return "\n".join([*lines, "", f"Circles of modules: {said}.", f"Lines of tests per line: {tests / code:.2f}."])


def _is_package(module: Module) -> bool:
    return module.path.name == "__init__.py"


def modules_table(modules: Sequence[Module]) -> str:
    """Every module, room by room, with the first sentence of its docstring."""
    lines = ["| module | what |", "|---|---|"]
    for module in sorted(modules, key=lambda x: (x.room.count("."), x.room, x.name)):
        said = " ".join((ast.get_docstring(module.tree) or "").partition("\n\n")[0].split())
        first = re.split(r"\.\s(?=[A-Z])", said, maxsplit=1)[0].rstrip(".").replace("|", "\\|")
        shown = module.name if _is_package(module) else module.name.removeprefix("hwsim.")
        name = f"**`{shown}`**" if _is_package(module) else f"`{shown}`"
        lines.append(f"| {name} | {first} |")
    return "\n".join(lines)


def _lines(folder: Path) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))


def tree_of(revision: str, into: Path) -> Path:
    """The files of a revision, unpacked."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(into)], input=archive, check=True)
    return into


def main() -> None:
    """Write the table, or show it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", metavar="REVISION", help="show the table of this revision, write nothing")
    given = parser.parse_args()
    if given.against:
        with tempfile.TemporaryDirectory() as folder:
            print(table(tree_of(given.against, Path(folder))))
        return
    new = table(ROOT)
    _put(MODULE_MARKS, modules_table(read(ROOT)))
    _put(MARKS, new)
    print(new)


def _put(marks: tuple[str, str], table: str) -> None:
    """Write a table into the document, between its two marks."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        sys.exit(f"{DOCUMENT.name} has no place for the table: {marks[0]} … {marks[1]}")
    DOCUMENT.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
