"""Speed of ``recognizers: presidio`` and of the default set beside Presidio's own analyser, and that findings agree.

    python benchmarks/pii_speed.py

One core, the same process, the same texts: GPTeacher's instructions (clean) and the 1,500 gold rows (dense) under
DATAKIT_REAL_DATA (or ../shared/data). Writes benchmarks/results/pii_speed.json with the functions that take longest.
"""

from __future__ import annotations

import cProfile
import gzip
import json
import os
import platform
import pstats
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datakit.pii.finder import Finder
from datakit.pii.stock import Stock, offline_domains

ROOT = Path(__file__).resolve().parents[1]
Found = list[list[tuple[str, int, int, float]]]


def texts() -> dict[str, list[str]]:
    """Clean and dense texts."""
    folder = Path(os.environ.get("DATAKIT_REAL_DATA", ROOT.parent / "shared" / "data"))

    def read(path: Path) -> list[dict[str, Any]]:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            return json.load(stream)

    clean = []
    for path in sorted((folder / "instruction/gpteacher").glob("*.json.gz")):
        clean += ["\n".join(map(str, row.values())) for row in read(path)]
    dense = [row["full_text"] for row in read(folder / "pii/presidio_research/synth_dataset_v2.json.gz")]
    return {"clean (GPTeacher)": clean, "dense (gold rows)": dense}


def analyser() -> Callable[[list[str]], Found]:
    """Presidio's analyser without a model, its top-level domains from the package."""
    offline_domains()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine
    nlp = NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}])
    nlp.load()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])
    return lambda some: [
        sorted((r.entity_type, r.start, r.end, r.score) for r in engine.analyze(text, "en")) for text in some
    ]


def timed(function: Callable[[list[str]], Any], some: list[str], times: int) -> tuple[float, Any]:
    """Least CPU seconds of some runs, and the result."""
    best, result = float("inf"), None
    for _ in range(times):
        started = time.process_time()
        result = function(some)
        best = min(best, time.process_time() - started)
    return best, result


def slowest(function: Callable[[list[str]], Any], some: list[str]) -> list[str]:
    """Where the time goes: the eight functions with the most time of their own."""
    profile = cProfile.Profile()
    profile.runcall(function, some)
    stats = pstats.Stats(profile)
    total = stats.total_tt  # type: ignore[attr-defined]
    rows = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:8]  # type: ignore[attr-defined]
    return [f"{part[2] / total:.0%} {Path(where[0]).name}:{where[2]}" for where, part in rows]


def main() -> None:
    """Measures, prints and writes."""
    stock, ours, default = analyser(), Stock("en").many, Finder(("en",)).many
    results: dict[str, Any] = {
        "format": 1,
        "command": "python benchmarks/pii_speed.py",
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("presidio-analyzer", "phonenumbers", "regex", "numpy")},
        "seconds": "CPU time, the least of three runs of ours and of one of the analyser, after a warm-up",
    }
    for name, some in texts().items():
        for function in (stock, ours, default):
            function(some[::20])
        (slow, theirs), (fast, found), (second, _) = (
            timed(stock, some, 1),
            timed(ours, some, 3),
            timed(default, some, 1),
        )
        same = theirs == [sorted((s.entity, s.start, s.end, s.score) for s in spans) for spans in found]
        size = sum(len(text.encode()) for text in some) / 1e6
        results[name] = {
            "texts": len(some),
            "megabytes": round(size, 3),
            "findings": sum(map(len, found)),
            "identical": same,
            "presidio_seconds": round(slow, 3),
            "ours_seconds": round(fast, 3),
            "times_as_fast": round(slow / fast, 1),
            "ours_megabytes_a_second": round(size / fast, 2),
            "default_set_seconds": round(second, 3),
            "default_set_times_as_fast": round(slow / second, 1),
            "profile": slowest(ours, some),
        }
        print(name, json.dumps(results[name], indent=1))
    path = ROOT / "benchmarks" / "results" / "pii_speed.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
