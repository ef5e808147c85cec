"""Labels by number: whether a template numbers its answers as a source numbers its labels."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["displaced"]


def displaced(names: Sequence[str], answers: Sequence[str]) -> tuple[int, int] | None:
    """The first label whose own name is a template's answer to another label; None where the numbers may agree.

    A template with an answer for each class number was written for one order of the classes. Over labels in another
    order it gives fluent and wrong answers. Of two labels nothing is said: "is this not spam?" may turn them round.

    Args:
        names: The source's labels in the order of their numbers.
        answers: The template's answers in the order of the numbers it was written for.

    Returns:
        The label's number, and the number that the template has for it.
    """
    if len(names) < 3:
        return None
    place = {_plain(answer): number for number, answer in enumerate(answers)}
    wrong = [
        (number, there)
        for number, name in enumerate(names)
        if (there := place.get(_plain(name))) is not None and there != number
    ]
    return wrong[0] if len(wrong) > 1 else None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.replace("_", " ").casefold()))
