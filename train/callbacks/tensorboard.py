"""TensorBoard: ``tensorboard --logdir models/tensorboard`` shows every arm's curves beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from datakit.core.require import require

if TYPE_CHECKING:
    from train.tracking import Tracked

__all__ = ["TensorBoard"]


class TensorBoard:
    """Event files in ``tensorboard/NAME`` beside the output; steps that are trained again replace what they said."""

    def __init__(self, tracked: Tracked) -> None:
        require("tensorboard", extra="train")
        from torch.utils.tensorboard import SummaryWriter

        purge = tracked.done + 1 if tracked.done else None
        self._writer = SummaryWriter(str(tracked.folder), purge_step=purge)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One point per curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what waits."""
        self._writer.close()
