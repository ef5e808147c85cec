"""What can go wrong in evaluation and comparison; see datakit.core.errors for the tree's root.

EvalError               1  a suite, model or log that cannot be used
├── LogError            1  a log that is truncated, foreign or of a newer format
└── NotComparable       1  two logs that do not pair; names the first item where they differ
"""

from __future__ import annotations

from datakit.core.errors import DatakitError

__all__ = ["EvalError", "LogError", "NotComparable"]


class EvalError(DatakitError):
    """A suite, model or log that cannot be used."""


class LogError(EvalError):
    """A log that cannot be read."""


class NotComparable(EvalError):
    """Two logs that do not pair: other items, prompts, targets or settings."""
