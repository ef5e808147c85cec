"""Runs the data part of a recipe: sources, steps in order, dataset, ledger, manifest.

Every finished step is kept in ``private/cache`` under a key of everything that determines it, so a killed build goes
on where it stopped and ends with the same bytes. The row equation is checked after every step.

``datakit.build`` is this module and, called, its function :func:`build`: Python puts the module there when it is
imported, whatever the package says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pyarrow as pa

from datakit.applied import apply_step, check_columns
from datakit.cache import Cache, Joined, Kept, private_folder
from datakit.core.errors import StepError
from datakit.core.hub import local_first
from datakit.core.step import Params, StepContext
from datakit.core.storage import atomic_directory, write_table, write_text
from datakit.core.workers import Workers
from datakit.dropped import DroppedRows
from datakit.export import check_content, data_card, write_dataset
from datakit.folder import claim, write_manifest
from datakit.ledger import StepCount, count_step
from datakit.limited import LimitedStep, only_of
from datakit.mixing import by_split
from datakit.plan import BuildPlan, plan_build
from datakit.recipe import DataRecipe
from datakit.redactor import Redactor
from datakit.sources import label_names, open_source
from datakit.templates.install import bring_templates

__all__ = ["BuildResult", "Progress", "build"]

Progress = Callable[[StepCount], None]

_TRAIN = "train"
_NOT_ON_TEXT = ("split", "template")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build made.

    Attributes:
        folder: The dataset: Parquet files and data card.
        splits: Split to rows; without a ``split`` step everything is train.
        steps: Sources and steps in order, with their counts.
        labels: Source to label names in the order of their integers.
        replay: Source with ``use: text`` or ``replay`` to its file.
        notes: Step and what it says of itself, for the card and for people.
    """

    folder: Path
    splits: dict[str, int]
    steps: list[StepCount]
    labels: dict[str, tuple[str, ...]]
    replay: dict[str, Path]
    notes: list[tuple[str, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows in all splits."""
        return sum(self.splits.values())


def build(
    recipe: DataRecipe | Path | str,
    *,
    output: Path,
    seed: int | None = None,
    folder: Path | None = None,
    name: str | None = None,
    resources: Mapping[str, Path] = MappingProxyType({}),
    offline: bool = False,
    hub: Path | None = None,
    progress: Progress | None = None,
    confirm: Callable[[str], bool] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    workers: int = 1,
) -> BuildResult:
    """Builds the dataset a recipe describes.

    Args:
        recipe: The data part, or the path of a recipe file (whose other parts are left alone).
        output: Run folder; ``data/``, ``ledger/``, ``manifest.json`` and ``private/`` are written there.
        seed: Everything random derives from it; by default the first of the file's ``seeds``, else 0.
        folder: Where the recipe's relative paths start; the file's folder, or the current one.
        name: For the data card; the file's ``name``.
        resources: Name to path, for steps that need something from elsewhere.
        offline: Nothing is fetched; also set by the file's ``network: never``.
        hub: Folder that stands in for the hub (see ``datakit fetch``); the file's ``hub``.
        progress: Called with the counts of each source and step when it is done.
        confirm: Asks a person before a step spends money; without it, more than a little is refused.
        tell: Hears how far a long step is.
        workers: Processes for the steps ``pii``, ``language``, ``quality`` and ``filter``; the same bytes come out.

    Raises:
        RecipeError: The recipe cannot be right.
        SourceError: A file, column or row is wrong.
        StepError: A step cannot do what is asked, or does not balance.
        DiskFull: No space; what is there stays whole, and the same call goes on.
        UsageError: ``output`` holds a ``data`` folder that no build wrote.
    """
    plan = plan_build(recipe, seed=seed, folder=folder, name=name, offline=offline)
    output, hub = Path(output), hub or plan.hub
    claim(output, recipe=plan.text)
    build = _Build(plan, output, dict(resources), progress)
    build.confirm, build.tell = confirm, tell
    bring_templates(hub)
    with local_first(hub), Workers(workers) as build.workers:
        return build.run()


class _Build:
    """One build: the state that passes from step to step."""

    def __init__(self, plan: BuildPlan, output: Path, resources: dict[str, Path], progress: Progress | None) -> None:
        self.plan, self.output, self.resources = plan, output, resources
        self.progress = progress or (lambda count: None)
        self.private = private_folder(output / "private")
        self.cache = Cache(self.private / "cache")
        self.streams: dict[str, Kept | Joined] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.labels: dict[str, tuple[str, ...]] = {}
        self.columns: dict[str, dict[str, str]] = {}
        self.counts: list[StepCount] = []
        self.notes: list[tuple[str, str]] = []
        self.documents: dict[str, str] = {}
        self.workers = Workers()
        self.confirm: Callable[[str], bool] | None = None
        self.tell: Callable[[str], None] = lambda text: None
        self.ledgers: list[tuple[str, pa.Table]] = []
        self.dropped = DroppedRows()

    def run(self) -> BuildResult:
        self._read_sources()
        made = self._make(0)
        check_columns(made, self.streams[_TRAIN], self.columns)
        for index, (step, params) in enumerate(self.plan.steps):
            self._step(step, params, made[index])
            if step.name == "pii" and self._relabel():
                made[index + 1 :] = self._make(index + 1)
        return self._write()

    def _make(self, start: int) -> list[Any]:
        """The steps from ``start`` on; all are made before the first runs, so that a wrong one is told at once."""
        context = StepContext(
            seed=self.plan.seed,
            folder=self.plan.folder,
            private=self.private,
            labels=dict(self.labels),
            columns=self.columns,
            resources=self.resources,
            offline=self.plan.offline,
            redact=Redactor,
            confirm=self.confirm,
            tell=self.tell,
            workers=self.workers,
        )
        made: list[Any] = []
        for (step, params), spec in list(zip(self.plan.steps, self.plan.recipe.steps, strict=True))[start:]:
            if spec.sources is None:
                made.append(step(params, context))
            else:
                made.append(LimitedStep(step(params, only_of(context, spec.sources)), spec.sources))
        for number, instance in enumerate(made):
            if hasattr(instance, "after"):
                instance.after(made[:number])
        return made

    def _relabel(self) -> bool:
        """Takes label names from the rows where personal data in them was replaced; whether any was."""
        table = pa.concat_tables([stream.table().select(["source", "label"]) for stream in self.streams.values()])
        changed = False
        for name, names in self.labels.items():
            found = label_names(table.filter(pa.compute.equal(table.column("source"), name)))
            if set(found) - set(names):
                self.labels[name], changed = found, True
        return changed

    def _read_sources(self) -> None:
        train: list[Kept] = []
        ledgers: list[pa.Table] = []
        for name, spec in self.plan.recipe.sources.items():
            source = open_source(name, spec, folder=self.plan.folder, offline=self.plan.offline)
            bad_rows = self.private / f"bad_rows-{name}.jsonl"
            kept = self.cache.get(source.key)
            if kept is None:
                bad_rows.unlink(missing_ok=True)
                read = source.read(bad_rows=bad_rows)
                facts = {"rows_in": read.rows_in, "labels": read.labels, "columns": read.columns}
                kept = self.cache.put(source.key, read.output, {**facts, "rows_out": read.output.table.num_rows})
            self.columns[name] = dict(kept.facts["columns"])
            if kept.facts["labels"]:
                self.labels[name] = tuple(kept.facts["labels"])
            ledgers.append(kept.ledger())
            self._count(count_step(f"source:{name}", kept.facts["rows_in"], kept.facts["rows_out"], ledgers[-1]))
            self.sources[name] = {
                "key": source.key,
                "use": spec.use,
                "private": spec.private,
                "files": [{"name": file, "digest": digest} for file, digest in source.files],
                "rows": kept.facts["rows_out"],
            }
            if spec.use == "train":
                train.append(kept)
            else:
                self.streams[name] = kept
        self.streams = {_TRAIN: Joined(train), **self.streams}
        self.ledgers.append(("sources", pa.concat_tables(ledgers)))

    def _count(self, count: StepCount) -> None:
        self.counts.append(count)
        self.progress(count)

    def _step(self, step: Any, params: Params, instance: Any) -> None:
        """Runs one step on the training rows and, where it applies, on each of the other texts."""
        train_only = getattr(step, "train_only", step.name in _NOT_ON_TEXT)
        rows_in, rows_out = 0, 0
        ledgers: list[pa.Table] = []
        for name, stream in list(self.streams.items()):
            if train_only and name != _TRAIN:
                continue
            kept = apply_step(step, params, instance, stream, cache=self.cache, seed=self.plan.seed)
            rows_in += kept.facts["rows_in"]
            rows_out += kept.facts["rows_out"]
            if not kept.facts["rows_out"]:
                raise StepError(f"the step '{step.name}' leaves no row of {kept.facts['rows_in']} ({name})")
            ledgers.append(kept.ledger())
            self.dropped.add(len(self.ledgers), step.name, stream, ledgers[-1])
            said = [(step.name, str(note)) for note in kept.facts["notes"]]
            self.notes += [note for note in said if note not in self.notes]
            self.documents.update(kept.facts.get("documents", {}))
            self.streams[name] = kept
        ledger = pa.concat_tables(ledgers)
        self.ledgers.append((step.name, ledger))
        self._count(count_step(step.name, rows_in, rows_out, ledger))

    def _write(self) -> BuildResult:
        table = self.streams[_TRAIN].table()
        check_content(table)
        splits = by_split(table)
        others = {name: stream.table() for name, stream in self.streams.items() if name != _TRAIN}
        facts = self.plan.card_facts(self.sources, self.counts, self.notes, others)
        data = self.output / "data"
        replay = write_dataset(
            data, splits, replay=others, card=lambda *written: data_card(facts, *written), documents=self.documents
        )
        with atomic_directory(self.output / "ledger") as temporary:
            for index, (name, ledger) in enumerate(self.ledgers):
                write_table(temporary / f"{index:02d}-{name}.parquet", ledger.combine_chunks())
        self._write_contamination([splits.get("train", table.slice(0, 0)), *others.values()])
        self.dropped.write(self.output, self.private, raw_before=self._last_pii())
        sizes = {name: rows.num_rows for name, rows in splits.items() if rows.num_rows}
        if self.plan.text is not None:
            write_text(self.output / "recipe.yaml", self.plan.text)
        write_manifest(self.output, self.plan.name, self._facts(sizes))
        self.cache.prune()
        for file in self.private.glob("bad_rows-*.jsonl"):
            if file.name.removeprefix("bad_rows-").removesuffix(".jsonl") not in self.sources:
                file.unlink()
        return BuildResult(data, sizes, self.counts, self.labels, replay, self.notes)

    def _write_contamination(self, trained: list[pa.Table]) -> None:
        """Which benchmark items stand in which rows, for reports with and without those that are trained on."""
        path = self.output / "contamination.parquet"
        path.unlink(missing_ok=True)
        ledgers = [ledger for name, ledger in self.ledgers if name == "decontaminate"]
        if ledgers:
            from datakit.decontaminate.step import contamination_table

            write_table(path, contamination_table(ledgers, trained))

    def _last_pii(self) -> int:
        """Number of the last ledger whose rows are raw: those before and of the ``pii`` step; 0 without one."""
        return max((number for number, (name, _) in enumerate(self.ledgers) if name == "pii"), default=0)

    def _facts(self, splits: Mapping[str, int]) -> dict[str, Any]:
        """What the manifest says under ``data``."""
        return {
            "seed": self.plan.seed,
            "recipe": self.plan.recipe.model_dump(mode="json", exclude_defaults=True),
            "sources": self.sources,
            "steps": [count._asdict() for count in self.counts],
            "splits": dict(splits),
            "labels": {name: list(names) for name, names in self.labels.items()},
            "notes": [list(note) for note in self.notes],
        }


class _CallableModule(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> BuildResult:
        return build(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
