"""Tuners of PEFT by name: they train, what is saved loads as it was, and the base is as before when they are off."""

from __future__ import annotations

import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from datakit.core.adapters import lay_over, switched_off, take_off
from train import Arm, TrainError, fit
from train.adapters import tuner

pytest.importorskip("peft")
IDS = torch.tensor([[256, 10, 20, 30, 40]])
ATTENTION = {"target_modules": ["q_proj", "v_proj"]}
TUNERS = {
    "peft:ia3": {},
    "peft:vera": {"r": 16, **ATTENTION},
    "peft:loha": {"r": 2, **ATTENTION},
    "peft:prompt_tuning": {"num_virtual_tokens": 4},
    "peft:hra": {"r": 2, **ATTENTION},
}
SAID = "ignore:Position ids are not supported for parameter efficient tuning"


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits[:, -IDS.shape[1] :]


@pytest.mark.filterwarnings(SAID)
@pytest.mark.parametrize("name", TUNERS)
def test_it_trains_and_loads(name, model_folder, dataset, tmp_path):
    seen = []
    result = fit(
        Arm(adapter=name, learning_rate=2e-2, steps=10, batch_size=8, options=TUNERS[name]),
        model=model_folder,
        data=dataset(),
        output=tmp_path / "out",
        probe=lambda model, step: seen.append(logits(model)) or {},
    )
    assert result.validation_loss < result.history[0]["validation_loss"] - 0.01
    assert result.trainable_parameters < result.total_parameters / 5
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    before = logits(base)
    tuned = lay_over(base, tmp_path / "out")
    assert torch.equal(logits(tuned), seen[-1])
    assert not torch.allclose(seen[-1], before, atol=1e-3)
    with switched_off(tuned):
        assert torch.allclose(logits(tuned), before, atol=1e-6)
    assert torch.equal(logits(take_off(tuned)), before)


@pytest.mark.filterwarnings(SAID)
def test_virtual_tokens_do_not_shift_what_is_trained(model_folder, dataset, tmp_path, monkeypatch):
    """The loss before the first step is that of the tokens after the virtual ones, not of places beside them."""
    arm = Arm(adapter="peft:prompt_tuning", learning_rate=1e-9, steps=1, options={"num_virtual_tokens": 4})
    data = dataset([("q", "a")], [("capital of France?", "Paris")])
    found = fit(arm, model=model_folder, data=data, output=tmp_path / "out").history[0]["validation_loss"]
    tuned = lay_over(AutoModelForCausalLM.from_pretrained(model_folder), tmp_path / "out")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    prompt, whole = tokenizer("capital of France?")["input_ids"], tokenizer("capital of France? Paris</s>")["input_ids"]
    with torch.no_grad():
        scores = tuned(input_ids=torch.tensor([whole])).logits[0, 4:].log_softmax(-1)
    wanted = range(len(prompt), len(whole))
    assert found == pytest.approx(-sum(float(scores[at - 1, whole[at]]) for at in wanted) / len(wanted), abs=1e-4)
    monkeypatch.setattr(tuner, "_hide_virtual_tokens", lambda *_: None)
    other = fit(arm, model=model_folder, data=data, output=tmp_path / "out").history[0]["validation_loss"]
    assert abs(found - other) > 1e-2


def test_what_peft_does_not_have_is_named(model_folder, dataset, tmp_path):
    def run(name, **options):
        fit(Arm(adapter=name, options=options), model=model_folder, data=dataset(), output=tmp_path / "out")

    with pytest.raises(TrainError, match=r"no tuner 'veera'.*Did you mean 'vera'"):
        run("peft:veera")
    with pytest.raises(TrainError, match=r"VeraConfig has no 'rank'"):
        run("peft:vera", rank=3)
    with pytest.raises(TrainError, match=r"adapter peft:vera does not fit this model"):
        run("peft:vera", target_modules=["nothing"])
    with pytest.raises(ValueError, match=r"no adapter named 'peft:'; known: .*peft:NAME"):
        Arm(adapter="peft:")


def test_qlora_says_what_it_needs(model_folder, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(TrainError, match="qlora needs bitsandbytes, which does not run here"):
        fit(Arm(adapter="qlora"), model=model_folder, data=dataset(), output=tmp_path / "out")
