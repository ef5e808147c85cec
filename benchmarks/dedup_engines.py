"""One deduplication engine on one Arrow file, timed inside the process; see dedup_speed.py.

    python benchmarks/dedup_engines.py ENGINE corpus.arrow

Prints seconds from the Arrow column of raw text to the rows that stay, CPU seconds, and how many stay. Runs in the
engine's own environment, so it imports nothing of this project but for the engine ``datakit``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

PERMUTATIONS, NGRAM, THRESHOLD = 128, 5, 0.8


def texts_of(path: str) -> Any:
    """The column, mapped."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.memory_map(path)).read_all().column("text")


def shingles(text: str) -> list[str]:
    """Word 5-grams as rensa's own benchmark makes them."""
    words = text.lower().split()
    if len(words) < NGRAM:
        return words
    return [" ".join(words[at : at + NGRAM]) for at in range(len(words) - NGRAM + 1)]


def datakit(texts: Any) -> int:
    """This project: verified pairs, greedy."""
    from datakit.dedup import deduplicate

    return int(deduplicate(texts, threshold=THRESHOLD, ngram=NGRAM, num_perm=PERMUTATIONS).keep.sum())


def _rensa_flags(matrix: Any) -> int:
    from rensa import RMinHashLSH

    lsh = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)
    flags = lsh.query_duplicate_flags_matrix_one_shot(matrix)
    return len(flags) - sum(flags)


def rensa(texts: Any) -> int:
    """R-MinHash and its LSH by their batch calls; rows that share a band with another, unverified."""
    from rensa import RMinHash

    sets = [shingles(text) for text in texts.to_pylist()]
    return _rensa_flags(RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, 1))


def rensa_objects(texts: Any) -> int:
    """R-MinHash with its LSH and candidate check as its README shows them, row by row."""
    from rensa import RMinHashDeduplicator

    dedup = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=PERMUTATIONS, use_lsh=True)
    return sum(dedup.add_pairs((str(at), shingles(text)) for at, text in enumerate(texts.to_pylist())))


def rensa_rho(texts: Any) -> int:
    """Its rho pipeline, as in its own benchmark: sampled positions, unverified."""
    from rensa import RMinHash

    sets = [shingles(text) for text in texts.to_pylist()]
    return _rensa_flags(RMinHash.digest_matrix_from_token_sets_rho(sets, num_perm=PERMUTATIONS, seed=1, probes=4))


def datasketch(texts: Any) -> int:
    """Its bulk path and LSH: a row goes where an earlier one is found."""
    from datasketch import MinHash, MinHashLSH

    sets = ([shingle.encode() for shingle in shingles(text)] for text in texts.to_pylist())
    lsh = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
    kept = 0
    for at, sketch in enumerate(MinHash.generator(sets, num_perm=PERMUTATIONS, seed=1)):
        if not lsh.query(sketch):
            lsh.insert(str(at), sketch)
            kept += 1
    return kept


ENGINES: dict[str, Callable[[Any], int]] = {
    "datakit": datakit,
    "rensa": rensa,
    "rensa_objects": rensa_objects,
    "rensa_rho": rensa_rho,
    "datasketch": datasketch,
}


def main() -> None:
    """Times one engine."""
    name, path = sys.argv[1:3]
    texts = texts_of(path)
    ENGINES[name](texts.slice(0, 500))  # imports, compiled code, thread pools
    started, used = time.perf_counter(), time.process_time()
    kept = ENGINES[name](texts)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "rows": len(texts), "kept": kept}))


if __name__ == "__main__":
    main()
