"""The compiled kernel beside the slowest possible statement of what it should do."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.errors import StepError
from datakit.text import shingle_runs, shingle_sets
from datakit.text.column import TextColumn
from datakit.text.kernel import Scheme, sketch_column

MASK = (1 << 64) - 1
UNSPACED = [
    *((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1100, 0x11FF), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF)),
    *((0x2E80, 0x2FDF), (0x3005, 0x3007), (0x3040, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0xA4CF), (0xA960, 0xA97F)),
    *((0xA980, 0xA9FF), (0xAA60, 0xAADF), (0xAC00, 0xD7FF), (0xF900, 0xFAFF), (0xFF66, 0xFFDC), (0x1AFF0, 0x1B16F)),
    (0x20000, 0x3FFFF),
]


def mix(value):
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & MASK
    return value ^ value >> 33


def polynomial(values, base):
    total = 0
    for value in values:
        total = (total * base + value) & MASK
    return total


def kind(character):
    category = unicodedata.category(character)
    if category[0] == "S" or character in "*/%&#@\\":
        return "symbol"
    if character != "_" and (category[0] in "ZP" or category in ("Cc", "Cf")):
        return "separator"
    if category[0] == "M":
        return "mark"
    return "unspaced" if any(start <= ord(character) <= end for start, end in UNSPACED) else "letter"


def units(text, unit):
    found, joined, attached = [], False, False
    for character in text:
        what = kind(character)
        if what == "separator" or (what == "symbol" and unit == "bare"):
            joined = attached = False
        elif what == "mark" and unit != "char":
            if attached:
                found[-1] += character
        elif (what == "letter" and unit in ("word", "auto", "bare")) or (what == "unspaced" and unit == "word"):
            if joined:
                found[-1] += character
            else:
                found.append(character)
            joined = attached = True
        else:
            found.append(character)
            joined, attached = False, True
    return found


def reference(text, ngram, unit):
    normal = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    normal = " ".join(normal.split())
    parts = [mix(polynomial([mix(ord(c) + 1) for c in part], 0x243F6A8885A308D3)) for part in units(normal, unit)]
    whole = mix(polynomial([mix(ord(c) + 1) for c in normal], 0x6A09E667F3BCC909))
    if ngram is None or len(parts) < ngram:
        return [mix(whole ^ 0x9E3779B97F4A7C15)]
    return [mix(polynomial(parts[i : i + ngram], 0xB7E151628AED2A6B)) for i in range(len(parts) - ngram + 1)]


NASTY = [
    "", " ", "\n\t", "a", "NUL \x00 in the middle", "\x00", "\ud800 alone \udfff", "e\u0301 e\u0301\u0323 \u0323\u0301",
    "STRASSE straße ẞ ﬁ İstanbul ΌΣΟΣ ς", "שלום עולם مرحبا بالعالم", "👩‍👩‍👧‍👦 👍🏽 🇰🇷 ☃️", "나는 학교에 간다 " * 3,
    unicodedata.normalize("NFD", "나는 학교에 갑니다 각각"), "我们在学习 日本語のテキスト ｶﾀｶﾅ", "สวัสดีชาวโลก กำลังทดสอบ",
    "नमस्ते दुनिया क़ख़", "a_b c-d e.f 2+3 = 5 * 7 / 8 % # @ \\ & $1 €2", "word\u200bword\u00adword\u2028x\u0085y\u00a0z",
    "\u0301starts with a mark", "x\u0345y ᾳ ŉ ǰ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨 𠮷野家", "\U000e0041\U0010ffff\uffff",
    "\u1100\u1161\u11a8 \u1161",
    "tab\tand\r\nline" * 5, "İ" * 7 + " ok", "µ μ Å Å ℡",
]  # fmt: skip
UNITS = ["word", "auto", "bare", "syllable", "char"]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("ngram", [None, 1, 2, 5])
def test_nasty_texts(unit, ngram):
    sets = shingle_sets(NASTY, ngram=ngram, unit=unit)
    for number, text in enumerate(NASTY):
        assert sets[number].tolist() == sorted(set(reference(text, ngram, unit))), text


@settings(max_examples=300)
@given(st.text(max_size=60), st.sampled_from(UNITS), st.integers(1, 4))
def test_any_text(text, unit, ngram):
    assert shingle_runs([text], ngram=ngram, unit=unit).hashes.tolist() == reference(text, ngram, unit)


@settings(max_examples=200)
@given(st.text(alphabet="aAbZ é\u0301\u0323ß가\u1100\u1161.+_\n", max_size=30), st.sampled_from(UNITS))
def test_texts_that_compose_and_fold(text, unit):
    assert shingle_runs([text], ngram=2, unit=unit).hashes.tolist() == reference(text, 2, unit)


def test_every_code_point_by_itself():
    texts = [f"x{chr(code)}Y" for code in range(0x110000)]
    found = shingle_runs(texts, ngram=1)
    for number in range(0, 0x110000, 97):
        assert found[number].tolist() == reference(texts[number], 1, "auto"), hex(number)


def arrays(values):
    yield pa.array(values)
    yield pa.array(values, pa.large_string())
    yield pa.array(values, pa.string_view())
    yield pa.array(values).dictionary_encode()
    yield pa.chunked_array([values[:3], [], values[3:]], pa.string())
    yield pa.array(["zz", *values, "zz"]).slice(1, len(values))
    yield pa.array(["é", *values], pa.large_string()).slice(1)


def test_every_kind_of_arrow_array():
    values = ["one two three four five six", None, "짧은 글", "", "café ole ole ole ole", None, "x"]
    expected = shingle_sets(values)
    signatures = sketch_column(TextColumn(values), Scheme(), matrix=True)
    for array in arrays(values):
        found = shingle_sets(array)
        assert (found.offsets == expected.offsets).all()
        assert (found.hashes == expected.hashes).all()
        again = sketch_column(TextColumn(array), Scheme(), matrix=True)
        assert (again.matrix == signatures.matrix).all()
        assert (again.whole == signatures.whole).all()
    for empty in (pa.array([], pa.string()), pa.nulls(3), pa.chunked_array([], pa.string())):
        assert len(shingle_sets(empty).hashes) == 0


def test_what_is_no_text_is_refused():
    with pytest.raises(StepError, match="strings, not 'int64'"):
        shingle_sets(pa.array([1, 2]))


def test_bytes_that_are_no_utf8_are_read_without_harm():
    data = pa.py_buffer(b"ab\xff\xc3\xe2\x82\xf0\x9f\x98 c\xf0")
    offsets = pa.py_buffer(np.array([0, 4, 12], dtype=np.int32).tobytes())
    array = pa.Array.from_buffers(pa.string(), 2, [None, offsets, data])
    assert len(shingle_sets(array)) == 2


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=12), min_size=1, max_size=4), st.sampled_from(UNITS))
def test_any_bytes_are_the_same_to_both_kernels(parts, unit):
    ends = np.cumsum([0, *map(len, parts)]).astype(np.int32)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(parts))]
    array = pa.Array.from_buffers(pa.string(), len(parts), buffers)
    found = []
    for most in (-1, 2000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("datakit.text.plain.MAX_TEXTS", most)
            sets = shingle_runs(array, ngram=2, unit=unit)
            made = sketch_column(TextColumn(array), Scheme(ngram=2, unit=unit, num_perm=16), matrix=True, bands=(4, 4))
        found.append([part.tolist() for part in (sets.hashes, sets.offsets, made.whole, made.matrix, made.bands)])
    assert found[0] == found[1]


def test_many_texts_in_many_pieces_are_each_read_once():
    values = [f"text number {n} of very many texts, and {'long ' * (n % 700)}" for n in range(9000)]
    whole = shingle_sets(values)
    assert whole.offsets[-1] == len(whole.hashes)
    for number in range(0, 9000, 301):
        assert (whole[number] == shingle_sets([values[number]]).hashes).all()
    kept = sketch_column(TextColumn(values), Scheme(num_perm=16), matrix=True).matrix
    for number in range(0, 9000, 301):
        assert (
            kept[number] == sketch_column(TextColumn([values[number]]), Scheme(num_perm=16), matrix=True).matrix
        ).all()


@pytest.mark.slow
def test_no_folder_for_machine_code_is_no_failure(tmp_path: Path):
    """In a folder without write permission, with no home: compiled anew, and right."""
    root = Path(__file__).resolve().parents[3]
    code = (
        "import numba, numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from datakit.text import plain\n"
        "plain.MAX_TEXTS = -1\n"
        "from datakit.text import shingle_sets\n"
        "print(shingle_sets(['one two three four five six']).hashes.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env={"PATH": "", "HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(sorted(reference("one two three four five six", 5, "auto")))
