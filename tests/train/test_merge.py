"""An adapter folded into its base answers as the two together, and is a model like any other."""

from __future__ import annotations

import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from train import Arm, TrainError, can_merge, check_merged, fit, merge_adapter

peft = pytest.importorskip("peft")
LORA = Arm(rank=2, learning_rate=1e-2, steps=4, batch_size=4)


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([[256, 10, 20, 30]])).logits


def test_a_merged_adapter_answers_as_base_and_adapter_together(model_folder, dataset, tmp_path):
    fit(LORA, model=model_folder, data=dataset(), output=tmp_path / "adapter")
    merged = merge_adapter(model_folder, tmp_path / "adapter", tmp_path / "merged")
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    plain = logits(base)
    together = logits(peft.PeftModel.from_pretrained(base, tmp_path / "adapter"))
    alone = logits(AutoModelForCausalLM.from_pretrained(merged))
    assert torch.allclose(alone, together, atol=1e-5)
    assert not torch.allclose(alone, plain, atol=1e-3)
    fit(LORA, model=merged, data=dataset(), output=tmp_path / "next")  # a base for a further training


def test_the_data_type_of_the_base_stays(bfloat16_folder, dataset, tmp_path):
    fit(LORA, model=bfloat16_folder, data=dataset(), output=tmp_path / "adapter")
    merged = merge_adapter(bfloat16_folder, tmp_path / "adapter", tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(merged).dtype == torch.bfloat16


def test_an_adapter_of_another_model_is_one_line(model_folder, make_model, tokenizer, dataset, tmp_path):
    fit(LORA, model=model_folder, data=dataset(), output=tmp_path / "adapter")
    other = tmp_path / "other"
    shutil.copytree(model_folder, other)
    config = other / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 64', '"intermediate_size": 32'))
    from safetensors.torch import load_file, save_file

    tensors = load_file(other / "model.safetensors")
    cut = {
        name: (value[:32] if "gate" in name or "up_proj" in name else value[:, :32] if "down" in name else value)
        for name, value in tensors.items()
    }
    save_file({name: value.contiguous() for name, value in cut.items()}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(TrainError, match="cannot be added to its base") as caught:
        merge_adapter(other, tmp_path / "adapter", tmp_path / "merged")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "merged").exists()


def test_a_sum_that_answers_otherwise_is_not_written(model_folder, dataset, tmp_path, monkeypatch):
    from peft.tuners.lora.layer import Linear

    fit(LORA, model=model_folder, data=dataset(), output=tmp_path / "adapter")
    assert check_merged(model_folder, tmp_path / "adapter") < 1e-4
    whole = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: whole(self, name) / 2)
    with pytest.raises(TrainError, match="answers otherwise than over it"):
        merge_adapter(model_folder, tmp_path / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_generation_of_a_merged_model_stops_where_answers_end(chat_folder, dataset, tmp_path):
    fit(LORA, model=chat_folder, data=dataset(), output=tmp_path / "adapter")
    merged = merge_adapter(chat_folder, tmp_path / "adapter", tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(merged).generation_config.eos_token_id == [257, 259]


@pytest.mark.parametrize(("name", "options"), [("dora", {}), ("osf", {}), ("peft:ia3", {}), ("peft:hra", {"r": 2})])
def test_other_tuners_are_folded_too(name, options, model_folder, dataset, tmp_path):
    arm = Arm(adapter=name, learning_rate=1e-2, steps=2, options=options)
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "adapter")
    assert check_merged(model_folder, tmp_path / "adapter") < 1e-4


@pytest.mark.parametrize(("name", "options"), [("loreft", {}), ("peft:prompt_tuning", {"num_virtual_tokens": 4})])
def test_what_leaves_weights_alone_is_not_folded(name, options, model_folder, dataset, tmp_path):
    arm = Arm(adapter=name, learning_rate=1e-2, steps=2, options=options)
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "adapter")
    assert not can_merge(tmp_path / "adapter")
    with pytest.raises(TrainError, match="cannot be added to its base's weights"):
        merge_adapter(model_folder, tmp_path / "adapter", tmp_path / "merged")
