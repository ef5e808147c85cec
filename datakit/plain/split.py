"""Plain files into one file per side, every row as it stands."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datakit.core.errors import UsageError
from datakit.core.step import Step
from datakit.mixing.split import SPLITS
from datakit.plain.engine import check_columns, header_notes, read_columns
from datakit.plain.files import PlainFile
from datakit.plain.judges import TableJudge
from datakit.plain.mapping import Mapper
from datakit.plain.reader import Reader, column_names
from datakit.plain.targets import Target, is_url, suffixes
from datakit.plain.writers import Writer, writer

__all__ = ["SplitResult", "split"]


@dataclass(frozen=True, slots=True)
class SplitResult:
    """Rows and file of each side that has any, and what the step says."""

    rows: dict[str, int]
    outputs: dict[str, str]
    notes: list[str]


def split(
    files: Sequence[PlainFile], step: Step, output: str, *, columns: Mapping[str, str] | None = None
) -> SplitResult:
    """Writes ``OUTPUT/SIDE.EXT`` for each side, with the format and compression of the first file.

    Args:
        files: Of one format, with equal columns where a header or schema names them.
        step: Adds the column ``split`` to a table of examples.
        output: Folder or URL.
        columns: Our names to the file's.

    Raises:
        SourceError: A row cannot be read.
        StepError: The step cannot do what is asked.
        UsageError: No rows, no folder, or files that are not alike.
    """
    if output == "-":
        raise UsageError("standard output cannot hold several files", hint="Name a folder: -o FOLDER")
    reader = Reader()
    mapped = read_columns(files, columns)
    if mapped is None:
        raise UsageError("there are no rows to split")
    check_columns(files, [step])
    judge = TableJudge(Mapper(mapped, fields=set(column_names(step)), ids="content"))
    for file, batch in reader.batches(files):
        judge.see([record for record in batch.records if reader.bad(file, record) is None])
    numbers = judge.numbers
    judge.decide([step])
    if judge.after is None:
        raise UsageError("there are no rows to split")
    ids, sides = (judge.after.column(name).to_pylist() for name in ("id", "split"))
    side_of = {numbers[name]: side for name, side in zip(ids, sides, strict=True)}
    outputs = {side: f"{output.rstrip('/')}/{side}{_ending(files[0])}" for side in SPLITS if side in set(sides)}
    _refuse_left_over(files[0], output, outputs)
    _write(files, reader, side_of, outputs)
    notes = header_notes(files) + ([str(note) for note in step.notes()] if hasattr(step, "notes") else [])
    counted = Counter(sides)
    return SplitResult({side: counted[side] for side in outputs}, outputs, notes)


def _refuse_left_over(file: PlainFile, output: str, outputs: Mapping[str, str]) -> None:
    """A side that an earlier call left would pass for one of this call, with rows of other sides in it."""
    for side in SPLITS:
        place = Path(output) / f"{side}{_ending(file)}"
        if side not in outputs and not is_url(output) and place.exists():
            raise UsageError(f"'{place}' is there and would stay as it is", hint="Remove it or name a new folder")


def _ending(file: PlainFile) -> str:
    data = {"text": ".txt"}.get(file.format, f".{file.format}")
    return data + (f".{file.compression}" if file.compression else "")


def _write(files: Sequence[PlainFile], reader: Reader, side_of: Mapping[int, str], outputs: Mapping[str, str]) -> None:
    with contextlib.ExitStack() as stack:
        writers: dict[str, Writer] = {
            side: stack.enter_context(writer(Target(place, suffixes(place)[1]), files[0]))
            for side, place in outputs.items()
        }
        last: PlainFile | None = None
        for file, batch in reader.batches(files):
            for side, out in writers.items():
                if file is not last:
                    out.begin(file)
                rows = [index for index, record in enumerate(batch.records) if side_of[record.number] == side]
                out.write(batch, rows, {})
            last = file
