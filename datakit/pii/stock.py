"""Presidio's stock recognisers with the findings and scores of its analyser, at a multiple of its speed.

The recognisers are Presidio's own objects; what is spared are texts in which a pattern cannot match (gates.py), phone
numbers that cannot be valid (numbers.py), words that cannot be hosts (hosts.py), and the records of how a finding came
about.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from datakit.core.errors import StepError
from datakit.pii.characters import BATCH, Batch
from datakit.pii.gates import gates
from datakit.pii.hosts import bare_hosts, quoted_host
from datakit.pii.numbers import phone_numbers
from datakit.pii.recognizers import load_presidio
from datakit.pii.span import Span

__all__ = ["Stock", "offline_domains", "pattern_spans", "stock"]


@lru_cache(maxsize=4)
def stock(language: str) -> Stock:
    """The stock recognisers of a language; made once."""
    return Stock(language)


class Stock:
    """Presidio's predefined recognisers of one language, its default regions, no model.

    Args:
        language: As Presidio names it.

    Raises:
        MissingDependency: Presidio is not installed.
    """

    def __init__(self, language: str = "en") -> None:
        presidio, _ = load_presidio()
        offline_domains()
        self.language = language
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            registry = presidio.RecognizerRegistry()
            registry.load_predefined_recognizers(languages=[language])
        self._recognizers = [
            part
            for part in registry.recognizers
            if part.supported_language == language and type(part).__name__ != "SpacyRecognizer"
        ]
        if not self._recognizers:
            raise StepError(f"Presidio has no recognisers for the language '{language}'")
        self._flat = presidio.PatternRecognizer.analyze
        self.entities = tuple(dict.fromkeys(name for part in self._recognizers for name in part.supported_entities))

    def many(self, texts: Sequence[str]) -> list[list[Span]]:
        """Findings of each text as Presidio's analyser gives them: surest first, they may overlap."""
        found: list[list[Span]] = []
        at = 0
        while at < len(texts):
            end, size = at, 0
            while end < len(texts) and (end == at or size + len(texts[end]) <= BATCH):
                size += len(texts[end])
                end += 1
            found += self._batch(texts[at:end])
            at = end
        return found

    def _batch(self, texts: Sequence[str]) -> list[list[Span]]:
        some = gates(Batch(texts))
        found: dict[int, list[Span]] = {}
        for part in self._recognizers:
            passed = some.get(type(part).__name__)
            numbers = range(len(texts)) if passed is None else np.flatnonzero(passed).tolist()
            for number in numbers:
                if texts[number] and (spans := list(self._spans(part, texts[number]))):
                    found.setdefault(number, []).extend(spans)
        return [_as_presidio(found[number]) if number in found else [] for number in range(len(texts))]

    def _spans(self, part: Any, text: str) -> Iterator[Span]:
        kind = type(part).__name__
        if kind == "PhoneRecognizer":
            for start, end in phone_numbers(text, part.supported_regions, leniency=part.leniency):
                yield Span("PHONE_NUMBER", start, end, part.SCORE)
        elif type(part).analyze is self._flat:
            yield from _flat_spans(part, text)
        else:
            for result in part.analyze(text, part.supported_entities):
                yield Span(result.entity_type, result.start, result.end, result.score)


def pattern_spans(part: Any, text: str) -> list[Span]:
    """What ``analyze`` of one of Presidio's recognisers of patterns finds, with its scores."""
    presidio, _ = load_presidio()
    if type(part).analyze is presidio.PatternRecognizer.analyze:
        return _as_presidio(list(_flat_spans(part, text)))
    found = part.analyze(text, part.supported_entities)
    return [Span(result.entity_type, result.start, result.end, result.score) for result in found]


def _flat_spans(part: Any, text: str) -> Iterator[Span]:
    address = type(part).__name__ == "UrlRecognizer"
    for pattern in part.patterns:
        if not address or _possible_address(pattern.name, text):
            yield from _matches(part, pattern, text)


def _possible_address(name: str, text: str) -> bool:
    """Whether a URL pattern of that name has what it cannot do without."""
    if name == "Quoted Non-schema URL":
        return quoted_host().search(text) is not None
    return "://" in text if name in ("Standard Url", "Quoted URL") else True


def _matches(part: Any, pattern: Any, text: str) -> Iterator[Span]:
    """Findings of one pattern with the scores of ``PatternRecognizer.analyze``."""
    flags = part.global_regex_flags
    if not pattern.compiled_regex or pattern.compiled_with_flags != flags:
        import regex  # type: ignore[import-untyped]

        pattern.compiled_with_flags = flags
        pattern.compiled_regex = regex.compile(pattern.regex, flags=flags)
    if pattern.name == "Non schema URL":
        places = bare_hosts(pattern.compiled_regex, text)
    else:
        places = (match.span() for match in pattern.compiled_regex.finditer(text))
    for start, end in places:
        if start == end:
            continue
        value, score = text[start:end], pattern.score
        valid = part.validate_result(value)
        if valid is not None:
            score = 1.0 if valid else 0.0
        if part.invalidate_result(value):
            score = 0.0
        if score > 0:
            yield Span(part.supported_entities[0], start, end, score)


def _as_presidio(spans: list[Span]) -> list[Span]:
    """Without those inside another of the same kind that is as sure; in Presidio's order."""
    if len(spans) > 1:
        kept: list[Span] = []
        for span in sorted(set(spans), key=lambda span: (span.entity, span.start, -span.end, -span.score)):
            if not any(
                other.entity == span.entity and other.end >= span.end and other.score >= span.score
                for other in _overlapping(kept, span)
            ):
                kept.append(span)
        spans = kept
    return sorted(spans, key=lambda span: (-span.score, span.start, span.start - span.end))


def _overlapping(kept: list[Span], span: Span) -> Iterator[Span]:
    """Kept spans of the kind, the latest first, as far back as one may reach over this one."""
    for other in reversed(kept):
        if other.entity != span.entity:
            return
        yield other


def offline_domains() -> None:
    """Makes tldextract use the list inside its package: no request, no cache file."""
    import tldextract

    if not getattr(tldextract.extract, "_of_datakit", False):
        extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

        def offline(url: str, *args: Any, **kwargs: Any) -> Any:
            return extract(url, *args, **kwargs)

        offline._of_datakit = True  # type: ignore[attr-defined]
        tldextract.extract = offline
