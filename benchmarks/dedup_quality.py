"""Recall and precision of deduplication on real texts, and what decontamination finds in clean ones.

Truth at 0.8 is made by brute force from Python string sets.

    python benchmarks/dedup_quality.py

Reads DATAKIT_REAL_DATA (or ../shared/data); writes benchmarks/results/dedup_quality.json.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("DATAKIT_REAL_DATA", ROOT.parent / "shared" / "data"))
TEXTS, THRESHOLD = 20_000, 0.8


def opened(name: str) -> Any:
    """A gzipped text file."""
    return gzip.open(DATA / name, "rt", encoding="utf-8")


def texts() -> Iterator[str]:
    """Instructions, messages and reviews in English and Korean, near-duplicates as they came."""
    for name in ("toolformer-dedupe-only-dataset.json.gz", "roleplay-simple-deduped-roleplay-dataset.json.gz"):
        path = DATA / "instruction/gpteacher" / name
        if path.exists():
            with opened(f"instruction/gpteacher/{name}") as stream:
                yield from (
                    f"{row.get('instruction', '')} {row.get('output', row.get('response', ''))}"
                    for row in json.load(stream)
                )
    with opened("classification/sms_spam/SMSSpamCollection.gz") as stream:
        yield from (line.rstrip("\n").split("\t", 1)[1] for line in stream)
    for path in [DATA / "benchmarks/gsm8k/train.jsonl.gz"]:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            yield from (json.loads(line)["question"] for line in stream)
    for path in sorted((DATA / "instruction/korean_chatbot").glob("*.csv*")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            yield from (f"{row['Q']} {row['A']}" for row in csv.DictReader(stream))


def truth() -> Any:
    """Brute force, as the tests do it."""
    spec = importlib.util.spec_from_file_location("truth", ROOT / "tests/datakit/dedup/truth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def duplicates(some: list[str]) -> dict[str, Any]:
    """Recall and precision of what is dropped."""
    from datakit.dedup import deduplicate

    pairs = truth().true_pairs(some, THRESHOLD)
    result = deduplicate(some, threshold=THRESHOLD)
    missed = sum(bool(result.keep[i] and result.keep[j]) for i, j in pairs)
    dropped = [(min(row, other), max(row, other)) for row, other in enumerate(result.partner.tolist()) if other >= 0]
    return {
        "texts": len(some),
        "true_pairs": len(pairs),
        "dropped": len(dropped),
        "recall": round(1 - missed / len(pairs), 5),
        "precision": round(sum(pair in pairs for pair in dropped) / len(dropped), 5),
    }


def items(task: str, rows: list[tuple[str, str]]) -> pa.Table:
    """Benchmark items."""
    return pa.table(
        {
            "task": [task] * len(rows),
            "item_id": [str(n) for n in range(len(rows))],
            "prompt": [row[0] for row in rows],
            "answer": [row[1] for row in rows],
        }
    )


def clean_pairs() -> dict[str, Any]:
    """Texts found to hold items of benchmarks that they should not hold."""
    from datakit.decontaminate import decontaminate

    def gsm8k(part: str) -> list[tuple[str, str]]:
        path = DATA / "benchmarks/gsm8k" / f"{part}.jsonl.gz"
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            return [(row["question"], row["answer"]) for row in map(json.loads, stream)]

    with opened("instruction/gpteacher/toolformer-dedupe-only-dataset.json.gz") as stream:
        teacher = [[row["instruction"], row["output"]] for row in json.load(stream)]
    pairs = {
        "gsm8k train, gsm8k test": ([list(row) for row in gsm8k("train")], items("gsm8k", gsm8k("test"))),
        "gpteacher, gsm8k test": (teacher, items("gsm8k", gsm8k("test"))),
    }
    boolq = sorted((DATA / "benchmarks/llm_adapters_commonsense_math/boolq").glob("*.json.gz"))
    if boolq:
        with gzip.open(boolq[0], "rt", encoding="utf-8") as stream:
            rows = [(row.get("instruction", ""), row.get("answer", "")) for row in json.load(stream)]
        pairs["gpteacher, boolq"] = (teacher, items("boolq", rows))
    found = {}
    for name, (training, benchmark) in pairs.items():
        result = decontaminate(training, benchmark)
        covered = result.matches.column("covered").to_pylist()
        found[name] = {
            "texts": len(training),
            "items": benchmark.num_rows,
            "texts_found": int((~result.keep).sum()),
            "items_found": len(set(result.matches.column("item_id").to_pylist())),
            "covered_at_most": round(max(covered, default=0.0), 3),
            "matches_covered_above_half": sum(share > 0.5 for share in covered),
        }
    return found


def main() -> None:
    """Measures, prints and writes."""
    some = list(itertools.islice(texts(), TEXTS))
    results = {
        "format": 1,
        "command": "python benchmarks/dedup_quality.py",
        "threshold": THRESHOLD,
        "duplicates": duplicates(some),
        "contamination of clean pairs": clean_pairs(),
    }
    path = ROOT / "benchmarks" / "results" / "dedup_quality.json"
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
