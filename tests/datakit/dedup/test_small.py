"""Small inputs without a compiler: the same result to the last pair."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.dedup import cluster, deduplicate, signatures


def both(work):
    """What is found without compiled kernels and with them."""
    for most in (2000, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("datakit.text.plain.MAX_TEXTS", most)
            yield work()


def crowded(rng, count):
    """Form letters, so many alike that buckets overflow, among other texts."""
    base = [f"t{i}" for i in range(40)]
    texts = []
    for number in range(count):
        words = list(base)
        for place in rng.sample(range(40), rng.choice([0, 1, 1, 2, 3])):
            words[place] = f"x{number}"
        texts.append(" ".join(words) if rng.random() < 0.9 else f"a few words of {number}")
    return texts


def same(left, right):
    for name in ("keep", "partner", "similarity", "exact", "conflict", "cluster", "outside"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), name)
    assert left.pairs.equals(right.pairs)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([0.5, 0.8, 0.95, 1.0]), st.sampled_from(["drop", "keep_first", "keep"]),
    st.booleans(),
)  # fmt: skip
def test_crowds_labels_references_and_missing_texts(seed, threshold, on_conflict, against):
    rng = random.Random(seed)
    texts = [text if rng.random() < 0.97 else None for text in crowded(rng, 260)]
    labels = [rng.choice(["a", "a", "a", "b", None]) for _ in texts]
    reference = crowded(rng, 30) if against else None

    def work():
        return deduplicate(
            texts, threshold=threshold, labels=labels, on_conflict=on_conflict, against=reference, keep="longest"
        )

    same(*both(work))


def test_two_phases_and_groups(edited_texts):
    texts = edited_texts(150, 3)
    within = [f"group {number % 3}" if number % 7 else None for number in range(150)]
    same(*both(lambda: deduplicate(texts, within=within)))
    tables = list(both(lambda: signatures([*texts, None])))
    assert tables[0].equals(tables[1])
    same(*both(lambda: cluster(pa.concat_tables([tables[0], tables[1]]))))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_what_stays_stays_and_every_row_is_accounted_for(seed):
    rng = random.Random(seed)
    texts = crowded(rng, 120)
    found = deduplicate(texts)
    assert found.keep.sum() + (found.partner >= 0).sum() == len(texts)
    assert found.keep[found.partner[~found.keep]].all()
    assert deduplicate([text for text, stays in zip(texts, found.keep, strict=True) if stays]).keep.all()


def test_nothing_is_compiled_or_loaded_for_few_texts():
    code = (
        "import sys\n"
        "from datakit.dedup import deduplicate\n"
        "texts = [' '.join(f'w{k}' for k in range(30)) + f' end {n}' for n in range(200)]\n"
        "print(int(deduplicate(texts, labels=['a', 'b'] * 100).keep.sum()), 'numba' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]
