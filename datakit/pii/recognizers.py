"""Which recognisers look for what: Presidio's, set up without network or language model, and patterns it lacks."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from datakit.core.errors import StepError
from datakit.core.registry import suggest
from datakit.core.require import require

__all__ = [
    "ENTITIES",
    "LANGUAGE_REGIONS",
    "Entity",
    "load_presidio",
    "pattern_recognizers",
    "regions_of",
    "wanted_entities",
]

# Regions whose phone numbers and documents are looked for unless a recipe names others. Each region costs time.
LANGUAGE_REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "de": ("DE", "AT", "CH"),
    "en": ("US", "GB"),
    "es": ("ES", "MX"),
    "fr": ("FR",),
    "it": ("IT",),
    "ja": ("JP",),
    "ko": ("KR",),
    "nl": ("NL",),
    "pt": ("PT", "BR"),
    "zh": ("CN",),
}


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of personal data.

    Attributes:
        recognizer: Class in ``presidio_analyzer.predefined_recognizers``; None where only our own code looks for it.
        regions: Looked for only with one of these regions; everywhere if empty.
        by_default: Looked for unless a recipe lists entities.
        digits: Fewest decimal digits a match has; a text with fewer is not searched.
        any_of: A match has at least one of these characters; a text with none is not searched.
        needs: An expression that is found inside every match; a text without is not searched.
    """

    recognizer: str | None
    regions: tuple[str, ...] = ()
    by_default: bool = True
    digits: int = 0
    any_of: str = ""
    needs: str = ""


# The gates (digits, any_of, needs) follow from the recognisers' patterns; a test holds them to an ungated search.
ENTITIES: Final[dict[str, Entity]] = {
    "EMAIL_ADDRESS": Entity("EmailRecognizer", any_of="@"),
    "PHONE_NUMBER": Entity(None, digits=7),
    "CREDIT_CARD": Entity("CreditCardRecognizer", digits=12),
    "IBAN_CODE": Entity("IbanRecognizer", digits=2),
    "IP_ADDRESS": Entity("IpRecognizer", any_of=".:", needs=r"[0-9]\.[0-9]|::|[0-9a-fA-F]:[0-9a-fA-F]{1,4}:"),
    "MAC_ADDRESS": Entity(
        "MacAddressRecognizer",
        any_of=":-.",
        needs=r"[0-9a-fA-F]{2}[:-][0-9a-fA-F]{2}[:-]|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.",
    ),
    "URL": Entity("UrlRecognizer", any_of="."),
    "CRYPTO": Entity("CryptoRecognizer", any_of="13"),
    "US_SSN": Entity("UsSsnRecognizer", ("US",), digits=9),
    "US_ITIN": Entity("UsItinRecognizer", ("US",), digits=9),
    "UK_NINO": Entity("UkNinoRecognizer", ("GB",), digits=6),
    "KR_RRN": Entity("KrRrnRecognizer", ("KR",), digits=13),
    "KR_FRN": Entity("KrFrnRecognizer", ("KR",), digits=13),
    "KR_BRN": Entity("KrBrnRecognizer", ("KR",), digits=10),
    "KR_PASSPORT": Entity("KrPassportRecognizer", ("KR",), digits=7),
    "KR_DRIVER_LICENSE": Entity("KrDriverLicenseRecognizer", ("KR",), digits=12),
    "KR_BANK_ACCOUNT": Entity(None, ("KR",), digits=10),
    "DATE_TIME": Entity("DateRecognizer", by_default=False),
    "UUID": Entity("UuidRecognizer", by_default=False, any_of="-"),
}

_MONTH: Final = (
    "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?)\\.?"
)
_WEEKDAY: Final = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_BOUNDARY: Final = r"(?:(?<![A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<=[A-Za-z0-9_])(?![A-Za-z0-9_]))"

