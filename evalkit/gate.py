"""The question a pipeline asks: may this model replace the one before?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evalkit.comparison import Comparison, Row

__all__ = ["Gate", "gate"]

EXIT_CODES = {"pass": 0, "regressed": 3, "unsure": 4}


@dataclass(frozen=True, slots=True)
class Gate:
    """The answer.

    Attributes:
        status: ``pass``, ``regressed`` or ``unsure``.
        exit_code: 0, 3 or 4; 0 for unsure where that is allowed.
        sentence: One sentence with the reason.
    """

    status: Literal["pass", "regressed", "unsure"]
    exit_code: int
    sentence: str


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def gate(comparison: Comparison, *, allow_unsure: bool = False) -> Gate:
    """Judges the general suite: passes when no task regressed and the suite's mean is held or gained.

    Gain rows, drift, and rows with different prompts have no say. Rows whose prompts could not be verified (a log of
    another tool does not hold them) have a say, and the sentence tells of them.

    Args:
        comparison: From :func:`evalkit.compare`.
        allow_unsure: Exit with 0 where there are not enough items to say.
    """
    rows = [row for row in comparison.general if row.in_gate]
    answer = _judge(comparison, rows, allow_unsure=allow_unsure)
    doubtful = [row.task for row in rows if "not verified" in row.note]
    if not doubtful:
        return answer
    named = ", ".join(doubtful[:3]) + (f" and {len(doubtful) - 3} more" if len(doubtful) > 3 else "")
    return replace(answer, sentence=f"{answer.sentence} Not verified that both were asked the same: {named}.")


def _judge(comparison: Comparison, rows: Sequence[Row], *, allow_unsure: bool) -> Gate:
    mean = comparison.suite_mean
    if not rows or mean is None:
        reason = "its prompts differ from the base's" if comparison.general else "no general task was measured"
        return _gate("unsure", f"Nothing can be said: {reason}.", allow_unsure)
    regressed = [row for row in rows if row.verdict == "regressed"]
    if regressed:
        worst = min(regressed, key=lambda row: row.difference)
        low, high = worst.interval
        others = f", and {len(regressed) - 1} more regressed" if len(regressed) > 1 else ""
        return _gate(
            "regressed",
            f"{worst.task} lost {_points(-worst.difference)} points (between {_points(-high)} and {_points(-low)}, "
            f"tolerable {_points(worst.margin)}){others}.",
            allow_unsure,
        )
    if mean.verdict == "regressed":
        low, high = mean.interval
        return _gate(
            "regressed",
            f"No task alone, but the suite's mean lost {_points(-mean.difference)} points "
            f"(between {_points(-high)} and {_points(-low)}, tolerable {_points(mean.margin)}).",
            allow_unsure,
        )
    if mean.verdict == "unsure":
        return _gate(
            "unsure",
            f"Not enough items to say: a loss of the suite's mean of up to {_points(mean.ruled_out)} points "
            f"is not ruled out, tolerable are {_points(mean.margin)}.",
            allow_unsure,
        )
    ruled_out = f"suite loss > {_points(mean.ruled_out)}" if mean.ruled_out > 0 else "any loss of the suite's mean"
    return _gate("pass", f"Nothing regressed; ruled out: {ruled_out}.", allow_unsure)


def _gate(status: Literal["pass", "regressed", "unsure"], sentence: str, allow_unsure: bool) -> Gate:
    code = 0 if status == "unsure" and allow_unsure else EXIT_CODES[status]
    return Gate(status, code, sentence)
