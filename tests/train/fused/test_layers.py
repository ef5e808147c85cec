"""Whole decoder layers in one function against the model's own, over packed rows."""

from __future__ import annotations

import contextlib

import pytest
import torch

from tests.train.fused.test_passes import model_of, row, same
from train.attention import DocumentAttention
from train.data import Batch
from train.fused import FusedLayers
from train.losses import nll
from train.packing import pack

ROWS = [row(1, 20, 5), row(2, 31, 9), row(3, 12, 2), row(4, 21, 20), row(5, 1, 0), row(6, 2, 1)]


def measured(model, batch: Batch, passes=None):
    model.zero_grad()
    with DocumentAttention(model), passes or contextlib.nullcontext():
        loss = nll(model, batch).total
        loss.backward()
    return loss.detach(), {name: part.grad.clone() for name, part in model.named_parameters() if part.grad is not None}


def fused(model, *, last: bool = True) -> FusedLayers:
    return FusedLayers(model, DocumentAttention(model), last=last)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[3:4], ROWS[:3]])
def test_the_loss_and_every_gradient_stay(key_heads: int, rows, last: bool) -> None:
    model = model_of("llama", num_key_value_heads=key_heads)
    batch = pack(rows)
    before = measured(model, batch)
    layers = fused(model, last=last)
    assert layers.count == 3
    same(measured(model, batch, layers), before)
    assert not any("forward" in part.__dict__ for part in model.modules())
    assert torch.equal(measured(model, batch)[0], before[0])


def test_the_same_twice_to_the_last_bit() -> None:
    model = model_of("llama")
    layers = fused(model)
    first, second = (measured(model, pack(ROWS), layers) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])


def test_frozen_weights_have_no_gradient() -> None:
    model = model_of("llama")
    for name, part in model.named_parameters():
        part.requires_grad_("up_proj" in name or "input_layernorm" in name)
    before = measured(model, pack(ROWS))
    layers = fused(model)
    assert layers.count == 3
    same(measured(model, pack(ROWS), layers), before)


@pytest.mark.parametrize(
    ("kind", "changes", "count"),
    [
        ("qwen2", {}, 0),  # biases
        ("qwen3", {}, 0),  # norms of heads
        ("olmo2", {}, 0),  # norms elsewhere
        ("gpt_neox", {}, 0),
        ("mistral", {}, 0),  # a window
        ("mistral", {"sliding_window": None}, 3),
        ("granite", {"residual_multiplier": 0.5}, 0),
        ("smollm3", {"no_rope_layer_interval": 3}, 2),  # the third layer has no positions
        ("llama", {"hidden_act": "gelu"}, 0),
        ("llama", {"attention_dropout": 0.1}, 0),
    ],
)
def test_layers_of_other_parts_stay_as_they_are(kind: str, changes: dict[str, object], count: int) -> None:
    model = model_of(kind, **changes).eval()
    before = measured(model, pack(ROWS))
    layers = fused(model)
    assert layers.count == count
    same(measured(model, pack(ROWS), layers), before)


def test_a_layer_that_somebody_changed_is_left_alone() -> None:
    model = model_of("llama")
    model.model.layers[1].mlp.register_forward_hook(lambda module, inputs, output: 2 * output)
    layers = fused(model)
    assert layers.count == 2
    same(measured(model, pack(ROWS), layers), measured(model, pack(ROWS)))


def test_a_hook_that_comes_later_is_called() -> None:
    model = model_of("llama")
    layers, seen = fused(model), []
    model.model.layers[0].self_attn.register_forward_hook(lambda *_: seen.append(1))
    measured(model, pack(ROWS), layers)
    assert len(seen) == 1


def test_lora_is_left_alone() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model_of("llama"), LoraConfig(r=2, target_modules=["v_proj"]))
    assert fused(model).count == 0


def test_rows_side_by_side_go_through_the_model_s_own_layers() -> None:
    from train.data import collate

    model = model_of("llama")
    batch = collate(ROWS[:3], pad=0)
    before = measured(model, batch)
    layers = fused(model)
    after = measured(model, batch, layers)
    assert torch.equal(after[0], before[0])


def test_under_no_grad() -> None:
    model = model_of("llama")
    batch = pack(ROWS)
    with torch.no_grad(), DocumentAttention(model):
        before = nll(model, batch).total
        with fused(model):
            assert torch.allclose(nll(model, batch).total, before, rtol=1e-5)


@pytest.mark.parametrize("wrong", ["", "result", "gradient"])
def test_the_narrow_way_is_tried_on_the_whole_model(wrong: str, monkeypatch) -> None:
    from train import Arm
    from train.fused import layer
    from train.fused.chosen import fewer_passes
    from train.objectives.sft import Sft

    model, own = model_of("llama"), layer.decoder_layer

    def changed(x, shape, rows, weights):
        found = own(x, shape, rows, weights)
        if rows.seen is None:
            return found
        return {"result": found + 0.1, "gradient": found + 0.01 * (found - found.detach())}.get(wrong, found)

    monkeypatch.setattr(layer, "decoder_layer", changed)
    found = fewer_passes(model, ROWS, objective=Sft(), pad=0, arm=Arm(), attention=DocumentAttention(model))
    assert ("3 layers in one function each" in found.text) == (not wrong)
