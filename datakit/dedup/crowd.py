"""Buckets too large for all pairs: a join of bounded cost, by the rarest shingles.

Two sets with a Jaccard similarity of t or more share one of the rarest ``(1 - t) * size + 1`` shingles of each, in
whatever order (Bayardo, Ma, Srikant, Scaling Up All Pairs Similarity Search, WWW 2007). So a node of a crowd is
looked up by those among the nodes that stay, rarest first, and the ones that share most of them are compared on the
sets themselves. At most ``CANDIDATES`` are collected and ``COMPARED`` compared, hence linear time: what is dropped is
verified all the same, and a duplicate is missed only where that many others share as many rare shingles with the node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from datakit.core.jit import jit
from datakit.dedup.candidates import CANDIDATES, COMPARED
from datakit.dedup.compiled import best_kept, common, differ, least_common

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[np.int64]
    Floats: TypeAlias = NDArray[np.float64]
    Flags: TypeAlias = NDArray[np.bool_]
    Words: TypeAlias = NDArray[np.uint64]

__all__ = ["drop_crowd", "look_again", "prefixes"]

_COUNTERS: Final = 22


@jit
def prefixes(hashes: Words, spans: Ints, threshold: float) -> tuple[Any, Any]:
    """The rarest shingles of each set, rarest first: frequency in the upper 16 bits, 48 of the hash in the lower."""
    count = len(spans)
    shift = np.uint64(64 - _COUNTERS)
    seen = np.zeros(1 << _COUNTERS, np.uint32)
    for k in range(len(hashes)):
        seen[np.int64(hashes[k] >> shift)] += np.uint32(1)
    starts = np.zeros(count + 1, np.int64)
    for i in range(count):
        size = spans[i, 1] - spans[i, 0]
        starts[i + 1] = starts[i] + min(size, int(np.floor((1.0 - threshold) * size + 1e-6)) + 1)
    tokens = np.empty(starts[count], np.uint64)
    for i in range(count):
        keys = np.empty(spans[i, 1] - spans[i, 0], np.uint64)
        for k in range(len(keys)):
            one = hashes[spans[i, 0] + k]
            often = min(seen[np.int64(one >> shift)], np.uint32(0xFFFF))
            keys[k] = np.uint64(often) << np.uint64(48) | one >> np.uint64(16)
        keys.sort()
        tokens[starts[i] : starts[i + 1]] = keys[: starts[i + 1] - starts[i]]
    return starts, tokens


@jit
def _slot(table: Words, token: Any) -> Any:
    """Where a token stands, or may stand, in an open-addressed table whose size is a power of two; 0 is empty."""
    mask = len(table) - 1
    place = np.int64((token * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(20)) & mask
    while table[place] != 0 and table[place] != token:
        place = (place + 1) & mask
    return place


@jit
def _lookup(index: Any, tokens: Words, shared: Ints, touched: Ints) -> Any:
    """Nodes that share the most of some tokens, at most CANDIDATES: number shared and place, ascending by the first."""
    table, heads, nexts, owners = index
    near = 0
    for k in range(len(tokens)):
        post = heads[_slot(table, tokens[k])]
        while post >= 0 and near < len(touched):
            other = owners[post]
            if shared[other] == 0:
                touched[near] = other
                near += 1
            shared[other] += 1
            post = nexts[post]
    keys = np.empty(near, np.int64)
    for k in range(near):
        keys[k] = (shared[touched[k]] << 32) + len(shared) - touched[k]
        shared[touched[k]] = 0
    keys.sort()
    return keys


@jit
def _post(index: Any, tokens: Words, owner: int, posted: int) -> int:
    table, heads, nexts, owners = index
    for k in range(len(tokens)):
        slot = _slot(table, tokens[k])
        table[slot] = tokens[k]
        owners[posted], nexts[posted] = owner, heads[slot]
        heads[slot] = posted
        posted += 1
    return posted


@jit
def _similarity(hashes: Words, spans: Ints, i: int, j: int, threshold: float) -> float:
    left, right = spans[i, 1] - spans[i, 0], spans[j, 1] - spans[j, 0]
    least = least_common(left, right, threshold)
    both = common(hashes, spans[i, 0], spans[i, 1], spans[j, 0], spans[j, 1], least)
    return both / (left + right - both) if both > 0 else 0.0


@jit
def _matches(
    me: int, keys: Ints, places: Ints, group: Ints, hashes: Words, spans: Ints, threshold: float, matched: Ints,
    scores: Floats,
) -> int:  # fmt: skip
    """The candidates at or above the threshold, the likeliest COMPARED looked at, into ``matched`` and ``scores``."""
    found = compared = 0
    mine = spans[me, 1] - spans[me, 0]
    for k in range(len(keys) - 1, -1, -1):
        other = len(places) - (keys[k] & ((1 << 32) - 1))
        theirs = spans[other, 1] - spans[other, 0]
        if other == me or group[places[other]] != group[places[me]]:
            continue
        if min(mine, theirs) < threshold * max(mine, theirs) - 1e-6:
            continue
        value = _similarity(hashes, spans, me, other, threshold)
        if value >= threshold:
            matched[found], scores[found] = places[other], value
            found += 1
        compared += 1
        if compared == COMPARED:
            break
    return found


@jit
def _empty_index(room: int) -> Any:
    size = 16
    while size < 2 * room:
        size *= 2
    return np.zeros(size, np.uint64), np.full(size, -1, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)


@jit
def _grown(edges: Ints, scores: Floats, used: int) -> tuple[Any, Any]:
    """The same with room for one node's matches more."""
    if used + COMPARED <= len(edges):
        return edges, scores
    more, more_scores = np.empty((2 * len(edges), 2), np.int64), np.empty(2 * len(edges), np.float64)
    more[:used], more_scores[:used] = edges[:used], scores[:used]
    return more, more_scores


