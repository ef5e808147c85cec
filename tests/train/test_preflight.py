from __future__ import annotations

import numpy as np
import pytest
import torch

from train.data import Encoded
from train.errors import TrainError
from train.masking import Row
from train.preflight import (
    check_changed,
    check_rows,
    check_stops,
    check_trainable,
    check_truncated,
    fingerprint,
    marked,
    segments,
    stop_tokens,
)

END = [257]


def row(ids, start, **options):
    return Row("r3", np.asarray(ids, dtype=np.int32), np.arange(len(ids)) >= start, **options)


def test_segments_put_together_are_the_text(tokenizer):
    prompt = tokenizer("수도는 [어디]?")["input_ids"]
    answer = tokenizer(" 서울", add_special_tokens=False)["input_ids"]
    pieces = segments(row([*prompt, *answer, 257], len(prompt)), tokenizer)
    assert pieces == [("<s>수도는 [어디]?", False), (" 서울</s>", True)]
    assert marked(pieces) == "<s>수도는 [어디]?⟦ 서울</s>⟧"


def test_a_row_that_is_as_it_should_be_passes(tokenizer):
    check_rows([row([256, 1, 2, 257], 2), row([256, 1, 2], 2, truncated=True)], tokenizer, end_ids=END)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row([256, 1, 2, 257], 4), "row r3: no trained token"),
        (row([256, 256, 2, 257], 2), "row r3: begins with two BOS"),
        (row([256, 1, 2, 3], 2), "row r3: the end of the turn is not trained"),
    ],
)
def test_a_bad_row_is_refused_by_name(tokenizer, bad, message):
    with pytest.raises(TrainError, match=message):
        check_rows([row([256, 1, 257], 1), bad], tokenizer, end_ids=END)


def test_an_end_that_generation_cannot_stop_at_is_refused(chat_tokenizer):
    assert stop_tokens([259, 10], chat_tokenizer) == [259]
    with pytest.raises(TrainError, match="no end-of-turn token"):
        stop_tokens([10], chat_tokenizer)
    with pytest.raises(TrainError, match="no end-of-turn token"):
        stop_tokens([], chat_tokenizer)


def test_generation_has_to_stop_where_the_turn_was_trained_to_end():
    from transformers import GenerationConfig

    check_stops(GenerationConfig(eos_token_id=[257, 259]), [259])
    with pytest.raises(TrainError, match="generation does not stop at token 259"):
        check_stops(GenerationConfig(eos_token_id=257), [259])


def test_rows_that_lose_their_end_are_counted_and_refused_above_a_limit():
    rows = [row([1, 2, 3], 1, truncated=number < 2) for number in range(9)]
    found = check_truncated(Encoded(rows, truncated=2, dropped=["x"]), 3, most=0.3)
    assert not found.passed
    assert found.text.startswith("30.0% of 10 rows are longer than 3 tokens: 2 lose their end, 1 their whole answer")
    with pytest.raises(TrainError, match=r"at most 29% may be.*raise max_truncated"):
        check_truncated(Encoded(rows, truncated=2, dropped=["x"]), 3, most=0.29)
    assert check_truncated(Encoded(rows), 3, most=0).passed


def test_a_model_with_nothing_to_train_is_refused(model):
    trainable, total = check_trainable(model)
    assert trainable == total == sum(value.numel() for value in model.parameters())
    model.requires_grad_(False)
    with pytest.raises(TrainError, match="nothing is trainable"):
        check_trainable(model)


def test_a_training_that_changed_nothing_is_refused(model):
    before = fingerprint(model)
    with pytest.raises(TrainError, match="changed no weight"):
        check_changed(before, model)
    with torch.no_grad():
        model.model.norm.weight[3] += 1e-6
    assert check_changed(before, model) == 1
