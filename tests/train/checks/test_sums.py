"""Rows that reach each other, losses that are means and references of another model are found before the first step."""

from __future__ import annotations

import math

import pytest
import torch

from train import Arm, TrainError, fit
from train.checks.sums import check_start, check_sums, few_rows, without_dropout
from train.objectives import Loss
from train.objectives.dpo import Dpo
from train.objectives.sft import Sft


@pytest.fixture
def rows(encoder, table, tokenizer):
    made = table(
        *({"turns": [("user", "p" * size), ("assistant", "a" * size)], "worse": "no"} for size in (3, 9, 5, 5, 20, 2))
    )
    return {
        name: objective.encode(made, encoder(tokenizer)).rows for name, objective in (("sft", Sft()), ("dpo", Dpo()))
    }


def leak(model, when):
    """Every row sees the mean of all rows of its batch."""

    def change(module, args):
        hidden = args[0]
        return (hidden + hidden.mean(0, keepdim=True) if when(module) else hidden, *args[1:])

    model.model.layers[1].register_forward_pre_hook(change)


def test_a_sound_model_passes_and_is_left_in_training_mode(model, rows):
    few = few_rows(rows["sft"], Sft())
    assert [len(row) for row in few] == sorted({len(row) for row in rows["sft"]})[:3]
    state = torch.random.get_rng_state()
    assert check_sums(model, Sft(), few, pad=0, rounded=False).passed
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_rows_that_reach_each_other_are_found_in_either_mode(mode, model, rows):
    leak(model, lambda module: mode == "evaluation" or module.training)
    with pytest.raises(TrainError, match=f"3 rows together have the loss .* in {mode} mode, one by one"):
        check_sums(model, Sft(), few_rows(rows["sft"], Sft()), pad=0, rounded=False)


def test_a_loss_that_is_a_mean_is_found(model, rows):
    class Mean(Sft):
        def loss(self, model, batch):
            return Loss(super().loss(model, batch).total / batch.weight)

    with pytest.raises(TrainError, match="one by one"):
        check_sums(model, Mean(), few_rows(rows["sft"], Sft()), pad=0, rounded=False)


def test_dropout_is_off_while_looking_and_on_afterwards(model):
    model.model.layers[0].self_attn.attention_dropout = 0.3
    model.model.layers[0].extra = torch.nn.Dropout(0.5)
    with without_dropout(model):
        assert model.training
        assert model.model.layers[0].self_attn.attention_dropout == 0.0
        assert not model.model.layers[0].extra.training
    assert model.model.layers[0].self_attn.attention_dropout == 0.3
    assert model.model.layers[0].extra.training


def test_dpo_starts_at_ln_2_and_not_with_the_reference_of_another_model(model, make_model, rows):
    objective = Dpo()
    pairs = objective.refer(model, rows["dpo"], batch_size=4, pad=0)
    found = check_start(model, objective, pairs, pad=0)
    assert found is not None
    assert f"{math.log(2):.4f}" in found.text
    assert check_start(model, Sft(), rows["sft"], pad=0) is None
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.5)
    with pytest.raises(TrainError, match=r"the first loss is .* per row, and has to be 0.6931"):
        check_start(model, Dpo(beta=1.0), pairs, pad=0)


def test_it_is_looked_at_in_every_training(model_folder, dataset, tmp_path, monkeypatch):
    class Mean(Sft):
        def loss(self, model, batch):
            return Loss(super().loss(model, batch).total / batch.weight)

    monkeypatch.setattr("train.plan.objective_of", lambda arm: Mean())
    with pytest.raises(TrainError, match="rows together have the loss"):
        fit(Arm(adapter="full", steps=1), model=model_folder, data=dataset(), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
