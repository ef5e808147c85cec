"""What a step changed in a row, as places in the file's own columns, and rows rewritten with nothing else touched."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from json import decoder
from typing import Any, TypeAlias

from datakit.core.errors import StepError
from datakit.plain.records import Record

__all__ = ["Changes", "Path", "changes_between", "edit_csv", "edit_json", "edit_text", "has_doubled_key", "put"]

_scanstring: Callable[[str, int], tuple[str, int]] = decoder.scanstring  # type: ignore[attr-defined]

Path: TypeAlias = tuple["str | int", ...]
Changes: TypeAlias = dict[Path, Any]
"""Place in a row to its new value: a text, or a whole object where keys in it were replaced."""


def changes_between(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Where two values of the same shape differ; an object whose keys differ is one change."""
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
        for key, value in old.items():
            yield from changes_between(value, new[key], (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from changes_between(before, after, (*path, index))
    elif old != new:
        yield path, new


def put(value: Any, path: Path, new: Any) -> Any:
    """A copy of a nested value with one place replaced."""
    if not path:
        return new
    if isinstance(value, Mapping):
        return {key: put(item, path[1:], new) if key == path[0] else item for key, item in value.items()}
    items = (put(item, path[1:], new) if index == path[0] else item for index, item in enumerate(value))
    return tuple(items) if isinstance(value, tuple) else list(items)  # pairs of a map are tuples


def has_doubled_key(text: str) -> bool:
    """Whether an object in a JSON text has a key twice: readers see only the last, so the first would stay unseen."""
    doubled = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        found = dict(items)
        doubled = doubled or len(found) < len(items)
        return found

    json.loads(text, object_pairs_hook=pairs)
    return doubled


def edit_json(text: str, changes: Changes) -> str:
    """A JSON text with the values at some places replaced; all else stays as it is written, numbers and spaces too."""
    found: dict[Path, tuple[int, int]] = {}
    _scan(text, 0, (), changes, found)
    for path, (start, end) in sorted(found.items(), key=lambda item: -item[1][0]):
        written = json.dumps(changes[path], ensure_ascii=text.isascii())
        text = text[:start] + written + text[end:]
    return text


def _scan(text: str, at: int, path: Path, wanted: Changes, found: dict[Path, tuple[int, int]]) -> int:
    """Notes where the wanted values stand; returns the end of the value that begins at or after ``at``."""
    start = at = _space(text, at)
    mark = text[at]
    if mark == '"':
        at = _scanstring(text, at + 1)[1]
    elif mark == "{":
        at = _space(text, at + 1)
        while text[at] != "}":
            key, at = _scanstring(text, at + 1)
            at = _scan(text, _space(text, at) + 1, (*path, key), wanted, found)
            at = _comma(text, at)
        at += 1
    elif mark == "[":
        index, at = 0, _space(text, at + 1)
        while text[at] != "]":
            at = _comma(text, _scan(text, at, (*path, index), wanted, found))
            index += 1
        at += 1
    else:
        while at < len(text) and text[at] not in " \t\r\n,]}":
            at += 1
    if path in wanted:
        found[path] = (start, at)
    return at


def _space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _comma(text: str, at: int) -> int:
    at = _space(text, at)
    return _space(text, at + 1) if text[at] == "," else at


def edit_csv(text: str, record: Record, changes: Changes) -> str:
    """A row of a csv or tsv with some cells replaced, quoted as the row is.

    Raises:
        StepError: The new text cannot be written without quotes, and quotes are text in this file.
    """
    if not isinstance(record.value, dict):
        raise ValueError(record.value.message)
    names, cells = list(record.value), list(record.value.values())
    for delimiter in ",\t;|":
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            if _cells(text, delimiter, quoting) != cells:
                continue
            for (name, *_), new in changes.items():
                cells[names.index(str(name))] = new
            if quoting == csv.QUOTE_MINIMAL and text.startswith('"') and text.count(f'"{delimiter}"') >= len(names) - 1:
                quoting = csv.QUOTE_ALL
            return _row(cells, delimiter, quoting, record)
    raise StepError("the row cannot be taken apart as it was read", where=record.origin)


def _cells(text: str, delimiter: str, quoting: int) -> list[str] | None:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting, strict=True))  # type: ignore[arg-type]
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _row(cells: list[str], delimiter: str, quoting: int, record: Record) -> str:
    if quoting == csv.QUOTE_NONE:  # the module would want quotes escaped that are text here
        if any(mark in cell for cell in cells for mark in (delimiter, "\n", "\r")):
            raise StepError(
                "the replaced text cannot be written without quotes",
                where=record.origin,
                hint="Convert the file to jsonl first",
            )
        return delimiter.join(cells)
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="").writerow(cells)  # type: ignore[arg-type]
    return out.getvalue()


def edit_text(text: str, changes: Changes) -> str:
    """A line of a text file, replaced."""
    return str(changes.get(("text",), text)).replace("\n", " ")
