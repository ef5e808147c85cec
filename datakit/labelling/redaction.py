"""Personal data stays here: marks go to the model instead, and the values come back into its answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from datakit.core.hashing import digest
from datakit.labelling.store import AnswerStore

__all__ = ["Hidden", "Redact", "hide"]


class Redact(Protocol):
    """Finds personal data; handed in from above, since this room knows no other."""

    def version(self) -> str:
        """Changes when the same text may have other findings."""
        ...

    def __call__(self, texts: Sequence[str]) -> list[list[tuple[str, int, int]]]:
        """Kind, start and end of the disjoint findings of each text, in its order."""
        ...

    def known(self, values: Collection[str]) -> re.Pattern[str] | None:
        """An expression that finds each of the values; None where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Hidden:
    """A text as it is sent.

    Attributes:
        text: With marks such as ``<EMAIL_ADDRESS_1>``.
        put_back: Mark to the value it stands for.
    """

    text: str
    put_back: Mapping[str, str] = field(default_factory=dict)


def hide(texts: Sequence[str], redact: Redact, store: AnswerStore) -> list[Hidden]:
    """Replaces personal data by numbered marks; one value has one mark in a text.

    A value that is recognised in one text is hidden in all of them. Findings are kept in the store by the text's hash
    (kinds and places alone), so that a second run need not look again.

    Args:
        texts: As they would be shown.
        redact: Finds.
        store: Keeps.
    """
    version = redact.version()
    keys = [digest("marks", version, text) for text in texts]
    found = store.marks(set(keys))
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if missing:
        new = dict(zip(missing, redact(list(missing.values())), strict=True))
        store.put_marks(new)
        found |= new
    kinds = {text[start:end]: kind for key, text in zip(keys, texts, strict=True) for kind, start, end in found[key]}
    known = redact.known(kinds)
    return [_hidden(text, found[key], kinds, known) for key, text in zip(keys, texts, strict=True)]


def _hidden(
    text: str, spans: Sequence[tuple[str, int, int]], kinds: Mapping[str, str], known: re.Pattern[str] | None
) -> Hidden:
    if known is not None:
        taken = list(spans)
        for match in known.finditer(text):
            if all(match.end() <= start or end <= match.start() for _, start, end in taken):
                taken.append((kinds[match[0]], match.start(), match.end()))
        spans = sorted(taken, key=lambda span: span[1])
    if not spans:
        return Hidden(text)
    marks: dict[str, str] = {}
    counts: dict[str, int] = {}
    parts, at = [], 0
    for kind, start, end in spans:
        value = text[start:end]
        if value not in marks:
            marks[value] = _mark(kind, counts, text)
        parts += [text[at:start], marks[value]]
        at = end
    return Hidden("".join([*parts, text[at:]]), {mark: value for value, mark in marks.items()})


def _mark(kind: str, counts: dict[str, int], text: str) -> str:
    """The next mark of a kind that the text does not hold already."""
    while True:
        counts[kind] = counts.get(kind, 0) + 1
        mark = f"<{kind}_{counts[kind]}>"
        if mark not in text:
            return mark
