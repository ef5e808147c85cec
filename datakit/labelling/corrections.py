"""What people said, in one SQLite file (WAL): who, when, about which row. The last word counts, and all are kept."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datakit.core.errors import NewerFormat, StorageError
from datakit.core.hashing import digest
from datakit.core.storage import storage_errors

__all__ = ["Correction", "Corrections", "Purpose"]

FORMAT = 1

#: ``sample``: of a row drawn at random, which measures and never trains. ``queue``: of a row that was in doubt.
Purpose = Literal["sample", "queue"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS corrections (
    number INTEGER PRIMARY KEY, example_id TEXT NOT NULL, value TEXT, purpose TEXT NOT NULL, who TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS by_example ON corrections (example_id, number);
"""


@dataclass(frozen=True, slots=True)
class Correction:
    """One word about one row.

    Attributes:
        example_id: Whose.
        value: In the form that votes are compared by; None takes an earlier word back.
        purpose: Why the row was shown.
        who: A name.
        at: Seconds since 1970.
    """

    example_id: str
    value: str | None
    purpose: Purpose
    who: str
    at: float


class Corrections:
    """The file of corrections, mode 0600; several processes may write.

    Args:
        path: Made where it is missing, unless ``create`` is off.
        create: Make it.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        if not path.exists() and not create:
            raise StorageError("no corrections there", where=path)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._errors():
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # a person's work: a few a minute, and each is on the disk
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > FORMAT:
                raise NewerFormat(f"written in format {version}, this version reads up to {FORMAT}", where=path)
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={FORMAT}")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def __enter__(self) -> Corrections:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"the file of corrections cannot be used ({error})", where=self.path) from error

    def add(self, example_id: str, value: str | None, *, purpose: Purpose, who: str) -> None:
        """Notes a word; it is on the disk when this returns."""
        with self._errors():
            self._db.execute(
                "INSERT INTO corrections (example_id, value, purpose, who, at) VALUES (?, ?, ?, ?, ?)",
                (example_id, value, purpose, who, time.time()),
            )

    def undo(self, who: str) -> str | None:
        """Takes the last standing word of a person back; the row's id, or None where there is none."""
        standing = [one for one in self.latest().values() if one.who == who]
        if not standing:
            return None
        last = max(standing, key=lambda one: one.at)
        self.add(last.example_id, None, purpose=last.purpose, who=who)
        return last.example_id

    def history(self) -> list[Correction]:
        """Every word, in order."""
        with self._errors():
            rows = self._db.execute("SELECT example_id, value, purpose, who, at FROM corrections ORDER BY number")
            return [Correction(*row) for row in rows]

    def latest(self) -> dict[str, Correction]:
        """The standing word about each row; rows whose last word was taken back are not in it."""
        found = {one.example_id: one for one in self.history()}
        return {id: one for id, one in found.items() if one.value is not None}

    def digest(self) -> str:
        """Hash of what stands, for the cache of a build."""
        standing = sorted(self.latest().items())
        return digest(*(part for id, one in standing for part in (id, str(one.value), one.purpose)))
