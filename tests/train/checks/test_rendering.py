"""A token over the seam, and a template that writes a finished answer in another way, are found."""

from __future__ import annotations

import pyarrow as pa
import pytest

from datakit.core.chat import ChatSettings, ends_turn
from train import TrainError
from train.checks.rendering import check_prefix, check_turns, sampled
from train.encoder import Encoder

THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if not enable_thinking %}<think></think>{% endif %}"
    "{% endif %}"
)


def encoder(tokenizer, **chat):
    settings = ChatSettings(**chat)
    return Encoder(tokenizer, settings, ends_turn(tokenizer, settings), 128)


def turns(*contents):
    return [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(contents)]


@pytest.fixture
def merging():
    """A tokenizer that makes one token of 'ab'."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {letter: number for number, letter in enumerate(["a", "b", "c", " ", "</s>", "ab"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_a_token_over_the_seam_is_found(merging):
    rows = [("r1", turns("ca", "b"))] + [(f"r{at}", turns("cc", "b")) for at in range(2, 22)]
    found = check_prefix(rows, encoder(merging, delimiter=""))
    assert not found.passed
    assert found.text == "in 4.8% of 21 rows a token spans the end of the prompt, in row r1 for example"
    with pytest.raises(TrainError, match=r"in 50.0% of 2 rows.*set chat.delimiter"):
        check_prefix(rows[:2], encoder(merging, delimiter=""))
    assert check_prefix(rows, encoder(merging, delimiter=" ")).passed


def test_every_turn_is_rendered_as_it_was_asked_for(chat_tokenizer):
    rows = [("r1", turns("a", "b", "c", "d")), ("r2", turns("x", "y"))]
    for chat in ({}, {"system": "be kind"}, {"thinking": True}):
        found = check_turns(rows, encoder(chat_tokenizer, **chat))
        assert found.passed
        assert found.text == "all 3 answers of 2 rows are rendered alike when they are over"


def test_a_thought_that_is_opened_for_the_answer_and_gone_afterwards_is_found(make_tokenizer):
    tokenizer = make_tokenizer(bos=False, template=THINKING)
    rows = [("r7", turns("a", "b", "c", "d"))]
    found = check_turns(rows, encoder(tokenizer))
    assert not found.passed
    assert found.text.startswith("2 of 2 answers are rendered otherwise by the chat template once they are over")
    assert "turn 2 of row r7" in found.text
    assert check_turns(rows, encoder(tokenizer, thinking=True)).passed
    thought = [("r8", turns("a", "<think>x</think>b"))]
    assert check_turns(thought, encoder(tokenizer, thinking=True)).passed


def test_a_template_that_cuts_an_answer_is_found(make_tokenizer):
    cutting = make_tokenizer(bos=False, template=THINKING.replace("{{ m.content }}", "{{ m.content | trim }}"))
    rows = [("r1", turns("a", "b ")), ("r2", turns("a", "b"))]
    assert check_turns(rows, encoder(cutting, thinking=True)).text.startswith("1 of 2 answers")


def test_the_sample_is_spread_over_the_table():
    table = pa.table({"id": [str(at) for at in range(100)], "messages": [turns("a", "b")] * 100})
    assert [id for id, _ in sampled(table, most=4)] == ["0", "25", "50", "75"]
    assert sampled(pa.table({"text": ["x"]})) == []
