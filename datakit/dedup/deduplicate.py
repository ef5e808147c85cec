"""Deduplication of a list of texts in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from datakit.core.errors import StepError
from datakit.dedup.cluster import OnConflict, cluster
from datakit.dedup.minhash import Texts, as_list, signatures
from datakit.dedup.result import DedupResult
from datakit.text.script import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Keep", "deduplicate"]

Keep = Literal["first", "longest", "best"]


def deduplicate(
    texts: Texts,
    *,
    threshold: float = 0.8,
    ngram: int = 5,
    unit: Unit = "word",
    num_perm: int = 128,
    seed: int = 1,
    keep: Keep = "first",
    by: Sequence[float | None] | None = None,
    ids: Sequence[str] | None = None,
    labels: Sequence[str | None] | None = None,
    on_conflict: OnConflict = "drop",
) -> DedupResult:
    """Finds exact and near-duplicates.

    Args:
        texts: List of strings or Arrow string array. None is never a duplicate; blank texts equal one another.
        threshold: Smallest Jaccard similarity of two shingle sets that counts, in (0, 1]. At 1 only texts that are
            equal after normalisation count and no signature is made.
        ngram: Units per shingle.
        unit: ``word``, ``char``, ``syllable`` or ``auto``; see :func:`datakit.text.shingle_sets`.
        num_perm: Length of the signatures that propose pairs; every pair is verified on the sets themselves.
        seed: Of the signatures.
        keep: Which of two duplicates stays: the ``first``, the ``longest`` text, or the ``best`` (highest ``by``).
        by: Score of each text for ``keep="best"``; None and NaN come last.
        ids: Break ties; by default the order of the texts does.
        labels: Where given, similar texts with different labels are conflicts.
        on_conflict: ``drop`` (both), ``keep_first`` or ``keep`` (both).

    Returns:
        The outcome of every text.

    Raises:
        StepError: A setting out of range, or lengths that differ.
    """
    values = as_list(texts)
    _check(threshold, ngram, num_perm, seed)
    for name, given in (("by", by), ("ids", ids), ("labels", labels)):
        if given is not None and len(given) != len(values):
            raise StepError(f"'{name}' has {len(given)} entries for {len(values)} texts")
    if keep == "best" and by is None:
        raise StepError("keep 'best' needs a score for every text", hint="Give by=")
    exact = threshold >= 1.0
    return cluster(
        signatures(values, num_perm=1 if exact else num_perm, ngram=None if exact else ngram, unit=unit, seed=seed),
        threshold=threshold,
        rank=_rank(values, keep, by, ids),
        labels=None if labels is None else _numbers(labels),
        on_conflict=on_conflict,
    )


def _check(threshold: float, ngram: int, num_perm: int, seed: int) -> None:
    if not 0 < threshold <= 1:
        raise StepError(f"threshold {threshold} is not in (0, 1]")
    if ngram < 1:
        raise StepError(f"ngram {ngram} is not 1 or more")
    if num_perm < 1:
        raise StepError(f"num_perm {num_perm} is not 1 or more")
    if not 0 <= seed < 2**32:
        raise StepError(f"seed {seed} is not in [0, 2^32)")


def _rank(
    texts: list[str | None], keep: Keep, by: Sequence[float | None] | None, ids: Sequence[str] | None
) -> NDArray[np.int64]:
    """Place of each text in keep order."""
    import numpy as np

    def worth(index: int) -> float:
        if keep == "longest":
            return len(texts[index] or "")
        score = by[index] if keep == "best" and by is not None else 0.0
        return float("-inf") if score is None or score != score else score

    def tie(index: int) -> tuple[str, int]:
        # "first" is the order of the texts itself: no ties
        return ("" if ids is None or keep == "first" else ids[index], index)

    order = sorted(range(len(texts)), key=lambda index: (-worth(index), tie(index)))
    rank = np.empty(len(texts), dtype=np.int64)
    rank[order] = np.arange(len(texts))
    return rank


def _numbers(labels: Sequence[str | None]) -> NDArray[np.int64]:
    import numpy as np

    names = {label: number for number, label in enumerate(sorted({label for label in labels if label is not None}))}
    return np.array([-1 if label is None else names[label] for label in labels], dtype=np.int64)
