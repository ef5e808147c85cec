"""Checks before the first step, one kind per file: what would otherwise be found out hours later, or never.

What makes a training wrong is an error. What may be meant is a :class:`Finding`, told and kept in train.json.
What is looked at in the rows themselves is in :mod:`train.preflight`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: Its name, a slug.
        passed: Nothing is to be said.
        text: What was looked at, or what is wrong. Holds no training text.
    """

    check: str
    passed: bool
    text: str
