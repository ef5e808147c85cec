"""Measures rendering against the real promptsource 0.2.3: the same templates, the same rows, one process each.

    pip download --no-deps --ignore-requires-python --no-binary :all: promptsource==0.2.3 -d downloads
    python benchmarks/template_speed.py downloads/promptsource-0.2.3.tar.gz

Ours renders in the worker process with its limits on memory and time, as every template that is not shipped does.
Both sides get every n-th of the 2,085 templates with a row that gives prompt and answer. Rounds alternate between the
two, and the fastest round of each counts, since other processes can only slow a round down.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import json
import os
import platform
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptsource_reference import load_reference, outcome, rows_for

from datakit.templates import Template, load_collection
from datakit.templates.sandbox import shared_sandbox


def seconds_each(call: Callable[[int], Any], times: int) -> float:
    """Mean seconds of a call with 0, 1, ...; one call before them is not timed."""
    if times > 1:
        call(0)
    start = time.perf_counter()
    for k in range(times):
        call(k)
    return (time.perf_counter() - start) / times


def measure(reference: Any, template: Template, rows: int, rounds: int) -> dict[str, float] | None:
    """Seconds per row of each way to render; None where promptsource raises on the row."""
    row = rows_for(template, 1)[-1]
    theirs = reference.Template(template.name, template.jinja, "", None, template.answer_choices)
    if outcome(theirs.apply, copy.deepcopy(row), truncate=False)[0] != "value":
        return None
    few = max(rows // 20, 3)
    found: dict[str, float] = {}
    for _ in range(rounds):
        copies = [copy.deepcopy(row) for _ in range(few)]
        random.seed(1)
        once = {
            "promptsource_apply": seconds_each(lambda k, copies=copies: theirs.apply(copies[k], truncate=False), few),
            "apply": seconds_each(lambda _: template.apply(row), rows),
            "apply_with_seed": seconds_each(lambda k: template.apply(row, seed=k), rows),
            "render": seconds_each(lambda _: template.render([row] * rows, seeds=range(rows)), 1) / rows,
        }
        found = {name: min(value, found.get(name, value)) for name, value in once.items()}
    return found


def main() -> None:
    """Prints the figures and writes them where ``--output`` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="promptsource-0.2.3.tar.gz")
    parser.add_argument("--every", type=int, default=10, help="every n-th template is timed")
    parser.add_argument("--rows", type=int, default=100, help="rows per template and round")
    parser.add_argument("--rounds", type=int, default=6, help="the fastest counts")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/template_speed.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(options.archive) as archive:
            archive.extractall(folder, filter="data")
        reference = load_reference(Path(folder))
        chosen = list(load_collection(options.archive).values())[:: options.every]
        measured = [measure(reference, template, options.rows, options.rounds) for template in chosen]
    timed = [found for found in measured if found is not None]
    mean = {name: statistics.fmean(found[name] for found in timed) for name in timed[0]}
    ratios = {name: [found["promptsource_apply"] / found[name] for found in timed] for name in timed[0]}
    result = {
        "format": 1,
        "command": f"python benchmarks/template_speed.py ARCHIVE --every {options.every} --rows {options.rows} "
        f"--rounds {options.rounds}",
        "limits": {"cpu_seconds_per_row": shared_sandbox().limits.seconds, "bytes": shared_sandbox().limits.memory},
        "templates": len(timed),
        "microseconds_per_row": {name: round(1e6 * value, 2) for name, value in mean.items()},
        "times_as_fast": {name: round(mean["promptsource_apply"] / mean[name], 1) for name in mean},
        "times_as_fast_median_template": {name: round(statistics.median(ratios[name]), 1) for name in mean},
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "system": platform.platform()},
        "versions": {
            "python": platform.python_version(),
            "jinja2": importlib.metadata.version("jinja2"),
            "promptsource": "0.2.3",
        },
    }
    print(json.dumps(result, indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
