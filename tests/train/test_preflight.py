from __future__ import annotations

import numpy as np
import pytest
import torch

from train.errors import TrainError
from train.masking import Row
from train.preflight import (
    check_changed,
    check_rows,
    check_trainable,
    check_vocabulary,
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


def test_a_tokenizer_of_another_model_is_refused(make_model, tokenizer):
    small = make_model(vocabulary=200)
    with pytest.raises(TrainError, match=r"260 tokens.*makes token 257, the model has 200"):
        check_vocabulary(small, tokenizer, [row([256, 1, 257], 1)])


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
