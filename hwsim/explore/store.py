"""Outcomes of designs in one SQLite file.

Each outcome is a transaction of its own, so a process that is killed loses at most the designs that it was working
on. A store belongs to one space (`Prepared.identity`); which sampler asked for a design is not kept, since outcomes
do not depend on it: samplers are deterministic, and a run that is resumed asks the same questions again and finds
them answered.

Files come to harm, and SQLite does not look for harm in content. So every outcome has a checksum, and their number is
kept: a damaged outcome is dropped and named, a lost one is noticed, and both are computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from hwsim.errors import HwsimError
from hwsim.explore.domain import Value
from hwsim.explore.evaluate import Outcome

APPLICATION = 0x6877_7331  # "hws1", in the file's header
VERSION = 2
_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE space (part TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE designs (params TEXT PRIMARY KEY, outcome TEXT NOT NULL, checksum TEXT NOT NULL);
CREATE TABLE total (outcomes INTEGER NOT NULL, checksum TEXT NOT NULL);
"""
_NAMED = 3  # damaged outcomes that a message names
#: Why a whole file may be of no use: locked, not allowed, no memory, disk full …
_NOT_DAMAGED = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
)


def key(free: Mapping[str, Value]) -> str:
    """A design's name: its free parameters as JSON."""
    return json.dumps(dict(free), sort_keys=True, ensure_ascii=False)


class Store:
    """What is known of a space's designs; a context that closes the file.

    Attributes:
        damage: what was wrong with the file and is no longer trusted, a line each; empty where it is whole.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, str]) -> None:
        """Open a store, or make one.

        Args:
            path: the file; ``:memory:`` keeps nothing.
            identity: the space's, see `Prepared`.

        Raises:
            HwsimError: the file is no store, is of another space, is damaged as a whole, or cannot be written.
        """
        self.path = str(path)
        self.memory: dict[str, Outcome] = {}
        self.damage: list[str] = []
        self._space = _hash(identity)
        size = os.stat(path).st_size if os.path.isfile(path) else -1
        if size == 0:
            self.damage.append("the file was empty")
        with self._told():
            self._file = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._file.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            try:
                with self._transaction():
                    if size > 0:
                        self._check(identity)
                        self._read()
                    else:
                        self._make(identity)
            except BaseException:
                self._file.close()
                raise

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One writer at a time; the pages reach the disk in an order that survives a loss of power."""
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def _make(self, identity: Mapping[str, str]) -> None:
        """Fill a new file; another process may have done so just now."""
        if self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._check(identity)
            self._read()
            return
        for statement in _TABLES.strip().split("\n"):
            self._file.execute(statement)
        self._file.executemany("INSERT INTO space VALUES (?, ?)", sorted(identity.items()))
        self._file.execute(f"PRAGMA application_id = {APPLICATION}")
        self._file.execute(f"PRAGMA user_version = {VERSION}")
        self._count(0)

    def _check(self, identity: Mapping[str, str]) -> None:
        """The file should be a whole store of this space."""
        (application,) = self._file.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION:
            raise HwsimError("this SQLite file is no store of hwsim explore; name another.", where=self.path)
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise HwsimError(f"the store has version {version}; this hwsim reads version {VERSION}.", where=self.path)
        (state,) = self._file.execute("PRAGMA integrity_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(str(state))
        found: dict[str, str] = dict(self._file.execute("SELECT part, content FROM space"))
        total = self._file.execute("SELECT outcomes, checksum FROM total").fetchone()
        if found != dict(identity) and total is not None and total[1] != _checksum(_hash(found), "total", total[0]):
            raise sqlite3.DatabaseError("what it says of its space is not what was written")
        differ = [part for part in sorted(identity.keys() | found.keys()) if identity.get(part) != found.get(part)]
        if differ == ["hwsim"]:
            raise HwsimError(
                f"its outcomes were computed by hwsim {found.get('hwsim')}, and this is {identity.get('hwsim')}; "
                "use another file.",
                where=self.path,
            )
        if differ:
            raise HwsimError(
                f"the store belongs to a different space (other: {', '.join(differ)}); use another file.",
                where=self.path,
            )

    def _read(self) -> None:
        """Take in all outcomes that are whole; drop and name the others."""
        broken = []
        rows = self._file.execute("SELECT rowid, params, outcome, checksum FROM designs").fetchall()
        for row, name, text, checksum in rows:
            outcome = _outcome(text) if checksum == _checksum(self._space, name, text) else None
            if outcome is None:
                broken.append(_short(name))
                self._file.execute("DELETE FROM designs WHERE rowid = ?", (row,))
            else:
                self.memory[name] = outcome
        if broken:
            more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
            self.damage.append(f"outcomes that are damaged: {', '.join(broken[:_NAMED])}{more}")
        totals = self._file.execute("SELECT outcomes, checksum FROM total").fetchall()
        if len(totals) != 1 or totals[0][1] != _checksum(self._space, "total", totals[0][0]):
            self.damage.append("its number of outcomes is damaged, some may be missing")
        elif totals[0][0] != len(rows):
            self.damage.append(f"it should have {totals[0][0]} outcomes and has {len(rows)}")
        if self.damage:
            self._count(len(self.memory))

    def _count(self, outcomes: int) -> None:
        """Keep the number of outcomes."""
        self._file.execute("DELETE FROM total")
        self._file.execute("INSERT INTO total VALUES (?, ?)", (outcomes, _checksum(self._space, "total", outcomes)))

    def get(self, free: Mapping[str, Value]) -> Outcome | None:
        """A design's outcome, where it is known."""
        return self.memory.get(key(free))

    def put(self, free: Mapping[str, Value], outcome: Outcome) -> None:
        """Keep an outcome; it is in the file when this returns.

        Raises:
            HwsimError: the file cannot be written.
        """
        name = key(free)
        self.memory[name] = outcome
        text = json.dumps(asdict(outcome), ensure_ascii=False)
        with self._told(), self._transaction():
            row = (name, text, _checksum(self._space, name, text))
            added = self._file.execute("INSERT OR IGNORE INTO designs VALUES (?, ?, ?)", row).rowcount
            if added:
                (outcomes,) = self._file.execute("SELECT outcomes FROM total").fetchone()
                self._count(outcomes + 1)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, TypeError, ValueError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NOT_DAMAGED:
                raise HwsimError(f"the store cannot be used: {error}.", where=self.path) from error
            raise HwsimError(
                f"the store is damaged: {error}. Move it away, and its designs are evaluated again.", where=self.path
            ) from error

    def __len__(self) -> int:
        return len(self.memory)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def _hash(identity: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(identity.items())).encode()).hexdigest()


def _checksum(space: str, name: object, content: object) -> str:
    """Of a row in the store of the space with this hash."""
    return hashlib.sha256(json.dumps([space, name, content], default=repr).encode()).hexdigest()


def _short(name: object) -> str:
    text = name if isinstance(name, str) and name.isprintable() else ascii(name)
    return text if len(text) <= 80 else text[:77] + "..."


def _outcome(text: str) -> Outcome | None:
    """An outcome from its JSON; None where it is none."""
    try:
        data: dict[str, Any] = json.loads(text)
        return Outcome(**data)
    except (ValueError, TypeError, RecursionError):
        return None
