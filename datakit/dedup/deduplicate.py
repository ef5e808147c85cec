"""Deduplication of a list of texts in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

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
    column = TextColumn(texts)
    _check(threshold, ngram, num_perm, seed)
    _check_lengths(len(column), by=by, ids=ids, labels=labels, within=within)
    if keep == "best" and by is None:
        raise StepError("keep 'best' needs a score for every text", hint="Give by=")
    if within is not None and (against is not None or index is not None):
        raise StepError("'within' does not go with 'against' or an index: reference texts have no prompt")
    if embedder is not None and index is not None:
        raise StepError("an index holds signatures, no vectors", hint="Leave out the embedder or the index")
    before = _Before.of(against, index, Scheme(ngram, unit, num_perm, seed), ids or ())
    own = TextSource(column, before.scheme)
    source: Source = JoinedSource([*before.sources, own]) if before.sources else own
    rank = keep_order(column, keep, by, ids)
    rows = before.rows(rank, labels, None if within is None else _groups(within), on_conflict)
    finder = None if embedder is None else _meanings(embedder, column, against)

    def at(threshold: float) -> DedupResult:
        found = cluster_rows(source, rows, threshold=threshold, neighbours=finder)
        found = without_reference(found, before.count, rank) if before.sources else found
        return replace(found, _again=at)

    return at(threshold)


@dataclass(frozen=True, slots=True)
class _Before:
    """Texts that stay in any case: those of a reference set, then those of an index.

    Attributes:
        scheme: Of all signatures.
        sources: Of the reference and of the index, where given.
        count: How many texts there are.
        index: The index.
        old: Its table.
    """

    scheme: Scheme
    sources: list[Source]
    count: int
    index: DedupIndex | None
    old: pa.Table | None

    @classmethod
    def of(cls, against: Texts | None, index: DedupIndex | None, scheme: Scheme, ids: Sequence[str]) -> _Before:
        if index is not None and index.scheme != scheme:
            raise StepError(f"the index has the scheme {index.scheme}, not {scheme}")
        sources: list[Source] = [] if against is None else [TextSource(TextColumn(against), scheme)]
        old = None if index is None else index.without(ids)
        if old is not None:
            sources.append(TableSource(old))
        return cls(scheme, sources, sum(len(source.weights()) for source in sources), index, old)

    def rows(
        self,
        rank: NDArray[np.int64],
        labels: Sequence[str | None] | None,
        groups: NDArray[np.int64] | None,
        on_conflict: OnConflict,
    ) -> Rows:
        """These texts and, behind them, those to be deduplicated."""
        import numpy as np

        numbers = None
        if labels is not None:
            names = {name: n for n, name in enumerate(sorted({label for label in labels if label is not None}))}
            own = np.array([names[label] if label else -1 for label in labels], dtype=np.int64)
            earlier = np.full(self.count, -1, dtype=np.int64)
            if self.index is not None and self.old is not None:
                earlier[self.count - self.old.num_rows :] = self.index.labels(self.old, names)
            numbers = np.concatenate([earlier, own])
        return Rows.of(
            self.count + len(rank),
            rank=np.concatenate([np.arange(self.count), rank + self.count]),
            labels=numbers,
            groups=groups,
            fixed=self.count,
            on_conflict=on_conflict,
        )


def _check_lengths(texts: int, **columns: Texts | Sequence[float | None] | None) -> None:
    for name, given in columns.items():
        if given is not None and len(given) != texts:
            raise StepError(f"'{name}' has {len(given)} entries for {texts} texts")


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
