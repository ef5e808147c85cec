"""Every assistant turn of a conversation trained, each as inference would render it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from datakit.core.chat import is_chat
from train.encoder import Encoder
from train.errors import TrainError
from train.masking import Row, completion_row

__all__ = ["turn_rows"]

Messages = Sequence[Mapping[str, str]]


def turn_rows(id: str, messages: Messages | None, encoder: Encoder, weights: Sequence[float] = ()) -> list[Row]:
    """The rows of a conversation whose every assistant turn is trained.

    An answer is trained as it would be asked for: behind the prompt that the chat template renders of the turns
    before it. Where that rendering is a beginning of the whole conversation's, one row has them all. Where it is not,
    because the template leaves thoughts out of earlier turns or a token spans the seam, every turn is a row.

    Args:
        id: Named in errors.
        messages: Turns; the last one is the assistant's.
        encoder: Tokenizer, chat settings and longest length.
        weights: Of the last assistant turn, of the one before it, and so on; the last one holds further back.

    Raises:
        TrainError: No messages, the last turn is not an answer, or the tokenizer has no chat template: without one
            nothing ends an earlier turn.
    """
    ends = [at + 1 for at, turn in enumerate(messages or ()) if turn["role"] == "assistant"]
    if len(ends) > 1 and not is_chat(encoder.tokenizer, encoder.chat):
        raise TrainError(
            "turns: all needs a chat template, and this model's tokenizer has none (or chat.template is none)",
            where=f"row {id}",
            hint="Write turns: last, or add chat_template.jinja to the model",
        )
    own = replace(encoder, max_length=_UNCUT)
    single = [_one(id, (messages or ())[:end], own) for end in ends[:-1]]
    single.append(_one(id, messages, own))  # refuses a conversation that does not end with an answer
    weighed = [_weight(weights, len(single) - 1 - at) for at in range(len(single))]
    whole = single[-1]
    if all(_begins(whole, row) for row in single):
        return [_cut(_merged(single, weighed if weights else None), encoder.max_length)]
    rows = [_weighted(row, weight if weights else None) for row, weight in zip(single, weighed, strict=True)]
    return [_cut(row, encoder.max_length) for row in rows]


_UNCUT = 1 << 30


def _one(id: str, messages: Messages | None, encoder: Encoder) -> Row:
    return completion_row(id, messages, encoder.tokenizer, encoder.chat, end=encoder.end, max_length=encoder.max_length)


def _weight(weights: Sequence[float], back: int) -> float:
    return weights[min(back, len(weights) - 1)] if weights else 1.0


def _begins(whole: Row, row: Row) -> bool:
    import numpy as np

    return len(row) <= len(whole) and bool(np.array_equal(whole.ids[: len(row)], row.ids))


def _merged(rows: Sequence[Row], weights: Sequence[float] | None) -> Row:
    """The longest row with the trained tokens of all; those of weight 0 are not trained."""
    import numpy as np

    each = np.zeros(len(rows[-1]), dtype=np.float32)
    for row, weight in zip(rows, weights or [1.0] * len(rows), strict=True):
        each[: len(row)][row.trained] = weight
    return replace(rows[-1], trained=each > 0, weights=each if weights else None)


def _weighted(row: Row, weight: float | None) -> Row:
    import numpy as np

    if weight is None:
        return row
    return replace(row, trained=row.trained & (weight > 0), weights=row.trained * np.float32(weight))


def _cut(row: Row, max_length: int) -> Row:
    if len(row) <= max_length:
        return row
    weights = None if row.weights is None else row.weights[:max_length]
    return replace(row, ids=row.ids[:max_length], trained=row.trained[:max_length], weights=weights, truncated=True)
