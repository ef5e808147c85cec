"""Every answer that was paid for, in one SQLite file (WAL) that several processes share.

An answer is written, with the money it cost, in the transaction that ends its call. Before a call its worst price is
set aside and its key claimed in one transaction too: two processes neither ask the same question at the same time nor
spend the same money. A process that is killed leaves its claims behind; they are free as soon as it is gone, and the
money it had set aside counts as spent, since nobody knows whether the server worked for it.

No prompt, no text and no key of a server is in the file, only hashes of questions and the answers as they came (with
personal data still replaced by marks).
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from datakit.core.storage import cache_folder
from datakit.labelling.database import Database

__all__ = ["Answer", "AnswerStore", "Claim", "answers_file"]

FORMAT = 1

#: ``mine``: call now; ``theirs``: another process is calling; ``done``: answered meanwhile; ``no_money``: budget.
Claim = Literal["mine", "theirs", "done", "no_money"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, content TEXT, refused INTEGER NOT NULL, finish TEXT,
    probabilities TEXT, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost REAL NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY, job TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (job TEXT PRIMARY KEY, spent REAL NOT NULL, calls INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS servers (server TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (key TEXT PRIMARY KEY, spans TEXT NOT NULL) WITHOUT ROWID;
"""

_CHUNK = 500


