"""Known values in many texts: one expression for all of them, so that a text is read once however many there are."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["any_of"]


def any_of(values: Collection[str]) -> re.Pattern[str] | None:
    """An expression that finds each of the values, the longest at every place; None where there are none.

    Common beginnings are factored out: the engine walks a tree instead of trying ten thousand alternatives in turn.
    """
    some = sorted({value for value in values if value})
    return re.compile(_tree(some, 0)) if some else None


def _tree(values: list[str], at: int) -> str:
    """Expression for sorted values from character ``at`` on, where all agree before it."""
    ends = len(values[0]) == at
    rest = values[1:] if ends else values
    branches = []
    while rest:
        same = [value for value in rest if value[at] == rest[0][at]]
        rest = rest[len(same) :]
        end = at + 1
        while end < len(same[0]) and same[-1].startswith(same[0][: end + 1]):
            end += 1
        tail = "" if len(same) == 1 else _tree(same, end)
        branches.append(re.escape(same[0][at:end]) + tail)
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)}){'?' if ends else ''}"
