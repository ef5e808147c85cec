"""What decontamination finds between real sets that should have nothing in common, beside labels by brute force.

    python benchmarks/decontaminate_clean.py

The label of a pair of text and item says, from Python tuples alone, whether the text holds 13 words in a row of the
item's prompt or answer (8 of a shorter one, twice as many characters of unspaced scripts, a still shorter prompt as a
whole text or turn). Runs of words that more than 1 % of the items, and more than ten, have in common are the task's
wording. A pair that is found and has no such run is a false positive; the others quote the same source, and ``covered``
tells how much of it. Reads DATAKIT_REAL_DATA (or ../shared/data); writes benchmarks/results/decontaminate_clean.json.
"""

from __future__ import annotations

import json
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import real_texts
from brute_force import OPERATORS, Gram, grams, kind, normal_form, units
from real_texts import ROOT, Pair

LONG, SHORT = 13, 8


def separates(sign: str) -> bool:
    """Whether a character is a symbol or stands between words."""
    return kind(sign) == "between" or unicodedata.category(sign).startswith("S") or sign in OPERATORS


def bare(text: str) -> list[str]:
    """The units of a text, its symbols taken for spaces."""
    return units("".join(" " if separates(sign) else sign for sign in text))


def length_of(side: str) -> tuple[list[str], int]:
    """Units of a side, and how many in a row count; 0 where it has too few."""
    found = bare(side)
    words = "".join(" " if separates(sign) else sign for sign in normal_form(side)).split()
    factor = 2 if len(found) > 2 * len(words) else 1
    return found, next((size * factor for size in (LONG, SHORT) if len(found) >= size * factor), 0)


def shared(texts: Sequence[Sequence[str]], items: Sequence[Pair]) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs of text and item with a run in common: any, and one that is not the task's wording."""
    holders: dict[int, dict[Gram, set[int]]] = defaultdict(lambda: defaultdict(set))
    whole: dict[Gram, set[int]] = defaultdict(set)
    for number, sides in enumerate(items):
        for at, side in enumerate(sides):
            found, length = length_of(side)
            for gram in grams(found, length) if length else ():
                holders[length][gram].add(number)
            if at == 0 and not length and (signs := units(side)):
                whole[tuple(signs)].add(number)
    wording = max(10, 0.01 * len(items))
    some, telling = set(), set()
    for row, parts in enumerate(texts):
        here = bare("\n".join(parts))
        for length, known in holders.items():
            for gram in set(grams(here, length)) & known.keys():
                pairs = {(row, number) for number in known[gram]}
                some |= pairs
                telling |= pairs if len(known[gram]) <= wording else set()
        for part in parts:
            pairs = {(row, number) for number in whole.get(tuple(units(part)), ())}
            some |= pairs
            telling |= pairs
    return some, telling


def measured(texts: list[tuple[str, ...]], items: list[Pair]) -> dict[str, Any]:
    """Found pairs beside labelled ones."""
    from datakit.decontaminate import decontaminate

    table = pa.table(
        {
            "task": ["benchmark"] * len(items),
            "item_id": [str(number) for number in range(len(items))],
            "prompt": [item[0] for item in items],
            "answer": [item[1] for item in items],
        }
    )
    covered: dict[tuple[int, int], float] = defaultdict(float)
    for match in decontaminate(texts, table).matches.to_pylist():
        pair = match["row"], int(match["item_id"])
        # A short answer is found with its prompt only, and then as a whole: the prompt tells how much is shared.
        counts = match["side"] == "prompt" or len(units(items[pair[1]][1])) >= SHORT
        covered[pair] = max(covered[pair], match["covered"] if counts else 0)
    some, telling = shared(texts, items)
    most = Counter[int]()
    for (row, _), share in covered.items():
        most[row] = max(most[row], share)
    return {
        "texts": len(texts),
        "items": len(items),
        "texts_found": len(most),
        "items_found": len({item for _, item in covered}),
        "pairs_found": len(covered),
        "pairs_found_without_a_common_run": len(covered.keys() - some),
        "pairs_with_a_common_run_not_found": len(telling - covered.keys()),
        "pairs_with_the_wording_alone": len(some - telling),
        "covered_median": round(statistics.median(covered.values()), 3) if covered else None,
        "texts_covered_above_half": sum(share > 0.5 for share in most.values()),
    }


def singles(texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Texts without turns."""
    return ((text,) for text in texts)


CASES: dict[str, Callable[[], tuple[Iterable[tuple[str, ...]], Iterable[Pair]]]] = {
    "gpteacher, gsm8k test": lambda: (real_texts.gpteacher(), real_texts.gsm8k("test")),
    "gpteacher, boolq test": lambda: (real_texts.gpteacher(), real_texts.multiple_choice("boolq", "test")),
    "gpteacher, openbookqa test": lambda: (real_texts.gpteacher(), real_texts.multiple_choice("openbookqa", "test")),
    "gpteacher, truthfulqa": lambda: (real_texts.gpteacher(), real_texts.truthful()),
    "gsm8k train, gsm8k test": lambda: (real_texts.gsm8k("train"), real_texts.gsm8k("test")),
    "arc-easy train, arc-easy test": lambda: (
        real_texts.multiple_choice("ARC-Easy", "train"),
        real_texts.multiple_choice("ARC-Easy", "test"),
    ),
    "wikitext valid, gpteacher": lambda: (singles(real_texts.wikipedia("valid")), real_texts.gpteacher()),
    "wikitext valid, boolq test": lambda: (
        singles(real_texts.wikipedia("valid")),
        real_texts.multiple_choice("boolq", "test"),
    ),
    "sms, truthfulqa": lambda: (singles(real_texts.sms()), real_texts.truthful()),
    "korean chat, klue-nli": lambda: (real_texts.korean_chat(), real_texts.korean_inference()),
    "korean reviews, klue-nli": lambda: (singles(real_texts.korean_reviews()), real_texts.korean_inference()),
}


def main() -> None:
    """Measures, prints and writes."""
    results: dict[str, Any] = {"format": 1, "command": "python benchmarks/decontaminate_clean.py", "pairs": {}}
    for name, case in CASES.items():
        texts, items = case()
        results["pairs"][name] = measured(list(texts), list(items))
        print(name, json.dumps(results["pairs"][name]), flush=True)
    path = ROOT / "benchmarks" / "results" / "decontaminate_clean.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
