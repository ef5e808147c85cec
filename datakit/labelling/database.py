"""An SQLite file (WAL, mode 0600) that processes share: opened, its format checked, its errors turned to ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from datakit.core.errors import DiskFull, NewerFormat, StorageError
from datakit.core.storage import storage_errors

__all__ = ["Database"]


class Database:
    """An open file.

    Args:
        path: Made where it is missing, with its folders.
        schema: Statements that make the tables where they are missing.
        name: What the file is, for messages: ``file of answers``.
        format: Of the tables, kept in the file.
        synchronous: ``NORMAL`` loses nothing at a kill, and at a power cut perhaps the last transactions; ``FULL``
            loses nothing.
        hint: For a file that cannot be used.

    Raises:
        StorageError: It is no such file, or not writable.
        NewerFormat: A newer version wrote it.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        name: str,
        format: int,
        synchronous: Literal["NORMAL", "FULL"],
        hint: str | None = None,
    ) -> None:
        self.path, self._name, self._hint = path, name, hint
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with _errors(path, name, hint):
            # The review page answers from threads of its server, one request after the other.
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={synchronous}")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > format:
                raise NewerFormat(f"written in format {version}, this version reads up to {format}", where=path)
            self._db.executescript(schema)
            self._db.execute(f"PRAGMA user_version={format}")

    def close(self) -> None:
        """Closes the file; what was written stands."""
        self._db.close()

    @contextlib.contextmanager
    def errors(self) -> Iterator[sqlite3.Connection]:
        """The connection; each statement stands for itself.

        Raises:
            StorageError: In place of what SQLite raises.
        """
        with _errors(self.path, self._name, self._hint):
            yield self._db

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection; all statements or none."""
        with self.errors() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")


@contextlib.contextmanager
def _errors(path: Path, name: str, hint: str | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise DiskFull("no space left on the disk", where=path, hint="Free some and run again") from error
        raise StorageError(f"the {name} cannot be used ({error})", where=path, hint=hint) from error
