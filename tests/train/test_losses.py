from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from train.data import collate
from train.losses import nll
from train.masking import Row


def rows(seed=0, count=5):
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        length = int(generator.integers(4, 20))
        prompt = int(generator.integers(1, length))
        ids = generator.integers(0, 250, length).astype(np.int32)
        made.append(Row(str(number), ids, np.arange(length) >= prompt))
    return made


def test_equals_the_models_own_loss(model):
    batch = collate(rows(), pad=7)
    labels = torch.full_like(batch.ids, -100)
    mask = torch.zeros_like(batch.ids)
    for place, row in enumerate(rows()):
        labels[place, : len(row)] = torch.where(torch.from_numpy(row.trained), torch.from_numpy(row.ids).long(), -100)
        mask[place, : len(row)] = 1
    theirs = model(input_ids=batch.ids, attention_mask=mask, labels=labels).loss
    ours = nll(model, batch).total / len(batch.targets)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_equals_a_sum_over_tokens_one_row_at_a_time(model):
    total = 0.0
    for row in rows():
        with torch.no_grad():
            logits = model(torch.from_numpy(row.ids).long()[None]).logits[0].double().log_softmax(-1)
        total -= sum(logits[place - 1, row.ids[place]].item() for place in range(1, len(row)) if row.trained[place])
    assert nll(model, collate(rows(), pad=0)).total.item() == pytest.approx(total, rel=1e-5)


def test_padding_changes_nothing(model):
    one, other = (nll(model, collate(rows(), pad=pad)).total for pad in (0, 123))
    assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_what_the_prompt_should_have_been_plays_no_role(model):
    """Targets come from trained positions only; a prompt token is seen, never a target."""
    row = rows(count=1)[0]
    batch = collate([row], pad=0)
    assert batch.targets.tolist() == row.ids[row.trained].tolist()
    logits = model(batch.ids).logits
    logits.retain_grad()
    chosen = logits[0, batch.positions]
    torch.nn.functional.cross_entropy(chosen, batch.targets, reduction="sum").backward()
    untrained = [place for place in range(len(row)) if place not in batch.positions.tolist()]
    assert not logits.grad[0, untrained].any()


def test_gradients_equal_those_of_all_logits(model):
    batch = collate(rows(), pad=0)
    nll(model, batch).total.backward()
    ours = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()
    logits = model(batch.ids).logits.flatten(0, 1)[batch.positions]
    torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum").backward()
    for name, value in model.named_parameters():
        torch.testing.assert_close(ours[name], value.grad, rtol=1e-4, atol=1e-5)


def test_the_head_computes_trained_positions_only(model):
    batch = collate(rows(), pad=0)
    seen = []
    hook = model.lm_head.register_forward_hook(lambda module, arguments, output: seen.append(output.shape))
    nll(model, batch)
    hook.remove()
    assert seen == [(1, len(batch.targets), 260)]
    assert model(batch.ids).logits.shape[:2] == batch.ids.shape


def test_a_model_without_an_output_layer_of_its_own(model, monkeypatch):
    batch = collate(rows(), pad=0)
    expected = nll(model, batch).total.item()
    monkeypatch.setattr(model, "get_output_embeddings", lambda: None)
    assert nll(model, batch).total.item() == pytest.approx(expected, rel=1e-6)


def test_another_architecture():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=260, n_positions=64, n_embd=16, n_layer=2, n_head=2)).eval()
    batch = collate(rows(), pad=0)
    logits = model(batch.ids).logits.flatten(0, 1)[batch.positions]
    expected = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="sum")
    assert nll(model, batch).total.item() == pytest.approx(expected.item(), rel=1e-6)
