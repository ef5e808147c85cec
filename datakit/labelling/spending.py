"""Where a run stops, what it took, and how far it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from datakit.core.errors import DatakitError

__all__ = ["BudgetSpent", "Limits", "Spending", "State"]


class BudgetSpent(DatakitError):
    """The next call might cost more than the budget has left."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a run stops.

    Attributes:
        job: Whose budget it is; the same over all runs for one folder.
        budget: Money over all runs of the job; None for no limit.
        attempts: Calls for one question at most, where they fail in ways that may pass.
        unreadable: Further calls for an answer that cannot be read.
        backoff: Seconds; waits are drawn at random and double, a row's from an eighth of it, a server's that answers
            nothing from twice as much.
        longest: Seconds; no wait is longer.
        patience: Seconds without any answer after which a server is given up.
    """

    job: str
    budget: float | None = None
    attempts: int = 10
    unreadable: int = 1
    backoff: float = 0.25
    longest: float = 20.0
    patience: float = 90.0


@dataclass(slots=True)
class Spending:
    """What a run took.

    Attributes:
        calls: Made in this run, failed ones included.
        answered: Questions answered in this run.
        cached: Questions that had an answer before.
        tokens_in: Of this run's answers.
        tokens_out: Of this run's answers.
        cost: Of this run's answers.
        spent: Of the job over all its runs; calls whose outcome is not known at their worst price.
        faults: What went wrong on the way, to how often.
    """

    calls: int = 0
    answered: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    spent: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class State:
    """For a progress line: questions answered, questions in all, calls in flight, the limit on them, money spent."""

    done: int
    total: int
    in_flight: int
    limit: int
    cost: float
