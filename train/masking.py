"""Which tokens are trained: the answer and its end in a conversation, everything in plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datakit.core.chat import ChatSettings, encode, render_answer, render_prompt, tokenize
from datakit.core.errors import DatakitError
from train.errors import TrainError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Row", "completion_row", "text_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded row.

    Attributes:
        id: The example's id.
        ids: Token ids, int32.
        trained: For every token whether the model is trained to say it; never the first, which nothing predicts.
        truncated: Its end was cut off at the longest length.
        weights: Of every token, 0 where it is not trained; None is 1 for each that is.
    """

    id: str
    ids: NDArray[np.int32]
    trained: NDArray[np.bool_]
    truncated: bool = False
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """What the summed loss is divided by: the number of trained tokens, or the sum of their weights."""
        return float(self.trained_tokens if self.weights is None else self.weights.sum(dtype=float))

    @property
    def trained_tokens(self) -> int:
        """Number of trained tokens."""
        return int(self.trained.sum())


def _row(id: str, ids: Sequence[int], start: int, max_length: int) -> Row:
    import numpy as np

    tokens = np.asarray(ids[:max_length], dtype=np.int32)
    trained = np.arange(len(tokens)) >= max(start, 1)
    return Row(id, tokens, trained, truncated=len(ids) > max_length)


def completion_row(
    id: str,
    messages: Sequence[Mapping[str, str]] | None,
    tokenizer: Any,
    chat: ChatSettings,
    *,
    end: str,
    max_length: int,
) -> Row:
    """Encodes a conversation; the last assistant turn and its end are trained.

    Args:
        id: Named in errors.
        messages: Turns; the last one is the assistant's.
        tokenizer: A Hugging Face tokenizer.
        chat: The same settings as in evaluation.
        end: From :func:`datakit.core.chat.ends_turn`.
        max_length: Tokens behind it are cut off; a row may be left without a trained token.

    Raises:
        TrainError: No messages, or the last turn is not an answer.
    """
    if not messages:
        raise TrainError("the row has no messages", where=f"row {id}", hint="Add a template step to the recipe")
    if messages[-1]["role"] != "assistant" or messages[-1]["content"] is None:
        raise TrainError(
            "no trained token: the last turn is not the assistant's",
            where=f"row {id}",
            hint="The last message has to be the answer",
        )
    try:
        prompt = render_prompt(messages[:-1], tokenizer, chat)
    except DatakitError as error:
        raise TrainError(error.message, where=f"row {id}", hint=error.hint) from error
    prompt_ids, answer_ids = encode(prompt, render_answer(messages[-1]["content"], tokenizer, chat), tokenizer, end=end)
    if not answer_ids:
        raise TrainError("no trained token: the answer and its end are empty", where=f"row {id}")
    ids = prompt_ids + answer_ids
    return _row(id, ids, _answer_start(prompt, prompt_ids, ids, tokenizer), max_length)


def _answer_start(prompt: str, prompt_ids: list[int], ids: list[int], tokenizer: Any) -> int:
    """Where the answer begins.

    ``encode`` counts white space at the prompt's end to the answer, because it may be one token with it. Where it is
    a token of its own, such as the line break after a chat template's ``assistant``, generation is given it, so it is
    not trained.
    """
    if prompt == prompt.rstrip():
        return len(prompt_ids)
    given = tokenize(prompt, tokenizer)
    return len(given) if ids[: len(given)] == given else len(prompt_ids)


def text_rows(id: str, text: str, tokenizer: Any, *, max_length: int) -> list[Row]:
    """Encodes plain text, closed by the EOS token; every token is trained. Long text becomes several rows.

    Raises:
        TrainError: The text is empty, or the tokenizer has no EOS token.
    """
    if tokenizer.eos_token_id is None:
        raise TrainError("the tokenizer has no end-of-sequence token", hint="Set eos_token in its config")
    ids = [*tokenize(text, tokenizer), tokenizer.eos_token_id]
    if not text.strip() or len(ids) < 2:
        raise TrainError("no trained token: the text is empty", where=f"row {id}", hint="Filter empty rows")
    pieces = [ids[start : start + max_length] for start in range(0, len(ids), max_length)]
    return [_row(id, piece, 1, max_length) for piece in pieces if len(piece) > 1]
