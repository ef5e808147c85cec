"""Answers what is open in a plan: options scored on this machine, or many calls to servers at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from datakit.labelling.asker import Asker, Flight, Place
from datakit.labelling.plan import Asked, Plan, Question
from datakit.labelling.spending import Limits, Spending, State
from datakit.labelling.store import AnswerStore

__all__ = ["execute"]


def execute(
    plan: Plan,
    store: AnswerStore,
    limits: Limits,
    *,
    folder: Path = Path(),
    offline: bool = False,
    progress: Callable[[State], None] | None = None,
) -> Spending:
    """Answers the plan's open questions; every answer is kept the moment it is there.

    Args:
        plan: From :func:`datakit.labelling.plan.prepare`; its answers are filled in.
        store: Of answers.
        limits: Budget and attempts.
        folder: Where key files and local models are looked for.
        offline: Nothing is fetched from a hub.
        progress: Called after each answer.

    Raises:
        BudgetSpent: Some questions are open still, since the budget is spent.
        DatakitError: The server cannot be used, or questions are without an answer after all attempts. What was
            answered is kept in every case, and the same call goes on.
    """
    spending = Spending(cached=len(plan.answers))
    waiting = plan.open()
    by_model: dict[int, list[Question]] = {}
    for question in waiting.values():
        by_model.setdefault(question.model, []).append(question)
    for number in list(by_model):
        if plan.models[number].spec.local is not None:
            _score(plan, plan.models[number], by_model.pop(number), store, spending, folder, offline, progress)
    if by_model:
        asyncio.run(_ask_all(plan, by_model, store, limits, spending, folder, progress))
    spending.spent = store.spent(limits.job)[0]
    return spending


def _score(
    plan: Plan,
    asked: Asked,
    questions: list[Question],
    store: AnswerStore,
    spending: Spending,
    folder: Path,
    offline: bool,
    progress: Callable[[State], None] | None,
) -> None:
    from datakit.labelling.local import Scorer

    scorer = Scorer(str(asked.spec.local), asked.prompt, folder=folder, offline=offline)
    for question in questions:
        answer = scorer.answer(plan.input(question).text)
        store.put({question.key: answer})
        plan.answers[question.key] = answer
        spending.answered += 1
        if progress is not None:
            progress(State(spending.answered, len(questions), 1, 1, 0.0))


async def _ask_all(
    plan: Plan,
    by_model: dict[int, list[Question]],
    store: AnswerStore,
    limits: Limits,
    spending: Spending,
    folder: Path,
    progress: Callable[[State], None] | None,
) -> None:
    total, flight = sum(map(len, by_model.values())), Flight()
    askers: list[Asker] = []
    try:
        for number, questions in by_model.items():
            place = Place(plan, plan.models[number], store, limits, spending, flight, progress, total)
            askers.append(Asker(place, deque(questions), folder))
        await asyncio.gather(*(asker.run() for asker in askers))
    finally:
        for asker in askers:
            await asker.server.close()
    for asker in askers:
        asker.complain()
