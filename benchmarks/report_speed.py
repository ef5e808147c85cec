"""How long report and gate take from logs alone: 20 tasks of 2,000 items, three arms, and whether torch was loaded.

python benchmarks/report_speed.py
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo

TASKS, COUNT = 20, 2_000


def log(name: str, loss: float, seed: int) -> EvalLog:
    """A model that answers as the base does but for 7 % of the items, and loses some more."""
    base, own = np.random.default_rng(0), np.random.default_rng(seed)
    columns: dict[str, list[object]] = {column: [] for column in ITEMS.names}
    for task in range(TASKS):
        scores = (base.random(COUNT) < 0.6).astype(float)
        if seed:
            flip = own.random(COUNT) < 0.07
            scores = np.where(flip, own.random(COUNT) < 0.6, scores)
            scores = np.where(own.random(COUNT) < loss, 0.0, scores)
        for item, score in enumerate(scores.tolist()):
            row = {
                "task": f"task{task:02d}",
                "item_id": f"{item:05d}",
                "doc_hash": f"d{item}",
                "prompt_hash": f"p{item}",
                "target_hash": f"t{item}",
                "metric": "acc",
                "filter": "none",
                "is_primary": True,
                "score": score,
                "prompt": f"Question {item} of task {task}, with some more words around it, as questions have?",
                "answer": "right" if score else "something else",
                "target": "right",
                "n_choices": 4,
                "status": "ok",
                "seed": 0,
            }
            for column in ITEMS.names:
                columns[column].append(row.get(column))
    infos = {f"task{task:02d}": TaskInfo(chance=0.25) for task in range(TASKS)}
    return EvalLog(LogHeader(suite="suite", model=name, tasks=infos), pa.table(columns, schema=ITEMS))


def seconds(command: list[str], repeats: int) -> dict[str, float]:
    """Wall clock and processor time of one command; the fastest of some runs."""
    walls, processors = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), os.times()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        now = os.times()
        walls.append(time.perf_counter() - start)
        processors.append(now.children_user + now.children_system - used.children_user - used.children_system)
    return {"wall": round(min(walls), 2), "processor": round(min(processors), 2)}


def main() -> None:
    """Writes the logs, times the commands, and keeps the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "report_speed.json")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        for seed, (folder, loss) in enumerate((("base", 0.0), ("full-1", 0.05), ("lora-1", 0.01), ("replay-1", 0.0))):
            log(folder, loss, seed).write(run / "evals" / folder)
        start = [sys.executable, "-m", "datakit"]
        check = (
            "import sys; from datakit.cli import main; sys.argv = ['datakit', 'gate', sys.argv[1], '-q']\n"
            "try: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
        )
        loaded = subprocess.run([sys.executable, "-c", check, str(run)], capture_output=True, text=True, check=True)
        found = {
            "tasks": TASKS,
            "items_per_task": COUNT,
            "arms": 3,
            "report_seconds": seconds([*start, "report", str(run), "-q"], arguments.repeats),
            "gate_seconds": seconds([*start, "gate", str(run), "-q"], arguments.repeats),
            "torch_loaded": loaded.stdout.strip() == "True",
            "html_bytes": (run / "report.html").stat().st_size,
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "load": os.getloadavg(),
        }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
