from __future__ import annotations

import json
import shutil

import pytest

from datakit.core.chat import ChatSettings
from datakit.core.checkpoint import stored_dtype
from datakit.core.errors import DatakitError, ModelError
from train import Arm, Diverged, TrainError, fit, prepare
from train.models import longest_length


@pytest.fixture
def copied(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


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


def test_weights_of_other_shapes_than_the_config_says_are_named(copied, dataset, tmp_path):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "vocab_size": 10}))
    with pytest.raises(
        ModelError, match=r"do not fit config\.json: '.*embed_tokens.weight' is 260 x 32 and has to be 10 x"
    ):
        fit(Arm(steps=1), model=copied, data=dataset(), output=tmp_path / "out")


def test_weights_that_are_nan_are_said_to_be(copied, make_model, dataset, tmp_path):
    broken = make_model()
    broken.model.norm.weight.data[0] = float("nan")
    broken.save_pretrained(copied)
    with pytest.raises(Diverged, match=r"the loss is nan before the first step.*weights that are NaN"):
        fit(Arm(steps=1), model=copied, data=dataset(), output=tmp_path / "out")