# name, expression, score; what Presidio's own patterns miss
_EXTRA: Final[dict[str, tuple[tuple[str, str, float], ...]]] = {
    # Ends at the ASCII domain: in "me@example.com으로" the particle is no part of it.
    "EMAIL_ADDRESS": (
        ("ASCII", r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_%+][A-Za-z0-9._%+'-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}", 0.5),
    ),
    # Mastercard's 2-series, long UnionPay and short Maestro numbers, whole or in fours; Luhn decides.
    "CREDIT_CARD": (
        ("Whole", r"(?<![\d.+])[2-6]\d{12,18}(?!\d)", 0.3),
        ("Short Maestro", r"(?<![\d.+])(?:50|5[6-9]|6[0-9])\d{10}(?!\d)", 0.3),
        ("In fours", r"(?<![\d.+])[2-6]\d{3}(?:[- ]\d{4}){2,3}(?:[- ]\d{1,4})?(?!\d)", 0.3),
    ),
    "KR_BRN": (("BRN", r"(?<!\d)\d{3}-\d{2}-\d{5}(?!\d)", 0.3),),
    "KR_BANK_ACCOUNT": (
        ("In groups", r"(?<![\d-])(?=(?:\d-?){10})\d{2,6}-\d{2,6}-\d{2,7}(?:-\d{1,3})?(?![\d-])", 0.15),
        ("Whole", r"(?<![\d.+-])\d{10,14}(?![\d-]|\.\d)", 0.05),
    ),
    "DATE_TIME": (
        ("Day and time", r"(?<!\d)\d{4}-\d\d?-\d\d?[ T]\d\d?:\d\d(?::\d\d(?:\.\d+)?)?(?!\d)", 0.65),
        ("Day Month year", rf"(?<!\w)\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? \d{{4}}(?!\d)", 0.6),
        ("Month day", rf"(?<![A-Za-z]){_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?(?!\w)", 0.6),
        ("Month year", rf"(?<![A-Za-z]){_MONTH},? (?:19|20)\d\d(?!\d)", 0.5),
        ("Day Month", rf"(?<!\w)\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}(?![A-Za-z])", 0.5),
        ("Weekday", rf"(?<![A-Za-z]){_WEEKDAY}(?![A-Za-z])", 0.4),
        ("Year", r"(?<![\w.,-])(?:19|20)\d\d(?![\w-]|[.,]\d)", 0.2),
        ("Korean", r"(?<!\d)(?:\d{4}|\d{2})년(?: ?\d{1,2}월(?: ?\d{1,2}일)?)?", 0.5),
        ("Korean day", r"(?<!\d)\d{1,2}월 ?\d{1,2}일", 0.5),
    ),
}

# Words near a finding that say what it is; Presidio's own stay. Korean ones are written without particles.
_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "KR_BANK_ACCOUNT": (
        "계좌",
        "계좌번호",
        "입금",
        "입금계좌",
        "예금주",
        "통장",
        "송금",
        "은행",
        "bank account",
        "account",
    ),
    "KR_BRN": ("사업자", "사업자번호", "사업자등록번호", "business registration"),
    "KR_RRN": ("주민번호", "주민등록번호"),
    "KR_FRN": ("외국인등록번호", "외국인번호"),
    "KR_PASSPORT": ("여권", "여권번호", "passport"),
    "KR_DRIVER_LICENSE": ("면허", "면허번호", "운전면허", "운전면허번호"),
    "CREDIT_CARD": ("카드", "카드번호", "신용카드", "체크카드"),
    "DATE_TIME": ("born", "birth", "birthday", "in", "since", "year", "생일", "생년월일", "출생"),
}


def regions_of(languages: Sequence[str], regions: Sequence[str] | None) -> tuple[str, ...]:
    """Regions to look in: those given, else those of the languages.

    Raises:
        StepError: A region that no phone number plan knows, or a language without regions of its own.
    """
    if regions is not None:
        import phonenumbers

        for region in regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise StepError(f"no region '{region}'", hint="Regions are ISO 3166 codes such as US, GB, KR")
        return tuple(dict.fromkeys(regions))
    found: dict[str, None] = {}
    for language in languages:
        if language not in LANGUAGE_REGIONS:
            raise StepError(
                f"no regions are known for the language '{language}'",
                hint=f"Name them in regions:, or use {', '.join(LANGUAGE_REGIONS)}",
            )
        found |= dict.fromkeys(LANGUAGE_REGIONS[language])
    return tuple(found)


