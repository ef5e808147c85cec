"""Buckets too large for all pairs: linear, verified, and complete where it matters."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from datakit.dedup import deduplicate
from datakit.dedup.candidates import MAX_ALL_PAIRS


def letters(count, changed):
    base = [f"t{i}" for i in range(60)]
    for number in range(count):
        words = list(base)
        for place in changed:
            words[place] = f"x{place}n{number}"
        yield " ".join(words)


def test_twenty_thousand_rows_just_below_the_threshold_take_linear_time():
    texts = list(letters(20_000, (0, 30, 59)))  # 49 of 63 shingles: .778
    deduplicate(texts[:200])
    started = time.process_time()
    assert deduplicate(texts, threshold=0.8).keep.all()
    assert time.process_time() - started < 10


def test_near_copies_inside_a_crowd_are_all_found(truth):
    rng = random.Random(4)
    texts = list(letters(400, (0, 20, 40, 59)))
    copies = [text.replace("t10 ", f"y{n} ") for n, text in enumerate(rng.sample(texts, 100))]
    mixed = [*texts, *copies]
    rng.shuffle(mixed)
    pairs = truth.true_pairs(mixed, 0.82)
    result = deduplicate(mixed, threshold=0.82)
    assert len(pairs) >= 100
    assert not any(result.keep[i] and result.keep[j] for i, j in pairs)
    for row in np.flatnonzero(~result.keep).tolist():
        partner = int(result.partner[row])
        assert result.keep[partner]
        assert result.similarity[row] == pairs[min(row, partner), max(row, partner)]
    assert result.cluster.tolist() == truth.components(len(mixed), list(pairs))


@pytest.mark.parametrize("late", [False, True])
def test_labels_in_conflict_inside_a_crowd(late):
    texts = list(letters(3 * MAX_ALL_PAIRS, (30,)))  # all alike: 51 of 61
    labels = ["spam"] * len(texts)
    labels[-1 if late else 0] = "ham"
    result = deduplicate(texts, threshold=0.8, labels=labels)
    assert result.conflict.sum() >= 2
    assert result.conflict[-1 if late else 0]
    kept = deduplicate(texts, threshold=0.8, labels=labels, on_conflict="keep")
    assert kept.keep.sum() == 2
    assert deduplicate(texts, threshold=0.8, labels=labels, on_conflict="keep_first").keep.sum() == 1


def test_sets_of_a_crowd_in_a_file_are_the_same(monkeypatch):
    from datakit.dedup import graph

    texts = list(letters(500, (0, 30)))
    before = deduplicate(texts, threshold=0.8)
    monkeypatch.setattr(graph, "_IN_MEMORY", 10_000)
    after = deduplicate(texts, threshold=0.8)
    assert before.keep.tolist() == after.keep.tolist()
    assert before.pairs.equals(after.pairs)
