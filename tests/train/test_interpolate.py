from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from train import Arm, TrainError, fit, interpolate_weights, merge_adapter

IDS = torch.tensor([[256, 10, 20, 30]])


def tuned(model, data, output, **settings):
    arm = Arm(learning_rate=1e-2, steps=3, batch_size=4, **settings)
    return fit(arm, model=model, data=data, output=output).folder


def tensors(folder):
    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


def test_a_full_model_lies_between_and_loads(model_folder, dataset, tmp_path):
    folder = tuned(model_folder, dataset(), tmp_path / "full", adapter="full")
    start, end = tensors(model_folder), tensors(folder)
    for alpha in (0.0, 0.25, 1.0):
        made = interpolate_weights(model_folder, folder, alpha, tmp_path / f"at-{alpha}")
        found = tensors(made)
        assert found.keys() == end.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, (1 - alpha) * start[name] + alpha * end[name], rtol=1e-5, atol=1e-7)
        assert AutoModelForCausalLM.from_pretrained(made)(IDS).logits.isfinite().all()
    assert (tmp_path / "at-1.0" / "tokenizer.json").read_bytes() == (model_folder / "tokenizer.json").read_bytes()


def test_an_adapter_is_scaled_as_its_merged_model_would_be(model_folder, dataset, tmp_path):
    folder = tuned(model_folder, dataset(), tmp_path / "lora", rank=2)
    half = interpolate_weights(model_folder, folder, 0.5, tmp_path / "half")
    assert (half / "adapter_config.json").is_file()
    merged = merge_adapter(model_folder, folder, tmp_path / "merged")
    between = tensors(interpolate_weights(model_folder, merged, 0.5, tmp_path / "between"))
    scaled = tensors(merge_adapter(model_folder, half, tmp_path / "scaled"))
    for name, value in between.items():
        torch.testing.assert_close(scaled[name], value, rtol=1e-4, atol=1e-6)


def test_an_adapter_that_is_not_linear_in_its_b_is_folded_in_first(model_folder, dataset, tmp_path):
    """DoRA scales every row to a length of its own; half its B is not half its change."""
    import peft

    base = AutoModelForCausalLM.from_pretrained(model_folder)
    config = peft.LoraConfig(r=2, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(base, config)
    for name, value in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1, generator=torch.Generator().manual_seed(0))
    wrapped.save_pretrained(tmp_path / "dora")
    made = interpolate_weights(model_folder, tmp_path / "dora", 0.5, tmp_path / "out")
    merged = tensors(merge_adapter(model_folder, tmp_path / "dora", tmp_path / "merged"))
    start = tensors(model_folder)
    for name, value in tensors(made).items():
        torch.testing.assert_close(value, (start[name] + merged[name]) / 2, rtol=1e-4, atol=1e-6)


def test_models_of_other_weights_are_refused(model_folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(model_folder, other)
    held = load_file(other / "model.safetensors")
    name = next(iter(held))
    save_file({**held, name: held[name][:-1].clone()}, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainError, match="another shape"):
        interpolate_weights(model_folder, other, 0.5, tmp_path / "out")
    del held[name]
    save_file(held, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainError, match="do not have the same weights"):
        interpolate_weights(model_folder, other, 0.5, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert json.loads((other / "config.json").read_text())
