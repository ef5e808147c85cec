from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.dedup.candidates import MAX_ALL_PAIRS, bands_for, candidate_pairs
from datakit.text.compiled import keys_of_bands


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("num_perm", [64, 128, 256])
def test_bands_promise_the_recall_at_the_threshold(threshold, num_perm):
    bands, rows = bands_for(threshold, num_perm)
    assert bands * rows <= num_perm
    assert 1 - (1 - threshold**rows) ** bands >= 0.99
    longer = num_perm // (rows + 1)
    assert rows == num_perm or 1 - (1 - threshold ** (rows + 1)) ** longer < 0.99


def test_known_bands():
    assert bands_for(0.8, 128) == (21, 6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_candidates_are_exactly_the_pairs_that_agree_in_a_band(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 3, size=(40, 32)).astype(np.uint32)
    bands, rows = bands_for(0.6, 32)
    expected = {
        (i, j)
        for i in range(40)
        for j in range(i + 1, 40)
        if any(
            (matrix[i, k * rows : (k + 1) * rows] == matrix[j, k * rows : (k + 1) * rows]).all() for k in range(bands)
        )
    }
    keys = np.empty((40, bands), dtype=np.uint32)
    keys_of_bands(matrix, rows, keys)
    crowd = np.zeros(40, dtype=bool)
    pairs = [(int(i), int(j)) for some in candidate_pairs(keys, crowd, room=50) for i, j in some]
    assert set(pairs) == expected
    assert len(pairs) == len(expected)
    assert not crowd.any()


def test_fixed_rows_are_not_paired_with_one_another():
    keys = np.zeros((6, 3), dtype=np.uint32)
    pairs = [(int(i), int(j)) for some in candidate_pairs(keys, np.zeros(6, bool), fixed=4) for i, j in some]
    assert sorted(pairs) == sorted((i, j) for j in (4, 5) for i in range(j))


def test_large_buckets_are_left_to_the_crowd():
    keys = np.zeros((MAX_ALL_PAIRS + 2, 2), dtype=np.uint32)
    keys[-1] = 1
    crowd = np.zeros(len(keys), dtype=bool)
    assert sum(map(len, candidate_pairs(keys, crowd))) == 0
    assert crowd.sum() == MAX_ALL_PAIRS + 1
    assert not crowd[-1]
