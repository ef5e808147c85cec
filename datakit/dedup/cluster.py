"""Signatures to clusters: the second phase. Candidates are verified; then rows are dropped greedily in keep order.

A text goes if and only if a kept text verified at or above the threshold exists. Transitive closure would drop texts
that resemble nothing that stays (A like B like C, A unlike C): components are reported as clusters, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa

from datakit.dedup.candidates import candidate_pairs
from datakit.dedup.nodes import Nodes, group_texts
from datakit.dedup.result import PAIRS, DedupResult
from datakit.dedup.verify import Verifier

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Edge: TypeAlias = tuple[int, float]

__all__ = ["OnConflict", "cluster"]

OnConflict = Literal["drop", "keep_first", "keep"]


def cluster(
    signatures: pa.Table,
    *,
    threshold: float = 0.8,
    rank: NDArray[np.int64] | None = None,
    labels: NDArray[np.int64] | None = None,
    on_conflict: OnConflict = "drop",
) -> DedupResult:
    """Finds the texts to keep.

    Args:
        signatures: From :func:`datakit.dedup.signatures`, batches concatenated.
        threshold: Smallest Jaccard similarity of a duplicate, in (0, 1].
        rank: Place of each text in keep order, 0 first; by default their order.
        labels: Label number of each text, -1 where unlabelled; by default none is labelled.
        on_conflict: What becomes of similar texts with different labels: ``drop`` sets both aside, ``keep_first``
            treats them as duplicates, ``keep`` never drops a text because of one with another label.

    Returns:
        The outcome of every text.
    """
    import numpy as np

    count = signatures.num_rows
    rank = np.arange(count) if rank is None else rank
    labels = np.full(count, -1) if labels is None or on_conflict == "keep_first" else labels
    nodes = group_texts(signatures, rank, labels)
    verifier = Verifier(nodes.sets)
    pairs, large = candidate_pairs(nodes.signatures, threshold)
    similarity = verifier.jaccard(pairs)
    graph = _Graph(nodes, verifier, threshold, large)
    for (first, second), value in zip(
        pairs[similarity >= threshold].tolist(), similarity[similarity >= threshold].tolist(), strict=True
    ):
        graph.add(first, second, value)
    greedy = graph.greedy(set(), ignore_other_labels=on_conflict == "keep")
    conflicts = graph.conflicts() if on_conflict == "drop" else {}
    if conflicts:
        greedy = graph.greedy(set(conflicts), ignore_other_labels=False)
    again = partial(_again, signatures, rank, labels, on_conflict)
    return _outcome(signatures, nodes, graph, greedy, conflicts, rank, again)


def _again(
    signatures: pa.Table,
    rank: NDArray[np.int64],
    labels: NDArray[np.int64],
    on_conflict: OnConflict,
    threshold: float,
) -> DedupResult:
    return cluster(signatures, threshold=threshold, rank=rank, labels=labels, on_conflict=on_conflict)


@dataclass(slots=True)
class _Graph:
    """Verified pairs of nodes. Nodes are numbered in keep order."""

    nodes: Nodes
    verifier: Verifier
    threshold: float
    large: list[NDArray[np.int64]]
    edges: dict[int, dict[int, float]] = field(default_factory=dict)

    def add(self, first: int, second: int, similarity: float) -> None:
        """Records a verified pair."""
        self.edges.setdefault(first, {})[second] = similarity
        self.edges.setdefault(second, {})[first] = similarity

    def differ(self, first: int, second: int) -> bool:
        """Whether both are labelled, and differently."""
        left, right = int(self.nodes.label[first]), int(self.nodes.label[second])
        return left >= 0 and right >= 0 and left != right

    def conflicts(self) -> dict[int, Edge]:
        """Nodes with a neighbour of another label, and the most similar such neighbour."""
        found = {}
        for node, neighbours in self.edges.items():
            others = [(other, value) for other, value in neighbours.items() if self.differ(node, other)]
            if others:
                found[node] = _best(others)
        return found

    def greedy(self, aside: set[int], *, ignore_other_labels: bool) -> dict[int, Edge]:
        """Dropped nodes with their best kept neighbour; nodes set aside take no part."""
        dropped: dict[int, Edge] = {}
        buckets: dict[int, list[int]] = {}
        for bucket, members in enumerate(self.large):
            for node in members.tolist():
                buckets.setdefault(node, []).append(bucket)
        kept_in: list[list[int]] = [[] for _ in self.large]
        for node in sorted(({*self.edges, *buckets}) - aside):
            self._compare(node, {other for bucket in buckets.get(node, ()) for other in kept_in[bucket]})
            kept = [
                (other, value)
                for other, value in self.edges.get(node, {}).items()
                if other < node and other not in dropped and other not in aside
                if not (ignore_other_labels and self.differ(node, other))
            ]
            if kept:
                dropped[node] = _best(kept)
            else:
                for bucket in buckets.get(node, ()):
                    kept_in[bucket].append(node)
        return dropped

    def _compare(self, node: int, others: set[int]) -> None:
        import numpy as np

        new = sorted(others - self.edges.get(node, {}).keys())
        if not new:
            return
        pairs = np.array([(other, node) for other in new], dtype=np.int64)
        for other, value in zip(new, self.verifier.jaccard(pairs).tolist(), strict=True):
            if value >= self.threshold:
                self.add(other, node, value)

    def pairs(self) -> list[tuple[int, int, float]]:
        """All verified pairs, the earlier node first."""
        return sorted(
            (node, other, value)
            for node, neighbours in self.edges.items()
            for other, value in neighbours.items()
            if node < other
        )


def _best(edges: Iterable[Edge]) -> Edge:
    """The most similar neighbour; the earlier of two in keep order."""
    return min(edges, key=lambda edge: (-edge[1], edge[0]))


def _components(count: int, pairs: Iterable[tuple[int, int, float]]) -> NDArray[np.int64]:
    """Smallest node of each node's connected component."""
    import numpy as np

    root = list(range(count))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for first, second, _ in pairs:
        left, right = find(first), find(second)
        root[max(left, right)] = min(left, right)
    return np.array([find(node) for node in range(count)], dtype=np.int64)


