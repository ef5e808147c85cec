"""Facts about plain files, gathered in one pass: rows, columns, lengths, labels, languages, exact duplicates."""

from __future__ import annotations

import functools
import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datakit.plain.engine import read_columns
from datakit.plain.files import PlainFile
from datakit.plain.mapping import Mapper
from datakit.plain.reader import Reader
from datakit.text import normalise

__all__ = ["ColumnFacts", "FileStats", "Lengths", "merged", "stats"]

_LANGUAGE_ROWS = 2000
_LANGUAGE_CHARACTERS = 1000
_DISTINCT = 100_000


@dataclass(slots=True)
class Lengths:
    """Lengths of one kind of text, one number per row that has any."""

    characters: array[int] = field(default_factory=lambda: array("q"))
    words: array[int] = field(default_factory=lambda: array("q"))

    def add(self, text: str) -> None:
        """One more text; words are what spaces separate."""
        self.characters.append(len(text))
        self.words.append(len(text.split()))


@dataclass(slots=True)
class ColumnFacts:
    """One column of the file.

    Attributes:
        filled: Rows with a value that is not null and not empty.
        types: Kind of value to its rows.
        distinct: Hashes of the values seen; no more are kept than ``_DISTINCT``.
    """

    filled: int = 0
    types: Counter[str] = field(default_factory=Counter)
    distinct: set[bytes] = field(default_factory=set)

    @property
    def many(self) -> bool:
        """Whether there are more distinct values than were counted."""
        return len(self.distinct) >= _DISTINCT


@dataclass(slots=True)
class FileStats:
    """What one file holds.

    Attributes:
        name: Of the file; of several, ``all``.
        rows: Rows that can be read.
        bad: Rows that cannot.
        columns: In the order they first stand in.
        meaning: Our names to the file's.
        lengths: ``text``, ``prompt``, ``answer`` or ``rejected`` to their lengths.
        labels: Label to rows.
        turns: Number of turns of a conversation to rows.
        languages: Of the first rows, as a detector guesses; "unknown" for texts too short.
        empty: Rows without any text.
        duplicates: Rows whose text, in normal form, stood in an earlier row.
    """

    name: str
    rows: int = 0
    bad: int = 0
    columns: dict[str, ColumnFacts] = field(default_factory=dict)
    meaning: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, Lengths] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    duplicates: int = 0


def stats(files: Sequence[PlainFile], *, columns: Mapping[str, str] | None = None) -> list[FileStats]:
    """Facts of each file; a row's duplicates are looked for in all files together.

    Raises:
        SourceError: A file is unreadable or damaged; bad rows are counted.
        UsageError: A column that was named is not there.
    """
    mapped = read_columns(files, columns) or {}
    mapper, reader, seen = Mapper(mapped, fields=()), Reader(skip=True), set[bytes]()
    detect = _detector()
    found: dict[int, FileStats] = {}
    for file, batch in reader.batches(files):
        one = found.setdefault(id(file), FileStats(file.name, meaning=dict(mapped)))
        good = [record for record in batch.records if reader.bad(file, record) is None]
        one.rows += len(good)
        one.bad += len(batch.records) - len(good)
        _columns(one.columns, [record.value for record in good if isinstance(record.value, dict)])
        for row in mapper.table(good).to_pylist():
            _row(one, row, seen, detect)
    return list(found.values())


def _columns(facts: dict[str, ColumnFacts], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        for name, value in row.items():
            one = facts.setdefault(name, ColumnFacts())
            if value is None or value == "" or value == []:
                continue
            one.filled += 1
            one.types[_kind(value)] += 1
            if not one.many:
                one.distinct.add(_hash(value if isinstance(value, str) else repr(value)))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "text", int: "number", float: "number", list: "list", dict: "object", bytes: "bytes"}
    return kinds.get(type(value), type(value).__name__)


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _row(one: FileStats, row: Mapping[str, Any], seen: set[bytes], detect: Callable[[str], str] | None) -> None:
    parts = _parts(row)
    for name, text in parts.items():
        one.lengths.setdefault(name, Lengths()).add(text)
    if row["messages"]:
        one.turns[len(row["messages"])] += 1
    if row["label"] is not None:
        one.labels[row["label"]] += 1
    whole = "\n".join(text for name, text in parts.items() if name != "rejected")
    if not whole.strip():
        one.empty += 1
        return
    mark = _hash(normalise(whole))
    if mark in seen:
        one.duplicates += 1
    seen.add(mark)
    if detect is not None and one.languages.total() < _LANGUAGE_ROWS:
        one.languages[detect(whole[:_LANGUAGE_CHARACTERS])] += 1


def _parts(row: Mapping[str, Any]) -> dict[str, str]:
    """The row's texts by what they are."""
    messages = row["messages"]
    if not messages:
        return {} if row["text"] is None else {"text": row["text"]}
    answered = messages[-1]["role"] == "assistant"
    parts = {"prompt": "\n".join(turn["content"] for turn in (messages[:-1] if answered else messages))}
    if answered:
        parts["answer"] = messages[-1]["content"]
    if row["rejected"]:
        parts["rejected"] = "\n".join(turn["content"] for turn in row["rejected"])
    return parts


@functools.cache
def _detector() -> Callable[[str], str]:
    """Language codes by py3langid, whose models are in its package."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def detect(text: str) -> str:
        if sum(character.isalpha() for character in text) < 3:
            return "unknown"
        code, probability = identifier.classify(text)
        return str(code) if probability >= 0.5 else "unknown"

    return detect


def merged(parts: Sequence[FileStats]) -> FileStats:
    """The facts of several files as of one."""
    whole = FileStats("all", meaning=dict(parts[0].meaning) if parts else {})
    for part in parts:
        for name in ("rows", "bad", "empty", "duplicates"):
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        whole.labels += part.labels
        whole.turns += part.turns
        whole.languages += part.languages
        for kind, lengths in part.lengths.items():
            into = whole.lengths.setdefault(kind, Lengths())
            into.characters.extend(lengths.characters)
            into.words.extend(lengths.words)
        for column, facts in part.columns.items():
            one = whole.columns.setdefault(column, ColumnFacts())
            one.filled += facts.filled
            one.types += facts.types
            one.distinct |= facts.distinct
    return whole
