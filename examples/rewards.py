"""A reward for examples/backends.yaml: the fewer words, the better, and nothing for no answer at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def brief(completions: Sequence[str], answer: Sequence[str], **columns: Any) -> list[float]:
    """One number per completion; ``answer`` is what the data says, and 1 more for beginning with it."""
    return [_one(completion.split(), wanted) for completion, wanted in zip(completions, answer, strict=True)]


def _one(words: Sequence[str], wanted: str) -> float:
    if not words:
        return 0.0
    return 1 / len(words) + (words[0].casefold() == wanted.strip().casefold())
