"""Synthetic evaluation logs: tables of made-up items, as an evaluation would have left them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo


def item(task: str, number: int, score: float, info: TaskInfo, **changes: Any) -> dict[str, Any]:
    """One row of a log; anything can be changed."""
    row = {name: None for name in ITEMS.names} | {
        "task": task,
        "item_id": f"{number:05d}",
        "doc_hash": f"doc {task} {number}",
        "prompt_hash": f"prompt {task} {number}",
        "target_hash": f"target {task} {number}",
        "metric": info.metric,
        "filter": info.filter,
        "is_primary": True,
        "score": float(score),
        "prompt": f"Question {number} of {task}?",
        "answer": f"answer {number}" if score else "something else",
        "target": f"answer {number}",
        "status": "ok",
        "seed": 0,
    }
    return row | changes


def log(
    tasks: Mapping[str, Sequence[float]],
    *,
    model: str = "base",
    infos: Mapping[str, TaskInfo] | None = None,
    rows: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row,
    suite: str = "suite",
    settings: Mapping[str, Any] | None = None,
) -> EvalLog:
    """A log of the given scores per task; ``rows`` may change every row."""
    known = {task: (infos or {}).get(task, TaskInfo()) for task in tasks}
    table = [
        rows(item(task, number, score, known[task]))
        for task, scores in tasks.items()
        for number, score in enumerate(scores)
    ]
    header = LogHeader(
        suite=suite,
        model=model,
        tasks=known,
        settings={"chat": {"template": "auto", "thinking": False}, "limit": None} if settings is None else settings,
        versions={"torch": "2.13.0"},
    )
    return EvalLog(header, pa.Table.from_pylist(table, schema=ITEMS))


def flipped(lost: int, gained: int, both: int, neither: int) -> tuple[list[float], list[float]]:
    """Scores before and after with the given counts."""
    before = [1.0] * lost + [0.0] * gained + [1.0] * both + [0.0] * neither
    after = [0.0] * lost + [1.0] * gained + [1.0] * both + [0.0] * neither
    return before, after


@pytest.fixture
def make_log() -> Callable[..., EvalLog]:
    return log


@pytest.fixture
def make_scores() -> Callable[..., tuple[list[float], list[float]]]:
    return flipped


@pytest.fixture
def suite_logs() -> Callable[..., dict[str, EvalLog]]:
    """A base and arms that forget more or less, eight general tasks and a task of one's own."""

    def make(
        arms: Mapping[str, float] | None = None,
        *,
        items: int = 500,
        tasks: int = 8,
        seed: int = 0,
        labels: Sequence[str] = ("refund", "cancel", "invoice"),
    ) -> dict[str, EvalLog]:
        random = np.random.default_rng(seed)
        names = ["agreement", "comparison", "entailment", "entities", "facts", "format", "reversal", "sums"]
        names = [*names, *(f"extra_{number}" for number in range(tasks - len(names)))][:tasks]
        infos = {name: TaskInfo(metric="exact_match", description=f"On {name}") for name in names}
        infos["support"] = TaskInfo(kind="gain", metric="acc", chance=1 / len(labels), description="Your task")
        gold = random.integers(len(labels), size=items)
        ability = {name: (random.random(items) < random.uniform(0.85, 0.98)).astype(float) for name in names}

        def own(row: dict[str, Any], answers: np.ndarray) -> dict[str, Any]:
            if row["task"] != "support":
                return row
            number = int(row["item_id"])
            return row | {
                "prompt": f"Classify: message {number}",
                "target": labels[gold[number]],
                "answer": labels[answers[number]],
                "n_choices": len(labels),
            }

        def one(model: str, forget: float, skill: float) -> EvalLog:
            answers = np.where(random.random(items) < skill, gold, (gold + 1) % len(labels))
            scores: dict[str, Sequence[float]] = {"support": (answers == gold).astype(float)}
            for at, name in enumerate(names):
                share = forget * (1 + at) / len(names)
                kept = random.random(items) >= share
                back = random.random(items) < 0.15
                scores[name] = ability[name] if model == "base" else np.where(ability[name] == 1, kept, back)

            def rows(row: dict[str, Any]) -> dict[str, Any]:
                row = own(row, answers)
                if row["task"] == "format" and not row["score"] and model != "base":
                    row["answer"] = labels[0]
                return row

            return log(scores, model=model, infos=infos, rows=rows)

        result = {"base": one("base", 0.0, 0.35)}
        for name, forget in (arms or {"full": 0.4, "lora": 0.03}).items():
            result[name] = one(name, forget, 0.93)
        return result

    return make