def answers_file() -> Path:
    """Where answers are kept from one run to the next, for all runs of this user."""
    return cache_folder() / "labels" / "answers.sqlite"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    Attributes:
        model: As the question named it.
        content: Its text; None where there was none.
        refused: The server says that the model refused.
        finish: The server's reason to stop.
        probabilities: Option to probability, where options were scored.
        tokens_in: As the server counted.
        tokens_out: As the server counted.
        cost: Money.
    """

    model: str
    content: str | None
    refused: bool = False
    finish: str | None = None
    probabilities: Mapping[str, float] | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


class AnswerStore:
    """The file of answers.

    Args:
        path: Made with mode 0600 where it is missing.

    Raises:
        StorageError: It is no such file, or not writable.
        NewerFormat: A newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._host, self._pid = socket.gethostname(), os.getpid()
        # At a kill nothing is lost: what is written to the log belongs to the system.
        self._file = Database(
            path,
            _SCHEMA,
            name="file of answers",
            format=FORMAT,
            synchronous="NORMAL",
            hint="Name another with DATAKIT_CACHE, or remove it: the answers in it would be paid for again",
        )

    def close(self) -> None:
        """Closes the file; what was written stands."""
        self._file.close()

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are there."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Answer] = {}
        with self._file.errors() as db:
            for start in range(0, len(wanted), _CHUNK):
                some = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(some))
                columns = "key, model, content, refused, finish, probabilities, tokens_in, tokens_out, cost"
                for row in db.execute(f"SELECT {columns} FROM answers WHERE key IN ({marks})", some):
                    chances = None if row[5] is None else json.loads(row[5])
                    found[row[0]] = Answer(row[1], row[2], bool(row[3]), row[4], chances, *row[6:])
        return found

    def put(self, answers: Mapping[str, Answer]) -> None:
        """Keeps answers that cost nothing, from a model on this machine."""
        with self._file.transaction() as db:
            for key, answer in answers.items():
                self._write(db, key, answer)

    @staticmethod
    def _write(db: sqlite3.Connection, key: str, answer: Answer) -> None:
        chances = None if answer.probabilities is None else json.dumps(dict(answer.probabilities), ensure_ascii=False)
        db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, answer.model, answer.content, int(answer.refused), answer.finish, chances),
                *(answer.tokens_in, answer.tokens_out, answer.cost, time.time()),
            ),
        )

    def claim(self, key: str, *, job: str, worst: float, budget: float | None, seconds: float) -> Claim:
        """Claims a question and sets its worst price aside, both or neither.

        Args:
            key: Of the question.
            job: Whose budget it is.
            worst: Price of the call at most; counted as spent from now on, until :meth:`finish` or :meth:`settle`.
            budget: Of the job, over all its runs.
            seconds: After which the claim is free even if its process lives.
        """
        now = time.time()
        with self._file.transaction() as db:
            if db.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone():
                return "done"
            other = db.execute("SELECT host, pid, until FROM claims WHERE key = ?", (key,)).fetchone()
            if other is not None and self._holds(other[0], other[1], other[2], now):
                return "theirs"
            row = db.execute("SELECT spent FROM jobs WHERE job = ?", (job,)).fetchone()
            if budget is not None and (row[0] if row else 0.0) + worst > budget + 1e-12:
                return "no_money"
            mine = (key, job, self._host, self._pid, now + seconds)
            db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)", mine)
            self._spend(db, job, worst, calls=1)
        return "mine"

    def _holds(self, host: str, pid: int, until: float, now: float) -> bool:
        """Whether a claim still stands: not ours, not past its time, its process alive where that can be asked."""
        if (host, pid) == (self._host, self._pid) or until < now:
            return False
        if host != self._host:
            return True
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return not _is_zombie(pid)

    @staticmethod
    def _spend(db: sqlite3.Connection, job: str, amount: float, *, calls: int = 0) -> None:
        db.execute(
            "INSERT INTO jobs VALUES (?, ?, ?) ON CONFLICT (job) DO UPDATE SET spent = spent + ?, calls = calls + ?",
            (job, amount, calls, amount, calls),
        )

    def finish(self, key: str, answer: Answer, *, job: str, worst: float, cost: float) -> None:
        """Keeps an answer, gives back what its call did not cost, and frees the question."""
        with self._file.transaction() as db:
            self._write(db, key, answer)
            db.execute("DELETE FROM claims WHERE key = ?", (key,))
            self._spend(db, job, cost - worst)

    def settle(self, key: str, *, job: str, worst: float, cost: float) -> None:
        """Ends a call without an answer: what it did not cost is given back, the question is free."""
        with self._file.transaction() as db:
            db.execute("DELETE FROM claims WHERE key = ?", (key,))
            self._spend(db, job, cost - worst)

    def spent(self, job: str) -> tuple[float, int]:
        """Money and calls of a job over all its runs; calls whose end is not known at their worst."""
        with self._file.errors() as db:
            row = db.execute("SELECT spent, calls FROM jobs WHERE job = ?", (job,)).fetchone()
        return (float(row[0]), int(row[1])) if row else (0.0, 0)

    def server_facts(self, server: str) -> dict[str, Any]:
        """What was learnt about a server and model: whether it takes a schema, for example."""
        with self._file.errors() as db:
            row = db.execute("SELECT facts FROM servers WHERE server = ?", (server,)).fetchone()
        return json.loads(row[0]) if row else {}

    def note_server(self, server: str, facts: Mapping[str, Any]) -> None:
        """Keeps what was learnt about a server."""
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO servers VALUES (?, ?)", (server, json.dumps(dict(facts))))

    def marks(self, keys: Collection[str]) -> dict[str, list[tuple[str, int, int]]]:
        """Where personal data stands in texts that were looked at before, by their hash."""
        found: dict[str, list[tuple[str, int, int]]] = {}
        wanted = list(keys)
        with self._file.errors() as db:
            for start in range(0, len(wanted), _CHUNK):
                some = wanted[start : start + _CHUNK]
                marks = ",".join("?" * len(some))
                for key, spans in db.execute(f"SELECT key, spans FROM marks WHERE key IN ({marks})", some):
                    found[key] = [(str(kind), int(first), int(end)) for kind, first, end in json.loads(spans)]
        return found

    def put_marks(self, found: Mapping[str, Iterable[tuple[str, int, int]]]) -> None:
        """Keeps kinds and places, never values."""
        with self._file.transaction() as db:
            rows = [(key, json.dumps([list(span) for span in spans])) for key, spans in found.items()]
            db.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?)", rows)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only its parent has not noticed; False where that cannot be asked."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False
