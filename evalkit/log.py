"""EvalLog: everything one evaluation of one model on one suite found, one Parquet row per item and metric.

Comparisons and reports read logs and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from datakit.core.storage import read_json, read_table, write_json, write_table
from evalkit.errors import LogError

__all__ = ["FORMAT", "ITEMS", "EvalLog", "LogHeader", "Status", "TaskInfo"]

FORMAT = 1

Status = Literal["ok", "unreadable", "refused", "truncated", "empty", "unjudged"]

ITEMS = pa.schema(
    [
        ("task", pa.string()),
        ("item_id", pa.string()),
        ("doc_hash", pa.string()),
        ("prompt_hash", pa.string()),
        ("target_hash", pa.string()),
        ("metric", pa.string()),
        ("filter", pa.string()),
        ("is_primary", pa.bool_()),
        ("score", pa.float64()),
        ("prompt", pa.string()),
        ("answer", pa.string()),
        ("target", pa.string()),
        ("choice_logprobs", pa.list_(pa.float64())),
        ("n_choices", pa.int32()),
        ("cluster", pa.string()),
        ("status", pa.string()),
        ("n_tokens", pa.int32()),
        ("n_bytes", pa.int32()),
        ("sum_logprob", pa.float64()),
        ("kl_to_base", pa.float64()),
        ("seed", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """What a comparison must know of a task.

    Attributes:
        kind: ``general`` (in the gate), ``gain`` (the user's own task) or ``drift`` (cross-entropy; never the gate).
        metric: Primary metric: ``acc``, ``exact_match``, ``nll_per_token``, ...
        filter: Primary filter of lm-eval, ``none`` mostly.
        higher_is_better: Direction of the metric.
        chance: Expected score of guessing; 0 for open answers.
        margin: Loss the user calls tolerable on this task, in points of the score (0.02 = 2 points).
        description: One line for the report.
        metrics: Further metrics of the whole set that a row shows: ``macro_f1``, ``mcc``, ``pearson``, ``entity_f1``.
    """

    kind: Literal["general", "gain", "drift"] = "general"
    metric: str = "acc"
    filter: str = "none"
    higher_is_better: bool = True
    chance: float = 0.0
    margin: float = 0.02
    description: str = ""
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "metrics", tuple(self.metrics))  # a JSON file has a list


@dataclass(frozen=True, slots=True)
class LogHeader:
    """Facts about the evaluation as a whole.

    Attributes:
        suite: Name of the suite.
        model: As the user named it (folder, hub name, arm).
        model_digest: Hash of the weights (and of the adapter's).
        key: Store key; equal keys mean equal results.
        tasks: Task name to what a comparison must know of it.
        settings: Chat, generation, few-shot and limit settings; must be equal in both logs of a comparison.
        recorded: Batch size, dtype, device, seconds: recorded, never part of the guard.
        versions: Package versions.
        notes: What the log cannot say, where another tool wrote it: each a sentence for the reader of a comparison.
    """

    suite: str
    model: str
    model_digest: str = ""
    key: str = ""
    tasks: Mapping[str, TaskInfo] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    recorded: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvalLog:
    """Header and items.

    Attributes:
        header: Facts about the evaluation.
        items: Table of :data:`ITEMS`, sorted by task, item_id, metric, filter.
    """

    header: LogHeader
    items: pa.Table

    def primary(self) -> pa.Table:
        """Rows of each task's primary metric and filter: one per item."""
        return self.items.filter(self.items.column("is_primary"))

    def write(self, folder: Path) -> Path:
        """Writes ``<suite>.parquet`` and then ``<suite>.json`` under ``folder``; returns the latter."""
        write_table(folder / f"{self.header.suite}.parquet", self.items.select(ITEMS.names).cast(ITEMS))
        path = folder / f"{self.header.suite}.json"
        write_json(path, asdict(self.header), format=FORMAT)
        return path

    @classmethod
    def read(cls, path: Path) -> EvalLog:
        """Reads a log by its ``.json`` or ``.parquet`` path.

        Raises:
            LogError: A column or a header field is missing.
            StorageError: Missing or truncated file.
            NewerFormat: Written by a newer version.
        """
        header = read_json(path.with_suffix(".json"), format=FORMAT)
        items = read_table(path.with_suffix(".parquet"))
        if missing := set(ITEMS.names) - set(items.column_names):
            raise LogError(f"the columns {sorted(missing)} are missing", where=path)
        known = {item.name for item in fields(LogHeader)}
        try:
            header["tasks"] = {name: TaskInfo(**task) for name, task in header["tasks"].items()}
            header["notes"] = tuple(header.get("notes", ()))
            parsed = LogHeader(**{key: value for key, value in header.items() if key in known})
        except (KeyError, TypeError, AttributeError) as error:
            raise LogError(f"not the header of an evaluation log ({error})", where=path) from None
        return cls(parsed, items.select(ITEMS.names).cast(ITEMS))
