"""Verified pairs of nodes, and which nodes go because of them. Nodes are numbered in keep order."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from datakit.dedup.nodes import Nodes
from datakit.dedup.source import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

__all__ = ["Crowd", "Dropped", "Edges", "Graph", "Neighbours", "NoCrowd"]

_IN_MEMORY: Final = 1 << 27


@dataclass(frozen=True, slots=True)
class Edges:
    """Pairs of nodes, the earlier first, with their similarities."""

    pairs: Ints
    values: Floats

    def neighbours(self, count: int) -> tuple[Ints, Ints, Floats]:
        """Both directions: starts by node, other nodes, similarities."""
        import numpy as np

        source = np.concatenate([self.pairs[:, 0], self.pairs[:, 1]])
        order = np.argsort(source, kind="stable")
        starts = np.zeros(count + 1, dtype=np.int64)
        np.cumsum(np.bincount(source, minlength=count), out=starts[1:])
        others = np.concatenate([self.pairs[:, 1], self.pairs[:, 0]])[order]
        return starts, others, np.concatenate([self.values, self.values])[order]

    def with_others(self, more: Edges) -> Edges:
        """Both, each pair once, in order."""
        import numpy as np

        pairs, values = np.concatenate([self.pairs, more.pairs]), np.concatenate([self.values, more.values])
        order = np.lexsort((pairs[:, 1], pairs[:, 0]))
        pairs, values = pairs[order], values[order]
        new = np.ones(len(pairs), dtype=bool)
        new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
        return Edges(pairs[new], values[new])


@dataclass(frozen=True, slots=True)
class Dropped:
    """The kept neighbour because of which each node goes (-1: it stays), and the similarity."""

    partner: Ints
    similarity: Floats
    found: Edges


class Neighbours(Protocol):
    """Finds who goes, and further edges on the way."""

    def drop(self, edges: Edges, nodes: Nodes, aside: Flags, *, across: bool, sweep: bool) -> Dropped:
        """Greedy dropping; with ``sweep`` the edges of nodes with later ones are looked for too."""
        ...


class NoCrowd:
    """All pairs are known already."""

    def drop(self, edges: Edges, nodes: Nodes, aside: Flags, *, across: bool, sweep: bool) -> Dropped:
        """See :class:`Neighbours`."""
        import numpy as np

        from datakit.dedup.compiled import drop

        found = drop(*edges.neighbours(len(nodes)), nodes.label, aside, nodes.fixed, across)
        return Dropped(*found, Edges(np.zeros((0, 2), np.int64), np.zeros(0)))


class Crowd:
    """Nodes in buckets too large for all pairs; see crowd.py.

    Args:
        source: Of their shingle sets, which are held, or lie in a temporary file when they are many.
        nodes: All nodes.
        places: Those of the crowd, ascending.
        threshold: Smallest similarity of a pair.
    """

    def __init__(self, source: Source, nodes: Nodes, places: Ints, threshold: float) -> None:
        from datakit.dedup.crowd import prefixes

        self._places, self._threshold = places, threshold
        self._hashes, self._spans = _stored_sets(source, nodes.first[places])
        self._token_starts, self._tokens = prefixes(self._hashes, self._spans, threshold)

    def drop(self, edges: Edges, nodes: Nodes, aside: Flags, *, across: bool, sweep: bool) -> Dropped:
        """See :class:`Neighbours`."""
        from datakit.dedup.crowd import drop_crowd, look_again

        crowd: tuple[Any, ...] = (
            self._places,
            self._hashes,
            self._spans,
            self._token_starts,
            self._tokens,
            self._threshold,
        )
        partner, similarity, pairs, values = drop_crowd(
            *edges.neighbours(len(nodes)), nodes.label, nodes.group, aside, nodes.fixed, across, *crowd
        )
        found = Edges(pairs, values)
        if sweep:
            found = found.with_others(Edges(*look_again(nodes.group, aside, partner, *crowd)))
        return Dropped(partner, similarity, found)


def _stored_sets(source: Source, rows: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """Hashes of the sets of rows, mapped from a nameless file where they are many; begin and end of each (rows, 2)."""
    import numpy as np

    order = np.argsort(rows, kind="stable")
    total = np.cumsum(source.weights()[rows[order]])
    cuts = np.searchsorted(total, np.arange(_IN_MEMORY, int(total[-1]), _IN_MEMORY), side="right")
    edges = np.unique(np.concatenate([[0], cuts, [len(rows)]])).tolist()
    spans, written = np.empty((len(rows), 2), dtype=np.int64), 0
    with tempfile.TemporaryFile() as file:
        for start, end in itertools.pairwise(edges):
            some = source.sets(rows[order[start:end]])
            spans[order[start:end], 0] = written + some.offsets[:-1]
            spans[order[start:end], 1] = written + some.offsets[1:]
            written += len(some.hashes)
            if len(edges) == 2:
                return some.hashes, spans
            file.write(some.hashes.tobytes())
        file.flush()
        return np.asarray(np.memmap(file, dtype=np.uint64, mode="r", shape=(written,))), spans


@dataclass(slots=True)
class Graph:
    """All that is known of the nodes.

    Attributes:
        nodes: In keep order.
        edges: Verified pairs.
        neighbours: Finds those that are not among them.
    """

    nodes: Nodes
    edges: Edges
    neighbours: Neighbours

    def settle(self, *, on_conflict: str) -> tuple[Dropped, Dropped | None]:
        """Who goes; and, where conflicts set both sides aside, which nodes are in one.

        Returns:
            Dropped nodes; nodes with a neighbour of another label, and the most similar such neighbour.
        """
        import numpy as np

        from datakit.dedup.compiled import best_other

        nodes, aside = self.nodes, np.zeros(len(self.nodes), dtype=bool)
        labelled = on_conflict == "drop" and len(np.unique(nodes.label[nodes.label >= 0])) > 1
        first = self.neighbours.drop(self.edges, nodes, aside, across=on_conflict == "keep_first", sweep=labelled)
        self.edges = self.edges.with_others(first.found)
        if not labelled:
            return first, None
        conflicts = Dropped(*best_other(*self.edges.neighbours(len(nodes)), nodes.label), first.found)
        conflicts.partner[: nodes.fixed] = -1
        aside = conflicts.partner >= 0
        second = self.neighbours.drop(self.edges, nodes, aside, across=True, sweep=False)
        self.edges = self.edges.with_others(second.found)
        return second, conflicts
