"""Nodes' outcomes spread over their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from datakit.dedup.graph import Dropped, Edges
from datakit.dedup.nodes import Nodes
from datakit.dedup.result import PAIRS, DedupResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["outcome"]


def outcome(
    nodes: Nodes,
    edges: Edges,
    dropped: Dropped,
    conflicts: Dropped | None,
    rank: NDArray[np.int64],
    whole: NDArray[np.uint64],
    *,
    fixed: int,
    threshold: float,
) -> DedupResult:
    """The result of every text.

    Args:
        nodes: Distinct texts.
        edges: All verified pairs of nodes.
        dropped: Nodes that go.
        conflicts: Nodes set aside.
        rank: Place of each text in keep order.
        whole: Hash of each normalised text.
        fixed: Texts of a lower rank stay in any case.
        threshold: Smallest similarity that counts.
    """
    import numpy as np

    from datakit.dedup.compiled import components

    count = len(whole)
    partner, similarity = np.full(count, -1, dtype=np.int64), np.full(count, np.nan)
    conflict, cluster = np.zeros(count, dtype=bool), np.arange(count)
    texts = np.flatnonzero(nodes.of_text >= 0)
    node = nodes.of_text[texts]
    leader = nodes.first[node]
    member = texts != leader
    partner[texts[member]], similarity[texts[member]] = leader[member], 1.0
    for found in (dropped, conflicts):
        if found is not None:
            gone = found.partner[node] >= 0
            partner[texts[gone]] = nodes.first[found.partner[node][gone]]
            similarity[texts[gone]] = found.similarity[node][gone]
    if conflicts is not None:
        conflict[texts] = conflicts.partner[node] >= 0
    partner[rank < fixed], similarity[rank < fixed], conflict[rank < fixed] = -1, np.nan, False
    if len(nodes):
        cluster[texts] = nodes.first[components(len(nodes), edges.pairs)[node]]
    return DedupResult(
        keep=partner < 0,
        partner=partner,
        similarity=similarity,
        exact=(partner >= 0) & (whole == whole[partner]),
        conflict=conflict,
        cluster=cluster,
        pairs=_pair_table(nodes, edges, leader[member], texts[member], rank),
        threshold=threshold,
    )


def _pair_table(
    nodes: Nodes,
    edges: Edges,
    leaders: NDArray[np.int64],
    members: NDArray[np.int64],
    rank: NDArray[np.int64],
) -> pa.Table:
    import numpy as np

    first = np.concatenate([nodes.first[edges.pairs[:, 0]], leaders])
    second = np.concatenate([nodes.first[edges.pairs[:, 1]], members])
    values = np.concatenate([edges.values, np.ones(len(members))])
    order = np.lexsort((rank[second], rank[first]))
    return pa.table([first[order], second[order], values[order]], schema=PAIRS)
