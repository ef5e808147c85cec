from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from datakit.pii.known import any_of

WORDS = st.lists(st.text(alphabet="ab.(1", min_size=1, max_size=6), min_size=1, max_size=12)


@given(WORDS, st.text(alphabet="ab.(1", max_size=40))
def test_it_finds_the_longest_value_at_every_place(values, text):
    expected, at = [], 0
    while at < len(text):
        here = [value for value in values if text.startswith(value, at)]
        if here:
            expected.append(max(here, key=len))
            at += len(expected[-1])
        else:
            at += 1
    assert any_of(values).findall(text) == expected


def test_no_values_and_many():
    assert any_of([]) is None
    values = [f"user{number}@example.com" for number in range(20_000)]
    assert any_of(values).findall("x user19999@example.com y") == ["user19999@example.com"]
