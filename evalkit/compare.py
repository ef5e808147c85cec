"""Two logs become a comparison: a verdict per task, the suite's mean, gain, drift, and every flipped item."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from datakit.core.hashing import digest
from evalkit.comparison import Comparison, Row, SuiteMean
from evalkit.errors import EvalError
from evalkit.paired import paired

if TYPE_CHECKING:
    import pyarrow as pa

    from evalkit.guard import Join, Pairing, Prompts, TaskPair
    from evalkit.log import EvalLog

__all__ = ["Comparison", "Row", "SuiteMean", "combine_logs", "compare"]

MAX_LABELS = 200


def compare(
    before: EvalLog | Path,
    after: EvalLog | Path,
    *,
    join: Join = "exact",
    prompts: Prompts = "same",
    alpha: float = 0.05,
    seed: int = 0,
    labels: Sequence[str] = (),
    contaminated: Mapping[str, Collection[str]] | None = None,
) -> Comparison:
    """Compares two logs item by item.

    Args:
        before: Log of the model before, or its path.
        after: Log of the model after, or its path.
        join: ``exact`` refuses items that stand in one log only; ``intersection`` drops and counts them.
        prompts: ``differ`` allows other prompts and settings; such rows stay out of the gate.
        alpha: 1 - confidence; also the level of Holm's adjustment over the general rows.
        seed: Seed of permutations and bootstraps.
        labels: Labels of the new task, to recognise them as answers elsewhere; those of gain tasks are added.
        contaminated: Task to ids of items that stand in the training data; their rows are given again without them.

    Raises:
        NotComparable: Items, hashes, metric, filter or settings differ; the message names the first.
        EvalError: A duplicated item, or a score that is NaN or outside [0, 1].
    """
    from evalkit.contamination import clean_rows
    from evalkit.guard import pair_logs
    from evalkit.noise import recorded_noise
    from evalkit.notes import clean_note, comparison_notes

    old, new = _as_log(before), _as_log(after)
    pairing = pair_logs(old, new, join=join, prompts=prompts)
    found = _judge(
        pairing, labels=labels, note="different prompts" if prompts == "differ" else "", alpha=alpha, seed=seed
    )
    clean = clean_rows(found, old, new, contaminated, seed=seed) if contaminated else ()
    return replace(
        found,
        clean=clean,
        before=old.header.model,
        after=new.header.model,
        suite=new.header.suite,
        noise=recorded_noise(old),
        notes=(*comparison_notes(pairing, old, new), *map(clean_note, clean)),
    )


def _judge(pairing: Pairing, *, labels: Sequence[str], note: str, alpha: float, seed: int) -> Comparison:
    """The comparison of paired tasks, without the names of the models."""
    from evalkit.drift import measure_drift
    from evalkit.flips import flips_table

    scored = [pair for pair in pairing.pairs if pair.info.kind != "drift"]
    known = {*labels, *(label for pair in scored for label in (_labels(pair) if pair.info.kind == "gain" else ()))}
    flips = flips_table(scored, labels=known)
    doubts = {task: f"{' and '.join(what)} not verified" for task, what in pairing.unverified.items()}
    rows = [
        _row(pair, flips, alpha=alpha, seed=seed, note="; ".join(filter(None, [note, doubts.get(pair.task)])))
        for pair in scored
    ]
    general = _adjust([row for row in rows if row.kind == "general"], alpha)
    return Comparison(
        before="",
        after="",
        suite="",
        general=general,
        gains=tuple(row for row in rows if row.kind == "gain"),
        drift=tuple(measure_drift(pair, alpha=alpha) for pair in pairing.pairs if pair.info.kind == "drift"),
        suite_mean=_suite_mean(general) if general else None,
        flips=flips,
        dropped=pairing.dropped,
        settings=pairing.settings,
        identical=_identical(pairing.pairs),
        alpha=alpha,
    )


def combine_logs(logs: Sequence[EvalLog]) -> EvalLog:
    """One log of several suites of the same model, so that they are compared together.

    Raises:
        EvalError: No log, or a task that stands in two of them.
    """
    import pyarrow as pa

    if not logs:
        raise EvalError("no evaluation log to combine")
    if len(logs) == 1:
        return logs[0]
    ordered = sorted(logs, key=lambda log: log.header.suite)
    tasks = {name: info for log in ordered for name, info in log.header.tasks.items()}
    if len(tasks) < sum(len(log.header.tasks) for log in ordered):
        names = [name for log in ordered for name in log.header.tasks]
        twice = next(name for name in names if names.count(name) > 1)
        raise EvalError(f"task '{twice}' stands in two evaluation logs of '{logs[0].header.model}'")
    header = replace(
        ordered[0].header,
        suite="+".join(log.header.suite for log in ordered),
        tasks=tasks,
        settings={log.header.suite: log.header.settings for log in ordered},
        recorded={
            **{key: value for log in reversed(ordered) for key, value in log.header.recorded.items()},
            "tasks": {
                name: facts for log in ordered for name, facts in (log.header.recorded.get("tasks") or {}).items()
            },
        },
        notes=tuple(dict.fromkeys(note for log in ordered for note in log.header.notes)),
    )
    from evalkit.log import EvalLog

    return EvalLog(header, pa.concat_tables([log.items for log in ordered]))


def _as_log(value: EvalLog | Path) -> EvalLog:
    from evalkit.log import EvalLog

    return value if isinstance(value, EvalLog) else EvalLog.read(Path(value))


def _row(pair: TaskPair, flips: pa.Table, *, alpha: float, seed: int, note: str) -> Row:
    import numpy as np
    import pyarrow.compute as pc

    from evalkit.drift import kl_to_base
    from evalkit.row_metrics import row_metrics
    from evalkit.set_pairs import by_set

    scores = [np.asarray(table.column("score").to_numpy(zero_copy_only=False)) for table in (pair.before, pair.after)]
    if not pair.info.higher_is_better:
        scores = [1 - score for score in scores]
        note = "; ".join(filter(None, [note, f"shown as 1 - {pair.info.metric}"]))
    for score in scores:
        outside = np.flatnonzero((score < 0) | (score > 1))
        if outside.size:
            item = pair.before.column("item_id")[int(outside[0])].as_py()
            raise EvalError(
                f"item '{item}' of task '{pair.task}' has the score {score[outside[0]]:g}, outside [0, 1]",
                hint="Give a metric between 0 and 1, or mark the task kind: drift",
            )
    clusters = _clusters(pair)
    result = paired(
        scores[0],
        scores[1],
        clusters=clusters,
        chance=_chance(pair),
        margin=pair.info.margin,
        alpha=alpha,
        seed=seed,
    )
    lost = flips.filter((pc.field("task") == pair.task) & (pc.field("direction") == "lost"))
    statuses = {entry["values"]: entry["counts"] for entry in pc.value_counts(lost.column("status")).to_pylist()}
    kind: Literal["general", "gain"] = "gain" if pair.info.kind == "gain" else "general"
    differences = scores[1] - scores[0]
    kl, kl_interval = kl_to_base(pair.after, alpha=alpha)
    main, further = row_metrics(pair, clusters, labelled=bool(_labels(pair)), alpha=alpha, seed=seed)
    if main is not None:
        result, differences = by_set(result, main), main.influences
    return Row(
        task=pair.task,
        kind=kind,
        metric=pair.info.metric,
        filter=pair.info.filter,
        description=pair.info.description,
        paired=result,
        verdict=result.verdict,
        statuses=dict(sorted(statuses.items(), key=lambda entry: (-entry[1], entry[0]))),
        metrics=further,
        in_gate=kind == "general" and "different prompts" not in note,
        note=note,
        differences=differences,
        clusters=None if clusters is None else tuple(clusters),
        kl=kl,
        kl_interval=kl_interval,
        items=digest(*pair.before.column("item_id").to_pylist()),
    )


def _clusters(pair: TaskPair) -> list[str] | None:
    clusters, ids = pair.before.column("cluster").to_pylist(), pair.before.column("item_id").to_pylist()
    named = [f"i:{item}" if cluster is None else f"c:{cluster}" for cluster, item in zip(clusters, ids, strict=True)]
    return named if len(set(named)) < len(named) else None


def _chance(pair: TaskPair) -> float | list[float]:
    """1/choices where a task of choices says how many each item has, else the task's own figure."""
    choices = pair.before.column("n_choices").to_pylist()
    if pair.info.chance > 0 and all(count is not None and count > 1 for count in choices):
        return [1 / count for count in choices]
    return pair.info.chance


