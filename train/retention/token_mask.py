"""Selective token masking (Wu et al., arXiv 2501.14315): what the start model finds unlikely is read and not trained.

    a trained token t stays trained  iff  - log p0(t | before t) <= the given quantile of that over all trained tokens

p0 is the start model. Tokens far from what it would say pull its weights furthest. What ends an answer stays trained
however unlikely it was, because a model that does not learn to stop is of no use.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from train.data import Batch, batches, collate
from train.losses import logits_at
from train.masking import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["surprise", "without_surprises"]


def without_surprises(
    model: Any, rows: Sequence[Row], quantile: float, *, keep: Collection[int], batch_size: int, pad: int
) -> list[Row]:
    """The rows with fewer trained tokens; rows that have none left are left out.

    Args:
        model: The start model, in evaluation mode.
        rows: Training rows.
        quantile: Share of the trained tokens that stay.
        keep: Ids that stay trained: what ends an answer.
        batch_size: Rows at once.
        pad: Token id to pad with.
    """
    import numpy as np

    each = surprise(model, rows, batch_size=batch_size, pad=pad)
    most = np.quantile(np.concatenate(each), quantile)
    found = []
    for row, values in zip(rows, each, strict=True):
        trained = row.trained.copy()
        trained[row.trained] = (values <= most) | np.isin(row.ids[row.trained], list(keep))
        weights = None if row.weights is None else row.weights * trained
        found.append(replace(row, trained=trained, weights=weights))
    return [row for row in found if row.weight]


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
