"""Tokens that were added to the tokenizer: refused, or the model grows, and what grew is trained and saved."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from train import Arm, TrainError, fit
from train.adapters.full import Full
from train.checks.vocabulary import check_saved_vocabulary

FULL = Arm(adapter="full", learning_rate=1e-2, steps=30, resize_vocabulary=True)


@pytest.fixture
def added(model_folder, tmp_path):
    """The tiny model with a tokenizer that has three tokens more."""
    folder = tmp_path / "added"
    shutil.copytree(model_folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<red>", "<green>", "<blue>"])
    tokenizer.save_pretrained(folder)
    return folder


PAIRS = [("grass?", "<green>"), ("sky?", "<blue>"), ("blood?", "<red>")]


def test_added_tokens_are_refused_with_what_to_do(added, dataset, tmp_path):
    data = dataset(PAIRS)
    with pytest.raises(TrainError, match=r"263 tokens\) makes token 262, the model has 260.*resize_vocabulary: true"):
        fit(Arm(adapter="full", steps=1), model=added, data=data, output=tmp_path / "out")
    with pytest.raises(TrainError, match="resize_vocabulary needs adapter full"):
        fit(Arm(steps=1, resize_vocabulary=True), model=added, data=data, output=tmp_path / "out")


def test_a_grown_model_is_trained_and_saved(added, dataset, tmp_path):
    fit(FULL, model=added, data=dataset(PAIRS, PAIRS), output=tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == 263
    start = AutoModelForCausalLM.from_pretrained(added)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start.resize_token_embeddings(263)
    moved = model.get_input_embeddings().weight[260:] - start.get_input_embeddings().weight[260:]
    assert (moved.abs().amax(1) > 1e-4).all()
    ids = tokenizer("grass?", return_tensors="pt")["input_ids"]
    said = model.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    assert "<green>" in tokenizer.decode(said)


def test_growth_that_is_not_saved_is_found(added, dataset, tmp_path, monkeypatch):
    def forget(self, model, folder):
        model.save_pretrained(folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:260].clone()
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(Full, "save", forget)
    with pytest.raises(TrainError, match="the saved model has 260 embeddings, the trained one 263"):
        fit(FULL.model_copy(update={"steps": 1}), model=added, data=dataset(PAIRS), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_config_of_another_size_is_found(model, model_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(model_folder, folder)
    check_saved_vocabulary(model, folder)
    config = json.loads((folder / "config.json").read_text()) | {"vocab_size": 999}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TrainError, match="has 999 embeddings, the trained one 260"):
        check_saved_vocabulary(model, folder)
