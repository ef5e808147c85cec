from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from datakit.core.errors import StepError
from datakit.core.example import Example, Message, to_table
from datakit.core.step import StepContext
from datakit.dedup.step import DedupStep


def example(number, text=None, label=None, turns=None, **fields):
    key = f"{number:03}"
    messages = None if turns is None else tuple(Message(role, content) for role, content in turns)
    return Example(
        id=key, group=key, source="s", origin=f"f:{number}", text=text, label=label, messages=messages, fields=fields
    )


def run(examples, **params):
    table = to_table(examples)
    output = DedupStep(DedupStep.Params(**params), StepContext()).apply(table)
    output.balance("dedup", table.num_rows)
    return output


def ids(output):
    return output.table.column("id").to_pylist()


def ledger(output):
    return {
        row["example_id"]: (row["action"], row["reason"], json.loads(row["evidence"]))
        for row in output.ledger.to_pylist()
    }


LINE = "the quick brown fox jumps over the lazy dog while the farmer sleeps under a tree near the old barn"
WORDS = LINE.split()


def test_every_dropped_row_names_its_partner():
    near = " ".join([*WORDS[:-1], "house"])
    output = run([example(0, " ".join(WORDS)), example(1, " ".join(WORDS).upper()), example(2, near), example(3, "x")])
    assert ids(output) == ["000", "003"]
    assert ledger(output)["001"] == ("merged", "exact_duplicate", {"partner": "000", "similarity": 1.0})
    action, reason, evidence = ledger(output)["002"]
    assert (action, reason, evidence["partner"]) == ("merged", "near_duplicate", "000")
    assert evidence["similarity"] == round(15 / 17, 4)
    assert output.table.column("cluster").to_pylist() == ["000", "003"]


def test_one_text_two_labels():
    rows = [example(0, "same", "a"), example(1, "same", "b"), example(2, "other", "a")]
    output = run(rows)
    assert ids(output) == ["002"]
    assert {row: (action, reason) for row, (action, reason, _) in ledger(output).items()} == {
        "000": ("dropped", "label_conflict"),
        "001": ("dropped", "label_conflict"),
    }
    assert ids(run(rows, on_conflict="keep_first")) == ["000", "002"]
    kept = run(rows, on_conflict="keep")
    assert kept.table.column("cluster").to_pylist() == ["000", "000", "002"]


def test_several_columns_are_compared_together(tmp_path):
    rows = [
        example(0, instruction="Translate.", input=LINE),
        example(1, instruction="Translate.", input="Another text that has nothing to do with the first one"),
        example(2, instruction="TRANSLATE.", input=LINE.upper()),
        example(3, instruction="", input=None),
        example(4, instruction="", input=None),
    ]
    output = run(rows, on=["instruction", "input"], threshold=1)
    assert ids(output) == ["000", "001", "003"]  # blank texts equal each other
    assert [row["partner"] for _, _, row in ledger(output).values()] == ["000", "003"]
    assert ids(run(rows, on=["instruction"], threshold=1)) == ids(run(rows, on="instruction", threshold=1))
    path = tmp_path / "kept.jsonl"
    path.write_text(json.dumps({"instruction": "translate.", "input": LINE}) + "\n")
    step = DedupStep(DedupStep.Params(on=["instruction", "input"], against="kept.jsonl"), StepContext(folder=tmp_path))
    assert ids(step.apply(to_table(rows[:2]))) == ["001"]
    with pytest.raises(StepError, match="no row has a column 'inputs'"):
        run(rows, on=["instruction", "inputs"])


def test_what_is_compared():
    rows = [
        example(0, turns=[("system", "Be brief."), ("user", "What is 2 + 2?"), ("assistant", "4")], topic="sums"),
        example(1, turns=[("system", "Be brief."), ("user", "What is 2 + 2?"), ("assistant", "four")], topic="sums"),
        example(2, turns=[("system", "Be brief."), ("user", "What is 2 * 2?"), ("assistant", "4")], topic="products"),
        example(3, turns=[("user", "no answer yet")]),
        example(4, turns=[("user", "no answer yet")]),
    ]
    assert ids(run(rows, on="prompt")) == ["000", "002", "003"]
    assert ids(run(rows, on="answer")) == ["000", "001", "003", "004"]
    assert ids(run(rows, on="messages")) == ["000", "001", "002", "003"]
    assert ids(run(rows, on="topic")) == ["000", "002", "003", "004"]
    assert ids(run(rows, on="text")) == ["000", "001", "002", "003", "004"]
    assert ids(run(rows)) == ["000", "001", "002", "003"]


def test_keep_best_by_a_column():
    rows = [example(0, "same", votes=1), example(1, "same", votes="3.5"), example(2, "same")]
    assert ids(run(rows, keep="best", by="votes")) == ["001"]
    with pytest.raises(StepError, match=r"'votes' .* not a number"):
        run([example(0, "same", votes="many")], keep="best", by="votes")


def test_a_column_that_no_row_has_is_named():
    with pytest.raises(StepError, match=r"dedup\.on: no row has a column 'tpic'.*Known: .*topic"):
        run([example(0, "same", topic="x")], on="tpic")


@pytest.mark.parametrize(
    "params", [{"keep": "best"}, {"by": "x"}, {"threshold": 0}, {"treshold": 1}, {"unit": "letter"}]
)
def test_parameters_that_cannot_be_right(params):
    with pytest.raises(ValidationError):
        DedupStep.Params(**params)


def test_clusters_of_an_earlier_dedup_are_joined():
    text = " ".join(WORDS)
    rows = [
        example(0, "q1", turns=[("user", text)]),
        example(1, "q1", "b", [("user", "z")]),
        example(2, "q2", turns=[("user", text)]),
    ]
    first = DedupStep(DedupStep.Params(on="text", on_conflict="keep"), StepContext())
    table = to_table([rows[0], rows[1], rows[2]])
    table = table.set_column(table.column_names.index("label"), "label", [["a", "b", "b"]])
    once = first.apply(table).table
    assert once.column("cluster").to_pylist() == ["000", "000", "002"]
    twice = DedupStep(DedupStep.Params(on="messages", on_conflict="keep"), StepContext()).apply(once).table
    assert twice.column("cluster").to_pylist() == ["000", "000", "000"]


def test_no_rows_and_unlabelled_rows_without_text():
    assert ids(run([])) == []
    assert ids(run([example(0), example(1)])) == ["000", "001"]


def test_the_step_does_not_change_its_input_and_is_deterministic(edited_texts):
    table = to_table([example(i, text) for i, text in enumerate(edited_texts(300, 2))])
    before = table.to_pylist()
    outputs = [DedupStep(DedupStep.Params(), StepContext()).apply(table) for _ in range(2)]
    assert table.to_pylist() == before
    assert outputs[0].table.equals(outputs[1].table)
    assert outputs[0].ledger.equals(outputs[1].ledger)
    assert DedupStep(DedupStep.Params(), StepContext(folder=Path("/x"))).fingerprint()
