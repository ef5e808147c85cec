"""Forgotten items as texts for a reader: which are shown, what is left out for privacy, and in how many characters."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.report.model import ArmResult, Report

__all__ = ["Flip", "examples", "flips"]

_COLUMNS = ("task", "item_id", "direction", "status", "prompt", "target", "before", "after")


@dataclass(frozen=True, slots=True)
class Flip:
    """One item whose answer changed.

    Attributes:
        arm: Label of the arm.
        task: Task.
        item_id: Item.
        direction: ``lost`` or ``gained``.
        status: How the failing answer failed.
        prompt: What was asked; None where it is private.
        target: Right answer.
        before: The base's answer.
        after: The arm's answer.
    """

    arm: str
    task: str
    item_id: str
    direction: str
    status: str
    prompt: str | None
    target: str | None
    before: str | None
    after: str | None


def flips(report: Report, arm: ArmResult) -> list[Flip]:
    """All flipped items of an arm. Where a source is private, the user's own task keeps ids and directions only."""
    own = {row.task for row in arm.comparison.gains} if report.private else set()
    label = report.label(arm)
    columns = (arm.comparison.flips.column(name).to_pylist() for name in _COLUMNS)
    return [
        Flip(label, task, "", direction, status, None, None, None, None)
        if task in own
        else Flip(label, task, item, direction, status, *texts)
        for task, item, direction, status, *texts in zip(*columns, strict=True)
    ]


def _clarity(flip: Flip) -> tuple[bool, int, str]:
    return not (flip.before and flip.after), len(flip.prompt or ""), flip.item_id


def examples(report: Report, count: int = 3) -> list[Flip]:
    """Forgotten items of general tasks, from the tasks that lost most, one per task at first, the shortest prompt each.

    Items with both answers present are preferred: a reader wants to see right before and wrong after.
    """
    candidates: list[tuple[float, str, list[Flip]]] = []
    for arm in report.arms:
        lost: dict[str, list[Flip]] = {}
        general = {row.task: row.difference for row in arm.comparison.general}
        for flip in flips(report, arm):
            if flip.direction == "lost" and flip.task in general:
                lost.setdefault(flip.task, []).append(flip)
        for task, own in lost.items():
            candidates.append((general[task], task, heapq.nsmallest(count, own, key=_clarity)))
    candidates.sort(key=lambda entry: (entry[0], entry[1]))
    chosen: list[Flip] = []
    seen: set[str] = set()
    for fresh in (True, False):
        for _, task, own in candidates:
            if len(chosen) < count and (task not in seen) == fresh:
                chosen += [flip for flip in own if flip not in chosen][:1]
                seen.add(task)
    return chosen
