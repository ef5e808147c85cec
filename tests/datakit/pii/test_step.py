from __future__ import annotations

import json
import re
import stat

import pytest
from pydantic import ValidationError

from datakit.core.errors import StepError
from datakit.core.example import Example, Message, from_table, to_table
from datakit.core.step import StepContext
from datakit.pii.step import PiiStep

BOTH = {"languages": ["en", "ko"]}


def run(examples, context=None, **params):
    table = to_table(examples)
    output = PiiStep(PiiStep.Params(**params), context or StepContext()).apply(table)
    output.balance("pii", table.num_rows)
    assert output.table.num_rows == table.num_rows
    assert output.table.schema == table.schema
    return output


def full_example(number, some):
    """A row with values in every column."""
    a, b, c, d, e, f, g, h = (value for _, value in some)
    return Example(
        id=f"{number:04}",
        group=f"{number:04}",
        source="s",
        origin=f"f:{number}",
        text=f"call {a} today",
        messages=(Message("user", f"my id is {b}, right?"), Message("assistant", f"{b} it is, not {c}")),
        rejected=(Message("user", "hi"), Message("assistant", f"ask {d}")),
        choices=(f"take {e}", "leave"),
        label=f"take {e}",
        fields={"contact": f, "nested": {"list": [g, {"deep": f"x {h} y"}], a: 1}, "count": 3, "again": f"{a} {d}"},
    )


@pytest.mark.parametrize("mode", ["tag", "mask", "hash", "surrogate"])
def test_two_hundred_planted_values_are_gone_from_every_column_and_the_ledger(planted, mode, tmp_path):
    values = planted.values(200)
    rows = [full_example(n, values[n * 8 : n * 8 + 8]) for n in range(25)]
    output = run(rows, StepContext(private=tmp_path), replace=mode, **BOTH)
    written = json.dumps([output.table.to_pylist(), output.ledger.to_pylist()], ensure_ascii=False)
    plain = " ".join(str(example) for example in from_table(output.table))
    assert [value for _, value in values if value in written or value in plain] == []
    assert output.ledger.column("action").to_pylist() == ["changed"] * 25
    assert set(output.ledger.column("reason").to_pylist()) == {"personal_data"}
    for example in from_table(output.table):
        assert example.label == example.choices[0]
        assert [message.role for message in example.messages] == ["user", "assistant"]
        assert example.fields["count"] == 3


def test_a_second_pass_changes_nothing(planted):
    values = planted.values(200)
    once = run([full_example(n, values[n * 8 : n * 8 + 8]) for n in range(25)], **BOTH)
    again = PiiStep(PiiStep.Params(**BOTH), StepContext()).apply(once.table)
    assert again.ledger.num_rows == 0
    assert again.table.equals(once.table)


def example(**columns):
    return Example(id="1", group="1", source="s", origin="f:1", **columns)


def test_a_value_recognised_in_one_column_is_replaced_in_all():
    output = run([example(text="my ssn: 536221234", fields={"part": "no 536221234", "code": 536221234})])
    row = next(from_table(output.table))
    assert row.text == "my ssn: <US_SSN>"
    assert row.fields == {"part": "no <US_SSN>", "code": "<US_SSN>"}


def test_a_value_recognised_in_one_row_is_replaced_in_all():
    rows = [example(text="my ssn: 536221234"), example(text="order 536221234"), example(fields={"x": ["536221234"]})]
    output = run(rows)
    assert "536221234" not in json.dumps(output.table.to_pylist())
    assert output.ledger.num_rows == 3


def test_keys_of_fields_are_looked_at_and_stay_apart():
    output = run(
        [example(fields={"a@example.com": 1, "b@example.com": 2, "a.b": {"c": "x@example.com"}, "a": {"b.c": "ok"}})]
    )
    row = next(from_table(output.table))
    assert row.fields == {
        "<EMAIL_ADDRESS>": 1,
        "<EMAIL_ADDRESS>'": 2,
        "a.b": {"c": "<EMAIL_ADDRESS>"},
        "a": {"b.c": "ok"},
    }
    assert "example.com" not in output.ledger.column("evidence")[0].as_py()


