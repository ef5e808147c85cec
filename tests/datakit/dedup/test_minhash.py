from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash

from datakit.core.errors import StepError
from datakit.dedup import minhash, shingle_hashes, signatures

TEXTS = ["one two three four five six seven", "short", "", "가나다라마바사 아자차카", "x " * 300 + "y"]


@pytest.mark.parametrize("seed", [1, 7])
def test_signatures_are_datasketchs_own(seed):
    matrix = minhash(TEXTS, num_perm=64, seed=seed)
    assert matrix.dtype == np.uint32
    for row, text in zip(matrix, TEXTS, strict=True):
        sketch = MinHash(num_perm=64, seed=seed, scheme="affine32", hashfunc=int)
        for value in shingle_hashes(text):
            sketch.update(int(value))
        assert (row == sketch.hashvalues).all()


def test_a_long_text_sketched_in_pieces_is_sketched_whole():
    text = " ".join(map(str, range(80_000)))
    sketch = MinHash(num_perm=16, seed=1, scheme="affine32", hashfunc=int)
    sketch.update_batch(shingle_hashes(text).tolist())
    assert (minhash([text], num_perm=16)[0] == sketch.hashvalues).all()


def test_signature_agreement_estimates_jaccard():
    left = " ".join(f"w{i}" for i in range(400))
    right = " ".join(f"w{i}" for i in range(100, 500))
    a, b = minhash([left, right], num_perm=1024)
    true = (396 - 100) / (396 + 100)
    assert abs((a == b).mean() - true) < 4 * (true * (1 - true) / 1024) ** 0.5


def test_no_signature_of_a_text_is_empty_and_none_has_none():
    matrix = minhash(["a", "", "  ", "?!", None])
    full = np.uint32(2**32 - 1)
    assert [bool((row == full).all()) for row in matrix] == [False, False, False, False, True]
    assert len(shingle_hashes(None)) == 0


def test_arrow_arrays_are_read_like_lists():
    values = [*TEXTS, None]
    for array in (pa.array(values), pa.chunked_array([values[:2], values[2:]]), pa.array(values, pa.large_string())):
        assert (minhash(array) == minhash(values)).all()


def test_what_is_no_text_is_refused_with_its_place():
    with pytest.raises(StepError, match=r"texts\[1\]: .*int"):
        minhash(["a", 3])  # type: ignore[list-item]


def test_signatures_of_batches_are_those_of_the_whole():
    whole = signatures(TEXTS * 2, num_perm=32)
    parts = pa.concat_tables([signatures(TEXTS, num_perm=32), signatures(TEXTS, num_perm=32)])
    assert whole.combine_chunks().equals(parts.combine_chunks())


def test_empty_input():
    assert minhash([]).shape == (0, 128)
    assert signatures([]).num_rows == 0
