"""Truth for what deduplication and decontamination find: Python strings, tuples and dicts, none of datakit's kernels.

All intersections of sets come from one product of sparse matrices, set by shingle, in blocks of rows: exact, as a
double loop over the sets is, and checked against that loop on the first 500 texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

OPERATORS = "*/%&#@\\"
UNSPACED = ("HANGUL", "CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR")
BLOCK = 512
Gram = tuple[str, ...]


def normal_form(text: str) -> str:
    """Case folded, spaces single."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())).strip()


@cache
def kind(character: str) -> str:
    """``between``, ``alone``, ``mark`` or ``word``."""
    category = unicodedata.category(character)
    if category.startswith("S") or character in OPERATORS:
        return "alone"
    if character != "_" and (category[0] in "ZP" or category in ("Cc", "Cf")):
        return "between"
    if category[0] == "M":
        return "mark"
    return "alone" if unicodedata.name(character, "").startswith(UNSPACED) else "word"


def units(text: str) -> list[str]:
    """Words, and where the script does not space them (Hangul counts as such) characters; symbols stand alone."""
    found: list[str] = []
    joined, any_yet = False, False
    for character in normal_form(text):
        which = kind(character)
        if which == "mark":
            if any_yet:
                found[-1] += character
        elif which == "between":
            joined = any_yet = False
        elif which == "word" and joined:
            found[-1] += character
        else:
            found.append(character)
            joined, any_yet = which == "word", True
    return found


def grams(some: Sequence[str], length: int) -> list[Gram]:
    """All runs of so many units."""
    return [tuple(some[at : at + length]) for at in range(len(some) - length + 1)]


def shingles(text: str, ngram: int = 5) -> frozenset[Gram]:
    """The shingle set of a text; a short one is a single shingle."""
    found = grams(units(text), ngram)
    return frozenset(found) if found else frozenset({("", normal_form(text))})


def double_loop(sets: Sequence[frozenset[Gram]], threshold: float) -> dict[tuple[int, int], float]:
    """Similar pairs, each pair of sets intersected by Python."""
    pairs = {}
    for second, one in enumerate(sets):
        for first in range(second):
            common = len(one & sets[first])
            similarity = common / (len(one) + len(sets[first]) - common)
            if similarity >= threshold:
                pairs[first, second] = similarity
    return pairs


def similar_pairs(sets: Sequence[frozenset[Gram]], threshold: float) -> dict[tuple[int, int], float]:
    """The same pairs by a product of sparse matrices."""
    from scipy.sparse import csr_matrix

    holders = Counter(shingle for one in sets for shingle in one)
    numbers = {shingle: number for number, shingle in enumerate(name for name, held in holders.items() if held > 1)}
    rows = [[numbers[shingle] for shingle in one if shingle in numbers] for one in sets]
    indices = np.fromiter((number for row in rows for number in row), dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    matrix = csr_matrix(
        (np.ones(len(indices), dtype=np.int32), indices, starts), shape=(len(sets), max(len(numbers), 1))
    )
    other, sizes, pairs = matrix.T.tocsr(), np.array([len(one) for one in sets]), {}
    for begin in range(0, len(sets), BLOCK):
        common = (matrix[begin : begin + BLOCK] @ other).tocoo()
        first, second = common.row + begin, common.col
        similarity = common.data / (sizes[first] + sizes[second] - common.data)
        chosen = np.flatnonzero((first < second) & (similarity >= threshold))
        pairs.update(
            zip(
                zip(first[chosen].tolist(), second[chosen].tolist(), strict=True),
                similarity[chosen].tolist(),
                strict=True,
            )
        )
    return pairs


def checked_pairs(texts: Sequence[str], threshold: float, *, ngram: int = 5) -> dict[tuple[int, int], float]:
    """All similar pairs; the product must agree with the double loop on the first 500 texts."""
    sets = [shingles(text, ngram) for text in texts]
    if similar_pairs(sets[:500], threshold) != double_loop(sets[:500], threshold):
        raise SystemExit("the two ways to find the true pairs do not agree")
    return similar_pairs(sets, threshold)
