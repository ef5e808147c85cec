"""Signatures to clusters: the second phase. Candidates are verified; then rows are dropped greedily in keep order.

A text goes if and only if a kept text verified at or above the threshold exists. Transitive closure would drop texts
that resemble nothing that stays (A like B like C, A unlike C): components are reported as clusters, never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from datakit.dedup.candidates import bands_for, candidate_pairs
from datakit.dedup.graph import Crowd, Edges, Graph, Neighbours, NoCrowd
from datakit.dedup.nodes import Nodes, group_texts
from datakit.dedup.outcome import outcome
from datakit.dedup.result import DedupResult
from datakit.dedup.source import Source, TableSource, joined_files
from datakit.dedup.verify import Verifier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OnConflict", "Rows", "cluster", "cluster_rows"]

OnConflict = Literal["drop", "keep_first", "keep"]


def cluster(
    signatures: pa.Table | Sequence[Path | str],
    *,
    threshold: float = 0.8,
    rank: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    on_conflict: OnConflict = "drop",
) -> DedupResult:
    """Finds the texts to keep.

    Memory holds about 200 bytes a text, whatever its length; shingles and signatures of files are left on disk.

    Args:
        signatures: From :func:`datakit.dedup.signatures`: batches concatenated, or files (Arrow or Parquet) with them.
        threshold: Smallest Jaccard similarity of a duplicate, in (0, 1].
        rank: Place of each text in keep order, 0 first; by default their order.
        labels: Label number of each text, -1 where unlabelled; by default none is labelled.
        on_conflict: What becomes of similar texts with different labels: ``drop`` sets both aside, ``keep_first``
            treats them as duplicates, ``keep`` never drops a text because of one with another label.

    Returns:
        The outcome of every text.

    Raises:
        StepError: No signatures, or files that cannot be read.
    """
    if not isinstance(signatures, pa.Table):
        signatures = joined_files(signatures)
    rows = Rows.of(signatures.num_rows, rank=rank, labels=labels, on_conflict=on_conflict)
    return cluster_rows(TableSource(signatures), rows, threshold=threshold)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is known of the texts besides the texts.

    Attributes:
        rank: Place of each in keep order, 0 first.
        labels: Label number of each, -1 where unlabelled.
        groups: Only texts of one group are compared.
        fixed: Those with a lower rank stay in any case, and are not compared with one another.
        on_conflict: See :func:`cluster`.
    """

    rank: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    fixed: int = 0
    on_conflict: OnConflict = "drop"

    @classmethod
    def of(
        cls,
        count: int,
        *,
        rank: NDArray[np.int64] | None = None,
        labels: NDArray[np.int64] | None = None,
        groups: NDArray[np.int64] | None = None,
        fixed: int = 0,
        on_conflict: OnConflict = "drop",
    ) -> Rows:
        """Fills in what is not given: the order as it is, no labels, one group."""
        import numpy as np

        return cls(
            np.arange(count) if rank is None else rank,
            np.full(count, -1) if labels is None or on_conflict == "keep_first" else labels,
            np.zeros(count, dtype=np.int64) if groups is None else groups,
            fixed,
            on_conflict,
        )


def cluster_rows(
    source: Source,
    rows: Rows,
    *,
    threshold: float,
    neighbours: Callable[[Nodes, float], Neighbours] | None = None,
) -> DedupResult:
    """As :func:`cluster`, from texts or signatures.

    Args:
        source: Of hashes, signatures and shingle sets.
        rows: What else is known.
        threshold: Smallest similarity of a duplicate.
        neighbours: Finds similar nodes in another way than by shingles.
    """
    import numpy as np

    by_shingles = threshold < 1 and source.num_perm > 0 and neighbours is None
    whole, present, keys = source.whole(bands_for(threshold, source.num_perm) if by_shingles else (0, 0))
    nodes = group_texts(whole, present, rows.rank, rows.labels, rows.groups, rows.fixed)
    if neighbours is None:
        edges, finder = _verified(source, nodes, keys, threshold)
    else:
        edges, finder = Edges(np.zeros((0, 2), dtype=np.int64), np.zeros(0)), neighbours(nodes, threshold)
    graph = Graph(nodes, edges, finder)
    dropped, conflicts = graph.settle(on_conflict=rows.on_conflict)
    found = outcome(nodes, graph.edges, dropped, conflicts, rows.rank, whole, fixed=rows.fixed, threshold=threshold)
    return replace(found, _again=lambda other: cluster_rows(source, rows, threshold=other, neighbours=neighbours))


def _verified(source: Source, nodes: Nodes, keys: NDArray[np.uint32], threshold: float) -> tuple[Edges, Neighbours]:
    """Verified pairs of nodes in small buckets, and who finds those in large ones."""
    import numpy as np

    pairs, values = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    crowd = np.zeros(len(nodes), dtype=bool)
    if keys.shape[1]:
        keys = _grouped(keys[nodes.first], nodes.group)
        verifier = Verifier(source)
        for some in candidate_pairs(keys, crowd, fixed=nodes.fixed):
            same = some[nodes.group[some[:, 0]] == nodes.group[some[:, 1]]]
            similarity = verifier.jaccard(nodes.first[same], threshold)
            pairs.append(same[similarity > 0])
            values.append(similarity[similarity > 0])
    edges = Edges(np.concatenate(pairs), np.concatenate(values))
    if not crowd.any():
        return edges, NoCrowd()
    return edges, Crowd(source, nodes, np.flatnonzero(crowd), threshold)


def _grouped(keys: NDArray[np.uint32], groups: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Keys that agree within a group only."""
    import numpy as np

    if not groups.any():
        return keys
    spread = (groups.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    mixed: NDArray[np.uint32] = keys ^ spread.astype(np.uint32)[:, None]
    return mixed
