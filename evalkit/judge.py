"""Open answers scored by a judge: what is asked of one, and how its verdicts enter a task's samples.

Who the judge is and how it is reached is not known here: a callable is handed in, which brings what it is known by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evalkit.errors import EvalError

__all__ = ["METRIC", "UNJUDGED", "Answered", "Judge", "judge_samples"]

METRIC = "judge"
UNJUDGED = "unjudged"
"""Status of an answer whose verdict could not be read; it scores 0, as an answer does that nobody could read."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer to judge.

    Attributes:
        id: Of the item.
        turns: The turns before the answer, each with ``role`` and ``content``.
        answer: What the model wrote.
        target: The reference answer.
    """

    id: str
    turns: Sequence[Mapping[str, str]]
    answer: str
    target: str


class Judge(Protocol):
    """Gives verdicts."""

    @property
    def identity(self) -> Mapping[str, str]:
        """All that a verdict depends on besides the answer, such as the judge's model and prompt.

        It is a part of the store's key and stands in the log's settings, so that answers judged in two ways are never
        compared. No address and no key of a server belongs in it.
        """
        ...

    def __call__(self, answered: Sequence[Answered], done: Callable[[int], None]) -> Sequence[float | None]:
        """A score in [0, 1] for each answer, None where the verdict cannot be read; ``done`` hears of each."""
        ...


def judge_samples(
    judge: Judge, task: Any, samples: Sequence[Mapping[str, Any]], done: Callable[[int], None]
) -> tuple[list[Mapping[str, Any]], dict[str, int]]:
    """lm-eval's samples with the metric ``judge``.

    An empty answer scores 0 without being judged. An item with options has no open answer: its score is that of its
    likeliest option.

    Args:
        judge: Gives verdicts.
        task: Over a dataset's own rows.
        samples: Of lm-eval, one per item.
        done: Told of each verdict.

    Returns:
        The samples; and how many answers were ``judged``, how many of them ``unjudged``.

    Raises:
        EvalError: No item has an open answer, or a verdict outside [0, 1].
    """
    open_items = [at for at, sample in enumerate(samples) if isinstance(sample["resps"][0][0], str)]
    if not open_items:
        raise EvalError(
            "the rows have options to choose from, so there is no written answer to judge",
            hint="Leave evaluate.judge out: options are scored by their log-likelihood",
        )
    asked = [at for at in open_items if samples[at]["resps"][0][0].strip()]
    answered = [
        Answered(
            str(samples[at]["doc"]["datakit_id"]),
            samples[at]["doc"]["messages"],
            samples[at]["resps"][0][0],
            task.doc_to_target(samples[at]["doc"]),
        )
        for at in asked
    ]
    verdicts = dict(zip(asked, judge(answered, done) if answered else (), strict=True))
    made: list[Mapping[str, Any]] = []
    for at, sample in enumerate(samples):
        score = verdicts.get(at, 0.0) if at in open_items else sample["accuracy"]
        if score is not None and not 0 <= score <= 1:
            raise EvalError(f"the judge gave the score {score:g}, outside [0, 1]")
        statuses = {METRIC: UNJUDGED} if score is None else {}
        metrics = [*sample["metrics"], METRIC]
        made.append({**sample, "metrics": metrics, METRIC: score or 0.0, "statuses": statuses})
    return made, {"judged": len(asked), UNJUDGED: sum(score is None for score in verdicts.values())}
