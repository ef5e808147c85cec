"""Which tokens go into one row of a forward pass: what several requests begin with is computed once for all of them.

A row is a trunk and, behind it, branches: a token sees the trunk and its own branch, and its position is counted along
its own branch, so each sequence is scored as if it stood alone. The options of an item are branches behind its context;
so are its contexts, where the contexts are what differs. A row with one branch is an ordinary sequence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Row", "Sequenced", "common_prefix", "plan_rows", "sequences"]

Ids = list[int]
#: A row is packed where that leaves at most this share of the tokens.
_WORTH = 0.8
#: A sequence joins a row if the trunk keeps at least this share of its length; the next item's context does not.
_KEEPS = 0.5


@dataclass(frozen=True, slots=True)
class Sequenced:
    """One request as the model reads it.

    Attributes:
        request: Its number.
        ids: Context and continuation without the last token, which is predicted and never read.
        first: The place that predicts the continuation's first token.
        cut: Tokens that the context lost on the left.
    """

    request: int
    ids: tuple[int, ...]
    first: int
    cut: int


@dataclass(slots=True)
class Row:
    """One row.

    Attributes:
        ids: Tokens, the trunk first.
        branches: Per token 0 for the trunk, else the number of its branch.
        positions: Per token its position along its own branch.
        requests: Request to the places in the row whose next token is predicted.
    """

    ids: Ids
    branches: Ids
    positions: Ids
    requests: dict[int, Ids] = field(default_factory=dict)

    @property
    def packed(self) -> bool:
        """Whether it has several branches and so needs an attention mask."""
        return bool(self.branches) and self.branches[-1] > 1

    @property
    def trunk(self) -> int:
        """Tokens before the first branch."""
        return bisect_right(self.branches, 0)

    def cut(self, at: int) -> tuple[Row, Row]:
        """The tokens before a place and those from it on, without the requests."""
        parts = (slice(None, at), slice(at, None))
        before, after = (Row(self.ids[part], self.branches[part], self.positions[part]) for part in parts)
        return before, after


def sequences(pairs: Sequence[tuple[Ids, Ids]], *, max_length: int) -> list[Sequenced]:
    """What the model reads for each ``(context_ids, continuation_ids)``; too long loses context on the left."""
    found = []
    for request, (context, continuation) in enumerate(pairs):
        cut = max(len(context) + len(continuation) - max_length - 1, 0)
        kept = context[cut:]
        found.append(Sequenced(request, (*kept, *continuation[:-1]), len(kept) - 1, cut))
    return found


def common_prefix(asked: Sequence[Sequenced]) -> int:
    """Tokens that all sequences begin with and that predict nothing that is asked for."""
    if not asked:
        return 0
    low, high = min(one.ids for one in asked), max(one.ids for one in asked)
    return min(_shared(low, high), min(one.first for one in asked))


def plan_rows(
    asked: Sequence[Sequenced], *, max_length: int, pack: bool, prefix: int = 0, apart: bool = False
) -> list[Row]:
    """Rows for all requests, longest first.

    Args:
        asked: From :func:`sequences`.
        max_length: Tokens the model takes.
        pack: Whether several branches may share a row.
        prefix: Tokens at the beginning of every sequence that are computed elsewhere and left out of the rows.
        apart: Requests with contexts of other lengths never share a row.
    """
    rows = [_row(group, prefix) for group in _groups(_merge(asked, apart=apart), max_length, prefix, pack=pack)]
    rows.sort(key=lambda row: -len(row.ids))
    return rows


#: A sequence and the requests that need nothing but its beginning.
_Branch = tuple[tuple[int, ...], list[Sequenced]]


def _merge(asked: Sequence[Sequenced], *, apart: bool) -> list[_Branch]:
    """Sequences that are the beginning of another one join it; options of one token all need the context alone."""
    merged: list[_Branch] = []
    for one in sorted(asked, key=lambda one: one.ids, reverse=True):
        # In descending order, whatever begins with this sequence came directly before it.
        alike = merged and (not apart or merged[-1][1][0].first == one.first)
        if alike and merged[-1][0][: len(one.ids)] == one.ids:
            merged[-1][1].append(one)
        else:
            merged.append((one.ids, [one]))
    return merged


def _groups(branches: list[_Branch], max_length: int, prefix: int, *, pack: bool) -> Iterator[list[_Branch]]:
    """Neighbours in the order of their tokens that are worth sharing a row."""
    group: list[_Branch] = []
    trunk = alone = tails = 0
    for branch in branches:
        size = len(branch[0]) - prefix
        if group and pack:
            shared = min(trunk, _shared(group[0][0], branch[0]) - prefix)
            # Each member behind the shorter trunk; `alone` is what the members cost by themselves.
            packed = shared + tails + (trunk - shared) * len(group) + size - shared
            kept = len(group) == 1 or shared >= _KEEPS * trunk
            if kept and packed <= _WORTH * (alone + size) and packed + prefix <= max_length:
                tails += (trunk - shared) * len(group) + size - shared
                trunk, alone = shared, alone + size
                group.append(branch)
                continue
        if group:
            yield group
        group, trunk, alone, tails = [branch], size, size, 0
    if group:
        yield group


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Length of the longest common beginning, by halving: a comparison of slices is fast."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _row(group: list[_Branch], prefix: int) -> Row:
    trunk = len(group[0][0])
    if len(group) > 1:
        trunk = min(_shared(group[0][0], ids) for ids, _ in group[1:])
    else:
        trunk = min(min(one.first for one in group[0][1]) + 1, trunk)
    row = Row(list(group[0][0][prefix:trunk]), [0] * (trunk - prefix), list(range(prefix, trunk)))
    for number, (ids, members) in enumerate(group, 1):
        start = len(row.ids) - trunk
        row.ids += ids[trunk:]
        row.branches += [number] * (len(ids) - trunk)
        row.positions += range(trunk, len(ids))
        for one in members:
            places = range(one.first, len(one.ids))
            row.requests[one.request] = [at - prefix if at < trunk else start + at for at in places]
    return row
