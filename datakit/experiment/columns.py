"""Facts about the columns of rows nobody has described yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datakit.plain.columns import is_number

__all__ = ["Column", "columns", "is_label"]

_LONGEST_LABEL = 60

Kind = Literal["text", "number", "list", "object", "boolean", "empty"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the rows that were looked at.

    Attributes:
        name: The file's name of it.
        kind: Of its values, where they are set; a number may be written as text.
        filled: Rows with a value.
        values: Distinct values with their counts, most frequent first; of lists and objects none.
        length: Mean length of the values as text, in characters.
    """

    name: str
    kind: Kind
    filled: int
    values: tuple[tuple[str, int], ...]
    length: float

    @property
    def distinct(self) -> int:
        """Number of distinct values."""
        return len(self.values)


def is_label(column: Column) -> bool:
    """Few distinct short values that come again and again."""
    return (
        column.kind in ("text", "number", "boolean")
        and 2 <= column.distinct <= max(20, column.filled / 5)
        and column.filled >= 2 * column.distinct
        and max(len(value) for value, _ in column.values) <= _LONGEST_LABEL
    )


def columns(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of these rows, in the order they first stand in."""
    names = dict.fromkeys(name for row in rows for name in row)
    return tuple(_column(name, [row.get(name) for row in rows]) for name in names)


def _column(name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if value is not None and value != ""]
    kinds = Counter(_kind(value) for value in there)
    kind: Kind = kinds.most_common(1)[0][0] if kinds else "empty"
    if kind == "number" and kinds["text"]:
        kind = "text"
    flat = [_flat(value) for value in there] if kind not in ("list", "object") else []
    length = sum(map(len, flat)) / len(flat) if flat else 0.0
    counted = Counter(flat)
    ordered = tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
    return Column(name, kind, len(there), ordered, length)


def _kind(value: Any) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float) or (isinstance(value, str) and is_number(value)):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list) else "object"


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
