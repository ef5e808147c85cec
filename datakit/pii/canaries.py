"""Invented personal data of every kind, to be planted and looked for: valid in form, drawn by a seed, nobody's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from datakit.pii.key import Key
from datakit.pii.surrogates import surrogate

__all__ = ["SENTENCES", "canary", "canary_kinds"]

# A value of the kind as people write it; {d} are digits. Its surrogate is a canary: from a range kept free.
_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "EMAIL_ADDRESS": ("a@example.org",),
    "PHONE_NUMBER": ("(212) 867-5309", "+1 212 867 5309", "020 7946 0000", "+44 7911 000000"),
    "CREDIT_CARD": ("4000000000000000", "4000-0000-0000-0000", "4000 0000 0000 0000"),
    "IBAN_CODE": ("GB00WEST00000000000000", "DE00 0000 0000 0000 0000 00"),
    "IP_ADDRESS": ("192.0.2.1",),
    "MAC_ADDRESS": ("02:00:00:00:00:00",),
    "URL": ("https://example.org/a",),
    "US_SSN": ("536-22-1234",),
    "KR_RRN": ("900101-1960000",),
    "KR_FRN": ("900101-5960000",),
    "KR_BRN": ("000-00-00000",),
    "KR_PASSPORT": ("M000A0000",),
    "KR_DRIVER_LICENSE": ("27-00-000000-00",),
}
_KOREAN: Final = ("010-0000-0000", "01000000000", "+82 10-0000-0000")
_OF_REGION: Final = {"US_SSN": "en"}
SENTENCES: Final[dict[str, tuple[str, ...]]] = {
    "en": (" You can use {} for this.", " {} is what they gave me.", " Please note {}, thanks.", " (see {})"),
    "ko": (" 연락은 {}로 주세요.", " {}입니다.", " 확인: {}", " 여기 {}을 적어 둡니다."),
}
# Weak in form, these are found by a word beside them only: the sentence has it, as a form to fill in would.
_SAID: Final[dict[str, tuple[str, ...]]] = {
    "KR_DRIVER_LICENSE": (" 운전면허번호는 {}입니다.",),
    "KR_PASSPORT": (" 여권번호는 {}입니다.", " 여권: {}"),
    "US_SSN": (" My SSN is {}.",),
}


def canary_kinds(languages: Sequence[str]) -> list[str]:
    """Kinds that are planted in texts of these languages."""
    found = []
    for kind in _FORMS:
        language = "ko" if kind.startswith("KR_") else _OF_REGION.get(kind)
        if language is None or language in languages:
            found.append(kind)
    return found


def canary(kind: str, language: str, rng: random.Random) -> tuple[str, str]:
    """A value, and the sentence around it with ``{}`` in its place."""
    forms = _KOREAN if kind == "PHONE_NUMBER" and language == "ko" else _FORMS[kind]
    key = Key(rng.randbytes(16))
    value = surrogate(kind, rng.choice(forms), key, taken=lambda form: False)
    if kind == "KR_DRIVER_LICENSE":
        value = f"{rng.randint(11, 26)}{value[2:]}"  # recognisers refuse the region that surrogates have
    return value, rng.choice(_SAID.get(kind, SENTENCES[language]))
