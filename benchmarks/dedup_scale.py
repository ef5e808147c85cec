"""Time and memory of deduplication from 50,000 to 1,600,000 generated texts.

    python benchmarks/dedup_scale.py [--largest N] [--only N ...] [--corpus FILE]

Each size in a process of its own; memory is the peak of the process less what it had with the texts read into memory.
Of several runs of a size the least seconds count. Writes benchmarks/results/dedup_scale.json with the exponent of
growth from the smallest size to the largest, by CPU seconds and by the clock; ``--only`` adds sizes to what is there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import corpus
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "dedup_scale.json"
SCHEMA = pa.schema([("text", pa.string())])
SIZES = (50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000)
SEVERAL = {50_000: 5, 100_000: 3, 200_000: 2}


def one(path: Path) -> dict[str, Any]:
    """Deduplicates one file."""
    from datakit.dedup import deduplicate

    texts = pa.ipc.open_file(pa.OSFile(str(path))).read_all().column("text")
    deduplicate(texts.slice(0, 5000))  # imports and compiled code
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, used = time.perf_counter(), time.process_time()
    result = deduplicate(texts)
    return {
        "texts": len(texts),
        "bytes": texts.nbytes,
        "seconds": round(time.perf_counter() - started, 3),
        "cpu_seconds": round(time.process_time() - used, 3),
        "megabytes_above_the_text": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024),
        "kept": int(result.keep.sum()),
    }


def measured(size: int, everything: pa.ChunkedArray, path: Path) -> dict[str, Any]:
    """The best of some runs of a size."""
    with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as writer:
        writer.write_table(pa.table([everything.slice(0, size)], schema=SCHEMA))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--file", str(path)]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
        for _ in range(SEVERAL.get(size, 1))
    ]
    best = {name: min(run[name] for run in runs) for name in ("seconds", "cpu_seconds")}
    return {**runs[0], **best, "runs": len(runs)}


def written(found: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The results with the exponents, in the file."""
    sizes = [found[size] for size in sorted(found)]
    first, last = sizes[0], sizes[-1]
    growth = math.log(last["texts"] / first["texts"]) or 1
    results = {
        "format": 1,
        "command": "python benchmarks/dedup_scale.py",
        "cores": len(os.sched_getaffinity(0)),
        "sizes": sizes,
        "exponent_seconds": round(math.log(last["seconds"] / first["seconds"]) / growth, 3),
        "exponent_cpu_seconds": round(math.log(last["cpu_seconds"] / first["cpu_seconds"]) / growth, 3),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def main() -> None:
    """Runs the sizes and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--only", type=int, nargs="+", help="these sizes; the others stay as they were measured")
    parser.add_argument("--corpus", type=Path, help="made where it is not there")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file:
        print(json.dumps(one(given.file)))
        return
    sizes = given.only or [size for size in SIZES if size <= given.largest]
    found = {}
    if given.only and RESULTS.exists():
        found = {row["texts"]: row for row in json.loads(RESULTS.read_text(encoding="utf-8"))["sizes"]}
    with tempfile.TemporaryDirectory() as folder:
        path = given.corpus or Path(folder) / "all.arrow"
        if not path.exists():
            corpus.write(path, max(sizes))
        everything = corpus.read(path)
        for size in sizes:
            found[size] = measured(size, everything, Path(folder) / "corpus.arrow")
            print(found[size], flush=True)
            results = written(found)
    print({name: value for name, value in results.items() if name.startswith("exponent")})


if __name__ == "__main__":
    main()
