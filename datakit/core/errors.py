"""The error tree. The command line turns every one of these into one line and an exit code; anything else is a bug.

DatakitError                 1  something the user can mend
├── UsageError               2  the call itself is wrong
├── RecipeError              1  key path and line of the recipe
├── SourceError              1  a file, a column, a row
├── TemplateError            1  a template that does not compile or render
├── StepError                1  a step that cannot do what the recipe asks
├── StorageError             1  reading or writing our own files
│   ├── DiskFull             7  no space left
│   └── NewerFormat          1  written by a newer datakit
├── ModelError               1  no model there, or one that cannot be loaded
├── MissingDependency        1  names the extra to install
└── Unreachable              1  a hub or server that does not answer, or network: never
train.errors.TrainError and evalkit.errors.EvalError derive from DatakitError too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = [
    "DatakitError",
    "DiskFull",
    "MissingDependency",
    "ModelError",
    "NewerFormat",
    "RecipeError",
    "SourceError",
    "StepError",
    "StorageError",
    "TemplateError",
    "Unreachable",
    "UsageError",
]


class DatakitError(Exception):
    """Base of all errors a user can mend.

    Args:
        message: What failed, with the value in quotes, and what is accepted.
        where: ``file:line``, row id or key path; put in front of the message.
        hint: What to do; put after the message.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | Path | None = None, hint: str | None = None) -> None:
        super().__init__(message, where, hint)
        self.message = message
        self.where = None if where is None else str(where)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """It may come out of another process."""
        return _again, (type(self), self.message, self.where, self.hint)

    def __str__(self) -> str:
        """One line: where, what, what to do."""
        text = self.message if self.where is None else f"{self.where}: {self.message}"
        if self.hint:
            text = f"{text.rstrip('.')}{'' if text.endswith(('?', '!')) else '.'} {self.hint}"
        return " ".join(text.split())


def _again(kind: type[DatakitError], message: str, where: str | None, hint: str | None) -> DatakitError:
    return kind(message, where=where, hint=hint)


class UsageError(DatakitError):
    """The call itself is wrong."""

    exit_code = 2


class RecipeError(DatakitError):
    """A recipe that cannot be read or cannot be right; ``where`` is ``file:line: key.path``."""


class SourceError(DatakitError):
    """A source that cannot be read: file, column, row."""


class TemplateError(DatakitError):
    """A template that does not compile or does not render."""


class StepError(DatakitError):
    """A step that cannot do what the recipe asks of it."""


class StorageError(DatakitError):
    """One of our own files cannot be read or written."""


class DiskFull(StorageError):
    """No space left where we write."""

    exit_code = 7


class NewerFormat(StorageError):
    """A file written by a newer version of datakit."""


class ModelError(DatakitError):
    """No model at that place, or one that cannot be loaded."""


class MissingDependency(DatakitError):
    """An optional library is not installed; the hint is the line that installs it."""


class Unreachable(DatakitError):
    """A hub or server does not answer, or ``network: never`` forbids to ask it."""
