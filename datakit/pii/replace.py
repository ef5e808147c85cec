"""What stands where personal data stood: a tag, asterisks, a keyed token or a fake value, the same through the set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from datakit.pii.finder import Finder, Recognizers, as_texts
from datakit.pii.key import Key
from datakit.pii.known import any_of
from datakit.pii.span import Span
from datakit.pii.surrogates import canonical, surrogate

__all__ = ["Replace", "Replacer", "redact", "replace_spans"]

Replace = Literal["tag", "mask", "hash", "surrogate"]

# Written with the letters a to p: a token of digits could be taken for a number when the text is scanned again.
_HEX: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


class Replacer:
    """Replacements for the values of one set.

    Args:
        mode: ``tag``, ``mask``, ``hash`` or ``surrogate``.
        key: Determines tokens and surrogates.
    """

    def __init__(self, mode: Replace, key: Key) -> None:
        self.mode = mode
        self.key = key
        self._originals: set[str] = set()
        self._fakes: dict[tuple[str, str], str] = {}
        self._given: set[str] = set()
        self._inside: re.Pattern[str] | None = None

    def announce(self, values: Mapping[str, str]) -> None:
        """Makes the originals of a set known (value to kind), before any of them is replaced.

        No surrogate will equal or hold one of them. Surrogates are given out in sorted order: the order of rows is no
        part of the result.
        """
        known = {(entity, canonical(entity, value)): value for value, entity in sorted(values.items())}
        self._originals |= {form for _, form in known}
        if self.mode == "surrogate":
            self._inside = any_of(values)
            for _, value in sorted(known.items()):
                self(value, values[value])

    def __call__(self, value: str, entity: str) -> str:
        """The replacement of one value."""
        if self.mode == "mask":
            return re.sub(r"\S", "*", value)
        if self.mode == "tag":
            return f"<{entity}>"
        if self.mode == "hash":
            return f"<{entity}_{self.token(value, entity)}>"
        form = canonical(entity, value)
        found = self._fakes.get((entity, form))
        if found is None:
            found = surrogate(entity, value, self.key, taken=lambda fake: self._taken(entity, fake))
            self._fakes[entity, form] = found
            self._given.add(canonical(entity, found))
        return found

    def _taken(self, entity: str, fake: str) -> bool:
        form = canonical(entity, fake)
        if form in self._originals or form in self._given:
            return True
        return self._inside is not None and self._inside.search(fake) is not None

    def token(self, value: str, entity: str) -> str:
        """Keyed hash of a value, the same for all its spellings: twelve letters (48 bits)."""
        return self.key.digest(entity, canonical(entity, value), size=6).hex().translate(_HEX)


def replace_spans(text: str, spans: Iterable[Span], replacer: Replacer) -> str:
    """The text with each finding replaced."""
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], replacer(text[span.start : span.end], span.entity)]
        end = span.end
    return "".join([*parts, text[end:]])


def redact(
    texts: Any,
    *,
    replace: Replace = "tag",
    key: str | bytes | None = None,
    language: str | Sequence[str] = "en",
    entities: Sequence[str] | None = None,
    min_score: float | None = None,
    regions: Sequence[str] | None = None,
    recognizers: Recognizers = "datakit",
    engine: str | None = None,
) -> tuple[list[str | None], list[list[Span]]]:
    """Replaces personal data in texts.

    Args:
        texts: A list or Arrow array of texts; None stays None.
        replace: ``tag`` (``<EMAIL_ADDRESS>``), ``mask`` (asterisks, same length), ``hash`` (tag with a keyed token)
            or ``surrogate`` (a fake value of the same kind). One value has one replacement in all texts.
        key: Secret of tokens and surrogates; a random one, different in each call, where none is given.
        language: See :func:`datakit.pii.scan`, as for the other arguments.
        entities: Kinds to look for.
        min_score: Findings below are left.
        regions: Countries whose numbers are looked for.
        recognizers: ``datakit`` or ``presidio``.
        engine: Model for names.

    Returns:
        The new texts, and the findings with their places in the old ones.
    """
    secret = key.encode() if isinstance(key, str) else key
    replacer = Replacer(replace, Key.random() if secret is None else Key(secret))
    texts = as_texts(texts)
    finder = Finder(
        (language,) if isinstance(language, str) else tuple(language),
        regions=regions,
        entities=entities,
        min_score=min_score,
        recognizers=recognizers,
        engine=engine,
    )
    some = iter(finder.many([text for text in texts if text]))
    spans = [next(some) if text else [] for text in texts]
    values = {
        text[span.start : span.end]: span.entity
        for text, found in zip(texts, spans, strict=True)
        if text
        for span in found
    }
    replacer.announce(values)
    new = [text if not text else replace_spans(text, found, replacer) for text, found in zip(texts, spans, strict=True)]
    return new, spans
