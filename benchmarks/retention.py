"""What replay, KL, L2 and the rest keep at equal gain, on the pocket model.

    nice python benchmarks/retention.py         goes on where it stopped; writes benchmarks/results/retention.json

Every arm is trained on the demo's task with three seeds (of data and training). At every epoch the validation loss of
the task and the cross-entropy and forward KL on general text that nobody trains on are measured. Two arms are compared
at equal gain: at the lowest validation loss that both of them reach, each where it first gets there.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datakit.build import build
from datakit.core.storage import read_json, write_json
from datakit.pocket import model_path, write_general, write_task
from datakit.recipe import read_data_recipe

STEPS = 60
FULL = {"adapter": "full", "learning_rate": 2e-3, "steps": STEPS}
ARMS: dict[str, dict[str, Any]] = {
    "full": {},
    "lower rate": {"learning_rate": 5e-4},
    "replay 5 %": {"replay": {"from": "general", "share": 0.05}},
    "replay 20 %": {"replay": {"from": "general", "share": 0.2}},
    "replay self 20 %": {"replay": {"from": "self", "share": 0.2}},
    "KL, trained tokens": {"kl": {"weight": 1.0}},
    "KL, general rows": {"kl": {"weight": 1.0, "from": "general"}},
    "L2": {"l2": {"weight": 0.1}},
    "token mask .9": {"token_mask": {"quantile": 0.9}},
}
RECIPE = """
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
    general: {path: general.jsonl, columns: {text: text}, use: replay}
  steps:
    - dedup: {on: text, threshold: 0.8}
    - split: {validation: 0.15, stratify: label, group: customer}
    - template: {use: route.yaml}
model: pocket
"""


def built(seed: int, folder: Path) -> Path:
    """The demo's task with a validation split, and general text to replay."""
    write_task(folder, seed=seed)
    write_general(folder / "general.jsonl", seed=seed)
    template = Path(__file__).resolve().parent.parent / "datakit" / "experiment" / "demo_template.yaml"
    (folder / "route.yaml").write_text(template.read_text())
    (folder / "recipe.yaml").write_text(RECIPE)
    build(read_data_recipe(folder / "recipe.yaml")[0], output=folder / "built", seed=seed, folder=folder, name="task")
    return folder / "built"


