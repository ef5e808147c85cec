"""A seeded corpus of any size with a fixed share of exact and near-duplicates, for timings.

    python benchmarks/corpus.py 100000 corpus.arrow --language en

Words are made of syllables and drawn by Zipf's law; lengths are log-normal, about 110 words (English) or 55 (Korean).
Of every 10,000 texts 1,000 are exact and 1,000 near copies (0.5 to 2.5 % of the words replaced) of others among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BATCH = 10_000
EXACT = NEAR = 1_000
_ONSETS = [*"bcdfghjklmnprstvw", "br", "ch", "cl", "dr", "fl", "gr", "pl", "pr", "qu", "sh", "st", "str", "th", "tr"]
_NUCLEI = [*"aeiou", "ai", "ea", "ee", "io", "ou"]
_CODAS = ["", "", "", *"nrstlmd", "ng", "nd", "st", "ck"]
_PARTICLES = ["", "은", "는", "이", "가", "을", "를", "에", "에서", "으로", "와", "도", "의", "하다", "했습니다"]


def vocabulary(language: str, size: int, seed: int) -> list[str]:
    """Distinct words, the most frequent first, and shorter ones earlier as in real text."""
    random = np.random.default_rng(seed)
    words: dict[str, None] = {}
    while len(words) < size:
        syllables = 1 + int(random.integers(0, 1 + min(3, 1 + len(words) // 300)))
        if language == "ko":
            word = "".join(chr(0xAC00 + int(random.integers(0, 11172))) for _ in range(syllables))
            word += _PARTICLES[int(random.integers(0, len(_PARTICLES)))]
        else:
            word = "".join(str(random.choice(part)) for _ in range(syllables) for part in (_ONSETS, _NUCLEI, _CODAS))
        words[word] = None
    return list(words)


def batches(texts: int, *, language: str = "en", seed: int = 1) -> Iterator[pa.Array]:
    """String arrays of at most 10,000 texts."""
    words = vocabulary(language, 30_000, seed)
    forms = [*words, *(f"{word}," for word in words), *(f"{word}." for word in words), *(w.capitalize() for w in words)]
    forms_array = pa.array(forms)
    frequency = 1 / (np.arange(len(words)) + 2.7) ** 1.05
    cumulated = np.cumsum(frequency / frequency.sum())
    mean = np.log(90 if language == "en" else 45)
    for start in range(0, texts, BATCH):
        random = np.random.default_rng((seed, start))
        count = min(BATCH, texts - start)
        lengths = np.clip(random.lognormal(mean, 0.65, count), 6, 3000).astype(np.int64)
        ids = [_words(random, length, cumulated, len(words)) for length in lengths.tolist()]
        _copy(random, ids, len(words))
        offsets = np.concatenate([[0], np.cumsum([len(text) for text in ids])]).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), forms_array.take(pa.array(np.concatenate(ids))))
        yield pc.binary_join(lists, " ")


def _words(random: np.random.Generator, length: int, cumulated: np.ndarray, size: int) -> np.ndarray:
    ids = np.minimum(np.searchsorted(cumulated, random.random(length)), size - 1)
    ends = np.cumsum(random.integers(6, 22, length // 6 + 1))
    ends = ends[ends < length - 1]
    commas = ends[:-1] + 3
    ids[commas[commas < length - 1]] += size
    ids[ends] = ids[ends] % size + 2 * size
    ids[ends + 1] = ids[ends + 1] % size + 3 * size
    return ids


def _copy(random: np.random.Generator, ids: list[np.ndarray], size: int) -> None:
    """Overwrites a tenth of the texts with copies of others, another tenth with edited copies."""
    count = len(ids)
    order = random.permutation(count)
    exact, near = count * EXACT // BATCH, count * NEAR // BATCH
    originals = order[exact + near :]
    for place in order[:exact].tolist():
        ids[place] = ids[int(random.choice(originals))]
    for place in order[exact : exact + near].tolist():
        copy = ids[int(random.choice(originals))].copy()
        edits = max(1, round(len(copy) * random.uniform(0.005, 0.025)))
        copy[random.integers(0, len(copy), edits)] = random.integers(0, size, edits)
        ids[place] = copy


def write(path: Path, texts: int, *, language: str = "en", seed: int = 1) -> Path:
    """An Arrow file with the column ``text``."""
    schema = pa.schema([("text", pa.string())])
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, schema) as writer:
        for batch in batches(texts, language=language, seed=seed):
            writer.write_batch(pa.record_batch([batch], schema=schema))
    return path


def read(path: Path) -> pa.ChunkedArray:
    """The texts, mapped."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column("text")


def main() -> None:
    """Writes a corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--language", choices=["en", "ko"], default="en")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(given.path, given.texts, language=given.language, seed=given.seed)


if __name__ == "__main__":
    main()