@jit
def drop_crowd(
    starts: Ints, others: Ints, values: Floats, labels: Ints, groups: Ints, aside: Flags, fixed: int, across: bool,
    places: Ints, hashes: Words, spans: Ints, token_starts: Ints, tokens: Words, threshold: float,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """As :func:`datakit.dedup.compiled.drop`, with the nodes of the crowd looked up on the way.

    Args:
        starts: As there, like the next three.
        others: Neighbours.
        values: Their similarities.
        labels: Label of each node.
        groups: Only nodes of one group are compared.
        aside: Nodes that take no part.
        fixed: The first nodes, which stay in any case.
        across: Whether a node may go because of one with another label.
        places: The nodes of the crowd, ascending.
        hashes: Shingles of the crowd's sets.
        spans: Begin and end of each set (crowd, 2).
        token_starts: Of the prefixes.
        tokens: Prefixes, from :func:`prefixes`.
        threshold: Smallest similarity of a pair.

    Returns:
        Partner and similarity of each node; the edges found (node, other) and their similarities.
    """
    count, crowd = len(starts) - 1, len(places)
    partner, similarity = np.full(count, -1, np.int64), np.zeros(count, np.float64)
    index, posted = _empty_index(len(tokens)), 0
    shared, touched = np.zeros(crowd, np.int64), np.empty(CANDIDATES, np.int64)
    matched, scores = np.empty(COMPARED, np.int64), np.empty(COMPARED, np.float64)
    edges, edge_scores, used = np.empty((1024, 2), np.int64), np.empty(1024, np.float64), 0
    me = 0
    for node in range(count):
        in_crowd = me < crowd and places[me] == node
        me += in_crowd
        if aside[node]:
            continue
        if node >= fixed:
            partner[node], similarity[node] = best_kept(node, starts, others, values, labels, aside, partner, across)
        if not in_crowd:
            continue
        prefix = tokens[token_starts[me - 1] : token_starts[me]]
        if node >= fixed:
            keys = _lookup(index, prefix, shared, touched)
            found = _matches(me - 1, keys, places, groups, hashes, spans, threshold, matched, scores)
            edges, edge_scores = _grown(edges, edge_scores, used)
            for k in range(found):
                other = matched[k]
                edges[used, 0], edges[used, 1], edge_scores[used] = other, node, scores[k]
                used += 1
                if not across and differ(labels, node, other):
                    continue
                if scores[k] > similarity[node] or (scores[k] == similarity[node] and other < partner[node]):
                    partner[node], similarity[node] = other, scores[k]
        if partner[node] < 0:
            posted = _post(index, prefix, me - 1, posted)
    return partner, similarity, edges[:used].copy(), edge_scores[:used].copy()


@jit
def look_again(
    groups: Ints, aside: Flags, partner: Ints, places: Ints, hashes: Words, spans: Ints, token_starts: Ints,
    tokens: Words, threshold: float,
) -> tuple[Any, Any]:  # fmt: skip
    """Edges of the crowd's nodes with those that stay, later ones too: a conflict sets both sides aside."""
    crowd = len(places)
    index, posted = _empty_index(len(tokens)), 0
    shared, touched = np.zeros(crowd, np.int64), np.empty(CANDIDATES, np.int64)
    matched, scores = np.empty(COMPARED, np.int64), np.empty(COMPARED, np.float64)
    edges, edge_scores, used = np.empty((1024, 2), np.int64), np.empty(1024, np.float64), 0
    for me in range(crowd):
        if partner[places[me]] < 0 and not aside[places[me]]:
            posted = _post(index, tokens[token_starts[me] : token_starts[me + 1]], me, posted)
    for me in range(crowd):
        if aside[places[me]]:
            continue
        keys = _lookup(index, tokens[token_starts[me] : token_starts[me + 1]], shared, touched)
        found = _matches(me, keys, places, groups, hashes, spans, threshold, matched, scores)
        edges, edge_scores = _grown(edges, edge_scores, used)
        for k in range(found):
            edges[used, 0], edges[used, 1] = min(places[me], matched[k]), max(places[me], matched[k])
            edge_scores[used] = scores[k]
            used += 1
    return edges[:used].copy(), edge_scores[:used].copy()
