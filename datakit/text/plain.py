"""What the compiled kernels find, bit for bit, in numpy: for inputs so small that compiling or loading costs more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from datakit.text.column import TextColumn
from datakit.text.normalise import normalise
from datakit.text.script import LETTER, MARK, SEPARATOR, SYMBOL, UNSPACED, Unit, character_class

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes: TypeAlias = NDArray[np.uint32]
    Words: TypeAlias = NDArray[np.uint64]
    Ints: TypeAlias = NDArray[np.int64]

__all__ = ["MAX_BYTES", "MAX_TEXTS", "keys_of_bands", "minima", "mix", "runs", "small", "small_column"]

#: Inputs up to this size are not worth a compiler.
MAX_TEXTS: Final = 2000
MAX_BYTES: Final = 1 << 20

_TEXT: Final = 0x6A09E667F3BCC909
_CHARACTER: Final = 0x243F6A8885A308D3
_UNIT: Final = 0xB7E151628AED2A6B
_WHOLE_TEXT: Final = 0x9E3779B97F4A7C15
_BREAK, _JOIN, _ALONE, _ATTACH = range(4)
# unit -> what characters of class SEPARATOR, LETTER, UNSPACED, MARK, SYMBOL do
_ROLES: Final[dict[Unit, tuple[int, int, int, int, int]]] = {
    "word": (_BREAK, _JOIN, _JOIN, _ATTACH, _ALONE),
    "auto": (_BREAK, _JOIN, _ALONE, _ATTACH, _ALONE),
    "bare": (_BREAK, _JOIN, _ALONE, _ATTACH, _BREAK),
    "syllable": (_BREAK, _ALONE, _ALONE, _ATTACH, _ALONE),
    "char": (_BREAK, _ALONE, _ALONE, _ALONE, _ALONE),
}
assert tuple(range(5)) == (SEPARATOR, LETTER, UNSPACED, MARK, SYMBOL)


def small(texts: int, size: int = 0) -> bool:
    """Whether so many texts of so many bytes go without the compiled kernels."""
    return texts <= MAX_TEXTS and size <= MAX_BYTES


def small_column(column: TextColumn) -> bool:
    """The same for a column."""
    return small(len(column), sum(int(piece.offsets[-1] - piece.offsets[0]) for piece in column.pieces))


def runs(column: TextColumn, rows: Ints | None, *, ngram: int | None, unit: Unit) -> tuple[Words, Words, Ints]:
    """Hashes of texts and of their shingles.

    Args:
        column: The texts; one that is missing counts as empty.
        rows: Which of them, ascending; None for all.
        ngram: Units per shingle; None makes every text one shingle.
        unit: What a unit is.

    Returns:
        The hash of each whole normalised text; all texts' shingles, in the order of the text; how many each has.
    """
    import numpy as np

    chosen = [
        normalise(piece.text(at))
        for piece in column.pieces
        for at in (range(len(piece)) if rows is None else _inside(rows, piece.start, len(piece)))
    ]
    codes, first, lengths = _code_points(chosen)
    inside = np.ones(len(codes), dtype=bool)
    inside[first + lengths] = False  # the newlines
    whole = _segment_hashes(codes[inside], lengths, _TEXT)
    shingles, owner, units = np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(len(chosen), np.int64)
    if ngram is not None:
        shingles, owner, units = _rolled(codes, first, ngram, unit)
    short = np.flatnonzero(units < (ngram or 1))
    shingles = np.concatenate([shingles, mix(whole[short] ^ np.uint64(_WHOLE_TEXT))])
    owner = np.concatenate([owner, short])
    return whole, shingles[np.argsort(owner, kind="stable")], np.bincount(owner, minlength=len(chosen))


def minima(shingles: Words, counts: Ints, a: Codes, b: Codes) -> Codes:
    """Signatures (texts, permutations); no text is without shingles."""
    import numpy as np

    found = np.empty((len(counts), len(a)), dtype=np.uint32)
    starts = np.cumsum(counts) - counts
    value = shingles.astype(np.uint32)
    value = (value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    value = (value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    value ^= value >> np.uint32(16)
    for k in range(len(a) if len(counts) else 0):
        found[:, k] = np.minimum.reduceat(a[k] * value + b[k], starts)
    return found


def keys_of_bands(matrix: Codes, rows: int, bands: int) -> Codes:
    """Keys of the bands of whole signatures."""
    import numpy as np

    keys = np.zeros((len(matrix), bands), dtype=np.uint64)
    values = matrix[:, : bands * rows].astype(np.uint64).reshape(len(matrix), bands, rows)
    for k in range(rows):
        keys = mix(keys * np.uint64(_UNIT) + values[:, :, k] + np.uint64(1))
    return (keys >> np.uint64(32)).astype(np.uint32)


def mix(values: Words) -> Words:
    """MurmurHash3's 64-bit finaliser; multiplication wraps around."""
    import numpy as np

    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: Words = values ^ (values >> np.uint64(33))
    return mixed


