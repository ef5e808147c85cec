"""Deduplication of a list of texts in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from datakit.core.errors import StepError
from datakit.dedup.cluster import OnConflict, Rows, cluster_rows
from datakit.dedup.exact import text_hashes
from datakit.dedup.index import DedupIndex
from datakit.dedup.nodes import Nodes
from datakit.dedup.outcome import without_reference
from datakit.dedup.result import DedupResult
from datakit.dedup.semantic import Embedder, SemanticNeighbours, embed
from datakit.dedup.source import JoinedSource, Source, TableSource, TextSource
from datakit.text.column import TextColumn, Texts
from datakit.text.kernel import Scheme
from datakit.text.script import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Keep", "deduplicate", "keep_order"]

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
    within: Texts | None = None,
    against: Texts | None = None,
    index: DedupIndex | None = None,
    embedder: Embedder | None = None,
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
        ids: Break ties; by default the order of the texts does. Texts whose ids the index holds are not compared with
            themselves.
        labels: Where given, similar texts with different labels are conflicts.
        on_conflict: ``drop`` (both), ``keep_first`` or ``keep`` (both).
        within: Only texts for which this is equal after normalisation are compared: answers to one prompt.
        against: Reference texts; they stay, and texts that resemble them go.
        index: Texts kept earlier, treated likewise; nothing is added to it here, see :meth:`DedupIndex.add`.
        embedder: Compares meanings: cosine similarity of its vectors instead of shingles, in full.

    Returns:
        The outcome of every text; ``outside`` counts the texts of ``against``, then those of the index.

    Raises:
        StepError: A setting out of range, lengths that differ, or things that do not go together.
    """
    import numpy as np

    column = TextColumn(texts)
    _check(threshold, ngram, num_perm, seed)
    for name, given in (("by", by), ("ids", ids), ("labels", labels), ("within", within)):
        if given is not None and len(given) != len(column):
            raise StepError(f"'{name}' has {len(given)} entries for {len(column)} texts")
    if keep == "best" and by is None:
        raise StepError("keep 'best' needs a score for every text", hint="Give by=")
    if within is not None and (against is not None or index is not None):
        raise StepError("'within' does not go with 'against' or an index: reference texts have no prompt")
    if embedder is not None and index is not None:
        raise StepError("an index holds signatures, no vectors", hint="Leave out the embedder or the index")
    scheme = Scheme(ngram, unit, num_perm, seed)
    if index is not None and index.scheme != scheme:
        raise StepError(f"the index has the scheme {index.scheme}, not {scheme}")
    names = {name: n for n, name in enumerate(sorted({label for label in labels or () if label is not None}))}
    old = None if index is None else index.without(ids or ())
    parts: list[Source] = [] if against is None else [TextSource(TextColumn(against), scheme)]
    if old is not None:
        parts.append(TableSource(old))
    fixed = sum(len(part.weights()) for part in parts)
    rank = keep_order(column, keep, by, ids)
    numbers = np.array([names.get(label, -1) if label else -1 for label in labels or [None] * len(column)], np.int64)
    before = np.full(fixed, -1, dtype=np.int64)
    if index is not None and old is not None and labels is not None:
        before[fixed - old.num_rows :] = index.labels(old, names)
    rows = Rows.of(
        fixed + len(column),
        rank=np.concatenate([np.arange(fixed), rank + fixed]),
        labels=None if labels is None else np.concatenate([before, numbers]),
        groups=None if within is None else _groups(within),
        fixed=fixed,
        on_conflict=on_conflict,
    )
    own = TextSource(column, scheme)
    source: Source = JoinedSource([*parts, own]) if parts else own
    finder = None if embedder is None else _meanings(embedder, column, against)

    def at(threshold: float) -> DedupResult:
        found = cluster_rows(source, rows, threshold=threshold, neighbours=finder)
        found = without_reference(found, fixed, rank) if parts else found
        return replace(found, _again=at)

    return at(threshold)


def _meanings(
    embedder: Embedder, column: TextColumn, against: Texts | None
) -> Callable[[Nodes, float], SemanticNeighbours]:
    reference = TextColumn(() if against is None else against)

    def finder(nodes: Nodes, threshold: float) -> SemanticNeighbours:
        there = nodes.first[nodes.first < len(reference)]
        texts = reference.strings(there) + column.strings(nodes.first[len(there) :] - len(reference))
        return SemanticNeighbours(embed(embedder, texts), threshold)

    return finder


def _groups(within: Texts) -> NDArray[np.int64]:
    """A number for each text of ``within``; where it is missing, one of its own."""
    import numpy as np

    whole, present = text_hashes(within)
    groups = np.unique(whole, return_inverse=True)[1].reshape(-1)
    return np.asarray(np.where(present, groups, len(groups) + np.arange(len(groups))))


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
