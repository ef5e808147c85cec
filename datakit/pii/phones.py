"""Phone numbers: libphonenumber's rules for the regions, and what is written like one without being assigned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from datakit.pii.span import Span

__all__ = ["find_phones"]

ENTITY: Final = "PHONE_NUMBER"
VALID_SCORE: Final = 0.45  # below the documents of a country, whose numbers may be valid telephone numbers too
SHAPE_SCORE: Final = 0.4
MIN_DIGITS: Final = 7

# A letter at either end of a long run of digits: "apply 08452810075over18's". libphonenumber takes such a run for a
# serial number, text messages do not space.
_GLUED: Final = re.compile(r"[A-Za-z](?=\+?\d{9})|(?<=\d{9})[A-Za-z]")

# Written like a phone number; fictitious and mistyped ones are refused by libphonenumber, but not by a reader.
_NORTH_AMERICA: Final = re.compile(
    r"(?<![\w.+-])(?:(?:\+|00)?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"
    r"(?: ?(?:x|ext\.?) ?\d{1,5})?(?![\w-]|\.\d)"
)
_INTERNATIONAL: Final = re.compile(r"(?<![\w+])\+\d{1,3}(?:[-. ]?(?:\(\d{1,4}\)|\d{1,4})){2,6}(?!\d)")
# Run together with what follows ("08700621170150" is a number and 150 pence), or one digit short.
_BRITAIN: Final = re.compile(r"(?<![\d.])0[1-9](?:\d{8,13}|\d{1,3}[ -]\d{3,4}[ -]?\d{3,4})(?!\d|\.\d)")
_SHAPED: Final = {"US": _NORTH_AMERICA, "CA": _NORTH_AMERICA, "GB": _BRITAIN}

# Groups of digits right after a word that announces a phone number; a tag <PHONE_NUMBER> announces none.
_ANNOUNCED: Final = re.compile(
    r"(?<![A-Za-z_<])(?:phone|tele(?:phone)?|tel|cell|mobile|fax|whatsapp|call|전화|연락처|휴대폰|핸드폰)[^\d\n+(]{0,30}"
    r"(?<![\w.])([+(]?\d(?:[-. ()]{0,2}\d){6,13})(?![\d-])",
    re.IGNORECASE,
)


def find_phones(text: str, regions: Sequence[str]) -> list[Span]:
    """Phone numbers that are valid in one of the regions or anywhere when written with ``+``, and number-shaped ones.

    What has fewer than seven digits is left: short codes belong to services, and years are valid numbers in Austria.
    """
    import phonenumbers

    found: dict[tuple[int, int], float] = {}
    spaced = _GLUED.sub(" ", text)
    for region in regions:
        for match in phonenumbers.PhoneNumberMatcher(spaced, region, leniency=phonenumbers.Leniency.VALID):
            found[match.start, match.end] = VALID_SCORE
    for shape in {_INTERNATIONAL, *(_SHAPED[region] for region in regions if region in _SHAPED)}:
        for shaped in shape.finditer(text):
            found.setdefault(shaped.span(), SHAPE_SCORE)
    for announced in _ANNOUNCED.finditer(text):
        found.setdefault(announced.span(1), SHAPE_SCORE)
    return [
        Span(ENTITY, start, end, score)
        for (start, end), score in found.items()
        if sum(map(str.isdecimal, text[start:end])) >= MIN_DIGITS
    ]
