"""What can go wrong in training; see datakit.core.errors for the tree's root.

TrainError              1  a model, dataset or setting that cannot be used
├── Diverged            5  the loss became NaN or infinite
└── OutOfMemory         6  names what needs the memory and what to change
"""

from __future__ import annotations

from datakit.core.errors import DatakitError

__all__ = ["Diverged", "OutOfMemory", "TrainError"]


class TrainError(DatakitError):
    """A model, dataset or setting that cannot be used."""


class Diverged(TrainError):
    """The loss became NaN or infinite."""

    exit_code = 5


class OutOfMemory(TrainError):
    """Memory ran out."""

    exit_code = 6
