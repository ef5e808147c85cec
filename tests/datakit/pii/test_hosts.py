from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.pii import hosts, scan
from datakit.pii.recognizers import load_presidio

PIECES = ["a", "b.", "com", ".com", ".co.uk", "-", " ", "/x y", "www1.", "www", ".", "ſ.de"]
LONG = ["x" * 90, "a." * 140, "z-" * 70, "9" * 254, "q." * 400]
FORM, END = r"(?i)((www\d{0,3}[.])?[a-z0-9.\-]{1,253}[.]", r"""(?:/[^\s()<>\"']*)?)"""
FLAGS = regex.DOTALL | regex.MULTILINE | regex.IGNORECASE
SHORTER = regex.compile(f"{FORM}(?:(?:com)|(?:co)|(?:uk)|(?:de)){END}", FLAGS)


@pytest.fixture(scope="module")
def pattern():
    _, predefined = load_presidio()
    found = next(one for one in predefined.UrlRecognizer().patterns if one.name == "Non schema URL")
    return regex.compile(found.regex, flags=FLAGS)


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(st.sampled_from([*PIECES, *LONG]), max_size=8))
def test_the_places_are_those_of_the_pattern(pieces):
    text = "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts, "_WINDOW", 600)
        found = list(hosts.bare_hosts(SHORTER, text))
    assert found == [match.span() for match in SHORTER.finditer(text)]


def test_the_pattern_has_the_form_that_is_taken_for_granted(pattern):
    assert pattern.pattern.startswith(FORM + "(?:(?:com)|")
    assert pattern.pattern.endswith(END)
    assert max(map(len, pattern.pattern.split("|"))) < 64


def test_long_runs_take_no_time(pattern):
    started = time.process_time()
    for unit in ("a.", "1.", ".", "ab.zq-"):
        assert list(hosts.bare_hosts(pattern, unit * (100_000 // len(unit)))) == []
    text = "a." * 20_000 + "com " + "b." * 9000
    assert list(hosts.bare_hosts(pattern, text)) == [(40_000 - 254, 40_003)]
    assert {span.entity for span in scan(["a." * 20_000])[0]} == set()
    assert time.process_time() - started < 5
