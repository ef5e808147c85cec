"""Fake values of the same kind: valid in form, from ranges that are reserved or never issued where there are any."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from datakit.pii.key import Key
from datakit.pii.names import fake_organization, fake_person, fake_place, tells_the_name

__all__ = ["canonical", "surrogate"]

Draw = Callable[[int], int]

# Ofcom's numbers for drama; three more digits follow.
_DRAMA: Final = (
    "7700 900",
    "20 7946 0",
    "29 2018 0",
    "113 496 0",
    "114 496 0",
    "115 496 0",
    "116 496 0",
    "117 496 0",
    "118 496 0",
    "121 496 0",
    "131 496 0",
    "141 496 0",
    "151 496 0",
    "161 496 0",
    "191 498 0",
)
_NAMES: Final = ("PERSON", "LOCATION", "ORGANIZATION")
_LETTERS: Final = "abcdefghijkmnpqrstuvwxyz"
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def canonical(entity: str, value: str) -> str:
    """Form in which two spellings of one value are the same: letters folded, numbers without their separators."""
    if entity in ("EMAIL_ADDRESS", "URL", "CRYPTO", "MAC_ADDRESS", "IP_ADDRESS", "UUID"):
        return value.casefold()
    return re.sub(r"[^\w+]|_", "", value.casefold())


def surrogate(entity: str, value: str, key: Key, *, taken: Callable[[str], bool]) -> str:
    """A fake value, the same for the same value and key unless it is taken.

    Args:
        entity: Kind of the value.
        value: The original.
        key: Determines the fake.
        taken: Whether a fake may not be given: it holds an original, or stands for another value.

    Returns:
        The fake; a tag for kinds that have no fake form.
    """
    make = _MAKERS.get(entity)
    if make is None:
        return f"<{entity}>"
    base = canonical(entity, value)
    for attempt in range(1000):
        drawn = 0

        def draw(below: int, attempt: int = attempt) -> int:
            nonlocal drawn
            drawn += 1
            return key.number(entity, base, str(attempt), str(drawn), below=below)

        fake = make(value, draw)
        if not taken(fake) and not (entity in _NAMES and tells_the_name(value, fake)):
            return fake
    return f"<{entity}>"  # the reserved range is used up


def _word(draw: Draw, length: int = 8) -> str:
    return "".join(_LETTERS[draw(len(_LETTERS))] for _ in range(length))


def _digits(draw: Draw, count: int) -> str:
    return f"{draw(10**count):0{count}d}"


def _email(value: str, draw: Draw) -> str:
    return f"{_word(draw)}@example.com"  # RFC 2606


def _url(value: str, draw: Draw) -> str:
    scheme = re.match(r"https?://", value, re.IGNORECASE)
    return f"{scheme.group() if scheme else ''}www.example.com/{_word(draw)}"


def _phone(value: str, draw: Draw) -> str:
    """555-01xx in North America, Ofcom's drama numbers, in Korea 010-0xxx, which is not assigned."""
    digits = re.sub(r"\D", "", value)
    plus = value.lstrip().startswith("+") or digits.startswith("00")
    national = digits.removeprefix("00") if plus else digits
    if national.startswith("44") if plus else (digits.startswith("0") and not digits.startswith("010")):
        return f"{'+44 ' if plus else '0'}{_DRAMA[draw(len(_DRAMA))]}{_digits(draw, 3)}"
    if national.startswith("82") if plus else digits.startswith("01"):
        return f"{'+82 ' if plus else '0'}10-0{_digits(draw, 3)}-{_digits(draw, 4)}"
    return f"{'+1 ' if plus else ''}{2 + draw(8)}{draw(9)}{_digits(draw, 1)}-555-01{_digits(draw, 2)}"


def _luhn(body: str) -> str:
    total = sum(sum(divmod(int(d) * (2 - at % 2), 10)) for at, d in enumerate(reversed(body)))
    return body + str(-total % 10)


def _card(value: str, draw: Draw) -> str:
    separator = next((c for c in value if c in "- "), "")
    number = _luhn("400000" + _digits(draw, 9))  # the range payment processors give to tests
    return separator.join(number[at : at + 4] for at in range(0, 16, 4))


