"""The mock model: deterministic, right or wrong on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import EvalError
from evalkit.evaluate import Session


@pytest.mark.parametrize(("kind", "score"), [("mock:right", 1.0), ("mock:wrong", 0.0)])
def test_right_and_wrong(kind: str, score: float, suite_file: Path) -> None:
    rows = Session(kind).evaluate(suite_file).primary().to_pylist()
    assert {row["score"] for row in rows if row["task"] != "prose"} == {score}


def test_it_is_deterministic_and_neither_right_nor_wrong(suite_file: Path) -> None:
    first = Session("mock").evaluate(suite_file, store=False)
    assert first.items == Session("mock").evaluate(suite_file, store=False).items
    scores = [row["score"] for row in first.primary().to_pylist() if row["task"] == "choice"]
    assert 0 < sum(scores) < len(scores)


def test_unknown_mocks_are_refused(suite_file: Path) -> None:
    with pytest.raises(EvalError, match="no mock model 'mock:best'"):
        Session("mock:best").evaluate(suite_file)