def _labels(pair: TaskPair) -> list[str]:
    """The targets of a task that is a classification: few, and repeated."""
    targets = pair.before.column("target").to_pylist()
    distinct = {target for target in targets if target is not None}
    few = 2 <= len(distinct) <= min(MAX_LABELS, len(targets) // 2)
    return sorted(distinct) if few and None not in targets else []


def _adjust(rows: Sequence[Row], alpha: float) -> tuple[Row, ...]:
    from evalkit.statistics import holm, verdict

    adjusted = holm([row.paired.p_value for row in rows])
    return tuple(
        replace(row, adjusted_p=float(p), verdict=verdict(row.interval, row.margin, significant=bool(p <= alpha)))
        for row, p in zip(rows, adjusted, strict=True)
    )


def _suite_mean(rows: Sequence[Row]) -> SuiteMean:
    import numpy as np

    from evalkit.statistics import beyond_margin, stratified, verdict

    difference, low, high = stratified(
        [row.difference for row in rows], [row.interval[0] for row in rows], [row.interval[1] for row in rows]
    )
    interval, margin = (float(low), float(high)), float(np.mean([row.margin for row in rows]))
    found = verdict(interval, margin)
    return SuiteMean(
        tasks=len(rows),
        difference=float(difference),
        standard_error=float(np.sqrt(np.sum([row.paired.standard_error**2 for row in rows])) / len(rows)),
        interval=interval,
        margin=margin,
        verdict=found,
        beyond_margin=beyond_margin(interval, margin) if found == "regressed" else None,
    )


def _identical(pairs: Iterable[TaskPair]) -> bool:
    columns = ["score", "answer", "choice_logprobs", "sum_logprob"]
    return all(pair.before.select(columns).equals(pair.after.select(columns)) for pair in pairs)
