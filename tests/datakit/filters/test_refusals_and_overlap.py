import gzip
import json

import pytest
from pydantic import ValidationError

from datakit.filters.overlap import OverlapParams, OverlapStep, copied_shares
from datakit.filters.refusals import RefusalParams, RefusalStep

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "Sorry, I cannot provide medical advice.",
    "I cannot assist with this request.",
    "I’m unable to create that content.",
    "Unfortunately, I am not able to open links.",
    "As an AI language model, I do not have feelings.",
    '  "I must respectfully decline."',
    "It would be unethical for me to write that.",
    "죄송하지만 그 요청은 도와드릴 수 없습니다.",
    "죄송합니다. 해당 정보는 제공할 수 없습니다.",
    "안타깝지만 그 질문에는 답변하기 어렵습니다.",
    "그 부분은 답변 드릴 수 없습니다.",
]
BOILERPLATE = [
    "Great question! As a large language model trained on text, here is a list.",
    "My knowledge cutoff is last year, so check the date.",
    "저는 인공지능이라 경험은 없지만 알려 드릴게요.",
    "AI 모델로서 말씀드리면 이렇습니다.",
]
FINE = [
    "Sorry to hear that! Your refund is on its way.",
    "You can't divide by zero.",
    "The letter says: I cannot help you.",
    "I can help you with that. Open the settings.",
    "It is appropriate to thank the host.",
    "Language models predict the next word.",
    "죄송합니다. 배송이 하루 늦어졌습니다.",
    "재고가 없습니다.",
    "인공지능은 컴퓨터 과학의 한 분야입니다.",
    "",
]


def test_phrases_in_both_languages(context, chat, run):
    answers = REFUSALS + BOILERPLATE + FINE
    kept, reasons = run(
        RefusalStep(RefusalParams(), context), [chat(k, "q", answer) for k, answer in enumerate(answers)]
    )
    found = {k: reason for k, (reason, _) in reasons.items()}
    assert [answers[k] for k in range(len(REFUSALS)) if found.get(k) != "refusal"] == []
    assert [found.get(k) for k in range(len(REFUSALS), len(REFUSALS + BOILERPLATE))] == ["boilerplate"] * 4
    assert kept == list(range(len(REFUSALS + BOILERPLATE), len(answers)))
    assert all(evidence["pattern"].startswith(reason) for reason, evidence in reasons.values())


def test_a_refusal_further_down_or_in_the_question_is_none(context, chat, plain, run):
    rows = [chat(0, REFUSALS[0], "Fine."), chat(1, "q", "x " * 200 + REFUSALS[0]), plain(2, REFUSALS[0])]
    assert run(RefusalStep(RefusalParams(), context), rows)[0] == [0, 1, 2]


def test_own_phrases_kinds_and_languages(context, chat, run):
    rows = [chat(0, "q", "Ask your manager."), chat(1, "q", REFUSALS[0]), chat(2, "q", REFUSALS[8])]
    step = RefusalStep(RefusalParams(kinds=("refusal",), languages=("ko",), phrases=("ask your manager",)), context)
    kept, reasons = run(step, rows)
    assert (kept, reasons[0]) == ([1], ("phrase", {"pattern": "phrase.0"}))
    with pytest.raises(ValidationError, match="no regular expression"):
        RefusalParams(phrases=("(",))


def containment(prompt, answer, n):
    grams = [{tuple(text.split()[k : k + n]) for k in range(len(text.split()) - n + 1)} for text in (prompt, answer)]
    return len(grams[0] & grams[1]) / max(len(grams[1]), 1)


def test_copied_shares_are_those_of_word_sets():
    import random

    rng = random.Random(0)
    words = ["wind", "rain", "sun", "snow", "fog", "hail"]
    pairs = []
    for _ in range(300):
        prompt = " ".join(rng.choice(words) for _ in range(30))
        at = rng.randrange(20)
        copied = prompt.split()[at : at + rng.randrange(0, 10)]
        pairs.append((prompt, " ".join([*copied, *(rng.choice(words) for _ in range(rng.randrange(5, 12)))])))
    found = copied_shares([a for a, _ in pairs], [b for _, b in pairs], ngram=5)
    assert found.tolist() == pytest.approx([containment(a, b, 5) for a, b in pairs])


def test_copies_go_and_short_answers_stay(context, chat, run):
    passage = "The harbour closed at dusk because the storm had taken the light on the northern pier."
    rows = [
        chat(0, f"Tell me what happened: {passage}", passage),
        chat(1, f"Tell me what happened: {passage}", "A storm broke a light, so boats had to stay out overnight."),
        chat(2, "Which is it, red or blue?", "blue"),
        chat(3, "Say hello", "say  HELLO"),
        chat(4, passage, "Earlier today " + passage[:40] + " and nobody could say for how long it would remain so."),
        chat(
            5, "부산항은 폭풍 때문에 저녁에 문을 닫았다. 무슨 일이 있었나?", "부산항은 폭풍 때문에 저녁에 문을 닫았다."
        ),
    ]
    kept, reasons = run(OverlapStep(OverlapParams(), context), rows)
    assert kept == [1, 2, 4]
    assert reasons[0] == ("copied_prompt", {"share": 1.0, "max_share": 0.8})
    assert [reasons[k][0] for k in (3, 5)] == ["answer_is_prompt", "copied_prompt"]
    assert run(OverlapStep(OverlapParams(max_share=1), context), rows)[0] == [0, 1, 2, 4, 5]


@pytest.mark.real
def test_few_real_instructions_are_refusals_or_copies(real_data, context, chat, run):
    file = next((real_data / "instruction/gpteacher").glob("*.json*"))
    with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8") as stream:
        raw = json.load(stream)
    rows = [
        chat(k, f"{row['instruction']}\n{row.get('input') or ''}", row.get("response") or row["output"])
        for k, row in enumerate(raw)
    ]
    _, refused = run(RefusalStep(RefusalParams(), context), rows)
    _, copied = run(OverlapStep(OverlapParams(), context), rows)
    assert len(refused) < 0.02 * len(rows)
    assert len(copied) < 0.05 * len(rows)
