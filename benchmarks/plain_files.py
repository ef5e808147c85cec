"""Commands on plain files: time per row and peak memory as the file grows, and that untouched rows are the same bytes.

    python benchmarks/plain_files.py

Each size runs every command in a process of its own; memory is the largest resident set the system saw.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES = (50_000, 200_000)
COMMANDS = {
    "filter": ["--use", "mine:never"],
    "convert": ["--to", "csv"],
    "dedup": ["--threshold", "0.8"],
}
SUFFIX = {"convert": ".csv"}


def make(path: Path, rows: int) -> None:
    """Distinct rows of about a hundred words, with numbers and nested values beside the text."""
    rng = random.Random(rows)
    words = [f"word{n}" for n in range(5_000)]
    with path.open("w") as stream:
        for n in range(rows):
            text = " ".join(rng.choices(words, k=100))
            stream.write(f'{{"n": {n}.50, "text": "{text}",  "x": {{"tags": ["a", "b"], "at": null}}}}\n')


def measured(command: str, source: Path, folder: Path) -> dict[str, Any]:
    """Seconds and peak memory of one call."""
    target = folder / f"out{SUFFIX.get(command, '.jsonl')}"
    call = [sys.executable, "-m", "datakit", command, str(source), "-o", str(target), "--json", *COMMANDS[command]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = (
        "import json, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024\n"
        "print(json.dumps([done.returncode, peak, done.stdout, done.stderr]))"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", child, *call], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    code, peak, out, err = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{command}: {err}")
    found = {"seconds": round(seconds, 2), "peak_mb": round(peak / 1e6), "rows_out": json.loads(out)["rows_out"]}
    if command in ("filter", "dedup"):
        found["same_bytes"] = digest(target) == digest(source)
    return found


def digest(path: Path) -> str:
    """Hash of a file's bytes."""
    state = hashlib.blake2b()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def main() -> None:
    """Measures and writes benchmarks/results/plain_files.json."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine.py").write_text("def never(example):\n    return None\n")
        for rows in SIZES:
            source = folder / f"{rows}.jsonl"
            make(source, rows)
            for command in COMMANDS:
                one = {"command": command, "rows": rows, "mb": round(source.stat().st_size / 1e6)}
                results.append({**one, **measured(command, source, folder)})
                print(results[-1])
    facts = {
        "format": 1,
        "command": "python benchmarks/plain_files.py",
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("pyarrow", "numpy")},
        "own_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "results": results,
    }
    path = ROOT / "benchmarks" / "results" / "plain_files.json"
    path.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
