"""Several plain files in chosen proportions, rows left out or repeated, each as it stands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from datakit.core.errors import UsageError
from datakit.core.step import Step
from datakit.plain.files import PlainFile
from datakit.plain.mapping import Mapper
from datakit.plain.reader import Reader
from datakit.plain.targets import Target, plan, suffixes
from datakit.plain.writers import writer
from datakit.sources import BadRow

__all__ = ["MixResult", "mix", "weighed"]


@dataclass(frozen=True, slots=True)
class MixResult:
    """What came out.

    Attributes:
        available: Part to its rows.
        rows: Part to its rows in the mix, repeated ones counted each time.
        output: Where they stand.
    """

    available: dict[str, int]
    rows: dict[str, int]
    output: str


def weighed(parts: Sequence[str]) -> tuple[list[str], dict[str, float] | None]:
    """``A.jsonl:0.7`` as path and weight; None where no part has a weight.

    Raises:
        UsageError: Some have one and some have not, or a path stands there twice.
    """
    paths: list[str] = []
    weights: dict[str, float] = {}
    for part in parts:
        found = re.fullmatch(r"(.+):(\d+(?:\.\d+)?|\.\d+)", part)
        paths.append(part if found is None else found[1])
        if found is not None:
            weights[found[1]] = float(found[2])
    if len(set(paths)) < len(paths):
        raise UsageError("a file is named twice", hint="Give it one weight")
    if weights and len(weights) < len(paths):
        bare = next(path for path in paths if path not in weights)
        raise UsageError(f"'{bare}' has no weight", hint="Give every part one, as in A.jsonl:0.7, or none")
    return paths, weights or None


def mix(parts: Mapping[str, Sequence[PlainFile]], step: Step, output: str | None) -> MixResult:
    """Writes the mix into one file, part after part; repeated rows follow one another.

    Args:
        parts: Name to its files; all of one format with the same columns.
        step: Leaves rows of a table out or repeats them, by the column ``source``.
        output: File, URL or ``-``.

    Raises:
        SourceError: A row cannot be read.
        StepError: The proportions cannot be had.
        UsageError: The files are not alike, or the output is a folder.
    """
    files = [file for part in parts.values() for file in part]
    targets, _ = plan(files, output)
    if len({target.place for target in targets}) > 1 or (output or "").endswith("/"):
        raise UsageError("a mix is one file", hint="Name it: -o OUT.jsonl")
    part_of = {id(file): name for name, part in parts.items() for file in part}
    mapper, reader = Mapper({}, fields=(), ids="content"), Reader()
    tables: list[pa.Table] = []
    for file, batch in reader.batches(files):
        mapper.source = part_of[id(file)]
        tables.append(mapper.table([record for record in batch.records if reader.bad(file, record) is None]))
    table = pa.concat_tables(tables)
    if not table.num_rows:
        raise UsageError("there are no rows to mix")
    after = step.apply(table)
    after.balance(step.name, table.num_rows)
    roots = zip(after.table.column("parent").to_pylist(), after.table.column("id").to_pylist(), strict=True)
    counted = Counter(parent or own for parent, own in roots)
    times = [counted[name] for name in table.column("id").to_pylist()]
    _write(files, reader, times, targets[0])
    return MixResult(_by_part(table), _by_part(after.table), targets[0].place)


def _by_part(table: pa.Table) -> dict[str, int]:
    return dict(Counter(table.column("source").to_pylist()))


def _write(files: Sequence[PlainFile], reader: Reader, times: Sequence[int], target: Target) -> None:
    target = Target(target.place, suffixes(target.place)[1])
    number, last = 0, None
    with writer(target, files[0]) as out:
        for file, batch in reader.batches(files):
            if file is not last:
                out.begin(file)
                last = file
            rows: list[int] = []
            for index, record in enumerate(batch.records):
                if not isinstance(record.value, BadRow):
                    rows += [index] * times[number]
                    number += 1
            out.write(batch, rows, {})
