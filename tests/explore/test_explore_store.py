"""Stores that come to harm: no outcome is read as another, none is lost without a word."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hwsim.errors import HwsimError
from hwsim.explore.evaluate import Outcome
from hwsim.explore.store import Store

IDENTITY = {"models": '["net.onnx"]', "objectives": '["energy"]', "hwsim": "1.0+abc"}
FREE = [{"kib": kib, "columns": columns, "how": "plain"} for kib in range(1, 13) for columns in (4, 8)]
OUTCOMES = [
    Outcome("complete", free, {"energy": 1.5 * k, "area": 3e6 / (k + 1)}, {"energy": 1.5 * k})
    if k % 5
    else Outcome("failed", free, reason="layer 'é' fits no mapping")
    for k, free in enumerate(FREE)
]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.sqlite"
    with Store(path, IDENTITY) as store:
        for free, outcome in zip(FREE, OUTCOMES, strict=True):
            store.put(free, outcome)
    return path


def known(store: Store) -> list[int]:
    """Designs that the store knows, every one as it was put."""
    out = []
    for k, free in enumerate(FREE):
        outcome = store.get(free)
        if outcome is not None:
            assert outcome == OUTCOMES[k]
            out.append(k)
    assert len(out) == len(store)
    return out


def test_what_was_put_is_read(whole: Path) -> None:
    with Store(whole, IDENTITY) as store:
        assert known(store) == list(range(len(FREE))) and not store.damage


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(statement, values)


DIGITS = ("4.5", "4.6")
VALUES: dict[str, Callable[[Path], None]] = {
    "a figure": lambda p: change(p, "UPDATE designs SET outcome = replace(outcome, ?, ?) WHERE rowid = 4", *DIGITS),
    "another's outcome": lambda p: change(
        p, "UPDATE designs SET outcome = (SELECT outcome FROM designs WHERE rowid = 2) WHERE rowid = 4"
    ),
    "another's outcome and checksum": lambda p: change(
        p,
        "UPDATE designs SET (outcome, checksum) = (SELECT outcome, checksum FROM designs WHERE rowid = 2) "
        "WHERE rowid = 4",
    ),
    "another design": lambda p: change(p, "UPDATE designs SET params = replace(params, 'kib', 'kb') WHERE rowid = 4"),
    "no text": lambda p: change(p, "UPDATE designs SET outcome = 7 WHERE rowid = 4"),
    "no UTF-8": lambda p: change(p, "UPDATE designs SET outcome = CAST(x'7b22ff22' AS TEXT) WHERE rowid = 4"),
    "a checksum": lambda p: change(p, "UPDATE designs SET checksum = 'abc' WHERE rowid = 4"),
}


@pytest.mark.parametrize("what", VALUES)
def test_a_changed_row_is_named_and_can_be_put_again(whole: Path, what: str) -> None:
    VALUES[what](whole)
    with Store(whole, IDENTITY) as store:
        assert known(store) == [k for k in range(len(FREE)) if k != 3]
        assert len(store.damage) == 1 and "damaged" in store.damage[0] and '"columns": 8' in store.damage[0]
        store.put(FREE[3], OUTCOMES[3])
    with Store(whole, IDENTITY) as store:
        assert known(store) == list(range(len(FREE))) and not store.damage


def test_a_lost_row_is_noticed(whole: Path) -> None:
    change(whole, "DELETE FROM designs WHERE rowid IN (1, 24)")
    with Store(whole, IDENTITY) as store:
        assert store.damage == ["it should have 24 outcomes and has 22"] and len(known(store)) == 22
        store.put(FREE[0], OUTCOMES[0])
    with Store(whole, IDENTITY) as store:
        assert not store.damage and len(known(store)) == 23


def test_an_unknown_number_of_outcomes_is_told(whole: Path) -> None:
    for statement in ("UPDATE total SET outcomes = 23", "DELETE FROM total", "UPDATE total SET checksum = ''"):
        change(whole, statement)
        with Store(whole, IDENTITY) as store:
            assert len(store.damage) == 1 and "number of outcomes" in store.damage[0]
        with Store(whole, IDENTITY) as store:
            assert not store.damage and len(known(store)) == 24


def test_an_emptied_file_is_told(whole: Path) -> None:
    whole.write_bytes(b"")
    with Store(whole, IDENTITY) as store:
        assert store.damage == ["the file was empty"] and not len(store)
    with Store(whole, IDENTITY) as store:
        assert not store.damage


def test_another_program_and_another_space_are_told_apart(whole: Path) -> None:
    with pytest.raises(HwsimError, match=r"computed by hwsim 1\.0\+abc, and this is 1\.0\+abd"):
        Store(whole, IDENTITY | {"hwsim": "1.0+abd"})
    with pytest.raises(HwsimError, match=r"different space \(other: models\)"):
        Store(whole, IDENTITY | {"models": "[]"})
    change(whole, "UPDATE space SET content = '' WHERE part = 'models'")
    with pytest.raises(HwsimError, match=r"damaged.*its space"):
        Store(whole, IDENTITY)


def test_a_store_of_another_version_is_refused(whole: Path) -> None:
    change(whole, "PRAGMA user_version = 1")
    with pytest.raises(HwsimError, match="version 1; this hwsim reads version 2"):
        Store(whole, IDENTITY)


def test_rows_of_another_space_do_not_count(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with Store(other, IDENTITY | {"models": "[]"}) as store:
        store.put(FREE[3], Outcome("complete", FREE[3], {"energy": 1.0}, {"energy": 1.0}))
    with closing(sqlite3.connect(other)) as file:
        row = file.execute("SELECT outcome, checksum FROM designs").fetchone()
    change(whole, "UPDATE designs SET outcome = ?, checksum = ? WHERE rowid = 4", *row)
    with Store(whole, IDENTITY) as store:
        assert 3 not in known(store) and store.damage


def test_two_runs_share_a_store(whole: Path) -> None:
    with Store(whole, IDENTITY) as one, Store(whole, IDENTITY) as two:
        new = [{"kib": 99, "columns": c, "how": "plain"} for c in (1, 2)]
        for store, free in ((one, new[0]), (two, new[1]), (two, new[0])):
            store.put(free, Outcome("failed", free))
    with Store(whole, IDENTITY) as store:
        assert not store.damage and len(store) == 26


def test_seeded_corruptions(whole: Path, tmp_path: Path) -> None:
    """Bytes flipped, overwritten, cut off: the store is refused, or tells what it lacks, or lacks nothing."""
    content = whole.read_bytes()
    source = random.Random(5)
    refused = told = 0
    path = tmp_path / "harmed.sqlite"
    rounds = int(os.environ.get("HWSIM_CORRUPTIONS", "400"))
    for number in range(rounds):
        harmed = bytearray(content)
        place = source.randrange(len(harmed))
        how = source.randrange(4)
        if how == 0:
            harmed[place] ^= 1 << source.randrange(8)
        elif how == 1:
            harmed[place] = source.randrange(256)
        elif how == 2:
            length = source.choice((2, 16, 300))
            harmed[place : place + length] = source.randbytes(len(harmed[place : place + length]))
        else:
            del harmed[place:]
        path.write_bytes(harmed)
        path.with_name(path.name + "-journal").unlink(missing_ok=True)
        try:
            with Store(path, IDENTITY) as store:
                found = known(store)
                assert store.damage or len(found) == len(FREE), (number, how, place)
                told += bool(store.damage)
        except HwsimError:
            refused += 1
    assert refused > rounds / 20 and told > rounds / 20


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(HwsimError, match="cannot be used"):
        Store(tmp_path, IDENTITY)


def test_a_full_disk_is_one_message(whole: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.sqlite"
    shutil.copy(whole, small)
    with Store(small, IDENTITY) as store:
        pages = store._file.execute("PRAGMA page_count").fetchone()[0]
        store._file.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(HwsimError, match=r"cannot be used: .*full"):
            for k in range(1000):
                store.put({"kib": 1000 + k}, Outcome("failed", {"kib": 1000 + k}, reason="x" * 100))
        store._file.execute("PRAGMA max_page_count = 10000")
        store.put({"kib": 5000}, Outcome("failed", {"kib": 5000}))
    with Store(small, IDENTITY) as store:  # what was put before is whole, what did not fit is not half there
        assert not store.damage and set(range(24)) <= {k for k, free in enumerate(FREE) if store.get(free)}
