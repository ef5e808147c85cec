"""What a scan or a step looks with: patterns of ours or Presidio's, and an engine for names where one is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from datakit.core.errors import StepError
from datakit.core.workers import Workers
from datakit.pii.detect import MIN_SCORE, Detector, detector
from datakit.pii.engine import load_engine
from datakit.pii.recognizers import load_presidio
from datakit.pii.span import Span, resolve_overlaps
from datakit.pii.stock import Stock, stock

__all__ = ["Finder", "Recognizers", "as_texts", "scan"]

Recognizers: TypeAlias = Literal["datakit", "presidio"]
_MANY: Final = 1 << 14  # texts held at a time


class Finder:
    """Finds personal data in texts.

    Args:
        languages: Of the texts; with Presidio's recognisers the first decides.
        regions: See :func:`scan`, as for the others.
        entities: Kinds of the patterns.
        min_score: Findings below are left; None is 0.4, or 0 with Presidio's recognisers.
        recognizers: ``datakit`` or ``presidio``.
        engine: Model for names.
        folder: Where a relative model folder is looked for.
        workers: Share :meth:`many` out among them, unless there is an engine: its scores may hang on what it is asked
            together.

    Raises:
        StepError: A setting that is not known.
        MissingDependency: A library is not installed.
    """

    def __init__(
        self,
        languages: Sequence[str] = ("en",),
        *,
        regions: Sequence[str] | None = None,
        entities: Sequence[str] | None = None,
        min_score: float | None = None,
        recognizers: Recognizers = "datakit",
        engine: str | None = None,
        folder: Path = Path(),
        workers: Workers | None = None,
    ) -> None:
        self._workers = workers or Workers()
        self._settings = _Settings(tuple(languages), _tuple(regions), _tuple(entities), min_score, recognizers)
        self._stock = recognizers == "presidio"
        self.min_score = (0.0 if self._stock else MIN_SCORE) if min_score is None else min_score
        self._patterns: Stock | Detector
        self._kinds: tuple[str, ...] | None = None
        if self._stock:
            if regions is not None:
                raise StepError("'regions' do not go with Presidio's stock recognisers, which have their own")
            self._patterns = stock(languages[0])
            if entities is not None:
                self._kinds = tuple(entities)
                for name in self._kinds:
                    if name not in self._patterns.entities:
                        known = ", ".join(self._patterns.entities)
                        raise StepError(f"Presidio's stock recognisers have no '{name}'", hint=f"They have {known}")
        else:
            kinds = None if entities is None else tuple(entities)
            where = None if regions is None else tuple(regions)
            self._patterns = detector(tuple(languages), where, kinds, self.min_score)
        self._engine = None if engine is None else load_engine(engine, folder)

    def raw(self, texts: Sequence[str]) -> list[list[Span]]:
        """Findings of each text; those of Presidio's recognisers as it gives them, overlapping, surest first."""
        if not self._stock:
            return self.many(texts)
        found = self._admitted(texts)
        if self._engine is not None:
            found = [
                [*patterns, *names] for patterns, names in zip(found, self._names(self._engine, texts), strict=True)
            ]
        return found

    def many(self, texts: Sequence[str]) -> list[list[Span]]:
        """Disjoint findings of each text in its order; nothing the patterns know is left once they are replaced."""
        if self._engine is None:
            if self._workers.count > 1:
                return self._workers.map_texts(partial(_pattern_spans, self._settings), list(texts))
            return self._pattern_spans(texts)
        found = []
        for text, names in zip(texts, self._names(self._engine, texts), strict=True):
            patterns = self.one(text)
            both = resolve_overlaps([*patterns, *names])
            lost = [span for span in patterns if span not in both]
            # A name that won may have hidden only a part of a number: both go.
            found.append(_joined(both, lost))
        return found

    def one(self, text: str) -> list[Span]:
        """Disjoint findings of the patterns alone."""
        return self._pattern_spans([text])[0]

    def _pattern_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        if not self._stock:
            return self._settled(texts, self._patterns.many(texts))
        left, open_ = list(texts), list(range(len(texts)))
        found: list[list[Span]] = [[] for _ in texts]
        while open_:
            again = []
            for number, spans in zip(open_, self._admitted([left[number] for number in open_]), strict=True):
                if spans:
                    for span in (new := resolve_overlaps(spans)):
                        blank = "<" + "~" * (span.end - span.start - 2) + ">" if span.end - span.start > 1 else "~"
                        left[number] = left[number][: span.start] + blank + left[number][span.end :]
                    found[number] += new
                    again.append(number)
            open_ = again
        return [sorted(spans, key=lambda span: span.start) for spans in found]

    def _settled(self, texts: Sequence[str], found: list[list[Span]]) -> list[list[Span]]:
        """Adds what comes to light once the findings are tags: a context word may then stand near to a number."""
        open_ = [number for number, spans in enumerate(found) if spans]
        while open_:
            tagged = [_tagged(texts[number], found[number]) for number in open_]
            again = []
            for number, (_, pieces), spans in zip(
                open_, tagged, self._patterns.many([text for text, _ in tagged]), strict=True
            ):
                if new := [moved for span in spans if (moved := _moved(span, pieces)) is not None]:
                    found[number] = sorted([*found[number], *new], key=lambda span: span.start)
                    again.append(number)
            open_ = again
        return found

    def _admitted(self, texts: Sequence[str]) -> list[list[Span]]:
        kinds, least = self._kinds, self.min_score
        return [
            [span for span in spans if span.score >= least and (kinds is None or span.entity in kinds)]
            for spans in self._patterns.many(texts)
        ]

    def _names(self, engine: Any, texts: Sequence[str]) -> list[list[Span]]:
        return [[span for span in spans if span.score >= self.min_score] for spans in engine(texts)]


