"""Texts as sets of hashed shingles.

A shingle is a run of ``ngram`` units. Units are words, syllables or characters of the normalised text; under ``auto``
every character decides for itself: a Latin word is one unit, a Hangul syllable or an ideograph is one, so a text with
both needs no verdict on its language. A text with fewer units than ``ngram`` is one shingle: its whole normalised
self, punctuation included, so that two different short texts never look alike. Only None has no shingle at all.

Hashes are 64 bits wide: with 32 bits a million short rows would bring about a hundred false twins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from datakit.text.column import Piece, TextColumn, Texts
from datakit.text.kernel import concurrently, parts_of, rules
from datakit.text.normalise import normalise
from datakit.text.plain import runs, small_column
from datakit.text.script import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes: TypeAlias = NDArray[np.uint64]
    Offsets: TypeAlias = NDArray[np.int64]

__all__ = ["ShingleSets", "column_sets", "shingle_runs", "shingle_sets"]


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Sets of shingle hashes, one after another.

    Attributes:
        hashes: All sets' hashes; ascending and distinct within each set.
        offsets: Set ``i`` is ``hashes[offsets[i]:offsets[i + 1]]``; one more entry than texts.
    """

    hashes: Hashes
    offsets: Offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Hashes:
        return self.hashes[self.offsets[index] : self.offsets[index + 1]]

    def take(self, which: Offsets) -> ShingleSets:
        """Some of the sets, in the order given."""
        import numpy as np

        sizes = np.diff(self.offsets)[which]
        offsets = _offsets(sizes)
        position = np.arange(int(offsets[-1])) + np.repeat(self.offsets[which] - offsets[:-1], sizes)
        return ShingleSets(self.hashes[position], offsets)


def shingle_sets(texts: Texts, *, ngram: int | None = 5, unit: Unit = "auto") -> ShingleSets:
    """Shingle sets of texts, in order; None has the empty set.

    Args:
        texts: Raw texts, as a list or an Arrow array; they are normalised here.
        ngram: Units per shingle, at least 1; None makes every text one shingle, its whole normalised self.
        unit: ``word``, ``char`` (code points), ``syllable`` (a letter with its marks), ``auto`` (words where the
            script spaces them, syllables elsewhere) or ``bare`` (as auto, but symbols separate as punctuation does).

    Returns:
        64-bit hashes; they depend on neither machine, process nor Python version.
    """
    return column_sets(TextColumn(texts), None, ngram=ngram, unit=unit)


def shingle_runs(texts: Texts, *, ngram: int, unit: Unit = "auto") -> ShingleSets:
    """As :func:`shingle_sets`, but every shingle in the order of the text, repeated ones too."""
    return column_sets(TextColumn(texts), None, ngram=ngram, unit=unit, distinct=False)


def column_sets(
    column: TextColumn, rows: Offsets | None, *, ngram: int | None, unit: Unit, distinct: bool = True
) -> ShingleSets:
    """Shingle sets of some texts of a column (None: of all), in ascending order of their numbers."""
    if small_column(column):
        return _small_sets(column, rows, ngram=ngram, unit=unit, distinct=distinct)
    import numpy as np

    jobs = [_Job.of(piece, rows, ngram, unit, distinct=distinct) for piece in column.pieces]
    parts = [(job, part) for job in jobs for part in job.parts]
    found = list(concurrently(lambda part: part[0].work(part[1]), parts))
    sizes = np.concatenate([job.sizes for job in jobs]) if jobs else np.zeros(0, dtype=np.int64)
    sets = ShingleSets(_joined(found), _offsets(sizes))
    slow = np.flatnonzero(np.concatenate([job.slow for job in jobs])) if jobs else np.zeros(0, dtype=np.int64)
    if len(slow):
        texts = [normalise(text) for job in jobs for text in job.slow_texts()]
        late = _Job.of(TextColumn(texts).pieces[0], None, ngram, unit, distinct=distinct, trusted=True)
        sets = _replaced(
            sets, slow, ShingleSets(_joined([late.work(part) for part in late.parts]), _offsets(late.sizes))
        )
    absent = np.flatnonzero(~column.present() if rows is None else ~column.present()[rows])
    return _replaced(sets, absent, ShingleSets(sets.hashes[:0], _offsets(absent * 0))) if len(absent) else sets


def _small_sets(
    column: TextColumn, rows: Offsets | None, *, ngram: int | None, unit: Unit, distinct: bool
) -> ShingleSets:
    import numpy as np

    _, hashes, sizes = runs(column, rows, ngram=ngram, unit=unit)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    stays = (column.present() if rows is None else column.present()[rows])[owner]
    if distinct:
        order = np.lexsort((hashes, owner))
        hashes, owner, stays = hashes[order], owner[order], stays[order]
        stays[1:] &= (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    return ShingleSets(hashes[stays], _offsets(np.bincount(owner[stays], minlength=len(sizes))))


def _offsets(sizes: Offsets) -> Offsets:
    import numpy as np

    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


@dataclass(frozen=True, slots=True)
class _Job:
    """The wanted texts of one piece, and what the kernel says of them."""

    piece: Piece
    which: Offsets
    how: tuple[Any, ...]
    ngram: int
    distinct: bool
    parts: list[tuple[int, int]]
    sizes: Offsets
    slow: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        piece: Piece,
        rows: Offsets | None,
        ngram: int | None,
        unit: Unit,
        *,
        distinct: bool,
        trusted: bool = False,
    ) -> _Job:
        import numpy as np

        which = np.arange(len(piece)) if rows is None else _inside(rows, piece)
        parts = parts_of(_offsets(piece.offsets[which + 1] - piece.offsets[which])) if len(which) else []
        how = rules(unit, ascii_only=piece.is_ascii(), trusted=trusted)
        sizes, slow = np.zeros(len(which), dtype=np.int64), np.zeros(len(which), dtype=np.uint8)
        return cls(piece, which, how, ngram or 0, distinct, parts, sizes, slow)

    def work(self, part: tuple[int, int]) -> Hashes:
        from datakit.text.compiled import sets

        piece = self.piece
        found: Hashes = sets(
            piece.data, piece.offsets, self.which, *part, self.how, self.ngram, self.distinct, self.sizes, self.slow
        )
        return found

    def slow_texts(self) -> list[str]:
        return [self.piece.text(index) for index in self.which[self.slow > 0].tolist()]


def _inside(rows: Offsets, piece: Piece) -> Offsets:
    import numpy as np

    first, end = np.searchsorted(rows, [piece.start, piece.start + len(piece)])
    return rows[first:end] - piece.start


def _joined(parts: list[Hashes]) -> Hashes:
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)


def _replaced(sets: ShingleSets, which: Offsets, by: ShingleSets) -> ShingleSets:
    """Sets with those at ``which`` taken from elsewhere."""
    import numpy as np

    source = np.arange(len(sets))
    source[which] = len(sets) + np.arange(len(which))
    both = ShingleSets(
        np.concatenate([sets.hashes, by.hashes]), np.concatenate([sets.offsets, sets.offsets[-1] + by.offsets[1:]])
    )
    return both.take(source)
