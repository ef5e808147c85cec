"""Whether two logs are of the same questions under the same conditions, item by item; anything else is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evalkit.errors import EvalError, NotComparable

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.log import EvalLog, TaskInfo

__all__ = ["Join", "Pairing", "Prompts", "TaskPair", "pair_logs"]

Join = Literal["exact", "intersection"]
Prompts = Literal["same", "differ"]


@dataclass(frozen=True, slots=True)
class TaskPair:
    """One task's items in both logs, row for row the same item.

    Attributes:
        task: Name.
        info: From the later log; metric, filter, direction, chance and kind agree in both.
        before: Primary rows before, sorted by item_id.
        after: Primary rows after.
    """

    task: str
    info: TaskInfo
    before: pa.Table
    after: pa.Table


@dataclass(frozen=True, slots=True)
class Pairing:
    """Two logs that fit.

    Attributes:
        pairs: One per task, in the order of the later log's header.
        dropped: Items that stand in one log only, task to number; empty unless joined on the intersection.
        settings: Settings that differ; empty unless prompts may differ.
        unverified: Task to what its logs do not hold, so that nobody can say that it is equal: ``prompts`` for example.
    """

    pairs: tuple[TaskPair, ...]
    dropped: Mapping[str, int]
    settings: tuple[str, ...]
    unverified: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def pair_logs(before: EvalLog, after: EvalLog, *, join: Join = "exact", prompts: Prompts = "same") -> Pairing:
    """Pairs the primary rows of two logs.

    Args:
        before: Log of the model before.
        after: Log of the model after.
        join: ``exact`` refuses items that stand in one log only, ``intersection`` drops and counts them.
        prompts: ``differ`` allows other prompts and settings (a few-shot base beside a tuned model).

    Raises:
        NotComparable: Names the first item, task or setting that differs, and how.
        EvalError: A log has an item twice, or a score that is no number.
    """
    alone = {*before.header.tasks} ^ {*after.header.tasks} if join == "intersection" else set[str]()
    differing = _differing(before.header.settings, after.header.settings, ignore_limit=join == "intersection")
    settings = tuple(text for path, text in differing if not any(f".tasks.{task}." in f".{path}" for task in alone))
    if settings and prompts == "same":
        raise NotComparable(
            f"the logs of '{before.header.model}' and '{after.header.model}' were made with different settings: "
            + settings[0],
            hint='Evaluate both alike, or compare with prompts="differ" (--prompts differ)',
        )
    rows = tuple(_by_task(log) for log in (before, after))
    dropped: dict[str, int] = {}
    unverified: dict[str, tuple[str, ...]] = {}
    tasks = list(after.header.tasks) + [task for task in before.header.tasks if task not in after.header.tasks]
    pairs = []
    for task in tasks:
        if missing := [log for log in (before, after) if task not in log.header.tasks]:
            if join == "exact":
                raise NotComparable(
                    f"task '{task}' is not in the log of '{missing[0].header.model}'",
                    hint='Evaluate both on one suite, or compare with join="intersection" (--join intersection)',
                )
            dropped[task] = sum(len(table[task]) for table in rows if task in table)
            continue
        info = _same_info(task, before.header.tasks[task], after.header.tasks[task])
        tables, lost = _join(task, rows[0].get(task), rows[1].get(task), join, (before, after))
        if lost:
            dropped[task] = lost
        if unknown := _same_items(task, *tables, prompts=prompts):
            unverified[task] = unknown
        pairs.append(TaskPair(task, info, *tables))
    if not pairs:
        raise NotComparable(
            f"the logs of '{before.header.model}' and '{after.header.model}' share no task",
            hint=f"Before: {', '.join(before.header.tasks)}. After: {', '.join(after.header.tasks)}",
        )
    return Pairing(tuple(pairs), dropped, settings, unverified)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in value:
            yield from _flat(value[key], f"{path}.{key}" if path else str(key))
    else:
        yield path, list(value) if isinstance(value, tuple) else value


def _differing(before: Mapping[str, Any], after: Mapping[str, Any], *, ignore_limit: bool) -> Iterator[tuple[str, str]]:
    """Path of each setting that differs, and how."""
    old, new = dict(_flat(before)), dict(_flat(after))
    for path in sorted({*old, *new}):
        if ignore_limit and "limit" in path.split("."):
            continue
        if old.get(path) != new.get(path) or (path in old) != (path in new):
            yield path, f"{path} is {_shown(old, path)} before and {_shown(new, path)} after"


def _shown(settings: Mapping[str, Any], path: str) -> str:
    return repr(settings[path]) if path in settings else "not set"


def _same_info(task: str, before: TaskInfo, after: TaskInfo) -> TaskInfo:
    for name in ("kind", "metric", "filter", "higher_is_better", "chance"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            raise NotComparable(f"task '{task}': {name.replace('_', ' ')} is {old!r} before and {new!r} after")
    return after


def _by_task(log: EvalLog) -> dict[str, pa.Table]:
    """Primary rows of each task, sorted by item_id; checks ids and scores."""
    import numpy as np

    table = log.primary().sort_by([("task", "ascending"), ("item_id", "ascending")])
    names, ids = (table.column(name).to_pylist() for name in ("task", "item_id"))
    for position in range(1, len(names)):
        if names[position] == names[position - 1] and ids[position] == ids[position - 1]:
            raise EvalError(
                f"the log of '{log.header.model}' has item '{ids[position]}' of task '{names[position]}' twice",
                hint="One row per item may be primary; ids must be unique within a task",
            )
    scores = table.column("score").to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        at = int(wrong[0])
        raise EvalError(
            f"the log of '{log.header.model}' has the score {scores[at]} for item '{ids[at]}' of task '{names[at]}'",
            hint="A score must be a number; evaluate the model again",
        )
    starts = [at for at in range(len(names)) if at == 0 or names[at] != names[at - 1]]
    ends = [*starts[1:], len(names)][: len(starts)]
    return {names[start]: table.slice(start, end - start) for start, end in zip(starts, ends, strict=True)}


def _join(
    task: str, before: pa.Table | None, after: pa.Table | None, join: Join, logs: tuple[EvalLog, EvalLog]
) -> tuple[tuple[pa.Table, pa.Table], int]:
    if before is None or after is None:
        raise NotComparable(f"the log of {_which(logs, 0 if before is None else 1)} has no item of task '{task}'")
    ids = [table.column("item_id").to_pylist() for table in (before, after)]
    if ids[0] == ids[1]:
        return (before, after), 0
    common = set(ids[0]) & set(ids[1])
    if join == "exact":
        for own, other in ((0, 1), (1, 0)):
            if alone := next((item for item in ids[own] if item not in common), None):
                raise NotComparable(
                    f"item '{alone}' of task '{task}' is in the log of {_which(logs, own)} and not in that of "
                    f"{_which(logs, other)}",
                    hint='Evaluate both with one limit, or compare with join="intersection" (--join intersection)',
                )
    if not common:
        raise NotComparable(f"the logs share no item of task '{task}'")
    kept = tuple(
        table.take([at for at, item in enumerate(own) if item in common])
        for table, own in zip((before, after), ids, strict=True)
    )
    return (kept[0], kept[1]), len(ids[0]) + len(ids[1]) - 2 * len(common)


def _which(logs: tuple[EvalLog, EvalLog], at: int) -> str:
    """A log by its model; by its side too where both have the same name."""
    name = f"'{logs[at].header.model}'"
    return name if logs[0].header.model != logs[1].header.model else f"{name} ({('before', 'after')[at]})"


_HASHES = {"doc_hash": "documents", "target_hash": "targets", "prompt_hash": "prompts"}


def _same_items(task: str, before: pa.Table, after: pa.Table, *, prompts: Prompts) -> tuple[str, ...]:
    """Refuses what differs; a hash that one log lacks cannot differ, and is named in the answer."""
    words = {"doc_hash": "the document", "target_hash": "the target", "prompt_hash": "the prompt"}
    words |= {"metric": "the metric", "filter": "the filter", "cluster": "the cluster"}
    if prompts == "differ":
        del words["prompt_hash"]
    columns = {name: (before.column(name).to_pylist(), after.column(name).to_pylist()) for name in words}
    first: tuple[int, str] | None = None
    unknown = []
    for name, (old, new) in columns.items():
        if name in _HASHES and (None in old or None in new):
            unknown.append(_HASHES[name])
            known = [one is not None and other is not None for one, other in zip(old, new, strict=True)]
            old, new = ([x if there else None for x, there in zip(side, known, strict=True)] for side in (old, new))
        if old != new:
            at = next(index for index, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
            if first is None or at < first[0]:
                first = (at, name)
    if first is None:
        return tuple(unknown)
    at, name = first
    item, (old, new) = before.column("item_id")[at].as_py(), columns[name]
    raise NotComparable(
        f"item '{item}' of task '{task}': {words[name]} differs between the logs "
        f"({name} {old[at]!r} before, {new[at]!r} after)",
        hint="Evaluate both with the same data, template and chat settings, or compare with "
        'prompts="differ" (--prompts differ)'
        if name == "prompt_hash"
        else "Evaluate both models on the same version of the task",
    )
