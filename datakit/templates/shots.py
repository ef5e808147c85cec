"""Few-shot examples: which other rows stand, question and answer, in front of a row's own question.

They come from the training side of the split only, from the row's own source, in the row's own wording, and never
from its group or its cluster of duplicates: an example that is the row itself would hand out its answer.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Exemplar", "Pool"]


class Exemplar(NamedTuple):
    """A rendered row that may stand before others.

    Attributes:
        id: Of the row.
        ties: Its group and cluster; rows that share one never serve each other.
        prompt, answer: As rendered.
    """

    id: str
    ties: frozenset[tuple[str, str]]
    prompt: str
    answer: str


class Pool:
    """The training side's rows of each source and template, in an order that only seed and ids decide.

    Args:
        seed: Of the recipe.
        rows: ``(source, template)`` and the row.
    """

    def __init__(self, seed: int, rows: Iterable[tuple[tuple[str, str], Exemplar]]) -> None:
        self._seed = seed
        self._rows: dict[tuple[str, str], list[tuple[bytes, Exemplar]]] = defaultdict(list)
        for kind, row in rows:
            self._rows[kind].append((self._hash("pool", row.id), row))
        for found in self._rows.values():
            found.sort(key=lambda item: (item[0], item[1].id))

    def choose(self, kind: tuple[str, str], row: str, ties: frozenset[tuple[str, str]], count: int) -> list[Exemplar]:
        """Up to ``count`` examples for a row: those that follow its own hash; no two of them share a tie."""
        chosen: list[Exemplar] = []
        used = set(ties)
        for other in self._from(kind, self._hash("row", row)):
            if len(chosen) == count:
                break
            if not other.ties & used:
                chosen.append(other)
                used |= other.ties
        return chosen

    def _from(self, kind: tuple[str, str], start: bytes) -> Iterator[Exemplar]:
        rows = self._rows.get(kind, [])
        first = bisect.bisect_left(rows, start, key=lambda item: item[0])
        for k in range(len(rows)):
            yield rows[(first + k) % len(rows)][1]

    def _hash(self, what: str, id: str) -> bytes:
        text = f"{what}\x00{self._seed}\x00{id}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=8).digest()
