"""One prompt, answered by the base and by every arm of a run, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.adapters import is_adapter, lay_over, take_off
from datakit.core.chat import ChatSettings, ends_turn, is_chat, render_prompt, tokenize
from datakit.core.checkpoint import load_model, load_tokenizer, stored_dtype
from datakit.core.errors import DatakitError
from datakit.core.example import Example, Message, from_table
from datakit.core.require import require
from datakit.core.storage import read_json, read_table
from datakit.experiment.layout import FORMAT, Layout
from datakit.experiment.opened import base_of, recipe_of

__all__ = ["Answers", "answer", "example_prompt", "models"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What every model said to one prompt.

    Attributes:
        prompt: The conversation that was put.
        answers: Name (``base``, ``arm-seed``) to answer.
        gold: The right answer, where the prompt is an example of the run.
    """

    prompt: tuple[Message, ...]
    answers: Mapping[str, str]
    gold: str | None = None


def models(layout: Layout) -> Iterator[tuple[str, Any, Any]]:
    """Name, model and tokenizer of the base and of every trained cell, loaded one after another.

    Adapters are put over the base in memory and taken off again.
    """
    torch = require("torch", extra="train")
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def load(folder: Path) -> Any:
        return load_model(folder, dtype=stored_dtype(folder) if device == "cuda" else "float32", device=device)

    base = base_of(recipe_of(layout))
    tokenizer = load_tokenizer(base)
    model = load(base)
    yield "base", model, tokenizer
    named = read_json(layout.manifest, format=FORMAT).get("cells") or []
    folders = [layout.model(name) for name in sorted(named) if (layout.model(name) / "train.json").is_file()]
    if not folders:
        raise DatakitError("the run has no trained model yet", where=layout.root, hint="Run its recipe to the end")
    for folder in (entry for entry in folders if is_adapter(entry)):
        tuned = lay_over(model, folder)
        yield folder.name, tuned, tokenizer
        model = take_off(tuned)
    del model
    for folder in (entry for entry in folders if not is_adapter(entry)):
        yield folder.name, load(folder), load_tokenizer(folder)


def _generate(model: Any, tokenizer: Any, messages: tuple[Message, ...], chat: ChatSettings, max_tokens: int) -> str:
    import torch

    ids = tokenize(render_prompt(messages, tokenizer, chat).rstrip(), tokenizer)
    end = tokenizer(ends_turn(tokenizer, chat), add_special_tokens=False)["input_ids"]
    stops = {tokenizer.eos_token_id, *(end[:1] if is_chat(tokenizer, chat) else end)} - {None}
    limit = getattr(model.config, "max_position_embeddings", None) or len(ids) + max_tokens
    if len(ids) + 1 >= limit:
        raise DatakitError(f"the prompt has {len(ids)} tokens, the model takes {limit}", hint="Shorten it")
    batch = torch.tensor([ids], device=model.device)
    with torch.inference_mode():
        out = model.generate(
            input_ids=batch,
            attention_mask=torch.ones_like(batch),
            max_new_tokens=min(max_tokens, limit - len(ids)),
            do_sample=False,
            eos_token_id=sorted(stops),
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        )
    text: str = tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)
    return text.strip()


def answer(run: Layout, prompts: list[tuple[Message, ...]], *, max_tokens: int = 64) -> list[Answers]:
    """Greedy answers of every model to every prompt; each model is loaded once.

    Args:
        run: A run with at least one trained cell.
        prompts: Conversations that end with a user's turn.
        max_tokens: Longest answer, in tokens.
    """
    chat = ChatSettings(**read_json(run.manifest, format=FORMAT).get("chat", {}))
    said: list[dict[str, str]] = [{} for _ in prompts]
    for name, model, tokenizer in models(run):
        for prompt, answers in zip(prompts, said, strict=True):
            answers[name] = _generate(model, tokenizer, prompt, chat, max_tokens)
    return [Answers(prompt, answers) for prompt, answers in zip(prompts, said, strict=True)]


def example_prompt(run: Layout, identity: str) -> tuple[tuple[Message, ...], str | None]:
    """The prompt and gold answer of an example of the run, by id or the beginning of one; ``""`` takes the first.

    Raises:
        DatakitError: No such example, or one without messages.
    """
    for split in ("test", "validation", "train"):
        for file in run.split(split):
            for example in from_table(read_table(file)):
                if example.id.startswith(identity):
                    return _turns(example)
    raise DatakitError(f"no example '{identity}' in the run's dataset", where=run.data)


def _turns(example: Example) -> tuple[tuple[Message, ...], str | None]:
    if example.messages is None:
        raise DatakitError(f"example '{example.id}' has no messages", hint="Add a template step to the recipe")
    if example.answer is None:
        return example.messages, None
    return example.messages[:-1], example.answer
