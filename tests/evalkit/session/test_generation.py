"""Generated answers against lm-eval's own Hugging Face model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datakit.core.chat import ChatSettings
from evalkit.models.generation import Generator, cut_answer


def load(folder: Path) -> tuple[Any, Any]:
    from datakit.core.checkpoint import load_model, load_tokenizer

    return load_model(folder, dtype="float32"), load_tokenizer(folder)


def generator(model: Any, tokenizer: Any, batch_tokens: int = 400, **chat: Any) -> Generator:
    settings = ChatSettings(**{"template": "none"} | chat)
    return Generator(model, tokenizer, chat=settings, device="cpu", max_length=128, batch_tokens=batch_tokens)


def test_answers_are_those_of_lm_eval(model_folder: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model, tokenizer = load(model_folder)
    options = [{"until": ["e", "\n"], "max_gen_toks": 12}, {"until": ["zzz"], "max_gen_toks": 5, "do_sample": False}]
    prompts = ["the cat", "green hills while birds sang", "un", "Q: yes no maybe? A:"]
    asked = [(prompt, option) for option in options for prompt in prompts]
    # One prompt at a time: padding on the left changes the reference in the last digits.
    tokenizer.pad_token = tokenizer.eos_token
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    instances = [Instance("generate_until", {}, one, 0, ("task", at, 1)) for at, one in enumerate(asked)]
    expected = reference.generate_until(instances, disable_tqdm=True)
    found, cut = generator(model, tokenizer).generate(asked)
    assert [answer.text for answer in found] == expected
    assert cut == 0
    for answer, (_, option) in zip(found, asked, strict=True):
        assert answer.finished or answer.n_tokens == option["max_gen_toks"]


def test_prompts_beyond_the_window_are_cut_and_counted(model_folder: Path) -> None:
    model, tokenizer = load(model_folder)
    answers, cut = generator(model, tokenizer).generate([("green hills " * 80, {"max_gen_toks": 8}), ("a", {})])
    assert cut == 1
    assert len(answers) == 2


@pytest.mark.parametrize(
    ("text", "thinking", "expected"),
    [
        ("yes\nno", False, ("yes", True)),
        ("yes", False, ("yes", False)),
        ("hm\nwell</think>\n yes\nno", True, ("yes", True)),
        ("hm\nwell", True, ("", False)),
    ],
)
def test_stop_strings_count_after_the_thought(text: str, thinking: bool, expected: tuple[str, bool]) -> None:
    assert cut_answer(text, ["\n"], thinking=thinking) == expected


def test_an_assistant_turns_end_ends_an_answer(chat_folder: Path) -> None:
    model, tokenizer = load(chat_folder)
    ends = generator(model, tokenizer, template="auto")._ends
    assert tokenizer.convert_tokens_to_ids("<|end|>") in ends
    assert tokenizer.eos_token_id in ends
