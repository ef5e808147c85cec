"""One rendering of a conversation for training and for evaluation, so that both see the same tokens.

``train`` builds its rows with :func:`encode`, ``evalkit`` its requests with :func:`render_prompt`; the prompt of the
second is a prefix of the first by construction. A tokenizer is any Hugging Face fast tokenizer, handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from datakit.core.errors import DatakitError
from datakit.core.example import Message
from datakit.core.limits import time_limit

__all__ = ["ChatSettings", "encode", "ends_turn", "is_chat", "render_answer", "render_prompt", "tokenize"]

_ADDED = 1_000_000  # characters that a template may add to what the turns hold; a system prompt has thousands
_ESCAPED = 6  # one character of a turn may become so many: JSON writes \\u00e9
_FIRST = 30.0  # seconds for the first rendering of a template: a loop in it would hold up everything in silence


class ChatSettings(BaseModel):
    """How messages become text; part of the guard that decides whether two evaluations may be compared.

    Attributes:
        template: ``auto`` uses the tokenizer's chat template where it has one, ``none`` never does.
        system: System prompt put before every conversation that has none.
        thinking: Passed to templates that know ``enable_thinking``.
        delimiter: Stands between prompt and answer where no template is used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    template: Literal["auto", "none"] = "auto"
    system: str | None = None
    thinking: bool = False
    delimiter: str = " "


def is_chat(tokenizer: Any, chat: ChatSettings) -> bool:
    """Whether the tokenizer's chat template is used."""
    return chat.template == "auto" and bool(getattr(tokenizer, "chat_template", None))


def _turns(messages: Sequence[Message | Mapping[str, str]], chat: ChatSettings) -> list[dict[str, str]]:
    turns = [
        {"role": turn.role, "content": turn.content} if isinstance(turn, Message) else dict(turn) for turn in messages
    ]
    if chat.system is not None and (not turns or turns[0]["role"] != "system"):
        turns.insert(0, {"role": "system", "content": chat.system})
    return turns


def render_prompt(messages: Sequence[Message | Mapping[str, str]], tokenizer: Any, chat: ChatSettings) -> str:
    """The text a model continues; ``messages`` are the turns before the answer.

    With a chat template this is its rendering with the generation prompt, special tokens written out. Without one
    the turns' contents stand one after another, separated by a newline, and the delimiter is left to the answer.
    """
    turns = _turns(messages, chat)
    if is_chat(tokenizer, chat):
        return _templated(turns, tokenizer, add_generation_prompt=True, enable_thinking=chat.thinking)
    return "\n".join(turn["content"] for turn in turns)


def _templated(turns: list[dict[str, str]], tokenizer: Any, **options: bool) -> str:
    """The turns in the tokenizer's chat template.

    A template is a program of the model's: whatever it raises, sandboxed as it is, is an error of the template.

    Raises:
        DatakitError: The template is broken, refuses these turns (many refuse a system prompt), or makes far more of
            them than they hold.
    """
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, **options)
    except MemoryError:
        raise
    except Exception as error:
        roles = ", ".join(turn["role"] for turn in turns)
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatakitError(
            f"the model's chat template does not render turns of {roles} ({said})",
            hint="Leave the system prompt out, mend the template, or set chat.template: none",
        ) from error
    held = sum(len(turn["content"] or "") for turn in turns)
    if len(text) > _ADDED + _ESCAPED * held:
        raise DatakitError(
            f"the model's chat template makes {len(text):,} characters of turns that hold {held:,}; it may add "
            f"{_ADDED:,} to them",
            hint="Mend the template, or set chat.template: none",
        )
    return text


def render_answer(answer: str, tokenizer: Any, chat: ChatSettings) -> str:
    """The text that follows the prompt; without a chat template it begins with the delimiter."""
    return answer if is_chat(tokenizer, chat) else chat.delimiter + answer


def tokenize(text: str, tokenizer: Any) -> list[int]:
    """Token ids with the tokenizer's own special tokens, but never a second BOS where the text begins with one."""
    bos: str | None = getattr(tokenizer, "bos_token", None)
    written = bool(bos) and text.startswith(bos or "")
    ids: list[int] = tokenizer(text, add_special_tokens=not written)["input_ids"]
    eos = getattr(tokenizer, "eos_token_id", None)
    if eos is not None and len(ids) > 1 and ids[-1] == eos and not text.endswith(tokenizer.eos_token):
        ids = ids[:-1]
    return ids


def ends_turn(tokenizer: Any, chat: ChatSettings) -> str:
    """What a finished answer is followed by: the rest of the assistant turn in a chat template, else the EOS token."""
    eos: str | None = getattr(tokenizer, "eos_token", None)
    if not is_chat(tokenizer, chat):
        if eos is None:
            raise DatakitError("the tokenizer has no end-of-sequence token", hint="Set eos_token in its config")
        return eos
    mark = "\u241fanswer\u241f"
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": mark}]
    late = f"the model's chat template has not rendered one answer in {_FIRST:g} s"
    with time_limit(_FIRST, late, hint="Does it loop? Mend the template, or set chat.template: none"):
        return _templated(turns, tokenizer, enable_thinking=chat.thinking).partition(mark)[2]


def encode(prompt: str, answer: str, tokenizer: Any, *, end: str) -> tuple[list[int], list[int]]:
    """Token ids of a rendered prompt and of the answer with its end, as lm-eval splits them.

    The whole text is tokenised once; the prompt's ids are those of the prompt without its trailing spaces, and the
    answer's are the rest (lm-eval 0.4, ``TemplateLM._encode_pair``), so training and scoring see the same tokens.

    Args:
        prompt: From :func:`render_prompt`.
        answer: From :func:`render_answer`.
        tokenizer: A Hugging Face tokenizer.
        end: From :func:`ends_turn`; special tokens in it are recognised as such.

    Returns:
        ``(prompt_ids, answer_ids)``; their sum is what the model is trained on.
    """
    spaces = len(prompt) - len(prompt.rstrip())
    if spaces:
        prompt, answer = prompt[:-spaces], prompt[-spaces:] + answer
    prompt_ids = tokenize(prompt, tokenizer)
    whole = tokenize(prompt + answer, tokenizer)
    end_ids: list[int] = tokenizer(end, add_special_tokens=False)["input_ids"]
    return prompt_ids, whole[len(prompt_ids) :] + end_ids
