"""Keeps secrets of the environment out of another program's log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["redactor", "secret_in"]

_NAMES = re.compile(r"key|token|secret|passw|credential|auth|cookie|_pat$|_dsn$", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"://[^/@\s]*:([^/@\s]+)@")  # postgres://name:password@host
_RANDOM = re.compile(r"(?=.*\d)[^\s/]{12,}")  # what no name of a model or tokenizer looks like
_SHORTEST = 6  # a shorter value stands in ordinary words too


def redactor(environment: Mapping[str, str]) -> Callable[[str], str]:
    """A function that takes the values of variables with a secret's name, and passwords in addresses, out of a text."""
    secrets = {value for name, value in environment.items() if _NAMES.search(name)}
    secrets |= {password for value in environment.values() for password in _IN_ADDRESS.findall(value)}
    secrets = {value for value in secrets if len(value) >= _SHORTEST}
    if not secrets:
        return lambda line: line
    pattern = re.compile("|".join(re.escape(value) for value in sorted(secrets, key=len, reverse=True)))
    return lambda line: pattern.sub("***", line)


def secret_in(text: str, environment: Mapping[str, str]) -> str | None:
    """The name of a variable with a secret's name whose value, which looks like one, stands in a text."""
    named = ((name, value) for name, value in environment.items() if _NAMES.search(name) and _RANDOM.fullmatch(value))
    return next((name for name, value in named if value in text), None)
