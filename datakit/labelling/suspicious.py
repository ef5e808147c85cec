"""Labels that were there before and that the votes contradict, found with confident learning (cleanlab)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from datakit.core.require import require

__all__ = ["Suspicion", "suspicious"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A label in doubt, the most doubtful first.

    Attributes:
        example_id: Whose.
        given: The label that was there.
        suggested: What the votes say.
        chance: Probability that the votes give to the label that was there.
    """

    example_id: str
    given: str
    suggested: str
    chance: float


def suspicious(results: pa.Table, existing: Sequence[str | None], options: Sequence[str]) -> list[Suspicion]:
    """Existing labels that are probably wrong (Northcutt et al. 2021, arXiv 1911.00068).

    Args:
        results: Of :data:`RESULT_SCHEMA`, for a labeller that chooses one option.
        existing: The label of each example that was there before; None where there was none.
        options: All options, in order.

    Returns:
        Ranked; empty where no class can be judged.
    """
    order = {name: number for number, name in enumerate(options)}
    rows = [
        (id, order[given], _chances(text, order))
        for id, given, text in zip(
            results["example_id"].to_pylist(), existing, results["distribution"].to_pylist(), strict=True
        )
        if given in order and text
    ]
    if len(rows) < 2:
        return []
    labels = np.array([given for _, given, _ in rows])
    chances = np.array([chance for _, _, chance in rows])
    # cleanlab wants every class among the labels: one that no row has is left out with its probability.
    used = np.unique(labels)
    if len(used) < 2:
        return []
    inside = chances[:, used]
    inside = inside / inside.sum(axis=1, keepdims=True)
    found = require("cleanlab.filter", extra="label").find_label_issues(
        np.searchsorted(used, labels), inside, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    return [
        Suspicion(rows[at][0], options[labels[at]], options[int(chances[at].argmax())], float(chances[at, labels[at]]))
        for at in map(int, found)
        if int(chances[at].argmax()) != labels[at]
    ]


def _chances(text: str, order: dict[str, int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The votes' shares, with a little for every option: a few votes are no certainty."""
    found = np.full(len(order), 1e-3)
    for name, share in json.loads(text).items():
        if name in order:
            found[order[name]] += share
    found /= found.sum()
    return found
