"""Presidio's URL patterns without their backtracking over plain text: only words with a dot inside are tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["bare_hosts"]

_REACH: Final = 253  # most characters of a host in the pattern


def bare_hosts(pattern: Any, host: frozenset[str], text: str) -> Iterator[tuple[int, int]]:
    """Places of all matches of the stock pattern "Non schema URL", as its ``finditer`` gives them.

    The pattern is ``(www..)?[host]{1,253}[.](endings)(/path)?``. In a run of host characters of at most 253 a match
    that begins later could have begun at the run's start: one try at the start decides. Longer runs are left to the
    pattern itself.

    Args:
        pattern: The compiled pattern.
        host: Characters of the class ``[host]``.
        text: Searched.
    """
    position, length = 0, len(text)
    while True:
        dot = text.find(".", max(position, 1))
        if dot < 0:
            return
        start, end = dot, dot + 1
        while start > position and text[start - 1] in host:
            start -= 1
        while end < length and text[end] in host:
            end += 1
        if end - start > _REACH:
            yield from ((match.start(), match.end()) for match in pattern.finditer(text, start))
            return
        match = pattern.match(text, start)
        if match is None:
            position = end
        else:
            yield match.span()
            position = match.end()
