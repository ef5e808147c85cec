"""From answers to votes: every question of a plan becomes a row of the votes table."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from datakit.labelling.answers import Judged, read_answer
from datakit.labelling.labeller import Labeller
from datakit.labelling.plan import Plan, Question
from datakit.labelling.store import Answer
from datakit.labelling.votes import VOTES_SCHEMA

__all__ = ["assemble"]

_OTHER = {"a": "b", "b": "a"}


def assemble(plan: Plan) -> pa.Table:
    """The votes of an answered plan, in the order of rows, models and votes."""
    columns: dict[str, list[Any]] = {name: [] for name in VOTES_SCHEMA.names}
    for question in sorted(plan.questions, key=lambda one: (one.row, one.model, one.vote)):
        answer = plan.answers.get(question.key)
        judged = _judged(plan, question, answer)
        row = {
            "example_id": plan.ids[question.row],
            "labeller": plan.labeller.name,
            "model": plan.models[question.model].spec.name,
            "prompt": question.key,
            "vote": question.vote,
            "status": judged.status,
            "value": judged.value,
            "answer": None if judged.status != "ok" else json.dumps(judged.answer, ensure_ascii=False),
            "probabilities": _probabilities(plan.labeller, question, answer),
            "tokens_in": 0 if answer is None else answer.tokens_in,
            "tokens_out": 0 if answer is None else answer.tokens_out,
            "cost": 0.0 if answer is None else answer.cost,
            "cached": question.key in plan.cached,
        }
        for name, value in row.items():
            columns[name].append(value)
    return pa.table({name: pa.array(columns[name], VOTES_SCHEMA.field(name).type) for name in VOTES_SCHEMA.names})


def _judged(plan: Plan, question: Question, answer: Answer | None) -> Judged:
    if answer is None or answer.finish == "rejected":
        return Judged("failed")
    if answer.finish == "too_long":
        return Judged("too_long")
    if answer.finish == "scored":  # already one of the options, in the order that was shown
        value = str(answer.content)
        value = _OTHER.get(value, value) if question.flip else value
        return Judged("ok", value, int(value) if plan.labeller.kind == "rating" else value)
    return read_answer(
        plan.labeller,
        answer.content,
        source=plan.sources[question.row],
        put_back=plan.input(question).put_back,
        flip=question.flip,
        refused=answer.refused,
    )


def _probabilities(labeller: Labeller, question: Question, answer: Answer | None) -> str | None:
    if answer is None or answer.probabilities is None:
        return None
    found = dict(answer.probabilities)
    if question.flip and labeller.kind == "preference":
        found = {_OTHER.get(name, name): chance for name, chance in found.items()}
    return json.dumps(found, ensure_ascii=False)
