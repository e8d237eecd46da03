"""What is kept between runs: results under keys that hold all that decides them, compiled kernels that are whole."""

import dataclasses
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import pytest

import hwsim
from hwsim import cache, kernel, provenance
from hwsim.architecture import (
    Architecture,
    Compute,
    Constraints,
    FactorConstraint,
    Fanout,
    LoopConstraint,
    Storage,
)
from hwsim.energy import Action, EnergyTable
from hwsim.errors import HwsimError
from hwsim.files import cache_folder
from hwsim.hardware import Design
from hwsim.mapper import search
from hwsim.network import map_layer
from hwsim.sparsity import ActionOptimization, Density, Format, LevelSparsity, Rank, Saving, Sparsity
from hwsim.workloads.problem import Problem, conv, matmul

ROOT = Path(__file__).parent.parent

PROBLEM = replace(
    conv({"C": 4, "M": 2, "R": 3, "P": 5}, wstride=2), densities=(("Inputs", Density("hypergeometric", 0.5, 1)),)
)
LOOPS = LoopConstraint(
    factors=(FactorConstraint("C", "=", 2),),
    permutation=("R", "C"),
    split=1,
    no_reuse=frozenset({"Weights"}),
    rmw_first_update=frozenset({"Outputs"}),
    no_multicast=frozenset({"Weights"}),
    no_link_transfer=frozenset({"Weights"}),
    others_one=False,
    no_iteration=frozenset({"Weights"}),
    max_factor=4,
)
CONSTRAINTS = Constraints(LOOPS, LOOPS, frozenset({"Inputs"}), frozenset({"Weights"}), 0.25, (("C", "M"),))
DRAM = Storage("DRAM", "DRAM", None, 64, 16, 4, 1, 2.0, 2.0, 4.0, 1.0, CONSTRAINTS, {"a": 1})
BUFFER = Storage("buffer", "smartbuffer_SRAM", 256, 64, 16, 4, 2, 2.0, 2.0, 4.0, 2.0, CONSTRAINTS, {"a": 1})
ARRAY = Fanout("PE", 4, 2, CONSTRAINTS, {"a": 1}, "PE")
SPARSITY = Sparsity(
    (
        (
            "buffer",
            LevelSparsity(
                (("Inputs", Format((Rank("CP", (("C", "M"),), 4, 8),))),),
                (ActionOptimization("gating", (Saving("Weights", ("Inputs",)),)),),
                64,
                128,
                4,
            ),
        ),
    ),
    frozenset({"skipping"}),
)
DESIGN = Architecture(
    "design",
    (DRAM, BUFFER, ARRAY),
    Compute("mac", "intmac", {"a": 1}),
    containers=frozenset({"x"}),
    sparsity=SPARSITY,
)
ENERGY = EnergyTable(
    {
        "DRAM": {"read": Action(64.0, "ERT", "a book"), "write": Action(65.0), "leak": Action(0.5)},
        "mac": {"compute": Action(1.0)},
    },
    {"buffer": 10.0},
    "table",
)


