"""Fake names of persons, places and organisations; Korean ones for Korean ones. None is meant for anybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["fake_organization", "fake_person", "fake_place", "tells_the_name"]

Draw = Callable[[int], int]

_HANGUL: Final = re.compile("[\uac00-\ud7a3]")
_GIVEN: Final = tuple(
    [
        "Alda",
        "Bram",
        "Cleo",
        "Dorn",
        "Edda",
        "Falk",
        "Gesa",
        "Holt",
        "Ines",
        "Joss",
        "Kaia",
        "Lorn",
        "Mira",
        "Nils",
        "Orla",
        "Pell",
        "Runa",
        "Sten",
    ]
)
_FAMILY_STEMS: Final = tuple(
    [
        "Ash",
        "Birch",
        "Brook",
        "Dale",
        "Elm",
        "Fern",
        "Hazel",
        "Heath",
        "Larch",
        "Moss",
        "Oak",
        "Reed",
        "Stone",
        "Thorn",
        "Wick",
    ]
)
_FAMILY_ENDS: Final = tuple(
    [
        "bury",
        "croft",
        "den",
        "field",
        "ford",
        "ham",
        "ley",
        "mere",
        "ridge",
        "shaw",
        "stead",
        "ton",
        "well",
        "wood",
        "worth",
    ]
)
_PLACE_ENDS: Final = "by combe haven holm minster mouth port side thorpe ville".split()  # noqa: SIM905
_KOREAN_FAMILY: Final = "강고구노류문민배백서성손신안양오우유윤임장전정조주차천최하한허홍황"
_KOREAN_FIRST: Final = "가나다도라로리마모미보비사새서소수슬시아여연예온유은이재주지진채태하한해호희"
_KOREAN_PLACES: Final = ("시", "군", "읍", "동", "마을")


def _stem(draw: Draw) -> str:
    return _FAMILY_STEMS[draw(len(_FAMILY_STEMS))]


def fake_person(value: str, draw: Draw) -> str:
    """A name with as many words, up to two; three syllables for a Korean one."""
    if _HANGUL.search(value):
        given = "".join(_KOREAN_FIRST[draw(len(_KOREAN_FIRST))] for _ in range(2))
        return _KOREAN_FAMILY[draw(len(_KOREAN_FAMILY))] + given
    family = _stem(draw) + _FAMILY_ENDS[draw(len(_FAMILY_ENDS))]
    return f"{_GIVEN[draw(len(_GIVEN))]} {family}" if len(value.split()) > 1 else family


def fake_place(value: str, draw: Draw) -> str:
    """A town that is not on the map."""
    if _HANGUL.search(value):
        name = "".join(_KOREAN_FIRST[draw(len(_KOREAN_FIRST))] for _ in range(3))
        return name + _KOREAN_PLACES[draw(len(_KOREAN_PLACES))]
    return _stem(draw) + _stem(draw).lower() + _PLACE_ENDS[draw(len(_PLACE_ENDS))]


def fake_organization(value: str, draw: Draw) -> str:
    """A company that is not in the register."""
    if _HANGUL.search(value):
        return "".join(_KOREAN_FIRST[draw(len(_KOREAN_FIRST))] for _ in range(3)) + "상사"
    return f"{_stem(draw)}{_FAMILY_ENDS[draw(len(_FAMILY_ENDS))]} {_stem(draw)} Ltd"


def _told_by(name: str) -> set[str]:
    """Its words, and every two syllables in a row of Korean ones; a family name alone tells nothing, nor does Ltd."""
    words = set(re.findall(r"\w+", name.casefold()))
    pairs = {word[at : at + 2] for word in words if _HANGUL.search(word) for at in range(len(word) - 1)}
    return (words | pairs) - {"ltd", "상사"}


def tells_the_name(value: str, fake: str) -> bool:
    """Whether a fake name holds a word of the real one, or two syllables in a row of a Korean one."""
    return not _told_by(value).isdisjoint(_told_by(fake))
