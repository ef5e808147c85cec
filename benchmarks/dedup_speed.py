"""Deduplication beside other projects' tools: one Arrow file, 2 cores, each engine in a process of its own.

    DATAKIT_PEERS=.cache/peers python benchmarks/dedup_speed.py [TEXTS]

Timed inside each process from the Arrow column of raw text to the rows that stay. Ours verifies every pair; rensa and
datasketch do not. Writes benchmarks/results/dedup_speed.json.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import corpus

ROOT = Path(__file__).resolve().parents[1]
ENGINES = {
    "datakit": "",
    "rensa": "rensa",
    "rensa_objects": "rensa",
    "rensa_rho": "rensa",
    "datasketch": "",
}
RUNS = 3


def timed(engine: str, peer: str, path: Path) -> dict[str, Any]:
    """One run of an engine in the environment it needs."""
    peers = Path(os.environ.get("DATAKIT_PEERS", ROOT / ".cache" / "peers"))
    python = str(peers / peer / "bin" / "python") if peer else sys.executable
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "RAYON_NUM_THREADS": "2",
        "PYTHONPATH": "" if peer else str(ROOT),
    }
    script = str(ROOT / "benchmarks" / "dedup_engines.py")
    done = subprocess.run(
        [python, script, engine, str(path)], capture_output=True, text=True, env=environment, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Runs all engines in turn, the fastest of a few runs of each, and writes."""
    texts = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        path = corpus.write(Path(folder) / "corpus.arrow", texts)
        size = corpus.read(path).nbytes
        runs: dict[str, list[dict[str, Any]]] = {engine: [] for engine in ENGINES}
        for _ in range(RUNS):
            for engine, peer in ENGINES.items():
                runs[engine].append(timed(engine, peer, path))
    best = {engine: min(found, key=lambda run: run["seconds"]) for engine, found in runs.items()}
    ours = best["datakit"]
    results = {
        "format": 1,
        "command": "python benchmarks/dedup_speed.py",
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
        },
        "versions": {name: version(name) for name in ("datasketch", "numba", "numpy", "pyarrow")} | {"rensa": "0.5.0"},
        "texts": texts,
        "bytes": size,
        "ours_megabytes_per_second": round(size / 1e6 / ours["seconds"], 1),
        "engines": {
            engine: {
                "seconds": round(found["seconds"], 3),
                "cpu_seconds": round(found["cpu_seconds"], 3),
                "kept": found["kept"],
                "times_ours": round(found["seconds"] / ours["seconds"], 1),
                "times_ours_cpu": round(found["cpu_seconds"] / ours["cpu_seconds"], 1),
            }
            for engine, found in best.items()
        },
    }
    path = ROOT / "benchmarks" / "results" / "dedup_speed.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
