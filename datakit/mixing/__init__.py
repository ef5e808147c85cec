"""Which rows go where: splits."""

from __future__ import annotations

from datakit.mixing.split import SplitParams, SplitStep, by_split, split

__all__ = ["SplitParams", "SplitStep", "by_split", "split"]
