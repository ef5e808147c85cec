"""Gain against forgetting, method by method: which trainings learn a task and keep what the model knew.

    python benchmarks/frontier.py                            everything: hours on two cores
    python benchmarks/frontier.py --only pocket/lora-8       one world, one method (repeatable; pocket/ for a world)
    python benchmarks/frontier.py --report                   table and figures of what there is, trains nothing

Worlds: the pocket world, and the stories260K model on SMS spam and on sentence polarity (with real data, named by
DATAKIT_REAL_DATA). Each is one run in the folder (-o); what is done there is not done again, so a killed call is
repeated. A method that this version does not know is named and left out. Writes benchmarks/results/frontier.json and
docs/figures/frontier-WORLD.svg; intervals are two-level, over seeds and items, from three seeds on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from datakit import pocket
from datakit.core.errors import DatakitError
from datakit.core.storage import atomic_directory, write_json, write_text
from datakit.experiment.events import Event
from datakit.experiment.interpolate import interpolate
from datakit.experiment.layout import Layout
from datakit.experiment.run import run
from evalkit.report import from_run
from evalkit.report.model import ArmResult, Report, summaries
from train import Arm

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("DATAKIT_REAL_DATA") or ROOT / ".." / "shared" / "data").resolve()
# In a recipe: ids and splits of rows follow a file's name, which with the variable is the same wherever the run lies.
NAMED = f"${{DATAKIT_REAL_DATA:-{REAL}}}"
SEEDS = (1, 2, 3)
ALPHAS = (0.25, 0.5, 0.75)
BUDGET = 0.01


@dataclass(frozen=True, slots=True)
class World:
    """A model, a task to learn and general tasks to keep.

    Attributes:
        model: Folder or name.
        suite: General tasks.
        full: Learning rate of full fine-tuning in the middle of its grid.
        adapter: Of adapters.
        steps: Optimizer steps, the same for every method.
        data: Writes the task's data and general text into a folder; gives the recipe's ``data`` part.
    """

    model: str
    suite: str
    full: float
    adapter: float
    steps: int
    data: Callable[[Path], dict[str, Any]]


def methods(world: World) -> dict[str, dict[str, Any]]:
    """Name to the settings of an arm; whatever is not named is equal for all."""
    full = {"adapter": "full", "learning_rate": world.full}
    found: dict[str, dict[str, Any]] = {}
    for factor in (0.1, 0.3, 1.0, 3.0):
        found[f"full-x{factor:g}"] = {"adapter": "full", "learning_rate": world.full * factor}
    for rank in (1, 4, 8, 32):
        found[f"lora-{rank}"] = {"adapter": "lora", "rank": rank, "learning_rate": world.adapter}
    mlp = ["gate_proj", "up_proj", "down_proj"]
    found["lora-8-mlp"] = {"adapter": "lora", "rank": 8, "targets": mlp, "learning_rate": world.adapter}
    found["loreft"] = {"adapter": "loreft", "learning_rate": world.adapter}
    found["osf"] = {"adapter": "osf", "learning_rate": world.full}
    for share in (0.01, 0.05, 0.2):
        found[f"full-replay-{round(100 * share)}"] = {**full, "replay": {"from": "general", "share": share}}
    found["full-replay-self-5"] = {**full, "replay": {"from": "self", "share": 0.05}}
    found["full-kl"] = {**full, "kl": {"weight": 1.0}}
    found["full-kl-general"] = {**full, "kl": {"weight": 1.0, "from": "general"}}
    found["full-l2"] = {**full, "l2": {"weight": 0.01}}
    found["full-token-mask"] = {**full, "token_mask": {"quantile": 0.9}}
    return {name: {**settings, "steps": world.steps} for name, settings in found.items()}


def known(wanted: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The methods this version knows; the others are named."""
    found = {}
    for name, settings in wanted.items():
        try:
            Arm.model_validate(settings)
        except ValidationError as error:
            print(f"left out: {name} ({error.errors(include_url=False)[0]['msg']})", file=sys.stderr)
        else:
            found[name] = settings
    return found


def _steps(text: str = "text") -> list[dict[str, Any]]:
    return [
        {"dedup": {"on": text, "threshold": 0.8}},
        {"split": {"validation": 0.1, "test": 0.3, "stratify": "label"}},
        {"template": {"use": "classify", "language": "en"}},
    ]


def pocket_data(folder: Path) -> dict[str, Any]:
    """Tickets, and documents as the model was pretrained on."""
    pocket.write_task(folder, seed=1, rows=1200)
    pocket.write_general(folder / "general.jsonl", seed=1, rows=1000)
    task = {"path": "tickets.csv", "columns": {"text": "text", "label": "queue"}}
    general = {"path": "general.jsonl", "columns": {"text": "text"}, "use": "replay"}
    return {"sources": {"task": task, "general": general}, "steps": _steps()}