def test_evidence_has_places_and_no_values(monkeypatch):
    monkeypatch.setenv("PII_KEY", "correct horse battery staple")
    text = "mail anna@example.org"
    output = run([example(text=text)], key="env:PII_KEY")
    (found,) = json.loads(output.ledger.column("evidence")[0].as_py())["found"]
    assert text[found["start"] : found["end"]] == "anna@example.org"
    assert (found["kind"], found["column"]) == ("EMAIL_ADDRESS", "text")
    assert re.fullmatch("[a-p]{12}", found["hash"])
    without = json.loads(run([example(text=text)]).ledger.column("evidence")[0].as_py())["found"]
    assert "hash" not in without[0]


def test_rows_without_personal_data_are_left_as_they_are():
    rows = [example(text="nothing here"), example(), example(messages=(Message("user", "hi"),), fields={"n": 1.5})]
    output = run(rows)
    assert output.table.equals(to_table(rows))
    assert output.ledger.num_rows == 0
    assert run([]).table.num_rows == 0


def test_the_key_comes_from_where_the_recipe_says(tmp_path, monkeypatch):
    text = [example(text="mail anna@example.org")]
    monkeypatch.setenv("PII_KEY", "one secret")
    (tmp_path / "key").write_text("one secret\n")
    context = StepContext(folder=tmp_path, private=tmp_path / "private")
    by_variable = run(text, context, replace="hash", key="env:PII_KEY")
    by_file = run(text, context, replace="hash", key="file:key")
    assert by_variable.table.equals(by_file.table)
    assert not (tmp_path / "private").exists()

    first, second = (run(text, context, replace="hash") for _ in range(2))
    assert first.table.equals(second.table)
    assert not first.table.equals(by_file.table)
    kept = tmp_path / "private" / "pii.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["env:NO_SUCH_VARIABLE", "file:missing", "file:empty"])
def test_a_missing_key_is_named(tmp_path, key):
    (tmp_path / "empty").write_text("\n")
    step = PiiStep(PiiStep.Params(key=key), StepContext(folder=tmp_path))
    with pytest.raises(StepError, match=key.partition(":")[2]):
        step.fingerprint()


def test_a_secret_in_the_recipe_is_refused_and_not_repeated():
    with pytest.raises(ValidationError) as caught:
        PiiStep.Params(key="hunter2-hunter2")
    assert "hunter2" not in str(caught.value)
    assert "env:NAME" in str(caught.value)


def test_the_fingerprint_follows_the_key_where_it_matters(monkeypatch):
    def fingerprint(secret, **params):
        monkeypatch.setenv("PII_KEY", secret)
        return PiiStep(PiiStep.Params(**params), StepContext()).fingerprint()

    assert fingerprint("a", replace="hash", key="env:PII_KEY") != fingerprint("b", replace="hash", key="env:PII_KEY")
    assert fingerprint("a", replace="tag") == fingerprint("b", replace="tag")


@pytest.mark.parametrize(
    "params",
    [
        {"replace": "remove"},
        {"languages": []},
        {"language": "en", "languages": ["en"]},
        {"language": "tlh"},
        {"entities": ["EMAIL"]},
        {"min_score": 0},
        {"regoins": ["US"]},
    ],
)
def test_parameters_that_cannot_be_right(params):
    with pytest.raises(ValidationError):
        PiiStep.Params(**params)


def test_language_may_be_one_word():
    assert PiiStep.Params(language="ko").languages == ("ko",)
    assert PiiStep.Params(language=["ko", "en"]).languages == ("ko", "en")


def test_the_card_says_what_was_not_looked_for():
    assert PiiStep(PiiStep.Params()).notes() == ["names, places and organisations were not looked for (no engine)"]
