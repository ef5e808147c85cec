"""Tokenizers and splits that lack something: trained where nothing is missing for it, else one clear line."""

from __future__ import annotations

import pytest

from datakit.core.chat import ChatSettings, render_prompt
from datakit.core.errors import DatakitError
from datakit.core.example import to_table
from datakit.core.storage import write_table
from train import Arm, fit

CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSING = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + (
    CHAT.removeprefix("{% for m in messages %}")
)


@pytest.fixture
def trained(make_model, tmp_path):
    def run(tokenizer, data, *, chat=None):
        make_model().save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        arm = Arm(adapter="full", learning_rate=1e-3, steps=1)
        return fit(arm, model=tmp_path / "model", data=data, output=tmp_path / "out", chat=chat)

    return run


def test_no_end_token(trained, make_tokenizer, dataset):
    with pytest.raises(DatakitError, match=r"the tokenizer has no end-of-sequence token\. Set eos_token"):
        trained(make_tokenizer(eos=False), dataset())
    assert trained(make_tokenizer(eos=False, template=CHAT), dataset()).steps == 1  # its turns end by themselves


def test_no_token_to_pad_with(trained, make_tokenizer, dataset):
    tokenizer = make_tokenizer()
    assert tokenizer.pad_token is None
    assert trained(tokenizer, dataset()).validation_loss is not None


def test_templates_that_are_broken_refuse_or_never_end(trained, make_tokenizer, dataset):
    with pytest.raises(DatakitError, match=r"does not render turns of user, assistant \(unexpected '}'\)"):
        trained(make_tokenizer(template="{% for m in messages %}{{ m.content }"), dataset())
    refusing = make_tokenizer(bos=False, template=REFUSING)
    assert trained(refusing, dataset()).steps == 1
    with pytest.raises(DatakitError, match=r"row row0: .* turns of system, user \(no system here\).*system prompt out"):
        trained(refusing, dataset(), chat=ChatSettings(system="be kind"))
    with pytest.raises(DatakitError, match="no end-of-turn token"):
        trained(make_tokenizer(template="{% for m in messages %}{{ m.content }}{% endfor %}"), dataset())


def test_splits_without_rows(trained, make_tokenizer, dataset):
    data = dataset()
    write_table(data / "validation-00000.parquet", to_table([]))
    assert trained(make_tokenizer(), data).validation_loss is None
    write_table(data / "train-00000.parquet", to_table([]))
    with pytest.raises(DatakitError, match="nothing to train on in 'train': it has no rows"):
        trained(make_tokenizer(), data)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ 1 // 0 }}", "zero"),
        ("{{ messages[0].content + 1 }}", "concatenate"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "recursion"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_whatever_a_template_raises_is_one_line(template, said, trained, make_tokenizer, dataset):
    with pytest.raises(DatakitError, match=rf"does not render turns of user, assistant \(.*{said}"):
        trained(make_tokenizer(template=template), dataset())


def test_a_template_that_loops_is_ended(trained, make_tokenizer, dataset, monkeypatch):
    monkeypatch.setattr("datakit.core.chat._FIRST", 0.1)
    loop = "{% for i in range(90000) %}" * 3 + "{% endfor %}" * 3
    with pytest.raises(DatakitError, match=r"has not rendered one answer in 0\.1 s\. Does it loop\?"):
        trained(make_tokenizer(template=loop), dataset())


def test_a_template_that_makes_far_too_much_of_a_row_names_it(trained, make_tokenizer, dataset):
    """10 MB for every row would go through the tokenizer otherwise. Only one row meets it."""
    bomb = "{% if 'Italy' in messages[0].content %}{{ 'x' * 10000000 }}{% endif %}"
    template = bomb + "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    with pytest.raises(DatakitError) as caught:
        trained(make_tokenizer(template=template), dataset())
    said = str(caught.value)
    assert "chat template makes 10,0" in said
    assert "it may add 1,000,000 to them" in said
    assert "row1" in said


def test_a_long_turn_is_no_fault_of_the_template(make_tokenizer):
    tokenizer = make_tokenizer(template="{% for m in messages %}{{ m.content | tojson }}{% endfor %}")
    turns = [{"role": "user", "content": "가\n" * 1_500_000}]
    assert len(render_prompt(turns, tokenizer, ChatSettings())) > 3_000_000
