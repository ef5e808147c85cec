"""Answers of an evaluation that is not finished: appended batch by batch, read again by the one that goes on.

One JSON line per answer in ``partial.jsonl`` of the store's entry; a line that a killed process left half is ignored.
The entry's key holds all that determines an answer, so a request is known by its kind, its arguments and its turn among
equal ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from datakit.core.storage import PRIVATE_MODE, storage_errors

__all__ = ["Journal"]

NAME = "partial.jsonl"


class Journal:
    """The answers of one entry so far.

    Args:
        folder: The entry's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.known: dict[str, Mapping[str, Any]] = {}
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        whole = b""
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict) or "request" not in record:
                break
            self.known[record["request"]] = record
            whole += line
        # What follows a broken line is not trusted, and must not stand before what is appended.
        if len(whole) < self.path.stat().st_size:
            os.truncate(self.path, len(whole))

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Keeps answers on the disk; each has the key ``request``.

        Raises:
            DiskFull: No space left.
        """
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            number = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, PRIVATE_MODE)
            with os.fdopen(number, "ab") as stream:
                for record in records:
                    self.known[record["request"]] = record
                    stream.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())

    def drop(self) -> None:
        """Removes the file: the entry is whole."""
        self.path.unlink(missing_ok=True)
