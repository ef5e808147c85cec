"""Chooses the demo's learning rates and steps: one grid for all arms, by validation loss on the new task alone.

    python benchmarks/demo_grid.py            prints the table, writes benchmarks/results/demo_grid.json

Neither the general suite nor the test split is read. The demo's recipe holds the chosen values; a test compares both.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from datakit.build import build
from datakit.core.storage import write_json
from datakit.experiment.demo import prepare
from datakit.experiment.models import resolve_model
from datakit.experiment.recipe import read_recipe
from train import fit

RATES = (1e-3, 2e-3, 5e-3)
STEPS = (75, 150)
SEEDS = (101, 102)  # not those of the demo


def grid(folder: Path, seed: int) -> list[dict[str, Any]]:
    """Validation loss of every arm at every point, for one seed of data and training."""
    recipe = read_recipe(prepare(folder, seed=seed))
    built = build(recipe.data, output=folder, seed=seed, folder=folder)
    model = resolve_model(recipe.model, folder=folder)
    rows = []
    for name, arm in recipe.arms.items():
        replay = {} if arm.replay is None else {arm.replay.source: built.replay[arm.replay.source]}
        points = arm.model_copy(update={"learning_rate": list(RATES), "steps": list(STEPS)}).grid()
        for point in points:
            result = fit(
                point,
                model=model,
                data=folder / "data",
                output=folder / "models" / "point",
                chat=recipe.chat,
                seed=seed,
                replay=replay,
            )
            row = {"arm": name, "learning_rate": point.learning_rate, "steps": point.steps, "seed": seed}
            rows.append({**row, "validation_loss": result.validation_loss, "seconds": round(result.seconds, 1)})
            print(f"{name:<10} {point.learning_rate:7.0e} {point.steps:>4} {result.validation_loss:.4f}", flush=True)
    return rows


def one_seed(seed: int) -> list[dict[str, Any]]:
    """The grid of one seed in a process with one thread, so that the seeds do not wait for each other."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        return grid(Path(name), seed)


def chosen(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per arm the point with the lowest mean validation loss over the seeds; the cheaper one where they tie."""
    points: dict[tuple[str, float, int], list[float]] = {}
    for row in rows:
        points.setdefault((row["arm"], row["learning_rate"], row["steps"]), []).append(row["validation_loss"])
    best: dict[str, dict[str, Any]] = {}
    for (arm, rate, steps), losses in sorted(points.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])):
        mean = sum(losses) / len(losses)
        if arm not in best or mean < best[arm]["validation_loss"]:
            best[arm] = {"learning_rate": rate, "steps": steps, "validation_loss": mean}
    return best


def main() -> None:
    """Runs the grid and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "demo_grid.json")
    output = parser.parse_args().output
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(max_workers=len(SEEDS), mp_context=get_context("spawn")) as pool:
        for found in pool.map(one_seed, SEEDS):
            rows += found
    best = chosen(rows)
    command = "python benchmarks/demo_grid.py"
    write_json(output, {"command": command, "rates": RATES, "steps": STEPS, "rows": rows, "chosen": best})
    for arm, point in best.items():
        print(f"chosen: {arm:<10} learning_rate {point['learning_rate']:g}, steps {point['steps']}")


if __name__ == "__main__":
    main()
