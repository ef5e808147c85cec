"""Context words: a weak finding counts when a word before or after it says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["Context"]

_REACH: Final = 40  # characters before
_AFTER: Final = 24  # and after, in the same sentence
_WORD: Final = re.compile(r"<[^>]*>|[^\W\d_]+")
_END: Final = re.compile(r"[.!?]\s|\n")
_HANGUL: Final = re.compile(r"[\uac00-\ud7a3]+")
# The particles that follow a noun, longest first: 여권번호는, 계좌로, 카드번호입니다.
_PARTICLES: Final = re.compile(
    r"(?:입니다|이에요|예요|이고|이며|으로|에서|에게|까지|부터|한테|이나|은|는|이|가|을|를|의|에|로|와|과|도|만|나|요)$"
)


class Context:
    """Whether one of some words stands near a finding.

    Args:
        words: A phrase counts when its words follow one another.
    """

    def __init__(self, words: Iterable[str] | None) -> None:
        self._phrases = {tuple(_words(word)) for word in words or ()} - {()}

    def near(self, text: str, start: int, end: int) -> bool:
        """Whether a phrase stands in the 40 characters before, or in the rest of the sentence up to 24 after."""
        if not self._phrases:
            return False
        first = max(0, start - _REACH)
        if first > 0 and text[first].isalnum():  # not the second half of a word
            while first < start and text[first].isalnum():
                first += 1
        after = text[end : end + _AFTER + 1]
        if (stop := _END.search(after)) is not None:
            after = after[: stop.start()]
        elif len(after) > _AFTER:
            after = after.rpartition(" ")[0]
        return self._holds(_words(text[first:start])) or self._holds(_words(after))

    def _holds(self, words: list[str]) -> bool:
        return any(
            tuple(words[at : at + len(phrase)]) == phrase
            for phrase in self._phrases
            for at in range(len(words) - len(phrase) + 1)
        )


def _words(text: str) -> list[str]:
    """Words in lower case without tags, Korean ones without their particles."""
    return [_bare(word) for word in _WORD.findall(text.lower()) if not word.startswith("<")]


def _bare(word: str) -> str:
    if not _HANGUL.fullmatch(word) or len(word) < 3:
        return word
    stripped = _PARTICLES.sub("", word)
    return stripped if len(stripped) >= 2 else word
