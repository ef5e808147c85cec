"""What kind of character a code point is: separator, letter, mark or symbol, and whether its script spaces words."""

from __future__ import annotations

import bisect
import unicodedata
from typing import Final, Literal

__all__ = ["LETTER", "MARK", "SEPARATOR", "SYMBOL", "UNSPACED", "Unit", "character_class", "is_unspaced"]

Unit = Literal["auto", "bare", "word", "char", "syllable"]

SEPARATOR: Final = 0
LETTER: Final = 1
UNSPACED: Final = 2
MARK: Final = 3
SYMBOL: Final = 4

# Scripts in which a word of five or more units is a sentence or no spaces stand between words. Hangul has spaces, but
# its words carry endings and its spacing varies from writer to writer, so its syllable blocks are the units.
_RANGES: Final = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul Jamo
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue, Khmer symbols
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x2E80, 0x2FDF),  # CJK radicals
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark, zero
    (0x3040, 0x31FF),  # Hiragana, Katakana, Bopomofo, Hangul compatibility Jamo
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0xA4CF),  # CJK unified ideographs, Yi
    (0xA960, 0xA97F),  # Hangul Jamo extended A
    (0xA980, 0xA9FF),  # Javanese, Myanmar extended B
    (0xAA60, 0xAADF),  # Myanmar extended A, Tai Viet
    (0xAC00, 0xD7FF),  # Hangul syllables, Jamo extended B
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF66, 0xFFDC),  # half-width Katakana and Hangul
    (0x1AFF0, 0x1B16F),  # Kana extended and supplement
    (0x20000, 0x3FFFF),  # CJK extensions B and later
)
_STARTS: Final = [start for start, _ in _RANGES]

# Punctuation by its Unicode category, but content in formulas, code and addresses.
_OPERATORS: Final = frozenset("*/%&#@\\")


def is_unspaced(code: int) -> bool:
    """Whether a code point belongs to a script whose unit is the character or syllable, not the word."""
    at = bisect.bisect_right(_STARTS, code) - 1
    return at >= 0 and code <= _RANGES[at][1]


def character_class(code: int) -> int:
    r"""One of SEPARATOR, LETTER, UNSPACED, MARK, SYMBOL.

    Whitespace, controls and punctuation separate (the underscore does not). Mathematical and currency signs, emoji and
    ``* / % & # @ \\`` are symbols: ``2 + 3`` and ``2 * 3`` are different texts.
    """
    character = chr(code)
    category = unicodedata.category(character)
    if category[0] == "S" or character in _OPERATORS:
        return SYMBOL
    if character != "_" and (category[0] in "ZP" or category in ("Cc", "Cf")):
        return SEPARATOR
    if category[0] == "M":
        return MARK
    return UNSPACED if is_unspaced(code) else LETTER
