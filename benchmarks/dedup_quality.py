"""Recall and precision of deduplication on real texts at 0.8, against all pairs found by brute force (brute_force.py).

    python benchmarks/dedup_quality.py

Three times 20,000 texts: English instructions, messages and sums; English rows under many templates, with messages;
Korean chat and reviews. Recall is the share of true pairs of which at most one row stays; precision the share of
dropped rows whose named partner stays and is truly as similar as said. Reads DATAKIT_REAL_DATA (or ../shared/data);
writes benchmarks/results/dedup_quality.json.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import brute_force
import real_texts
from real_texts import ROOT

TEXTS, THRESHOLD = 20_000, 0.8


def corpora() -> Iterator[tuple[str, list[str]]]:
    """Names and texts."""

    def joined(*several: Iterator[Any]) -> list[str]:
        rows = itertools.islice(itertools.chain(*several), TEXTS)
        return [row if isinstance(row, str) else " ".join(row) for row in rows]

    yield "english", joined(real_texts.gpteacher(), real_texts.sms(), real_texts.gsm8k("train"))
    yield "english, templates", joined(real_texts.rendered(), real_texts.sms())
    yield "korean", joined(real_texts.korean_chat(), real_texts.korean_reviews())


def measured(texts: list[str]) -> dict[str, Any]:
    """Recall and precision of what is dropped."""
    from datakit.dedup import deduplicate

    started = time.perf_counter()
    pairs = brute_force.checked_pairs(texts, THRESHOLD)
    seconds = time.perf_counter() - started
    result = deduplicate(texts, threshold=THRESHOLD, unit="auto")  # as a recipe does
    keep, partner, similarity = result.keep.tolist(), result.partner.tolist(), result.similarity.tolist()
    missed = [pair for pair in pairs if keep[pair[0]] and keep[pair[1]]]
    right = sum(
        keep[other] and pairs.get((min(row, other), max(row, other))) == similarity[row]
        for row, other in enumerate(partner)
        if other >= 0
    )
    dropped = len(texts) - sum(keep)
    return {
        "texts": len(texts),
        "true_pairs": len(pairs),
        "true_pairs_of_different_sets": sum(value < 1 for value in pairs.values()),
        "dropped": dropped,
        "missed_pairs": len(missed),
        "recall": round(1 - len(missed) / len(pairs), 5),
        "precision": round(right / dropped, 5),
        "brute_force_seconds": round(seconds, 1),
    }


def main() -> None:
    """Measures, prints and writes."""
    results = {
        "format": 1,
        "command": "python benchmarks/dedup_quality.py",
        "cores": len(os.sched_getaffinity(0)),
        "threshold": THRESHOLD,
        "truth": "Python string sets; intersections by a sparse product, equal to a double loop on the first 500 texts",
        "corpora": {},
    }
    for name, texts in corpora():
        results["corpora"][name] = measured(texts)
        print(name, json.dumps(results["corpora"][name]), flush=True)
    path = ROOT / "benchmarks" / "results" / "dedup_quality.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
