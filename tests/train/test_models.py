from __future__ import annotations

import json
import shutil

import pytest
import torch

from datakit.core.chat import ChatSettings
from datakit.core.errors import DatakitError, Unreachable
from train import Arm, TrainError, prepare
from train.models import find_model, load_model, load_tokenizer, longest_length, stored_dtype


@pytest.fixture
def copied(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


def test_a_path_that_is_no_model(tmp_path, copied):
    with pytest.raises(TrainError, match="no such folder"):
        find_model(tmp_path / "nothing")
    with pytest.raises(TrainError, match=r"no config\.json"):
        find_model(tmp_path)
    (copied / "adapter_config.json").write_text("{}")
    with pytest.raises(TrainError, match="is an adapter"):
        find_model(copied)


def test_pickled_weights_are_never_read(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(TrainError, match="pickled weights are never read"):
        find_model(copied)


def test_a_hub_name_that_is_not_in_the_cache():
    with pytest.raises(Unreachable, match="the network is off") as caught:
        find_model("nobody/no-such-model", offline=True)
    assert "\n" not in str(caught.value)


def test_broken_weights_are_one_line(copied):
    (copied / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(TrainError, match="not loadable") as caught:
        load_model(copied, torch.float32)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_not_made_up(copied):
    from safetensors.torch import load_file, save_file

    tensors = load_file(copied / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainError, match=r"1 weights are missing, 'model\.norm\.weight'"):
        load_model(copied, torch.float32)


def test_a_model_that_needs_its_own_code_is_refused(copied):
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "mine.Mine"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "mine.py").write_text("raise SystemExit('executed')")
    with pytest.raises(TrainError, match="not loadable"):
        load_model(copied, torch.float32)


def test_a_folder_without_tokenizer(copied):
    for file in copied.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(TrainError, match="no usable tokenizer"):
        load_tokenizer(copied)


def test_lengths_and_data_types(model_folder, bfloat16_folder):
    assert longest_length(model_folder, None) == 128
    assert longest_length(model_folder, 64) == 64
    assert stored_dtype(model_folder) == "float32"
    assert stored_dtype(bfloat16_folder) == "bfloat16"


def test_a_tokenizer_without_an_end_is_refused(copied, make_tokenizer, dataset):
    make_tokenizer(eos=False).save_pretrained(copied)
    with pytest.raises(DatakitError, match="no end-of-sequence token"):
        prepare(Arm(), model=copied, data=dataset())


def test_a_tokenizer_without_an_end_will_do_with_a_template_that_ends_turns(copied, make_tokenizer, dataset):
    template = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    make_tokenizer(eos=False, bos=False, template=template).save_pretrained(copied)
    ready = prepare(Arm(), model=copied, data=dataset())
    assert ready.stop_tokens == [259]
    with pytest.raises(DatakitError, match="no end-of-sequence token"):
        prepare(Arm(), model=copied, data=dataset(), chat=ChatSettings(template="none"))


def test_a_template_that_writes_bos_once_more(copied, make_tokenizer, dataset):
    template = "<s>{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}"
    make_tokenizer(template=template).save_pretrained(copied)
    with pytest.raises(TrainError, match="row row0: begins with two BOS"):
        prepare(Arm(), model=copied, data=dataset())


def test_a_template_that_writes_its_own_bos_gets_no_second(copied, make_tokenizer, dataset):
    template = "<s>{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    make_tokenizer(template=template).save_pretrained(copied)
    ready = prepare(Arm(), model=copied, data=dataset())
    assert (ready.train.rows[0].ids == 256).sum() == 1
