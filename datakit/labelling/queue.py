"""Which rows people see, and in what order: a random sample that measures, then what is most in doubt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from datakit.core.hashing import digest
from datakit.labelling.corrections import Purpose
from datakit.labelling.folder import Kept

__all__ = ["Order", "queue"]

#: ``uncertainty``: lowest confidence first; ``disagreement``: votes that differ most; ``random``; ``suspicious``:
#: labels that were there before and that the votes contradict.
Order = Literal["uncertainty", "disagreement", "random", "suspicious"]


def queue(
    kept: Kept, *, order: Order = "uncertainty", sample: int = 0, limit: int | None = None, everything: bool = False
) -> list[tuple[int, Purpose]]:
    """Positions in the results with the reason to show each.

    Args:
        kept: What was labelled.
        order: Of the rows that are shown because they are in doubt.
        sample: Rows drawn at random, by the run's seed and their ids, before all others: a fair sample to measure on.
            The same number gives the same rows.
        limit: Rows in all.
        everything: Gold rows and those with nothing to show too, at the end.
    """
    rows = kept.results.to_pylist()
    seed = kept.settings.get("seed", 0)
    drawn = sorted(range(len(rows)), key=lambda at: digest(seed, "sample", rows[at]["example_id"]))
    drawn = [at for at in drawn if rows[at]["status"] != "empty"][:sample]
    taken = set(drawn)
    rest = [at for at, row in enumerate(rows) if at not in taken and row["status"] != "empty" and row["gold"] is None]
    if order == "suspicious":
        place = {one["example_id"]: number for number, one in enumerate(kept.facts.get("suspicious", []))}
        rest = sorted(
            (at for at in rest if rows[at]["example_id"] in place), key=lambda at: place[rows[at]["example_id"]]
        )
    elif order == "random":
        rest.sort(key=lambda at: digest(seed, "order", rows[at]["example_id"]))
    else:
        doubt = _disagreement if order == "disagreement" else _uncertainty
        rest.sort(key=lambda at: (-doubt(rows[at]), rows[at]["example_id"]))
    found: list[tuple[int, Purpose]] = [(at, "sample") for at in drawn]
    found += [(at, "queue") for at in rest]
    if everything:
        shown = {at for at, _ in found}
        found += [
            (at, "sample" if row["gold"] is not None else "queue") for at, row in enumerate(rows) if at not in shown
        ]
    return found if limit is None else found[:limit]


def _uncertainty(row: Mapping[str, Any]) -> float:
    return 2.0 if row["confidence"] is None else 1 - float(row["confidence"])


def _disagreement(row: Mapping[str, Any]) -> float:
    """One less the sum of squared shares: 0 where all votes agree."""
    if row["agreement"] is None or not row["distribution"]:
        return 2.0
    shares = json.loads(row["distribution"]).values()
    return 1 - sum(float(share) ** 2 for share in shares) + (1 - float(row["agreement"]))
