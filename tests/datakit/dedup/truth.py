"""Duplicates by brute force, from Python string sets: none of datakit's own shingling is used here."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

OPERATORS = "*/%&#@\\"


def normal_form(text: str) -> str:
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())).strip()


def words(text: str) -> list[str]:
    """Words of a text in a script with spaces; symbols stand alone, punctuation separates."""
    found: list[str] = []
    joined = False
    for character in normal_form(text):
        category = unicodedata.category(character)
        if category.startswith("S") or character in OPERATORS:
            found.append(character)
            joined = False
        elif character != "_" and (category[0] in "ZP" or category in ("Cc", "Cf")):
            joined = False
        elif joined or (category[0] == "M" and found):
            found[-1] += character
        elif category[0] != "M":
            found.append(character)
            joined = True
    return found


def shingles(text: str, ngram: int = 5) -> frozenset[tuple[str, ...]]:
    units = words(text)
    if len(units) < ngram:
        return frozenset({("whole", normal_form(text))})
    return frozenset(tuple(units[i : i + ngram]) for i in range(len(units) - ngram + 1))


def true_pairs(texts: Sequence[str], threshold: float, ngram: int = 5) -> dict[tuple[int, int], float]:
    """All pairs at or above the threshold, through an inverted index so that a few thousand texts are feasible."""
    sets = [shingles(text, ngram) for text in texts]
    holders: dict[tuple[str, ...], list[int]] = {}
    for index, found in enumerate(sets):
        for shingle in found:
            holders.setdefault(shingle, []).append(index)
    candidates = {pair for where in holders.values() for pair in itertools.combinations(where, 2)}
    pairs = {}
    for first, second in candidates:
        similarity = len(sets[first] & sets[second]) / len(sets[first] | sets[second])
        if similarity >= threshold:
            pairs[first, second] = similarity
    return pairs


def components(count: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Smallest member of each text's connected component."""
    parts = [{index} for index in range(count)]
    for first, second in pairs:
        if parts[first] is not parts[second]:
            parts[first] |= parts[second]
            for member in parts[second]:
                parts[member] = parts[first]
    return [min(part) for part in parts]
