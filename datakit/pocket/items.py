"""One item of a task family, and which combinations pretraining never sees."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from datakit.core.hashing import digest

__all__ = ["Candidate", "Item", "draw", "is_held_out"]

_ONE_IN = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt with its answer.

    Args:
        prompt: What is given; the answer follows after one space.
        answer: The right continuation.
        choices: The answers to choose from, the right one among them; empty where the answer is generated.
        combinations: What makes the item new or known, the asked one first: the pair of numbers of a sum, say.
    """

    prompt: str
    answer: str
    choices: tuple[str, ...]
    combinations: tuple[tuple[str, ...], ...]

    @property
    def text(self) -> str:
        """Prompt and answer as they stand in running text."""
        return f"{self.prompt} {self.answer}"


Candidate = Callable[[random.Random], Item]


def is_held_out(combination: tuple[str, ...]) -> bool:
    """Whether a combination is kept for the suite: one in four, decided by its hash alone."""
    return int(digest("held out", *combination)[:8], 16) % _ONE_IN == 0


def draw(candidate: Candidate, rng: random.Random, *, held_out: bool) -> Item:
    """Draws an item for the suite (its asked combination is held out) or for training (none of them is)."""
    while True:
        item = candidate(rng)
        if is_held_out(item.combinations[0]) if held_out else not any(map(is_held_out, item.combinations)):
            return item
