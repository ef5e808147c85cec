from __future__ import annotations

import json

import pytest

import datakit
from datakit.core.errors import SourceError, UsageError
from datakit.sources import SourceSpec, open_source


def rows(tmp_path, *values, **options):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    return open_source("s", SourceSpec(path="a.jsonl", **options), folder=tmp_path).read()


def test_mapped_columns_leave_fields_and_id_stays(tmp_path):
    read = rows(
        tmp_path,
        {"message": "hi", "kind": "a", "key": 7, "n": 1},
        columns={"text": "message", "label": "kind", "id": "key"},
    )
    row = read.output.table.to_pylist()[0]
    assert (row["text"], row["label"], json.loads(row["fields"])) == ("hi", "a", {"key": 7, "n": 1})
    assert read.columns == {"text": "message", "label": "kind", "id": "key"}


def test_a_column_of_our_name_is_taken_unless_mapped_otherwise(tmp_path):
    row = rows(tmp_path, {"text": "t", "body": "b", "label": "x"}, columns={"text": "body"}).output.table.to_pylist()[0]
    assert (row["text"], row["label"], json.loads(row["fields"])) == ("b", "x", {"text": "t"})


def test_wrong_column_lists_those_there_are(tmp_path):
    with pytest.raises(SourceError, match=r"no column 'mesage' .*Did you mean 'message'\? Known: kind, message"):
        rows(tmp_path, {"message": "hi", "kind": "a"}, columns={"text": "mesage"})


@pytest.mark.parametrize("raw", ["refund", 1, "1", 1.0, True])
def test_names_and_integers_are_one_label(tmp_path, raw):
    read = rows(tmp_path, {"text": "t", "c": raw}, labels={"column": "c", "names": ["cancel", "refund"]})
    assert read.output.table["label"].to_pylist() == ["refund"]
    assert read.labels == ("cancel", "refund")


@pytest.mark.parametrize("raw", ["other", 2, -1, "2", 0.5])
def test_a_label_that_is_none(tmp_path, raw):
    with pytest.raises(SourceError, match=r"a\.jsonl:1: label '.*' in column 'c' is none of: cancel, refund"):
        rows(tmp_path, {"text": "t", "c": raw}, labels={"column": "c", "names": ["cancel", "refund"]})


def test_a_name_of_digits_wins_over_the_position(tmp_path):
    read = rows(tmp_path, {"text": "t", "c": "1"}, labels={"column": "c", "names": ["1", "0"]})
    assert read.output.table["label"].to_pylist() == ["1"]


def test_names_are_the_sorted_values_where_none_are_given(tmp_path):
    values = [{"text": "t", "label": name} for name in ("b", "a", "b")]
    assert rows(tmp_path, *values).labels == ("a", "b")
    values = [{"text": "t", "label": number} for number in (10, 9, 2)]
    assert rows(tmp_path, *values).labels == ("2", "9", "10")


def test_prompt_and_answer_become_messages(tmp_path):
    value = {"q": "2+2?", "a": "4", "sys": "Be brief."}
    row = rows(tmp_path, value, columns={"prompt": "q", "answer": "a", "system": "sys"}).output.table.to_pylist()[0]
    assert [(turn["role"], turn["content"]) for turn in row["messages"]] == [
        ("system", "Be brief."),
        ("user", "2+2?"),
        ("assistant", "4"),
    ]
    assert row["fields"] == "{}"


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}],
        [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}],
        json.dumps([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]),
    ],
)
def test_conversations_of_several_shapes(tmp_path, turns):
    row = rows(tmp_path, {"turns": turns}, columns={"messages": "turns"}).output.table.to_pylist()[0]
    assert [tuple(turn.values()) for turn in row["messages"]] == [("user", "hi"), ("assistant", "yo")]


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([], "no value"),
        ("plain", "list of turns"),
        ([{"role": "wizard", "content": "x"}], "role 'wizard'"),
        ([{"role": "user", "content": None}], "content"),
        ([{"role": "user", "content": ""}], "empty turn"),
        ([3], "no object"),
        (3, "not text or turns"),
    ],
)
def test_conversations_that_are_none(tmp_path, turns, words):
    with pytest.raises(SourceError, match=words):
        rows(tmp_path, {"turns": turns}, columns={"messages": "turns"})


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {
            "prompt": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        {
            "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
            "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
        },
        {
            "prompt": "q",
            "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}],
            "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}],
        },
    ],
)
def test_preference_pairs_of_several_shapes(tmp_path, value):
    row = rows(tmp_path, value).output.table.to_pylist()[0]
    assert [turn["content"] for turn in row["messages"]] == ["q", "good"]
    assert row["rejected"] == [{"role": "assistant", "content": "bad"}]


def test_half_a_conversation_is_a_column_like_any_other(tmp_path):
    row = rows(tmp_path, {"text": "t", "answer": "4", "prompt_id": 1}).output.table.to_pylist()[0]
    assert row["messages"] is None
    assert json.loads(row["fields"]) == {"answer": "4", "prompt_id": 1}


def test_choices(tmp_path):
    read = rows(tmp_path, {"text": "t", "choices": ["a", "b"]}, {"text": "t", "choices": '["c"]'}, {"text": "t"})
    assert read.output.table["choices"].to_pylist() == [["a", "b"], ["c"], None]


def test_every_file_of_a_glob_must_have_the_column(tmp_path):
    (tmp_path / "b.jsonl").write_text('{"body": "x"}\n')
    (tmp_path / "a.jsonl").write_text('{"msg": "x"}\n')
    with pytest.raises(SourceError, match=r"^b\.jsonl: no column 'msg'"):
        open_source("s", SourceSpec(path="*.jsonl", columns={"text": "msg"}), folder=tmp_path).read()


def test_all_rows_bad(tmp_path):
    (tmp_path / "a.jsonl").write_text("nonsense\nmore\n")
    with pytest.raises(SourceError, match=r"none of 2 rows can be used; the first: a\.jsonl:1: not valid JSON"):
        open_source("s", SourceSpec(path="a.jsonl", on_bad_row="skip"), folder=tmp_path).read()


@pytest.mark.parametrize(
    "options",
    [
        {"columns": {"txt": "a"}},
        {"on_bad_row": "ignore"},
        {"encoding": "utf-9"},
        {"format": "jsonlines"},
        {"columns": {"answer": "a"}},
        {"labels": {"column": "a", "names": ["x", "x"]}},
        {"nonsense": 1},
    ],
)
def test_wrong_options_of_read(tmp_path, options):
    with pytest.raises(UsageError):
        datakit.read(tmp_path / "a.jsonl", **options)
