"""Keys that stand written in settings: a recipe is copied beside what it makes, so that they would go with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["written_key"]

_NAME = re.compile(r"(?i)api_?key|authorization|secret|passw|credential|(access|auth|bearer|hub|hf)_?token")
_VALUE = re.compile(r"\b(sk|pk|hf|ghp|glpat)[-_]\w{8,}")


def written_key(value: Any, name: str = "") -> str | None:
    """The name of a setting that looks like a key, by its name or its value; None where there is none.

    Args:
        value: Settings as JSON takes them, nested as they like.
        name: What the value is called.
    """
    if isinstance(value, Mapping):
        named: Iterable[tuple[str, Any]] = ((str(key), part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        named = ((name, part) for part in value)
    else:
        there = isinstance(value, str) and value != ""
        return name if there and (_NAME.search(name) or _VALUE.search(value)) else None
    return next((found for key, part in named if (found := written_key(part, key)) is not None), None)
