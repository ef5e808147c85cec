"""Benchmark items from a file: a suite's export, or any table with a question and an answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.tablefile import as_text, read_rows

__all__ = ["ITEMS", "read_items"]

ITEMS: Final = pa.schema([(name, pa.string()) for name in ("task", "item_id", "prompt", "answer")])

_PROMPTS: Final = ("prompt", "question", "instruction", "query", "text", "input", "sentence", "goal")
_ANSWERS: Final = ("answer", "target", "output", "response", "completion", "solution")
_IDS: Final = ("item_id", "id", "doc_id")


def read_items(path: Path | str) -> pa.Table:
    """Items as a table with the columns task, item_id, prompt, answer.

    Args:
        path: Parquet, CSV or TSV, JSON (a list of objects) or JSON lines, the last four also compressed. Columns are
            recognised by name (prompt or question, answer or target, ...); the file's name stands for a missing task,
            the row's number for a missing id.

    Raises:
        DatakitError: The file cannot be read, or no column is a prompt.
    """
    path = Path(path)
    rows = read_rows(path)
    prompt, answer = _column(rows, _PROMPTS), _column(rows, _ANSWERS)
    if prompt is None:
        raise StepError(
            f"no column with prompts among {', '.join(map(repr, rows.column_names)) or 'none'}",
            where=path,
            hint=f"Name it one of: {', '.join(_PROMPTS)}",
        )
    count, task, own_id = rows.num_rows, _column(rows, ("task",)), _column(rows, _IDS)
    return pa.table(
        [
            pa.array([path.name.split(".")[0]] * count) if task is None else _texts(rows.column(task)),
            pa.array([str(number + 1) for number in range(count)]) if own_id is None else _texts(rows.column(own_id)),
            _texts(rows.column(prompt)),
            pa.nulls(count, pa.string()) if answer is None else _texts(rows.column(answer)),
        ],
        schema=ITEMS,
    )


def _column(rows: pa.Table, names: Sequence[str]) -> str | None:
    lowered = {name.lower(): name for name in reversed(rows.column_names)}
    return next((lowered[name] for name in names if name in lowered), None)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([as_text(value) for value in column.to_pylist()], type=pa.string())
