"""One row as a set of strings: what is found in one of them is replaced in all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from datakit.pii.engine import NAME_ENTITIES
from datakit.pii.span import Span

__all__ = ["COLUMNS", "Finding", "Path", "column_name", "find_in_row", "rewrite_row", "row_strings", "row_values"]

COLUMNS: Final = ("text", "messages", "rejected", "choices", "label", "fields")
_MIN_NUMBER: Final = 10**5  # a phone number or an account may stand in a JSON field without quotes

Find = Callable[[str], list[Span]]
Write = Callable[[str, str], str]
# Keys and list positions on the way to a string; None and a number for the key of that number itself.
Path: TypeAlias = tuple[str | int | None, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A span, the way to the string it stands in, and the original value."""

    path: Path
    span: Span
    value: str


def column_name(path: Path, kinds: Mapping[str, str]) -> str:
    """``messages.0.content``; a key that holds personal data is written with its tag."""
    name = ".".join("#" if part is None else str(part) for part in path)
    for value in sorted(kinds, key=len, reverse=True):
        name = name.replace(value, f"<{kinds[value]}>")
    return name


def row_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that may hold personal data, ``fields`` as the value it encodes."""
    values = {name: row[name] for name in COLUMNS}
    values["fields"] = json.loads(row["fields"]) if row["fields"] else None
    return values


def _strings(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Path and text of every string, key and long whole number."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for number, (key, inner) in enumerate(value.items()):
            if path[0] == "fields":
                yield (*path, None, number), key
            elif key == "role":
                continue
            yield from _strings(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _strings(inner, (*path, number))
    elif isinstance(value, int) and abs(value) >= _MIN_NUMBER:
        yield path, str(value)


def row_strings(values: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """All strings of a row that may hold personal data, with the way to each."""
    return [place for name, value in values.items() for place in _strings(value, (name,))]


def find_in_row(
    values: Mapping[str, Any], find: Find, *, known: Mapping[str, str] | None = None
) -> tuple[list[Finding], dict[str, str]]:
    """Findings of all columns, each value also where it stands without having been recognised.

    Repeated until nothing is new: a replaced value may have kept another from being recognised.

    Args:
        values: From :func:`row_values`.
        find: Recognises.
        known: Values recognised in other rows, and their kinds.

    Returns:
        Findings, and the kind of each original value.
    """
    places = row_strings(values)
    left = [text for _, text in places]
    kinds: dict[str, str] = dict(known or {})
    findings: list[Finding] = []
    new = True
    while new:
        new = False
        for number, (path, text) in enumerate(places):
            for span in find(left[number]):
                kinds.setdefault(text[span.start : span.end], span.entity)
                findings.append(Finding(path, span, text[span.start : span.end]))
                left[number] = _blank(left[number], span)
                new = True
        for number, (path, text) in enumerate(places):
            for span in _verbatim(left[number], kinds):
                findings.append(Finding(path, span, text[span.start : span.end]))
                left[number] = _blank(left[number], span)
                new = True
    return findings, kinds


def _blank(text: str, span: Span) -> str:
    return f"{text[: span.start]}<{'x' * (span.end - span.start - 2)}>{text[span.end :]}"


def _verbatim(text: str, kinds: Mapping[str, str]) -> Iterator[Span]:
    """Occurrences of known values, longer ones first, disjoint."""
    taken: list[tuple[int, int]] = []
    for value in sorted(kinds, key=lambda value: (-len(value), value)):
        start = text.find(value)
        while start >= 0:
            end = start + len(value)
            whole = kinds[value] not in NAME_ENTITIES or _stands_alone(text, start, end)
            if whole and all(end <= first or last <= start for first, last in taken):
                taken.append((start, end))
                yield Span(kinds[value], start, end, 1.0)
            start = text.find(value, start + 1)


def _stands_alone(text: str, start: int, end: int) -> bool:
    """A name is no part of a longer word: "May" is not in "Maybe". After a Hangul name a particle may follow."""
    before = start == 0 or not text[start - 1].isalnum()
    return before and (end == len(text) or not text[end].isalnum() or not text[end - 1].isascii())


def rewrite_row(values: Mapping[str, Any], findings: list[Finding], write: Write) -> dict[str, Any]:
    """The columns with every finding replaced; ``fields`` as JSON again.

    Args:
        values: From :func:`row_values`.
        findings: From :func:`find_in_row`.
        write: Replacement of a value of a kind.
    """
    by_path: dict[Path, list[Span]] = {}
    for finding in findings:
        by_path.setdefault(finding.path, []).append(finding.span)

    def text_at(path: Path, text: str) -> str:
        for span in sorted(by_path.get(path, ()), key=lambda span: -span.start):
            text = text[: span.start] + write(text[span.start : span.end], span.entity) + text[span.end :]
        return text

    def rewrite(value: Any, path: Path) -> Any:
        if isinstance(value, str):
            return text_at(path, value)
        if isinstance(value, dict):
            new: dict[str, Any] = {}
            for number, (key, inner) in enumerate(value.items()):
                name = text_at((*path, None, number), key)
                while name in new:
                    name += "'"  # two keys became one tag
                new[name] = rewrite(inner, (*path, key))
            return new
        if isinstance(value, list):
            return [rewrite(inner, (*path, number)) for number, inner in enumerate(value)]
        if isinstance(value, int) and path in by_path:
            return text_at(path, str(value))
        return value

    rewritten = {name: rewrite(value, (name,)) for name, value in values.items()}
    if values["fields"] is not None:
        rewritten["fields"] = json.dumps(rewritten["fields"], ensure_ascii=False, sort_keys=True)
    return rewritten
