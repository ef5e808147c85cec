"""Calls to a server that misbehaves: nothing is lost, nothing is paid twice, and what cannot work is told at once."""

from __future__ import annotations

import json
import logging
import random
import re
from collections import Counter

import pytest
from conftest import rows
from stub import completion

from datakit.core.errors import DatakitError, ModelError, Unreachable
from datakit.labelling.assemble import assemble
from datakit.labelling.models import ModelSpec
from datakit.labelling.plan import prepare
from datakit.labelling.prices import Price, read_prices
from datakit.labelling.spending import BudgetSpent

KINDS = ["429"] * 3 + ["500"] * 3 + ["hang", "cut", "broken", "half"]
PRICED = {"price": {"input": 1.0, "output": 2.0}}


def statuses(plan):
    return Counter(assemble(plan)["status"].to_pylist())


def test_every_row_is_labelled_through_every_fault(ask, stub):
    generator = random.Random(3)
    stub.faults = {n: KINDS[int(draw * 100)] for n in range(900) if (draw := generator.random()) < 0.1}
    stub.answer = lambda text, body: json.dumps({"label": "spam" if int(text[4:]) % 3 == 0 else "ham"})
    plan, took = ask(rows(300), timeout=0.5, concurrency=32)
    table = assemble(plan).to_pylist()
    assert [row["value"] for row in table] == ["spam" if n % 3 == 0 else "ham" for n in range(300)]
    assert set(stub.served) == {*KINDS, "ok"}
    assert took.calls == stub.calls == sum(stub.served.values())
    assert took.faults.total() == stub.calls - stub.served["ok"]


def test_a_second_run_makes_no_call(ask, stub):
    first, _ = ask(rows(40))
    calls = stub.calls
    second, took = ask(rows(40))
    assert (stub.calls, took.calls, took.cached) == (calls, 0, 40)
    assert assemble(second).drop_columns(["cached"]) == assemble(first).drop_columns(["cached"])


def test_one_text_twice_is_asked_once(ask, stub):
    plan, took = ask(rows(10, "the same"))
    assert (stub.calls, took.calls, assemble(plan).num_rows) == (1, 1, 10)


@pytest.mark.parametrize(
    "change",
    [{"temperature": 0.5}, {"max_tokens": 9}, {"seed": 1}, {"top_p": 0.5}, {"schema": "never"}, {"extra": {"k": 1}}],
    ids=str,
)
def test_what_determines_an_answer_is_part_of_its_key(ask, stub, change):
    ask(rows(1))
    ask(rows(1), **change)
    assert stub.calls == 2
    ask(rows(1), concurrency=3, timeout=9, **PRICED)
    assert stub.calls == 2


def test_the_prompt_is_part_of_the_key(ask, stub, spam):
    for labeller in (spam, spam.model_copy(update={"instruction": "Spam?"}), spam.with_options(())):
        ask(rows(1), labeller)
    assert stub.calls == 2


