"""Selective token masking (Wu et al., arXiv 2501.14315): what the start model finds unlikely is read and not trained.

    a trained token t stays trained  iff  - log p0(t | before t) <= a limit, or t ends an answer
    limit: the given quantile of - log p0 over all trained tokens that do not end an answer

p0 is the start model. Tokens far from what it would say pull its weights furthest. What ends an answer stays trained
however unlikely it was, because a model that does not learn to stop is of no use; so it has no part in the quantile
either. The paper's limit is one perplexity for every data set (2.5 in its code); a quantile leaves out the same share
of any (docs/decisions/171).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from train.checks import Finding
from train.data import Batch, batches, collate
from train.losses import logits_at
from train.masking import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Masked", "surprise", "without_surprises"]


@dataclass(frozen=True, slots=True)
class Masked:
    """Rows after the mask.

    Attributes:
        rows: With fewer trained tokens; those that have none left are left out.
        finding: How many tokens the mask left out; not passed where it left out none.
    """

    rows: list[Row]
    finding: Finding


def without_surprises(
    model: Any, rows: Sequence[Row], quantile: float, *, keep: Collection[int], batch_size: int, pad: int
) -> Masked:
    """Leaves the least likely tokens untrained.

    Args:
        model: The start model, in evaluation mode.
        rows: Training rows.
        quantile: Share that stays of the trained tokens that may be left out.
        keep: Ids that stay trained: what ends an answer.
        batch_size: Rows at once.
        pad: Token id to pad with.
    """
    import numpy as np

    each = surprise(model, rows, batch_size=batch_size, pad=pad)
    kept = [np.isin(row.ids[row.trained], list(keep)) for row in rows]
    values, ends = np.concatenate(each), np.concatenate(kept)
    limit = np.inf if ends.all() else np.quantile(values[~ends], quantile)
    found, emptied = [], 0
    for row, own, stays in zip(rows, each, kept, strict=True):
        trained = row.trained.copy()
        trained[row.trained] = (own <= limit) | stays
        emptied += bool((own[~stays] > limit).all() and not stays.all())
        weights = None if row.weights is None else row.weights * trained
        found.append(replace(row, trained=trained, weights=weights))
    finding = _finding(int((values[~ends] > limit).sum()), len(values), int(ends.sum()), emptied, quantile)
    return Masked([row for row in found if row.weight], finding)


def _finding(left_out: int, total: int, ends: int, emptied: int, quantile: float) -> Finding:
    """What the mask did, in counts; ``emptied`` rows lost all that may be left out of them."""
    of = f"of {total:,} trained tokens ({ends:,} end an answer and always stay)"
    if left_out:
        lost = f"; {emptied:,} rows have no other left" if emptied else ""
        return Finding("token_mask", True, f"{left_out:,} {of} are left out{lost}")
    why = f"more than {1 - quantile:.0%} of the other {total - ends:,} are equally the least likely"
    if total - ends <= 1:
        why = "no others are there" if total == ends else "only one other is there"
    text = f"token_mask leaves out none {of}: {why}; lower its quantile ({quantile:g}), or drop it: it changes nothing"
    return Finding("token_mask", False, text)


def surprise(model: Any, rows: Sequence[Row], *, batch_size: int, pad: int) -> list[NDArray[np.float32]]:
    """- log p of the trained tokens of every row, in nats."""
    import numpy as np
    import torch
    from torch.nn import functional

    place = {id(row): at for at, row in enumerate(rows)}
    groups: list[Sequence[Row]] = []

    def kept(part: Sequence[Row], *, pad: int) -> Batch:
        groups.append(part)
        return collate(part, pad=pad)

    found: list[Any] = [None] * len(rows)
    with torch.inference_mode():
        made = batches(rows, batch_size=batch_size, pad=pad, collate=kept)
        for part, batch in zip(groups, made, strict=True):
            own = batch.to(model.device)
            values = functional.cross_entropy(logits_at(model, own).float(), own.targets, reduction="none")
            ends = np.cumsum([row.trained_tokens for row in part])[:-1]
            for row, one in zip(part, np.split(values.cpu().numpy(), ends), strict=True):
                found[place[id(row)]] = one
    return found
