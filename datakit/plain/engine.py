"""Runs steps over plain files: reads, asks the steps, writes the rows that stay and tells of the others."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from datakit.core.errors import StepError, UsageError
from datakit.core.registry import suggest
from datakit.core.step import Step
from datakit.plain.columns import OUR_NAMES, guess_columns, row_for_names
from datakit.plain.files import PlainFile
from datakit.plain.judges import Judge, RowJudge, TableJudge, Verdict
from datakit.plain.mapping import Mapper
from datakit.plain.reader import Reader, column_names
from datakit.plain.records import Batch
from datakit.plain.sidecar import Sidecar, sidecar
from datakit.plain.targets import Target, plan
from datakit.plain.writers import Writer, writer

__all__ = ["PlainResult", "check_columns", "header_notes", "read_columns", "run", "shard_of"]

_REWRITES = ("pii",)
_BAD = "read"
_LOOKED_AT = 1000
_SHOWN = 30


@dataclass(slots=True)
class PlainResult:
    """What happened to the rows.

    Attributes:
        rows_in: Rows read, those of other shards left out; ``rows_in = rows_out + sum(dropped)``.
        rows_out: Rows written.
        changed: Rows of them that were rewritten.
        dropped: ``step: reason`` to its rows.
        nulled: Values that became null because their column holds no text.
        outputs: Where rows were written.
        sidecar: Where the dropped ones were; None where there are none, or no place for them.
        found: Where rows stand of which a step reports something and which stay; None where there are none.
        columns: Our names to the file's, as they were taken.
        notes: What the steps say of themselves.
    """

    rows_in: int = 0
    rows_out: int = 0
    changed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    nulled: int = 0
    outputs: tuple[str, ...] = ()
    sidecar: str | None = None
    found: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def shard_of(text: str) -> tuple[int, int]:
    """``2/8`` as (2, 8).

    Raises:
        UsageError: Of another form or out of range.
    """
    one, slash, many = text.partition("/")
    if not slash or not one.isdecimal() or not many.isdecimal() or not 1 <= int(one) <= int(many):
        raise UsageError(f"'{text}' is no shard", hint="Write i/n with 1 <= i <= n, for example 2/8")
    return int(one), int(many)


def run(
    files: Sequence[PlainFile],
    steps: Sequence[Step],
    output: str | None,
    *,
    columns: Mapping[str, str] | None = None,
    needs_text: bool = True,
    skip_bad_rows: bool = False,
    shard: tuple[int, int] | None = None,
    dropped: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> PlainResult:
    """Runs steps over files and writes what they leave.

    Row steps see bounded batches; where one is a table step, the columns the steps need of all rows are held.

    Args:
        files: From :func:`~datakit.plain.files.open_files`.
        steps: Instances, in order.
        output: File, folder, URL, ``-``; None is standard output for standard input.
        columns: Our names to the file's; guessed from names where not given.
        needs_text: Whether the steps cannot work without a text or a conversation.
        skip_bad_rows: Rows that cannot be read go to the sidecar instead of ending the run.
        shard: (i, n): only every n-th row from the i-th, or of n files and more every n-th file.
        dropped: Where dropped rows go; ``OUTPUT.dropped.jsonl`` by default.
        progress: Called with the number of rows read so far.

    Raises:
        SourceError: A row cannot be read.
        StepError: A step cannot do what is asked.
        UsageError: Arguments that cannot be right together.
    """
    whole = any(step.kind == "table" for step in steps)
    rewrites = any(step.name in _REWRITES for step in steps)
    if shard is not None and whole:
        name = next(step.name for step in steps if step.kind == "table")
        raise UsageError(f"'{name}' must see all rows, so it cannot run in shards")
    targets, beside = plan(files, output)
    if shard is not None and 1 < shard[1] <= len(files):
        # Places are those of all files, so that two shards never write the same one.
        beside = (
            None if beside is None else beside.replace(".dropped.jsonl", f".dropped-{shard[0]}-of-{shard[1]}.jsonl")
        )
        files, targets, shard = files[shard[0] - 1 :: shard[1]], targets[shard[0] - 1 :: shard[1]], None
    reader = Reader(skip=skip_bad_rows, shard=shard, rewrites=rewrites, progress=progress)
    mapped = read_columns(files, columns)
    if needs_text and mapped is not None and not {"text", "messages", "prompt", "chosen"} & set(mapped):
        raise UsageError("cannot tell which column holds the text", hint="Say it: --column text=NAME")
    check_columns(files, steps)
    result = PlainResult(columns=dict(mapped or {}))
    judge = _judge(files, steps, mapped or {}, reader, whole=whole, rewrites=rewrites)
    for step in steps:
        if hasattr(step, "learn"):
            step.learn(lambda: _tables(files, reader))
    with (
        sidecar(dropped or beside, private=rewrites) as side,
        sidecar(_found_beside(dropped or beside), private=rewrites) as found,
    ):
        _write_all(files, targets, judge, reader, (side, found), result)
    result.outputs = tuple(dict.fromkeys(target.place for target in targets))
    result.sidecar = side.place if side.rows else None
    result.found = found.place if found.rows else None
    result.notes = header_notes(files) + [
        str(note) for step in steps if hasattr(step, "notes") for note in step.notes()
    ]
    if result.rows_in != result.rows_out + result.dropped.total():
        raise StepError(
            f"rows do not balance: {result.rows_in} in, {result.rows_out} out, {result.dropped.total()} dropped"
        )
    return result


def _found_beside(place: str | None) -> str | None:
    """Where rows go of which something is reported: beside the dropped ones."""
    if place is None:
        return None
    head, mark, end = place.rpartition(".dropped")
    return f"{head}.found{end}" if mark else f"{place}.found.jsonl"


def read_columns(files: Sequence[PlainFile], said: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """What the columns of the first rows mean; None where there is no row.

    Raises:
        UsageError: A column that was named is not there.
    """
    rows = _first_rows(files)
    return guess_columns(rows, said) if rows else None


def _first_rows(files: Sequence[PlainFile]) -> list[dict[str, Any]]:
    """The rows of the first batch that has any."""
    batches = (batch for file in files for batch in file.batches())
    found = ([record.value for record in batch.records if isinstance(record.value, dict)] for batch in batches)
    return next((rows for rows in found if rows), [])


def header_notes(files: Sequence[PlainFile], rows: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
    """A warning where the first line of a table was taken for column names and looks like a row."""
    first = files[0] if files else None
    if first is None or first.format not in ("csv", "tsv") or first.spec.header is not True:
        return []
    cell = row_for_names((_first_rows(files[:1]) if rows is None else rows)[:_LOOKED_AT])
    if cell is None:
        return []
    shown = cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…"
    return [f"the first line of {first.name} was taken for column names, such as '{shown}'. A row? --no-header"]


def check_columns(files: Sequence[PlainFile], steps: Sequence[Step]) -> None:
    """A column that a step is told to use and the first rows have not is found before the work, among all they have.

    Raises:
        UsageError: There is one.
    """
    wanted = [(step.name, column) for step in steps if hasattr(step, "columns") for column in step.columns()]
    rows = _first_rows(files) if wanted else []
    known = list(dict.fromkeys(name for row in rows for name in row))
    for step, column in wanted:
        if known and column not in (*known, *OUR_NAMES, "source", "template"):
            raise UsageError(f"{step}: no column '{column}' in the rows", hint=suggest(column, known))


def _judge(
    files: Sequence[PlainFile],
    steps: Sequence[Step],
    columns: Mapping[str, str],
    reader: Reader,
    *,
    whole: bool,
    rewrites: bool,
) -> Judge:
    if not whole:
        # What is rewritten is looked for in the row as it stands, so that nothing of it is seen twice or not at all.
        return RowJudge(steps, Mapper({} if rewrites else columns), rewrites=rewrites)
    if rewrites:
        raise UsageError("steps that rewrite rows and steps that see all rows are two commands")
    wanted = {name for step in steps for name in column_names(step)}
    judge = TableJudge(Mapper(columns, fields=wanted, ids="both"))
    for file, batch in reader.batches(files):
        judge.see([record for record in batch.records if reader.bad(file, record) is None])
    judge.decide(steps)
    return judge


def _tables(files: Sequence[PlainFile], reader: Reader) -> Iterator[pa.Table]:
    """All readable rows as the steps will see them, part by part."""
    mapper = Mapper({})
    for file, batch in reader.batches(files):
        if records := [record for record in batch.records if reader.bad(file, record) is None]:
            yield mapper.table(records)


def _write_all(
    files: Sequence[PlainFile],
    targets: Sequence[Target],
    judge: Judge,
    reader: Reader,
    sides: tuple[Sidecar, Sidecar],
    result: PlainResult,
) -> None:
    of = dict(zip((id(file) for file in files), targets, strict=True))
    opened: tuple[Target, Writer] | None = None
    with contextlib.ExitStack() as stack:
        inner = stack.enter_context(contextlib.ExitStack())
        last: PlainFile | None = None
        for file, batch in reader.batches(files):
            if file is not last:
                if opened is None or opened[0] != of[id(file)]:
                    if opened is not None:
                        result.nulled += opened[1].nulled
                        inner.close()
                    inner = stack.enter_context(contextlib.ExitStack())
                    opened = (of[id(file)], inner.enter_context(writer(of[id(file)], file)))
                opened[1].begin(file)
                last = file
            if opened is not None:
                _write(file, batch, judge.judge(batch), opened[1], reader, sides, result)
        if opened is not None:
            result.nulled += opened[1].nulled


def _write(
    file: PlainFile,
    batch: Batch,
    verdict: Verdict,
    out: Writer,
    reader: Reader,
    sides: tuple[Sidecar, Sidecar],
    result: PlainResult,
) -> None:
    keep: list[int] = []
    side, found = sides
    for index, record in enumerate(batch.records):
        bad = reader.bad(file, record)
        if bad is not None:
            side.add(record, _BAD, bad.reason, {"message": bad.message})
            result.dropped[f"{_BAD}: {bad.reason}"] += 1
        elif index in verdict.drops:
            step, reason, evidence = verdict.drops[index]
            side.add(record, step, reason, evidence)
            result.dropped[f"{step}: {reason}"] += 1
        else:
            keep.append(index)
            if index in verdict.found:
                found.add(record, *verdict.found[index])
    result.rows_in += len(batch.records)
    result.rows_out += len(keep)
    result.changed += sum(index in verdict.changes for index in keep)
    out.write(batch, keep, verdict.changes)
