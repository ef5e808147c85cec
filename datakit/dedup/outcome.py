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

__all__ = ["outcome", "without_reference"]


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
        outside=np.full(count, -1, dtype=np.int64),
    )


def without_reference(found: DedupResult, count: int, rank: NDArray[np.int64]) -> DedupResult:
    """The result of the texts behind the first ``count``, which are a reference; numbers start anew.

    Args:
        found: The result of both.
        count: Texts in the reference.
        rank: Place of the other texts in keep order.
    """
    import numpy as np

    partner, cluster = found.partner[count:], found.cluster[count:]
    inside = partner >= count
    own = np.arange(len(partner))
    by_rank = own[np.argsort(rank)]
    _, first, inverse = np.unique(cluster[by_rank], return_index=True, return_inverse=True)
    leaders = np.empty(len(partner), dtype=np.int64)
    leaders[by_rank] = by_rank[first][inverse.reshape(-1)]
    first_of_pair = found.pairs.column("first").to_numpy()
    second_of_pair = found.pairs.column("second").to_numpy()
    chosen = (first_of_pair >= count) & (second_of_pair >= count)
    pairs = [first_of_pair[chosen] - count, second_of_pair[chosen] - count]
    return DedupResult(
        keep=found.keep[count:],
        partner=np.where(inside, partner - count, -1),
        similarity=found.similarity[count:],
        exact=found.exact[count:],
        conflict=found.conflict[count:],
        cluster=leaders,
        pairs=pa.table([*pairs, found.pairs.column("similarity").to_numpy()[chosen]], schema=PAIRS),
        threshold=found.threshold,
        outside=np.where((partner >= 0) & ~inside, partner, -1),
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
