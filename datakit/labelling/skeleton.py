"""A commented labeller file to begin with, in English or Korean."""

from __future__ import annotations

from typing import Literal

from datakit.labelling.labeller import Kind

__all__ = ["skeleton"]

_SKELETON = """\
# A labeller: what a model is asked about every row. Try it with
#   datakit label FILE --use {file} {who} --limit 20
format: 1
name: {name}
# classify: one option · multilabel: any number of them · spans: quoted parts, each with an option
# answer: free text · preference: which of two answers · rating: a whole number by a rubric
kind: {kind}
language: {language}

# Say what decides in the doubtful cases; a sentence there is worth more than ten examples.
instruction: >
  {instruction}

{options}
# How a row is shown. {{text}} is the row's text; any column of the file may stand in braces.
input: "{{text}}"

# Worked examples, one or two for each doubtful case; they are sent with every row and paid for each time.
examples:
{examples}"""

_OPTIONS = {
    "classify": "# Name: what belongs there. `options: labels` takes the label names of the data.\noptions:\n"
    "  urgent: Someone waits, or loses money, until this is answered.\n  normal: Everything else.\n",
    "multilabel": "# Name: when it applies. None of them may apply.\noptions:\n"
    "  billing: Money, invoices, refunds.\n  delivery: Where a parcel is, when it comes.\n",
    "spans": "# Name: which parts of the text to quote.\noptions:\n"
    "  product: The name of a thing that is sold.\n  date: A day, as it is written.\n",
    "rating": "# The rubric: each number and what earns it, in rising order.\noptions:\n"
    "  1: Wrong, or no answer at all.\n  2: Partly right.\n  3: Right and complete.\n",
    "preference": "# `options: [tie]` allows neither to be better.\noptions: []\n",
    "answer": "# Without `output` the answer is a text. With it, an object of this JSON schema:\n"
    "# output: {type: object, properties: {summary: {type: string}}, required: [summary]}\n",
}

_ASKS = {
    "classify": ("How urgent is this message?", '  - input: "My card was stolen this morning."\n    answer: urgent\n'),
    "multilabel": (
        "What is this message about?",
        '  - input: "Where is my parcel, and why was I billed twice?"\n    answer: [billing, delivery]\n',
    ),
    "spans": (
        "Quote every product and every date in the text.",
        '  - input: "The kettle came on 3 May."\n    answer:\n'
        "      - {text: kettle, label: product}\n      - {text: 3 May, label: date}\n",
    ),
    "answer": ("Answer the question in one sentence.", '  - input: "Why is the sky blue?"\n    answer: "Air scatters '
               'blue light more than red."\n'),
    "preference": ("Which of the two answers helps more?", "  []\n"),
    "rating": ("How good is this answer?", '  - input: "Q: 2 + 2? A: five"\n    answer: 1\n'),
}  # fmt: skip

_KO_OPTIONS = {
    "classify": "options:\n  급함: 답할 때까지 누군가 기다리거나 손해를 본다.\n  보통: 그 밖의 모두.\n",
    "multilabel": "options:\n  결제: 돈, 청구서, 환불.\n  배송: 물건이 어디 있고 언제 오는지.\n",
    "spans": "options:\n  상품: 파는 물건의 이름.\n  날짜: 쓰인 그대로의 날.\n",
    "rating": "options:\n  1: 틀렸거나 대답이 없다.\n  2: 일부만 맞다.\n  3: 맞고 빠진 것이 없다.\n",
}

_KO_ASKS = {
    "classify": ("이 글은 얼마나 급합니까?", '  - input: "오늘 아침에 카드를 도둑맞았어요."\n    answer: 급함\n'),
    "multilabel": (
        "이 글은 무엇에 관한 것입니까?",
        '  - input: "택배는 어디 있고, 왜 두 번 청구됐나요?"\n    answer: [결제, 배송]\n',
    ),
    "spans": (
        "글에 나오는 상품과 날짜를 모두 그대로 옮기세요.",
        '  - input: "주전자가 5월 3일에 왔다."\n    answer:\n'
        "      - {text: 주전자, label: 상품}\n      - {text: 5월 3일, label: 날짜}\n",
    ),
    "answer": (
        "한 문장으로 대답하세요.",
        '  - input: "하늘은 왜 파란가요?"\n    answer: "공기가 파란빛을 더 많이 흩뜨린다."\n',
    ),
    "preference": ("두 대답 가운데 어느 것이 더 도움이 됩니까?", "  []\n"),
    "rating": ("이 대답은 얼마나 좋습니까?", '  - input: "문: 2 + 2? 답: 다섯"\n    answer: 1\n'),
}  # fmt: skip


def skeleton(name: str, *, kind: Kind = "classify", language: Literal["en", "ko"] = "en", file: str) -> str:
    """A commented labeller file to begin with.

    Args:
        name: Of the labeller.
        kind: Of the labeller.
        language: Of what is put around the instruction.
        file: What the file will be called, for the comment that says how to try it.
    """
    instruction, examples = (_KO_ASKS if language == "ko" else _ASKS)[kind]
    options = _OPTIONS[kind]
    if language == "ko" and kind in _KO_OPTIONS:
        options = options.rpartition("options:\n")[0] + _KO_OPTIONS[kind]
    who = "--local FOLDER" if kind in ("classify", "rating", "preference") else "--model NAME --server URL"
    text = _SKELETON.format(
        who=who, name=name, kind=kind, language=language, file=file, options=options, instruction=instruction,
        examples=examples,
    )  # fmt: skip
    return text.replace('input: "{text}"\n', "") if kind == "preference" else text
