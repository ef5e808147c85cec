"""The flipped items as JSON inside the page: texts shared between arms, cut to a length, within a budget."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evalkit.report.items import flips

if TYPE_CHECKING:
    from evalkit.report.items import Flip
    from evalkit.report.model import Report

__all__ = ["BUDGET", "script_json"]

BUDGET = 2_500_000  # bytes of all items; the page stays under 3 MB

PROMPT, ANSWER = 1_200, 500  # characters; the middle of a prompt and the end of an answer are left out


def _cut(text: str | None, length: int, *, middle: bool = False) -> str | None:
    if text is None or len(text) <= length:
        return text
    if middle:
        return f"{text[: length // 3]} […] {text[len(text) - 2 * length // 3 :]}"
    return f"{text[:length]} […]"


def _payload(arms: list[tuple[str, list[Flip]]], limit: int) -> dict[str, Any]:
    """``items``: [task, id, prompt, target, base's answer]; ``flips``: [arm, item, direction, status, answer]."""
    items: dict[tuple[str, str], int] = {}
    rows: list[list[Any]] = []
    changed: list[list[Any]] = []
    left_out = 0
    for number, (_, own) in enumerate(arms):
        taken: dict[tuple[str, str], int] = {}
        for flip in own:
            group = (flip.task, flip.direction)
            taken[group] = taken.get(group, 0) + 1
            if taken[group] > limit:
                left_out += 1
                continue
            key = (flip.task, flip.item_id or f"?{number}-{len(changed)}")
            if key not in items:
                items[key] = len(rows)
                before = _cut(flip.before, ANSWER)
                rows.append(
                    [flip.task, flip.item_id, _cut(flip.prompt, PROMPT, middle=True), _cut(flip.target, ANSWER), before]
                )
            changed.append([number, items[key], flip.direction, flip.status, _cut(flip.after, ANSWER)])
    return {"arms": [name for name, _ in arms], "items": rows, "flips": changed, "left_out": left_out}


def script_json(report: Report, *, budget: int = BUDGET) -> str:
    """JSON for a ``<script type="application/json">``: no ``<`` in it, so no text can end or open an element.

    Where the items exceed the budget, fewer of each task and direction are kept per arm, and ``left_out`` counts the
    rest.
    """
    arms = []
    for arm in report.ranked():
        own, found = {row.task for row in arm.comparison.gains}, flips(report, arm)
        # what was forgotten elsewhere comes before the user's own task
        ordered = [flip for flip in found if flip.task not in own] + [flip for flip in found if flip.task in own]
        arms.append((report.label(arm), ordered))
    limit = max((len(own) for _, own in arms), default=0) or 1
    while True:
        text = json.dumps(_payload(arms, limit), ensure_ascii=False, separators=(",", ":"))
        safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        safe = safe.encode("utf-8", "replace").decode()
        if len(safe.encode()) <= budget or limit == 1:
            return safe
        size = len(safe.encode())
        limit = max(1, min(limit * budget // size, limit - 1, limit * 9 // 10))
