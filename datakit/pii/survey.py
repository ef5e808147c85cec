"""Findings of a table's rows: each value wherever it stands, in the other rows and in other parts of the set too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import pyarrow as pa

from datakit.pii.finder import Finder
from datakit.pii.known import any_of
from datakit.pii.row import COLUMNS, Finding, find_in_row, row_strings, row_values
from datakit.pii.span import Span

__all__ = ["Found", "Survey", "find_in_table", "survey"]

Found: TypeAlias = dict[int, tuple[dict[str, Any], list[Finding]]]
"""Columns and findings of the rows that have any, by row number."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a set that comes in parts.

    Attributes:
        originals: Every value that was recognised, and its kind.
        rows: Ids of the rows in which something was found; nothing is to be recognised in the others.
    """

    originals: dict[str, str] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)


def survey(parts: Callable[[], Iterable[pa.Table]], finder: Finder) -> Survey | None:
    """Goes through a set until nothing new is found; None where it has one part only, which shows everything itself.

    Args:
        parts: Gives the tables, each time it is called.
        finder: Recognises.
    """
    if len(list(islice(parts(), 2))) < 2:
        return None
    known: Survey | None = None
    while True:
        seen = Survey() if known is None else Survey(dict(known.originals), set(known.rows))
        for table in parts():
            found, originals = find_in_table(table, finder, known)
            seen.originals.update({value: kind for value, kind in originals.items() if value not in seen.originals})
            ids = table.column("id").to_pylist()
            seen.rows.update(ids[number] for number in found)
        if len(seen.originals) == (0 if known is None else len(known.originals)):
            return seen
        known = seen


def find_in_table(table: pa.Table, finder: Finder, known: Survey | None = None) -> tuple[Found, dict[str, str]]:
    """Findings, and the kind of every original value.

    A value recognised in one row (by the words before it, say) is looked for in all: none shall stand in the table.

    Args:
        table: Rows.
        finder: Recognises.
        known: What stands in the other parts of the set.
    """
    rows = [row_values(row) for row in table.select(COLUMNS).to_pylist()]
    told: list[dict[str, str]] = [{} for _ in rows]
    open_ = list(range(len(rows)))
    if known is not None:
        told = _standing(rows, known.originals)
        ids = table.column("id").to_pylist()
        open_ = [number for number in open_ if told[number] or ids[number] in known.rows]
    strings = list(dict.fromkeys(text for number in open_ for _, text in row_strings(rows[number]) if text))
    scanned = dict(zip(strings, finder.many(strings), strict=True))

    def find(text: str) -> list[Span]:
        spans = scanned.get(text)
        return finder.one(text) if spans is None else spans

    found: list[tuple[list[Finding], dict[str, str]]] = [([], {}) for _ in rows]
    originals: dict[str, str] = {}
    for number in open_:
        found[number] = find_in_row(rows[number], find, known=told[number])
        originals |= {value: kind for value, kind in found[number][1].items() if value not in originals}
    new = originals
    while new:  # what is blanked may lay open another value, and that one may stand elsewhere too
        here, new = _standing(rows, new), {}
        for number, values in enumerate(rows):
            if not here[number].keys() <= found[number][1].keys():
                found[number] = find_in_row(values, find, known=found[number][1] | here[number])
                new |= {value: kind for value, kind in found[number][1].items() if value not in originals}
                originals |= new
    return {number: (rows[number], findings) for number, (findings, _) in enumerate(found) if findings}, originals


def _standing(rows: Iterable[dict[str, Any]], originals: Mapping[str, str]) -> list[dict[str, str]]:
    """Of each row, the values that stand in it."""
    pattern = any_of(originals)
    if pattern is None:
        return [{} for _ in rows]
    return [
        {match: originals[match] for _, text in row_strings(values) for match in pattern.findall(text)}
        for values in rows
    ]
