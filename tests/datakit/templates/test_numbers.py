"""A template that numbers its answers otherwise than the source numbers its labels gives fluent wrong answers."""

from __future__ import annotations

import random

import pytest

from datakit.core.errors import TemplateError
from datakit.core.example import Example, to_table
from datakit.core.step import StepContext
from datakit.templates.numbers import displaced
from datakit.templates.step import TemplateParams, TemplateStep

TEMPLATE = """\
dataset: bank
templates:
  one: !Template
    answer_choices: activate my card ||| age limit ||| card arrival ||| refund not showing up
    id: one
    jinja: "{{text}} Which? ||| {{answer_choices[label]}}"
    name: which
    reference: ''
"""
IN_ORDER = ("activate_my_card", "age_limit", "card_arrival", "Refund_not_showing_up")


def test_orders() -> None:
    answers = [name.replace("_", " ").lower() for name in IN_ORDER]
    assert displaced(IN_ORDER, answers) is None
    assert displaced(sorted(IN_ORDER), answers) == (0, 3)  # capitals sort first
    assert displaced((*IN_ORDER[2:], "other"), answers) == (0, 2)  # an excerpt that lacks the first labels
    assert displaced(("entailment", "neutral", "contradiction"), ["yes", "maybe", "no"]) is None
    assert displaced(("no", "yes"), ["yes", "no"]) is None  # a question turned round
    shuffled = random.Random(1).sample(range(77), 77)
    assert displaced([f"label_{n}" for n in shuffled], [f"label {n}" for n in range(77)]) is not None


def test_a_build_ends_instead_of_teaching_wrong_answers(tmp_path) -> None:
    (tmp_path / "bank.yaml").write_text(TEMPLATE)
    row = Example(id="a", group="a", source="s", origin="bank.csv:2", text="Where is it?", label="card_arrival")

    def rendered(names: tuple[str, ...]) -> str:
        context = StepContext(folder=tmp_path, labels={"s": names})
        made = TemplateStep(TemplateParams(use="bank.yaml"), context).apply(to_table([row])).table.to_pylist()
        return str(made[0]["messages"][-1]["content"])

    assert rendered(IN_ORDER) == "card arrival"
    with pytest.raises(TemplateError, match=r"would answer 'activate my card' for the label 'Refund_not_showing_up'"):
        rendered(tuple(sorted(IN_ORDER)))
