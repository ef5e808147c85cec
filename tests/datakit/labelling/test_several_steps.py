"""More than one label step in a recipe: a folder, report, budget and corrections each; gold of all is gold."""

from __future__ import annotations

import csv
import json
import re

import pyarrow.parquet as pq
import pytest

from datakit.build import build
from datakit.core.errors import DatakitError, UsageError
from datakit.core.example import from_table
from datakit.experiment.labelling import label_recipe
from datakit.labelling.folder import LabelFolder, folder_name

RECIPE = """\
format: 1
name: reviews
data:
  sources:
    reviews: {{path: reviews.csv, columns: {{text: text}}}}
  steps:
    - label: {{use: sentiment, redact: false, models: [{model}], {first}}}
    - label: {{use: {use}, redact: false, models: [{model}], {second}}}
    - split: {{validation: 0.1, test: 0.2}}
model: pocket
"""
TOPICS = """\
name: what it is about
kind: multilabel
instruction: What is it about?
options: [plot, music]
"""


@pytest.fixture
def recipe(tmp_path, stub):
    def answer(text, body):
        if "What is it about?" in body["messages"][0]["content"]:
            return json.dumps({"labels": ["music"] if "song" in text else []})
        return json.dumps({"label": "positive" if "good" in text else "negative"})

    stub.answer = answer
    (tmp_path / "topics.yaml").write_text(TOPICS)
    with (tmp_path / "reviews.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "truth", "about"])
        for n in range(60):
            known = "" if n >= 20 else "positive" if n % 2 else "negative"
            about = "" if not 15 <= n < 30 else "music" if n % 3 else "[]"
            writer.writerow([f"a {'good' if n % 2 else 'bad'} {'song' if n % 3 else 'play'} {n}", known, about])

    def write(use="topics.yaml", first="gold: truth", second="gold: about", **model):
        spec = json.dumps({"model": "stub", "server": stub.url, "timeout": 5, **model})
        path = tmp_path / "reviews.yaml"
        path.write_text(RECIPE.format(model=spec, use=use, first=first, second=second))
        return path

    return write


def test_both_label_and_gold_of_both_is_kept_out_of_training(recipe, tmp_path, stub):
    run = tmp_path / "run"
    build(recipe(), output=run)
    assert stub.calls == 120
    splits = {f.name.partition("-")[0]: list(from_table(pq.read_table(f))) for f in (run / "data").glob("*.parquet")}
    rows = [example for examples in splits.values() for example in examples]
    assert len(rows) == 60
    for example in rows:
        assert example.label == ("positive" if "good" in example.text else "negative")
        assert example.fields["what it is about"] == (["music"] if "song" in example.text else [])
    assert not any(e.fields["truth"] or e.fields["about"] for split in ("train", "validation") for e in splits[split])
    assert sum(bool(e.fields["truth"] or e.fields["about"]) for e in splits["test"]) == 30

    page = f"labels-{folder_name('what it is about')}.html"
    assert "sentiment" in (run / "data" / "labels.html").read_text()
    assert "what it is about" in (run / "data" / page).read_text()
    assert page in (run / "data" / "README.md").read_text()
    assert sorted(path.name for path in (run / "ledger").glob("*label*")) == ["01-label.parquet", "02-label.parquet"]
    with pytest.raises(UsageError, match=r"has labels of sentiment, what it is about.*--labeller"):
        LabelFolder.of(run)
    with pytest.raises(UsageError, match="Did you mean 'sentiment'"):
        LabelFolder.of(run, "sentimnet")
    assert LabelFolder.of(run, "what it is about").read().labeller.kind == "multilabel"


def test_what_people_say_goes_to_its_own_labeller(recipe, tmp_path, stub):
    run, path = tmp_path / "run", recipe()
    build(path, output=run)
    ids = LabelFolder.of(run, "sentiment").read().items["example_id"].to_pylist()
    with LabelFolder.of(run, "sentiment").corrections() as said:
        said.add(ids[50], "positive", purpose="queue", who="Ada")
    with LabelFolder.of(run, "what it is about").corrections() as said:
        said.add(ids[50], '["plot"]', purpose="queue", who="Ada")
    calls = stub.calls
    build(path, output=run)
    assert stub.calls == calls
    rows = [example for file in (run / "data").glob("*.parquet") for example in from_table(pq.read_table(file))]
    (row,) = (example for example in rows if example.id == ids[50])
    assert (row.label, row.fields["what it is about"]) == ("positive", ["plot"])


def test_each_has_a_budget_of_its_own(recipe, tmp_path, stub):
    price = {"price": {"input": 1.0, "output": 2.0}}
    path = recipe(first="budget: 1", second="budget: 0.0001", **price)
    with pytest.raises(DatakitError, match=r"budget of 0\.0001"):
        build(path, output=tmp_path / "run")
    assert stub.calls == 60
    build(recipe(first="budget: 1", second="budget: 1", **price), output=tmp_path / "run")
    assert stub.calls == 120


def test_the_command_runs_up_to_the_last_one(recipe, tmp_path):
    made = label_recipe(recipe(), output=tmp_path / "run")
    assert made.page.is_file()
    assert made.page.name.startswith("labels-what")
    assert made.facts["gold"]["rows"] == 15


@pytest.mark.parametrize(
    ("use", "message"),
    [("sentiment.ko", "two label steps use a labeller named 'sentiment'"), ("rating", "both fill the label column")],
)
def test_what_cannot_follow_is_refused_before_a_call(recipe, tmp_path, stub, use, message):
    with pytest.raises(DatakitError, match=re.escape(message)):
        build(recipe(use=use, second="existing: fill"), output=tmp_path / "run")
    assert stub.calls == 0


def test_a_local_model_that_cannot_answer_is_refused_before_a_call(recipe, tmp_path, stub):
    path = recipe()
    path.write_text(re.sub(r"(use: topics.yaml.*models: )\[.*\], g", r"\1[{local: pocket}], g", path.read_text()))
    with pytest.raises(DatakitError, match=r"'what it is about' is of kind 'multilabel'.*transformers serve"):
        build(path, output=tmp_path / "run")
    assert stub.calls == 0


def test_names_become_folders():
    assert folder_name("sentiment") == "sentiment"
    assert folder_name("감정") == "감정"
    odd = [folder_name(name) for name in ("a/b", "a b", "../x", "..", "x" * 300)]
    assert len(set(odd)) == 5
    assert not any("/" in name or name.startswith(".") or len(name) > 80 for name in odd)
