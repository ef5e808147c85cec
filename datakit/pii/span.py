"""A finding in a text, and which of several overlapping findings stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Span", "resolve_overlaps"]


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data of one kind at ``text[start:end]``.

    Attributes:
        entity: Presidio's name of the kind, ``EMAIL_ADDRESS`` for example.
        start: First character.
        end: One past the last character.
        score: Certainty in (0, 1]; 1 where a checksum or registry confirms it.
    """

    entity: str
    start: int
    end: int
    score: float


def resolve_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Disjoint spans in text order: of two that overlap the surer stands, then the longer, then the earlier."""
    taken: list[Span] = []
    for span in sorted(spans, key=lambda s: (-s.score, s.start - s.end, s.start, s.entity)):
        if all(span.end <= other.start or other.end <= span.start for other in taken):
            taken.append(span)
    return sorted(taken, key=lambda span: span.start)
