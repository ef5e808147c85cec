"""Texts as hashed word n-grams: importance weights against a target (DSIR), and vectors where there is no encoder."""

from __future__ import annotations

import zlib
from typing import Any

import pyarrow as pa

from datakit.filters.lines import split_pieces

__all__ = ["BUCKETS", "hashed_ngrams", "hashed_vectors", "importance"]

BUCKETS = 10_000
"""As in DSIR's paper."""

_MIX = 0x9E3779B1


def hashed_ngrams(texts: pa.Array, *, buckets: int = BUCKETS) -> tuple[Any, Any]:
    """Bucket and text of every word and every pair of neighbouring words, lower-cased."""
    import numpy as np
    import pyarrow.compute as pc

    words = split_pieces(pc.utf8_lower(texts), r"[\s\p{Z}]+")
    coded = pc.dictionary_encode(words.values)
    distinct = np.array([zlib.crc32(word.encode()) for word in coded.dictionary.to_pylist()], dtype=np.uint64)
    hashes = distinct[coded.indices.to_numpy(zero_copy_only=False)] if len(distinct) else distinct
    owner = words.owner.astype(np.int64)
    pairs = (hashes[:-1] * np.uint64(_MIX) + hashes[1:]) & np.uint64(0xFFFFFFFFFF)
    inside = owner[:-1] == owner[1:]
    buckets_of = np.concatenate([hashes, pairs[inside]]) % np.uint64(buckets)
    return buckets_of.astype(np.int64), np.concatenate([owner, owner[:-1][inside]])


def importance(texts: pa.Array, target: pa.Array) -> Any:
    """Log importance weight of each text: log p(text) - log q(text), q from all texts, p from the target.

    Xie et al. 2023, "Data Selection for Language Models via Importance Resampling", arXiv 2302.03169, section 3: both
    distributions are bags of hashed uni- and bigrams. Half of p is q here, so that no n-gram of a text is impossible
    and a target of a few lines does not drown in smoothing.
    """
    import numpy as np

    bucket, owner = hashed_ngrams(texts)
    counts = np.bincount(bucket, minlength=BUCKETS)
    raw = np.maximum(counts, 1) / max(counts.sum(), 1)  # an empty bucket is never asked for
    wanted = np.bincount(hashed_ngrams(target)[0], minlength=BUCKETS)
    ratio = np.log(0.5 + 0.5 * (wanted / max(wanted.sum(), 1)) / raw)
    return np.bincount(owner, weights=ratio[bucket], minlength=len(texts))


def hashed_vectors(texts: pa.Array, *, size: int = 512) -> Any:
    """A unit vector per text: square roots of its hashed n-gram counts; zero for a text without words."""
    import numpy as np

    bucket, owner = hashed_ngrams(texts, buckets=size)
    counts = np.bincount(owner * size + bucket, minlength=len(texts) * size).reshape(len(texts), size)
    vectors = np.sqrt(counts).astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
