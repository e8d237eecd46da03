"""Data goes one way: rooms stand in floors, and a module imports only what is below its room or in it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks import shape

ROOT = Path(__file__).parent.parent
#: From the ground up. A room is a package of hwsim or a module at its top; those of one floor do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "figure", "kernel", "mapping", "processes", "shown", "sparsity"),
    ("hwsim", "arch_specs"),  # the package's top, which names what shows results; data
    ("architecture", "counting", "deadline", "energy", "files", "objective"),
    ("hardware", "provenance", "traffic", "trainers", "workloads"),
    ("cost", "spec"),
    ("legality", "sparse"),
    ("array", "cache", "model", "pricing"),
    ("design", "mapper"),
    ("warm",),
    ("network",),
    ("rubric", "whatif"),
    ("explore",),
    ("reports",),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = shape.read(ROOT)


def room(name: str) -> str:
    """The room of a module."""
    return name.split(".")[1] if "." in name else name


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names if node.module == "hwsim")}
    return names


def test_every_room_has_a_floor() -> None:
    assert {room(module.name) for module in MODULES} == set(FLOOR)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_imports_only_what_is_below(module: shape.Module) -> None:
    own = room(module.name)
    for name in module.imports:  # lazy ones, too
        assert room(name) == own or FLOOR[room(name)] < FLOOR[own], f"{module.name} imports {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert shape.circles(MODULES) == []


def test_a_circle_is_seen(tmp_path: Path) -> None:
    for folder in shape.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "hwsim" / "a.py").write_text("from __future__ import annotations\nfrom hwsim import b\n")
    (tmp_path / "hwsim" / "b.py").write_text("def f():\n    from hwsim.c import g\n    return g\n")
    (tmp_path / "hwsim" / "c.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from hwsim import a\n"
    )
    assert shape.circles(shape.read(tmp_path)) == []
    (tmp_path / "hwsim" / "c.py").write_text("import hwsim.a\n")
    assert shape.circles(shape.read(tmp_path)) == [["hwsim.a", "hwsim.b", "hwsim.c"]]


def test_every_package_is_installed() -> None:
    """Rooms beside `hwsim` have no way into the package but by this list."""
    given = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {m.name for m in MODULES if m.path.name == "__init__.py"}
    assert set(given["packages"]) == packages
    assert {package: folder for folder, package in shape.FOLDERS.items()} == given["package-dir"]


def test_only_the_trainers_know_torch() -> None:
    for module in MODULES:
        if room(module.name) != "trainers":
            assert not any(name.split(".")[0] in ("torch", "torchvision") for name in imported(module.path)), module


def test_only_the_cli_prints_and_exits() -> None:
    for module in MODULES:
        if room(module.name) not in ("cli", "trainers"):
            calls = {
                n.func.id for n in ast.walk(module.tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
            }
            assert not calls & {"print", "exit", "eval", "exec"}, module.name


def test_the_array_simulator_shares_no_counting_with_the_model() -> None:
    """The independent witness: neither its imports nor theirs reach the formulas or the search."""
    shared = ("hwsim.counting", "hwsim.model", "hwsim.mapper")
    for path in sorted((ROOT / "hwsim" / "array").rglob("*.py")):
        for name in imported(path):
            assert not name.startswith(shared), f"{path.name} imports {name}"
    modules = [f"hwsim.array.{path.stem}" for path in sorted((ROOT / "hwsim" / "array").glob("[!_]*.py"))]
    code = f"import sys, {', '.join(modules)}; print([m for m in sys.modules if m.startswith({shared!r})])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"
