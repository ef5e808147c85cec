"""Three tasks of the O-LoRA benchmark one after another, for real: the whole matrix R[t, i] of every arm.

    python benchmarks/stages_o_lora.py           prints the matrices, writes benchmarks/results/stages_o_lora.json

The recipe is examples/stages_o_lora.yaml: a model of 260,032 parameters that was pretrained on stories. It shows that
stages work on real files; a model this small learns little of these tasks, and the table says so.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from datakit.core.storage import read_json, write_json
from datakit.experiment.run import run
from evalkit.report.stage_figure import stage_lines


def main() -> None:
    """Runs the recipe and keeps its matrices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "stages_o_lora.json")
    wanted = parser.parse_args()
    recipe = Path(__file__).resolve().parents[1] / "examples" / "stages_o_lora.yaml"
    with tempfile.TemporaryDirectory() as name:
        start = time.monotonic()
        folder = run(recipe, output=Path(name) / "run").folder
        seconds = round(time.monotonic() - start, 1)
        cells = read_json(folder / "stages.json")["cells"]
    print("\n".join(stage_lines(cells)))
    facts = {
        "command": "python benchmarks/stages_o_lora.py",
        "recipe": "examples/stages_o_lora.yaml",
        "seconds": seconds,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {package: version(package) for package in ("torch", "transformers", "peft", "lm_eval")},
    }
    write_json(wanted.output, {**facts, "cells": cells})


if __name__ == "__main__":
    main()
