from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datakit.pii.span import Span
from datakit.pii.windows import whole_names, windows


@given(st.text(alphabet="ab \n", max_size=300), st.integers(20, 60), st.integers(4, 10))
def test_windows_cover_the_text_and_share_an_edge(text, size, overlap):
    places = list(windows(text, size, overlap))
    assert places[0][0] == 0
    assert places[-1][1] == len(text)
    assert all(end - start <= size for start, end in places)
    for (first, end), (start, last) in itertools.pairwise(places):
        assert first < start < end < last
        assert end - start <= overlap
        cut = {end, start} - {len(text)}
        shared = text[max(end - overlap, first + 1) : end]  # where an edge may be moved to
        spaced = " " in shared or "\n" in shared
        assert not spaced or any(not text[at - 1 : at + 1].isalnum() for at in cut)


@pytest.mark.parametrize(
    ("text", "found", "whole"),
    [
        ("so Runa Oakley says", [(3, 10)], ["Runa Oakley"]),
        ("so Runa Oakley says", [(3, 7), (5, 14)], ["Runa Oakley"]),
        ("so Runa Oakley says", [(5, 6), (10, 12)], ["Runa", "Oakley"]),
        ("so Runa Oakley says", [(2, 15)], ["Runa Oakley"]),
        ("김철수는 왔다", [(0, 3)], ["김철수"]),
        ("Zoë's tea", [(0, 1)], ["Zoë"]),
    ],
)
def test_names_are_made_whole(text, found, whole):
    spans = whole_names(text, [Span("PERSON", start, end, 0.5) for start, end in found])
    assert [text[span.start : span.end] for span in spans] == whole


def test_kinds_stay_apart():
    spans = [Span("PERSON", 0, 4, 0.5), Span("LOCATION", 2, 4, 0.9)]
    assert {span.entity for span in whole_names("Runa", spans)} == {"PERSON", "LOCATION"}
