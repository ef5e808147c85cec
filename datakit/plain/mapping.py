"""Rows of a plain file as a table of examples, for steps to look at. Nothing is refused: what does not fit is empty."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from datakit.core.example import SCHEMA
from datakit.core.hashing import digest
from datakit.plain.records import Record
from datakit.sources import BadRow
from datakit.sources.turns import Unusable, conversation, turns

__all__ = ["Mapper", "as_json", "finite", "talk_of"]

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str, allow_nan=False)
_TALK = ("messages", "prompt", "chosen")

Ids = Literal["place", "content", "both"]
Talk = tuple["list[dict[str, str]] | None", "list[dict[str, str]] | None"]


class Mapper:
    """Makes examples of rows.

    Args:
        columns: Our name to the file's name.
        fields: Which of the file's columns ``fields`` holds; None: all of them.
        ids: What ids are made of. ``place``: the row's origin. ``content``: a hash of the row, with a count for
            equal rows, so that what a step decides by id does not depend on the rows' order. ``both``: the hash, a
            space and the origin, for steps that keep ids beyond the call and must name the row later.

    Attributes:
        source: Written into the column of that name; may be set from call to call.
    """

    def __init__(
        self, columns: Mapping[str, str], *, fields: Collection[str] | None = None, ids: Ids = "place"
    ) -> None:
        self.columns, self.fields, self.ids = dict(columns), fields, ids
        self.talks = any(name in columns for name in _TALK)
        self.seen: dict[str, int] = {}
        self.source = "file"

    def table(self, records: Sequence[Record]) -> pa.Table:
        """One example per row, in order; rows that cannot be read must have been taken out."""
        columns: dict[str, list[Any]] = {name: [] for name in ("text", "label", "messages", "rejected", "fields")}
        for record in records:
            value = record.value
            if isinstance(value, BadRow):
                raise ValueError(f"{record.origin}: {value.message}")
            talk = talk_of(value, self.columns) if self.talks else (None, None)
            columns["text"].append(_text(value, self.columns.get("text")))
            columns["label"].append(_label(value, self.columns.get("label")))
            columns["messages"].append(talk[0])
            columns["rejected"].append(talk[1])
            columns["fields"].append(as_json(value, self.fields))
        size = len(records)
        ids = [self._id(record) for record in records]
        columns |= {
            "id": ids,
            "group": ids,
            "origin": [record.origin for record in records],
            "source": [self.source] * size,
            **{name: [None] * size for name in ("parent", "choices", "template")},
        }
        return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)

    def _id(self, record: Record) -> str:
        if self.ids == "place":
            return record.origin
        value = record.value if isinstance(record.value, dict) else {}
        base = digest(record.raw.rstrip(b"\r\n") if record.raw else _ENCODER.encode(finite(value)))
        if self.ids == "both":
            return f"{base} {record.origin}"
        count = self.seen.get(base, 0)
        self.seen[base] = count + 1
        return base if not count else digest(base, count)


def _text(row: Mapping[str, Any], column: str | None) -> str | None:
    value = None if column is None else row.get(column)
    return value if isinstance(value, str) else None


def _label(row: Mapping[str, Any], column: str | None) -> str | None:
    value = None if column is None else row.get(column)
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None


def talk_of(row: Mapping[str, Any], columns: Mapping[str, str]) -> Talk:
    """Conversation and worse answer of a row; None where it has none that can be used."""
    ours = {name: row.get(theirs) for name, theirs in columns.items()}
    for name in ("answer", "prompt"):
        if isinstance(ours.get(name), (int, float)) and not isinstance(ours[name], bool):
            ours[name] = str(ours[name])
    try:
        if "context" in columns and ours["context"]:
            head = turns(ours["system"], "system", role="system") if ours.get("system") else []
            head += turns(ours["prompt"], columns["prompt"], role="user")
            head += turns(ours["context"], columns["context"], role="user")
            return [*head, *turns(ours["answer"], columns["answer"], role="assistant")], None
        if "messages" in columns and "chosen" in columns:  # the turns before both answers
            ours["prompt"], columns = ours.pop("messages"), {**columns, "prompt": columns["messages"]}
            columns.pop("messages")
        return conversation(ours, columns)
    except Unusable:
        return None, None


def as_json(row: Mapping[str, Any], names: Collection[str] | None = None) -> str:
    """A row, or some of its columns, as one JSON object with sorted keys."""
    chosen: Any = row if names is None else {name: row[name] for name in names if name in row}
    try:
        return _ENCODER.encode(chosen)
    except (ValueError, TypeError):  # NaN, or keys that are no text, from typed tables
        return _ENCODER.encode(finite(chosen))


def finite(value: Any) -> Any:
    """A value without NaN, infinity, keys that are no text, and tuples: what JSON can say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
