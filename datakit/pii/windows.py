"""Long texts for models that read little at a time: windows cut between words, and their findings made whole again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from datakit.pii.span import Span

__all__ = ["whole_names", "windows"]

_UNSPACED: Final = "\u1100"  # from Hangul on, scripts that write particles at a word or no spaces at all


def windows(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Places of windows over a text, each beginning at most ``overlap`` before the end of the one before it.

    Args:
        text: Looked through.
        size: Most characters of a window.
        overlap: Characters that two windows share, and how far an edge moves to stand between words.
    """
    start = 0
    while True:
        end = min(start + size, len(text))
        if end < len(text):
            space = max(text.rfind(sign, end - overlap // 2, end) for sign in " \n\t")
            end = space if space > start else end
        yield start, end
        if end == len(text):
            return
        at = max(end - overlap, start + 1)
        space = min((found for sign in " \n\t" if (found := text.find(sign, at, end - overlap // 2)) >= 0), default=-1)
        start = at if space < 0 else space + 1


def whole_names(text: str, spans: Iterable[Span]) -> list[Span]:
    """Findings stretched to whole words, those of one kind that overlap or follow one another without a sign joined.

    A model that reads parts of words, or half of a name at the edge of a window, may find "Oak" in "Oakley". A Hangul
    word is not stretched at its end: a particle may follow the name.
    """
    found: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        start, end = span.start, span.end
        while start > 0 and text[start - 1].isalnum() and text[start].isalnum() and text[start] < _UNSPACED:
            start -= 1
        while end < len(text) and text[end - 1 : end + 1].isalnum() and text[end - 1] < _UNSPACED > text[end]:
            end += 1
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        if start == end:
            continue
        of_kind = found.setdefault(span.entity, [])
        if of_kind and start <= of_kind[-1].end:
            last = of_kind[-1]
            of_kind[-1] = Span(span.entity, last.start, max(last.end, end), max(last.score, span.score))
        else:
            of_kind.append(Span(span.entity, start, end, span.score))
    return sorted((span for some in found.values() for span in some), key=lambda s: (s.start, s.end, s.entity))