def wanted_entities(entities: Iterable[str] | None, regions: Sequence[str]) -> tuple[str, ...]:
    """Names of the kinds to look for: those given, else the default ones of the regions.

    Raises:
        StepError: A kind that is not known.
    """
    if entities is None:
        return tuple(
            name
            for name, kind in ENTITIES.items()
            if kind.by_default and (not kind.regions or set(kind.regions) & set(regions))
        )
    names = tuple(dict.fromkeys(entities))
    for name in names:
        if name not in ENTITIES:
            raise StepError(f"no entity '{name}'", hint=suggest(name, list(ENTITIES)))
    return names


def pattern_recognizers(entities: Iterable[str]) -> dict[str, Any]:
    """Presidio recognisers by entity, ready to be asked; phone numbers are not among them (see phones.py).

    Raises:
        MissingDependency: Presidio is not installed.
    """
    presidio, predefined = load_presidio()
    found: dict[str, Any] = {}
    for name in entities:
        if name == "PHONE_NUMBER":
            continue
        kind = ENTITIES[name]
        if kind.recognizer is None:
            recognizer = presidio.PatternRecognizer(name, patterns=[presidio.Pattern(*part) for part in _EXTRA[name]])
            recognizer.patterns = []
        else:
            recognizer = getattr(predefined, kind.recognizer)()
        recognizer.patterns = [
            presidio.Pattern(pattern.name, _in_ascii(pattern.regex), pattern.score)
            for pattern in recognizer.patterns
            if not pattern.name.startswith("Quoted")  # the same address with the quotation marks around it
        ] + [presidio.Pattern(*extra) for extra in _EXTRA.get(name, ())]
        recognizer.global_regex_flags = re.DOTALL | re.MULTILINE | re.IGNORECASE  # as Presidio's registry has it
        recognizer.context = [*(recognizer.context or ()), *_WORDS.get(name, ())]
        found[name] = recognizer
    if "EMAIL_ADDRESS" in found:
        found["EMAIL_ADDRESS"].validate_result = _email_check()
    return found


def _in_ascii(regex: str) -> str:
    r"""Draws bounds in ASCII: ``\b`` takes a Hangul particle for a part of the number before it."""
    return regex.replace(r"\b", _BOUNDARY).replace(r"[\w:]", "[A-Za-z0-9_:]")


@cache
def load_presidio(*, torch: bool = True) -> tuple[Any, Any]:
    """Presidio and its predefined recognisers, imported without noise, network or GPU.

    It would import transformers too, for an engine that is not used here: five of eight seconds.

    Args:
        torch: False hides torch while spaCy is imported, which halves the rest. spaCy's models of torch then never work
            in this process, so that is for processes of our own.

    Raises:
        MissingDependency: Presidio is not installed.
    """
    wanted = () if "presidio_analyzer" in sys.modules else ("transformers",) if torch else ("transformers", "torch")
    hidden = [name for name in wanted if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be imported
    device = os.environ.get("PRESIDIO_DEVICE")
    os.environ["PRESIDIO_DEVICE"] = device or "cpu"  # or its import takes memory on a GPU to try it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside spaCy and its dependencies, none of them ours
            presidio = require("presidio_analyzer", extra="pii")
            predefined = require("presidio_analyzer.predefined_recognizers", extra="pii")
    finally:
        for name in hidden:
            del sys.modules[name]
        if device is None:
            del os.environ["PRESIDIO_DEVICE"]
    # Presidio's IBAN recogniser logs the value that it could not check.
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL + 1)
    return presidio, predefined


def _email_check() -> Callable[[str], bool | None]:
    """Full score for a registered top-level domain, from the list inside tldextract: no request, no cache file.

    An address at an unregistered domain (``anna@mail.corp``) is personal all the same: it keeps its pattern's score.
    """
    import tldextract

    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    valid = re.compile(r"[^@\s]+@[^@\s]+")

    def check(value: str) -> bool | None:
        if not valid.fullmatch(value):
            return False
        return True if value.isascii() and extract(value.rpartition("@")[2]).fqdn else None

    return check
