"""Invented personal data of every kind, valid where a checksum says so; written without datakit's own surrogates."""

from __future__ import annotations

import random


def luhn(body: str) -> str:
    total = 0
    for position, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str((10 - total % 10) % 10)


def iban(country: str, body: str) -> str:
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    return f"{country}{98 - int(number) % 97:02d}{body}"


def korean_business(rng: random.Random) -> str:
    body = f"{rng.randint(101, 620)}{rng.randint(1, 79):02d}{rng.randint(0, 9999):04d}"
    total = sum(int(d) * w for d, w in zip(body, (1, 3, 7, 1, 3, 7, 1, 3, 5), strict=True)) + int(body[8]) * 5 // 10
    return f"{body[:3]}-{body[3:5]}-{body[5:]}{(10 - total % 10) % 10}"


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


NAMES = ["anna", "j.smith", "kim_min"]
HOSTS = ["example.org", "post.co.uk", "naver.com"]


def resident(rng: random.Random, sexes: tuple[int, int]) -> str:
    birth = f"{rng.randint(60, 99)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    return f"{birth}-{rng.choice(sexes)}{digits(rng, 6)}"


MAKERS = {
    "EMAIL_ADDRESS": [
        lambda r: f"{r.choice(NAMES)}{digits(r, 4)}@{r.choice(HOSTS)}",
        lambda r: f"anna{digits(r, 5)}@mail.corp",
    ],
    "PHONE_NUMBER": [
        lambda r: f"(212) {r.randint(201, 989)}-{digits(r, 4)}",
        lambda r: f"+1 415-{r.randint(201, 989)}-{digits(r, 4)}",
        lambda r: f"303.{r.randint(201, 989)}.{digits(r, 4)}",
        lambda r: f"+44 7911 {digits(r, 6)}",
        lambda r: f"0845281{digits(r, 4)}",
        lambda r: f"0906170{digits(r, 4)}",
        lambda r: f"020 7946 {digits(r, 4)}",
        lambda r: f"010-{r.randint(2000, 9999)}-{digits(r, 4)}",
        lambda r: f"010{r.randint(2000, 9999)}{digits(r, 4)}",
        lambda r: f"+82 10-{r.randint(2000, 9999)}-{digits(r, 4)}",
        lambda r: f"02-{r.randint(2000, 9999)}-{digits(r, 4)}",
    ],
    "CREDIT_CARD": [
        lambda r: luhn("4" + digits(r, 14)),
        lambda r: (lambda n: "-".join(n[i : i + 4] for i in range(0, 16, 4)))(luhn("52" + digits(r, 13))),
        lambda r: (lambda n: f"{n[:4]} {n[4:10]} {n[10:]}")(luhn("37" + digits(r, 12))),
        lambda r: luhn("2221" + digits(r, 11)),
    ],
    "IBAN_CODE": [
        lambda r: iban("DE", digits(r, 18)),
        lambda r: (lambda n: " ".join(n[i : i + 4] for i in range(0, 22, 4)))(iban("GB", "WEST" + digits(r, 14))),
    ],
    "IP_ADDRESS": [
        lambda r: f"83.{r.randint(1, 254)}.{r.randint(1, 254)}.{r.randint(1, 254)}",
        lambda r: f"2a01:{r.randrange(4096, 65535):x}:85a3::8a2e:{r.randrange(4096, 65535):x}",
    ],
    "MAC_ADDRESS": [lambda r: ":".join(f"{r.randrange(16, 256):02x}" for _ in range(6))],
    "URL": [
        lambda r: f"https://people.test-site.com/~anna{digits(r, 4)}",
        lambda r: f"www.anna{digits(r, 4)}.co.uk",
    ],
    "US_SSN": [lambda r: f"{r.randint(100, 599)}-{r.randint(10, 99)}-{r.randint(1000, 9999)}"],
    "UK_NINO": [lambda r: f"AB{digits(r, 6)}C"],
    "KR_RRN": [lambda r: resident(r, (1, 2))],
    "KR_FRN": [lambda r: resident(r, (5, 6))],
    "KR_BRN": [korean_business],
}


def values(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(kind, value), all kinds and formats in turn, distinct."""
    rng = random.Random(seed)
    makers = [(kind, make) for kind, some in MAKERS.items() for make in some]
    found: dict[str, str] = {}
    turn = 0
    while len(found) < count:
        kind, make = makers[turn % len(makers)]
        found.setdefault(make(rng), kind)
        turn += 1
    return [(kind, value) for value, kind in found.items()]
