"""Whether a model that can think still does: the share of answers with a closed thought, thinking switched on.

Tuning on answers without thoughts teaches many models to close the block at once or to leave it open, which scores of
other tasks, taken with thinking off, do not show. A model whose chat template knows no thinking scores 0, before and
after, at the price of one token per prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datakit.core.chat import is_chat
from datakit.core.hashing import json_digest
from evalkit.source import Setup

__all__ = ["PROMPTS", "THINKING", "ThinkingSource", "can_think", "thought_is_closed"]

#: Name of the task in a suite.
THINKING = "thinking"
#: Questions with more than one step, so that there is something to think about.
PROMPTS = (
    "A train leaves at 9:40 and arrives at 13:05. How long does it take?",
    "Which is larger, 5/8 or 0.6?",
    "Anna is older than Ben, and Ben is older than Carl. Who is the youngest?",
    "How many days are there from 3 March to 17 May?",
    "A shirt costs 40 after a discount of 20 percent. What did it cost before?",
    "Is every square a rectangle, and is every rectangle a square?",
    "What is the sum of all whole numbers from 1 to 50?",
    "I face north, turn right twice and then left once. Where do I face?",
    "How many letters of the word 'strawberry' are an r?",
    "Three workers need 8 hours for a wall. How long do four of them need?",
    "If today is Wednesday, which day is it in 100 days?",
    "Two coins make 30 cents, and one of them is not a quarter. Which coins are they?",
    "A rope of 12 metres is cut into pieces of 75 centimetres. How many cuts are needed?",
    "Put these in order from light to heavy: a cat, a whale, a bee, a horse.",
    "What is the next number: 2, 6, 12, 20, 30?",
    "Some cats are black, and all black things are warm. Must some cats be warm?",
)
_START, _END = "<think>", "</think>"


def can_think(tokenizer: Any) -> bool:
    """Whether the chat template switches or writes thoughts."""
    template = str(getattr(tokenizer, "chat_template", None) or "")
    return "enable_thinking" in template or _START in template


def thought_is_closed(text: str, *, cut: bool = False) -> bool:
    """Whether an answer holds a thought that is not empty, its end, and something after it.

    Args:
        text: As generated; the block's beginning may stand in the prompt.
        cut: The model class took the thought away already and leaves nothing where it was not closed.
    """
    if cut:
        return bool(text.strip())
    thought, end, answer = text.partition(_END)
    return bool(end and thought.replace(_START, "", 1).strip() and answer.strip())


@dataclass(frozen=True, slots=True)
class ThinkingSource:
    """The task's prompts, rendered with thinking on whatever the session's chat settings are.

    Attributes:
        tokens: Room for thought and answer.
    """

    tokens: int = 1024

    rendered = True
    local = True

    def identity(self) -> Any:
        """Prompts, room and rule."""
        return {"thinking": json_digest(list(PROMPTS)), "tokens": self.tokens, "rule": 1}

    def build(self, setup: Setup) -> Any:
        """lm-eval's task object."""
        from evalkit.thinkingtask import ThinkingTask

        able = is_chat(setup.tokenizer, setup.chat) and can_think(setup.tokenizer)
        return ThinkingTask(PROMPTS, setup, tokens=self.tokens if able else 1)