def changed(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: PLR0912 (a branch per kind of value)
    """Every way to change one field of a value somewhere inside: where, and the changed value."""
    match value:
        case bool():
            yield "", not value
        case int() | float():
            yield "", value + 1
        case str():
            yield "", {"=": ">=", "": "X"}.get(value, f"{value}2")
        case None:
            yield "", 7
        case tuple():
            yield " without its last", value[:-1]
            for k, item in enumerate(value):
                for where, new in changed(item):
                    yield f"[{k}]{where}", (*value[:k], new, *value[k + 1 :])
        case frozenset():
            yield " less", frozenset()
            yield " more", value | {"more"}
        case dict():
            for name, item in value.items():
                yield f" without {name}", {k: v for k, v in value.items() if k != name}
                for where, new in changed(item):
                    yield f"[{name}]{where}", {**value, name: new}
        case _:
            for field in dataclasses.fields(value):
                for where, new in changed(getattr(value, field.name)):
                    with suppress(HwsimError, ValueError):  # a value that the class refuses
                        yield f".{field.name}{where}", replace(value, **{field.name: new})


#: Fields that no mapping and no cost of one depends on: names, descriptions, sources, what only pricing reads.
IDLE = {
    "architecture": (
        *(".name", ".description", ".source", ".containers", ".branches", ".cycle_seconds"),
        *(".compute.component", ".compute.attributes"),
        *(f".levels[{k}].attributes" for k in range(3)),
    ),
    "energy": (
        *(".name", ".area_um2", ".instead_of"),
        *(f".actions[{c}][{a}].{x}" for c, t in ENERGY.actions.items() for a in t for x in ("estimator", "source")),
    ),
}


def key(problem: Problem = PROBLEM, architecture: Architecture = DESIGN, energy: EnergyTable = ENERGY) -> str:
    return cache.key(problem, architecture, energy, "edp")


VARIANTS = [
    (room, where, new)
    for room, value in (("problem", PROBLEM), ("architecture", DESIGN), ("energy", ENERGY))
    for where, new in changed(value)
]


def test_the_variants_reach_every_field() -> None:
    """As many fields as the classes have; a new field is a variant without a change here."""
    reached = {where.split(" ")[0] for room, where, _ in VARIANTS if room == "architecture"}
    for kind, prefix in (
        (Storage, ".levels[1]."),
        (Fanout, ".levels[2]."),
        (Architecture, "."),
        (Compute, ".compute."),
    ):
        for field in dataclasses.fields(kind):
            assert any(where.startswith(prefix + field.name) for where in reached), field.name
    for kind, prefix in ((Constraints, ".levels[1].constraints."), (LoopConstraint, ".levels[1].constraints.spatial.")):
        for field in dataclasses.fields(kind):
            assert any(where.startswith(prefix + field.name) for where in reached), field.name


@pytest.mark.parametrize(("room", "where", "new"), VARIANTS, ids=lambda x: x if isinstance(x, str) else "")
def test_the_key_holds_what_decides_the_result(room: str, where: str, new: Any) -> None:
    idle = any(where.startswith(name) for name in IDLE.get(room, ()))
    assert (key(**{room: new}) == key()) == idle


def test_the_key_holds_objective_and_program(monkeypatch: pytest.MonkeyPatch) -> None:
    objectives = ("edp", "energy", "latency", "latency,energy", "energy,latency")
    assert len({cache.key(PROBLEM, DESIGN, ENERGY, x) for x in objectives}) == len(objectives)
    before = key()
    monkeypatch.setattr(cache, "program_sha256", lambda: "0" * 64)
    assert key() != before


def test_a_level_is_not_taken_for_another_kind() -> None:
    """Classes whose fields happen to agree differ by their name."""
    problem = replace(PROBLEM, data_spaces=PROBLEM.data_spaces[::-1])
    assert key(problem) != key() and key(architecture=replace(DESIGN, levels=(BUFFER, DRAM, ARRAY))) != key()


def test_a_price_changed_in_place_is_seen() -> None:
    table = EnergyTable({c: dict(t) for c, t in ENERGY.actions.items()}, {})
    before = key(energy=table)
    assert before == key()
    table.actions["DRAM"]["read"] = Action(128.0)
    assert key(energy=table) != before


def test_a_page_s_hash_also_sees_clock_and_areas() -> None:
    plain = provenance.design_sha256(DESIGN, ENERGY)
    assert provenance.design_sha256(replace(DESIGN, cycle_seconds=2e-9), ENERGY) != plain
    assert provenance.design_sha256(DESIGN, replace(ENERGY, area_um2={"buffer": 11.0})) != plain
    assert provenance.design_sha256(replace(DESIGN, description="other"), ENERGY) == plain
    both = (replace(ENERGY, area_um2=dict(order)) for order in ([("a", 1.0), ("b", 2.0)], [("b", 2.0), ("a", 1.0)]))
    assert len({provenance.design_sha256(DESIGN, energy) for energy in both}) == 1
    for room, where, new in VARIANTS:
        if room != "problem" and not any(where.startswith(name) for name in IDLE[room]):
            designs = {"architecture": DESIGN, "energy": ENERGY} | {room: new}
            assert provenance.design_sha256(*designs.values()) != plain, where


# --- entries --------------------------------------------------------------------------

SMALL = Architecture(
    "small",
    (Storage("DRAM", "DRAM", None, 64, 16, 4), Storage("buffer", "SRAM", 64, 16, 16, 1), Fanout("PE", 2, 2)),
    Compute("mac", "intmac"),
)
PRICES = EnergyTable(
    {
        name: {action: Action(price) for action in ("read", "write", "update", "leak")}
        for name, price in (("DRAM", 100.0), ("buffer", 5.0))
    }
    | {"mac": {"compute": Action(1.0)}},
    {},
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_is_the_whole_cost(folder: Path) -> None:
    for problem in (conv({"C": 2, "M": 3, "P": 4}), matmul({"M": 4, "C": 6, "P": 2})):
        cost = search(problem, SMALL, PRICES, "energy")
        name = cache.key(problem, SMALL, PRICES, "energy")
        assert cache.load(name, problem) is None
        assert map_layer(problem, Design(SMALL, PRICES), "energy") == replace(
            cost,
            certificate=cache.load(name, problem).certificate,  # type: ignore[union-attr, arg-type]
        )
        again = cache.load(name, problem)
        assert again is not None and again == map_layer(problem, Design(SMALL, PRICES), "energy")
    assert len(list(folder.iterdir())) == 2


def test_what_is_not_proved_is_not_kept(folder: Path) -> None:
    problem = conv({"C": 2, "M": 3, "P": 4})
    cost = search(problem, SMALL, PRICES)
    assert cost.certificate is not None  # type: ignore[union-attr]
    cache.store("unproved", replace(cost, certificate=replace(cost.certificate, optimal=False)))  # type: ignore[union-attr, arg-type]
    cache.store("unsearched", replace(cost, certificate=None))  # type: ignore[arg-type]
    assert not folder.exists()


def test_no_cache_neither_looks_nor_keeps(folder: Path) -> None:
    map_layer(conv({"C": 2}), Design(SMALL, PRICES), use_cache=False)
    assert not folder.exists()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "no JSON": lambda content: b"\xff\x00" * 100,
    "a list": lambda content: b"[]",
    "null": lambda content: b"null",
    "deep": lambda content: b"[" * 100_000,
    "no checksum": lambda content: json.dumps({"cost": json.loads(content)["cost"]}).encode(),
    "another figure": lambda content: content.replace(b'"cycles": ', b'"cycles": 1'),
    "cost is text": lambda content: b'{"checksum": "", "cost": "x"}',
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_searched_again(folder: Path, damage: str) -> None:
    job = (conv({"C": 2, "M": 3}), Design(SMALL, PRICES))
    first = map_layer(*job)
    (entry,) = folder.iterdir()
    content = entry.read_bytes()
    entry.write_bytes(DAMAGES[damage](content))
    assert entry.read_bytes() != content and cache.load(entry.stem, job[0]) is None
    again = map_layer(*job)
    assert (again.cycles, again.energy_pj, again.mapping) == (first.cycles, first.energy_pj, first.mapping)  # type: ignore[union-attr]
    assert cache.load(entry.stem, job[0]) == again


def test_an_entry_with_its_fields_in_another_order_is_whole(folder: Path) -> None:
    job = (conv({"C": 2, "M": 3}), Design(SMALL, PRICES))
    first = map_layer(*job)
    (entry,) = folder.iterdir()
    data = json.loads(entry.read_text())
    data["cost"] = dict(reversed(data["cost"].items()))
    entry.write_text(json.dumps(data))
    assert cache.load(entry.stem, job[0]) == first


def test_an_entry_under_another_key_does_not_count(folder: Path) -> None:
    problem = conv({"C": 2, "M": 3})
    map_layer(problem, Design(SMALL, PRICES))
    (entry,) = folder.iterdir()
    other = cache.key(problem, SMALL, PRICES, "latency")
    shutil.copy(entry, folder / f"{other}.json")
    assert cache.load(other, problem) is None


@pytest.mark.parametrize("what", ["a file", "read-only", "gone", "no home"])
def test_a_cache_that_cannot_be_used_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    job = (conv({"C": 2, "M": 3}), Design(SMALL, PRICES))
    if what == "a file":
        folder.write_text("")
    elif what == "no home":
        monkeypatch.delenv("HWSIM_CACHE_DIR")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

        def no_home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", no_home)
    else:
        map_layer(*job)
        if what == "gone":
            shutil.rmtree(folder)
        else:
            folder.chmod(0o500)
    cost = map_layer(*job)
    assert cost == replace(search(job[0], SMALL, PRICES), certificate=cost.certificate)  # type: ignore[union-attr, arg-type]
    if what == "read-only":
        folder.chmod(0o700)
    if what == "gone":
        assert len(list(cache_folder().iterdir())) == 1


def test_a_full_disk_leaves_no_half_entry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    map_layer(conv({"C": 2, "M": 3}), Design(SMALL, PRICES))
    assert not list(folder.iterdir())


# --- the program ----------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources as they are installed, to be changed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for room in ("hwsim", "arch_specs", "reports", "workloads"):
        place = tmp_path / "copy" / "hwsim" / ("" if room == "hwsim" else room)
        shutil.copytree(ROOT / room, place, ignore=ignored, dirs_exist_ok=True)
    return tmp_path / "copy"


def run(path: Path, code: str, **environment: str) -> str:
    """What a piece of Python prints, with the package at a path."""
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(path), **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


VERSION = "from hwsim.provenance import program_sha256, version; print(program_sha256(), version())"


def test_the_program_s_hash(copy: Path) -> None:
    whole, version = run(copy, VERSION).split()
    assert (whole, version) == (provenance.program_sha256(), provenance.version())
    assert version == f"{hwsim.__version__}+{whole[:12]}"
    seen = {whole}
    for name in (
        "hwsim/counting/fills.py", "hwsim/mapper/exact.py", "hwsim/pricing/price.py", "hwsim/design/load.py",
        "hwsim/energy.py", "hwsim/workloads/operators/matmul.py", "hwsim/arch_specs/tables/primitives.yaml",
        "hwsim/arch_specs/components/standard.yaml",
        "hwsim/rubrics/mit-lab1.yaml", "hwsim/explore/evaluate.py",
    ):  # fmt: skip
        file = copy / name
        content = file.read_bytes()
        file.write_bytes(content + b"\n# changed\n")
        seen.add(run(copy, VERSION).split()[0])
        file.write_bytes(content)
    assert len(seen) == 11
    # how results are shown, and what is read as a user's own file would be, has its own hash or none
    for name in ("cli/profile.py", "reports/terminal.py", "arch_specs/simple_ws.yaml"):
        with (copy / "hwsim" / name).open("a") as file:
            file.write("\n# changed\n")
    (copy / "hwsim" / "counting" / ".fills.py.swp").write_text("an editor's")
    (copy / "hwsim" / "counting" / "fills.py~").write_text("an editor's")
    (copy / "hwsim" / "counting" / ".fills.py").write_text("an editor's")
    (copy / "hwsim" / "counting" / "__pycache__").mkdir(exist_ok=True)
    (copy / "hwsim" / "counting" / "__pycache__" / "fills.py").write_text("compiled")
    assert run(copy, VERSION).split()[0] == whole


def test_the_program_s_hash_in_an_archive_and_without_sources(copy: Path, tmp_path: Path) -> None:
    for folder in copy.rglob("__pycache__"):
        shutil.rmtree(folder)
    archive = shutil.make_archive(str(tmp_path / "hwsim"), "zip", copy)
    assert run(Path(archive), VERSION).split()[0] == provenance.program_sha256()
    compiled = (
        "import compileall, pathlib, sys; compileall.compile_dir(sys.argv[1], quiet=1, legacy=True); "
        "[p.unlink() for p in pathlib.Path(sys.argv[1]).rglob('*.py')]"
    )
    subprocess.run([sys.executable, "-c", compiled, str(copy)], check=True)
    bare = run(copy, VERSION).split()[0]
    assert bare != provenance.program_sha256()
    with (copy / "hwsim" / "energy.pyc").open("ab") as file:
        file.write(b"\0")
    assert run(copy, VERSION).split()[0] != bare


def test_a_changed_program_does_not_reuse_results(copy: Path, tmp_path: Path) -> None:
    """The multiplier's price is doubled in the program: the same command, with the same cache, says so."""
    from hwsim import warm

    warm.compile_all()
    for file in (ROOT / "hwsim").rglob("*.nbc"):  # kernels, which do not change: compiling takes a minute
        target = copy / file.relative_to(ROOT)
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(file, target)
    code = (
        "from hwsim.network import map_layer; from hwsim.design import load_design; "
        "from hwsim.workloads.problem import conv; "
        "cost = map_layer(conv({'C': 2}), load_design('simple_ws')); "
        "print(cost.compute.energy_pj, cost.energy_pj)"
    )
    settings = {"HWSIM_CACHE_DIR": str(tmp_path / "cache")}
    compute, total = map(float, run(copy, code, **settings).split())
    assert list(map(float, run(copy, code, **settings).split())) == [compute, total]
    model = copy / "hwsim" / "model.py"
    text = model.read_text()
    price = 'energy.price(name, "compute")'
    assert text.count(price) == 1
    model.write_text(text.replace(price, f"2 * {price}"))
    assert list(map(float, run(copy, code, **settings).split())) == [2 * compute, pytest.approx(total + compute)]


# --- compiled kernels -----------------------------------------------------------------

#: Two modules: a kernel, and one that it is compiled into.
KERNELS = {
    "__init__.py": "",
    "inner.py": "from hwsim.kernel import kernel\n\n@kernel()\ndef inner(x):\n    return 2 * x\n",
    "outer.py": (
        "from hwsim.kernel import kernel\nfrom hwsim.tried.inner import inner\n\n"
        "@kernel()\ndef outer(x):\n    return inner(x) + 1\n"
    ),
}


def call() -> tuple[int, bool, bool]:
    """What the outer kernel returns in a new process, as far as files go; was code on disk, was it used."""
    kernel.sources_sha256.cache_clear()
    kernel._source.cache_clear()
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.startswith("hwsim.tried")]:
        del sys.modules[name]
    outer = importlib.import_module("hwsim.tried.outer").outer
    known = kernel.on_disk(outer)
    return outer(20), known, bool(sum(outer.stats.cache_hits.values()))


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two small kernels, already compiled."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(hwsim, "__path__", [*hwsim.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    package = tmp_path / "tried"
    package.mkdir()
    for name, text in KERNELS.items():
        (package / name).write_text(text)
    assert call() == (41, False, False)
    assert call() == (41, True, True)
    yield package
    for name in [name for name in sys.modules if name.startswith("hwsim.tried")]:
        del sys.modules[name]


def code_files(folder: Path) -> list[Path]:
    return sorted((folder / "__pycache__").glob("*.nbc"))


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda c: b"",
    "cut": lambda c: c[:20],
    "one byte short": lambda c: c[:-1],
    "one byte more": lambda c: c + b"\0",
    "garbage": lambda c: os.urandom(len(c)),
    "checksum": lambda c: flipped(c, 0),
    "sources": lambda c: flipped(c, 40),
    "code": lambda c: flipped(c, len(c) // 2),
    "a pickle that does something": lambda c: c[:64] + b"cos\nmkdir\n(S'pwned'\ntR.",
}


@pytest.mark.parametrize("damage", BROKEN)
def test_damaged_code_is_compiled_again(tried: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.chdir(tried)
    for file in code_files(tried):
        file.write_bytes(BROKEN[damage](file.read_bytes()))
    assert call()[::2] == (41, False) and call() == (41, True, True)
    assert not (tried / "pwned").exists()


def test_code_under_another_kernel_s_name_is_not_run(tried: Path) -> None:
    inner, outer = code_files(tried)
    assert inner.name.startswith("inner.inner-") and outer.name.startswith("outer.outer-")
    code = outer.read_bytes()
    outer.write_bytes(inner.read_bytes())
    assert call()[::2] == (41, False)
    inner.write_bytes(code)
    assert call()[::2] == (41, True)


def test_a_kernel_that_was_compiled_in_is_compiled_again(tried: Path) -> None:
    inner = tried / "inner.py"
    inner.write_text(inner.read_text().replace("2 * x", "3 * x"))
    assert call() == (61, False, False) and call() == (61, True, True)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners here")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_code_that_others_can_write_is_not_run(tried: Path, mode: int) -> None:
    for file in code_files(tried):
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(mode)
    assert call() == (41, False, False) and call() == (41, True, True)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in code_files(tried))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_code_of_others_is_not_run(tried: Path) -> None:
    for file in code_files(tried):
        os.chown(file, 65534, 65534)
    assert call() == (41, False, False)


def test_settings_of_the_compiler_have_code_of_their_own(tried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(code_files(tried))
    for name, value in (("BOUNDSCHECK", 1), ("OPT", 1)):
        with monkeypatch.context() as changed_setting:
            changed_setting.setattr(numba.config, name, value)
            assert call()[::2] == (41, False) and call()[::2] == (41, True)
    assert call() == (41, True, True) and len(code_files(tried)) > before


def test_no_folder_for_code_is_no_error(tried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither beside the source nor in the user's cache folder."""
    shutil.rmtree(tried / "__pycache__")
    (tried / "__pycache__").write_text("a file")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tried / "__pycache__"))
    assert call() == (41, True, False)


def test_a_full_disk_for_code_is_no_error(tried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in code_files(tried):
        file.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    assert call() == (41, False, False) and not list((tried / "__pycache__").iterdir())
