"""Wall time of the plain commands that look at each row by itself, with one process and with two.

    python benchmarks/workers.py

GPTeacher's instructions under DATAKIT_REAL_DATA (or ../shared/data), four times over with a different number in each
row, through ``datakit pii`` and ``datakit filter``: whole calls, imports and writing included; outputs are compared.
Writes benchmarks/results/workers.json.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import real_texts
from real_texts import ROOT

CALLS = {
    "pii": ["pii", "--replace", "tag"],
    "filter, quality and language": ["filter", "--quality-use", "gopher,gopher_repetition", "--keep", "en"],
}
COUNTS = (1, 2)


def timed(call: list[str], folder: Path) -> dict[str, float]:
    """Seconds of a call by the clock, and of all its processes on the processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "datakit", *call], check=True, env=environment, cwd=folder)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(seconds, 2), "cpu_seconds": round(used, 2)}


def main() -> None:
    """Measures, prints and writes."""
    rows = [f"{asked}\n{answer}" for asked, answer in real_texts.gpteacher()] * 4
    results: dict[str, Any] = {
        "format": 1,
        "command": "python benchmarks/workers.py",
        "cores": len(os.sched_getaffinity(0)),
        "rows": len(rows),
        "calls": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "".join(json.dumps({"text": f"{number}. {row}"}) + "\n" for number, row in enumerate(rows))
        (folder / "in.jsonl").write_text(text, encoding="utf-8")
        results["megabytes"] = round(len(text) / 1e6, 1)
        for title, call in CALLS.items():
            found = {
                str(count): timed(
                    [call[0], "in.jsonl", *call[1:], "-o", f"{count}.jsonl", "--workers", str(count), "-q"], folder
                )
                for count in COUNTS
            }
            same = (folder / "1.jsonl").read_bytes() == (folder / "2.jsonl").read_bytes()
            results["calls"][title] = {
                "by_workers": found,
                "times_as_fast": round(found["1"]["seconds"] / found["2"]["seconds"], 2),
                "same_bytes": same,
            }
            print(title, json.dumps(results["calls"][title]), flush=True)
    path = ROOT / "benchmarks" / "results" / "workers.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
