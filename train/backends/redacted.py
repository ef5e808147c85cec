"""Keeps secrets of the environment out of another program's log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["redactor"]

_NAMES = re.compile(r"key|token|secret|passw|credential|auth|cookie|_pat$|_dsn$", re.IGNORECASE)
_SHORTEST = 6  # a shorter value stands in ordinary words too


def redactor(environment: Mapping[str, str]) -> Callable[[str], str]:
    """A function that takes the values of variables with a secret's name out of a line."""
    secrets = {value for name, value in environment.items() if _NAMES.search(name) and len(value) >= _SHORTEST}
    if not secrets:
        return lambda line: line
    pattern = re.compile("|".join(re.escape(value) for value in sorted(secrets, key=len, reverse=True)))
    return lambda line: pattern.sub("***", line)
