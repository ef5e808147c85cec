"""``datakit export``: an arm as it is shipped, a folder that stands alone, checked and evaluated again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.adapters import is_adapter
from datakit.core.errors import DatakitError
from datakit.core.hub import local_first
from datakit.core.require import own_package
from datakit.core.storage import atomic_directory, read_json, write_json, write_text
from datakit.experiment.arms import Cell
from datakit.experiment.evaluation import evaluate_model, suites
from datakit.experiment.events import Event, Listener, silent
from datakit.experiment.layout import Layout
from datakit.experiment.opened import base_of, recipe_of, trained_cells
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from evalkit.log import EvalLog

__all__ = ["Change", "Exported", "export_arm"]

_FORMAT = 1
#: Files of a cell's folder that say how it came about, not what it is.
_LEFT = ("log.jsonl", "cell.json", "merged.json", "checkpoints", "README.md")


@dataclass(frozen=True, slots=True)
class Change:
    """One task, as the run measured the arm and as the exported folder scores.

    Attributes:
        task: Name.
        items: Items.
        changed: Items with another score.
        before: Mean score in the run.
        after: Mean score of the exported folder.
    """

    task: str
    items: int
    changed: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where it stands.
        cell: Which arm and seed.
        kind: A whole ``model``, or an ``adapter`` where it cannot be folded into its base.
        difference: Largest difference of a logit between base and adapter and the float32 sum; None without a sum.
        tasks: One per task that was evaluated again.
    """

    folder: Path
    cell: Cell
    kind: str
    difference: float | None
    tasks: tuple[Change, ...]


def export_arm(
    layout: Layout,
    arm: str,
    *,
    seed: int | None = None,
    output: Path | None = None,
    listen: Listener = silent,
) -> Exported:
    """Writes the folder of an arm; it appears whole or not at all.

    An adapter is folded into its base in float32, compared with base and adapter together, and saved in the base's data
    type; one that works on hidden states or virtual tokens stays an adapter. The folder is then evaluated as the run
    evaluated the arm.

    Args:
        layout: A run that was evaluated.
        arm: Name of the arm.
        seed: Its first by default.
        output: ``exports/<arm>-<seed>`` in the run by default; an earlier export is replaced.
        listen: Hears what happens.

    Raises:
        DatakitError: Not trained or not evaluated yet, or the sum answers otherwise than its parts.
    """
    for package in ("train", "evalkit"):
        own_package(package)
    from train.checkpoint import check_output

    recipe = recipe_of(layout)
    cell = trained_cells(recipe, layout, arm=arm, seed=seed)[0]
    if not layout.evaluation(cell.name).is_dir():
        raise DatakitError(
            f"'{cell.name}' was not evaluated yet", where=layout.root, hint="Finish it with: datakit run"
        )
    target = output or layout.root / "exports" / cell.name
    check_output(target)
    with local_first(recipe.hub), atomic_directory(target) as scratch:
        base = base_of(recipe)
        difference = _weights(layout.model(cell.name), base, scratch, listen)
        tasks = _evaluated(recipe, cell, base, scratch, layout, listen)
        kind = "adapter" if is_adapter(scratch) else "model"
        write_text(scratch / "README.md", _card(layout, cell, kind))
        facts = {"arm": cell.arm, "seed": cell.seed, "kind": kind, "merge_difference": difference}
        write_json(scratch / "export.json", {**facts, "tasks": [asdict(one) for one in tasks]}, format=_FORMAT)
    return Exported(target, cell, kind, difference, tuple(tasks))


def _weights(source: Path, base: Path, folder: Path, listen: Listener) -> float | None:
    """The model or adapter without what belongs to the run; the difference of a sum's logits."""
    from train import can_merge, merge_measured

    difference = None
    if is_adapter(source) and can_merge(source):
        listen(Event("plan", "merge", "folding the adapter into its base, in float32", final=False))
        made = folder / "merged"
        difference = merge_measured(base, source, made)
        for file in made.iterdir():
            file.rename(folder / file.name)
        made.rmdir()
    else:
        for file in source.iterdir():
            if file.name not in _LEFT and file.is_file():
                shutil.copy2(file, folder / file.name)
    _set_generation(folder, base, source)
    return difference


def _set_generation(folder: Path, base: Path, source: Path) -> None:
    """generation_config.json stops where answers were trained to end, in an adapter's folder too."""
    path = folder / "generation_config.json"
    start = path if path.is_file() else base / "generation_config.json"
    settings: dict[str, Any] = json.loads(start.read_bytes()) if start.is_file() else {}
    known = settings.get("eos_token_id")
    ends = [] if known is None else list(known) if isinstance(known, list) else [known]
    ends += [id for id in read_json(source / "train.json").get("stop_tokens") or () if id not in ends]
    if ends:
        settings["eos_token_id"] = ends[0] if len(ends) == 1 else ends
    write_text(path, json.dumps(settings, indent=2) + "\n")


def _evaluated(recipe: Recipe, cell: Cell, base: Path, folder: Path, layout: Layout, listen: Listener) -> list[Change]:
    """The run's suites on the folder as it is, beside what the run measured."""
    from evalkit.evaluate import Session
    from evalkit.report.run import combined_log

    adapter = folder if is_adapter(folder) else None
    session = Session(base if adapter else folder, chat=recipe.chat, offline=recipe.offline)
    into = folder / "evals"
    evaluate_model(session, suites(recipe, layout), f"{cell.name} exported", adapter, recipe, into, listen)
    session.unload()
    found = _changes(combined_log(layout.evaluation(cell.name)), combined_log(into))
    shutil.rmtree(into)
    return found


def _changes(before: EvalLog, after: EvalLog) -> list[Change]:
    def scores(log: EvalLog) -> Mapping[str, Mapping[str, float | None]]:
        found: dict[str, dict[str, float | None]] = {}
        table = log.primary()
        for task, item, score in zip(*(table.column(name).to_pylist() for name in _READ), strict=True):
            found.setdefault(task, {})[item] = score
        return found

    old, new = scores(before), scores(after)
    changes = []
    for task, values in new.items():
        pairs = [(old[task][item], score) for item, score in values.items() if item in old.get(task, {})]
        changed = sum(first != second for first, second in pairs)
        means = [_mean([pair[side] for pair in pairs]) for side in (0, 1)]
        changes.append(Change(task, len(pairs), changed, *means))
    return changes


_READ = ("task", "item_id", "score")


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _card(layout: Layout, cell: Cell, kind: str) -> str:
    """The model card with the run's scores."""
    from evalkit.report import from_run
    from evalkit.report.card import cards

    report = from_run(layout.root, arm=cell.arm)
    own = [one for one in report.arms if one.seed in (cell.seed, None)]
    written = cards(replace(report, arms=own), library="transformers" if kind == "model" else None)
    return next(iter(written.values()))
