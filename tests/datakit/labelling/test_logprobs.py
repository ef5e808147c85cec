"""Probabilities from a server's log-probabilities, against a writer whose every probability is known."""

from __future__ import annotations

import json
import math
import random

import pytest
from conftest import rows
from stub import completion

from datakit.core.example import Example, to_table
from datakit.labelling.aggregate import aggregate
from datakit.labelling.assemble import assemble
from datakit.labelling.job import finish
from datakit.labelling.labeller import Labeller, load_labeller
from datakit.labelling.logprobs import option_chances, read_tokens

OPTIONS = ["order", "order cancel", "order change", "refund", "return", "환불", "환전"]
MANY = Labeller(name="x", kind="classify", instruction="Which?", options=OPTIONS)


def labeller_of(kind, options):
    return Labeller(name="x", kind=kind, instruction="?", options=options)


class Writer:
    """Writes an answer byte by byte; at each place every byte that some option goes on with has a known probability."""

    def __init__(self, whole, seed):
        self.whole, self.seed = whole, seed

    def next(self, text):
        fit = sorted({one[len(text)] for one in self.whole if one.startswith(text) and len(one) > len(text)})
        draws = [random.Random(f"{self.seed} {text!r} {byte}").random() + 0.01 for byte in fit]
        return {byte: draw / sum(draws) for byte, draw in zip(fit, draws, strict=True)}

    def probability(self, one):
        return math.prod(self.next(one[:at])[byte] for at, byte in enumerate(one))

    def tokens(self, one):
        return [
            {
                "token": "?",
                "bytes": [byte],
                "logprob": math.log(self.next(one[:at])[byte]),
                "top_logprobs": [
                    {"token": "?", "bytes": [other], "logprob": math.log(chance)}
                    for other, chance in self.next(one[:at]).items()
                ],
            }
            for at, byte in enumerate(one)
        ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("written", OPTIONS)
def test_it_is_the_probability_that_the_server_would_have_written_it(written, seed):
    whole = {name: json.dumps({"label": name}, ensure_ascii=False).encode() for name in OPTIONS}
    writer = Writer(list(whole.values()), seed)
    tokens = read_tokens({"logprobs": {"content": writer.tokens(whole[written])}})
    found = option_chances(MANY, written, tokens)
    assert sum(found.values()) == pytest.approx(1)
    assert found[written] == pytest.approx(writer.probability(whole[written]))
    # Where the paths part, what lies behind is known together only: r(efund, eturn), order..., 환...
    for group in (OPTIONS[:3], OPTIONS[3:5], OPTIONS[5:]):
        truth = sum(writer.probability(whole[name]) for name in group)
        assert sum(found[name] for name in group) == pytest.approx(truth)


def tokens(*parts):
    """Tokens from text, probability, and alternatives."""
    content = [
        {
            "token": text,
            "logprob": math.log(chance),
            "top_logprobs": [{"token": other, "logprob": math.log(p)} for other, p in others.items()],
        }
        for text, chance, others in parts
    ]
    return read_tokens({"logprobs": {"content": content}})


def test_forms_of_an_answer():
    spam = labeller_of("classify", ["ham", "spam"])
    half = {"ham": 0.6, "spam": 0.2, "x": 0.2}
    for before, after in (('{"label": "', '"}'), ('```json\n{"label":"', '"}\n```'), ("", ""), ('"', '"'), (" ", "")):
        answer = [(before, 1.0, {})] if before else []
        answer += [("ham", 0.6, half)] + ([(after, 1.0, {})] if after else [])
        assert option_chances(spam, "ham", tokens(*answer)) == pytest.approx({"ham": 0.75, "spam": 0.25})
    merged = [('{"label": "ha', 0.6, {'{"label": "sp': 0.2, "Sure": 0.2}), ('m"}', 1.0, {})]
    assert option_chances(spam, "ham", tokens(*merged)) == pytest.approx({"ham": 0.75, "spam": 0.25})
    rating = labeller_of("rating", [1, 2, 10])
    answer = [('{"rating": ', 1.0, {}), ("2", 0.5, {"1": 0.4, "10": 0.1}), ("}", 1.0, {})]
    assert option_chances(rating, "2", tokens(*answer)) == pytest.approx({"1": 0.2, "2": 0.5, "10": 0.3})
    better = Labeller(name="x", kind="preference", instruction="?", options=["tie"])
    answer = [('{"better": "', 1.0, {}), ("B", 0.5, {"A": 0.4, "t": 0.1}), ('"}', 1.0, {})]
    assert option_chances(better, "b", tokens(*answer)) == pytest.approx({"a": 0.4, "b": 0.5, "tie": 0.1})


def test_what_cannot_be_followed_gives_none():
    spam = labeller_of("classify", ["ham", "spam"])
    assert option_chances(spam, "ham", ()) is None
    assert option_chances(spam, "ham", tokens(('{"label": "HAM"}', 1.0, {}))) is None
    assert option_chances(labeller_of("multilabel", ["ham"]), "ham", tokens(("ham", 1.0, {}))) is None
    for odd in (None, [], {}, {"content": None}, {"content": [{"token": "x"}]}, {"content": ["x"]},
                {"content": [{"token": "x", "logprob": float("nan")}]}):  # fmt: skip
        assert read_tokens({"logprobs": odd}) == []


def sure(chance):
    """A server that says ham with this probability."""
    other = {"ham": chance, "spam": 1 - chance}
    content = [
        {"token": text, "logprob": math.log(p), "top_logprobs": [{"token": o, "logprob": math.log(q)} for o, q in more]}
        for text, p, more in (('{"label": "', 1.0, ()), ("ham", chance, other.items()), ('"}', 1.0, ()))
    ]
    return completion('{"label": "ham"}', logprobs={"content": content})


def test_confidence_is_the_servers_probability_and_kept(ask, stub):
    stub.answer = lambda text, body: sure(0.6 + int(text[4:]) / 100)
    for _ in range(2):
        plan, took = ask(rows(8))
        results = finish(plan).results
        assert results["confidence"].to_pylist() == pytest.approx([0.6 + n / 100 for n in range(8)])
        assert json.loads(results["distribution"][0].as_py()) == pytest.approx({"ham": 0.6, "spam": 0.4})
        assert finish(plan).facts["confidence_from"] == {"probabilities": 8}
    assert (stub.calls, took.cached) == (8, 8)
    assert (stub.bodies[0]["logprobs"], stub.bodies[0]["top_logprobs"]) == (True, 20)


@pytest.mark.parametrize(("most", "rejected"), [(20, 0), (5, 1), (0, 2)])
def test_a_server_that_gives_fewer_or_none_is_asked_for_that(ask, stub, most, rejected):
    stub.alternatives = most
    plan, _ = ask(rows(20), concurrency=8)
    assert stub.calls == 20 + rejected
    assert {body.get("top_logprobs", 0) for body in stub.bodies} == {most}
    assert {body["response_format"]["type"] for body in stub.bodies} == {"json_schema"}
    assert finish(plan).facts["confidence_from"] == {"votes": 20}
    ask(rows(30), concurrency=8)
    assert stub.calls == 30 + rejected


def test_they_are_not_asked_for_where_nothing_is_chosen_or_never(ask, stub):
    ask(rows(2), logprobs="never")
    stub.answer = lambda text, body: '{"answer": "x"}'
    ask(rows(2), load_labeller("answer"))
    assert not any("logprobs" in body for body in stub.bodies)


def test_a_preference_in_the_other_order_keeps_its_sides(ask, stub):
    from datakit.core.example import Message

    chat = (Message("user", "why?"), Message("assistant", "GOOD"))
    pair = to_table([Example("0" * 32, "g", "s", "o", messages=chat, rejected=(chat[0], Message("assistant", "BAD")))])

    def answer(text, body):
        good, bad = ("A", "B") if text.index("GOOD") < text.index("BAD") else ("B", "A")
        more = [{"token": good, "logprob": math.log(0.9)}, {"token": bad, "logprob": math.log(0.1)}]
        content = [{"token": '{"better": "', "logprob": 0.0}, {**more[0], "top_logprobs": more}]
        content.append({"token": '"}', "logprob": 0.0})
        return completion(f'{{"better": "{good}"}}', logprobs={"content": content})

    stub.answer = answer
    plan, _ = ask(pair, load_labeller("preference"), votes=2)
    for row in assemble(plan).to_pylist():
        assert (row["value"], json.loads(row["probabilities"])) == ("a", pytest.approx({"a": 0.9, "b": 0.1}))


def test_votes_with_and_without_probabilities_count_alike(ask, stub, spam):
    said = iter([sure(0.6), '{"label": "ham"}', '{"label": "spam"}', "eggs"])
    stub.answer = lambda text, body: next(said)
    plan, _ = ask(rows(1), votes=4, concurrency=1)
    (row,) = aggregate(assemble(plan), spam, plan.ids).to_pylist()
    assert row["label"] == "ham"
    # Of four votes one cannot be used, one is sure, one is against, and one gives 0.6.
    assert row["confidence"] == pytest.approx((0.6 + 1 + 0 + 0) / 4)
    assert json.loads(row["distribution"]) == pytest.approx({"ham": 1.6 / 3, "spam": 1.4 / 3}, abs=1e-6)
    assert finish(plan).facts["confidence_from"] == {"both": 1}
