"""What several rooms need to look at text: normal form, script, shingles."""

from __future__ import annotations

from datakit.text.normalise import normalise
from datakit.text.script import Unit
from datakit.text.shingles import ShingleSets, shingle_runs, shingle_sets

__all__ = ["ShingleSets", "Unit", "normalise", "shingle_runs", "shingle_sets"]
