"""Weights & Biases: numbers and settings of an arm; with ``network: never`` they are only written down.

Left to itself it also sends what the process prints, rows among it, its arguments, paths, the state of the git folder
and the machine's name: all of that is switched off.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from train.errors import TrainError

if TYPE_CHECKING:
    from train.tracking import Tracked

__all__ = ["Wandb"]

_QUIET = {
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "host": "",
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "silent": True,
}


class Wandb:
    """A run of the project ``datakit``, or of the one that WANDB_PROJECT names."""

    def __init__(self, tracked: Tracked) -> None:
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as error:
            raise TrainError("track: wandb is not installed", hint="pip install wandb") from error
        tracked.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "datakit"),
            name=tracked.name,
            config=dict(tracked.settings),
            dir=str(tracked.folder),
            mode="offline" if tracked.offline else None,
            settings=wandb.Settings(**_QUIET),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point per curve."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()
