from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from datakit.build import build
from datakit.core.errors import RecipeError

HEAD = """\
data:
  sources:
    tickets: {path: tickets.jsonl, labels: {column: label}}
    letters: {path: letters.jsonl}
    books: {path: books.txt, use: text}
  steps:
"""
WORDINGS = """\
task: mine
language: en
templates:
  - name: one
    input: "What is it? {{ text }}"
    target: "{{ label }}"
"""


@pytest.fixture
def project(tmp_path):
    tickets = [{"text": f"ticket number {n} says the same old things", "label": "ab"[n % 2]} for n in range(60)]
    letters = [{"messages": [{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": "yes"}]}
               for n in range(30)]  # fmt: skip
    for name, rows in (("tickets", tickets), ("letters", letters)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "books.txt").write_text("".join(f"Sentence {n} of a book.\n" for n in range(20)))
    (tmp_path / "mine.yaml").write_text(WORDINGS)
    (tmp_path / "chat.yaml").write_text(WORDINGS.replace("{{ label }}", "fine").replace("{{ text }}", "?"))
    (tmp_path / "own.py").write_text("def odd(e):\n    return 'odd' if int(e.origin.split(':')[-1]) % 2 else None\n")

    def made(*steps, output="run"):
        (tmp_path / "recipe.yaml").write_text(HEAD + "".join(f"    - {step}\n" for step in steps))
        result = build(tmp_path / "recipe.yaml", output=tmp_path / output)
        table = pq.read_table(result.folder / "train-00000-of-00001.parquet")
        return result, table.to_pylist()

    return made


def test_a_template_for_one_source_leaves_the_others_and_their_order(project):
    result, rows = project("template: {use: mine.yaml, sources: tickets}")
    assert [row["source"] for row in rows] == ["tickets"] * 60 + ["letters"] * 30
    assert {row["messages"][0]["content"][:11] for row in rows[:60]} == {"What is it?"}
    assert [row["messages"][0]["content"] for row in rows[60:]] == [f"hi {n}" for n in range(30)]
    assert {row["template"] for row in rows[60:]} == {None}
    assert (result.steps[-1].rows_in, result.steps[-1].rows_out) == (90, 90)


def test_rows_stay_in_their_places(project):
    _, before = project("length: {max_chars: 1000}", output="a")
    _, after = project('filter: {use: "own:odd", sources: [tickets]}', output="b")
    gone = {row["id"] for row in before} - {row["id"] for row in after}
    assert [row["id"] for row in before if row["id"] not in gone] == [row["id"] for row in after]
    assert (len(gone), sum(row["source"] == "letters" for row in after)) == (30, 30)


def test_a_step_may_stand_twice_for_different_sources(project):
    _, rows = project(
        "dedup: {on: messages, threshold: 1, sources: [letters]}", "dedup: {threshold: 1, sources: [tickets]}",
        "template: {use: mine.yaml, sources: [tickets]}", "template: {use: chat.yaml, sources: letters}",
        "split: {test: 0.2, validation: 0}",
    )  # fmt: skip
    assert {(row["source"], row["template"]) for row in rows} == {
        ("tickets", "mine.yaml/one"),
        ("letters", "chat.yaml/one"),
    }
    with pytest.raises(RecipeError, match="the step 'template' stands there twice"):
        project("template: {use: mine.yaml, sources: [tickets]}", "template: {use: mine.yaml}")


def test_a_step_for_a_source_that_is_no_training_rows(project):
    result, rows = project('filter: {use: "own:odd", sources: [books]}')
    assert (len(rows), result.steps[-1].dropped) == (90, {"odd": 10})


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("template: {use: mine.yaml, sources: [ticket]}", r"recipe.yaml:7: .*no source 'ticket'.*tickets"),
        ("split: {sources: [tickets]}", "the step 'split' is for the rows of all sources"),
        ("length: {min_chars: 2, sources: []}", "at least 1"),
        ("length: {min_chars: 2, sources: 3}", "sources"),
    ],
)
def test_what_cannot_be_is_told(project, step, words):
    with pytest.raises(RecipeError, match=words):
        project(step)


def test_the_same_step_for_other_sources_is_another_one(project):
    _, first = project('filter: {use: "own:odd", sources: [tickets]}')
    _, second = project('filter: {use: "own:odd", sources: [letters]}')
    assert (len(first), len(second)) == (60, 75)
