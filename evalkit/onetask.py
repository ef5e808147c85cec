"""One model on one task: what the store keeps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from datakit.core.chat import is_chat
from datakit.core.hashing import digest
from evalkit.errors import EvalError
from evalkit.groups import GroupSource, pooled
from evalkit.judge import METRIC, judge_samples
from evalkit.log import TaskInfo
from evalkit.store import Entry

if TYPE_CHECKING:
    from evalkit.source import Setup
    from evalkit.suite import SuiteTask

__all__ = ["evaluate_task"]

_LOWER_IS_BETTER = {"nll_per_token": False, "bits_per_byte": False}


def evaluate_task(model: Any, task: SuiteTask, setup: Setup, *, limit: int | None, offline: bool) -> Entry:
    """Runs a task and turns its samples into rows.

    Args:
        model: An LM of lm-eval, from ``evalkit.models``.
        task: Of a suite.
        setup: Tokenizer and chat settings of the model.
        limit: Number of items.
        offline: The hub is not asked.

    Raises:
        EvalError: The task cannot be made, or does not give its metric.
    """
    from evalkit.engine import build_task, metric_names, quiet_engine, run_task
    from evalkit.items import OF_PAIRS, Primary, items_table

    if isinstance(task.source, GroupSource):
        return pooled(task, lambda member: evaluate_task(model, member, setup, limit=limit, offline=offline))
    started = time.perf_counter()
    with quiet_engine(offline=offline):
        made = build_task(task.source, setup, task.name)
        judge = getattr(task.source, "judge", None)
        metrics, filters = metric_names(made)
        primary = Primary(*_primary(task, [*metrics, METRIC] if judge else metrics, filters))
        samples = run_task(model, made, setup, rendered=task.source.rendered, limit=limit)
        verdicts: dict[str, int] = {}
        if judge is not None:
            samples, verdicts = judge_samples(judge, made, samples, model.done)
        items = items_table(
            task.name, made, samples, model.facts, primary=primary, seed=setup.seed, private=task.private
        )
    better = _LOWER_IS_BETTER | dict(made.higher_is_better() or {})
    info = TaskInfo(
        kind=task.kind,
        metric=primary.metric,
        filter=primary.filter,
        higher_is_better=better.get(primary.metric, True),
        chance=_chance(items) if task.chance is None else task.chance,
        margin=task.margin,
        description=task.description,
        metrics=tuple(name for name in OF_PAIRS if name in better and name != primary.metric),
    )
    recorded = {
        "seconds": round(time.perf_counter() - started, 3),
        "requests": len(model.facts.requests),
        "cut_contexts": model.facts.cut_contexts,
        "batch_tokens": model.batch_tokens,
        **verdicts,
    }
    settings = _settings(task, made, setup, limit) | ({"judge": dict(judge.identity)} if judge else {})
    return Entry(info, items, settings, recorded)


def _settings(task: SuiteTask, made: Any, setup: Setup, limit: int | None) -> dict[str, Any]:
    """What must be equal in two logs of this task."""
    used = is_chat(setup.tokenizer, setup.chat)
    return {
        "num_fewshot": made.config.num_fewshot,
        "limit": limit,
        "chat": setup.chat.model_dump(),
        "chat_template": digest(str(setup.tokenizer.chat_template)) if used else None,
        "generation": made.config.generation_kwargs if "generate_until" in _types(made) else None,
        "private": task.private,
    }


def _primary(task: SuiteTask, metrics: list[str], filters: list[str]) -> tuple[str, str]:
    metric = task.metric or next((name for name in ("acc", "exact_match") if name in metrics), metrics[0])
    chosen = task.filter or filters[0]
    if metric not in metrics:
        raise EvalError(f"task '{task.name}' gives no metric '{metric}'", hint=f"It gives: {', '.join(metrics)}")
    if chosen not in filters:
        raise EvalError(f"task '{task.name}' has no filter '{chosen}'", hint=f"It has: {', '.join(filters)}")
    return metric, chosen


def _chance(items: pa.Table) -> float:
    """Mean of one over the number of options; 0 where answers are open."""
    counts = [count for count in items.filter(items.column("is_primary")).column("n_choices").to_pylist() if count]
    return sum(1 / count for count in counts) / len(counts) if counts else 0.0


def _types(task: Any) -> set[str]:
    return {instance.request_type for instance in task.instances}
