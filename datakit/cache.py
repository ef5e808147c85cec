"""Results of finished steps in ``private/cache``, so that a killed build goes on where it stopped.

An entry is a table, its ledger and, written last, a JSON file with the counts: without it the entry does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from datakit.core.errors import StorageError
from datakit.core.hashing import json_digest
from datakit.core.step import StepOutput
from datakit.core.storage import read_json, read_table, storage_errors, write_json, write_table

__all__ = ["Cache", "Joined", "Kept", "private_folder"]


def private_folder(path: Path) -> Path:
    """Makes a folder only its owner may enter."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    return path


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry.

    Attributes:
        key: What it was made of.
        facts: What was noted with it.
    """

    key: str
    facts: Mapping[str, Any]
    _folder: Path

    def table(self) -> pa.Table:
        """The rows that go on."""
        return read_table(self._folder / f"{self.key}.parquet")

    def ledger(self) -> pa.Table:
        """What happened to the others."""
        return read_table(self._folder / f"{self.key}.ledger.parquet")


class Joined:
    """Several entries as one table.

    Attributes:
        parts: In order.
        key: Of all of them.
    """

    def __init__(self, parts: Sequence[Kept]) -> None:
        self.parts = list(parts)
        self.key = json_digest([part.key for part in parts])

    def table(self) -> pa.Table:
        """The rows, part after part."""
        return pa.concat_tables([part.table() for part in self.parts]).combine_chunks()


class Cache:
    """The entries in one folder, mode 0700, files 0600: rows before a ``pii`` step are raw."""

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)
        self.used: set[str] = set()

    def get(self, key: str) -> Kept | None:
        """The entry, or None if it is not there as a whole: it is made again."""
        self.used.add(key)
        try:
            facts = read_json(self.folder / f"{key}.json")
        except StorageError:
            return None
        whole = all(_is_parquet(self.folder / f"{key}{end}") for end in (".parquet", ".ledger.parquet"))
        return Kept(key, facts, self.folder) if whole else None

    def put(self, key: str, output: StepOutput, facts: Mapping[str, Any]) -> Kept:
        """Writes an entry."""
        self.used.add(key)
        write_table(self.folder / f"{key}.parquet", output.table.combine_chunks(), private=True)
        write_table(self.folder / f"{key}.ledger.parquet", output.ledger.combine_chunks(), private=True)
        write_json(self.folder / f"{key}.json", facts, private=True)
        return Kept(key, dict(facts), self.folder)

    def prune(self) -> None:
        """Removes what the finished build did not use, and what killed ones left."""
        for file in self.folder.iterdir():
            if file.name.startswith(".") or file.name.partition(".")[0] not in self.used:
                file.unlink(missing_ok=True)


def _is_parquet(path: Path) -> bool:
    """Whether the file is there to its end: Parquet's footer is its last part."""
    import pyarrow.parquet as pq

    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True
