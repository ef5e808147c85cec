"""Named parts, loaded on use: built-in ones as ``module:attribute`` strings, others from entry points."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from datakit.core.errors import DatakitError

__all__ = ["Registry", "suggest"]


def suggest(name: str, known: list[str]) -> str:
    """``Did you mean 'x'? Known: a, b`` for an error's hint."""
    close = difflib.get_close_matches(name, known, n=1)
    start = f"Did you mean '{close[0]}'? " if close else ""
    return f"{start}Known: {', '.join(sorted(known)) or 'none'}"


class Registry:
    """The parts of one entry-point group.

    Args:
        group: Entry-point group, ``datakit.sources`` for example.
        builtin: Name to ``module:attribute``; wins over an entry point of the same name.
    """

    def __init__(self, group: str, builtin: Mapping[str, str] | None = None) -> None:
        self.group = group
        self.builtin = dict(builtin or {})

    def names(self) -> list[str]:
        """All known names, sorted."""
        return sorted({*self.builtin, *(point.name for point in entry_points(group=self.group))})

    def load(self, name: str) -> Any:
        """The object of that name.

        Raises:
            DatakitError: The name is not known; the message has the nearest one and the list.
        """
        if name in self.builtin:
            module, _, attribute = self.builtin[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        for point in entry_points(group=self.group, name=name):
            return point.load()
        kind = self.group.rpartition(".")[2].removesuffix("s")
        raise DatakitError(f"no {kind} named '{name}'", hint=suggest(name, self.names()))
