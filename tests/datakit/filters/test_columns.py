import random
from dataclasses import replace

import pytest

from datakit.core.example import Message, to_table
from datakit.core.step import StepContext
from datakit.filters.columns import view
from datakit.recipe import STEPS

PARAMETERS = {
    "balance": {"by": "source", "max_rows": 3},
    "language": {"keep": ["en", "ko"]},
    "length": {"min_chars": 2, "max_words": 40},
    "overlap": {},
    "quality": {"use": ["gopher", "gopher_repetition", "c4", "fineweb"]},
    "refusals": {},
    "select": {"by": "diversity", "rows": 5},
}


def by_hand(row, on):
    turns = row["messages"]
    answered = bool(turns) and turns[-1]["role"] == "assistant"
    if on == "text":
        return row["text"]
    if not turns:
        return row["text"] if on == "auto" else None
    if on == "answer":
        return turns[-1]["content"] if answered else None
    kept = turns[:-1] if on == "prompt" and answered else turns
    return "\n".join(turn["content"] for turn in kept) if kept else None


@pytest.mark.parametrize("on", ["auto", "text", "prompt", "answer", "all"])
def test_views_are_those_a_loop_would_make(on, nasty, plain):
    rng = random.Random(0)
    rows = list(nasty)
    for k in range(200):
        turns = [Message(rng.choice(("system", "user", "assistant")), rng.choice("abc") * k) for _ in range(k % 5)]
        rows.append(replace(plain(k, "t"), messages=tuple(turns) if k % 7 else None, text="t" if k % 3 else None))
    rng.shuffle(rows)
    table = to_table(rows)
    assert view(table, on).to_pylist() == [by_hand(row, on) for row in table.to_pylist()]
    assert view(table.slice(13, 40), on).to_pylist() == [by_hand(row, on) for row in table.slice(13, 40).to_pylist()]
    assert view(table.slice(0, 0), on).to_pylist() == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_nasty_rows_go_through_every_filter(name, nasty, run, tmp_path):
    step = STEPS.load(name)
    made = step(step.Params(**PARAMETERS[name]), StepContext(folder=tmp_path))
    kept, reasons = run(made, nasty)
    assert len(kept) + len(reasons) == len(nasty)
    assert run(made, []) == ([], {})
    again = [row for row in nasty if int(row.id, 16) in kept]
    assert (
        run(step(step.Params(**PARAMETERS[name]), StepContext(folder=tmp_path)), again)[0] == kept or name == "select"
    )


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_order_of_rows_changes_nothing(name, nasty, run, tmp_path):
    step = STEPS.load(name)
    make = lambda: step(step.Params(**PARAMETERS[name]), StepContext(folder=tmp_path))  # noqa: E731
    forward, backward = run(make(), nasty), run(make(), nasty[::-1])
    assert sorted(forward[0]) == sorted(backward[0])
    assert forward[1].keys() == backward[1].keys()
