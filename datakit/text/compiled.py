"""Kernels over UTF-8 bytes: units, shingle hashes, MinHash signatures. Imported on first use; see kernel.py.

All arithmetic is on 64 unsigned bits and wraps around. numba widens ``uint32 op uint32`` to 64 bits, hence the casts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from datakit.core.jit import inlined, jit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]
    Words: TypeAlias = NDArray[np.uint64]
    Halves: TypeAlias = NDArray[np.uint32]
    Places: TypeAlias = NDArray[np.int64]

__all__ = ["keys_of_bands", "mix", "sets", "sketch"]

BREAK, JOIN, ALONE, ATTACH, DECODE, BLANK, SLOW = 0, 1, 2, 3, 4, 5, 6

# Odd constants (digits of pi, e, sqrt 2): bases of the polynomials over a text, a unit's and a shingle's parts.
_TEXT = np.uint64(0x6A09E667F3BCC909)
_CHARACTER = np.uint64(0x243F6A8885A308D3)
_UNIT = np.uint64(0xB7E151628AED2A6B)
_WHOLE_TEXT = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_S33 = np.uint64(33)
_ZERO, _ONE = np.uint64(0), np.uint64(1)


@inlined
def mix(value: Any) -> Any:
    """MurmurHash3's 64-bit finaliser, a bijection."""
    value = (value ^ (value >> _S33)) * _M1
    value = (value ^ (value >> _S33)) * _M2
    return value ^ (value >> _S33)


