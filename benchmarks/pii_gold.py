"""Recall, precision and speed of ``datakit.pii`` on gold rows, beside Presidio's own analyser without a model.

    python benchmarks/pii_gold.py

Reads ``pii/presidio_research`` under DATAKIT_REAL_DATA (or ../shared/data); writes benchmarks/results/pii_gold.json.
Recall, precision and F1 per kind twice: ``overlap`` asks for the kind and at least one character in common, ``exact``
for the same first and last character. Stock is asked with the same least score, 0.4; rows per second are of CPU time.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = {"DOMAIN_NAME": "URL"}
STOCK_REGIONS = ["US", "GB", "DE", "FR", "IL", "IN", "CA", "BR"]
WAYS = ("overlap", "exact")
Found = list[tuple[str, int, int]]


def gold_rows() -> list[dict[str, Any]]:
    """The 1,500 synthetic sentences with their spans."""
    folder = Path(os.environ.get("DATAKIT_REAL_DATA", ROOT.parent / "shared" / "data"))
    with gzip.open(folder / "pii/presidio_research/synth_dataset_v2.json.gz", "rt", encoding="utf-8") as stream:
        return json.load(stream)


def datakit_finder(regions: list[str] | None) -> Callable[[str], Found]:
    """Our detector with the default kinds and dates."""
    from datakit.pii.detect import Detector
    from datakit.pii.recognizers import regions_of, wanted_entities

    where = regions_of(["en"], regions)
    detector = Detector([*wanted_entities(None, where), "DATE_TIME"], where, min_score=0.4)
    return lambda text: [(span.entity, span.start, span.end) for span in detector(text)]


def stock_finder() -> Callable[[str], Found]:
    """Presidio's AnalyzerEngine with its default recognisers that need no model, at the same least score."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tldextract
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine
    tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    tldextract.extract = tldextract.tldextract.TLD_EXTRACTOR
    nlp = NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}])
    nlp.load()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])

    def find(text: str) -> Found:
        return [(r.entity_type, r.start, r.end) for r in engine.analyze(text, "en", score_threshold=0.4)]

    return find


def measure(rows: list[dict[str, Any]], find: Callable[[str], Found]) -> dict[str, Any]:
    """Counts per kind, and rows per second."""
    find(rows[0]["full_text"])
    started = time.process_time()
    found = [find(row["full_text"]) for row in rows]
    seconds = time.process_time() - started
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row, spans in zip(rows, found, strict=True):
        truths = [
            (OURS.get(t["entity_type"], t["entity_type"]), t["start_position"], t["end_position"]) for t in row["spans"]
        ]
        for kind, start, end in truths:
            count = kinds[kind]
            count["gold"] += 1
            count["overlap hit"] += any(k == kind and s < end and start < e for k, s, e in spans)
            count["exact hit"] += (kind, start, end) in spans
        for kind, start, end in spans:
            count = kinds[kind]
            count["found"] += 1
            count["overlap right"] += any(k == kind and s < end and start < e for k, s, e in truths)
            count["exact right"] += (kind, start, end) in truths
    table = {
        kind: {
            "gold": count["gold"],
            "found": count["found"],
            **{way: scores(count[f"{way} hit"], count["gold"], count[f"{way} right"], count["found"]) for way in WAYS},
        }
        for kind, count in sorted(kinds.items())
    }
    return {"rows_per_second": round(len(rows) / seconds), "kinds": table}


def scores(hit: int, gold: int, right: int, found: int) -> dict[str, float | None]:
    """Recall, precision and their harmonic mean; None where there is nothing to divide by."""
    recall, precision = hit / gold if gold else None, right / found if found else None
    f1 = None
    if recall is not None and precision is not None:
        f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    numbers = {"recall": recall, "precision": precision, "f1": f1}
    return {name: None if value is None else round(value, 4) for name, value in numbers.items()}


def main() -> None:
    """Measures, prints and writes."""
    rows = gold_rows()
    results = {
        "format": 1,
        "command": "python benchmarks/pii_gold.py",
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("presidio-analyzer", "phonenumbers")},
        "rows": len(rows),
        "datakit, US GB": measure(rows, datakit_finder(None)),
        "datakit, 8 regions": measure(rows, datakit_finder(STOCK_REGIONS)),
        "presidio stock, 8 regions": measure(rows, stock_finder()),
    }
    path = ROOT / "benchmarks" / "results" / "pii_gold.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, result in results.items():
        if isinstance(result, dict) and "kinds" in result:
            print(f"{name}: {result['rows_per_second']} rows/s")
            for kind, count in result["kinds"].items():
                if count["found"] or count["gold"]:
                    print(f"  {kind:18} gold {count['gold']:4} found {count['found']:4}", end="")
                    print("".join(f"  {way} {' '.join(str(value) for value in count[way].values())}" for way in WAYS))


if __name__ == "__main__":
    main()
