"""What hwsim makes of the specification files in checkouts that the user names: a table of outcomes and how many have each.

    make bench-files FOLDERS="checkout another"

A set is a file that holds an architecture and a problem, or the smallest folder that holds both: each architecture in
it with its components, with each mapping (evaluate) or with the constraints and the mapper (map), on the first
problem. A template that asks for ``architecture`` is tried with every folder beside it that holds an arch.yaml. Layers
(problems alone) are read, one a folder. Nothing of the checkouts is kept.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hwsim.cost import LayerCost
from hwsim.design import load_specs
from hwsim.design.parts import Parts, part_of
from hwsim.errors import HwsimError
from hwsim.mapper import search
from hwsim.model import evaluate
from hwsim.spec.problem import read_problem
from hwsim.spec.source import Sources

SUFFIXES = (".yaml", ".yml", ".jinja", ".jinja2", ".cfg")
OUTPUTS = {"ref-output", "ref_outputs", "output", "outputs", "out_dir"}
MOST_BYTES = 2**21
MOST_NEAR = 60  # files around an architecture; where there are more, they do not belong together
_KEY = re.compile(r"^([A-Za-z_][\w-]*)\s*:", re.MULTILINE)
#: Outcome → what its message holds, the first one that does being meant.
CLASSES = {
    "sparsity": "sparsity|densit",
    "imperfect factors": "is not a factor|perfect factors",
    "Python functions": "Python files define",
    "a variable is missing": "--jinja",
    "a folder is missing": "--include|neither beside",
    "libconfig": "libconfig",
    "no mapping fits": "no mapping is legal|illegal|multiply to",
}


@dataclass(frozen=True)
class FileSet:
    """Files that belong together."""

    files: tuple[Path, ...]
    anchor: str
    jinja: dict[str, str] = field(default_factory=dict)
    include: tuple[Path, ...] = ()


def parts(path: Path) -> set[str]:
    """The parts that a file's top keys name, and ``template``, by a look at its text."""
    text = path.read_text(errors="replace") if path.stat().st_size <= MOST_BYTES else ""
    found = {part_of(key) for key in _KEY.findall(text)} - {""}
    return found | {"template"} if "{{" in text or "{%" in text else found


def sets(top: Path) -> Iterator[FileSet]:
    """The file sets of a checkout."""
    found = {p: parts(p) for p in sorted(top.rglob("*")) if p.suffix in SUFFIXES and p.is_file()}
    found = {p: kinds for p, kinds in found.items() if not any(x.startswith(".") for x in p.parts)}
    whole = [p for p, k in found.items() if {"architecture", "problem"} <= k]
    for path in whole:
        designs = [""]
        if "template" in found[path] and re.search(r"\barchitecture\b\s*[~|}]", path.read_text(errors="replace")):
            designs = [
                str(p.parent.relative_to(path.parent))
                for p in found
                if p.name == "arch.yaml" and path.parent in p.parents
            ]
        anchor = "mapping" if "mapping" in found[path] else "problem"
        for design in designs:
            yield FileSet((path,), anchor, {"architecture": design} if design else {}, (top,))
    apart = {p: k for p, k in found.items() if p not in whole and not OUTPUTS & set(p.parts) and "template" not in k}
    for path, kinds in apart.items():
        if kinds & {"architecture", "arch"} and not kinds & {"problem"}:
            yield from _around(path, apart, top)
    yield from _layers(found, top)


def _around(arch: Path, found: dict[Path, set[str]], top: Path) -> Iterator[FileSet]:
    """An architecture with what the smallest folder around it holds."""
    folder = arch.parent
    near: dict[Path, set[str]] = {}
    for _ in range(3):
        if folder == top.parent or any("problem" in k for k in near.values()):
            break
        near = {p: k for p, k in found.items() if folder in p.parents and not k & {"architecture", "arch"}}
        folder = folder.parent
    problems = [p for p, k in near.items() if "problem" in k]
    if not problems or len(near) > MOST_NEAR:
        return
    home = arch.parent.parent if arch.parent.name.startswith("arch") else arch.parent
    near = {p: k for p, k in near.items() if home in p.parents and p not in problems}
    shared = [p for p, k in near.items() if k & {"components", "variables", "ERT"}]
    mappings = [p for p, k in near.items() if "mapping" in k]
    for mapping in mappings[:4]:
        yield FileSet((arch, problems[0], mapping, *shared), "mapping", {}, (top,))
    if not mappings:
        limits = [p for p, k in near.items() if k & {"constraints", "mapspace"}][:1]
        mapper = [p for p, k in near.items() if "mapper" in k][:1]
        yield FileSet(tuple(dict.fromkeys((arch, problems[0], *limits, *mapper, *shared))), "problem", {}, (top,))


def _layers(found: dict[Path, set[str]], top: Path) -> Iterator[FileSet]:
    """One layer of each folder that holds nothing but problems."""
    folders: dict[Path, Path] = {}
    for path, kinds in found.items():
        if "problem" in kinds and not kinds & {"architecture", "arch", "mapping"}:
            folders.setdefault(path.parent, path)
    for path in folders.values():
        yield FileSet((path,), "layer", {}, (top,))


def outcome(one: FileSet, seconds: float) -> tuple[str, str]:
    """The class of a set's outcome, and what was said."""
    try:
        files = list(one.files)
        if one.anchor == "layer":
            parts_read = Parts([Sources(files, {}, one.include).read(files[0])])
            read_problem(parts_read.all("problem")[0], parts_read.variables())
            return "read", ""
        (spec, *_) = load_specs(
            files, "mapping" if one.anchor == "mapping" else "problem", jinja=one.jinja, include=one.include
        )
        if spec.mapping is not None:
            cost = evaluate(spec.problem, spec.architecture, spec.mapping, spec.energy)
        else:
            cost = search(spec.problem, spec.architecture, spec.energy, spec.objective or "edp", time_limit=seconds)
    except HwsimError as error:
        text = str(error)
        if "mapping is empty" in text:  # the front end writes an empty one
            return outcome(replace(one, anchor="problem"), seconds)
        return next((name for name, words in CLASSES.items() if re.search(words, text)), "refused"), text
    except KeyboardInterrupt:
        raise
    except Exception as error:
        return "FAULT", f"{type(error).__name__}: {error}"
    if not isinstance(cost, LayerCost):
        return "no mapping fits", str(cost)
    return ("runs, parts without a price" if spec.energy.unpriced else "runs"), ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0, help="of search for each set that has no mapping")
    parser.add_argument("--list", action="store_true", help="print every set that does not run, and why")
    options = parser.parse_args()
    rows: dict[str, Counter[str]] = {}
    for folder in options.folders:
        if not folder.is_dir():
            sys.exit(f"{folder}: no folder.")
        count = rows.setdefault(folder.name or str(folder), Counter())
        for one in sets(folder.resolve()):
            kind, said = outcome(one, options.seconds)
            count[kind] += 1
            if options.list and not kind.startswith(("runs", "read")):
                print(
                    f"{kind}: {' '.join(str(x.relative_to(folder.resolve())) for x in one.files)} {one.jinja or ''}\n    {said[:400]}",
                    flush=True,
                )
    kinds = sorted({kind for count in rows.values() for kind in count}, key=lambda k: (not k.startswith("runs"), k))
    print("| outcome | " + " | ".join(rows) + " | all |\n|---|" + "---:|" * (len(rows) + 1))
    for kind in kinds:
        cells = [count[kind] for count in rows.values()]
        print(f"| {kind} | " + " | ".join(map(str, cells)) + f" | {sum(cells)} |")


if __name__ == "__main__":
    main()
