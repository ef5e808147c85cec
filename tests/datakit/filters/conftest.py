"""Tables of rows for the filters."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from datakit.core.example import Example, Message, to_table
from datakit.core.step import StepContext

_NASTY = (
    "",
    "a",
    "word",
    "\x00",
    "line\n\n\nline\n",
    "   \t ",
    "مرحبا بالعالم",
    "\u202eabc",
    "🙂" * 50,
    "안녕하세요",
    "x" * 100_000,
    "same text twice",
    "same text twice",
    "...",
    "# # # {}",
)


def _chat(k, prompt, answer, **more):
    turns = (Message("user", prompt), Message("assistant", answer))
    return Example(id=f"{k:032x}", group=f"{k:032x}", source="s", origin=f"f:{k}", messages=turns, **more)


def _plain(k, text, **more):
    return Example(**{"id": f"{k:032x}", "group": f"{k:032x}", "source": "s", "origin": f"f:{k}", "text": text, **more})


def _run(step, rows):
    """Applies a step and holds the row equation; rows that stay, and reason and evidence of those that go."""
    table = to_table(rows) if isinstance(rows, list) else rows
    output = step.apply(table)
    output.balance(step.name, table.num_rows)
    assert output.table.schema == table.schema
    gone = {line["example_id"]: line for line in output.ledger.to_pylist() if line["action"] == "dropped"}
    kept = [row["id"] for row in output.table.to_pylist()]
    assert not set(kept) & set(gone)
    reasons = {int(id, 16): (line["reason"], json.loads(line["evidence"])) for id, line in gone.items()}
    return [int(id, 16) for id in kept], reasons


@pytest.fixture
def context(tmp_path):
    return StepContext(seed=1, folder=tmp_path)


@pytest.fixture
def chat():
    return _chat


@pytest.fixture
def plain():
    return _plain


@pytest.fixture
def run():
    return _run


@pytest.fixture
def nasty():
    """Rows that break careless code: every text as plain text, as prompt and as answer, and rows with nothing."""
    rows = [_plain(k, text) for k, text in enumerate(_NASTY)]
    rows += [_chat(100 + k, text, text[::-1]) for k, text in enumerate(_NASTY)]
    rows += [replace(_plain(200, ""), text=None), replace(_plain(201, ""), text=None, messages=())]
    rows += [replace(_chat(202, "a", "b"), messages=(Message("user", "no answer"),), fields={"x": [{"y": None}, [1]]})]
    return rows
