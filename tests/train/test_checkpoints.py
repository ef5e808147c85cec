"""Finding and loading model folders: what all packages share, tested where small models are at hand."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from datakit.core.checkpoint import find_model, load_model, load_tokenizer
from datakit.core.errors import ModelError, Unreachable


@pytest.fixture
def copied(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


def test_a_path_that_is_no_model(tmp_path, copied):
    with pytest.raises(ModelError, match="no such folder"):
        find_model(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"no config\.json"):
        find_model(tmp_path)
    (copied / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is an adapter"):
        find_model(copied)


def test_pickled_weights_are_never_read(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are never read"):
        find_model(copied)


def test_a_hub_name_that_is_not_in_the_cache():
    with pytest.raises(Unreachable, match="the network is off") as caught:
        find_model("nobody/no-such-model", offline=True)
    assert "\n" not in str(caught.value)


def test_broken_weights_are_one_line(copied):
    (copied / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="not loadable") as caught:
        load_model(copied, dtype=torch.float32)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_not_made_up(copied):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, 'model\.norm\.weight'"):
        load_model(copied, dtype=torch.float32)


def test_a_model_that_needs_its_own_code_is_refused(copied):
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "mine.Mine"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "mine.py").write_text("raise SystemExit('executed')")
    with pytest.raises(ModelError, match="not loadable"):
        load_model(copied, dtype=torch.float32)


def test_a_folder_without_tokenizer(copied):
    for file in copied.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="no usable tokenizer"):
        load_tokenizer(copied)
