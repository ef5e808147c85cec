"""LoRA, rsLoRA, DoRA and OSF do what their equations say, and are no longer themselves without their central term."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from datakit.core.adapters import lay_over
from train import Arm, TrainError, fit
from train.adapters import osf

pytest.importorskip("peft")
from peft.tuners.lora.layer import Linear

IDS = torch.tensor([[256, 10, 20, 30, 40]])


def answers(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def trained(folder, base):
    return answers(lay_over(AutoModelForCausalLM.from_pretrained(base), folder))


def by_hand(folder, base, equation):
    """Logits of the base with every target's weight replaced by ``equation(W, A, B, tensors of the module)``."""
    tensors = load_file(folder / "adapter_model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(base)
    for name, module in model.named_modules():
        own = {key.split(f".{name}.")[1]: value for key, value in tensors.items() if f".{name}." in key}
        if own and hasattr(module, "weight"):
            module.weight.data = equation(
                module.weight.data, own["lora_A.weight"], own["lora_B.weight"], own.get("lora_magnitude_vector")
            )
    return answers(model)


def rewrite(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_lora_adds_a_low_rank_product_and_learns_nothing_without_it(model_folder, dataset, tmp_path, monkeypatch):
    arm, out = Arm(adapter="lora", rank=4, learning_rate=1e-2, steps=6, batch_size=4), tmp_path / "out"
    found = fit(arm, model=model_folder, data=dataset(), output=out)
    assert found.validation_loss < found.history[0]["validation_loss"] - 0.1
    assert torch.allclose(
        trained(out, model_folder), by_hand(out, model_folder, lambda w, a, b, _: w + 2 * b @ a), atol=1e-5
    )

    def without(self, x, *args, **settings):
        return self.base_layer(x) + 0.0 * sum(part.weight.sum() for part in self.lora_B.values())

    monkeypatch.setattr(Linear, "forward", without)
    with pytest.raises(TrainError, match="changed no weight"):
        fit(arm, model=model_folder, data=dataset(), output=tmp_path / "removed")


@pytest.mark.parametrize("rank", [4, 16])
def test_rslora_scales_by_the_root_of_the_rank(rank, model_folder, dataset, tmp_path):
    out = tmp_path / "out"
    fit(
        Arm(adapter="rslora", rank=rank, learning_rate=1e-2, steps=4, batch_size=4),
        model=model_folder,
        data=dataset(),
        output=out,
    )
    expected = by_hand(out, model_folder, lambda w, a, b, _: w + 8 / math.sqrt(rank) * b @ a)
    assert torch.allclose(trained(out, model_folder), expected, atol=1e-5)
    rewrite(out, use_rslora=False)
    assert not torch.allclose(trained(out, model_folder), expected, atol=1e-2)


def test_rsloras_alpha_stays_where_loras_follows_the_rank():
    assert (Arm(adapter="rslora", rank=64).alpha, Arm(adapter="lora", rank=64).alpha) == (8, 128)
    assert Arm(adapter="dora", rank=4).alpha == 8


def dora(w, a, b, m):
    moved = w + 2 * b @ a
    return moved * (m / moved.norm(dim=1))[:, None]


def test_dora_trains_length_and_direction_apart(model_folder, dataset, tmp_path):
    out = tmp_path / "out"
    arm = Arm(adapter="dora", rank=2, learning_rate=1e-2, steps=4, batch_size=4)
    fit(arm, model=model_folder, data=dataset(), output=out)
    assert torch.allclose(trained(out, model_folder), by_hand(out, model_folder, dora), atol=1e-5)
    start = {
        name: part.weight.norm(dim=1)
        for name, part in AutoModelForCausalLM.from_pretrained(model_folder).named_modules()
        if name.endswith("proj")
    }
    tensors = load_file(out / "adapter_model.safetensors")
    lengths = {key: value for key, value in tensors.items() if "magnitude" in key}
    assert len(lengths) == len(start)
    for name, before in start.items():
        after = next(value for key, value in lengths.items() if f".{name}." in key)
        assert not torch.allclose(after, before.detach(), atol=1e-4), name
    without_norm = by_hand(out, model_folder, lambda w, a, b, m: w + 2 * b @ a)
    assert not torch.allclose(trained(out, model_folder), without_norm, atol=1e-2)


def leak(folder, base):
    """Largest share of a weight's change that lies in the directions which are to stay as they are."""
    before = dict(AutoModelForCausalLM.from_pretrained(base).named_parameters())
    merged = lay_over(AutoModelForCausalLM.from_pretrained(base), folder).merge_and_unload()
    shares = []
    for name, after in merged.named_parameters():
        change = (after - before[name]).detach()
        if change.norm() < 1e-6:
            continue
        left, _, right = torch.linalg.svd(before[name].detach(), full_matrices=False)
        kept = min(change.shape) // 2
        shares += [(left[:, :kept].T @ change).norm() / change.norm(), (change @ right[:kept].T).norm() / change.norm()]
    assert len(shares) >= 2 * 7
    return max(float(share) for share in shares)


def test_osf_leaves_the_large_directions_alone(model_folder, dataset, tmp_path, monkeypatch):
    arm = Arm(adapter="osf", learning_rate=5e-3, steps=6, batch_size=4)
    result = fit(arm, model=model_folder, data=dataset(), output=tmp_path / "osf")
    assert result.validation_loss < result.history[0]["validation_loss"]
    assert leak(tmp_path / "osf", model_folder) < 1e-4
    monkeypatch.setattr(osf._Projection, "_project", lambda *_: None)
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "leaking")
    assert leak(tmp_path / "leaking", model_folder) > 0.05


def test_osf_freezes_the_share_that_is_asked_for(model_folder, dataset, tmp_path):
    counts = []
    for frozen in (0.5, 0.75):
        arm = Arm(adapter="osf", learning_rate=5e-3, steps=2, batch_size=4, options={"frozen": frozen})
        counts.append(fit(arm, model=model_folder, data=dataset(), output=tmp_path / "osf").trainable_parameters)
    assert 0.4 < counts[1] / counts[0] < 0.6


def test_a_rank_above_every_matrix_is_refused(model_folder, dataset, tmp_path):
    with pytest.raises(TrainError, match=r"rank 1,000 is more than any matrix of the model has \(32\)"):
        fit(Arm(rank=1000, steps=1), model=model_folder, data=dataset(), output=tmp_path / "out")
