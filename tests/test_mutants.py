"""What `make mutants` changes: each way once, nothing that is no change, the same for the same seed."""

import ast
from pathlib import Path

import pytest
import yaml

from benchmarks import mutants

SOURCE = '''
def f(a: int | None, b: int = 3) -> int:
    """Text 1 < 2."""
    if a is None and not b:
        raise ValueError(f"{a} is {b + 1}")
    for x in range(a):
        if x:
            continue
        b += x
    known[a] = g(a, *b)
    return g(a, b) // 2.0 if a else True


TABLE = {"one": 1, "two": (a, b)}
'''


def test_the_ways_to_change_a_program() -> None:
    found = {(way, old, new) for way, _, _, old, new in mutants._Sites(SOURCE).found}
    assert found == {
        ("constant", "3", "4"),
        ("constant", "3", "2"),
        ("comparison", "is", "is not"),
        ("and, or", "and", "or"),
        ("negated condition", "a is None and not b", "not (a is None and not b)"),
        ("deleted statement", 'raise ValueError(f"{a} is {b + 1}")', "pass"),
        ("negated condition", "x", "not (x)"),
        ("deleted statement", "continue", "pass"),
        ("deleted statement", "b += x", "pass"),
        ("arithmetic", "+=", "-="),
        ("deleted statement", "known[a] = g(a, *b)", "pass"),
        ("swapped arguments", "a, b", "b, a"),
        ("arithmetic", "//", "*"),
        ("constant", "2.0", "4.0"),
        ("swapped branches", "g(a, b) // 2.0 if a else True", "(True) if a else (g(a, b) // 2.0)"),
        ("constant", "True", "False"),
        ("constant", "1", "2"),
        ("constant", "1", "0"),
        ("dropped element", '{"one": 1, "two": (a, b)}', '{"two": (a, b)}'),
        ("dropped element", '{"one": 1, "two": (a, b)}', '{"one": 1}'),
        ("dropped element", "(a, b)", "(b,)"),
        ("dropped element", "(a, b)", "(a,)"),
    }


def test_mutants_are_drawn_evenly_and_change_the_program() -> None:
    table = yaml.safe_load(mutants.TABLE.read_text(encoding="utf-8"))
    drawn = mutants.draw(table, 3, 50)
    assert drawn == mutants.draw(table, 3, 50)
    assert drawn != mutants.draw(table, 4, 50)
    assert {room: sum(m.room == room for m in drawn) for room in table} == dict.fromkeys(table, 50 // len(table))
    assert len({(m.file, m.line) for m in drawn}) == 50
    assert len({m.way for m in drawn}) >= 7
    for mutant in drawn:
        source = (mutants.ROOT / mutant.file).read_text(encoding="utf-8")
        assert ast.dump(ast.parse(mutant.apply(source))) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("room", yaml.safe_load(mutants.TABLE.read_text(encoding="utf-8")))
def test_the_table_names_files_that_there_are(room: str) -> None:
    entry = yaml.safe_load(mutants.TABLE.read_text(encoding="utf-8"))[room]
    for pattern in [*entry["files"], *(name for stage in entry["tests"] for name in stage["run"])]:
        assert list(mutants.ROOT.glob(pattern)), pattern


def test_what_is_judged_still_stands_in_the_sources() -> None:
    for entry in yaml.safe_load(mutants.JUDGED.read_text(encoding="utf-8")):
        assert entry["judgement"] in ("equivalent", "not tested") and entry["reason"]
        lines = [line.strip() for line in Path(mutants.ROOT / entry["file"]).read_text(encoding="utf-8").splitlines()]
        assert all(part in lines for part in entry["before"].split(" ⏎ ")), entry
