"""Dropped rows beside the output: the row as it was, which step dropped it, why, and the evidence."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from datakit.plain.mapping import as_json
from datakit.plain.records import Record
from datakit.plain.targets import Target, is_url, opened, suffixes
from datakit.sources import BadRow

__all__ = ["Sidecar", "sidecar"]


class Sidecar:
    """Writes one JSON line per dropped row; the file appears only if there is one.

    Args:
        private: Rows are not shown, only where they stood: they may hold what the step was to remove.
    """

    def __init__(self, place: str | None, *, private: bool) -> None:
        self.place, self.private = place, private
        self.stack = contextlib.ExitStack()
        self.stream: IO[bytes] | None = None
        self.rows = 0

    def add(self, record: Record, step: str, reason: str, evidence: Any) -> None:
        """One dropped row."""
        self.rows += 1
        if self.place is None:
            return
        if self.stream is None:
            self.stream = self.stack.enter_context(opened(Target(self.place, suffixes(self.place)[1]), private=True))
        line: dict[str, Any] = {"origin": record.origin, "step": step, "reason": reason, "evidence": evidence}
        text = json.dumps(line, ensure_ascii=False)
        if not self.private:
            text = f"{text[:-1]}, {_row(record)}}}"
        self.stream.write(text.encode("utf-8", "surrogatepass") + b"\n")


def _row(record: Record) -> str:
    """The row as JSON; one that cannot be read as the text it is."""
    if isinstance(record.value, BadRow):
        return f'"raw": {json.dumps(record.raw.decode("utf-8", "backslashreplace"))}'
    return f'"row": {_ordered(record.value)}'


def _ordered(value: dict[str, Any]) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except (ValueError, TypeError):
        return as_json(value)


@contextlib.contextmanager
def sidecar(place: str | None, *, private: bool) -> Iterator[Sidecar]:
    """A sidecar at a place; one left there by an earlier run goes away where nothing is dropped now."""
    found = Sidecar(place, private=private)
    with found.stack:
        yield found
    if place is not None and not found.rows and not is_url(place) and Path(place).is_file():
        Path(place).unlink()
