"""Cross-entropy in chunks is cross-entropy, its gradient too; where a model caps its logits it is not used."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch.nn import functional

import train.chunks
from train.chunks import linear_nll
from train.data import collate
from train.losses import nll


@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
@pytest.mark.parametrize("bias", [False, True])
def test_equals_cross_entropy_of_whole_logits(chunk, bias):
    torch.manual_seed(0)
    hidden = torch.randn(40, 16, requires_grad=True)
    weight = torch.randn(90, 16, requires_grad=True)
    shift = torch.randn(90, requires_grad=True) if bias else None
    targets = torch.randint(90, (40,))
    given = [value for value in (hidden, weight, shift) if value is not None]
    ours = linear_nll(hidden, weight, shift, targets, chunk=chunk)
    whole = functional.cross_entropy(functional.linear(hidden, weight, shift), targets, reduction="sum")
    torch.testing.assert_close(ours, whole, rtol=1e-6, atol=1e-4)
    for a, b in zip(torch.autograd.grad(ours, given), torch.autograd.grad(whole, given), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.fixture
def batch():
    from train.masking import Row

    def row(length, start):
        ids = torch.arange(start, start + length).numpy().astype("int32")
        return Row("a", ids, torch.arange(length).numpy() >= 2)

    return collate([row(9, 5), row(6, 100)], pad=0)


def test_a_models_loss_is_the_same_in_chunks(model, batch, monkeypatch):
    whole = nll(model, batch)
    whole.total.backward()
    expected = [value.grad.clone() for value in model.parameters()]
    model.zero_grad()
    monkeypatch.setattr(train.chunks, "_WHOLE", 0)
    monkeypatch.setattr(train.chunks, "_CHUNK", 3 * 260)
    found = nll(model, batch)
    assert found.logits is None
    found.total.backward()
    assert found.total.item() == pytest.approx(whole.total.item(), rel=1e-6)
    for value, grad in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(value.grad, grad, rtol=1e-4, atol=1e-5)


def test_capped_logits_are_used_whole(batch, monkeypatch):
    config = transformers.Gemma2Config(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.5,
        final_logit_softcapping=1.0,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    whole = nll(model, batch).total.item()
    monkeypatch.setattr(train.chunks, "_WHOLE", 0)
    found = nll(model, batch)
    assert found.logits is not None
    assert found.total.item() == pytest.approx(whole, rel=1e-6)
