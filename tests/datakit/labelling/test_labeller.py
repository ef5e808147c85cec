"""Labeller files, answers and prompts."""

from __future__ import annotations

import json

import pytest
from conftest import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.errors import NewerFormat, RecipeError, StepError
from datakit.core.example import Example, Message, to_table
from datakit.labelling.answers import KEYS, read_answer
from datakit.labelling.inputs import gold_value, shown
from datakit.labelling.labeller import Labeller, library_names, load_labeller
from datakit.labelling.prompt import Prompt, answer_schema
from datakit.labelling.repair import read_json_answer
from datakit.labelling.skeleton import skeleton

KINDS = ("classify", "multilabel", "spans", "answer", "preference", "rating")


@pytest.mark.parametrize("name", library_names())
def test_the_library_is_whole(name):
    found = load_labeller(name)
    assert name.endswith(f".{found.language}")
    for case in found.examples:
        assert gold_value(found, case.answer, case.input) is not None
    found = found.with_options(["a", "b"])
    assert found.instruction in Prompt(found).system
    assert Prompt(found).schema == answer_schema(found)


def test_every_kind_is_shipped_in_both_languages():
    kinds = {(load_labeller(name).kind, load_labeller(name).language) for name in library_names()}
    assert kinds == {(kind, language) for kind in KINDS for language in ("en", "ko")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_skeleton_is_a_labeller(kind, language, tmp_path):
    (tmp_path / "mine.yaml").write_text(skeleton("mine", kind=kind, language=language, file="mine.yaml"))
    found = load_labeller("mine.yaml", folder=tmp_path)
    assert (found.kind, found.language, found.name) == (kind, language, "mine")
    for case in found.examples:
        assert read_answer(found, json.dumps({KEYS[kind]: case.answer}), source=case.input).status == "ok"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: classify\ninstruction: x\noptions: [a, b, a]", "'a' stands there twice"),
        ("kind: classify\ninstruction: x\noptions: [Spam, 'spam ']", "differ only in case or spaces"),
        ("kind: classify\ninstruction: x\noptions: {a: x, b: y, a: z}", "not valid YAML"),
        ("kind: classify\ninstruction: x\noptions: [a]", "nothing to choose"),
        ("kind: classify\ninstruction: x", "needs options"),
        ("kind: rating\ninstruction: x\noptions: [good, bad]", "whole numbers"),
        ("kind: rating\ninstruction: x\noptions: [2, 1]", "rising"),
        ("kind: answer\ninstruction: x\noptions: [a, b]", "has no options"),
        ("kind: clasify\ninstruction: x", "kind"),
        ("kind: answer\ninstruction: x\noption: y", "Did you mean 'options'"),
        ("kind: answer\ninstruction: x\noutput: {type: string}", "JSON schema"),
        ("[]", "is a mapping"),
    ],
)
def test_labellers_that_cannot_be_right(text, message, tmp_path):
    (tmp_path / "l.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_labeller("l.yaml", folder=tmp_path)
    assert "l.yaml" in str(caught.value)


def test_other_labellers_that_are_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"Did you mean 'sentiment\.en'"):
        load_labeller("sentimen.en")
    with pytest.raises(RecipeError, match="label new"):
        load_labeller("no.yaml", folder=tmp_path)
    (tmp_path / "l.yaml").write_text("format: 2\nkind: answer\ninstruction: x")
    with pytest.raises(NewerFormat):
        load_labeller("l.yaml", folder=tmp_path)
    with pytest.raises(RecipeError, match="there are none"):
        load_labeller("classify").with_options([])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), values, min_size=1), st.sampled_from(["{}", "```json\n{}\n```", "Here it is:\n{}"]))
def test_json_comes_back_whole(value, frame):
    text = json.dumps(value, ensure_ascii=False)
    if "`" not in text and "<think" not in text:
        assert read_json_answer(frame.replace("{}", text)) == (value, True)


@given(st.text())
def test_no_text_breaks_the_parser(text):
    read_json_answer(text)
    read_answer(load_labeller("sentiment"), text)


@given(st.integers(1, 60))
def test_what_was_cut_off_is_never_taken_for_the_whole(length):
    topics = load_labeller("topics")
    text = '{"labels": ["politics", "business", "science", "sport"]}'
    judged = read_answer(topics, text[:length])
    assert judged.status == ("ok" if length >= len(text) else "unreadable")


def test_an_option_that_was_cut_off_counts_where_it_is_certain():
    pair = Labeller(name="x", kind="classify", instruction="?", options=["card", "card lost", "cash"])
    assert read_answer(pair, '{"label": "cash').value == "cash"
    assert read_answer(pair, '{"label": "card').status == "unreadable"
    assert read_answer(pair, '{"label": "card"}').value == "card"


def test_spans_have_offsets_in_the_text():
    entities = load_labeller("entities")
    text = "😀 Ada met Ada in Oslo"
    said = [{"text": "Ada", "label": "person"}, {"text": "Ada", "label": "Person"}, {"text": "Oslo", "label": "place"}]
    judged = read_answer(entities, json.dumps({"spans": said}), source=text)
    assert [(text[s["start"] : s["end"]], s["start"]) for s in judged.answer] == [("Ada", 2), ("Ada", 10), ("Oslo", 17)]
    wrong = json.dumps({"spans": [{"text": "Bergen", "label": "place"}]})
    assert read_answer(entities, wrong, source=text).status == "outside"
    assert read_answer(entities, '{"spans": []}', source=text).value == "[]"


def test_an_answer_of_its_own_form():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "why": {"type": "string"}}, "required": ["n"]}
    own = Labeller(name="x", kind="answer", instruction="?", output=schema)
    assert read_answer(own, '{"why": "so", "n": 3}').value == '{"n": 3, "why": "so"}'
    for wrong in ('{"why": "so"}', '{"n": "three"}', '{"n": true}', "three"):
        assert read_answer(own, wrong).status == "unreadable"


def test_what_a_row_shows():
    turns = (Message("user", "why {answer}?"), Message("assistant", "because"))
    table = to_table([Example("1", "1", "s", "o", messages=turns, fields={"n": 3}), Example("2", "2", "s", "o")])
    rating = Labeller(name="r", kind="rating", instruction="?", options=[1, 2], input="{prompt} -> {answer} ({n})")
    # Braces inside a row's own text are text; a row without what is shown is not asked.
    assert list(shown(table, rating)) == [("why {answer}? -> because (3)", None), (None, None)]
    with pytest.raises(StepError, match=r"shows '\{nn\}'.*Did you mean 'n'"):
        list(shown(table, rating.model_copy(update={"input": "{nn}"})))
    assert list(shown(rows(0), rating)) == []


def test_gold_in_a_spreadsheets_words():
    topics = load_labeller("topics")
    assert gold_value(topics, "sport; politics") == '["politics", "sport"]'
    assert gold_value(topics, '["sport"]') == '["sport"]'
    assert gold_value(topics, " ") is None
    assert gold_value(load_labeller("rating"), 4) == "4"
    with pytest.raises(ValueError, match="'eggs' is none of: positive, negative"):
        gold_value(load_labeller("sentiment"), "eggs")