def _books() -> dict[str, Any]:
    """Children's books: near to the stories the model was pretrained on, which are not at hand."""
    path = f"{NAMED}/text/classic_books/Lewis Carroll*.md"
    return {"path": path, "format": "text", "rows": "paragraph", "columns": {"text": "text"}, "use": "replay"}


def sms_data(folder: Path) -> dict[str, Any]:
    """5,574 text messages, ham or spam."""
    task = {
        "path": f"{NAMED}/classification/sms_spam/SMSSpamCollection.gz",
        "format": "tsv",
        "header": ["label", "message"],
        "quoting": "none",
        "columns": {"text": "message", "label": "label"},
    }
    return {"sources": {"task": task, "general": _books()}, "steps": _steps()}


def polarity_data(folder: Path) -> dict[str, Any]:
    """4,000 of 10,662 sentences of film reviews, positive or negative, in an order drawn once."""
    with (
        zipfile.ZipFile(REAL / "classification" / "sentence_polarity" / "sentence_polarity.zip") as archive,
        (folder / "polarity.csv").open("w", encoding="utf-8", newline="") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        found = []
        for member in sorted(archive.namelist()):
            if member.endswith((".pos", ".neg")):
                label = "positive" if member.endswith(".pos") else "negative"
                lines = archive.read(member).decode("latin-1").splitlines()
                found += [[line.strip(), label] for line in lines if line.strip()]
        random.Random(1).shuffle(found)
        writer.writerows(found)
    # So many are read, so that a cell takes no longer than one of the other worlds: its test split is what costs.
    task = {"path": "polarity.csv", "columns": {"text": "text", "label": "label"}, "limit": 4000}
    return {"sources": {"task": task, "general": _books()}, "steps": _steps()}


STORIES = str(REAL / "weights" / "stories260K" / "hf")
SUITE = str(ROOT / "examples" / "sms_suite.yaml")
WORLDS = {
    "pocket": World("pocket", "pocket", 1e-3, 3e-3, 60, pocket_data),
    "sms": World(STORIES, SUITE, 1e-3, 2e-3, 150, sms_data),
    "polarity": World(STORIES, SUITE, 1e-3, 2e-3, 150, polarity_data),
}


def recipe_of(name: str, arms: Mapping[str, dict[str, Any]], folder: Path) -> Path:
    """Writes data and recipe of a world once; gives the recipe's path. JSON is YAML."""
    world, place = WORLDS[name], folder / "worlds" / name
    if not place.is_dir():
        with atomic_directory(place) as fresh:
            write_text(fresh / "data.json", json.dumps(world.data(fresh)))
    content = {
        "format": 1,
        "name": f"frontier-{name}",
        "seeds": list(SEEDS),
        "data": json.loads((place / "data.json").read_text(encoding="utf-8")),
        "model": world.model,
        "arms": dict(arms),
        "evaluate": {"task": "test", "suite": world.suite},
    }
    path = place / f"{name}.yaml"
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path


def train(name: str, wanted: Callable[[str], bool], seeds: tuple[int, ...], folder: Path) -> None:
    """Trains and evaluates what is wanted and not done."""
    arms = known(methods(WORLDS[name]))
    recipe, output = recipe_of(name, arms, folder), folder / "runs" / name
    for seed in seeds:
        if all(map(wanted, arms)) and _ran(f"{name}, seed {seed}", recipe, output, seed=seed):
            continue
        for arm in filter(wanted, arms):  # a method that fails says so in the table by not being there
            _ran(f"{name}/{arm}-{seed}", recipe, output, seed=seed, arm=arm)


def _ran(what: str, recipe: Path, output: Path, **cells: Any) -> bool:
    """Runs some cells; every call reads all logs for the report, so one for a whole seed is quicker than one an arm."""
    start = time.monotonic()
    try:
        run(recipe, output=output, listen=_told, **cells)
    except DatakitError as error:
        print(f"{what}: {error}", file=sys.stderr)
        return False
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)
    return True


def _told(event: Event) -> None:
    """Evaluations that are no longer true leave the run, and with them their lines the table."""
    if event.stage == "dropped":
        print(event.text, file=sys.stderr, flush=True)


def interpolated(name: str, arm: str, report: Report, folder: Path) -> Iterator[ArmResult]:
    """The models between the base and a trained arm, as arms."""
    layout = Layout(folder / "runs" / name)
    for seed in sorted({one.seed for one in report.arms if one.name == arm and one.seed is not None}):
        (curve,) = interpolate(layout, arm, ALPHAS, seed=seed, budget=BUDGET).curves.curves
        own = next(one for one in report.arms if one.name == arm and one.seed == seed)
        for point in curve.points:
            yield replace(own, name=f"{arm}-to-{point.at}", comparison=point.comparison)


