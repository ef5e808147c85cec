"""Lost or only hidden? Full fine-tuning of the demo, and what a few steps on other items bring back.

    python benchmarks/recover_demo.py           prints it, writes benchmarks/results/recover_demo.json

Every general task on which the arm ``full`` regressed is tried with several lengths of the short training.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datakit.core.storage import read_json, write_json
from datakit.experiment.demo import prepare
from datakit.experiment.layout import Layout
from datakit.experiment.recover import recover
from datakit.experiment.run import run
from evalkit.report.recovery_words import recovery_lines


def _figures(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name != "sentence"}


def main() -> None:
    """Runs the demo's arm and recovers what it lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[10])
    parser.add_argument("--learning-rate", type=float, default=None, help="the arm's own by default")
    parser.add_argument("--tasks", nargs="+", default=[], help="what regressed by default")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "recover_demo.json")
    wanted = parser.parse_args()
    rows = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = run(prepare(Path(name)), output=Path(name), arm="full").folder
        for steps in wanted.steps:
            found = recover(
                Layout(folder), arm="full", steps=steps, learning_rate=wanted.learning_rate, tasks=wanted.tasks
            )
            row = read_json(found.path)
            rows.append({**row, "tasks": [_figures(task) for task in row["tasks"]]})
            print(f"{steps} steps")
            print("\n".join(line for task in found.tasks for line in recovery_lines(task)))
    facts = {
        "command": " ".join(["python benchmarks/recover_demo.py", *sys.argv[1:]]),
        "seconds": round(time.monotonic() - start, 1),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {package: version(package) for package in ("torch", "transformers", "lm_eval")},
    }
    write_json(wanted.output, {**facts, "rows": rows})


if __name__ == "__main__":
    main()
