"""How surprising each row's answer is to a causal language model: mean negative log-likelihood of its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings, encode, ends_turn, render_answer, render_prompt
from datakit.core.checkpoint import load_model, load_tokenizer
from datakit.core.require import require

__all__ = ["answer_losses"]


def answer_losses(
    rows: Sequence[Mapping[str, Any]], folder: Path, *, batch_size: int = 8, max_length: int = 1024
) -> list[float | None]:
    """Mean loss in nats per token of each row's answer, or of the whole text of a row without messages.

    Args:
        rows: With ``messages`` and ``text``.
        folder: A model's.
        batch_size: Rows at once; they are sorted by length first.
        max_length: Longer rows lose the beginning of their prompt, as in training.

    Returns:
        None for a row with nothing to score.
    """
    torch = require("torch", extra="train")
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, dtype=torch.float32)
    pairs = [_tokens(row, tokenizer, max_length) for row in rows]
    order = sorted((k for k, (ids, scored) in enumerate(pairs) if scored), key=lambda k: len(pairs[k][0]))
    found: list[float | None] = [None] * len(rows)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        for k, loss in zip(batch, _losses(torch, model, [pairs[k] for k in batch]), strict=True):
            found[k] = loss
    return found


def _tokens(row: Mapping[str, Any], tokenizer: Any, max_length: int) -> tuple[list[int], int]:
    """Token ids and how many of the last ones are scored."""
    turns = row["messages"]
    if not turns:
        ids = tokenizer(row["text"] or "")["input_ids"][:max_length]
        return ids, max(len(ids) - 1, 0)
    if turns[-1]["role"] != "assistant" or not turns[-1]["content"]:
        return [], 0
    chat = ChatSettings()
    prompt = render_prompt(turns[:-1], tokenizer, chat)
    answer = render_answer(turns[-1]["content"], tokenizer, chat)
    before, scored = encode(prompt, answer, tokenizer, end=ends_turn(tokenizer, chat))
    ids = (before + scored)[-max_length:]
    return ids, min(len(scored), len(ids) - 1)


def _losses(torch: Any, model: Any, pairs: Sequence[tuple[list[int], int]]) -> list[float]:
    width = max(len(ids) for ids, _ in pairs)
    inputs = torch.zeros(len(pairs), width, dtype=torch.long)
    mask = torch.zeros(len(pairs), width, dtype=torch.long)
    for k, (ids, _) in enumerate(pairs):  # padded at the end: a causal model never looks there
        inputs[k, : len(ids)] = torch.tensor(ids)
        mask[k, : len(ids)] = 1
    with torch.inference_mode():
        logits = model(input_ids=inputs, attention_mask=mask).logits
    found = []
    for k, (ids, scored) in enumerate(pairs):
        first = len(ids) - scored
        target = inputs[k, first : len(ids)]
        loss = torch.nn.functional.cross_entropy(logits[k, first - 1 : len(ids) - 1].float(), target)
        found.append(float(loss))
    return found
