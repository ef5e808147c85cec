"""The families of general tasks, one file each; a family draws its items without regard to what is held out."""

from __future__ import annotations

from datakit.pocket.families import (
    agreement,
    comparison,
    entailment,
    entities,
    facts,
    format,
    reversal,
    sentiment,
    sums,
)
from datakit.pocket.items import Candidate

__all__ = ["FAMILIES"]

FAMILIES: dict[str, Candidate] = {
    "facts": facts.candidate,
    "entities": entities.candidate,
    "sentiment": sentiment.candidate,
    "sums": sums.candidate,
    "comparison": comparison.candidate,
    "reversal": reversal.candidate,
    "agreement": agreement.candidate,
    "entailment": entailment.candidate,
    "format": format.candidate,
}
