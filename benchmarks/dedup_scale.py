"""Time and memory of deduplication from 50,000 to 1,600,000 generated texts.

    python benchmarks/dedup_scale.py [LARGEST]

Each size in a process of its own; memory is the peak of the process less what it had with the texts read into memory.
Writes benchmarks/results/dedup_scale.json with the exponent of growth, from CPU seconds and from the clock.
"""

from __future__ import annotations

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
SCHEMA = pa.schema([("text", pa.string())])


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


def main() -> None:
    """Runs all sizes and writes."""
    if len(sys.argv) > 2:
        print(json.dumps(one(Path(sys.argv[2]))))
        return
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_600_000
    sizes = [size for size in (50_000, 100_000, 200_000, 400_000, 800_000, 1_600_000) if size <= largest]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corpus.arrow"
        everything = corpus.read(corpus.write(Path(folder) / "all.arrow", largest))
        for size in sizes:
            with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, SCHEMA) as writer:
                writer.write_table(pa.table([everything.slice(0, size)], schema=SCHEMA))
            done = subprocess.run(
                [sys.executable, __file__, "one", str(path)],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )
            found.append(json.loads(done.stdout))
            print(found[-1], flush=True)
    first, last = found[0], found[-1]
    growth = math.log(last["texts"] / first["texts"])
    results = {
        "format": 1,
        "command": "python benchmarks/dedup_scale.py",
        "cores": len(os.sched_getaffinity(0)),
        "sizes": found,
        "exponent_seconds": round(math.log(last["seconds"] / first["seconds"]) / growth, 3),
        "exponent_cpu_seconds": round(math.log(last["cpu_seconds"] / first["cpu_seconds"]) / growth, 3),
    }
    path = ROOT / "benchmarks" / "results" / "dedup_scale.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print({name: value for name, value in results.items() if name.startswith("exponent")})


if __name__ == "__main__":
    main()
