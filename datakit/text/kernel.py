"""The compiled kernels over whole columns: many threads, and the few texts that need Unicode's composition apart.

numba is imported by the first call with a large input; small ones are done in plain.py. Machine code is kept on disk: a
machine pays for compiling once, some fifteen seconds of processor time, a process about half a second.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from datakit.text.column import Piece, TextColumn
from datakit.text.normalise import normalise
from datakit.text.plain import keys_of_bands, minima, runs, small_column
from datakit.text.points import CLASS_SHIFT, FOLDED, WHITE, code_points
from datakit.text.script import LETTER, MARK, SEPARATOR, SYMBOL, UNSPACED, Unit, character_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Scheme", "Sketches", "concurrently", "parts_of", "rules", "sketch_column", "threads"]

T = TypeVar("T")
R = TypeVar("R")

_CHUNK_BYTES: Final = 1 << 20
_BREAK, _JOIN, _ALONE, _ATTACH, _DECODE, _BLANK = range(6)
# unit -> what characters of each class do
_ROLES: Final[dict[Unit, dict[int, int]]] = {
    "word": {SEPARATOR: _BREAK, LETTER: _JOIN, UNSPACED: _JOIN, MARK: _ATTACH, SYMBOL: _ALONE, WHITE: _BLANK},
    "auto": {SEPARATOR: _BREAK, LETTER: _JOIN, UNSPACED: _ALONE, MARK: _ATTACH, SYMBOL: _ALONE, WHITE: _BLANK},
    "bare": {SEPARATOR: _BREAK, LETTER: _JOIN, UNSPACED: _ALONE, MARK: _ATTACH, SYMBOL: _BREAK, WHITE: _BLANK},
    "syllable": {SEPARATOR: _BREAK, LETTER: _ALONE, UNSPACED: _ALONE, MARK: _ATTACH, SYMBOL: _ALONE, WHITE: _BLANK},
    "char": {SEPARATOR: _BREAK, LETTER: _ALONE, UNSPACED: _ALONE, MARK: _ALONE, SYMBOL: _ALONE, WHITE: _BLANK},
}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How texts become signatures; signatures of different schemes cannot be compared.

    Attributes:
        ngram: Units per shingle; None makes every text one shingle, its whole normalised self.
        unit: ``word``, ``char``, ``syllable``, ``auto`` or ``bare``.
        num_perm: Length of a signature.
        seed: Of the permutations.
    """

    ngram: int | None = 5
    unit: Unit = "word"
    num_perm: int = 128
    seed: int = 1

    def permutations(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Factors and summands: those of ``datasketch.MinHash(num_perm, seed, scheme="affine32")``."""
        import numpy as np

        random = np.random.RandomState(self.seed)
        a = random.randint(0, 1 << 31, self.num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        return a, random.randint(0, 1 << 32, self.num_perm, dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class Sketches:
    """What one pass over a column finds.

    Attributes:
        whole: Hash of each normalised text; 0 where it is missing.
        matrix: Signatures (texts, num_perm); no row where not asked for.
        bands: Keys of the signatures' bands (texts, bands); no row where not asked for.
    """

    whole: NDArray[np.uint64]
    matrix: NDArray[np.uint32]
    bands: NDArray[np.uint32]


def threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def concurrently(work: Callable[[T], R], parts: Sequence[T]) -> Iterator[R]:
    """Results in order; kernels hold no lock, so threads are enough."""
    if len(parts) < 2 or threads() < 2:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(min(threads(), len(parts))) as pool:
        yield from pool.map(work, parts)


@cache
def rules(unit: Unit, *, ascii_only: bool, trusted: bool = False) -> tuple[Any, ...]:
    """The kernels' tables for a unit; ``trusted`` texts are normalised already."""
    import numpy as np

    from datakit.text.compiled import mix

    role_of = _ROLES[unit]
    roles, terms = np.full(256, _DECODE, dtype=np.uint8), np.zeros(256, dtype=np.uint64)
    for code in range(128):
        roles[code] = role_of[WHITE if chr(code).isspace() else character_class(code)]
        terms[code] = mix(np.uint64(ord(chr(code).lower()) + 1))
    points = np.zeros(1, dtype=np.uint32) if ascii_only else code_points()
    class_roles = np.array([role_of.get(kind, _BREAK) for kind in range(8)], dtype=np.uint8)
    for table in (roles, terms, points, class_roles):
        table.setflags(write=False)
    assert CLASS_SHIFT == 21
    assert FOLDED == 0x1FFFFF
    return roles, terms, points, class_roles, trusted


def sketch_column(
    column: TextColumn, scheme: Scheme, *, matrix: bool = False, bands: tuple[int, int] = (0, 0)
) -> Sketches:
    """Hashes and signatures of all texts of a column.

    Args:
        column: The texts.
        scheme: With ``num_perm`` 0 only the texts' own hashes are made.
        matrix: Whether whole signatures are wanted.
        bands: Number of bands whose keys are wanted, and rows per band.
    """
    if small_column(column):
        return _sketch_small(column, scheme, matrix=matrix, bands=bands)
    import numpy as np

    from datakit.text.compiled import sketch

    count = len(column)
    found = Sketches(
        np.zeros(count, np.uint64),
        np.empty((count if matrix else 0, scheme.num_perm), np.uint32),
        np.empty((count if bands[0] else 0, bands[0]), np.uint32),
    )
    missing = ~column.present()
    a, b = scheme.permutations()
    jobs = [
        (piece, rules(scheme.unit, ascii_only=piece.is_ascii()), _part(found, piece), np.zeros(len(piece), np.uint8))
        for piece in column.pieces
    ]

    def work(part: tuple[Any, tuple[int, int]]) -> None:
        (piece, how, into, slow), (first, last) = part
        sketch(
            piece.data, piece.offsets, first, last, how, scheme.ngram or 0, a, b, bands[1],
            into.whole, into.matrix, into.bands, slow,
        )  # fmt: skip

    for _ in concurrently(work, [(job, part) for job in jobs for part in parts_of(job[0].offsets)]):
        pass
    for piece, _, into, slow in jobs:
        late = np.flatnonzero(slow)
        if len(late):
            _sketch_late(piece, late, scheme, bands, into)
    found.whole[missing] = 0
    if matrix:
        found.matrix[missing] = np.uint32(0xFFFFFFFF)
    return found


def _sketch_small(column: TextColumn, scheme: Scheme, *, matrix: bool, bands: tuple[int, int]) -> Sketches:
    import numpy as np

    missing = ~column.present()
    whole, shingles, counts = runs(column, None, ngram=scheme.ngram, unit=scheme.unit)
    whole[missing] = 0
    if not matrix and not bands[0]:
        return Sketches(whole, np.empty((0, scheme.num_perm), np.uint32), np.empty((0, 0), np.uint32))
    made = minima(shingles, counts, *scheme.permutations())
    keys = keys_of_bands(made, bands[1], bands[0]) if bands[0] else np.empty((0, 0), np.uint32)
    made[missing] = np.uint32(0xFFFFFFFF)
    return Sketches(whole, made if matrix else made[:0], keys)


def _part(found: Sketches, piece: Piece) -> Sketches:
    where = slice(piece.start, piece.start + len(piece))
    return Sketches(found.whole[where], found.matrix[where], found.bands[where])


def _sketch_late(piece: Piece, late: NDArray[np.int64], scheme: Scheme, bands: tuple[int, int], into: Sketches) -> None:
    """Does the texts that Python must normalise."""
    import numpy as np

    from datakit.text.compiled import sketch

    normal = TextColumn([normalise(piece.text(index)) for index in late.tolist()]).pieces[0]
    whole = np.zeros(len(late), np.uint64)
    matrix = np.empty((len(late) if len(into.matrix) else 0, scheme.num_perm), np.uint32)
    keys = np.empty((len(late) if len(into.bands) else 0, bands[0]), np.uint32)
    a, b = scheme.permutations()
    sketch(
        normal.data, normal.offsets, 0, len(late), rules(scheme.unit, ascii_only=False, trusted=True),
        scheme.ngram or 0, a, b, bands[1], whole, matrix, keys, np.zeros(len(late), np.uint8),
    )  # fmt: skip
    into.whole[late] = whole
    if len(matrix):
        into.matrix[late] = matrix
    if len(keys):
        into.bands[late] = keys


def parts_of(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of texts of about a megabyte, for threads to take one after another."""
    import numpy as np

    count = len(offsets) - 1
    steps = max(1, int((offsets[-1] - offsets[0]) // _CHUNK_BYTES), count // (1 << 16))
    cuts = np.searchsorted(offsets, np.linspace(offsets[0], offsets[-1], steps + 1)[1:-1])
    cuts = np.unique(np.concatenate([[0], np.minimum(cuts, count), np.linspace(0, count, count // (1 << 16) + 2)]))
    edges = cuts.astype(np.int64).tolist()
    return list(itertools.pairwise(edges))
