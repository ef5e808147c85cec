"""Lost or only hidden? Full fine-tuning of the demo, and what a few steps on other items bring back.

    python benchmarks/recover_demo.py           prints it, writes benchmarks/results/recover_demo.json

Every general task on which the arm ``full`` regressed is tried with several lengths of the short training.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from datakit.core.storage import read_json, write_json
from datakit.experiment.demo import prepare
from datakit.experiment.layout import Layout
from datakit.experiment.recover import recover
from datakit.experiment.run import run
from evalkit.report.recovery_words import recovery_lines


def main() -> None:
    """Runs the demo's arm and recovers what it lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[10])
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "recover_demo.json")
    wanted = parser.parse_args()
    rows = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = run(prepare(Path(name)), output=Path(name), arm="full").folder
        for steps in wanted.steps:
            found = recover(Layout(folder), arm="full", steps=steps)
            rows.append(read_json(found.path))
            print(f"{steps} steps")
            print("\n".join(line for task in found.tasks for line in recovery_lines(task)))
    facts = {
        "command": "python benchmarks/recover_demo.py",
        "seconds": round(time.monotonic() - start, 1),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {package: version(package) for package in ("torch", "transformers", "lm_eval")},
    }
    write_json(wanted.output, {**facts, "rows": rows})


if __name__ == "__main__":
    main()
