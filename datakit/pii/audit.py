"""How much is found: invented values are planted in copies of random texts, and looked for."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from datakit.core.errors import StepError
from datakit.pii.canaries import canary, canary_kinds
from datakit.pii.finder import Finder, Recognizers, as_texts

__all__ = ["AuditResult", "Recall", "audit", "audit_finder"]

_Z: Final = 1.959963984540054  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Recall:
    """Of the planted values of one kind, how many were found whole.

    Attributes:
        planted: Number of canaries.
        found: Those of which every character lay in findings, of whatever kind: they would have been replaced.
        named: Those found as their kind.
    """

    planted: int
    found: int
    named: int

    @property
    def recall(self) -> float:
        """Share found."""
        return self.found / self.planted if self.planted else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval (Wilson 1927)."""
        n = self.planted
        if not n:
            return 0.0, 1.0
        share, square = self.found / n, _Z * _Z
        middle = (share + square / (2 * n)) / (1 + square / n)
        half = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Recall by kind; no value is kept."""

    kinds: dict[str, Recall]

    @property
    def total(self) -> Recall:
        """All kinds together."""
        parts = list(self.kinds.values())
        return Recall(sum(p.planted for p in parts), sum(p.found for p in parts), sum(p.named for p in parts))

    def sentence(self) -> str:
        """``canaries found 496 of 500 (95 % interval .979 to .997)``."""
        total, (low, high) = self.total, self.total.interval
        return f"canaries found {total.found:,} of {total.planted:,} (95 % interval {low:.3f} to {high:.3f})"

    def lines(self) -> list[str]:
        """A table for a terminal, the sentence last."""
        lines = [f"{'kind':<18} {'planted':>8} {'found':>7} {'as kind':>8}  recall (95 % interval)"]
        for kind, part in sorted(self.kinds.items()):
            low, high = part.interval
            lines.append(
                f"{kind:<18} {part.planted:>8,} {part.found:>7,} {part.named:>8,}  "
                f"{part.recall:.3f} ({low:.3f} to {high:.3f})"
            )
        return [*lines, self.sentence()]

    def to_json(self) -> dict[str, Any]:
        """Counts, recalls and intervals."""

        def facts(part: Recall) -> dict[str, Any]:
            named = {"planted": part.planted, "found": part.found, "as_kind": part.named}
            return {**named, "recall": part.recall if part.planted else None, "interval": list(part.interval)}

        return {"format": 1, "total": facts(self.total), "kinds": {kind: facts(p) for kind, p in self.kinds.items()}}


def audit(
    texts: Any,
    *,
    count: int = 500,
    seed: int = 0,
    language: str | Sequence[str] = "en",
    entities: Sequence[str] | None = None,
    min_score: float | None = None,
    regions: Sequence[str] | None = None,
    recognizers: Recognizers = "datakit",
    engine: str | None = None,
) -> AuditResult:
    """Plants invented values in copies of random texts and counts those that are found.

    Args:
        texts: A list or Arrow array; they are not changed.
        count: Number of canaries, in turn of all kinds that fit the languages.
        seed: Decides texts, values and sentences.
        language: See :func:`datakit.pii.scan`, as for the other arguments.
        entities: Kinds that are looked for; only these are planted.
        min_score: Findings below do not count.
        regions: Countries whose numbers are looked for.
        recognizers: ``datakit`` or ``presidio``.
        engine: Model for names.

    Raises:
        StepError: Nothing can be planted: no kind fits, or a language has no sentences.
    """
    languages = (language,) if isinstance(language, str) else tuple(language)
    finder = Finder(
        languages, regions=regions, entities=entities, min_score=min_score, recognizers=recognizers, engine=engine
    )
    return audit_finder(finder, as_texts(texts), languages, count=count, seed=seed, entities=entities)


def audit_finder(
    finder: Finder,
    texts: Sequence[str | None],
    languages: Sequence[str],
    *,
    count: int,
    seed: int,
    entities: Sequence[str] | None = None,
) -> AuditResult:
    """As :func:`audit`, with a finder that is there."""
    spoken = [name for name in languages if name in ("en", "ko")] or ["en"]
    kinds = [kind for kind in canary_kinds(spoken) if entities is None or kind in entities]
    if not kinds:
        raise StepError("no kind of canary fits the entities and languages", hint="Leave 'entities' out of the audit")
    rng = random.Random(seed)
    hosts = [text for text in texts if text] or [""]
    planted, places = [], []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        tongue = "ko" if kind.startswith("KR_") else rng.choice(spoken)
        value, sentence = canary(kind, tongue, rng)
        before, _, after = sentence.partition("{}")
        text = rng.choice(hosts)
        start = len(text) + len(before)
        planted.append(text + before + value + after)
        places.append((kind, start, start + len(value)))
    counts = {kind: [0, 0, 0] for kind in kinds}
    for (kind, start, end), spans in zip(places, finder.many(planted), strict=True):
        covered = sum(max(0, min(end, span.end) - max(start, span.start)) for span in spans)
        named = any(span.entity == kind and span.start <= start and end <= span.end for span in spans)
        for at, holds in enumerate((True, covered == end - start, named)):
            counts[kind][at] += holds
    return AuditResult({kind: Recall(*numbers) for kind, numbers in counts.items() if numbers[0]})
