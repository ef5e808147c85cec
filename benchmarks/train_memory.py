"""Estimated beside measured peak memory of a training on the CPU, above the resident size before the model is loaded.

    python benchmarks/train_memory.py [--only TEXT] [--part looked_at|held_out] [--estimate-only]

The cases are in benchmarks/memory_cases.py: models of 100 M parameters and more with random weights. Every case is
trained three steps in a process of its own, whose peak is VmHWM, reset before loading; the estimate is made in another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results" / "train_memory.json"
STEPS = 3

from memory_cases import HELD_OUT, LOOKED_AT, MODELS, make_data, make_model  # noqa: E402


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
            course: list[tuple[str, int, int]] = []

            def heard(event: Any) -> None:
                course.append((type(event).__name__, memory("VmRSS") - before, memory("VmHWM") - before))

            train.fit(arm, model=model, data=Path(data), output=Path(name) / "out", progress=heard)
            print(json.dumps({"peak": memory("VmHWM") - before, "course": course}))
        return
    found = train.estimate(arm, model=model, data=Path(data))
    names = [name for name in found.memory.__slots__ if name != "shape"]
    print(json.dumps({name: getattr(found.memory, name) for name in [*names, "peak"]}))


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


def judged(case: dict[str, Any], folder: Path, data: Path, known: dict[str, int]) -> dict[str, Any]:
    """A case's figures."""
    name = label(case)
    course = []
    if name not in known:
        found = run("measure", case, folder, data)
        known[name], course = found["peak"], found["course"]
    estimated = run("estimate", case, folder, data)
    error = estimated["peak"] / known[name] - 1
    print(f"{name:60} measured {known[name] / 2**20:7.0f} MiB, estimate {error:+.1%}", flush=True)
    print("   ", {key: round(value / 2**20) for key, value in estimated.items()}, flush=True)
    if course:
        print("   ", " ".join(f"{kind}:{now >> 20}/{most >> 20}" for kind, now, most in course), flush=True)
    return {"case": name, **case, "measured": known[name], "estimated": estimated, "error": round(error, 4)}


def main() -> None:
    """Runs all cases and writes benchmarks/results/train_memory.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--child", nargs=4)
    parser.add_argument("--only", default="")
    parser.add_argument("--part", choices=("looked_at", "held_out"))
    parser.add_argument("--known", help="a results file whose measured peaks are taken")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, case, model, data = arguments.child
        child(kind, json.loads(case), model, data)
        return
    known = {}
    if arguments.known:
        old = json.loads(Path(arguments.known).read_text())
        known = {row["case"]: row["measured"] for part in ("looked_at", "held_out") for row in old.get(part, [])}
    parts = {"looked_at": LOOKED_AT, "held_out": HELD_OUT}
    facts: dict[str, Any] = {
        "format": 1,
        "command": "python benchmarks/train_memory.py",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "peft")},
        },
        "device": "cpu",
        "models": MODELS,
    }
    with tempfile.TemporaryDirectory() as name:
        for part, cases in parts.items():
            if arguments.part not in (None, part):
                continue
            rows = facts[part] = []
            for case in cases:
                if arguments.only not in label(case):
                    continue
                folder, data = Path(name) / case["model"].replace(" ", "-"), Path(name) / "train.parquet"
                if not folder.is_dir():
                    make_model(folder, **MODELS[case["model"]])
                make_data(data, case["lengths"], 2 * case["arm"]["batch_size"])
                rows.append(judged(case, folder, data, known))
            facts[f"largest_error_{part}"] = max(abs(row["error"]) for row in rows)
            arguments.output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
