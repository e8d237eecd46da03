"""Single-point mutants of the core, and whether the tests see them: ``make mutants``.

Mutants are drawn from a seed, as many of each room as of another, and evenly over the ways to change a program.
Each is made in a copy of the tree, a copy per process, and run against the tests that `mutants.yaml` names, which stop
at the first failure. What came of it is kept in ``build/mutants``, so that an interrupted run goes on; it holds until
the room's sources, its tests or the table change. Survivors are judged by hand in `mutants_judged.yaml`. Writes ``benchmarks/mutants.md``.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks.package import link_rooms

BUILD = ROOT / "build" / "mutants"
TABLE = ROOT / "benchmarks" / "mutants.yaml"
JUDGED = ROOT / "benchmarks" / "mutants_judged.yaml"
REPORT = ROOT / "benchmarks" / "mutants.md"


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        way: how the program is changed, such as ``comparison``.
        start: offset in the file, in characters.
        old: the text that stands there.
        new: what replaces it.
    """

    room: str
    file: str
    line: int
    way: str
    start: int
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The changed file."""
        assert source[self.start : self.start + len(self.old)] == self.old
        return source[: self.start] + self.new + source[self.start + len(self.old) :]

    def lines(self, source: str) -> tuple[str, str]:
        """The lines that differ, before and after."""
        before, after = [], []
        for line in difflib.ndiff(source.splitlines(), self.apply(source).splitlines()):
            (before if line[0] == "-" else after if line[0] == "+" else []).append(line[2:].strip())
        return " ⏎ ".join(before), " ⏎ ".join(after)


# --- ways to change a program -----------------------------------------------------------

_COMPARISONS = {
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",),
    "in": ("not in",), "not in": ("in",), "is": ("is not",), "is not": ("is",),
}  # fmt: skip
_ARITHMETIC = {
    "+": "-", "-": "+", "*": "+", "/": "*", "//": "*", "%": "*", "**": "*", "&": "|", "|": "&", "^": "|", "<<": ">>", ">>": "<<",
}  # fmt: skip
#: Calls whose arguments are messages.
_MESSAGES = {"fail", "error", "HwsimError", "ValueError", "AssertionError", "warn", "_refuse", "AttributeError"}


class _Sites(ast.NodeVisitor):
    """Every place where a file can be changed, by way."""

    def __init__(self, source: str) -> None:
        self.source = source
        lines = source.splitlines(keepends=True)
        self.offsets = [0]
        for line in lines:
            self.offsets.append(self.offsets[-1] + len(line))
        self.raw = [line.encode() for line in lines]
        self.found: list[tuple[str, int, int, str, str]] = []  # way, line, start, old, new
        self.visit(ast.parse(source))

    def _at(self, line: int, column: int) -> int:
        """Offset in characters; columns of the parser are in bytes."""
        return self.offsets[line - 1] + len(self.raw[line - 1][:column].decode())

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self.source[start:end]

    def _add(self, way: str, node: ast.expr | ast.stmt, new: str) -> None:
        start, end = self._span(node)
        self.found.append((way, node.lineno, start, self.source[start:end], new))

    def _between(self, way: str, left: ast.expr, right: ast.expr, pattern: str, new: str) -> None:
        """Replace an operator that stands between two expressions."""
        start, end = self._span(left)[1], self._span(right)[0]
        match = re.search(pattern, re.sub(r"#.*", lambda m: " " * len(m[0]), self.source[start:end]))
        if match:
            self.found.append((way, left.end_lineno or left.lineno, start + match.start(), match[0], new))

    # what is left alone: messages, types, documentation

    def visit_Raise(self, node: ast.Raise) -> None:
        """A message; the statement itself may go."""
        self._delete(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Of no effect in a right program."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Text."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the type."""
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Defaults and body, not types and decorators."""
        for default in [*node.args.defaults, *[d for d in node.args.kw_defaults if d is not None]]:
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body, not bases and decorators."""
        for statement in node.body:
            self.visit(statement)

    # statements

    def _delete(self, node: ast.stmt) -> None:
        self._add("deleted statement", node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        """A call for its effect; no documentation."""
        if isinstance(node.value, ast.Call):
            self._delete(node)
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """``x += y``: gone, or with another sign."""
        self._delete(node)
        for old, new in (("+=", "-="), ("-=", "+="), ("*=", "+="), ("|=", "&="), ("&=", "|=")):
            if self._op(node.op) + "=" == old:
                self._between("arithmetic", node.target, node.value, re.escape(old), new)
        self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Into a container: gone. A name needs its value."""
        if all(isinstance(t, ast.Subscript | ast.Attribute) for t in node.targets):
            self._delete(node)
        names = [t.id for t in node.targets if isinstance(t, ast.Name)]
        if names != ["__all__"]:
            self.visit(node.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        """Gone."""
        self._delete(node)

    visit_Break = visit_Continue  # type: ignore[assignment]

    def visit_If(self, node: ast.If) -> None:
        """Negated."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Its condition may change, and never be negated: that is a loop which never runs, or never ends."""
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._add("negated condition", test, self._text(test.operand))
        elif not isinstance(test, ast.Compare):  # those change by their operator
            self._add("negated condition", test, f"not ({self._text(test)})")

    # expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """The other branch."""
        body, test, other = map(self._text, (node.body, node.test, node.orelse))
        if body != other:
            self._add("swapped branches", node, f"({other}) if {test} else ({body})")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Its filter negated."""
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Another comparison."""
        left = node.left
        for op, right in zip(node.ops, node.comparators, strict=True):
            text = self._op(op)
            for new in _COMPARISONS[text]:
                self._between("comparison", left, right, re.escape(text).replace(r"\ ", r"\s+"), new)
            left = right
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """``and`` for ``or``."""
        text, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between("and, or", left, right, rf"\b{text}\b", new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Another operator; text is no number."""
        text = self._op(node.op)
        parts = (node.left, node.right)
        if text in _ARITHMETIC and not any(isinstance(p, ast.JoinedStr) or _is_text(p) for p in parts):
            self._between("arithmetic", *parts, re.escape(text) + r"(?!\*)", _ARITHMETIC[text])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Off by one, twice, the other truth."""
        value = node.value
        if isinstance(value, bool):
            self._add("constant", node, str(not value))
        elif isinstance(value, int):
            self._add("constant", node, str(value + 1))
            if value > 0:
                self._add("constant", node, str(value - 1))
        elif isinstance(value, float):
            self._add("constant", node, repr(2 * value if value else 1.0))

    def visit_Call(self, node: ast.Call) -> None:
        """Two neighbours among the arguments swapped; messages are left alone."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _MESSAGES:
            return
        if name == "isinstance":  # list | tuple is a type
            self.visit(node.args[0])
            return
        for left, right in zip(node.args, node.args[1:], strict=False):
            first, second = self._text(left), self._text(right)
            if first != second and not isinstance(left, ast.Starred) and not isinstance(right, ast.Starred):
                start, end = self._span(left)[0], self._span(right)[1]
                between = self.source[self._span(left)[1] : self._span(right)[0]]
                old, new = self.source[start:end], second + between + first
                if name not in ("max", "min", "gcd"):
                    self.found.append(("swapped arguments", node.lineno, start, old, new))
        self.generic_visit(node)

    def _drop(self, node: ast.Tuple | ast.List | ast.Set) -> None:
        if isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and len(node.elts) > 1:
            for k in range(len(node.elts)):
                kept = [self._text(x) for i, x in enumerate(node.elts) if i != k]
                marks = {ast.Tuple: "()", ast.List: "[]", ast.Set: "{}"}[type(node)]
                comma = "," if isinstance(node, ast.Tuple) and len(kept) == 1 else ""
                self._add("dropped element", node, f"{marks[0]}{', '.join(kept)}{comma}{marks[1]}")
        self.generic_visit(node)

    visit_Tuple = visit_List = visit_Set = _drop

    def visit_Dict(self, node: ast.Dict) -> None:
        """A key gone."""
        if len(node.keys) > 1 and all(k is not None for k in node.keys):
            pairs = [f"{self._text(k)}: {self._text(v)}" for k, v in zip(node.keys, node.values, strict=True) if k]
            for k in range(len(pairs)):
                self._add("dropped element", node, "{" + ", ".join(p for i, p in enumerate(pairs) if i != k) + "}")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """An index may change, and keep its length."""
        self.visit(node.value)
        for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            self.visit(part)

    @staticmethod
    def _op(op: ast.AST) -> str:
        return {
            "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!=", "In": "in", "NotIn": "not in",
            "Is": "is", "IsNot": "is not", "Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "FloorDiv": "//", "Mod": "%",
            "Pow": "**", "BitAnd": "&", "BitOr": "|", "BitXor": "^", "LShift": "<<", "RShift": ">>",
        }.get(type(op).__name__, "?")  # fmt: skip


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def sites(room: str, patterns: list[str]) -> list[Mutant]:
    """Every mutant of a room."""
    found = []
    for path in sorted({p for pattern in patterns for p in ROOT.glob(pattern)}):
        source = path.read_text(encoding="utf-8")
        for way, line, start, old, new in _Sites(source).found:
            found.append(Mutant(room, str(path.relative_to(ROOT)), line, way, start, old, new))
    return found


def _changes(mutant: Mutant) -> bool:
    """Whether the changed file is a program, and another one."""
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    try:
        changed = ast.parse(mutant.apply(source))
        compile(changed, mutant.file, "exec")
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(source))


def draw(table: dict[str, Any], seed: int, count: int) -> list[Mutant]:
    """``count`` mutants, as many of each room as of another and evenly over the ways; no two in the same line.

    Their order is that of hashes of seed and text: where a file is edited, mutants of its other lines stay drawn.
    """
    drawn = []
    for k, (room, entry) in enumerate(table.items()):
        by_way: dict[str, list[tuple[str, Mutant]]] = {}
        texts: dict[str, list[str]] = {}
        for mutant in sites(room, entry["files"]):
            if mutant.file not in texts:
                texts[mutant.file] = (ROOT / mutant.file).read_text(encoding="utf-8").splitlines()
            what = (seed, mutant.file, texts[mutant.file][mutant.line - 1], mutant.way, mutant.old, mutant.new)
            by_way.setdefault(mutant.way, []).append((hashlib.sha256(repr(what).encode()).hexdigest(), mutant))
        for ranked in by_way.values():
            ranked.sort(key=lambda x: (x[0], x[1].start))
        ways, lines = sorted(by_way), set()
        random.Random(f"{seed} {room}").shuffle(ways)
        wanted = count // len(table) + (k < count % len(table))
        while wanted and any(by_way.values()):
            for way in ways:
                while by_way[way] and wanted:
                    mutant = by_way[way].pop()[1]
                    if (mutant.file, mutant.line) not in lines and _changes(mutant):
                        lines.add((mutant.file, mutant.line))
                        drawn.append(mutant)
                        wanted -= 1
                        break
    return drawn


# --- running ----------------------------------------------------------------------------


def _files(patterns: list[str]) -> list[str]:
    return sorted({str(p.relative_to(ROOT)) for pattern in patterns for p in ROOT.glob(pattern)})


def _digest(paths: list[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def _tests(stages: list[dict[str, Any]]) -> list[Path]:
    """A room's tests, and what tests share."""
    helpers = [p for p in (ROOT / "tests").rglob("*.py") if not p.name.startswith("test_")]
    data = [p for p in (ROOT / "tests" / "reference").iterdir() if p.is_file()]
    return [*helpers, *data, *(ROOT / name for stage in stages for name in _files(stage["run"]))]


class Tree:
    """A copy of the tree in which mutants are made, with a cache of compiled kernels of its own."""

    def __init__(self, number: int) -> None:
        self.root = BUILD / f"tree{number}"
        self.kernels = BUILD / f"kernels{number}"
        self.scratch = BUILD / f"scratch{number}"

    def prepare(self) -> None:
        """Copy what git knows and does not ignore; times of change are kept, kernels are known by them."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        ).stdout.split("\0")  # fmt: skip
        wanted = {name for name in listed if name and (ROOT / name).is_file()}
        for path in self.root.rglob("*"):
            if path.is_file() and path.suffix in (".py", ".yaml") and str(path.relative_to(self.root)) not in wanted:
                path.unlink()
        for name in wanted:
            target = self.root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        link_rooms(self.root, self.root / "hwsim")

    def pytest(self, stage: dict[str, Any], limit: float, kernels: Path | None = None) -> tuple[str, float, str]:
        """(killed, survived or timeout; seconds; what failed) of one stage's tests."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
        command += ["--hypothesis-seed=0", *_files(stage["run"])]
        command += ["-k", stage["select"]] if "select" in stage else []
        own = {
            "PYTHONPATH": str(self.root),
            "HWSIM_CACHE_DIR": str(self.scratch / "cache"),
            "NUMBA_CACHE_DIR": str(kernels or self.kernels),
            "NUMBA_NUM_THREADS": "1",
            "NUMBA_DISABLE_JIT": "1" if stage.get("plain") else "0",
            "PYTHONHASHSEED": "0",
            "TMPDIR": str(self.scratch / "tmp"),
        }
        shutil.rmtree(self.scratch, ignore_errors=True)
        (self.scratch / "tmp").mkdir(parents=True)
        begun = time.monotonic()
        process = subprocess.Popen(
            command, cwd=self.root, env={**os.environ, **own}, text=True, encoding="utf-8", errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            out, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "timeout", time.monotonic() - begun, ""
        failed = next((line for line in out.splitlines() if line.startswith(("FAILED", "ERROR"))), out[-300:])
        verdict = "survived" if process.returncode == 0 else "killed"
        return verdict, time.monotonic() - begun, failed if verdict == "killed" else ""

    def unchanged(self, stages: list[dict[str, Any]]) -> dict[str, Any]:
        """What the tests say of the program as it is, and how long each stage may take with a mutant."""
        limits = []
        for stage in stages:
            verdict, seconds, by = self.pytest(stage, 1200.0)
            if seconds > 30 and verdict == "survived":  # kernels may have been compiled
                verdict, seconds, by = self.pytest(stage, 1200.0)
            limits.append(4 * seconds + 30.0)
            if verdict != "survived":
                break
        return {"verdict": verdict, "by": by, "limits": limits}

    def run(self, mutant: Mutant, stages: list[dict[str, Any]], limits: list[float]) -> dict[str, Any]:
        """What the tests say of a mutant."""
        path = self.root / mutant.file
        source, status = path.read_text(encoding="utf-8"), path.stat()
        compiled = re.search(r"^@(kernel|njit)\(", source, re.MULTILINE)  # takes time again
        seconds, verdict, by = 0.0, "survived", ""
        try:
            path.write_text(mutant.apply(source), encoding="utf-8")
            kernels = self._own_kernels()
            for stage, limit in zip(stages, limits, strict=True):
                extra = 90.0 if compiled and not stage.get("plain") else 0.0
                verdict, taken, by = self.pytest(stage, limit + extra, kernels)
                seconds += taken
                if verdict != "survived":
                    break
        finally:
            path.write_text(source, encoding="utf-8")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return {"verdict": verdict, "seconds": round(seconds, 1), "by": by[:300]}

    def _own_kernels(self) -> Path:
        """A copy of the compiled kernels, which a mutant may write to; those of changed sources are compiled anew."""
        target = Path(f"{self.kernels}.changed")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.kernels, target)
        return target


def known_results(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and result of every mutant that was run."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            result = json.loads(line)
        except ValueError:  # cut off where a run was
            continue
        yield result["key"], result


def judgements() -> dict[tuple[str, str, str], str]:
    """(file, line before, line after) → what was judged by hand."""
    entries = yaml.safe_load(JUDGED.read_text(encoding="utf-8")) or []
    return {(x["file"], x["before"], x["after"]): f"{x['judgement']}: {x['reason']}" for x in entries}


def main() -> int:
    """Draw, run, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which no mutant is begun")
    parser.add_argument("--rooms", nargs="*", help="these rooms alone; writes no report")
    parser.add_argument("--list", action="store_true", help="show the mutants, run none")
    args = parser.parse_args()
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    mutants = draw(table, args.seed, args.count)
    if args.rooms:
        mutants = [m for m in mutants if m.room in args.rooms]
    if args.list:
        for m in mutants:
            before, after = m.lines((ROOT / m.file).read_text(encoding="utf-8"))
            print(f"{m.room} {m.file}:{m.line} {m.way}\n  - {before}\n  + {after}")
        return 0
    results = run_all(mutants, table, args.jobs, args.seconds)
    text = report(mutants, results, table, args.seed)
    print(text)
    if not args.rooms and len(results) == len(mutants):
        REPORT.write_text(text, encoding="utf-8")
    return 0


def run_all(mutants: list[Mutant], table: dict[str, Any], jobs: int, seconds: float) -> dict[Mutant, dict[str, Any]]:
    """Verdicts of mutants, those that are known from earlier runs among them."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "results.jsonl"
    known = dict(known_results(path))
    # Other rooms' sources are left aside: that a test sees a fault of a room seldom hangs on them, and a whole run is long.
    sources = {room: _digest([ROOT / name for name in _files(entry["files"])]) for room, entry in table.items()}
    tests = {room: _digest(_tests(entry["tests"])) for room, entry in table.items()}

    def key(mutant: Mutant) -> str:
        parts = (
            mutant,
            sources[mutant.room],
            tests[mutant.room],
            json.dumps(table[mutant.room]["tests"], sort_keys=True),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    results = {m: known[key(m)] for m in mutants if key(m) in known}
    todo = [m for m in mutants if m not in results]
    if not todo:
        return results
    until = time.monotonic() + seconds
    lock, pending, failing = threading.Lock(), list(reversed(todo)), set[str]()

    def keep(result: dict[str, Any]) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")

    def work(tree: Tree) -> None:
        tree.prepare()
        limits: dict[str, list[float]] = {}
        while True:
            with lock:
                if not pending or time.monotonic() > until:
                    return
                mutant = pending.pop()
            room = mutant.room
            stages = [stage for stage in table[room]["tests"] if _files(stage["run"])]
            if room not in limits and room not in failing:
                name = f"unchanged {room} {tree.root.name} {sources[room]} {tests[room]}"
                unchanged = known.get(name, {"verdict": "unknown"})
                if unchanged["verdict"] != "survived":
                    unchanged = tree.unchanged(stages) | {"key": name}
                limits[room] = unchanged["limits"]
                with lock:
                    keep(unchanged)
                    if unchanged["verdict"] != "survived":
                        failing.add(room)
                        print(f"{room}: the unchanged program fails: {unchanged['by']}", file=sys.stderr, flush=True)
            if room in failing:
                continue
            result = tree.run(mutant, stages, limits[room]) | {"key": key(mutant)}
            with lock:
                results[mutant] = result
                keep(result)
                done = f"{len(results)}/{len(mutants)} {room} {mutant.file}:{mutant.line} {mutant.way}"
                print(f"{done}: {result['verdict']} ({result['seconds']} s)", file=sys.stderr, flush=True)

    threads = [threading.Thread(target=work, args=(Tree(k),)) for k in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# --- report -----------------------------------------------------------------------------


def report(mutants: list[Mutant], results: dict[Mutant, dict[str, Any]], table: dict[str, Any], seed: int) -> str:
    """A row per room, and every survivor with what was judged of it."""
    rows, survivors = [], []
    judged = judgements()
    totals: Counter[str] = Counter()
    for room in table:
        counts: Counter[str] = Counter()
        for mutant in (m for m in mutants if m.room == room and m in results):
            verdict = results[mutant]["verdict"]
            counts["mutants"] += 1
            counts["killed" if verdict != "survived" else "survived"] += 1
            if verdict == "survived":
                before, after = mutant.lines((ROOT / mutant.file).read_text(encoding="utf-8"))
                said = judged.get((mutant.file, before, after), "not judged")
                counts["equivalent"] += said.startswith("equivalent")
                cells = (f"{mutant.file}:{mutant.line}", mutant.way, _code(before), _code(after), said)
                survivors.append("| " + " | ".join(cells) + " |")
        totals += counts
        rows.append(_row(room, counts))
    rows.append(_row("all", totals))
    minutes = sum(r["seconds"] for r in results.values()) / 60
    return f"""# Do the tests see it?

Made by `make mutants SEED={seed} COUNT={len(mutants)}`: {len(results)} single-point mutants, drawn by a seed evenly over the rooms and the
ways to change a program, each against the tests of `mutants.yaml`; {minutes:.0f} minutes of testing in all. Equivalent ones, judged by
hand in `mutants_judged.yaml`, change nothing that anybody can see, and do not count.

| room | mutants | killed | survived | of them equivalent | killed of those that are not |
|---|---:|---:|---:|---:|---:|
{chr(10).join(rows)}

## Survivors

| where | way | before | after | judgement |
|---|---|---|---|---|
{chr(10).join(survivors) or "| none | | | | |"}
"""


def _row(room: str, counts: Counter[str]) -> str:
    real = counts["mutants"] - counts["equivalent"]
    share = f"{100 * counts['killed'] / real:.0f}%" if real else ""
    cells = [f"{counts[x]}" for x in ("mutants", "killed", "survived", "equivalent")]
    return "| " + " | ".join([room, *cells, share]) + " |"


def _code(text: str) -> str:
    short = text if len(text) <= 160 else text[:157] + "..."
    return "`` " + short.replace("|", "\\|") + " ``"


if __name__ == "__main__":
    sys.exit(main())
