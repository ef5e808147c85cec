"""Presidio's URL patterns without their backtracking over plain text: only words with a dot inside are tried."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

__all__ = ["bare_hosts", "quoted_host"]

_REACH: Final = 253  # most characters of a host in the pattern
_PREFIX: Final = 8  # and of ``www123.`` before it
_LONGEST: Final = 64  # no ending has as many
_WINDOW: Final = 4096  # of a longer run so much at a time


def bare_hosts(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """Places of all matches of the stock pattern "Non schema URL", as its ``finditer`` gives them.

    The pattern is ``(www..)?[host]{1,253}[.](endings)(/path)?``. In a run of host characters of at most 253 a match
    that begins later could have begun at the run's start: one try at the start decides. In longer runs the pattern
    would try every ending at 253 places for each character, so it is asked only near dots that have an ending.

    Args:
        pattern: The compiled pattern.
        text: Searched.
    """
    host = _host_characters()
    position, length = 0, len(text)
    while True:
        dot = text.find(".", max(position, 1))
        if dot < 0:
            return
        start, end = dot, dot + 1
        while start > position and text[start - 1] in host:
            start -= 1
        while end < length and end - start < _WINDOW and text[end] in host:
            end += 1
        if end - start > _REACH:
            ending = _ending(pattern.pattern).search(text, start + 1, end + _LONGEST)
            if ending is None:
                position = end if end - start < _WINDOW else end - _REACH - _PREFIX
                continue
            match = pattern.search(text, max(start, ending.start() - _REACH - _PREFIX))
        else:
            match = pattern.match(text, start)
        if match is None:
            position = end
        else:
            yield match.span()
            position = match.end()


@lru_cache(maxsize=4)
def _ending(pattern: str) -> Any:
    """What every match of the pattern holds: a dot and one of its endings."""
    import regex  # type: ignore[import-untyped]

    return regex.compile("[.]" + pattern.partition("{1,253}[.]")[2].rpartition("(?:/")[0], regex.IGNORECASE)


@lru_cache(maxsize=1)
def quoted_host() -> Any:
    """What every match of "Quoted Non-schema URL" begins with."""
    import regex

    return regex.compile(r"""["'][a-z0-9.\-]+\.[a-z]""", regex.IGNORECASE)


@lru_cache(maxsize=1)
def _host_characters() -> frozenset[str]:
    """``[a-z0-9.-]`` as the regex module reads it with IGNORECASE: two letters beyond ASCII are in it."""
    import regex

    every = "".join(map(chr, range(0x10000)))
    return frozenset(regex.findall(r"[a-z0-9.\-]", every, regex.IGNORECASE))
