"""Examples written in the format of another trainer, all of them or with every loss counted."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from datakit.core.errors import StepError, StorageError, UsageError
from datakit.core.example import Example, from_table
from datakit.core.registry import suggest
from datakit.core.storage import atomic_directory, atomic_file, read_table, write_text
from datakit.export.card import CardFacts, data_card
from datakit.export.folder import write_dataset
from datakit.export.formats import EXPORTERS, CannotHold, Exported, Exporter, Kind, kind_of

__all__ = ["HUGGINGFACE", "ExportResult", "export", "exporter_names", "tables_of"]

HUGGINGFACE = "huggingface"


@dataclass(slots=True)
class ExportResult:
    """What was written.

    Attributes:
        files: Split to its file.
        beside: Further files.
        rows: Split to rows written.
        left_out: Why rows have no place in the format, with their number.
        losses: What rows lost, with the number of rows.
        notes: What a trainer will do differently, with the number of rows.
    """

    files: dict[str, Path] = field(default_factory=dict)
    beside: list[Path] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def exporter_names() -> list[str]:
    """All formats, plugins' too."""
    return sorted([HUGGINGFACE, *EXPORTERS.names()])


def tables_of(run: Path) -> dict[str, pa.Table]:
    """Split to its rows, of a run or of the folder of its data set.

    Raises:
        StorageError: There are none.
    """
    folder = run / "data" if (run / "data").is_dir() else run
    found = {
        split: files
        for split in ("train", "validation", "test")
        if (files := sorted(folder.glob(f"{split}-*.parquet")))
    }
    if not found:
        raise StorageError("no data set", where=run, hint="Name a run, or a folder that datakit build wrote")
    return {split: pa.concat_tables([read_table(file) for file in files]) for split, files in found.items()}


def export(
    data: pa.Table | Mapping[str, pa.Table] | Path | str, name: str, output: Path | str, *, lossy: bool = False
) -> ExportResult:
    """Writes examples in a format.

    Args:
        data: Table of examples, split to table, or the folder of a run.
        name: ``openai``, ``alpaca``, ``sharegpt``, ``llamafactory``, ``axolotl``, ``trl``, ``trl-messages``,
            ``huggingface``, or one of a plugin.
        output: A folder that gets ``SPLIT.json`` or ``SPLIT.jsonl``; for one split of a format that needs no further
            files also a file with the format's ending.
        lossy: Leave out what the format cannot hold, and count it; otherwise it is an error.

    Raises:
        UsageError: No such format, or the output is there and is something else.
        StepError: The format cannot hold a row; nothing is written.
        StorageError: Nothing to read, or the disk does not take it.
    """
    if name not in exporter_names():
        raise UsageError(f"no format named '{name}'", hint=suggest(name, exporter_names()))
    output = Path(output)
    tables = {"train": data} if isinstance(data, pa.Table) else data
    if not isinstance(tables, Mapping):
        tables = tables_of(Path(tables))
    if name == HUGGINGFACE:
        return _huggingface(Path(data) if isinstance(data, (str, Path)) else None, tables, output)
    made: Exporter = EXPORTERS.load(name)()
    writing = _Writing(name, made, lossy)
    if output.suffix == made.suffix and not output.is_dir():
        return _one_file(writing, tables, output)
    if output.suffix in (".json", ".jsonl"):
        raise UsageError(f"{name} is written as {made.suffix}", hint=f"Name a folder or a {made.suffix} file")
    _refuse_other(output, {f"{split}{made.suffix}" for split in tables})
    with atomic_directory(output) as temporary:
        for split, table in tables.items():
            writing.write(split, table, temporary / f"{split}{made.suffix}")
        names = {split: f"{split}{made.suffix}" for split in tables}
        beside = made.beside(names, writing.kind or "chat")
        for file, text in beside.items():
            write_text(temporary / file, text)
    writing.result.files = {split: output / file for split, file in names.items()}
    writing.result.beside = [output / file for file in beside]
    return writing.result


def _one_file(writing: _Writing, tables: Mapping[str, pa.Table], output: Path) -> ExportResult:
    if len(tables) > 1:
        raise UsageError(f"{len(tables)} splits do not go into one file", hint="Name a folder")
    ((split, table),) = tables.items()
    if writing.exporter.beside({split: output.name}, "chat"):
        raise UsageError(f"{writing.name} needs a folder", hint="Name one: its files describe one another")
    with atomic_file(output) as temporary:
        writing.write(split, table, temporary)
    writing.result.files = {split: output}
    return writing.result


def _refuse_other(folder: Path, names: set[str]) -> None:
    """A folder with other things in it is not replaced."""
    if folder.exists() and (not folder.is_dir() or not {file.name for file in folder.iterdir()} <= _ours(names)):
        raise UsageError(f"'{folder}' is there and holds other files", hint="Name a new folder")


def _ours(names: set[str]) -> set[str]:
    return {*names, "dataset_info.json", "axolotl.yaml"}


class _Writing:
    """Rows of all splits on their way into files."""

    def __init__(self, name: str, exporter: Exporter, lossy: bool) -> None:
        self.name, self.exporter, self.lossy = name, exporter, lossy
        self.kind: Kind | None = None
        self.result = ExportResult()

    def write(self, split: str, table: pa.Table, path: Path) -> None:
        """One split."""
        with path.open("wb") as stream:
            self.result.rows[split] = _dump(stream, self._rows(table), array=self.exporter.suffix == ".json")

    def _rows(self, table: pa.Table) -> Iterator[Mapping[str, Any]]:
        for example in from_table(table):
            try:
                exported = self._one(example)
            except CannotHold as reason:
                self._refuse(example, str(reason))
                self.result.left_out[str(reason)] += 1
                continue
            for loss in exported.losses:
                self._refuse(example, f"{loss.replace('_', ' ')} has no place")
                self.result.losses[loss] += 1
            self.result.notes.update(exported.notes)
            yield exported.row

    def _one(self, example: Example) -> Exported:
        kind = kind_of(example)
        if self.kind is None:
            exported = self.exporter.row(example)
            self.kind = kind
            return exported
        if kind != self.kind:
            raise CannotHold(f"a row of {kind} among rows of {self.kind}")
        return self.exporter.row(example)

    def _refuse(self, example: Example, what: str) -> None:
        if not self.lossy:
            raise StepError(
                f"{self.name} cannot hold this row: {what}",
                where=example.origin,
                hint="Leave out and count what has no place: --lossy (lossy=True)",
            )


def _dump(stream: IO[bytes], rows: Iterator[Mapping[str, Any]], *, array: bool) -> int:
    count = 0
    for row in rows:
        stream.write((b",\n" if count else b"[\n") if array else b"")
        stream.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + (b"" if array else b"\n"))
        count += 1
    if array:
        stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _huggingface(run: Path | None, tables: Mapping[str, pa.Table], output: Path) -> ExportResult:
    """Our own folder: a run's as it is, with its card; of a table with a card that knows only counts."""
    _refuse_other(output, {"README.md", "replay", *(f"{split}-00000-of-00001.parquet" for split in tables)})
    if run is not None:
        folder = run / "data" if (run / "data").is_dir() else run
        with atomic_directory(output) as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
    else:
        facts = CardFacts(name=output.name, sources=[], steps=[])
        write_dataset(output, tables, replay={}, card=lambda *written: data_card(facts, *written))
    files = {split: file for split in tables for file in output.glob(f"{split}-*.parquet")}
    return ExportResult(
        files=files, beside=[output / "README.md"], rows={name: table.num_rows for name, table in tables.items()}
    )
