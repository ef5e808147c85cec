"""What text is encoded with: the tokenizer, the chat settings, and how an answer ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datakit.core.chat import ChatSettings

__all__ = ["Encoder"]


@dataclass(frozen=True, slots=True)
class Encoder:
    """Everything that turns text into tokens.

    Attributes:
        tokenizer: A Hugging Face fast tokenizer.
        chat: The same settings as in evaluation.
        end: What closes an answer, from :func:`datakit.core.chat.ends_turn`.
        max_length: Longest row in tokens; what lies behind it is cut off.
        plain_text: Rows without messages are plain text (replay); otherwise they are an error.
    """

    tokenizer: Any
    chat: ChatSettings
    end: str
    max_length: int
    plain_text: bool = False
