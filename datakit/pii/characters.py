"""Classes of characters of many texts at once, as arrays: what a pattern cannot do without is looked for in one go."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["BATCH", "Batch", "Bools", "ahead", "behind", "run_of"]

BATCH: Final = 1 << 18  # characters looked at together; a longer text is a batch of its own
_ALL: Final = 0x110000
Bools: TypeAlias = NDArray[np.bool_]

# Bits of the table. The classes are those of the ``regex`` module with IGNORECASE, in which [a-z] has more than 26
# letters: a gate must let through whatever the pattern behind it accepts.
_DIGIT, _LETTER, _WORD, _HEX, _HOST, _PHONE, _ASCII_WORD = 1, 2, 4, 8, 16, 32, 64


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """Classes of every code point."""
    import re

    import regex  # type: ignore[import-untyped]

    every = "".join(map(chr, range(_ALL)))
    table = np.zeros(_ALL, np.uint8)
    for bit, expression in (
        (_DIGIT, r"\d"),
        (_LETTER, r"[a-z]|[^\W\d_]"),
        (_WORD, r"\w"),
        (_HEX, r"[0-9a-f]|\d"),
        (_HOST, r"[a-z0-9.\-]"),
    ):
        for module in (re, regex):  # their versions of Unicode differ
            found = module.findall(expression, every, module.IGNORECASE)
            table[np.frombuffer("".join(found).encode("utf-32-le", "surrogatepass"), np.uint32)] |= bit
    # Characters inside a phone number: digits, and any sign that is no letter; of ASCII only these.
    table[128:] |= np.where((table[128:] & _LETTER) == 0, _PHONE, 0).astype(np.uint8)
    for character in "0123456789 -./()[]~+xX":
        table[ord(character)] |= _PHONE
    table[:128] |= np.where(table[:128] & _WORD, _ASCII_WORD, 0).astype(np.uint8)
    return table


class Batch:
    """Some texts as one array of character codes, a line feed between them.

    Args:
        texts: The texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        joined = "\n".join([*texts, ""])
        lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
        self.starts = np.cumsum(lengths) - lengths
        if joined.isascii():
            self.codes: NDArray[Any] = np.frombuffer(joined.encode("ascii"), np.uint8)
        else:
            self.codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        classes = _table()[self.codes]
        self.digit = (classes & _DIGIT) != 0
        self.letter = (classes & _LETTER) != 0
        self.word = (classes & _WORD) != 0
        self.hex = (classes & _HEX) != 0
        self.host = (classes & _HOST) != 0
        self.phone = (classes & _PHONE) != 0
        self.ascii_word = (classes & _ASCII_WORD) != 0

    def any_of(self, characters: str) -> Bools:
        """Where one of some ASCII characters stands."""
        found: Bools = self.codes == ord(characters[0])
        for character in characters[1:]:
            found |= self.codes == ord(character)
        return found

    def texts_with(self, places: Bools, at_least: int = 1) -> Bools:
        """Which texts have so many of these places."""
        found = np.flatnonzero(places)
        counts = np.bincount(np.searchsorted(self.starts, found, "right") - 1, minlength=len(self.texts))
        return counts >= at_least


def run_of(places: Bools, length: int) -> Bools:
    """Where a run of at least so many places begins."""
    found, have = places, 1
    while have < length:
        step = min(have, length - have)
        found = ahead(found, step) & found
        have += step
    return found


def ahead(places: Bools, by: int) -> Bools:
    """What holds so many characters further on."""
    moved = np.zeros_like(places)
    if by < len(places):
        moved[: len(places) - by] = places[by:]
    return moved


def behind(places: Bools, by: int) -> Bools:
    """What holds so many characters before."""
    moved = np.zeros_like(places)
    moved[by:] = places[: len(places) - by]
    return moved
