"""Which tokens go into one row of a forward pass: a context is computed once for all continuations that follow it.

A row is a context and, behind it, its continuations as branches: a token sees the context and its own branch, and its
position is counted along its own branch, so each continuation is scored as if it stood alone behind the context.
A row with one branch is an ordinary sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Row", "plan_rows", "shape_of"]

Ids = list[int]
#: A row is packed where that leaves at most this share of the tokens.
_WORTH = 0.8


@dataclass(slots=True)
class Row:
    """One row.

    Attributes:
        ids: Tokens, the context first.
        branches: Per token 0 for the context, else the number of its branch.
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


def plan_rows(pairs: Sequence[tuple[Ids, Ids]], *, max_length: int, pack: bool) -> tuple[list[Row], int]:
    """Rows for all requests, longest first.

    Args:
        pairs: ``(context_ids, continuation_ids)`` per request, neither empty.
        max_length: Tokens the model takes; what is longer loses context from the left (lm-eval's rule).
        pack: Whether several branches may share a row.

    Returns:
        The rows, and how many contexts were cut.
    """
    groups: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
    cut = 0
    for request, (context, continuation) in enumerate(pairs):
        excess = len(context) + len(continuation) - max_length - 1
        cut += excess > 0
        kept = tuple(context[max(excess, 0) :])
        # The last token is predicted, never read.
        groups.setdefault(kept, []).append((request, tuple(continuation[:-1])))
    rows = [row for context, tails in groups.items() for row in _rows(context, tails, max_length, pack=pack)]
    rows.sort(key=lambda row: -len(row.ids))
    return rows, cut


def _rows(
    context: tuple[int, ...], tails: list[tuple[int, tuple[int, ...]]], max_length: int, *, pack: bool
) -> Iterator[Row]:
    branches = _merge(tails)
    size = len(context) + sum(len(tail) for tail, _ in branches)
    alone = size + len(context) * (len(branches) - 1)
    if len(branches) == 1 or (pack and size <= min(_WORTH * alone, max_length)):
        yield _row(context, branches)
    else:
        for branch in branches:
            yield _row(context, [branch])


def _merge(tails: list[tuple[int, tuple[int, ...]]]) -> list[tuple[tuple[int, ...], list[tuple[int, int]]]]:
    """Tails that are the beginning of another one join it; options of one token all need the context alone."""
    merged: list[tuple[tuple[int, ...], list[tuple[int, int]]]] = []
    for request, tail in sorted(tails, key=lambda one: one[1], reverse=True):
        # In descending order, whatever begins with this tail came directly before it.
        if merged and merged[-1][0][: len(tail)] == tail:
            merged[-1][1].append((request, len(tail)))
        else:
            merged.append((tail, [(request, len(tail))]))
    return merged


def _row(context: tuple[int, ...], branches: list[tuple[tuple[int, ...], list[tuple[int, int]]]]) -> Row:
    depth = len(context)
    row = Row(list(context), [0] * depth, list(range(depth)))
    for number, (tail, requests) in enumerate(branches, 1):
        start = len(row.ids)
        row.ids += tail
        row.branches += [number] * len(tail)
        row.positions += range(depth, depth + len(tail))
        for request, length in requests:
            row.requests[request] = [depth - 1, *range(start, start + length)]
    return row


def shape_of(rows: Sequence[Row]) -> tuple[int, int]:
    """Longest row and the first place that predicts something, over a batch."""
    return max(len(row.ids) for row in rows), min(places[0] for row in rows for places in row.requests.values())
