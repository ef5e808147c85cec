"""The label step of a recipe: what goes in, what comes out, what is kept out of training."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections import Counter

import pyarrow.parquet as pq
import pytest
from conftest import rows
from reviews import dataset, judge

from datakit.build import build
from datakit.core.errors import DatakitError, RecipeError, StepError
from datakit.core.example import Example, Message, from_table, to_table
from datakit.core.step import StepContext
from datakit.labelling.exchange import export_labels, import_labels
from datakit.labelling.folder import LabelFolder
from datakit.labelling.queue import queue
from datakit.redactor import Redactor


def test_gold_never_reaches_the_training_split(project, tmp_path):
    result = build(project(), output=tmp_path / "run")
    parts = dataset(tmp_path / "run")
    assert result.rows == 120
    where = {split: sum(bool(example.fields["truth"]) for example in examples) for split, examples in parts.items()}
    assert where == {"train": 0, "validation": 0, "test": 40}
    assert len(parts["train"]) > 60
    assert all(example.label for examples in parts.values() for example in examples)
    ledger = pq.read_table(tmp_path / "run" / "ledger" / "01-label.parquet").to_pylist()
    assert Counter(row["reason"] for row in ledger) == {"labelled": 80, "gold_sample": 40}
    evidence = json.loads(ledger[-1]["evidence"])
    assert set(evidence) == {"labeller", "models", "prompt", "votes", "agreement", "confidence"}
    everything = json.dumps(ledger)
    assert "film" not in everything
    assert "positive" not in everything


def test_a_second_build_asks_nothing_and_gives_the_same_bytes(project, tmp_path, stub):
    build(project(), output=tmp_path / "one")
    calls = stub.calls
    build(project(), output=tmp_path / "two")
    assert stub.calls == calls
    for file in (tmp_path / "one" / "data").glob("*.parquet"):
        assert file.read_bytes() == (tmp_path / "two" / "data" / file.name).read_bytes()


def test_rows_in_doubt_wait_for_people_and_come_back(project, tmp_path, stub):
    stub.answer = lambda text, body: judge(text, body) if "number 9" not in text else '{"label": "eggs"}'
    recipe = project("gold: truth, min_confidence: 0.5, below: review".replace(", ", "\n        "))
    first = build(recipe, output=tmp_path / "run")
    waiting = [n for n in range(120) if str(n).startswith("9") and n >= 40]
    assert first.steps[1].dropped == {"in_review": len(waiting)}

    folder = LabelFolder.of(tmp_path / "run")
    kept = folder.read()
    with folder.corrections() as said:
        order = queue(kept, sample=10)
        assert [purpose for _, purpose in order[:11]] == ["sample"] * 10 + ["queue"]
        sheet = tmp_path / "labels.csv"
        export_labels(kept, said, order, sheet)
        with sheet.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.DictReader(stream))
        drawn = {line["id"] for line in lines if line["purpose"] == "sample"}
        for line in lines:
            if line["purpose"] == "sample" or line["status"] == "outside":
                line["human"], line["who"] = "Positive", "Ada"
        with sheet.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, lines[0])
            writer.writeheader()
            writer.writerows(lines)
        assert import_labels(kept, said, sheet, who="Bob") >= len(waiting)
        assert import_labels(kept, said, sheet, who="Bob") == 0  # the same words again are nothing new
        assert {one.who for one in said.history()} == {"Ada"}

    calls = stub.calls
    second = build(recipe, output=tmp_path / "run")
    assert stub.calls == calls
    assert second.steps[1].dropped == {}
    parts = dataset(tmp_path / "run")
    train = {example.id: example for example in parts["train"]}
    assert not drawn & train.keys()
    back = [example for examples in parts.values() for example in examples if "number 9" in example.text]
    assert {example.label for example in back if not example.fields["truth"]} == {"positive"}
    assert any(example.id in train for example in back)


def test_labels_html_stands_beside_the_data_card(project, tmp_path):
    build(project("existing: replace\n        gold: truth"), output=tmp_path / "run")
    page = (tmp_path / "run" / "data" / "labels.html").read_text()
    assert "97.5\u00a0%" in page  # 39 of 40: by hand
    assert "film" not in page
    assert not re.search(r"<script|https?://|src=", page)
    card = (tmp_path / "run" / "data" / "README.md").read_text()
    assert "97.5 % of 40 gold rows agree with people" in card


def test_personal_data_is_not_sent_and_comes_back(stub, labelled, tmp_path):
    pytest.importorskip("presidio_analyzer")
    first = "mail anna@example.org or anna@example.org, ssn: 536-22-1234"
    texts = [first, "536-22-1234 <EMAIL_ADDRESS_1> x@example.org"]
    table = to_table(Example(f"{n:032x}", "g", "s", f"f:{n}", text=text) for n, text in enumerate(texts))
    stub.answer = lambda text, body: json.dumps({"answer": f"You said: {text}"})
    context = StepContext(private=tmp_path / "private", redact=Redactor)
    output, _ = labelled(table, context, use="answer", redact=True)
    sent = json.dumps([body["messages"] for body in stub.bodies])
    assert "example.org" not in sent
    assert "536-22" not in sent
    assert "<EMAIL_ADDRESS_1> or <EMAIL_ADDRESS_1>" in sent  # one value, one mark
    answers = [example.answer for example in from_table(output.table)]
    assert answers == [f"You said: {text}" for text in texts]
    for file in (tmp_path / "cache").rglob("answers.sqlite*"):
        assert b"example.org" not in file.read_bytes()
        assert b"536-22" not in file.read_bytes()
    calls = stub.calls
    labelled(table, context, use="answer", redact=True)
    assert stub.calls == calls


def test_nothing_is_sent_where_nothing_can_be_hidden(stub, labelled, tmp_path):
    with pytest.raises(StepError, match="redact: false"):
        labelled(rows(2), StepContext(private=tmp_path), redact=True)
    assert stub.calls == 0


def test_labels_go_where_they_belong(stub, labelled):
    turns = (Message("user", "why?"), Message("assistant", "GOOD"))
    pair = to_table(
        [Example("0" * 32, "g", "s", "o", messages=turns, rejected=(turns[0], Message("assistant", "BEST")))]
    )
    stub.answer = lambda text, body: json.dumps({"better": "A" if text.index("BEST") < text.index("GOOD") else "B"})
    (row,) = from_table(labelled(pair, use="preference")[0].table)
    assert (row.answer, row.rejected[-1].content) == ("BEST", "GOOD")

    stub.answer = lambda text, body: '{"spans": [{"text": "row", "label": "place"}]}'
    (row,) = from_table(labelled(rows(1), use="entities")[0].table)
    assert row.fields == {"entities": [{"start": 0, "end": 3, "label": "place"}]}

    stub.answer = lambda text, body: '{"rating": 4}'
    (row,) = from_table(labelled(pair, use="rating")[0].table)
    assert row.label == "4"


def test_labels_that_are_there(stub, labelled):
    stub.answer = lambda text, body: '{"label": "negative"}'
    table = to_table(
        Example(f"{n:032x}", "g", "s", "o", text=f"row {n}", label="positive" if n < 3 else None) for n in range(40)
    )
    output, _ = labelled(table)
    assert Counter(output.table["label"].to_pylist()) == {"positive": 3, "negative": 37}
    assert (output.ledger.num_rows, stub.calls) == (37, 37)
    output, _ = labelled(table, existing="check")
    assert Counter(output.table["label"].to_pylist())["positive"] == 3
    output, _ = labelled(table, existing="replace")
    assert Counter(output.table["label"].to_pylist()) == {"negative": 40}


def test_what_cannot_be_used_is_dropped_with_its_reason(stub, labelled):
    said = ['{"label": "eggs"}', "I'm sorry, I can't.", "{]", '{"label": "positive"}']
    stub.answer = lambda text, body: said[int(text[4:])]
    table = to_table([*from_table(rows(4)), Example("f" * 32, "g", "s", "o", text=" ")])
    output, _ = labelled(table)
    reasons = dict(zip(output.ledger["example_id"].to_pylist(), output.ledger["reason"].to_pylist(), strict=True))
    assert [reasons[f"{n:032x}"] for n in range(4)] == ["outside_options", "refused", "unreadable", "labelled"]
    assert reasons["f" * 32] == "empty_input"


def test_rows_without_a_text_are_told_with_the_columns_there_are(stub, labelled):
    table = to_table(Example(f"{n:032x}", "g", "s", "o", fields={"id": n, "review": f"row {n}"}) for n in range(3))
    with pytest.raises(StepError, match=r"shows \(\{text\}\); the columns are id, review.*--text COLUMN"):
        labelled(table)
    assert stub.calls == 0


def test_money_needs_a_word(stub, labelled, tmp_path):
    costly = {"models": [{"model": "stub", "server": stub.url, "price": {"input": 5e3, "output": 5e3}}]}
    with pytest.raises(StepError, match=r"not agreed to.*budget: "):
        labelled(rows(20), **costly)
    assert stub.calls == 0
    asked = []
    context = StepContext(private=tmp_path / "p", confirm=lambda question: asked.append(question) or True)
    labelled(rows(20), context, **costly)
    assert "20 calls for 20 rows" in asked[0]
    labelled(rows(20), budget=1e6, **costly)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[split, {label: {use: sentiment, models: {local: pocket}}}]", "put label before split"),
        ("[{label: {use: sentiment, models: {local: pocket}}}, dedup]", "put dedup before label"),
        ("[{label: {use: sentiment, models: []}}]", "at least 1 item"),
        ("[{label: {use: sentiment, models: {model: a, local: b}}}]", "give 'model'"),
        ("[{label: {use: sentiment, models: {model: a, key: sk-1234}}}]", "never stands in a recipe"),
        ("[{label: {use: sentiment, models: a, below: review}}]", "min_confidence"),
        ("[{label: {use: sentiment, modles: a}}]", "Did you mean 'models'"),
    ],
)
def test_recipes_that_cannot_be_right(tmp_path, steps, message):
    (tmp_path / "r.yaml").write_text(f"data: {{sources: {{a: {{path: a.csv}}}}, steps: {steps}}}\nmodel: pocket\n")
    with pytest.raises(RecipeError, match=message) as caught:
        build(tmp_path / "r.yaml", output=tmp_path / "run")
    assert "sk-1234" not in str(caught.value)


def test_gold_that_is_none_of_the_options_is_named(project, tmp_path, stub):
    text = (tmp_path / "reviews.csv").read_text().replace('number 7",positive', 'number 7",posititve')
    (tmp_path / "reviews.csv").write_text(text)
    with pytest.raises(DatakitError, match=r"reviews\.csv:9.*'posititve' is none of: positive, negative"):
        build(project(), output=tmp_path / "run")
    assert stub.calls == 0


def test_a_sheet_with_a_wrong_word_is_not_taken(labelled, stub, tmp_path):
    stub.answer = judge
    labelled(rows(3))
    folder = LabelFolder.of(tmp_path / "run")
    kept = folder.read()
    with folder.corrections() as said:
        for text, message in (
            (f"id,human\n{0:032x},positive\n{1:032x},eggs\n", "3: 'eggs' is none of"),
            ("id,human\nx,positive\n", "no row 'x'"),
            ("id,label\nx,positive\n", "no column 'human'"),
        ):
            (tmp_path / "sheet.csv").write_text(text)
            with pytest.raises(DatakitError, match=message):
                import_labels(kept, said, tmp_path / "sheet.csv", who="Ada")
        assert said.history() == []
        (tmp_path / "sheet.csv").write_text(f"id;human\n{0:032x};negative\n")
        assert import_labels(kept, said, tmp_path / "sheet.csv", who="Ada") == 1


def test_a_cell_is_no_formula(labelled, stub, tmp_path):
    stub.answer = judge
    labelled(rows(2, "=HYPERLINK({})"))
    folder = LabelFolder.of(tmp_path / "run")
    with folder.corrections() as said:
        export_labels(folder.read(), said, queue(folder.read()), tmp_path / "sheet.csv")
    assert "'=HYPERLINK" in (tmp_path / "sheet.csv").read_text(encoding="utf-8-sig")


def test_an_answer_is_no_formula_and_comes_back_as_it_was(labelled, stub, tmp_path):
    stub.answer = lambda text, body: json.dumps({"answer": "=1+1"})
    labelled(rows(2), use="answer")
    folder, sheet = LabelFolder.of(tmp_path / "run"), tmp_path / "sheet.csv"
    with folder.corrections() as said:
        said.add(f"{0:032x}", "+82 is Korea", purpose="queue", who="Ada")
        export_labels(folder.read(), said, queue(folder.read()), sheet)
        lines = list(csv.DictReader(sheet.read_text(encoding="utf-8-sig").splitlines()))
        assert {line["label"] for line in lines} == {"'=1+1"}
        assert sorted(line["human"] for line in lines) == ["", "'+82 is Korea"]
        assert import_labels(folder.read(), said, sheet, who="Ada") == 0


@pytest.mark.parametrize(
    "extra", [{"api_key": "x"}, {"headers": {"a": "sk-abcdefghijk"}}, {"Authorization": "Bearer x"}]
)
def test_a_key_among_the_further_keys_is_refused(extra):
    from datakit.labelling.models import ModelSpec

    with pytest.raises(ValueError, match="key: env:NAME") as caught:
        ModelSpec(model="m", extra=extra)
    assert "abcdefghijk" not in str(caught.value)
    assert ModelSpec(model="m", extra={"max_tokens_hint": 1, "stop_token_ids": [3]}).extra


def test_no_secret_in_anything_that_is_written(project, tmp_path, stub, monkeypatch):
    monkeypatch.setenv("STUB_KEY", "sk-a-very-secret-key")
    stub.key = "sk-a-very-secret-key"
    recipe = project()
    recipe.write_text(recipe.read_text().replace("timeout: 5", 'timeout: 5, key: "env:STUB_KEY"'))
    build(recipe, output=tmp_path / "run")
    found = subprocess.run(["grep", "-rla", "very-secret", str(tmp_path)], capture_output=True, text=True)
    assert found.stdout == ""