def table(name: str, folder: Path, *, between: bool) -> dict[str, Any] | None:
    """Prints the table of a world and writes its figure; what goes into the results."""
    root = folder / "runs" / name
    if not (root / "manifest.json").is_file():
        return None
    report = from_run(root)
    if between and any(one.name == "full-x1" for one in report.arms):
        report = replace(report, arms=(*report.arms, *interpolated(name, "full-x1", report, folder)))
    rows = []
    for entry in summaries(report):
        sides = {"gain": entry.gain, "general": entry.general}
        values = {side: None if found is None else found.value for side, found in sides.items()}
        ends = {f"{side}_interval": None if found is None else found.interval for side, found in sides.items()}
        rows.append({"method": entry.name, "seeds": len(entry.seeds), **values, **ends, "gates": list(entry.statuses)})
    print(f"\n{name}\n| method | seeds | gain, points | general tasks, points | gates |\n|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: -(row["general"] or 0.0)):
        cells = [_points(row[side], row[f"{side}_interval"]) for side in ("gain", "general")]
        print(f"| {row['method']} | {row['seeds']} | {cells[0]} | {cells[1]} | {', '.join(row['gates'])} |")
    write_text(ROOT / "docs" / "figures" / f"frontier-{name}.svg", figure(rows))
    return {"model": Path(WORLDS[name].model).parent.name or WORLDS[name].model, "rows": rows}


def figure(rows: list[dict[str, Any]]) -> str:
    """Per method a line: its gain at the left, the change of the general tasks at the right, each with its interval."""
    order = sorted(rows, key=lambda row: -(row["general"] or 0.0))
    height = 22 * len(order) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="760" height="{height}" fill="#fff"/>',
    ]
    for side, left, title in (("gain", 170, "gain on the task, points"), ("general", 480, "general tasks, points")):
        ends = [end for row in order for end in row[f"{side}_interval"] or [row[side] or 0.0]]
        low, high = min(0.0, *ends), max(0.0, *ends)

        def at(value: float, left: int = left, low: float = low, high: float = high) -> float:
            return left + 250 * (value - low) / (high - low)

        parts.append(f'<text x="{left + 125}" y="16" text-anchor="middle" font-weight="bold">{title}</text>')
        zero = at(0.0)
        parts.append(f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="24" y2="{height - 24}" stroke="#999"/>')
        marks = {0.0: "0"} | {end: f"{100 * end:+.0f}" for end in (low, high) if abs(end) > 0.1 * (high - low)}
        parts += [
            f'<text x="{at(value):.1f}" y="{height - 8}" text-anchor="middle" fill="#555">{text}</text>'
            for value, text in marks.items()
        ]
        for number, row in enumerate(order):
            y = 40 + 22 * number
            if row[side] is None:
                continue
            if row[f"{side}_interval"]:
                start, end = map(at, row[f"{side}_interval"])
                parts.append(
                    f'<line x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}" stroke="#58a" stroke-width="2"/>'
                )
            parts.append(f'<circle cx="{at(row[side]):.1f}" cy="{y}" r="4" fill="#135"/>')
    parts += [
        f'<text x="160" y="{44 + 22 * number}" text-anchor="end">{row["method"]}</text>'
        for number, row in enumerate(order)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _points(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:+.1f}" + ("" if ends is None else f" [{100 * ends[0]:+.1f}, {100 * ends[1]:+.1f}]")


def main() -> None:
    """Trains what is missing and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="WORLD/METHOD", help="repeatable")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--without-interpolation", action="store_true")
    parser.add_argument("-o", "--folder", type=Path, default=Path("runs") / "frontier", help="resumed when it is there")
    wanted = parser.parse_args()
    os.environ["DATAKIT_REAL_DATA"] = str(REAL)  # a relative one would start at each recipe's folder
    pairs = [only.partition("/")[::2] for only in wanted.only]
    if wrong := [world for world, _ in pairs if world not in WORLDS]:
        parser.error(f"no world '{wrong[0]}'; known: {', '.join(WORLDS)}")
    folder, results = wanted.folder.resolve(), {}
    for name in WORLDS:
        chosen = [method for world, method in pairs if world == name]
        if not wanted.report and (chosen or not pairs):
            train(name, lambda arm, chosen=chosen: not any(chosen) or arm in chosen, tuple(wanted.seeds), folder)
        if found := table(name, folder, between=not wanted.without_interpolation):
            results[name] = found
    command = " ".join(["python benchmarks/frontier.py", *(f"--only {name}/" for name in results)])
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    content = {"command": command, "versions": versions, "budget": BUDGET, "worlds": results}
    write_json(ROOT / "benchmarks" / "results" / "frontier.json", content)


if __name__ == "__main__":
    main()
