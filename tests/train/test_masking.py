from __future__ import annotations

import pytest

from datakit.core.chat import ChatSettings, ends_turn
from train.errors import TrainError
from train.masking import completion_row, text_rows

PLAIN = ChatSettings()


def trained_text(row, tokenizer):
    return tokenizer.decode([id for id, trained in zip(row.ids.tolist(), row.trained, strict=True) if trained])


def test_trains_the_answer_and_its_end_and_nothing_else(tokenizer):
    messages = [{"role": "user", "content": "수도는?"}, {"role": "assistant", "content": "서울"}]
    row = completion_row("r", messages, tokenizer, PLAIN, end="</s>", max_length=128)
    assert tokenizer.decode(row.ids.tolist()) == "<s>수도는? 서울</s>"
    assert trained_text(row, tokenizer) == " 서울</s>"


def test_a_chat_template_trains_the_last_assistant_turn_alone(chat_tokenizer):
    turns = [("user", "one"), ("assistant", "first"), ("user", "two"), ("assistant", "second")]
    messages = [{"role": role, "content": content} for role, content in turns]
    end = ends_turn(chat_tokenizer, PLAIN)
    row = completion_row("r", messages, chat_tokenizer, PLAIN, end=end, max_length=512)
    whole = chat_tokenizer.apply_chat_template(messages, tokenize=False)
    assert chat_tokenizer.decode(row.ids.tolist()) == whole
    assert trained_text(row, chat_tokenizer) == "second<|im_end|>\n"


def test_the_system_prompt_of_the_chat_settings_is_not_trained(chat_tokenizer):
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    chat = ChatSettings(system="Be brief.")
    row = completion_row("r", messages, chat_tokenizer, chat, end=ends_turn(chat_tokenizer, chat), max_length=512)
    assert "Be brief." in chat_tokenizer.decode(row.ids.tolist())
    assert trained_text(row, chat_tokenizer) == "a<|im_end|>\n"


def test_a_long_row_loses_its_end_and_says_so(tokenizer):
    messages = [{"role": "user", "content": "x" * 10}, {"role": "assistant", "content": "y" * 10}]
    row = completion_row("r", messages, tokenizer, PLAIN, end="</s>", max_length=15)
    assert row.truncated
    assert len(row) == 15
    assert trained_text(row, tokenizer) == " yyy"
    gone = completion_row("r", messages, tokenizer, PLAIN, end="</s>", max_length=11)
    assert not gone.trained.any()


@pytest.mark.parametrize("messages", [None, [], [{"role": "user", "content": "q"}]])
def test_a_row_without_an_answer_is_refused_by_name(tokenizer, messages):
    with pytest.raises(TrainError, match="row r7"):
        completion_row("r7", messages, tokenizer, PLAIN, end="</s>", max_length=9)


def test_plain_text_is_trained_whole_and_long_text_is_cut_into_rows(tokenizer):
    rows = text_rows("t", "0123456789" * 3, tokenizer, max_length=10)
    assert [len(row) for row in rows] == [10, 10, 10, 2]
    assert "".join(tokenizer.decode(row.ids.tolist()) for row in rows) == "<s>" + "0123456789" * 3 + "</s>"
    for row in rows:
        assert row.trained[1:].all()
        assert not row.trained[0]
        assert not row.truncated


def test_empty_text_is_refused(tokenizer):
    with pytest.raises(TrainError, match="row t: no trained token"):
        text_rows("t", " ", tokenizer, max_length=10)