def test_a_wrong_key_is_told_at_once_and_appears_nowhere(ask, stub, store, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    stub.key = "right"
    monkeypatch.setenv("SOME_KEY", "sk-very-secret-value-123")
    with pytest.raises(DatakitError, match=re.escape("env:SOME_KEY (401")) as caught:
        ask(rows(50), key="env:SOME_KEY")
    assert stub.calls == 1
    # The stub repeats the key in its error, as some servers do.
    assert "secret" not in str(caught.value)
    assert "secret" not in caplog.text.replace("Bearer", "")
    monkeypatch.setenv("SOME_KEY", "right")
    ask(rows(5), key="env:SOME_KEY")
    for file in store.path.parent.glob("answers.sqlite*"):
        assert b"sk-very-secret" not in file.read_bytes()
        assert b"Bearer" not in file.read_bytes()


def test_a_key_that_is_not_there_is_named(stub, tmp_path):
    from datakit.labelling.models import read_key

    with pytest.raises(DatakitError, match="'NO_SUCH_KEY' is not set"):
        read_key(ModelSpec(model="m", key="env:NO_SUCH_KEY"), tmp_path)
    assert read_key(ModelSpec(model="m", server=stub.url), tmp_path) == "none"
    with pytest.raises(ValueError, match="never stands in a recipe") as caught:
        ModelSpec(model="m", key="sk-12345678")
    assert "12345678" not in str(caught.value)
    with pytest.raises(ValueError, match="no user, password") as caught:
        ModelSpec(model="m", server="http://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


def test_an_unknown_model_is_told_with_those_there_are(ask, stub):
    stub.models = ["stub", "stub-large"]
    with pytest.raises(ModelError, match=r"no model 'stubb'.*Did you mean 'stub'"):
        ask(rows(50), model="stubb")
    assert stub.calls == 1


def test_a_server_that_hangs_is_given_up(ask, stub):
    stub.faults = dict.fromkeys(range(10_000), "hang")
    with pytest.raises(Unreachable, match=r"gives no answer.*no answer in 0\.1 s"):
        ask(rows(50), timeout=0.1)
    assert stub.calls == 3


def test_a_server_that_is_not_there(ask):
    with pytest.raises(Unreachable, match="gives no answer"):
        ask(rows(50), server="http://127.0.0.1:9/v1")


def test_a_server_that_dies_midway_loses_nothing(ask, stub):
    stub.faults = dict.fromkeys(range(60, 10_000), "cut")
    with pytest.raises(Unreachable):
        ask(rows(200), concurrency=4)
    stub.faults = {}
    before = len(stub.finished)
    _, took = ask(rows(200), concurrency=4)
    assert took.cached == before >= 55
    assert len(stub.finished) == len(set(stub.finished)) == 200


def test_a_server_that_is_away_for_a_while_is_waited_for(ask, stub):
    stub.faults = dict.fromkeys(range(60, 72), "cut")
    plan, took = ask(rows(100), concurrency=4, patience=60)
    assert statuses(plan) == {"ok": 100}
    assert took.calls == 112


def test_a_server_that_refuses_everything_is_given_up(ask, stub):
    stub.faults = dict.fromkeys(range(30, 10_000), "429")
    with pytest.raises(Unreachable, match="last: 429"):
        ask(rows(200), concurrency=4)
    assert stub.calls < 80


@pytest.mark.parametrize("fault", ["429", "500", "cut"])
def test_bad_luck_of_one_row_makes_nobody_wait(ask, stub, monkeypatch, fault):
    """Five faults of one row while the others are answered: no wait is longer than half a second, and no hold."""
    drawn = []
    monkeypatch.setattr(random, "uniform", lambda low, high: drawn.append((low, high)) or 0.0)
    answered, failed = stub._answered, Counter()

    async def unlucky(request, body, number):
        text = body["messages"][-1]["content"]
        failed[text] += 1
        if text == "row 70" and failed[text] <= 5:
            stub.faults[number] = fault
        return await answered(request, body, number)

    stub._answered, stub.latency = unlucky, 0.01
    plan, _ = ask(rows(150), concurrency=8, backoff=0.25)
    assert statuses(plan) == {"ok": 150}
    assert [low for low, _ in drawn] == [0] * 5
    assert [high for _, high in drawn] == [0.25 / 8, 0.25 / 4, 0.25 / 2, 0.25, 0.5]


def test_an_outage_is_counted_in_round_trips():
    from datakit.labelling.asker import Outage

    outage = Outage()
    assert [outage.failed(4, now) for now in range(8)] == [False, False, False, True] * 2
    assert (outage.rounds, outage.begun) == (2, 0)
    alone = Outage()
    assert [alone.failed(1, now) for now in range(5)] == [False, False, True, True, True]


def test_refusals_and_answers_outside_the_set(ask, stub):
    said = {
        0: completion(None, refusal="I will not"),
        1: completion("", finish="content_filter"),
        2: "I'm sorry, but I can't help with that.",
        3: '{"label": "eggs"}',
        4: "eggs",
        5: '{"label": "SPAM "}',
        6: "Sure! ```json\n{'label': 'spam',}\n```",
        7: "{]",
    }
    stub.answer = lambda text, body: said[int(text[4:])]
    plan, _ = ask(rows(8), concurrency=1)
    found = [row["status"] for row in assemble(plan).to_pylist()]
    assert found == ["refused"] * 3 + ["outside"] * 2 + ["ok"] * 2 + ["unreadable"]
    assert stub.calls == 9  # what cannot be read is asked for once more, and no more
    ask(rows(8))
    assert stub.calls == 9


@pytest.mark.parametrize("forms", [("json_object",), ()])
def test_a_schema_that_the_server_rejects(ask, stub, forms):
    stub.forms = forms
    plan, _ = ask(rows(20), concurrency=8)
    assert statuses(plan) == {"ok": 20}
    rejected = stub.calls - 20
    assert rejected == 2 - len(forms)
    ask(rows(30), concurrency=8)  # and what was learnt is kept
    assert stub.calls == 30 + rejected


def test_a_schema_is_sent_where_it_is_taken(ask, stub):
    ask(rows(1))
    schema = stub.bodies[0]["response_format"]["json_schema"]
    assert (schema["strict"], schema["schema"]["properties"]["label"]["enum"]) == (True, ["ham", "spam"])


def test_questions_without_an_answer_are_named_and_asked_again(ask, stub):
    stub.faults = {4: "500", 5: "500", 6: "500"}
    with pytest.raises(DatakitError, match=r"1 of 5 questions got no answer.*500: a fault"):
        ask(rows(5), concurrency=1, attempts=3)
    _, took = ask(rows(5), concurrency=1)
    assert (took.calls, took.cached) == (1, 4)


def test_the_budget_is_never_passed(ask, stub, store):
    worst = None
    with pytest.raises(BudgetSpent, match="are open") as caught:
        ask(rows(400), budget=0.008, max_tokens=20, concurrency=32, **PRICED)
    assert "raise the budget" in str(caught.value)
    cost = Price(input=1, output=2).of(20, 5)
    spent, _ = store.spent("job")
    assert spent == pytest.approx(len(stub.finished) * cost)
    assert spent <= 0.008
    # It stops only where one more call at its worst would not fit.
    plan = prepare(rows(1), plan_labeller(ask), [ModelSpec(model="stub", server=stub.url, max_tokens=20, **PRICED)],
                   store=store, prices=read_prices(), redact=None)  # fmt: skip
    worst = plan.models[0].price.of(plan.models[0].prompt.bytes("row 399"), 20)
    assert spent + worst > 0.008
    done = len(stub.finished)
    ask(rows(400), budget=1, max_tokens=20, concurrency=32, **PRICED)
    assert (len(stub.finished), len(set(stub.finished))) == (400, 400)
    assert done > 100


def plan_labeller(ask):
    from datakit.labelling.labeller import Labeller

    return Labeller(name="spam", kind="classify", instruction="Is it spam?", options=["ham", "spam"])


def test_calls_that_end_unknown_count_at_their_worst(ask, stub, store):
    stub.faults = {1: "hang", 2: "cut", 3: "500", 4: "429"}
    plan, _ = ask(rows(4), concurrency=1, timeout=0.3, **PRICED)
    worst = max(plan.worst(question) for question in plan.questions)
    answers = 4 * Price(input=1, output=2).of(20, 5)
    spent, _ = store.spent("job")
    assert spent == pytest.approx(answers + 2 * worst)


def test_a_worst_price_is_above_what_any_tokenizer_makes(ask):
    for text in ("한국어 텍스트", "😀" * 9, "plain words"):
        plan, _ = ask(rows(1, text))
        assert plan.models[0].prompt.bytes(text) >= sum(
            len(turn["content"].encode()) for turn in plan.models[0].prompt.messages(text)
        )


def test_a_server_that_counts_no_tokens_is_paid_at_the_worst(ask, stub, store):
    stub.answer = lambda text, body: {**completion('{"label": "ham"}'), "usage": None}
    plan, took = ask(rows(2), **PRICED)
    assert took.cost == pytest.approx(sum(plan.worst(question) for question in plan.questions))


def test_several_votes_are_several_calls(ask, stub):
    plan, _ = ask(rows(3), votes=5)
    assert stub.calls == 15
    assert {body["temperature"] for body in stub.bodies} == {0.7}
    assert assemble(plan)["vote"].to_pylist() == [0, 1, 2, 3, 4] * 3


def test_a_model_that_costs_and_has_no_price_is_refused(store, spam):
    for model in ("no-such-model", "gpt-4o-mini"):
        call = [rows(1), spam, [ModelSpec(model=model)]]
        if model == "no-such-model":
            with pytest.raises(DatakitError, match="no price is known"):
                prepare(*call, store=store, prices=read_prices(), redact=None)
        else:
            assert prepare(*call, store=store, prices=read_prices(), redact=None).estimate().cost > 0
        with pytest.raises(DatakitError, match=r"no price|network: never"):
            prepare(*call, store=store, prices=read_prices(), redact=None, offline=True)


def test_no_rows_take_nothing(ask, stub):
    plan, took = ask(rows(0))
    assert (stub.calls, took.calls, plan.estimate().calls, assemble(plan).num_rows) == (0, 0, 0, 0)
    plan, _ = ask(rows(3, "  "))
    assert (stub.calls, assemble(plan).num_rows) == (0, 0)


def test_a_preference_is_shown_in_both_orders(ask, stub):
    from datakit.core.example import Example, Message, to_table
    from datakit.labelling.labeller import load_labeller

    chat = (Message("user", "why?"), Message("assistant", "GOOD"))
    table = to_table([Example("0" * 32, "g", "s", "o", messages=chat, rejected=(chat[0], Message("assistant", "BAD")))])
    stub.answer = lambda text, body: json.dumps({"better": "A" if text.index("GOOD") < text.index("BAD") else "B"})
    plan, _ = ask(table, load_labeller("preference"), votes=4)
    shown = [body["messages"][-1]["content"] for body in stub.bodies]
    assert Counter(text.index("GOOD") < text.index("BAD") for text in shown) == {True: 2, False: 2}
    assert assemble(plan)["value"].to_pylist() == ["a"] * 4
