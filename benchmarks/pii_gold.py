"""Recall, precision and speed of ``datakit.pii`` on gold rows, beside Presidio's own analyser without a model.

    python benchmarks/pii_gold.py

Reads ``pii/presidio_research`` under DATAKIT_REAL_DATA (or ../shared/data); writes benchmarks/results/pii_gold.json.
A finding counts where kind and at least one character agree; ``exact`` asks for the same first and last character.
"""

from __future__ import annotations

import gzip
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = {"DOMAIN_NAME": "URL"}
STOCK_REGIONS = ["US", "GB", "DE", "FR", "IL", "IN", "CA", "BR"]
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
    started = time.perf_counter()
    found = [find(row["full_text"]) for row in rows]
    seconds = time.perf_counter() - started
    kinds: dict[str, dict[str, int]] = {}
    for row, spans in zip(rows, found, strict=True):
        truths = [
            (OURS.get(t["entity_type"], t["entity_type"]), t["start_position"], t["end_position"]) for t in row["spans"]
        ]
        for kind, start, end in truths:
            count = kinds.setdefault(kind, dict.fromkeys(("gold", "overlap", "exact", "found", "right"), 0))
            count["gold"] += 1
            count["overlap"] += any(k == kind and s < end and start < e for k, s, e in spans)
            count["exact"] += (kind, start, end) in spans
        for kind, start, end in spans:
            count = kinds.setdefault(kind, dict.fromkeys(("gold", "overlap", "exact", "found", "right"), 0))
            count["found"] += 1
            count["right"] += any(k == kind and s < end and start < e for k, s, e in truths)
    table = {
        kind: {
            **count,
            "recall": round(count["overlap"] / count["gold"], 4) if count["gold"] else None,
            "precision": round(count["right"] / count["found"], 4) if count["found"] else None,
        }
        for kind, count in sorted(kinds.items())
    }
    return {"rows_per_second": round(len(rows) / seconds), "kinds": table}


def main() -> None:
    """Measures, prints and writes."""
    rows = gold_rows()
    results = {
        "format": 1,
        "rows": len(rows),
        "datakit, US GB": measure(rows, datakit_finder(None)),
        "datakit, 8 regions": measure(rows, datakit_finder(STOCK_REGIONS)),
        "presidio stock, 8 regions": measure(rows, stock_finder()),
    }
    path = ROOT / "benchmarks" / "results" / "pii_gold.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, result in results.items():
        if isinstance(result, dict):
            print(f"{name}: {result['rows_per_second']} rows/s")
            for kind, count in result["kinds"].items():
                if count["found"] or kind in ("PERSON", "GPE"):
                    print(
                        f"  {kind:18} gold {count['gold']:4}  recall {count['recall']}  precision {count['precision']}"
                    )


if __name__ == "__main__":
    main()
