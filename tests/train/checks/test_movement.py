"""Tensors that rest are named, and all that was checked stands in train.json."""

from __future__ import annotations

import torch

from datakit.core.storage import read_json
from train import Arm, Checked, fit
from train.checks.movement import moved
from train.preflight import fingerprint


def test_a_tensor_that_rests_is_named(model):
    model.model.spare = torch.nn.Linear(3, 3)
    before = fingerprint(model)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "spare" not in name:
                value.add_(1e-6)
    found = moved(before, model, 3)
    assert not found.passed
    assert found.text.startswith(f"2 of {len(before)} trained tensors did not move within 3 steps: model.spare.weight")
    with torch.no_grad():
        model.model.spare.weight.add_(1e-6)
        model.model.spare.bias.add_(1e-6)
    assert moved(before, model, 3).passed


def test_a_training_tells_what_rests(model_folder, dataset, tmp_path, monkeypatch):
    from train.adapters.full import Full

    def apply(self, model, arm):
        model.model.spare = torch.nn.Linear(3, 3)
        return model.requires_grad_(True)

    events = []
    arm = Arm(adapter="full", learning_rate=1e-3, steps=4)
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "a", progress=events.append)
    assert all(event.passed for event in events if isinstance(event, Checked))
    monkeypatch.setattr(Full, "apply", apply)
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "b")
    found = {name: {one["check"]: one for one in read_json(tmp_path / name / "train.json")["checks"]} for name in "ab"}
    assert set(found["a"]) == {"length", "prefix", "turns", "vocabulary", "sums", "passes", "movement"}
    assert found["a"]["movement"]["passed"]
    assert "model.spare.weight" in found["b"]["movement"]["text"]


def test_one_step_of_lora_moves_its_b_alone_and_that_is_no_note(model_folder, dataset, tmp_path):
    fit(Arm(learning_rate=1e-3, steps=1), model=model_folder, data=dataset(), output=tmp_path / "one")
    (found,) = (one for one in read_json(tmp_path / "one" / "train.json")["checks"] if one["check"] == "movement")
    assert found["passed"]
    assert found["text"].endswith("trained tensors moved within 1 step")
