from __future__ import annotations

import json

import pytest

from datakit.core.errors import StepError
from datakit.core.example import Example, to_table
from datakit.core.step import StepContext
from datakit.filters import FilterParams, FilterStep, filter_table

TABLE = to_table([Example(id=f"i{n}", group=f"i{n}", source="s", origin=f"a:{n}", text="x" * n) for n in range(5)])


def step(tmp_path, code, use="mine:check", **options):
    (tmp_path / "mine.py").write_text(code)
    return FilterStep(FilterParams(use=use, options=options), StepContext(folder=tmp_path))


LENGTH = "def check(example, low=3):\n    return 'too_short' if len(example.text) < low else None\n"


def test_rows_with_a_reason_go(tmp_path):
    output = step(tmp_path, LENGTH).apply(TABLE)
    output.balance("filter", 5)
    assert output.table["id"].to_pylist() == ["i3", "i4"]
    lines = output.ledger.to_pylist()
    assert [(line["example_id"], line["action"], line["reason"]) for line in lines] == [
        (f"i{n}", "dropped", "too_short") for n in range(3)
    ]
    assert json.loads(lines[0]["evidence"]) == {"filter": "mine:check"}
    assert step(tmp_path, LENGTH, low=1).apply(TABLE).table.num_rows == 4


def test_the_fingerprint_is_the_source_file(tmp_path):
    first = step(tmp_path, LENGTH).fingerprint()
    assert first == step(tmp_path, LENGTH).fingerprint()
    assert first != step(tmp_path, LENGTH + "# changed\n").fingerprint()


def test_a_file_named_like_one_of_our_packages(tmp_path):
    (tmp_path / "train.py").write_text("def check(example):\n    return 'no'\n")
    made = FilterStep(FilterParams(use="train:check"), StepContext(folder=tmp_path))
    assert made.apply(TABLE).table.num_rows == 0
    import train

    assert hasattr(train, "__path__")


@pytest.mark.parametrize(
    ("code", "use", "words"),
    [
        (LENGTH, "mine:chek", r"no function 'chek'.*Did you mean 'check'"),
        (LENGTH, "yours:check", "cannot be imported: No module named 'yours'"),
        (LENGTH, "nothing", r"no filter named 'nothing'.*module:function"),
        ("def check(:", "mine:check", "SyntaxError"),
        ("check = 3", "mine:check", "is no function but a int"),
    ],
)
def test_filters_that_cannot_be_loaded(tmp_path, code, use, words):
    with pytest.raises(StepError, match=words) as caught:
        step(tmp_path, code, use)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reason", ["contains bob@example.com", "", True, "A"])
def test_a_reason_that_is_no_slug_is_refused(reason):
    with pytest.raises(StepError, match="lower-case"):
        filter_table(TABLE, lambda example: reason)


def test_a_failing_function_names_the_row(tmp_path):
    with pytest.raises(StepError, match=r"^a:0 \(row i0\): the filter 'mine:check' failed: ZeroDivisionError"):
        step(tmp_path, "def check(example):\n    return 1 / 0\n").apply(TABLE)
