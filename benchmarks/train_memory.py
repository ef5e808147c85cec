"""Estimated beside measured peak memory of a training on the CPU, above the resident size before the model is loaded.

    python benchmarks/train_memory.py [--only TEXT] [--jobs 2] [--output FILE]

The cases are in benchmarks/memory_cases.py: models of 100 M parameters and more with random weights. Every case is
trained three steps in a process of its own, whose peak is VmHWM, reset before loading; the estimate, which tries three
steps where they surely fit, is made in another, and in a third what would be computed if they did not.
A case that is in the results with the present code and versions is not done again, so a call that was killed goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results" / "train_memory.json"
STEPS = 3
PARTS = ("looked_at", "held_out")
ERRORS = ("error", "computed_error")
WITH = ("measured_with", "estimated_with")  # digests of the code that a case's figures were made with
ESTIMATES = (
    "estimating",
    "trial",
    "recording",
    "allocations",
    "memory",
    "process",
)  # files of train/ that no training runs

from memory_cases import CASES, HELD_OUT, LOOKED_AT, MODELS, make_data, make_model  # noqa: E402

Course = list[tuple[str, int, int]]  # event, resident bytes then, at most so far


def memory(field: str) -> int:
    """Bytes of this process: VmRSS or VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def arm_of(case: dict[str, Any]) -> Any:
    """The arm of a case: a few steps of one batch."""
    from train import Arm

    return Arm(learning_rate=1e-5, steps=STEPS, **case["arm"])


def child(kind: str, case: dict[str, Any], model: str, data: str) -> None:
    """Prints the measured peak, or the estimate, as JSON."""
    import transformers  # noqa: F401 - what is imported before the model is not the model's

    import train

    arm = arm_of(case)
    train.prepare(arm, model=model, data=Path(data))
    if kind == "measure":
        with tempfile.TemporaryDirectory() as name:
            Path("/proc/self/clear_refs").write_text("5")
            before = memory("VmRSS")
            course: Course = []

            def heard(event: Any) -> None:
                course.append((type(event).__name__, memory("VmRSS") - before, memory("VmHWM") - before))

            train.fit(arm, model=model, data=Path(data), output=Path(name) / "out", progress=heard)
            print(json.dumps({"peak": memory("VmHWM") - before, "course": course}))
        return
    if kind == "compute":
        train.estimating._tried = lambda *_, **__: None
    start = time.perf_counter()
    found = train.estimate(arm, model=model, data=Path(data))
    seconds = time.perf_counter() - start
    parts = {name: getattr(found.memory, name) for name in found.memory.__slots__ if name != "shape"}
    told = {"peak": found.memory.peak, "seconds": round(seconds, 1), "tried": found.measured, "parts": parts}
    print(json.dumps(told))


def run(kind: str, case: dict[str, Any], model: Path, data: Path) -> dict[str, Any]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--child", kind, json.dumps(case), str(model), str(data)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def label(case: dict[str, Any]) -> str:
    """A case in words."""
    arm = dict(case["arm"])
    rows, adapter = arm.pop("batch_size"), arm.pop("adapter")
    lengths = case["lengths"]
    size = f"{rows}x{lengths[0]}" if len(lengths) == 1 else f"{rows}x{lengths[0]}..{lengths[-1]}"
    rest = " ".join(f"{key}={value}" if isinstance(value, (int, str)) else key for key, value in arm.items())
    return f"{case['model']} {adapter} {size} {rest}".strip()


def digest(*, estimates: bool) -> str:
    """Of the versions, the code and the cases; without the files that make the estimate, a training's."""
    found = hashlib.sha256(json.dumps(versions()).encode())
    files = [*(ROOT / "train").rglob("*.py"), *(ROOT / "datakit" / "core").rglob("*.py")]
    for path in sorted(files):
        if estimates or path not in [ROOT / "train" / f"{name}.py" for name in ESTIMATES]:
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def versions() -> dict[str, str]:
    """Of what takes the memory."""
    return {"python": platform.python_version(), **{name: version(name) for name in ("torch", "transformers", "peft")}}


