"""The dropped rows of a build as Parquet, each with the step, the reason and the evidence, to be looked at and mended.

Rows that a step dropped before personal data was replaced are raw: they lie in ``private/dropped``, the others in
``dropped``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from datakit.core.example import SCHEMA
from datakit.core.storage import atomic_directory, write_table

__all__ = ["FOLDER", "DroppedRows"]

FOLDER = "dropped"

_ADDED = ("step", "action", "reason", "evidence")


class _Rows(Protocol):
    def table(self) -> pa.Table: ...


class DroppedRows:
    """Remembers where the dropped rows of each step stand; the rows themselves are read when they are written."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str, _Rows, pa.Table]] = []

    def add(self, number: int, step: str, before: _Rows, ledger: pa.Table) -> None:
        """Notes what a step dropped.

        Args:
            number: Of its ledger.
            step: Its name.
            before: The rows it was given.
            ledger: What it did to them.
        """
        dropped = ledger.filter(pc.is_in(ledger.column("action"), pa.array(["dropped", "merged"])))
        if dropped.num_rows:
            self._found.append((number, step, before, dropped))

    def write(self, output: Path, private: Path, *, raw_before: int) -> None:
        """Writes ``NN-step.parquet`` for every step that dropped rows; a folder without any is removed.

        Args:
            output: The run.
            private: Its private folder.
            raw_before: Up to this ledger the rows are raw.
        """
        for folder, is_private in ((private / FOLDER, True), (output / FOLDER, False)):
            tables: dict[str, list[pa.Table]] = {}
            for number, step, before, dropped in self._found:
                if (number <= raw_before) == is_private:
                    tables.setdefault(f"{number:02d}-{step}.parquet", []).append(_with_story(before.table(), dropped))
            if not tables and not folder.exists():
                continue
            with atomic_directory(folder) as temporary:
                for name, parts in tables.items():
                    write_table(temporary / name, pa.concat_tables(parts).combine_chunks(), private=is_private)
            if not tables:
                folder.rmdir()


def _with_story(table: pa.Table, dropped: pa.Table) -> pa.Table:
    """The dropped rows in the order of the table, with what the ledger says of each."""
    place = pc.index_in(table.column("id"), dropped.column("example_id").combine_chunks())
    rows = table.filter(pc.is_valid(place)).select(SCHEMA.names)
    said = dropped.take(pc.drop_null(place))
    for name in _ADDED:
        rows = rows.append_column(name, said.column(name))
    return rows
