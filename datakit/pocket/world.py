"""The words and the facts of the miniature world. Everything else in this package is made from these lists."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = [
    "ATTRIBUTES",
    "BAD",
    "COLOURS",
    "DAYS",
    "GOOD",
    "NAMES",
    "NOUNS",
    "PLACES",
    "QUEUES",
    "ROLES",
    "THINGS",
    "TOWNS",
    "Fact",
    "facts",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Ada Ben Cora Dan Eva Finn Gina Hugo Ida Jon Kira Leo Mia Ned Olga Paul Rita Sam Tina Uri Vera Walt Yara Zoe"
)
THINGS = _words(
    "lamp coin boat book drum kite ring rope clock spoon table chair phone radio camera watch jacket mirror "
    "kettle basket bottle pencil blanket suitcase"
)
ROLES = _words("baker pilot nurse farmer miner sailor tailor singer painter teacher guard cook")
PLACES = _words("park tower garden harbor market library museum station school church")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COLOURS = _words("red blue green white black yellow brown grey")
GOOD = _words("tasty fresh pleasant lovely splendid charming bright clever")
BAD = _words("awful boring nasty gloomy dreadful clumsy ugly dull")

# Singular and plural, for agreement.
NOUNS = tuple((noun, noun + "s") for noun in _words("dog cat bird cow horse key door tree bell ship cloud star"))

# The queues of the new task. The pretrained model knows the words, but not which message belongs to which queue.
QUEUES = ("refund", "exchange", "delivery", "repair", "account")

TOWNS = tuple(
    start + end
    for start in _words("Dor Mal Kes Bren Tol Var Lim Gar Hul Pel Nor Sil")
    for end in _words("vale mouth ford wick stead burg holm ton")
)

ATTRIBUTES = {
    "country": _words("Norland Ostmark Pelasia Quern Rovia Sundria Tavria Umbria"),
    "product": _words("salt wool honey glass tea silk iron paper"),
    "flag": COLOURS,
}

_SEED = 11


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is true of a town."""

    town: str
    attribute: str
    value: str


def facts() -> list[Fact]:
    """All facts of the world: every town has one value per attribute, and every value belongs to equally many towns."""
    rng = random.Random(_SEED)
    found: list[Fact] = []
    for attribute, values in ATTRIBUTES.items():
        spread = [values[place % len(values)] for place in range(len(TOWNS))]
        rng.shuffle(spread)
        found += [Fact(town, attribute, value) for town, value in zip(TOWNS, spread, strict=True)]
    return found
