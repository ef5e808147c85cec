"""Deduplication of a list of texts in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from datakit.core.errors import StepError
from datakit.dedup.cluster import OnConflict, Rows, cluster_rows
from datakit.dedup.result import DedupResult
from datakit.dedup.source import TextSource
from datakit.text.column import TextColumn, Texts
from datakit.text.kernel import Scheme
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
    column = TextColumn(texts)
    _check(threshold, ngram, num_perm, seed)
    for name, given in (("by", by), ("ids", ids), ("labels", labels)):
        if given is not None and len(given) != len(column):
            raise StepError(f"'{name}' has {len(given)} entries for {len(column)} texts")
    if keep == "best" and by is None:
        raise StepError("keep 'best' needs a score for every text", hint="Give by=")
    rows = Rows.of(
        len(column),
        rank=keep_order(column, keep, by, ids),
        labels=None if labels is None else _numbers(labels),
        on_conflict=on_conflict,
    )
    return cluster_rows(TextSource(column, Scheme(ngram, unit, num_perm, seed)), rows, threshold=threshold)


def _check(threshold: float, ngram: int, num_perm: int, seed: int) -> None:
    if not 0 < threshold <= 1:
        raise StepError(f"threshold {threshold} is not in (0, 1]")
    if ngram < 1:
        raise StepError(f"ngram {ngram} is not 1 or more")
    if num_perm < 1:
        raise StepError(f"num_perm {num_perm} is not 1 or more")
    if not 0 <= seed < 2**32:
        raise StepError(f"seed {seed} is not in [0, 2^32)")


def keep_order(
    column: TextColumn, keep: Keep, by: Sequence[float | None] | None, ids: Sequence[str] | None
) -> NDArray[np.int64]:
    """Place of each text in keep order: by worth, the highest first, ties by id; ``first`` is their own order."""
    import numpy as np

    count = len(column)
    if keep == "first":
        return np.arange(count)
    if keep == "longest":
        worth = column.characters().astype(np.float64)
    else:
        worth = np.array([float("-inf") if score is None else score for score in by or ()], dtype=np.float64)
        worth[np.isnan(worth)] = float("-inf")
    place = np.arange(count)
    if ids is not None:
        place[np.array(sorted(range(count), key=ids.__getitem__), dtype=np.int64)] = np.arange(count)
    rank = np.empty(count, dtype=np.int64)
    rank[np.lexsort((place, -worth))] = np.arange(count)
    return rank


def _numbers(labels: Sequence[str | None]) -> NDArray[np.int64]:
    import numpy as np

    names = {label: number for number, label in enumerate(sorted({label for label in labels if label is not None}))}
    return np.array([-1 if label is None else names[label] for label in labels], dtype=np.int64)
