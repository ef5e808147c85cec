"""Some texts of plain files, drawn at random in one pass: for what looks at examples and changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datakit.plain.files import PlainFile
from datakit.plain.mapping import Mapper
from datakit.plain.reader import Reader

__all__ = ["sample_texts"]


def sample_texts(
    files: Sequence[PlainFile], columns: Mapping[str, str], *, count: int, seed: int = 0, skip_bad_rows: bool = False
) -> list[str]:
    """Texts and turns of conversations; of rows without, every string. Each is as likely as any other.

    Args:
        files: From :func:`~datakit.plain.files.open_files`.
        columns: Our names to the file's.
        count: Most texts that are held.
        seed: Decides which.
        skip_bad_rows: Go on after a row that cannot be read.

    Raises:
        SourceError: A row cannot be read.
    """
    rng, held = random.Random(seed), list[str]()
    for number, text in enumerate(_texts(files, columns, Reader(skip=skip_bad_rows))):
        if len(held) < count:
            held.append(text)
        elif (place := rng.randrange(number + 1)) < count:
            held[place] = text
    return held


def _texts(files: Sequence[PlainFile], columns: Mapping[str, str], reader: Reader) -> Iterator[str]:
    mapper = Mapper(columns)
    for file, batch in reader.batches(files):
        for row in mapper.table([record for record in batch.records if reader.bad(file, record) is None]).to_pylist():
            talk = [turn["content"] for turn in [*(row["messages"] or ()), *(row["rejected"] or ())]]
            some = [text for text in (row["text"], *talk) if text]
            yield from some or _strings(json.loads(row["fields"]))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
