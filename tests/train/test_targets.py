"""LoRA on the MLP alone: which layers that is in four architectures, and that only they are trained."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BertConfig, GPT2Config, ModernBertConfig

from datakit.core.adapters import lay_over
from train import Arm, TrainError, fit
from train.adapters import targets
from train.adapters.lora import Lora
from train.adapters.targets import target_modules


def suffixes(names):
    return {".".join(part for part in name.split(".")[-2:] if not part.isdigit()) for name in names}


def test_llama(model):
    names = target_modules(model, "mlp")
    assert suffixes(names) == {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}
    assert len(names) == 3 * len(model.model.layers)


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        (AutoModelForCausalLM, GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=50), {"mlp.c_fc", "mlp.c_proj"}),
        (
            AutoModelForMaskedLM,
            BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, vocab_size=50),
            {"intermediate.dense", "output.dense"},
        ),
        (
            AutoModelForMaskedLM,
            ModernBertConfig(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=8,
                vocab_size=50,
                pad_token_id=0,
                bos_token_id=1,
                cls_token_id=1,
                eos_token_id=2,
                sep_token_id=2,
            ),
            {"mlp.Wi", "mlp.Wo"},
        ),
    ],
    ids=["gpt2", "bert", "modernbert"],
)
def test_other_architectures(kind, config, expected):
    names = target_modules(kind.from_config(config), "mlp")
    assert suffixes(names) == expected
    assert not any("attention" in name or "attn" in name for name in names)


def test_only_the_mlp_is_trained(model):
    tuned = Lora().apply(model, Arm(targets="mlp", rank=2))
    trained = {name for name, value in tuned.named_parameters() if value.requires_grad}
    assert trained
    assert all(".mlp." in name for name in trained)
    everywhere = Lora().apply(type(model)(model.config), Arm(rank=2))
    assert any(".self_attn." in name for name, value in everywhere.named_parameters() if value.requires_grad)


def test_other_names_pass_and_a_model_without_an_mlp_is_refused(model):
    assert target_modules(model, "all-linear") == "all-linear"
    assert target_modules(model, ("q_proj",)) == ["q_proj"]
    with pytest.raises(TrainError, match="no linear layer outside attention"):
        target_modules(torch.nn.Linear(2, 2), "mlp")


@pytest.mark.parametrize("removed", [False, True])
def test_attention_stays_as_it_was_and_not_without_the_choice(removed, model_folder, dataset, tmp_path, monkeypatch):
    """Removed is what tells attention from the rest of a block."""
    if removed:
        monkeypatch.setattr(targets, "_ATTENTION", re.compile("never"))
    arm = Arm(targets="mlp", rank=2, learning_rate=1e-2, steps=4, batch_size=4)
    found = fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert found.validation_loss < found.history[0]["validation_loss"]
    start = dict(AutoModelForCausalLM.from_pretrained(model_folder).named_parameters())
    tuned = lay_over(AutoModelForCausalLM.from_pretrained(model_folder), tmp_path / "out").merge_and_unload()
    moved = {name for name, value in tuned.named_parameters() if not torch.equal(value, start[name])}
    assert {name for name in start if ".mlp." in name} <= moved
    assert any(".self_attn." in name for name in moved) is removed