def _inside(rows: Ints, start: int, count: int) -> list[int]:
    first, end = rows.searchsorted([start, start + count])
    return [row - start for row in rows[first:end].tolist()]


def _code_points(texts: list[str]) -> tuple[Codes, Ints, Ints]:
    """Code points of texts with a newline after each, where each text begins, and its length."""
    import numpy as np

    joined = "\n".join([*texts, ""])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return codes, np.cumsum(lengths + 1) - lengths - 1, lengths


def _rolled(codes: Codes, first: Ints, ngram: int, unit: Unit) -> tuple[Words, Ints, Ints]:
    """Hashes of all full runs of ``ngram`` units, the text each belongs to, and the number of units of each text."""
    import numpy as np

    starts, inside = _unit_starts(codes, unit)
    begin = np.flatnonzero(starts[inside])
    units = _segment_hashes(codes[inside], np.diff(begin, append=int(inside.sum())), _CHARACTER)
    owner = np.searchsorted(first, np.flatnonzero(starts), side="right") - 1
    windows = max(len(units) - ngram + 1, 0)
    rolled = np.zeros(windows, dtype=np.uint64)
    for k in range(ngram if windows else 0):
        rolled *= np.uint64(_UNIT)
        rolled += units[k : k + windows]
    last = owner[len(owner) - windows :]
    within = owner[:windows] == last  # no shingle runs from one text into the next
    return mix(rolled[within]), last[within], np.bincount(owner, minlength=len(first))


def _unit_starts(codes: Codes, unit: Unit) -> tuple[Any, Any]:
    """Masks over the code points: where a unit begins, and which code points are in a unit."""
    import numpy as np

    distinct, place = np.unique(codes, return_inverse=True)
    classes = np.array([character_class(code) for code in distinct.tolist()], dtype=np.uint8)
    role = np.array(_ROLES[unit], dtype=np.uint8)[classes][place.reshape(-1)]
    last = np.maximum.accumulate(np.where(role != _ATTACH, np.arange(len(role)), 0))
    base = role[last]  # a mark counts as what it is attached to
    base[base == _ATTACH] = _BREAK  # a mark at the very beginning is attached to nothing
    before = np.concatenate([np.zeros(1, dtype=np.uint8), base[:-1]])
    starts = (role == _ALONE) | ((role == _JOIN) & (before != _JOIN))
    return starts, base != _BREAK


def _segment_hashes(codes: Codes, lengths: Ints, base: int) -> Words:
    """Hash of each run of so many code points: a polynomial over mixed ones, the last with power 0, mixed once more."""
    import numpy as np

    ends = np.cumsum(lengths)
    power = np.full(int(lengths.max(initial=0)) + 1, base, dtype=np.uint64)
    power[0] = 1
    np.multiply.accumulate(power, out=power)
    terms = mix(codes.astype(np.uint64) + np.uint64(1))
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum(terms * power[np.repeat(ends, lengths) - 1 - np.arange(len(codes))], out=sums[1:])
    return mix(sums[ends] - sums[ends - lengths])
