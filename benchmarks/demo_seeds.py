"""Runs the demo with several seeds and says how often it shows its lesson.

    python benchmarks/demo_seeds.py           prints the table, writes benchmarks/results/demo_seeds.json

A seed draws the data, the order of training and the items of the task's test split; the general suite is fixed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datakit.core.storage import write_json
from datakit.experiment.demo import demo, lesson


def one(seed: int) -> dict[str, Any]:
    """Gain, suite mean and regressed tasks of every arm, and the lesson, for one seed."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        result = demo(Path(name), seed=seed)
        arms = {}
        for arm in result.report.arms:
            mean = arm.comparison.suite_mean
            gain = arm.comparison.gains[0]
            arms[arm.name] = {
                "gain": gain.difference,
                "after": gain.after,
                "general": None if mean is None else mean.difference,
                "interval": None if mean is None else mean.interval,
                "regressed": [row.task for row in arm.comparison.general if row.verdict == "regressed"],
            }
        seconds = round(time.monotonic() - start, 1)
        return {"seed": seed, "seconds": seconds, "arms": arms, "lesson": asdict(lesson(result))}


def main() -> None:
    """Runs the seeds and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "demo_seeds.json")
    wanted = parser.parse_args()
    rows = []
    for seed in wanted.seeds:
        row = one(seed)
        rows.append(row)
        for name, arm in row["arms"].items():
            general = "-" if arm["general"] is None else f"{100 * arm['general']:+6.1f}"
            print(
                f"{seed:>4} {name:<10} gain {100 * arm['gain']:+6.1f}  general {general}  lost {len(arm['regressed'])}"
            )
        print(f"{seed:>4} {row['lesson']['keeper']} spared {100 * row['lesson']['spared']:.1f}, {row['seconds']} s")
    shown = sum(row["lesson"]["shown"] for row in rows)
    print(f"shown by {shown} of {len(rows)} seeds")
    write_json(wanted.output, {"command": "python benchmarks/demo_seeds.py", "shown": shown, "rows": rows})


if __name__ == "__main__":
    main()
