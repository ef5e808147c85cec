"""Which text of an example is compared, and with what."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.tablefile import as_text, read_rows

__all__ = ["column_of", "compared", "reference_texts", "scores"]

_TEXTS: Final = ("text", "content", "prompt", "question", "instruction", "messages")


def compared(table: pa.Table, on: str | Sequence[str]) -> Iterator[str | None]:
    """The text of each row that is compared, of several columns joined; None where the row has none."""
    if not isinstance(on, str):
        for parts in zip(*(compared(table, name) for name in on), strict=True):
            there = [part for part in parts if part is not None]
            yield "\n".join(filter(None, there)) if there else None
        return
    if on in ("auto", "text", "prompt", "answer", "messages"):
        texts = table.column("text").to_pylist() if on in ("auto", "text") else [None] * table.num_rows
        turns = table.column("messages").to_pylist() if on != "text" else [None] * table.num_rows
        for text, messages in zip(texts, turns, strict=True):
            yield text if text is not None else _turns(messages, on)
        return
    for value in column_of(table, on, "dedup.on"):
        yield value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _turns(messages: Sequence[Mapping[str, str]] | None, part: str) -> str | None:
    if not messages:
        return None
    answered = messages[-1]["role"] == "assistant"
    if part == "answer":
        return messages[-1]["content"] if answered else None
    chosen = messages[:-1] if part == "prompt" and answered else messages
    return "\n".join(turn["content"] or "" for turn in chosen)


def column_of(table: pa.Table, name: str, key: str) -> list[Any]:
    """Values of another column of the file, or of an extra column of the table.

    Raises:
        StepError: No row has it.
    """
    if name in table.column_names:
        return list(table.column(name).to_pylist())
    rows = [json.loads(fields) if fields else {} for fields in table.column("fields").to_pylist()]
    if not any(name in row for row in rows):
        known = sorted({field for row in rows for field in row})
        raise StepError(
            f"no row has a column '{name}'",
            where=key,
            hint=f"Known: text, prompt, answer, messages{''.join(f', {field}' for field in known)}",
        )
    return [row.get(name) for row in rows]


def scores(table: pa.Table, by: str) -> list[float | None]:
    """Numbers of a column; None where it is empty.

    Raises:
        StepError: No such column, or a value is no number.
    """
    found: list[float | None] = []
    for row, value in enumerate(column_of(table, by, "dedup.by")):
        try:
            found.append(None if value in (None, "") else float(value))
        except (TypeError, ValueError):
            where = f"row {table.column('id')[row].as_py()}"
            raise StepError(f"the column '{by}' of dedup.by is not a number here", where=where) from None
    return found


def reference_texts(path: Path, on: str | Sequence[str], column: str | None) -> list[str | None]:
    """Texts of a file that rows are compared with.

    Args:
        path: See :func:`datakit.core.tablefile.read_rows`; a dataset of ours is read like the rows themselves.
        on: What is compared of the rows.
        column: Of the file; by default the one named by ``on``, else the first of text, content, prompt, ...

    Raises:
        StepError: No such column.
        DatakitError: The file cannot be read.
    """
    rows = read_rows(path)
    if column is None and {"messages", "text", "fields"} <= set(rows.column_names):
        return list(compared(rows, on))
    if not isinstance(on, str):
        if column is None and set(on) <= set(rows.column_names):
            parts = [[as_text(value) or "" for value in rows.column(name).to_pylist()] for name in on]
            return ["\n".join(filter(None, row)) for row in zip(*parts, strict=True)]
        on = ", ".join(on)
    wanted = (column,) if column is not None else (on, *_TEXTS)
    name = next((name for name in wanted if name in rows.column_names), None)
    if name is None:
        raise StepError(
            f"no column '{column or on}' in the reference",
            where=path,
            hint=f"Set against_column to one of: {', '.join(rows.column_names)}",
        )
    return [as_text(value) for value in rows.column(name).to_pylist()]
