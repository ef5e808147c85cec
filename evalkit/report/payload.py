"""The flipped items as JSON: what fits stands inside the page, the rest in ``items-N.js`` files beside it.

Texts are shared between arms and cut to a length. No text can end or open an element: there is no ``<`` in the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evalkit.report.items import flips

if TYPE_CHECKING:
    from evalkit.report.items import Flip
    from evalkit.report.model import Report

__all__ = ["BUDGET", "Payload", "payload"]

BUDGET = 2_400_000  # bytes of the items in the page, which stays under 3 MB, and of each file beside it
MAX_FILES = 20

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

PROMPT, ANSWER = 1_200, 500  # characters; the middle of a prompt and the end of an answer are left out


@dataclass(frozen=True, slots=True)
class Payload:
    """The items of a page.

    Attributes:
        inline: JSON for a ``<script type="application/json">`` in the page.
        files: Name to the text of a script that lies beside the page; it hands its items to ``datakitItems``.
        left_out: Items that are in the logs only.
    """

    inline: str
    files: dict[str, str] = field(default_factory=dict)
    left_out: int = 0


def _cut(text: str | None, length: int, *, middle: bool = False) -> str | None:
    if text is None or len(text) <= length:
        return text
    if middle:
        return f"{text[: length // 3]} […] {text[len(text) - 2 * length // 3 :]}"
    return f"{text[:length]} […]"


class _Part:
    """``items``: [task, id, prompt, target, base's answer]; ``flips``: [arm, item, direction, status, answer]."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], int] = {}
        self.items: list[list[Any]] = []
        self.flips: list[list[Any]] = []
        self.size = 0

    def add(self, arm: int, flip: Flip) -> None:
        key = (flip.task, flip.item_id or f"?{arm}-{len(self.flips)}")
        if key not in self.known:
            self.known[key] = len(self.items)
            prompt, target = _cut(flip.prompt, PROMPT, middle=True), _cut(flip.target, ANSWER)
            self.items.append([flip.task, flip.item_id, prompt, target, _cut(flip.before, ANSWER)])
            self.size += len(_json(self.items[-1]).encode()) + 1
        self.flips.append([arm, self.known[key], flip.direction, flip.status, _cut(flip.after, ANSWER)])
        self.size += len(_json(self.flips[-1]).encode()) + 1


def _json(value: Any) -> str:
    text = _ENCODER.encode(value)
    text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return text.encode("utf-8", "replace").decode()


def _in_turn(report: Report) -> Iterator[tuple[int, Flip]]:
    """Every flip, a round at a time: one of each arm, task and direction, general tasks first."""
    queues: list[tuple[int, list[Flip]]] = []
    for arm, result in enumerate(report.ranked()):
        own = {row.task for row in result.comparison.gains}
        groups: dict[tuple[bool, str, str], list[Flip]] = {}
        for flip in flips(report, result):
            groups.setdefault((flip.task in own, flip.task, flip.direction), []).append(flip)
        queues += [(arm, groups[key]) for key in sorted(groups, key=lambda key: key[0])]
    for turn in range(max((len(queue) for _, queue in queues), default=0)):
        for arm, queue in queues:
            if turn < len(queue):
                yield arm, queue[turn]


def payload(report: Report, *, budget: int = BUDGET, max_files: int = MAX_FILES) -> Payload:
    """The items of a report: the first rounds in the page, the others in files beside it.

    Args:
        report: The report.
        budget: Bytes of each part.
        max_files: Files beside the page; what they do not hold is counted as left out.
    """
    parts = [_Part()]
    left_out = 0
    for arm, flip in _in_turn(report):
        if parts[-1].size > budget:
            if len(parts) > max_files:
                left_out += 1
                continue
            parts.append(_Part())
        parts[-1].add(arm, flip)
    files = {
        f"items-{number}.js": f"datakitItems({number},{_json({'items': part.items, 'flips': part.flips})});\n"
        for number, part in enumerate(parts[1:], start=1)
    }
    inline = {
        "arms": [report.label(arm) for arm in report.ranked()],
        "items": parts[0].items,
        "flips": parts[0].flips,
        "parts": [{"file": f"items-{at}.js", "flips": len(part.flips)} for at, part in enumerate(parts[1:], start=1)],
        "left_out": left_out,
    }
    return Payload(_json(inline), files, left_out)
