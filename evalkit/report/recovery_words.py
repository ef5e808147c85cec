"""What a recovery says: one sentence for people, and the lines a terminal shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.report.curve_words import INDENT, folded
from evalkit.report.words import interval, points, score, shorten, signed

if TYPE_CHECKING:
    from evalkit.paired import Paired
    from evalkit.recovery import Recovery

__all__ = ["recovery_lines", "recovery_sentence"]


def recovery_sentence(found: Recovery) -> str:
    """Whether knowledge went, or only the way to it."""
    lost, back, left = found.loss.difference, found.back.difference, found.left
    came = f"{signed(back)} points {interval(found.back.interval)} came back"
    if back < 0:
        came = f"the training took {points(back)} more points"
    missing = f"{signed(left.difference)} {interval(left.interval)} beside the base after the same training"
    told = {
        "hidden": f"{found.task}: hidden, not lost. Of {points(lost)} points lost, {came}; {missing}. "
        "The knowledge is there; what went is the way of answering.",
        "lost": f"{found.task}: lost. The same training does not bring it back: {missing}. Knowledge went.",
        "partly": f"{found.task}: partly hidden, partly lost. {came[0].upper()}{came[1:]}, but {missing}.",
        "unsure": f"{found.task}: not enough items to say whether a loss is left. {came[0].upper()}{came[1:]}, of "
        f"{points(lost)} lost; {missing}.",
    }[found.status]
    if found.is_taught and found.status in ("hidden", "partly"):
        told += (
            f" The base rose too ({signed(found.base.difference)} {interval(found.base.interval)}): "
            "some of it may be learnt anew from these items."
        )
    if found.is_harmed and found.status != "hidden":
        told += (
            f" The training itself costs the base {points(found.base.difference)} points: "
            "fewer steps or a lower rate may say more."
        )
    return told


def recovery_lines(found: Recovery) -> list[str]:
    """Lines of 80 columns."""
    title = f"{shorten(found.task, 18)}, {found.loss.n:,} items ({found.trained:,} trained)"
    lines = [f"{title:<44}{'base':>7}{'tuned':>7}  points, 95 %"]
    for name, pair in (("as they are", found.loss), ("after the same short training", found.left)):
        lines.append(f"{'':<{INDENT}}{name:<34}{_figures(pair)}")
    return lines + folded(found.status.upper(), recovery_sentence(found).partition(": ")[2])


def _figures(pair: Paired) -> str:
    return f"{score(pair.before):>7}{score(pair.after):>7}  {signed(pair.difference)} {interval(pair.interval)}"
