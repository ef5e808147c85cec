"""Raw rows become rows of the schema, column by column, in batches."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from datakit.core.errors import SourceError
from datakit.core.example import SCHEMA
from datakit.core.registry import suggest
from datakit.sources.rows import BadRow
from datakit.sources.spec import OUR_NAMES, SourceSpec
from datakit.sources.turns import Unusable, choices, conversation

__all__ = ["Batch", "effective_columns", "label_reader"]

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, default=str, allow_nan=False)
_TALK = ("messages", "prompt", "answer", "chosen", "rejected", "system")


def effective_columns(spec: SourceSpec, there: Iterable[str], where: str) -> dict[str, str]:
    """Our name to the file's name: what the recipe maps, and columns that have one of our names.

    Raises:
        SourceError: A mapped column is not in the file; the message lists those that are.
    """
    found = list(there)
    mapped = spec.mapped()
    for ours, theirs in mapped.items():
        if theirs not in found:
            raise SourceError(f"no column '{theirs}' (mapped to {ours})", where=where, hint=suggest(theirs, found))
    free = [name for name in OUR_NAMES if name in found and name not in mapped and name not in mapped.values()]
    all_of = {*free, *mapped}
    for name in free:
        # Half a conversation is a column like any other, and a whole one makes its halves superfluous.
        half = "messages" in all_of if name in ("prompt", "answer", "chosen", "system") else False
        whole = {
            "prompt": bool({"answer", "chosen"} & all_of),
            "answer": "prompt" in all_of,
            "system": "prompt" in all_of,
            "rejected": bool({"chosen", "messages", "answer"} & all_of),
            "chosen": "rejected" in all_of or "prompt" in all_of,
        }
        if not half and whole.get(name, True):
            mapped[name] = name
    return mapped


class label_reader(dict[Any, "str | None"]):
    """Raw label to label name, computed once per distinct value; None where it is no label.

    Integers and digits are positions in ``names``, unless a name is written so.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def __missing__(self, value: Any) -> str | None:
        found = self._find(value)
        self[value] = found
        return found

    def _find(self, value: Any) -> str | None:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool):
            value = int(value) if self.names and str(value).lower() not in self.names else str(value).lower()
        text = str(value)
        if not self.names or text in self.names:
            return text if isinstance(value, (str, int, float)) else None
        position = int(text) if text.isdecimal() else -1
        return self.names[position] if 0 <= position < len(self.names) else None


class Batch:
    """Rows of one part of a source, gathered column by column.

    Args:
        source: Source name in the recipe.
        part: File name relative to the recipe.
        columns: From :func:`effective_columns`.
        labels: From :func:`label_reader`.
        strict: Our names that must have a value in every row.
    """

    def __init__(
        self, source: str, part: str, columns: Mapping[str, str], labels: label_reader, strict: Iterable[str]
    ) -> None:
        self.source, self.part, self.columns, self.labels = source, part, columns, labels
        self.text, self.label = columns.get("text"), columns.get("label")
        self.choices = columns.get("choices")
        self.talks = any(name in columns for name in _TALK)
        self.strict_label = "label" in set(strict)
        self.taken = [theirs for ours, theirs in columns.items() if ours != "id"]
        self.state = hashlib.blake2b(digest_size=16)
        for piece in (source.encode("utf-8", "surrogatepass"), part.encode("utf-8", "surrogatepass")):
            self.state.update(len(piece).to_bytes(8, "little") + piece)
        self.clear()

    def clear(self) -> None:
        """Begins the next batch."""
        self.ids: list[str] = []
        self.lines: list[int] = []
        self.values: dict[str, list[Any]] = {
            name: [] for name in ("text", "label", "fields", "messages", "rejected", "choices")
        }

    def id_of(self, line: int, raw: str | bytes) -> str:
        """Same as ``datakit.core.example.source_id``, with the hash of source and file computed once."""
        number = b"%d" % line
        data = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
        state = self.state.copy()
        state.update(len(number).to_bytes(8, "little") + number + len(data).to_bytes(8, "little"))
        state.update(data)
        return state.hexdigest()

    def add(self, line: int, raw: str | bytes, row: dict[str, Any]) -> BadRow | None:
        """Adds a row; it takes ``row`` apart. Returns what is wrong with it, if anything."""
        text, label = None, None
        if self.text is not None:
            text = row.get(self.text)
            if type(text) is not str:
                return _not_text(text, self.text)
            if not text or text.isspace():
                return BadRow("missing_value", f"no text in column '{self.text}'")
        if self.label is not None:
            label = row.get(self.label)
            bad = self._label(label)
            if isinstance(bad, BadRow):
                return bad
            label = bad
        messages = rejected = options = None
        if self.talks or self.choices is not None:
            try:
                if self.talks:
                    ours = {name: row.get(theirs) for name, theirs in self.columns.items()}
                    messages, rejected = conversation(ours, self.columns)
                if self.choices is not None:
                    options = choices(row.get(self.choices), self.choices)
            except Unusable as error:
                return error.bad
        for name in self.taken:
            row.pop(name, None)
        values = self.values
        values["text"].append(text)
        values["label"].append(label)
        values["messages"].append(messages)
        values["rejected"].append(rejected)
        values["choices"].append(options)
        values["fields"].append(_fields(row) if row else "{}")
        self.ids.append(self.id_of(line, raw))
        self.lines.append(line)
        return None

    def _label(self, value: Any) -> str | BadRow | None:
        if value is None or value == "":
            return BadRow("missing_value", f"no value in column '{self.label}'") if self.strict_label else None
        if not isinstance(value, (str, int, float)):
            return BadRow("wrong_type", f"column '{self.label}' holds a {type(value).__name__}, not a label")
        found = self.labels[value]
        if found is None:
            names = ", ".join(self.labels.names[:20])
            return BadRow("unknown_label", f"label '{value}' in column '{self.label}' is none of: {names}")
        return found

    def table(self) -> pa.Table:
        """The gathered rows as a table of the schema."""
        size = len(self.ids)
        arrays = {
            "id": self.ids,
            "parent": [None] * size,
            "group": self.ids,
            "source": [self.source] * size,
            "origin": [f"{self.part}:{line}" for line in self.lines],
            "template": [None] * size,
            **self.values,
        }
        return pa.Table.from_arrays([pa.array(arrays[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _not_text(value: Any, column: str) -> BadRow:
    if value is None:
        return BadRow("missing_value", f"no value in column '{column}'")
    return BadRow("wrong_type", f"column '{column}' holds a {type(value).__name__}, not text")


def _fields(row: dict[str, Any]) -> str:
    try:
        return _ENCODER.encode(row)
    except ValueError:  # NaN and infinity are no JSON
        return _ENCODER.encode(_finite(row))
    except TypeError:  # keys that are no text, from typed tables
        return _ENCODER.encode({str(key): value for key, value in row.items()})


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
