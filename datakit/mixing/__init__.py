"""Which rows go where, and in what proportions: splits and mixes."""

from __future__ import annotations

from datakit.mixing.mix import MixParams, MixStep, mix
from datakit.mixing.split import SplitParams, SplitStep, by_split, folds, split

__all__ = ["MixParams", "MixStep", "SplitParams", "SplitStep", "by_split", "folds", "mix", "split"]
