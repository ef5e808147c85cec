"""One step on one stream of rows: taken from the cache, or done, held to the row equation, and kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from datakit.cache import Cache, Joined, Kept
from datakit.core.errors import StepError
from datakit.core.example import SCHEMA
from datakit.core.hashing import json_digest
from datakit.core.registry import suggest
from datakit.core.step import Params

__all__ = ["apply_step", "check_columns"]


def apply_step(step: Any, params: Params, instance: Any, stream: Kept | Joined, *, cache: Cache, seed: int) -> Kept:
    """The step's result on a stream.

    Args:
        step: Class of the step.
        params: As written in the recipe.
        instance: Made of both.
        stream: Its input.
        cache: Looked up under the key of all that determines the result, and filled.
        seed: Of the build.

    Raises:
        StepError: The step does not balance, or lost a column.
    """
    key = json_digest(
        {
            "step": step.name,
            "version": step.version,
            "params": params.model_dump(mode="json"),
            "fingerprint": instance.fingerprint(),
            "seed": seed,
            "input": stream.key,
        }
    )
    kept = cache.get(key)
    if kept is not None:
        return kept
    table = stream.table()
    output = instance.apply(table)
    output.balance(step.name, table.num_rows)
    if missing := [column for column in SCHEMA.names if column not in output.table.column_names]:
        raise StepError(f"the step '{step.name}' lost the columns {', '.join(missing)}")
    notes = list(instance.notes()) if hasattr(instance, "notes") else []
    facts = {"rows_in": table.num_rows, "rows_out": output.table.num_rows, "notes": notes}
    if hasattr(instance, "documents"):
        facts["documents"] = instance.documents()
    return cache.put(key, output, facts)


def check_columns(steps: Iterable[Any], stream: Kept | Joined, columns: Mapping[str, Mapping[str, str]]) -> None:
    """A column that no row has is found before the first step runs, not after an hour of others.

    Args:
        steps: All that are to run.
        stream: The training rows, read where a step names a column.
        columns: Source name to the recipe's column map.

    Raises:
        StepError: Names step and column.
    """
    wanted = [(step.name, column) for step in steps if hasattr(step, "columns") for column in step.columns()]
    if not wanted:
        return
    table: pa.Table = stream.table()
    known = {"label", "text", "source", "template", "origin", "parent", "group", "messages"}
    known.update(*(json.loads(text) for text in table.column("fields").to_pylist()))
    known.update(*(names.values() for names in columns.values()))
    for step, column in wanted:
        if column not in known:
            raise StepError(f"{step}: no column '{column}' in the rows", hint=suggest(column, sorted(known)))
