"""Which rows belong together, and a column's values by its name in the schema or in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.registry import suggest

__all__ = ["column_values", "related_sets"]


def related_sets(table: pa.Table, *, group: str | None = None, mapped: Mapping[str, str] | None = None) -> list[str]:
    """For every row the smallest root id of the set it belongs to (union-find over all that ties rows together).

    Args:
        table: Rows; ``group`` (the root id) and, where a ``dedup`` step left it, ``cluster`` tie them.
        group: Column whose equal values tie rows too; null and empty values tie nothing.
        mapped: Our name to the file's name of a column.

    Raises:
        StepError: No row has the column.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        root = node
        while parent.setdefault(root, root) != root:
            root = parent[root]
        while parent[node] != root:
            parent[node], node = root, parent[node]
        return root

    groups = table.column("group").to_pylist()
    ties: list[tuple[str, Iterable[Any]]] = []
    if "cluster" in table.column_names:
        ties.append(("cluster", table.column("cluster").to_pylist()))
    if group is not None:
        ties.append(("column", column_values(table, group, step="split", mapped=mapped)))
    for kind, values in ties:
        for root, value in zip(groups, values, strict=True):
            if value is not None and value != "":
                one, other = find(("group", root)), find((kind, str(value)))
                parent[max(one, other)] = min(one, other)
    tops = [find(("group", root)) for root in groups]
    smallest: dict[tuple[str, str], str] = {}
    for top, root in zip(tops, groups, strict=True):
        smallest[top] = min(root, smallest.get(top, root))
    return [smallest[top] for top in tops]


def column_values(table: pa.Table, column: str, *, step: str, mapped: Mapping[str, str] | None = None) -> list[Any]:
    """A column by its name in the schema or in the file.

    Args:
        table: The rows.
        column: Its name.
        step: Who asks, for the message.
        mapped: Our name to the file's name.

    Raises:
        StepError: No row has it.
    """
    fields = [json.loads(text) if text else {} for text in table.column("fields").to_pylist()]
    known = {name for row in fields for name in row}
    if column in known:
        return [_plain(row.get(column)) for row in fields]
    ours = {theirs: name for name, theirs in (mapped or {}).items()}.get(column, column)
    plain = [item.name for item in table.schema if pa.types.is_string(item.type) and item.name not in ("fields", "id")]
    if ours in plain:
        values: list[Any] = table.column(ours).to_pylist()
        return values
    raise StepError(f"{step}: no column '{column}' in the rows", hint=suggest(column, [*plain, *known]))


def _plain(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, (list, dict)) else value