def _tagged(text: str, spans: Sequence[Span]) -> tuple[str, list[tuple[int, int, int]]]:
    """The text with a tag for each finding; and of every piece in between its start, its end, and its old start."""
    parts: list[str] = []
    pieces: list[tuple[int, int, int]] = []
    length = old = 0
    for start, end, tag in [
        *((span.start, span.end, f"<{span.entity}>") for span in spans),
        (len(text), len(text), ""),
    ]:
        pieces.append((length, length + start - old, old))
        parts += [text[old:start], tag]
        length, old = length + start - old + len(tag), end
    return "".join(parts), pieces


def _moved(span: Span, pieces: Sequence[tuple[int, int, int]]) -> Span | None:
    """A finding in the tagged text where it stood before; None where it reaches into a tag."""
    for start, end, old in pieces:
        if start <= span.start and span.end <= end:
            return Span(span.entity, span.start - start + old, span.end - start + old, span.score)
    return None


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


class _Settings(NamedTuple):
    """What makes the same finder in another process."""

    languages: tuple[str, ...]
    regions: tuple[str, ...] | None
    entities: tuple[str, ...] | None
    min_score: float | None
    recognizers: Recognizers


@lru_cache(maxsize=4)
def _finder(settings: _Settings) -> Finder:
    return Finder(
        settings.languages,
        regions=settings.regions,
        entities=settings.entities,
        min_score=settings.min_score,
        recognizers=settings.recognizers,
    )


def _pattern_spans(settings: _Settings, texts: list[str]) -> list[list[Span]]:
    """In a process of our own."""
    load_presidio(torch=False)
    return _finder(settings).many(texts)


def _joined(kept: list[Span], lost: list[Span]) -> list[Span]:
    """The kept spans, each stretched over the lost ones that it overlaps; still disjoint."""
    spans: list[Span] = []
    for span in sorted([*kept, *lost], key=lambda span: span.start):
        if spans and span.start < spans[-1].end:
            last = spans[-1]
            surer = max(last, span, key=lambda one: one.score)
            spans[-1] = Span(surer.entity, last.start, max(last.end, span.end), surer.score)
        else:
            spans.append(span)
    return spans


def as_texts(texts: Any) -> list[str | None]:
    """A list or an Arrow array of strings as a list.

    Raises:
        StepError: Something else.
    """
    values = texts.to_pylist() if hasattr(texts, "to_pylist") else list(texts)
    for number, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise StepError(f"text {number} is a {type(value).__name__}, not a string")
    return values


def scan(
    texts: Any,
    *,
    language: str | Sequence[str] = "en",
    entities: Sequence[str] | None = None,
    min_score: float | None = None,
    regions: Sequence[str] | None = None,
    recognizers: Recognizers = "datakit",
    engine: str | None = None,
) -> list[list[Span]]:
    """Finds personal data.

    Args:
        texts: A list or Arrow array of texts; None has no findings.
        language: One language or several; they decide the regions where none are given.
        entities: Kinds to look for, Presidio's names; by default all that fit the regions but dates and UUIDs.
        min_score: Findings below are not reported; by default 0.4, with Presidio's recognisers 0.
        regions: ISO 3166 codes of the countries whose phone numbers and documents are looked for.
        recognizers: ``datakit``, or ``presidio`` for the findings and scores of its stock analyser without a model.
        engine: Model for names, places and organisations: ``spacy:``, ``hf:`` or ``gliner:`` and a name or folder.

    Returns:
        Findings of each text: disjoint and in its order; with Presidio's recognisers as its analyser gives them.

    Raises:
        StepError: A language, region, entity or engine that is not known.
        MissingDependency: A library is not installed.
    """
    values = as_texts(texts)
    languages = (language,) if isinstance(language, str) else tuple(language)
    finder = Finder(
        languages, regions=regions, entities=entities, min_score=min_score, recognizers=recognizers, engine=engine
    )
    found: list[list[Span]] = []
    for at in range(0, len(values), _MANY):
        some = values[at : at + _MANY]
        spans = iter(finder.raw([text for text in some if text]))
        found += [next(spans) if text else [] for text in some]
    return found
