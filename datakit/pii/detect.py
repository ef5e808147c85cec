"""Scanning texts: gates, recognisers, context words, overlaps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from datakit.pii.context import Context
from datakit.pii.phones import find_phones
from datakit.pii.recognizers import ENTITIES, Entity, pattern_recognizers, regions_of, wanted_entities
from datakit.pii.span import Span, resolve_overlaps
from datakit.pii.stock import pattern_spans

__all__ = ["MIN_SCORE", "Detector", "detector"]

MIN_SCORE: Final = 0.4
# As Presidio's LemmaContextAwareEnhancer, which needs a language model to see words: +.35, and at least .4.
_CONTEXT_GAIN: Final = 0.35
_CONTEXT_SCORE: Final = 0.4
_DIGIT: Final = re.compile(r"\d")
# A bare domain is an address, "tired..so" and "dinner.ms" are sentences without a space: a short or unusual ending
# counts only after a scheme or www, before a path, or on a name with a digit, a hyphen or a second dot.
_PLAIN_DOMAIN: Final = re.compile(r"(?!www)[^\W\d_]*\.+(?!(?:com|org|net|edu|gov|info|biz|mil)$)[a-z]+", re.IGNORECASE)
_LIST_NUMBER: Final = re.compile(r"\d{1,3}\.+[a-z]+", re.IGNORECASE)
_PLACEHOLDER: Final = "x"


class Detector:
    """Finds personal data of chosen kinds in texts.

    Args:
        entities: Kinds to look for.
        regions: Regions of phone numbers.
        min_score: Findings below are not reported.
        gated: Skip recognisers and patterns where a match is impossible; off only to test that.
    """

    def __init__(
        self, entities: Sequence[str], regions: Sequence[str], *, min_score: float, gated: bool = True
    ) -> None:
        self.entities = tuple(entities)
        self.regions = tuple(regions)
        self.min_score = min_score
        self._gated = gated
        self._recognizers = pattern_recognizers(self.entities)
        self._context = {name: Context(part.context) for name, part in self._recognizers.items()}

    def __call__(self, text: str) -> list[Span]:
        """Disjoint findings in text order.

        What is found is blanked and the rest looked at again, until nothing is found: a value may have hidden
        another, and a text whose findings are replaced by tags shall have none.
        """
        found: list[Span] = []
        while new := resolve_overlaps(span for span in self._search(text) if span.score >= self.min_score):
            found += new
            for span in new:
                blank = "<" + _PLACEHOLDER * (span.end - span.start - 2) + ">"
                text = text[: span.start] + blank + text[span.end :]
        return sorted(found, key=lambda span: span.start)

    def many(self, texts: Sequence[str]) -> list[list[Span]]:
        """Findings of each text."""
        return [self(text) for text in texts]

    def _search(self, text: str) -> Iterator[Span]:
        digits = len(_DIGIT.findall(text)) if self._gated else 0
        for name in self.entities:
            kind = ENTITIES[name]
            if self._gated and (digits < kind.digits or not _possible(kind, text)):
                continue
            if name == "PHONE_NUMBER":
                yield from find_phones(text, self.regions)
                continue
            part = self._recognizers[name]
            for span in pattern_spans(part, text) if self._gated else _asked(part, name, text):
                yield from self._judge(text, span)

    def _judge(self, text: str, span: Span) -> Iterator[Span]:
        """The finding with the score that its surroundings give it, or nothing."""
        if span.end - span.start < 2:
            return
        value = text[span.start : span.end]
        expected = self._context[span.entity].near(text, span.start, span.end)
        score = span.score
        if span.entity == "URL" and (".." in value or _PLAIN_DOMAIN.fullmatch(value) or _LIST_NUMBER.fullmatch(value)):
            score = 0.2
        if span.entity in ("KR_DRIVER_LICENSE", "KR_BRN") and value.isdecimal():
            score = 0.1  # any twelve digits, a time stamp for example, and every tenth number of ten digits
        if expected and score < 1:
            score = max(_CONTEXT_SCORE, min(score + _CONTEXT_GAIN, 1.0))
        yield Span(span.entity, span.start, span.end, score)


def _possible(kind: Entity, text: str) -> bool:
    """Whether a text has what every match of the kind has."""
    if kind.any_of and not any(sign in text for sign in kind.any_of):
        return False
    return not kind.needs or re.search(kind.needs, text) is not None


def _asked(part: Any, name: str, text: str) -> list[Span]:
    """A recogniser's findings as it gives them itself."""
    return [Span(name, match.start, match.end, match.score) for match in part.analyze(text, [name])]


@lru_cache(maxsize=16)
def detector(
    languages: tuple[str, ...],
    regions: tuple[str, ...] | None,
    entities: tuple[str, ...] | None,
    min_score: float,
) -> Detector:
    """A detector for settings as a recipe has them; made once for each.

    Raises:
        StepError: A language, region or entity that is not known.
        MissingDependency: Presidio is not installed.
    """
    where = regions_of(languages, regions)
    return Detector(wanted_entities(entities, where), where, min_score=min_score)
