"""Our own loop (train/loop.py), as a choice in a recipe."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel

from train.backends import BackendSettings

__all__ = ["Native"]


class Native:
    """What ``fit`` runs itself; it has no settings beside the arm's."""

    Params: ClassVar[type[BaseModel]] = BackendSettings
    follows: ClassVar[frozenset[str] | None] = None