def _outcome(
    signatures: pa.Table,
    nodes: Nodes,
    graph: _Graph,
    greedy: dict[int, Edge],
    conflicts: dict[int, Edge],
    rank: NDArray[np.int64],
    again: partial[DedupResult],
) -> DedupResult:
    """Nodes' outcomes spread over their texts."""
    import numpy as np

    count = signatures.num_rows
    partner, similarity = np.full(count, -1, dtype=np.int64), np.full(count, np.nan)
    conflict = np.zeros(count, dtype=bool)
    cluster_of = np.arange(count)
    texts = np.flatnonzero(nodes.of_text >= 0)
    node = nodes.of_text[texts]
    leader = nodes.first[node]
    member = texts != leader
    partner[texts[member]], similarity[texts[member]] = leader[member], 1.0
    target, value = np.full(len(nodes), -1, dtype=np.int64), np.full(len(nodes), np.nan)
    for found in (greedy, conflicts):
        for dropped, (other, score) in found.items():
            target[dropped], value[dropped] = nodes.first[other], score
    gone = target[node] >= 0
    partner[texts[gone]], similarity[texts[gone]] = target[node][gone], value[node][gone]
    conflict[texts] = np.isin(node, np.fromiter(conflicts, dtype=np.int64, count=len(conflicts)))
    pairs = graph.pairs()
    cluster_of[texts] = nodes.first[_components(len(nodes), pairs)[node]] if len(nodes) else texts

    whole = signatures.column("whole").fill_null(0).to_numpy()
    exact = (partner >= 0) & (whole == whole[partner])
    return DedupResult(
        keep=partner < 0,
        partner=partner,
        similarity=similarity,
        exact=exact,
        conflict=conflict,
        cluster=cluster_of,
        pairs=_pair_table(nodes, pairs, leader[member], texts[member], rank),
        threshold=graph.threshold,
        _again=again,
    )


def _pair_table(
    nodes: Nodes,
    pairs: list[tuple[int, int, float]],
    leaders: NDArray[np.int64],
    members: NDArray[np.int64],
    rank: NDArray[np.int64],
) -> pa.Table:
    import numpy as np

    between = np.array([pair[:2] for pair in pairs], dtype=np.int64).reshape(-1, 2)
    first = np.concatenate([nodes.first[between[:, 0]], leaders])
    second = np.concatenate([nodes.first[between[:, 1]], members])
    values = np.concatenate([np.array([pair[2] for pair in pairs]), np.ones(len(members))])
    order = np.lexsort((rank[second], rank[first]))
    return pa.table([first[order], second[order], values[order]], schema=PAIRS)