class Bench:
    """The cases' figures: those from before that still hold, and what is done anew.

    Args:
        folder: Where models and rows are made.
        output: The results file.
    """

    def __init__(self, folder: Path, output: Path) -> None:
        self._folder, self._output, self._making = folder, output, threading.Lock()
        self._now = digest(estimates=False), digest(estimates=True)
        found = json.loads(output.read_text()) if output.is_file() else {}
        rows = [row for part in PARTS for row in found.get(part, []) if WITH[0] in row and row["model"] in MODELS]
        rows = [row for row in rows if found["models"].get(row["model"]) == MODELS[row["model"]]]
        self._rows = {row["case"]: row for row in rows}

    def judge(self, case: dict[str, Any]) -> tuple[dict[str, Any], Course]:
        """A case's figures, and how the process grew where it was measured now."""
        old, course = self._rows.get(label(case), {}), []
        measured = old["measured"] if old.get("measured_with") == self._now[0] else None
        told = old if old.get("estimated_with") == self._now[1] else {}
        estimated, computed = told.get("estimated"), told.get("computed")
        if measured is None or estimated is None or computed is None:
            model = self._model(case["model"])
            with tempfile.TemporaryDirectory(dir=self._folder) as name:
                data = Path(name) / "train.parquet"
                make_data(data, case["lengths"], 2 * case["arm"]["batch_size"])
                if measured is None:
                    found = run("measure", case, model, data)
                    measured, course = found["peak"], found["course"]
                estimated = estimated or run("estimate", case, model, data)
                computed = computed or run("compute", case, model, data)
        figures = {"measured": measured, "estimated": estimated, "computed": computed}
        errors = {
            name: round(told["peak"] / measured - 1, 4)
            for name, told in zip(ERRORS, (estimated, computed), strict=True)
        }
        figures |= {**errors, **dict(zip(WITH, self._now, strict=True))}
        return {"case": label(case), **case, **figures}, course

    def _model(self, name: str) -> Path:
        folder = self._folder / name.replace(" ", "-")
        with self._making:
            if not folder.is_dir():
                make_model(folder, **MODELS[name])
        return folder

    def keep(self, row: dict[str, Any]) -> None:
        """Writes the results file with a case's figures."""
        self._rows[row["case"]] = row
        facts: dict[str, Any] = {
            "format": 2,
            "command": "python benchmarks/train_memory.py",
            "versions": versions(),
            "device": "cpu",
            "code": dict(zip(WITH, self._now, strict=True)),
            "models": MODELS,
        }
        for part, cases in zip(PARTS, (LOOKED_AT, HELD_OUT), strict=True):
            facts[part] = [self._rows[label(case)] for case in cases if label(case) in self._rows]
            for name in ERRORS:
                if sum(name in row for row in facts[part]) == len(cases):
                    facts[f"largest_{name}_{part}"] = max(abs(row[name]) for row in facts[part])
        self._output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def show(row: dict[str, Any], course: Course) -> None:
    """Prints a case's figures."""
    told = row["estimated"]
    size = f"measured {row['measured'] / 2**20:7.0f} MiB"
    how = "tried" if told["tried"] else "not tried"
    print(f"{row['case']:60} {size}, {how} {row['error']:+.1%}, computed {row['computed_error']:+.1%}", flush=True)
    print(
        "   ", f"{told['seconds']} s", {key: round(value / 2**20) for key, value in told["parts"].items()}, flush=True
    )
    if course:
        print("   ", " ".join(f"{kind}:{now >> 20}/{most >> 20}" for kind, now, most in course), flush=True)


def main() -> None:
    """Runs all cases and writes benchmarks/results/train_memory.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, case, model, data = arguments.child
        child(kind, json.loads(case), model, data)
        return
    cases = [case for case in CASES if arguments.only in label(case)]
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(arguments.jobs) as pool:
        bench = Bench(Path(name), arguments.output)
        for row, course in pool.map(bench.judge, cases):
            show(row, course)
            bench.keep(row)


if __name__ == "__main__":
    main()