@inlined
def _fmix32(value: Any) -> Any:
    value = np.uint32((value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    value = np.uint32((value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@inlined
def _decode(data: Bytes, i: int, end: int) -> tuple[Any, int]:
    """Code point at a byte and where the next one begins; what is no UTF-8 is U+FFFD, never read past the end."""
    c = np.int64(data[i])
    size = 4 if c >= 0xF0 else 3 if c >= 0xE0 else 2 if c >= 0xC0 else 1
    if size == 1 or i + size > end:
        return 0xFFFD, i + 1
    code = c & (0xFF >> (size + 1))
    for k in range(1, size):
        code = code << 6 | (np.int64(data[i + k]) & 0x3F)
    return (code if code < 0x110000 else 0xFFFD), i + size


@inlined
def _character(
    data: Bytes, i: int, end: int, points: Halves, class_roles: Bytes, trusted: bool, order: Any
) -> tuple[Any, Any, int, Any]:
    """Role (SLOW: normalise first) and term of a character above 127, where the next begins, the rank of its ccc."""
    code, i = _decode(data, i, end)
    point = points[code]
    if trusted:
        rank = np.uint32(0)
    else:
        rank = np.uint32(point >> np.uint32(25))
        code = np.int64(point & np.uint32(0x1FFFFF))
        if point & np.uint32(1 << 24) or (rank != 0 and order > rank):
            return SLOW, _ZERO, i, rank
    return class_roles[(point >> np.uint32(21)) & np.uint32(7)], mix(np.uint64(code) + _ONE), i, rank


@jit
def _units(
    data: Bytes, i: int, end: int, roles: Bytes, terms: Words, points: Halves, class_roles: Bytes, trusted: bool,
    units: Words,
) -> tuple[int, Any]:  # fmt: skip
    """Hashes of a text's units into ``units``; their number (-1: normalise it first) and the hash of the whole text."""
    count = 0
    text, unit, space = _ZERO, _ZERO, _ZERO
    opened = BREAK
    order = np.uint32(0)
    while i < end:
        role = roles[data[i]]
        if role == DECODE:
            role, term, i, order = _character(data, i, end, points, class_roles, trusted, order)
            if role == SLOW:
                return -1, _ZERO
        else:
            term = terms[data[i]]
            i += 1
            order = np.uint32(0)
        if role == BLANK:
            space = terms[32] if text != 0 else _ZERO
            role = BREAK
        else:
            if space != 0:
                text = text * _TEXT + space
                space = _ZERO
            text = text * _TEXT + term
        if role == ATTACH or (role == JOIN and opened == JOIN):
            unit = unit * _CHARACTER + term
        else:
            if opened != BREAK:
                units[count] = mix(unit)
                count += 1
            opened = role
            unit = term
        if opened == JOIN:
            while i < end and roles[data[i]] == JOIN:
                term = terms[data[i]]
                unit = unit * _CHARACTER + term
                text = text * _TEXT + term
                i += 1
                order = np.uint32(0)
    if opened != BREAK:
        units[count] = mix(unit)
        count += 1
    return count, mix(text)


@jit
def _shingles(units: Words, count: int, ngram: int, whole: Any, shingles: Words) -> int:
    """Hashes of runs of ``ngram`` units into ``shingles``; a text with fewer is one shingle. Returns their number."""
    if ngram == 0 or count < ngram:
        shingles[0] = mix(whole ^ _WHOLE_TEXT)
        return 1
    power, rolled = _ONE, _ZERO
    for k in range(ngram):
        power *= _UNIT
        rolled = rolled * _UNIT + units[k]
    shingles[0] = mix(rolled)
    for k in range(ngram, count):
        rolled = rolled * _UNIT + units[k] - units[k - ngram] * power
        shingles[k - ngram + 1] = mix(rolled)
    return count - ngram + 1


@jit
def _minima(shingles: Words, count: int, a: Halves, b: Halves, hashes: Halves, row: Halves) -> None:
    """Datasketch's ``affine32``: least ``a * fmix32(h) + b`` of the shingles' low halves for each permutation."""
    width = len(row)
    for j in range(count):
        hashes[j] = _fmix32(np.uint32(shingles[j] & np.uint64(0xFFFFFFFF)))
    whole = count & ~7
    for k in range(width):
        row[k] = np.uint32(0xFFFFFFFF)
    for j in range(0, whole, 8):  # eight at a time: a, b and the minima are loaded and stored an eighth as often
        h0, h1, h2, h3 = hashes[j], hashes[j + 1], hashes[j + 2], hashes[j + 3]
        h4, h5, h6, h7 = hashes[j + 4], hashes[j + 5], hashes[j + 6], hashes[j + 7]
        for k in range(width):
            x, y, least = a[k], b[k], row[k]
            least = min(least, min(np.uint32(x * h0 + y), np.uint32(x * h1 + y)))
            least = min(least, min(np.uint32(x * h2 + y), np.uint32(x * h3 + y)))
            least = min(least, min(np.uint32(x * h4 + y), np.uint32(x * h5 + y)))
            row[k] = min(least, min(np.uint32(x * h6 + y), np.uint32(x * h7 + y)))
    for j in range(whole, count):
        h = hashes[j]
        for k in range(width):
            row[k] = min(row[k], np.uint32(a[k] * h + b[k]))


@jit
def _band_keys(row: Halves, rows: int, keys: Halves) -> None:
    """A 32-bit hash of each band of a signature."""
    for band in range(len(keys)):
        key = _ZERO
        for k in range(band * rows, (band + 1) * rows):
            key = mix(key * _UNIT + np.uint64(row[k]) + _ONE)
        keys[band] = np.uint32(key >> np.uint64(32))


@jit
def sketch(
    data: Bytes, offsets: Places, first: int, last: int, rules: Any, ngram: int, a: Halves, b: Halves, band_rows: int,
    whole: Words, matrix: Halves, bands: Halves, slow: Bytes,
) -> None:  # fmt: skip
    """Signatures of texts ``first`` to ``last`` into ``matrix`` and ``bands`` (either may have no row).

    Texts that must be normalised first are marked in ``slow`` and left out.
    """
    roles, terms, points, class_roles, trusted = rules  # once: taking an array from a tuple counts references
    units, shingles = np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    hashes, row = np.empty(1024, np.uint32), np.empty(len(a), np.uint32)
    for text in range(first, last):
        size = offsets[text + 1] - offsets[text]
        if size >= len(units):
            units, shingles = np.empty(size + size // 4, np.uint64), np.empty(size + size // 4, np.uint64)
            hashes = np.empty(size + size // 4, np.uint32)
        count, hashed = _units(
            data, offsets[text], offsets[text + 1], roles, terms, points, class_roles, trusted, units
        )
        slow[text] = count < 0
        if count < 0:
            continue
        whole[text] = hashed
        if len(a) == 0:
            continue
        count = _shingles(units, count, ngram, hashed, shingles)
        _minima(shingles, count, a, b, hashes, row)
        if len(matrix):
            matrix[text] = row
        if len(bands):
            _band_keys(row, band_rows, bands[text])


@jit
def _put_sorted(values: Words, count: int, found: Words, start: int, ends: Places) -> int:
    """The distinct values, ascending, into ``found`` from ``start``; where they end. Hashes fill buckets evenly."""
    bits = 1
    while 1 << bits < count and bits < 16:
        bits += 1
    shift = np.uint64(64 - bits)
    ends[: 1 << bits] = 0
    for k in range(count):
        ends[np.int64(values[k] >> shift)] += 1
    total: Any = start
    for bucket in range(1 << bits):
        total += ends[bucket]
        ends[bucket] = total - ends[bucket]
    for k in range(count):
        place = np.int64(values[k] >> shift)
        found[ends[place]] = values[k]
        ends[place] += 1
    first: Any = start
    for bucket in range(1 << bits):
        if ends[bucket] - first > 64:
            found[first : ends[bucket]].sort()
        first = ends[bucket]
    for k in range(start + 1, start + count):
        value = found[k]
        place = np.int64(k)
        while place > start and found[place - 1] > value:
            found[place] = found[place - 1]
            place -= 1
        found[place] = value
    used = start + 1
    for k in range(start + 1, start + count):
        if found[k] != found[used - 1]:
            found[used] = found[k]
            used += 1
    return used


@jit
def sets(
    data: Bytes,
    offsets: Places,
    which: Places,
    first: int,
    last: int,
    rules: Any,
    ngram: int,
    distinct: bool,
    sizes: Places,
    slow: Bytes,
) -> Any:
    """Shingle hashes of the texts ``which[first:last]``, one text after another; their numbers in ``sizes``.

    They stand in the order of the text, or are ``distinct`` and ascending.
    """
    roles, terms, points, class_roles, trusted = rules  # once: taking an array from a tuple counts references
    units, shingles = np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    found, used = np.empty(1 << 14, np.uint64), 0
    ends = np.empty(1 << 16, np.int64)
    for place in range(first, last):
        text = which[place]
        size = offsets[text + 1] - offsets[text]
        if size >= len(units):
            units, shingles = np.empty(size + size // 4, np.uint64), np.empty(size + size // 4, np.uint64)
        count, hashed = _units(
            data, offsets[text], offsets[text + 1], roles, terms, points, class_roles, trusted, units
        )
        slow[place] = count < 0
        sizes[place] = 0
        if count < 0:
            continue
        count = _shingles(units, count, ngram, hashed, shingles)
        if used + count > len(found):
            grown = np.empty(max(2 * len(found), used + count), np.uint64)
            grown[:used] = found[:used]
            found = grown
        begin = used
        if distinct:
            used = _put_sorted(shingles, count, found, used, ends)
        else:
            found[used : used + count] = shingles[:count]
            used += count
        sizes[place] = used - begin
    return found[:used].copy()


@jit
def keys_of_bands(matrix: Halves, rows: int, keys: Halves) -> None:
    """Keys of the bands of whole signatures."""
    for text in range(len(matrix)):
        _band_keys(matrix[text], rows, keys[text])
