from __future__ import annotations

import gzip
import json
import time

import numpy as np
import pytest

from datakit.dedup import deduplicate

pytestmark = pytest.mark.real


def recall(result, pairs):
    missed = sum(bool(result.keep[i] and result.keep[j]) for i, j in pairs)
    return 1 - missed / len(pairs)


def test_sms_spam(real_data, truth):
    with gzip.open(real_data / "classification/sms_spam/SMSSpamCollection.gz", "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t", 1) for line in stream]
    texts = [text for _, text in rows]
    started = time.process_time()
    result = deduplicate(texts, labels=[label for label, _ in rows])
    assert time.process_time() - started < 3
    pairs = truth.true_pairs(texts, 0.8)
    assert recall(result, pairs) >= 0.98
    for row in np.flatnonzero(~result.keep).tolist():
        other = int(result.partner[row])
        assert result.similarity[row] == pairs[min(row, other), max(row, other)]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_gpteacher(real_data, truth, threshold):
    with gzip.open(real_data / "instruction/gpteacher/toolformer-dedupe-only-dataset.json.gz") as stream:
        texts = [row["output"] for row in json.load(stream)]
    result = deduplicate(texts, threshold=threshold)
    pairs = truth.true_pairs(texts, threshold)
    assert len(pairs) > 1000
    assert recall(result, pairs) >= 0.98
    found = zip(*(result.pairs.column(name).to_pylist() for name in ("first", "second")), strict=True)
    assert {tuple(sorted(pair)) for pair in found} <= set(pairs)
