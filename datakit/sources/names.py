"""Names that columns have in the wild, by what they mean; the first that a file has is taken."""

from __future__ import annotations

__all__ = ["ANSWER_NAMES", "LABEL_NAMES", "MESSAGES_NAMES", "PROMPT_NAMES", "TEXT_NAMES"]

MESSAGES_NAMES = ("messages", "conversations", "conversation", "turns", "dialog", "dialogue", "chat")
PROMPT_NAMES = ("prompt", "instruction", "question", "query", "q", "source", "input", "user", "human")
ANSWER_NAMES = (
    "answer",
    "completion",
    "response",
    "output",
    "a",
    "target",
    "reply",
    "assistant",
    "canonical_solution",
)
TEXT_NAMES = (
    "text",
    "message",
    "sentence",
    "document",
    "content",
    "review",
    "body",
    "utterance",
    "sms",
    "full_text",
)
LABEL_NAMES = (
    "label",
    "category",
    "intent",
    "class",
    "gold_label",
    "sentiment",
    "topic",
    "label_text",
    "target",
    "labels",
    "queue",
    "tag",
    "emotion",
    "department",
)
