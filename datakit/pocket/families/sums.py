"""Sums of two numbers below fifty. Held out are unordered pairs of numbers."""

from __future__ import annotations

import random

from datakit.pocket.items import Item

__all__ = ["candidate"]

_WORDINGS = ("{} plus {} is equal to", "Sum: {} + {} =")


def candidate(rng: random.Random) -> Item:
    """A sum with three near misses: one off, ten off, or both."""
    left, right = rng.randint(1, 49), rng.randint(1, 49)
    total = left + right
    near = [total + step for step in (-11, -10, -9, -1, 1, 9, 10, 11) if total + step > 0]
    choices = [str(total), *map(str, rng.sample(near, 3))]
    rng.shuffle(choices)
    return Item(
        prompt=rng.choice(_WORDINGS).format(left, right),
        answer=str(total),
        choices=tuple(choices),
        combinations=(("sums", str(min(left, right)), str(max(left, right))),),
    )
