"""Token F1 and ROUGE-L against the references: published examples, rouge-score with its own tokenizer, brute force."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from evalkit.log import TaskInfo
from evalkit.set_pairs import set_metric
from evalkit.text_metrics import rouge_l, token_f1, tokens

words = st.lists(st.sampled_from(["red", "lamp", "table", "is", "on", "9"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("answer", "target", "value"),
    [
        ("The Broncos!", "broncos", 1.0),
        ("Denver Broncos", "the Broncos", 2 / 3),
        ("", "x", 0.0),
        (None, "x", 0.0),
        ("the", "", 1.0),
        ("서울에서", "서울", 2 * 2 / 6),
        ("서울", "부산", 0.0),
        ("2026년 3월", "2026 년 3 월", 1.0),
    ],
)
def test_token_f1_by_hand(answer, target, value):
    assert token_f1(answer, target) == pytest.approx(value)


@given(words, words)
def test_rouge_l_is_the_librarys_on_english(answer, target):
    reference = RougeScorer(["rougeL"]).score(target, answer)["rougeL"].fmeasure
    assert rouge_l(answer, target) == pytest.approx(reference if answer or target else 1.0)


@given(st.text("가나다 ", max_size=9), st.text("가나다 ", max_size=9))
def test_rouge_l_of_hangul_is_the_longest_common_subsequence_of_syllables(answer, target):
    one, other = answer.replace(" ", ""), target.replace(" ", "")

    @cache
    def longest(i, j):
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    expected = 2 * longest(0, 0) / (len(one) + len(other)) if one or other else 1.0
    assert rouge_l(answer, target) == pytest.approx(expected)


@given(st.text(max_size=20))
def test_a_text_is_like_itself(text):
    assert token_f1(text, text) == 1.0
    assert all(token == token.lower() for token in tokens(text))


def test_as_a_metric_of_the_set_its_value_is_the_mean_and_the_interval_holds_it():
    targets = [f"red lamp {n}" for n in range(80)]
    before = [target if n % 3 else "red" for n, target in enumerate(targets)]
    after = [target if n % 5 else "no idea" for n, target in enumerate(targets)]
    found = set_metric("token_f1", targets, before, after)
    assert found.before == pytest.approx(np.mean([token_f1(a, t) for a, t in zip(before, targets, strict=True)]))
    assert found.after == pytest.approx(np.mean([token_f1(a, t) for a, t in zip(after, targets, strict=True)]))
    assert found.interval[0] <= found.difference <= found.interval[1]


def test_a_gain_row_shows_what_the_task_asks_for(make_log):
    from evalkit.compare import compare

    info = {"task": TaskInfo(kind="gain", metric="accuracy", metrics=("token_f1", "rouge_l"))}
    scores = [1.0, 0.0] * 20
    row = compare(make_log({"task": scores}, infos=info), make_log({"task": scores[::-1]}, infos=info)).gains[0]
    assert [metric.name for metric in row.metrics] == ["token_f1", "rouge_l"]
