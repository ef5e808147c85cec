"""What people said, in one SQLite file (WAL): who, when, about which row. The last word counts, and all are kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datakit.core.hashing import digest
from datakit.labelling.database import Database

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
        path: Made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A person's work: a few words a minute, and each is on the disk.
        self._file = Database(path, _SCHEMA, name="file of corrections", format=FORMAT, synchronous="FULL")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Corrections:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, example_id: str, value: str | None, *, purpose: Purpose, who: str) -> None:
        """Notes a word; it is on the disk when this returns."""
        with self._file.errors() as db:
            db.execute(
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
        with self._file.errors() as db:
            rows = db.execute("SELECT example_id, value, purpose, who, at FROM corrections ORDER BY number")
            return [Correction(*row) for row in rows]

    def latest(self) -> dict[str, Correction]:
        """The standing word about each row; rows whose last word was taken back are not in it."""
        found = {one.example_id: one for one in self.history()}
        return {id: one for id, one in found.items() if one.value is not None}

    def digest(self) -> str:
        """Hash of what stands, for the cache of a build."""
        standing = sorted(self.latest().items())
        return digest(*(part for id, one in standing for part in (id, str(one.value), one.purpose)))
