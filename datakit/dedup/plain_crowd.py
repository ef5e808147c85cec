"""Crowds of few texts as Python says them: the join of crowd.py with its budgets, without a compiler."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from datakit.dedup.candidates import CANDIDATES, COMPARED
from datakit.dedup.plain import best_kept, differ, nearby, similarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]
    Words: TypeAlias = NDArray[np.uint64]

__all__ = ["drop_crowd", "look_again", "prefixes"]

_COUNTERS: Final = 22


def prefixes(hashes: Words, spans: Ints, threshold: float) -> tuple[Any, Any]:
    """See :func:`datakit.dedup.crowd.prefixes`."""
    import numpy as np

    where = (hashes >> np.uint64(64 - _COUNTERS)).astype(np.int64)
    _, place, counts = np.unique(where, return_inverse=True, return_counts=True)
    often = np.minimum(counts, 0xFFFF).astype(np.uint64)[place.reshape(-1)]
    keys = often << np.uint64(48) | hashes >> np.uint64(16)
    parts = []
    for begin, end in spans.tolist():
        some = np.sort(keys[begin:end])
        parts.append(some[: int(np.floor((1.0 - threshold) * len(some) + 1e-6)) + 1])
    starts = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) for part in parts], out=starts[1:])
    return starts, np.concatenate(parts) if parts else np.zeros(0, np.uint64)


class _Lookup:
    """The nodes of a crowd, and those that were posted, by their rare shingles."""

    def __init__(
        self, groups: Ints, places: Ints, hashes: Words, spans: Ints, token_starts: Ints, tokens: Words,
        threshold: float,
    ) -> None:  # fmt: skip
        self.places, self.threshold = places.tolist(), threshold
        self.group = groups[places].tolist()
        self.sets = [frozenset(hashes[begin:end].tolist()) for begin, end in spans.tolist()]
        ends = token_starts.tolist()
        self.tokens = [tokens[ends[me] : ends[me + 1]].tolist() for me in range(len(places))]
        self.posted: dict[int, list[int]] = {}

    def post(self, me: int) -> None:
        for token in self.tokens[me]:
            self.posted.setdefault(token, []).append(me)

    def _candidates(self, me: int) -> list[int]:
        """Those that share most first, the earlier of two; the last posted are met first, up to the budget."""
        shared: Counter[int] = Counter()
        for token in self.tokens[me]:
            for other in reversed(self.posted.get(token, ())):
                if len(shared) >= CANDIDATES:
                    break
                shared[other] += 1
        return sorted(shared, key=lambda other: (-shared[other], other))

    def matches(self, me: int) -> list[tuple[int, float]]:
        """The candidates at or above the threshold: node and similarity."""
        found, compared, mine = [], 0, self.sets[me]
        for other in self._candidates(me):
            sizes = sorted((len(mine), len(self.sets[other])))
            if other == me or self.group[other] != self.group[me] or sizes[0] < self.threshold * sizes[1] - 1e-6:
                continue
            value = similarity(mine, self.sets[other])
            if value >= self.threshold:
                found.append((self.places[other], value))
            compared += 1
            if compared == COMPARED:
                break
        return found


def _edges(found: list[tuple[int, int, float]]) -> tuple[Any, Any]:
    import numpy as np

    pairs = np.array([(first, second) for first, second, _ in found], dtype=np.int64).reshape(-1, 2)
    return pairs, np.array([value for _, _, value in found], dtype=np.float64)


def drop_crowd(
    starts: Ints, others: Ints, values: Floats, labels: Ints, groups: Ints, aside: Flags, fixed: int, across: bool,
    places: Ints, *crowd: Any,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """See :func:`datakit.dedup.crowd.drop_crowd`."""
    import numpy as np

    near, names = nearby(starts, others, values), labels.tolist()
    lookup, number = _Lookup(groups, places, *crowd), {node: me for me, node in enumerate(places.tolist())}
    partner, similar = np.full(len(near), -1, np.int64), np.zeros(len(near))
    found: list[tuple[int, int, float]] = []
    for node in np.flatnonzero(~aside).tolist():
        me = number.get(node)
        if node >= fixed:
            best = best_kept(node, near[node], names, aside, partner, across=across)
            for other, value in lookup.matches(me) if me is not None else ():
                found.append((other, node, value))
                if (across or not differ(names, node, other)) and (-value, other) < (-best[1], best[0]):
                    best = other, value
            partner[node], similar[node] = best
        if me is not None and partner[node] < 0:
            lookup.post(me)
    return partner, similar, *_edges(found)


def look_again(groups: Ints, aside: Flags, partner: Ints, places: Ints, *crowd: Any) -> tuple[Any, Any]:
    """See :func:`datakit.dedup.crowd.look_again`."""
    lookup = _Lookup(groups, places, *crowd)
    nodes = places.tolist()
    for me, node in enumerate(nodes):
        if partner[node] < 0 and not aside[node]:
            lookup.post(me)
    return _edges(
        [
            (min(node, other), max(node, other), value)
            for me, node in enumerate(nodes)
            if not aside[node]
            for other, value in lookup.matches(me)
        ]
    )