def _iban(value: str, draw: Draw) -> str:
    """The same country and structure with zeros for the bank and valid check digits."""
    plain = re.sub(r"[^A-Z0-9]", "", value.upper())
    body = "".join("X" if c.isalpha() else "0" if at < 6 else str(draw(10)) for at, c in enumerate(plain[4:]))
    number = "".join(str(int(c, 36)) for c in body + plain[:2] + "00")
    whole = f"{plain[:2]}{98 - int(number) % 97:02d}{body}"
    return " ".join(whole[at : at + 4] for at in range(0, len(whole), 4)) if " " in value.strip() else whole


def _ip(value: str, draw: Draw) -> str:
    if ":" in value:
        return "2001:db8:" + ":".join(f"{draw(65536):x}" for _ in range(6))  # RFC 3849
    return f"198.{18 + draw(2)}.{draw(256)}.{1 + draw(254)}"  # RFC 2544


def _mac(value: str, draw: Draw) -> str:
    separator = "-" if "-" in value else ":"
    return separator.join(["02", *(f"{draw(256):02x}" for _ in range(5))])  # locally administered


def _ssn(value: str, draw: Draw) -> str:
    return f"9{_digits(draw, 2)}-{1 + draw(49):02d}-{1 + draw(9999):04d}"  # never issued


def _itin(value: str, draw: Draw) -> str:
    return f"9{_digits(draw, 2)}-89-{_digits(draw, 4)}"  # group 89 is not used


def _nino(value: str, draw: Draw) -> str:
    return f"QQ{_digits(draw, 6)}{'ABCD'[draw(4)]}"  # prefix QQ is for examples


def _birth(draw: Draw) -> str:
    return f"{draw(100):02d}{1 + draw(12):02d}{1 + draw(28):02d}"


def _rrn(value: str, draw: Draw) -> str:
    return f"{_birth(draw)}-{1 + draw(4)}{96 + draw(4)}{_digits(draw, 4)}"  # no office has the codes 96 to 99


def _frn(value: str, draw: Draw) -> str:
    return f"{_birth(draw)}-{5 + draw(4)}{96 + draw(4)}{_digits(draw, 4)}"


def _brn(value: str, draw: Draw) -> str:
    body = "000" + _digits(draw, 6)  # no tax office has the code 000
    total = sum(int(d) * weight for d, weight in zip(body, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=True))
    total += int(body[8]) * 5 // 10
    return f"{body[:3]}-{body[3:5]}-{body[5:]}{-total % 10}"


def _passport(value: str, draw: Draw) -> str:
    return f"M000{_LETTERS[draw(len(_LETTERS))].upper()}{_digits(draw, 4)}"


def _driver(value: str, draw: Draw) -> str:
    return f"27-{_digits(draw, 2)}-{_digits(draw, 6)}-{_digits(draw, 2)}"  # no region has the code 27


def _account(value: str, draw: Draw) -> str:
    """The same groups, zeros for the bank and branch."""
    at = min(6, len(re.findall(r"\d", value)) // 2)
    kept = iter(range(len(value)))
    return re.sub(r"\d", lambda _: "0" if next(kept) < at else str(draw(10)), value)


def _crypto(value: str, draw: Draw) -> str:
    return "1" + "".join(_BASE58[draw(58)] for _ in range(33))  # without a valid checksum: nothing can be sent there


_MAKERS: Final[dict[str, Callable[[str, Draw], str]]] = {
    "EMAIL_ADDRESS": _email,
    "URL": _url,
    "PHONE_NUMBER": _phone,
    "CREDIT_CARD": _card,
    "IBAN_CODE": _iban,
    "IP_ADDRESS": _ip,
    "MAC_ADDRESS": _mac,
    "US_SSN": _ssn,
    "US_ITIN": _itin,
    "UK_NINO": _nino,
    "KR_RRN": _rrn,
    "KR_FRN": _frn,
    "KR_BRN": _brn,
    "KR_BANK_ACCOUNT": _account,
    "KR_PASSPORT": _passport,
    "KR_DRIVER_LICENSE": _driver,
    "CRYPTO": _crypto,
    "PERSON": fake_person,
    "LOCATION": fake_place,
    "ORGANIZATION": fake_organization,
}
