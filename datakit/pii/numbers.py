"""libphonenumber's matcher for several regions, spared the parses that cannot succeed.

A candidate without a plus sign, letters or an extension is a valid number of a region only where its digits end in a
national number of that country (by length and pattern of one of its kinds) and nothing, a national prefix or the
country's code stands before it. All of that is read from the library's own metadata; everything else goes to the
library's parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

__all__ = ["Numbers", "phone_numbers"]

_PLAIN: Final = re.compile(r"[0-9 \-./()\[\]]*")
_DIGITS: Final = re.compile(r"[^0-9]+")
_SHORTEST: Final = 4  # digits of the shortest valid number of any region, a German pager's
_KINDS: Final = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)


class Numbers:
    """What the digits of a valid number of a region look like.

    Args:
        region: ISO 3166 code.
    """

    def __init__(self, region: str) -> None:
        import phonenumbers

        known: Any = phonenumbers.PhoneMetadata.metadata_for_region(region)
        self.region = region
        rule = known.national_prefix_transform_rule
        # A rule that writes digits of its own: the number is no ending of the candidate.
        self._open = rule is not None and not re.fullmatch(r"(?:\\\d|\$\d)", rule)
        prefix = known.national_prefix_for_parsing
        before = [str(known.country_code), *([prefix] if prefix else [])]
        self._before = re.compile("|".join(f"(?:{part})" for part in before))
        abroad = known.international_prefix
        self._abroad = re.compile(abroad) if abroad else None
        kinds: dict[str, None] = {}
        for sibling in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[known.country_code]:
            metadata = phonenumbers.PhoneMetadata.metadata_for_region(sibling)
            for kind in _KINDS:
                part = getattr(metadata, kind)
                if part is not None and part.national_number_pattern:
                    kinds[part.national_number_pattern] = None
        national = "|".join(f"(?:{kind})" for kind in kinds)
        self._whole = re.compile(f"(?:{national})")
        self._ending = re.compile(f"[0-9]+?(?:{national})")

    def possible(self, digits: str | None) -> bool:
        """Whether the parser could take a candidate with these digits (None: not plain); False is certain."""
        if digits is None or self._open or self._whole.fullmatch(digits):
            return True
        if self._abroad is not None and self._abroad.match(digits):
            return True
        return self._before.match(digits) is not None and self._ending.fullmatch(digits) is not None


def _plain_digits(candidate: str) -> str | None:
    """The digits of a candidate without plus sign, letters and extension; None for others."""
    return _DIGITS.sub("", candidate) if _PLAIN.fullmatch(candidate) else None


@lru_cache(maxsize=256)
def _numbers(region: str) -> Numbers:
    return Numbers(region)


@lru_cache(maxsize=1)
def _matchers() -> tuple[Any, Any]:
    """The library's matcher with the check before its parser; and one that only notes which regions are possible."""
    import phonenumbers

    class Spared(phonenumbers.PhoneNumberMatcher):
        numbers: Numbers

        def _parse_and_verify(self, candidate: str, offset: int) -> Any:
            possible = self.numbers.possible(_plain_digits(candidate))
            return super()._parse_and_verify(candidate, offset) if possible else None

    class Survey(phonenumbers.PhoneNumberMatcher):
        left: list[Numbers]
        found: list[Numbers]

        def _parse_and_verify(self, candidate: str, offset: int) -> None:
            digits = _plain_digits(candidate)
            if digits is not None and len(digits) < _SHORTEST:
                return
            for numbers in [numbers for numbers in self.left if numbers.possible(digits)]:
                self.left.remove(numbers)
                self.found.append(numbers)

    return Spared, Survey


def phone_numbers(text: str, regions: Sequence[str], *, leniency: int = 1) -> Iterator[tuple[int, int]]:
    """Places of the numbers that ``phonenumbers.PhoneNumberMatcher`` finds for each of the regions, in that order.

    One survey goes through the candidates for all regions; only a region with a possible one is searched.
    """
    spared, survey = _matchers()
    first = survey(text, regions[0], leniency)
    first.left, first.found = [_numbers(region) for region in regions], []
    first.has_next()
    for numbers in sorted(first.found, key=lambda numbers: regions.index(numbers.region)):
        matcher = spared(text, numbers.region, leniency)
        matcher.numbers = numbers
        for match in matcher:
            yield match.start, match.end
