"""Outcomes of designs in one SQLite file.

Each outcome is a transaction of its own, so a process that is killed loses at most the designs that it was working
on. A store belongs to one space (`Prepared.identity`); which sampler asked for a design is not kept, since outcomes
do not depend on it: samplers are deterministic, and a run that is resumed asks the same questions again and finds
them answered.
"""

from __future__ import annotations

import json
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
VERSION = 1
_BUSY_SECONDS = 30.0
_TABLES = """
CREATE TABLE space (part TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE designs (params TEXT PRIMARY KEY, outcome TEXT NOT NULL);
"""


def key(free: Mapping[str, Value]) -> str:
    """A design's name: its free parameters as JSON."""
    return json.dumps(dict(free), sort_keys=True, ensure_ascii=False)


class Store:
    """What is known of a space's designs; a context that closes the file."""

    def __init__(self, path: str | Path, identity: Mapping[str, str]) -> None:
        """Open a store, or make one.

        Args:
            path: the file; ``:memory:`` keeps nothing.
            identity: the space's, see `Prepared`.

        Raises:
            HwsimError: the file is no store, is of another space, or cannot be written.
        """
        self.path = str(path)
        self.memory: dict[str, Outcome] = {}
        with self._told():
            self._file = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._open(identity)
            for name, text in self._file.execute("SELECT params, outcome FROM designs"):
                self.memory[name] = _outcome(text, self.path)

    def _open(self, identity: Mapping[str, str]) -> None:
        # One writer at a time; the pages reach the disk in an order that survives a loss of power.
        self._file.execute("BEGIN IMMEDIATE")
        try:
            (application,) = self._file.execute("PRAGMA application_id").fetchone()
            (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables == 0:
                for statement in _TABLES.strip().split("\n"):
                    self._file.execute(statement)
                self._file.executemany("INSERT INTO space VALUES (?, ?)", sorted(identity.items()))
                self._file.execute(f"PRAGMA application_id = {APPLICATION}")
                self._file.execute(f"PRAGMA user_version = {VERSION}")
            elif application != APPLICATION:
                raise HwsimError("this SQLite file is no store of hwsim explore; name another.", where=self.path)
            else:
                self._compare(identity)
        except BaseException:
            self._file.execute("ROLLBACK")
            self._file.close()
            raise
        self._file.execute("COMMIT")

    def _compare(self, identity: Mapping[str, str]) -> None:
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise HwsimError(f"the store has version {version}; this hwsim reads version {VERSION}.", where=self.path)
        found: dict[str, str] = dict(self._file.execute("SELECT part, content FROM space"))
        differ = [part for part in sorted(identity.keys() | found.keys()) if identity.get(part) != found.get(part)]
        if differ:
            raise HwsimError(
                f"the store belongs to a different space (other: {', '.join(differ)}); use another file.",
                where=self.path,
            )

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
        with self._told():
            text = json.dumps(asdict(outcome), ensure_ascii=False)
            self._file.execute("INSERT OR IGNORE INTO designs VALUES (?, ?)", (name, text))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise HwsimError(f"the store cannot be used: {error}.", where=self.path) from error

    def __len__(self) -> int:
        return len(self.memory)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def _outcome(text: str, path: str) -> Outcome:
    try:
        data: dict[str, Any] = json.loads(text)
        return Outcome(**data)
    except (ValueError, TypeError) as error:
        raise HwsimError(f"an outcome in the store cannot be read: {error}.", where=path) from error
