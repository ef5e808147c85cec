"""The statistics of docs/measures.md on arrays; nothing here knows of logs, tasks or reports."""

from __future__ import annotations

from evalkit.statistics.means import betting, cluster_totals, clustered_error, stratified, t_interval
from evalkit.statistics.planning import (
    chance_unchanged_passes,
    items_needed,
    minimum_detectable_effect,
    wilson,
)
from evalkit.statistics.resampling import (
    Bootstrap,
    TwoLevel,
    bootstrap_mean,
    bootstrap_totals,
    draw_items,
    draw_seeds,
    two_level,
)
from evalkit.statistics.significance import holm, mcnemar, sign_flip
from evalkit.statistics.tango import coverage, tango
from evalkit.statistics.verdicts import Verdict, beyond_margin, verdict

__all__ = [
    "Bootstrap",
    "TwoLevel",
    "Verdict",
    "betting",
    "beyond_margin",
    "bootstrap_mean",
    "bootstrap_totals",
    "chance_unchanged_passes",
    "cluster_totals",
    "clustered_error",
    "coverage",
    "draw_items",
    "draw_seeds",
    "holm",
    "items_needed",
    "mcnemar",
    "minimum_detectable_effect",
    "sign_flip",
    "stratified",
    "t_interval",
    "tango",
    "two_level",
    "verdict",
    "wilson",
]
