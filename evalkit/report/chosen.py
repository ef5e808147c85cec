"""Trainings whose end or state the suite decided: their items leave the report, of every arm alike.

A state that was chosen by its score on some items looks better on them than it is. All arms lose the same items, so
that they stay comparable with one another, item by item.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.storage import read_json
from evalkit.selection import asked_while_training, unseen_log

if TYPE_CHECKING:
    from evalkit.log import EvalLog

__all__ = ["asked_of", "cells_asked", "without_asked"]

_MANIFESTS = ("models/*/train.json", "stages/*/models/*/train.json")


def cells_asked(run: Path, cells: Collection[str]) -> list[str]:
    """Those of a run's cells, ``arm-seed``, in a training of which the suite decided something."""
    return sorted({path.parent.name for pattern in _MANIFESTS for path in run.glob(pattern) if _asked(path)} & {*cells})


def asked_of(folder: Path) -> bool:
    """Whether the suite decided something in the training of the model in a folder."""
    return (folder / "train.json").is_file() and _asked(folder / "train.json")


def without_asked(logs: Sequence[EvalLog], cells: Sequence[str]) -> list[EvalLog]:
    """Logs without the items that such a choice may have looked at.

    Args:
        logs: Of one model.
        cells: From :func:`cells_asked`; without any the logs stay as they are.
    """
    if not cells:
        return list(logs)
    named = " and ".join(f"'{name}'" for name in cells[:3]) + (f" and {len(cells) - 3} more" if len(cells) > 3 else "")
    why = f"by some of them it was decided when the training of {named} ends or which of its states is kept"
    return [unseen_log(log, why) for log in logs]


def _asked(path: Path) -> bool:
    facts = read_json(path)
    return isinstance(facts, Mapping) and asked_while_training(facts)