class General:
    """Cross-entropy and forward KL per token on general texts of another seed."""

    def __init__(self, folder: Path, texts: int = 60) -> None:
        import json

        from datakit.core.checkpoint import load_model, load_tokenizer
        from train.data import batches
        from train.losses import logits_at
        from train.masking import text_rows

        write_general(folder / "held.jsonl", seed=987, rows=texts)
        tokenizer, base = load_tokenizer(model_path()), load_model(model_path(), dtype="float32")
        lines = [json.loads(line)["text"] for line in (folder / "held.jsonl").read_text().splitlines()]
        rows = [row for at, text in enumerate(lines) for row in text_rows(str(at), text, tokenizer, max_length=128)]
        self._batches = batches(rows, batch_size=16, pad=0)
        self._logits = logits_at
        self._before = [self._look(base, batch) for batch in self._batches]

    def _look(self, model: Any, batch: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._logits(model, batch).log_softmax(-1)

    def __call__(self, model: Any, step: int) -> dict[str, float]:
        """Nats per token."""
        loss, divergence, count = 0.0, 0.0, 0
        for batch, before in zip(self._batches, self._before, strict=True):
            now = self._look(model, batch)
            loss -= float(now.gather(-1, batch.targets[:, None]).sum())
            divergence += float((before.exp() * (before - now)).sum())
            count += len(batch.targets)
        return {"general_loss": loss / count, "kl": divergence / count}


def trained(name: str, seed: int, data: Path, probe: General, folder: Path) -> dict[str, Any]:
    """The points of one training."""
    from train import Arm, fit

    replay = {"general": data / "data" / "replay" / "general.parquet"}
    start = time.monotonic()
    found = fit(
        Arm(**FULL | ARMS[name]), model=model_path(), data=data, output=folder / "out", seed=seed, replay=replay,
        probe=probe,
    )  # fmt: skip
    points = [
        [entry["step"], round(entry["validation_loss"], 5), round(entry["general_loss"], 5), round(entry["kl"], 5)]
        for entry in found.history
        if "general_loss" in entry
    ]
    return {"arm": name, "seed": seed, "seconds": round(time.monotonic() - start, 1), "points": points}


def at_gain(points: list[list[float]], target: float, column: int) -> float:
    """The column where the validation loss first gets to the target, between two points on a straight line."""
    for before, after in itertools.pairwise(points):
        if after[1] <= target:
            part = 0.0 if before[1] == after[1] else (before[1] - target) / (before[1] - after[1])
            return before[column] + min(max(part, 0.0), 1.0) * (after[column] - before[column])
    return points[0][column] if points[0][1] <= target else math.nan


def compared(runs: list[dict[str, Any]], name: str, reference: str) -> dict[str, Any]:
    """An arm against another at equal gain: mean over seeds with a 95 % t interval."""
    from scipy.stats import t

    rows = []
    for full in (run for run in runs if run["arm"] == reference):
        other = next(run for run in runs if run["arm"] == name and run["seed"] == full["seed"])
        target = max(min(point[1] for point in run["points"]) for run in (full, other))
        drop = full["points"][0][1] - min(point[1] for point in full["points"])
        rows.append(
            {
                "seed": full["seed"],
                "validation_loss": round(target, 4),
                "share_of_its_drop": round((full["points"][0][1] - target) / drop, 3),
                "general_loss": [round(at_gain(run["points"], target, 2), 4) for run in (full, other)],
                "kl": [round(at_gain(run["points"], target, 3), 4) for run in (full, other)],
            }
        )
    differences = [row["general_loss"][1] - row["general_loss"][0] for row in rows]
    mean = sum(differences) / len(differences)
    spread = math.sqrt(sum((value - mean) ** 2 for value in differences) / (len(rows) - 1))
    half = float(t.ppf(0.975, len(rows) - 1)) * spread / math.sqrt(len(rows))
    interval = [round(mean - half, 4), round(mean + half, 4)]
    return {"arm": name, "against": reference, "difference": round(mean, 4), "interval": interval, "seeds": rows}


def main() -> None:
    """Trains what is missing and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "retention.json")
    wanted = parser.parse_args()
    runs: list[dict[str, Any]] = []
    if wanted.output.is_file():
        known = read_json(wanted.output)["runs"]
        runs = [run for run in known if run["seed"] in wanted.seeds and run["arm"] in ARMS]
    done = {(run["arm"], run["seed"]) for run in runs}
    for seed in wanted.seeds:
        missing = [name for name in ARMS if (name, seed) not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["DATAKIT_CACHE"] = f"{scratch}/cache"
            data, probe = built(seed, Path(scratch)), General(Path(scratch))
            for name in missing:
                runs.append(trained(name, seed, data, probe, Path(scratch)))
                print(f"{seed} {name:<20} {runs[-1]['seconds']:>5} s  {runs[-1]['points'][-1]}", flush=True)
                write(wanted.output, runs, wanted.seeds)
    write(wanted.output, runs, wanted.seeds)
    for row in read_json(wanted.output)["at_equal_gain"]:
        least = min(one["share_of_its_drop"] for one in row["seeds"])
        ends = f"[{row['interval'][0]:+.3f}, {row['interval'][1]:+.3f}]"
        print(
            f"{row['arm']:<20} {row['against']:<12} {row['difference']:+.3f} {ends} at {least:.2f} of its drop or more"
        )


def write(path: Path, runs: list[dict[str, Any]], seeds: list[int]) -> None:
    """Runs, and every arm that has all seeds, against full."""
    whole = [
        name for name in ARMS if all((name, seed) in {(run["arm"], run["seed"]) for run in runs} for seed in seeds)
    ]
    compare = [
        compared(runs, name, reference)
        for reference in ("full", "lower rate")
        for name in whole
        if len(seeds) > 1 and reference in whole and name not in ("full", reference)
    ]
    write_json(
        path,
        {
            "command": "python benchmarks/retention.py",
            "model": "pocket",
            "arms": {name: FULL | settings for name, settings in ARMS.items()},
            "columns": ["step", "validation_loss", "general_loss", "kl"],
            "versions": {name: version(name) for name in ("torch", "transformers")}
            | {"python": platform.python_version()},
            "seconds": round(sum(run["seconds"] for run in runs), 1),
            "at_equal_gain": compare,
            "runs": sorted(runs, key=lambda run: (run["seed"], list(ARMS).index(run["arm"]))),
        },
    )


if __name__ == "__main__":
    main()
