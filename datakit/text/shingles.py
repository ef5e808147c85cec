"""Texts as sets of hashed shingles, a batch at a time in numpy.

A shingle is a run of ``ngram`` units. Units are words, syllables or characters of the normalised text; under ``auto``
every character decides for itself: a Latin word is one unit, a Hangul syllable or an ideograph is one, so a text with
both needs no verdict on its language. A text with fewer units than ``ngram`` is one shingle: its whole normalised
self, punctuation included, so that two different short texts never look alike. Only None has no shingle at all.

Hashes are 64 bits wide: with 32 bits a million short rows would bring about a hundred false twins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from datakit.text.normalise import normalise
from datakit.text.script import LETTER, MARK, SEPARATOR, SYMBOL, UNSPACED, Unit, character_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes: TypeAlias = NDArray[np.uint32]
    Hashes: TypeAlias = NDArray[np.uint64]
    Offsets: TypeAlias = NDArray[np.int64]

__all__ = ["ShingleSets", "shingle_sets"]

# Odd 64-bit constants (digits of pi and e): bases of the polynomials over a unit's characters and a shingle's units.
_CHARACTER_BASE: Final = 0x243F6A8885A308D3
_UNIT_BASE: Final = 0xB7E151628AED2A6B
_WHOLE_TEXT: Final = 0x9E3779B97F4A7C15
_BATCH_CHARACTERS: Final = 1 << 20

_BREAK, _JOIN, _ALONE, _ATTACH = 0, 1, 2, 3
# unit -> what characters of class SEPARATOR, LETTER, UNSPACED, MARK, SYMBOL do
_ROLES: Final[dict[Unit, tuple[int, int, int, int, int]]] = {
    "word": (_BREAK, _JOIN, _JOIN, _ATTACH, _ALONE),
    "auto": (_BREAK, _JOIN, _ALONE, _ATTACH, _ALONE),
    "syllable": (_BREAK, _ALONE, _ALONE, _ATTACH, _ALONE),
    "char": (_BREAK, _ALONE, _ALONE, _ALONE, _ALONE),
}
_CLASSES: Final = (SEPARATOR, LETTER, UNSPACED, MARK, SYMBOL)
_known_classes: dict[int, int] = {}


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


def shingle_sets(texts: Sequence[str | None], *, ngram: int | None = 5, unit: Unit = "auto") -> ShingleSets:
    """Shingle sets of texts, in order; None has the empty set.

    Args:
        texts: Raw texts; they are normalised here.
        ngram: Units per shingle, at least 1; None makes every text one shingle, its whole normalised self.
        unit: ``word``, ``char`` (code points), ``syllable`` (a letter with its marks) or ``auto`` (words where the
            script spaces them, syllables elsewhere).

    Returns:
        64-bit hashes; they depend on neither machine, process nor Python version.
    """
    import numpy as np

    hashes: list[Hashes] = []
    counts: list[Offsets] = []
    for batch in _batches(texts):
        found, owner = _batch_shingles(batch, ngram, unit)
        order = np.lexsort((found, owner))
        found, owner = found[order], owner[order]
        new = np.ones(len(found), dtype=bool)
        new[1:] = (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])
        hashes.append(found[new])
        counts.append(np.bincount(owner[new], minlength=len(batch)).astype(np.int64))
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    if counts:
        np.cumsum(np.concatenate(counts), out=offsets[1:])
    return ShingleSets(np.concatenate(hashes) if hashes else np.zeros(0, np.uint64), offsets)


def _batches(texts: Sequence[str | None]) -> Iterator[list[str | None]]:
    batch: list[str | None] = []
    size = 0
    for text in texts:
        normal = None if text is None else normalise(text)
        batch.append(normal)
        size += len(normal or "")
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _batch_shingles(texts: list[str | None], ngram: int | None, unit: Unit) -> tuple[Hashes, Offsets]:
    """Hashes of all shingles of normalised texts, and the number of the text each belongs to."""
    import numpy as np

    count = np.zeros(len(texts), dtype=np.int64)
    shingles, owners = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    if ngram is not None:
        shingles, owners, count = _rolled(["" if text is None else text for text in texts], ngram, unit)
    short = np.array([i for i in np.flatnonzero(count < (ngram or 1)) if texts[i] is not None], dtype=np.int64)
    if len(short):
        codes, first = _code_points([texts[i] or "" for i in short])
        alone = _mix(_segment_hashes(codes, first) ^ np.uint64(_WHOLE_TEXT))
        shingles, owners = np.concatenate([shingles, alone]), np.concatenate([owners, short])
    return shingles, owners


def _rolled(texts: list[str], ngram: int, unit: Unit) -> tuple[Hashes, Offsets, Offsets]:
    """Hashes of all full runs of ``ngram`` units, the text each belongs to, and the number of units of each text."""
    import numpy as np

    codes, first = _code_points(texts)
    starts, inside = _unit_starts(codes, unit)
    units = _segment_hashes(codes[inside], np.flatnonzero(starts[inside]))
    owner = np.searchsorted(first, np.flatnonzero(starts), side="right") - 1
    windows = max(len(units) - ngram + 1, 0)
    rolled = np.zeros(windows, dtype=np.uint64)
    for k in range(ngram):
        rolled *= np.uint64(_UNIT_BASE)
        rolled += units[k : k + windows]
    last = owner[len(owner) - windows :]
    within = owner[:windows] == last  # no shingle runs from one text into the next
    return _mix(rolled[within]), last[within], np.bincount(owner, minlength=len(texts))


def _code_points(texts: list[str]) -> tuple[Codes, Offsets]:
    """Code points of texts with a newline after each, and where each text begins."""
    import numpy as np

    joined = "\n".join([*texts, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)
    lengths = np.fromiter((len(text) + 1 for text in texts), dtype=np.int64, count=len(texts))
    return codes, np.cumsum(lengths) - lengths


def _unit_starts(codes: Codes, unit: Unit) -> tuple[Any, Any]:
    """Masks over the code points: where a unit begins, and which code points are in a unit."""
    import numpy as np

    role = np.array(_ROLES[unit], dtype=np.uint8)[_classes(codes)]
    last = np.maximum.accumulate(np.where(role != _ATTACH, np.arange(len(role)), 0))
    base = role[last]  # a mark counts as what it is attached to
    base[base == _ATTACH] = _BREAK  # a mark at the very beginning is attached to nothing
    before = np.concatenate([np.zeros(1, dtype=np.uint8), base[:-1]])
    starts = (role == _ALONE) | ((role == _JOIN) & (before != _JOIN))
    return starts, base != _BREAK


def _classes(codes: Codes) -> Any:
    import numpy as np

    distinct = np.flatnonzero(np.bincount(codes, minlength=1))
    table = np.zeros(int(distinct[-1]) + 1 if len(distinct) else 1, dtype=np.uint8)
    for code in distinct.tolist():
        known = _known_classes.get(code)
        if known is None:
            known = _known_classes[code] = character_class(code)
        table[code] = known
    return table[codes]


def _segment_hashes(codes: Codes, starts: Offsets) -> Hashes:
    """Hash of each run ``codes[starts[i]:starts[i + 1]]``: a polynomial over mixed code points, mixed once more."""
    import numpy as np

    if not len(starts):
        return np.zeros(0, dtype=np.uint64)
    lengths = np.diff(starts, append=len(codes))
    position = np.arange(len(codes)) - np.repeat(starts, lengths)
    powers = np.ones(int(lengths.max()), dtype=np.uint64)
    powers[1:] = np.uint64(_CHARACTER_BASE)
    np.multiply.accumulate(powers, out=powers)
    terms = _mix(codes.astype(np.uint64) + np.uint64(1)) * powers[position]
    return _mix(np.add.reduceat(terms, starts))


def _mix(values: Hashes) -> Hashes:
    """MurmurHash3's 64-bit finaliser, a bijection; multiplication wraps around."""
    import numpy as np

    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
