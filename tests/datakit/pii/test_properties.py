"""Random rows with planted values: after ``tag`` nothing is found again, after any replacement no original stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datakit.core.example import Example, Message, from_table, to_table
from datakit.core.step import StepContext
from datakit.pii import redact, scan
from datakit.pii.finder import Finder
from datakit.pii.step import PiiStep
from datakit.pii.survey import find_in_table

BOTH = ["en", "ko"]
SPARSE = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
GLUE = st.text(alphabet=" .,:;-+/@()<>\"'\n1209xAz가는은", max_size=6)
WORDS = st.sampled_from(
    ["call", "my ssn:", "계좌", "여권번호는", "card", "전화", "mail me", "<EMAIL_ADDRESS>", "order"]
)


@pytest.fixture(scope="module")
def some_values(planted) -> list[str]:
    return [value for _, value in planted.values(120, seed=4)] + [
        "536221234",
        "M123A4567",
        "110-234-567890",
        "555-0123",
    ]


def texts(values):
    piece = st.one_of(st.sampled_from(values), WORDS, GLUE)
    return st.lists(piece, max_size=7).flatmap(
        lambda pieces: st.sampled_from(["", " "]).map(lambda joiner: joiner.join(pieces))
    )


def rows(values):
    text = texts(values)
    leaf = st.one_of(text, st.integers(0, 10**16), st.none(), st.booleans())
    nested = st.recursive(leaf, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner)))
    turns = st.tuples(text, text).map(lambda two: (Message("user", two[0]), Message("assistant", two[1])))
    columns = {
        "text": st.one_of(st.none(), text),
        "messages": turns,
        "rejected": turns,
        "choices": st.lists(text, min_size=1, max_size=2).map(tuple),
        "label": st.one_of(st.none(), text),
        "fields": st.dictionaries(st.sampled_from(["a", "b"]), nested, max_size=2),
    }
    return st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=3)


@given(data=st.data())
@SPARSE
def test_nothing_is_found_in_tagged_texts(some_values, data):
    given_texts = data.draw(st.lists(texts(some_values), max_size=4))
    new, _ = redact(given_texts, language=BOTH)
    assert scan(new, language=BOTH) == [[] for _ in new]


@given(data=st.data(), replace=st.sampled_from(["tag", "mask", "hash", "surrogate"]))
@SPARSE
def test_no_original_stands_anywhere_in_the_table(some_values, data, replace):
    drawn = data.draw(rows(some_values))
    table = to_table(
        Example(id=str(n), group=str(n), source="s", origin=f"f:{n}", **columns) for n, columns in enumerate(drawn)
    )
    _, originals = find_in_table(table, Finder(BOTH))
    step = PiiStep(PiiStep.Params(replace=replace, languages=BOTH), StepContext())
    output = step.apply(table)
    output.balance("pii", table.num_rows)
    written = json.dumps([output.table.drop_columns(["id", "group", "origin"]).to_pylist()], ensure_ascii=False)
    plain = "\n".join(str(example.fields) for example in from_table(output.table))
    ledger = json.dumps(output.ledger.select(["evidence"]).to_pylist(), ensure_ascii=False)
    assert [value for value in originals if any(value in place for place in (written, plain, ledger))] == []
