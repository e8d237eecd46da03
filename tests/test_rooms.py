"""Data goes one way: a room imports only what lies to its left."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Room → rooms it may import. errors and files are the two modules that every room may use.
ALLOWED = {
    "arch_specs": set(),
    "workloads": set(),
    "hwsim": {"workloads", "arch_specs"},
    "reports": {"hwsim", "workloads"},
    "trainers": set(),
}
COMMON = {"hwsim.errors", "hwsim.files"}
MODULES = [p for room in ALLOWED for p in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names if node.module == "hwsim")}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_rooms_to_the_left(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    if path.is_relative_to(ROOT / "hwsim" / "cli"):
        return  # knows them all
    for name in imported(path):
        other = name.split(".")[0]
        if other in ALLOWED and other != room and name not in COMMON:
            assert other in ALLOWED[room] or name == "hwsim", f"{room} imports {name}"


def test_only_the_trainers_know_torch() -> None:
    for path in MODULES:
        if path.relative_to(ROOT).parts[0] != "trainers":
            assert not any(name.split(".")[0] in ("torch", "torchvision") for name in imported(path)), path


def test_only_the_cli_prints_and_exits() -> None:
    for path in MODULES:
        if path.parent.name == "cli" or path.relative_to(ROOT).parts[0] == "trainers":
            continue
        calls = {
            n.func.id
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        assert not calls & {"print", "exit", "eval", "exec"}, path


def test_the_array_simulator_shares_no_counting_with_the_model() -> None:
    """The independent witness: neither its imports nor theirs reach the formulas or the search."""
    shared = ("hwsim.counting", "hwsim.model", "hwsim.batch", "hwsim.mapper")
    for path in sorted((ROOT / "hwsim" / "array").rglob("*.py")):
        for name in imported(path):
            assert not name.startswith(shared), f"{path.name} imports {name}"
    modules = [f"hwsim.array.{path.stem}" for path in sorted((ROOT / "hwsim" / "array").glob("[!_]*.py"))]
    code = f"import sys, {', '.join(modules)}; print([m for m in sys.modules if m.startswith({shared!r})])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"
