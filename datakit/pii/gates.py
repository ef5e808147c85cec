"""Which texts one of Presidio's stock patterns can match at all: conditions that follow from the patterns.

Each gate names what every match must contain. It may let a text pass for nothing, never hold one back; tests compare
with the real analyser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from datakit.pii.characters import Batch, Bools, ahead, behind, run_of

__all__ = ["GATES", "Gate", "gates"]

Gate = Callable[[Batch], Bools]


def gates(batch: Batch) -> dict[str, Bools]:
    """By recogniser class, which texts have to be searched; classes not listed are always searched."""
    return {name: gate(batch) for name, gate in GATES.items()}


def _digits(run: int, at_least: int) -> Gate:
    """A run of so many digits, and so many in all."""

    def gate(batch: Batch) -> Bools:
        return batch.texts_with(run_of(batch.digit, run)) & batch.texts_with(batch.digit, at_least)

    return gate


def _crypto(batch: Batch) -> Bools:
    return batch.texts_with(run_of(batch.word, 26))


def _between(batch: Batch, signs: str, left: Bools, right: Bools) -> Bools:
    """Where a sign stands between two characters, at the left one."""
    return left & ahead(batch.any_of(signs), 1) & ahead(right, 2)


def _date(batch: Batch) -> Bools:
    digits = _between(batch, "/-.", batch.digit, batch.digit)
    month = _between(batch, "-", batch.letter, batch.digit) | _between(batch, "-", batch.digit, batch.letter)
    return batch.texts_with(digits | month)


def _license(batch: Batch) -> Bools:
    letter, digit = batch.letter, batch.digit
    first = letter & ~behind(batch.ascii_word, 1)  # all but three forms begin with a letter at a word's beginning
    begins = first & (ahead(digit, 1) | (ahead(letter, 1) & ahead(digit, 2)))
    inside = letter & ahead(run_of(digit, 4), 1)  # 12ABC12345, 123AB1234; the others have six digits
    # "|A-Z]{2}[0-9]{2,5}|" in the stock pattern lacks its opening bracket: it asks for "A-Z]]" before the digits.
    odd = batch.any_of("]") & ahead(digit, 1)
    return batch.texts_with(begins | inside | odd | run_of(digit, 6))


def _medical(batch: Batch) -> Bools:
    return batch.texts_with(batch.letter & ahead(run_of(batch.digit, 7), 1)) | batch.texts_with(
        batch.letter & ahead(batch.letter, 1) & ahead(run_of(batch.digit, 7), 2)
    )


def _email(batch: Batch) -> Bools:
    return batch.texts_with(batch.any_of("@") & ahead(batch.word, 1))


def _iban(batch: Batch) -> Bools:
    country = batch.letter & ahead(batch.letter, 1) & ahead(run_of(batch.digit, 2), 2)
    return batch.texts_with(country) & batch.texts_with(batch.word, 12)


def _ip(batch: Batch) -> Bools:
    four = batch.texts_with(_between(batch, ".", batch.digit, batch.digit), 3)
    colon = batch.any_of(":")
    return four | batch.texts_with(colon & ahead(colon, 1)) | batch.texts_with(colon & ahead(batch.hex, 1), 6)


def _mac(batch: Batch) -> Bools:
    pairs = run_of(batch.hex, 2) & ahead(batch.any_of(":-"), 2) & ahead(run_of(batch.hex, 2), 3)
    fours = run_of(batch.hex, 4) & ahead(batch.any_of("."), 4) & ahead(run_of(batch.hex, 4), 5)
    return batch.texts_with(pairs, 5) | batch.texts_with(fours, 2)


def _uuid(batch: Batch) -> Bools:
    return batch.texts_with(_between(batch, "-", batch.hex, batch.hex), 4)


def _url(batch: Batch) -> Bools:
    return batch.texts_with(batch.host & ahead(batch.any_of("."), 1) & ahead(run_of(batch.letter, 2), 2))


def _phone(batch: Batch) -> Bools:
    """At least four digits (the shortest valid number, in Germany) with nothing between that ends a number."""
    phone = batch.phone | batch.digit
    runs = np.cumsum(~phone)  # one number for each stretch without such a sign
    found = np.flatnonzero(batch.digit)
    if not len(found):
        return np.zeros(len(batch.texts), bool)
    of_run = runs[found]
    enough = of_run[3:] == of_run[:-3]
    places = np.zeros(len(batch.codes), bool)
    places[found[: max(len(found) - 3, 0)][enough]] = True
    return batch.texts_with(places)


GATES: Final[dict[str, Gate]] = {
    "CreditCardRecognizer": _digits(4, 13),
    "CryptoRecognizer": _crypto,
    "DateRecognizer": _date,
    "EmailRecognizer": _email,
    "IbanRecognizer": _iban,
    "IpRecognizer": _ip,
    "MacAddressRecognizer": _mac,
    "MedicalLicenseRecognizer": _medical,
    "NhsRecognizer": _digits(3, 10),
    "PhoneRecognizer": _phone,
    "UrlRecognizer": _url,
    "UsBankRecognizer": _digits(8, 8),
    "UsItinRecognizer": _digits(2, 9),
    "UsLicenseRecognizer": _license,
    "UsPassportRecognizer": _digits(8, 8),
    "UsSsnRecognizer": _digits(2, 9),
    "UuidRecognizer": _uuid,
}
