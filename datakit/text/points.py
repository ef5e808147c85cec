"""What the kernel must know of every code point, as one number each: its folded form, class and combining class."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final

from datakit.text.script import LETTER, UNSPACED, character_class, is_unspaced

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CLASS_SHIFT", "FOLDED", "ORDER_SHIFT", "SLOW", "WHITE", "code_points"]

#: Class of white space, beside those of :mod:`datakit.text.script`: the normal form makes a run of it one space.
WHITE: Final = 5
FOLDED: Final = 0x1FFFFF
CLASS_SHIFT: Final = 21
#: Bit of a code point that a table cannot normalise: it may compose with its neighbours, or folds to several.
SLOW: Final = 1 << 24
ORDER_SHIFT: Final = 25

# Everything else is unassigned, private, or one of the blocks of syllables and ideographs in _ALIKE: no case, no marks.
_ASKED: Final = ((0, 0x3400), (0x4DC0, 0x4E00), (0xA000, 0xAC00), (0xD7A4, 0xD800), (0xF900, 0x20000))
_ASKED_TOO: Final = ((0x2F800, 0x2FA20), (0xE0000, 0xE0200))
_ALIKE: Final = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0x20000, 0x2F800), (0x2FA20, 0x40000))


@cache
def code_points() -> NDArray[np.uint32]:
    """Table of all 1,114,112 code points: bits 0-20 the folded code point, 21-23 class, 24 slow, 25-30 rank of ccc.

    A text whose code points are all quick, with combining classes that do not fall, is in NFC before and after folding
    (Unicode Standard Annex 15, section 9: the quick check), so folding is a look-up for each.
    """
    import numpy as np

    table: NDArray[np.uint32] = np.arange(0x110000, dtype=np.uint32) | np.uint32(LETTER << CLASS_SHIFT)
    for start, end in _ALIKE:
        table[start:end] ^= np.uint32((LETTER ^ UNSPACED) << CLASS_SHIFT)
    asked = [chr(code) for start, end in (*_ASKED, *_ASKED_TOO) for code in range(start, end)]
    asked = [character for character in asked if unicodedata.category(character) != "Cn" or is_unspaced(ord(character))]
    composing = _second_parts(asked)
    orders = {order: rank for rank, order in enumerate(sorted(set(map(unicodedata.combining, asked))))}
    table[list(map(ord, asked))] = [_entry(character, composing, orders) for character in asked]
    table.setflags(write=False)
    return table


def _second_parts(asked: list[str]) -> set[str]:
    """Characters that some character before them may compose with: NFC quick check "maybe"."""
    found = {chr(code) for start, end in ((0x1161, 0x1176), (0x11A8, 0x11C3)) for code in range(start, end)}
    for character in asked:
        parts = unicodedata.decomposition(character).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            found.add(chr(int(parts[1], 16)))
    return found


def _entry(character: str, composing: set[str], orders: dict[int, int]) -> int:
    folded = character.casefold()
    order = unicodedata.combining(character)
    quick = len(folded) == 1 and all(_is_inert(part, composing) for part in {character, folded})
    quick = quick and (folded == character or unicodedata.combining(folded) == order)
    known = folded if quick else character
    kind = WHITE if character.isspace() else character_class(ord(known))
    return ord(known) | kind << CLASS_SHIFT | (0 if quick else SLOW) | orders[order] << ORDER_SHIFT


def _is_inert(character: str, composing: set[str]) -> bool:
    return character not in composing and unicodedata.is_normalized("NFC", character)
