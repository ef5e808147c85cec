"""Which of two numbers is larger or smaller. Held out are unordered pairs of numbers."""

from __future__ import annotations

import random

from datakit.pocket.items import Item

__all__ = ["candidate"]

_WORDINGS = (
    ("Question: which is more, {} or {}? Answer:", "Question: which is less, {} or {}? Answer:"),
    ("Of {} and {} the larger number is", "Of {} and {} the smaller number is"),
)


def candidate(rng: random.Random) -> Item:
    """Two numbers below a hundred, and the question for the larger or the smaller one."""
    first, second = rng.sample(range(10, 100), 2)
    low, high = sorted((first, second))
    larger = rng.random() < 0.5
    wording = rng.choice(_WORDINGS)[0 if larger else 1]
    return Item(
        prompt=wording.format(first, second),
        answer=str(high if larger else low),
        choices=(str(first), str(second)),
        combinations=(("comparison", str(low), str(high)),),
    )
